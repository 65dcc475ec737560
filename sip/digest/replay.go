package digest

import (
	"sync"
	"time"
)

// ncWindow is how far below the highest nonce count a late request may arrive: requests on UDP overtake each other.
const ncWindow = 64

// replays remembers which nonce counts were used with each nonce (RFC 7616 §3.4.5).
//
// Only nonces that came with a right response enter, so a stranger cannot fill it. When it is full the nonce first used
// longest ago leaves, and floor rises to its issue time: a nonce not in the table and not issued after floor may be one
// that left, so it counts as stale and the client is challenged again. Forgetting therefore never allows a replay, it
// only shortens the life of nonces under load.
type replays struct {
	mu      sync.Mutex
	size    int
	index   map[rawNonce]int // position in ring
	ring    []counts         // grows to size, then is reused in order of first use
	next    int              // position to reuse once len(ring) == size
	floor   time.Time
	evicted uint64 // unexpired nonces that left for room
}

type counts struct {
	nonce rawNonce
	high  uint32 // highest nonce count seen
	seen  uint64 // bit i: count high-i was used
}

func newReplays(size int) *replays {
	return &replays{size: size, index: make(map[rawNonce]int)}
}

// use records one nonce count and says whether it is the first use. A nonce issued before oldest has expired anyway and
// leaves the table unmourned.
func (r *replays) use(n rawNonce, nc uint32, oldest time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if i, ok := r.index[n]; ok {
		return r.ring[i].use(nc)
	}
	if !n.issued().After(r.floor) {
		return false
	}
	fresh := counts{nonce: n, high: nc, seen: 1}
	if len(r.ring) < r.size {
		r.index[n] = len(r.ring)
		r.ring = append(r.ring, fresh)
		return true
	}
	old := r.ring[r.next].nonce
	delete(r.index, old)
	if t := old.issued(); t.After(r.floor) {
		r.floor = t
		if t.After(oldest) {
			r.evicted++
		}
	}
	r.index[n] = r.next
	r.ring[r.next] = fresh
	r.next = (r.next + 1) % r.size
	return true
}

func (r *replays) usage() (size int, evicted uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.index), r.evicted
}

func (c *counts) use(nc uint32) bool {
	switch {
	case nc > c.high:
		if d := nc - c.high; d < ncWindow {
			c.seen = c.seen<<d | 1
		} else {
			c.seen = 1
		}
		c.high = nc
		return true
	case c.high-nc >= ncWindow:
		return false
	}
	bit := uint64(1) << (c.high - nc)
	if c.seen&bit != 0 {
		return false
	}
	c.seen |= bit
	return true
}
