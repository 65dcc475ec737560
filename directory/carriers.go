package directory

import (
	"net/netip"
	"slices"
	"strings"

	"carillon/trunk"
)

// carrierTables answer which carrier takes a number and which one an address belongs to.
type carrierTables struct {
	byName []*trunk.Carrier
	// byPrefix has under each prefix the carriers that list it, by name; longest is the length of the longest prefix.
	byPrefix map[string][]*trunk.Carrier
	longest  int
	// byPeer has the carrier of a literal target: several may share an address, of a laboratory for one.
	byPeer map[netip.AddrPort]*trunk.Carrier
	// bySourcePrefix has the carrier first by name, the lab's behind all others; bits are the lengths that occur, longest first.
	bySourcePrefix map[netip.Prefix]*trunk.Carrier
	bits           []int
}

// newCarrierTables indexes carriers, which must be sorted by name.
func newCarrierTables(carriers []*trunk.Carrier) *carrierTables {
	t := &carrierTables{
		byName: carriers, byPrefix: map[string][]*trunk.Carrier{}, bySourcePrefix: map[netip.Prefix]*trunk.Carrier{},
		byPeer: map[netip.AddrPort]*trunk.Carrier{},
	}
	for _, c := range carriers {
		prefixes := c.Prefixes
		if len(prefixes) == 0 {
			prefixes = []string{""}
		}
		for _, p := range prefixes {
			if !slices.Contains(t.byPrefix[p], c) {
				t.byPrefix[p] = append(t.byPrefix[p], c)
			}
			t.longest = max(t.longest, len(p))
		}
		t.addSources(c)
	}
	slices.Sort(t.bits)
	slices.Reverse(t.bits)
	return t
}

// addSources indexes where a carrier's calls come from. A carrier of the operator's takes an address from the lab, which
// is found by its port.
func (t *carrierTables) addSources(c *trunk.Carrier) {
	for _, peer := range carrierPeers(c) {
		if _, taken := t.byPeer[peer]; !taken {
			t.byPeer[peer] = c
		}
	}
	for _, source := range carrierSources(c) {
		if holder, taken := t.bySourcePrefix[source]; taken && (!holder.Lab || c.Lab) {
			continue
		}
		t.bySourcePrefix[source] = c
		if !slices.Contains(t.bits, source.Bits()) {
			t.bits = append(t.bits, source.Bits())
		}
	}
}

// carrierPeers returns the targets that are addresses, with their ports.
func carrierPeers(c *trunk.Carrier) []netip.AddrPort {
	var all []netip.AddrPort
	for _, target := range c.Targets {
		if a, err := netip.ParseAddr(strings.Trim(target.Host, "[]")); err == nil {
			all = append(all, netip.AddrPortFrom(a.Unmap().WithZone(""), target.EffectivePort()))
		}
	}
	return all
}

// carrierSources returns where the carrier's calls come from, each prefix in its one canonical form.
func carrierSources(c *trunk.Carrier) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range c.Sources {
		a, bits := p.Addr(), p.Bits()
		if a.Is4In6() && bits >= 96 {
			a, bits = a.Unmap(), bits-96
		}
		if p, err := a.WithZone("").Prefix(bits); err == nil {
			all = append(all, p)
		}
	}
	for _, peer := range carrierPeers(c) {
		all = append(all, netip.PrefixFrom(peer.Addr(), peer.Addr().BitLen()))
	}
	return all
}

func (t *carrierTables) route(n trunk.Number) []*trunk.Carrier {
	var found []*trunk.Carrier
	for length := min(len(n), t.longest); length >= 0; length-- {
		for _, c := range t.byPrefix[string(n[:length])] {
			if !slices.Contains(found, c) {
				found = append(found, c)
			}
		}
	}
	return found
}

func (t *carrierTables) bySource(from netip.AddrPort) (*trunk.Carrier, bool) {
	a := from.Addr().Unmap().WithZone("")
	if c, ok := t.byPeer[netip.AddrPortFrom(a, from.Port())]; ok {
		return c, true
	}
	for _, bits := range t.bits {
		p, err := a.Prefix(bits)
		if err != nil {
			continue // an IPv6 length asked of an IPv4 address
		}
		if c, ok := t.bySourcePrefix[p]; ok {
			return c, true
		}
	}
	return nil, false
}

// withCarrier returns carriers, sorted by name, with c in place of the one of its name. It changes nothing.
func withCarrier(carriers []*trunk.Carrier, c *trunk.Carrier) []*trunk.Carrier {
	next := withoutCarrier(carriers, c.Name)
	at, _ := slices.BinarySearchFunc(next, c.Name, compareCarrier)
	return slices.Insert(next, at, c)
}

func withoutCarrier(carriers []*trunk.Carrier, name string) []*trunk.Carrier {
	return slices.DeleteFunc(slices.Clone(carriers), func(c *trunk.Carrier) bool { return c.Name == name })
}

func compareCarrier(c *trunk.Carrier, name string) int { return strings.Compare(c.Name, name) }
