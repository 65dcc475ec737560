package media

import (
	"slices"

	"carillon/call"
	"carillon/sdp"
	"carillon/srtp"
)

// Answer takes the answer to the pending offer and returns the one to send to the offerer; media flow from
// here on. The same bytes again, as in a 2xx after an 18x, give the same answer and change nothing. A
// different answer to the same offer, as from another fork, replaces the first. A refused answer leaves
// everything as it was. What is returned is kept and not to be changed.
func (s *Session) Answer(from call.Side, description []byte) ([]byte, *call.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	ex := s.pending
	if ex == nil {
		ex = s.current
	}
	if s.closed || ex == nil || from != ex.offerer.Other() {
		return nil, call.Refuse(call.ReasonInternal, "there is no offer to answer")
	}
	if ex.answered != nil && ex.answered.Is(description) {
		return ex.reply, nil
	}
	near, far := s.legs[from], s.legs[ex.offerer]
	r, refusal := s.describe(description, ex.offer.index, ex.policy)
	if refusal != nil {
		return nil, refusal
	}
	near.keepICE(r)
	chosen, refusal := s.judgeAnswer(r, ex)
	if refusal != nil {
		return nil, refusal
	}
	if !r.hold && r.addr.IsValid() && r.addr.Addr().Is4() != near.pair.rtp.local.Addr().Is4() {
		return nil, call.Refuse(call.ReasonBadDescription, "the address family of the media does not match ours")
	}
	r.mux = r.mux && ex.mux
	if !r.mux && !r.ice.Valid() {
		r.rtcp = rtcpAddress(r.section())
	}
	toNear, toFar, refusal := s.agree(ex, r, chosen)
	if refusal != nil {
		return nil, refusal
	}
	e := sdp.Edit{Profile: ex.offer.profile, Mux: ex.offer.mux, Like: ex.offer.desc}
	toNear.convert, toFar.convert, e.Drop, e.Instead = ex.bridge.taken(r.formats)
	if e.Drop != "" {
		toFar.codec = ex.bridge.codec(r.formats)
	}
	near.policy = ex.policy
	s.attach(near, toNear, far, toFar)
	far.apply(toFar)
	near.apply(toNear)
	s.current, s.pending = ex, nil
	var lines []*line
	if ex.back != nil {
		lines = []*line{ex.back}
	}
	ex.answered = r.desc
	ex.reply = far.tell(r, e, lines)
	s.watch()
	return ex.reply, nil
}

// judgeAnswer applies the policy of the leg an answer came on and returns the line of ours it accepts, nil
// for plain RTP.
func (s *Session) judgeAnswer(r *remote, ex *exchange) (*line, *call.Refusal) {
	switch {
	case ex.profile.Fax != r.profile.Fax:
		return nil, call.Refuse(call.ReasonBadDescription, "the answer is "+r.profile.String()+" to an offer of "+ex.profile.String())
	case !ex.profile.Secure && r.profile.Secure:
		return nil, call.Refuse(call.ReasonBadDescription, "the answer is "+r.profile.String()+" to an offer of "+ex.profile.String())
	case !ex.profile.Secure:
		return nil, nil
	case !r.profile.Secure && ex.policy.SRTP == call.SRTPOffer:
		return nil, nil
	case !r.profile.Secure:
		return nil, r.notEncrypted("answer")
	}
	return r.chooseAnswered(ex.lines, s.ownKey)
}

// agree makes what both legs will use. Nothing is changed before both are made.
func (s *Session) agree(ex *exchange, r *remote, chosen *line) (toNear, toFar *applied, refusal *call.Refusal) {
	codec := codecName(r.formats[0])
	if r.profile.Fax {
		codec = faxCodec
	}
	near, far := s.legs[ex.offerer.Other()], s.legs[ex.offerer]
	if ex.offer.profile.Secure && ex.back == nil {
		if ex.back, refusal = s.backLine(far, ex.offer); refusal != nil {
			return nil, nil, refusal
		}
	}
	now := s.plane.cfg.Clock.Now()
	since := s.plane.relay.second(now)
	toNear = &applied{remote: r, line: chosen, codec: codec, promises: promises(r, ex.offer), formats: formatsOf(r.formats, ex.offer.formats)}
	toFar = &applied{remote: ex.offer, line: ex.back, codec: codec, promises: promises(ex.offer, r), formats: toNear.formats}
	if !slices.Equal(r.formats, ex.offer.formats) {
		toFar.formats = formatsOf(ex.offer.formats, r.formats)
	}
	for _, x := range []struct {
		lg *leg
		a  *applied
	}{{near, toNear}, {far, toFar}} {
		x.a.since, x.a.rate = since, uint32(s.plane.cfg.PacketRate)
		switch old := x.lg.now; {
		case !x.a.promises:
			x.a.from = never
		case old != nil && old.promises:
			x.a.from = old.from
		default:
			x.a.from = now.Sub(s.plane.relay.epoch)
		}
		if x.a.ice, refusal = s.agentFor(x.lg, x.a.remote); refusal != nil {
			return nil, nil, refusal
		}
		if x.a.line == nil {
			continue
		}
		if x.a.line.sender == nil {
			sender, err := srtp.NewSender(x.a.line.key)
			if err != nil {
				s.plane.cfg.Logger.Error("use media key", "call", s.id, "error", err)
				return nil, nil, call.Refuse(call.ReasonInternal, "a media key cannot be used")
			}
			x.a.line.sender = sender
		}
		if x.a.in, refusal = x.lg.receiverFor(x.a.remote); refusal != nil {
			return nil, nil, refusal
		}
	}
	return toNear, toFar, nil
}

// backLine returns our key towards the offerer, with the tag and the spelling of the line it answers. It
// stays while the offerer's address and line stay: a receiver that moved, or was in another session, has lost our rollover
// counter.
func (s *Session) backLine(far *leg, offer *remote) (*line, *call.Refusal) {
	if old := far.now; old != nil && old.line != nil && !far.elsewhere && old.addr == offer.addr && old.rtcp == offer.rtcp &&
		old.remote.ice.Equal(offer.ice) && old.sameKey(offer) {
		kept := *old.line
		kept.tag, kept.suite = offer.crypto.Tag, offer.crypto.Suite
		return &kept, nil
	}
	keys, refusal := s.plane.newKeys(offer.key.Suite())
	if refusal != nil {
		return nil, refusal
	}
	return &line{tag: offer.crypto.Tag, suite: offer.crypto.Suite, key: keys[0]}, nil
}
