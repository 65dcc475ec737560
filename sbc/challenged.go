package sbc

import (
	"sync"
	"time"

	"carillon/call"
	"carillon/clock"
	"carillon/sip"
)

const (
	// comeBackTime is how long a caller that was asked for credentials is waited for: as long as an INVITE may take.
	comeBackTime = 32 * time.Second
	// maxChallenged bounds the callers waited for; above it a caller that never comes back leaves no record.
	maxChallenged = 1024
)

// challengedCalls remembers callers that were asked for credentials until they come back. A phone without a password
// sends nothing more, and its owner would find nothing in the records to learn that from.
type challengedCalls struct {
	mu sync.Mutex
	by map[callerKey]*challengedCall
}

// callerKey is what the INVITE with credentials has in common with the one without (RFC 3261 section 22.2).
type callerKey struct{ callID, fromTag string }

type challengedCall struct {
	timer  clock.Timer
	record call.Record
}

func callerKeyOf(req *sip.Message) callerKey {
	return callerKey{string(req.CallID()), string(req.From().Tag())}
}

// cameBack forgets a caller that has sent credentials.
func (u *challengedCalls) cameBack(req *sip.Message) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := callerKeyOf(req)
	if w := u.by[key]; w != nil {
		w.timer.Stop()
		delete(u.by, key)
	}
}

// awaitCredentials begins to wait for a caller that got a challenge.
func (s *Server) awaitCredentials(a *arrival) {
	u := &s.challenged
	key := callerKeyOf(a.req)
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, waits := u.by[key]; waits {
		return // it repeats itself
	}
	if len(u.by) >= maxChallenged {
		s.stats.Unrecorded.Add(1)
		return
	}
	r, ok := s.refusalRecord(a, judge(call.Refuse(call.ReasonCredentialsNeverSent, "")))
	if !ok {
		return
	}
	if u.by == nil {
		u.by = make(map[callerKey]*challengedCall)
	}
	w := &challengedCall{record: r}
	w.timer = s.clock.AfterFunc(comeBackTime, func() { s.neverCame(key, w) })
	u.by[key] = w
}

// neverCame records a caller that did not come back.
func (s *Server) neverCame(key callerKey, w *challengedCall) {
	u := &s.challenged
	u.mu.Lock()
	mine := u.by[key] == w
	if mine {
		delete(u.by, key)
	}
	u.mu.Unlock()
	if mine {
		s.stats.refused(call.ReasonCredentialsNeverSent)
		s.keepRefusal(w.record)
	}
}

// giveUpWaiting records all callers that are still waited for: the node shuts down.
func (s *Server) giveUpWaiting() {
	u := &s.challenged
	u.mu.Lock()
	all := u.by
	u.by = nil
	u.mu.Unlock()
	for _, w := range all {
		w.timer.Stop()
		s.stats.refused(call.ReasonCredentialsNeverSent)
		s.keepRefusal(w.record)
	}
}
