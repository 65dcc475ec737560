package sbc

import (
	"log/slog"
	"time"

	"github.com/google/uuid"

	"carillon/call"
	"carillon/clock"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// phase is how far a call has come.
type phase uint8

const (
	dialling phase = iota // no target has answered
	up                    // answered with 2xx
	over                  // ended; what is left are answers to what was sent
)

// activeCall is one call: two legs and everything about them. It belongs to whoever is at work on it, one at a time, as
// its mailbox says; all others only put events there.
type activeCall struct {
	s    *Server
	id   call.ID
	plan routing.Plan
	log  *slog.Logger

	phase  phase
	caller *leg
	callee *leg // the leg of the current or answered target; nil before the first

	offer []byte // the caller's description, nil for a late offer
	// location is that of an emergency call, nil where it brought none.
	location *location
	media    MediaSession

	attempt    *attempt   // the target being tried
	tried      []*attempt // all of them: one that was given up may still answer
	waiting    int        // INVITEs that have no final answer yet, abandoned ones included
	pending    int        // look-ups and in-dialog requests whose last event has not come
	best       outcome    // best answer of the targets that failed
	trials     []trial    // what failed of late and this call tries first again
	exchange   *exchange
	answered   *attempt // the target that answered
	timers     map[timerName]timer
	timed      uint64 // numbers timers
	rec        call.Record
	merge      mergeKey
	mailbox    mailbox
	repeats    [2]throttle       // of what peers can send at will, by call.Side
	crossing   [2]int            // requests from a side that the other has not answered, by call.Side
	shared     bool              // counted for the account at its other end, too
	seats      seats             // connectors that count it
	doubted    string            // connector that counts it as unproven; empty for none
	offered    bool              // the caller was sent an offer before the 2xx
	redirected int               // targets that a 3xx added
	transfers  map[uint32]uint32 // CSeq numbers of REFERs that were relayed, ours to the sender's
	// held is the attempt whose 2xx waits until the caller has confirmed what it was sent before.
	held       *attempt
	heldAnswer event
	finished   bool
	noted      int  // lines written by note
	hidden     bool // from the server
	// handover is the transfer that is under way, and given what it was once one side has gone over into another call.
	handover, given *handover
	reporting       int // subscriptions whose last report has no answer yet
	// untransferred are the transfers that did not come about, by the call.Side that asked for them.
	untransferred [2][]call.FailedTransfer
	// joined is the leg in whose place the call's own caller comes, nil where a target is dialled. It is another call's:
	// only its call and its tag are looked at here.
	joined   *leg
	insideID call.ID // of the record for the account at the other end, where it is known already
	// unwritten are the records that are to be written before anything else happens, and what happens then.
	unwritten *unwritten
}

// timerName names a timer of a call.
type timerName uint8

const (
	timerRing timerName = iota
	timerStop
	timerDuration
	timerExchange
	timerReliable
	timerJoin
	// Of those below, each leg has one: the caller's first, then the target's.
	timerRefresh
	_
	timerExpiry
	_
)

// timer is one that runs; its number tells its event from that of one that was stopped too late.
type timer struct {
	clock.Timer
	number uint64
}

// begin starts the call of an INVITE that was let in.
func (s *Server) begin(a *arrival) {
	id, err := uuid.NewRandomFromReader(&s.random)
	if err != nil {
		s.turnAway(a, 500)
		return
	}
	c := &activeCall{
		s: s, id: call.ID(id.String()), plan: a.plan, shared: a.shared, seats: a.seats, timers: make(map[timerName]timer), merge: keyOf(a.req), joined: a.joined,
	}
	if a.doubted {
		c.doubted = a.connector.ID
	}
	c.mailbox.work, c.mailbox.busy = c.work, true
	c.log = logOf(s.log, string(c.id), c.plan.Connector.ID)
	if c.caller, err = callerLeg(c, a); err != nil {
		s.turnAway(a, 400)
		return
	}
	if status := s.enter(c); status != 0 {
		s.turnAway(a, status)
		return
	}
	c.offer = bodySDP(c.caller.req)
	c.caller.described = c.offer
	if c.plan.Emergency {
		c.location = locationOf(c.caller.req)
	}
	c.startRecord(a)
	a.tx.Bind(c.caller.tag, c.onCallerEvent)
	s.stats.Calls.Add(1)
	s.calls.begin()
	c.guard(event{}, c.start)
	c.work()
}

// turnAway answers an INVITE that admission had let in.
func (s *Server) turnAway(a *arrival, status int) {
	s.giveBack(a)
	s.answerStateless(a.tx, a.req, status)
}

// enter makes a call known to the server. It returns the status to refuse it with, 0 for none.
func (s *Server) enter(c *activeCall) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, merged := s.merges[c.merge]; merged {
		return 482
	}
	if s.stopped {
		return 503 // it passed admission just before Drain, which has ended all calls by now
	}
	if c.caller.origin == nil { // else the dialog is another call's, and what began this one was no INVITE
		s.merges[c.merge] = c.id
		s.dialogs[c.caller.tag] = c.caller
	}
	s.live[c.id] = c
	s.records.begin()
	return 0
}

// merged reports whether a request came here before by another way (RFC 3261 §8.2.2.2).
func (s *Server) merged(req *sip.Message) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, merged := s.merges[keyOf(req)]
	return merged
}

// work handles events until none is left. It is called by whoever found the call idle.
func (c *activeCall) work() {
	for {
		if c.unwritten != nil {
			// The disk must not hold up the reader of a socket. The call stays busy, so that events wait.
			c.write()
			return
		}
		done := c.done()
		if done {
			c.hide()
		}
		e, ok := c.mailbox.take(done)
		if ok {
			// Also when all is over: it may be the 2xx of a phone that answered late and is to be hung up.
			c.guard(e, func() { c.handle(e) })
			continue
		}
		if done {
			c.release()
		}
		return
	}
}

// done reports that nothing can come any more: the call is over and every transaction it started has ended.
func (c *activeCall) done() bool {
	return c.phase == over && c.waiting == 0 && c.pending == 0 && !c.caller.awaitAck
}

// handle is the call's one switch.
func (c *activeCall) handle(e event) {
	if c.given != nil && c.forward(e) {
		return
	}
	switch e.kind {
	case evCancelled:
		c.onCancelled(e)
	case evFound:
		c.onFound(e)
	case evResponse:
		c.onResponse(e)
	case evSilent:
		c.onSilent(e)
	case evSilentEnd:
		c.onSilentEnd(e)
	case evRequest:
		c.onRequest(e)
	case evAck:
		c.onAck(e)
	case evNoAck:
		c.onNoAck()
	case evGone:
		c.onGone()
	case evAnswered:
		c.pending--
		if !c.sendProven(e.request, e.msg) {
			e.request.finish(e.msg)
		}
	case evRepeated:
		e.leg.repeatAck()
	case evLost:
		c.onLost(e.request)
	case evReconnected:
		c.onReconnected(e)
	case evRegained:
		c.onRegained(e)
	case evWidened:
		c.onWidened(e)
	case evDropped:
		c.onDropped(e)
	case evTimer:
		c.onTimer(e)
	case evSilence:
		c.onSilence(e.side, e.spent)
	case evStop:
		c.end(call.Refuse(e.reason, ""), "node")
	default:
		c.onNews(e)
	}
	c.tryJoin()
}

// onSilence ends a call whose media stopped.
func (c *activeCall) onSilence(side call.Side, spent bool) {
	if h := c.handover; h != nil && h.gone && h.leaves.side == side {
		return // it has hung up, and the new call may still ring
	}
	if c.caller.stayed && c.caller.side == side {
		side = c.caller.party
	}
	why := call.Refuse(call.ReasonMediaSilence, "the "+side.String()+" side sent neither RTP nor RTCP.")
	if spent {
		why.Detail = "the lifetime that the " + side.String() + " side gave its SRTP key in a=crypto is over, and it went on under that key."
		why.Fix = "Have the phone announce no lifetime or a longer one, or a new key in time."
	}
	c.end(why, "node")
}

// hide has the server find nothing of the call any more. It comes before the mailbox closes: who finds that closed finds
// no dialog either.
func (c *activeCall) hide() {
	if c.hidden {
		return
	}
	c.hidden = true
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	for _, l := range []*leg{c.caller, c.callee} {
		if l != nil && c.s.dialogs[l.tag] == l { // it may have gone over into another call
			delete(c.s.dialogs, l.tag)
			delete(c.s.pairs, l.tag)
		}
	}
	delete(c.s.merges, c.merge)
	delete(c.s.live, c.id)
}

// release lets go of what still holds a call whose mailbox is closed.
func (c *activeCall) release() {
	for _, a := range c.tried {
		if a.invite != nil {
			a.invite.Leave()
		}
	}
	c.s.calls.done()
}

// after starts a timer of the call; it replaces one of the same name.
func (c *activeCall) after(name timerName, d time.Duration) {
	c.stopTimer(name)
	c.timed++
	number := c.timed
	c.timers[name] = timer{number: number, Timer: c.s.clock.AfterFunc(d, func() {
		c.mailbox.put(event{kind: evTimer, timer: name, number: number})
	})}
}

func (c *activeCall) stopTimer(name timerName) {
	if t, ok := c.timers[name]; ok {
		t.Stop()
		delete(c.timers, name)
	}
}

func (c *activeCall) onTimer(e event) {
	if c.timers[e.timer].number != e.number {
		return // it was stopped when its event was on the way
	}
	delete(c.timers, e.timer)
	switch e.timer {
	case timerRing:
		c.stopRinging(c.attempt)
	case timerStop:
		c.rungOut(c.attempt)
	case timerDuration:
		c.end(call.Refuse(call.ReasonMaxDuration, ""), "node")
	case timerExchange:
		c.exchange.out.cancel()
	case timerReliable:
		c.onReliableTimer()
	case timerJoin:
		c.onJoinTimer()
	case timerRefresh, timerRefresh + 1:
		c.refresh(c.ofTimer(e.timer, timerRefresh))
	case timerExpiry, timerExpiry + 1:
		c.end(call.Refuse(call.ReasonSessionExpired, ""), "node")
	}
}

// onCallerEvent takes the news of the caller's INVITE transaction.
func (c *activeCall) onCallerEvent(e transaction.Event) {
	switch e.Kind {
	case transaction.Cancelled:
		c.mailbox.put(event{kind: evCancelled, msg: e.Message.Clone()})
	case transaction.NoAck:
		c.mailbox.put(event{kind: evNoAck})
	case transaction.TransportError:
		// A datagram may get through the next time; a connection that the caller made is gone for good.
		if e.Server.Flow().Proto().Reliable() {
			c.mailbox.put(event{kind: evGone})
		}
	}
}

// postAck stops the repeating of our 2xx and hands the ACK to the call.
func (c *activeCall) postAck(l *leg, f transport.Flow, ack *sip.Message) {
	if l.inClear(f) {
		c.s.stats.PlainDrops.Add(1)
		return
	}
	c.mailbox.put(event{kind: evAck, leg: l, flow: f, msg: ack.Clone()})
}
