package resolve

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

const zone = `
carrier.example.com. 300 IN NAPTR 50 50 "s" "SIPS+D2T" "" _sips._tcp.carrier.example.com.
carrier.example.com. 300 IN NAPTR 90 50 "s" "SIP+D2T" "" _sip._tcp.carrier.example.com.
carrier.example.com. 300 IN NAPTR 100 50 "s" "SIP+D2U" "" _sip._udp.carrier.example.com.
_sips._tcp.carrier.example.com. 200 IN SRV 10 1 5071 tls1.example.com.
_sips._tcp.carrier.example.com. 200 IN SRV 20 1 5072 tls2.example.com.
_sip._tcp.carrier.example.com. 200 IN SRV 10 1 5080 tcp1.example.com.
_sip._udp.carrier.example.com. 200 IN SRV 10 1 5090 udp1.example.com.
tls1.example.com. 100 IN A 192.0.2.1
tls1.example.com. 100 IN AAAA 2001:db8::1
tls2.example.com. 100 IN A 192.0.2.2
tcp1.example.com. 100 IN A 192.0.2.3
udp1.example.com. 100 IN A 192.0.2.4
clear.example.com. 300 IN NAPTR 20 10 "s" "SIP+D2T" "" _sip._tcp.clear.example.com.
clear.example.com. 300 IN NAPTR 20 20 "s" "SIP+D2U" "" _sip._udp.clear.example.com.
clear.example.com. 300 IN NAPTR 5 1 "u" "E2U+sip" "!^.*$!sip:x@y!" .
clear.example.com. 300 IN NAPTR 6 1 "s" "SIP+D2S" "" _sip._sctp.clear.example.com.
_sip._tcp.clear.example.com. 200 IN SRV 10 1 5080 tcp1.example.com.
_sip._udp.clear.example.com. 200 IN SRV 10 1 5090 udp1.example.com.
clear.example.com. 300 IN A 192.0.2.9
srvonly.example.com. 300 IN A 192.0.2.9
_sip._udp.srvonly.example.com. 200 IN SRV 10 1 5090 udp1.example.com.
_sips._tcp.srvonly.example.com. 200 IN SRV 10 1 5071 tls1.example.com.
plain.example.com. 60 IN A 192.0.2.7
plain.example.com. 60 IN A 192.0.2.8
plain.example.com. 60 IN AAAA 2001:db8::7
alias.example.com. 30 IN CNAME middle.example.com.
middle.example.com. 90 IN CNAME plain.example.com.
closed.example.com. 300 IN A 192.0.2.9
_sips._tcp.closed.example.com. 300 IN SRV 0 0 0 .
_sip._tcp.closed.example.com. 300 IN SRV 0 0 0 .
_sip._udp.closed.example.com. 300 IN SRV 0 0 0 .
empty.example.com. 300 IN TXT "nothing here"
`

func summary(targets []Target) string {
	var parts []string
	for _, t := range targets {
		parts = append(parts, fmt.Sprintf("%s %s %s %d", t.Proto, t.Addr, t.Name, int(t.TTL/time.Second)))
	}
	return strings.Join(parts, "; ")
}

func TestResolve(t *testing.T) {
	server := startNameServer(t, zone)
	for _, tt := range []struct {
		name  string
		query Query
		order Order
		want  string
		err   error
	}{
		{"NAPTR chooses TLS and no other order is mixed in", Query{Host: "carrier.example.com"}, IPv4First,
			"TLS 192.0.2.1:5071 tls1.example.com 100; TLS [2001:db8::1]:5071 tls1.example.com 100; TLS 192.0.2.2:5072 tls2.example.com 100", nil},
		{"secure", Query{Host: "carrier.example.com", Secure: true}, IPv4Only,
			"TLS 192.0.2.1:5071 tls1.example.com 100; TLS 192.0.2.2:5072 tls2.example.com 100", nil},
		{"names in any case, with a dot", Query{Host: "CARRIER.Example.com.", Secure: true}, IPv4Only,
			"TLS 192.0.2.1:5071 tls1.example.com 100; TLS 192.0.2.2:5072 tls2.example.com 100", nil},
		{"transport given: SRV of that transport only", Query{Host: "carrier.example.com", Transport: TCP}, IPv4Only,
			"TCP 192.0.2.3:5080 tcp1.example.com 100", nil},
		{"transport=tls", Query{Host: "carrier.example.com", Transport: TLS}, IPv4Only,
			"TLS 192.0.2.1:5071 tls1.example.com 100; TLS 192.0.2.2:5072 tls2.example.com 100", nil},
		{"sips with transport=tcp", Query{Host: "carrier.example.com", Transport: TCP, Secure: true}, IPv4Only,
			"TLS 192.0.2.1:5071 tls1.example.com 100; TLS 192.0.2.2:5072 tls2.example.com 100", nil},
		{"sips with transport=udp", Query{Host: "carrier.example.com", Transport: UDP, Secure: true}, IPv4Only, "", ErrTransport},
		{"NAPTR preferences inside one order, other services left out", Query{Host: "clear.example.com"}, IPv4Only,
			"TCP 192.0.2.3:5080 tcp1.example.com 100; UDP 192.0.2.4:5090 udp1.example.com 100", nil},
		{"secure never takes a clear NAPTR", Query{Host: "clear.example.com", Secure: true}, IPv4Only,
			"TLS 192.0.2.9:5061 clear.example.com 300", nil},
		{"SRV without NAPTR", Query{Host: "srvonly.example.com"}, IPv4Only, "UDP 192.0.2.4:5090 udp1.example.com 100", nil},
		{"SRV without NAPTR, secure", Query{Host: "srvonly.example.com", Secure: true}, IPv6Only,
			"TLS [2001:db8::1]:5071 tls1.example.com 100", nil},
		{"port given: addresses only", Query{Host: "carrier.example.com", Port: 5070}, IPv4Only, "", ErrNotFound},
		{"port given", Query{Host: "plain.example.com", Port: 5070, Transport: TCP}, IPv4Only,
			"TCP 192.0.2.7:5070 plain.example.com 60; TCP 192.0.2.8:5070 plain.example.com 60", nil},
		{"addresses alone", Query{Host: "plain.example.com"}, IPv4First,
			"UDP 192.0.2.7:5060 plain.example.com 60; UDP [2001:db8::7]:5060 plain.example.com 60; UDP 192.0.2.8:5060 plain.example.com 60", nil},
		{"IPv6 first", Query{Host: "plain.example.com", Secure: true}, IPv6First,
			"TLS [2001:db8::7]:5061 plain.example.com 60; TLS 192.0.2.7:5061 plain.example.com 60; TLS 192.0.2.8:5061 plain.example.com 60", nil},
		{"CNAME chain, smallest TTL", Query{Host: "alias.example.com", Port: 5060}, IPv6Only, "UDP [2001:db8::7]:5060 alias.example.com 30", nil},
		{"IPv4 literal", Query{Host: "192.0.2.33"}, IPv4First, "UDP 192.0.2.33:5060 192.0.2.33 0", nil},
		{"IPv6 literal", Query{Host: "[2001:db8::33]", Secure: true, Port: 5099}, IPv4First, "TLS [2001:db8::33]:5099 [2001:db8::33] 0", nil},
		{"IPv6 literal with a zone", Query{Host: "fe80::1%lo"}, IPv4First, "", ErrBadName},
		{"SRV says: not available", Query{Host: "closed.example.com"}, IPv4First, "", ErrNotFound},
		{"SRV says: not available, secure", Query{Host: "closed.example.com", Secure: true}, IPv4First, "", ErrNotFound},
		{"no such name", Query{Host: "nowhere.example.com"}, IPv4First, "", ErrNotFound},
		{"name without addresses", Query{Host: "empty.example.com"}, IPv4First, "", ErrNotFound},
		{"localhost", Query{Host: "localhost", Port: 7}, IPv4Only, "UDP 127.0.0.1:7 localhost 0", nil},
		{"below localhost", Query{Host: "sip.LOCALHOST", Secure: true}, IPv6First, "TLS [::1]:5061 sip.localhost 0; TLS 127.0.0.1:5061 sip.localhost 0", nil},
		{"empty name", Query{Host: ""}, IPv4First, "", ErrBadName},
		{"white space", Query{Host: "a b.example.com"}, IPv4First, "", ErrBadName},
		{"empty label", Query{Host: "a..example.com"}, IPv4First, "", ErrBadName},
		{"long label", Query{Host: strings.Repeat("a", 64) + ".example.com"}, IPv4First, "", ErrBadName},
		{"long name", Query{Host: strings.Repeat("a.", 125) + "com"}, IPv4First, "", ErrBadName},
		{"escape", Query{Host: `a\046b.example.com`}, IPv4First, "", ErrBadName},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, _ := startResolver(t, server, func(c *Config) { c.Order = tt.order })
			got, err := r.Resolve(t.Context(), tt.query)
			if summary(got) != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %s, %v, want %s, %v", summary(got), err, tt.want, tt.err)
			}
		})
	}
}

func TestWeights(t *testing.T) {
	r, _ := startResolver(t, nil, nil)
	records := []srv{
		{priority: 20, weight: 5, target: "last"},
		{priority: 10, weight: 60, target: "a"}, {priority: 10, weight: 20, target: "b"},
		{priority: 10, weight: 20, target: "c"}, {priority: 10, weight: 0, target: "zero"},
	}
	first := map[string]int{}
	const n = 20_000
	for range n {
		got := orderSRV(records, r.random)
		if len(got) != 5 || got[4].target != "last" {
			t.Fatalf("order %v", got)
		}
		seen := map[string]bool{}
		for _, s := range got {
			seen[s.target] = true
		}
		if len(seen) != 5 {
			t.Fatalf("a record twice: %v", got)
		}
		first[got[0].target]++
	}
	for target, share := range map[string]float64{"a": 0.6, "b": 0.2, "c": 0.2, "zero": 0.01} {
		got := float64(first[target]) / n
		if got < share-0.02 || got > share+0.02 {
			t.Errorf("%s first in %.3f of the draws, want about %.2f", target, got, share)
		}
	}
	if first["zero"] == 0 {
		t.Error("weight 0 never drawn: RFC 2782 gives it a small chance")
	}
	if records[0].target != "last" {
		t.Error("the cached records were reordered")
	}
	broken := orderSRV(records, strings.NewReader(""))
	if len(broken) != 5 || broken[4].target != "last" {
		t.Errorf("without randomness: %v", broken)
	}
}

func TestCacheAndTTL(t *testing.T) {
	s := startNameServer(t, zone+"zero.example.com. 0 IN A 192.0.2.5\n")
	r, fake := startResolver(t, s, func(c *Config) { c.Order = IPv4Only })
	ask := func(host string) (string, error) {
		got, err := r.Resolve(t.Context(), Query{Host: host, Port: 5060})
		return summary(got), err
	}
	steps := []struct {
		wait    time.Duration
		host    string
		ttl     int // of the answer; -1: ErrNotFound
		queries int // in all for that name
	}{
		{0, "plain.example.com", 60, 1},
		{20 * time.Second, "plain.example.com", 40, 1},
		{39 * time.Second, "plain.example.com", 1, 1},
		{time.Second, "plain.example.com", 60, 2},
		{0, "zero.example.com", 0, 1},
		{0, "zero.example.com", 0, 2},
		{0, "nowhere.example.com", -1, 1},
		{19 * time.Second, "nowhere.example.com", -1, 1}, // SOA minimum 20
		{time.Second, "nowhere.example.com", -1, 2},
		{0, "alias.example.com", 30, 1},
		{31 * time.Second, "alias.example.com", 30, 2},
	}
	for i, st := range steps {
		fake.Advance(st.wait)
		got, err := ask(st.host)
		if st.ttl < 0 && !errors.Is(err, ErrNotFound) || st.ttl >= 0 && !strings.HasSuffix(got, fmt.Sprintf(" %d", st.ttl)) {
			t.Errorf("step %d: %s: got %s, %v, want TTL %d", i, st.host, got, err, st.ttl)
		}
		if n := s.count(st.host + " A"); n != st.queries {
			t.Errorf("step %d: %s: %d queries, want %d", i, st.host, n, st.queries)
		}
	}
}

func TestLastGoodAnswer(t *testing.T) {
	for name, broken := range map[string]func(*nameServer){
		"SERVFAIL": func(s *nameServer) { s.rcode["plain.example.com"] = dns.RcodeServerFailure },
		"REFUSED":  func(s *nameServer) { s.rcode["plain.example.com"] = dns.RcodeRefused },
		"silence":  func(s *nameServer) { s.silent["plain.example.com"] = true },
		"answer to another question": func(s *nameServer) {
			s.mangle = func(m *dns.Msg) { m.Question[0].Name = "evil.example.com." }
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startNameServer(t, zone)
			r, fake := startResolver(t, s, func(c *Config) {
				c.Order, c.StaleLimit, c.Attempt = IPv4Only, time.Minute, 400*time.Millisecond
			})
			q := Query{Host: "plain.example.com", Port: 5060}
			if _, err := r.Resolve(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			s.set(func() { broken(s) })
			fake.Advance(61 * time.Second)
			const stale = "UDP 192.0.2.7:5060 plain.example.com 0; UDP 192.0.2.8:5060 plain.example.com 0"
			for range 3 {
				got, err := r.Resolve(t.Context(), q)
				if err != nil || summary(got) != stale {
					t.Fatalf("got %s, %v", summary(got), err)
				}
			}
			// Two rounds for the first, nothing for the others: a failing server is left alone for a while.
			if n := s.count("plain.example.com A"); n != 3 {
				t.Errorf("%d queries, want 3", n)
			}
			fake.Advance(time.Minute)
			if got, err := r.Resolve(t.Context(), q); !errors.Is(err, ErrTemporary) {
				t.Errorf("past the limit: got %s, %v", summary(got), err)
			}
			if st := r.Stats(); st.Stale != 3 || st.Failures != 2 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// A denial is an answer: the old addresses must not outlive it.
func TestDenialEndsLastGood(t *testing.T) {
	s := startNameServer(t, zone)
	r, fake := startResolver(t, s, nil)
	q := Query{Host: "plain.example.com", Port: 5060}
	if _, err := r.Resolve(t.Context(), q); err != nil {
		t.Fatal(err)
	}
	s.set(func() { s.rcode["plain.example.com"] = dns.RcodeNameError })
	fake.Advance(61 * time.Second)
	if got, err := r.Resolve(t.Context(), q); !errors.Is(err, ErrNotFound) {
		t.Errorf("after NXDOMAIN: %s, %v", summary(got), err)
	}
}

// A second name server takes over when the first is silent, within one Resolve.
func TestServerFailover(t *testing.T) {
	first, second := startNameServer(t, zone), startNameServer(t, zone)
	first.set(func() { first.silent["plain.example.com"] = true })
	r, _ := startResolver(t, first, func(c *Config) {
		c.Servers = append(c.Servers, second.addr)
		c.Order, c.Attempt = IPv4Only, 400*time.Millisecond
	})
	got, err := r.Resolve(t.Context(), Query{Host: "plain.example.com", Port: 5060})
	if err != nil || len(got) != 2 {
		t.Errorf("got %s, %v", summary(got), err)
	}
	if st := r.Stats(); st.Retries != 1 || st.Queries != 2 {
		t.Errorf("stats %+v", st)
	}
}

// A trouble with NAPTR or SRV leaves the addresses; without those it is no denial.
func TestPartialTrouble(t *testing.T) {
	s := startNameServer(t, zone)
	s.set(func() {
		s.rcode["_sip._udp.plain.example.com"] = dns.RcodeServerFailure
		s.rcode["_sip._udp.nowhere.example.com"] = dns.RcodeServerFailure
	})
	r, _ := startResolver(t, s, func(c *Config) { c.Order = IPv4Only })
	if got, err := r.Resolve(t.Context(), Query{Host: "plain.example.com"}); err != nil || len(got) != 2 {
		t.Errorf("got %s, %v", summary(got), err)
	}
	if _, err := r.Resolve(t.Context(), Query{Host: "nowhere.example.com"}); !errors.Is(err, ErrTemporary) {
		t.Errorf("got %v, want ErrTemporary", err)
	}
}

func TestTimeoutBoundsTheCaller(t *testing.T) {
	s := startNameServer(t, zone)
	s.set(func() {
		for _, n := range []string{"", "_sip._udp.", "_sip._tcp.", "_sips._tcp."} {
			s.silent[n+"plain.example.com"] = true
		}
	})
	r, _ := startResolver(t, s, func(c *Config) { c.Timeout = 250 * time.Millisecond })
	start := time.Now()
	if _, err := r.Resolve(t.Context(), Query{Host: "plain.example.com"}); !errors.Is(err, ErrTemporary) {
		t.Errorf("got %v, want ErrTemporary", err)
	}
	if took := time.Since(start); took > 2*time.Second {
		t.Errorf("took %v with a timeout of 250ms", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Resolve(ctx, Query{Host: "carrier.example.com"}); !errors.Is(err, ErrTemporary) {
		t.Errorf("cancelled: got %v, want ErrTemporary", err)
	}
}

// Servers that drop whole record types still leave a call its addresses, in time.
func TestSilentTypes(t *testing.T) {
	s := startNameServer(t, zone)
	s.set(func() { s.silent["NAPTR"], s.silent["SRV"] = true, true })
	r, _ := startResolver(t, s, func(c *Config) { c.Order, c.Timeout, c.Attempt = IPv4Only, 1500*time.Millisecond, 2*time.Second })
	got, err := r.Resolve(t.Context(), Query{Host: "plain.example.com"})
	if want := "UDP 192.0.2.7:5060 plain.example.com 60; UDP 192.0.2.8:5060 plain.example.com 60"; summary(got) != want {
		t.Errorf("got %s, %v, want %s", summary(got), err, want)
	}
}

// Where NAPTR is swallowed on the way, one look-up in a minute waits for it, and not one every few seconds.
func TestSwallowedNAPTR(t *testing.T) {
	s := startNameServer(t, zone)
	s.set(func() { s.silent["NAPTR"] = true })
	r, clock := startResolver(t, s, func(c *Config) { c.Order, c.Timeout, c.Attempt = IPv4Only, 300*time.Millisecond, time.Second })
	q := Query{Host: "srvonly.example.com", Secure: true}
	ask := func() {
		t.Helper()
		if got, err := r.Resolve(t.Context(), q); summary(got) == "" {
			t.Errorf("got nothing, %v", err)
		}
		for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			r.mu.Lock()
			flying := len(r.flights)
			r.mu.Unlock()
			if flying == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Fatal("the look-up does not end")
			}
		}
	}
	ask()
	asked := s.count("srvonly.example.com NAPTR")
	clock.Advance(naptrRetry - time.Second)
	ask()
	if got := s.count("srvonly.example.com NAPTR"); got != asked {
		t.Errorf("NAPTR was asked for %d times within a minute, want %d", got, asked)
	}
	clock.Advance(time.Second)
	ask()
	if got := s.count("srvonly.example.com NAPTR"); got <= asked {
		t.Errorf("NAPTR was asked for %d times after a minute, want more than %d", got, asked)
	}
}

// A thousand records: the answer comes over TCP, what is kept is bounded.
func TestThousandRecords(t *testing.T) {
	var big strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&big, "big.example.com. 60 IN A 10.1.%d.%d\n", i/250, i%250)
		fmt.Fprintf(&big, "_sip._udp.many.example.com. 60 IN SRV 10 1 5060 t%d.example.com.\n", i)
	}
	s := startNameServer(t, big.String())
	r, _ := startResolver(t, s, func(c *Config) { c.Order = IPv4Only })
	got, err := r.Resolve(t.Context(), Query{Host: "big.example.com", Port: 5060})
	if err != nil || len(got) != DefaultMaxTargets {
		t.Errorf("%d targets, %v, want %d", len(got), err, DefaultMaxTargets)
	}
	s.set(func() {
		if s.tcp == 0 {
			t.Error("not asked over TCP")
		}
	})
	if e := r.cache.entries[key{"big.example.com", typeA}]; len(e.answer.addrs) != maxRecords {
		t.Errorf("%d records cached, want %d", len(e.answer.addrs), maxRecords)
	}
	if _, err := r.Resolve(t.Context(), Query{Host: "many.example.com", Transport: UDP}); !errors.Is(err, ErrNotFound) {
		t.Errorf("SRV targets without addresses: %v, want ErrNotFound", err)
	}
	if st := r.Stats(); st.Queries > 4+maxNames || st.Cut == 0 {
		t.Errorf("%d queries for one name, stats %+v", st.Queries, st)
	}
}

func TestCacheBounds(t *testing.T) {
	var many strings.Builder
	for i := range 50 {
		fmt.Fprintf(&many, "h%d.example.com. 60 IN A 192.0.2.%d\n", i, i)
	}
	s := startNameServer(t, many.String())
	for name, tt := range map[string]struct {
		change func(*Config)
		max    int
	}{
		"entries": {func(c *Config) { c.MaxEntries = 10 }, 10},
		"octets":  {func(c *Config) { c.MaxBytes = 3000 }, 3000 / 256},
	} {
		r, _ := startResolver(t, s, func(c *Config) { c.Order = IPv4Only; tt.change(c) })
		for i := range 50 {
			if _, err := r.Resolve(t.Context(), Query{Host: fmt.Sprintf("h%d.example.com", i), Port: 5060}); err != nil {
				t.Fatal(err)
			}
		}
		st := r.Stats()
		if st.Entries > tt.max || st.Entries < tt.max-2 || st.Bytes > r.cfg.MaxBytes || int(st.Evicted) != 50-st.Entries {
			t.Errorf("%s: %+v, want at most %d entries", name, st, tt.max)
		}
		if _, err := r.Resolve(t.Context(), Query{Host: "h49.example.com", Port: 5060}); err != nil || r.Stats().Hits != 1 {
			t.Errorf("%s: the newest entry is gone", name)
		}
	}
}

func TestOneFlightPerName(t *testing.T) {
	s := startNameServer(t, zone)
	r, _ := startResolver(t, s, func(c *Config) { c.Order = IPv4Only })
	errs := make(chan error, 20)
	s.mu.Lock() // hold the server until all are waiting
	for range cap(errs) {
		go func() {
			_, err := r.Resolve(context.Background(), Query{Host: "plain.example.com", Port: 5060})
			errs <- err
		}()
	}
	for r.stats.misses.Load() < uint64(cap(errs)) {
		time.Sleep(time.Millisecond)
	}
	s.mu.Unlock()
	for range cap(errs) {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := s.count("plain.example.com A"); n != 1 {
		t.Errorf("%d queries, want 1", n)
	}
}

func TestFlightsAreBounded(t *testing.T) {
	s := startNameServer(t, zone)
	s.set(func() { s.silent["tcp1.example.com"] = true })
	r, _ := startResolver(t, s, func(c *Config) { c.Order, c.MaxFlights, c.Attempt = IPv4Only, 1, 200*time.Millisecond })
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.Resolve(context.Background(), Query{Host: "tcp1.example.com", Port: 1})
	}()
	for r.stats.misses.Load() == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := r.Resolve(t.Context(), Query{Host: "plain.example.com", Port: 1}); !errors.Is(err, ErrTemporary) {
		t.Errorf("got %v, want ErrTemporary", err)
	}
	if st := r.Stats(); st.Busy != 1 {
		t.Errorf("stats %+v", st)
	}
	<-done
}

// Glue in the additional section must not reach the cache: the sender need not own those names.
func TestAdditionalIsNotBelieved(t *testing.T) {
	s := startNameServer(t, zone)
	s.set(func() {
		s.mangle = func(m *dns.Msg) {
			evil, _ := dns.NewRR("udp1.example.com. 9999 IN A 203.0.113.66")
			m.Extra = append(m.Extra, evil)
			if m.Question[0].Qtype == dns.TypeA {
				stray, _ := dns.NewRR("other.example.com. 9999 IN A 203.0.113.67")
				m.Answer = append(m.Answer, stray)
			}
		}
	})
	r, _ := startResolver(t, s, func(c *Config) { c.Order = IPv4Only })
	got, err := r.Resolve(t.Context(), Query{Host: "srvonly.example.com"})
	if want := "UDP 192.0.2.4:5090 udp1.example.com 100"; summary(got) != want {
		t.Errorf("got %s, %v, want %s", summary(got), err, want)
	}
}

func TestAliasLoopEnds(t *testing.T) {
	s := startNameServer(t, "a.example.com. 9 IN CNAME b.example.com.\nb.example.com. 9 IN CNAME a.example.com.\n")
	r, _ := startResolver(t, s, nil)
	if _, err := r.Resolve(t.Context(), Query{Host: "a.example.com", Port: 1}); err == nil {
		t.Error("a loop resolved")
	}
	if st := r.Stats(); st.Queries > 2*maxChain*2 {
		t.Errorf("%d queries for a loop", st.Queries)
	}
}

func TestHostsFile(t *testing.T) {
	s := startNameServer(t, zone)
	path := filepath.Join(t.TempDir(), "hosts")
	write := func(text string, at time.Time) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("# comment\n10.0.0.1 PBX pbx.local # inline\n10.0.0.2 pbx\n::2 pbx\nnonsense\n10.0.0.9\n203.0.113.1 carrier.example.com\n203.0.113.9 localhost\n", time.Unix(1, 0))
	r, fake := startResolver(t, s, func(c *Config) { c.HostsFile = path })
	for _, tt := range []struct {
		query Query
		want  string
	}{
		{Query{Host: "pbx"}, "UDP 10.0.0.1:5060 pbx 0; UDP [::2]:5060 pbx 0; UDP 10.0.0.2:5060 pbx 0"},
		{Query{Host: "Pbx.Local", Secure: true}, "TLS 10.0.0.1:5061 pbx.local 0"},
		{Query{Host: "carrier.example.com", Secure: true}, "TLS 203.0.113.1:5061 carrier.example.com 0"},
		{Query{Host: "localhost", Transport: TCP}, "TCP 127.0.0.1:5060 localhost 0; TCP [::1]:5060 localhost 0"},
	} {
		if got, err := r.Resolve(t.Context(), tt.query); err != nil || summary(got) != tt.want {
			t.Errorf("%v: got %s, %v, want %s", tt.query, summary(got), err, tt.want)
		}
	}
	if n := r.Stats().Queries; n != 0 {
		t.Errorf("%d queries for names in the file", n)
	}
	write("10.0.0.3 pbx\n", time.Unix(2, 0))
	fake.Advance(hostsEvery)
	if got, _ := r.Resolve(t.Context(), Query{Host: "pbx"}); summary(got) != "UDP 10.0.0.3:5060 pbx 0" {
		t.Errorf("after the change: %s", summary(got))
	}
	os.Remove(path)
	fake.Advance(hostsEvery)
	if got, _ := r.Resolve(t.Context(), Query{Host: "pbx"}); summary(got) != "UDP 10.0.0.3:5060 pbx 0" {
		t.Errorf("after the file vanished: %s", summary(got))
	}
}

func TestNew(t *testing.T) {
	conf := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(conf, []byte("nameserver 192.0.2.53\nnameserver 2001:db8::53\nsearch example.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := New(Config{Rand: randomness(1), ResolvConf: conf})
	if err != nil || fmt.Sprint(r.servers) != "[192.0.2.53:53 [2001:db8::53]:53]" {
		t.Errorf("servers %v, %v", r.servers, err)
	}
	r, err = New(Config{Rand: randomness(1), ResolvConf: conf + ".absent", HostsFile: "-"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Resolve(t.Context(), Query{Host: "example.com"}); !errors.Is(err, ErrTemporary) {
		t.Errorf("without servers: %v, want ErrTemporary", err)
	}
	if _, err := New(Config{}); err == nil {
		t.Error("built without randomness")
	}
	if _, err := New(Config{Rand: randomness(1), Servers: []netip.AddrPort{{}}}); err == nil {
		t.Error("built with an empty server address")
	}
}

func FuzzRead(f *testing.F) {
	m := new(dns.Msg)
	m.SetQuestion("a.example.com.", dns.TypeSRV)
	m.Response = true
	for _, line := range []string{"a.example.com. 1 IN CNAME b.example.com.", "b.example.com. 1 IN SRV 1 1 1 c.example.com.",
		`b.example.com. 1 IN NAPTR 1 1 "s" "SIP+D2T" "" c.example.com.`, "b.example.com. 1 IN AAAA ::1"} {
		rr, _ := dns.NewRR(line)
		m.Answer = append(m.Answer, rr)
	}
	seed, _ := m.Pack()
	f.Add(seed)
	r, _ := startResolver(f, nil, nil)
	f.Fuzz(func(t *testing.T, packet []byte) {
		var m dns.Msg
		if m.Unpack(packet) != nil {
			return
		}
		for _, qtype := range []uint16{typeA, typeAAAA, typeSRV, typeNAPTR} {
			ans, _ := r.read(&m, "a.example.com", qtype)
			if len(ans.addrs)+len(ans.srv)+len(ans.services) > maxRecords || ans.ttl < 0 || ans.ttl > maxTTL {
				t.Fatalf("out of bounds: %+v", ans)
			}
			for _, a := range ans.addrs {
				if !a.IsValid() || a.Is4() != (qtype == typeA) {
					t.Fatalf("address %v for type %d", a, qtype)
				}
			}
		}
	})
}
