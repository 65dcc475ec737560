package resolve

import (
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"carillon/clock/clocktest"
)

// nameServer is a real server on loopback with records that a test can change.
type nameServer struct {
	addr netip.AddrPort

	mu      sync.Mutex
	records []dns.RR
	rcode   map[string]int  // by name: answer this and nothing else
	silent  map[string]bool // by name or by type
	asked   map[string]int  // "name TYPE"
	tcp     int
	mangle  func(*dns.Msg)
}

func startNameServer(t testing.TB, zone string) *nameServer {
	t.Helper()
	s := &nameServer{rcode: map[string]int{}, silent: map[string]bool{}, asked: map[string]int{}}
	s.add(t, zone)
	udp, tcp := listenBoth(t)
	s.addr = netip.MustParseAddrPort(udp.LocalAddr().String())
	for _, srv := range []*dns.Server{{PacketConn: udp, Handler: s}, {Listener: tcp, Handler: s}} {
		ready := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(ready) }
		done := make(chan struct{})
		go func() {
			defer close(done)
			srv.ActivateAndServe()
		}()
		<-ready
		t.Cleanup(func() { srv.Shutdown(); <-done })
	}
	return s
}

// listenBoth opens UDP and TCP on one free port; another process may hold the TCP half, then the next is tried.
func listenBoth(t testing.TB) (net.PacketConn, net.Listener) {
	t.Helper()
	for range 50 {
		udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
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

// add reads records in zone file form, one a line.
func (s *nameServer) add(t testing.TB, zone string) {
	t.Helper()
	for line := range strings.Lines(zone) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		s.mu.Lock()
		s.records = append(s.records, rr)
		s.mu.Unlock()
	}
}

func (s *nameServer) set(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

func (s *nameServer) count(what string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[what]
}

func (s *nameServer) ServeDNS(w dns.ResponseWriter, req *dns.Msg) {
	q := req.Question[0]
	name := plain(q.Name)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked[name+" "+dns.TypeToString[q.Qtype]]++
	if s.silent[name] || s.silent[dns.TypeToString[q.Qtype]] {
		return
	}
	resp := new(dns.Msg)
	resp.SetReply(req)
	if rcode, ok := s.rcode[name]; ok {
		resp.Rcode = rcode
		w.WriteMsg(resp)
		return
	}
	exists := false
	for range 4 { // follow aliases as a recursive server does
		alias := ""
		for _, rr := range s.records {
			if plain(rr.Header().Name) != name {
				continue
			}
			exists = true
			if c, ok := rr.(*dns.CNAME); ok {
				alias = plain(c.Target)
				resp.Answer = append(resp.Answer, rr)
			} else if rr.Header().Rrtype == q.Qtype {
				resp.Answer = append(resp.Answer, rr)
			}
		}
		if alias == "" {
			break
		}
		name = alias
	}
	if !exists {
		resp.Rcode = dns.RcodeNameError
	}
	if len(resp.Answer) == 0 {
		soa, _ := dns.NewRR("example.com. 600 IN SOA ns.example.com. h.example.com. 1 2 3 4 20")
		resp.Ns = []dns.RR{soa}
	}
	if s.mangle != nil {
		s.mangle(resp)
	}
	if w.LocalAddr().Network() == "tcp" {
		s.tcp++
	} else if opt := req.IsEdns0(); opt != nil {
		resp.Truncate(int(opt.UDPSize()))
	}
	w.WriteMsg(resp)
}

func randomness(seed byte) io.Reader { return rand.NewChaCha8([32]byte{seed}) }

// startResolver waits long by default, so that a busy machine makes no retry; tests of silence shorten it.
func startResolver(t testing.TB, s *nameServer, change func(*Config)) (*Resolver, *clocktest.Fake) {
	t.Helper()
	fake := clocktest.New()
	cfg := Config{Clock: fake, Rand: randomness(1), HostsFile: "-", Attempt: 2 * time.Second, Timeout: 10 * time.Second}
	if s != nil {
		cfg.Servers = []netip.AddrPort{s.addr}
	}
	if change != nil {
		change(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r, fake
}
