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
	"strings"
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
	Proto Proto
	Addr  netip.AddrPort
	Name  string        // the name the address was found under: the SRV target or the host; for logs, never for checking a certificate
	TTL   time.Duration // how long the whole way here may be cached; 0 with last good answers and for IP literals
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

// search is one run of RFC 3263 §4.
type search struct {
	r       *Resolver
	q       Query
	host    string // canonical
	found   []Target
	left    int  // targets that may still be added
	names   int  // SRV targets looked up
	trouble bool // a lookup failed without the DNS denying the records
}

func (s *search) run(ctx context.Context) error {
	// A name the operator wrote into the hosts file is not asked about elsewhere: it may not exist in the DNS.
	if addrs := s.r.hosts.lookup(s.host); len(addrs) > 0 {
		p := s.q.proto()
		s.add(p, s.q.port(p), s.host, s.r.cfg.Order.arrange(addrs), 0)
		return nil
	}
	if s.q.Port != 0 { // an explicit port rules out NAPTR and SRV (RFC 3263 §4.1, §4.2)
		s.addresses(ctx, s.q.proto(), s.host, s.q.Port, maxTTL)
		return nil
	}
	if s.q.Transport != ProtoAny {
		found, err := s.service(ctx, s.q.Transport, s.q.Transport.service()+s.host, maxTTL)
		if found || err != nil {
			return err
		}
	} else if found, err := s.anyTransport(ctx); found || err != nil {
		return err
	}
	p := s.q.proto()
	s.addresses(ctx, p, s.host, p.defaultPort(), maxTTL)
	return nil
}

// part bounds one step, so that a server which is silent on one record type (some middleboxes drop NAPTR) leaves time for
// the others.
func (s *search) part(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.r.cfg.Timeout/3)
}

// naptr gives the services of the host this query may use, best first; none where the DNS has none or is in trouble.
func (s *search) naptr(ctx context.Context) ([]service, time.Duration) {
	ctx, cancel := s.part(ctx)
	defer cancel()
	ans, err := s.r.lookup(ctx, key{s.host, typeNAPTR})
	if err != nil {
		s.trouble = s.trouble || errors.Is(err, ErrTemporary)
		return nil, 0
	}
	return orderNAPTR(ans.services, s.q.Secure), ans.ttl
}

// anyTransport lets NAPTR choose the transport, or else asks for the SRV records of each one we have.
func (s *search) anyTransport(ctx context.Context) (found bool, err error) {
	services, ttl := s.naptr(ctx)
	for i, n := range services {
		if found && n.order != services[i-1].order {
			// RFC 3403 §4.1: a higher order is not considered once a lower one matched. Here that also keeps a
			// domain that puts TLS first from being pushed down to UDP by breaking its TLS targets.
			break
		}
		ok, serr := s.service(ctx, n.proto, n.replacement, ttl)
		found = found || ok
		if serr != nil {
			err = serr
		}
	}
	if found {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	protos := []Proto{UDP, TCP}
	if s.q.Secure {
		protos = []Proto{TLS}
	}
	ctx, cancel := s.part(ctx)
	defer cancel()
	for _, p := range protos[1:] { // asked at the same time as the first
		go s.r.lookup(ctx, key{p.service() + s.host, typeSRV})
	}
	denied := 0
	for _, p := range protos {
		ok, serr := s.service(ctx, p, p.service()+s.host, maxTTL)
		found = found || ok
		if serr != nil {
			denied, err = denied+1, serr
		}
	}
	if found {
		return true, nil
	}
	if denied == len(protos) { // each transport said "." : the domain takes no SIP (RFC 2782)
		return false, err
	}
	return false, nil
}

// service adds the targets of one SRV record set. found says that the set exists, even where no target has an address:
// then falling back to the bare name would go somewhere its owner did not mean.
func (s *search) service(ctx context.Context, p Proto, name string, ttl time.Duration) (found bool, err error) {
	ans, err := s.r.lookup(ctx, key{name, typeSRV})
	if err != nil {
		s.trouble = s.trouble || errors.Is(err, ErrTemporary)
		return false, nil
	}
	if len(ans.srv) == 1 && ans.srv[0].target == "" {
		return false, errNoService
	}
	if len(ans.srv) == 0 {
		return false, nil
	}
	ttl = min(ttl, ans.ttl)
	s.r.mu.Lock()
	ordered := orderSRV(ans.srv, s.r.random)
	s.r.mu.Unlock()
	for _, srv := range ordered {
		if srv.target == "" || s.left <= 0 {
			continue
		}
		if s.names++; s.names > maxNames {
			s.r.stats.cut.Add(1)
			break
		}
		s.addresses(ctx, p, srv.target, srv.port, ttl)
	}
	return true, nil
}

// addresses adds the A and AAAA records of a name.
func (s *search) addresses(ctx context.Context, p Proto, name string, port uint16, ttl time.Duration) {
	if s.left <= 0 {
		return
	}
	if addrs := s.r.hosts.lookup(name); len(addrs) > 0 {
		s.add(p, port, name, s.r.cfg.Order.arrange(addrs), 0)
		return
	}
	types := s.r.cfg.Order.types()
	answers := make([]answer, len(types))
	errs := make([]error, len(types))
	done := make(chan struct{})
	if len(types) > 1 {
		go func() {
			answers[1], errs[1] = s.r.lookup(ctx, key{name, types[1]})
			close(done)
		}()
	} else {
		close(done)
	}
	answers[0], errs[0] = s.r.lookup(ctx, key{name, types[0]})
	<-done
	var addrs []netip.Addr
	for i, ans := range answers {
		if errs[i] != nil {
			s.trouble = s.trouble || errors.Is(errs[i], ErrTemporary)
			continue
		}
		if len(ans.addrs) > 0 {
			ttl = min(ttl, ans.ttl)
			addrs = append(addrs, ans.addrs...)
		}
	}
	s.add(p, port, name, s.r.cfg.Order.arrange(addrs), ttl)
}

func (s *search) add(p Proto, port uint16, name string, addrs []netip.Addr, ttl time.Duration) {
	for _, a := range addrs {
		if s.left <= 0 {
			s.r.stats.cut.Add(1)
			return
		}
		s.left--
		s.found = append(s.found, Target{Proto: p, Addr: netip.AddrPortFrom(a, port), Name: name, TTL: ttl})
	}
}

// literal reads an IP address, in brackets or not. A zone is refused: it names an interface of this machine.
func literal(host string) (netip.Addr, bool) {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil && addr.Zone() == ""
}

// canonical lower-cases a host name and checks it (RFC 3261 §25.1, RFC 1035 §2.3.4), underscores allowed.
func canonical(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253-len("_sips._tcp.") {
		return "", fmt.Errorf("%w: %d characters", ErrBadName, len(host))
	}
	label := 0
	for i := range len(host) {
		c := host[i]
		switch {
		case c == '.':
			if label == 0 {
				return "", fmt.Errorf("%w: empty label", ErrBadName)
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return "", fmt.Errorf("%w: character %q", ErrBadName, c)
		}
		if label++; label > 63 {
			return "", fmt.Errorf("%w: label over 63 characters", ErrBadName)
		}
	}
	return strings.ToLower(host), nil
}
