package digest

import (
	"errors"
	"strings"
	"testing"
)

func values(texts ...string) [][]byte {
	var out [][]byte
	for _, s := range texts {
		out = append(out, []byte(s))
	}
	return out
}

func newClient(user, password string) *Client {
	return NewClient(ClientConfig{Username: user, Password: password, Rand: randomness(2)})
}

// The two halves of the package against each other, over each algorithm.
func TestClientSatisfiesServer(t *testing.T) {
	for _, algs := range [][]Algorithm{{MD5}, {SHA256}, {MD5, SHA256}, {SHA256, MD5}} {
		s, _ := startServer(t, ServerConfig{})
		c := newClient("pbx", "secret")
		ch, err := s.Challenges(phone, realm, algs, false)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := c.Answer(values(ch...), "INVITE", target, false)
		if err != nil {
			t.Fatal(err)
		}
		best := algs[0]
		if len(algs) > 1 {
			best = SHA256
		}
		r := request(t, "INVITE", answer)
		r.Algorithms = algs
		if got := s.Check(r, lookup); got != (Result{Outcome: OK, User: "pbx", Algorithm: best}) {
			t.Errorf("%v: %+v", algs, got)
		}
		for range 3 { // further requests at once, each with a new count
			next, ok := c.Next("INVITE", target)
			r.Credentials = values(next)
			if got := s.Check(r, lookup); !ok || got.Outcome != OK {
				t.Errorf("%v next: %+v, %v", algs, got, ok)
			}
		}
	}
}

func TestClientAnswers(t *testing.T) {
	const sha = `Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth"`
	const md5 = `Digest realm="r", nonce="n", algorithm=MD5, qop="auth"`
	for _, tt := range []struct {
		name   string
		values [][]byte
		retry  bool
		want   []string // parts of the answer
		err    error
	}{
		{"strongest last", values(md5, sha), false, []string{"algorithm=SHA-256", "nc=00000001", "qop=auth"}, nil},
		{"strongest first", values(sha, md5), false, []string{"algorithm=SHA-256"}, nil},
		{"unknown algorithm passed over", values(`Digest realm="r", nonce="n", algorithm=SHA-512-256, qop="auth"`, md5), false, []string{"algorithm=MD5"}, nil},
		{"malformed passed over", values(`Digest realm="r`, md5), false, []string{"algorithm=MD5"}, nil},
		{"absent algorithm stays absent", values(`Digest realm="r", nonce="n", qop="auth,auth-int"`), false, []string{"qop=auth,", "!algorithm"}, nil},
		{"RFC 2069 carrier", values(`Digest realm="r", nonce="n"`), false, []string{"!qop", "!nc=", "!cnonce"}, nil},
		{"opaque comes back", values(`Digest realm="r", nonce="n", opaque="o\"p"`), false, []string{`opaque="o\"p"`}, nil},
		{"auth-int alone", values(`Digest realm="r", nonce="n", qop="auth-int"`), false, nil, ErrNoChallenge},
		{"no nonce", values(`Digest realm="r", qop="auth"`), false, nil, ErrNoChallenge},
		{"nothing", nil, false, nil, ErrNoChallenge},
		{"stale after credentials", values(md5 + ", stale=true"), true, []string{"algorithm=MD5"}, nil},
		{"refused after credentials", values(md5), true, nil, ErrRejected},
	} {
		got, err := newClient("u", "p").Answer(tt.values, "INVITE", "sip:x@y", tt.retry)
		if !errors.Is(err, tt.err) {
			t.Errorf("%s: error %v, want %v", tt.name, err, tt.err)
		}
		for _, part := range tt.want {
			if not, found := strings.CutPrefix(part, "!"); found == strings.Contains(got, not) {
				t.Errorf("%s: %q in %s", tt.name, part, got)
			}
		}
	}
}

func TestClientCountsPerNonce(t *testing.T) {
	c := newClient("u", "p")
	if _, ok := c.Next("INVITE", "sip:x@y"); ok {
		t.Error("credentials before any challenge")
	}
	steps := []struct{ nonce, nc string }{
		{"one", "00000001"}, {"one", "00000002"}, {"two", "00000001"}, {"two", "00000002"}, {"one", "00000001"},
	}
	for i, s := range steps {
		got, err := c.Answer(values(`Digest realm="r", qop="auth", nonce="`+s.nonce+`"`), "INVITE", "sip:x@y", false)
		if err != nil || !strings.Contains(got, "nc="+s.nc) {
			t.Errorf("step %d: %s, %v, want nc %s", i, got, err, s.nc)
		}
	}
}

// A carrier's realm must not be able to add parameters or lines to our answer.
func TestClientQuotesChallenge(t *testing.T) {
	got, err := newClient(`u"x`, "p").Answer(values(`Digest realm="a\", username=\"eve", nonce="n", qop="auth"`), "INVITE", "sip:x@y", false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseCredentials([]byte(got))
	if err != nil || c.Username != `u"x` || c.Realm != `a", username="eve` {
		t.Errorf("%s read as %+v, %v", got, c, err)
	}
}

func TestClientWithoutRandomness(t *testing.T) {
	c := NewClient(ClientConfig{Username: "u", Password: "p", Rand: iotestErr{}})
	if _, err := c.Answer(values(`Digest realm="r", nonce="n", qop="auth"`), "INVITE", "sip:x@y", false); err == nil {
		t.Error("a client nonce without randomness")
	}
}
