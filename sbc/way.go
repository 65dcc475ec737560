package sbc

import (
	"context"
	"net/netip"
	"strings"

	"carillon/egress"
	"carillon/routing"
	"carillon/sip/transport"
	"carillon/trunk"
)

// wayTo returns the flow for a request inside a leg's dialog. Over TCP and TLS that is the dialog's own connection. Over
// UDP it is where the route set or the Contact says, unless that is an address the peer cannot be reached at from here:
// a phone behind NAT writes its private address and is reached where its packets come from.
func (c *activeCall) wayTo(l *leg) transport.Flow {
	if l.flow.Proto().Reliable() {
		return l.flow
	}
	hop, err := l.dialog.NextHop()
	if err != nil {
		return l.flow
	}
	addr, ok := hop.HostAddr()
	if !ok {
		return l.flow // a name was resolved when the dialog began; its answers came from there
	}
	port := hop.Port
	if port == 0 {
		port = transport.UDP.DefaultPort()
	}
	to := netip.AddrPortFrom(addr.Unmap(), port)
	from := l.flow.Remote()
	if to == from || egress.IsPrivate(to.Addr()) && to.Addr() != from.Addr() || c.s.checkAddress(to) != nil {
		return l.flow
	}
	way := transport.Target{Proto: transport.UDP, Addr: to}
	if local := l.flow.Local().Addr(); !local.IsUnspecified() {
		way.From = local // the address the peer knows, where we have several
	}
	f, err := c.s.dialer.Dial(context.Background(), way)
	if err != nil {
		return l.flow
	}
	return f
}

// dialogTarget is where a new connection for a leg's dialog is made to: the next hop of its requests, over TLS where the
// dialog began over TLS. A target keeps the identity it was called under: its Contact says where it is, not who it is.
func (l *leg) dialogTarget() (routing.Target, error) {
	hop, err := l.dialog.NextHop()
	if err != nil {
		return routing.Target{}, err
	}
	t := routing.Target{Host: strings.ToLower(strings.Trim(string(hop.Host), "[]")), Port: hop.Port, Transport: trunk.TCP, Peer: l.peer}
	if l.mustTLS {
		t.Transport = trunk.TLS
	}
	// A private address is that of a machine here, unless the peer is there: a phone behind NAT is looked for where it was.
	if addr, ok := hop.HostAddr(); ok && egress.IsPrivate(addr) && addr.Unmap() != l.flow.Remote().Addr() {
		t.Host = l.flow.Remote().Addr().String()
	}
	return t, nil
}

// reachDialog finds another connection for a dialog: one that the target has opened since and proven its name on, else
// a new one to the dialog's next hop. identity, where it is not empty, is whom the certificate must name.
func (s *Server) reachDialog(ctx context.Context, t routing.Target, identity string) (transport.Flow, error) {
	if identity != "" && t.Transport == trunk.TLS {
		if f, ok := s.dialer.Reuse(s.clientTLS(t.Peer, identity), 0); ok {
			return f, nil
		}
	}
	targets, err := s.lookUp(ctx, t)
	if err != nil {
		return transport.Flow{}, err
	}
	if identity != "" {
		t.Host = identity
	}
	f, err := s.reach(ctx, t, targets)
	return f.flow, err
}
