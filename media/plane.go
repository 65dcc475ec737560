// Package media anchors a call's media: it rewrites descriptions, owns ports and keys, and relays RTP and SRTP.
//
// Signalling hands over session descriptions as bytes and gets bytes back; it never sees a key or a port.
// Everything that needs a decision is decided then. What is left for a packet is to follow two pointers:
// how the leg it came on is unprotected and where the other leg sends. A session and all its sockets belong
// to one relay loop, so the packet path takes no lock.
package media

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"carillon/call"
	"carillon/clock"
	"carillon/egress"
	"carillon/srtp"
)

// Config is what a Plane is built from. Zero fields take the defaults named at each.
type Config struct {
	// IPs are the addresses media ports are bound to, at least one. An unspecified address needs an
	// Advertise address of its family.
	IPs []netip.Addr
	// Advertise are the addresses written into descriptions instead of IPs, one of each family at most:
	// a node behind a cloud's NAT binds one address and is reached at another.
	Advertise []netip.Addr
	// PortLo and PortHi bound the ports, both included; RTP takes the even one of a pair. Default 20000
	// to 29999.
	PortLo, PortHi uint16
	// Suites are the crypto suites offered, in this order. Default DefaultSuites.
	Suites []srtp.Suite
	// Egress judges every described address.
	Egress egress.Policy
	// Clock tells the time; default the system's.
	Clock clock.Clock
	// Rand makes keys and ports; default crypto/rand.
	Rand io.Reader
	// Logger takes faults of the plane; never keys. Default none.
	Logger *slog.Logger
	// Loops is how many goroutines relay; default one for each processor.
	Loops int
	// PacketRate is how many packets of a side are relayed in a second; default DefaultPacketRate.
	PacketRate int
	// MaxPorts is how many ports are bound at once, on all addresses and those that rest included: each is an open file
	// of the process. Default all of the range.
	MaxPorts int
	// XDP is the name of an interface whose media pass the kernel by: those at the IPs that it has. Empty for none. One loop
	// relays then, whatever Loops says, and keeps one of Go's processors while it is busy: runtime.GOMAXPROCS should be one more than
	// there are. Linux only, with the rights that package xdp needs.
	XDP string
	// DSCP is the mark of every packet sent (RFC 2474), 0 to 63; 0 marks none.
	DSCP int
	// Attach attaches to the media of a call that begins, nil to leave it alone. It must not block. Default none.
	Attach func(id call.ID, s *Session) Attachment
	// SilenceTimeout is how long a side that promised packets may send none; default 60 s.
	SilenceTimeout time.Duration
	// DrainTime is how long ports rest after their call, and how long nobody must have sent to them, so that the
	// next call on them is not handed the last one's stragglers; default 5 s.
	DrainTime time.Duration
}

// Bounds and defaults of a Plane.
const (
	// DefaultPortLo and DefaultPortHi bound the media ports: --media-ports.
	DefaultPortLo, DefaultPortHi = 20000, 29999
	// DefaultSilenceTimeout is how long a side that promised packets may send none: --media-silence.
	DefaultSilenceTimeout = 60 * time.Second
	// DefaultDrainTime is how long ports rest after their call.
	DefaultDrainTime = 5 * time.Second
	// MaxPacket is the longest datagram relayed, in bytes. Longer ones are dropped and counted in
	// carillon_media_dropped_total as oversize.
	MaxPacket = 2048
)

// DefaultSuites is the order in which suites are offered: the ones that cost least first, then the ones most
// peers know.
func DefaultSuites() []srtp.Suite {
	return []srtp.Suite{
		srtp.AEAD_AES_128_GCM, srtp.AEAD_AES_256_GCM,
		srtp.AES_CM_128_HMAC_SHA1_80, srtp.AES_256_CM_HMAC_SHA1_80,
	}
}

// Plane holds the media of many calls. All methods are safe for concurrent use.
type Plane struct {
	cfg   Config
	ports *ports
	relay *relay
	stats counters
	// memory has *sampleMemory of calls that are over.
	memory sync.Pool

	mu       sync.Mutex
	rand     io.Reader
	sessions map[*Session]struct{}
	closed   bool
	next     atomic.Uint32
}

// New starts a Plane's relay loops. It binds no port before a call is opened.
func New(cfg Config) (*Plane, error) {
	cfg, err := withDefaults(cfg)
	if err != nil {
		return nil, fmt.Errorf("configure media: %w", err)
	}
	p := &Plane{cfg: cfg, rand: &lockedReader{r: cfg.Rand}, sessions: map[*Session]struct{}{}}
	p.relay, err = startRelay(cfg.Loops, cfg.Clock, cfg.Logger)
	if err != nil {
		return nil, fmt.Errorf("start media relay: %w", err)
	}
	p.relay.dscp = cfg.DSCP
	if cfg.XDP != "" {
		if err := p.relay.attach(&p.cfg); err != nil {
			return nil, errors.Join(err, p.relay.close())
		}
	}
	p.ports = newPorts(&p.cfg, p.rand, p.relay)
	return p, nil
}

func withDefaults(cfg Config) (Config, error) {
	if cfg.PortLo == 0 && cfg.PortHi == 0 {
		cfg.PortLo, cfg.PortHi = DefaultPortLo, DefaultPortHi
	}
	if cfg.Clock == nil {
		cfg.Clock = clock.System()
	}
	if cfg.Rand == nil {
		cfg.Rand = rand.Reader
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Loops <= 0 {
		cfg.Loops = runtime.GOMAXPROCS(0)
	}
	if cfg.XDP != "" {
		cfg.Loops = 1 // the queues of an interface and the calls on them are not divided
	}
	if cfg.SilenceTimeout <= 0 {
		cfg.SilenceTimeout = DefaultSilenceTimeout
	}
	if cfg.PacketRate <= 0 {
		cfg.PacketRate = DefaultPacketRate
	}
	if cfg.DrainTime <= 0 {
		cfg.DrainTime = DefaultDrainTime
	}
	if len(cfg.Suites) == 0 {
		cfg.Suites = DefaultSuites()
	}
	for _, s := range cfg.Suites {
		if !s.Valid() {
			return cfg, fmt.Errorf("suite %d is not known", s)
		}
	}
	if first := (int(cfg.PortLo) + 1) &^ 1; cfg.PortLo == 0 || first+1 > int(cfg.PortHi) {
		return cfg, fmt.Errorf("ports %d to %d hold no pair", cfg.PortLo, cfg.PortHi)
	}
	if cfg.DSCP < 0 || cfg.DSCP > 63 {
		return cfg, fmt.Errorf("a DSCP of %d", cfg.DSCP)
	}
	if len(cfg.IPs) == 0 {
		return cfg, errors.New("no media address")
	}
	cfg.IPs = slices.Clone(cfg.IPs)
	for i, ip := range cfg.IPs {
		if !ip.IsValid() || ip.Zone() != "" {
			return cfg, fmt.Errorf("media address %q is not an IP address without a zone", ip)
		}
		ip = ip.Unmap()
		cfg.IPs[i] = ip
		if ip.IsUnspecified() && !advertised(cfg.Advertise, ip).IsValid() {
			return cfg, fmt.Errorf("media address %s needs an advertised one", ip)
		}
	}
	return cfg, nil
}

// Open reserves the ports of one call, a pair for each leg. The refusal is ReasonNodeFull when no ports are
// left and ReasonDraining when the plane is closed.
func (p *Plane) Open(o call.Open) (*Session, *call.Refusal) {
	s, refusal := p.open(o)
	if refusal != nil {
		p.stats.refused.Add(1)
		return nil, refusal
	}
	return s, nil
}

// Stats returns what the plane holds and has done.
func (p *Plane) Stats() Stats {
	p.mu.Lock()
	sessions := len(p.sessions)
	p.mu.Unlock()
	st := Stats{Sessions: sessions}
	p.stats.addTo(&st)
	p.relay.addTo(&st)
	p.ports.addTo(&st)
	return st
}

// Close ends every session, closes every socket and waits for the relay loops. It is idempotent.
func (p *Plane) Close() error {
	p.mu.Lock()
	p.closed = true
	open := make([]*Session, 0, len(p.sessions))
	for s := range p.sessions {
		open = append(open, s)
	}
	p.mu.Unlock()
	for _, s := range open {
		s.Close()
	}
	p.ports.close()
	return p.relay.close()
}

func (p *Plane) isClosed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// lockedReader lets many calls draw keys from one source that may not be safe for concurrent use.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

// Read reads from the source.
func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}
