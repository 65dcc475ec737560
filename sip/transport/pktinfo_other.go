//go:build !linux

package transport

import (
	"errors"
	"net"
	"net/netip"
)

const controlSize = 0

// tellDestinations is not written for this system: it answers from the address it prefers.
func tellDestinations(*net.UDPConn, bool) error { return errors.ErrUnsupported }

func destination([]byte) netip.Addr { return netip.Addr{} }

func sendFrom(netip.Addr, bool) []byte { return nil }
