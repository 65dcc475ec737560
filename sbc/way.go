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
	f, err := c.s.dialer.Dial(context.Background(), transport.Target{Proto: transport.UDP, Addr: to})
	if err != nil {
		return l.flow
	}
	return f
}

// reachDialog opens a new connection to the next hop of a leg's dialog. A leg that had to be encrypted is reached over
// verified TLS or not at all.
func (s *Server) reachDialog(ctx context.Context, l *leg) (transport.Flow, error) {
	hop, err := l.dialog.NextHop()
	if err != nil {
		return transport.Flow{}, err
	}
	t := routing.Target{Host: strings.ToLower(string(hop.Host)), Port: hop.Port, Transport: trunk.TCP}
	if l.flow.Proto() == transport.TLS || l.mustTLS {
		t.Transport = trunk.TLS
	}
	t.Host = strings.Trim(t.Host, "[]")
	f, err := s.reach(ctx, t, nil, true)
	return f.flow, err
}
