package sbc

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of lockouts.
const (
	// maxLockouts is the most sources remembered; above it the oldest are forgotten, so a flood of forged sources
	// costs a fixed amount of memory.
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
	by map[netip.Addr]lockout
}

type lockout struct {
	mistakes int
	until    time.Time
	last     time.Time
}

// keyOf is what a source is remembered by: an IPv6 host owns its whole /64 and would try each guess from another address.
func (l *lockouts) keyOf(src netip.Addr) netip.Addr {
	if p, err := src.Unmap().Prefix(64); err == nil && src.Unmap().Is6() {
		return p.Addr()
	}
	return src.Unmap()
}

func (l *lockouts) locked(src netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return now.Before(l.by[l.keyOf(src)].until)
}

func (l *lockouts) forgive(src netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.by, l.keyOf(src))
}

func (l *lockouts) blame(src netip.Addr, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.by == nil {
		l.by = make(map[netip.Addr]lockout)
	}
	src = l.keyOf(src)
	entry, known := l.by[src]
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
	l.by[src] = entry
}

// evict makes room: everything expired goes, and if nothing is, the entry that was wrong the longest time ago.
func (l *lockouts) evict(now time.Time) {
	var oldest netip.Addr
	for src, entry := range l.by {
		if now.Sub(entry.last) > longestLockout {
			delete(l.by, src)
		} else if !oldest.IsValid() || entry.last.Before(l.by[oldest].last) {
			oldest = src
		}
	}
	if len(l.by) >= maxLockouts {
		delete(l.by, oldest)
	}
}
