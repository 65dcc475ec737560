// Package dns answers for the host names of connectors, authoritatively and from memory: addresses, SRV and NAPTR records.
//
// It is a plane: it asks a Zone (the snapshot behind an interface declared here) and nothing else, so a name exists in
// the DNS as soon as this node's snapshot has it. It answers no recursive query, no transfer and no other zone.
//
// A public name server is a reflector for whoever forges source addresses. Three bounds keep ours a poor one: an answer
// with addresses or SRV records over UDP is at most twice its question, equal answers to one network are limited in rate
// (every second one over the limit becomes an empty "use TCP", so nobody is shut out), and ANY gets one small record
// (RFC 8482).
//
// A connector that requires encryption is published only through NAPTR SIPS+D2T and SRV _sips._tcp besides its
// addresses: a client that follows RFC 3263 never learns of a clear transport.
package dns

import (
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"carillon/clock"
)

// Zone is what this package asks of a snapshot. Names are lower case without a trailing dot. Both methods are called for
// each query, from several goroutines, and must not block.
type Zone interface {
	// Host describes a name that has addresses.
	Host(name string) (HostInfo, bool)
	// Below says whether names exist under name although it has no records itself. Denying such a name would deny all
	// names under it (RFC 8020).
	Below(name string) bool
}

// HostInfo is one published host. The server does not change it.
type HostInfo struct {
	Addrs             []netip.Addr  // the nodes that take calls now; may be empty
	RequireEncryption bool          // publish no clear transport
	Ports             Ports         // of its transports
	TTL               time.Duration // whole seconds; 0: DefaultTTL
}

// Ports are where a host takes SIP; 0: not at all.
type Ports struct {
	UDP uint16 // SIP+D2U
	TCP uint16 // SIP+D2T
	TLS uint16 // SIPS+D2T
}

// NameServer is one name server of the domains, published as NS with its addresses.
type NameServer struct {
	Name  string       // fully qualified; with addresses where it lies in one of the domains
	Addrs []netip.Addr // of this node or another; also sent as glue
}

// Defaults of Config.
const (
	DefaultTTL         = 60 * time.Second // how long resolvers may keep the records of a connector's host name
	DefaultNegativeTTL = 5 * time.Second  // how long they may keep that there is no such name; short: a name may be asked for just before its connector is made
	DefaultApexTTL     = time.Hour        // how long they may keep NS and SOA
	DefaultMaxConns    = 256              // TCP connections open at once
	DefaultMaxPerIP    = 16               // TCP connections of one address open at once
	DefaultIdle        = 10 * time.Second // how long a TCP connection may be without a whole query
	DefaultMaxQueries  = 1000             // queries on one TCP connection
	DefaultRate        = 20               // equal answers a second to one network
	DefaultRateSlots   = 1 << 16          // pairs of network and answer whose rate is remembered
	maxUDP             = 1232             // largest UDP answer whatever the client offers: no fragments (DNS flag day 2020)
	maxTCP             = 4096             // largest TCP answer; no set of ours comes near
	maxFactor          = 2                // size of an A, AAAA or SRV answer over UDP, in sizes of its question
	maxHostAddrs       = 32               // addresses in one answer
)

// Config is what a Server is built from.
type Config struct {
	Zone        Zone          // where host names are looked up
	Domains     []string      // apexes answered for: the domain and those it had before
	NameServers []NameServer  // at least one; the first is the SOA's primary
	Hostmaster  string        // SOA mailbox as a domain name; "": hostmaster.<domain>
	Serial      func() uint32 // SOA serial, for instance the snapshot's revision; nil: always 1
	Logger      *slog.Logger  // nil: silent
	Clock       clock.Clock   // nil: the system's

	NegativeTTL time.Duration // 0: DefaultNegativeTTL
	MaxConns    int           // TCP connections; 0: DefaultMaxConns
	MaxPerIP    int           // TCP connections of one address; 0: DefaultMaxPerIP
	Idle        time.Duration // a TCP connection without a whole query for so long is closed; 0: DefaultIdle
	MaxQueries  int           // queries on one TCP connection; 0: DefaultMaxQueries
	Rate        int           // equal answers a second to one /24 or /56 over UDP; 0: DefaultRate; negative: no limit
	RateSlots   int           // size of the rate table; networks that share a slot share its limit; 0: DefaultRateSlots
}

// Server answers DNS queries. It is safe for concurrent use.
type Server struct {
	cfg         Config
	clock       clock.Clock
	log         *slog.Logger
	zones       []apex
	nameServers map[string][]netip.Addr // by canonical name
	limit       *limiter
	rotate      atomic.Uint32 // which address comes first
	stats       counters
	conns       connTable
}

// apex is one domain with its ready-made records.
type apex struct {
	name string // canonical: lower case, no trailing dot
	soa  dns.SOA
	ns   []dns.RR
}

// New checks cfg and builds a Server. Serve it with ServeUDP and ServeTCP.
func New(cfg Config) (*Server, error) {
	if cfg.Zone == nil || len(cfg.Domains) == 0 {
		return nil, errors.New("DNS server needs a zone and at least one domain")
	}
	if len(cfg.NameServers) == 0 {
		return nil, errors.New("DNS server needs at least one name server to publish")
	}
	s := &Server{cfg: cfg, clock: cfg.Clock, log: cfg.Logger, nameServers: make(map[string][]netip.Addr)}
	if s.clock == nil {
		s.clock = clock.System()
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	setDefault(&s.cfg.NegativeTTL, DefaultNegativeTTL)
	setDefault(&s.cfg.MaxConns, DefaultMaxConns)
	setDefault(&s.cfg.MaxPerIP, DefaultMaxPerIP)
	setDefault(&s.cfg.Idle, DefaultIdle)
	setDefault(&s.cfg.MaxQueries, DefaultMaxQueries)
	setDefault(&s.cfg.Rate, DefaultRate)
	setDefault(&s.cfg.RateSlots, DefaultRateSlots)
	s.limit = newLimiter(s.cfg.Rate, s.cfg.RateSlots, maphash.MakeSeed())
	s.conns.perIP = make(map[netip.Addr]int)
	for _, ns := range cfg.NameServers {
		if !validName(ns.Name) {
			return nil, fmt.Errorf("name server %q is not a domain name", ns.Name)
		}
		s.nameServers[canonical(ns.Name)] = ns.Addrs
	}
	for _, d := range cfg.Domains {
		if !validName(d) {
			return nil, fmt.Errorf("domain %q is not a domain name", d)
		}
		s.zones = append(s.zones, s.newApex(canonical(d)))
	}
	return s, nil
}

func (s *Server) newApex(name string) apex {
	owner := dns.Fqdn(name)
	mbox := s.cfg.Hostmaster
	if mbox == "" {
		mbox = "hostmaster." + name
	}
	ttl := wireTTL(DefaultApexTTL)
	a := apex{name: name, soa: dns.SOA{
		Hdr: header(owner, dns.TypeSOA, ttl), Ns: dns.Fqdn(canonical(s.cfg.NameServers[0].Name)), Mbox: dns.Fqdn(mbox),
		Refresh: 3600, Retry: 600, Expire: 86400, Minttl: wireTTL(s.cfg.NegativeTTL),
	}}
	for _, ns := range s.cfg.NameServers {
		a.ns = append(a.ns, &dns.NS{Hdr: header(owner, dns.TypeNS, ttl), Ns: dns.Fqdn(canonical(ns.Name))})
	}
	return a
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

func validName(name string) bool {
	_, ok := dns.IsDomainName(name)
	return ok && canonical(name) != "" && !strings.Contains(name, `\`)
}

func canonical(name string) string { return strings.ToLower(strings.TrimSuffix(name, ".")) }

func header(owner string, rrtype uint16, ttl uint32) dns.RR_Header {
	return dns.RR_Header{Name: owner, Rrtype: rrtype, Class: dns.ClassINET, Ttl: ttl}
}

func wireTTL(d time.Duration) uint32 { return uint32(d / time.Second) }

type counters struct {
	udp, tcp, dropped, refused, denied, noData, answered, truncated, formErr, limited, slipped atomic.Uint64
	connsRefused, writeErrors                                                                  atomic.Uint64
}

// Stats are counters since the start, and the number of TCP connections now.
type Stats struct {
	UDP, TCP     uint64 // messages received
	Dropped      uint64 // no DNS query at all: not answered
	FormErr      uint64 // malformed or unsupported: FORMERR, NOTIMP, BADVERS
	Refused      uint64 // other zone, class or a transfer
	Denied       uint64 // NXDOMAIN
	NoData       uint64 // name without records of the type
	Answered     uint64 // with records
	Truncated    uint64 // sent with TC for size or factor
	Limited      uint64 // over the rate limit and dropped
	Slipped      uint64 // over the rate limit and told to use TCP
	Conns        int    // TCP connections open
	ConnsRefused uint64 // closed at once: MaxConns or MaxPerIP
	WriteErrors  uint64 // answers the system did not send
}

// Stats reads the counters.
func (s *Server) Stats() Stats {
	c := &s.stats
	return Stats{
		UDP: c.udp.Load(), TCP: c.tcp.Load(), Dropped: c.dropped.Load(), FormErr: c.formErr.Load(), Refused: c.refused.Load(),
		Denied: c.denied.Load(), NoData: c.noData.Load(), Answered: c.answered.Load(), Truncated: c.truncated.Load(),
		Limited: c.limited.Load(), Slipped: c.slipped.Load(), Conns: s.conns.open(),
		ConnsRefused: c.connsRefused.Load(), WriteErrors: c.writeErrors.Load(),
	}
}
