package phone

import (
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// receiver takes what transport and transactions hand up, apart from Phone so that its methods are not the user's.
type receiver struct{ p *Phone }

// Receive is part of transport.Handler.
func (r receiver) Receive(f transport.Flow, m *sip.Message) {
	<-r.p.ready
	r.p.layer.Receive(f, m)
}

// Malformed is part of transport.Handler.
func (r receiver) Malformed(f transport.Flow, m *sip.Message, err *sip.ParseError) {
	r.p.counters.Malformed.Add(1)
	if err.Status == 0 || !m.Answerable() {
		return
	}
	b := r.p.response(m, err.Status, err.Reason, "")
	b.Body("", nil)
	if out := b.Bytes(); out != nil {
		_ = transport.ReplyFlow(f, m).Send(out)
	}
}

// Closed is part of transport.Handler.
func (r receiver) Closed(f transport.Flow, err error) {
	r.p.layer.Closed(f, err)
	r.p.mu.Lock()
	var lost []*Call
	for _, c := range r.p.calls {
		if c.flow == f {
			lost = append(lost, c)
		}
	}
	r.p.mu.Unlock()
	for _, c := range lost {
		c.end(EndLost)
	}
}

// Request is part of transaction.Core.
func (r receiver) Request(tx *transaction.Server, req *sip.Message) {
	if req.To().Tag() != nil {
		if c := r.p.find(dialog.RequestID(req)); c != nil {
			c.request(tx, req)
			return
		}
		r.p.reply(tx, req, 481)
		return
	}
	switch req.Method() {
	case sip.Invite:
		r.p.invited(tx, req)
	case sip.Options:
		r.p.reply(tx, req, 200)
	case sip.Cancel:
		r.p.reply(tx, req, 481)
	default:
		r.p.reply(tx, req, 405)
	}
}

// Ack is part of transaction.Core.
func (r receiver) Ack(_ transport.Flow, ack *sip.Message) {
	if c := r.p.find(dialog.RequestID(ack)); c != nil {
		c.acked(ack)
	}
}

// Stray is part of transaction.Core. A 2xx to an INVITE that nobody waits for any more is acknowledged and hung up
// (RFC 3261 §13.2.2.4).
func (r receiver) Stray(f transport.Flow, resp *sip.Message) {
	if resp.Method() == sip.Invite && resp.Status()/100 == 2 && r.p.find(dialog.ResponseID(resp)) == nil {
		r.p.discard(f, resp)
	}
}

// invited begins an incoming call.
func (p *Phone) invited(tx *transaction.Server, req *sip.Message) {
	p.counters.Received.Add(1)
	p.mu.Lock()
	handler, closed := p.handler, p.closed
	if handler != nil && !closed {
		p.wg.Add(1)
	}
	p.mu.Unlock()
	if closed || handler == nil {
		p.reply(tx, req, 480)
		return
	}
	refused := func(status int) {
		p.wg.Done()
		p.reply(tx, req, status)
	}
	if unsupported := req.Get(sip.HdrRequire); unsupported != nil {
		p.wg.Done()
		b := p.response(req, 420, "", p.token(tagSize))
		for v := range req.Values(sip.HdrRequire) {
			b.HeaderBytes("Unsupported", v)
		}
		p.send(tx, b)
		return
	}
	if tx.Overloaded() || !p.enter() {
		refused(486)
		return
	}
	in := newIncoming(p, tx, req)
	tx.Bind(in.tag, in.event)
	// At once, not after 200 ms (RFC 3261 §17.2.1): a handler may take its time, and a caller may not cancel before it.
	p.send(tx, p.response(req, 100, "", ""))
	go func() {
		defer p.wg.Done()
		defer in.finish()
		handler(in)
	}()
}

// reply gives a request its whole answer.
func (p *Phone) reply(tx *transaction.Server, req *sip.Message, status int) {
	p.send(tx, p.response(req, status, "", p.token(tagSize)))
}

// send ends a response without a body and hands it to its transaction. Failures come as events or do not matter:
// whoever asked will ask again.
func (p *Phone) send(tx *transaction.Server, b *sip.Builder) {
	b.Body("", nil)
	out := b.Bytes()
	if out == nil {
		tx.Drop()
		return
	}
	_ = tx.Respond(out)
}

// discard acknowledges and at once ends a call nobody wants.
func (p *Phone) discard(f transport.Flow, resp *sip.Message) {
	to := resp.To().URI
	d, err := dialog.NewUAC(resp, &to, f.Proto() == transport.TLS)
	if err != nil {
		return
	}
	if err := d.Confirm(resp); err != nil {
		return
	}
	c := newCall(p, d, f, nil)
	c.sendAck(resp.CSeq())
	if _, err := c.start("BYE", nil, nobody); err != nil {
		p.log.Debug("hang up an answer that came too late", "error", err)
	}
}
