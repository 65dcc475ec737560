package dns

import (
	"hash/maphash"
	"net/netip"
	"sync/atomic"
	"time"
)

// limiter limits equal answers to one network. It is a fixed table of virtual schedulers: a slot holds the time at which
// its bucket will be empty again, so one compare-and-swap both checks and spends. Keys that fall on one slot share its
// limit, hence forged sources can neither grow the table nor push an entry out of it.
type limiter struct {
	slots []atomic.Int64 // nanoseconds since 1970
	seed  maphash.Seed
	step  int64 // nanoseconds one answer costs
	depth int64 // nanoseconds of credit: one second's worth
	slip  atomic.Uint64
}

func newLimiter(rate, slots int, seed maphash.Seed) *limiter {
	if rate < 0 {
		return nil
	}
	return &limiter{slots: make([]atomic.Int64, slots), seed: seed, step: int64(time.Second) / int64(rate), depth: int64(time.Second)}
}

// answerKey names what is limited. class parts the answers whose names a client can make up: those share one bucket per
// network, or random names would evade the limit.
type answerKey struct {
	network netip.Prefix
	class   int // response code; answers with records: 0
	name    string
	qtype   uint16
}

func (l *limiter) allow(k answerKey, now time.Time) bool {
	if l == nil {
		return true
	}
	slot := &l.slots[maphash.Comparable(l.seed, k)%uint64(len(l.slots))]
	t := now.UnixNano()
	for {
		old := slot.Load()
		empty := max(old, t)
		if empty-t > l.depth {
			// A clock set back leaves times far ahead; such a slot starts afresh.
			if empty-t <= 2*l.depth {
				return false
			}
			empty = t
		}
		if slot.CompareAndSwap(old, empty+l.step) {
			return true
		}
	}
}

// slips says for every second refused answer that it should be an empty truncated one.
func (l *limiter) slips() bool { return l.slip.Add(1)%2 == 0 }

// network is the smallest unit a forger aims at: the victim's link.
func network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap()
	bits := 56
	if addr.Is4() {
		bits = 24
	}
	p, _ := addr.WithZone("").Prefix(bits) // cannot fail: bits fit the family
	return p
}
