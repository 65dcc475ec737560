package sbc

import (
	"context"
	"time"

	"carillon/call"
)

// Drain refuses new calls and waits until those that are up have ended, or until Limits.Drain or ctx is over; what is
// still up then gets BYE. It returns when every call has left its record.
func (s *Server) Drain(ctx context.Context) {
	s.draining.Store(true)
	limit := make(chan struct{})
	timer := s.clock.AfterFunc(s.limits.Drain, func() { close(limit) })
	defer timer.Stop()
	select {
	case <-s.calls.Idle():
		return
	case <-ctx.Done():
	case <-limit:
	}
	s.stopAll()
	select {
	case <-s.calls.Idle():
	case <-time.After(stopWait):
		// Records are written when a call ends; what is waited for here are only answers to BYE.
	}
}

// stopWait is how long the answers to the last BYEs are waited for.
const stopWait = 2 * time.Second

// stopAll ends every call that is up.
func (s *Server) stopAll() {
	s.mu.Lock()
	calls := make([]*activeCall, 0, len(s.live))
	for _, c := range s.live {
		calls = append(calls, c)
	}
	s.mu.Unlock()
	for _, c := range calls {
		c.mailbox.put(event{kind: evStop, reason: call.ReasonShutdown})
	}
}
