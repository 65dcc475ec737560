package sbc

import (
	"context"
	"errors"
	"strings"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// errSameConnection says that the only other way to a caller is the connection that was lost.
var errSameConnection = errors.New("no other connection")

// onGone takes the loss of the connection that the answers to the caller's INVITE go over. They go on one that the caller
// has used in the dialog since, else on a new one to it (RFC 3261 section 18.2.2). One is made for a call: a caller that
// takes connections and drops them is gone.
func (c *activeCall) onGone() {
	l := c.caller
	lost := l.invite.Flow()
	switch {
	case l.flow != lost && l.flow.Proto() == lost.Proto():
		l.invite.MoveTo(l.flow)
	case l.regained:
		c.loseCaller()
	default:
		l.regained = true
		c.pending++
		peer := c.callerPolicy()
		go func() {
			f, err := c.s.reachCaller(context.Background(), lost, l.req, peer)
			c.mailbox.put(event{kind: evRegained, flow: f, err: err})
		}()
	}
}

// onRegained goes on with the caller on its new connection, or without it.
func (c *activeCall) onRegained(e event) {
	c.pending--
	l := c.caller
	if e.err != nil {
		c.log.Info("no other connection to the caller", "error", e.err)
		c.loseCaller()
		return
	}
	c.s.stats.Regained.Add(1)
	l.moveTo(e.flow)
	l.invite.MoveTo(e.flow)
}

// loseCaller ends a call whose caller cannot be told of it.
func (c *activeCall) loseCaller() {
	if c.phase == dialling {
		c.refuseCaller(judge(call.Refuse(call.ReasonCancelled, "")), "", nil, c.caller.side.String())
		return
	}
	if !c.caller.awaitAck {
		return
	}
	c.caller.invite.Acked() // no ACK will come
	c.caller.awaitAck = false
	c.end(call.Refuse(call.ReasonConnectionLost, "the "+c.caller.side.String()+" side's connection closed before it acknowledged the answer."), "node")
}

// callerPolicy says how the certificate of the caller's host is checked: as when that host is a route of the connector
// that it calls through, but that it is checked always. Answers carry keys, and nobody has chosen the host but the caller.
func (c *activeCall) callerPolicy() trunk.PeerPolicy {
	if c.caller.side != call.Customer {
		return trunk.PeerPolicy{}
	}
	peer := c.plan.Connector.Settings.Peers[sentByHost(c.caller.req)]
	peer.NoVerify = false
	return peer
}

// reachCaller finds another connection to whoever sent a request over TCP or TLS: to the address it came from, at the port
// that its Via names. Over TLS its certificate must prove the host that the Via names, for behind the same address may be
// others; then a connection that this host has opened itself will do, and one to where the DNS has it. It is never one
// in the clear for a request that came over TLS.
func (s *Server) reachCaller(ctx context.Context, lost transport.Flow, req *sip.Message, peer trunk.PeerPolicy) (transport.Flow, error) {
	to := transport.Target{Proto: lost.Proto(), Addr: transport.SentBy(lost, req)}
	host := sentByHost(req)
	if to.Proto == transport.TLS {
		to.TLS = s.clientTLS(peer, host)
		if f, ok := s.dialer.Reuse(to.TLS, 0); ok && f != lost {
			return f, nil
		}
	}
	err := s.checkAddress(to.Addr)
	if err == nil {
		var f transport.Flow
		if f, err = s.dial(ctx, to); err == nil && f != lost {
			return f, nil
		}
	}
	if to.Proto != transport.TLS || isAddress(host) {
		if err == nil {
			err = errSameConnection
		}
		return transport.Flow{}, err
	}
	found, err := s.reach(ctx, routing.Target{Host: host, Port: req.Via().Port, Transport: trunk.TLS, Peer: peer}, nil)
	return found.flow, err
}

// sentByHost is the host that the sender of a request calls its own, in lower case.
func sentByHost(req *sip.Message) string {
	return strings.ToLower(strings.Trim(string(req.Via().Host), "[]"))
}
