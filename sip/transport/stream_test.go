package transport

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/sip"
)

func TestTCPFraming(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	c := connect(t, listenTCP(t, tr))
	m := options("TCP 192.0.2.9;rport", "")
	for i := range m {
		c.Write(m[i : i+1])
	}
	g := r.next("message")
	c.Write(append(append([]byte("\r\n\r\n"), m...), m...))
	for range 2 {
		if again := r.next("message"); again.flow != g.flow {
			t.Error("two messages of one connection came on flows that differ")
		}
	}
	all := ""
	for strings.Count(all, "SIP/2.0 200") < 3 {
		all += wantRead(t, c, "\r\n")
	}
	if !strings.Contains(all, "\r\n\r\n\r\nSIP/2.0 200") {
		t.Errorf("no CRLF for the keep-alive in %q", all)
	}
	c.Close()
	if g := r.next("closed"); g.err != nil {
		t.Errorf("closed with %v, want nil", g.err)
	}
	if err := g.flow.Send(m); !errors.Is(err, ErrClosed) {
		t.Errorf("send on a closed flow: %v, want ErrClosed", err)
	}
}

// Where a message ends in doubt it is refused and the connection closed, and the answer arrives
// although more was on its way.
func TestBrokenFramingIsRefusedAndClosed(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	addr := listenTCP(t, tr)
	for _, length := range []string{"-1", "1 0", "4294967296", "18446744073709551616", "x", "0\r\nContent-Length: 5"} {
		c := connect(t, addr)
		m := strings.Replace(string(options("TCP 192.0.2.9;rport", "")), "Content-Length: 0", "Content-Length: "+length, 1)
		c.Write([]byte(m + strings.Repeat("OPTIONS smuggled", 500)))
		g := r.next("malformed")
		answer := string(must(io.ReadAll(c)))
		var refusal *sip.ParseError
		if !errors.As(g.err, &refusal) || !strings.HasPrefix(answer, "SIP/2.0 ") || strings.Count(answer, "SIP/2.0 ") < 1 {
			t.Errorf("Content-Length %q: %v, answer %q", length, g.err, answer)
		}
		c.Close()
		if g := r.next("closed"); !errors.As(g.err, &refusal) {
			t.Errorf("Content-Length %q: closed with %v, want a *sip.ParseError", length, g.err)
		}
	}
	if got := tr.stats.FramingLost.Load(); got != 6 {
		t.Errorf("counted %d, want 6", got)
	}
}

// What does not parse but has an end is refused and the connection goes on.
func TestMalformedMessageKeepsTheConnection(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	c := connect(t, listenTCP(t, tr))
	m := string(options("TCP 192.0.2.9;rport", ""))
	c.Write([]byte(strings.Replace(m, "CSeq: 1 OPTIONS", "CSeq: 1 BYE", 1)))
	r.next("malformed")
	c.Write([]byte(m))
	r.next("message")
}

func TestTruncatedMessageIsAnError(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	c := connect(t, listenTCP(t, tr))
	m := options("TCP 192.0.2.9;rport", "")
	c.Write(m[:len(m)-10])
	c.Close()
	if g := r.next("closed"); !errors.Is(g.err, io.EOF) {
		t.Errorf("closed with %v, want EOF", g.err)
	}
}

// TestTimeLimits lets time run out on each phase of a connection.
func TestTimeLimits(t *testing.T) {
	m := options("TCP 192.0.2.9;rport", "")
	for _, tt := range []struct {
		name    string
		before  func(c net.Conn, r *recorder)
		phase   phase
		limit   time.Duration
		want    error
		counter func(*Stats) uint64
	}{
		{"no first message", func(net.Conn, *recorder) {}, phaseFirst, DefaultFirstMessage, errLateFirst,
			func(s *Stats) uint64 { return s.LateFirst.Load() }},
		{"keep-alives are no first message", func(c net.Conn, r *recorder) {
			c.Write([]byte("\r\n\r\n"))
			io.ReadFull(c, make([]byte, 2))
		}, phaseFirst, DefaultFirstMessage, errLateFirst, func(s *Stats) uint64 { return s.LateFirst.Load() }},
		{"message that trickles", func(c net.Conn, r *recorder) {
			c.Write(m)
			r.next("message")
			c.Write(m[:10])
		}, phaseMessage, DefaultMessage, errLateMessage, func(s *Stats) uint64 { return s.LateMessage.Load() }},
		{"idle", func(c net.Conn, r *recorder) {
			c.Write(m)
			r.next("message")
		}, phaseIdle, DefaultIdle, errIdle, func(s *Stats) uint64 { return s.IdleClosed.Load() }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, r, clock := start(t, Limits{})
			c := connect(t, listenTCP(t, tr))
			eventually(t, "accepted", func() bool { return tr.stats.Accepted.Load() == 1 })
			tt.before(c, r)
			wantPhase(t, tr, tt.phase)
			clock.Advance(tt.limit - time.Millisecond)
			if n := tt.counter(&tr.stats); n != 0 {
				t.Fatal("closed before its time")
			}
			clock.Advance(time.Millisecond)
			if g := r.next("closed"); g.err != tt.want {
				t.Errorf("closed with %v, want %v", g.err, tt.want)
			}
			wantClosed(t, c)
			if n := tt.counter(&tr.stats); n != 1 {
				t.Errorf("counted %d, want 1", n)
			}
		})
	}
}

// A trickle of octets must not buy more time than one message is given.
func TestTrickleBuysNoTime(t *testing.T) {
	tr, r, clock := start(t, Limits{})
	c := connect(t, listenTCP(t, tr))
	m := options("TCP 192.0.2.9;rport", "")
	c.Write(m)
	r.next("message")
	for i := range 20 {
		c.Write(m[i : i+1])
		if i == 0 {
			wantPhase(t, tr, phaseMessage)
		}
		clock.Advance(time.Second)
	}
	r.next("closed")
	if n := tr.stats.LateMessage.Load(); n != 1 {
		t.Errorf("counted %d, want 1", n)
	}
}

func TestHeldFlowOutlivesIdle(t *testing.T) {
	tr, r, clock := start(t, Limits{})
	c := connect(t, listenTCP(t, tr))
	c.Write(options("TCP 192.0.2.9;rport", ""))
	f := r.next("message").flow
	f.Hold()
	wantPhase(t, tr, phaseIdle)
	clock.Advance(5 * DefaultIdle)
	if err := f.Send([]byte("x")); err != nil {
		t.Fatalf("held flow: %v", err)
	}
	f.Release()
	clock.Advance(2 * DefaultIdle)
	if g := r.next("closed"); g.err != errIdle {
		t.Errorf("closed with %v, want %v", g.err, errIdle)
	}
}

// A peer that does not read must not make a sender wait or the queue grow.
func TestPeerThatDoesNotRead(t *testing.T) {
	for _, tt := range []struct {
		name    string
		queue   int
		advance time.Duration
		want    error
	}{
		{"queue full", 64 << 10, 0, ErrQueueFull},
		{"stalled", 1 << 30, DefaultWrite, errWriteStalled},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr, r, clock := start(t, Limits{WriteQueue: tt.queue})
			c := connect(t, listenTCP(t, tr))
			c.Write(options("TCP 192.0.2.9;rport", ""))
			f := r.next("message").flow
			block := make([]byte, 64<<10)
			began := time.Now()
			var err error
			for range 250 { // more than the system's buffers hold
				if err = f.Send(block); err != nil {
					break
				}
			}
			if took := time.Since(began); took > patience {
				t.Errorf("sending took %v", took)
			}
			if tt.advance > 0 {
				eventually(t, "watch on the write", func() bool { return clock.Pending() == 2 })
				clock.Advance(tt.advance)
			} else if !errors.Is(err, tt.want) {
				t.Errorf("send: %v, want %v", err, tt.want)
			}
			if g := r.next("closed"); g.err != tt.want {
				t.Errorf("closed with %v, want %v", g.err, tt.want)
			}
		})
	}
}

// What is queued arrives whole and in order once the peer reads.
func TestQueueKeepsOrder(t *testing.T) {
	tr, r, _ := start(t, Limits{WriteQueue: 64 << 20})
	c := connect(t, listenTCP(t, tr))
	c.Write(options("TCP 192.0.2.9;rport", ""))
	f := r.next("message").flow
	wantRead(t, c, "\r\n\r\n")
	const n, size = 1 << 14, 1 << 10 // more than the system's buffers hold
	go func() {
		block := make([]byte, size)
		for i := range n {
			fillBlock(block, i)
			if f.Send(block) != nil {
				return
			}
		}
	}()
	queue := f.link.(*stream).queue
	eventually(t, "queue in use", func() bool {
		queue.mu.Lock()
		defer queue.mu.Unlock()
		return queue.draining
	})
	got, want := make([]byte, size), make([]byte, size)
	for i := range n {
		fillBlock(want, i)
		if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("block %d is another, %v", i, err)
		}
	}
}

// fillBlock makes a block that no other number has.
func fillBlock(b []byte, i int) {
	for j := range b {
		b[j] = byte(i >> (j % 2 * 8))
	}
}

func TestConnectionLimits(t *testing.T) {
	tr, r, _ := start(t, Limits{Accepted: 3, AcceptedPerIP: 2})
	addr := listenTCP(t, tr)
	from := func(ip string) net.Conn {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
		c := must(d.Dial("tcp", addr.String()))
		c.SetDeadline(time.Now().Add(patience))
		return c
	}
	var open []net.Conn
	for i, tt := range []struct {
		ip string
		ok bool
	}{{"127.0.0.1", true}, {"127.0.0.1", true}, {"127.0.0.1", false}, {"127.0.0.2", true}, {"127.0.0.3", false}} {
		c := from(tt.ip)
		defer c.Close()
		if !tt.ok {
			wantClosed(t, c)
			continue
		}
		c.Write(options("TCP 192.0.2.9;rport", ""))
		r.next("message")
		open = append(open, c)
		if got := tr.stats.AcceptedNow.Load(); got != int64(len(open)) {
			t.Errorf("step %d: %d connections, want %d", i, got, len(open))
		}
	}
	if a, b := tr.stats.OverPerIP.Load(), tr.stats.OverAccepted.Load(); a != 1 || b != 1 {
		t.Errorf("counted %d per IP and %d in all, want 1 and 1", a, b)
	}
	for _, c := range open { // the old work goes on
		c.Write(options("TCP 192.0.2.9;rport", ""))
		r.next("message")
	}
	open[0].Close()
	r.next("closed")
	eventually(t, "room", func() bool { return tr.stats.AcceptedNow.Load() == 2 })
	c := from("127.0.0.1")
	defer c.Close()
	c.Write(options("TCP 192.0.2.9;rport", ""))
	r.next("message")
}

// What a peer sends in one order is handed on in that order, and answered in it: a BYE must not overtake an ACK.
func TestOrderIsKept(t *testing.T) {
	const n = 500
	ca := newAuthority()
	for _, proto := range []Proto{UDP, TCP, TLS} {
		t.Run(proto.String(), func(t *testing.T) {
			tr, r, _ := start(t, Limits{})
			var c io.ReadWriter
			switch proto {
			case UDP:
				c = peer(t, must(tr.ListenUDP(loopback)))
			case TCP:
				c = connect(t, listenTCP(t, tr))
			case TLS:
				over := tls.Client(connect(t, listenTLS(t, tr, ServerTLS{}, ca.issue("sbc.test"))), &tls.Config{RootCAs: ca.pool, ServerName: "sbc.test"})
				c = over
			}
			answers := make(chan string, n)
			go func() {
				defer close(answers)
				if proto == UDP {
					b := make([]byte, 4096)
					for range n {
						size, err := c.Read(b)
						if err != nil {
							return
						}
						answers <- string(b[:size])
					}
					return
				}
				var f sip.Framer
				for got := 0; got < n; {
					if _, err := f.Fill(c); err != nil {
						return
					}
					for {
						b, ok, err := f.Next()
						if err != nil || !ok {
							break
						}
						got++
						answers <- string(b)
					}
				}
			}()
			for i := range n {
				c.Write(bytes.Replace(options(proto.String()+" 192.0.2.9;rport", ""), []byte("CSeq: 1 "), fmt.Appendf(nil, "CSeq: %d ", i), 1))
				if proto == UDP && i%50 == 49 { // a socket's buffer may lose datagrams, which is not what this is about
					eventually(t, "the datagrams so far", func() bool { return tr.stats.Received.Load() == uint64(i+1) })
				}
			}
			for i := range n {
				if got := r.next("message").m.CSeq(); got != uint32(i) {
					t.Fatalf("message %d has CSeq %d", i, got)
				}
			}
			i := 0
			for a := range answers {
				if !strings.Contains(a, fmt.Sprintf("CSeq: %d OPTIONS", i)) {
					t.Fatalf("answer %d is %q", i, a)
				}
				i++
			}
			if i != n {
				t.Errorf("%d answers, want %d", i, n)
			}
		})
	}
}

// A limit per IPv6 address would be none: everybody has 2^64 of them.
func TestIPv6SourcesAreCountedByNetwork(t *testing.T) {
	tr, _, _ := start(t, Limits{AcceptedPerIP: 1})
	admit := func(ip string) (netip.Prefix, bool) {
		tr.admit()
		source, ok := tr.admitSource(netip.MustParseAddr(ip))
		if !ok {
			tr.leave(source)
		}
		return source, ok
	}
	first, ok := admit("2001:db8::1")
	if _, again := admit("2001:db8::ffff:2"); !ok || again {
		t.Errorf("admitted %v, then %v from the same network", ok, again)
	}
	other, ok := admit("2001:db8:0:1::1")
	if !ok {
		t.Error("another network was refused")
	}
	tr.leave(first)
	tr.leave(other)
}

func TestReplyAddresses(t *testing.T) {
	source := netip.MustParseAddrPort("198.51.100.7:40000")
	for _, tt := range []struct {
		via, reply, sentBy string
	}{
		{"UDP h.example:5070;rport", "198.51.100.7:40000", "198.51.100.7:5070"},
		{"UDP h.example:5070", "198.51.100.7:5070", "198.51.100.7:5070"},
		{"UDP h.example", "198.51.100.7:5060", "198.51.100.7:5060"},
	} {
		m := new(sip.Message)
		if err := m.Parse(options(tt.via, "")); err != nil {
			t.Fatal(err)
		}
		f := NewFlow(&udpLink{}, source)
		if got := ReplyFlow(f, m).Remote().String(); got != tt.reply {
			t.Errorf("%s: reply to %s, want %s", tt.via, got, tt.reply)
		}
		if got := SentBy(f, m).String(); got != tt.sentBy {
			t.Errorf("%s: sent by %s, want %s", tt.via, got, tt.sentBy)
		}
	}
}

func TestCloseEndsEverything(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	addr := listenTCP(t, tr)
	c := connect(t, addr)
	c.Write(options("TCP 192.0.2.9;rport", ""))
	r.next("message")
	connect(t, addr) // silent
	eventually(t, "accepted", func() bool { return tr.stats.Accepted.Load() == 2 })
	tr.Close()
	r.next("closed")
	r.next("closed")
	wantClosed(t, c)
	if _, err := tr.ListenUDP(loopback); !errors.Is(err, ErrClosed) {
		t.Errorf("listen after Close: %v", err)
	}
	if _, err := tr.ListenTCP(loopback); !errors.Is(err, ErrClosed) {
		t.Errorf("listen after Close: %v", err)
	}
	if _, err := dial(t, tr, Target{Proto: TCP, Addr: addr}); !errors.Is(err, ErrClosed) {
		t.Errorf("dial after Close: %v", err)
	}
}
