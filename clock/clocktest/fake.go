// Package clocktest provides a clock that stands still until a test advances it.
package clocktest

import (
	"container/heap"
	"sync"
	"time"

	"carillon/clock"
)

// Epoch is the time at which a Fake made by New starts.
var Epoch = time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)

// Fake is a clock.Clock that moves only by Advance. Due functions run on the goroutine that
// calls Advance, one at a time, ordered by their due time and then by the order in which they
// were set, so a test sees the same sequence every time.
type Fake struct {
	advance sync.Mutex // one Advance at a time

	mu     sync.Mutex
	now    time.Time
	serial uint64
	queue  timers
}

// New returns a Fake standing at Epoch.
func New() *Fake { return &Fake{now: Epoch} }

var _ clock.Clock = (*Fake)(nil)

// Now returns the fake time.
func (c *Fake) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc schedules f for d after the fake time. It runs inside a later Advance, also when
// d is zero or negative.
func (c *Fake) AfterFunc(d time.Duration, f func()) clock.Timer {
	t := &timer{clock: c, f: f, index: -1}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.push(t, d)
	return t
}

// Advance moves the clock by d and runs every function that is due on the way, with Now showing
// the time each was due. Functions they schedule are run too when they fall within d.
// It must not be called from such a function.
func (c *Fake) Advance(d time.Duration) {
	c.advance.Lock()
	defer c.advance.Unlock()
	c.mu.Lock()
	end := c.now.Add(d)
	for len(c.queue) > 0 && !c.queue[0].when.After(end) {
		t := heap.Pop(&c.queue).(*timer)
		if t.when.After(c.now) {
			c.now = t.when
		}
		c.mu.Unlock()
		t.f()
		c.mu.Lock()
	}
	c.now = end
	c.mu.Unlock()
}

// Pending returns the number of timers that have neither fired nor been stopped, so that a test
// can show that nothing was left behind.
func (c *Fake) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.queue)
}

// Next returns the time until the earliest pending timer, and false when there is none.
func (c *Fake) Next() (time.Duration, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return 0, false
	}
	return max(0, c.queue[0].when.Sub(c.now)), true
}

func (c *Fake) push(t *timer, d time.Duration) {
	c.serial++
	t.serial = c.serial
	t.when = c.now.Add(max(0, d))
	heap.Push(&c.queue, t)
}

type timer struct {
	clock  *Fake
	f      func()
	when   time.Time
	serial uint64
	index  int // place in the queue, -1 when not pending
}

func (t *timer) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	return t.remove()
}

func (t *timer) Reset(d time.Duration) bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	pending := t.remove()
	t.clock.push(t, d)
	return pending
}

func (t *timer) remove() bool {
	if t.index < 0 {
		return false
	}
	heap.Remove(&t.clock.queue, t.index)
	return true
}

// timers is a heap by due time, then by order of setting.
type timers []*timer

func (q timers) Len() int { return len(q) }

func (q timers) Less(i, j int) bool {
	if q[i].when.Equal(q[j].when) {
		return q[i].serial < q[j].serial
	}
	return q[i].when.Before(q[j].when)
}

func (q timers) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].index, q[j].index = i, j
}

func (q *timers) Push(x any) {
	t := x.(*timer)
	t.index = len(*q)
	*q = append(*q, t)
}

func (q *timers) Pop() any {
	last := len(*q) - 1
	t := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	t.index = -1
	return t
}
