package sip

import (
	"bytes"
	"slices"
)

// Parse reads one datagram or one framed stream message with the default
// limits. See ParseLimited.
func (m *Message) Parse(b []byte) error { return m.ParseLimited(b, Limits{}) }

// ParseLimited reads one datagram or one framed stream message. The message
// refers to b, and the line breaks of folded headers in b are overwritten by
// spaces, which is what they mean (RFC 3261 §7.3.1). Octets of a datagram
// beyond Content-Length are dropped (RFC 3261 §18.3).
//
// The error is a *ParseError. Even then the parts needed for an answer are
// filled where they exist.
func (m *Message) ParseLimited(b []byte, l Limits) error {
	l = l.withDefaults()
	m.reset()
	for len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		b = b[2:] // RFC 3261 §7.5
	}
	if len(b) == 0 {
		m.note(FaultEmpty)
		return m.refusal()
	}
	if len(b) > l.Message {
		m.note(FaultTooLarge)
		b = b[:l.Message]
	}
	m.buf = b
	body := m.parseHead(b, &l)
	m.check()
	m.cutBody(body)
	if m.fault != FaultNone {
		return m.refusal()
	}
	return nil
}

func (m *Message) reset() {
	m.lines = m.lines[:0]
	clear(m.first[:])
	m.buf, m.token, m.reason, m.body, m.callID, m.cseqMethod = nil, nil, nil, nil, nil, nil
	m.fault, m.method, m.known, m.status, m.response = FaultNone, MethodUnknown, 0, 0, false
	m.cseq, m.maxForwards = 0, 0
	m.received = noAddrPort
}

// note keeps the first fault.
func (m *Message) note(f Fault) {
	if m.fault == FaultNone {
		m.fault = f
	}
}

func (m *Message) refusal() error {
	if m.Answerable() {
		return answers[m.fault]
	}
	return drops[m.fault]
}

// parseHead reads the start line and the headers, and returns where the body
// begins. After a fault it goes on: an answer needs the headers behind it.
func (m *Message) parseHead(b []byte, l *Limits) (body int) {
	pos, ends := 0, 0
	for {
		if pos > 0 && pos+1 < len(b) && b[pos] == '\r' && b[pos+1] == '\n' {
			pos += 2
			ends++
			break
		}
		length := bytes.IndexByte(b[pos:], '\n')
		if length <= 0 {
			// No line end at all, or an empty line that lacks its CR.
			m.note(FaultNoHeaderEnd)
			pos += length + 1
			break
		}
		end := pos + length
		next := end + 1
		if b[end-1] == '\r' {
			end--
			ends++
		} else {
			m.note(FaultLineEnd)
		}
		firstEnd := end
		if next < len(b) && isSpace(b[next]) {
			end, next = m.unfold(b, end, next)
		}
		if end-pos > l.Line {
			m.note(FaultLineTooLong)
		}
		if pos == 0 {
			m.startLine(b[:end:end], firstEnd == end)
		} else if !m.header(pos, firstEnd, end, l.Headers) {
			return len(b)
		}
		pos = next
	}
	m.checkOctets(b[:pos], ends)
	return pos
}

// unfold overwrites the line end between end and next by spaces, and so for
// every continuation line; it returns the end of the whole header and the start
// of what follows it.
func (m *Message) unfold(b []byte, end, next int) (newEnd, newNext int) {
	for next < len(b) && isSpace(b[next]) {
		length := bytes.IndexByte(b[next:], '\n')
		if length < 0 {
			m.note(FaultNoHeaderEnd)
			return end, len(b)
		}
		for i := end; i < next; i++ {
			b[i] = ' '
		}
		end = next + length
		next = end + 1
		if b[end-1] != '\r' {
			m.note(FaultLineEnd)
			continue
		}
		end--
	}
	return end, next
}

// header records the line b[pos:end]; its colon has to come before firstEnd,
// the end before any fold. It reports false where there are too many lines.
func (m *Message) header(pos, firstEnd, end, max int) bool {
	b := m.buf[:end]
	nameEnd := pos
	for nameEnd < end && chars[b[nameEnd]]&chToken != 0 {
		nameEnd++
	}
	// HCOLON allows white space: "P-Asserted-Identity :" must not slip past a filter.
	value := nameEnd
	for value < end && isSpace(b[value]) {
		value++
	}
	if nameEnd == pos || value >= firstEnd || b[value] != ':' {
		m.note(FaultHeaderName)
		return true
	}
	value++
	id := headerID(b[pos:nameEnd])
	if len(m.lines) == max {
		m.note(FaultTooManyHeaders)
		return false
	}
	for value < end && isSpace(b[value]) {
		value++
	}
	for end > value && isSpace(b[end-1]) {
		end--
	}
	// Field by field into place: appending a composite costs a copy through the stack, a third of the scan.
	n := len(m.lines)
	m.lines = slices.Grow(m.lines, 1)[:n+1]
	at := &m.lines[n]
	at.name, at.nameEnd, at.value, at.valueEnd, at.id = uint32(pos), uint32(nameEnd), uint32(value), uint32(end), id
	if m.first[id] == 0 {
		m.first[id] = uint16(len(m.lines))
		return true
	}
	m.first[id] |= repeated
	if headers[id].flags&single != 0 {
		m.note(FaultDuplicate)
	}
	return true
}

// checkOctets looks at the whole head at once for what may stand nowhere in
// it: a CR that ends no line, and NUL. ends is the number of CRLF left in it.
func (m *Message) checkOctets(head []byte, ends int) {
	if bytes.Count(head, crOctet) != ends {
		m.note(FaultLineEnd)
	}
	if bytes.IndexByte(head, 0) >= 0 && !m.nulsQuoted(head) {
		m.note(FaultNUL)
	}
}

var crOctet = []byte{'\r'}

// nulsQuoted reports whether every NUL is a quoted-pair in a quoted string, the
// one place where the grammar has it (RFC 3261 §25.1, RFC 4475 §3.1.1.2).
func (m *Message) nulsQuoted(head []byte) bool {
	allowed := 0
	for f := range m.Fields() {
		quoted := false
		for i := 0; i < len(f.Value); i++ {
			switch c := f.Value[i]; {
			case c == '"':
				quoted = !quoted
			case c == '\\' && quoted && i+1 < len(f.Value):
				i++
				if f.Value[i] == 0 {
					allowed++
				}
			}
		}
	}
	return bytes.Count(head, nulOctet) == allowed
}

var nulOctet = []byte{0}

// cutBody sets the body that begins at offset i (RFC 3261 §18.3, §20.14).
func (m *Message) cutBody(i int) {
	rest := m.buf[i:]
	if v, ok := m.value(HdrContentLength); ok {
		n, ok := parseUint(v, maxContentLength)
		if !ok {
			m.note(FaultContentLength)
			return
		}
		if n > uint64(len(rest)) {
			m.note(FaultBodyShort)
			return
		}
		rest = rest[:n:n]
		m.buf = m.buf[:i+int(n)]
	}
	if len(rest) > 0 {
		m.body = rest
	}
}

// maxContentLength is where a length stops being one: 2^32, beyond any limit and
// far below where the arithmetic would wrap.
const maxContentLength = 1 << 32

// Clone returns a copy with its own memory, which may outlive the read buffer.
// The received address of SetReceived is kept.
func (m *Message) Clone() *Message {
	c := &Message{lines: make([]line, 0, len(m.lines))}
	// What came through once comes through again: the limits were the first Parse's business.
	_ = c.ParseLimited(bytes.Clone(m.buf), Limits{
		Message: maxMessage, Headers: maxHeaders, Line: maxMessage,
	})
	c.fault = m.fault
	c.received = m.received
	return c
}
