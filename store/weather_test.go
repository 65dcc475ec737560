package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	"google.golang.org/grpc"

	"carillon/audit"
	"carillon/store/storetest"
	"carillon/trunk"
)

// weather is a committer with which all goes wrong that can: batches come late, are refused for what they are, get no
// answer though they were written or though they were not, or take along the goroutine that sent them.
type weather struct {
	committer
	mu     sync.Mutex
	random *rand.Rand
	calls  int
	events map[string]int
}

// Txn implements committer.
func (w *weather) Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error) {
	w.mu.Lock()
	w.calls++
	n, pause := w.calls*5%33, w.random.IntN(200)
	w.mu.Unlock()
	for range pause {
		runtime.Gosched()
	}
	many := countOps(r) > 6 // no transaction of this test has that many alone
	switch {
	case n == 0 && many:
		return nil, w.note("too many ops", rpctypes.ErrTooManyOps)
	case n == 1 && many:
		return nil, w.note("too large", rpctypes.ErrRequestTooLarge)
	case n == 2:
		return nil, w.note("no lease", rpctypes.ErrLeaseNotFound)
	case n == 3:
		return nil, w.note("lost", rpctypes.ErrTimeout)
	case n == 4:
		_ = w.note("ended", nil)
		runtime.Goexit()
	}
	answer, err := w.committer.Txn(ctx, r, options...)
	switch {
	case err != nil:
	case n == 5:
		return nil, w.note("unheard", rpctypes.ErrTimeout)
	case !answer.Succeeded:
		_ = w.note("unheld", nil)
	}
	return answer, err
}

func (w *weather) note(event string, err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events[event]++
	return err
}

// countOps counts as etcd does against --max-txn-ops.
func countOps(r *pb.TxnRequest) int {
	inner := 0
	for _, op := range r.Success {
		if nested := op.GetRequestTxn(); nested != nil {
			inner = max(inner, countOps(nested))
		}
	}
	return max(len(r.Compare), len(r.Success)) + inner
}

const (
	purses  = 5
	content = 1000 // of each at first; what all have together never changes
)

func purse(n int) *trunk.Quota { return quotaOf(fmt.Sprint("purse ", n), content) }

func allPurses(tx trunk.Tx) (sum int, err error) {
	for n := range purses {
		q, _, err := trunk.Get[*trunk.Quota](tx, purse(n).EntityKey())
		if err != nil {
			return 0, err
		}
		sum += q.Value
	}
	return sum, nil
}

func pay(from, to, amount int) func(trunk.Tx) error {
	return func(tx trunk.Tx) error {
		a, _, err := trunk.Get[*trunk.Quota](tx, purse(from).EntityKey())
		if err != nil || from == to {
			return err
		}
		b, _, err := trunk.Get[*trunk.Quota](tx, purse(to).EntityKey())
		if err != nil {
			return err
		}
		tx.Put(quotaOf(a.Name, a.Value-amount))
		tx.Put(quotaOf(b.Name, b.Value+amount))
		return nil
	}
}

var errSum = errors.New("what a transaction has read is not of one state")

// deed returns one of the transactions of the test, the n-th, and whether it leaves a count of its own with an entry.
func deed(random *rand.Rand, n int) (fn func(trunk.Tx) error, counts bool) {
	some := random.IntN(purses)
	pays, counted := pay(some, random.IntN(purses), random.IntN(50)), count("count", fmt.Sprint("own ", n))
	switch random.IntN(6) {
	case 0, 1:
		return pays, false
	case 2, 3:
		entry := numbered(n, fmt.Sprintf("%012d", n%3), time.UnixMilli(1_000_000+random.Int64N(300)))
		return func(tx trunk.Tx) error {
			tx.Put(entry)
			if n%2 == 0 {
				if err := pays(tx); err != nil {
					return err
				}
			}
			return counted(tx)
		}, true
	case 4: // what it writes rests on all that it read
		return func(tx trunk.Tx) error {
			sum, err := allPurses(tx)
			tx.Put(quotaOf(fmt.Sprint("sum ", some), sum))
			return err
		}, false
	}
	return func(tx trunk.Tx) error {
		if sum, err := allPurses(tx); err != nil || sum != purses*content {
			return errors.Join(err, errSum)
		}
		return nil
	}, false
}

// TestAnyWeather: whatever becomes of batches, the transactions of two nodes are as if one came after the other, each ends,
// none that was told to hold is missing, and the batchers have nothing left over.
func TestAnyWeather(t *testing.T) {
	const workers, deeds = 20, 30
	s := start(t, Config{})
	for n := range purses {
		storetest.Put(t, s, purse(n))
	}
	seed := rand.Uint64()
	w := &weather{committer: s.commits, random: rand.New(rand.NewPCG(seed, 0)), events: map[string]int{}}
	s.commits = w
	other := &Store{config: s.config, client: s.client, commits: w, embedded: s.embedded, box: s.box} // as another node
	other.prepare()
	nodes := []*Store{s, other}
	held := make([]bool, workers*deeds) // those with a count
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(worker)+1))
			for n := worker * deeds; n < (worker+1)*deeds; n++ {
				fn, counts := deed(random, n)
				err := tryDeed(t, nodes[worker%2], random, fn)
				held[n] = err == nil && counts
				if errors.Is(err, errSum) || err != nil && trunk.KindOf(err) != trunk.Unavailable {
					t.Errorf("transaction %d: %v", n, err)
				}
			}
		})
	}
	all.Wait()
	for _, node := range nodes {
		settled(t, node, 0)
		inTheAir(t, node, 0, 0)
	}
	s.commits = w.committer
	checkDeeds(t, s, held)
	for _, event := range []string{"no lease", "lost", "ended", "unheard"} {
		if w.events[event] == 0 {
			t.Errorf("the weather was too good: %v", w.events)
		}
	}
	if t.Failed() {
		t.Logf("seed %d, %v, %+v", seed, w.events, s.Stats())
	}
}

// tryDeed makes one transaction, which now and then nobody waits for to the end.
func tryDeed(t *testing.T, s *Store, random *rand.Rand, fn func(trunk.Tx) error) error {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	switch pause := random.IntN(500); random.IntN(20) {
	case 0, 1:
		go func() {
			for range pause {
				runtime.Gosched()
			}
			cancel()
		}()
	case 2: // else batches would have one member each after a while
		s.batches.mu.Lock()
		s.batches.ops, s.batches.bytes = MaxBatchOps, MaxBatchBytes
		s.batches.mu.Unlock()
	}
	_, err := s.Update(ctx, fn)
	return err
}

// checkDeeds looks at what is left of all.
func checkDeeds(t *testing.T, s *Store, held []bool) {
	t.Helper()
	var sum int
	if _, err := s.Update(t.Context(), func(tx trunk.Tx) (err error) { sum, err = allPurses(tx); return err }); err != nil || sum != purses*content {
		t.Errorf("the purses have %d, want %d: %v", sum, purses*content, err)
	}
	for n := range purses {
		if got := quotaValue(t, s, fmt.Sprint("sum ", n)); got != 0 && got != purses*content {
			t.Errorf("a transaction was written that had read a sum of %d", got)
		}
	}
	counted := map[int]int{}
	var entries []string
	for n := range held {
		own := quotaValue(t, s, fmt.Sprint("own ", n))
		if own == 0 {
			if held[n] {
				t.Errorf("transaction %d is lost", n)
			}
			continue
		}
		if other, twice := counted[own]; twice {
			t.Errorf("transactions %d and %d have both counted %d", other, n, own)
		}
		counted[own] = n
		entries = append(entries, strconv.Itoa(n))
	}
	if got := quotaValue(t, s, "count"); got != len(counted) || got == 0 {
		t.Errorf("the count is %d, and %d have counted", got, len(counted))
	}
	logged := walkAudit(t, s, audit.Filter{}, 50)
	slices.Sort(logged)
	slices.Sort(entries)
	if !slices.Equal(logged, entries) {
		t.Errorf("the log has the entries of %v, and written are %v", logged, entries)
	}
}
