package resolve

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// flight is a lookup under way; all who want the same record set wait for one.
type flight struct {
	done   chan struct{}
	answer answer
	err    error
}

// lookup gives a record set from the cache or the servers. A denial is an empty answer with nil error; ErrTemporary
// means that nothing is known.
func (r *Resolver) lookup(ctx context.Context, k key) (answer, error) {
	now := r.clock.Now()
	r.mu.Lock()
	if e := r.cache.get(k); e != nil {
		if e.good && now.Before(e.expires) {
			r.mu.Unlock()
			r.stats.hits.Add(1)
			ans := e.answer
			ans.ttl = e.expires.Sub(now)
			return ans, nil
		}
		if now.Before(e.retry) {
			ans, err := r.lastGood(e, now)
			r.mu.Unlock()
			return ans, err
		}
	}
	f, under := r.flights[k]
	if !under {
		if len(r.flights) >= r.cfg.MaxFlights {
			ans, err := r.lastGood(r.cache.entries[k], now)
			r.mu.Unlock()
			r.stats.busy.Add(1)
			return ans, err
		}
		f = &flight{done: make(chan struct{})}
		r.flights[k] = f
		// Not the caller's context: others wait for this lookup too, and its answer is worth caching when the caller is gone.
		go r.fly(k, f)
	}
	r.mu.Unlock()
	r.stats.misses.Add(1)
	select {
	case <-f.done:
		return f.answer, f.err
	case <-ctx.Done():
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.lastGood(r.cache.entries[k], r.clock.Now())
	}
}

// lastGood is the answer of an entry past its TTL, within the limit (RFC 8767 §4). r.mu is held.
func (r *Resolver) lastGood(e *entry, now time.Time) (answer, error) {
	if e == nil || !e.good || e.answer.empty() || now.Sub(e.expires) >= r.cfg.StaleLimit {
		return answer{}, ErrTemporary
	}
	r.stats.stale.Add(1)
	ans := e.answer
	ans.ttl = 0
	return ans, nil
}

// fly asks the servers, stores the outcome and wakes who waits.
func (r *Resolver) fly(k key, f *flight) {
	ctx, cancel := context.WithTimeout(context.Background(), r.cfg.Timeout)
	defer cancel()
	ans, err := r.ask(ctx, k)
	now := r.clock.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.stats.failures.Add(1)
		e := &entry{key: k, retry: now.Add(r.cfg.Failure)}
		if k.qtype == typeNAPTR {
			e.retry = now.Add(max(r.cfg.Failure, naptrRetry))
		}
		if old := r.cache.entries[k]; old != nil {
			e.answer, e.expires, e.good = old.answer, old.expires, old.good
		}
		r.stats.evicted.Add(uint64(r.cache.put(e)))
		f.answer, f.err = r.lastGood(e, now)
	} else {
		if ans.empty() {
			r.stats.denied.Add(1)
		}
		r.stats.evicted.Add(uint64(r.cache.put(&entry{key: k, answer: ans, expires: now.Add(ans.ttl), good: true})))
		f.answer = ans
	}
	delete(r.flights, k)
	close(f.done)
}

// ask puts one question to the servers in order, twice round, until one answers it.
func (r *Resolver) ask(ctx context.Context, k key) (answer, error) {
	name := k.name
	var ttl time.Duration = maxTTL
	for range maxChain {
		resp, err := r.exchangeAny(ctx, name, k.qtype)
		if err != nil {
			return answer{}, err
		}
		ans, next := r.read(resp, name, k.qtype)
		ans.ttl = min(ans.ttl, ttl)
		if !ans.empty() || next == name {
			return ans, nil
		}
		name, ttl = next, ans.ttl // the server left the end of the alias chain to us
	}
	return answer{}, fmt.Errorf("%w: alias chain over %d links", ErrTemporary, maxChain)
}

func (r *Resolver) exchangeAny(ctx context.Context, name string, qtype uint16) (*dns.Msg, error) {
	first := true
	for range 2 {
		for _, server := range r.servers {
			if ctx.Err() != nil {
				return nil, ErrTemporary
			}
			if !first {
				r.stats.retries.Add(1)
			}
			first = false
			resp, err := r.exchange(ctx, server, name, qtype)
			if err == nil && (resp.Rcode == dns.RcodeSuccess || resp.Rcode == dns.RcodeNameError) {
				return resp, nil
			}
		}
	}
	return nil, ErrTemporary
}

// exchange asks one server over UDP and, where the answer does not fit, over TCP. Each question leaves from a socket of
// its own: the random port and ID are what a forger has to guess (RFC 5452 §9.1).
func (r *Resolver) exchange(ctx context.Context, server, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name+".", qtype)
	q.SetEdns0(udpPayload, false)
	id, err := r.queryID()
	if err != nil {
		return nil, err
	}
	q.Id = id
	r.stats.queries.Add(1)
	resp, _, err := r.udp.ExchangeContext(ctx, q, server)
	if err == nil && resp.Truncated {
		r.stats.queries.Add(1)
		resp, _, err = r.tcp.ExchangeContext(ctx, q, server)
	}
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", server, err)
	}
	if !resp.Response || resp.Opcode != dns.OpcodeQuery || len(resp.Question) != 1 || resp.Question[0].Qtype != qtype ||
		resp.Question[0].Qclass != dns.ClassINET || !strings.EqualFold(resp.Question[0].Name, name+".") {
		r.stats.mismatched.Add(1)
		return nil, fmt.Errorf("ask %s: answer to another question", server)
	}
	return resp, nil
}

func (r *Resolver) queryID() (uint16, error) {
	var b [2]byte
	r.mu.Lock()
	_, err := io.ReadFull(r.random, b[:])
	r.mu.Unlock()
	if err != nil {
		return 0, fmt.Errorf("draw query ID: %w", err)
	}
	return binary.BigEndian.Uint16(b[:]), nil
}

// read takes the records of the question from an answer section, following aliases; next is where the aliases end. The
// additional section is not believed: it may speak of names its sender does not own.
func (r *Resolver) read(resp *dns.Msg, name string, qtype uint16) (ans answer, next string) {
	next = name
	ans.ttl = maxTTL
	for range maxChain {
		alias := ""
		for _, rr := range resp.Answer {
			if plain(rr.Header().Name) != next || rr.Header().Class != dns.ClassINET {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok {
				alias = plain(c.Target)
				ans.ttl = min(ans.ttl, seconds(c.Hdr.Ttl))
			} else if rr.Header().Rrtype == qtype {
				r.take(&ans, rr)
			}
		}
		if !ans.empty() {
			return ans, next
		}
		if alias == "" || alias == next {
			break
		}
		next = alias
	}
	if next != name && resp.Rcode == dns.RcodeSuccess && !hasSOA(resp) {
		return ans, next
	}
	ans.ttl = min(ans.ttl, r.negativeTTL(resp))
	return ans, name
}

// take adds one record unless the set is full.
func (r *Resolver) take(ans *answer, rr dns.RR) {
	if len(ans.addrs)+len(ans.srv)+len(ans.services) >= maxRecords {
		r.stats.cut.Add(1)
		return
	}
	ans.ttl = min(ans.ttl, seconds(rr.Header().Ttl))
	switch rr := rr.(type) {
	case *dns.A:
		if a, ok := netip.AddrFromSlice(rr.A); ok {
			ans.addrs = append(ans.addrs, a.Unmap())
		}
	case *dns.AAAA:
		// A mapped address is an IPv4 destination in disguise; nobody publishes one in good faith.
		if a, ok := netip.AddrFromSlice(rr.AAAA); ok && a.Is6() && !a.Is4In6() {
			ans.addrs = append(ans.addrs, a)
		}
	case *dns.SRV:
		ans.srv = append(ans.srv, srv{priority: rr.Priority, weight: rr.Weight, port: rr.Port, target: plain(rr.Target)})
	case *dns.NAPTR:
		if p, ok := naptrProto(rr); ok {
			ans.services = append(ans.services, service{order: rr.Order, preference: rr.Preference, proto: p, replacement: plain(rr.Replacement)})
		}
	}
}

// naptrProto knows the services of RFC 3263 §4.1 whose flag "s" sends to SRV records; records with a regular expression
// rewrite telephone numbers (ENUM) and are none of ours.
func naptrProto(rr *dns.NAPTR) (Proto, bool) {
	if !strings.EqualFold(rr.Flags, "s") || rr.Regexp != "" || plain(rr.Replacement) == "" {
		return 0, false
	}
	switch strings.ToUpper(rr.Service) {
	case "SIPS+D2T":
		return TLS, true
	case "SIP+D2T":
		return TCP, true
	case "SIP+D2U":
		return UDP, true
	}
	return 0, false
}

// negativeTTL is how long a denial holds: the SOA's minimum (RFC 2308 §5), capped.
func (r *Resolver) negativeTTL(resp *dns.Msg) time.Duration {
	for _, rr := range resp.Ns {
		if soa, ok := rr.(*dns.SOA); ok {
			return min(seconds(soa.Minttl), seconds(soa.Hdr.Ttl), r.cfg.Negative)
		}
	}
	return r.cfg.Negative
}

func hasSOA(resp *dns.Msg) bool {
	for _, rr := range resp.Ns {
		if rr.Header().Rrtype == dns.TypeSOA {
			return true
		}
	}
	return false
}

func seconds(ttl uint32) time.Duration {
	if ttl > 1<<31-1 { // RFC 2181 §8: the top bit set means zero
		return 0
	}
	return min(time.Duration(ttl)*time.Second, maxTTL)
}

// plain is a domain name as this package keys it.
func plain(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }
