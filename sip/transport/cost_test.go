package transport

import (
	"net"
	"net/netip"
	"testing"
	"time"

	"carillon/sip"
)

// answering is a Handler that answers requests with fixed bytes.
type answering struct{ answer []byte }

func (a *answering) Receive(f Flow, m *sip.Message) {
	if m.IsRequest() {
		f.Send(a.answer)
	}
}

func (a *answering) Malformed(Flow, *sip.Message, *sip.ParseError) {}
func (a *answering) Closed(Flow, error)                            {}

func newAnswering(tb testing.TB, limits Limits) (*Transport, *answering) {
	m := new(sip.Message)
	if err := m.Parse(options("UDP 192.0.2.9;rport", "")); err != nil {
		tb.Fatal(err)
	}
	h := &answering{answer: response(m, 200)}
	tr := must(New(Config{Handler: h, Limits: limits}))
	tb.Cleanup(func() { tr.Close() })
	return tr, h
}

// A datagram costs no memory, from the socket through the handler to the answer; nor does one on a socket that is bound
// to all addresses, of one family or of both.
func TestUDPDoesNotAllocate(t *testing.T) {
	for _, bind := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		tr, _ := newAnswering(t, Limits{})
		addr := must(tr.ListenUDP(netip.MustParseAddrPort(bind)))
		c := peer(t, netip.AddrPortFrom(loopback.Addr(), addr.Port()))
		b, buf := options("UDP 192.0.2.9;rport", ""), make([]byte, 4096)
		if n := testing.AllocsPerRun(200, func() {
			c.Write(b)
			c.Read(buf)
		}); n >= 1 {
			t.Errorf("bound to %s: %v allocations a message, want 0", bind, n)
		}
	}
}

// So does one on a stream, as long as the peer reads.
func TestTCPDoesNotAllocate(t *testing.T) {
	tr, _ := newAnswering(t, Limits{})
	c := connect(t, listenTCP(t, tr))
	b, buf := options("TCP 192.0.2.9;rport", ""), make([]byte, 4096)
	if n := testing.AllocsPerRun(200, func() {
		c.Write(b)
		c.Read(buf)
	}); n >= 1 {
		t.Errorf("%v allocations a message, want 0", n)
	}
}

func BenchmarkEcho(b *testing.B) {
	a := newAuthority()
	tr, _ := newAnswering(b, Limits{})
	for _, bb := range []struct {
		name string
		open func() net.Conn
	}{
		{"UDP", func() net.Conn { return must(net.Dial("udp", must(tr.ListenUDP(loopback)).String())) }},
		{"TCP", func() net.Conn { return must(net.Dial("tcp", must(tr.ListenTCP(loopback)).String())) }},
		{"TLS", func() net.Conn { return tlsPeer(b, tr, a) }},
	} {
		b.Run(bb.name, func(b *testing.B) {
			c := bb.open()
			defer c.Close()
			request, buf := options(bb.name+" 192.0.2.9;rport", ""), make([]byte, 4096)
			b.ReportAllocs()
			for b.Loop() {
				c.SetDeadline(time.Now().Add(patience))
				c.Write(request)
				if _, err := c.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
