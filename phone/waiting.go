package phone

import (
	"fmt"
	"sync"

	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// result is the end of one INVITE transaction.
type result struct {
	message *sip.Message
	flow    transport.Flow
	err     error
}

// waiting receives the events of one INVITE.
type waiting struct {
	o        *outgoing
	progress chan *sip.Message
	final    chan result

	mu        sync.Mutex
	over      bool // a final answer was handed over
	abandoned bool // nobody waits any more
	call      *Call
}

func (w *waiting) event(ev transaction.Event) {
	switch ev.Kind {
	case transaction.Response:
		switch status := ev.Message.Status(); {
		case status < 200:
			select {
			case w.progress <- ev.Message.Clone():
			default:
				w.o.p.counters.Progress.Add(1)
			}
		case status < 300:
			w.success(ev.Flow, ev.Message)
		default:
			w.finish(result{message: ev.Message.Clone()})
		}
	case transaction.Timeout:
		w.finish(result{err: ErrSilent})
	case transaction.TransportError:
		w.finish(result{err: fmt.Errorf("send INVITE: %w", ev.Err)})
	}
}

// finish hands over the first final answer and reports whether this was it.
func (w *waiting) finish(r result) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over || w.abandoned {
		return false
	}
	w.over = true
	w.final <- r
	return true
}

// success takes a 2xx: the first, a repeated one, one of another branch of a fork or one that came too late.
func (w *waiting) success(f transport.Flow, m *sip.Message) {
	if w.finish(result{message: m.Clone(), flow: f}) {
		return
	}
	w.mu.Lock()
	c, abandoned := w.call, w.abandoned
	w.mu.Unlock()
	switch {
	case abandoned:
		w.discard(m, f)
	case c == nil: // being established: the next repetition finds it
	case c.id == dialog.ResponseID(m):
		c.repeatAck()
	default:
		w.discard(m, f)
	}
}

// abandon says that nobody waits; it returns an answer that came just before.
func (w *waiting) abandon() (result, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.abandoned = true
	select {
	case r := <-w.final:
		return r, true
	default:
		return result{}, false
	}
}

// discard hangs up a call that was answered and that nobody wants.
func (w *waiting) discard(m *sip.Message, f transport.Flow) {
	if m != nil && m.Status()/100 == 2 {
		w.o.p.discard(f, m)
	}
}
