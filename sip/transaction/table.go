package transaction

import (
	"sync"
	"sync/atomic"
	"time"

	"carillon/clock"
)

// shardCount spreads the locks; a power of two.
const shardCount = 32

// never is the due time of a transaction that waits for nothing.
const never int64 = 1<<63 - 1

// slot is what a table keeps inside a transaction; the shard's lock guards it.
type slot struct {
	key key
	due int64 // ns on the table's scale, at a tick; never when it waits for nothing
}

// entry is a transaction in a table. expire is called without locks, on the clock's goroutine,
// when its due time has come.
type entry interface {
	comparable
	place() *slot
	expire(now int64)
}

// table finds transactions by key and wakes them at their time. Each shard has one lock, one map,
// and one timer for its first tick: a transaction costs no timer of its own.
type table[T entry] struct {
	clock  clock.Clock
	start  time.Time
	size   *atomic.Int64
	max    int64
	shards [shardCount]shard[T]
}

// shard has a list for each tick at which something is due. A transaction whose time is moved, or
// that ends, stays in the list it is in until that is its tick or the lists are tidied: to find it
// there, or in a heap, would cost a look at many others, none of them in the processor's caches.
type shard[T entry] struct {
	mu     sync.Mutex
	byKey  map[key]T
	waits  map[int64][]T
	ticks  []int64 // those of waits; a heap
	listed int     // entries in all lists
	timer  clock.Timer
	fires  int64 // when the timer is set for, never when it is not
}

func newTable[T entry](c clock.Clock, size *atomic.Int64, max int) *table[T] {
	t := &table[T]{clock: c, start: c.Now(), size: size, max: int64(max)}
	for i := range t.shards {
		t.shards[i].byKey = make(map[key]T)
		t.shards[i].waits = make(map[int64][]T)
		t.shards[i].fires = never
	}
	return t
}

// now returns the time on the table's scale.
func (t *table[T]) now() int64 { return int64(t.clock.Now().Sub(t.start)) }

func (t *table[T]) shard(k key) *shard[T] { return &t.shards[k[0]%shardCount] }

// get returns the transaction with this key, or the zero T.
func (t *table[T]) get(k key) T {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.byKey[k]
}

// add inserts v under k. It returns the transaction that has k already, if any, and whether there
// was room.
func (t *table[T]) full() bool { return t.size.Load() >= t.max }

func (t *table[T]) add(k key, v T) (existing T, room bool) {
	var zero T
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if have, ok := s.byKey[k]; ok {
		return have, true
	}
	if t.size.Add(1) > t.max {
		t.size.Add(-1)
		return zero, false
	}
	p := v.place()
	p.key, p.due = k, never
	s.byKey[k] = v
	return zero, true
}

// remove takes v out; it does nothing when v is not in.
func (t *table[T]) remove(v T) {
	p := v.place()
	s := t.shard(p.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[p.key] != v {
		return
	}
	delete(s.byKey, p.key)
	t.size.Add(-1)
	p.due = never
	s.tidy()
}

// wake sets the time at which v.expire is called, never for not at all. It does nothing when v
// is not in the table.
func (t *table[T]) wake(v T, due int64) {
	if due != never {
		due = t.tickFrom(due)
	}
	p := v.place()
	s := t.shard(p.key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKey[p.key] != v || p.due == due {
		return
	}
	if p.due = due; due == never {
		return
	}
	list, has := s.waits[due]
	if !has {
		s.push(due)
	}
	s.waits[due] = append(list, v)
	s.listed++
	s.tidy()
	t.arm(s)
}

// Transactions are woken at multiples of these, after long waits at multiples of the longer one: a
// process that wakes for each of a thousand transactions that end in a second does little else.
const (
	fineTick   = 10 * time.Millisecond
	coarseTick = 100 * time.Millisecond
	longWait   = 4 * time.Second
)

// tickFrom returns the first tick at or after due.
func (t *table[T]) tickFrom(due int64) int64 {
	tick := int64(fineTick)
	if due-t.now() >= int64(longWait) {
		tick = int64(coarseTick)
	}
	return (due + tick - 1) / tick * tick
}

// arm sets the shard's timer for its first tick. A timer that is set too early is left: it fires,
// finds nothing and is set again, which is cheaper than moving it with every change.
func (t *table[T]) arm(s *shard[T]) {
	if len(s.ticks) == 0 {
		return
	}
	due := s.ticks[0]
	if due >= s.fires {
		return
	}
	s.fires = due
	wait := time.Duration(due - t.now())
	if s.timer == nil {
		s.timer = t.clock.AfterFunc(wait, func() { t.fire(s) })
		return
	}
	s.timer.Reset(wait)
}

// fire wakes every transaction of the shard that is due.
func (t *table[T]) fire(s *shard[T]) {
	now := t.now()
	s.mu.Lock()
	s.fires = never
	for len(s.ticks) > 0 && s.ticks[0] <= now {
		tick := s.ticks[0]
		list := s.waits[tick]
		delete(s.waits, tick)
		s.pop()
		s.listed -= len(list)
		for _, v := range list {
			p := v.place()
			if p.due != tick || s.byKey[p.key] != v {
				continue // its time was moved, or it has ended
			}
			p.due = never
			s.mu.Unlock()
			v.expire(now)
			s.mu.Lock()
		}
	}
	t.arm(s)
	s.mu.Unlock()
}

// tidied is how many entries of lists are worth a look at all of them.
const tidied = 256

// tidy takes out of the lists what is not due at their ticks any more, once that must be most of
// it: so the lists hold no more than twice what waits, and an entry is looked at twice at most.
func (s *shard[T]) tidy() {
	if s.listed < tidied || s.listed < 2*len(s.byKey) {
		return
	}
	s.ticks, s.listed = s.ticks[:0], 0
	for tick, list := range s.waits {
		// New memory: a burst must not keep its own for ever.
		var kept []T
		for _, v := range list {
			if p := v.place(); p.due == tick && s.byKey[p.key] == v {
				kept = append(kept, v)
			}
		}
		if len(kept) == 0 {
			delete(s.waits, tick)
			continue
		}
		s.waits[tick] = kept
		s.listed += len(kept)
		s.push(tick)
	}
}

// push adds a tick to the heap.
func (s *shard[T]) push(tick int64) {
	s.ticks = append(s.ticks, tick)
	for i := len(s.ticks) - 1; i > 0; {
		parent := (i - 1) / 2
		if s.ticks[parent] <= s.ticks[i] {
			return
		}
		s.ticks[i], s.ticks[parent] = s.ticks[parent], s.ticks[i]
		i = parent
	}
}

// pop takes the first tick out.
func (s *shard[T]) pop() {
	last := len(s.ticks) - 1
	s.ticks[0] = s.ticks[last]
	s.ticks = s.ticks[:last]
	for i := 0; ; {
		least, left := i, 2*i+1
		for child := left; child <= left+1 && child < last; child++ {
			if s.ticks[child] < s.ticks[least] {
				least = child
			}
		}
		if least == i {
			return
		}
		s.ticks[i], s.ticks[least] = s.ticks[least], s.ticks[i]
		i = least
	}
}
