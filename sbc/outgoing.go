package sbc

import (
	"context"
	"slices"

	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

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
	c.sendOwedAck(l)
	l.open, l.byeWanted = false, false
	c.send(&outbound{leg: l, method: "BYE", fill: func(b *sip.Builder) {
		if reason != "" {
			b.Header("Reason", reason)
		}
		if l.byeFrom != nil {
			c.passHeaders(b, l.byeFrom)
		}
		b.Body("", nil)
	}})
}

// sendOwedAck acknowledges a 2xx that is still waiting for it, without a description.
func (c *activeCall) sendOwedAck(l *leg) {
	if l.unacked != 0 {
		c.sendAck(l, l.unacked, nil)
	}
}

// sendAck acknowledges a 2xx and keeps the ACK for when that 2xx is repeated (RFC 3261 §13.2.2.4).
func (c *activeCall) sendAck(l *leg, seq uint32, sdp []byte) {
	l.unacked = 0
	f := c.wayTo(l)
	b := c.s.builders.get()
	defer c.s.builders.put(b)
	out := c.writeAck(b, l, f, seq, sdp)
	if out == nil {
		return
	}
	l.ack, l.ackFlow = slices.Clone(out), f
	if c.s.tooLong(f, len(out)) {
		c.widenAck(&owedAck{leg: l, seq: seq, sdp: sdp})
		return
	}
	_ = f.Send(out)
}

// writeAck writes the ACK of a 2xx; nil when it cannot be written.
func (c *activeCall) writeAck(b *sip.Builder, l *leg, f transport.Flow, seq uint32, sdp []byte) []byte {
	if err := l.dialog.Ack(b, []byte(c.s.via(f, c.s.layer.NewBranch())), seq); err != nil {
		c.note("write ACK", "error", err)
		return nil
	}
	b.HeaderUint("Max-Forwards", hops)
	if l.account != nil {
		l.account.invite.write(b)
	}
	return withBody(b, sdp).Bytes()
}

// outbound is an in-dialog request on its way out. Only who is at work on the call touches it, but for final.
type outbound struct {
	leg    *leg
	method string
	// fill writes what comes after the head, the body included.
	fill func(*sip.Builder)
	// then takes the final answer, nil when there was none; it may be nil.
	then  func(*sip.Message)
	tx    *transaction.Client
	retry bool           // it is on its second connection
	flow  transport.Flow // to send on; zero for the leg's way
	asIs  bool           // it goes out whatever its length
	final bool           // the final answer was posted; only events of its transaction touch it, which come one at a time
	// proof goes with it, nil for what its carrier takes without; challenges counts those that were answered.
	proof      *authorization
	challenges int
	cancelled  bool
}

// finish hands the final answer over.
func (o *outbound) finish(m *sip.Message) {
	if o.then != nil {
		o.then(m)
	}
}

// cancel asks for an INVITE to be given up; its final answer still comes.
func (o *outbound) cancel() {
	o.cancelled = true
	if o.tx != nil {
		o.tx.Cancel("")
	}
}

// send sends a request inside a dialog. Its outcome comes as one evAnswered, whatever happens.
func (c *activeCall) send(o *outbound) {
	c.pending++
	l, f := o.leg, o.flow
	if l.acking {
		l.behindAck = append(l.behindAck, o)
		return
	}
	if f.IsZero() {
		f = c.wayTo(l)
	}
	branch := c.s.layer.NewBranch()
	b := c.s.builders.get()
	defer c.s.builders.put(b)
	before := l.dialog
	if err := l.dialog.NextRequest(b, o.method, []byte(c.s.via(f, branch))); err != nil {
		c.unsent(o, err)
		return
	}
	b.HeaderUint("Max-Forwards", hops)
	b.Header("User-Agent", userAgent)
	if o.method == "INVITE" || o.method == "UPDATE" {
		b.Header("Contact", l.contact())
		b.Header("Allow", c.allow(l))
		b.Header("Supported", c.options(l))
		l.session.writeRequest(b, c.s.limits.Session, true)
	}
	if uri, err := l.dialog.RequestURI(); err == nil && o.proof == nil {
		o.proof = l.credentialsFor(o.method, uri)
	}
	o.proof.write(b)
	o.fill(b)
	if b.Err() != nil {
		c.unsent(o, b.Err())
		return
	}
	if !o.asIs && c.s.tooLong(f, len(b.Bytes())) {
		l.dialog = before // it is written anew once the way is known
		c.widenRequest(o, f.Remote())
		return
	}
	tx, err := c.s.layer.Start(transaction.Outgoing{
		Flow: f, Bytes: b.Bytes(), Method: sip.ParseMethod([]byte(o.method)), Branch: branch,
		OnEvent: func(e transaction.Event) { c.onRequestEvent(o, e) },
	})
	if err != nil {
		c.unsent(o, err)
		return
	}
	if l.account != nil && o.method == "INVITE" {
		l.account.invite = o.proof
	}
	o.tx, o.proof = tx, nil
}

// unsent ends a request that could not even be sent.
func (c *activeCall) unsent(o *outbound, err error) {
	c.note("send request", "method", o.method, "side", o.leg.side.String(), "error", err)
	c.mailbox.put(event{kind: evAnswered, request: o})
}

// onRequestEvent posts the news of an in-dialog request.
func (c *activeCall) onRequestEvent(o *outbound, e transaction.Event) {
	switch {
	case e.Kind == transaction.Response && e.Message.Status() < 200:
	case e.Kind == transaction.Response && o.final:
		if !c.mailbox.put(event{kind: evRepeated, leg: o.leg}) && c.mailbox.over() && c.repeats[o.leg.side].take(c.s.clock.Now(), repeatRate) {
			o.leg.repeatAck() // nobody works on the call any more, but its party may have gone over into another one
		}
	case e.Kind == transaction.Response:
		o.final = true
		c.mailbox.put(event{kind: evAnswered, request: o, msg: e.Message.Clone()})
	case o.final:
	case e.Kind == transaction.TransportError:
		c.mailbox.put(event{kind: evLost, request: o})
	case e.Kind == transaction.Timeout:
		e.Flow.Retire()
		c.mailbox.put(event{kind: evAnswered, request: o})
	}
}

// onLost takes a request whose connection is gone: it is sent once more over a new one.
func (c *activeCall) onLost(o *outbound) {
	l := o.leg
	if !o.flow.IsZero() {
		c.narrowRequest(o)
		return
	}
	t, err := l.dialogTarget()
	if err != nil || o.retry || !l.flow.Proto().Reliable() {
		c.pending--
		o.finish(nil)
		return
	}
	identity := l.host
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), dialTimeout)
		defer stop()
		f, err := c.s.reachDialog(ctx, t, identity)
		c.mailbox.put(event{kind: evReconnected, request: o, flow: f, err: err})
	}()
}

// onReconnected sends a request again over the new connection.
func (c *activeCall) onReconnected(e event) {
	c.pending--
	o := e.request
	if e.err != nil {
		c.note("reconnect", "side", o.leg.side.String(), "error", e.err)
		o.finish(nil)
		return
	}
	o.leg.moveTo(e.flow)
	o.retry = true
	c.send(o)
}
