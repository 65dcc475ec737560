package sbc

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of lockouts.
const (
	// maxLockouts is the most guessers remembered; above it the oldest are forgotten, so a flood of sources costs a
	// fixed amount of memory.
	maxLockouts = 4096
	// freeMistakes is how often a source may be wrong before it is locked out.
	freeMistakes = 5
	// firstLockout doubles with every further mistake up to longestLockout.
	firstLockout   = time.Second
	longestLockout = 5 * time.Minute
)

// lockouts keeps sources that sent wrong credentials from guessing on.
type lockouts struct {
	mu sync.Mutex
	by map[guesser]lockout
}

// guesser is a source at one connector. With the connector a tenant's own good password cannot buy new guesses at
// another's, and one tenant's mistakes do not lock out another behind the same address.
type guesser struct {
	source    netip.Addr
	connector string
}

// newGuesser makes the guesser of a source. An IPv6 host owns its whole /64 and would try each guess from another address.
func newGuesser(src netip.Addr, connector string) guesser {
	src = src.Unmap()
	if p, err := src.Prefix(64); err == nil && src.Is6() {
		src = p.Addr()
	}
	return guesser{src, connector}
}

type lockout struct {
	mistakes int
	until    time.Time
	last     time.Time
}

func (l *lockouts) locked(g guesser, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.by[g].until)
}

func (l *lockouts) forgive(g guesser) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, g)
}

func (l *lockouts) blame(g guesser, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[guesser]lockout)
	}
	entry, known := l.by[g]
	if !known && len(l.by) >= maxLockouts {
		l.evict(now)
	}
	if now.Sub(entry.last) > longestLockout {
		entry.mistakes = 0
	}
	entry.mistakes++
	entry.last = now
	if over := entry.mistakes - freeMistakes; over > 0 {
		wait := longestLockout
		if over < 10 {
			wait = min(firstLockout<<(over-1), longestLockout)
		}
		entry.until = now.Add(wait)
	}
	l.by[g] = entry
}

// evict makes room: everything expired goes, and if nothing is, the entry that was wrong the longest time ago.
func (l *lockouts) evict(now time.Time) {
	var oldest guesser
	for g, entry := range l.by {
		if now.Sub(entry.last) > longestLockout {
			delete(l.by, g)
		} else if !oldest.source.IsValid() || entry.last.Before(l.by[oldest].last) {
			oldest = g
		}
	}
	if len(l.by) >= maxLockouts {
		delete(l.by, oldest)
	}
}
