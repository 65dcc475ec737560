package store

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon/clock"
)

// MaxTurns bounds the records for which a node keeps turns. Updates that contend for further ones run again after a
// pause until one of them wins; carillon_store_reruns_total counts those.
const MaxTurns = 1024

// turnKept is how long turns are kept for a record after the last Update that took one: long enough for those who write
// it all the time, and too short to matter.
const turnKept = time.Second

// turns puts the Updates of this node in a line that contend for a record. Without it each commit of such a record would
// make all others run again, and most would be given up.
//
// Who holds the turn hands it on as soon as the transaction is in the batcher's queue, together with what the record
// will be then. The next one goes on from there and is committed in the same unit: both hold, or both fail. So a
// record that every Update changes, such as a count, is written as fast as any other. Nothing that was seen this way
// is told to anybody before it is written: an error, or a run that writes nothing, is run again without it.
type turns struct {
	clock clock.Clock
	count atomic.Int64 // of hot; most Updates need not look further

	mu  sync.Mutex
	hot map[string]*turn
}

// turn is one record's.
type turn struct {
	taken bool
	line  []chan struct{} // closed when the turn is theirs
	used  time.Time
	tip   tip
}

// tip is what the last holder left.
type tip struct {
	by    *pending
	value []byte // stored form; nil when it deleted the record
}

// ticket is the turns that one Update holds.
type ticket struct {
	turns *turns
	keys  []string // in order: whoever needs more than one never waits for a lower one
}

// contended reports whether Updates take turns for the record.
func (ts *turns) contended(key string) bool {
	if ts.count.Load() == 0 {
		return false
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.hot[key]
	return t != nil && !ts.old(t)
}

// old reports whether nobody has taken the turn for a while.
func (ts *turns) old(t *turn) bool { return !t.taken && ts.clock.Now().Sub(t.used) > turnKept }

func (t *ticket) holds(key string) bool { return slices.Contains(t.keys, key) }

// wait takes the turn for key when it comes. It returns ctx's error when that ends first.
func (t *ticket) wait(ctx context.Context, key string) error {
	if t.holds(key) {
		return nil
	}
	want := append(slices.Clone(t.keys), key)
	slices.Sort(want)
	if want[len(want)-1] == key {
		want = want[len(want)-1:]
	} else {
		t.release()
	}
	for _, k := range want {
		held, err := t.turns.take(ctx, k)
		if err != nil {
			return err
		}
		if held {
			t.keys = append(t.keys, k)
		}
	}
	return nil
}

// take waits for one turn, reporting false when there are too many for another.
func (ts *turns) take(ctx context.Context, key string) (held bool, err error) {
	ts.mu.Lock()
	t := ts.hot[key]
	if t == nil {
		if ts.sweep(); len(ts.hot) >= MaxTurns {
			ts.mu.Unlock()
			return false, nil
		}
		t = &turn{}
		ts.hot[key] = t
		ts.count.Store(int64(len(ts.hot)))
	}
	if !t.taken {
		t.taken = true
		ts.mu.Unlock()
		return true, nil
	}
	mine := make(chan struct{})
	t.line = append(t.line, mine)
	ts.mu.Unlock()
	select {
	case <-mine:
		return true, nil
	case <-ctx.Done():
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if i := slices.Index(t.line, mine); i >= 0 {
		t.line = slices.Delete(t.line, i, i+1)
	} else {
		ts.next(t)
	}
	return false, ctx.Err()
}

// next gives the turn to the first in the line.
func (ts *turns) next(t *turn) {
	if t.used = ts.clock.Now(); len(t.line) == 0 {
		t.taken = false
		return
	}
	close(t.line[0])
	t.line = t.line[1:]
}

// sweep forgets turns that nobody has taken for a while.
func (ts *turns) sweep() {
	for key, t := range ts.hot {
		if ts.old(t) {
			delete(ts.hot, key)
		}
	}
}

// seen returns what the last holder of a turn that t holds makes of the record; false when the store must be asked.
func (t *ticket) seen(key string) (tip, bool) {
	if !t.holds(key) {
		return tip{}, false
	}
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	last := t.turns.hot[key].tip
	return last, last.by != nil && last.by.fate.Load() != failed
}

// leave tells those who come next what p, which is in the batcher's queue, makes of the records.
func (t *ticket) leave(p *pending) {
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	for _, w := range p.writes {
		if t.holds(w.key) {
			t.turns.hot[w.key].tip = tip{p, w.op.GetRequestPut().GetValue()}
		}
	}
}

// release gives all turns up.
func (t *ticket) release() {
	if len(t.keys) == 0 {
		return
	}
	t.turns.mu.Lock()
	defer t.turns.mu.Unlock()
	for _, key := range t.keys {
		t.turns.next(t.turns.hot[key])
	}
	t.keys = nil
}

// overtakenError says that a record has changed since a transaction read it.
type overtakenError struct{ key string }

// Error implements error.
func (e *overtakenError) Error() string { return "run again: " + e.key + " has changed" }
