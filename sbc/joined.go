package sbc

import (
	"github.com/google/uuid"

	"carillon/call"
	"carillon/sdp"
)

// beginTransferred makes the call that a REFER asks for. Its caller is the party that stays: a leg without a dialog, until
// the call that is transferred hands that over. It returns the status to refuse it with, 0 for none.
func (s *Server) beginTransferred(a *arrival, stays *leg) (*activeCall, int) {
	id, err := uuid.NewRandomFromReader(&s.random)
	if err != nil {
		return nil, 500
	}
	c := &activeCall{s: s, id: call.ID(id.String()), plan: a.plan, shared: a.shared, seats: a.seats, timers: make(map[timerName]timer), joined: a.joined}
	c.mailbox.work, c.mailbox.busy = c.work, true
	c.log = logOf(s.log, string(c.id), c.plan.Connector.ID)
	c.caller = c.place(stays, call.Customer)
	c.caller.req = a.req
	c.offer = sdp.Resumed(stays.described)
	if status := s.enter(c); status != 0 {
		return nil, status
	}
	c.rec = newRecord(a, c.id, c.plan)
	c.rec.TransferOf = stays.call.recordID(stays)
	s.stats.Calls.Add(1)
	s.stats.Transfers.Add(1)
	s.calls.begin()
	return c, 0
}

// recordID is the id of the record that whoever transfers a call has of it: of a call inside the installation each end has
// its own. stays is the other side's leg.
func (c *activeCall) recordID(stays *leg) call.ID {
	if c.plan.Inside != nil && stays.side == call.Customer {
		return c.otherID()
	}
	return c.id
}

// place makes the leg of a party that is still in another call and is to come into this one. The tag is the same: it is
// what the party's requests are found by.
func (c *activeCall) place(of *leg, side call.Side) *leg {
	return &leg{
		call: c, tag: of.tag, side: side, party: call.Carrier, stayed: true, origin: of.call, policy: of.policy, described: of.described,
	}
}

// standIn finds the leg of a party that comes from another call. Legs that are placed stay the same as long as the call
// lives, so that others may ask.
func (c *activeCall) standIn(tag string) *leg {
	for _, l := range []*leg{c.caller, c.callee} {
		if l != nil && l.stayed && l.tag == tag {
			return l
		}
	}
	return nil
}

// inquire asks the call that a party is in who that is, which is to come into this one instead of being dialled.
func (c *activeCall) inquire() {
	c.pending++ // until there is an answer
	if !c.joined.call.mailbox.put(event{kind: evInquiry, news: &news{from: c, tag: c.joined.tag}}) {
		c.pending--
		v := judge(call.Refuse(call.ReasonDialogUnknown, "It is over."))
		v.status = 603 // RFC 3891 section 3
		c.endWith(v, "")
	}
}

// onParty takes the party in: it has the place of a target, and is made the caller's offer.
func (c *activeCall) onParty(n *news) {
	c.pending--
	c.joined = nil // it would keep a call in memory that ends soon
	if c.phase != dialling {
		n.leg.call.mailbox.put(event{kind: evEnded, news: &news{from: c, verdict: judge(call.Refuse(call.ReasonCancelled, ""))}})
		return
	}
	if c.rec.TransferOf == "" {
		c.rec.TransferOf = n.record
	}
	l := c.place(&n.leg, c.caller.side.Other())
	c.callee = l
	a := &attempt{number: 1, leg: l}
	c.tried, c.attempt = append(c.tried, a), a
	refusal := c.openMedia(c.caller)
	if refusal == nil {
		a.body, refusal = c.media.Offer(c.caller.side, c.offer, l.policy)
	}
	if refusal != nil {
		c.end(refusal, "node")
		return
	}
	c.askFor(l, a.body, c.caller.origin != nil)
}

// join asks for the caller of a call that a transfer placed, whose other side has answered.
func (c *activeCall) join() {
	far := c.answered.leg
	offer, refusal := c.media.Offer(far.side, far.described, c.caller.policy)
	if refusal != nil {
		c.end(refusal, "node")
		return
	}
	c.askFor(c.caller, offer, false)
}

// askFor asks the call that a party is still in for it, with what the other side of this call offers. Of two parties the
// first one is kept where it is until the second has come: if that does not, it goes back.
func (c *activeCall) askFor(l *leg, offer []byte, keep bool) {
	c.pending++ // until it has come, or does not
	if !l.origin.mailbox.put(event{kind: evJoin, news: &news{from: c, sdp: offer, keep: keep}}) {
		c.pending--
		c.onNotJoined(&news{from: l.origin})
	}
}

// onAccepted takes the answer of a party that is kept in its call until the other one has come.
func (c *activeCall) onAccepted(n *news) {
	l := c.callee
	if c.phase != dialling || l == nil || l.origin != n.from {
		return // its call was told the end of this one
	}
	if c.agree(l, n) != nil {
		c.join()
	}
}

// agree takes the answer that a party gave to the offer of this call's other side, and returns what it is for that; nil where
// the call has ended over it.
func (c *activeCall) agree(l *leg, n *news) []byte {
	l.described = n.sdp
	c.media.Origin(l.side, n.origin)
	answer, refusal := c.media.Answer(l.side, n.sdp)
	switch {
	case refusal != nil && c.phase == dialling:
		v := judge(refusal)
		if l.open {
			c.sendBye(l, v.reasonHeader())
		}
		c.fail(v)
		return nil
	case refusal != nil:
		c.end(refusal, "node")
		return nil
	case c.phase == dialling:
		c.answered, c.phase = c.attempt, up
		c.rec.Answered = c.s.clock.Now()
		c.s.stats.Answered.Add(1)
	}
	return answer
}

// onJoined takes a party over.
func (c *activeCall) onJoined(n *news) {
	c.pending--
	l := c.standIn(n.leg.tag)
	l.take(&n.leg)
	if c.phase == over {
		c.sendBye(l, "") // whom it was to be joined with has hung up meanwhile
		l.letGo()
		return
	}
	c.s.addDialog(l.tag, l)
	kept := l == c.callee && c.phase == up // what it answered is in use already
	answer := n.sdp
	if !kept {
		if answer = c.agree(l, n); answer == nil {
			return
		}
	}
	c.refreshed(l)
	switch {
	case l == c.caller && c.callee.origin != nil:
		c.callee.origin.mailbox.put(event{kind: evCall, news: &news{from: c}})
	case l == c.caller, kept:
		c.media.Confirm(l.side)
		c.media.Confirm(l.side.Other())
		c.pair()
	default:
		c.answerCaller(nil, answer)
	}
}

// take makes a leg what it was in the call it comes from, but for what never changes of it.
func (l *leg) take(from *leg) {
	l.origin, l.open = nil, true
	l.policy, l.mustTLS, l.sips, l.host, l.peer, l.placed = from.policy, from.mustTLS, from.sips, from.host, from.peer, from.placed
	l.flow, l.held, l.dialog, l.session, l.seq = from.flow, from.held, from.dialog, from.session, from.seq
	l.account = from.account
	l.record = from.record
}

// onNotJoined ends a call that is not to have the party it was placed for.
func (c *activeCall) onNotJoined(n *news) {
	by := c.caller.party.String()
	switch {
	case c.phase == over:
	case n.verdict.reason != call.ReasonNone:
		c.endWith(n.verdict, "node")
	case c.phase == dialling:
		c.end(call.Refuse(call.ReasonCancelled, ""), by)
	default:
		c.end(call.Refuse(call.ReasonHangup, ""), by)
	}
}

// tellOrigins tells the calls that parties of this one are still in.
func (c *activeCall) tellOrigins(kind eventKind, n *news) {
	n.from = c
	for _, l := range []*leg{c.caller, c.callee} {
		if l != nil && l.origin != nil {
			l.origin.mailbox.put(event{kind: kind, news: n})
		}
	}
}
