package transport

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func tlsTarget(addr netip.AddrPort, c ClientTLS) Target {
	return Target{Proto: TLS, Addr: addr, TLS: &c}
}

// TestDialTLSChecksThePeer holds the policies against peers that do and do not satisfy them.
func TestDialTLSChecksThePeer(t *testing.T) {
	good, evil := newAuthority(), newAuthority()
	named, literal := good.issue("carrier-a.test"), good.issue("127.0.0.1")
	forged := evil.issue("carrier-a.test")
	pin := func(c *tls.Certificate) []SPKIHash { return []SPKIHash{{}, HashSPKI(c.Leaf)} }
	for _, tt := range []struct {
		name  string
		cert  *tls.Certificate
		c     ClientTLS
		check PeerCheck
		fails func(error) bool
	}{
		{"right name", named, ClientTLS{ServerName: "carrier-a.test", Roots: good.pool}, PeerVerified, nil},
		{"name in another case, with a dot", named, ClientTLS{ServerName: "Carrier-A.test.", Roots: good.pool}, PeerVerified, nil},
		{"wrong name", named, ClientTLS{ServerName: "carrier-b.test", Roots: good.pool}, 0, isVerification},
		{"wrong root", forged, ClientTLS{ServerName: "carrier-a.test", Roots: good.pool}, 0, isVerification},
		{"system's roots", named, ClientTLS{ServerName: "carrier-a.test"}, 0, isVerification},
		{"IP literal", literal, ClientTLS{ServerName: "127.0.0.1", Roots: good.pool}, PeerVerified, nil},
		{"IP literal, certificate for a name", named, ClientTLS{ServerName: "127.0.0.1", Roots: good.pool}, 0, isVerification},
		{"pinned", forged, ClientTLS{ServerName: "carrier-a.test", Roots: good.pool, Pins: pin(forged)}, PeerPinned, nil},
		{"pinned without a name", forged, ClientTLS{Pins: pin(forged)}, PeerPinned, nil},
		{"other key than pinned", named, ClientTLS{ServerName: "carrier-a.test", Roots: good.pool, Pins: pin(forged)}, 0,
			func(err error) bool { return errors.Is(err, ErrPinMismatch) }},
		{"pin outranks opting out", named, ClientTLS{Pins: pin(forged), SkipVerify: true}, 0,
			func(err error) bool { return errors.Is(err, ErrPinMismatch) }},
		{"opted out", forged, ClientTLS{ServerName: "carrier-b.test", SkipVerify: true}, PeerNotVerified, nil},
		{"nobody named", named, ClientTLS{Roots: good.pool}, 0, func(err error) bool { return errors.Is(err, ErrNoServerName) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, _, _ := start(t, Limits{})
			addr := listenTLS(t, server, ServerTLS{}, tt.cert)
			client, _, _ := start(t, Limits{})
			f, err := dial(t, client, tlsTarget(addr, tt.c))
			if tt.fails != nil {
				if err == nil || !tt.fails(err) {
					t.Errorf("dial: %v", err)
				}
				if n := client.stats.DialErrors.Load(); n != 1 {
					t.Errorf("counted %d dial errors, want 1", n)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := f.TLS().Check; got != tt.check {
				t.Errorf("peer %v, want %v", got, tt.check)
			}
		})
	}
}

func isVerification(err error) bool {
	var v *tls.CertificateVerificationError
	return errors.As(err, &v)
}

func TestTLSInfo(t *testing.T) {
	a := newAuthority()
	for _, tt := range []struct {
		max  uint16
		name string
	}{{tls.VersionTLS12, "TLS 1.2"}, {tls.VersionTLS13, "TLS 1.3"}} {
		tr, r, _ := start(t, Limits{})
		addr := listenTLS(t, tr, ServerTLS{}, a.issue("other.test"), a.issue("sbc.test"))
		c := must(tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: a.pool, ServerName: "sbc.test", MaxVersion: tt.max}))
		c.Write(options("TLS 192.0.2.9;rport", ""))
		g := r.next("message")
		state := c.ConnectionState()
		info := g.flow.TLS()
		if info.VersionName() != tt.name || info.Version != tt.max || info.ServerName != "sbc.test" ||
			info.Cipher != tls.CipherSuiteName(state.CipherSuite) || info.Check != PeerNotVerified || info.Names != nil {
			t.Errorf("got %+v", info)
		}
		wantRead(t, c, "SIP/2.0 200")
		c.Close()
		if g := r.next("closed"); g.err != nil {
			t.Errorf("closed with %v, want nil", g.err)
		}
	}
}

func TestTLSServerRefusesOldVersions(t *testing.T) {
	a := newAuthority()
	tr, _, _ := start(t, Limits{})
	addr := listenTLS(t, tr, ServerTLS{}, a.issue("sbc.test"))
	_, err := tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: a.pool, ServerName: "sbc.test", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11})
	if err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	eventually(t, "counted", func() bool { return tr.stats.HandshakeFail.Load() == 1 })
}

// A client certificate counts only when it leads to our roots; another one is no reason to refuse.
func TestTLSClientCertificates(t *testing.T) {
	a, stranger := newAuthority(), newAuthority()
	for _, tt := range []struct {
		name  string
		cert  *tls.Certificate
		check PeerCheck
		names []string
	}{
		{"none", nil, PeerNotVerified, nil},
		{"ours", a.issue("phone.test", "192.0.2.5"), PeerVerified, []string{"phone.test", "192.0.2.5"}},
		{"a maker's", stranger.issue("phone.test"), PeerNotVerified, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			server, r, _ := start(t, Limits{})
			addr := listenTLS(t, server, ServerTLS{ClientRoots: func() *x509.CertPool { return a.pool }}, a.issue("sbc.test"))
			client, _, _ := start(t, Limits{})
			f, err := dial(t, client, tlsTarget(addr, ClientTLS{ServerName: "sbc.test", Roots: a.pool, Certificate: tt.cert}))
			if err != nil {
				t.Fatal(err)
			}
			f.Send(options("TLS 192.0.2.9;rport", ""))
			info := r.next("message").flow.TLS()
			if info.Check != tt.check || !slices.Equal(info.Names, tt.names) {
				t.Errorf("got %v %v, want %v %v", info.Check, info.Names, tt.check, tt.names)
			}
		})
	}
}

// A session must not be resumed: it would carry the proof of another handshake.
func TestTLSSessionsAreNotResumed(t *testing.T) {
	a := newAuthority()
	tr, r, _ := start(t, Limits{})
	addr := listenTLS(t, tr, ServerTLS{}, a.issue("sbc.test"))
	conf := &tls.Config{RootCAs: a.pool, ServerName: "sbc.test", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for range 2 {
		c := must(tls.Dial("tcp", addr.String(), conf))
		c.Write(options("TLS 192.0.2.9;rport", ""))
		wantRead(t, c, "SIP/2.0 200") // and with it any ticket
		r.next("message")
		if c.ConnectionState().DidResume {
			t.Error("session was resumed")
		}
		c.Close()
		r.next("closed")
	}
}

// A half-open handshake is gone after its time, however it dribbles.
func TestTLSHandshakeTime(t *testing.T) {
	a := newAuthority()
	tr, _, clock := start(t, Limits{})
	addr := listenTLS(t, tr, ServerTLS{}, a.issue("sbc.test"))
	c := connect(t, addr)
	c.Write([]byte("\x16\x03\x01\x02\x00\x01"))
	eventually(t, "watched", func() bool { return clock.Pending() == 1 })
	clock.Advance(DefaultHandshake - time.Millisecond)
	c.Write([]byte("\x00"))
	if n := tr.stats.LateHandshake.Load(); n != 0 {
		t.Fatal("closed before its time")
	}
	clock.Advance(time.Millisecond)
	wantClosed(t, c)
	if n := tr.stats.LateHandshake.Load(); n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
	if n := tr.stats.Accepted.Load(); n != 0 {
		t.Errorf("counted %d accepted, want 0", n)
	}
}

// Two carriers behind one address: what was verified for the one must not carry the other's.
func TestConnectionsAreNotSharedBetweenIdentities(t *testing.T) {
	a := newAuthority()
	server, r, _ := start(t, Limits{})
	certA := a.issue("carrier-a.test")
	addr := listenTLS(t, server, ServerTLS{}, certA)
	client, _, _ := start(t, Limits{})
	toA := tlsTarget(addr, ClientTLS{ServerName: "carrier-a.test", Roots: a.pool})
	f, err := dial(t, client, toA)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := dial(t, client, toA); err != nil || again != f {
		t.Errorf("same identity: %v, shared %v, want the same connection", err, again == f)
	}
	if _, err := dial(t, client, tlsTarget(addr, ClientTLS{ServerName: "carrier-b.test", Roots: a.pool})); !isVerification(err) {
		t.Errorf("carrier-b reached over carrier-a's connection or otherwise: %v", err)
	}
	other := []ClientTLS{
		{ServerName: "carrier-a.test", SkipVerify: true},
		{ServerName: "carrier-b.test", SkipVerify: true},
		{ServerName: "carrier-a.test", Roots: a.pool, Pins: []SPKIHash{HashSPKI(certA.Leaf)}},
		{ServerName: "carrier-a.test", Roots: a.pool.Clone()},
		{ServerName: "carrier-a.test", Roots: a.pool, Certificate: a.issue("us.test")},
		{ServerName: "carrier-a.test", Roots: a.pool, Certificate: a.issue("us.test")},
	}
	seen := map[Flow]bool{f: true}
	for i, c := range other {
		g, err := dial(t, client, tlsTarget(addr, c))
		if err != nil {
			t.Fatalf("policy %d: %v", i, err)
		}
		if seen[g] {
			t.Errorf("policy %d shares a connection", i)
		}
		seen[g] = true
	}
	if got := client.stats.Dialed.Load(); got != uint64(len(seen)) {
		t.Errorf("made %d connections, want %d", got, len(seen))
	}
	_ = r
}

// Plain TCP never shares with TLS, and a connection that a peer made is none for new requests.
func TestAcceptedConnectionsAreNotReused(t *testing.T) {
	one, r1, _ := start(t, Limits{})
	two, r2, _ := start(t, Limits{})
	addr1, addr2 := listenTCP(t, one), listenTCP(t, two)
	f, err := dial(t, one, Target{Proto: TCP, Addr: addr2})
	if err != nil {
		t.Fatal(err)
	}
	f.Send(options("TCP 192.0.2.9;rport", ""))
	accepted := r2.next("message").flow
	r1.next("message") // the 200
	back, err := dial(t, two, Target{Proto: TCP, Addr: accepted.Remote()})
	if err == nil {
		t.Errorf("reached the peer's own end of its connection: %v", back.Remote())
	}
	back, err = dial(t, two, Target{Proto: TCP, Addr: addr1})
	if err != nil || back == accepted {
		t.Errorf("dial: %v, reused %v", err, back == accepted)
	}
	if err := accepted.Send(options("TCP 192.0.2.9;rport", "")); err != nil {
		t.Errorf("the holder of the flow cannot use it: %v", err)
	}
	r1.next("message")
}

func TestDialOnceForMany(t *testing.T) {
	server, _, _ := start(t, Limits{})
	addr := listenTCP(t, server)
	client, r, _ := start(t, Limits{})
	var all sync.WaitGroup
	flows := make([]Flow, 50)
	for i := range flows {
		all.Go(func() { flows[i], _ = dial(t, client, Target{Proto: TCP, Addr: addr}) })
	}
	all.Wait()
	for _, f := range flows {
		if f != flows[0] || f.IsZero() {
			t.Fatal("connections differ")
		}
	}
	flows[0].Close()
	r.next("closed")
	again, err := dial(t, client, Target{Proto: TCP, Addr: addr})
	if err != nil || again == flows[0] {
		t.Errorf("after Close: %v, same flow %v", err, again == flows[0])
	}
}

// A connection on which nothing comes back is given to nobody any more; who has it may go on with it, and it makes way for
// the next in the pool and not that one.
func TestRetire(t *testing.T) {
	server, far, _ := start(t, Limits{})
	addr := listenTCP(t, server)
	client, r, _ := start(t, Limits{})
	to := Target{Proto: TCP, Addr: addr}
	first := must(dial(t, client, to))
	first.Retire()
	second := must(dial(t, client, to))
	if second == first {
		t.Fatal("the retired connection was given out")
	}
	first.Retire()
	if again := must(dial(t, client, to)); again != second {
		t.Error("retiring the first once more took the second out of the pool")
	}
	if err := first.Send(options("TCP 192.0.2.9;rport", "")); err != nil {
		t.Errorf("its holder cannot use it: %v", err)
	}
	accepted := far.next("message").flow
	r.next("message") // the 200
	first.Close()
	r.next("closed")
	if again := must(dial(t, client, to)); again != second {
		t.Error("its end took the second out of the pool")
	}
	accepted.Retire() // no connection of ours
	Flow{}.Retire()
	if got := client.stats.Retired.Load() + server.stats.Retired.Load(); got != 1 {
		t.Errorf("counted %d, want 1", got)
	}
}

func TestDialLimits(t *testing.T) {
	server, _, _ := start(t, Limits{})
	client, r, clock := start(t, Limits{Dialed: 1})
	silent := must(net.Listen("tcp", "127.0.0.1:0")) // accepts, and says nothing
	defer silent.Close()
	target := tlsTarget(silent.Addr().(*net.TCPAddr).AddrPort(), ClientTLS{ServerName: "x.test"})

	failed := make(chan error, 1)
	go func() {
		_, err := client.Dial(context.Background(), target)
		failed <- err
	}()
	eventually(t, "the attempt", func() bool { return client.stats.DialedNow.Load() == 1 && clock.Pending() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := client.Dial(ctx, target); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("caller that gives up: %v", err)
	}
	if _, err := dial(t, client, Target{Proto: TCP, Addr: listenTCP(t, server)}); !errors.Is(err, ErrTooManyConnections) {
		t.Errorf("over the limit: %v, want ErrTooManyConnections", err)
	}
	clock.Advance(DefaultDial)
	if err := <-failed; !errors.Is(err, errDialTimeout) {
		t.Errorf("silent peer: %v, want %v", err, errDialTimeout)
	}
	eventually(t, "room", func() bool { return client.stats.DialedNow.Load() == 0 })
	f, err := dial(t, client, Target{Proto: TCP, Addr: listenTCP(t, server)})
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(DefaultIdle)
	if g := r.next("closed"); g.flow != f || g.err != errIdle {
		t.Errorf("closed %v", g.err)
	}
	for _, bad := range []Target{{}, {Proto: TCP}, {Proto: 9, Addr: f.Remote()}, {Proto: TLS, Addr: f.Remote()}} {
		if _, err := dial(t, client, bad); err == nil {
			t.Errorf("dialed %+v", bad)
		}
	}
}

// A peer that takes a connection and says nothing holds up its own caller and nobody else: not other connections, not
// what comes over UDP, not what asks for a connection that is there.
func TestHangingDialHoldsNobodyUp(t *testing.T) {
	server, _, _ := start(t, Limits{})
	addr := listenTCP(t, server)
	client, r, clock := start(t, Limits{})
	silent := must(net.Listen("tcp", "127.0.0.1:0"))
	defer silent.Close()
	hanging := make(chan error, 1)
	go func() {
		_, err := client.Dial(context.Background(), tlsTarget(silent.Addr().(*net.TCPAddr).AddrPort(), ClientTLS{ServerName: "x.test"}))
		hanging <- err
	}()
	eventually(t, "the attempt", func() bool { return client.stats.DialedNow.Load() == 1 && clock.Pending() == 1 })
	first, err := dial(t, client, Target{Proto: TCP, Addr: addr})
	if err != nil {
		t.Fatalf("another connection: %v", err)
	}
	if again, err := dial(t, client, Target{Proto: TCP, Addr: addr}); err != nil || again != first {
		t.Errorf("the same connection: %v, same flow %v", err, again == first)
	}
	if _, ok := client.Reuse(&ClientTLS{ServerName: "y.test"}, 0); ok {
		t.Error("a connection that nobody opened is there")
	}
	c := peer(t, must(client.ListenUDP(loopback)))
	c.Write(options("UDP 192.0.2.9;rport", ""))
	r.next("message")
	wantRead(t, c, "SIP/2.0 200")
	select {
	case err := <-hanging:
		t.Fatalf("the attempt ended with %v before the others were through", err)
	default:
	}
	client.Close()
	if err := <-hanging; err == nil {
		t.Error("an attempt outlived its transport")
	}
}

// An attempt that its last caller has left ends at once and makes room; while one caller waits it goes on.
func TestAbandonedDialEnds(t *testing.T) {
	client, _, _ := start(t, Limits{Dialed: 1})
	silent := must(net.Listen("tcp", "127.0.0.1:0"))
	defer silent.Close()
	target := tlsTarget(silent.Addr().(*net.TCPAddr).AddrPort(), ClientTLS{ServerName: "x.test"})
	ctx, leave := context.WithCancel(context.Background())
	stay, leaveToo := context.WithCancel(context.Background())
	results := make(chan error, 2)
	for _, ctx := range []context.Context{ctx, stay} {
		go func() {
			_, err := client.Dial(ctx, target)
			results <- err
		}()
	}
	peer := must(silent.Accept())
	defer peer.Close()
	eventually(t, "both callers", func() bool {
		client.mu.Lock()
		defer client.mu.Unlock()
		for _, p := range client.pool {
			return p.waiting == 2
		}
		return false
	})
	leave()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("caller that left: %v", err)
	}
	if got := client.stats.DialedNow.Load(); got != 1 {
		t.Errorf("%d attempts while a caller waits, want 1", got)
	}
	leaveToo()
	if err := <-results; !errors.Is(err, context.Canceled) {
		t.Errorf("last caller: %v", err)
	}
	peer.SetDeadline(time.Now().Add(patience))
	wantClosed(t, peer)
	eventually(t, "room", func() bool { return client.stats.DialedNow.Load() == 0 })
}

func TestServerTLSNeedsCertificates(t *testing.T) {
	tr, _, _ := start(t, Limits{})
	if _, err := tr.ListenTLS(loopback, ServerTLS{ClientRoots: x509.NewCertPool}); err == nil {
		t.Error("listened for TLS without certificates")
	}
}

// Whose handshake failed is in the log, so that a phone that does not take the certificate can be found; and no scanner
// fills the log with its own.
func TestFailedHandshakesAreLogged(t *testing.T) {
	a := newAuthority()
	tr, _, clock := start(t, Limits{})
	var log bytes.Buffer // read once all handshakes are over
	tr.log = slog.New(slog.NewTextHandler(&log, nil))
	addr := listenTLS(t, tr, ServerTLS{}, a.issue("sbc.test"))
	failed := uint64(0)
	var sources []string
	fail := func() {
		t.Helper()
		c := must(net.Dial("tcp", addr.String()))
		defer c.Close()
		sources = append(sources, c.LocalAddr().String())
		if err := tls.Client(c, &tls.Config{RootCAs: a.pool, ServerName: "other.test"}).Handshake(); !isVerification(err) {
			t.Fatalf("handshake: %v", err)
		}
		failed++
		eventually(t, "counted", func() bool { return tr.stats.HandshakeFail.Load() == failed && tr.stats.AcceptedNow.Load() == 0 })
	}
	const over = 3
	for range MaxHandshakeLines + over {
		fail()
	}
	clock.Advance(time.Minute)
	fail()
	tr.Close()
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != MaxHandshakeLines+1 {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), MaxHandshakeLines+1, log.String())
	}
	for i, want := range map[int]string{0: "remote=" + sources[0], MaxHandshakeLines: "remote=" + sources[len(sources)-1]} {
		if !strings.Contains(lines[i], "level=INFO") || !strings.Contains(lines[i], want) || !strings.Contains(lines[i], "bad certificate") {
			t.Errorf("got %q, want the source %s and that the certificate was not taken", lines[i], want)
		}
	}
	if want := "not_logged=3"; !strings.HasSuffix(lines[MaxHandshakeLines], want) {
		t.Errorf("got %q, want %s", lines[MaxHandshakeLines], want)
	}
}
