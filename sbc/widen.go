package sbc

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"carillon/sip/resolve"
	"carillon/sip/transport"
)

const (
	// tcpTime is how long a peer may take to accept a TCP connection for a request too long for a datagram: a firewall
	// that swallows it must not cost a call more.
	tcpTime = time.Second
	// tcpRetry is how long a peer that took no TCP is not asked again.
	tcpRetry = 10 * time.Minute
)

// tooLong reports whether a request must not go out as a datagram: it could be cut in pieces on the way, which many
// networks drop (RFC 3261 section 18.1.1). A peer that takes no TCP gets it all the same. A node without a TCP listener
// stays with UDP, for the peer could not connect to it.
func (s *Server) tooLong(f transport.Flow, size int) bool {
	return f.Proto() == transport.UDP && size > s.limits.Datagram && s.cfg.Ports(transport.TCP) != 0 &&
		(s.noTCP.none() || s.asksTCP(f.Remote().String()))
}

// asksTCP reports whether a peer may be asked for TCP: one that took none is asked again by one request at a time, for
// each that asks may wait for tcpTime.
func (s *Server) asksTCP(peer string) bool {
	now := s.clock.Now()
	return s.noTCP.claim(peer, now, 2*tcpTime) || !s.noTCP.failed(peer, now)
}

// widen connects over TCP to where a datagram would have gone. The address is checked once more: a datagram may answer
// where it came from, which is no leave to connect there.
func (s *Server) widen(ctx context.Context, to netip.AddrPort) (f transport.Flow, err error) {
	ctx, stop := context.WithTimeout(ctx, tcpTime)
	defer stop()
	if err = s.checkAddress(to); err == nil {
		f, err = s.dialer.Dial(ctx, transport.Target{Proto: transport.TCP, Addr: to})
	}
	if err != nil {
		if !errors.Is(err, transport.ErrTooManyConnections) { // which says nothing about the peer
			s.noteNoTCP(to)
		}
		return f, err
	}
	s.noTCP.forget(to.String())
	s.stats.Widened.Add(1)
	return f, nil
}

// noteNoTCP remembers that a peer takes no TCP.
func (s *Server) noteNoTCP(at netip.AddrPort) {
	s.stats.NoTCP.Add(1)
	s.noTCP.add(at.String(), s.clock.Now(), tcpRetry)
}

// widenAttempt looks for TCP to a target whose INVITE is too long for UDP.
func (c *activeCall) widenAttempt(a *attempt, credentials *authorization) {
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	number, to := a.number, a.leg.flow.Remote()
	c.pending++
	go func() {
		defer stop()
		f, err := c.s.widen(ctx, to)
		c.mailbox.put(event{kind: evWidened, attempt: number, flow: f, err: err, credentials: credentials})
	}()
}

// widenRequest looks for TCP for an in-dialog request.
func (c *activeCall) widenRequest(o *outbound, to netip.AddrPort) {
	go func() {
		f, err := c.s.widen(context.Background(), to)
		c.mailbox.put(event{kind: evWidened, request: o, flow: f, err: err})
	}()
}

// owedAck is an ACK on its way out that is too long for UDP.
type owedAck struct {
	leg *leg
	seq uint32
	sdp []byte
}

// widenAck looks for TCP for an ACK. Requests of the dialog wait until it is sent: a peer would take one that comes first
// for a call that it has not heard to be up.
func (c *activeCall) widenAck(ack *owedAck) {
	to := ack.leg.ackFlow.Remote()
	ack.leg.acking = true
	c.pending++
	go func() {
		f, err := c.s.widen(context.Background(), to)
		c.mailbox.put(event{kind: evWidened, ack: ack, flow: f, err: err})
	}()
}

// onAckWidened sends an ACK over TCP, or over UDP where the peer takes no TCP. A repeated 2xx gets it over UDP in any
// case: TCP has not brought it there.
func (c *activeCall) onAckWidened(e event) {
	l := e.ack.leg
	l.acking = false
	sent := false
	if e.err == nil {
		b := c.s.builders.get()
		if out := c.writeAck(b, l, e.flow, e.ack.seq, e.ack.sdp); out != nil {
			sent = e.flow.Send(out) == nil
		}
		c.s.builders.put(b)
	}
	if !sent {
		l.repeatAck()
	}
	waiting := l.behindAck
	l.behindAck = nil
	for _, o := range waiting {
		c.pending--
		c.send(o)
	}
}

// onWidened sends what was too long over TCP, or over UDP where the peer takes no TCP.
func (c *activeCall) onWidened(e event) {
	c.pending--
	if e.ack != nil {
		c.onAckWidened(e)
		return
	}
	if o := e.request; o != nil {
		o.flow, o.asIs = e.flow, true
		c.send(o)
		return
	}
	a := c.attempt
	if c.phase != dialling || a.number != e.attempt {
		return
	}
	a.asIs = true
	if e.err == nil {
		a.leg.moveTo(e.flow)
		a.leg.noteFlow(e.flow)
	}
	c.sendInvite(a, e.credentials)
}

// narrowRequest sends an in-dialog request over UDP after all, whose TCP connection was lost.
func (c *activeCall) narrowRequest(o *outbound) {
	c.s.noteNoTCP(o.flow.Remote())
	o.flow = transport.Flow{}
	c.pending--
	c.send(o)
}

// narrow returns the addresses left to a target whose INVITE went over TCP for its length and brought no answer: the
// same one over UDP comes first.
func (c *activeCall) narrow(a *attempt) []resolve.Target {
	if !a.asIs || a.leg.flow.Proto() != transport.TCP {
		return a.addresses
	}
	at := a.leg.flow.Remote()
	c.s.noteNoTCP(at)
	return append([]resolve.Target{{Proto: resolve.UDP, Addr: at, Name: a.target.Host}}, a.addresses...)
}
