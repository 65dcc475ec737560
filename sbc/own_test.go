package sbc

import (
	"testing"

	"carillon/clock"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// What the node calls itself towards a peer is something the peer can reach.
func TestOwnURI(t *testing.T) {
	for _, tt := range []struct {
		name, name6, local, remote string
		proto                      transport.Proto
		want                       string
	}{
		{"sip.example.com", "", "[2001:db8::1]:5060", "[2001:db8::9]:5060", transport.UDP, "sip:sip.example.com:5060"},
		{"192.0.2.1", "", "10.0.0.1:5061", "198.51.100.9:40000", transport.TLS, "sip:192.0.2.1:5061;transport=tls"},
		{"192.0.2.1", "2001:db8::1", "10.0.0.1:5060", "198.51.100.9:5060", transport.UDP, "sip:192.0.2.1:5060"},
		{"192.0.2.1", "2001:db8::1", "[fd00::1]:5060", "[2001:db8::9]:5060", transport.TCP, "sip:[2001:db8::1]:5060;transport=tcp"},
		{"192.0.2.1", "", "[2001:db8::5]:5060", "[2001:db8::9]:5060", transport.UDP, "sip:[2001:db8::5]:5060"},
		{"192.0.2.1", "", "[::]:5060", "[2001:db8::9]:5060", transport.UDP, "sip:192.0.2.1:5060"}, // nothing better is known
		{"2001:db8::1", "", "10.0.0.1:5060", "198.51.100.9:5060", transport.UDP, "sip:[2001:db8::1]:5060"},
	} {
		scenario(t, nil, func(r *rig) {
			cfg := r.sbc.cfg
			cfg.Name, cfg.Name6 = tt.name, tt.name6
			s, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			near, _ := siptest.WireBetween(tt.proto, clock.System(), mustAddr(tt.local), mustAddr(tt.remote))
			if got := s.ownURI(near.Flow(), false); got != tt.want {
				t.Errorf("%s and %q towards %s: %s, want %s", tt.name, tt.name6, tt.remote, got, tt.want)
			}
		})
	}
}
