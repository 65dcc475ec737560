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
