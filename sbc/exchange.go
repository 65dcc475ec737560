package sbc

import (
	"strconv"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transaction"
)

// exchange is a change of the session under way: a re-INVITE or UPDATE from one side that is carried to the other. There
// is one at a time; another gets 491 (RFC 3261 §14.2).
type exchange struct {
	from, to *leg
	// req is the request that began it and tx its transaction.
	req *sip.Message
	tx  *transaction.Server
	// out is our request on the far leg, offer the description in it, nil for none.
	out    *outbound
	offer  []byte
	method string
	// late is true when the request brought no description: the far side's 2xx is then the offer.
	late bool
	// answered is true once a 2xx went back.
	answered bool
	// own is true for a refresh by the node itself: nobody asked for it, req and tx are nil.
	own bool
	// session is the asking side's session timer as it will be when the change succeeds.
	session sessionTimer
}

// onReinvite carries a re-INVITE to the other side.
func (c *activeCall) onReinvite(e event) {
	// On the caller's leg nothing may change before the ACK of the first answer, on the target's not before ours.
	if c.busy(e.leg) {
		c.replyBusy(e)
		return
	}
	session := e.leg.session
	if !session.asked(e.msg, c.s.limits.Session) {
		c.replyTooBrief(e)
		return
	}
	c.respond(e, withoutBody(c.replyTo(e, 100, "")))
	c.carry(e, "INVITE", session)
}

// busy reports whether the session cannot be changed from a side now: another change is under way, or the other side is on
// its way to another call or gone.
func (c *activeCall) busy(l *leg) bool {
	h := c.handover
	return c.phase != up || c.exchange != nil || c.caller.awaitAck || !l.other().open || h != nil && h.answer != nil
}

// replyBusy refuses a change for now: 491 where the other side's crosses it, 500 to a side that has an answer still to come
// to the change it asked for before (RFC 3261 section 14.2, RFC 3311 section 5.2).
func (c *activeCall) replyBusy(e event) {
	if x := c.exchange; x != nil && x.from == e.leg && !x.own && !x.answered {
		c.replyWith(e, 500, "Retry-After", c.s.retryAfter())
		return
	}
	c.reply(e, 491, "")
}

// onUpdate carries an UPDATE (RFC 3311). One without a description is a refresh of the target and stays here.
func (c *activeCall) onUpdate(e event) {
	session := e.leg.session
	if !session.asked(e.msg, c.s.limits.Session) {
		c.replyTooBrief(e)
		return
	}
	sdp := bodySDP(e.msg)
	if sdp == nil {
		e.leg.dialog.Refresh(e.msg)
		b := c.replyTo(e, 200, "")
		b.Header("Contact", e.leg.contact())
		b.Header("Allow", c.allow(e.leg))
		if c.phase == up {
			e.leg.session = session
			session.writeAnswer(b)
			c.refreshed(e.leg)
		}
		c.respond(e, withoutBody(b))
		return
	}
	if !c.mayUpdateEarly() && c.busy(e.leg) {
		c.replyBusy(e)
		return
	}
	c.carry(e, "UPDATE", session)
}

// carry makes the offer for the far side and sends it on.
func (c *activeCall) carry(e event, method string, session sessionTimer) {
	x := &exchange{from: e.leg, to: e.leg.other(), req: e.msg, tx: e.tx, method: method, session: session}
	sdp := bodySDP(e.msg)
	x.late = sdp == nil
	if !x.late {
		offer, refusal := c.media.Offer(x.from.side, sdp, x.to.policy)
		if refusal != nil {
			// What is refused changes nothing: the old session and its keys stay (RFC 3261 §14.2).
			c.replyVerdict(e, judge(refusal))
			return
		}
		sdp = offer
	}
	c.exchange = x
	x.offer = sdp
	// Somebody may be asked before a re-INVITE is answered, but not for ever: a side that sends 100 and no more would
	// lock the session.
	c.after(timerExchange, c.s.limits.Ring)
	c.sendExchange(x)
}

// sendExchange sends a change on to the far side.
func (c *activeCall) sendExchange(x *exchange) {
	x.out = &outbound{
		leg: x.to, method: x.method, fill: func(b *sip.Builder) {
			c.passHeaders(b, x.req)
			withBody(b, x.offer)
		},
		then: func(answer *sip.Message) { c.onExchangeAnswer(x, answer) },
	}
	c.send(x.out)
}

// onDropped takes the CANCEL of a re-INVITE: it is the far side's to answer 487 or to have answered before.
func (c *activeCall) onDropped(e event) {
	if x := c.exchange; x != nil && x.tx == e.tx {
		x.out.cancel()
	}
}

// replyVerdict refuses an in-dialog request with a row of the table.
func (c *activeCall) replyVerdict(e event, v verdict) {
	b := c.replyTo(e, v.status, v.phrase)
	if v.status == 405 {
		b.Header("Allow", c.allow(e.leg))
	}
	c.s.explain(b, v, v.reasonHeader())
	c.respond(e, withoutBody(b))
}

// onExchangeAnswer takes the far side's final answer, nil when there was none.
func (c *activeCall) onExchangeAnswer(x *exchange, m *sip.Message) {
	if m != nil && m.Status()/100 == 2 && x.method == "INVITE" {
		x.to.seq, x.to.unacked = m.CSeq(), m.CSeq()
	}
	if c.exchange != x {
		// The call ended meanwhile; a 2xx to INVITE wants its ACK all the same.
		c.sendOwedAck(x.to)
		return
	}
	if m != nil && m.Status() == 422 && x.to.session.raise(m) {
		c.sendExchange(x)
		return
	}
	c.stopTimer(timerExchange)
	e := event{leg: x.from, tx: x.tx, msg: x.req}
	switch {
	case m == nil:
		c.dropExchange()
		c.reply(e, 408, "")
		c.end(call.Refuse(call.ReasonConnectionLost, "the "+x.to.party.String()+" side did not answer a request."), "node")
	case m.Status()/100 != 2:
		c.dropExchange()
		c.replyStatus(e, m)
		if s := m.Status(); s == 481 || s == 408 {
			c.end(call.Refuse(call.ReasonConnectionLost, "the "+x.to.party.String()+" side knows the call no more."), "node")
		}
	default:
		c.onExchangeSuccess(x, e, m)
	}
}

// replyStatus passes the far side's refusal on.
func (c *activeCall) replyStatus(e event, m *sip.Message) {
	status := passedOn(m.Status())
	if m.Status() == 401 || m.Status() == 407 {
		status = 488 // the far side's quarrel is with us, not with this side
	}
	c.reply(e, status, causeOf(m))
}

// onExchangeSuccess carries the far side's answer, or its late offer, back.
func (c *activeCall) onExchangeSuccess(x *exchange, e event, m *sip.Message) {
	x.to.dialog.Refresh(m)
	sdp := bodySDP(m)
	refusal := call.Refuse(call.ReasonBadDescription, "the answer has none.")
	switch {
	case sdp == nil:
	case x.late:
		sdp, refusal = c.media.Offer(x.to.side, sdp, x.from.policy)
	default:
		sdp, refusal = c.media.Answer(x.to.side, sdp)
	}
	if refusal != nil {
		c.sendOwedAck(x.to)
		c.dropExchange()
		c.replyVerdict(e, judge(refusal))
		// The far side believes in a session that is not there: the call cannot go on.
		c.end(refusal, "node")
		return
	}
	if !x.late {
		c.sendOwedAck(x.to)
	}
	c.noteExchange(x, m)
	b := c.replyTo(e, 200, "")
	b.Header("Contact", x.from.contact())
	b.Header("Allow", c.allow(x.from))
	x.from.session.writeAnswer(b)
	c.passHeaders(b, m)
	c.respond(e, withBody(b, sdp))
	x.answered = true
	if x.method != "INVITE" {
		c.exchange = nil
	}
}

// noteExchange keeps what a change that succeeded says about either side.
func (c *activeCall) noteExchange(x *exchange, m *sip.Message) {
	x.from.dialog.Refresh(x.req)
	if !x.late {
		x.from.described = bodySDP(x.req)
	}
	x.to.described = bodySDP(m)
	x.from.session = x.session
	x.to.session.answered(m, c.s.limits.Session)
	c.refreshed(x.from)
	c.refreshed(x.to)
}

// replyTooBrief refuses a session that would want refreshing all the time (RFC 4028 section 9).
func (c *activeCall) replyTooBrief(e event) {
	c.replyWith(e, 422, "Min-SE", strconv.Itoa(int(minSession/time.Second)))
}

// onExchangeAck ends a re-INVITE; for a late offer it brings the answer.
func (c *activeCall) onExchangeAck(x *exchange, e event) {
	x.tx.Acked()
	c.exchange = nil
	if !x.late {
		return
	}
	sdp := bodySDP(e.msg)
	refusal := call.Refuse(call.ReasonBadDescription, "the ACK of a late offer has none.")
	if sdp != nil {
		x.from.described = sdp
		sdp, refusal = c.media.Answer(x.from.side, sdp)
	}
	if refusal != nil {
		c.media.Reject()
		c.end(refusal, "node")
		return
	}
	c.sendAck(x.to, x.to.unacked, sdp)
}

// dropExchange forgets a change that was refused.
func (c *activeCall) dropExchange() {
	c.exchange = nil
	c.media.Reject()
}

// failExchange answers a change that the end of the call overtook.
func (c *activeCall) failExchange() {
	x := c.exchange
	if x == nil {
		return
	}
	c.exchange = nil
	c.stopTimer(timerExchange) // the call may go on
	if x.own {
		x.out.cancel()
		return
	}
	if x.answered {
		// The answer to a late offer will not come any more, and its 2xx is repeated until it is acknowledged.
		c.sendOwedAck(x.to)
		return
	}
	x.out.cancel()
	status := 487
	if x.method != "INVITE" {
		status = 500 // 487 belongs to INVITE, and 481 would end the dialog (RFC 5057 section 5.1)
	}
	c.reply(event{leg: x.from, tx: x.tx, msg: x.req}, status, "")
}

// onReinviteEvent takes the news of a re-INVITE transaction.
func (c *activeCall) onReinviteEvent(e transaction.Event) {
	switch e.Kind {
	case transaction.NoAck:
		c.mailbox.put(event{kind: evStop, reason: call.ReasonAckTimeout})
	case transaction.Cancelled:
		c.mailbox.put(event{kind: evDropped, tx: e.Server})
	}
}

// relayInfo carries an INFO and its answer across (RFC 6086, DTMF among them), also before the call is answered: announcements
// in early media ask for keys, too. Its body crosses as it is, but for a session
// description: that would show the other side, perhaps in the clear, this one's addresses and key.
func (c *activeCall) relayInfo(e event) {
	if bringsSDP(e.msg) {
		c.reply(e, 415, "")
		return
	}
	to := e.leg.other()
	switch {
	case c.phase == dialling && (to == nil || !to.open || to == c.caller && !to.rung):
		c.reply(e, 480, "") // 481 would say that the sender's own dialog is gone (RFC 5057 section 5.1)
		return
	case !to.open:
		c.reply(e, 491, "") // it waits for a transfer
		return
	}
	contentType, body := string(e.msg.ContentType()), e.msg.Body()
	fill := func(b *sip.Builder) {
		c.passHeaders(b, e.msg)
		b.Body(contentType, body)
	}
	c.cross(e, &outbound{leg: to, method: "INFO", fill: fill, then: func(m *sip.Message) {
		switch {
		case m == nil:
			c.reply(e, 408, "")
		case m.Status()/100 == 2:
			c.reply(e, 200, "")
		default:
			c.reply(e, passedOn(m.Status()), causeOf(m))
		}
	}})
}

// maxCrossing bounds the requests from one side that the other has not answered, of those that a side may send without
// waiting for an answer. Each is kept whole for half a minute and repeated, to wherever the other side's Contact says: a
// customer whose far side never answers could fill the node's memory with them, or somebody else's line.
const maxCrossing = 8

// cross sends a request on to the other side unless too many wait there.
func (c *activeCall) cross(e event, o *outbound) {
	waiting := &c.crossing[e.leg.side]
	if *waiting == maxCrossing {
		c.s.stats.Overflows.Add(1)
		c.reply(e, 503, "")
		return
	}
	*waiting++
	then := o.then
	o.then = func(m *sip.Message) {
		*waiting--
		then(m)
	}
	c.send(o)
}
