package sip

import (
	"iter"
	"net/netip"
)

// A line is a header: offsets into the message's buffer, without white space around them.
type line struct {
	name, nameEnd   uint32
	value, valueEnd uint32
	id              HeaderID
}

// Message is a SIP request or response, read from one buffer. Its zero value is
// ready for Parse, and a message that is used again parses without allocating.
// All slices it hands out lie in that buffer and live as long as it does; use
// Clone to keep a message. A Message must not be read while it is being parsed.
type Message struct {
	buf      []byte
	lines    []line
	first    [headerCount]uint16 // 1 + index of the first line of each known header
	fault    Fault
	method   Method
	known    eager
	response bool

	status  int
	token   []byte // the method as it was written
	reason  []byte
	body    []byte
	ruri    URI
	via     Via
	from    NameAddr
	to      NameAddr
	contact NameAddr
	callID  []byte

	cseq        uint32
	cseqMethod  []byte
	maxForwards int
	received    netip.AddrPort
}

// eager has a bit for each part that parsed.
type eager uint8

const (
	hasRequestURI eager = 1 << iota
	hasSentBy           // enough of the topmost Via to answer along
	hasFrom
	hasTo
	hasContact
	hasMaxForwards
)

// Bytes returns the message as it was read, from start line to end of body,
// folds undone.
func (m *Message) Bytes() []byte { return m.buf }

// IsRequest reports whether the message is a request.
func (m *Message) IsRequest() bool { return !m.response }

// Method returns the request's method; a response's is the one of its CSeq.
func (m *Message) Method() Method { return m.method }

// MethodToken returns the method as it was written; a response's is the one of its CSeq.
func (m *Message) MethodToken() []byte { return m.token }

// RequestURI returns the Request-URI, nil for a response. Its scheme may be one
// nobody knows: answering 416 is up to the reader of the URI.
func (m *Message) RequestURI() *URI {
	if m.known&hasRequestURI == 0 {
		return nil
	}
	return &m.ruri
}

// Status returns the status code, 100 to 699; 0 for a request.
func (m *Message) Status() int { return m.status }

// Reason returns the reason phrase of a response, which may be empty.
func (m *Message) Reason() []byte { return m.reason }

// Via returns the topmost Via, nil only where Parse refused the message.
func (m *Message) Via() *Via {
	if m.known&hasSentBy == 0 {
		return nil
	}
	return &m.via
}

// From returns the From header, nil only where Parse refused the message.
func (m *Message) From() *NameAddr {
	if m.known&hasFrom == 0 {
		return nil
	}
	return &m.from
}

// To returns the To header, nil only where Parse refused the message.
func (m *Message) To() *NameAddr {
	if m.known&hasTo == 0 {
		return nil
	}
	return &m.to
}

// Contact returns the first Contact, nil where there is none or it is "*".
func (m *Message) Contact() *NameAddr {
	if m.known&hasContact == 0 {
		return nil
	}
	return &m.contact
}

// CallID returns the Call-ID, nil only where Parse refused the message.
func (m *Message) CallID() []byte { return m.callID }

// CSeq returns the sequence number, below 2^31 (RFC 3261 §8.1.1.5).
func (m *Message) CSeq() uint32 { return m.cseq }

// CSeqMethod returns the method token of CSeq.
func (m *Message) CSeqMethod() []byte { return m.cseqMethod }

// MaxForwards returns Max-Forwards, 0 to 255; ok is false where there is none,
// which RFC 2543 allowed.
func (m *Message) MaxForwards() (n int, ok bool) {
	return m.maxForwards, m.known&hasMaxForwards != 0
}

// ContentType returns the Content-Type as it was written, nil when absent.
func (m *Message) ContentType() []byte { return m.Get(HdrContentType) }

// Body returns the body, as long as Content-Length says, nil when empty.
func (m *Message) Body() []byte { return m.body }

// SetReceived stores where the request came from, for the topmost Via of what
// is sent back: received (RFC 3261 §18.2.1) and rport (RFC 3581 §4). Parse
// clears it.
func (m *Message) SetReceived(from netip.AddrPort) { m.received = from }

// Received returns what SetReceived stored.
func (m *Message) Received() netip.AddrPort { return m.received }

// Answerable reports whether a response can be sent at all: to a request other
// than ACK whose topmost Via names a sender, even where the rest is malformed.
func (m *Message) Answerable() bool {
	return !m.response && m.method != Ack && m.known&hasSentBy != 0
}

// repeated is set in Message.first where a header has more lines than one.
const repeated = 1 << 15

// firstLine returns the index of the first line of a header that is present.
func (m *Message) firstLine(id HeaderID) int { return int(m.first[id]&^repeated) - 1 }

func (l *line) span(buf []byte) []byte { return buf[l.value:l.valueEnd:l.valueEnd] }

// Get returns the first value of a known header, for list headers up to the
// first comma; nil when absent, and empty but not nil when it has no value.
func (m *Message) Get(id HeaderID) []byte {
	if id == HdrOther || id >= headerCount || m.first[id] == 0 {
		return nil
	}
	v := m.lines[m.firstLine(id)].span(m.buf)
	if headers[id].flags&list != 0 {
		v, _ = cutComma(v)
	}
	return v
}

// Lookup returns the value of the first line with this name, long or compact
// and in any case; nil when absent. Unlike Get it never splits at commas.
func (m *Message) Lookup(name string) []byte {
	if id := ParseHeaderID([]byte(name)); id != HdrOther {
		if m.first[id] == 0 {
			return nil
		}
		return m.lines[m.firstLine(id)].span(m.buf)
	}
	for i := range m.lines {
		if l := &m.lines[i]; l.id == HdrOther && equalFold(m.buf[l.name:l.nameEnd], name) {
			return l.span(m.buf)
		}
	}
	return nil
}

// Count returns the number of lines of a known header.
func (m *Message) Count(id HeaderID) (n int) {
	for i := range m.lines {
		if m.lines[i].id == id {
			n++
		}
	}
	return n
}

// Values yields each value of a known header in order: comma-separated values
// one by one where the header is a list (RFC 3261 §7.3.1), else whole lines.
func (m *Message) Values(id HeaderID) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { m.values(id, yield) }
}

func (m *Message) values(id HeaderID, yield func([]byte) bool) {
	for i := range m.lines {
		l := &m.lines[i]
		if l.id != id {
			continue
		}
		rest := l.span(m.buf)
		if headers[id].flags&list == 0 {
			if !yield(rest) {
				return
			}
			continue
		}
		for len(rest) > 0 {
			var v []byte
			if v, rest = cutComma(rest); len(v) > 0 && !yield(v) {
				return
			}
		}
	}
}

// Fields yields every header line in order.
func (m *Message) Fields() iter.Seq[Field] {
	return func(yield func(Field) bool) { m.fields(yield) }
}

func (m *Message) fields(yield func(Field) bool) {
	for i := range m.lines {
		l := &m.lines[i]
		f := Field{ID: l.id, Name: m.buf[l.name:l.nameEnd:l.nameEnd], Value: l.span(m.buf)}
		if !yield(f) {
			return
		}
	}
}
