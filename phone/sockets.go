package phone

import (
	"fmt"
	"net"
	"net/netip"
)

// pairTries is how often a pair of ports is looked for: RTP on an even port and RTCP on the next (RFC 3550 section 11).
const pairTries = 64

// FilesPerCall is how many sockets a phone has open for a call.
const FilesPerCall = 2

// pair is the two sockets of a call's media.
type pair struct{ rtp, rtcp *net.UDPConn }

// openPair binds a pair on an address.
func openPair(addr netip.Addr) (pair, error) {
	var last error
	for range pairTries {
		rtp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
		if err != nil {
			return pair{}, fmt.Errorf("open media socket: %w", err)
		}
		port := rtp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
		if port%2 == 0 && port < 65535 {
			var rtcp *net.UDPConn
			if rtcp, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, port+1))); err == nil {
				return pair{rtp, rtcp}, nil
			}
			last = err
		}
		_ = rtp.Close()
	}
	return pair{}, fmt.Errorf("open media sockets: no pair of ports in %d tries: %w", pairTries, last)
}

func (s pair) addr() netip.AddrPort {
	a := s.rtp.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func (s pair) close() {
	_ = s.rtp.Close()
	_ = s.rtcp.Close()
}

// localAddr returns the address from which the system would send to remote. No packet is sent.
func localAddr(remote netip.AddrPort) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(remote))
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	defer func() { _ = conn.Close() }()
	return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
