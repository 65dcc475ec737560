package transaction

import (
	"errors"
	"slices"

	"carillon/sip"
	"carillon/sip/transport"
)

// Errors of Server.Respond.
var (
	// ErrFinal: the final response was given before, or the transaction is over.
	ErrFinal = errors.New("transaction already has its final response")
	// ErrNotResponse: the bytes are no SIP response.
	ErrNotResponse = errors.New("not a SIP response")
)

// Server is a server transaction. All methods are safe for concurrent use.
type Server struct {
	layer *Layer
	slot  slot
	outbox

	flow       transport.Flow // of the answers
	other      transport.Flow // another connection on which the peer was heard since; used when flow is gone
	on         func(Event)
	tag        string
	last       []byte // the response to repeat
	method     sip.Method
	state      state
	overloaded bool
	acked      bool
	stopped    bool  // its CANCEL was reported
	failed     bool  // TransportError was reported
	repeat     int64 // when to repeat last, on the table's scale
	interval   int64
	end        int64 // when the state ends
}

func (t *Server) place() *slot { return &t.slot }

// Method returns the request's method.
func (t *Server) Method() sip.Method { return t.method }

// Flow returns the flow that answers are sent on.
func (t *Server) Flow() transport.Flow {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.flow
}

// Overloaded reports that Config.MaxServer was reached: nothing is remembered about the request,
// so it should be refused. Respond sends once and there will be no events.
func (t *Server) Overloaded() bool { return t.overloaded }

// Crowded reports that more than half of Config.MaxServer is in use. What is left is for requests that are taken: a refusal
// should then be sent by RespondOnce.
func (t *Server) Crowded() bool {
	return t.overloaded || t.layer.servers.size.Load() > t.layer.servers.max/2
}

// Bind sets the receiver of the transaction's events and the To-tag of its responses, which the
// answer to a CANCEL repeats (RFC 3261 §9.2). Called from Core.Request it misses no event.
func (t *Server) Bind(toTag string, on func(Event)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.tag, t.on = toTag, on
}

// Respond sends a response, of which b has all bytes; they are copied where they are needed
// again. A failure to send comes as a TransportError event. A 2xx to INVITE is repeated on every
// transport until Acked is called or 64*T1 have passed (RFC 3261 §13.3.1.4).
func (t *Server) Respond(b []byte) error {
	code := statusOf(b)
	if code == 0 {
		return ErrNotResponse
	}
	t.mu.Lock()
	if t.overloaded {
		t.drop(t.post(t, output{flow: t.flow, send: b, borrow: true}))
		return nil
	}
	if t.state == stateAccepted && code/100 == 2 {
		return t.respondAgain(b)
	}
	if t.state > stateProceeding {
		t.mu.Unlock()
		return ErrFinal
	}
	now := t.layer.servers.now()
	keep := !t.flow.Proto().Reliable()
	switch {
	case code < 200:
		t.state = stateProceeding
	case t.method != sip.Invite:
		t.complete(now)
	case code < 300:
		keep = true
		t.state = stateAccepted
		t.repeatFrom(now)
		t.endAt(now + int64(t.layer.timers.L))
	default:
		t.state = stateCompleted
		if keep {
			t.repeatFrom(now)
		}
		t.endAt(now + int64(t.layer.timers.H))
	}
	out := output{flow: t.flow, send: b, borrow: true}
	if keep {
		// New memory each time: the one before may be on its way out.
		t.last = slices.Clone(b)
		out.send, out.borrow = t.last, false
	}
	t.drop(t.post(t, out))
	return nil
}

// respondAgain replaces a 2xx by another one.
func (t *Server) respondAgain(b []byte) error {
	out := output{flow: t.flow, send: b, borrow: true}
	if !t.acked {
		t.last = slices.Clone(b)
		out.send, out.borrow = t.last, false
	}
	t.drop(t.post(t, out))
	return nil
}

// complete ends a transaction other than INVITE, at once where nothing is repeated (timer J).
func (t *Server) complete(now int64) {
	t.state = stateCompleted
	if t.flow.Proto().Reliable() {
		t.terminate()
		return
	}
	t.endAt(now + int64(t.layer.timers.J))
}

// RespondOnce sends a final response and forgets the transaction: the answer to somebody who has
// proven nothing, which must not cost memory. Repeated requests come to the Core as new ones, and
// so does the ACK.
func (t *Server) RespondOnce(b []byte) error {
	if statusOf(b) == 0 {
		return ErrNotResponse
	}
	t.mu.Lock()
	if t.state > stateProceeding {
		t.mu.Unlock()
		return ErrFinal
	}
	t.terminate()
	t.drop(t.post(t, output{flow: t.flow, send: b, borrow: true}))
	return nil
}

// Drop forgets the transaction without an answer.
func (t *Server) Drop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.terminate()
}

// MoveTo sends the latest response on another flow, if it could not be sent, and uses that from now
// on: for answers whose connection is gone (RFC 3261 §18.2.2; transport.SentBy has the address).
// The state stays.
func (t *Server) MoveTo(f transport.Flow) {
	t.mu.Lock()
	t.flow, t.failed = f, false
	if t.last == nil || t.state == stateTerminated {
		t.mu.Unlock()
		return
	}
	t.drop(t.post(t, output{flow: f, send: t.last}))
}

// heardOn notes that the peer sends what belongs to the transaction on another connection: its
// answers go there once the one it began on is gone. Connections of other hosts are not taken: a
// branch that can be guessed must not lead answers away. It is called with the lock held.
func (t *Server) heardOn(f transport.Flow) {
	switch {
	case f == t.flow || !f.Proto().Reliable() || f.Remote().Addr() != t.flow.Remote().Addr():
	case t.failed:
		t.flow, t.failed = f, false
	default:
		t.other = f
	}
}

// Acked says that the ACK of a 2xx has arrived, which is matched by its dialog and not here: the
// repeating ends.
func (t *Server) Acked() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != stateAccepted {
		return
	}
	t.acked, t.last = true, nil
	t.on = nil // there is no more news, and it may be a whole call
	t.repeat = never
	t.layer.servers.wake(t, t.end)
}

// again takes a repeated request: the latest response goes out again, but for a 2xx, which has a
// schedule of its own (RFC 6026 §7.1).
func (t *Server) again(f transport.Flow) {
	t.layer.stats.Absorbed.Add(1)
	t.mu.Lock()
	t.heardOn(f)
	if t.last == nil || t.state == stateAccepted || t.state >= stateConfirmed {
		t.mu.Unlock()
		return
	}
	t.layer.stats.Repeats.Add(1)
	t.drop(t.post(t, output{flow: t.flow, send: t.last, minor: true}))
}

// ack takes an ACK with the branch of this INVITE and reports whether it was this transaction's
// own. One that answers a 2xx is not, even where a peer gave it the same branch.
func (t *Server) ack(f transport.Flow, m *sip.Message) bool {
	t.mu.Lock()
	if t.state == stateAccepted {
		t.mu.Unlock()
		return false
	}
	t.layer.stats.Absorbed.Add(1)
	if t.state != stateCompleted {
		t.mu.Unlock()
		return true
	}
	t.state, t.last = stateConfirmed, nil
	t.repeat = never
	if t.flow.Proto().Reliable() {
		t.terminate()
	} else {
		t.endAt(t.layer.servers.now() + int64(t.layer.timers.I))
	}
	t.drop(t.post(t, output{flow: f, kind: Acked, msg: m}))
	return true
}

// cancelled takes a CANCEL that was answered (RFC 3261 §9.2): news only while there is something
// to cancel, and once. Over a connection, where nothing absorbs a repeated CANCEL, a caller could
// otherwise make as much wait for its user as it can send.
func (t *Server) cancelled(f transport.Flow, m *sip.Message) {
	t.mu.Lock()
	t.heardOn(f)
	if t.state > stateProceeding || t.stopped {
		t.mu.Unlock()
		return
	}
	t.stopped = true
	t.drop(t.post(t, output{flow: f, kind: Cancelled, msg: m}))
}

func (t *Server) toTag() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.tag
}

// expire is called when a repetition or the end of the state is due.
func (t *Server) expire(now int64) {
	t.mu.Lock()
	switch {
	case t.state == stateTerminated:
		t.mu.Unlock()
	case now >= t.end:
		t.drop(t.post(t, output{flow: t.flow, kind: t.ended()}))
	case now >= t.repeat:
		t.interval = min(2*t.interval, int64(t.layer.timers.T2))
		t.repeat = now + t.interval
		t.layer.servers.wake(t, min(t.repeat, t.end))
		t.layer.stats.Repeats.Add(1)
		t.drop(t.post(t, output{flow: t.flow, send: t.last, minor: true}))
	default: // woken for a time that has been moved
		t.layer.servers.wake(t, min(t.repeat, t.end))
		t.mu.Unlock()
	}
}

// ended terminates the transaction when its state's time is over and returns what to tell.
func (t *Server) ended() (kind Kind) {
	switch {
	case t.state == stateAccepted && !t.acked:
		kind = NoAck
		t.layer.stats.NoAck.Add(1)
	case t.state == stateCompleted && t.method == sip.Invite:
		kind = Timeout
		t.layer.stats.Timeouts.Add(1)
	}
	t.terminate()
	return kind
}

func (t *Server) repeatFrom(now int64) {
	t.interval = int64(t.layer.timers.T1)
	t.repeat = now + t.interval
}

func (t *Server) endAt(end int64) {
	t.end = end
	t.layer.servers.wake(t, min(t.repeat, t.end))
}

func (t *Server) terminate() {
	t.state = stateTerminated
	t.last = nil
	t.layer.servers.remove(t)
}

// perform sends and tells, without the lock.
func (t *Server) perform(out output) {
	if out.send != nil {
		if err := out.flow.Send(out.send); err != nil {
			t.sendFailed(out, err)
		}
	}
	if out.kind == 0 {
		return
	}
	t.mu.Lock()
	on := t.on
	t.mu.Unlock()
	if on != nil {
		on(Event{Kind: out.kind, Server: t, Flow: out.flow, Message: out.msg, Err: out.err})
	}
}

// sendFailed sends a response on the other connection of the peer, if there is one, and else keeps it and reports the
// first failure; repetitions go on, since a UDP route may come back.
func (t *Server) sendFailed(out output, err error) {
	t.mu.Lock()
	if out.flow == t.flow && !t.other.IsZero() {
		t.flow, t.other = t.other, transport.Flow{}
	}
	now := t.flow
	t.mu.Unlock()
	if now != out.flow {
		if err = now.Send(out.send); err == nil {
			return
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.state != stateTerminated && !t.acked && (t.last == nil || statusOf(t.last) < 200) {
		t.last = slices.Clone(out.send)
	}
	if t.failed {
		return
	}
	t.failed = true
	t.layer.stats.TransportFails.Add(1)
	t.enqueue([]output{{flow: now, kind: TransportError, err: err}})
}

// settled lets go of the user of a finished request: the closure may hold a whole call, and only
// the response is needed for the time that is left.
func (t *Server) settled() {
	if t.state >= stateCompleted && t.method != sip.Invite {
		t.on, t.tag = nil, ""
	}
}

func (t *Server) drop(n int) {
	if n > 0 {
		t.layer.stats.Dropped.Add(uint64(n))
	}
}

// statusOf reads the status code of a response, 0 when b does not begin one.
func statusOf(b []byte) int {
	const start = "SIP/2.0 "
	if len(b) < len(start)+3 || string(b[:len(start)]) != start {
		return 0
	}
	code := 0
	for _, c := range b[len(start) : len(start)+3] {
		if c < '0' || c > '9' {
			return 0
		}
		code = 10*code + int(c-'0')
	}
	if code < 100 || code > 699 {
		return 0
	}
	return code
}
