//go:build !linux

package transport

import (
	"net"
	"net/netip"

	"carillon/sip"
)

// udpSender has nothing to keep here.
type udpSender struct{}

func newUDPSender(*net.UDPConn) (udpSender, error) { return udpSender{}, nil }

func (l *udpLink) write(b []byte, to netip.AddrPort) error {
	_, err := l.s.conn.WriteToUDPAddrPort(b, to)
	return err
}

// serve reads until the socket is closed; no other error ends it. One goroutine and one buffer
// serve all sources, so that messages of one source stay in order: a BYE must not overtake the ACK.
func (s *udpSocket) serve() {
	buf := make([]byte, maxDatagram)
	m := new(sip.Message)
	for {
		n, from, err := s.conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			if s.readFailed(err) {
				return
			}
			continue
		}
		if f := NewFlow(s.any, unmap(from)); !s.take(buf[:n], f) {
			s.t.deliver(f, m, buf[:n])
		}
	}
}
