package sbc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/call"
)

// Descriptions of the tests: the fake media plane looks for these words.
const (
	sdpPlain  = "v=0 RTP/AVP"
	sdpSecure = "v=0 RTP/SAVP a=crypto:1 key"
	sdpBad    = "v=0 nonsense"
)

// fakeMedia is a media plane that judges descriptions by words, as the real one does by their meaning: it holds each
// leg to its policy. It writes down what it is asked.
type fakeMedia struct {
	mu       sync.Mutex
	sessions []*fakeSession
	full     bool
}

// Open implements MediaPlane.
func (f *fakeMedia) Open(o call.Open) (MediaSession, *call.Refusal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.full {
		return nil, call.Refuse(call.ReasonNodeFull, "no ports")
	}
	s := &fakeSession{open: o, number: len(f.sessions) + 1}
	s.policies[o.Offerer] = o.Leg
	f.sessions = append(f.sessions, s)
	return s, nil
}

// only returns the one session there must be.
func (f *fakeMedia) only(t testing.TB) *fakeSession {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.sessions) != 1 {
		t.Fatalf("%d media sessions, want 1", len(f.sessions))
	}
	return f.sessions[0]
}

// check sees that every session was closed once.
func (f *fakeMedia) check(t testing.TB) {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.sessions {
		s.mu.Lock()
		if s.closed != 1 {
			t.Errorf("media session %d was closed %d times", s.number, s.closed)
		}
		for _, line := range s.log {
			if strings.HasPrefix(line, "AFTER") {
				t.Errorf("media session %d: %s", s.number, line)
			}
		}
		s.mu.Unlock()
	}
}

// fakeSession is one call's media.
type fakeSession struct {
	open   call.Open
	number int

	mu       sync.Mutex
	policies [2]call.Leg
	pending  bool
	offers   int
	log      []string
	closed   int
	heard    int // how often it was asked what was heard
	// confirmed is when each side was first said to be where its datagrams come from.
	confirmed [2]time.Time
	taken     [2][]string // the descriptions of each side that were accepted
}

// note writes down what was asked; a session that is closed may not be asked anything.
func (s *fakeSession) note(format string, args ...any) {
	if s.closed > 0 {
		format = "AFTER THE END: " + format
	}
	s.log = append(s.log, fmt.Sprintf(format, args...))
}

// Offer implements MediaSession.
func (s *fakeSession) Offer(from call.Side, sdp []byte, to call.Leg) ([]byte, *call.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(string(sdp), "panic") {
		panic("a description with a fault in it")
	}
	if r := judgeSDP(sdp, s.policies[from]); r != nil {
		s.note("offer of %v refused: %v", from, r.Reason)
		return nil, r
	}
	s.taken[from] = append(s.taken[from], string(sdp))
	s.policies[from.Other()] = to
	s.pending = true
	s.offers++
	s.note("offer of %v, %v towards %v", from, to.SRTP, from.Other())
	return ours(from, to, s.offers), nil
}

// Answer implements MediaSession.
func (s *fakeSession) Answer(from call.Side, sdp []byte) ([]byte, *call.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := judgeSDP(sdp, s.policies[from]); r != nil {
		s.note("answer of %v refused: %v", from, r.Reason)
		return nil, r
	}
	s.taken[from] = append(s.taken[from], string(sdp))
	s.note("answer of %v", from)
	return ours(from, s.policies[from.Other()], s.offers), nil
}

// Reject implements MediaSession.
func (s *fakeSession) Reject() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = false
	s.note("reject")
}

// Origin implements MediaSession.
func (s *fakeSession) Origin(side call.Side, told call.Origin) call.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	if told == (call.Origin{}) {
		s.heard++
		return call.Origin{Heard: fmt.Sprintf("session %d, time %d", s.number, s.heard)}
	}
	s.note("told what of %v was heard: %v", side, told.Heard)
	return told
}

// Confirm implements MediaSession.
func (s *fakeSession) Confirm(side call.Side) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("confirm %v", side)
	if s.confirmed[side].IsZero() {
		s.confirmed[side] = time.Now()
	}
}

// Moved implements MediaSession.
func (s *fakeSession) Moved(side call.Side, to netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note("%v moved to %v", side, to)
}

// Close implements MediaSession.
func (s *fakeSession) Close() call.MediaReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
	return call.MediaReport{Legs: [2]call.LegReport{{PacketsReceived: 1}, {PacketsReceived: 2}}}
}

func (s *fakeSession) did() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.log)
}

// ours is the description the node writes for a leg.
func ours(from call.Side, to call.Leg, n int) []byte {
	kind := sdpPlain
	if to.SRTP != call.SRTPOff && to.SecureSignalling {
		kind = sdpSecure
	}
	return fmt.Appendf(nil, "%s ours %d for %v", kind, n, from.Other())
}

func judgeSDP(sdp []byte, policy call.Leg) *call.Refusal {
	text := string(sdp)
	secure := strings.Contains(text, "SAVP")
	switch {
	case strings.Contains(text, "nonsense"):
		return call.Refuse(call.ReasonBadDescription, "nonsense")
	case strings.Contains(text, "no suite"):
		return call.Refuse(call.ReasonNoCommonSuite, "")
	case strings.Contains(text, "no codec"):
		return call.Refuse(call.ReasonNoCommonCodec, "")
	case secure && !policy.SecureSignalling:
		return call.Refuse(call.ReasonKeyInCleartext, "")
	case !secure && policy.SRTP == call.SRTPRequire:
		return call.Refuse(call.ReasonMediaNotEncrypted, "")
	}
	return nil
}
