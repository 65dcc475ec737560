// Package egress decides whether an address learned from a stranger may be sent to.
//
// Addresses arrive in session descriptions, Contact headers, DNS answers and API fields. Without one rule in
// front of every send, a caller could aim this node at the cloud's metadata service, at its own listeners or
// at a whole subnet.
package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// The reasons for which an address is refused. Errors of Check and CheckPort wrap one of them.
var (
	// ErrInvalid: no address, or one that names a network and not a host (unspecified, 0.0.0.0/8).
	ErrInvalid = errors.New("not a host address")
	// ErrLinkLocal: 169.254.0.0/16 or fe80::/10.
	ErrLinkLocal = errors.New("link-local address")
	// ErrMetadata: the address of a cloud's metadata service.
	ErrMetadata = errors.New("metadata service address")
	// ErrMulticast: a group address, IPv4 broadcast, or the reserved 240.0.0.0/4.
	ErrMulticast = errors.New("multicast or broadcast address")
	// ErrLoopback: loopback where it is not allowed.
	ErrLoopback = errors.New("loopback address")
	// ErrPrivate: a private network where it is not allowed.
	ErrPrivate = errors.New("private address")
	// ErrOwn: a listener of this node.
	ErrOwn = errors.New("address of this node")
)

// Policy says which kinds of addresses may be sent to. The zero value allows public addresses only.
// It is immutable after it is handed out; all methods are safe for concurrent use.
type Policy struct {
	// AllowLoopback admits 127.0.0.0/8 and ::1.
	AllowLoopback bool
	// AllowPrivate admits RFC 1918, RFC 4193 and RFC 6598 addresses.
	AllowPrivate bool
	// SingleAccount admits private addresses while it reports true: an installation of one account cannot be made to
	// reach a network that is not its own. It may be nil and must not block.
	SingleAccount func() bool
	// Own lists this node's listeners. A port of 0 stands for every port of the address.
	Own []netip.AddrPort
}

// Check reports why addr may not be sent to, or nil. An IPv6 address that carries an IPv4 one (mapped,
// compatible, translated by NAT64, 6to4, Teredo, ISATAP) is judged by what it carries as well as by itself.
func (p Policy) Check(addr netip.Addr) error {
	if !addr.IsValid() {
		return fmt.Errorf("check address: %w", ErrInvalid)
	}
	// A zone only selects an interface of this host: judge the address behind it.
	if err := p.check(addr.WithZone("").Unmap()); err != nil {
		return fmt.Errorf("check %s: %w", addr, err)
	}
	if inner, ok := carried(addr.WithZone("").Unmap()); ok {
		if err := p.check(inner); err != nil {
			return fmt.Errorf("check %s, which carries %s: %w", addr, inner, err)
		}
	}
	return nil
}

// CheckPort is Check and the list of own listeners.
func (p Policy) CheckPort(addr netip.AddrPort) error {
	if err := p.Check(addr.Addr()); err != nil {
		return err
	}
	ip := addr.Addr().WithZone("").Unmap()
	if inner, ok := carried(ip); ok {
		ip = inner
	}
	own := func(o netip.AddrPort) bool {
		return o.Addr().WithZone("").Unmap() == ip && (o.Port() == 0 || o.Port() == addr.Port())
	}
	if slices.ContainsFunc(p.Own, own) {
		return fmt.Errorf("check %s: %w", addr, ErrOwn)
	}
	return nil
}

// IsPrivate reports whether addr belongs to a network that is not routed on the Internet: RFC 1918, RFC 4193
// or RFC 6598 (the space of carrier-grade NAT). Loopback and link-local are not private in this sense.
func IsPrivate(addr netip.Addr) bool {
	addr = addr.Unmap()
	return addr.IsPrivate() || addr.Is4() && sharedSpace.Contains(addr)
}

var (
	sharedSpace  = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598
	thisNetwork  = netip.MustParsePrefix("0.0.0.0/8")     // RFC 791 section 3.2
	reserved     = netip.MustParsePrefix("240.0.0.0/4")   // RFC 1112 section 4, with the broadcast address
	siteLocal    = netip.MustParsePrefix("fec0::/10")     // RFC 3879: deprecated, still private where it is in use
	metadataIPv4 = []netip.Addr{
		netip.MustParseAddr("169.254.169.254"), // AWS, Azure, Google, OpenStack
		netip.MustParseAddr("169.254.170.2"),   // AWS container credentials
		netip.MustParseAddr("100.100.100.200"), // Alibaba; inside RFC 6598, so AllowPrivate would admit it
		netip.MustParseAddr("168.63.129.16"),   // Azure's wire server, a public address
		netip.MustParseAddr("192.0.0.192"),     // Oracle
	}
	metadataIPv6 = []netip.Addr{
		netip.MustParseAddr("fd00:ec2::254"),   // AWS
		netip.MustParseAddr("fd00:ec2::23"),    // AWS container credentials
		netip.MustParseAddr("fd20:ce::254"),    // Google
		netip.MustParseAddr("fd00:42::42"),     // Scaleway
		netip.MustParseAddr("fe80::a9fe:a9fe"), // OpenStack
	}
)

func (p Policy) check(a netip.Addr) error {
	switch {
	case slices.Contains(metadataIPv4, a), slices.Contains(metadataIPv6, a):
		return ErrMetadata
	case a.IsUnspecified(), a.Is4() && thisNetwork.Contains(a):
		return ErrInvalid
	case a.IsMulticast(), a.Is4() && reserved.Contains(a):
		return ErrMulticast
	case a.IsLinkLocalUnicast():
		return ErrLinkLocal
	case a.IsLoopback():
		if !p.AllowLoopback {
			return ErrLoopback
		}
	case IsPrivate(a), a.Is6() && siteLocal.Contains(a):
		if !p.AllowPrivate && (p.SingleAccount == nil || !p.SingleAccount()) {
			return ErrPrivate
		}
	}
	return nil
}

var (
	compatible  = netip.MustParsePrefix("::/96")           // RFC 4291 section 2.5.5.1
	translated  = netip.MustParsePrefix("::ffff:0:0:0/96") // RFC 2765, "IPv4-translated"
	nat64       = netip.MustParsePrefix("64:ff9b::/96")    // RFC 6052
	nat64Local  = netip.MustParsePrefix("64:ff9b:1::/48")  // RFC 8215
	sixToFour   = netip.MustParsePrefix("2002::/16")       // RFC 3056
	teredo      = netip.MustParsePrefix("2001::/32")       // RFC 4380
	isatapMask  = [4]byte{0xfd, 0xff, 0xff, 0xff}          // RFC 5214 section 6.1: the u bit may be set
	isatapBytes = [4]byte{0x00, 0x00, 0x5e, 0xfe}
)

// carried returns the IPv4 address inside a transition address.
func carried(a netip.Addr) (netip.Addr, bool) {
	if !a.Is6() {
		return netip.Addr{}, false
	}
	b := a.As16()
	last := netip.AddrFrom4([4]byte(b[12:16]))
	switch {
	case compatible.Contains(a):
		// :: and ::1 are addresses of their own; the check of the address itself judges them.
		return last, !a.IsLoopback() && !a.IsUnspecified()
	case translated.Contains(a), nat64.Contains(a), nat64Local.Contains(a):
		return last, true
	case sixToFour.Contains(a):
		return netip.AddrFrom4([4]byte(b[2:6])), true
	case teredo.Contains(a):
		return netip.AddrFrom4([4]byte{^b[12], ^b[13], ^b[14], ^b[15]}), true
	}
	for i, want := range isatapBytes {
		if b[8+i]&isatapMask[i] != want {
			return netip.Addr{}, false
		}
	}
	return last, true
}
