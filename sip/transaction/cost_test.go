package transaction

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// quiet is a user that answers every request at once with the same bytes.
type quiet struct{ response []byte }

func (q *quiet) Request(tx *Server, _ *sip.Message)     { tx.Respond(q.response) }
func (q *quiet) Ack(transport.Flow, *sip.Message)       {}
func (q *quiet) Stray(_ transport.Flow, _ *sip.Message) {}

// requests parses n OPTIONS with branches of their own.
func requests(tb testing.TB, n int) []*sip.Message {
	list := make([]*sip.Message, n)
	for i := range list {
		list[i] = siptest.Request{Method: "OPTIONS", Branch: fmt.Sprintf("z9hG4bK-%d", i)}.Message(tb)
	}
	return list
}

// discard is a link that takes everything.
type discard struct{ transport.Link }

func newDiscard(proto transport.Proto) transport.Flow {
	near, _ := siptest.Wire(proto, clocktest.New())
	return transport.NewFlow(discard{near}, near.Local())
}

// A finished transaction waits 32 s, so its size decides how many requests a second a node can
// take: it may hold its response and little else.
func TestFinishedTransactionIsSmall(t *testing.T) {
	const n = 20000
	c := clocktest.New()
	list := requests(t, n)
	user := &quiet{response: siptest.Response(t, list[0], 200, "near")}
	l, err := New(Config{Core: user, Clock: c})
	if err != nil {
		t.Fatal(err)
	}
	flow := newDiscard(transport.UDP)
	before := heapInUse()
	for _, m := range list {
		l.Receive(flow, m)
	}
	each := int64(heapInUse()-before) / n
	runtime.KeepAlive(list)
	t.Logf("%d octets a finished transaction, %d of them response", each, len(user.response))
	if limit := int64(len(user.response) + 600); each > limit {
		t.Errorf("%d octets a finished transaction, want at most %d", each, limit)
	}
	if got := l.stats.ServerNow.Load(); got != n {
		t.Fatalf("%d transactions, want %d", got, n)
	}
	c.Advance(time.Minute)
	if got := l.stats.ServerNow.Load(); got != 0 {
		t.Errorf("%d transactions left", got)
	}
}

func heapInUse() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Send does nothing.
func (discard) Send([]byte, netip.AddrPort) error { return nil }

func BenchmarkServer(b *testing.B) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
		b.Run(proto.String(), func(b *testing.B) {
			list := requests(b, 4096)
			c := clocktest.New()
			l, err := New(Config{Core: &quiet{response: siptest.Response(b, list[0], 200, "near")}, Clock: c})
			if err != nil {
				b.Fatal(err)
			}
			flow := newDiscard(proto)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i%len(list) == 0 {
					c.Advance(33 * time.Second)
				}
				l.Receive(flow, list[i%len(list)])
			}
		})
	}
}
