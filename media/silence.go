package media

import (
	"time"

	"carillon/call"
)

// watch starts the silence timer with the first answer and notes which sides promise packets from now on.
func (s *Session) watch() {
	now := s.plane.cfg.Clock.Now()
	for _, lg := range s.legs {
		switch {
		case lg.now == nil || !lg.now.promises:
			lg.since = time.Time{}
		case lg.since.IsZero():
			lg.since = now
		}
	}
	if s.timer == nil && s.onSilence != nil {
		s.timer = s.plane.cfg.Clock.AfterFunc(s.plane.cfg.SilenceTimeout, s.checkSilence)
	}
}

// promises reports whether a side said that it sends and the other that it receives. A side on hold promises nothing; held
// calls rely on session timers.
func promises(side, other *remote) bool {
	// Between pages a fax may say nothing for long.
	return !side.profile.Fax && side.direction.Sends() && other.direction.Receives() && !side.hold && !other.hold
}

// checkSilence runs when the side that was heard least could have been silent for the whole timeout.
func (s *Session) checkSilence() {
	if side, spent, silent := s.findSilent(); silent {
		s.onSilence(side, spent)
	}
}

// findSilent returns the side that is silent, and whether it goes on under a key whose lifetime is over.
func (s *Session) findSilent() (side call.Side, spent, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.silent {
		return 0, false, false
	}
	now, timeout := s.plane.cfg.Clock.Now(), s.plane.cfg.SilenceTimeout
	next := timeout
	for _, lg := range s.legs {
		if lg.since.IsZero() {
			continue
		}
		last := lg.since
		if heard := s.plane.relay.epoch.Add(time.Duration(lg.count.lastHeard.Load())); heard.After(last) {
			last = heard
		}
		left := timeout - now.Sub(last)
		if left <= 0 {
			s.silent = true
			return lg.side, lg.now.in != nil && lg.now.in.Spent(), true
		}
		next = min(next, left)
	}
	s.timer = s.plane.cfg.Clock.AfterFunc(next, s.checkSilence)
	return 0, false, false
}
