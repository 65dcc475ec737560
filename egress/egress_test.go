package egress

import (
	"errors"
	"net/netip"
	"testing"
)

func TestCheck(t *testing.T) {
	open := Policy{AllowLoopback: true, AllowPrivate: true}
	tests := []struct {
		addr         string
		closed, open error
	}{
		{"203.0.113.9", nil, nil},
		{"2001:db8::1", nil, nil},
		{"::ffff:203.0.113.9", nil, nil},
		{"64:ff9b::203.0.113.9", nil, nil},
		{"127.0.0.1", ErrLoopback, nil},
		{"127.255.0.9", ErrLoopback, nil},
		{"::1", ErrLoopback, nil},
		{"::ffff:127.0.0.1", ErrLoopback, nil},
		{"::127.0.0.1", ErrLoopback, nil},
		{"64:ff9b::127.0.0.1", ErrLoopback, nil},
		{"2002:7f00:1::", ErrLoopback, nil},
		{"10.1.2.3", ErrPrivate, nil},
		{"172.16.0.1", ErrPrivate, nil},
		{"192.168.255.255", ErrPrivate, nil},
		{"100.64.0.1", ErrPrivate, nil},
		{"fd12::1", ErrPrivate, nil},
		{"fec0::1", ErrPrivate, nil},
		{"64:ff9b::10.0.0.1", ErrPrivate, nil},
		{"64:ff9b:1::10.0.0.1", ErrPrivate, nil},
		{"2002:a00:1::1", ErrPrivate, nil},
		{"169.254.1.1", ErrLinkLocal, ErrLinkLocal},
		{"fe80::1", ErrLinkLocal, ErrLinkLocal},
		{"fe80::1%eth0", ErrLinkLocal, ErrLinkLocal},
		{"169.254.169.254", ErrMetadata, ErrMetadata},
		{"::ffff:169.254.169.254", ErrMetadata, ErrMetadata},
		{"::169.254.169.254", ErrMetadata, ErrMetadata},
		{"::ffff:0:169.254.169.254", ErrMetadata, ErrMetadata},
		{"64:ff9b::a9fe:a9fe", ErrMetadata, ErrMetadata},
		{"2002:a9fe:a9fe::", ErrMetadata, ErrMetadata},
		{"2001:0:1:2:3:4:5601:5601", ErrMetadata, ErrMetadata},
		{"2001:db8::200:5efe:169.254.169.254", ErrMetadata, ErrMetadata},
		{"fd00:ec2::254", ErrMetadata, ErrMetadata},
		{"fd00:ec2::254%1", ErrMetadata, ErrMetadata},
		{"100.100.100.200", ErrMetadata, ErrMetadata},
		{"168.63.129.16", ErrMetadata, ErrMetadata},
		{"224.0.0.1", ErrMulticast, ErrMulticast},
		{"239.255.255.250", ErrMulticast, ErrMulticast},
		{"ff02::1", ErrMulticast, ErrMulticast},
		{"255.255.255.255", ErrMulticast, ErrMulticast},
		{"240.0.0.1", ErrMulticast, ErrMulticast},
		{"::ffff:255.255.255.255", ErrMulticast, ErrMulticast},
		{"64:ff9b::224.0.0.1", ErrMulticast, ErrMulticast},
		{"0.0.0.0", ErrInvalid, ErrInvalid},
		{"0.1.2.3", ErrInvalid, ErrInvalid},
		{"::", ErrInvalid, ErrInvalid},
		{"::ffff:0.0.0.0", ErrInvalid, ErrInvalid},
		{"2002::", ErrInvalid, ErrInvalid},
	}
	for _, tt := range tests {
		addr := netip.MustParseAddr(tt.addr)
		if got := (Policy{}).Check(addr); !errors.Is(got, tt.closed) {
			t.Errorf("zero policy: Check(%s) = %v; want %v", tt.addr, got, tt.closed)
		}
		if got := open.Check(addr); !errors.Is(got, tt.open) {
			t.Errorf("open policy: Check(%s) = %v; want %v", tt.addr, got, tt.open)
		}
	}
	if got := open.Check(netip.Addr{}); !errors.Is(got, ErrInvalid) {
		t.Errorf("Check of no address = %v; want %v", got, ErrInvalid)
	}
}

func TestCheckPortRefusesOwnListeners(t *testing.T) {
	p := Policy{AllowLoopback: true, Own: []netip.AddrPort{
		netip.MustParseAddrPort("203.0.113.1:5061"),
		netip.MustParseAddrPort("127.0.0.1:0"),
	}}
	tests := []struct {
		addr string
		want error
	}{
		{"203.0.113.1:5061", ErrOwn},
		{"[::ffff:203.0.113.1]:5061", ErrOwn},
		{"[64:ff9b::203.0.113.1]:5061", ErrOwn},
		{"203.0.113.1:5062", nil},
		{"203.0.113.2:5061", nil},
		{"127.0.0.1:9", ErrOwn},
		{"127.0.0.2:9", nil},
		{"169.254.169.254:80", ErrMetadata},
	}
	for _, tt := range tests {
		if got := p.CheckPort(netip.MustParseAddrPort(tt.addr)); !errors.Is(got, tt.want) {
			t.Errorf("CheckPort(%s) = %v; want %v", tt.addr, got, tt.want)
		}
	}
}

func TestIsPrivate(t *testing.T) {
	for addr, want := range map[string]bool{
		"10.0.0.1": true, "::ffff:10.0.0.1": true, "100.127.1.1": true, "fd00::1": true,
		"127.0.0.1": false, "203.0.113.1": false, "100.128.0.1": false, "169.254.0.1": false,
	} {
		if got := IsPrivate(netip.MustParseAddr(addr)); got != want {
			t.Errorf("IsPrivate(%s) = %v; want %v", addr, got, want)
		}
	}
}
