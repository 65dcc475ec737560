package sip

import (
	"bytes"
	"errors"
	"net/netip"
	"strconv"
)

// Scheme is the scheme of a URI.
type Scheme uint8

// The schemes this package takes apart. Of any other only the text is kept; a
// UAS that is asked for one answers 416 (RFC 3261 §8.2.2.1).
const (
	SchemeOther Scheme = iota
	SchemeSIP          // RFC 3261 §19.1
	SchemeSIPS         // RFC 3261 §19.1
	SchemeTEL          // RFC 3966; the number is in User
)

// errURI is the only error of this file: where and why is of no use to anybody
// but the sender, who gets a 400.
var errURI = errors.New("malformed URI")

// URI is a SIP, SIPS or tel URI, or one of another scheme. Its slices lie in
// the buffer it was parsed from; escapes are left as they are.
type URI struct {
	Raw      []byte // the whole URI
	User     []byte // nil when absent; for tel the number
	Password []byte // nil when absent, empty for "user:@"
	Host     []byte // an IPv6 address keeps its brackets; nil for tel and others
	Params   []byte // ";name=value…" with the first semicolon, nil when absent
	Headers  []byte // "name=value&…" after the question mark, nil when absent
	Port     uint16 // 0 when absent
	Scheme   Scheme
}

// ParseURI parses a whole URI (RFC 3261 §19.1.1, RFC 3966). It refuses
// malformed escapes, hosts, ports and octets that must be escaped. The URI
// refers to b.
func ParseURI(b []byte) (URI, error) {
	var u URI
	if !u.parse(b) {
		return URI{}, errURI
	}
	return u, nil
}

// Param returns the value of a URI parameter; ok is false where it is absent.
// An escaped name is found too (RFC 4475 §3.1.1.3), the value is left escaped.
func (u *URI) Param(name string) (value []byte, ok bool) {
	for params := u.Params; len(params) > 0; {
		params = params[1:]
		end := bytes.IndexByte(params, ';')
		if end < 0 {
			end = len(params)
		}
		n, v := cutEqual(params[:end:end])
		if equalEscaped(n, []byte(name), true) {
			return v, true
		}
		params = params[end:]
	}
	return nil, false
}

// HostAddr returns the host as an address; ok is false where it is a name.
func (u *URI) HostAddr() (addr netip.Addr, ok bool) { return parseAddr(u.Host) }

// AppendTo appends the URI as it was read; of a URI whose Raw is empty it
// appends the parts.
func (u *URI) AppendTo(b []byte) []byte {
	if len(u.Raw) > 0 {
		return append(b, u.Raw...)
	}
	switch u.Scheme {
	case SchemeSIPS:
		b = append(b, "sips:"...)
	case SchemeTEL:
		b = append(b, "tel:"...)
	default:
		b = append(b, "sip:"...)
	}
	b = append(b, u.User...)
	if u.Password != nil {
		b = append(append(b, ':'), u.Password...)
	}
	if u.User != nil && u.Scheme != SchemeTEL {
		b = append(b, '@')
	}
	b = append(b, u.Host...)
	if u.Port != 0 {
		b = strconv.AppendUint(append(b, ':'), uint64(u.Port), 10)
	}
	b = append(b, u.Params...)
	if u.Headers != nil {
		b = append(append(b, '?'), u.Headers...)
	}
	return b
}

// parse fills u from the whole of b and reports whether it is well-formed.
func (u *URI) parse(b []byte) bool {
	*u = URI{Raw: b}
	switch {
	case len(b) > 4 && b[3] == ':' && equalFold(b[:3], "sip"):
		u.Scheme = SchemeSIP
		return u.parseSIP(b[4:])
	case len(b) > 5 && b[4] == ':' && equalFold(b[:4], "sips"):
		u.Scheme = SchemeSIPS
		return u.parseSIP(b[5:])
	case len(b) > 4 && b[3] == ':' && equalFold(b[:3], "tel"):
		u.Scheme = SchemeTEL
		return u.parseTel(b[4:])
	}
	return validOther(b)
}

// validOther checks scheme ":" 1*uric (RFC 3261 §25.1 absoluteURI).
func validOther(b []byte) bool {
	colon := bytes.IndexByte(b, ':')
	if colon <= 0 || colon+1 == len(b) || !isAlpha(b[0]) {
		return false
	}
	for _, c := range b[:colon] {
		if !isAlpha(c) && !isDigit(c) && c != '+' && c != '-' && c != '.' {
			return false
		}
	}
	return allEscaped(b[colon+1:], chURI)
}

// parseSIP reads [userinfo "@"] hostport [params] [headers]. "@" must be
// escaped everywhere else, so the first one ends the userinfo.
func (u *URI) parseSIP(b []byte) bool {
	plain := 0 // most users have no escape and no password: one pass finds and checks them
	for plain < len(b) && chars[b[plain]]&chUser != 0 {
		plain++
	}
	if plain > 0 && plain < len(b) && b[plain] == '@' {
		u.User = b[:plain:plain]
		b = b[plain+1:]
	} else if at := bytes.IndexByte(b, '@'); at >= 0 {
		if !u.parseUserinfo(b[:at:at]) {
			return false
		}
		b = b[at+1:]
	}
	end := scanHost(b)
	if end < 0 {
		return false
	}
	u.Host = b[:end:end]
	b = b[end:]
	if len(b) > 0 && b[0] == ':' {
		if end, u.Port = scanPort(b, 1); end < 0 {
			return false
		}
		b = b[end:]
	}
	if len(b) == 0 {
		return true
	}
	return u.parseTail(b)
}

func (u *URI) parseUserinfo(b []byte) bool {
	u.User = b
	if colon := bytes.IndexByte(b, ':'); colon >= 0 {
		u.User, u.Password = b[:colon:colon], b[colon+1:]
	}
	return len(u.User) > 0 && allEscaped(u.User, chUser) && allEscaped(u.Password, chPass)
}

// parseTail reads the parameters and headers after the host.
func (u *URI) parseTail(b []byte) bool {
	if b[0] == ';' {
		end := bytes.IndexByte(b, '?')
		if end < 0 {
			end = len(b)
		}
		u.Params = b[:end:end]
		if !validPairs(u.Params[1:], ';', chParam) {
			return false
		}
		if b = b[end:]; len(b) == 0 {
			return true
		}
	}
	if b[0] != '?' {
		return false
	}
	u.Headers = b[1:]
	return validPairs(u.Headers, '&', chHeader)
}

// validPairs checks name ["=" value] *(sep name ["=" value]) for octets of one
// class and escapes. A header's value may be empty, a parameter's may not.
func validPairs(b []byte, sep byte, class uint8) bool {
	n, inValue := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case c == sep:
			if n == 0 && !(inValue && sep == '&') {
				return false
			}
			n, inValue = 0, false
		case c == '=':
			if n == 0 || inValue {
				return false
			}
			n, inValue = 0, true
		case chars[c]&class != 0:
			n++
		case c == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]):
			n++
			i += 2
		default:
			return false
		}
	}
	return n > 0 || inValue && sep == '&'
}

// parseTel reads a telephone number and its parameters (RFC 3966 §3). A digit
// has to be among the visual separators; "*", "#" and A to F may stand in a
// local number.
func (u *URI) parseTel(b []byte) bool {
	end := bytes.IndexByte(b, ';')
	if end < 0 {
		end = len(b)
	}
	u.User = b[:end:end]
	digits := 0
	for i, c := range u.User {
		switch {
		case isHex(c) || c == '*' || c == '#':
			digits++
		case c == '+' && i == 0 || c == '-' || c == '.' || c == '(' || c == ')':
		default:
			return false
		}
	}
	if digits == 0 || end == len(b) {
		return digits > 0
	}
	u.Params = b[end:]
	return validPairs(u.Params[1:], ';', chParam)
}

// Unescape appends b with its escapes undone (RFC 3261 §19.1.2). A "%" that
// begins no escape is kept. The result may hold any octet, also NUL.
func Unescape(dst, b []byte) []byte {
	for i := 0; i < len(b); i++ {
		c := b[i]
		if c == '%' && i+2 < len(b) && isHex(b[i+1]) && isHex(b[i+2]) {
			c = unhex(b[i+1])<<4 | unhex(b[i+2])
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}
