package party

import "testing"

func TestFrame(t *testing.T) {
	whole := "SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"
	m, rest, err := Frame([]byte("\r\n" + whole + "SIP"))
	if err != nil || string(m) != whole || string(rest) != "SIP" || m.Status() != 200 || m.Body() != "abc" {
		t.Errorf("got %q, %q, %v", m, rest, err)
	}
	if m, rest, err := Frame([]byte(whole[:39])); err != nil || m != nil || string(rest) != whole[:39] {
		t.Errorf("of a part: %q, %q, %v", m, rest, err)
	}
	if _, _, err := Frame([]byte("SIP/2.0 200 OK\r\n\r\n")); err == nil {
		t.Error("took a message without a length")
	}
}

func TestAuthorize(t *testing.T) {
	m := Message("SIP/2.0 407 x\r\nProxy-Authenticate: Digest realm=\"r\", algorithm=SHA-256, nonce=\"n\"\r\n" +
		"Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n\r\n")
	// echo -n u:r:p | md5sum and so on.
	const want = "Proxy-Authorization: Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", algorithm=MD5, qop=auth, " +
		"nc=00000001, cnonce=\"bench\", response=\"%s\"\r\n"
	got := Authorize(m, "INVITE", "sip:x", "u", "p")
	response := sum(sum("u:r:p") + ":n:00000001:bench:auth:" + sum("INVITE:sip:x"))
	if got != want[:len(want)-len("%s\"\r\n")]+response+"\"\r\n" {
		t.Errorf("got %q", got)
	}
}
