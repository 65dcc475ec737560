package sbc

import (
	"context"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
)

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
	if req.Method() == sip.Invite {
		// The answer to a re-INVITE may be cancelled like the first; the far side then simply answers it.
		tx.Bind(l.tag, l.call.onReinviteEvent)
	}
	if !l.call.mailbox.put(event{kind: evRequest, leg: l, tx: tx, flow: tx.Flow(), msg: req.Clone()}) {
		s.stats.Overflows.Add(1)
		s.answerStateless(tx, req, 503)
	}
}

// onRequest takes a request inside one of the dialogs. One without a transaction came in the clear and was dropped: it
// is counted, and where it showed a key the key is worth nothing any more and the call ends.
func (c *activeCall) onRequest(e event) {
	if e.tx == nil {
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
		c.reply(e, 481, "") // nothing of ours is sent reliably (RFC 3262)
	case sip.MethodUnknown:
		c.reply(e, 501, "")
	default:
		c.reply(e, 405, "")
	}
}

// reply answers an in-dialog request without a body.
func (c *activeCall) reply(e event, status int, reason string) {
	b := c.replyTo(e, status, "")
	if status == 405 || status == 200 {
		b.Header("Allow", allowed)
	}
	if reason != "" {
		b.Header("Reason", reason)
	}
	b.Body("", nil)
	if out := b.Bytes(); out != nil {
		_ = e.tx.Respond(out)
	}
}

func (c *activeCall) replyTo(e event, status int, phrase string) *sip.Builder {
	b := sip.NewBuilder(make([]byte, 0, 2048))
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
	if e.leg == c.caller && c.caller.awaitAck {
		c.caller.invite.Acked() // a BYE says as much as the ACK that was lost
		c.caller.awaitAck = false
	}
	if c.phase == over {
		return
	}
	if c.phase == dialling {
		// A caller may end its early dialog with BYE (RFC 3261 §15.1.1).
		c.refuseCaller(judge(call.Refuse(call.ReasonCancelled, "")), "", e.leg.side.String())
		return
	}
	v := judge(call.Refuse(call.ReasonHangup, ""))
	by := e.leg.side.String()
	if other := e.leg.other(); other != nil {
		c.hangUp(other, reasonText(e.msg))
	}
	c.failExchange()
	c.finish(v, by)
}

// onCancelled takes the caller's CANCEL.
func (c *activeCall) onCancelled(e event) {
	if c.phase != dialling {
		return
	}
	if c.caller.inClear(e.flow) {
		c.rec.PlainRequestsDropped++
	}
	c.refuseCaller(judge(call.Refuse(call.ReasonCancelled, "")), reasonText(e.msg), c.caller.side.String())
}

// onAck takes the ACK of a 2xx of ours: the first of the call, or that of a re-INVITE.
func (c *activeCall) onAck(e event) {
	if x := c.exchange; x != nil && x.from == e.leg && x.tx != nil && e.msg.CSeq() == x.req.CSeq() {
		c.onExchangeAck(x, e)
		return
	}
	l := c.caller
	if e.leg != l || !l.awaitAck || e.msg.CSeq() != l.req.CSeq() {
		return
	}
	l.invite.Acked()
	l.awaitAck = false
	if l.byeWanted {
		c.sendBye(l, l.byeReason)
		return
	}
	if c.phase != up {
		return
	}
	if c.answered.body == nil {
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
		sdp, refusal = c.media.Answer(c.caller.side, sdp)
	}
	if refusal != nil {
		c.sendAck(target, target.seq, nil)
		c.end(refusal, "node")
		return
	}
	c.media.Confirm(c.caller.side)
	c.sendAck(target, target.seq, sdp)
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
func (c *activeCall) end(r *call.Refusal, by string) {
	v := judge(r)
	switch c.phase {
	case over:
		return
	case dialling:
		c.refuseCaller(v, "", by)
		return
	}
	reason := v.reasonHeader()
	c.hangUp(c.caller, reason)
	c.hangUp(c.answered.leg, reason)
	c.failExchange()
	c.finish(v, by)
}

// hangUp sends BYE on a leg, or keeps it until the ACK of our 2xx has come: a UAS must not send BYE before
// (RFC 3261 §15).
func (c *activeCall) hangUp(l *leg, reason string) {
	if !l.open {
		return
	}
	if l.awaitAck {
		l.byeWanted, l.byeReason = true, reason
		return
	}
	c.sendBye(l, reason)
}

func (c *activeCall) sendBye(l *leg, reason string) {
	l.open, l.byeWanted = false, false
	c.request(l, "BYE", func(b *sip.Builder) {
		if reason != "" {
			b.Header("Reason", reason)
		}
		b.Body("", nil)
	}, nil)
}

// sendAck acknowledges a 2xx and keeps the ACK for when that 2xx is repeated (RFC 3261 §13.2.2.4).
func (c *activeCall) sendAck(l *leg, seq uint32, sdp []byte) {
	f := c.wayTo(l)
	b := sip.NewBuilder(make([]byte, 0, 2048))
	if err := l.dialog.Ack(b, []byte(c.s.via(f, c.s.layer.NewBranch())), seq); err != nil {
		c.log.Info("write ACK", "error", err)
		return
	}
	b.HeaderUint("Max-Forwards", hops)
	if out := withBody(b, sdp).Bytes(); out != nil {
		l.ack = out
		_ = f.Send(out)
	}
}

// request sends a request inside a leg's dialog. fill writes the rest of it, body included; then takes the final answer,
// nil when there was none.
func (c *activeCall) request(l *leg, method string, fill func(*sip.Builder), then func(*sip.Message)) {
	c.send(outbound{leg: l, method: method, fill: fill, then: then})
}

// outbound is an in-dialog request on its way out.
type outbound struct {
	leg    *leg
	method string
	fill   func(*sip.Builder)
	then   func(*sip.Message)
	retry  bool // a second try over a new connection
}

func (c *activeCall) send(o outbound) {
	l, f := o.leg, c.wayTo(o.leg)
	branch := c.s.layer.NewBranch()
	b := sip.NewBuilder(make([]byte, 0, 2048))
	if err := l.dialog.NextRequest(b, o.method, []byte(c.s.via(f, branch))); err != nil {
		c.log.Info("write request", "method", o.method, "error", err)
		c.later(o.then, nil)
		return
	}
	b.HeaderUint("Max-Forwards", hops)
	b.Header("User-Agent", userAgent)
	if o.method == "INVITE" || o.method == "UPDATE" {
		b.Header("Contact", c.contact(f))
		b.Header("Allow", allowed)
	}
	o.fill(b)
	out := b.Bytes()
	if out == nil {
		c.later(o.then, nil)
		return
	}
	c.pending++
	_, err := c.s.layer.Start(transaction.Outgoing{
		Flow: f, Bytes: out, Method: sip.ParseMethod([]byte(o.method)), Branch: branch,
		OnEvent: func(e transaction.Event) { c.onRequestEvent(o, e) },
	})
	if err != nil {
		c.mailbox.put(event{kind: evAnswered, then: o.then})
	}
}

// onRequestEvent waits for the final answer of an in-dialog request. A request whose connection is gone is sent once
// more over a new one.
func (c *activeCall) onRequestEvent(o outbound, e transaction.Event) {
	switch e.Kind {
	case transaction.Response:
		if e.Message.Status() >= 200 {
			c.mailbox.put(event{kind: evAnswered, then: o.then, msg: e.Message.Clone()})
		}
	case transaction.Timeout:
		c.mailbox.put(event{kind: evAnswered, then: o.then})
	case transaction.TransportError:
		if o.retry || !o.leg.flow.Proto().Reliable() {
			c.mailbox.put(event{kind: evAnswered, then: o.then})
			return
		}
		go c.reconnect(o)
	}
}

// later hands "no answer" to then on the call's goroutine.
func (c *activeCall) later(then func(*sip.Message), m *sip.Message) {
	if then == nil {
		return
	}
	c.pending++
	c.mailbox.put(event{kind: evAnswered, then: then, msg: m})
}

// reconnect opens a new connection to where a leg's requests go and sends the request there.
func (c *activeCall) reconnect(o outbound) {
	ctx, stop := context.WithTimeout(context.Background(), dialTimeout)
	defer stop()
	f, err := c.s.reachDialog(ctx, o.leg)
	c.mailbox.put(event{kind: evAnswered, then: func(*sip.Message) {
		if err != nil {
			c.log.Info("reconnect", "side", o.leg.side.String(), "error", err)
			if o.then != nil {
				o.then(nil)
			}
			return
		}
		o.leg.flow, o.retry = f, true
		c.send(o)
	}})
}
