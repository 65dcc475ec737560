package transport

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"carillon/clock/clocktest"
)

// startBehind makes a Transport whose load balancers are those of a prefix.
func startBehind(t *testing.T, balancers string, limits Limits) (*Transport, *recorder, *clocktest.Fake) {
	t.Helper()
	tr, r, c := start(t, limits)
	tr.proxies = []netip.Prefix{netip.MustParsePrefix(balancers)}
	return tr, r, c
}

// proxied is the header of version 2 for a client.
func proxied(client string) []byte {
	a := netip.MustParseAddrPort(client)
	family, to := byte(0x11), netip.MustParseAddr("198.51.100.1")
	if a.Addr().Is6() {
		family, to = 0x21, netip.MustParseAddr("2001:db8::1")
	}
	ip, dst := a.Addr().AsSlice(), to.AsSlice()
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21"), family)
	b = binary.BigEndian.AppendUint16(b, uint16(2*len(ip)+4))
	b = append(append(b, ip...), dst...)
	return binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, a.Port()), 5061)
}

// The source a listed balancer names is the flow's, over TCP and over TLS, whatever the family.
func TestProxiedSource(t *testing.T) {
	tr, r, _ := startBehind(t, "127.0.0.0/8", Limits{})
	ca := newAuthority()
	addr := map[Proto]netip.AddrPort{TCP: listenTCP(t, tr), TLS: listenTLS(t, tr, ServerTLS{}, ca.issue("sbc.test"))}
	for _, tt := range []struct {
		proto  Proto
		header string
		source string // empty: the balancer's own
	}{
		{TCP, string(proxied("192.0.2.7:40000")), "192.0.2.7:40000"},
		{TLS, string(proxied("192.0.2.7:40001")), "192.0.2.7:40001"},
		{TLS, string(proxied("[2001:db8::7]:40000")), "[2001:db8::7]:40000"},
		{TCP, "PROXY TCP4 192.0.2.8 198.51.100.1 40000 5060\r\n", "192.0.2.8:40000"},
		{TCP, "PROXY UNKNOWN\r\n", ""},
	} {
		c := connect(t, addr[tt.proto])
		c.Write([]byte(tt.header))
		var over io.ReadWriter = c
		if tt.proto == TLS {
			over = tls.Client(c, &tls.Config{RootCAs: ca.pool, ServerName: "sbc.test"})
		}
		over.Write(options(tt.proto.String()+" 192.0.2.9;rport", ""))
		g := r.next("message")
		want := c.LocalAddr().String()
		if tt.source != "" {
			want = tt.source
		}
		if got := g.flow.Remote().String(); got != want {
			t.Errorf("%v after %q: the request came from %s, want %s", tt.proto, tt.header, got, want)
		}
		if got := g.m.Received().String(); got != want {
			t.Errorf("%v after %q: received %s, want %s", tt.proto, tt.header, got, want)
		}
		wantRead(t, over, "SIP/2.0 200")
	}
	if got := tr.stats.Proxied.Load(); got != 4 {
		t.Errorf("counted %d connections with a source, want 4", got)
	}
}

// The limit for one address counts clients, not the balancer, and gives room back.
func TestProxiedSourcesAreCounted(t *testing.T) {
	tr, r, _ := startBehind(t, "127.0.0.0/8", Limits{AcceptedPerIP: 1})
	addr := listenTCP(t, tr)
	open := func(client string) net.Conn {
		c := connect(t, addr)
		c.Write(append(proxied(client), options("TCP 192.0.2.9;rport", "")...))
		return c
	}
	first := open("192.0.2.7:40000")
	r.next("message")
	open("192.0.2.8:40000")
	r.next("message")
	wantClosed(t, open("192.0.2.7:40001"))
	eventually(t, "the third to be counted out", func() bool { return tr.stats.AcceptedNow.Load() == 2 })
	if got := tr.stats.OverPerIP.Load(); got != 1 {
		t.Errorf("%d connections were over the limit of one address, want 1", got)
	}
	first.Close()
	r.next("closed")
	eventually(t, "room", func() bool { return tr.stats.AcceptedNow.Load() == 1 })
	open("192.0.2.7:40002")
	r.next("message")
}

// A balancer that says nothing good is disconnected, and so is one that nobody has listed: neither is guessed at.
func TestProxyHeadersThatAreRefused(t *testing.T) {
	request := string(options("TCP 192.0.2.9;rport", ""))
	for _, tt := range []struct {
		name, balancers, say string
		proto                Proto
		count                func(*Stats) uint64
	}{
		{"no header", "127.0.0.0/8", request, TCP, func(s *Stats) uint64 { return s.BadProxy.Load() }},
		{"no header before TLS", "127.0.0.0/8", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00", TLS, func(s *Stats) uint64 { return s.BadProxy.Load() }},
		{"malformed", "127.0.0.0/8", "PROXY TCP4 a b 1 1\r\n" + request, TCP, func(s *Stats) uint64 { return s.BadProxy.Load() }},
		{"v2, not listed", "192.0.2.0/24", string(proxied("192.0.2.7:40000")) + request, TCP, func(s *Stats) uint64 { return s.StrangeProxy.Load() }},
		{"v1, not listed", "192.0.2.0/24", "PROXY TCP4 192.0.2.8 198.51.100.1 40000 5060\r\n" + request, TCP, func(s *Stats) uint64 { return s.StrangeProxy.Load() }},
		{"before TLS, not listed", "192.0.2.0/24", string(proxied("192.0.2.7:40000")), TLS, func(s *Stats) uint64 { return s.StrangeProxy.Load() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, _, _ := startBehind(t, tt.balancers, Limits{})
			addr := netip.AddrPort{}
			if tt.proto == TLS {
				addr = listenTLS(t, tr, ServerTLS{}, newAuthority().issue("sbc.test"))
			} else {
				addr = listenTCP(t, tr)
			}
			c := connect(t, addr)
			io.WriteString(c, tt.say)
			wantClosed(t, c)
			if got := tt.count(&tr.stats); got != 1 {
				t.Errorf("counted %d, want 1", got)
			}
			if got := tr.stats.Received.Load(); got != 0 {
				t.Errorf("%d messages were taken, want none", got)
			}
			eventually(t, "the connection to be counted out", func() bool { return tr.stats.AcceptedNow.Load() == 0 })
		})
	}
}

// A balancer that stops in the middle of its header holds its connection for the time of a handshake and no longer.
func TestProxyHeaderTime(t *testing.T) {
	tr, _, clock := startBehind(t, "127.0.0.0/8", Limits{})
	c := connect(t, listenTCP(t, tr))
	c.Write(proxied("192.0.2.7:40000")[:20])
	wantPhase(t, tr, phaseProxy)
	clock.Advance(DefaultHandshake)
	wantClosed(t, c)
	eventually(t, "the connection to be counted out", func() bool { return tr.stats.AcceptedNow.Load() == 0 })
	if late, bad := tr.stats.LateProxy.Load(), tr.stats.BadProxy.Load(); late != 1 || bad != 0 {
		t.Errorf("counted %d late and %d bad, want 1 and 0", late, bad)
	}
	// And after a header in time the phases go on as for everybody.
	c = connect(t, tr.onlyListener())
	c.Write(proxied("192.0.2.7:40000"))
	wantPhase(t, tr, phaseFirst)
	clock.Advance(DefaultFirstMessage - time.Millisecond)
	if got := tr.stats.LateFirst.Load(); got != 0 {
		t.Fatal("closed before its time")
	}
	clock.Advance(time.Millisecond)
	wantClosed(t, c)
}

// onlyListener is the address of a transport's one listener.
func (t *Transport) onlyListener() netip.AddrPort {
	t.mu.Lock()
	defer t.mu.Unlock()
	for c := range t.closers {
		if l, ok := c.(*listener); ok {
			return addrOf(l.ln.Addr())
		}
	}
	return netip.AddrPort{}
}
