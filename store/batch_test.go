package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"carillon/store/storetest"
	"carillon/trunk"
)

// gate holds up every batch until it is let through, one at a time unless the store is told otherwise. It tells of each
// how many units are in it.
type gate struct {
	committer
	store *Store
	sent  chan int
	pass  chan error // what a batch fails with; nil lets it go on
	ended chan struct{}
}

func newGate(t *testing.T, s *Store) *gate {
	setFlights(s, 1)
	g := &gate{committer: s.commits, store: s, sent: make(chan int), pass: make(chan error), ended: make(chan struct{})}
	s.commits = g
	t.Cleanup(func() { close(g.ended) })
	return g
}

// setFlights bounds how many batches go at a time. The sender of an earlier one may still be looking.
func setFlights(s *Store, most int) {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	s.batches.most = most
}

// Txn implements committer.
func (g *gate) Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error) {
	select {
	case g.sent <- g.units(r):
	case <-g.ended:
		return g.committer.Txn(ctx, r, options...)
	}
	select {
	case err := <-g.pass:
		if err != nil {
			return nil, err
		}
	case <-g.ended:
	}
	return g.committer.Txn(ctx, r, options...)
}

// units returns how many units the batch with that request has.
func (g *gate) units(r *pb.TxnRequest) int {
	b := g.store.batches
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.flights {
		if f.units[0].writes[0].key == firstWrite(r) {
			return len(f.units)
		}
	}
	return 0
}

// firstWrite returns the key that a request of puts writes first.
func firstWrite(r *pb.TxnRequest) string {
	if nested := r.Success[0].GetRequestTxn(); nested != nil {
		r = nested
	}
	return string(r.Success[0].GetRequestPut().GetKey())
}

// next waits for the next transaction and returns its members.
func (g *gate) next(t *testing.T) int {
	t.Helper()
	select {
	case n := <-g.sent:
		return n
	case <-time.After(10 * time.Second):
		t.Fatal("no transaction was sent")
		return 0
	}
}

// queued waits until that many transactions wait for their batch.
func queued(t *testing.T, s *Store, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		s.batches.mu.Lock()
		got := len(s.batches.queue)
		s.batches.mu.Unlock()
		if got == want {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d transactions wait, want %d", got, want)
		}
	}
}

// updates runs updates at the same time and collects their errors.
type updates struct {
	all  sync.WaitGroup
	mu   sync.Mutex
	errs []error
}

func (u *updates) start(ctx context.Context, s *Store, fn func(trunk.Tx) error) {
	u.all.Go(func() {
		_, err := s.Update(ctx, fn)
		u.mu.Lock()
		defer u.mu.Unlock()
		u.errs = append(u.errs, err)
	})
}

// kinds counts the errors by kind; nil counts as 0.
func (u *updates) kinds() (held int, kinds map[trunk.Kind]int) {
	u.all.Wait()
	kinds = map[trunk.Kind]int{}
	for _, err := range u.errs {
		if err == nil {
			held++
		} else {
			kinds[trunk.KindOf(err)]++
		}
	}
	return held, kinds
}

func quotaOf(name string, value int) *trunk.Quota {
	return &trunk.Quota{Account: "123456789012", Name: name, Value: value}
}

func creates(name string) func(trunk.Tx) error {
	return func(tx trunk.Tx) error { tx.Create(quotaOf(name, 1)); return nil }
}

// TestConcurrentUpdatesShareATransaction: what comes while one batch is on its way goes together in the next.
func TestConcurrentUpdatesShareATransaction(t *testing.T) {
	s := start(t, Config{})
	g := newGate(t, s)
	var all updates
	all.start(t.Context(), s, creates("first"))
	if n := g.next(t); n != 1 {
		t.Fatalf("a lone update went with %d others", n-1)
	}
	for i := range 30 {
		all.start(t.Context(), s, creates(fmt.Sprint("n", i)))
	}
	all.start(t.Context(), s, creates("first")) // touches what is on its way; it is judged after it
	queued(t, s, 31)
	g.pass <- nil
	if n := g.next(t); n != 30 && n != 31 {
		t.Errorf("the next batch has %d transactions, want all that waited", n)
	}
	g.pass <- nil
	go func() { // the loser asks what it lost to
		for {
			select {
			case <-g.sent:
				g.pass <- nil
			case <-g.ended:
				return
			}
		}
	}()
	if held, kinds := all.kinds(); held != 31 || kinds[trunk.Conflict] != 1 {
		t.Errorf("%d held, others %v; want 31 and one conflict", held, kinds)
	}
	if got := s.Stats(); got.Updates != 31 || got.Batches > 3 {
		t.Errorf("counted %+v", got)
	}
}

// TestABatchNeverMixesWhatCollides: each pair would hold by the state before the batch.
func TestABatchNeverMixesWhatCollides(t *testing.T) {
	reads := func(read, write string) func(trunk.Tx) error {
		return func(tx trunk.Tx) error {
			e, err := tx.Get(quotaOf(read, 0).EntityKey())
			if err == nil && e == nil {
				tx.Put(quotaOf(write, 1))
			}
			return err
		}
	}
	puts := func(name string) func(trunk.Tx) error {
		return func(tx trunk.Tx) error { tx.Put(quotaOf(name, 2)); return nil }
	}
	for _, c := range []struct {
		name     string
		one, two func(trunk.Tx) error
		separate bool
		reruns   uint64
		a, b     int // values afterwards, 0 for none
	}{
		{"write skew", reads("a", "b"), reads("b", "a"), true, 1, 0, 1},
		{"a read of what the other writes", puts("a"), reads("a", "b"), true, 1, 2, 0},
		{"a write of what the other reads", reads("a", "b"), puts("a"), true, 0, 2, 1},
		{"two writes", puts("a"), puts("a"), true, 0, 2, 0},
		{"two reads", reads("x", "a"), reads("x", "b"), false, 0, 1, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Config{})
			g := newGate(t, s)
			var all updates
			all.start(t.Context(), s, creates("before"))
			g.next(t)
			all.start(t.Context(), s, c.one)
			queued(t, s, 1)
			all.start(t.Context(), s, c.two)
			queued(t, s, 2)
			g.pass <- nil
			batch := g.next(t)
			if separate := batch == 1; separate != c.separate {
				t.Errorf("a batch has %d transactions", batch)
			}
			go func() {
				for {
					select {
					case g.pass <- nil:
					case <-g.sent:
					case <-g.ended:
						return
					}
				}
			}()
			if held, kinds := all.kinds(); held != 3 {
				t.Errorf("%d held, others %v", held, kinds)
			}
			if got := s.Stats().Reruns; got != c.reruns {
				t.Errorf("%d reruns, want %d", got, c.reruns)
			}
			if a, b := quotaValue(t, s, "a"), quotaValue(t, s, "b"); a != c.a || b != c.b {
				t.Errorf("a is %d and b %d, want %d and %d", a, b, c.a, c.b)
			}
		})
	}
}

func quotaValue(t *testing.T, s *Store, name string) int {
	t.Helper()
	if q, ok := storetest.Get(t, s, quotaOf(name, 0).EntityKey()).(*trunk.Quota); ok {
		return q.Value
	}
	return 0
}

// TestALeaverHurtsNobody: a caller whose context ends leaves its batch, and the others of it hold.
func TestALeaverHurtsNobody(t *testing.T) {
	s := start(t, Config{})
	g := newGate(t, s)
	ctx, leave := context.WithCancel(t.Context())
	var leavers, others updates
	leavers.start(ctx, s, creates("on its way"))
	g.next(t)
	leavers.start(ctx, s, creates("waiting"))
	queued(t, s, 1)
	others.start(t.Context(), s, creates("stays"))
	queued(t, s, 2)
	leave()
	if held, kinds := leavers.kinds(); held != 0 || kinds[trunk.Unavailable] != 2 {
		t.Errorf("those who left: %d held, others %v", held, kinds)
	}
	queued(t, s, 1)
	g.pass <- nil
	g.next(t)
	g.pass <- nil
	if held, kinds := others.kinds(); held != 1 {
		t.Errorf("the one that stayed: %v", kinds)
	}
	if got := quotaValue(t, s, "waiting"); got != 0 {
		t.Errorf("the update that left while it waited was written: %d", got)
	}
}

// TestARefusedBatchIsDivided plays clusters with bounds below ours, and a lease that has ended.
func TestARefusedBatchIsDivided(t *testing.T) {
	for _, refusal := range []error{rpctypes.ErrTooManyOps, rpctypes.ErrRequestTooLarge, rpctypes.ErrLeaseNotFound} {
		t.Run(refusal.Error(), func(t *testing.T) {
			s := start(t, Config{})
			g := newGate(t, s)
			var all updates
			all.start(t.Context(), s, creates("first"))
			g.next(t)
			for i := range 20 {
				all.start(t.Context(), s, creates(fmt.Sprint("n", i)))
			}
			queued(t, s, 20)
			g.pass <- nil
			if n := g.next(t); n != 20 {
				t.Fatalf("the batch has %d transactions, want 20", n)
			}
			g.pass <- refusal
			largest := 0
			for rest := 20; rest > 0; {
				n := g.next(t)
				largest, rest = max(largest, n), rest-n
				g.pass <- nil
			}
			if held, kinds := all.kinds(); held != 21 {
				t.Errorf("%d held, others %v", held, kinds)
			}
			if largest > 10 || s.Stats().BatchesDivided != 1 {
				t.Errorf("after the refusal a batch had %d transactions; counted %+v", largest, s.Stats())
			}
		})
	}
}

// TestABatchOfUnknownFateIsTold: nobody is told that a write did not happen when it may have.
func TestABatchOfUnknownFateIsTold(t *testing.T) {
	s := start(t, Config{})
	g := newGate(t, s)
	var all updates
	all.start(t.Context(), s, creates("first"))
	g.next(t)
	for i := range 5 {
		all.start(t.Context(), s, creates(fmt.Sprint("n", i)))
	}
	queued(t, s, 5)
	g.pass <- rpctypes.ErrTimeout
	g.next(t)
	g.pass <- errors.New("who knows")
	if held, kinds := all.kinds(); held != 0 || kinds[trunk.Unavailable] != 6 {
		t.Errorf("%d held, others %v; want 6 times unavailable", held, kinds)
	}
}

// TestBatchBounds: each bound cuts a batch, and is counted.
func TestBatchBounds(t *testing.T) {
	long := strings.Repeat("x", MaxBatchBytes/3)
	for _, c := range []struct {
		name string
		fn   func(i int) func(trunk.Tx) error
		want int // transactions of the first full batch
	}{
		{"number", func(i int) func(trunk.Tx) error { return creates(fmt.Sprint(i)) }, MaxBatch},
		{"ops", func(i int) func(trunk.Tx) error {
			return func(tx trunk.Tx) error {
				for j := range 68 {
					tx.Create(quotaOf(fmt.Sprint(i, "-", j), 1))
				}
				return nil
			}
		}, MaxBatchOps - 68},
		{"bytes", func(i int) func(trunk.Tx) error {
			return func(tx trunk.Tx) error {
				c := storetest.Connector(fmt.Sprint(i))
				c.Name = long
				tx.Put(c)
				return nil
			}
		}, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, Config{})
			s.batches.ops = MaxBatchOps // as on a cluster
			g := newGate(t, s)
			var all updates
			all.start(t.Context(), s, creates("first"))
			g.next(t)
			n := c.want + 3
			for i := range n {
				all.start(t.Context(), s, c.fn(i))
			}
			queued(t, s, n)
			var sizes []int
			for rest := n; rest > 0; {
				g.pass <- nil
				size := g.next(t)
				sizes, rest = append(sizes, size), rest-size
			}
			g.pass <- nil
			if held, kinds := all.kinds(); held != n+1 {
				t.Errorf("%d held, others %v", held, kinds)
			}
			if slices.Max(sizes) != c.want || s.Stats().BatchesFull == 0 {
				t.Errorf("batches of %v, want at most %d; counted %+v", sizes, c.want, s.Stats())
			}
		})
	}
}

// TestCloseEndsWaiters: updates that wait for a batch end with the store.
func TestCloseEndsWaiters(t *testing.T) {
	s, err := Open(t.Context(), Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	g := newGate(t, s)
	var all updates
	all.start(t.Context(), s, creates("first"))
	g.next(t)
	for i := range 5 {
		all.start(t.Context(), s, creates(fmt.Sprint("n", i)))
	}
	queued(t, s, 5)
	begin := time.Now()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	g.pass <- nil
	g.next(t)
	g.pass <- nil
	if held, kinds := all.kinds(); held != 0 || kinds[trunk.Unavailable] != 6 {
		t.Errorf("%d held, others %v", held, kinds)
	}
	if d := time.Since(begin); d > 5*time.Second {
		t.Errorf("it took %v", d)
	}
}
