package sbc

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
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
}

// errNoAddress says that a target has no address that may be used.
var errNoAddress = errors.New("no address that may be called")

// reach resolves a target, unless addresses of it are left, drops those that must not be called and connects to the
// first that answers. Addresses are used as checked: they are never looked up again in between.
func (s *Server) reach(ctx context.Context, t routing.Target, left []resolve.Target) (found, error) {
	if left == nil {
		var err error
		if left, err = s.lookUp(ctx, t); err != nil {
			return found{}, err
		}
	}
	err := error(errNoAddress)
	for i, r := range left {
		if t.Transport == trunk.TLS && r.Proto != resolve.TLS {
			continue // never a fallback to clear
		}
		if blocked := s.checkAddress(r.Addr); blocked != nil {
			err = blocked
			continue
		}
		var f transport.Flow
		if f, err = s.dial(ctx, s.dialTarget(t.Peer, t.Host, r)); err == nil {
			return found{flow: f, addresses: left[i+1:]}, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return found{}, err
}

func (s *Server) lookUp(ctx context.Context, t routing.Target) ([]resolve.Target, error) {
	ctx, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	targets, err := s.cfg.Resolver.Resolve(ctx, resolve.Query{
		Host: t.Host, Port: t.Port, Transport: protoOf(t.Transport), Secure: t.Transport == trunk.TLS,
	})
	return targets[:min(len(targets), maxAddresses)], err
}

// dial connects to one address. Each has its own time: the first may be a black hole and the second alive.
func (s *Server) dial(ctx context.Context, t transport.Target) (transport.Flow, error) {
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
		// The certificate must name the configured host, not what its SRV record points to.
		t.TLS = &transport.ClientTLS{ServerName: host, Roots: s.cfg.Roots, Certificate: s.cfg.Certificate}
		if peer.Pin == "" {
			t.TLS.SkipVerify = peer.NoVerify
		} else {
			t.TLS.Pins = []transport.SPKIHash{parsePin(peer.Pin)}
		}
	default:
		t.Proto = transport.UDP
	}
	return t
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
	}
	return resolve.UDP
}
