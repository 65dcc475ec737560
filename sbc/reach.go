package sbc

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"time"

	"carillon/routing"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// dialTimeout bounds a look-up, and the connecting to one address.
const dialTimeout = 4 * time.Second

// maxAddresses bounds the addresses of one target that are tried: a name with a thousand of them must not hold a call.
const maxAddresses = 8

// found is what looking for a target brought: a flow to one of its addresses and those left to try.
type found struct {
	flow      transport.Flow
	addresses []resolve.Target
	reused    bool // the flow is a connection that the target opened to us
	// trial is the address, as a path, of which the caller is now the trial; empty for none. It may come with an error.
	trial string
}

// errNoAddress says that a target has no address that may be used.
var errNoAddress = errors.New("no address that may be called")

// approach reaches a target over a connection that it has opened to us and proven its name on, where there is one
// (RFC 5923), else by connecting to it. A customer whose PBX cannot be connected to is reached so; a carrier always can.
func (s *Server) approach(ctx context.Context, t routing.Target, left []resolve.Target, direct bool) (found, error) {
	if left == nil && !direct && t.Transport == trunk.TLS && t.Carrier == nil {
		f, ok := s.dialer.Reuse(s.clientTLS(t.Peer, t.Host), t.Port)
		if ok && !s.strays(ctx, t)(f.Remote().Addr()) {
			return found{flow: f, reused: true}, nil
		}
	}
	return s.reach(ctx, t, left)
}

// reach resolves a target, unless addresses of it are left, drops those that must not be called and connects to the
// first that answers. Addresses are used as checked: they are never looked up again in between.
func (s *Server) reach(ctx context.Context, t routing.Target, left []resolve.Target) (found, error) {
	var here found
	fresh := left == nil
	if fresh {
		var err error
		if left, err = s.lookUp(ctx, t); err != nil {
			return here, err
		}
	}
	left, err := s.allowed(ctx, t, left)
	if fresh {
		here.trial = s.claimFirst(left)
	}
	for len(left) > 0 {
		host := left[:sameHost(left)]
		left = left[len(host):]
		targets := make([]transport.Target, len(host))
		for i, r := range host {
			targets[i] = s.dialTarget(t.Peer, t.Host, r)
		}
		won, failed := s.race(ctx, targets)
		if won.err == nil {
			for _, r := range host[:won.index] { // each had a start of connectDelay: the next call begins with the winner
				here.noteDead(s, r)
			}
			here.flow, here.addresses = won.flow, append(untried(host, won.index, failed), left...)
			return here, nil
		}
		if err = won.err; ctx.Err() != nil || errors.Is(err, transport.ErrTooManyConnections) {
			break // not for want of somebody there
		}
		for _, r := range host {
			here.noteDead(s, r)
		}
	}
	return here, err
}

// claimFirst makes a call the trial of its first address, where that failed and its time is over. An address that is the
// only one is everybody's.
func (s *Server) claimFirst(targets []resolve.Target) (trial string) {
	if len(targets) < 2 || s.dead.none() {
		return ""
	}
	first := pathName(targets[0].Proto.String(), targets[0].Addr)
	if !s.dead.claim(first, s.clock.Now(), s.limits.FailedFor) {
		return ""
	}
	return first
}

// noteDead remembers an address that cannot be connected to, and the end of its trial.
func (f *found) noteDead(s *Server, r resolve.Target) {
	s.noteDead(r.Proto.String(), r.Addr)
	if f.trial == pathName(r.Proto.String(), r.Addr) {
		f.trial = ""
	}
}

// untried are the addresses of a host that are left when one was connected to.
func untried(host []resolve.Target, won int, failed []int) []resolve.Target {
	var left []resolve.Target
	for i, r := range host {
		if i != won && !slices.Contains(failed, i) {
			left = append(left, r)
		}
	}
	return left
}

// allowed returns the addresses a target may be called at; the error says why the last of the others may not.
func (s *Server) allowed(ctx context.Context, t routing.Target, targets []resolve.Target) ([]resolve.Target, error) {
	err := error(errNoAddress)
	strays := s.strays(ctx, t)
	var all []resolve.Target
	for _, r := range targets {
		switch {
		case t.Transport == trunk.TLS && r.Proto != resolve.TLS: // never a fallback to clear
		case t.IPv4Only && !r.Addr.Addr().Is4():
		case strays(r.Addr.Addr()):
			err = errOfCarrier
		default:
			if blocked := s.checkAddress(r.Addr); blocked != nil {
				err = blocked
				continue
			}
			all = append(all, r)
		}
	}
	return all, err
}

// lookUp finds the addresses of a target, those last that were found dead of late.
func (s *Server) lookUp(ctx context.Context, t routing.Target) ([]resolve.Target, error) {
	if !isAddress(t.Host) {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, dialTimeout)
		defer stop()
	}
	q := resolve.Query{Host: t.Host, Port: t.Port, Transport: protoOf(t.Transport), Secure: t.Transport == trunk.TLS}
	if q.Secure && q.Port == 0 {
		q.Transport = resolve.ProtoAny // let NAPTR name the service; a secure query yields nothing but TLS
	}
	targets, err := s.cfg.Resolver.Resolve(ctx, q)
	if len(targets) > 1 && !s.dead.none() {
		targets = slices.Clone(targets) // the order is ours, not the resolver's
		s.demote(targets)
	}
	return targets[:min(len(targets), maxAddresses)], err
}

// demote moves addresses that were dead of late behind the others of their transport. It does not move them past another
// transport: whoever can break a domain's TLS servers must not push its calls down to what the domain lists after them.
func (s *Server) demote(targets []resolve.Target) {
	now := s.clock.Now()
	for len(targets) > 1 {
		n := 1
		for n < len(targets) && targets[n].Proto == targets[0].Proto {
			n++
		}
		slices.SortStableFunc(targets[:n], func(a, b resolve.Target) int {
			return s.deadness(a, now) - s.deadness(b, now)
		})
		targets = targets[n:]
	}
}

func (s *Server) deadness(t resolve.Target, now time.Time) int {
	if s.dead.failed(pathName(t.Proto.String(), t.Addr), now) {
		return 1
	}
	return 0
}

// noteDead remembers an address that does not answer, whatever targets lead to it.
func (s *Server) noteDead(proto string, addr netip.AddrPort) {
	s.dead.add(pathName(proto, addr), s.clock.Now(), s.limits.FailedFor)
}

func pathName(proto string, addr netip.AddrPort) string { return proto + " " + addr.String() }

// dial connects to one address. Each has its own time: the first may be a black hole and the second alive.
func (s *Server) dial(ctx context.Context, t transport.Target) (transport.Flow, error) {
	if t.Proto == transport.UDP {
		return s.dialer.Dial(ctx, t) // there is nothing to wait for
	}
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	return s.dialer.Dial(ctx, t)
}

// checkAddress refuses addresses that nothing may be sent to, our own listeners among them: a call to ourselves would
// come back in as a carrier's or a customer's.
func (s *Server) checkAddress(addr netip.AddrPort) error { return s.cfg.Egress.CheckPort(addr) }

func (s *Server) dialTarget(peer trunk.PeerPolicy, host string, r resolve.Target) transport.Target {
	t := transport.Target{Addr: r.Addr}
	switch r.Proto {
	case resolve.TCP:
		t.Proto = transport.TCP
	case resolve.TLS:
		t.Proto = transport.TLS
		t.TLS = s.clientTLS(peer, host)
	default:
		t.Proto = transport.UDP
	}
	return t
}

// clientTLS says whom a target must prove to be: the configured host, not what its SRV record points to.
func (s *Server) clientTLS(peer trunk.PeerPolicy, host string) *transport.ClientTLS {
	c := &transport.ClientTLS{ServerName: host}
	if s.cfg.Roots != nil {
		c.Roots = s.cfg.Roots()
	}
	if s.cfg.Certificate != nil {
		c.Certificate = s.cfg.Certificate()
	}
	if peer.Pin == "" {
		c.SkipVerify = peer.NoVerify
	} else {
		c.Pins = []transport.SPKIHash{parsePin(peer.Pin)}
	}
	return c
}

// parsePin reads a pin. One that is no SHA-256 in hex becomes the zero pin, which no key has.
func parsePin(s string) (pin transport.SPKIHash) {
	if b, err := hex.DecodeString(s); err == nil && len(b) == len(pin) {
		copy(pin[:], b)
	}
	return pin
}

func protoOf(t trunk.Transport) resolve.Proto {
	switch t {
	case trunk.TCP:
		return resolve.TCP
	case trunk.TLS:
		return resolve.TLS
	case trunk.UDP:
		return resolve.UDP
	}
	return resolve.ProtoAny
}
