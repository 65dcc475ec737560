package sbc

import (
	"context"
	"time"

	"carillon/call"
)

// stopWait is how long the answers to the last BYEs are waited for.
const stopWait = 2 * time.Second

// Drain refuses new calls and waits until those that are up have ended, or until Limits.Drain or ctx is over; what is
// still up then gets BYE. It returns when every call has left its record, and when the BYEs were answered or stopWait
// has passed.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	limit, stop := s.wait(s.limits.Drain)
	defer stop()
	select {
	case <-s.calls.Idle():
	case <-ctx.Done():
	case <-limit:
	}
	s.stopAll()
	s.giveUpWaiting()
	<-s.records.Idle()
	limit, stop = s.wait(stopWait)
	defer stop()
	select {
	case <-s.calls.Idle():
	case <-limit:
	}
}

// wait returns a channel that is closed after d, and what makes an end of it sooner.
func (s *Server) wait(d time.Duration) (<-chan struct{}, func() bool) {
	done := make(chan struct{})
	return done, s.clock.AfterFunc(d, func() { close(done) }).Stop
}

// stopAll ends every call that is up and lets none begin.
func (s *Server) stopAll() {
	s.mu.Lock()
	s.stopped = true
	calls := make([]*activeCall, 0, len(s.live))
	for _, c := range s.live {
		calls = append(calls, c)
	}
	s.mu.Unlock()
	for _, c := range calls {
		c.mailbox.put(event{kind: evStop, reason: call.ReasonShutdown})
	}
}
