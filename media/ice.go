package media

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/netip"

	"carillon/call"
	"carillon/sdp"
	"carillon/stun"
)

// MaxCheckRate is how many connectivity checks of a leg are answered in a second: an agent with many candidates begins
// with one every 50 ms for each (RFC 8445 section 14), and later asks every 5 s. Those above it are policed.
const MaxCheckRate = 50

// discard is the port of a description that leaves its address to ICE (RFC 8840 section 4.1.1).
const discard = 9

// agent is the ICE-lite agent of a leg (RFC 8445 section 2.5). It is there only where the peer's description has no address
// that could be used without ICE. A peer that has one is answered without ICE and sends from where it said, or is latched.
type agent struct {
	ours, theirs sdp.ICE
	// username is what checks to us carry, and proof judges what they are proven with.
	username string
	proof    *stun.Proof
	// refused says why an address may not be sent to, nil for one that may.
	refused func(netip.AddrPort) error
}

// leavesAddressToICE reports whether a section must be answered with ICE or not at all.
func leavesAddressToICE(m *sdp.Media) bool { return m.Port == discard && m.ICE.Valid() }

// keepICE goes on with ICE for a side that began with it, also when its descriptions name the address that ICE has found.
func (lg *leg) keepICE(r *remote) {
	if m := r.section(); lg.now != nil && lg.now.ice != nil && m.ICE.Valid() && !r.profile.Fax && !r.hold {
		r.ice, r.addr, r.rtcp, r.alternate, r.sendable = m.ICE, netip.AddrPort{}, netip.AddrPort{}, netip.Addr{}, true
	}
}

// agentFor returns the agent for what a side described, nil where it needs none. It stays as long as the peer's does; a
// new fragment and password of the peer's are a new beginning (RFC 8445 section 9).
func (s *Session) agentFor(lg *leg, r *remote) (*agent, *call.Refusal) {
	if !r.ice.Valid() {
		return nil, nil
	}
	if lg.now != nil && lg.now.ice != nil && lg.now.ice.theirs.Equal(r.ice) {
		return lg.now.ice, nil
	}
	var b [6 + 18]byte // 48 and 144 bits; RFC 8445 section 5.3 asks for 24 and 128
	if _, err := io.ReadFull(s.plane.rand, b[:]); err != nil {
		return nil, call.Refuse(call.ReasonInternal, "media has no randomness")
	}
	password := base64.RawStdEncoding.EncodeToString(b[6:])
	a := &agent{theirs: r.ice, proof: stun.NewProof(password), refused: s.plane.cfg.Egress.CheckPort}
	a.ours = sdp.ICE{Fragment: base64.RawStdEncoding.EncodeToString(b[:6]), Password: sdp.Secret(password)}
	a.username = a.ours.Fragment + ":" + r.ice.Fragment
	return a, nil
}

// describe adds the agent to a description of the leg's: one candidate for each component, both of them bound ports.
func (a *agent) describe(e *sdp.Edit) {
	e.ICE = a.ours
	for component := range 2 {
		if component == 1 && e.Mux {
			break
		}
		priority := 126<<24 | 65535<<8 | (256 - (component + 1)) // RFC 8445 section 5.1.2.1
		e.Candidates = append(e.Candidates, fmt.Sprintf("1 %d UDP %d %s %d typ host", component+1, priority, e.Addr, int(e.Port)+component))
	}
}

// check answers a connectivity check and follows a nomination. What is not authentic gets no answer.
func (lg *leg) check(w *worker, p *path, s *socket, b []byte, src netip.AddrPort) {
	if !lg.checks.take(w.second, MaxCheckRate) {
		lg.police(w)
		return
	}
	r, err := stun.Parse(b)
	if err != nil {
		w.stats.malformed.Add(1)
		return
	}
	if string(r.Username) != p.ice.username || !r.Authentic(p.ice.proof) {
		lg.count.authFailures.Add(1)
		w.stats.authFailures.Add(1)
		return
	}
	var answer []byte
	switch {
	case r.Unknown():
		answer = r.AppendError(w.report[:0], stun.CodeUnknownAttribute, p.ice.proof)
	case r.Controlled: // which is what we always are
		answer = r.AppendError(w.report[:0], stun.CodeRoleConflict, p.ice.proof)
	default:
		answer = r.AppendSuccess(w.report[:0], src, p.ice.proof)
		if r.UseCandidate {
			lg.nominate(p, s, src, r.Priority)
		}
	}
	if !w.send(s, answer, src) {
		w.stats.sendErrors.Add(1)
		return
	}
	w.stats.sent.Add(1)
	w.stats.checks.Add(1)
}

// nominate sends to where a nominated check came from. Of several the one with the highest priority counts.
func (lg *leg) nominate(p *path, s *socket, src netip.AddrPort, priority uint32) {
	l := p.rtp
	if s.rtcp {
		l = p.rtcp
	}
	if src == l.to || l.nominated > priority || p.ice.refused(src) != nil || l.ports.mine(src) {
		return
	}
	l.nominated = priority
	l.move(src)
}
