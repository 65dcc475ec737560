package store

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"google.golang.org/grpc"

	"carillon/trunk"
)

// inTheAir waits until that many batches are on their way and that many transactions wait, and nobody is about to change it.
func inTheAir(t *testing.T, s *Store, flights, waiting int) {
	t.Helper()
	queued(t, s, waiting)
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	if len(s.batches.flights) != flights || s.batches.due() {
		t.Fatalf("%d batches are on their way, want %d; another one is due: %v", len(s.batches.flights), flights, s.batches.due())
	}
}

// TestBatchesFlyTogether: a second batch goes once it is as large as the first, and no third one.
func TestBatchesFlyTogether(t *testing.T) {
	s := start(t, Config{})
	g := newGate(t, s)
	setFlights(s, MaxFlights)
	var all updates
	begin := func(names ...string) {
		for _, name := range names {
			all.start(t.Context(), s, creates(name))
		}
	}
	begin("a")
	g.next(t)
	begin("b")
	g.next(t)
	begin("c", "d", "e")
	inTheAir(t, s, 2, 3)
	g.pass <- nil
	if n := g.next(t); n != 3 { // one of the two has landed: three are more than the other
		t.Fatalf("the third batch has %d transactions, want 3", n)
	}
	g.pass <- nil // a, b or the three: whichever it is, one batch stays in the air
	begin("f")
	openGate(g)
	if held, kinds := all.kinds(); held != 6 {
		t.Errorf("%d held, others %v", held, kinds)
	}
}

// TestWhatMeetsABatchWaits: nothing goes beside a batch that writes what it touches, or touches what it writes.
func TestWhatMeetsABatchWaits(t *testing.T) {
	const here, there = "here", "there"
	reads := func(read, write string) func(trunk.Tx) error {
		return func(tx trunk.Tx) error {
			if _, err := tx.Get(quotaOf(read, 0).EntityKey()); err != nil {
				return err
			}
			tx.Put(quotaOf(write, 2))
			return nil
		}
	}
	for _, c := range []struct {
		name          string
		first, second func(trunk.Tx) error
		waits         bool
	}{
		{"two writes", creates(here), reads(there, here), true},
		{"a read of what is written", creates(here), reads(here, there), true},
		{"a write of what is read", reads(here, there), creates(here), true},
		{"two reads", reads(here, there), reads(here, "elsewhere"), false},
		{"nothing in common", creates(here), creates(there), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Config{})
			g := newGate(t, s)
			setFlights(s, MaxFlights)
			var all updates
			all.start(t.Context(), s, c.first)
			g.next(t)
			all.start(t.Context(), s, c.second)
			if c.waits {
				inTheAir(t, s, 1, 1)
			} else {
				g.next(t)
			}
			openGate(g)
			if held, kinds := all.kinds(); held != 2 {
				t.Errorf("%d held, others %v", held, kinds)
			}
		})
	}
}

// shapes notes of each transaction whether it was sent with its units.
type shapes struct {
	committer
	mu     sync.Mutex
	nested []bool
}

// Txn implements committer.
func (n *shapes) Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error) {
	n.mu.Lock()
	n.nested = append(n.nested, r.Success[0].GetRequestTxn() != nil)
	n.mu.Unlock()
	return n.committer.Txn(ctx, r, options...)
}

// TestAnUnheldBatchGoesAgain: one that cannot hold takes nobody along, and after it batches go with their units for a
// while.
func TestAnUnheldBatchGoesAgain(t *testing.T) {
	s := start(t, Config{})
	if _, err := s.Update(t.Context(), func(tx trunk.Tx) error { tx.Create(quotaOf("taken", 7)); return nil }); err != nil {
		t.Fatal(err)
	}
	sent := &shapes{committer: s.commits}
	s.commits = sent
	g := newGate(t, s)
	round := func(n int, names ...string) (held int, kinds map[trunk.Kind]int) {
		var all updates
		all.start(t.Context(), s, creates(fmt.Sprint("alone", n)))
		g.next(t)
		for i, name := range names {
			all.start(t.Context(), s, creates(name))
			queued(t, s, i+1)
		}
		g.pass <- nil
		done := make(chan struct{})
		go func() { held, kinds = all.kinds(); close(done) }()
		for {
			select {
			case <-g.sent:
				g.pass <- nil
			case <-done:
				return held, kinds
			}
		}
	}
	if held, kinds := round(0, "n1", "taken", "n2"); held != 3 || kinds[trunk.Conflict] != 1 {
		t.Errorf("%d held, others %v; want 3 and a conflict", held, kinds)
	}
	if got := quotaValue(t, s, "taken"); got != 7 || quotaValue(t, s, "n1") != 1 || quotaValue(t, s, "n2") != 1 {
		t.Errorf("the taken one is %d, the others %d and %d", got, quotaValue(t, s, "n1"), quotaValue(t, s, "n2"))
	}
	for i := range waryBatches + 1 {
		round(i+1, fmt.Sprint("x", i), fmt.Sprint("y", i))
	}
	if got := s.Stats().BatchesUnheld; got != 1 {
		t.Errorf("%d batches did not hold, want 1", got)
	}
	// alone, together, with units; then alone and with units in turn, and at last without again.
	want := []bool{false, false, true}
	for range waryBatches {
		want = append(want, false, true)
	}
	want = append(want, false, false)
	if got := fmt.Sprint(sent.nested); got != fmt.Sprint(want) {
		t.Errorf("batches went with units: %v, want %v", got, want)
	}
}

// TestNobodyPassesWhoWaits: those who read a record, one batch after the other, do not keep back for ever the one who writes it.
func TestNobodyPassesWhoWaits(t *testing.T) {
	reads := func(own string) func(trunk.Tx) error {
		return func(tx trunk.Tx) error {
			_, err := tx.Get(quotaOf("rule", 0).EntityKey())
			tx.Create(quotaOf(own, 1))
			return err
		}
	}
	s := start(t, Config{})
	g := newGate(t, s)
	setFlights(s, MaxFlights)
	var readers, writer updates
	landed := make(chan error, 2)
	for n := range MaxFlights {
		go func() { _, err := s.Update(t.Context(), reads(fmt.Sprint("early", n))); landed <- err }()
		g.next(t)
	}
	writer.start(t.Context(), s, creates("rule"))
	queued(t, s, 1)
	for n := range 3 {
		readers.start(t.Context(), s, reads(fmt.Sprint("late", n)))
		queued(t, s, n+2)
	}
	g.pass <- nil
	if err := <-landed; err != nil {
		t.Fatal(err)
	}
	settled(t, s, 1)
	inTheAir(t, s, 1, 4)
	g.pass <- nil
	if n := g.next(t); n != 1 {
		t.Errorf("the next batch has %d transactions, want the one that writes", n)
	}
	openGate(g)
	if held, kinds := readers.kinds(); held != 3 {
		t.Errorf("of 3 that read %d held, others %v", held, kinds)
	}
	if held, kinds := writer.kinds(); held != 1 {
		t.Errorf("the one that writes: %v", kinds)
	}
	if err := <-landed; err != nil {
		t.Error(err)
	}
}

// settled waits until that many batches are on their way and no sender is between two.
func settled(t *testing.T, s *Store, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		s.batches.mu.Lock()
		senders, flights := s.batches.senders, len(s.batches.flights)
		s.batches.mu.Unlock()
		if senders == want && flights == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d senders with %d batches on their way, want %d", senders, flights, want)
		}
	}
}
