package transaction

import (
	"slices"
	"sync"

	"carillon/sip"
	"carillon/sip/transport"
)

// output is something a transaction does outside its lock: send, then tell.
type output struct {
	flow   transport.Flow // to send on, or what msg came on
	send   []byte
	borrow bool // send belongs to the caller and is his again when the call returns
	cancel bool // send is a CANCEL, to be sent by a transaction of its own
	kind   Kind // 0 for no event
	msg    *sip.Message
	err    error
	minor  bool // the peer repeats it anyway: the first to go when too much waits
}

func (o output) isEvent() bool { return o.kind != 0 }

// performer is a transaction carrying out its outputs.
type performer interface {
	// perform is called without the lock.
	perform(output)
	// settled is called with the lock held when nothing waits any more.
	settled()
}

// outbox gives the outputs of one transaction their order without a lock around them: the
// goroutine that finds it idle works through everything, the others leave theirs to it.
type outbox struct {
	mu    sync.Mutex // guards the whole transaction
	busy  bool
	held  bool // events wait: the user does not know the transaction yet
	queue []output
}

// post performs outs after everything posted before. It is called with the lock held and
// releases it. It returns how many outputs were dropped.
func (o *outbox) post(p performer, outs ...output) (dropped int) {
	if o.busy || o.held && slices.ContainsFunc(outs, output.isEvent) {
		dropped = o.enqueue(outs)
		o.mu.Unlock()
		return dropped
	}
	o.busy = true
	o.mu.Unlock()
	for _, out := range outs {
		p.perform(out)
	}
	o.mu.Lock()
	o.finish(p)
	return 0
}

// release ends the holding back of events.
func (o *outbox) release(p performer) {
	o.mu.Lock()
	o.held = false
	if o.busy {
		o.mu.Unlock() // whoever is sending goes on with the events
		return
	}
	o.finish(p)
}

// finish performs what was queued meanwhile and lets the next one in. It is called with the lock
// held and releases it.
func (o *outbox) finish(p performer) {
	o.busy = true
	for len(o.queue) > 0 && !o.held {
		queue := o.queue
		o.queue = nil
		o.mu.Unlock()
		for _, out := range queue {
			p.perform(out)
		}
		o.mu.Lock()
	}
	o.busy = false
	if len(o.queue) == 0 {
		p.settled()
	}
	o.mu.Unlock()
}

// enqueue keeps outputs, with messages and bytes of their own, since their owners go on.
func (o *outbox) enqueue(outs []output) (dropped int) {
	for _, out := range outs {
		if out.minor && len(o.queue) >= maxQueued {
			dropped++
			continue
		}
		if out.msg != nil {
			out.msg = out.msg.Clone()
		}
		if out.borrow {
			out.send, out.borrow = slices.Clone(out.send), false
		}
		o.queue = append(o.queue, out)
	}
	return dropped
}

// state is where a transaction stands.
type state uint8

const (
	stateTrying     state = iota // Calling for an INVITE client
	stateProceeding              // where an INVITE server begins
	stateAccepted                // 2xx to INVITE (RFC 6026)
	stateCompleted
	stateConfirmed // INVITE server only
	stateTerminated
)
