package sip

import "net/netip"

var noAddrPort netip.AddrPort

// value returns the whole first line of a header.
func (m *Message) value(id HeaderID) (v []byte, ok bool) {
	if m.first[id] == 0 {
		return nil, false
	}
	return m.lines[m.firstLine(id)].span(m.buf), true
}

// check parses the headers every element relies on (RFC 3261 §8.1.1, §16.3) and
// notes what is missing or malformed.
func (m *Message) check() {
	m.checkVia()
	if v, ok := m.value(HdrFrom); !ok {
		m.note(FaultMissing)
	} else if end, ok := m.from.parse(v); ok && end == len(v) {
		m.known |= hasFrom
	} else {
		m.note(FaultFrom)
	}
	if v, ok := m.value(HdrTo); !ok {
		m.note(FaultMissing)
	} else if end, ok := m.to.parse(v); ok && end == len(v) {
		m.known |= hasTo
	} else {
		m.note(FaultTo)
	}
	if v, ok := m.value(HdrCallID); !ok {
		m.note(FaultMissing)
	} else if all(v, chCallID) {
		m.callID = v
	} else {
		m.note(FaultCallID)
	}
	m.checkCSeq()
	if v, ok := m.value(HdrContact); ok && string(v) != "*" {
		if _, ok := m.contact.parse(v); ok {
			m.known |= hasContact
		} else {
			m.note(FaultContact)
		}
	}
	if v, ok := m.value(HdrMaxForwards); ok {
		if n, ok := parseUint(v, 255); ok {
			m.maxForwards = int(n)
			m.known |= hasMaxForwards
		} else {
			m.note(FaultMaxForwards)
		}
	}
}

// checkVia parses the topmost Via. Its sent-by alone is enough to answer along.
func (m *Message) checkVia() {
	v, ok := m.value(HdrVia)
	if !ok {
		m.note(FaultMissing)
		return
	}
	i, ok := m.via.parseSentBy(v)
	if !ok {
		m.note(FaultVia)
		return
	}
	m.known |= hasSentBy
	if _, ok := m.via.parseParams(v, i); !ok {
		m.note(FaultVia)
	}
}

// checkCSeq reads 1*DIGIT LWS Method. The number is below 2^31 (RFC 3261
// §8.1.1.5), the method the request's own (§8.1.1.5, §12.2.2).
func (m *Message) checkCSeq() {
	v, ok := m.value(HdrCSeq)
	if !ok {
		m.note(FaultMissing)
		return
	}
	digits := 0
	for digits < len(v) && isDigit(v[digits]) {
		digits++
	}
	n, ok := parseUint(v[:digits], 1<<31-1)
	method := skipSpace(v, digits)
	token := v[method:]
	if !ok || method == digits || !all(token, chToken) {
		m.note(FaultCSeq)
		return
	}
	m.cseq, m.cseqMethod = uint32(n), token
	if m.response {
		m.token, m.method = token, ParseMethod(token)
	} else if string(token) != string(m.token) {
		m.note(FaultCSeqMethod)
	}
}
