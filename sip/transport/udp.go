package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"carillon/sip"
)

// readRetry is the pause after an error reading a UDP socket, so that one that persists costs
// next to nothing and one that passes loses few datagrams.
const readRetry = 10 * time.Millisecond

// ListenUDP opens a UDP socket for receiving and sending and returns its bound address. Port 0
// picks one. On a host with several addresses bind each one: a socket bound to all of them
// answers from whichever the system prefers.
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
	local := unmap(conn.LocalAddr().(*net.UDPAddr).AddrPort())
	return &udpSocket{t: t, conn: conn, local: local}, nil
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
		if s.reaches(target) {
			return NewFlow(udpLink{s}, target.Addr), nil
		}
	}
	return Flow{}, fmt.Errorf("dial UDP %v: %w", target.Addr, ErrNoSocket)
}

// udpSocket is one bound socket. It knows nothing about the peers that use it.
type udpSocket struct {
	t     *Transport
	conn  *net.UDPConn
	local netip.AddrPort
	stun  rateGate // used by serve only
}

func (s *udpSocket) reaches(target Target) bool {
	local := s.local.Addr()
	if target.From.IsValid() && target.From.Unmap() != local {
		return false
	}
	// A socket bound to [::] is open for both families.
	return local.Is4() == target.Addr.Addr().Is4() || local == netip.IPv6Unspecified()
}

// Close closes the socket; the transport calls it.
func (s *udpSocket) Close() error { return s.conn.Close() }

// serve reads until the socket is closed; no other error ends it. One goroutine and one buffer
// serve all sources, so that messages of one source stay in order: a BYE must not overtake the ACK.
func (s *udpSocket) serve() {
	buf := make([]byte, maxDatagram)
	m := new(sip.Message)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		switch {
		case err == nil:
			s.receive(m, buf[:n], unmap(from))
		case errors.Is(err, net.ErrClosed):
			return
		default:
			s.t.stats.ReadErrors.Add(1)
			s.t.log.Warn("read UDP", "local", s.local, "err", err)
			s.t.pause(readRetry)
		}
	}
}

func (s *udpSocket) receive(m *sip.Message, b []byte, from netip.AddrPort) {
	switch {
	case from.Port() == 0 || len(b) == 0:
		s.t.stats.Garbage.Add(1) // nobody can be answered there
	case isSTUN(b):
		s.answerSTUN(b, from)
	case isKeepAlive(b):
		s.t.stats.KeepAlives.Add(1)
	default:
		s.t.deliver(NewFlow(udpLink{s}, from), m, b)
	}
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

// udpLink makes flows of a socket. Closing one does not close the socket, which others share.
type udpLink struct{ s *udpSocket }

// Proto returns UDP.
func (l udpLink) Proto() Proto { return UDP }

// Local returns the socket's bound address.
func (l udpLink) Local() netip.AddrPort { return l.s.local }

// TLS returns nil.
func (l udpLink) TLS() *TLSInfo { return nil }

// Close does nothing: the socket is everybody's.
func (l udpLink) Close() error { return nil }

// Send sends one datagram, whatever its size; fragmenting it is the caller's choice.
func (l udpLink) Send(b []byte, to netip.AddrPort) error {
	if _, err := l.s.conn.WriteToUDPAddrPort(b, to); err != nil {
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
