package interop

import (
	"bufio"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/icholy/digest"
)

// TestDigestAlgorithms answers our challenges with a digest library that is not ours. Debian's phones know MD5 alone;
// this is the peer for SHA-256 (RFC 8760), and for both in either order, of which a client takes the first it knows.
func TestDigestAlgorithms(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		offered []string
		answers string
	}{
		{"md5", []string{"md5"}, "MD5"},
		{"sha-256", []string{"sha-256"}, "SHA-256"},
		{"sha-256 before md5", []string{"sha-256", "md5"}, "SHA-256"},
		{"the default", nil, "MD5"},
		{"the default, the second of two", nil, "SHA-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, false, c.offered...)
			conn, err := net.Dial("tcp", n.SIP.TCP)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(10 * time.Second))
			in := textproto.NewReader(bufio.NewReader(conn))
			uri := "sip:" + labBusy + "@" + vc.Host
			invite := func(more string) {
				t.Helper()
				r := rawRequest{host: vc.Host, uri: uri, more: more + "P-Preferred-Identity: <sip:" + vc.number + "@" + vc.Host + ">\r\nContent-Type: application/sdp\r\n",
					body: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n"}
				if _, err := conn.Write([]byte(r.text(conn.LocalAddr(), "tcp"))); err != nil {
					t.Fatal(err)
				}
			}
			invite("")
			code, header := final(t, in)
			if code != 407 {
				t.Fatalf("got %d, want a challenge", code)
			}
			var chosen *digest.Challenge
			for _, text := range header["Proxy-Authenticate"] {
				challenge, err := digest.ParseChallenge(text)
				if err != nil {
					t.Fatal(err)
				}
				if challenge.Realm != vc.Host || !challenge.SupportsQOP("auth") {
					t.Errorf("challenge %s", text)
				}
				if chosen == nil && challenge.Algorithm == c.answers {
					chosen = challenge
				}
			}
			if first, err := digest.ParseChallenge(header.Get("Proxy-Authenticate")); err != nil || c.name != "the default, the second of two" && first.Algorithm != c.answers {
				t.Errorf("the first challenge is %v (%v), want %s", first, err, c.answers)
			}
			if chosen == nil {
				t.Fatalf("no %s in %q", c.answers, header["Proxy-Authenticate"])
			}
			proof, err := digest.Digest(chosen, digest.Options{Method: "INVITE", URI: uri, Username: phoneUser, Password: phonePassword, Count: 1})
			if err != nil {
				t.Fatal(err)
			}
			invite("Proxy-Authorization: " + proof.String() + "\r\n")
			if code, header := final(t, in); code != 486 {
				t.Errorf("got %d %v, want the lab's 486", code, header)
			}
		})
	}
}

// final reads answers up to the first that is not provisional.
func final(t *testing.T, in *textproto.Reader) (code int, header textproto.MIMEHeader) {
	t.Helper()
	for code < 200 {
		line, err := in.ReadLine()
		if err != nil {
			t.Fatal(err)
		}
		if header, err = in.ReadMIMEHeader(); err != nil {
			t.Fatal(err)
		}
		if length := header.Get("Content-Length"); !strings.HasPrefix(line, "SIP/2.0 ") || length != "0" {
			t.Fatalf("got %q with a body of %s", line, length)
		}
		code = status(line)
	}
	return code, header
}
