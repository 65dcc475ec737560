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
	key  key
	due  int64 // ns on the table's scale, at a tick
	heap int32 // 1 + place in the shard's heap, 0 when it waits for nothing
}

// entry is a transaction in a table. expire is called without locks, on the clock's goroutine,
// when its due time has come.
type entry interface {
	comparable
	place() *slot
	expire(now int64)
}

// table finds transactions by key and wakes them at their time. Each shard has one lock, one map
// and one heap, and one timer for the head of the heap: a transaction costs no timer of its own.
type table[T entry] struct {
	clock  clock.Clock
	start  time.Time
	size   *atomic.Int64
	max    int64
	shards [shardCount]shard[T]
}

type shard[T entry] struct {
	mu    sync.Mutex
	byKey map[key]T
	heap  []T
	timer clock.Timer
	fires int64 // when the timer is set for, never when it is not
}

func newTable[T entry](c clock.Clock, size *atomic.Int64, max int) *table[T] {
	t := &table[T]{clock: c, start: c.Now(), size: size, max: int64(max)}
	for i := range t.shards {
		t.shards[i].byKey = make(map[key]T)
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
	s.unschedule(p)
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
	if due == never {
		s.unschedule(p)
		return
	}
	p.due = due
	if p.heap == 0 {
		s.heap = append(s.heap, v)
		p.heap = int32(len(s.heap))
		s.up(len(s.heap) - 1)
	} else {
		i := int(p.heap - 1)
		s.up(i)
		s.down(int(p.heap - 1))
	}
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

// arm sets the shard's timer for the head of its heap. A timer that is set too early is left: it
// fires, finds nothing and is set again, which is cheaper than moving it with every change.
func (t *table[T]) arm(s *shard[T]) {
	if len(s.heap) == 0 {
		return
	}
	due := s.heap[0].place().due
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
	for len(s.heap) > 0 && s.heap[0].place().due <= now {
		v := s.heap[0]
		s.unschedule(v.place())
		s.mu.Unlock()
		v.expire(now)
		s.mu.Lock()
	}
	t.arm(s)
	s.mu.Unlock()
}

// unschedule takes a transaction out of the heap.
func (s *shard[T]) unschedule(p *slot) {
	if p.heap == 0 {
		return
	}
	i, last := int(p.heap-1), len(s.heap)-1
	p.heap, p.due = 0, never
	if i != last {
		s.heap[i] = s.heap[last]
		s.heap[i].place().heap = int32(i + 1)
	}
	var zero T
	s.heap[last] = zero
	s.heap = s.heap[:last]
	if i < last {
		s.up(i)
		s.down(int(s.heap[i].place().heap - 1))
	}
	// A burst must not keep its memory for ever.
	if cap(s.heap) > 1024 && len(s.heap) < cap(s.heap)/4 {
		s.heap = append(make([]T, 0, cap(s.heap)/2), s.heap...)
	}
}

func (s *shard[T]) swap(i, j int) {
	s.heap[i], s.heap[j] = s.heap[j], s.heap[i]
	s.heap[i].place().heap = int32(i + 1)
	s.heap[j].place().heap = int32(j + 1)
}

func (s *shard[T]) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if s.heap[parent].place().due <= s.heap[i].place().due {
			return
		}
		s.swap(i, parent)
		i = parent
	}
}

func (s *shard[T]) down(i int) {
	for {
		least, left := i, 2*i+1
		for child := left; child <= left+1 && child < len(s.heap); child++ {
			if s.heap[child].place().due < s.heap[least].place().due {
				least = child
			}
		}
		if least == i {
			return
		}
		s.swap(i, least)
		i = least
	}
}
