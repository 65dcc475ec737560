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

// TestAdvertisedIsOurs: the address that a NAT or a balancer leads to the node is its own, on the ports it listens on.
func TestAdvertisedIsOurs(t *testing.T) {
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("10.0.0.7"), port) }
	n := &Node{
		config: config.Config{Dev: true, SIPAdvertise: []string{"sip.example.com", "198.51.100.7"}, MediaAdvertise: ips("203.0.113.7")},
		bound:  addresses{udp: at(5060), tcp: at(5062), tls: at(5061)},
	}
	for to, want := range map[string][2]bool{ // signalling, media
		"198.51.100.7:5060": {true, true}, "198.51.100.7:5061": {true, false}, "198.51.100.7:5062": {true, false},
		"198.51.100.7:5070": {false, false}, "203.0.113.7:5060": {false, false}, "198.51.100.8:5060": {false, false},
	} {
		addr := netip.MustParseAddrPort(to)
		got := [2]bool{errors.Is(n.policy().CheckPort(addr), egress.ErrOwn), errors.Is(n.mediaPolicy().CheckPort(addr), egress.ErrOwn)}
		if got != want {
			t.Errorf("%s is ours for signalling and media: %v, want %v", to, got, want)
		}
	}
}
