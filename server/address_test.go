package server

import (
	"fmt"
	"net/netip"
	"testing"

	"carillon/config"
)

func ips(list ...string) []netip.Addr {
	var all []netip.Addr
	for _, s := range list {
		all = append(all, netip.MustParseAddr(s))
	}
	return all
}

// What connectors' names resolve to and what the node calls itself follow from what is advertised, else from where SIP
// listens, else from media's addresses of the families that SIP serves.
func TestAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		config config.Config
		udp    string // where SIP listens
		addrs  string
		name   string
		name6  string
	}{
		"one address":             {config.Config{MediaIP: ips("192.0.2.7")}, "192.0.2.5:5060", "[192.0.2.5]", "192.0.2.5", ""},
		"all of IPv4":             {config.Config{MediaIP: ips("192.0.2.7", "2001:db8::7")}, "0.0.0.0:5060", "[192.0.2.7]", "192.0.2.7", ""},
		"all of both":             {config.Config{MediaIP: ips("192.0.2.7", "2001:db8::7")}, "[::]:5060", "[192.0.2.7 2001:db8::7]", "192.0.2.7", "2001:db8::7"},
		"two of a family":         {config.Config{MediaIP: ips("192.0.2.7", "192.0.2.8")}, "[::]:5060", "[192.0.2.7 192.0.2.8]", "192.0.2.7", ""},
		"IPv6 alone":              {config.Config{MediaIP: ips("2001:db8::7")}, "[::]:5060", "[2001:db8::7]", "2001:db8::7", ""},
		"media behind NAT":        {config.Config{MediaIP: ips("10.0.0.7", "2001:db8::7"), MediaAdvertise: ips("198.51.100.7")}, "[::]:5060", "[198.51.100.7 2001:db8::7]", "198.51.100.7", "2001:db8::7"},
		"SIP behind NAT":          {config.Config{SIPAdvertise: []string{"198.51.100.7"}, MediaIP: ips("10.0.0.7")}, "10.0.0.7:5060", "[198.51.100.7]", "198.51.100.7", ""},
		"both families behind it": {config.Config{SIPAdvertise: []string{"2001:db8::9", "198.51.100.7"}}, "[::]:5060", "[2001:db8::9 198.51.100.7]", "198.51.100.7", "2001:db8::9"},
		"a name":                  {config.Config{SIPAdvertise: []string{"sip.example.com"}, MediaIP: ips("192.0.2.7", "2001:db8::7")}, "[::]:5060", "[192.0.2.7 2001:db8::7]", "sip.example.com", ""},
		"a name and an address":   {config.Config{SIPAdvertise: []string{"sip.example.com", "198.51.100.7"}, MediaIP: ips("10.0.0.7")}, "10.0.0.7:5060", "[198.51.100.7]", "sip.example.com", ""},
		"nothing":                 {config.Config{}, "[::]:5060", "[]", "localhost", ""},
	} {
		t.Run(name, func(t *testing.T) {
			n := &Node{config: tt.config, bound: addresses{udp: netip.MustParseAddrPort(tt.udp)}}
			if got := fmt.Sprint(n.sipAddrs()); got != tt.addrs {
				t.Errorf("names resolve to %s, want %s", got, tt.addrs)
			}
			if name, name6 := n.sipName(); name != tt.name || name6 != tt.name6 {
				t.Errorf("the node is %q and %q, want %q and %q", name, name6, tt.name, tt.name6)
			}
		})
	}
}
