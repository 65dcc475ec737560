package sbc

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"carillon/call"
	"carillon/clock"
	"carillon/sip"
)

const (
	// comeBackTime is how long a caller that was asked for credentials is waited for: as long as an INVITE may take.
	comeBackTime = 32 * time.Second
	// maxChallenged bounds the callers waited for, and the strangers among them; above it a caller that never comes back
	// leaves no record.
	maxChallenged = 1024
)

// challengedCalls remembers callers that were asked for credentials until they come back. A phone without a password
// sends nothing more, and its owner would find nothing in the records to learn that from, nor the operator in the log: a
// challenge that is answered is no refusal.
type challengedCalls struct {
	mu sync.Mutex
	by map[callerKey]*challengedCall
	// strangers are of those whom nothing is recorded of. They have a bound of their own: they must not cost others theirs.
	strangers map[callerKey]*challengedCall
}

// callerKey is what the INVITE with credentials has in common with the one without (RFC 3261 section 22.2).
type callerKey struct{ callID, fromTag string }

type challengedCall struct {
	timer clock.Timer
	// line is what the log says of it, record the call's; nil for a stranger's.
	line   []slog.Attr
	record *call.Record
}

func callerKeyOf(req *sip.Message) callerKey {
	return callerKey{string(req.CallID()), string(req.From().Tag())}
}

// cameBack forgets a caller that has sent credentials.
func (u *challengedCalls) cameBack(req *sip.Message) {
	u.mu.Lock()
	defer u.mu.Unlock()
	key := callerKeyOf(req)
	for _, by := range []map[callerKey]*challengedCall{u.by, u.strangers} {
		if w := by[key]; w != nil {
			w.timer.Stop()
			delete(by, key)
		}
	}
}

// table is where those are that a record is kept of, or the others. The caller holds mu.
func (u *challengedCalls) table(strangers bool) map[callerKey]*challengedCall {
	if u.by == nil {
		u.by, u.strangers = map[callerKey]*challengedCall{}, map[callerKey]*challengedCall{}
	}
	if strangers {
		return u.strangers
	}
	return u.by
}

// awaitCredentials begins to wait for a caller that got a challenge. It reports whether it does.
func (s *Server) awaitCredentials(a *arrival) bool {
	u := &s.challenged
	key := callerKeyOf(a.req)
	u.mu.Lock()
	defer u.mu.Unlock()
	by := u.table(a.standing == stranger)
	if _, waits := by[key]; waits {
		return true // it repeats itself
	}
	if len(by) >= maxChallenged {
		if a.standing != stranger {
			s.stats.Unrecorded.Add(1)
		}
		return false
	}
	v := judge(call.Refuse(call.ReasonCredentialsNeverSent, ""))
	w := &challengedCall{line: refusalLine(a, v)}
	if a.standing != stranger {
		r, ok := s.refusalRecord(a, v)
		if !ok {
			return false
		}
		w.record = &r
	}
	w.timer = s.clock.AfterFunc(comeBackTime, func() { s.neverCame(by, key, w) })
	by[key] = w
	return true
}

// neverCame takes a caller that did not come back.
func (s *Server) neverCame(by map[callerKey]*challengedCall, key callerKey, w *challengedCall) {
	u := &s.challenged
	u.mu.Lock()
	mine := by[key] == w
	if mine {
		delete(by, key)
	}
	u.mu.Unlock()
	if mine {
		s.noteNeverCame(w)
	}
}

// noteNeverCame logs and, where it is no stranger, records a caller that did not come back.
func (s *Server) noteNeverCame(w *challengedCall) {
	s.stats.refused(call.ReasonCredentialsNeverSent)
	s.logRefusal(slog.LevelInfo, s.clock.Now(), w.line)
	if w.record != nil {
		s.keepRefusal(*w.record)
	}
}

// giveUpWaiting takes all callers that are still waited for as gone: the node shuts down.
func (s *Server) giveUpWaiting() {
	u := &s.challenged
	u.mu.Lock()
	all := slices.Concat(slices.Collect(maps.Values(u.by)), slices.Collect(maps.Values(u.strangers)))
	clear(u.by)
	clear(u.strangers)
	u.mu.Unlock()
	for _, w := range all {
		w.timer.Stop()
		s.noteNeverCame(w)
	}
}
