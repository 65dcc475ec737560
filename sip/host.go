package sip

import (
	"bytes"
	"net/netip"
)

// scanHost returns the length of the host at the start of b, -1 where there is
// none: a name, an IPv4 address or an IPv6 address in brackets (RFC 3261
// §25.1). Names may have underscores, which container networks put there; which
// names exist is for the resolver to say.
func scanHost(b []byte) int {
	i := 0
	if len(b) > 0 && b[0] == '[' {
		end := bytes.IndexByte(b, ']')
		if end < 0 {
			return -1
		}
		if _, ok := parseIPv6(b[1:end]); !ok {
			return -1
		}
		return end + 1
	}
	for i < len(b) && chars[b[i]]&chHost != 0 {
		i++
	}
	if i == 0 || b[0] == '.' || b[0] == '-' {
		return -1
	}
	return i
}

// scanPort reads a port, 1 to 65535, from b[i:] and returns the index after it,
// -1 where there is none.
func scanPort(b []byte, i int) (end int, port uint16) {
	end = i
	for end < len(b) && isDigit(b[end]) {
		end++
	}
	n, ok := parseUint(b[i:end], 65535)
	if !ok || n == 0 {
		return -1, 0
	}
	return end, uint16(n)
}

// parseAddr reads an IPv4 address, or an IPv6 address with or without brackets:
// the received parameter is seen with both (RFC 5118 §4.5).
func parseAddr(b []byte) (addr netip.Addr, ok bool) {
	if v4, ok := parseIPv4(b); ok {
		return netip.AddrFrom4(v4), true
	}
	if len(b) > 2 && b[0] == '[' && b[len(b)-1] == ']' {
		b = b[1 : len(b)-1]
	}
	v6, ok := parseIPv6(b)
	if !ok {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(v6), true
}

func parseIPv4(b []byte) (a [4]byte, ok bool) {
	part, digits, n := 0, 0, 0
	for _, c := range b {
		switch {
		case isDigit(c):
			n = n*10 + int(c-'0')
			if digits++; digits > 3 || n > 255 {
				return a, false
			}
		case c == '.' && digits > 0 && part < 3:
			a[part] = byte(n)
			part, digits, n = part+1, 0, 0
		default:
			return a, false
		}
	}
	a[3] = byte(n)
	return a, part == 3 && digits > 0
}

// parseIPv6 reads an IPv6 address (RFC 4291 §2.2) without zone. Right before an
// embedded IPv4 address it takes ":::" for "::", which the grammar of RFC 3261
// produces and RFC 5118 §4.10 wants tolerated.
func parseIPv6(b []byte) (a [16]byte, ok bool) {
	n, gap, i := 0, -1, 0
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		gap, i = 0, skipThirdColon(b, 2)
	}
	for i < len(b) {
		start, group := i, 0
		for i < len(b) && i < start+4 && isHex(b[i]) {
			group = group<<4 | int(unhex(b[i]))
			i++
		}
		if i < len(b) && b[i] == '.' {
			v4, ok := parseIPv4(b[start:])
			if !ok || n > 12 {
				return a, false
			}
			n += copy(a[n:], v4[:])
			break
		}
		if i == start || n == 16 {
			return a, false
		}
		a[n], a[n+1] = byte(group>>8), byte(group)
		n += 2
		if i == len(b) {
			break
		}
		if b[i] != ':' || i+1 == len(b) {
			return a, false
		}
		if i++; b[i] == ':' {
			if gap >= 0 {
				return a, false
			}
			gap, i = n, skipThirdColon(b, i+1)
		}
	}
	if gap < 0 {
		return a, n == 16
	}
	if n == 16 {
		return a, false
	}
	tail := copy(a[16-(n-gap):], a[gap:n])
	clear(a[gap : 16-tail])
	return a, true
}

func skipThirdColon(b []byte, i int) int {
	if i < len(b) && b[i] == ':' {
		if _, ok := parseIPv4(b[i+1:]); ok {
			return i + 1
		}
	}
	return i
}
