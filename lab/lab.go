// Package lab is the built-in lab carrier: a SIP peer on the loopback interface whose numbers each do one thing.
//
// It lets a fresh installation place real calls, with audio, before any contract with a carrier exists, and it is
// the far end of the end-to-end tests. Its numbers lie in an area code that is not assigned, and it takes no others.
package lab

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"

	"carillon/clock"
	"carillon/trunk"
)

// CarrierName is the name the lab has among the carriers.
const CarrierName = "lab"

// Config is what a Lab is built from.
type Config struct {
	// Logger is nil to discard.
	Logger *slog.Logger
	// Clock is nil for the system's.
	Clock clock.Clock
	// Rand is nil for crypto/rand.
	Rand io.Reader
}

// Lab is a running lab carrier. Its methods are safe for concurrent use.
type Lab struct {
	socket *net.UDPConn
}

// Start listens on a UDP port of 127.0.0.1 that the system chooses.
func Start(c Config) (*Lab, error) {
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return nil, fmt.Errorf("start lab carrier: %w", err)
	}
	return &Lab{socket: socket}, nil
}

// Addr returns where the lab takes calls.
func (l *Lab) Addr() netip.AddrPort { return l.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

// Carrier returns the lab as a carrier of the installation. It takes its own numbers and no others.
func (l *Lab) Carrier() trunk.Carrier {
	addr := l.Addr()
	var prefixes []string
	for _, n := range Numbers() {
		prefixes = append(prefixes, string(n.E164))
	}
	return trunk.Carrier{
		Name:     CarrierName,
		Targets:  []trunk.Target{{Host: addr.Addr().String(), Port: addr.Port(), Transport: trunk.UDP}},
		Prefixes: prefixes,
		Sources:  []netip.Prefix{netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen())},
		Lab:      true,
	}
}

// Close ends every call and stops listening.
func (l *Lab) Close() error { return l.socket.Close() }
