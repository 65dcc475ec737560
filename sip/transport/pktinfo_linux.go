package transport

import (
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// controlSize has room for what the system tells of a datagram: its destination, in the forms of both families.
const controlSize = 128

// tellDestinations has the system tell the destination of each datagram that arrives on a socket.
func tellDestinations(conn *net.UDPConn, v6 bool) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		if v6 {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
		} else {
			failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		}
	})
	if err != nil {
		return err
	}
	return failed
}

// destination reads which of our addresses a datagram was sent to; the zero Addr when the system did not tell.
func destination(control []byte) netip.Addr {
	for len(control) >= unix.CmsgLen(0) {
		header, data, rest, err := unix.ParseOneSocketControlMessage(control)
		if err != nil {
			break
		}
		switch {
		case header.Level == unix.IPPROTO_IP && header.Type == unix.IP_PKTINFO && len(data) >= unix.SizeofInet4Pktinfo:
			// Spec_dst, not Addr: of a broadcast that is the address of the interface it came to.
			return netip.AddrFrom4([4]byte(data[4:8]))
		case header.Level == unix.IPPROTO_IPV6 && header.Type == unix.IPV6_PKTINFO && len(data) >= unix.SizeofInet6Pktinfo:
			return netip.AddrFrom16([16]byte(data[:16])).Unmap()
		}
		control = rest
	}
	return netip.Addr{}
}

// sendFrom is the control message that makes datagrams leave from one of our addresses. A socket for both families wants
// an IPv4 address in IPv6 clothes.
func sendFrom(local netip.Addr, v6 bool) []byte {
	if v6 {
		return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: local.As16()})
	}
	return unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: local.As4()})
}
