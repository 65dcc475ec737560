package transaction

import (
	"strconv"

	"carillon/sip"
	"carillon/sip/transport"
)

// Receive takes a message from the transport, of which m is valid during the call only.
func (l *Layer) Receive(f transport.Flow, m *sip.Message) {
	if !m.IsRequest() {
		l.response(f, m)
		return
	}
	switch m.Method() {
	case sip.Ack:
		l.ack(f, m)
	case sip.Cancel:
		l.cancel(f, m)
	default:
		l.request(f, m)
	}
}

// Closed takes the end of a connection: whatever waits for an answer on it has failed.
func (l *Layer) Closed(f transport.Flow, err error) {
	if err == nil {
		err = transport.ErrClosed
	}
	for _, c := range l.flows.on(f) {
		c.fail(err)
	}
}

func (l *Layer) response(f transport.Flow, m *sip.Message) {
	if c := l.clients.get(l.seeds.client(f.Proto(), m.Method(), m.Via().Branch)); c != nil {
		c.receive(f, m)
		return
	}
	l.stats.Strays.Add(1)
	l.core.Stray(f, m)
}

func (l *Layer) request(f transport.Flow, m *sip.Message) {
	tx, isNew := l.enter(f, m)
	if !isNew {
		tx.again(f)
		return
	}
	l.core.Request(tx, m)
	tx.release(tx)
}

// enter finds the transaction of a request or begins it. The events of a new one are held
// back until the user knows of it.
func (l *Layer) enter(f transport.Flow, m *sip.Message) (tx *Server, isNew bool) {
	k := l.seeds.server(f.Proto(), m, m.Method())
	if tx = l.servers.get(k); tx != nil {
		return tx, false
	}
	tx = &Server{layer: l, flow: transport.ReplyFlow(f, m), method: m.Method(), repeat: never, end: never}
	tx.held = true
	if tx.method == sip.Invite {
		tx.state = stateProceeding
	}
	existing, room := l.servers.add(k, tx)
	if existing != nil {
		return existing, false
	}
	l.stats.Requests.Add(1)
	if !room {
		tx.overloaded = true
		l.stats.Overloaded.Add(1)
	}
	return tx, true
}

// ack gives an ACK to the failed INVITE it ends, and any other to the user.
func (l *Layer) ack(f transport.Flow, m *sip.Message) {
	tx := l.servers.get(l.seeds.server(f.Proto(), m, sip.Invite))
	if tx != nil && tx.ack(f, m) {
		return
	}
	l.stats.Acks.Add(1)
	l.core.Ack(f, m)
}

// cancel answers a CANCEL and tells its INVITE (RFC 3261 §9.2). One without an INVITE is a
// request like any other.
func (l *Layer) cancel(f transport.Flow, m *sip.Message) {
	invite := l.servers.get(l.seeds.server(f.Proto(), m, sip.Invite))
	if invite == nil {
		l.request(f, m)
		return
	}
	tx, isNew := l.enter(f, m)
	if !isNew {
		tx.again(f)
		return
	}
	l.stats.Cancels.Add(1)
	l.respond(tx, m, 200, invite.toTag())
	tx.release(tx)
	invite.cancelled(f, m)
}

// respond answers without the user. Without a tag of the user's it makes one that a repeated
// request gets again (RFC 3261 §8.2.7).
func (l *Layer) respond(tx *Server, m *sip.Message, code int, tag string) {
	if tag == "" {
		tag = strconv.FormatUint(tx.slot.key[1], 16)
	}
	s := l.scratch.Get().(*scratch)
	defer l.scratch.Put(s)
	s.out.Reset()
	sip.AppendResponse(&s.out, m, code, sip.ReasonPhrase(code), tag)
	s.out.Body("", nil)
	if b := s.out.Bytes(); b != nil {
		_ = tx.Respond(b) // it is new, so nothing was answered yet
	}
}
