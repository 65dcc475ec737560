package sip

import "bytes"

const version = "SIP/2.0"

// startLine reads the request or status line. A folded one is malformed, but
// read as far as possible.
func (m *Message) startLine(s []byte, whole bool) {
	fault := FaultNone
	if len(s) > 4 && s[3] == '/' && equalFold(s[:3], "sip") {
		m.response = true
		fault = m.statusLine(s)
	} else {
		fault = m.requestLine(s)
	}
	if fault == FaultNone && !whole {
		fault = FaultStartLine
	}
	if fault != FaultNone {
		m.note(fault)
	}
}

// requestLine reads Method SP Request-URI SP SIP-Version, with exactly one
// space each and nothing after (RFC 3261 §7.1). A version we do not speak is
// reported before anything that it may have changed.
func (m *Message) requestLine(s []byte) Fault {
	end := bytes.IndexByte(s, ' ')
	if end <= 0 {
		return FaultStartLine
	}
	token := s[:end:end]
	m.method = ParseMethod(token)
	if m.method == MethodUnknown && !all(token, chToken) {
		return FaultMethod
	}
	m.token = token
	s = s[end+1:]
	end = bytes.IndexByte(s, ' ')
	if end < 0 {
		return FaultStartLine
	}
	uri, v := s[:end:end], s[end+1:]
	if !equalFold(v, version) {
		if isVersion(v) {
			return FaultVersion
		}
		return FaultStartLine
	}
	if !m.ruri.parse(uri) || m.ruri.Headers != nil {
		return FaultRequestURI
	}
	m.known |= hasRequestURI
	return FaultNone
}

// statusLine reads SIP-Version SP Status-Code SP Reason-Phrase (RFC 3261 §7.2).
// The space before an empty phrase may be missing; many leave it out.
func (m *Message) statusLine(s []byte) Fault {
	if len(s) < len(version)+4 || s[len(version)] != ' ' || !equalFold(s[:len(version)], version) {
		if end := bytes.IndexByte(s, ' '); end > 0 && isVersion(s[:end]) && !equalFold(s[:end], version) {
			return FaultVersion
		}
		return FaultStartLine
	}
	s = s[len(version)+1:]
	code, ok := parseUint(s[:3], 699)
	if !ok || code < 100 || len(s) > 3 && s[3] != ' ' {
		return FaultStatus
	}
	m.status = int(code)
	if len(s) > 4 {
		m.reason = s[4:]
	}
	return FaultNone
}

// isVersion reports whether v is "SIP" "/" 1*DIGIT "." 1*DIGIT.
func isVersion(v []byte) bool {
	if len(v) < 7 || v[3] != '/' || !equalFold(v[:3], "sip") {
		return false
	}
	major, minor, ok := bytes.Cut(v[4:], []byte{'.'})
	return ok && allDigits(major) && allDigits(minor)
}

func allDigits(b []byte) bool {
	for _, c := range b {
		if !isDigit(c) {
			return false
		}
	}
	return len(b) > 0
}
