package phone

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"carillon/clock"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

const (
	// DefaultMaxCalls bounds the calls of one phone, those that still ring included; the next is answered 486.
	DefaultMaxCalls = 1000
	// DefaultUserAgent is the User-Agent and Server header.
	DefaultUserAgent = "Carillon-Phone"
)

// closeWait is how long Close waits for the answers to its BYEs.
const closeWait = 500 * time.Millisecond

// ErrClosed: the phone was closed.
var ErrClosed = errors.New("phone closed")

// Config is what a Phone is built from.
type Config struct {
	Logger *slog.Logger // nil discards
	Clock  clock.Clock  // nil means the system's
	Rand   io.Reader    // nil means crypto/rand
	// Proto is the transport of every call; 0 means UDP.
	Proto transport.Proto
	// Bind is the signalling address; its address is also the media's. The zero value means 127.0.0.1, and port 0 a
	// port that the system chooses.
	Bind netip.AddrPort
	// Certificate is shown to TLS callers, and to TLS servers that ask. Without it a TLS phone can only call.
	Certificate *tls.Certificate
	// Roots judge TLS servers; nil means the system's.
	Roots *x509.CertPool
	// User is the user part of our Contact; empty means "phone".
	User string
	// UserAgent is the User-Agent and Server header; empty means DefaultUserAgent.
	UserAgent string
	// Timers are the transactions'; fields that are 0 mean the standards' values.
	Timers transaction.Timers
	// MaxCalls bounds the calls; 0 or less means DefaultMaxCalls.
	MaxCalls int
}

// Counters count what a Phone did. All fields only grow, but for the gauge.
type Counters struct {
	Placed    atomic.Uint64 // INVITEs sent, answers to challenges not counted
	Received  atomic.Uint64 // INVITEs received outside of dialogs
	OverCalls atomic.Uint64 // calls refused by Config.MaxCalls, both directions
	Malformed atomic.Uint64 // messages that did not parse
	Progress  atomic.Uint64 // provisional answers passed over because the caller of Dial was busy with others
	CallsNow  atomic.Int64  // gauge: calls, those that still ring included
}

// Phone is a user agent. Its methods are safe for concurrent use.
type Phone struct {
	cfg       Config
	log       *slog.Logger
	clock     clock.Clock
	random    *lockedReader
	transport *transport.Transport
	layer     *transaction.Layer
	addr      netip.AddrPort
	counters  Counters
	// ready is closed once addr is known: the first message may come while New still opens sockets.
	ready chan struct{}

	// life ends with Close; the contexts of incoming calls come from it.
	life context.Context
	kill context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	handler func(*Incoming)
	calls   map[dialog.ID]*Call
}

// New opens the sockets of a phone. It answers calls with 480 until Handle has been called.
func New(c Config) (*Phone, error) {
	p := &Phone{cfg: c, log: c.Logger, clock: c.Clock, calls: map[dialog.ID]*Call{}, ready: make(chan struct{})}
	if p.log == nil {
		p.log = slog.New(slog.DiscardHandler)
	}
	if p.clock == nil {
		p.clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	p.random = &lockedReader{r: c.Rand}
	p.defaults()
	p.life, p.kill = context.WithCancel(context.Background())
	var err error
	p.layer, err = transaction.New(transaction.Config{
		Core: receiver{p}, Clock: p.clock, Rand: p.random, Timers: c.Timers,
		MaxServer: p.cfg.MaxCalls * transactionsPerCall, MaxClient: p.cfg.MaxCalls * transactionsPerCall,
	})
	if err != nil {
		return nil, fmt.Errorf("make transactions of phone: %w", err)
	}
	p.transport, err = transport.New(transport.Config{Handler: receiver{p}, Clock: p.clock, Logger: p.log})
	if err != nil {
		return nil, fmt.Errorf("make transport of phone: %w", err)
	}
	err = p.listen()
	close(p.ready)
	if err != nil {
		_ = p.transport.Close()
		return nil, fmt.Errorf("open %s socket of phone: %w", p.cfg.Proto, err)
	}
	return p, nil
}

// transactionsPerCall leaves room for finished transactions, which linger for 64*T1.
const transactionsPerCall = 16

func (p *Phone) defaults() {
	if p.cfg.Proto == 0 {
		p.cfg.Proto = transport.UDP
	}
	if !p.cfg.Bind.IsValid() {
		p.cfg.Bind = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), p.cfg.Bind.Port())
	}
	if p.cfg.User == "" {
		p.cfg.User = "phone"
	}
	if p.cfg.UserAgent == "" {
		p.cfg.UserAgent = DefaultUserAgent
	}
	if p.cfg.MaxCalls <= 0 {
		p.cfg.MaxCalls = DefaultMaxCalls
	}
}

func (p *Phone) listen() (err error) {
	switch p.cfg.Proto {
	case transport.UDP:
		p.addr, err = p.transport.ListenUDP(p.cfg.Bind)
	case transport.TCP:
		p.addr, err = p.transport.ListenTCP(p.cfg.Bind)
	case transport.TLS:
		if p.cfg.Certificate == nil {
			p.addr = netip.AddrPortFrom(p.cfg.Bind.Addr(), 0)
			return nil
		}
		p.addr, err = p.transport.ListenTLS(p.cfg.Bind, transport.ServerTLS{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.cfg.Certificate, nil },
		})
	default:
		err = fmt.Errorf("unknown transport %d", p.cfg.Proto)
	}
	return err
}

// Addr returns where the phone takes calls. The port is 0 for a TLS phone without a certificate.
func (p *Phone) Addr() netip.AddrPort { return p.addr }

// Proto returns the transport of the phone's calls.
func (p *Phone) Proto() transport.Proto { return p.cfg.Proto }

// Counters returns the counters, which go on counting.
func (p *Phone) Counters() *Counters { return &p.counters }

// Handle sets what is done with incoming calls: f is called for each on a goroutine of its own. A call that f has not
// answered when it returns is refused with 480; nil refuses all.
func (p *Phone) Handle(f func(*Incoming)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.handler = f
}

// Close hangs up every call, without waiting long for the other side, closes the sockets and waits for the handlers.
func (p *Phone) Close() error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	calls := make([]*Call, 0, len(p.calls))
	for _, c := range p.calls {
		calls = append(calls, c)
	}
	p.mu.Unlock()
	p.kill()

	ctx, cancel := p.within(context.Background(), closeWait)
	defer cancel()
	var bye sync.WaitGroup
	for _, c := range calls {
		bye.Go(func() {
			// Whoever does not answer the BYE finds out when the media stop.
			_ = c.hangup(ctx, EndClosed)
			c.end(EndClosed)
		})
	}
	bye.Wait()
	p.wg.Wait()
	if err := p.transport.Close(); err != nil {
		return fmt.Errorf("close phone: %w", err)
	}
	return nil
}

// within is context.WithTimeout by the phone's clock.
func (p *Phone) within(ctx context.Context, d time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	timer := p.clock.AfterFunc(d, cancel)
	return ctx, func() { timer.Stop(); cancel() }
}

// enter makes room for one more call, or reports that there is none.
func (p *Phone) enter() bool {
	if p.counters.CallsNow.Add(1) > int64(p.cfg.MaxCalls) {
		p.counters.CallsNow.Add(-1)
		p.counters.OverCalls.Add(1)
		return false
	}
	return true
}

func (p *Phone) leave() { p.counters.CallsNow.Add(-1) }

// register makes a call findable by the requests of its dialog.
func (p *Phone) register(c *Call) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return ErrClosed
	}
	p.calls[c.id] = c
	p.wg.Add(1)
	return nil
}

func (p *Phone) unregister(c *Call) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.calls, c.id)
}

func (p *Phone) find(id dialog.ID) *Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id]
}

// token returns n random octets in hex. It panics when the source of randomness fails, since nothing could be sent
// safely.
func (p *Phone) token(n int) string {
	b := make([]byte, n)
	if _, err := io.ReadFull(p.random, b); err != nil {
		panic(fmt.Sprintf("phone: read randomness: %v", err))
	}
	return hex.EncodeToString(b)
}

// lockedReader lets goroutines share a source of randomness that need not allow for it.
type lockedReader struct {
	mu sync.Mutex
	r  io.Reader
}

func (l *lockedReader) Read(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.r.Read(b)
}
