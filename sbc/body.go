package sbc

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"net/textproto"
	"strings"

	"carillon/sip"
)

// maxParts bounds the parts of a multipart body that are looked at.
const maxParts = 8

// isSDP reports whether a body is one session description.
func isSDP(m *sip.Message) bool { return mediaType(m) == "application/sdp" }

func mediaType(m *sip.Message) string {
	media, _, _ := bytes.Cut(m.ContentType(), []byte(";"))
	return strings.ToLower(string(bytes.TrimSpace(media)))
}

// readable reports whether a body may begin or change a session: none, a description, or parts with at most one
// description among them (RFC 5621).
func readable(m *sip.Message) bool {
	if len(m.Body()) == 0 || isSDP(m) {
		return true
	}
	if mediaType(m) != "multipart/mixed" {
		return false
	}
	descriptions := 0
	ok := eachPart(m, func(contentType string, _ textproto.MIMEHeader, _ []byte) {
		if contentType == "application/sdp" {
			descriptions++
		}
	})
	return ok && descriptions <= 1
}

// bodySDP returns the session description of a message, nil when it has none.
func bodySDP(m *sip.Message) []byte {
	switch {
	case len(m.Body()) == 0:
		return nil
	case isSDP(m):
		return m.Body()
	case mediaType(m) != "multipart/mixed":
		return nil
	}
	var sdp []byte
	eachPart(m, func(contentType string, _ textproto.MIMEHeader, body []byte) {
		if contentType == "application/sdp" && sdp == nil {
			sdp = body
		}
	})
	return sdp
}

// bringsSDP reports whether a session description is anywhere in a body, or may be in one that cannot be read.
func bringsSDP(m *sip.Message) bool {
	if isSDP(m) || carriesKey(m) {
		return true
	}
	if !strings.HasPrefix(mediaType(m), "multipart/") {
		return false
	}
	found := false
	ok := eachPart(m, func(contentType string, _ textproto.MIMEHeader, _ []byte) {
		found = found || contentType == "application/sdp"
	})
	return found || !ok
}

// eachPart reads the parts of a multipart body. It reports whether the whole body could be read within maxParts.
func eachPart(m *sip.Message, visit func(contentType string, header textproto.MIMEHeader, body []byte)) bool {
	_, params, err := mime.ParseMediaType(string(m.ContentType()))
	if err != nil || params["boundary"] == "" {
		return false
	}
	parts := multipart.NewReader(bytes.NewReader(m.Body()), params["boundary"])
	for range maxParts {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return true
		}
		if err != nil {
			return false
		}
		body, err := io.ReadAll(p) // no longer than the message
		if err != nil {
			return false
		}
		contentType, _, _ := strings.Cut(p.Header.Get("Content-Type"), ";")
		visit(strings.ToLower(strings.TrimSpace(contentType)), p.Header, body)
	}
	return false
}

// location is where an emergency call comes from (RFC 6442): references to it, and the part of the body that holds it.
type location struct {
	headers []string // values of Geolocation
	routing bool     // it may be used for routing
	parts   []part
}

// part is a part of a body that crosses as it is.
type part struct {
	contentType, id string
	body            []byte
}

// locationOf reads the location of an INVITE. Only an emergency call's crosses: to anybody else it says too much.
func locationOf(m *sip.Message) *location {
	l := &location{routing: strings.EqualFold(string(m.Get(sip.HdrGeolocationRouting)), "yes")}
	for value := range m.Values(sip.HdrGeolocation) {
		// The parameters name hosts of the caller's network.
		reference, _, _ := strings.Cut(string(value), ";")
		if reference = strings.TrimSpace(reference); strings.HasPrefix(reference, "<") && strings.HasSuffix(reference, ">") && len(l.headers) < maxParts {
			l.headers = append(l.headers, reference)
		}
	}
	if mediaType(m) == "multipart/mixed" {
		eachPart(m, func(contentType string, h textproto.MIMEHeader, body []byte) {
			id := h.Get("Content-ID")
			if contentType == "application/pidf+xml" && !strings.ContainsAny(id, "\r\n") {
				l.parts = append(l.parts, part{contentType, id, body})
			}
		})
	}
	if len(l.headers) == 0 && len(l.parts) == 0 {
		return nil
	}
	return l
}

// write puts the location's headers into a request.
func (l *location) write(b *sip.Builder) {
	if l == nil {
		return
	}
	for _, value := range l.headers {
		b.Header("Geolocation", value)
	}
	if l.routing {
		b.Header("Geolocation-Routing", "yes")
	}
}

// withLocation ends a request with a description and the parts of a location.
func (l *location) withLocation(b *sip.Builder, sdp []byte, boundary string) *sip.Builder {
	if l == nil || len(l.parts) == 0 {
		return withBody(b, sdp)
	}
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	if err := w.SetBoundary(boundary); err != nil {
		return withBody(b, sdp)
	}
	parts := l.parts
	if sdp != nil {
		parts = append([]part{{contentType: "application/sdp", body: sdp}}, parts...)
	}
	for _, p := range parts {
		h := textproto.MIMEHeader{"Content-Type": {p.contentType}}
		if p.id != "" {
			h.Set("Content-ID", p.id)
		}
		out, err := w.CreatePart(h)
		if err == nil {
			_, err = out.Write(p.body)
		}
		if err != nil {
			return withBody(b, sdp)
		}
	}
	_ = w.Close() // into memory
	b.Body("multipart/mixed;boundary="+boundary, body.Bytes())
	return b
}
