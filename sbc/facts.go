package sbc

import (
	"bytes"
	"net/netip"
	"strings"

	"carillon/sip"
	"carillon/sip/transport"
)

// sourceOf returns where a request came from, whatever its Via says.
func sourceOf(f transport.Flow, req *sip.Message) netip.AddrPort {
	from := req.Received()
	if !from.IsValid() {
		from = f.Remote()
	}
	return netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
}

// userOf returns the user part of a URI without escapes and without the parameters that telephone numbers carry
// (RFC 3261 section 19.1.6), so that +1206…;phone-context=… is judged by its number.
func userOf(u *sip.URI) string {
	user := string(sip.Unescape(nil, u.User))
	if i := strings.IndexByte(user, ';'); i >= 0 {
		user = user[:i]
	}
	return user
}

// identity returns the user of the first sip or tel URI of an identity header.
func identity(req *sip.Message, id sip.HeaderID) string {
	for value := range req.Values(id) {
		if addr, err := sip.ParseNameAddr(value); err == nil {
			if user := userOf(&addr.URI); user != "" {
				return user
			}
		}
	}
	return ""
}

// private reports whether the caller hides who it is (RFC 3323 section 4.2, RFC 3325 section 9.3).
func private(req *sip.Message) bool {
	for value := range strings.FieldsFuncSeq(string(req.Get(sip.HdrPrivacy)), func(r rune) bool { return r == ';' || r == ',' || r == ' ' }) {
		switch strings.ToLower(value) {
		case "id", "user", "header":
			return true
		}
	}
	return false
}

// unsupported lists the options in Require that this node does not know (RFC 3261 section 8.2.2.3). What both sides
// could do between themselves they cannot do through a B2BUA that does not join in.
func unsupported(req *sip.Message) string {
	var tags []string
	for value := range req.Values(sip.HdrRequire) {
		switch strings.ToLower(string(value)) {
		case "timer", "100rel", "replaces": // the last of these as the connector's settings say
		default:
			tags = append(tags, string(value))
		}
	}
	return strings.Join(tags, ", ")
}

// carriesKey reports whether a body holds an SRTP key.
func carriesKey(m *sip.Message) bool { return bytes.Contains(m.Body(), []byte("a=crypto:")) }
