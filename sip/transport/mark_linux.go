package transport

import (
	"errors"
	"strings"
	"syscall"
)

// control marks a socket before it is bound or connected, so that the first packet has the mark, too: as the Control of
// a net.ListenConfig or net.Dialer. A system that refuses marks carries calls all the same.
func (t *Transport) control(network, address string, c syscall.RawConn) error {
	if t.dscp == 0 {
		return nil
	}
	var refused error
	err := c.Control(func(fd uintptr) {
		refused = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS, t.dscp<<2)
		if strings.HasSuffix(network, "6") { // IPv4 in IPv6 clothes takes the mark of IPv4
			refused = errors.Join(refused, syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_TCLASS, t.dscp<<2))
		}
	})
	if refused != nil {
		t.log.Warn("SIP packets are not marked", "addr", address, "err", refused)
	}
	return err
}
