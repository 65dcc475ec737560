package media

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"carillon/call"
	"carillon/egress"
	"carillon/sdp"
	"carillon/srtp"
)

// remote is what one side described, judged.
type remote struct {
	desc    *sdp.Description
	index   int // of the section that is used: audio, or fax where there is no audio
	profile sdp.Profile
	// addr and rtcp are where it wants RTP and RTCP; hold is true when it wants none.
	addr, rtcp netip.AddrPort
	hold       bool
	mux        bool
	quiet      bool // it wants no RTCP
	direction  sdp.Direction
	formats    []sdp.Format
	// ice has the credentials of a side that can be reached by ICE alone; addr and rtcp are not valid then.
	ice sdp.ICE
	// alternate is the signalling address where the described one is private; sendable is false where the
	// described one must not be sent to.
	alternate netip.Addr
	sendable  bool
	// key is the side's own key and crypto its line; zero for plain RTP.
	key    srtp.Key
	crypto sdp.Crypto
}

func (r *remote) section() *sdp.Media { return &r.desc.Media[r.index] }

func (r *remote) sameAddress(o *remote) bool {
	return r.addr == o.addr && r.rtcp == o.rtcp && r.mux == o.mux && r.alternate == o.alternate && r.hold == o.hold && r.ice.Equal(o.ice)
}

// sameKey reports whether both speak of one key, tag aside.
func (r *remote) sameKey(o *remote) bool {
	return r.key.Equal(o.key) && string(r.crypto.MKI) == string(o.crypto.MKI)
}

// describe parses a description and finds the section to use: the one at index, or the first that can be
// used for a negative index. Its key is left to the caller.
func (s *Session) describe(b []byte, index int, policy call.Leg) (*remote, *call.Refusal) {
	d, err := sdp.Parse(b)
	if err != nil {
		return nil, call.Refuse(call.ReasonBadDescription, err.Error())
	}
	r := &remote{desc: d, index: index, sendable: true}
	refusal := r.findSection(policy.SRTP != call.SRTPOff && policy.SecureSignalling)
	if refusal != nil {
		return nil, refusal
	}
	m := r.section()
	r.formats, r.direction, r.mux, r.quiet = m.Formats, m.Direction, m.Mux, m.NoSenders && m.NoReceivers
	if leavesAddressToICE(m) && !r.profile.Fax {
		r.ice = m.ICE
		return r, nil
	}
	if !m.Addr.IsValid() {
		return nil, call.Refuse(call.ReasonBadDescription, "no usable connection address")
	}
	r.addr = netip.AddrPortFrom(m.Addr, m.Port)
	r.hold = m.Addr.IsUnspecified()
	r.rtcp = rtcpAddress(m)
	if r.mux {
		r.rtcp = r.addr
	}
	return r, s.judge(r, policy)
}

// findSection picks the section: audio before fax. A peer that offers one conversation twice, in the clear and protected, means
// the latter where it is wanted.
func (r *remote) findSection(preferSecure bool) *call.Refusal {
	if r.index >= len(r.desc.Media) {
		return call.Refuse(call.ReasonBadDescription, "the answer has no section for the one offered")
	}
	dtls, found, fax := false, -1, -1
	for i := range r.desc.Media {
		m := &r.desc.Media[i]
		if r.index >= 0 && i != r.index || m.Port == 0 {
			continue
		}
		p, ok := sdp.ParseProfile(m.Proto)
		if ok && p.Fax && m.Type == "image" && len(m.Formats) > 0 && fax < 0 {
			fax = i
		}
		if m.Type != "audio" || p.Fax {
			continue
		}
		if ok && len(m.Formats) > 0 && (found < 0 || preferSecure && p.Secure && !r.profile.Secure) {
			found, r.profile = i, p
		}
		dtls = dtls || strings.Contains(strings.ToUpper(m.Proto), "TLS")
	}
	if found >= 0 {
		r.index = found
		return nil
	}
	if fax >= 0 {
		r.index, r.profile = fax, sdp.Profile{Fax: true}
		return nil
	}
	if dtls {
		return call.Refuse(call.ReasonNoCommonSuite, "only a=crypto keys (RFC 4568) are taken, not DTLS")
	}
	return call.Refuse(call.ReasonNoCommonCodec, "no audio over RTP")
}

// rtcpAddress follows RFC 3605: the port after RTP's unless a=rtcp says otherwise.
func rtcpAddress(m *sdp.Media) netip.AddrPort {
	switch {
	case m.RTCP.Port() != 0 && m.RTCP.Addr().IsValid():
		return m.RTCP
	case m.RTCP.Port() != 0:
		return netip.AddrPortFrom(m.Addr, m.RTCP.Port())
	case m.Port == 1<<16-1:
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(m.Addr, m.Port+1)
}

// maxLoggedRefusals bounds the log lines about the addresses of one call, whose sides may describe others fifty times a second.
const maxLoggedRefusals = 5

// judge applies the rule of egress to the described addresses.
func (s *Session) judge(r *remote, policy call.Leg) *call.Refusal {
	if r.hold {
		return nil
	}
	from := policy.Signalling.WithZone("").Unmap()
	if egress.IsPrivate(r.addr.Addr()) && from.IsValid() && from != r.addr.Addr() &&
		from.Is4() == r.addr.Addr().Is4() {
		r.alternate = from
	}
	for _, at := range []netip.AddrPort{r.addr, r.rtcp} {
		if !at.IsValid() {
			continue
		}
		err := s.plane.cfg.Egress.CheckPort(at)
		if err == nil && s.plane.ports.owns(at) {
			err = fmt.Errorf("check %s: %w", at, egress.ErrOwn)
		}
		switch {
		case err == nil:
		case errors.Is(err, egress.ErrPrivate) && r.alternate.IsValid():
			// A peer behind NAT: its private address is never sent to, its packets tell where it is.
			r.sendable = false
		case errors.Is(err, egress.ErrPrivate) && at == r.rtcp && at.Addr() != r.addr.Addr():
			// A gateway that rewrote c= and forgot a=rtcp: the call is fine without reports to it.
			r.rtcp = netip.AddrPort{}
		default:
			// Which rule fired is for the operator; a stranger could map the inside with it.
			if s.refusals++; s.refusals <= maxLoggedRefusals {
				s.plane.cfg.Logger.Info("refuse media address", "call", s.id, "error", err)
			}
			return &call.Refusal{Reason: call.ReasonBadDescription, Detail: "its media address is not one that this node sends to",
				Fix: "Describe an address that the node can reach. The node's log says which rule forbids this one;" +
					" an operator changes it with --allow-private, or --allow-loopback for tests on one machine."}
		}
	}
	return nil
}
