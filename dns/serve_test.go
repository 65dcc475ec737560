package dns

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

func TestServeOverBothTransports(t *testing.T) {
	s, _ := startServer(t, nil)
	addr := serve(t, s)
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: 2 * time.Second}
		for _, tt := range []struct {
			name, qtype string
			rcode, n    int
		}{
			{plainHost, "A", dns.RcodeSuccess, 1},
			{"_sips._tcp." + safeHost, "SRV", dns.RcodeSuccess, 1},
			{safeHost, "NAPTR", dns.RcodeSuccess, 1},
			{"no." + domain, "A", dns.RcodeNameError, 0},
			{"example.org", "A", dns.RcodeRefused, 0},
		} {
			resp, _, err := c.Exchange(question(tt.name, tt.qtype), addr)
			if err != nil {
				t.Fatalf("%s %s: %v", network, tt.name, err)
			}
			if resp.Rcode != tt.rcode || len(resp.Answer) != tt.n {
				t.Errorf("%s %s %s: %s", network, tt.qtype, tt.name, resp)
			}
		}
	}
	if st := s.Stats(); st.UDP != 5 || st.TCP != 5 {
		t.Errorf("stats %+v", st)
	}
}

// A truncated answer must be had over TCP: the way a resolver goes.
func TestTruncatedThenTCP(t *testing.T) {
	long := strings.Repeat("l", 60) + "." + strings.Repeat("m", 60) + "." + domain
	s, _ := startServer(t, func(c *Config) {
		c.Zone = fakeZone{long: {Addrs: addrs("192.0.2.1"), Ports: Ports{UDP: 1, TCP: 2, TLS: 3}}}
	})
	addr := serve(t, s)
	for _, tt := range []struct {
		network   string
		truncated bool
		n         int
	}{{"udp", true, 0}, {"tcp", false, 3}} {
		c := dns.Client{Net: tt.network, Timeout: 2 * time.Second}
		resp, _, err := c.Exchange(question(long, "NAPTR"), addr)
		if err != nil {
			t.Fatalf("%s: %v", tt.network, err)
		}
		if resp.Truncated != tt.truncated || len(resp.Answer) != tt.n {
			t.Errorf("%s: truncated %v, %d records", tt.network, resp.Truncated, len(resp.Answer))
		}
	}
}

func TestPipelinedQueries(t *testing.T) {
	s, _ := startServer(t, func(c *Config) { c.MaxQueries = 3 })
	conn, err := net.Dial("tcp", serve(t, s))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	co := &dns.Conn{Conn: conn}
	for i := range 3 { // all written before the first answer is read
		m := question(plainHost, "A")
		m.Id = uint16(i + 1)
		if err := co.WriteMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		m, err := co.ReadMsg()
		if err != nil || m.Id != uint16(i+1) {
			t.Fatalf("answer %d: %v, %v", i, m, err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after MaxQueries: %v, want EOF", err)
	}
}

func TestConnectionBounds(t *testing.T) {
	s, _ := startServer(t, func(c *Config) { c.MaxPerIP, c.Idle = 2, 600*time.Millisecond })
	addr := serve(t, s)
	var conns []net.Conn
	for range 3 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns = append(conns, c)
	}
	ends := func(c net.Conn, within time.Duration) bool {
		c.SetReadDeadline(time.Now().Add(within))
		_, err := c.Read(make([]byte, 1))
		ne, ok := err.(net.Error)
		return err != nil && !(ok && ne.Timeout())
	}
	if !ends(conns[2], 2*time.Second) {
		t.Error("the third connection of one address stays")
	}
	// One octet at a time must not keep a connection beyond Idle.
	conns[0].Write([]byte{0})
	for i, c := range conns[:2] {
		if !ends(c, 2*time.Second) {
			t.Errorf("idle connection %d stays", i)
		}
	}
	deadline := time.Now().Add(2 * time.Second)
	for s.Stats().Conns != 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if st := s.Stats(); st.Conns != 0 || st.ConnsRefused != 1 {
		t.Errorf("stats %+v", st)
	}
}

func TestConnTable(t *testing.T) {
	table := connTable{perIP: map[netip.Addr]int{}}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, want := range []bool{true, true, false} {
		if got := table.enter(a, 3, 2); got != want {
			t.Errorf("connection %d of a: %v", i, got)
		}
	}
	if !table.enter(b, 3, 2) || table.enter(b, 3, 2) {
		t.Error("the total is not held")
	}
	table.leave(a)
	table.leave(a)
	table.leave(b)
	if table.open() != 0 || len(table.perIP) != 0 {
		t.Errorf("left over: %d, %v", table.total, table.perIP)
	}
}

// A fault in one answer must not end the process.
func TestPanicIsContained(t *testing.T) {
	s, _ := startServer(t, func(c *Config) { c.Zone = faultyZone{} })
	addr := serve(t, s)
	c := dns.Client{Timeout: 200 * time.Millisecond}
	if _, _, err := c.Exchange(question(plainHost, "A"), addr); err == nil {
		t.Error("an answer from a zone that panics")
	}
	c.Timeout = 2 * time.Second
	if resp, _, err := c.Exchange(question("example.org", "A"), addr); err != nil || resp.Rcode != dns.RcodeRefused {
		t.Errorf("afterwards: %v, %v", resp, err)
	}
}

type faultyZone struct{}

func (faultyZone) Host(string) (HostInfo, bool) { panic("fault") }
func (faultyZone) Below(string) bool            { return false }

// The address asked must be the address that answers, also on a socket bound to all of them.
func TestAnswersFromTheAddressAsked(t *testing.T) {
	s, _ := startServer(t, nil)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); s.ServeUDP(ctx, conn) }()
	defer func() { cancel(); <-done }()
	port := conn.LocalAddr().(*net.UDPAddr).Port
	for _, ip := range []string{"127.0.0.1", "127.0.0.77"} {
		c := dns.Client{Timeout: 2 * time.Second} // a connected socket: answers from elsewhere do not reach it
		addr := netip.AddrPortFrom(netip.MustParseAddr(ip), uint16(port)).String()
		if _, _, err := c.Exchange(question(plainHost, "A"), addr); err != nil {
			t.Errorf("asked at %s: %v", addr, err)
		}
	}
}

func TestServeUDPReportsALostSocket(t *testing.T) {
	s, _ := startServer(t, nil)
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if err := s.ServeUDP(t.Context(), conn); err == nil {
		t.Error("no error")
	}
}

// dig is the tool operators check with; it also validates what it is given.
func TestDig(t *testing.T) {
	dig, err := exec.LookPath("dig")
	if err != nil {
		t.Fatal("dig is not installed: run make packages")
	}
	s, _ := startServer(t, nil)
	host, port, _ := net.SplitHostPort(serve(t, s))
	for _, tt := range []struct {
		args, want string
	}{
		{"+short " + plainHost + " A", "192.0.2.1"},
		{"+short +tcp _sips._tcp." + safeHost + " SRV", "10 10 5061 " + safeHost + "."},
		{"+short " + safeHost + " NAPTR", `10 10 "s" "SIPS+D2T" "" _sips._tcp.` + safeHost + "."},
		{domain + " AXFR", "; Transfer failed."},
		{"nowhere." + domain + " A", "status: NXDOMAIN"},
		{"example.org A", "status: REFUSED"},
	} {
		args := append([]string{"@" + host, "-p", port, "+time=2", "+tries=1"}, strings.Fields(tt.args)...)
		out, err := exec.Command(dig, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("dig %s: %v\n%s\nwant %s", tt.args, err, out, tt.want)
		}
	}
}
