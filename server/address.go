package server

import (
	"net/netip"
	"slices"

	"carillon/config"
)

// sipAddrs are the addresses connectors' host names resolve to: what the operator said, else those listened on, else
// those of media, as far as SIP listens there.
func (n *Node) sipAddrs() []netip.Addr {
	var addrs []netip.Addr
	for _, s := range n.config.SIPAdvertise {
		if ip, err := netip.ParseAddr(s); err == nil {
			addrs = append(addrs, ip)
		}
	}
	if len(addrs) > 0 {
		return addrs
	}
	for _, l := range n.sipBound() {
		if !l.Addr().IsUnspecified() {
			addrs = appendNew(addrs, l.Addr())
		}
	}
	if len(addrs) > 0 {
		return addrs
	}
	for _, ip := range n.mediaAddrs() {
		if n.takesSIP(ip) {
			addrs = appendNew(addrs, ip)
		}
	}
	return addrs
}

// advertised lists listeners under the addresses peers reach SIP at: what is sent to those comes back through a NAT or a
// balancer, and is as much ours as what is bound.
func (n *Node) advertised(listeners ...netip.AddrPort) (all []netip.AddrPort) {
	for _, ip := range n.sipAddrs() {
		for _, l := range listeners {
			if l.IsValid() {
				all = append(all, netip.AddrPortFrom(ip, l.Port()))
			}
		}
	}
	return all
}

// sipBound are the addresses SIP listens on.
func (n *Node) sipBound() []netip.AddrPort {
	return slices.DeleteFunc([]netip.AddrPort{n.bound.tls, n.bound.udp, n.bound.tcp}, func(l netip.AddrPort) bool { return !l.IsValid() })
}

// takesSIP reports whether a listener on every address serves this one's family.
func (n *Node) takesSIP(ip netip.Addr) bool {
	return slices.ContainsFunc(n.sipBound(), func(l netip.AddrPort) bool {
		return l.Addr().IsUnspecified() && (l.Addr().Is6() || ip.Unmap().Is4())
	})
}

// mediaAddrs are the addresses peers reach media under.
func (n *Node) mediaAddrs() []netip.Addr {
	addrs := slices.Clone(n.config.MediaAdvertise)
	for _, ip := range n.config.MediaIP {
		if !hasFamily(n.config.MediaAdvertise, ip) {
			addrs = appendNew(addrs, ip)
		}
	}
	return addrs
}

func hasFamily(addrs []netip.Addr, like netip.Addr) bool {
	return slices.ContainsFunc(addrs, func(a netip.Addr) bool { return a.Unmap().Is4() == like.Unmap().Is4() })
}

// sipName is the host in Contact and Via: the name the operator gave, else an address. name6 is the one for peers over
// IPv6 where they need another.
func (n *Node) sipName() (name, name6 string) {
	if host := advertisedName(n.config.SIPAdvertise); host != "" {
		return host, ""
	}
	for _, a := range n.sipAddrs() {
		if a.Unmap().Is4() && name == "" {
			name = a.String()
		} else if a.Is6() && name6 == "" {
			name6 = a.String()
		}
	}
	switch {
	case name == "" && name6 == "":
		return "localhost", ""
	case name == "":
		return name6, ""
	}
	return name, name6
}

// advertisedName is the one host name among what is advertised, empty for none.
func advertisedName(advertise []string) string {
	for _, s := range advertise {
		if _, err := netip.ParseAddr(s); err != nil {
			return s
		}
	}
	return ""
}

// certificateIPs are the addresses in the node's own certificate, for peers that dial an address.
func (n *Node) certificateIPs() []netip.Addr {
	var ips []netip.Addr
	for _, l := range []config.Listen{n.config.SIPTLS, n.config.API} {
		if !l.Enabled() {
			continue
		}
		if a, err := parseListen(l); err == nil && !a.Addr().IsUnspecified() {
			ips = appendNew(ips, a.Addr())
		}
	}
	for _, s := range n.config.SIPAdvertise {
		if ip, err := netip.ParseAddr(s); err == nil {
			ips = appendNew(ips, ip)
		}
	}
	for _, ip := range slices.Concat(n.config.MediaIP, n.config.MediaAdvertise) {
		if !ip.IsUnspecified() {
			ips = appendNew(ips, ip)
		}
	}
	return ips
}

func appendNew(addrs []netip.Addr, a netip.Addr) []netip.Addr {
	if slices.Contains(addrs, a) {
		return addrs
	}
	return append(addrs, a)
}
