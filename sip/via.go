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

// parse reads one value from the start of b and returns where it ends: at a
// comma or at the end of b.
func (v *Via) parse(b []byte) (end int, ok bool) {
	i, ok := v.parseSentBy(b)
	if !ok {
		return 0, false
	}
	return v.parseParams(b, i)
}

// parseSentBy reads sent-protocol LWS sent-by and returns the index after it.
// The version is not looked at: a request of a version we do not speak has to
// be answered along the same Via.
func (v *Via) parseSentBy(b []byte) (end int, ok bool) {
	*v = Via{}
	i := len("SIP/2.0/")
	if len(b) < i || string(b[:i]) != "SIP/2.0/" {
		if i = skipProtocol(b); i < 0 {
			return 0, false
		}
	}
	start := skipSpace(b, i)
	i = skipToken(b, start)
	v.Transport = b[start:i:i]
	host := skipSpace(b, i)
	if i == start || host == i {
		return 0, false
	}
	length := scanHost(b[host:])
	if length < 0 {
		return 0, false
	}
	i = host + length
	v.Host = b[host:i:i]
	if colon := skipSpace(b, i); colon < len(b) && b[colon] == ':' {
		if i, v.Port = scanPort(b, skipSpace(b, colon+1)); i < 0 {
			return 0, false
		}
	}
	return i, true
}

// skipProtocol returns the index after protocol-name SLASH version SLASH, white
// space around the slashes allowed; -1 where b has something else.
func skipProtocol(b []byte) int {
	i := 0
	for range 2 {
		i = skipSpace(b, i)
		end := skipToken(b, i)
		slash := skipSpace(b, end)
		if end == i || slash == len(b) || b[slash] != '/' {
			return -1
		}
		i = slash + 1
	}
	return i
}

// parseParams reads via-params from i on. A second branch is refused: each
// element would match the transaction by a different one.
func (v *Via) parseParams(b []byte, i int) (end int, ok bool) {
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
		switch len(name) {
		case len("branch"):
			if equalFold(name, "branch") {
				if v.Branch != nil || len(value) == 0 || value[0] == '"' {
					return 0, false
				}
				v.Branch = value
			}
		case len("received"):
			if equalFold(name, "received") {
				v.Received = value
			}
		case len("rport"):
			if equalFold(name, "rport") {
				port, ok := parseUint(value, 65535)
				if value != nil && !ok {
					return 0, false
				}
				v.RPort, v.HasRPort = uint16(port), true
			}
		}
	}
	if i > start {
		v.Params = b[start:i:i]
	}
	return skipSpace(b, i), true
}
