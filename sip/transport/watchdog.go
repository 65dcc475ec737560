package transport

import (
	"sync"
	"time"

	"carillon/clock"
)

const (
	lingerTime   = time.Second
	lingerOctets = 64 << 10
)

// phase is what a connection is waited on for.
type phase uint8

const (
	phaseNone phase = iota
	phaseProxy
	phaseHandshake
	phaseFirst
	phaseMessage
	phaseIdle
	phaseLinger
)

// watchdog gives each phase of a connection its time. One timer serves all: a later deadline
// leaves it alone and it looks again when it fires, so a busy connection hardly touches it.
type watchdog struct {
	clock clock.Clock
	bark  func(phase)

	mu       sync.Mutex
	timer    clock.Timer
	fires    time.Time // when the timer is set for
	now      phase
	deadline time.Time
}

func (w *watchdog) init(c clock.Clock, bark func(phase)) { w.clock, w.bark = c, bark }

// start begins a phase that may last d.
func (w *watchdog) start(p phase, d time.Duration) {
	now := w.clock.Now()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now, w.deadline = p, now.Add(d)
	switch {
	case w.timer == nil:
		w.timer = w.clock.AfterFunc(d, w.fire)
	case w.fires.IsZero() || w.deadline.Before(w.fires):
		w.timer.Reset(d)
	default:
		return
	}
	w.fires = w.deadline
}

func (w *watchdog) phase() phase {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *watchdog) fire() {
	now := w.clock.Now()
	w.mu.Lock()
	if w.now == phaseNone {
		w.mu.Unlock()
		return
	}
	if left := w.deadline.Sub(now); left > 0 {
		w.fires = w.deadline
		w.timer.Reset(left)
		w.mu.Unlock()
		return
	}
	over := w.now
	w.fires = time.Time{}
	w.mu.Unlock()
	w.bark(over)
}

func (w *watchdog) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = phaseNone
	if w.timer != nil {
		w.timer.Stop()
	}
}
