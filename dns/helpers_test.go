package dns

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sort"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"carillon/clock/clocktest"
)

const (
	domain    = "voice.example.com"
	plainHost = "aaaaaaaaaaaaaaaaaaaaaa.voiceconnector." + domain
	safeHost  = "bbbbbbbbbbbbbbbbbbbbbb.voiceconnector." + domain
	idleHost  = "cccccccccccccccccccccc.voiceconnector." + domain
	wideHost  = "dddddddddddddddddddddd.eu-west-1.vc." + domain
)

// fakeZone is a snapshot of four connectors.
type fakeZone map[string]HostInfo

func (z fakeZone) Host(name string) (HostInfo, bool) {
	h, ok := z[name]
	return h, ok
}

func (z fakeZone) Below(name string) bool {
	for host := range z {
		if strings.HasSuffix(host, "."+name) {
			return true
		}
	}
	return false
}

func addrs(texts ...string) (out []netip.Addr) {
	for _, s := range texts {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func newZone() fakeZone {
	ports := Ports{UDP: 5060, TCP: 5060, TLS: 5061}
	var wide []netip.Addr
	for i := range 12 {
		wide = append(wide, netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + i)}))
		wide = append(wide, netip.MustParseAddr(fmt.Sprintf("2001:db8::%x", 0x100+i)))
	}
	return fakeZone{
		plainHost: {Addrs: addrs("192.0.2.1", "2001:db8::1"), Ports: ports},
		safeHost:  {Addrs: addrs("192.0.2.2"), Ports: ports, RequireEncryption: true, TTL: 30e9},
		idleHost:  {Ports: Ports{TLS: 5061}},
		wideHost:  {Addrs: wide, Ports: ports},
	}
}

func startServer(t testing.TB, change func(*Config)) (*Server, *clocktest.Fake) {
	t.Helper()
	fake := clocktest.New()
	cfg := Config{
		Zone: newZone(), Domains: []string{domain, "Old.example.NET."}, Clock: fake, Rate: -1,
		NameServers: []NameServer{{Name: "ns1." + domain, Addrs: addrs("192.0.2.53")}, {Name: "ns2.elsewhere.example"}},
		Serial:      func() uint32 { return 77 },
	}
	if change != nil {
		change(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s, fake
}

var client = netip.MustParseAddr("198.51.100.9")

func question(name, qtype string) *dns.Msg {
	m := new(dns.Msg)
	m.SetQuestion(dns.Fqdn(name), dns.StringToType[qtype])
	m.RecursionDesired = false
	return m
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// ask gives the parsed answer, nil where none was given, and the sizes of both messages.
func ask(t testing.TB, s *Server, m *dns.Msg, stream bool) (resp *dns.Msg, in, out int) {
	t.Helper()
	packet := pack(t, m)
	answer := s.Answer(nil, packet, client, stream)
	if answer == nil {
		return nil, len(packet), 0
	}
	resp = new(dns.Msg)
	if err := resp.Unpack(answer); err != nil {
		t.Fatalf("unreadable answer: %v", err)
	}
	return resp, len(packet), len(answer)
}

// records writes a section as sorted lines without the owner's domain noise.
func records(rrs []dns.RR) string {
	var out []string
	for _, rr := range rrs {
		if rr.Header().Rrtype != dns.TypeOPT {
			out = append(out, strings.Join(strings.Fields(rr.String()), " "))
		}
	}
	sort.Strings(out)
	return strings.Join(out, "\n")
}

// listenBoth opens UDP and TCP on one free port; another process may hold the TCP half, then the next is tried.
func listenBoth(t testing.TB) (*net.UDPConn, net.Listener) {
	t.Helper()
	for range 50 {
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		if tcp, err := net.Listen("tcp4", udp.LocalAddr().String()); err == nil {
			return udp, tcp
		}
		udp.Close()
	}
	t.Fatal("no port free for UDP and TCP")
	return nil, nil
}

// serve runs s on loopback, UDP and TCP on one port.
func serve(t testing.TB, s *Server) (addr string) {
	t.Helper()
	udp, tcp := listenBoth(t)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- s.ServeUDP(ctx, udp) }()
	go func() { done <- s.ServeTCP(ctx, tcp) }()
	t.Cleanup(func() {
		cancel()
		for range 2 {
			if err := <-done; err != nil {
				t.Errorf("serve: %v", err)
			}
		}
	})
	return udp.LocalAddr().String()
}
