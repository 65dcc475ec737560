package transaction

import (
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"carillon/clock/clocktest"
)

// woken is an entry that notes when it was woken.
type woken struct {
	slot
	due, at int64
}

func (w *woken) place() *slot     { return &w.slot }
func (w *woken) expire(now int64) { w.at = now }

// However many transactions end in a second, the process is woken a few times only, and none of them early or late by
// more than a tick.
func TestTimersFireTogether(t *testing.T) {
	for name, c := range map[string]struct {
		wait, tick time.Duration
	}{"long": {5 * time.Second, coarseTick}, "short": {500 * time.Millisecond, fineTick}} {
		t.Run(name, func(t *testing.T) {
			fake := clocktest.New()
			var size atomic.Int64
			table := newTable[*woken](fake, &size, 10_000)
			rng := rand.New(rand.NewPCG(1, 2))
			all := make([]*woken, 2000)
			for i := range all {
				all[i] = &woken{due: int64(c.wait) + rng.Int64N(int64(time.Second))}
				if _, room := table.add(key{rng.Uint64(), rng.Uint64()}, all[i]); !room {
					t.Fatal("no room")
				}
				table.wake(all[i], all[i].due)
			}
			wakes := 0
			for last := time.Duration(-1); ; {
				next, ok := fake.Next()
				if !ok {
					break
				}
				if next > 0 || last < 0 {
					wakes++
				}
				last = next
				fake.Advance(next)
			}
			if most := int(time.Second/c.tick) + 1; wakes > most {
				t.Errorf("%d wake-ups; want %d at most", wakes, most)
			}
			for _, w := range all {
				if late := time.Duration(w.at - w.due); late < 0 || late >= c.tick {
					t.Fatalf("due after %v and woken %v later; want less than %v", time.Duration(w.due), late, c.tick)
				}
			}
		})
	}
}

// Times that are moved and transactions that end early leave entries behind, but no more than there are transactions.
func TestListsAreTidied(t *testing.T) {
	fake := clocktest.New()
	var size atomic.Int64
	table := newTable[*woken](fake, &size, 100_000)
	rng := rand.New(rand.NewPCG(3, 4))
	var live []*woken
	listed := func() (n int) {
		for i := range table.shards {
			n += table.shards[i].listed
		}
		return n
	}
	const most = 2 * shardCount * tidied
	for range 50_000 {
		w := &woken{}
		table.add(key{rng.Uint64(), rng.Uint64()}, w)
		for range 3 {
			w.due = table.now() + int64(30*time.Second) + rng.Int64N(int64(10*time.Second))
			table.wake(w, w.due)
		}
		if live = append(live, w); len(live) > 1000 {
			table.remove(live[0])
			live = live[1:]
		}
		if n := listed(); n > most {
			t.Fatalf("%d entries for %d transactions; want %d at most", n, len(live), most)
		}
	}
	fake.Advance(time.Minute)
	for _, w := range live {
		if late := time.Duration(w.at - w.due); late < 0 || late >= coarseTick {
			t.Fatalf("woken %v late; want less than %v", late, coarseTick)
		}
	}
	if n := listed(); n != 0 {
		t.Errorf("%d entries are left when all is over", n)
	}
}
