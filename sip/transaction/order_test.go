package transaction

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// A callback that calls back into its transaction, and messages that arrive while it runs, must
// neither deadlock nor overtake it.
func TestEventsWaitForTheirCallback(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	var order []string
	var c *Client
	nested := false
	branch := h.layer.NewBranch()
	_, err := h.layer.Start(Outgoing{Flow: h.near.Flow(), Method: sip.Invite, Branch: branch,
		Bytes: siptest.Request{Branch: branch}.Bytes(),
		OnEvent: func(e Event) {
			c = e.Client
			order = append(order, fmt.Sprint("begin ", e.Message.Status()))
			if !nested {
				nested = true
				h.answer(183) // arrives within this callback
				c.Cancel("")
				h.answer(487)
			}
			order = append(order, fmt.Sprint("end ", e.Message.Status()))
		}})
	if err != nil {
		t.Fatal(err)
	}
	h.answer(180)
	want := []string{"begin 180", "end 180", "begin 183", "end 183", "begin 487", "end 487"}
	if !slices.Equal(order, want) {
		t.Errorf("got %v, want %v", order, want)
	}
	h.wantSent("0s INVITE", "0s CANCEL", "0s ACK")
}

// What comes before the user knows of the transaction waits until it does.
func TestEventsWaitForRequestToReturn(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	h.onNew = func(tx *Server, req *sip.Message) {
		if req.Method() == sip.Invite {
			h.send(siptest.Request{Method: "CANCEL"}.Bytes())
			h.note("known")
		}
	}
	h.send(siptest.Request{}.Bytes())
	h.wantTold("0s new INVITE", "0s known", "0s Cancelled")
}

// A callback that does not return must not let its peer fill the memory.
func TestQueueIsBounded(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	got := make(map[int]int)
	first := true
	branch := h.layer.NewBranch()
	_, err := h.layer.Start(Outgoing{Flow: h.near.Flow(), Method: sip.Invite, Branch: branch,
		Bytes: siptest.Request{Branch: branch}.Bytes(),
		OnEvent: func(e Event) {
			got[e.Message.Status()]++
			if first {
				first = false
				for range 1000 {
					h.answer(183)
				}
				h.answer(404)
			}
		}})
	if err != nil {
		t.Fatal(err)
	}
	h.answer(180)
	if got[183] != maxQueued || got[404] != 1 {
		t.Errorf("told %v, want %d times 183 and the 404", got, maxQueued)
	}
	if n := h.layer.stats.Dropped.Load(); n != 1000-maxQueued {
		t.Errorf("counted %d dropped, want %d", n, 1000-maxQueued)
	}
}

// fuzzUser answers requests from other goroutines and checks what it is told.
type fuzzUser struct {
	t       *testing.T
	answers sync.WaitGroup
	mu      sync.Mutex
	active  map[*Server]int
}

func (u *fuzzUser) Request(tx *Server, req *sip.Message) {
	m := req.Clone()
	tx.Bind("near", u.watch)
	u.answers.Go(func() {
		tx.Respond(siptest.Response(u.t, m, 180, "near"))
		code := []int{200, 486, 603}[rand.N(3)]
		tx.Respond(siptest.Response(u.t, m, code, "near"))
		if code == 200 && rand.N(2) == 0 {
			tx.Acked()
		}
	})
}

// watch checks that no two events of a transaction are told at a time.
func (u *fuzzUser) watch(e Event) {
	u.mu.Lock()
	u.active[e.Server]++
	if u.active[e.Server] > 1 {
		u.t.Errorf("%v told while another event is", e.Kind)
	}
	u.mu.Unlock()
	runtime.Gosched()
	u.mu.Lock()
	u.active[e.Server]--
	u.mu.Unlock()
}

func (u *fuzzUser) Ack(transport.Flow, *sip.Message) {}

func (u *fuzzUser) Stray(transport.Flow, *sip.Message) {}

// TestRandomTraffic lets two layers talk over a wire that loses a third of everything, from many
// goroutines while time runs, and checks that every client hears exactly one end and that in the
// end nothing is left but INVITEs that ring.
func TestRandomTraffic(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
		t.Run(proto.String(), func(t *testing.T) { newTraffic(t, proto).run() })
	}
}

// traffic is two layers with users that talk at random.
type traffic struct {
	t      *testing.T
	clock  *clocktest.Fake
	user   *fuzzUser
	ends   [2]*siptest.End
	layers [2]*Layer

	mu   sync.Mutex
	over map[string]int // ends told, by branch
}

const (
	senders         = 8
	requestsPerSend = 40
)

func newTraffic(t *testing.T, proto transport.Proto) *traffic {
	x := &traffic{t: t, clock: clocktest.New(), over: make(map[string]int),
		user: &fuzzUser{t: t, active: make(map[*Server]int)}}
	x.ends[0], x.ends[1] = siptest.Wire(proto, x.clock)
	for i, end := range x.ends {
		l, err := New(Config{Core: x.user, Clock: x.clock})
		if err != nil {
			t.Fatal(err)
		}
		end.Attach(l)
		end.Lose(func(int, []byte) bool { return rand.N(3) == 0 })
		x.layers[i] = l
	}
	return x
}

func (x *traffic) run() {
	var work sync.WaitGroup
	for i := range senders {
		work.Go(func() {
			for range requestsPerSend {
				x.send(i % 2)
			}
		})
	}
	stop, ticking := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ticking)
		for {
			select {
			case <-stop:
				return
			default:
				x.clock.Advance(50 * time.Millisecond)
			}
		}
	}()
	work.Wait()
	close(stop)
	<-ticking
	for range 200 { // what is answered while time runs takes time again
		x.user.answers.Wait()
		x.clock.Advance(time.Second)
	}
	x.check()
}

func (x *traffic) send(side int) {
	l, end := x.layers[side], x.ends[side]
	method, branch := []string{"INVITE", "BYE"}[rand.N(2)], l.NewBranch()
	c, err := l.Start(Outgoing{
		Flow:    end.Flow(),
		Bytes:   siptest.Request{Method: method, Branch: branch, Transport: end.Proto().String()}.Bytes(),
		Method:  sip.ParseMethod([]byte(method)),
		Branch:  branch,
		OnEvent: func(e Event) { x.told(e, branch) },
	})
	if err != nil {
		x.t.Error(err)
		return
	}
	if rand.N(3) == 0 {
		c.Cancel("")
	}
}

func (x *traffic) told(e Event, branch string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case e.Kind == Response && e.Message.Status() < 200:
		if x.over[branch] > 0 {
			x.t.Errorf("%s: %d after the end", branch, e.Message.Status())
		}
	case e.Kind == Response && e.Message.Status() < 300 && e.Client.Method() == sip.Invite:
		x.over[branch] = 1 // it may come again
	default:
		x.over[branch]++
	}
}

func (x *traffic) check() {
	for branch, n := range x.over {
		if n != 1 {
			x.t.Errorf("%s: told of %d ends, want 1", branch, n)
		}
	}
	ringing := 0
	for i, l := range x.layers {
		if n, waits := l.servers.left(); n != 0 || waits != 0 {
			x.t.Errorf("layer %d: %d server transactions and %d waits left", i, n, waits)
		}
		n, waits := l.clients.left()
		if waits != 0 {
			x.t.Errorf("layer %d: %d clients wait for a time that never comes", i, waits)
		}
		ringing += n
	}
	if got, want := len(x.over)+ringing, senders*requestsPerSend; got != want {
		x.t.Errorf("%d ended and %d ring, want %d in all", len(x.over), ringing, want)
	}
}
