package sip

// param finds one of ";name=value" parameters; ok is false where it is absent.
// A value that is a quoted string keeps its quotes. The name's case is ignored
// (RFC 3261 §7.3.1).
func param(params []byte, name string) (value []byte, ok bool) {
	for len(params) > 0 {
		var p []byte
		p, params = cutOutside(params, ';')
		n, v := cutEqual(p)
		if equalFold(n, name) {
			return v, true
		}
	}
	return nil, false
}

// cutEqual splits "name = value"; value is nil where there is no "=".
func cutEqual(p []byte) (name, value []byte) {
	for i, c := range p {
		if c == '=' {
			return trim(p[:i]), trim(p[i+1:])
		}
	}
	return trim(p), nil
}

// cutComma splits a header value at its first comma that is neither quoted nor
// in angle brackets.
func cutComma(b []byte) (head, rest []byte) {
	head, rest = cutOutside(b, ',')
	return trim(head), trim(rest)
}

// cutOutside splits b at the first sep outside quoted strings and angle
// brackets. A string or bracket that never closes runs to the end.
func cutOutside(b []byte, sep byte) (head, rest []byte) {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case sep:
			return b[:i:i], b[i+1:]
		case '"':
			i = skipQuoted(b, i) - 1
		case '<':
			for i < len(b) && b[i] != '>' {
				i++
			}
		}
	}
	return b, nil
}

// skipQuoted returns the index after the quoted string that opens at i, or one
// past len(b) where it never closes.
func skipQuoted(b []byte, i int) int {
	for i++; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(b) + 1
}

// skipSpace returns the index of the first octet at or after i that is not LWS.
func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}

// skipToken returns the index after the token that starts at i, i if there is none.
func skipToken(b []byte, i int) int {
	for i < len(b) && chars[b[i]]&chToken != 0 {
		i++
	}
	return i
}

// nextParam reads *(SWS ";" SWS name [EQUAL value]) one at a time from i: a
// generic-param of RFC 3261 §25.1, whose value is a token, a host or a quoted
// string. next is the index after it, -1 where the syntax breaks. At the end of
// the parameters (end of b, or a comma) name is empty and next points there.
func nextParam(b []byte, i int) (name, value []byte, next int) {
	if i < len(b) && isSpace(b[i]) {
		i = skipSpace(b, i)
	}
	if i == len(b) || b[i] == ',' {
		return nil, nil, i
	}
	if b[i] != ';' {
		return nil, nil, -1
	}
	start := skipSpace(b, i+1)
	i = skipToken(b, start)
	if i == start {
		return nil, nil, -1
	}
	name = b[start:i:i]
	equal := skipSpace(b, i)
	if equal == len(b) || b[equal] != '=' {
		return name, nil, i
	}
	start = skipSpace(b, equal+1)
	i = skipParamValue(b, start)
	if i < 0 {
		return nil, nil, -1
	}
	return name, b[start:i:i], i
}

// skipParamValue returns the index after a token, host or quoted string, -1
// where there is none. Brackets and colons are what a host adds to a token.
func skipParamValue(b []byte, i int) int {
	if i < len(b) && b[i] == '"' {
		if i = skipQuoted(b, i); i > len(b) {
			return -1
		}
		return i
	}
	start := i
	for i < len(b) && (chars[b[i]]&chToken != 0 || b[i] == ':' || b[i] == '[' || b[i] == ']') {
		i++
	}
	if i == start {
		return -1
	}
	return i
}
