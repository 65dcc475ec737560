package resolve

import (
	"context"
	"errors"
	"net/netip"
	"time"
)

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
