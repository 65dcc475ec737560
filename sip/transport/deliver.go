package transport

import (
	"errors"
	"net/netip"
	"time"

	"carillon/sip"
)

// deliver parses one message that came on f and hands it on. It returns the error of a message
// that did not parse.
func (t *Transport) deliver(f Flow, m *sip.Message, b []byte) error {
	err := m.ParseLimited(b, t.limits.Message)
	m.SetReceived(f.remote)
	if err == nil {
		t.stats.Received.Add(1)
		if s, ok := f.link.(*stream); ok && s.reuse != nil {
			t.offerReuse(s, m) // first: whoever hears the answer may count on it
		}
		t.handler.Receive(f, m)
		return nil
	}
	var refusal *sip.ParseError
	if errors.As(err, &refusal) && refusal.Status != 0 && m.Answerable() {
		t.stats.Malformed.Add(1)
		t.handler.Malformed(f, m, refusal)
	} else {
		t.stats.Garbage.Add(1)
	}
	return err
}

// deliverLost has a message answered after which the stream cannot be read on. b is what there is
// of it.
func (t *Transport) deliverLost(f Flow, m *sip.Message, b []byte, cause error) {
	// It does not matter how far this gets: the framer's finding is what is wrong.
	_ = m.ParseLimited(b, t.limits.Message)
	m.SetReceived(f.remote)
	var refusal *sip.ParseError
	if !errors.As(cause, &refusal) || refusal.Status == 0 || !m.Answerable() {
		t.stats.Garbage.Add(1)
		return
	}
	t.stats.Malformed.Add(1)
	t.handler.Malformed(f, m, refusal)
}

// ReplyFlow returns the flow on which to answer a request that came on f (RFC 3261 §18.2.2,
// RFC 3581 §4): f itself, but for a UDP request without rport the port of its topmost Via.
func ReplyFlow(f Flow, req *sip.Message) Flow {
	via := req.Via()
	if f.Proto() != UDP || via == nil || via.HasRPort {
		return f
	}
	port := via.Port
	if port == 0 {
		port = UDP.DefaultPort()
	}
	f.remote = netip.AddrPortFrom(f.remote.Addr(), port)
	return f
}

// SentBy returns where to open a new connection for the answer to a request whose connection is
// gone: the address it came from and the port of its topmost Via (RFC 3261 §18.2.2). The host
// written there is not used: whoever asks must not choose whom we call.
func SentBy(f Flow, req *sip.Message) netip.AddrPort {
	port := f.Proto().DefaultPort()
	if via := req.Via(); via != nil && via.Port != 0 {
		port = via.Port
	}
	return netip.AddrPortFrom(f.remote.Addr(), port)
}

// pause waits d or until the transport is closed.
func (t *Transport) pause(d time.Duration) {
	fired := make(chan struct{})
	timer := t.clock.AfterFunc(d, func() { close(fired) })
	defer timer.Stop()
	select {
	case <-fired:
	case <-t.done:
	}
}
