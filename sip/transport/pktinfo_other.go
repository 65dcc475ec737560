//go:build !linux

package transport

import (
	"errors"
	"net"
	"net/netip"
)

// tellDestinations is not written for this system: it answers from the address it prefers.
func tellDestinations(*net.UDPConn, bool) error { return errors.ErrUnsupported }

func sendFrom(netip.Addr, bool) []byte { return nil }
