package transport

import (
	"bytes"
	"encoding/hex"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/sip"
)

// peer is a bare UDP socket.
func peer(t *testing.T, to netip.AddrPort) *net.UDPConn {
	t.Helper()
	c := must(net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to)))
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

func TestUDP(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	addr := must(tr.ListenUDP(loopback))
	c := peer(t, addr)
	c.Write(options("UDP 192.0.2.9:5060;rport", ""))
	g := r.next("message")
	from := c.LocalAddr().(*net.UDPAddr).AddrPort()
	if g.flow.Proto() != UDP || g.flow.Local() != addr || g.flow.Remote() != from || g.flow.TLS() != nil {
		t.Errorf("flow %v from %v to %v", g.flow.Proto(), g.flow.Remote(), g.flow.Local())
	}
	c.Write(options("UDP 192.0.2.9:5060;rport", ""))
	if again := r.next("message"); again.flow != g.flow {
		t.Error("two messages of one peer came on flows that differ")
	}
	answer := wantRead(t, c, "\r\n\r\n")
	for _, want := range []string{"received=127.0.0.1", "rport=" + netip.AddrPort.String(from)[len("127.0.0.1:"):]} {
		if !strings.Contains(answer, want) {
			t.Errorf("no %s in\n%s", want, answer)
		}
	}
}

// A message larger than an MTU goes out when the caller says so: the choice is his.
func TestUDPSendsLargeMessages(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	addr := must(tr.ListenUDP(loopback))
	f, err := dial(t, tr, Target{Proto: UDP, Addr: addr})
	if err != nil {
		t.Fatal(err)
	}
	pad := "X-Pad: " + strings.Repeat("x", 5000) + "\r\n"
	if err := f.Send(options("UDP 127.0.0.1;rport", pad)); err != nil {
		t.Fatal(err)
	}
	if g := r.next("message"); len(g.m.Bytes()) < 5000 {
		t.Errorf("got %d octets", len(g.m.Bytes()))
	}
	r.next("message") // the 200 it sent to itself
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := f.Send(options("UDP 127.0.0.1", "")); err != nil {
		t.Errorf("closing a UDP flow closed the socket: %v", err)
	}
}

func TestUDPGarbage(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	addr := must(tr.ListenUDP(loopback))
	c := peer(t, addr)
	for _, b := range []string{"hello", "\x00\x01", "SIP/2.0 200 OK\r\n\r\n", "ACK sip:a SIP/2.0\r\n\r\n", "\xff\xfe\xfd"} {
		c.Write([]byte(b))
	}
	c.Write([]byte("\r\n\r\n"))
	c.Write([]byte("\x00\x00\x00\x00"))
	c.Write([]byte(strings.Replace(string(options("UDP 192.0.2.9;rport", "")), "CSeq: 1 OPTIONS", "CSeq: 1 BYE", 1)))
	g := r.next("malformed")
	var refusal *sip.ParseError
	if !errors.As(g.err, &refusal) || refusal.Status != 400 {
		t.Errorf("got %v, want 400", g.err)
	}
	wantRead(t, c, "SIP/2.0 400")
	// Datagrams that came together may be handled side by side.
	eventually(t, "5 counted as garbage", func() bool { return tr.stats.Garbage.Load() == 5 })
	if got := tr.stats.KeepAlives.Load(); got != 2 {
		t.Errorf("counted %d keep-alives, want 2", got)
	}
}

// Nobody may write into the node's log by sending what is no SIP: a log that is full, or that nobody can read any more,
// hides what matters.
func TestGarbageIsNotLogged(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	var log bytes.Buffer
	tr.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	addr := must(tr.ListenUDP(loopback))
	log.Reset() // what listening says is its own affair
	c := peer(t, addr)
	const rounds = 300
	for range rounds {
		c.Write([]byte("INVITE \xff\x00\r\n"))
		c.Write([]byte(strings.Replace(string(options("UDP 192.0.2.9;rport", "")), "CSeq: 1 OPTIONS", "CSeq: 1 BYE", 1)))
		r.next("malformed")
		wantRead(t, c, "SIP/2.0 400")
	}
	eventually(t, "all counted", func() bool { return tr.stats.Garbage.Load() == rounds })
	tr.Close()
	if log.Len() > 0 {
		t.Errorf("the log says %s", log.Bytes()[:min(log.Len(), 500)])
	}
}

// An error that is not the end of the socket must not end the service.
func TestUDPSurvivesReadErrors(t *testing.T) {
	tr, r, clock := start(t, Limits{})
	addr := must(tr.ListenUDP(loopback))
	s := tr.sockets[0]
	s.conn.SetReadDeadline(time.Unix(1, 0))
	eventually(t, "read error", func() bool { return tr.stats.ReadErrors.Load() > 0 })
	s.conn.SetReadDeadline(time.Time{})
	peer(t, addr).Write(options("UDP 192.0.2.9;rport", ""))
	eventually(t, "message", func() bool { clock.Advance(readRetry); return tr.stats.Received.Load() > 0 })
	r.next("message")
}

// A socket bound to all addresses answers from the one that was asked, in both families; what we begin leaves from
// whichever the system prefers. The answer to STUN, too: it tells a phone what to keep open.
func TestUDPAnswersFromWhereItWasAsked(t *testing.T) {
	for _, tt := range []struct {
		bind  string
		asked []string
	}{
		{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2", "127.0.0.3"}},
		{"[::]:0", []string{"127.0.0.1", "127.0.0.2", "::1"}},
	} {
		t.Run(tt.bind, func(t *testing.T) {
			tr, r, _ := start(t, Limits{})
			port := must(tr.ListenUDP(netip.MustParseAddrPort(tt.bind))).Port()
			for _, ip := range tt.asked {
				asked := netip.AddrPortFrom(netip.MustParseAddr(ip), port)
				c := peer(t, asked) // connected: it hears nobody else
				for range 2 {
					c.Write(options("UDP 192.0.2.9;rport", ""))
					g := r.next("message")
					if got := g.flow.Local(); got != asked {
						t.Errorf("asked at %v, the flow is from %v", asked, got)
					}
					wantRead(t, c, "SIP/2.0 200")
				}
				c.Write(unhex("0001 0000 2112a442 0102030405060708090a0b0c"))
				if n, err := c.Read(make([]byte, 100)); err != nil || n < stunHeader {
					t.Errorf("STUN at %v: %d octets, %v", asked, n, err)
				}
			}
			if got := len(tr.sockets[0].links); got != len(tt.asked) {
				t.Errorf("%d addresses are remembered, want %d", got, len(tt.asked))
			}
			for _, ip := range tt.asked {
				from := netip.MustParseAddr(ip)
				c := must(net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))))
				defer c.Close()
				c.SetDeadline(time.Now().Add(patience))
				f, err := dial(t, tr, Target{Proto: UDP, Addr: addrPortOf(c), From: from})
				if err != nil || f.Send([]byte("hello")) != nil {
					t.Fatalf("from %v: %v", from, err)
				}
				if _, source, err := c.ReadFromUDPAddrPort(make([]byte, 10)); err != nil || unmap(source) != netip.AddrPortFrom(from, port) {
					t.Errorf("what should leave from %v came from %v, %v", from, source, err)
				}
			}
			f, err := dial(t, tr, Target{Proto: UDP, Addr: netip.MustParseAddrPort("127.0.0.1:9")})
			if err != nil || !f.Local().Addr().IsUnspecified() {
				t.Errorf("what we begin leaves from %v, %v", f.Local(), err)
			}
		})
	}
}

func addrPortOf(c *net.UDPConn) netip.AddrPort { return unmap(c.LocalAddr().(*net.UDPAddr).AddrPort()) }

// One that the system tells of in vain does not make the table grow.
func TestLocalsAreBounded(t *testing.T) {
	s := &udpSocket{links: make(map[netip.Addr]*udpLink), local: netip.MustParseAddrPort("0.0.0.0:5060")}
	s.any = &udpLink{s: s, local: s.local}
	for _, ip := range []netip.Addr{{}, netip.IPv4Unspecified(), netip.MustParseAddr("224.0.1.75"), netip.MustParseAddr("ff02::1")} {
		if s.linkFrom(ip) != s.any {
			t.Errorf("%v is taken for an address of ours", ip)
		}
	}
	ip := netip.MustParseAddr("10.0.0.0")
	for range 2 * maxLocals {
		ip = ip.Next()
		s.linkFrom(ip)
	}
	if got := len(s.links); got != maxLocals {
		t.Errorf("%d addresses are remembered, want %d", got, maxLocals)
	}
}

func TestUDPFlowChoosesSocket(t *testing.T) {
	tr, _, _ := start(t, Limits{})
	first := must(tr.ListenUDP(loopback))
	second := must(tr.ListenUDP(netip.MustParseAddrPort("127.0.0.2:0")))
	to := netip.MustParseAddrPort("127.0.0.1:5060")
	for _, tt := range []struct {
		target Target
		local  netip.AddrPort
		err    error
	}{
		{Target{Proto: UDP, Addr: to}, first, nil},
		{Target{Proto: UDP, Addr: to, From: second.Addr()}, second, nil},
		{Target{Proto: UDP, Addr: netip.MustParseAddrPort("[::ffff:127.0.0.1]:5060")}, first, nil},
		{Target{Proto: UDP, Addr: to, From: netip.MustParseAddr("127.0.0.3")}, netip.AddrPort{}, ErrNoSocket},
		{Target{Proto: UDP, Addr: netip.MustParseAddrPort("[::1]:5060")}, netip.AddrPort{}, ErrNoSocket},
	} {
		f, err := dial(t, tr, tt.target)
		if !errors.Is(err, tt.err) || f.Local() != tt.local {
			t.Errorf("%+v: from %v, %v; want %v, %v", tt.target, f.Local(), err, tt.local, tt.err)
		}
		if err == nil && f.Remote() != to {
			t.Errorf("remote %v, want %v", f.Remote(), to)
		}
	}
}

func TestOneNumberForUDPAndTCP(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	addr, err := tr.ListenUDPAndTCP(loopback)
	if err != nil {
		t.Fatal(err)
	}
	peer(t, addr).Write(options("UDP 192.0.2.9;rport", ""))
	if g := r.next("message"); g.flow.Proto() != UDP {
		t.Errorf("came over %v", g.flow.Proto())
	}
	c := connect(t, addr)
	c.Write(options("TCP 192.0.2.9;rport", ""))
	if g := r.next("message"); g.flow.Proto() != TCP {
		t.Errorf("came over %v", g.flow.Proto())
	}
	if _, err := tr.ListenUDPAndTCP(addr); err == nil {
		t.Error("bound a port twice")
	}
}

func unhex(s string) []byte { return must(hex.DecodeString(strings.ReplaceAll(s, " ", ""))) }

func TestSTUN(t *testing.T) {
	tr, _, clock := start(t, Limits{STUNPerSecond: 2})
	c := peer(t, must(tr.ListenUDP(loopback)))
	id := "0102030405060708090a0b0c"
	request := unhex("0001 0000 2112a442" + id)
	c.Write(request)
	buf := make([]byte, 100)
	n := must(c.Read(buf))
	port := c.LocalAddr().(*net.UDPAddr).Port
	want := append(unhex("0101 000c 2112a442"+id+"0020 0008 0001"),
		byte(port>>8)^0x21, byte(port)^0x12, 127^0x21, 0^0x12, 0^0xa4, 1^0x42)
	if string(buf[:n]) != string(want) {
		t.Errorf("got  %x\nwant %x", buf[:n], want)
	}
	for _, bad := range []string{
		"0001 0001 2112a442" + id,               // length
		"0101 0000 2112a442" + id,               // a response
		"0001 0004 2112a442" + id + "0006 0000", // must be understood
		"0001 0004 2112a442" + id + "8022 0008", // runs over the end
	} {
		c.Write(unhex(bad))
	}
	c.Write(unhex("0001 0008 2112a442" + id + "8022 0003 61626300")) // SOFTWARE
	must(c.Read(buf))
	if got := tr.stats.Garbage.Load(); got != 4 {
		t.Errorf("counted %d garbage, want 4", got)
	}
	c.Write(request)
	eventually(t, "third is over the rate", func() bool { return tr.stats.STUNDropped.Load() == 1 })
	clock.Advance(time.Second)
	c.Write(request)
	must(c.Read(buf))
	eventually(t, "three answers counted", func() bool { return tr.stats.STUN.Load() == 3 })
}

// The example of RFC 5769 §2.3, an IPv6 response: its XOR-MAPPED-ADDRESS.
func TestSTUNv6(t *testing.T) {
	request := unhex("0001 0000 2112a442 b7e7a701bc34d686fa87dfae")
	var out [stunHeader + 24]byte
	n := bindingSuccess(out[:], request, netip.MustParseAddrPort("[2001:db8:1234:5678:11:2233:4455:6677]:32853"))
	want := unhex("0101 0018 2112a442 b7e7a701bc34d686fa87dfae 0020 0014 0002 a147 0113a9faa5d3f179bc25f4b5bed2b9d9")
	if string(out[:n]) != string(want) {
		t.Errorf("got  %x\nwant %x", out[:n], want)
	}
}
