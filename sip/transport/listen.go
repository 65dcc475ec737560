package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

const (
	acceptRetryMin = 5 * time.Millisecond
	acceptRetryMax = time.Second
	portPairTries  = 64
	// sourceBits6 is what one IPv6 customer is given: a limit per address would be none.
	sourceBits6 = 64
)

// ListenTCP accepts TCP connections and returns the bound address. Port 0 picks one.
func (t *Transport) ListenTCP(addr netip.AddrPort) (netip.AddrPort, error) {
	return t.listen(TCP, addr, nil)
}

// ListenTLS accepts TLS connections and returns the bound address. Port 0 picks one.
func (t *Transport) ListenTLS(addr netip.AddrPort, c ServerTLS) (netip.AddrPort, error) {
	if c.GetCertificate == nil {
		return netip.AddrPort{}, errors.New("listen for TLS without certificates")
	}
	return t.listen(TLS, addr, &serverSide{ServerTLS: c, conf: c.config()})
}

// ListenUDPAndTCP binds both protocols to one number: with port 0 it tries until a number is
// free in both.
func (t *Transport) ListenUDPAndTCP(addr netip.AddrPort) (netip.AddrPort, error) {
	for try := 1; ; try++ {
		s, err := t.openUDP(addr)
		if err != nil {
			return netip.AddrPort{}, err
		}
		bound := netip.AddrPortFrom(addr.Addr(), s.local.Port())
		if _, err = t.ListenTCP(bound); err == nil {
			return s.local, t.startUDP(s)
		}
		s.conn.Close()
		if addr.Port() != 0 || try == portPairTries {
			return netip.AddrPort{}, err
		}
	}
}

func (t *Transport) listen(proto Proto, addr netip.AddrPort, c *serverSide) (netip.AddrPort, error) {
	lc := net.ListenConfig{Control: t.control} // which accepted connections inherit
	lc.SetMultipathTCP(false)                  // its sockets take no mark for IPv6, and no SIP peer opens a second path
	bound, err := lc.Listen(context.Background(), network("tcp", addr), addr.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("listen on %v %v: %w", proto, addr, err)
	}
	ln := bound.(*net.TCPListener)
	l := &listener{t: t, proto: proto, ln: ln, tls: c}
	if !t.adopt(l, l.serve) {
		ln.Close()
		return netip.AddrPort{}, ErrClosed
	}
	return addrOf(ln.Addr()), nil
}

// listener accepts connections of one port.
type listener struct {
	t     *Transport
	proto Proto
	ln    *net.TCPListener
	tls   *serverSide // nil for TCP
}

// Close stops accepting; connections that were accepted stay.
func (l *listener) Close() error { return l.ln.Close() }

// serve accepts until the listener is closed. Any other error, such as a process out of file
// descriptors, passes, and must not end the service.
func (l *listener) serve() {
	wait := acceptRetryMin
	for {
		conn, err := l.ln.AcceptTCP()
		if err == nil {
			wait = acceptRetryMin
			l.t.accept(l.proto, conn, l.tls)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return
		}
		l.t.stats.AcceptErrors.Add(1)
		l.t.log.Warn("accept", "proto", l.proto, "local", l.ln.Addr(), "err", err)
		l.t.pause(wait)
		wait = min(2*wait, acceptRetryMax)
	}
}

// accept admits a connection or closes it at once, before any memory is spent on it.
func (t *Transport) accept(proto Proto, conn net.Conn, c *serverSide) {
	remote := addrOf(conn.RemoteAddr()).Addr()
	proxied := t.isProxy(remote)
	if !t.admit() {
		conn.Close()
		return
	}
	var source netip.Prefix
	if !proxied { // else it is known only once the header is read
		var ok bool
		if source, ok = t.admitSource(remote); !ok {
			conn.Close()
			t.leave(source)
			return
		}
	}
	s := t.newStream(proto, conn)
	serve := func() {
		if proxied {
			var ok bool
			if source, ok = s.unwrap(); !ok {
				t.leave(source)
				return
			}
		}
		s.serveAccepted(source, c)
	}
	if !t.adopt(s, serve) {
		conn.Close()
		t.leave(source)
	}
}

func (s *stream) serveAccepted(source netip.Prefix, c *serverSide) {
	defer s.t.leave(source)
	if c != nil {
		if err := s.handshakeServer(c); err != nil {
			s.watch.stop()
			s.fail(err)
			s.t.handshakeFailed(s.remote, err)
			return
		}
	}
	s.t.stats.Accepted.Add(1)
	s.watch.start(phaseFirst, s.t.limits.FirstMessage)
	s.serve()
}

// admit counts a connection in, unless there are too many.
func (t *Transport) admit() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stats.AcceptedNow.Load() >= int64(t.limits.Accepted) {
		t.stats.OverAccepted.Add(1)
		return false
	}
	t.stats.AcceptedNow.Add(1)
	return true
}

// admitSource counts an admitted connection for its source, unless that has too many. The prefix is valid when it did.
func (t *Transport) admitSource(ip netip.Addr) (netip.Prefix, bool) {
	bits := ip.BitLen()
	if ip.Is6() {
		bits = sourceBits6
	}
	source, _ := ip.WithZone("").Prefix(bits)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.accepted[source] >= t.limits.AcceptedPerIP {
		t.stats.OverPerIP.Add(1)
		return netip.Prefix{}, false
	}
	t.accepted[source]++
	return source, true
}

// leave counts a connection out; source is the zero Prefix when it was never counted for one.
func (t *Transport) leave(source netip.Prefix) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stats.AcceptedNow.Add(-1)
	if !source.IsValid() {
		return
	}
	if t.accepted[source]--; t.accepted[source] == 0 {
		delete(t.accepted, source)
	}
}
