package sbc

import (
	"sync"
	"time"
)

// rates holds one token bucket for each connector that placed a call of late. A bucket that has filled up again is the
// same as none, so the table is swept and never holds more than the connectors that called in the last second or so.
type rates struct {
	mu      sync.Mutex
	buckets map[string]bucket
	swept   time.Time
}

// bucket has a depth of CpsLimit and fills at CpsLimit a second.
type bucket struct {
	tokens float64
	at     time.Time
	limit  int
}

// sweepEvery is how often full buckets are dropped.
const sweepEvery = 10 * time.Second

// take spends one call of the connector, reporting false when none is left.
func (r *rates) take(connector string, limit int, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.buckets == nil {
		r.buckets = make(map[string]bucket)
	}
	if now.Sub(r.swept) > sweepEvery {
		r.sweep(now)
	}
	b, ok := r.buckets[connector]
	if !ok {
		b = bucket{tokens: float64(limit), at: now}
	}
	b.limit = limit
	b.tokens = b.filled(now)
	b.at = now
	if b.tokens < 1 {
		r.buckets[connector] = b
		return false
	}
	b.tokens--
	r.buckets[connector] = b
	return true
}

// left reports whether a call could be spent, and spends none.
func (r *rates) left(connector string, limit int, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	b, ok := r.buckets[connector]
	if !ok {
		return limit > 0
	}
	b.limit = limit
	return b.filled(now) >= 1
}

func (b bucket) filled(now time.Time) float64 {
	depth := float64(b.limit)
	return min(depth, b.tokens+now.Sub(b.at).Seconds()*depth)
}

func (r *rates) sweep(now time.Time) {
	for connector, b := range r.buckets {
		if b.filled(now) >= float64(b.limit) {
			delete(r.buckets, connector)
		}
	}
	r.swept = now
}

// throttle is one token bucket. The zero value is full.
type throttle struct {
	mu     sync.Mutex
	bucket bucket
	began  bool
}

// take spends one of perSecond, which is also the depth, reporting false when none is left.
func (t *throttle) take(now time.Time, perSecond int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.began {
		t.bucket, t.began = bucket{tokens: float64(perSecond), at: now, limit: perSecond}, true
	}
	t.bucket.tokens = t.bucket.filled(now)
	t.bucket.at = now
	if t.bucket.tokens < 1 {
		return false
	}
	t.bucket.tokens--
	return true
}

// actives counts the calls up, by account.
type actives struct {
	mu    sync.Mutex
	total int
	by    map[string]int
	// connectors counts them by connector, at both ends of those that stay inside.
	connectors map[string]int
	// unproven counts, by connector, those whose sender has shown nothing but the address of a datagram.
	unproven map[string]int
}

// enter counts one call in unless a limit is reached.
func (a *actives) enter(account string, perAccount, perNode int) (ok, nodeFull bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by == nil {
		a.by = make(map[string]int)
	}
	if a.total >= perNode {
		return false, true
	}
	if a.by[account] >= perAccount {
		return false, false
	}
	a.total++
	a.by[account]++
	return true, false
}

// count returns how many calls are up, of the account and in all.
func (a *actives) count(account string) (of, total int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.by[account], a.total
}

// share counts a call for a second account as well unless that has limit calls up.
func (a *actives) share(account string, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.by[account] >= limit {
		return false
	}
	a.by[account]++
	return true
}

// unshare takes share back.
func (a *actives) unshare(account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drop(account)
}

func (a *actives) drop(account string) {
	if a.by[account]--; a.by[account] == 0 {
		delete(a.by, account)
	}
}

// leave counts one call out.
func (a *actives) leave(account string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	a.drop(account)
}

// doubt counts a call as unproven unless limit of its connector are.
func (a *actives) doubt(connector string, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unproven == nil {
		a.unproven = make(map[string]int)
	}
	if a.unproven[connector] >= limit {
		return false
	}
	a.unproven[connector]++
	return true
}

// doubts returns how many calls of a connector are unproven.
func (a *actives) doubts(connector string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unproven[connector]
}

// trust takes doubt back.
func (a *actives) trust(connector string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.unproven[connector]--; a.unproven[connector] == 0 {
		delete(a.unproven, connector)
	}
}

// now returns the number of calls up.
func (a *actives) now() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.total
}
