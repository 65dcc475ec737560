package siptest

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"carillon/sip"
)

// Request is a request to be written. Empty fields have values that make a whole message.
type Request struct {
	Method      string   // INVITE
	URI         string   // sip:+12065550100@sbc.example.com
	Transport   string   // of the Via: UDP
	SentBy      string   // of the Via: 192.0.2.1:5060
	Branch      string   // z9hG4bK-1
	NoRPort     bool     // leave rport out of the Via
	From, To    string   // <sip:alice@example.com>, <URI>; without tags
	FromTag     string   // a
	ToTag       string   // none
	CallID      string   // call-1
	CSeq        uint32   // 1
	Headers     []string // further lines, "Name: value"
	ContentType string   // application/sdp when there is a Body
	Body        string
}

// Bytes writes the request.
func (r Request) Bytes() []byte {
	or := func(v *string, def string) {
		if *v == "" {
			*v = def
		}
	}
	or(&r.Method, "INVITE")
	or(&r.URI, "sip:+12065550100@sbc.example.com")
	or(&r.Transport, "UDP")
	or(&r.SentBy, "192.0.2.1:5060")
	or(&r.Branch, "z9hG4bK-1")
	or(&r.From, "<sip:alice@example.com>")
	or(&r.To, "<"+r.URI+">")
	or(&r.FromTag, "a")
	or(&r.CallID, "call-1")
	if r.CSeq == 0 {
		r.CSeq = 1
	}
	rport := ";rport"
	if r.NoRPort {
		rport = ""
	}
	if r.ToTag != "" {
		r.To += ";tag=" + r.ToTag
	}
	lines := []string{
		r.Method + " " + r.URI + " SIP/2.0",
		"Via: SIP/2.0/" + r.Transport + " " + r.SentBy + ";branch=" + r.Branch + rport,
		"Max-Forwards: 70",
		"From: " + r.From + ";tag=" + r.FromTag,
		"To: " + r.To,
		"Call-ID: " + r.CallID,
		"CSeq: " + strconv.FormatUint(uint64(r.CSeq), 10) + " " + r.Method,
	}
	lines = append(lines, r.Headers...)
	if r.Body != "" {
		or(&r.ContentType, "application/sdp")
		lines = append(lines, "Content-Type: "+r.ContentType)
	}
	lines = append(lines, "Content-Length: "+strconv.Itoa(len(r.Body)), "", r.Body)
	return []byte(strings.Join(lines, "\r\n"))
}

// Message writes the request and parses it.
func (r Request) Message(t testing.TB) *sip.Message {
	t.Helper()
	return Parse(t, r.Bytes())
}

// Parse parses a message that must be right.
func Parse(t testing.TB, b []byte) *sip.Message {
	t.Helper()
	m := new(sip.Message)
	if err := m.Parse(slices.Clone(b)); err != nil {
		t.Fatalf("parse %q: %v", b, err)
	}
	return m
}

// Response writes an answer to req with a To-tag and further header lines, "Name: value".
func Response(t testing.TB, req *sip.Message, code int, toTag string, headers ...string) []byte {
	t.Helper()
	var b sip.Builder
	sip.AppendResponse(&b, req, code, sip.ReasonPhrase(code), toTag)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		b.Header(name, strings.TrimSpace(value))
	}
	b.Body("", nil)
	if err := b.Err(); err != nil {
		t.Fatalf("write a %d: %v", code, err)
	}
	return slices.Clone(b.Bytes())
}
