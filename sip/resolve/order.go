package resolve

import (
	"cmp"
	"encoding/binary"
	"io"
	"net/netip"
	"slices"
)

// Order says which address families are used and which comes first.
type Order uint8

// The orders. The two mixed ones alternate between families (RFC 8305 §4), so that a broken family costs one attempt.
const (
	IPv4First Order = iota
	IPv6First
	IPv4Only
	IPv6Only
)

func (o Order) types() []uint16 {
	switch o {
	case IPv4Only:
		return []uint16{typeA}
	case IPv6Only:
		return []uint16{typeAAAA}
	case IPv6First:
		return []uint16{typeAAAA, typeA}
	}
	return []uint16{typeA, typeAAAA}
}

// arrange puts addresses in the order they should be tried and drops those of a family not in use. The order within a
// family is the name server's.
func (o Order) arrange(addrs []netip.Addr) []netip.Addr {
	var four, six []netip.Addr
	for _, a := range addrs {
		if a.Is4() {
			four = append(four, a)
		} else {
			six = append(six, a)
		}
	}
	first, second := four, six
	switch o {
	case IPv4Only:
		return four
	case IPv6Only:
		return six
	case IPv6First:
		first, second = six, four
	}
	out := make([]netip.Addr, 0, len(addrs))
	for i := 0; i < len(first) || i < len(second); i++ {
		if i < len(first) {
			out = append(out, first[i])
		}
		if i < len(second) {
			out = append(out, second[i])
		}
	}
	return out
}

// srv is one SRV record; target "" stands for the root, "service not available".
type srv struct {
	priority, weight, port uint16
	target                 string
}

// orderSRV sorts a copy by priority and draws, within a priority, by weight (RFC 2782, "Usage rules": zero weights first
// in the list, a random number up to the running sum, repeat without the one drawn).
func orderSRV(records []srv, random io.Reader) []srv {
	out := slices.Clone(records)
	slices.SortStableFunc(out, func(a, b srv) int {
		return cmp.Or(cmp.Compare(a.priority, b.priority), cmp.Compare(min(a.weight, 1), min(b.weight, 1)))
	})
	for start := 0; start < len(out); {
		end := start
		for end < len(out) && out[end].priority == out[start].priority {
			end++
		}
		for ; start < end; start++ {
			group := out[start:end]
			i := draw(group, random)
			chosen := group[i]
			copy(group[1:i+1], group[:i]) // the rest keeps its order: zero weights stay in front
			group[0] = chosen
		}
	}
	return out
}

func draw(group []srv, random io.Reader) int {
	var sum uint64
	for _, s := range group {
		sum += uint64(s.weight)
	}
	if len(group) == 1 || sum == 0 {
		return 0
	}
	n := uniform(random, sum+1)
	var running uint64
	for i, s := range group {
		if running += uint64(s.weight); running >= n {
			return i
		}
	}
	return len(group) - 1
}

// uniform draws from [0, n). The bias of the remainder is below 2^-43 for sums of 16-bit weights. Without randomness the
// first record wins: a call is worth more than a fair share.
func uniform(random io.Reader, n uint64) uint64 {
	var b [8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0
	}
	return binary.BigEndian.Uint64(b[:]) % n
}

// service is a NAPTR record that points at SRV records of a transport we have.
type service struct {
	order, preference uint16
	proto             Proto
	replacement       string
}

// orderNAPTR sorts by order, then preference (RFC 3403 §4.1), and leaves what the query does not allow.
func orderNAPTR(records []service, secure bool) []service {
	out := make([]service, 0, len(records))
	for _, s := range records {
		if !secure || s.proto == TLS {
			out = append(out, s)
		}
	}
	slices.SortStableFunc(out, func(a, b service) int {
		return cmp.Or(cmp.Compare(a.order, b.order), cmp.Compare(a.preference, b.preference))
	})
	return out
}
