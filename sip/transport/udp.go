package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// readRetry is the pause after an error reading a UDP socket, so that one that persists costs
// next to nothing and one that passes loses few datagrams.
const readRetry = 10 * time.Millisecond

// maxLocals bounds our own addresses that a socket bound to all of them answers from. Datagrams
// to further ones are answered from whichever the system prefers.
const maxLocals = 1024

// ListenUDP opens a UDP socket for receiving and sending and returns its bound address. Port 0
// picks one. A socket bound to all addresses answers from the one that was asked: phones and
// firewalls drop what comes from another. (Where the system does not tell, from the one it
// prefers.)
func (t *Transport) ListenUDP(addr netip.AddrPort) (netip.AddrPort, error) {
	s, err := t.openUDP(addr)
	if err != nil {
		return netip.AddrPort{}, err
	}
	return s.local, t.startUDP(s)
}

func (t *Transport) openUDP(addr netip.AddrPort) (*udpSocket, error) {
	lc := net.ListenConfig{Control: t.control}
	bound, err := lc.ListenPacket(context.Background(), network("udp", addr), addr.String())
	if err != nil {
		return nil, fmt.Errorf("listen on UDP %v: %w", addr, err)
	}
	conn := bound.(*net.UDPConn)
	// A burst of calls must not overflow the buffer while a handler runs. The system may grant
	// less, which is no reason not to start.
	if err := conn.SetReadBuffer(t.limits.ReceiveBuffer); err != nil {
		t.log.Warn("UDP receive buffer stays small", "addr", addr, "err", err)
	}
	s := &udpSocket{t: t, conn: conn, local: unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())}
	if s.udpSender, err = newUDPSender(conn); err != nil {
		conn.Close()
		return nil, fmt.Errorf("listen on UDP %v: %w", addr, err)
	}
	s.any = &udpLink{s: s, local: s.local}
	if s.local.Addr().IsUnspecified() {
		if err := tellDestinations(conn, s.local.Addr().Is6()); err != nil {
			t.log.Warn("UDP answers come from the address that the system prefers", "addr", addr, "err", err)
		} else {
			s.links = make(map[netip.Addr]*udpLink)
		}
	}
	return s, nil
}

func (t *Transport) startUDP(s *udpSocket) error {
	t.mu.Lock()
	t.sockets = append(t.sockets, s)
	t.mu.Unlock()
	if !t.adopt(s, s.serve) {
		s.conn.Close()
		return ErrClosed
	}
	return nil
}

// udpFlow finds the socket to reach a UDP target from.
func (t *Transport) udpFlow(target Target) (Flow, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed {
		return Flow{}, ErrClosed
	}
	for _, s := range t.sockets {
		if link := s.linkTo(target); link != nil {
			return NewFlow(link, target.Addr), nil
		}
	}
	return Flow{}, fmt.Errorf("dial UDP %v: %w", target.Addr, ErrNoSocket)
}

// udpSocket is one bound socket. It knows nothing about the peers that use it.
type udpSocket struct {
	t     *Transport
	conn  *net.UDPConn
	local netip.AddrPort
	any   *udpLink // from whichever address the system prefers

	udpSender

	// Used by serve only:
	stun  rateGate
	links map[netip.Addr]*udpLink // by our address, on a socket bound to all of them; else nil
}

// linkTo returns the link that reaches a target from the address it asks for, nil when this socket cannot.
func (s *udpSocket) linkTo(target Target) *udpLink {
	local, from, to := s.local.Addr(), target.From.Unmap(), target.Addr.Addr()
	// A socket bound to [::] is open for both families.
	if local.Is4() != to.Is4() && local != netip.IPv6Unspecified() {
		return nil
	}
	switch {
	case !from.IsValid() || from == local:
		return s.any
	case s.links != nil && from.Is4() == to.Is4():
		return &udpLink{s: s, local: netip.AddrPortFrom(from, s.local.Port()), control: sendFrom(from, local.Is6())}
	}
	return nil
}

// Close closes the socket; the transport calls it.
func (s *udpSocket) Close() error { return s.conn.Close() }

// readFailed notes an error of reading, and reports whether it is the end of the socket.
func (s *udpSocket) readFailed(err error) bool {
	if errors.Is(err, net.ErrClosed) {
		return true
	}
	s.t.stats.ReadErrors.Add(1)
	s.t.log.Warn("read UDP", "local", s.local, "err", err)
	s.t.pause(readRetry)
	return false
}

// linkFrom returns the link that sends from one of our addresses.
func (s *udpSocket) linkFrom(local netip.Addr) *udpLink {
	if !local.IsValid() || local.IsUnspecified() || local.IsMulticast() {
		return s.any
	}
	link := s.links[local]
	if link == nil {
		if len(s.links) >= maxLocals {
			return s.any
		}
		link = &udpLink{s: s, local: netip.AddrPortFrom(local, s.local.Port()), control: sendFrom(local, s.local.Addr().Is6())}
		s.links[local] = link
	}
	return link
}

// take handles a datagram that is no SIP message, and reports whether it was none.
func (s *udpSocket) take(b []byte, f Flow) bool {
	switch {
	case f.remote.Port() == 0 || len(b) == 0:
		s.t.stats.Garbage.Add(1) // nobody can be answered there
	case isSTUN(b):
		s.answerSTUN(b, f)
	case isKeepAlive(b):
		s.t.stats.KeepAlives.Add(1)
	default:
		return false
	}
	return true
}

// isKeepAlive reports whether a datagram only keeps a NAT binding open: phones send CRLFs or NULs.
func isKeepAlive(b []byte) bool {
	for _, c := range b {
		if c != '\r' && c != '\n' && c != 0 {
			return false
		}
	}
	return true
}

// udpLink makes flows of a socket that leave from one of our addresses. Closing one does not close
// the socket, which others share.
type udpLink struct {
	s       *udpSocket
	local   netip.AddrPort
	control []byte // tells the system the address to send from; nil leaves it the choice
}

// Proto returns UDP.
func (l *udpLink) Proto() Proto { return UDP }

// Local returns the address that datagrams leave from; the unspecified one where the system chooses.
func (l *udpLink) Local() netip.AddrPort { return l.local }

// TLS returns nil.
func (l *udpLink) TLS() *TLSInfo { return nil }

// Close does nothing: the socket is everybody's.
func (l *udpLink) Close() error { return nil }

// Send sends one datagram, whatever its size; fragmenting it is the caller's choice.
func (l *udpLink) Send(b []byte, to netip.AddrPort) error {
	if err := l.write(b, to); err != nil {
		l.s.t.stats.SendErrors.Add(1)
		if errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
		return fmt.Errorf("send UDP to %v: %w", to, err)
	}
	l.s.t.stats.Sent.Add(1)
	return nil
}

// network adds the family to a network name: left to itself the standard library opens a socket
// for both families when asked for 0.0.0.0.
func network(name string, addr netip.AddrPort) string {
	switch {
	case addr.Addr().Unmap().Is4():
		return name + "4"
	case addr.Addr() == netip.IPv6Unspecified():
		return name
	default:
		return name + "6"
	}
}
