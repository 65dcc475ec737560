package sbc

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon/sip/transport"
)

// maxFailures bounds the targets remembered as failed. Above it the oldest are forgotten: they are then tried in their
// own place again, which costs a call its timeout and nothing more.
const maxFailures = 4096

// failures remembers targets that failed, so that other calls try them last. A failure does not pass with time alone:
// when its time is over one call tries the target in its own place, and the others go on trying it last until that one
// has shown that somebody is there. A host that stays silent so costs one call in a while its timeout, and never all
// calls that come at that moment.
type failures struct {
	mu   sync.Mutex
	by   map[string]failure
	size atomic.Int32 // of by, so that a node none of whose targets failed need not even make their names
}

// none reports whether nothing is remembered.
func (f *failures) none() bool { return f.size.Load() == 0 }

// failure is a target that failed.
type failure struct {
	until time.Time // until then all calls try it last; afterwards the next call is its trial
}

// failed reports whether a call that comes now would try a target last.
func (f *failures) failed(target string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return now.Before(f.by[target].until)
}

// claim makes the caller's call the trial of a target whose time is over, for as long as lease at most: if nothing is
// heard of that call, another is the next trial. It reports whether it is one; a target that never failed needs none.
func (f *failures) claim(target string, now time.Time, lease time.Duration) (trial bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	failed, known := f.by[target]
	if !known || now.Before(failed.until) {
		return false
	}
	f.by[target] = failure{until: now.Add(lease)}
	return true
}

// release ends a trial that showed nothing: the next call is one.
func (f *failures) release(target string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.by[target]; known {
		f.by[target] = failure{until: now}
	}
}

func (f *failures) add(target string, now time.Time, keep time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.by == nil {
		f.by = make(map[string]failure)
	}
	if _, known := f.by[target]; !known && len(f.by) >= maxFailures {
		f.evict(now)
	}
	f.by[target] = failure{until: now.Add(keep)}
	f.size.Store(int32(len(f.by)))
}

// forget takes a target as one that never failed: it has answered.
func (f *failures) forget(target string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.by, target)
	f.size.Store(int32(len(f.by)))
}

func (f *failures) evict(now time.Time) {
	oldest := ""
	for target, failed := range f.by {
		if now.After(failed.until) {
			delete(f.by, target)
		} else if oldest == "" || failed.until.Before(f.by[oldest].until) {
			oldest = target
		}
	}
	if len(f.by) >= maxFailures {
		delete(f.by, oldest)
	}
}

// trial is a call's claim on something that failed, until it has shown whether it works again.
type trial struct {
	of   *failures
	name string
}

// claim makes the call the trial of a target that failed, where it is time for one.
func (c *activeCall) claim(of *failures, name string) {
	if of.claim(name, c.s.clock.Now(), c.s.limits.FailedFor) {
		c.trials = append(c.trials, trial{of, name})
	}
}

// shown ends the call's claim on something: whether it works is known and remembered.
func (c *activeCall) shown(of *failures, name string) {
	c.trials = slices.DeleteFunc(c.trials, func(t trial) bool { return t == trial{of, name} })
}

// releaseTrials gives back what the call claimed and will not show any more, as when its caller gives up.
func (c *activeCall) releaseTrials() {
	for _, t := range c.trials {
		t.of.release(t.name, c.s.clock.Now())
	}
	c.trials = nil
}

// heard takes an answer as the sign that a target and the address it came from work. One that says no more than that
// somebody has the request does not: a proxy says so whose servers are dead.
func (c *activeCall) heard(a *attempt, f transport.Flow, status int) {
	if status <= 100 || status == 408 || status == 503 {
		return
	}
	if s := c.s; !s.failures.none() {
		name := a.target.String()
		s.failures.forget(name)
		c.shown(&s.failures, name)
	}
	if s := c.s; !s.dead.none() {
		name := pathName(f.Proto().String(), f.Remote())
		s.dead.forget(name)
		c.shown(&s.dead, name)
	}
}
