package sip

import "errors"

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

func (n *NameAddr) parse(b []byte) (int, bool) { return 0, false }
