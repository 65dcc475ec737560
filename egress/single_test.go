package egress

import (
	"errors"
	"net/netip"
	"testing"
)

func TestPrivateAddressesOfASingleAccount(t *testing.T) {
	alone := true
	p := Policy{SingleAccount: func() bool { return alone }}
	private := netip.MustParseAddr("192.168.4.5")
	if err := p.Check(private); err != nil {
		t.Errorf("one account: %v", err)
	}
	if err := p.Check(netip.MustParseAddr("169.254.169.254")); !errors.Is(err, ErrMetadata) {
		t.Errorf("one account, metadata service: %v, want ErrMetadata", err)
	}
	alone = false
	if err := p.Check(private); !errors.Is(err, ErrPrivate) {
		t.Errorf("two accounts: %v, want ErrPrivate", err)
	}
}
