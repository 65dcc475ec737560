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
	// bySourcePrefix has the carrier first by name; bits are the lengths that occur, longest first.
	bySourcePrefix map[netip.Prefix]*trunk.Carrier
	bits           []int
}

// newCarrierTables indexes carriers, which must be sorted by name.
func newCarrierTables(carriers []*trunk.Carrier) *carrierTables {
	t := &carrierTables{
		byName: carriers, byPrefix: map[string][]*trunk.Carrier{}, bySourcePrefix: map[netip.Prefix]*trunk.Carrier{},
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
		for _, source := range carrierSources(c) {
			if _, taken := t.bySourcePrefix[source]; taken {
				continue
			}
			t.bySourcePrefix[source] = c
			if !slices.Contains(t.bits, source.Bits()) {
				t.bits = append(t.bits, source.Bits())
			}
		}
	}
	slices.Sort(t.bits)
	slices.Reverse(t.bits)
	return t
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
	for _, target := range c.Targets {
		if a, err := netip.ParseAddr(strings.Trim(target.Host, "[]")); err == nil {
			a = a.Unmap().WithZone("")
			all = append(all, netip.PrefixFrom(a, a.BitLen()))
		}
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

func (t *carrierTables) bySource(a netip.Addr) (*trunk.Carrier, bool) {
	a = a.Unmap().WithZone("")
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
