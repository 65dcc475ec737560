package sbc

import (
	"sync"
	"time"
)

// maxFailures bounds the targets remembered as failed. Above it the oldest are forgotten: they are then tried in their
// own place again, which costs a call its timeout and nothing more.
const maxFailures = 4096

// failures remembers targets that failed, so that other calls try them last.
type failures struct {
	mu    sync.Mutex
	until map[string]time.Time
}

func (f *failures) failed(target string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.until[target])
}

func (f *failures) add(target string, now time.Time, keep time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.until == nil {
		f.until = make(map[string]time.Time)
	}
	if len(f.until) >= maxFailures {
		f.evict(now)
	}
	f.until[target] = now.Add(keep)
}

func (f *failures) forget(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.until, target)
}

func (f *failures) evict(now time.Time) {
	oldest := ""
	for target, until := range f.until {
		if now.After(until) {
			delete(f.until, target)
		} else if oldest == "" || until.Before(f.until[oldest]) {
			oldest = target
		}
	}
	if len(f.until) >= maxFailures {
		delete(f.until, oldest)
	}
}
