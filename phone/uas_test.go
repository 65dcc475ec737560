package phone

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
	"carillon/sip/digest"
)

// uas is the other end of a test that needs a peer without manners: one UDP socket and no transactions.
type uas struct {
	t    *testing.T
	conn *net.UDPConn
	from netip.AddrPort // of the last request
}

func newUAS(t *testing.T) *uas {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &uas{t: t, conn: conn}
}

func (u *uas) addr() netip.AddrPort { return u.conn.LocalAddr().(*net.UDPAddr).AddrPort() }

func (u *uas) invite() Invite {
	return Invite{To: "sip:+19995550100@" + u.addr().String(), Target: u.addr()}
}

// next returns the next request with this method, passing over repetitions of others.
func (u *uas) next(method sip.Method) *sip.Message {
	u.t.Helper()
	buf := make([]byte, 65535)
	for {
		_ = u.conn.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, from, err := u.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			u.t.Fatalf("no %s came: %v", method, err)
		}
		m := new(sip.Message)
		if err := m.Parse(bytes.Clone(buf[:n])); err != nil {
			u.t.Fatalf("parse what the phone sent: %v", err)
		}
		if u.from = from; m.IsRequest() && m.Method() == method {
			return m
		}
	}
}

// answer answers a request; body is a session description where it is not nil.
func (u *uas) answer(req *sip.Message, status int, tag string, body []byte, headers ...Header) {
	u.t.Helper()
	b := sip.NewBuilder(nil)
	sip.AppendResponse(b, req, status, "", tag)
	b.Header("Contact", "<sip:uas@"+u.addr().String()+">")
	for _, h := range headers {
		b.Header(h.Name, h.Value)
	}
	contentType := ""
	if body != nil {
		contentType = "application/sdp"
	}
	b.Body(contentType, body)
	if err := b.Err(); err != nil {
		u.t.Fatal(err)
	}
	if _, err := u.conn.WriteToUDPAddrPort(b.Bytes(), u.from); err != nil {
		u.t.Fatal(err)
	}
}

func plainAnswer() []byte {
	t := terms{id: 7, version: 1, addr: netip.MustParseAddrPort("127.0.0.1:9"), codecs: []Codec{PCMU}}
	return t.offer()
}

type dialed struct {
	call *Call
	err  error
}

func dialAside(ctx context.Context, p *Phone, inv Invite) <-chan dialed {
	ch := make(chan dialed, 1)
	go func() {
		c, err := p.Dial(ctx, inv)
		ch <- dialed{c, err}
	}()
	return ch
}

func digestServer(t *testing.T) *digest.Server {
	t.Helper()
	s, err := digest.NewServer(digest.ServerConfig{Key: make([]byte, digest.MinKeyLen), Rand: rand.Reader})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestChallenge(t *testing.T) {
	const realm = "abc.voiceconnector.example"
	algorithms := []digest.Algorithm{digest.MD5, digest.SHA256}
	for _, tt := range []struct {
		name, password string
		status         int
		header, answer string
		want           int // status of the Failure, 0 for a call
	}{
		{"proxy", "secret", 407, "Proxy-Authenticate", "Proxy-Authorization", 0},
		{"server", "secret", 401, "WWW-Authenticate", "Authorization", 0},
		{"wrong password", "guess", 407, "Proxy-Authenticate", "Proxy-Authorization", 407},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, u, p := digestServer(t), newUAS(t), newPhone(t, Config{})
			inv := u.invite()
			inv.User, inv.Password = "alice", tt.password
			ctx := testContext(t)
			done := dialAside(ctx, p, inv)

			first := u.next(sip.Invite)
			values, err := server.Challenges(u.from.Addr(), realm, algorithms, false)
			if err != nil {
				t.Fatal(err)
			}
			var challenge []Header
			for _, v := range values {
				challenge = append(challenge, Header{tt.header, v})
			}
			u.answer(first, tt.status, "c1", nil, challenge...)
			u.next(sip.Ack)
			second := u.next(sip.Invite)
			if string(first.CallID()) != string(second.CallID()) || second.CSeq() != first.CSeq()+1 || second.To().Tag() != nil {
				t.Errorf("the second INVITE does not follow the first:\n%s", second.Bytes())
			}
			check := func(m *sip.Message) digest.Outcome {
				return server.Check(&digest.Request{
					Method: m.Method().String(), URI: m.RequestURI(), Source: u.from.Addr(), Realm: realm, Algorithms: algorithms,
					Credentials: [][]byte{m.Lookup(tt.answer)},
				}, func(user string) (digest.HA1, bool) { return digest.NewHA1("alice", realm, "secret"), user == "alice" }).Outcome
			}
			if tt.want != 0 {
				if o := check(second); o != digest.Wrong {
					t.Errorf("the check gave %v", o)
				}
				u.answer(second, tt.status, "c2", nil, challenge...)
				r := await(t, "the end of Dial", done)
				var f *Failure
				if !errors.As(r.err, &f) || f.Status != tt.want {
					t.Errorf("got %v, want a Failure with %d", r.err, tt.want)
				}
				return
			}
			if o := check(second); o != digest.OK {
				t.Errorf("the check gave %v", o)
			}
			u.answer(second, 200, "c2", plainAnswer())
			ack := u.next(sip.Ack)
			if ack.Lookup(tt.answer) == nil || ack.CSeq() != second.CSeq() {
				t.Error("the ACK does not carry the INVITE's credentials")
			}
			r := await(t, "the call", done)
			if r.err != nil {
				t.Fatal(r.err)
			}
			go func() { _ = r.call.Hangup(ctx) }()
			bye := u.next(sip.Bye)
			if o := check(bye); o != digest.OK {
				t.Errorf("the check of BYE gave %v", o)
			}
			u.answer(bye, 200, "", nil)
			await(t, "the end", r.call.Done())
		})
	}
}

func TestChallengeWithoutUser(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{})
	done := dialAside(testContext(t), p, u.invite())
	u.answer(u.next(sip.Invite), 407, "c1", nil, Header{"Proxy-Authenticate", `Digest realm="x", nonce="y", qop="auth"`})
	var f *Failure
	if r := await(t, "the end of Dial", done); !errors.As(r.err, &f) || f.Status != 407 {
		t.Errorf("got %v, want a Failure with 407", r.err)
	}
}

// TestAnswerCrossesCancel: without a provisional answer the CANCEL has to wait, and the 200 comes first.
func TestAnswerCrossesCancel(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{})
	ctx, cancel := context.WithCancel(testContext(t))
	done := dialAside(ctx, p, u.invite())
	invite := u.next(sip.Invite)
	cancel()
	time.Sleep(20 * time.Millisecond) // Dial sees the end of the context first
	u.answer(invite, 200, "late", plainAnswer())
	u.next(sip.Ack)
	u.answer(u.next(sip.Bye), 200, "", nil)
	if r := await(t, "the end of Dial", done); !errors.Is(r.err, context.Canceled) {
		t.Errorf("Dial gave %v, want context.Canceled", r.err)
	}
}

// TestAnswerAfterAll: nobody waits any more, and the call is still hung up in order.
func TestAnswerAfterAll(t *testing.T) {
	fake := clocktest.New()
	u, p := newUAS(t), newPhone(t, Config{Clock: fake})
	ctx, cancel := context.WithCancel(testContext(t))
	done := dialAside(ctx, p, u.invite())
	invite := u.next(sip.Invite)
	cancel()
	var r dialed
	eventually(t, "Dial gives up", func() bool {
		fake.Advance(cancelWait / 4)
		select {
		case r = <-done:
			return true
		default:
			return false
		}
	})
	if !errors.Is(r.err, context.Canceled) {
		t.Errorf("Dial gave %v, want context.Canceled", r.err)
	}
	u.answer(invite, 200, "late", plainAnswer())
	u.next(sip.Ack)
	u.answer(u.next(sip.Bye), 200, "", nil)
}

// TestStrayAnswer: a 2xx whose transaction is long gone gets ACK and BYE where it came from; other strays get nothing.
func TestStrayAnswer(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{})
	stray := func(status string) {
		t.Helper()
		text := "SIP/2.0 " + status + "\r\nVia: SIP/2.0/UDP " + p.Addr().String() + ";branch=z9hG4bK-gone\r\n" +
			"From: <sip:us@127.0.0.1>;tag=us\r\nTo: <sip:them@127.0.0.1>;tag=them\r\nCall-ID: gone\r\nCSeq: 7 INVITE\r\n" +
			"Contact: <sip:them@" + u.addr().String() + ">\r\nContent-Length: 0\r\n\r\n"
		if _, err := u.conn.WriteToUDPAddrPort([]byte(text), p.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	stray("486 Busy Here")
	stray("200 OK")
	if ack := u.next(sip.Ack); ack.CSeq() != 7 || string(ack.To().Tag()) != "them" {
		t.Errorf("ACK is\n%s", ack.Bytes())
	}
	u.answer(u.next(sip.Bye), 200, "", nil)
	if n := p.layer.Stats().Strays.Load(); n != 2 {
		t.Errorf("%d strays", n)
	}
}

// TestRepeatedAnswer: a lost ACK is sent again, and a second branch of a fork is hung up.
func TestRepeatedAnswer(t *testing.T) {
	u, p := newUAS(t), newPhone(t, Config{})
	done := dialAside(testContext(t), p, u.invite())
	invite := u.next(sip.Invite)
	u.answer(invite, 200, "one", plainAnswer())
	first := string(u.next(sip.Ack).Bytes())
	if r := await(t, "the call", done); r.err != nil {
		t.Fatal(r.err)
	}
	u.answer(invite, 200, "one", plainAnswer())
	if again := string(u.next(sip.Ack).Bytes()); again != first {
		t.Errorf("the ACK changed:\n%s\n%s", first, again)
	}
	u.answer(invite, 200, "two", plainAnswer())
	if ack := u.next(sip.Ack); string(ack.To().Tag()) != "two" {
		t.Errorf("ACK to %q", ack.To().Tag())
	}
	if bye := u.next(sip.Bye); string(bye.To().Tag()) != "two" {
		t.Errorf("BYE to %q", bye.To().Tag())
	}
}

// TestBadAnswers: the phone ends calls whose answer it cannot accept, and says why.
func TestBadAnswers(t *testing.T) {
	secure := func(edit func(string) string) []byte {
		keys, err := newKeys(rand.Reader, DefaultSuites()[:1])
		if err != nil {
			t.Fatal(err)
		}
		own := terms{id: 7, version: 1, addr: netip.MustParseAddrPort("127.0.0.1:9"), codecs: []Codec{PCMU}, keys: keys}
		return []byte(edit(string(own.offer())))
	}
	for _, tt := range []struct {
		name string
		body []byte
		want error
	}{
		{"plain", plainAnswer(), errPlain},
		{"plain with a key", secure(func(s string) string { return strings.Replace(s, "RTP/SAVP", "RTP/AVP", 1) }), errPlain},
		{"no key", secure(func(s string) string { return strings.Replace(s, "a=crypto", "a=cypto", 1) }), errSuite},
		{"a tag never offered", secure(func(s string) string { return strings.Replace(s, "crypto:1", "crypto:9", 1) }), errSuite},
		{"another suite under our tag", secure(func(s string) string { return strings.Replace(s, "crypto:1", "crypto:2", 1) }), errSuite},
		{"unencrypted", secure(func(s string) string { return strings.Replace(s, "\r\na=ptime", " UNENCRYPTED_SRTP\r\na=ptime", 1) }), errSuite},
		{"no description", nil, errDescription},
		{"rejected audio", secure(func(s string) string { return strings.Replace(s, "m=audio 9", "m=audio 0", 1) }), errNoAudio},
		{"another codec", secure(func(s string) string {
			return strings.NewReplacer("SAVP 0", "SAVP 9", "a=rtpmap:0 PCMU/8000\r\n", "").Replace(s)
		}), errNoAudio},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, p := newUAS(t), newPhone(t, Config{})
			inv := u.invite()
			inv.Suites = DefaultSuites()
			done := dialAside(testContext(t), p, inv)
			u.answer(u.next(sip.Invite), 200, "x", tt.body)
			u.next(sip.Ack)
			u.answer(u.next(sip.Bye), 200, "", nil)
			var f *Failure
			if r := await(t, "the end of Dial", done); !errors.As(r.err, &f) || f.Local != tt.want.Error() {
				t.Errorf("got %v, want %v", r.err, tt.want)
			}
		})
	}
}
