package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
)

// poolKey is everything that must be equal for two targets to share a connection. The address
// alone is not enough: one that was verified for one host name must never carry the requests for
// another that happens to resolve to the same place.
type poolKey struct {
	proto Proto
	addr  netip.AddrPort
	from  netip.Addr
	id    identity
}

// pooled is an outgoing connection, or the attempt to make one.
type pooled struct {
	key    poolKey
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when flow and err are set
	flow   Flow
	err    error

	waiting int // callers that wait for it; guarded by the transport's lock
}

// Close gives an attempt up; the transport calls it.
func (p *pooled) Close() error {
	p.cancel(ErrClosed)
	return nil
}

var errDialTimeout = errors.New("connection takes too long")

// errNobodyWaits ends an attempt whose callers have all given up, such as the slower ones of a
// race to several addresses.
var errNobodyWaits = errors.New("nobody waits for the connection any more")

// dialStream joins an open connection or an attempt of the same key, or begins one. A caller that
// gives up leaves the attempt to the others; the last one ends it.
func (t *Transport) dialStream(ctx context.Context, target Target) (Flow, error) {
	key := poolKey{proto: target.Proto, addr: target.Addr, from: target.From.Unmap()}
	if target.Proto == TLS {
		key.id = target.TLS.identity()
	}
	p, err := t.join(key, target)
	if err != nil {
		return Flow{}, err
	}
	select {
	case <-p.done:
		return p.flow, p.err
	case <-ctx.Done():
		t.giveUp(p)
		return Flow{}, fmt.Errorf("dial %v %v: %w", target.Proto, target.Addr, context.Cause(ctx))
	}
}

// giveUp takes a caller away from an attempt. One that nobody waits for leaves the pool at once,
// so that nobody joins it while it ends.
func (t *Transport) giveUp(p *pooled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-p.done:
		return // the connection is there and stays for others
	default:
	}
	if p.waiting--; p.waiting > 0 {
		return
	}
	if t.pool[p.key] == p {
		delete(t.pool, p.key)
	}
	p.cancel(errNobodyWaits)
}

func (t *Transport) join(key poolKey, target Target) (*pooled, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return nil, ErrClosed
	}
	if p := t.pool[key]; p != nil {
		p.waiting++
		return p, nil
	}
	if t.stats.DialedNow.Load() >= int64(t.limits.Dialed) {
		t.stats.OverDialed.Add(1)
		return nil, ErrTooManyConnections
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &pooled{key: key, cancel: cancel, done: make(chan struct{}), waiting: 1}
	t.pool[key] = p
	t.closers[p] = struct{}{}
	t.stats.DialedNow.Add(1)
	t.running.Go(func() { t.runDialed(ctx, p, target) })
	return p, nil
}

// runDialed makes the connection and then serves it until its end.
func (t *Transport) runDialed(ctx context.Context, p *pooled, target Target) {
	defer t.stats.DialedNow.Add(-1)
	s, err := t.connect(ctx, p, target)
	if err != nil {
		t.stats.DialErrors.Add(1)
		t.unpool(p)
		p.err = err
		close(p.done)
		return
	}
	t.stats.Dialed.Add(1)
	p.flow = s.flow()
	s.watch.start(phaseIdle, t.limits.Idle)
	s.ending, s.leave = func() { t.unpool(p) }, func() { t.retire(p) }
	stop := context.AfterFunc(ctx, func() { s.fail(nil) })
	defer stop()
	close(p.done)
	s.serve()
}

func (t *Transport) unpool(p *pooled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.closers, p)
	if t.pool[p.key] == p {
		delete(t.pool, p.key)
	}
}

// retire keeps an open connection from those who dial; it is closed with the transport all the same.
func (t *Transport) retire(p *pooled) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.pool[p.key] == p {
		delete(t.pool, p.key)
		t.stats.Retired.Add(1)
	}
}

func (t *Transport) connect(ctx context.Context, p *pooled, target Target) (*stream, error) {
	timer := t.clock.AfterFunc(t.limits.Dial, func() { p.cancel(errDialTimeout) })
	defer timer.Stop()
	dialer := net.Dialer{Control: t.control}
	if target.From.IsValid() {
		dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(target.From, 0))
	}
	conn, err := dialer.DialContext(ctx, "tcp", target.Addr.String())
	if err != nil {
		return nil, dialError(ctx, target, err)
	}
	s := t.newStream(target.Proto, conn)
	if target.Proto == TLS {
		if err := s.handshakeClient(ctx, target.TLS); err != nil {
			s.fail(err)
			return nil, dialError(ctx, target, err)
		}
	}
	return s, nil
}

func dialError(ctx context.Context, target Target, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("dial %v %v: %w", target.Proto, target.Addr, err)
}
