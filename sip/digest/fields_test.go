package digest

import (
	"strings"
	"testing"

	"carillon/sip"
)

// A request as it comes off the wire: folded, two realms, and a line of another header between.
func TestCheckMessage(t *testing.T) {
	s, _ := startServer(t, ServerConfig{})
	right := credentials(challenge(t, s), nil)
	text := "INVITE " + target + " SIP/2.0\r\n" +
		"Via: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\n" +
		"Max-Forwards: 70\r\n" +
		"From: <sip:pbx@example.com>;tag=1\r\n" +
		"To: <" + target + ">\r\n" +
		"Call-ID: 1\r\nCSeq: 1 INVITE\r\n" +
		"Proxy-Authorization: Digest username=\"x\", realm=\"elsewhere\", nonce=\"n\", uri=\"sip:a@b\", response=\"00\"\r\n" +
		"Authorization: Digest username=\"y\", realm=\"" + realm + "\"\r\n" +
		"proxy-authorization: " + strings.ReplaceAll(right, ", ", ",\r\n ") + "\r\n" +
		"Content-Length: 0\r\n\r\n"
	var m sip.Message
	if err := m.Parse([]byte(text)); err != nil {
		t.Fatal(err)
	}
	r := &Request{Method: string(m.MethodToken()), URI: m.RequestURI(), Source: phone, Realm: realm, Algorithms: both,
		Credentials: Fields(&m, sip.HdrProxyAuthorization)}
	if len(r.Credentials) != 2 {
		t.Fatalf("%d fields, want 2: %q", len(r.Credentials), r.Credentials)
	}
	if got := s.Check(r, lookup); got.Outcome != OK {
		t.Errorf("got %+v", got)
	}
	if got := Fields(&m, sip.HdrWWWAuthenticate); got != nil {
		t.Errorf("fields of an absent header: %q", got)
	}
}
