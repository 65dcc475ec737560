package sbc

import (
	"math/rand/v2"
	"time"

	"carillon/call"
	"carillon/sdp"
	"carillon/sip"
)

// A transfer joins a party of one call with a party of another. Each call is worked on by itself (mailbox.go), so the two
// send each other events and never look into each other: the new call, which a REFER began, asks the one that is
// transferred for the party that stays, with what it has to offer that party; the call puts the offer to it in a
// re-INVITE, and once the party has accepted, hands its leg over with its answer. Until then nothing of the call that is
// transferred has changed: when the new call fails, it goes on as it was.

// Bounds of transfers. A call is transferred once at a time, and a new one is admitted like any other.
const (
	// maxGlares bounds how often that offer is made again to a party that is changing the session itself.
	maxGlares = 4
)

// news is what one call has to tell another about a transfer. What it points to is nobody's but the reader's.
type news struct {
	from *activeCall
	// verdict is the new call's: how it ended, or the status of its target's provisional answer. From the call that is
	// transferred it is why a party does not come; none where there is nobody left.
	verdict verdict
	// keep is true where the party shall only accept, and come when evCall says so: it must be able to go back.
	keep bool
	// tag is that of the leg in whose place somebody else is to come.
	tag string
	// sdp is the offer for the party that is asked for, or its answer.
	sdp []byte
	// leg is the party's as its call knew it last, record the id of that call's record.
	leg    leg
	record call.ID
	// origin is that of the last description that the party was told.
	origin call.Origin
}

// handover is the transfer of a call, as the call knows it that is transferred.
type handover struct {
	// to is the call that one party goes over into. Only its mailbox and what never changes of it are used here.
	to *activeCall
	// leaves is the leg of the party that transfers and stays the other one's.
	leaves, stays *leg
	// offer is what the party that stays is to be offered; nil until the new call has asked for it.
	offer []byte
	// origin is that of the description in which it is put to the party.
	origin call.Origin
	// asked is the re-INVITE that puts the offer to it, nil while there is none. glares counts those it could not take.
	asked  *exchange
	glares int
	// waits is true between a glare and the next try.
	waits bool
	// keep is true where the party is to be kept here until it is called; answer is then what it has accepted with.
	keep   bool
	answer []byte
	// gone is true once the party that transfers has hung up: the one that stays waits for the new call.
	gone bool
	// ended is the verdict on the new call, which ended while the party was asked.
	ended *verdict
	// progress is whom the progress is told, nil where nobody asked by REFER; number is the one that was asked for then.
	progress *subscription
	number   string
}

// onNews takes an event from another call.
func (c *activeCall) onNews(e event) {
	h := c.handover
	if h != nil && h.to != e.news.from {
		h = nil // its time is over
	}
	switch e.kind {
	case evProgress:
		if h != nil {
			c.tell(h.progress, e.news.verdict, false)
		}
	case evInquiry:
		c.onInquiry(e.news)
	case evParty:
		c.onParty(e.news)
	case evEnded:
		c.onEnded(h, e.news)
	case evJoin:
		c.onJoin(h, e.news)
	case evAccepted:
		c.onAccepted(e.news)
	case evCall:
		if h != nil && h.answer != nil {
			c.handOver(h, h.answer)
		}
	case evJoined:
		c.onJoined(e.news)
	case evNotJoined:
		c.pending--
		c.onNotJoined(e.news)
	case evAbandoned:
		c.onNotJoined(e.news)
	}
}

// onInquiry takes the wish of a new call for the party that one side of this one speaks with. There is exactly one answer:
// evParty or evNotJoined. From the first on this call is one that is transferred.
func (c *activeCall) onInquiry(n *news) {
	leaves := c.caller
	if leaves.tag != n.tag {
		leaves = c.callee
	}
	answer := &news{from: c}
	switch {
	case c.phase != up || leaves == nil || leaves.tag != n.tag || !leaves.open:
		answer.verdict = judge(call.Refuse(call.ReasonDialogUnknown, "It is over."))
		answer.verdict.status = 603 // RFC 3891 section 3
	case c.handover != nil || c.caller.awaitAck || !leaves.other().open || leaves.other().described == nil:
		answer.verdict = judge(call.Refuse(call.ReasonDialogUnknown, "It is being changed."))
		answer.verdict.status = 491
	default:
		c.handover = &handover{to: n.from, leaves: leaves, stays: leaves.other()}
		answer.leg, answer.record = *leaves.other(), c.recordID(leaves.other())
		n.from.mailbox.put(event{kind: evParty, news: answer})
		return
	}
	n.from.mailbox.put(event{kind: evNotJoined, news: answer})
}

// onJoin takes the new call's wish for the party that stays. There is exactly one answer: evJoined or evNotJoined.
func (c *activeCall) onJoin(h *handover, n *news) {
	if h == nil || c.phase != up {
		n.from.mailbox.put(event{kind: evNotJoined, news: &news{from: c}})
		return
	}
	h.offer, h.keep = n.sdp, n.keep // tryJoin comes after every event
}

// tryJoin puts the offer of the new call to the party that stays, once no other change of the session is under way.
func (c *activeCall) tryJoin() {
	h := c.handover
	if h == nil || h.offer == nil || h.asked != nil || h.waits || h.answer != nil || c.phase != up || c.exchange != nil || c.caller.awaitAck {
		return
	}
	x := &exchange{from: h.leaves, to: h.stays, method: "INVITE", own: true}
	h.asked, c.exchange = x, x
	// In its dialog this is one more description of the same session, whoever wrote it.
	h.origin = c.media.Origin(h.stays.side, call.Origin{})
	h.origin.Version++
	offer := sdp.WithSections(sdp.WithOrigin(h.offer, h.origin.Session, h.origin.Version), h.origin.Sections)
	h.origin.Sections = sdp.Sections(offer)
	c.media.Origin(h.stays.side, h.origin)
	x.out = &outbound{
		leg: h.stays, method: "INVITE", fill: func(b *sip.Builder) { withBody(b, offer) },
		then: func(m *sip.Message) { c.onJoinAnswer(h, x, m) },
	}
	c.after(timerExchange, c.s.limits.Join)
	c.send(x.out)
}

// onJoinAnswer takes the answer of the party that stays, nil when there was none.
func (c *activeCall) onJoinAnswer(h *handover, x *exchange, m *sip.Message) {
	accepted := m != nil && m.Status()/100 == 2
	if accepted {
		x.to.seq, x.to.unacked = m.CSeq(), m.CSeq()
	}
	c.sendOwedAck(x.to)
	if c.exchange != x {
		return // the call ended meanwhile, and the new one knows
	}
	c.exchange, h.asked = nil, nil
	c.stopTimer(timerExchange)
	switch {
	case m == nil, m.Status() == 481, m.Status() == 408:
		c.end(call.Refuse(call.ReasonConnectionLost, "the "+x.to.party.String()+" side did not answer a request."), "node")
	case h.ended != nil:
		c.failHandover(h, *h.ended)
		if accepted && c.phase == up {
			c.refreshByOffer(x.to) // back to the party that it spoke with
		}
	case accepted && bodySDP(m) != nil:
		x.to.dialog.Refresh(m)
		x.to.session.answered(m, c.s.limits.Session)
		if h.keep {
			h.answer = bodySDP(m)
			h.origin.Heard = c.media.Origin(h.stays.side, call.Origin{}).Heard
			h.to.mailbox.put(event{kind: evAccepted, news: &news{from: c, sdp: h.answer, origin: h.origin}})
			return
		}
		c.handOver(h, bodySDP(m))
	case accepted:
		c.end(call.Refuse(call.ReasonBadDescription, "the answer has none."), "node")
	case m.Status() == 422 && x.to.session.raise(m):
	case (m.Status() == 491 || m.Status() == 500) && h.glares < maxGlares:
		h.glares++
		h.waits = true
		c.after(timerJoin, c.s.glarePause(x.to.placed))
	default:
		c.failHandover(h, refusedBy(m.Status()))
	}
}

// refusedBy is the verdict on a transfer whose remaining party does not take the new session.
func refusedBy(status int) verdict {
	v := judge(call.Refuse(call.ReasonRemoteRefused, "the party that stays answered the new session with "+sip.ReasonPhrase(status)))
	v.status = passedOn(status)
	return v
}

// onJoinTimer tries again after a glare.
func (c *activeCall) onJoinTimer() {
	if h := c.handover; h != nil {
		h.waits = false
	}
}

// glarePause is how long to wait after a 491: longer where the dialog's Call-ID is ours, so that both sides do not try
// at the same time again (RFC 3261 section 14.1).
func (s *Server) glarePause(ours bool) time.Duration {
	s.random.mu.Lock()
	defer s.random.mu.Unlock()
	if ours {
		return 2100*time.Millisecond + tens(s.random.rng, 190)
	}
	return tens(s.random.rng, 200)
}

func tens(r *rand.Rand, n int) time.Duration {
	return time.Duration(r.IntN(n+1)) * 10 * time.Millisecond
}

// onEnded takes the end of the new call.
func (c *activeCall) onEnded(h *handover, n *news) {
	switch {
	case h == nil:
	case h.asked != nil:
		h.ended = &n.verdict
		h.asked.out.cancel() // its final answer decides what the party that stays believes in
	default:
		c.failHandover(h, n.verdict)
		if h.answer != nil && c.phase == up {
			c.refreshByOffer(h.stays) // back to the party that it spoke with
		}
	}
}

// failHandover goes on with a call that was not transferred. One whose other party has hung up has nobody left.
func (c *activeCall) failHandover(h *handover, v verdict) {
	c.handover = nil
	c.stopTimer(timerJoin)
	if h.offer != nil {
		h.to.mailbox.put(event{kind: evNotJoined, news: &news{from: c, verdict: v}})
	}
	c.s.stats.TransferFails.Add(1)
	c.log.Info("transfer failed", "side", h.leaves.party.String(), "to", string(h.to.id), "status", v.status, "why", v.sentence)
	if h.progress != nil {
		c.noteTransfer(h.leaves, h.number, v)
	}
	c.tell(h.progress, v, true)
	if h.gone {
		c.hangUp(h.stays, v.reasonHeader())
		c.finish(judge(call.Refuse(call.ReasonHangup, "")), h.leaves.party.String(), nil)
	}
}

// leave takes the BYE of a party that has transferred its call and does not wait for the outcome.
func (c *activeCall) leave(h *handover) {
	h.gone = true
	if c.exchange != nil && c.exchange != h.asked {
		c.failExchange()
	}
	c.stopTimer(h.leaves.timer(timerRefresh))
	c.stopTimer(h.leaves.timer(timerExpiry))
}

// handOver gives the leg of the party that stays to the new call, and ends this one.
func (c *activeCall) handOver(h *handover, answer []byte) {
	l := *h.stays
	h.stays.open, h.stays.held = false, false
	c.handover, c.given = nil, h
	c.s.stats.Transferred.Add(1)
	h.origin.Heard = c.media.Origin(h.stays.side, call.Origin{}).Heard
	h.to.mailbox.put(event{kind: evJoined, news: &news{from: c, sdp: answer, leg: l, origin: h.origin}})
	c.rec.TransferredTo = h.to.id
	v := judge(call.Refuse(call.ReasonTransferred, ""))
	if h.progress == nil {
		c.hangUp(h.leaves, v.reasonHeader())
	} else {
		// The one who transfers is to read how it went before its own call ends.
		h.progress.then = func() { c.hangUp(h.leaves, v.reasonHeader()) }
		c.tell(h.progress, verdict{status: 200}, true)
	}
	c.finish(v, h.leaves.party.String(), nil)
}

// forward gives what comes from a party that has gone over to the call it is in now, and reports whether it did.
func (c *activeCall) forward(e event) bool {
	if e.leg != c.given.stays || e.kind != evRequest && e.kind != evAck {
		return false
	}
	to := c.given.to
	if e.leg = to.standIn(e.leg.tag); e.leg == nil {
		return false
	}
	if e.kind == evRequest && e.tx != nil && e.msg.Method() == sip.Invite {
		e.tx.Bind(e.leg.tag, to.onReinviteEvent)
	}
	if !to.mailbox.put(e) && e.tx != nil {
		status := 503
		if to.mailbox.over() {
			status = 481
		}
		c.s.answerStateless(e.tx, e.msg, status)
	}
	return true
}

// partFrom tells the calls that have to do with a transfer of this one that it is over.
func (c *activeCall) partFrom(v verdict) {
	if h := c.handover; h != nil {
		c.handover = nil
		kind := evAbandoned
		if h.offer != nil {
			kind = evNotJoined
		}
		c.s.stats.TransferFails.Add(1)
		n := &news{from: c}
		if v.reason == call.ReasonShutdown {
			n.verdict = v
		}
		h.to.mailbox.put(event{kind: kind, news: n})
		c.tell(h.progress, v, true)
	}
	c.tellOrigins(evEnded, &news{verdict: v})
}
