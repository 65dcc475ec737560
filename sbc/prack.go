package sbc

import (
	"time"

	"carillon/call"
	"carillon/sip"
)

// Bounds of reliable provisional answers (RFC 3262 section 3).
const (
	// reliableFirst is the time to the first repetition; each further one takes twice as long.
	reliableFirst = 500 * time.Millisecond
	// reliableLast is when the caller's silence ends the call: 64 times T1.
	reliableLast = 32 * time.Second
	// maxProvisionals bounds the answers that wait until the caller has confirmed the one before.
	maxProvisionals = 8
)

// reliability is what the caller's leg knows of reliable provisional answers (RFC 3262). The target's side of them is
// the node's own affair: what comes reliably from there is confirmed at once, so that either side may know them alone.
type reliability struct {
	// known is true when the caller takes reliable answers, wanted when it takes no others.
	known, wanted bool
	// last is the RSeq of the answer sent last; 0 before the first.
	last uint32
	// sent waits for its PRACK, nil for none; the others wait for it.
	sent    *provisional
	waiting []*provisional
	// pause is the time to the next repetition of sent, since when it was sent first.
	pause time.Duration
	since time.Time
	// agreed is true once the caller has confirmed an answer with a description.
	agreed bool
}

// provisional is one answer on its way to the caller.
type provisional struct {
	status int
	from   *sip.Message // the target's, for the headers that cross
	sdp    []byte       // for the caller; nil for none
	// offer is set when sdp is an offer, which the caller's PRACK answers: the early dialog of the target that made it.
	offer *early
	bytes []byte
}

// early is one early dialog of an attempt: each fork of the far side makes its own.
type early struct {
	attempt *attempt
	leg     *leg
	// rseq is that of the last reliable answer in it, 0 before one.
	rseq uint32
}

// takeReliable makes or finds the early dialog of a reliable answer. It returns nil for one that came before, that
// overtook another or that makes no dialog: it will come again (RFC 3262 section 4).
func (c *activeCall) takeReliable(a *attempt, e event) *early {
	rseq, ok := e.msg.Uint(sip.HdrRSeq)
	if !ok || rseq == 0 {
		return nil
	}
	d := a.earlyOf(e.msg.To().Tag())
	if d == nil {
		if d = c.newEarly(a, e); d == nil {
			return nil
		}
		a.earlies = append(a.earlies, d)
	} else if d.rseq != 0 && rseq != d.rseq+1 {
		return nil
	}
	d.rseq = rseq
	return d
}

// noteEarly makes the early dialog of an answer that is not reliable (RFC 3261 section 12.1): either side may send INFO in
// it, and the target refresh it. One without a Contact makes none.
func (c *activeCall) noteEarly(a *attempt, e event) {
	if tag := e.msg.To().Tag(); len(tag) == 0 || e.msg.Contact() == nil || a.earlyOf(tag) != nil {
		return
	}
	if d := c.newEarly(a, e); d != nil {
		a.earlies = append(a.earlies, d)
	}
}

func (a *attempt) earlyOf(tag []byte) *early {
	for _, d := range a.earlies {
		if d.leg.dialog.ID.Remote == string(tag) {
			return d
		}
	}
	return nil
}

// newEarly makes the dialog of a fork's first answer. The first fork's is the attempt's own leg, later ones are copies.
func (c *activeCall) newEarly(a *attempt, e event) *early {
	if len(a.earlies) == maxForks {
		c.s.stats.Strays.Add(1)
		return nil
	}
	l := a.leg
	if len(a.earlies) > 0 {
		l = new(*a.leg)
	}
	if err := a.begin(l, e); err != nil {
		c.note("provisional answer makes no dialog", "error", err)
		return nil
	}
	l.session.update = l.session.update || takes(e.msg, "UPDATE")
	return &early{attempt: a, leg: l}
}

// prack confirms the last reliable answer of an early dialog, with the answer to its offer if it brought one.
func (c *activeCall) prack(d *early, cseq uint32, sdp []byte) {
	rseq := d.rseq
	c.send(&outbound{leg: d.leg, method: "PRACK", fill: func(b *sip.Builder) {
		b.Open("RAck")
		b.WriteUint(uint64(rseq))
		b.WriteText(" ")
		b.WriteUint(uint64(cseq))
		b.WriteText(" INVITE")
		b.Close()
		withBody(b, sdp)
	}})
}

// announce passes a provisional answer on to the caller: reliably where the caller insists, or where it came reliably and
// the caller knows how to confirm it.
func (c *activeCall) announce(p *provisional, reliably bool) {
	if c.caller.origin != nil {
		c.tellOrigins(evProgress, &news{verdict: verdict{status: p.status}})
		return
	}
	r := &c.caller.reliable
	c.caller.rung = true
	if !r.wanted && !(r.known && reliably) {
		c.caller.respond(withBody(c.provisionalHead(p), p.sdp))
		return
	}
	if r.sent != nil {
		if len(r.waiting) == maxProvisionals {
			c.s.stats.Overflows.Add(1)
			return
		}
		r.waiting = append(r.waiting, p)
		return
	}
	c.sendReliable(p)
}

func (c *activeCall) provisionalHead(p *provisional) *sip.Builder {
	b := c.caller.response(p.status, "")
	c.establishing(b)
	c.passHeaders(b, p.from)
	return b
}

func (c *activeCall) sendReliable(p *provisional) {
	r := &c.caller.reliable
	r.last++
	b := c.provisionalHead(p)
	b.Header("Require", "100rel")
	b.HeaderUint("RSeq", uint64(r.last))
	if p.bytes = withBody(b, p.sdp).Bytes(); p.bytes == nil {
		return
	}
	r.sent, r.pause, r.since = p, reliableFirst, c.s.clock.Now()
	_ = c.caller.invite.Respond(p.bytes)
	c.after(timerReliable, r.pause)
}

// onReliableTimer repeats the answer that waits for its PRACK, and at last gives the call up (RFC 3262 section 3).
func (c *activeCall) onReliableTimer() {
	r := &c.caller.reliable
	if c.phase != dialling || r.sent == nil {
		return
	}
	if c.s.clock.Now().Sub(r.since) >= reliableLast {
		v := judge(call.Refuse(call.ReasonAckTimeout, ""))
		v.status = 504
		c.fail(v)
		return
	}
	_ = c.caller.invite.Respond(r.sent.bytes)
	r.pause *= 2
	c.after(timerReliable, min(r.pause, reliableLast-c.s.clock.Now().Sub(r.since)))
}

// onPrack takes the caller's PRACK. It may bring the answer to an offer of the target, or an offer of its own.
func (c *activeCall) onPrack(e event) {
	r := &c.caller.reliable
	rseq, cseq, method, ok := e.msg.RAck()
	if e.leg != c.caller || c.phase != dialling || r.sent == nil || !ok ||
		rseq != r.last || cseq != c.caller.req.CSeq() || string(method) != "INVITE" {
		c.reply(e, 481, "")
		return
	}
	p, sdp := r.sent, bodySDP(e.msg)
	r.sent = nil
	c.stopTimer(timerReliable)
	r.agreed = r.agreed || p.sdp != nil
	c.confirmEarly(p)
	switch {
	case p.offer != nil:
		if refusal := c.answerEarlyOffer(p.offer, sdp); refusal != nil {
			c.reply(e, 200, "")
			c.fail(judge(refusal))
			return
		}
		c.reply(e, 200, "")
	case sdp != nil && !c.mayUpdateEarly():
		c.reply(e, 488, "")
	case sdp != nil:
		c.carry(e, "UPDATE", c.caller.session) // its answer is the body of the 200 to PRACK
	default:
		c.reply(e, 200, "")
	}
	if c.phase != dialling {
		return
	}
	if len(r.waiting) > 0 {
		next := r.waiting[0]
		r.waiting = r.waiting[1:]
		c.sendReliable(next)
	}
	c.releaseAnswer()
}

// confirmEarly notes that the caller is where its datagrams say: only there was our tag to be learned.
func (c *activeCall) confirmEarly(p *provisional) {
	c.trust()
	if c.media != nil && p.sdp != nil {
		c.media.Confirm(c.caller.side)
	}
}

// answerEarlyOffer passes the caller's answer to a target's early offer on.
func (c *activeCall) answerEarlyOffer(d *early, sdp []byte) *call.Refusal {
	if c.attempt != d.attempt {
		return nil // that target was given up
	}
	if sdp == nil {
		return call.Refuse(call.ReasonBadDescription, "the PRACK of an offer has none.")
	}
	c.caller.described = sdp
	answer, refusal := c.media.Answer(c.caller.side, sdp)
	if refusal != nil {
		return refusal
	}
	d.attempt.agreed = true
	c.prack(d, d.leg.seq, answer)
	return nil
}

// holdAnswer keeps a target's 2xx until the caller has confirmed the description it was sent (RFC 3262 section 3). The
// target repeats its 2xx meanwhile, which does no harm. The first fork that answers has the call, here too.
func (c *activeCall) holdAnswer(a *attempt, e event) bool {
	r := &c.caller.reliable
	if r.sent == nil || r.sent.sdp == nil {
		return false
	}
	if c.held == a {
		if string(c.heldAnswer.msg.To().Tag()) != string(e.msg.To().Tag()) {
			c.ackAndBye(a, e)
		}
		return true
	}
	c.held, c.heldAnswer = a, e
	c.stopTimer(timerRing)
	return true
}

// releaseAnswer goes on with a 2xx that was kept.
func (c *activeCall) releaseAnswer() {
	if c.held == nil || c.caller.reliable.sent != nil && c.caller.reliable.sent.sdp != nil {
		return
	}
	a, e := c.held, c.heldAnswer
	c.held, c.heldAnswer = nil, event{}
	if a == c.attempt {
		c.onSuccess(a, e)
	}
}

// dropHeld ends the dialog of a 2xx that was kept and is not wanted any more.
func (c *activeCall) dropHeld() {
	if a := c.held; a != nil {
		c.held = nil
		c.ackAndBye(a, c.heldAnswer)
	}
}

// mayUpdateEarly reports whether the session may be changed before the call is answered (RFC 3311 section 5.1): the
// first offer must have been answered reliably on both legs.
func (c *activeCall) mayUpdateEarly() bool {
	a := c.attempt
	return c.phase == dialling && c.exchange == nil && a != nil && a.leg != nil && a.confirmed() && a.leg.session.update &&
		c.caller.reliable.agreed && (a.agreed || a.early != nil)
}

// confirmed reports whether the early dialog that the attempt's leg is in had a reliable answer.
func (a *attempt) confirmed() bool {
	d := a.earlyOf([]byte(a.leg.dialog.ID.Remote))
	return a.leg.open && d != nil && d.rseq != 0
}
