package sbc

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"carillon/routing"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/trunk"
)

// maxRedirects bounds the targets that 3xx answers add to one call: hosts that redirect to each other would keep it
// for ever.
const maxRedirects = 5

// redirect adds the hosts that a 3xx names behind the target that named them and reports whether there is one (RFC 3261
// section 8.1.3.4). They are called under that target's own rules: over TLS where it was, with its SRTP, and with a
// certificate that proves the host that is called. What a redirect may reach is judged like any other address.
func (c *activeCall) redirect(a *attempt, m *sip.Message) bool {
	if c.ruler(a).Settings.Redirects != trunk.FollowRedirects || c.offered {
		return false
	}
	var found []routing.Target
	for _, t := range contactTargets(a.target, m) {
		known := slices.ContainsFunc(c.plan.Targets, func(o routing.Target) bool { return o.String() == t.String() && o.User == t.User })
		if !known && c.redirected < maxRedirects {
			found = append(found, t)
			c.redirected++
		}
	}
	at := a.index + 1
	c.plan.Targets = slices.Concat(c.plan.Targets[:at], found, c.plan.Targets[at:])
	return len(found) > 0
}

// ruler is the connector whose settings say what a target of the call may do.
func (c *activeCall) ruler(a *attempt) *trunk.Connector {
	if a.target.Connector != nil {
		return a.target.Connector
	}
	return c.plan.Connector
}

// contactTargets reads the Contacts of a 3xx, those preferred first (RFC 3261 section 20.10).
func contactTargets(from routing.Target, m *sip.Message) []routing.Target {
	type choice struct {
		target routing.Target
		q      float64
	}
	var all []choice
	for value := range m.Values(sip.HdrContact) {
		addr, err := sip.ParseNameAddr(value)
		if err != nil || len(all) == 2*maxRedirects {
			continue
		}
		if t, ok := contactTarget(from, &addr.URI); ok {
			q := 1.0
			if text, ok := addr.Param("q"); ok {
				if q, err = strconv.ParseFloat(string(text), 64); err != nil || !(q >= 0 && q <= 1) {
					q = 0
				}
			}
			all = append(all, choice{t, q})
		}
	}
	slices.SortStableFunc(all, func(a, b choice) int { return cmp.Compare(b.q, a.q) })
	targets := make([]routing.Target, len(all))
	for i, c := range all {
		targets[i] = c.target
	}
	return targets
}

// contactTarget makes a target of one Contact. Whatever the URI says, a target over TLS leads to targets over TLS only.
func contactTarget(from routing.Target, uri *sip.URI) (routing.Target, bool) {
	host := strings.ToLower(strings.Trim(string(uri.Host), "[]"))
	if uri.Scheme != sip.SchemeSIP && uri.Scheme != sip.SchemeSIPS || !trunk.ValidHost(host) {
		return routing.Target{}, false
	}
	t := routing.Target{
		Host: host, Port: uri.Port, Transport: trunk.UDP, IPv4Only: from.IPv4Only, SIPS: from.SIPS, SRTP: from.SRTP,
		User: from.User, Carrier: from.Carrier, Connector: from.Connector, Redirected: true,
	}
	if host == from.Host {
		t.Peer = from.Peer
	}
	if user := userOf(uri); user != "" {
		t.User = escapeUser(user)
	}
	transport, _ := uri.Param("transport")
	switch {
	case from.Transport == trunk.TLS, uri.Scheme == sip.SchemeSIPS, strings.EqualFold(string(transport), "tls"):
		t.Transport = trunk.TLS
	case strings.EqualFold(string(transport), "tcp"):
		t.Transport = trunk.TCP
	case len(transport) == 0:
		t.Transport = from.Transport
	}
	return t, true
}

// errOfCarrier says that a customer's redirect leads to a carrier.
var errOfCarrier = errors.New("address of a carrier")

// strays reports whether an address that a target leads to is a carrier's and must not be called for it. Carriers trust the
// node's address: a customer that redirects a call to one would have the node place any call, at the operator's cost, and
// none of the rules for numbers, caller ids and rates would have been asked. Where it cannot be told, it is one. A customer who shares its address with a
// carrier is not redirected there either. The lab's carriers cost nothing.
func (s *Server) strays(ctx context.Context, t routing.Target) func(netip.Addr) bool {
	if !t.Redirected || t.Carrier != nil {
		return func(netip.Addr) bool { return false }
	}
	view := s.cfg.Directory.Snapshot()
	var named []netip.Addr
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	for _, carrier := range view.Carriers() {
		for _, own := range carrier.Targets {
			if carrier.Lab || isAddress(own.Host) {
				continue // the snapshot finds it by its address
			}
			all, err := s.cfg.Resolver.Resolve(ctx, resolve.Query{
				Host: own.Host, Port: own.Port, Transport: protoOf(own.Transport), Secure: own.Transport == trunk.TLS,
			})
			switch {
			case errors.Is(err, resolve.ErrNotFound), errors.Is(err, resolve.ErrBadName):
				continue // nobody has that name
			case err != nil:
				// Name servers in trouble must not open what they close otherwise.
				return func(netip.Addr) bool { return true }
			}
			for _, r := range all {
				named = append(named, r.Addr.Addr().Unmap())
			}
		}
	}
	return func(a netip.Addr) bool {
		carrier, known := view.CarrierBySource(netip.AddrPortFrom(a, 0))
		return known && !carrier.Lab || slices.Contains(named, a.Unmap())
	}
}
