package media

import (
	"bytes"
	"net/netip"
	"slices"

	"carillon/call"
	"carillon/sdp"
)

// exchange is one offer and its answers. A forked offer may have several.
type exchange struct {
	offerer call.Side
	offer   *remote
	// policy is the receiving leg's; it holds from the answer on.
	policy call.Leg
	// profile, lines and mux are what was offered on.
	profile sdp.Profile
	lines   []*line
	mux     bool
	// bridge is what was added to the formats.
	bridge bridge
	// back is our key towards the offerer, made with the first answer.
	back *line
	// answered and reply are the last answer and what was made of it.
	answered *sdp.Description
	reply    []byte
}

// Offer takes a description from one side and returns the one to send to the other, whose policy is to.
// Every call makes new keys for the far side, so that no target learns a key that another one used; only a
// re-offer after Confirm to a peer with the same policy keeps its key. Port numbers stay. Nothing that was
// agreed changes before Answer. What is returned is kept and not to be changed.
func (s *Session) Offer(from call.Side, description []byte, to call.Leg) ([]byte, *call.Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || from > call.Carrier {
		return nil, call.Refuse(call.ReasonInternal, "the media session is closed")
	}
	near, far := s.legs[from], s.legs[from.Other()]
	r, refusal := s.describe(description, -1, near.policy)
	if refusal != nil {
		return nil, refusal
	}
	near.keepICE(r)
	if refusal := r.judgeFax(near.policy, to); refusal != nil {
		return nil, refusal
	}
	if refusal := s.judgeOffer(r, near.policy); refusal != nil {
		return nil, refusal
	}
	if refusal := near.matchFamily(r.addr.Addr()); refusal != nil {
		return nil, refusal
	}
	// Where the far side's signalling runs over a family we lack, its media may still use the one we have.
	if s.plane.hasFamily(to.Signalling) && far.now == nil {
		if refusal := far.matchFamily(to.Signalling); refusal != nil {
			return nil, refusal
		}
	}
	ex := &exchange{offerer: from, offer: r, policy: to}
	// Feedback (RFC 4585) ends here: it says nothing to a telephone line, and many carriers refuse the profile.
	ex.profile = sdp.Profile{Secure: to.SRTP != call.SRTPOff && to.SecureSignalling}
	if r.profile.Fax {
		ex.profile = r.profile
	} else {
		// Who shares a port is offered to go on with it, whatever the other side does.
		ex.mux = r.mux || s.settled && far.now != nil && far.now.mux
		ex.bridge = newBridge(r.formats)
	}
	if to.SRTP == call.SRTPRequire && !to.SecureSignalling {
		return nil, call.Refuse(call.ReasonKeyInCleartext, "a key for this leg would be sent in the clear")
	}
	if ex.profile.Secure {
		if ex.lines, refusal = s.plane.offerLines(s.keptLine(far, to)); refusal != nil {
			return nil, refusal
		}
	}
	s.pending = ex
	e := sdp.Edit{Profile: ex.profile, Mux: ex.mux}
	if ex.bridge.usable() {
		e.Add = ex.bridge.added.Format
	}
	return far.tell(r, e, ex.lines), nil
}

// keptLine returns our key towards far where a re-offer may keep it.
func (s *Session) keptLine(far *leg, to call.Leg) *line {
	if !s.settled || far.now == nil || far.elsewhere || !samePolicy(far.policy, to) {
		return nil
	}
	return far.now.line
}

// samePolicy leaves out Trusted, which cannot be compared and says nothing about keys.
func samePolicy(a, b call.Leg) bool {
	return a.SRTP == b.SRTP && a.SecureSignalling == b.SecureSignalling && a.Signalling == b.Signalling
}

// judgeOffer applies the policy of the leg an offer came on, and picks its key.
func (s *Session) judgeOffer(r *remote, policy call.Leg) *call.Refusal {
	if !r.profile.Secure {
		if policy.SRTP == call.SRTPRequire {
			return r.notEncrypted("offer")
		}
		return nil
	}
	if !policy.SecureSignalling {
		return call.Refuse(call.ReasonKeyInCleartext, "the offer holds a key and came without TLS")
	}
	return r.chooseOffered(s.ownKey)
}

// notEncrypted refuses a description in the clear. One that has a key all the same is that of a phone whose SRTP is set to be
// optional.
func (r *remote) notEncrypted(what string) *call.Refusal {
	refusal := call.Refuse(call.ReasonMediaNotEncrypted, "the "+what+" is "+r.profile.String())
	if len(r.section().Crypto) > 0 {
		refusal.Detail += " with an a=crypto key, which leaves SRTP optional"
		refusal.Fix = "Set SRTP (SDES) in the phone to mandatory, or turn RequireEncryption off."
	}
	return refusal
}

// matchFamily gives the leg ports of the peer's address family, as long as nothing was agreed with it: the
// next target may live on the other family.
func (lg *leg) matchFamily(addr netip.Addr) *call.Refusal {
	if !addr.IsValid() || addr.Unmap().Is4() == lg.pair.rtp.local.Addr().Is4() {
		return nil
	}
	if addr.IsUnspecified() {
		return nil
	}
	if lg.now != nil || !lg.session.plane.hasFamily(addr) {
		return call.Refuse(call.ReasonBadDescription, "the address family of the media does not match ours")
	}
	if err := lg.session.takePorts(addr, []*leg{lg}); err != nil {
		return call.Refuse(call.ReasonNodeFull, "no media ports are free")
	}
	return nil
}

// tell writes the description for this leg's side from what the other side described. e says what is not the same in all
// descriptions. What it returns is kept and not to be changed.
func (lg *leg) tell(r *remote, e sdp.Edit, lines []*line) []byte {
	at := lg.local()
	if lg.told == nil {
		lg.version = 1
	}
	e.ID, e.Version, e.Origin, e.Addr, e.Media, e.Port = lg.sdpID, lg.version, at.Addr(), at.Addr(), r.index, at.Port()
	if lg.now != nil && lg.now.ice != nil {
		lg.now.ice.describe(&e)
	}
	if r.hold {
		e.Addr = unspecified(at.Addr())
	}
	e.Crypto = cryptoOf(lines)
	out := lg.whole(r, e)
	if lg.told != nil && !bytes.Equal(out, lg.told) {
		// RFC 3264 section 8: the version goes up with every change, and only then.
		lg.version++
		e.Version = lg.version
		out = lg.whole(r, e)
	}
	lg.told = slices.Clip(out)
	lg.keepSections(len(r.desc.Media), e.Like, out)
	return lg.told
}

// whole writes a description with all sections that an offer must have: the side may know more than the other one describes,
// from the peer that this one has replaced.
func (lg *leg) whole(r *remote, e sdp.Edit) []byte {
	out := r.desc.Rewrite(e)
	if e.Like == nil && lg.sections != "" {
		return sdp.WithSections(out, lg.sections)
	}
	return out
}

// keepSections keeps the sections of a description that the side was told. One is in every offer and needs no remembering.
func (lg *leg) keepSections(described int, like *sdp.Description, told []byte) {
	if described > 1 || like != nil && len(like.Media) > 1 || lg.sections != "" {
		lg.sections = sdp.Sections(told)
	}
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
