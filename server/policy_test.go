package server

import (
	"errors"
	"net/netip"
	"testing"

	"carillon/config"
	"carillon/egress"
)

// TestMediaPolicy: a phone on this machine may have the UDP port whose number a TCP listener has, and only that.
func TestMediaPolicy(t *testing.T) {
	at := func(port uint16) netip.AddrPort {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)
	}
	n := &Node{config: config.Config{Dev: true}, bound: addresses{udp: at(1), tcp: at(2), tls: at(3), api: at(4), dns: at(5), metrics: at(6)}}
	for port, own := range map[uint16]bool{1: true, 2: false, 3: false, 4: false, 5: true, 6: false, 7: false} {
		if err := n.mediaPolicy().CheckPort(at(port)); errors.Is(err, egress.ErrOwn) != own {
			t.Errorf("media to port %d: %v, want own %t", port, err, own)
		}
		if err := n.policy().CheckPort(at(port)); errors.Is(err, egress.ErrOwn) != (port < 7) {
			t.Errorf("signalling to port %d: %v", port, err)
		}
	}
}
