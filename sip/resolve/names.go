package resolve

import (
	"fmt"
	"net/netip"
	"strings"
)

// literal reads an IP address, in brackets or not. A zone is refused: it names an interface of this machine.
func literal(host string) (netip.Addr, bool) {
	if len(host) > 2 && host[0] == '[' && host[len(host)-1] == ']' {
		host = host[1 : len(host)-1]
	}
	addr, err := netip.ParseAddr(host)
	return addr, err == nil && addr.Zone() == ""
}

// canonical lower-cases a host name and checks it (RFC 3261 §25.1, RFC 1035 §2.3.4), underscores allowed.
func canonical(host string) (string, error) {
	host = strings.TrimSuffix(host, ".")
	if host == "" || len(host) > 253-len("_sips._tcp.") {
		return "", fmt.Errorf("%w: %d characters", ErrBadName, len(host))
	}
	label := 0
	for i := range len(host) {
		c := host[i]
		switch {
		case c == '.':
			if label == 0 {
				return "", fmt.Errorf("%w: empty label", ErrBadName)
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return "", fmt.Errorf("%w: character %q", ErrBadName, c)
		}
		if label++; label > 63 {
			return "", fmt.Errorf("%w: label over 63 characters", ErrBadName)
		}
	}
	return strings.ToLower(host), nil
}
