package sip

import (
	"bytes"
	"errors"
)

var errNameAddr = errors.New("malformed name-addr")

// NameAddr is a name-addr or addr-spec with header parameters, as in From, To,
// Contact, Route and P-Asserted-Identity (RFC 3261 §20.10). Its slices lie in
// the buffer it was parsed from.
type NameAddr struct {
	Display []byte // as written, a quoted string with its quotes; nil when absent
	URI     URI
	Params  []byte // ";name=value…" after the URI, nil when absent
	tag     []byte
}

// ParseNameAddr parses one value; what follows a comma is an error. The result
// refers to b.
func ParseNameAddr(b []byte) (NameAddr, error) {
	var n NameAddr
	b = trim(b)
	if end, ok := n.parse(b); !ok || end != len(b) {
		return NameAddr{}, errNameAddr
	}
	return n, nil
}

// Tag returns the tag parameter, nil when absent.
func (n *NameAddr) Tag() []byte { return n.tag }

// Param returns the value of a header parameter, a quoted string with its
// quotes; ok is false where it is absent.
func (n *NameAddr) Param(name string) (value []byte, ok bool) { return param(n.Params, name) }

// parse reads one value from the start of b and returns where it ends: at a
// comma or at the end of b.
func (n *NameAddr) parse(b []byte) (end int, ok bool) {
	n.Display, n.Params, n.tag = nil, nil, nil
	i := skipSpace(b, 0)
	bracket, ok := n.scanDisplay(b, i)
	if !ok {
		return 0, false
	}
	if bracket < 0 {
		end = scanAddrSpec(b, i)
		ok = n.URI.parse(b[i:end:end])
	} else {
		i = bracket + 1
		length := bytes.IndexByte(b[i:], '>')
		if length < 0 {
			return 0, false
		}
		end = i + length
		ok = n.URI.parse(b[i:end:end])
		end++
	}
	if !ok {
		return 0, false
	}
	return n.parseParams(b, end)
}

// scanDisplay finds the "<" after an optional display name, -1 where b is an
// addr-spec instead (RFC 3261 §25.1: name-addr / addr-spec).
func (n *NameAddr) scanDisplay(b []byte, i int) (bracket int, ok bool) {
	if i == len(b) {
		return 0, false
	}
	start, end := i, i
	if b[i] == '"' {
		if end = skipQuoted(b, i); end > len(b) {
			return 0, false
		}
		i = skipSpace(b, end)
	} else {
		for i < len(b) && b[i] != '<' {
			token := skipToken(b, i)
			if token == i {
				// A colon ends the scheme of an addr-spec, but only the very first token is one.
				return -1, b[i] == ':' && end == i && start != i && end == skipToken(b, start)
			}
			end = token
			i = skipSpace(b, token)
		}
	}
	if i == len(b) || b[i] != '<' {
		return 0, false
	}
	if end > start {
		n.Display = b[start:end:end]
	}
	return i, true
}

// scanAddrSpec returns where an addr-spec without brackets ends. A "?" does not
// end it: URI headers need the brackets (RFC 3261 §20), and with Headers set
// the caller would take a stranger's headers for the URI's.
func scanAddrSpec(b []byte, i int) int {
	for i < len(b) && b[i] != ';' && b[i] != ',' && !isSpace(b[i]) {
		if b[i] == '?' {
			return 0
		}
		i++
	}
	return i
}

// parseParams reads the header parameters from i on and picks out the tag. Two
// tags would be two dialogs; that is refused.
func (n *NameAddr) parseParams(b []byte, i int) (end int, ok bool) {
	i = skipSpace(b, i)
	start := i
	for {
		name, value, next := nextParam(b, i)
		if next < 0 {
			return 0, false
		}
		if name == nil {
			break
		}
		i = next
		if len(name) == 3 && equalFold(name, "tag") {
			if n.tag != nil || len(value) == 0 || value[0] == '"' {
				return 0, false
			}
			n.tag = value
		}
	}
	if i > start {
		n.Params = b[start:i:i]
	}
	return skipSpace(b, i), true
}

// AppendDisplay appends the display name as text: without the quotes and the
// backslashes of a quoted string.
func (n *NameAddr) AppendDisplay(dst []byte) []byte {
	d := n.Display
	if len(d) < 2 || d[0] != '"' {
		return append(dst, d...)
	}
	for i := 1; i < len(d)-1; i++ {
		if d[i] == '\\' && i+1 < len(d)-1 {
			i++
		}
		dst = append(dst, d[i])
	}
	return dst
}
