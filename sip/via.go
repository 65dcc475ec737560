package sip

import (
	"errors"
)

var errVia = errors.New("malformed Via")

// Via is one value of a Via header (RFC 3261 §20.42). Its slices lie in the
// buffer it was parsed from.
type Via struct {
	Transport []byte // as written, "UDP", "TLS"; compare with TransportIs
	Host      []byte // of sent-by; an IPv6 address keeps its brackets
	Branch    []byte // nil when absent
	Received  []byte // as the peer wrote it, nil when absent
	Params    []byte // ";name=value…", nil when absent
	Port      uint16 // of sent-by, 0 when absent
	RPort     uint16 // value of rport, 0 where it has none
	HasRPort  bool   // rport is present, with or without a value (RFC 3581)
}

// magicCookie begins the branch of every RFC 3261 element (§8.1.1.7).
const magicCookie = "z9hG4bK"

// ParseVia parses one value; what follows a comma is an error. The result
// refers to b.
func ParseVia(b []byte) (Via, error) {
	var v Via
	b = trim(b)
	if end, ok := v.parse(b); !ok || end != len(b) {
		return Via{}, errVia
	}
	return v, nil
}

// TransportIs reports whether the transport is this one, ignoring case.
func (v *Via) TransportIs(name string) bool { return equalFold(v.Transport, name) }

// Param returns the value of a parameter; ok is false where it is absent.
func (v *Via) Param(name string) (value []byte, ok bool) { return param(v.Params, name) }

// BranchIsUnique reports whether the branch identifies a transaction by itself:
// it begins with the magic cookie and does not end there (RFC 3261 §17.2.3,
// RFC 4475 §3.2.1). Without that, match as RFC 2543 did.
func (v *Via) BranchIsUnique() bool {
	return len(v.Branch) > len(magicCookie) && equalFold(v.Branch[:len(magicCookie)], magicCookie)
}

func (v *Via) parse(b []byte) (int, bool) { return 0, false }
