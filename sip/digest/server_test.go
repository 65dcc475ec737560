package digest

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
)

const (
	realm  = "abcdef1example.voiceconnector.example.com"
	target = "sip:+12065550100@" + realm
)

var (
	phone  = netip.MustParseAddr("192.0.2.10")
	both   = []Algorithm{MD5, SHA256}
	secret = bytes.Repeat([]byte("k"), MinKeyLen)
)

func randomness(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

func startServer(t testing.TB, cfg ServerConfig) (*Server, *clocktest.Fake) {
	t.Helper()
	fake := clocktest.New()
	if cfg.Key == nil {
		cfg.Key = secret
	}
	cfg.Clock, cfg.Rand = fake, randomness(1)
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, fake
}

func lookup(user string) (HA1, bool) {
	if user == "pbx" {
		return NewHA1("pbx", realm, "secret"), true
	}
	return HA1{}, false
}

func uri(t testing.TB, text string) *sip.URI {
	t.Helper()
	u, err := sip.ParseURI([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &u
}

func request(t testing.TB, method string, credentials ...string) *Request {
	r := &Request{Method: method, URI: uri(t, target), Source: phone, Realm: realm, Algorithms: both}
	for _, c := range credentials {
		r.Credentials = append(r.Credentials, []byte(c))
	}
	return r
}

func challenge(t testing.TB, s *Server) string {
	t.Helper()
	values, err := s.Challenges(phone, realm, both, false)
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseChallenge([]byte(values[0]))
	if err != nil {
		t.Fatal(err)
	}
	return c.Nonce
}

// credentials answers by hand, so that every part can be wrong on its own.
func credentials(nonce string, change func(*Credentials, *input, *HA1)) string {
	ha1 := NewHA1("pbx", realm, "secret")
	in := input{alg: SHA256, method: "INVITE", uri: target, nonce: nonce, qop: "auth", nc: "00000001", cnonce: "c1"}
	c := Credentials{Username: "pbx", Realm: realm}
	if change != nil {
		change(&c, &in, &ha1)
	}
	c.Nonce, c.URI, c.QOP, c.NC, c.CNonce = in.nonce, in.uri, in.qop, in.nc, in.cnonce
	if c.Algorithm == "" {
		c.Algorithm = in.alg.String()
	}
	if c.Response == "" {
		c.Response = string(in.appendResponse(nil, &ha1))
	}
	return string(c.AppendTo(nil))
}

func TestCheck(t *testing.T) {
	otherKey, _ := startServer(t, ServerConfig{Key: bytes.Repeat([]byte("o"), MinKeyLen)})
	foreign := challenge(t, otherKey)
	type edit = func(*Credentials, *input, *HA1)
	for _, tt := range []struct {
		name    string
		change  edit
		request func(*Request)
		want    Result
	}{
		{"right, SHA-256", nil, nil, Result{Outcome: OK, User: "pbx", Algorithm: SHA256}},
		{"right, MD5", func(_ *Credentials, in *input, _ *HA1) { in.alg = MD5 }, nil, Result{Outcome: OK, User: "pbx", Algorithm: MD5}},
		{"response in capitals", func(c *Credentials, in *input, h *HA1) {
			c.Response = strings.ToUpper(string(in.appendResponse(nil, h)))
		}, nil, Result{Outcome: OK, User: "pbx", Algorithm: SHA256}},
		{"wrong password", func(_ *Credentials, _ *input, h *HA1) { *h = NewHA1("pbx", realm, "guess") }, nil, wrong(WhyPassword)},
		{"unknown user", func(c *Credentials, _ *input, h *HA1) {
			c.Username = "nobody"
			*h = NewHA1("nobody", realm, "secret")
		}, nil, wrong(WhyPassword)},
		{"unknown user, hash of nothing", func(c *Credentials, _ *input, h *HA1) { c.Username, *h = "nobody", HA1{} }, nil, wrong(WhyPassword)},
		{"user in other case", func(c *Credentials, _ *input, _ *HA1) { c.Username = "PBX" }, nil, wrong(WhyPassword)},
		{"other method", func(_ *Credentials, in *input, _ *HA1) { in.method = "OPTIONS" }, nil, wrong(WhyPassword)},
		{"method of the request changed", nil, func(r *Request) { r.Method = "BYE" }, wrong(WhyPassword)},
		{"other number", func(_ *Credentials, in *input, _ *HA1) { in.uri = "sip:+19005550199@" + realm }, nil, wrong(WhyURI)},
		{"other host", func(_ *Credentials, in *input, _ *HA1) { in.uri = "sip:+12065550100@example.net" }, nil, wrong(WhyURI)},
		{"URI swapped after signing", nil, func(r *Request) { r.URI = uri(t, "sip:+19005550199@"+realm) }, wrong(WhyURI)},
		{"no URI at all", func(_ *Credentials, in *input, _ *HA1) { in.uri = "*" }, nil, wrong(WhyURI)},
		{"other realm", func(c *Credentials, _ *input, h *HA1) {
			c.Realm = "other.example.com"
			*h = NewHA1("pbx", c.Realm, "secret")
		}, nil, Result{}},
		{"realm swapped after signing", func(_ *Credentials, _ *input, h *HA1) { *h = NewHA1("pbx", "other.example.com", "secret") }, nil, wrong(WhyPassword)},
		{"made-up nonce", func(_ *Credentials, in *input, _ *HA1) { in.nonce = "dcd98b7102dd2f0e8b11d0f600bfb0c0" }, nil, stale(WhyNonce)},
		{"nonce of another installation", func(_ *Credentials, in *input, _ *HA1) { in.nonce = foreign }, nil, stale(WhyNonce)},
		{"made-up nonce and wrong password: neither blame nor hint", func(_ *Credentials, in *input, h *HA1) {
			in.nonce, *h = "dcd98b7102dd2f0e8b11d0f600bfb0c0", NewHA1("pbx", realm, "guess")
		}, nil, stale(WhyNonce)},
		{"empty nonce", func(_ *Credentials, in *input, _ *HA1) { in.nonce = "" }, nil, stale(WhyNonce)},
		{"nonce with a tail", func(_ *Credentials, in *input, _ *HA1) { in.nonce += "AAAA" }, nil, stale(WhyNonce)},
		{"nonce seen from another address", nil, func(r *Request) { r.Source = netip.MustParseAddr("198.51.100.7") }, stale(WhyNonce)},
		{"response cut short", func(c *Credentials, in *input, h *HA1) { c.Response = string(in.appendResponse(nil, h))[:26] }, nil, wrong(WhyPassword)},
		{"one hex digit less", func(c *Credentials, in *input, h *HA1) { c.Response = string(in.appendResponse(nil, h))[:63] }, nil, wrong(WhyPassword)},
		{"empty response", func(c *Credentials, _ *input, _ *HA1) { c.Response = " " }, nil, wrong(WhyPassword)},
		{"MD5 response called SHA-256", func(c *Credentials, in *input, h *HA1) {
			in.alg = MD5
			c.Response, c.Algorithm = string(in.appendResponse(nil, h)), "SHA-256"
		}, nil, wrong(WhyPassword)},
		{"MD5 where only SHA-256 is asked for", func(_ *Credentials, in *input, _ *HA1) { in.alg = MD5 },
			func(r *Request) { r.Algorithms = []Algorithm{SHA256} }, wrong(WhyAlgorithm)},
		{"MD5-sess", func(c *Credentials, in *input, _ *HA1) { in.alg, c.Algorithm = MD5, "MD5-sess" }, nil, wrong(WhyAlgorithm)},
		{"qop stripped", func(_ *Credentials, in *input, _ *HA1) { in.qop = "" }, nil, wrong(WhyForm)},
		{"qop auth-int", func(_ *Credentials, in *input, _ *HA1) { in.qop = "auth-int" }, nil, wrong(WhyForm)},
		{"no cnonce", func(_ *Credentials, in *input, _ *HA1) { in.cnonce = "" }, nil, wrong(WhyForm)},
		{"nc zero", func(_ *Credentials, in *input, _ *HA1) { in.nc = "00000000" }, nil, wrong(WhyForm)},
		{"nc short", func(_ *Credentials, in *input, _ *HA1) { in.nc = "1" }, nil, wrong(WhyForm)},
		{"nc no number", func(_ *Credentials, in *input, _ *HA1) { in.nc = "0000000g" }, nil, wrong(WhyForm)},
		{"nc with a sign", func(_ *Credentials, in *input, _ *HA1) { in.nc = "+0000001" }, nil, wrong(WhyForm)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, _ := startServer(t, ServerConfig{})
			r := request(t, "INVITE", credentials(challenge(t, s), tt.change))
			if tt.request != nil {
				tt.request(r)
			}
			if got := s.Check(r, lookup); got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestCheckPicksOurRealm(t *testing.T) {
	s, _ := startServer(t, ServerConfig{})
	other := `Digest username="x", realm="elsewhere", nonce="n", uri="sip:a@b", response="00"`
	right := credentials(challenge(t, s), nil)
	for _, tt := range []struct {
		name   string
		values []string
		want   Outcome
	}{
		{"none", nil, NoCredentials},
		{"other realm only", []string{other}, NoCredentials},
		{"other scheme only", []string{"Bearer abc"}, NoCredentials},
		{"other realm first", []string{other, right}, OK},
		{"malformed", []string{`Digest username="a`}, Wrong},
		{"malformed beside a right one", []string{`Digest username="a`, credentials(challenge(t, s), nil)}, OK},
		{"two for our realm: the first decides", []string{strings.Replace(right, `username="pbx"`, `username="eve"`, 1), right}, Wrong},
	} {
		if got := s.Check(request(t, "INVITE", tt.values...), lookup); got.Outcome != tt.want {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Even who had the hash that stands in for unknown users would not get in as one.
func TestDummyIsNoPassword(t *testing.T) {
	s, _ := startServer(t, ServerConfig{})
	value := credentials(challenge(t, s), func(c *Credentials, _ *input, h *HA1) { c.Username, *h = "nobody", s.dummy })
	if got := s.Check(request(t, "INVITE", value), lookup); got != wrong(WhyPassword) {
		t.Errorf("got %+v", got)
	}
	if s.dummy == (HA1{}) {
		t.Error("the dummy is all zero")
	}
}

func TestReplay(t *testing.T) {
	s, fake := startServer(t, ServerConfig{NonceLife: time.Minute})
	nonce := challenge(t, s)
	send := func(method string, nc uint32) Outcome {
		return s.Check(request(t, method, credentials(nonce, func(_ *Credentials, in *input, _ *HA1) {
			in.method, in.nc = method, fmt.Sprintf("%08x", nc)
		})), lookup).Outcome
	}
	for _, tt := range []struct {
		name, method string
		nc           uint32
		want         Outcome
	}{
		{"first", "INVITE", 1, OK},
		{"same again", "INVITE", 1, Stale},
		{"ACK repeats its INVITE's", "ACK", 1, OK},
		{"CANCEL too", "CANCEL", 1, OK},
		{"same with another method", "BYE", 1, Stale},
		{"next", "INVITE", 2, OK},
		{"gap", "INVITE", 9, OK},
		{"late inside the window", "INVITE", 3, OK},
		{"late again", "INVITE", 3, Stale},
		{"far ahead", "INVITE", 1000, OK},
		{"edge of the window", "INVITE", 1000 - ncWindow + 1, OK},
		{"edge of the window again", "INVITE", 1000 - ncWindow + 1, Stale},
		{"below the window, never seen", "INVITE", 1000 - ncWindow, Stale},
		{"largest", "INVITE", 1<<32 - 1, OK},
		{"largest again", "INVITE", 1<<32 - 1, Stale},
	} {
		if got := send(tt.method, tt.nc); got != tt.want {
			t.Errorf("%s (nc %d): got %v, want %v", tt.name, tt.nc, got, tt.want)
		}
	}
	if st := s.Stats(); st.Replayed != 6 || st.OK != 9 || st.Nonces != 1 {
		t.Errorf("stats %+v", st)
	}
	fake.Advance(time.Minute + time.Millisecond)
	if got := s.Check(request(t, "ACK", credentials(nonce, func(_ *Credentials, in *input, _ *HA1) { in.method = "ACK" })), lookup); got != stale(WhyExpired) {
		t.Errorf("after the nonce's life: got %+v", got)
	}
	// An expired nonce and a wrong password: "stale" would tell a guesser that only time was wrong.
	if got := s.Check(request(t, "INVITE", credentials(nonce, func(_ *Credentials, _ *input, h *HA1) { h.SHA256[0] ^= 1 })), lookup); got != wrong(WhyPassword) {
		t.Errorf("expired and wrong: got %+v", got)
	}
}

// A full table forgets the oldest nonce, never the fact that it may have been used.
func TestReplayTableBound(t *testing.T) {
	const size = 4
	s, fake := startServer(t, ServerConfig{MaxNonces: size})
	var values []string
	for range 3 * size {
		values = append(values, credentials(challenge(t, s), nil))
		fake.Advance(time.Millisecond)
	}
	for i, v := range values {
		if got := s.Check(request(t, "INVITE", v), lookup); got.Outcome != OK {
			t.Fatalf("nonce %d: %+v", i, got)
		}
	}
	for i, v := range values {
		if got := s.Check(request(t, "INVITE", v), lookup); got != stale(WhyReplay) {
			t.Errorf("nonce %d again: %+v", i, got)
		}
	}
	if st := s.Stats(); st.Nonces != size || st.Evicted != 2*size {
		t.Errorf("table %d, evicted %d, want %d and %d", st.Nonces, st.Evicted, size, 2*size)
	}
}

func TestReplayOnceUnderRace(t *testing.T) {
	s, _ := startServer(t, ServerConfig{})
	value := credentials(challenge(t, s), nil)
	var ok, again int
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			got := s.Check(request(t, "INVITE", value), lookup)
			mu.Lock()
			defer mu.Unlock()
			if got.Outcome == OK {
				ok++
			} else {
				again++
			}
		})
	}
	wg.Wait()
	if ok != 1 || again != 15 {
		t.Errorf("%d accepted, %d refused, want 1 and 15", ok, again)
	}
}

func TestNonceAcrossNodes(t *testing.T) {
	a, fakeA := startServer(t, ServerConfig{})
	b, fakeB := startServer(t, ServerConfig{})
	fakeA.Advance(time.Second) // clocks of nodes differ
	if got := b.Check(request(t, "INVITE", credentials(challenge(t, a), nil)), lookup); got.Outcome != OK {
		t.Errorf("on the other node: %+v", got)
	}
	mapped := request(t, "INVITE", credentials(challenge(t, a), nil))
	mapped.Source = netip.MustParseAddr("::ffff:192.0.2.10")
	if got := b.Check(mapped, lookup); got.Outcome != OK {
		t.Errorf("same client on a dual-stack socket: %+v", got)
	}
	fakeB.Advance(-time.Hour)
	if got := b.Check(request(t, "INVITE", credentials(challenge(t, a), nil)), lookup); got != stale(WhyExpired) {
		t.Errorf("issued an hour ahead of us: %+v", got)
	}
}

func TestChallenges(t *testing.T) {
	s, _ := startServer(t, ServerConfig{})
	values, err := s.Challenges(phone, realm, []Algorithm{SHA256, MD5}, true)
	if err != nil || len(values) != 2 {
		t.Fatalf("%q, %v", values, err)
	}
	first, _ := ParseChallenge([]byte(values[0]))
	second, _ := ParseChallenge([]byte(values[1]))
	want := Challenge{Realm: realm, Nonce: first.Nonce, Algorithm: "SHA-256", QOP: "auth", Stale: true}
	if first != want || len(first.Nonce) != nonceTextLen {
		t.Errorf("first %+v, want %+v", first, want)
	}
	if want.Algorithm = "MD5"; second != want {
		t.Errorf("second %+v, want %+v", second, want)
	}
	s.random = iotestErr{}
	if _, err := s.Challenges(phone, realm, both, false); err == nil {
		t.Error("a nonce without randomness")
	}
}

type iotestErr struct{}

func (iotestErr) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestNewServerRefuses(t *testing.T) {
	for name, cfg := range map[string]ServerConfig{
		"short key":     {Key: secret[:31], Rand: randomness(1)},
		"no randomness": {Key: secret},
		"negative life": {Key: secret, Rand: randomness(1), NonceLife: -1},
	} {
		if _, err := NewServer(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestSameTarget(t *testing.T) {
	for _, tt := range []struct {
		digest, request string
		want            bool
	}{
		{"sip:a@h.example", "sip:a@h.example", true},
		{"sip:a@H.Example", "sip:a@h.example.", true},
		{"sip:a@h.example;transport=tls", "sip:a@h.example;user=phone", true},
		{"sip:a@h.example", "sip:a@h.example:5061", true},
		{"sips:a@h.example:5061", "sip:a@h.example", true},
		{"sip:%61@h.example", "sip:a@h.example", true},
		{"sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]", true},
		{"sip:h.example", "sip:h.example", true},
		{"tel:+1-206-555-0100", "tel:+12065550100", true},
		{"sip:A@h.example", "sip:a@h.example", false},
		{"sip:ab@h.example", "sip:a@h.example", false},
		{"sip:a@h.example", "sip:ab@h.example", false},
		{"sip:h.example", "sip:a@h.example", false},
		{"sip:a@h.example:5060", "sip:a@h.example:5061", false},
		{"sip:a@192.0.2.1", "sip:a@192.0.2.2", false},
		{"sip:a@192.0.2.1", "sip:a@h.example", false},
		{"sip:a@h.example.evil.example", "sip:a@h.example", false},
		{"tel:+12065550100", "sip:+12065550100@h.example", false},
		{"tel:+12065550100", "tel:+12065550101", false},
	} {
		if got := SameTarget(uri(t, tt.digest), uri(t, tt.request)); got != tt.want {
			t.Errorf("%s for %s: got %v, want %v", tt.digest, tt.request, got, tt.want)
		}
	}
}

func FuzzCheck(f *testing.F) {
	s, _ := startServer(f, ServerConfig{})
	nonce := challenge(f, s)
	right := credentials(nonce, nil)
	f.Add(right)
	f.Add(strings.Replace(right, "auth", "auth-int", 1))
	f.Add(`Digest username="pbx", realm="` + realm + `"`)
	f.Fuzz(func(t *testing.T, value string) {
		got := s.Check(request(t, "INVITE", value), lookup)
		if got.Outcome != OK {
			return
		}
		// Whatever got in must carry the one response that the password gives.
		c, err := ParseCredentials([]byte(value))
		if err != nil {
			t.Fatalf("%q accepted, yet %v", value, err)
		}
		alg, _ := ParseAlgorithm(c.Algorithm)
		ha1 := NewHA1("pbx", realm, "secret")
		in := input{alg: alg, method: "INVITE", uri: c.URI, nonce: c.Nonce, qop: c.QOP, nc: c.NC, cnonce: c.CNonce}
		if want := string(in.appendResponse(nil, &ha1)); !strings.EqualFold(c.Response, want) {
			t.Fatalf("%q accepted with response %q, want %q", value, c.Response, want)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	s, _ := startServer(b, ServerConfig{})
	nonce := challenge(b, s)
	r := request(b, "INVITE", credentials(nonce, nil))
	r.Method = "ACK" // no nonce count, so that one header can be checked over and over
	r.Credentials[0] = []byte(credentials(nonce, func(_ *Credentials, in *input, _ *HA1) { in.method = "ACK" }))
	ha1 := NewHA1("pbx", realm, "secret")
	find := func(string) (HA1, bool) { return ha1, true }
	b.ReportAllocs()
	for b.Loop() {
		if got := s.Check(r, find); got.Outcome != OK {
			b.Fatal(got)
		}
	}
}
