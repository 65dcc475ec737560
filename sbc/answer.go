package sbc

import (
	"fmt"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transport"
)

// onResponse takes an answer to an INVITE we sent.
func (c *activeCall) onResponse(e event) {
	status := e.msg.Status()
	a := c.open[e.attempt]
	if status >= 200 {
		delete(c.open, e.attempt)
	}
	switch {
	case c.answered != nil && c.answered.number == e.attempt:
		c.onFurtherAnswer(e)
	case a == nil:
		c.s.stats.Strays.Add(1)
	case c.phase != dialling || a != c.attempt:
		c.onLateAnswer(a, e)
	case status == 100:
	case status < 200:
		c.onProvisional(a, e)
	case status < 300:
		c.onSuccess(a, e)
	default:
		c.onFailure(a, e)
	}
}

// onFurtherAnswer takes what comes after the 2xx that was taken: the same 2xx again gets its ACK again; a 2xx of
// another fork gets ACK and BYE (RFC 3261 section 13.2.2.4).
func (c *activeCall) onFurtherAnswer(e event) {
	if e.msg.Status()/100 != 2 {
		return
	}
	l := c.answered.leg
	if string(e.msg.To().Tag()) == l.dialog.ID.Remote {
		if l.ack != nil {
			_ = l.flow.Send(l.ack)
		}
		return
	}
	c.ackAndBye(c.answered, e)
}

// onLateAnswer takes the answer of a target that was given up: a 2xx that crossed our CANCEL is hung up at once.
func (c *activeCall) onLateAnswer(a *attempt, e event) {
	if e.msg.Status()/100 == 2 {
		c.ackAndBye(a, e)
	}
}

// ackAndBye ends a dialog nobody wants.
func (c *activeCall) ackAndBye(a *attempt, e event) {
	uri, err := sip.ParseURI([]byte(a.uri))
	if err != nil {
		return
	}
	d, err := dialog.NewUAC(e.msg, &uri, e.flow.Proto() == transport.TLS)
	if err != nil {
		return
	}
	l := *a.leg
	l.dialog, l.open = d, true
	c.sendAck(&l, e.msg.CSeq(), nil)
	c.sendBye(&l, "")
}

// onProvisional passes ringing and early media on. Whichever fork of the far side they come from, the caller sees one
// dialog.
func (c *activeCall) onProvisional(a *attempt, e event) {
	if c.timers[timerRing] == nil {
		c.after(timerRing, c.s.limits.Ring)
	}
	sdp := bodySDP(e.msg)
	if sdp != nil && a.body != nil {
		answer, refusal := c.media.Answer(a.leg.side, sdp)
		if refusal != nil {
			// Early media that breaks the promise is not passed on; the final answer decides.
			c.log.Info("early media refused", "reason", refusal.Reason.String())
			answer = nil
		}
		sdp = answer
	} else {
		sdp = nil
	}
	b := c.caller.response(e.msg.Status(), "")
	c.establishing(b)
	c.passHeaders(b, e.msg)
	c.caller.respond(withBody(b, sdp))
}

// onSuccess joins the legs: the answer goes to the caller and the target gets its ACK, at once where its description
// answered ours, else when the caller's ACK brings the answer.
func (c *activeCall) onSuccess(a *attempt, e event) {
	c.stopTimer(timerRing)
	l := a.leg
	uri, err := sip.ParseURI([]byte(a.uri))
	if err == nil {
		l.dialog, err = dialog.NewUAC(e.msg, &uri, e.flow.Proto() == transport.TLS)
	}
	if err != nil {
		c.failTarget(a, outcome{status: 502, text: "its answer makes no dialog"})
		return
	}
	l.open, l.seq = true, l.dialog.LocalSeq
	sdp, refusal := c.negotiate(a, bodySDP(e.msg))
	if refusal != nil {
		c.sendAck(l, e.msg.CSeq(), nil)
		c.sendBye(l, judge(refusal).reasonHeader())
		v := judge(refusal)
		c.rec.Attempts = append(c.rec.Attempts, call.Attempt{Target: a.target.String(), Status: e.msg.Status(), Error: v.sentence})
		c.fail(v)
		return
	}
	c.s.failures.forget(a.target.String())
	c.rec.Attempts = append(c.rec.Attempts, call.Attempt{Target: a.target.String(), Status: e.msg.Status()})
	if a.target.Carrier != nil {
		c.rec.Carrier, c.rec.Lab = a.target.Carrier.Name, a.target.Carrier.Lab
	}
	if a.body != nil {
		c.sendAck(l, e.msg.CSeq(), nil)
	}
	c.answered, c.phase = a, up
	c.rec.Answered = c.s.clock.Now()
	c.s.stats.Answered.Add(1)
	c.hold()
	b := c.caller.response(200, "")
	c.establishing(b)
	c.passHeaders(b, e.msg)
	c.caller.awaitAck = true
	_ = c.caller.dialog.Confirm(nil)
	c.caller.respond(withBody(b, sdp))
}

// negotiate passes the target's description through the media plane: as the answer to ours, or as the offer that the
// caller's ACK will answer.
func (c *activeCall) negotiate(a *attempt, sdp []byte) ([]byte, *call.Refusal) {
	switch {
	case sdp == nil:
		return nil, call.Refuse(call.ReasonBadDescription, "the answer has none.")
	case a.body != nil:
		return c.media.Answer(a.leg.side, sdp)
	}
	if refusal := c.openMedia(a.leg); refusal != nil {
		return nil, refusal
	}
	return c.media.Offer(a.leg.side, sdp, c.caller.policy)
}

// onFailure takes a final answer other than 2xx.
func (c *activeCall) onFailure(a *attempt, e event) {
	c.stopTimer(timerRing)
	status := e.msg.Status()
	if status == 401 || status == 407 {
		if credentials := c.answerChallenge(a, e.msg); credentials != nil {
			c.sendInvite(a, a.body, credentials)
			return
		}
	}
	o := outcome{
		status: status, phrase: phraseOf(e.msg), text: fmt.Sprintf("answered %d %s", status, phraseOf(e.msg)),
		reason: reasonText(e.msg),
	}
	switch status {
	case 408, 500, 502, 503, 504, 401, 407:
		// 401 and 407 are the carrier's quarrel with us: another target may trust us.
		c.failTarget(a, o)
		return
	}
	c.noteAttempt(a, o)
	v := judge(call.Refuse(call.ReasonRemoteRefused, o.text))
	v.status, v.phrase = passedOn(status), o.phrase
	if v.status != status {
		v.phrase = ""
	}
	c.refuseCaller(v, o.reason, remoteName(a.leg))
}

// passedOn is the status the caller sees for a target's. A redirect would show the caller addresses of the other side
// and move the call around the rules that let it in, so it is refused.
func passedOn(status int) int {
	if status < 400 {
		return 480
	}
	return status
}

// phraseOf returns a peer's reason phrase if it can be written on.
func phraseOf(m *sip.Message) string {
	phrase := m.Reason()
	if len(phrase) > 100 {
		return sip.ReasonPhrase(m.Status())
	}
	return string(phrase)
}

func remoteName(l *leg) string { return l.side.String() }

// fail refuses the call to the caller.
func (c *activeCall) fail(v verdict) { c.refuseCaller(v, "", "") }

// refuseCaller gives the caller its final answer and ends the call. reason is the far side's own Reason header.
func (c *activeCall) refuseCaller(v verdict, reason, by string) {
	if c.phase != dialling {
		return
	}
	b := c.caller.response(v.status, v.phrase)
	if v.retry {
		b.Header("Retry-After", c.s.retryAfter())
	}
	if reason != "" {
		b.Header("Reason", reason)
	} else {
		c.s.explain(b, v)
	}
	c.finish(v, by)
	c.caller.respond(withoutBody(b))
}

// finish ends what is left of a call and writes its record; it sends nothing to the caller.
func (c *activeCall) finish(v verdict, by string) {
	c.stopTimer(timerRing)
	c.stopTimer(timerDuration)
	if c.phase == dialling && c.attempt != nil {
		c.abandon(c.attempt, v.reasonHeader())
	}
	c.phase = over
	for _, f := range c.held {
		f.Release()
	}
	c.conclude(v, by)
}

// hold keeps both connections open for as long as the call is up.
func (c *activeCall) hold() {
	c.held = []transport.Flow{c.caller.flow, c.answered.leg.flow}
	for _, f := range c.held {
		f.Hold()
	}
}
