// Package resolve finds where to send a SIP request: NAPTR, SRV and address records, in the order of RFC 3263, with a bounded cache.
//
// A Query gives an ordered list of Targets; the caller tries them from the top and goes on after a failure (RFC 3263
// §4.3). Addresses are returned once, as values: the caller checks each against its egress rules and connects to that
// same value. Asking again between check and connect would let a name server show a harmless address to the check and
// another to the connection (DNS rebinding).
//
// A secure query never yields anything but TLS, whatever the DNS holds.
//
// Every lookup is bounded in time, records, depth and number, so a slow or hostile name server costs the caller one
// Timeout at most. When servers fail, the last good answer is used for a limited time (RFC 8767).
package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Proto is a SIP transport. The zero value is none chosen.
type Proto uint8

// The transports.
const (
	ProtoAny Proto = iota
	UDP
	TCP
	TLS
)

// String is the transport as a Via header writes it.
func (p Proto) String() string {
	switch p {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	}
	return "any"
}

func (p Proto) defaultPort() uint16 {
	if p == TLS {
		return 5061
	}
	return 5060
}

// service is the SRV owner prefix; TLS has that of the sips scheme (RFC 3263 §4.1).
func (p Proto) service() string {
	switch p {
	case UDP:
		return "_sip._udp."
	case TCP:
		return "_sip._tcp."
	}
	return "_sips._tcp."
}

// Query is what a SIP URI says about its destination: maddr or host, port and transport parameter, and scheme.
type Query struct {
	Host      string // domain name without a trailing dot, or IP literal; IPv6 with or without brackets
	Port      uint16 // 0: absent
	Transport Proto  // ProtoAny: absent
	Secure    bool   // sips, or a policy that asks for TLS: only TLS targets
}

// Target is one place to try.
type Target struct {
	Proto Proto          // never ProtoAny
	Addr  netip.AddrPort // where to send; still to be checked against the caller's egress rules
	Name  string         // the name the address was found under: the SRV target or the host; for logs, never for checking a certificate
	TTL   time.Duration  // how long the whole way here may be cached; 0 with last good answers and for IP literals
}

// Errors of Resolve, told apart with errors.Is.
var (
	ErrBadName   = errors.New("not a host name")
	ErrTransport = errors.New("transport does not fit a secure query")
	ErrNotFound  = errors.New("name has no usable records")                // the DNS says so
	ErrTemporary = errors.New("name servers gave no answer")               // timeout, SERVFAIL or too many lookups under way
	errNoService = fmt.Errorf("%w: service is not available", ErrNotFound) // SRV target "." (RFC 2782)
)

// Resolve finds the targets of a query in the order they should be tried, at most Config.MaxTargets. It blocks for
// Config.Timeout at most, and not at all for IP literals and cached names.
func (r *Resolver) Resolve(ctx context.Context, q Query) ([]Target, error) {
	if q.Secure {
		if q.Transport == UDP {
			return nil, ErrTransport
		}
		if q.Transport != ProtoAny {
			q.Transport = TLS // sips with transport=tcp is TLS over TCP (RFC 3261 §26.2.2)
		}
	}
	if addr, ok := literal(q.Host); ok {
		p := q.proto()
		return []Target{{Proto: p, Addr: netip.AddrPortFrom(addr, q.port(p)), Name: q.Host}}, nil
	}
	host, err := canonical(q.Host)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	s := search{r: r, q: q, host: host, left: r.cfg.MaxTargets}
	if err := s.run(ctx); err != nil {
		return nil, fmt.Errorf("resolve %s: %w", host, err)
	}
	if len(s.found) == 0 {
		if s.trouble {
			return nil, fmt.Errorf("resolve %s: %w", host, ErrTemporary)
		}
		return nil, fmt.Errorf("resolve %s: %w", host, ErrNotFound)
	}
	return s.found, nil
}

// proto is the transport where neither NAPTR nor SRV decides (RFC 3263 §4.1).
func (q *Query) proto() Proto {
	switch {
	case q.Transport != ProtoAny:
		return q.Transport
	case q.Secure:
		return TLS
	}
	return UDP
}

func (q *Query) port(p Proto) uint16 {
	if q.Port != 0 {
		return q.Port
	}
	return p.defaultPort()
}
