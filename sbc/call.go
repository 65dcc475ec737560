package sbc

import (
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"carillon/call"
	"carillon/clock"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// maxMailbox bounds the in-dialog requests that wait for a call's goroutine. Beyond it they get 503; everything else a
// call is sent answers something it started and is bounded by that.
const maxMailbox = 64

// phase is how far a call has come.
type phase uint8

const (
	dialling phase = iota // no target has answered
	up                    // answered with 2xx
	over                  // ended; what is left are answers to what was sent
)

// activeCall is one call: two legs and everything about them, owned by one goroutine. Others only post events.
type activeCall struct {
	s    *Server
	id   call.ID
	plan routing.Plan
	log  *slog.Logger

	phase  phase
	caller *leg
	callee *leg // the leg of the current or answered target; nil before the first

	offer []byte // the caller's description, nil for a late offer
	media MediaSession

	attempt  *attempt         // the target being tried
	attempts int              // numbers attempts, so that answers of abandoned ones are told apart
	open     map[int]*attempt // INVITEs that have no final answer yet, abandoned ones included
	pending  int              // look-ups and in-dialog requests whose last event has not come
	best     outcome          // best answer of the targets that failed
	shown    bool             // a provisional answer went to the caller
	exchange *exchange
	answered *attempt // the target that answered
	timers   map[timerName]clock.Timer
	rec      call.Record
	merge    mergeKey
	mailbox  mailbox
	account  string
	held     []transport.Flow // connections kept open for the call
	finished bool
}

// timerName names a timer of a call.
type timerName uint8

const (
	timerRing timerName = iota
	timerDuration
)

// mailbox is the queue of events of a call.
type mailbox struct {
	mu     sync.Mutex
	events []event
	signal chan struct{}
	closed bool
}

// event is one thing that happened to a call. Messages in it are clones.
type event struct {
	kind    eventKind
	leg     *leg
	tx      *transaction.Server
	flow    transport.Flow
	msg     *sip.Message
	attempt int
	found   found
	err     error
	timer   timerName
	side    call.Side
	then    func(*sip.Message) // of an in-dialog request we sent: its final answer, nil when none came
	reason  call.Reason
}

type eventKind uint8

const (
	evCancelled eventKind = iota + 1 // the caller sent CANCEL or BYE before the answer
	evFound                          // the target's addresses are known and a flow is open
	evResponse                       // a target answered its INVITE
	evSilentEnd                      // a target's INVITE ended without a final answer
	evRequest                        // a request inside one of the dialogs
	evAck                            // the ACK of a 2xx
	evNoAck                          // no ACK came
	evAnswered                       // an in-dialog request we sent has its final answer
	evTimer
	evSilence // media stopped
	evStop    // the node ends the call
)

// put queues an event and reports whether it was taken.
func (m *mailbox) put(e event) bool {
	m.mu.Lock()
	if m.closed || e.kind == evRequest && len(m.events) >= maxMailbox {
		m.mu.Unlock()
		return false
	}
	m.events = append(m.events, e)
	m.mu.Unlock()
	select {
	case m.signal <- struct{}{}:
	default:
	}
	return true
}

// take waits for events and returns all of them.
func (m *mailbox) take() []event {
	for {
		m.mu.Lock()
		if events := m.events; len(events) > 0 {
			m.events = nil
			m.mu.Unlock()
			return events
		}
		m.mu.Unlock()
		<-m.signal
	}
}

// close refuses further events and returns those that came too late.
func (m *mailbox) close() []event {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return m.events
}

// begin starts the call of an INVITE that was let in.
func (s *Server) begin(a *arrival) {
	id, err := uuid.NewRandomFromReader(&s.random)
	if err != nil {
		s.actives.leave(a.connector.Account)
		s.refuse(a, call.Refuse(call.ReasonInternal, ""))
		return
	}
	c := &activeCall{
		s: s, id: call.ID(id.String()), plan: a.plan, account: a.connector.Account,
		timers: make(map[timerName]clock.Timer), open: make(map[int]*attempt), merge: keyOf(a.req),
		mailbox: mailbox{signal: make(chan struct{}, 1)},
	}
	c.log = s.log.With("call", string(c.id), "connector", a.connector.ID)
	if !s.enterMerge(c.merge, string(c.id)) {
		s.actives.leave(a.connector.Account)
		s.answerStateless(a.tx, a.req, 482)
		return
	}
	c.caller = callerLeg(c, a)
	if c.caller.badContact {
		s.actives.leave(a.connector.Account)
		s.leaveMerge(c.merge)
		s.answerStateless(a.tx, a.req, 400)
		return
	}
	c.offer = bodySDP(c.caller.req)
	c.startRecord(a)
	a.tx.Bind(c.caller.tag, c.onCallerEvent)
	s.stats.Calls.Add(1)
	s.mu.Lock()
	s.dialogs[c.caller.tag] = c.caller
	s.live[c.id] = c
	s.mu.Unlock()
	s.calls.Go(c.run)
}

func (s *Server) leaveMerge(k mergeKey) {
	s.mu.Lock()
	delete(s.merges, k)
	s.mu.Unlock()
}

func (s *Server) enterMerge(k mergeKey, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, merged := s.merges[k]; merged {
		return false
	}
	s.merges[k] = id
	return true
}

// run is the call's goroutine.
func (c *activeCall) run() {
	defer c.release()
	c.start()
	for !c.done() {
		for _, e := range c.mailbox.take() {
			c.handle(e)
		}
	}
}

// done reports that nothing can come any more: the call is over and every transaction it started has ended.
func (c *activeCall) done() bool {
	return c.phase == over && len(c.open) == 0 && c.pending == 0 && !c.caller.awaitAck
}

// handle is the call's one switch.
func (c *activeCall) handle(e event) {
	switch e.kind {
	case evCancelled:
		c.onCancelled(e)
	case evFound:
		c.onFound(e)
	case evResponse:
		c.onResponse(e)
	case evSilentEnd:
		c.onSilentEnd(e)
	case evRequest:
		c.onRequest(e)
	case evAck:
		c.onAck(e)
	case evNoAck:
		c.onNoAck()
	case evAnswered:
		c.pending--
		if e.then != nil {
			e.then(e.msg)
		}
	case evTimer:
		c.onTimer(e.timer)
	case evSilence:
		c.end(call.Refuse(call.ReasonMediaSilence, "the "+e.side.String()+" side sent neither RTP nor RTCP."), "node")
	case evStop:
		c.end(call.Refuse(e.reason, ""), "node")
	}
}

// release lets go of everything the server holds of a call.
func (c *activeCall) release() {
	late := c.mailbox.close()
	for _, e := range late {
		if e.kind == evRequest {
			c.s.answerStateless(e.tx, e.msg, 481)
		}
	}
	c.s.mu.Lock()
	delete(c.s.dialogs, c.caller.tag)
	if c.callee != nil {
		delete(c.s.dialogs, c.callee.tag)
	}
	delete(c.s.merges, c.merge)
	delete(c.s.live, c.id)
	c.s.mu.Unlock()
}

// after starts a timer of the call; it replaces one of the same name.
func (c *activeCall) after(name timerName, d time.Duration) {
	c.stopTimer(name)
	c.timers[name] = c.s.clock.AfterFunc(d, func() { c.mailbox.put(event{kind: evTimer, timer: name}) })
}

func (c *activeCall) stopTimer(name timerName) {
	if t := c.timers[name]; t != nil {
		t.Stop()
		delete(c.timers, name)
	}
}

func (c *activeCall) onTimer(name timerName) {
	switch name {
	case timerRing:
		if c.phase == dialling && c.attempt != nil {
			c.giveUp(c.attempt, outcome{status: 408, text: "rang for longer than the ring time"})
			c.next()
		}
	case timerDuration:
		c.end(call.Refuse(call.ReasonMaxDuration, ""), "node")
	}
}

// onCallerEvent takes the news of the caller's INVITE transaction.
func (c *activeCall) onCallerEvent(e transaction.Event) {
	switch e.Kind {
	case transaction.Cancelled:
		c.mailbox.put(event{kind: evCancelled, flow: e.Flow, msg: e.Message.Clone()})
	case transaction.NoAck:
		c.mailbox.put(event{kind: evNoAck})
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
