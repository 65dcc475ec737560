package main

import (
	"path/filepath"
	"testing"
	"time"
)

// The load works against a node as it is: no call fails, over UDP and over TLS with SRTP, and held calls are let go.
func TestLoad(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "carillon")
	if err := build(binary); err != nil {
		t.Fatal(err)
	}
	s := settings{rate: 50, hold: 10 * time.Millisecond}
	for _, secure := range []bool{false, true} {
		t.Run(variant(secure), func(t *testing.T) {
			n := &node{binary: binary, data: t.TempDir()}
			c, err := newCallee(calleeHost)
			if err != nil {
				t.Fatal(err)
			}
			defer c.close()
			defer n.stop()
			if err := n.start(secure, c.address()); err != nil {
				t.Fatal(err)
			}
			got, err := s.load(n, secure, s.rate, time.Second)
			if err != nil {
				t.Fatal(err)
			}
			if r := got.result; r.failed() != 0 || r.completed != 50 || len(r.ringing) != 50 || got.each <= 0 {
				t.Errorf("%d of %d calls completed, %d rang, failures %v, %v each", r.completed, r.placed, len(r.ringing), r.failures, got.each)
			}
			s := s
			s.held = 20
			if err := s.weigh(n, secure, &got); err != nil {
				t.Error(err)
			}
			if secure {
				return // OPTIONS over UDP is rightly refused
			}
			if answered, err := askOptions(n, 100, time.Second); err != nil || answered.answered != answered.sent {
				t.Errorf("OPTIONS: %+v, %v", answered, err)
			}
		})
	}
}

func TestFrame(t *testing.T) {
	whole := "SIP/2.0 200 OK\r\nContent-Length: 3\r\n\r\nabc"
	m, rest, err := frame([]byte("\r\n" + whole + "SIP"))
	if err != nil || string(m) != whole || string(rest) != "SIP" || m.status() != 200 || m.body() != "abc" {
		t.Errorf("got %q, %q, %v", m, rest, err)
	}
	if m, rest, err := frame([]byte(whole[:39])); err != nil || m != nil || string(rest) != whole[:39] {
		t.Errorf("of a part: %q, %q, %v", m, rest, err)
	}
	if _, _, err := frame([]byte("SIP/2.0 200 OK\r\n\r\n")); err == nil {
		t.Error("took a message without a length")
	}
}

func TestAuthorize(t *testing.T) {
	m := message("SIP/2.0 407 x\r\nProxy-Authenticate: Digest realm=\"r\", algorithm=SHA-256, nonce=\"n\"\r\n" +
		"Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\r\n\r\n")
	// echo -n u:r:p | md5sum and so on.
	const want = "Proxy-Authorization: Digest username=\"u\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", algorithm=MD5, qop=auth, " +
		"nc=00000001, cnonce=\"bench\", response=\"%s\"\r\n"
	got := authorize(m, "INVITE", "sip:x", "u", "p")
	response := sum(sum("u:r:p") + ":n:00000001:bench:auth:" + sum("INVITE:sip:x"))
	if got != want[:len(want)-len("%s\"\r\n")]+response+"\"\r\n" {
		t.Errorf("got %q", got)
	}
}
