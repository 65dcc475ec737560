package sip

import "bytes"

// Uint returns the number a header begins with, as Expires, Min-SE,
// Session-Expires, RSeq and Retry-After do; what may follow it is a parameter
// or a comment. ok is false where the header is absent, has no number, or one
// beyond 2^32-1 (RFC 3261 §20.19): such a value is to be treated as absent,
// never as a small one.
func (m *Message) Uint(id HeaderID) (n uint32, ok bool) {
	v := m.Get(id)
	end := 0
	for end < len(v) && isDigit(v[end]) {
		end++
	}
	if end < len(v) && v[end] != ';' && v[end] != '(' && !isSpace(v[end]) {
		return 0, false
	}
	wide, ok := parseUint(v[:end], 1<<32-1)
	return uint32(wide), ok
}

// RAck returns the three parts of a RAck header (RFC 3262 §7.2): the RSeq and
// the CSeq of the response a PRACK confirms. ok is false where it is absent or
// malformed.
func (m *Message) RAck() (rseq, cseq uint32, method []byte, ok bool) {
	first, rest := cutSpace(m.Get(HdrRAck))
	second, method := cutSpace(rest)
	r, rok := parseUint(first, 1<<32-1)
	c, cok := parseUint(second, 1<<31-1)
	if !rok || !cok || !all(method, chToken) {
		return 0, 0, nil, false
	}
	return uint32(r), uint32(c), method, true
}

func cutSpace(b []byte) (head, rest []byte) {
	end := 0
	for end < len(b) && !isSpace(b[end]) {
		end++
	}
	return b[:end], trim(b[end:])
}

// ValueParam returns the value of a ";name=value" parameter of a header value
// that is neither a URI nor a name-addr, as of Session-Expires, Reason or
// Content-Type. A quoted string keeps its quotes; ok is false where it is absent.
func ValueParam(value []byte, name string) (v []byte, ok bool) {
	_, params := cutOutside(value, ';')
	return param(params, name)
}

// AppendQuoted appends text as a quoted string (RFC 3261 §25.1). CR, LF and NUL
// pass through, for the Builder to refuse.
func AppendQuoted(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for i := range len(text) {
		if text[i] == '"' || text[i] == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, text[i])
	}
	return append(dst, '"')
}

// MediaTypeIs reports whether a Content-Type is this "type/subtype", ignoring
// case, parameters and white space around the slash.
func MediaTypeIs(contentType []byte, mediaType string) bool {
	head, _ := cutOutside(contentType, ';')
	kind, subtype, ok := bytes.Cut(head, []byte{'/'})
	slash := len(trim(kind))
	return ok && slash < len(mediaType) && equalFold(trim(kind), mediaType[:slash]) &&
		mediaType[slash] == '/' && equalFold(trim(subtype), mediaType[slash+1:])
}
