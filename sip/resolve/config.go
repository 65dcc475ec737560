package resolve

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"carillon/clock"
)

// Defaults of Config.
const (
	DefaultTimeout    = 3 * time.Second  // below the 3.5 s a silent target is given: a dead name server must not cost more than a dead host
	DefaultAttempt    = time.Second      // how long one name server may take before the next is asked
	DefaultMaxEntries = 10_000           // record sets in the cache
	DefaultMaxBytes   = 8 << 20          // octets of the cache, estimated
	DefaultMaxTargets = 32               // targets in one answer
	DefaultMaxFlights = 256              // lookups under way at once; above it cached answers only
	DefaultStaleLimit = time.Hour        // how long past its TTL the last good answer serves while servers fail (RFC 8767)
	DefaultNegative   = 30 * time.Second // longest time that a denial is cached
	DefaultFailure    = 5 * time.Second  // how long after a failure servers are not asked again for that name
)

const (
	maxTTL     = 24 * time.Hour // a longer TTL is cut (RFC 8767 §4 asks for some cap)
	maxRecords = 64             // records kept of one set; the rest is dropped and counted
	maxChain   = 8              // CNAME links followed
	maxNames   = 16             // SRV targets looked up for one Resolve
	udpPayload = 1232           // EDNS size that fits every path without fragments
	hostsEvery = 5 * time.Second
	naptrRetry = time.Minute // some middleboxes swallow questions for NAPTR; waiting for them must not cost every few calls a part of Timeout
	maxHosts   = 1 << 20     // octets of the hosts file read
)

// Config is what a Resolver is built from. The zero value asks the servers of /etc/resolv.conf; only Rand is required.
type Config struct {
	Clock clock.Clock // nil: the system's
	Rand  io.Reader   // randomness for query IDs and SRV weights, for instance crypto/rand.Reader

	Servers    []netip.AddrPort // recursive name servers, asked in order; empty: those of ResolvConf
	ResolvConf string           // "": /etc/resolv.conf. Its search list is not used: a SIP host is a full name
	HostsFile  string           // "": /etc/hosts; read again when it changes. "-": none
	Order      Order            // address families

	Timeout    time.Duration // bound on one Resolve; 0: DefaultTimeout
	Attempt    time.Duration // wait for one answer from one server; 0: DefaultAttempt
	MaxTargets int           // targets in one answer; 0: DefaultMaxTargets
	MaxEntries int           // record sets cached; 0: DefaultMaxEntries
	MaxBytes   int           // octets cached, estimated; 0: DefaultMaxBytes
	MaxFlights int           // lookups under way at once; above it cached answers only; 0: DefaultMaxFlights
	StaleLimit time.Duration // how long past its TTL the last good answer serves while servers fail; 0: DefaultStaleLimit; negative: never
	Negative   time.Duration // cap on how long a denial is cached; 0: DefaultNegative
	Failure    time.Duration // how long after a failure servers are not asked again for that name; 0: DefaultFailure
}

// Resolver is a caching stub resolver for SIP. It is safe for concurrent use.
type Resolver struct {
	cfg     Config
	clock   clock.Clock
	servers []string
	udp     dns.Client
	tcp     dns.Client
	hosts   *hosts
	stats   counters

	mu      sync.Mutex // guards what follows; never held over I/O
	random  io.Reader
	cache   *cache
	flights map[key]*flight
}

// New builds a Resolver. Without Servers and without a readable ResolvConf it still knows IP literals, localhost and the
// hosts file; every other name gives ErrTemporary.
func New(cfg Config) (*Resolver, error) {
	if cfg.Rand == nil {
		return nil, errors.New("resolver needs a source of randomness")
	}
	r := &Resolver{cfg: cfg, clock: cfg.Clock, random: cfg.Rand, flights: make(map[key]*flight)}
	if r.clock == nil {
		r.clock = clock.System()
	}
	setDefault(&r.cfg.Timeout, DefaultTimeout)
	setDefault(&r.cfg.Attempt, DefaultAttempt)
	setDefault(&r.cfg.StaleLimit, DefaultStaleLimit)
	setDefault(&r.cfg.Negative, DefaultNegative)
	setDefault(&r.cfg.Failure, DefaultFailure)
	setDefault(&r.cfg.MaxTargets, DefaultMaxTargets)
	setDefault(&r.cfg.MaxEntries, DefaultMaxEntries)
	setDefault(&r.cfg.MaxBytes, DefaultMaxBytes)
	setDefault(&r.cfg.MaxFlights, DefaultMaxFlights)
	for _, s := range cfg.Servers {
		if !s.IsValid() || s.Port() == 0 {
			return nil, fmt.Errorf("name server %s: want an address and a port", s)
		}
		r.servers = append(r.servers, s.String())
	}
	if len(cfg.Servers) == 0 {
		servers, err := systemServers(cfg.ResolvConf)
		if err != nil {
			return nil, err
		}
		r.servers = servers
	}
	r.udp = dns.Client{Net: "udp", Timeout: r.cfg.Attempt, UDPSize: udpPayload}
	r.tcp = dns.Client{Net: "tcp", Timeout: r.cfg.Attempt}
	r.hosts = newHosts(cfg.HostsFile, r.clock)
	r.cache = newCache(r.cfg.MaxEntries, r.cfg.MaxBytes)
	return r, nil
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func systemServers(path string) ([]string, error) {
	if path == "" {
		path = "/etc/resolv.conf"
	}
	conf, err := dns.ClientConfigFromFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	servers := make([]string, 0, len(conf.Servers))
	for _, s := range conf.Servers {
		port := conf.Port
		if port == "" {
			port = strconv.Itoa(53)
		}
		servers = append(servers, net.JoinHostPort(s, port))
	}
	return servers, nil
}

// counters are the live form of Stats.
type counters struct {
	hits, misses, queries, retries, failures, denied, stale, busy, cut, evicted, mismatched atomic.Uint64
}

// Stats are counters since the start, and the fill of the cache now.
type Stats struct {
	Hits, Misses uint64 // record sets found in the cache, and not
	Queries      uint64 // messages sent to name servers, over UDP and TCP
	Retries      uint64 // of these, not the first for their question
	Failures     uint64 // questions no server answered
	Denied       uint64 // answers that the name or the records do not exist
	Stale        uint64 // last good answers used past their TTL
	Busy         uint64 // lookups refused because MaxFlights were under way
	Cut          uint64 // answers shortened to a bound
	Mismatched   uint64 // responses dropped because they answer another question
	Evicted      uint64 // record sets that left the cache for room
	Entries      int    // record sets in the cache
	Bytes        int    // their estimated size
}

// Stats reads the counters.
func (r *Resolver) Stats() Stats {
	r.mu.Lock()
	entries, bytes := len(r.cache.entries), r.cache.bytes
	r.mu.Unlock()
	c := &r.stats
	return Stats{
		Hits: c.hits.Load(), Misses: c.misses.Load(), Queries: c.queries.Load(), Retries: c.retries.Load(),
		Failures: c.failures.Load(), Denied: c.denied.Load(), Stale: c.stale.Load(), Busy: c.busy.Load(),
		Cut: c.cut.Load(), Mismatched: c.mismatched.Load(), Evicted: c.evicted.Load(), Entries: entries, Bytes: bytes,
	}
}
