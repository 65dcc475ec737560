package digest

import (
	"bytes"
	"strings"

	"carillon/sip"
)

// SameTarget says whether a digest-uri names the target of a Request-URI (RFC 7616 §3.4.6: the two "SHOULD" name the
// same resource). Without it a response captured for one number would place a call to another.
//
// User and host must be equal: the user after unescaping and with regard to case, the host without regard to case and
// addresses as addresses. sip and sips are one, a port counts only where both name one, passwords, parameters and
// headers are ignored: clients leave them out of the one or the other.
func SameTarget(digest, request *sip.URI) bool {
	if (digest.Scheme == sip.SchemeTEL) != (request.Scheme == sip.SchemeTEL) {
		return false
	}
	switch request.Scheme {
	case sip.SchemeTEL:
		return telDigits(digest.User) == telDigits(request.User)
	case sip.SchemeOther:
		return bytes.Equal(digest.Raw, request.Raw)
	}
	if digest.Scheme == sip.SchemeOther || !sameText(digest.User, request.User) {
		return false
	}
	if digest.Port != 0 && request.Port != 0 && digest.Port != request.Port {
		return false
	}
	a, aok := digest.HostAddr()
	b, bok := request.HostAddr()
	if aok || bok {
		return aok && bok && a == b
	}
	return bytes.EqualFold(bytes.TrimSuffix(digest.Host, dot), bytes.TrimSuffix(request.Host, dot))
}

var dot = []byte(".")

// sameText compares two user parts octet by octet after unescaping (RFC 3261 §19.1.4).
func sameText(a, b []byte) bool {
	for len(a) > 0 && len(b) > 0 {
		var x, y byte
		x, a = nextOctet(a)
		y, b = nextOctet(b)
		if x != y {
			return false
		}
	}
	return len(a) == 0 && len(b) == 0
}

func nextOctet(s []byte) (byte, []byte) {
	if s[0] == '%' && len(s) >= 3 {
		hi, lo := unhex(s[1]), unhex(s[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), s[3:]
		}
	}
	return s[0], s[1:]
}

func unhex(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

// telDigits drops the visual separators of RFC 3966 §3.
func telDigits(number []byte) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune("-.()", r) {
			return -1
		}
		return r
	}, string(number))
}
