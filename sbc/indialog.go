package sbc

import (
	"carillon/call"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// repeatRate is how many messages a side of a call may send in a second of those that it can send at will: in-dialog
// requests, provisional answers, repeated 2xx; DTMF in INFO is a tenth of it. A request can hold a transaction on either
// leg for half a minute, out of what all tenants share, and an answer sends something to wherever the other side, or its
// own Contact, says it is.
const repeatRate = 50

// inDialog hands a request with a To-tag to its call. It belongs to its dialog and not to the allow list: a new address
// or connection works, but what had to be encrypted stays so.
func (s *Server) inDialog(tx *transaction.Server, req *sip.Message) {
	l := s.legOf(req)
	if l == nil {
		s.answerStateless(tx, req, 481)
		return
	}
	if l.inClear(tx.Flow()) {
		s.stats.PlainDrops.Add(1)
		tx.Drop()
		l.call.mailbox.put(event{kind: evRequest, leg: l, msg: req.Clone()})
		return
	}
	if !l.call.repeats[l.side].take(s.clock.Now(), repeatRate) {
		s.stats.Overflows.Add(1)
		s.answerStateless(tx, req, 503)
		return
	}
	if req.Method() == sip.Invite {
		tx.Bind(l.tag, l.call.onReinviteEvent)
	}
	if l.call.mailbox.put(event{kind: evRequest, leg: l, tx: tx, flow: tx.Flow(), msg: req.Clone()}) {
		return
	}
	switch now := s.legOf(req); {
	case now == nil: // the call ended this moment
		s.answerStateless(tx, req, 481)
	case now != l: // or its party went over into another one
		s.inDialog(tx, req)
	default:
		s.stats.Overflows.Add(1)
		s.answerStateless(tx, req, 503)
	}
}

// follow has a leg's requests go on another flow. Media behind NAT are looked for where its signalling comes from.
func (c *activeCall) follow(l *leg, f transport.Flow) {
	l.moveTo(f)
	if at := f.Remote().Addr().Unmap(); at != l.policy.Signalling && c.media != nil {
		l.policy.Signalling = at
		c.media.Moved(l.side, at)
	}
}

// onRequest takes a request inside one of the dialogs. One without a transaction came in the clear and was dropped: it
// is counted, and where it showed a key the key is worth nothing any more and the call ends.
func (c *activeCall) onRequest(e event) {
	if e.tx == nil {
		if dialog.RequestID(e.msg) != e.leg.dialog.ID {
			return // a guess
		}
		c.rec.PlainRequestsDropped++
		if carriesKey(e.msg) {
			c.end(call.Refuse(call.ReasonPlainInDialog, ""), "node")
		}
		return
	}
	if !e.leg.open || c.phase == over && e.msg.Method() != sip.Bye {
		c.reply(e, 481, "")
		return
	}
	switch e.leg.dialog.Receive(e.msg, 0) {
	case dialog.NotOurs:
		c.reply(e, 481, "")
		return
	case dialog.OutOfOrder:
		c.reply(e, 500, "")
		return
	}
	if !e.leg.placed {
		// The caller made the connection and may have made another: a phone that moved, a PBX that restarted. A target
		// keeps the one that was made to it, because its peer was checked.
		c.follow(e.leg, e.flow)
	}
	if e.msg.Method() != sip.Bye { // whatever it asks for besides, a side that hangs up is gone
		if f := understood(e.msg); f.status != 0 {
			c.replyWith(e, f.status, f.header, f.value)
			return
		}
	}
	switch e.msg.Method() {
	case sip.Bye:
		c.onBye(e)
	case sip.Invite:
		c.onReinvite(e)
	case sip.Update:
		c.onUpdate(e)
	case sip.Info:
		c.relayInfo(e)
	case sip.Options:
		c.reply(e, 200, "")
	case sip.Prack:
		c.onPrack(e)
	case sip.Refer:
		c.onRefer(e)
	case sip.Notify:
		c.onNotify(e)
	case sip.MethodUnknown:
		c.reply(e, 501, "")
	default:
		c.reply(e, 405, "")
	}
}

// reply answers an in-dialog request without a body.
func (c *activeCall) reply(e event, status int, reason string) {
	b := c.replyTo(e, status, "")
	defer c.s.builders.put(b)
	if status == 405 || status == 200 {
		b.Header("Allow", c.allow(e.leg))
	}
	if reason != "" {
		b.Header("Reason", reason)
	}
	c.respond(e, withoutBody(b))
}

// replyWith answers an in-dialog request with a header that says what would be taken.
func (c *activeCall) replyWith(e event, status int, header, value string) {
	b := c.replyTo(e, status, "")
	defer c.s.builders.put(b)
	b.Header(header, value)
	c.respond(e, withoutBody(b))
}

// respond sends the answer to an in-dialog request. One that cannot be written is replaced by one that can: without any a
// request would keep its transaction for ever.
func (c *activeCall) respond(e event, b *sip.Builder) {
	if out := b.Bytes(); out != nil {
		_ = e.tx.Respond(out)
		return
	}
	c.s.answerStateless(e.tx, e.msg, 500)
}

func (c *activeCall) replyTo(e event, status int, phrase string) *sip.Builder {
	b := c.s.builders.get()
	if phrase == "" {
		phrase = sip.ReasonPhrase(status)
	}
	sip.AppendResponse(b, e.msg, status, phrase, "")
	return b
}

// onBye ends the call from one side.
func (c *activeCall) onBye(e event) {
	c.reply(e, 200, "")
	e.leg.open, e.leg.byeWanted = false, false
	// Whoever hangs up before the answer to a late offer is here still repeats its 2xx (RFC 3261 section 13.2.2.4).
	c.sendOwedAck(e.leg)
	if e.leg == c.caller && c.caller.awaitAck {
		c.caller.invite.Acked() // a BYE says as much as the ACK that was lost
		c.caller.awaitAck = false
	}
	if c.phase == over {
		return
	}
	if c.phase == dialling && e.leg != c.caller {
		// A target must not, but it is gone all the same.
		v := judge(call.Refuse(call.ReasonRemoteRefused, "hung up before it had answered"))
		c.refuseCaller(v, causeOf(e.msg), e.msg, e.leg.party.String())
		return
	}
	if c.phase == dialling {
		// A caller may end its early dialog with BYE (RFC 3261 §15.1.1).
		c.refuseCaller(judge(call.Refuse(call.ReasonCancelled, "")), causeOf(e.msg), nil, e.leg.party.String())
		return
	}
	if h := c.handover; h != nil && h.leaves == e.leg {
		c.leave(h)
		return
	}
	c.failExchange()
	e.leg.other().byeFrom = e.msg
	c.hangUp(e.leg.other(), causeOf(e.msg))
	c.finish(judge(call.Refuse(call.ReasonHangup, "")), e.leg.party.String(), nil)
}

// onCancelled takes the caller's CANCEL.
func (c *activeCall) onCancelled(e event) {
	c.refuseCaller(judge(call.Refuse(call.ReasonCancelled, "")), causeOf(e.msg), nil, c.caller.side.String())
}

// onAck takes the ACK of a 2xx of ours: the first of the call, or that of a re-INVITE.
func (c *activeCall) onAck(e event) {
	if x := c.exchange; x != nil && x.from == e.leg && x.answered && e.msg.CSeq() == x.req.CSeq() {
		c.onExchangeAck(x, e)
		return
	}
	l := c.caller
	if e.leg != l || !l.awaitAck || e.msg.CSeq() != l.req.CSeq() {
		return
	}
	l.invite.Acked()
	l.awaitAck = false
	c.trust()
	if l.byeWanted {
		c.sendBye(l, l.byeReason)
		return
	}
	if c.phase != up {
		return
	}
	if c.answered.body == nil && !c.answered.agreed {
		c.answerLateOffer(e)
		return
	}
	c.media.Confirm(l.side)
}

// answerLateOffer takes the answer that the caller's ACK brings and passes it on in the ACK of the target.
func (c *activeCall) answerLateOffer(e event) {
	target := c.answered.leg
	sdp := bodySDP(e.msg)
	refusal := call.Refuse(call.ReasonBadDescription, "the ACK of a late offer has none.")
	if sdp != nil {
		c.caller.described = sdp
		sdp, refusal = c.media.Answer(c.caller.side, sdp)
	}
	if refusal != nil {
		c.end(refusal, "node")
		return
	}
	c.media.Confirm(c.caller.side)
	c.sendAck(target, target.unacked, sdp)
}

// trust notes that the caller is where its datagrams said, or that the call is over.
func (c *activeCall) trust() {
	if c.doubted != "" {
		c.s.actives.trust(c.doubted)
		c.doubted = ""
	}
}

// onNoAck ends a call whose answer was never acknowledged.
func (c *activeCall) onNoAck() {
	c.caller.awaitAck = false
	if c.phase == over {
		if c.caller.byeWanted {
			c.sendBye(c.caller, c.caller.byeReason)
		}
		return
	}
	c.end(call.Refuse(call.ReasonAckTimeout, ""), "node")
}

// end hangs up both sides.
func (c *activeCall) end(r *call.Refusal, by string) { c.endWith(judge(r), by) }

func (c *activeCall) endWith(v verdict, by string) {
	switch c.phase {
	case over:
		return
	case dialling:
		c.refuseCaller(v, "", nil, by)
		return
	}
	c.failExchange()
	c.hangUp(c.caller, v.reasonHeader())
	c.hangUp(c.answered.leg, v.reasonHeader())
	c.finish(v, by, nil)
}
