package transaction

import (
	"slices"

	"carillon/sip"
	"carillon/sip/transport"
)

// Client is a client transaction. All methods are safe for concurrent use.
type Client struct {
	layer *Layer
	slot  slot
	outbox

	flow     transport.Flow
	on       func(Event)
	timers   *Timers
	request  []byte // to repeat, and to make ACK and CANCEL from; nil when neither can happen
	ack      []byte // of a failed INVITE, to repeat
	branch   string
	reason   string // Reason header of a CANCEL to come
	method   sip.Method
	state    state
	cancel   cancelState
	left     bool  // by its user
	late     bool  // B is over, and Timers.Late runs
	repeat   int64 // when to repeat request, on the table's scale
	interval int64
	end      int64 // when the state ends

	prev, next *Client // neighbours on the flow, guarded by flowIndex
}

// cancelState is how far a CANCEL has come.
type cancelState uint8

const (
	cancelNone   cancelState = iota
	cancelWanted             // asked for; no provisional response yet (RFC 3261 §9.1)
	cancelSent
)

func (c *Client) place() *slot { return &c.slot }

// Method returns the request's method.
func (c *Client) Method() sip.Method { return c.method }

// Branch returns the branch of the request's topmost Via.
func (c *Client) Branch() string { return c.branch }

// Flow returns the flow the request was sent on.
func (c *Client) Flow() transport.Flow { return c.flow }

// Cancel asks for an INVITE to be cancelled: CANCEL goes out as soon as a provisional response
// has come (RFC 3261 §9.1), with reason as its Reason header if not empty. The final response,
// normally 487, still comes as an event; a 2xx that crosses the CANCEL does too. It does nothing
// once there is a final response, and for other methods.
func (c *Client) Cancel(reason string) {
	c.mu.Lock()
	if c.method != sip.Invite || c.cancel != cancelNone || c.state > stateProceeding {
		c.mu.Unlock()
		return
	}
	c.cancel, c.reason = cancelWanted, reason
	if c.state == stateTrying {
		c.mu.Unlock()
		return
	}
	c.drop(c.post(c, c.sendCancel()))
}

// sendCancel returns the CANCEL to send and starts the wait for what it brings.
func (c *Client) sendCancel() output {
	c.cancel = cancelSent
	c.endAt(c.layer.clients.now() + int64(c.timers.Cancelled))
	return output{flow: c.flow, send: c.layer.makeCancel(c.request, c.reason), cancel: true}
}

// Leave takes no more events: a user that is done need not stay in memory until the last repetition
// of an answer can come. The transaction goes on; what would have been news is for Core.Stray.
func (c *Client) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on, c.left = nil, true
}

// Abandon forgets the transaction: no more events, repetitions, or state.
func (c *Client) Abandon() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.on = nil
	c.terminate()
}

// start sends the request and sets the timers of the first state.
func (c *Client) start(b []byte) {
	c.mu.Lock()
	now := c.layer.clients.now()
	if !c.flow.Proto().Reliable() {
		c.interval = int64(c.timers.T1)
		c.repeat = now + c.interval
	}
	if c.method == sip.Invite {
		c.endAt(now + int64(c.timers.B))
	} else {
		c.endAt(now + int64(c.timers.F))
	}
	out := output{flow: c.flow, send: c.request}
	if c.request == nil {
		out.send, out.borrow = b, true
	}
	c.drop(c.post(c, out))
}

// receive takes a response that matches.
func (c *Client) receive(f transport.Flow, m *sip.Message) {
	c.mu.Lock()
	if c.method == sip.Invite {
		c.receiveInvite(f, m)
	} else {
		c.receiveOther(f, m)
	}
}

// receiveInvite is the INVITE client of RFC 3261 figure 5 with RFC 6026 §7.2. It is called with
// the lock held and releases it.
func (c *Client) receiveInvite(f transport.Flow, m *sip.Message) {
	status := m.Status()
	news := output{flow: f, kind: Response, msg: m, minor: status < 200 || c.state == stateAccepted}
	switch {
	case c.state <= stateProceeding && status < 200:
		c.provisional(news)
	case c.state <= stateProceeding && status < 300:
		c.state, c.request, c.repeat = stateAccepted, nil, never
		c.endAt(c.layer.clients.now() + int64(c.timers.M))
		c.drop(c.post(c, news))
	case c.state <= stateProceeding:
		c.ack = c.layer.makeAck(c.request, m)
		ack := output{flow: c.flow, send: c.ack}
		c.state, c.request, c.repeat = stateCompleted, nil, never
		if c.flow.Proto().Reliable() {
			c.terminate()
		} else {
			c.endAt(c.layer.clients.now() + int64(c.timers.D))
		}
		c.drop(c.post(c, ack, news))
	case c.state == stateAccepted && status/100 == 2:
		c.drop(c.post(c, news))
	case c.state == stateCompleted && status >= 300:
		c.layer.stats.Repeats.Add(1)
		c.drop(c.post(c, output{flow: c.flow, send: c.ack, minor: true}))
	default:
		c.mu.Unlock()
	}
}

// provisional enters or stays in Proceeding, where neither A nor B runs any more.
func (c *Client) provisional(news output) {
	if c.state == stateTrying {
		c.state, c.repeat = stateProceeding, never
		c.endAt(never)
	}
	if c.cancel != cancelWanted {
		c.drop(c.post(c, news))
		return
	}
	c.drop(c.post(c, c.sendCancel(), news))
}

// receiveOther is the non-INVITE client of RFC 3261 figure 6. It is called with the lock held and
// releases it.
func (c *Client) receiveOther(f transport.Flow, m *sip.Message) {
	if c.state > stateProceeding {
		c.mu.Unlock()
		return
	}
	news := output{flow: f, kind: Response, msg: m, minor: m.Status() < 200}
	switch {
	case m.Status() < 200:
		c.state = stateProceeding
	case c.flow.Proto().Reliable():
		c.terminate()
	default:
		c.state, c.request, c.repeat = stateCompleted, nil, never
		c.endAt(c.layer.clients.now() + int64(c.timers.K))
	}
	c.drop(c.post(c, news))
}

// expire is called when a repetition or the end of the state is due.
func (c *Client) expire(now int64) {
	c.mu.Lock()
	switch {
	case c.state == stateTerminated:
		c.mu.Unlock()
	case now >= c.end && c.mayListen():
		c.late, c.cancel, c.repeat = true, max(c.cancel, cancelWanted), never
		c.endAt(now + int64(c.timers.Late))
		c.layer.stats.Timeouts.Add(1)
		c.drop(c.post(c, output{flow: c.flow, kind: Silent}))
	case now >= c.end:
		kind := Kind(0)
		if c.state <= stateProceeding {
			kind = Timeout
			if !c.late {
				c.layer.stats.Timeouts.Add(1)
			}
		}
		c.terminate()
		c.drop(c.post(c, output{flow: c.flow, kind: kind}))
	case now >= c.repeat:
		c.repeat = now + c.nextInterval()
		c.layer.clients.wake(c, min(c.repeat, c.end))
		c.layer.stats.Repeats.Add(1)
		c.drop(c.post(c, output{flow: c.flow, send: c.request, minor: true}))
	default: // woken for a time that has been moved
		c.layer.clients.wake(c, min(c.repeat, c.end))
		c.mu.Unlock()
	}
}

// mayListen reports whether an INVITE that had no response goes on listening. It is called with the lock held.
func (c *Client) mayListen() bool {
	return c.method == sip.Invite && c.state == stateTrying && !c.late && c.timers.Late > 0
}

// nextInterval is timer A, which doubles without bound, or E, which stops at T2 and starts there
// once a provisional response has come (RFC 3261 §17.1.2.2).
func (c *Client) nextInterval() int64 {
	switch {
	case c.method == sip.Invite:
		c.interval *= 2
	case c.state == stateProceeding:
		c.interval = int64(c.timers.T2)
	default:
		c.interval = min(2*c.interval, int64(c.timers.T2))
	}
	return c.interval
}

// fail ends the transaction when its request cannot be sent or its connection is gone.
func (c *Client) fail(err error) {
	c.mu.Lock()
	if c.state > stateProceeding {
		c.mu.Unlock()
		return
	}
	c.layer.stats.TransportFails.Add(1)
	c.terminate()
	c.drop(c.post(c, output{flow: c.flow, kind: TransportError, err: err}))
}

func (c *Client) endAt(end int64) {
	c.end = end
	c.layer.clients.wake(c, min(c.repeat, c.end))
}

func (c *Client) terminate() {
	if c.state == stateTerminated {
		return
	}
	c.state = stateTerminated
	c.request = nil
	c.layer.clients.remove(c)
	c.layer.flows.remove(c)
}

// perform sends and tells, without the lock.
func (c *Client) perform(out output) {
	switch {
	case out.cancel:
		c.layer.startCancel(c, out.send)
	case out.send != nil:
		if err := out.flow.Send(out.send); err != nil {
			c.fail(err)
		}
	}
	if out.kind == 0 {
		return
	}
	c.mu.Lock()
	on, left := c.on, c.left
	c.mu.Unlock()
	switch {
	case on != nil:
		on(Event{Kind: out.kind, Client: c, Flow: out.flow, Message: out.msg, Err: out.err})
	case left && out.kind == Response:
		c.layer.stats.Strays.Add(1)
		c.layer.core.Stray(out.flow, out.msg)
	}
}

// settled lets go of the user of a transaction that has no more news, since it may be a whole call.
func (c *Client) settled() {
	if c.state == stateCompleted || c.state == stateTerminated {
		c.on = nil
	}
}

func (c *Client) drop(n int) {
	if n > 0 {
		c.layer.stats.Dropped.Add(uint64(n))
	}
}

// copyNeeded reports whether the request is needed after it was sent.
func (c *Client) copyNeeded() bool {
	return c.method == sip.Invite || !c.flow.Proto().Reliable()
}

func (c *Client) keep(b []byte) {
	if c.copyNeeded() {
		c.request = slices.Clone(b)
	}
}
