package sip

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestBuilderRequest(t *testing.T) {
	b := NewBuilder(nil)
	b.Request("INVITE", []byte("sip:user@example.com"))
	b.Header("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1")
	b.HeaderBytes("To", []byte("<sip:user@example.com>"))
	b.HeaderUint("Max-Forwards", 70)
	b.Open("From")
	b.WriteText("<sip:a@b>;tag=")
	b.Write([]byte("t"))
	b.WriteUint(7)
	b.Close()
	b.Body("text/plain", []byte("a\r\nb"))
	const want = "INVITE sip:user@example.com SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n" +
		"To: <sip:user@example.com>\r\n" +
		"Max-Forwards: 70\r\n" +
		"From: <sip:a@b>;tag=t7\r\n" +
		"Content-Type: text/plain\r\nContent-Length: 4\r\n\r\na\r\nb"
	if got := string(b.Bytes()); got != want || b.Err() != nil {
		t.Errorf("got %q (%v), want %q", got, b.Err(), want)
	}
}

func TestBuilderRefuses(t *testing.T) {
	start := func(b *Builder) { b.Request("OPTIONS", []byte("sip:a")) }
	long := strings.Repeat("x", 100)
	for name, c := range map[string]struct {
		build func(b *Builder)
		want  error
	}{
		"CRLF in a value":      {func(b *Builder) { start(b); b.Header("Subject", "a\r\nEvil: b") }, ErrInjection},
		"LF in a value":        {func(b *Builder) { start(b); b.Header("Subject", "a\nEvil: b") }, ErrInjection},
		"CR in a value":        {func(b *Builder) { start(b); b.Header("Subject", "a\rEvil: b") }, ErrInjection},
		"NUL in a value":       {func(b *Builder) { start(b); b.Header("Subject", "a\x00b") }, ErrInjection},
		"LF at the end":        {func(b *Builder) { start(b); b.HeaderBytes("Subject", []byte(long+"\n")) }, ErrInjection},
		"LF after a tab":       {func(b *Builder) { start(b); b.Header("Subject", "a\tb"+long+"\n") }, ErrInjection},
		"LF in a piece":        {func(b *Builder) { start(b); b.Open("To"); b.Write([]byte("\n")); b.Close() }, ErrInjection},
		"LF in a text piece":   {func(b *Builder) { start(b); b.Open("To"); b.WriteText("\n"); b.Close() }, ErrInjection},
		"LF in a content type": {func(b *Builder) { start(b); b.Body("a\nb", nil) }, ErrInjection},
		"LF in a reason":       {func(b *Builder) { b.Response(200, "OK\n"); b.Body("", nil) }, ErrInjection},
		"LF in a copied value": {func(b *Builder) { start(b); b.CopyField(Field{Name: []byte("A"), Value: []byte("\n")}) }, ErrInjection},
		"LF in a copied name":  {func(b *Builder) { start(b); b.CopyField(Field{Name: []byte("A\n")}) }, ErrToken},
		"LF in a name":         {func(b *Builder) { start(b); b.Header("Evil: b\r\nSubject", "a") }, ErrToken},
		"empty name":           {func(b *Builder) { start(b); b.Header("", "a") }, ErrToken},
		"space in a method":    {func(b *Builder) { b.Request("A B", []byte("sip:a")) }, ErrToken},
		"LF in a URI":          {func(b *Builder) { b.Request("A", []byte("sip:a\n")) }, ErrToken},
		"space in a URI":       {func(b *Builder) { b.Request("A", []byte("sip:a SIP/2.0")) }, ErrToken},
		"empty URI":            {func(b *Builder) { b.Request("A", nil) }, ErrToken},
		"status 99":            {func(b *Builder) { b.Response(99, "") }, ErrToken},
		"status 700":           {func(b *Builder) { b.Response(700, "") }, ErrToken},
		"nothing":              {func(b *Builder) {}, ErrBuilder},
		"no body":              {func(b *Builder) { start(b); b.Header("A", "b") }, ErrBuilder},
		"body only":            {func(b *Builder) { b.Body("", nil) }, ErrBuilder},
		"two bodies":           {func(b *Builder) { start(b); b.Body("", nil); b.Body("", nil) }, ErrBuilder},
		"header after body":    {func(b *Builder) { start(b); b.Body("", nil); b.Header("A", "b") }, ErrBuilder},
		"two start lines":      {func(b *Builder) { start(b); start(b) }, ErrBuilder},
		"header in a header":   {func(b *Builder) { start(b); b.Open("A"); b.Header("B", "c") }, ErrBuilder},
		"header left open":     {func(b *Builder) { start(b); b.Open("A"); b.Body("", nil) }, ErrBuilder},
		"piece of no header":   {func(b *Builder) { start(b); b.WriteText("a") }, ErrBuilder},
		"close of no header":   {func(b *Builder) { start(b); b.Close() }, ErrBuilder},
	} {
		t.Run(name, func(t *testing.T) {
			b := NewBuilder(nil)
			c.build(b)
			if !errors.Is(b.Err(), c.want) || b.Bytes() != nil {
				t.Errorf("got %v and %q, want %v", b.Err(), b.Bytes(), c.want)
			}
			b.Reset()
			start(b)
			b.Body("", nil)
			if b.Err() != nil {
				t.Errorf("after Reset: %v", b.Err())
			}
		})
	}
}

func TestAppendResponse(t *testing.T) {
	var m Message
	err := m.Parse([]byte("INVITE sip:user@example.com SIP/2.0\r\n" +
		"v: SIP/2.0/UDP 10.1.1.1:5070;rport;received=6.6.6.6;branch=z9hG4bK1;x=y, SIP/2.0/TCP b;branch=z9hG4bK2\r\n" +
		"f: <sip:a@b>;tag=1\r\nVia: SIP/2.0/TLS c;branch=z9hG4bK3\r\nt: <sip:user@example.com>\r\n" +
		"i: x\r\nCSeq: 1 INVITE\r\nTimestamp: 54\r\nSubject: not echoed\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	const rest = "Via: SIP/2.0/TLS c;branch=z9hG4bK3\r\nFrom: <sip:a@b>;tag=1\r\n"
	for name, c := range map[string]struct {
		from   string
		code   int
		reason string
		tag    string
		want   string
	}{
		"as it came": {"", 486, "", "t2", "SIP/2.0 486 Busy Here\r\n" +
			"Via: SIP/2.0/UDP 10.1.1.1:5070;rport;received=6.6.6.6;branch=z9hG4bK1;x=y, SIP/2.0/TCP b;branch=z9hG4bK2\r\n" + rest +
			"To: <sip:user@example.com>;tag=t2\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"},
		"received and rport": {"198.51.100.7:40000", 100, "Trying", "", "SIP/2.0 100 Trying\r\n" +
			"Via: SIP/2.0/UDP 10.1.1.1:5070;rport=40000;branch=z9hG4bK1;x=y;received=198.51.100.7, SIP/2.0/TCP b;branch=z9hG4bK2\r\n" + rest +
			"To: <sip:user@example.com>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nTimestamp: 54\r\nContent-Length: 0\r\n\r\n"},
		"IPv6 and own words": {"[2001:db8::1%eth0]:5060", 299, "Fine", "z", "SIP/2.0 299 Fine\r\n" +
			"Via: SIP/2.0/UDP 10.1.1.1:5070;rport=5060;branch=z9hG4bK1;x=y;received=2001:db8::1, SIP/2.0/TCP b;branch=z9hG4bK2\r\n" + rest +
			"To: <sip:user@example.com>;tag=z\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"},
	} {
		m.SetReceived(netip.AddrPort{})
		if c.from != "" {
			m.SetReceived(netip.MustParseAddrPort(c.from))
		}
		b := NewBuilder(nil)
		AppendResponse(b, &m, c.code, c.reason, c.tag)
		b.Body("", nil)
		if got := string(b.Bytes()); got != c.want {
			t.Errorf("%s (%v): got\n%s\nwant\n%s", name, b.Err(), got, c.want)
		}
	}
}

func TestReceivedOnlyWhereItDiffers(t *testing.T) {
	for _, c := range []struct{ sentBy, from, want string }{
		{"192.0.2.1:5060", "192.0.2.1:5060", ""},
		{"192.0.2.1", "192.0.2.1:9999", ""},
		{"192.0.2.1", "[::ffff:192.0.2.1]:5060", ""},
		{"[2001:DB8:0::1]", "[2001:db8::1]:5060", ""},
		{"192.0.2.1", "192.0.2.2:5060", ";received=192.0.2.2"},
		{"host.example.com", "192.0.2.1:5060", ";received=192.0.2.1"},
		{"192.0.2.1;rport=1", "192.0.2.1:9999", ";rport=9999;received=192.0.2.1"},
	} {
		var m Message
		if err := m.Parse(replace(request(), "192.0.2.1:5060;branch=z9hG4bK77", c.sentBy)); err != nil {
			t.Fatal(err)
		}
		m.SetReceived(netip.MustParseAddrPort(c.from))
		b := NewBuilder(nil)
		b.Response(200, "")
		b.CopyVias(&m)
		b.Body("", nil)
		sentBy, _, _ := strings.Cut(c.sentBy, ";")
		want := "\r\nVia: SIP/2.0/UDP " + sentBy + c.want + "\r\n"
		if got := string(b.Bytes()); !strings.Contains(got, want) {
			t.Errorf("%s from %s: got %q, want %q", c.sentBy, c.from, got, want)
		}
	}
}

func TestToTagIsKept(t *testing.T) {
	var m Message
	if err := m.Parse(replace(request(), "To: <sip:user@example.com>", "To: <sip:user@example.com>;tag=old")); err != nil {
		t.Fatal(err)
	}
	b := NewBuilder(nil)
	AppendResponse(b, &m, 200, "", "new")
	b.Body("", nil)
	if got := string(b.Bytes()); !strings.Contains(got, ";tag=old\r\n") || strings.Contains(got, "new") {
		t.Errorf("got %q", got)
	}
}

func TestAppendVia(t *testing.T) {
	v := Via{Transport: []byte("tls"), Host: []byte("sbc.example.com"), Port: 5061, Branch: []byte("z9hG4bK1"), HasRPort: true}
	got := string(AppendVia(nil, &v))
	if want := "SIP/2.0/TLS sbc.example.com:5061;branch=z9hG4bK1;rport"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	back, err := ParseVia([]byte(got))
	if err != nil || !back.TransportIs("TLS") || back.Port != 5061 || !back.HasRPort || back.RPort != 0 || !back.BranchIsUnique() {
		t.Errorf("read back: %+v %v", back, err)
	}
}

func TestReasonPhrases(t *testing.T) {
	for i, r := range reasons {
		if got := ReasonPhrase(r.code); got != r.phrase || i > 0 && reasons[i-1].code >= r.code {
			t.Errorf("%d: got %q, want %q, in order", r.code, got, r.phrase)
		}
	}
	for code, want := range map[int]string{188: "Session Progress", 299: "OK", 399: "Multiple Choices", 499: "Bad Request",
		599: "Server Internal Error", 699: "Busy Everywhere", 99: "", 700: ""} {
		if got := ReasonPhrase(code); got != want {
			t.Errorf("%d: got %q, want %q", code, got, want)
		}
	}
}
