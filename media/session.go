package media

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"

	"carillon/call"
	"carillon/clock"
	"carillon/sdp"
)

// Session is the media of one call. Offer, Answer, Reject, Confirm, Moved, Report and Close are safe for concurrent
// use; a call's signalling is expected to make them one after the other.
type Session struct {
	plane     *Plane
	id        call.ID
	onSilence func(side call.Side, spent bool)
	// attachment is nil for none.
	attachment Attachment
	sdpID      uint64
	// ssrc and cname are who reports of our own are from (RFC 7022): neither tells anything of this node.
	ssrc  uint32
	cname string
	legs  [2]*leg

	mu      sync.Mutex
	closed  bool
	past    bool // the relay loop is done with it
	samples [2]call.LegSamples
	pending *exchange // an offer without an answer
	current *exchange // the last one that was answered
	// settled is true once the call is known to have been answered for good, so that a further offer is a
	// re-offer to the same peer and not an offer to the next target.
	settled bool
	timer   clock.Timer
	silent  bool
	// refusals counts addresses that were refused.
	refusals int

	// guard stands in for the single relay thread where a session's sockets are read by several goroutines.
	guard sync.Mutex
}

func (p *Plane) open(o call.Open) (*Session, *call.Refusal) {
	if o.Offerer != call.Customer && o.Offerer != call.Carrier {
		return nil, call.Refuse(call.ReasonInternal, "media opened for no side")
	}
	var id [8 + 4 + 12]byte
	if _, err := io.ReadFull(p.rand, id[:]); err != nil {
		return nil, call.Refuse(call.ReasonInternal, "media has no randomness")
	}
	// A session id of 62 bits fits every peer that keeps it in a signed 64-bit number.
	s := &Session{plane: p, id: o.ID, onSilence: o.OnSilence, sdpID: binary.BigEndian.Uint64(id[:]) >> 2}
	s.ssrc, s.cname = binary.BigEndian.Uint32(id[8:])|1, base64.RawStdEncoding.EncodeToString(id[12:])
	like := o.Leg.Signalling
	loop := p.relay.pick(p.next.Add(1))
	s.makeLegs(loop)
	s.legs[o.Offerer].policy = o.Leg
	if err := s.takePorts(like, s.legs[:]); err != nil {
		if p.isClosed() {
			return nil, call.Refuse(call.ReasonDraining, "media is shut down")
		}
		return nil, call.Refuse(call.ReasonNodeFull, "no media ports are free")
	}
	if p.cfg.Attach != nil {
		s.attachment = p.cfg.Attach(o.ID, s)
	}
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.sessions[s] = struct{}{}
	}
	p.mu.Unlock()
	if closed {
		s.detach()
		s.releasePorts()
		return nil, call.Refuse(call.ReasonDraining, "media is shut down")
	}
	return s, nil
}

// makeLegs makes both of them, beside each other: a packet needs both.
func (s *Session) makeLegs(loop *loop) {
	both := new([2]leg)
	for _, side := range []call.Side{call.Customer, call.Carrier} {
		lg := &both[side]
		lg.session, lg.side, lg.loop, lg.sdpID, lg.far = s, side, loop, s.sdpID, &both[side.Other()]
		s.legs[side] = lg
	}
}

// takePorts gives each of the legs a pair of like's family, or of any family the node has where it lacks that one.
func (s *Session) takePorts(like netip.Addr, legs []*leg) error {
	p := s.plane
	if like.IsValid() && !p.hasFamily(like) {
		like = netip.Addr{}
	}
	var pairs [maxAtOnce]*pair
	if err := p.ports.acquire(like, legs[0].loop, pairs[:len(legs)]); err != nil {
		if !errors.Is(err, errNoPorts) {
			p.cfg.Logger.Error("bind media ports", "call", s.id, "error", err)
		}
		return err
	}
	for i, lg := range legs {
		if old := lg.pair; old != nil {
			p.ports.release(old)
		}
		lg.pair = pairs[i]
		lg.pair.give(lg)
	}
	return nil
}

// hasFamily reports whether the plane has an address of like's family.
func (p *Plane) hasFamily(like netip.Addr) bool {
	for _, ip := range p.cfg.IPs {
		if ip.Is4() == like.Unmap().Is4() {
			return true
		}
	}
	return false
}

func (s *Session) releasePorts() {
	for _, lg := range s.legs {
		s.plane.ports.release(lg.pair)
	}
}

// Reject drops the pending offer: the other side refused it, or the target was given up. What was agreed
// before it, with its keys, stays.
func (s *Session) Reject() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = nil
}

// Confirm says that side has proven to be there, by an ACK or a request with our tag, and so that the call
// was answered. It lifts HoldUntilConfirmed, and from now on a further offer is a re-offer to the same peer.
func (s *Session) Confirm(side call.Side) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || side > call.Carrier {
		return
	}
	if !s.settled {
		s.settled = true
		s.bothSpeak()
	}
	lg := s.legs[side]
	lg.confirmed = true
	if p := lg.path.Load(); p != nil && p.muted {
		next := *p
		next.muted = lg.now.hold
		lg.path.Store(&next)
		s.attachAgain()
	}
}

// bothSpeak begins to expect speech of both sides: before the call was answered a caller may have listened alone.
func (s *Session) bothSpeak() {
	for _, lg := range s.legs {
		if p := lg.path.Load(); p != nil && p.from != never {
			next := *p
			next.mutual = s.plane.cfg.Clock.Now().Sub(s.plane.relay.epoch)
			lg.path.Store(&next)
		}
	}
}

// Moved says that the signalling of a side comes from another address now, as a phone's does that changed its network. What
// the side describes from then on may be latched from there; what it described before stays as it is.
func (s *Session) Moved(side call.Side, to netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.legs[side].policy.Signalling = to
}

// Origin returns what the last description for a side says of itself, and what was heard of that side. Where told is not zero
// the side was told that one since, by another session of the same dialog, and what it is told next goes on from there, as
// does what is heard of it. It comes before the side's answer.
func (s *Session) Origin(side call.Side, told call.Origin) call.Origin {
	s.mu.Lock()
	defer s.mu.Unlock()
	lg := s.legs[side]
	if told != (call.Origin{}) {
		lg.sdpID, lg.version = told.Session, told.Version
		lg.told = []byte{} // unlike whatever comes next, so that its version goes up
		if sdp.CountSections(told.Sections) > sdp.CountSections(lg.sections) {
			lg.sections = told.Sections
		}
		lg.elsewhere = true
		if h, ok := told.Heard.(*heardKeys); ok && h.of != s {
			lg.former = h.keys
		}
		return told
	}
	return call.Origin{Session: lg.sdpID, Version: lg.version, Sections: lg.sections, Heard: lg.heard()}
}

// Report returns the counts and samples so far.
func (s *Session) Report() call.MediaReport {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := call.MediaReport{Samples: s.samples}
	if !s.past {
		r.Samples = s.collectWithin()
	}
	for side, lg := range s.legs {
		r.Legs[side] = lg.report()
		r.Samples[side].Formats = slices.Clone(lg.formats)
	}
	return r
}

// Close ends the relaying at once and returns the final counts. The ports drain. It is idempotent.
func (s *Session) Close() call.MediaReport {
	if s.shut() {
		// A packet on its way through the loop is still counted.
		s.legs[call.Customer].loop.settle(s)
		s.detach()
		s.conclude()
	}
	return s.Report()
}

// collect copies the samples of both legs up to now.
func (s *Session) collect() (all [2]call.LegSamples) {
	r := s.plane.relay
	second := r.second(s.plane.cfg.Clock.Now())
	for side, lg := range s.legs {
		all[side] = lg.samples(second, r.epoch)
	}
	return all
}

// collectWithin is collect in the relay loop, which is at the session's packets.
func (s *Session) collectWithin() (all [2]call.LegSamples) {
	s.legs[call.Customer].loop.within(s, func() { all = s.collect() })
	return all
}

// memory lends what the samples of one way take.
func (s *Session) memory() *sampleMemory {
	if m, ok := s.plane.memory.Get().(*sampleMemory); ok {
		return m
	}
	return new(sampleMemory)
}

// conclude keeps the samples of a session that the relay loop is done with, and gives their memory to the next one.
func (s *Session) conclude() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.samples, s.past = s.collect(), true
	for _, lg := range s.legs {
		for _, y := range []*way{&lg.in, &lg.out} {
			if y.memory != nil {
				s.plane.memory.Put(y.memory)
			}
			*y = way{}
		}
	}
}

// shut stops the session and reports whether it was open.
func (s *Session) shut() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.closed = true
	if s.timer != nil {
		s.timer.Stop()
	}
	for _, lg := range s.legs {
		if p := lg.path.Swap(nil); p != nil {
			lg.lastRemote = p.rtp.remote()
		}
	}
	s.pending = nil
	s.plane.mu.Lock()
	delete(s.plane.sessions, s)
	s.plane.mu.Unlock()
	s.releasePorts()
	return true
}

// String names the session without its descriptions.
func (s *Session) String() string { return fmt.Sprintf("media session %s", s.id) }
