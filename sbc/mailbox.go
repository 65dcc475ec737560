package sbc

import (
	"sync"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// maxMailbox bounds what peers can make wait for a call: in-dialog requests, which then get 503, ACKs, provisional and
// repeated answers. Everything else a call is sent answers something it started and is bounded by that.
const maxMailbox = 64

// mailbox is the queue of events of a call. Whoever puts an event into it while nobody is at work on the call works
// until it is empty; the others leave theirs to him. So no two ever work on one call, and none costs a goroutine that
// has to be woken for each of its messages.
type mailbox struct {
	work func()

	mu     sync.Mutex
	events []event
	next   int  // place of the first that was not taken
	busy   bool // somebody is at work on the call
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
	number  uint64 // of the timer
	side    call.Side
	spent   bool      // the side that is silent goes on under a key that is used up
	request *outbound // an in-dialog request we sent
	ack     *owedAck  // one that is too long for UDP
	reason  call.Reason
	again   bool // the INVITE had its first final answer before this one
	// credentials go with an INVITE that is sent once the way for it is known.
	credentials *authorization
	// news is what another call has to say about a transfer.
	news *news
}

type eventKind uint8

const (
	evCancelled   eventKind = iota + 1 // the caller sent CANCEL before the answer
	evGone                             // the caller's connection is lost, so that its INVITE cannot be answered
	evRegained                         // there is another connection to the caller, or there is none
	evFound                            // the target's addresses are known and a flow is open
	evResponse                         // a target answered its INVITE
	evSilent                           // a target has not answered its INVITE for so long that another is tried
	evSilentEnd                        // a target's INVITE ended without a final answer
	evRequest                          // a request inside one of the dialogs
	evAck                              // the ACK of a 2xx
	evNoAck                            // no ACK came
	evAnswered                         // an in-dialog request we sent has its final answer, or will have none
	evRepeated                         // the 2xx to a re-INVITE we sent came again
	evLost                             // an in-dialog request lost its connection
	evReconnected                      // there is another connection for it, or there is none
	evWidened                          // there is TCP for a request too long for UDP, or there is none
	evDropped                          // the sender of a re-INVITE cancelled it
	evTimer
	evSilence // media stopped
	evStop    // the node ends the call
	// Between a call that is transferred and the one that takes its place (transfer.go).
	evInquiry   // the new call asks who the party is that it shall have
	evParty     // this one
	evProgress  // the new call's target rings
	evEnded     // the new call is over before anybody was joined
	evJoin      // the new call asks for the party that stays
	evAccepted  // it accepts, and comes once it is called
	evCall      // now
	evJoined    // here it is
	evNotJoined // it does not come
	evAbandoned // nobody is left to be joined
)

// repeatable reports whether a peer can send any number of such events, and sends one again that was lost.
func (e event) repeatable() bool {
	switch e.kind {
	case evRequest, evAck, evRepeated:
		return true
	case evResponse:
		return e.msg.Status() < 200 || e.again
	}
	return false
}

// put queues an event, works on the call unless somebody does, and reports whether the event was taken.
func (m *mailbox) put(e event) bool {
	m.mu.Lock()
	if m.closed || e.repeatable() && len(m.events)-m.next >= maxMailbox {
		m.mu.Unlock()
		return false
	}
	m.events = append(m.events, e)
	idle := !m.busy
	m.busy = true
	m.mu.Unlock()
	if idle {
		m.work()
	}
	return true
}

// take returns the next event. When there is none, the call is nobody's from then on; last then closes the mailbox.
func (m *mailbox) take(last bool) (event, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == len(m.events) {
		m.events, m.next, m.busy, m.closed = m.events[:0], 0, false, last
		return event{}, false
	}
	e := m.events[m.next]
	m.events[m.next] = event{} // it holds a message
	m.next++
	return e, true
}

// over reports whether the mailbox is closed: nobody works on the call, and nobody will.
func (m *mailbox) over() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}
