package sbc

import (
	"strconv"
	"strings"
	"time"

	"carillon/call"
	"carillon/sip"
)

// Bounds of session timers.
const (
	// minSession is the shortest life of a session (RFC 4028 section 4): a peer that asks for less is answered 422.
	minSession = 90 * time.Second
	// maxSession is the longest Min-SE that is followed: beyond it a session timer would find no dead peer.
	maxSession = 24 * time.Hour
	// maxTooSmall bounds how often one target may answer 422 to ever longer sessions.
	maxTooSmall = 2
	// refreshPause is how long a refresh waits that was refused, or that found another change of the session under way here.
	refreshPause = 3 * time.Second
)

// sessionTimer is the session timer of one leg (RFC 4028). Each leg has its own: the two peers may want other intervals,
// and where a peer does not refresh, the node does.
type sessionTimer struct {
	// interval is the life of the session after each refresh; 0 before the leg has one.
	interval time.Duration
	// minimum is the largest Min-SE the peer has named.
	minimum time.Duration
	// supported is true when the peer knows session timers, ours when the node refreshes.
	supported, ours bool
	// update is true when the peer takes UPDATE, which refreshes without a new offer.
	update bool
	// tooSmall counts the 422 of a target.
	tooSmall int
}

// asked takes what a peer's INVITE, re-INVITE or UPDATE says about the session. It returns false where the peer wants
// less than minSession (RFC 4028 section 8).
func (t *sessionTimer) asked(m *sip.Message, longest time.Duration) bool {
	wanted, given := seconds(m, sip.HdrSessionExpires)
	if given && wanted < minSession {
		return false
	}
	if minimum, ok := seconds(m, sip.HdrMinSE); ok {
		t.minimum = min(max(t.minimum, minimum), maxSession)
	}
	t.supported = hasOption(m, sip.HdrSupported, "timer") || hasOption(m, sip.HdrRequire, "timer")
	t.update = t.update || takes(m, "UPDATE")
	interval := longest
	if given {
		interval = min(wanted, longest)
	}
	interval = max(interval, t.minimum)
	switch refresher := sessionRefresher(m); {
	case !t.supported:
		t.ours = true
	case refresher != "":
		t.ours = refresher == "uas"
	case t.interval == 0:
		t.ours = false
	}
	t.interval = interval
	return true
}

// answered takes what a peer's 2xx says. A 2xx without Session-Expires comes from a peer that knows no session timers:
// the node refreshes, which such a peer takes for a harmless change.
func (t *sessionTimer) answered(m *sip.Message, longest time.Duration) {
	t.update = t.update || takes(m, "UPDATE")
	if t.interval == 0 {
		t.interval = max(longest, t.minimum)
	}
	wanted, given := seconds(m, sip.HdrSessionExpires)
	if t.supported = given; !given {
		t.ours = true
		return
	}
	// A peer may only shorten what it was asked, and not below Min-SE; a timer of a second would be a flood of our own.
	t.interval = min(max(wanted, minSession, t.minimum), maxSession)
	t.ours = sessionRefresher(m) != "uas"
}

// writeAnswer puts the timer into our 2xx.
func (t *sessionTimer) writeAnswer(b *sip.Builder) {
	if t.interval == 0 || !t.supported {
		return // it would not be understood
	}
	refresher := "uac"
	if t.ours {
		refresher = "uas"
	} else {
		b.Header("Require", "timer")
	}
	b.Header("Session-Expires", strconv.Itoa(int(t.interval/time.Second))+";refresher="+refresher)
}

// writeRequest puts the timer into a request of ours that makes or changes the session. Who refreshes does not change
// while the call lasts; before the first answer the peer chooses.
func (t *sessionTimer) writeRequest(b *sip.Builder, longest time.Duration, established bool) {
	interval := t.interval
	if interval == 0 {
		interval = max(longest, t.minimum)
	}
	value := strconv.Itoa(int(interval / time.Second))
	if established {
		value += ";refresher=" + map[bool]string{true: "uac", false: "uas"}[t.ours]
	}
	b.Header("Session-Expires", value)
	b.Header("Min-SE", strconv.Itoa(int(max(t.minimum, minSession)/time.Second)))
}

// raise takes a 422 and reports whether asking again with a longer session may help.
func (t *sessionTimer) raise(m *sip.Message) bool {
	minimum, ok := seconds(m, sip.HdrMinSE)
	if !ok || minimum > maxSession || minimum <= t.minimum || t.tooSmall == maxTooSmall {
		return false
	}
	t.tooSmall++
	t.minimum = minimum
	t.interval = max(t.interval, minimum)
	return true
}

func seconds(m *sip.Message, id sip.HeaderID) (time.Duration, bool) {
	n, ok := m.Uint(id)
	return time.Duration(min(n, 1<<31-1)) * time.Second, ok
}

func sessionRefresher(m *sip.Message) string {
	v, _ := sip.ValueParam(m.Get(sip.HdrSessionExpires), "refresher")
	switch v := strings.ToLower(string(v)); v {
	case "uac", "uas":
		return v
	}
	return ""
}

// hasOption reports whether an option tag is listed in Supported or Require (RFC 3261 section 20.37).
func hasOption(m *sip.Message, id sip.HeaderID, option string) bool {
	for value := range m.Values(id) {
		if strings.EqualFold(string(value), option) {
			return true
		}
	}
	return false
}

// takes reports whether a peer lists a method in Allow.
func takes(m *sip.Message, method string) bool {
	for value := range m.Values(sip.HdrAllow) {
		if string(value) == method {
			return true
		}
	}
	return false
}

// refreshed starts a leg's timers anew: the session was confirmed by a 2xx of one of its sides.
func (c *activeCall) refreshed(l *leg) {
	t := &l.session
	if t.interval == 0 || c.phase != up {
		return
	}
	// RFC 4028 section 10: whoever does not refresh hangs up a little before the end, so that both sides do.
	c.after(l.timer(timerExpiry), t.interval-min(32*time.Second, t.interval/3))
	if t.ours {
		c.after(l.timer(timerRefresh), t.interval/2)
		return
	}
	c.stopTimer(l.timer(timerRefresh))
}

// timer returns the name of a leg's own timer.
func (l *leg) timer(name timerName) timerName {
	if l == l.call.caller {
		return name
	}
	return name + 1
}

// ofTimer is the leg of a timer that each leg has.
func (c *activeCall) ofTimer(name, first timerName) *leg {
	if name == first {
		return c.caller
	}
	return c.answered.leg
}

// refresh refreshes a leg's session: by an UPDATE without a description where the peer takes one, else by a re-INVITE
// that offers what was offered before.
func (c *activeCall) refresh(l *leg) {
	if !l.open || c.phase != up {
		return
	}
	if !l.session.update {
		c.refreshByOffer(l)
		return
	}
	c.send(&outbound{leg: l, method: "UPDATE", fill: func(b *sip.Builder) { withoutBody(b) }, then: func(m *sip.Message) {
		c.onRefreshed(l, m)
	}})
}

// refreshByOffer offers the other side's session once more. It is a change like any other, only that nobody asked for it.
func (c *activeCall) refreshByOffer(l *leg) {
	far := l.other()
	if h := c.handover; c.exchange != nil || c.caller.awaitAck || far == nil || far.described == nil || far.origin != nil || h != nil && h.answer != nil {
		c.after(l.timer(timerRefresh), refreshPause) // the change under way refreshes, too, when it succeeds
		return
	}
	sdp, refusal := c.media.Offer(far.side, far.described, l.policy)
	if refusal != nil {
		c.media.Reject()
		c.note("refresh of the session", "side", l.side.String(), "reason", refusal.Reason.String())
		return // the expiry ends the call if nobody else refreshes
	}
	x := &exchange{from: far, to: l, method: "INVITE", own: true}
	c.exchange = x
	x.out = &outbound{
		leg: l, method: "INVITE", fill: func(b *sip.Builder) { withBody(b, sdp) },
		then: func(m *sip.Message) { c.onOwnOfferAnswered(x, m) },
	}
	c.after(timerExchange, c.s.limits.Ring)
	c.send(x.out)
}

// onOwnOfferAnswered takes the answer to a re-INVITE that only refreshes.
func (c *activeCall) onOwnOfferAnswered(x *exchange, m *sip.Message) {
	ok := m != nil && m.Status()/100 == 2
	if ok {
		x.to.seq, x.to.unacked = m.CSeq(), m.CSeq()
	}
	c.sendOwedAck(x.to)
	if c.exchange != x {
		return // the call ended meanwhile
	}
	c.exchange = nil
	c.stopTimer(timerExchange)
	if sdp := bodyOf(m); ok && sdp != nil {
		// What the peer changed in its answer holds from here on; the far side's part of it stays as it is.
		if _, refusal := c.media.Answer(x.to.side, sdp); refusal != nil {
			c.end(refusal, "node")
			return
		}
		x.to.dialog.Refresh(m)
		x.to.described = sdp
	} else {
		c.media.Reject()
	}
	c.onRefreshed(x.to, m)
}

func bodyOf(m *sip.Message) []byte {
	if m == nil {
		return nil
	}
	return bodySDP(m)
}

// onRefreshed takes the final answer to a refresh, nil when there was none.
func (c *activeCall) onRefreshed(l *leg, m *sip.Message) {
	if c.phase != up || !l.open {
		return
	}
	switch {
	case m != nil && m.Status()/100 == 2:
		l.session.answered(m, c.s.limits.Session)
		c.refreshed(l)
	case m != nil && m.Status() == 422 && l.session.raise(m):
		c.refresh(l)
	case m == nil || m.Status() == 481 || m.Status() == 408:
		c.end(call.Refuse(call.ReasonConnectionLost, "the "+l.party.String()+" side did not answer the refresh of the session."), "node")
	default:
		// The peer may be changing the session itself, or may not like this refresh; the expiry has the last word.
		pause := refreshPause
		if m.Status() == 491 {
			pause = c.s.glarePause(l.placed)
		}
		c.after(l.timer(timerRefresh), pause)
	}
}
