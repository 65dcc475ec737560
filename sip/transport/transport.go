package transport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"

	"carillon/clock"
)

// Transport owns the listening sockets and all connections. Create it with New.
type Transport struct {
	handler Handler
	clock   clock.Clock
	log     *slog.Logger
	limits  Limits
	proxies []netip.Prefix
	dscp    int
	stats   Stats
	// handshakes bounds what failed ones write into the log.
	handshakes handshakeLog

	running sync.WaitGroup // every goroutine started
	done    chan struct{}  // closed by Close

	mu       sync.Mutex
	closed   bool
	sockets  []*udpSocket
	closers  map[closer]struct{} // listeners and connections
	accepted map[netip.Prefix]int
	pool     map[poolKey]*pooled
	// reusable has the accepted TLS connections on which the peer takes requests, too (RFC 5923), the latest last, by
	// the names in verified client certificates and by nothing else: an address says nothing about who is behind it,
	// and a Via is what anybody writes.
	reusable map[string][]*stream
}

type closer interface{ Close() error }

// New returns a Transport that neither listens nor dials yet.
func New(c Config) (*Transport, error) {
	if c.Handler == nil {
		return nil, errors.New("transport without a handler")
	}
	t := &Transport{
		handler:  c.Handler,
		clock:    c.Clock,
		log:      c.Logger,
		limits:   c.Limits.withDefaults(),
		proxies:  c.Proxies,
		dscp:     c.DSCP,
		done:     make(chan struct{}),
		closers:  make(map[closer]struct{}),
		accepted: make(map[netip.Prefix]int),
		pool:     make(map[poolKey]*pooled),
		reusable: make(map[string][]*stream),
	}
	if c.DSCP < 0 || c.DSCP > 63 {
		return nil, fmt.Errorf("transport with a DSCP of %d", c.DSCP)
	}
	if t.clock == nil {
		t.clock = clock.System()
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	return t, nil
}

// Stats returns the counters, which go on counting.
func (t *Transport) Stats() *Stats { return &t.stats }

// Target is whom to reach.
type Target struct {
	Proto Proto
	// Addr is an address that the caller has resolved and allowed; it is used as it is.
	Addr netip.AddrPort
	// From chooses the local address; the zero Addr leaves it to the system, and for UDP means
	// the first socket that was opened for the family of Addr. A UDP socket bound to all addresses
	// sends from any of them.
	From netip.Addr
	// TLS is required when Proto is TLS and ignored otherwise.
	TLS *ClientTLS
}

// Dial returns a flow to the target. UDP needs no more than an open socket. For TCP and TLS an
// open connection is used again only if it was made by Dial to the same address and its peer was
// checked for the same identity under the same policy; a connection accepted from a peer never is.
// A failed attempt is not remembered. Errors of certificate checks are *tls.CertificateVerificationError
// or ErrPinMismatch.
func (t *Transport) Dial(ctx context.Context, target Target) (Flow, error) {
	addr := unmap(target.Addr)
	if !addr.IsValid() || addr.Port() == 0 {
		return Flow{}, fmt.Errorf("dial %v: no address and port", target.Addr)
	}
	target.Addr = addr
	switch target.Proto {
	case UDP:
		return t.udpFlow(target)
	case TCP:
		return t.dialStream(ctx, target)
	case TLS:
		if target.TLS == nil {
			return Flow{}, ErrNoServerName
		}
		return t.dialStream(ctx, target)
	}
	return Flow{}, fmt.Errorf("dial %v: unknown protocol %d", target.Addr, target.Proto)
}

// Close closes every listener and connection and waits until their last callbacks have returned.
// It must not be called from a Handler.
func (t *Transport) Close() error {
	t.mu.Lock()
	if !t.closed {
		t.closed = true
		close(t.done)
	}
	closers := make([]closer, 0, len(t.closers))
	for c := range t.closers {
		closers = append(closers, c)
	}
	t.mu.Unlock()
	for _, c := range closers {
		c.Close()
	}
	t.running.Wait()
	return nil
}

// adopt registers c to be closed by Close and runs serve on its own goroutine; it refuses once
// the transport is closed.
func (t *Transport) adopt(c closer, serve func()) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return false
	}
	t.closers[c] = struct{}{}
	t.running.Go(func() {
		defer t.forget(c)
		serve()
	})
	return true
}

func (t *Transport) forget(c closer) {
	t.mu.Lock()
	delete(t.closers, c)
	t.mu.Unlock()
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
