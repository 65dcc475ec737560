package sip

import (
	"encoding/binary"
	"errors"
	"strconv"
)

// Errors of a Builder.
var (
	// ErrInjection: a value would have ended its line.
	ErrInjection = errors.New("CR, LF or NUL in a SIP header")
	// ErrBuilder: the calls came in an order that makes no message.
	ErrBuilder = errors.New("SIP message written out of order")
	// ErrToken: a method or header name is not a token, or a URI has white space.
	ErrToken = errors.New("method, header name or URI is malformed")
)

// Builder writes one message at a time by appending to a buffer, which it keeps
// and grows: once grown it does not allocate. The zero value is ready.
//
// The first mistake stops it: Err is set and Bytes returns nothing, so a value
// that smuggles a line break can never reach the wire.
type Builder struct {
	buf   []byte
	err   error
	state builderState
}

type builderState uint8

const (
	builderEmpty builderState = iota
	builderHeaders
	builderOpen
	builderDone
)

// NewBuilder returns a Builder that appends to buf[:0].
func NewBuilder(buf []byte) *Builder { return &Builder{buf: buf[:0]} }

// Reset begins a new message in the same buffer; what Bytes returned is overwritten.
func (b *Builder) Reset() { b.buf, b.err, b.state = b.buf[:0], nil, builderEmpty }

// Err returns the first mistake, ErrBuilder where the message is not complete.
func (b *Builder) Err() error {
	if b.err == nil && b.state != builderDone {
		return ErrBuilder
	}
	return b.err
}

// Bytes returns the message, nil unless it is complete and without mistake. It
// is valid until the next Reset.
func (b *Builder) Bytes() []byte {
	if b.Err() != nil {
		return nil
	}
	return b.buf
}

func (b *Builder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// enter checks that the builder is in one state and moves it to another.
func (b *Builder) enter(from, to builderState) bool {
	if b.err == nil && b.state != from {
		b.err = ErrBuilder
	}
	b.state = to
	return b.err == nil
}

// Request writes the request line. The method must be a token, the URI free of
// white space and controls.
func (b *Builder) Request(method string, uri []byte) {
	if !b.enter(builderEmpty, builderHeaders) {
		return
	}
	if !isToken(method) || len(uri) == 0 {
		b.fail(ErrToken)
		return
	}
	for _, c := range uri {
		if c <= ' ' || c == 0x7f {
			b.fail(ErrToken)
			return
		}
	}
	b.buf = append(b.buf, method...)
	b.buf = append(b.buf, ' ')
	b.buf = append(b.buf, uri...)
	b.buf = append(b.buf, " SIP/2.0\r\n"...)
}

// Response writes the status line; an empty reason means ReasonPhrase(code).
func (b *Builder) Response(code int, reason string) {
	if !b.enter(builderEmpty, builderHeaders) {
		return
	}
	if code < 100 || code > 699 {
		b.fail(ErrToken)
		return
	}
	if reason == "" {
		reason = ReasonPhrase(code)
	}
	b.buf = append(b.buf, "SIP/2.0 "...)
	b.buf = strconv.AppendUint(b.buf, uint64(code), 10)
	b.buf = append(b.buf, ' ')
	b.text(reason)
	b.buf = append(b.buf, "\r\n"...)
}

// text appends s, refusing what would end or cut the line. UTF-8 is left alone.
func (b *Builder) text(s string) {
	start := len(b.buf)
	b.buf = append(b.buf, s...)
	b.checkFrom(start)
}

// checkFrom refuses CR, LF and NUL in what was appended since start. Eight
// octets at a time it looks for any below 0x20; only then, at each.
func (b *Builder) checkFrom(start int) {
	p := b.buf[start:]
	const ones = 0x0101010101010101
	for len(p) >= 8 {
		x := binary.LittleEndian.Uint64(p)
		if (x-0x20*ones)&^x&(0x80*ones) != 0 {
			break
		}
		p = p[8:]
	}
	for _, c := range p {
		if c == '\r' || c == '\n' || c == 0 {
			b.fail(ErrInjection)
			return
		}
	}
}

// Header writes one header line.
func (b *Builder) Header(name, value string) {
	if b.enter(builderHeaders, builderHeaders) && b.name(name) {
		b.text(value)
		b.buf = append(b.buf, "\r\n"...)
	}
}

// HeaderBytes writes one header line.
func (b *Builder) HeaderBytes(name string, value []byte) {
	if b.enter(builderHeaders, builderHeaders) && b.name(name) {
		b.octets(value)
		b.buf = append(b.buf, "\r\n"...)
	}
}

// name appends a header name and its colon.
func (b *Builder) name(name string) bool {
	if !isToken(name) {
		b.fail(ErrToken)
		return false
	}
	b.buf = append(b.buf, name...)
	b.buf = append(b.buf, ": "...)
	return true
}

// HeaderUint writes one header line with a number.
func (b *Builder) HeaderUint(name string, n uint64) {
	b.Open(name)
	b.WriteUint(n)
	b.Close()
}

// Open begins a header line whose value follows in pieces: Write, WriteText and
// WriteUint, then Close.
func (b *Builder) Open(name string) {
	if b.enter(builderHeaders, builderOpen) {
		b.name(name)
	}
}

// Close ends the line begun by Open.
func (b *Builder) Close() {
	if b.enter(builderOpen, builderHeaders) {
		b.buf = append(b.buf, "\r\n"...)
	}
}

// WriteText appends a piece of a header value.
func (b *Builder) WriteText(s string) {
	if b.enter(builderOpen, builderOpen) {
		b.text(s)
	}
}

// Write appends a piece of a header value.
func (b *Builder) Write(p []byte) {
	if b.enter(builderOpen, builderOpen) {
		b.octets(p)
	}
}

func (b *Builder) octets(p []byte) {
	start := len(b.buf)
	b.buf = append(b.buf, p...)
	b.checkFrom(start)
}

// WriteUint appends a number to a header value.
func (b *Builder) WriteUint(n uint64) {
	if b.enter(builderOpen, builderOpen) {
		b.buf = strconv.AppendUint(b.buf, n, 10)
	}
}

// Copy writes all lines of a known header of m in order, under the long name.
func (b *Builder) Copy(m *Message, id HeaderID) {
	if id == HdrOther || id >= headerCount || m.first[id] == 0 {
		return
	}
	for i := m.firstLine(id); i < len(m.lines); i++ {
		if m.lines[i].id == id {
			b.copyLine(m, &m.lines[i])
		}
		if m.first[id]&repeated == 0 {
			return
		}
	}
}

// CopyField writes a header line as it was read, a known header under its long name.
func (b *Builder) CopyField(f Field) {
	if f.ID != HdrOther {
		b.HeaderBytes(headers[f.ID].name, f.Value)
		return
	}
	if !all(f.Name, chToken) {
		b.fail(ErrToken)
		return
	}
	b.openBytes(f.Name)
	b.Write(f.Value)
	b.Close()
}

func (b *Builder) openBytes(name []byte) {
	if b.enter(builderHeaders, builderOpen) {
		b.buf = append(b.buf, name...)
		b.buf = append(b.buf, ": "...)
	}
}

func (b *Builder) copyLine(m *Message, l *line) {
	if !b.enter(builderHeaders, builderOpen) {
		return
	}
	b.buf = append(b.buf, prefixes[l.id]...)
	b.copyValue(m, l.span(m.buf))
	b.Close()
}

// copyValue appends a piece of m, unchecked where m was accepted: then no line
// of it has a stray CR, LF or NUL.
func (b *Builder) copyValue(m *Message, p []byte) {
	if m.fault != FaultNone {
		b.Write(p)
		return
	}
	if b.enter(builderOpen, builderOpen) {
		b.buf = append(b.buf, p...)
	}
}

// Body writes Content-Type (unless contentType is empty), Content-Length, the
// empty line and the body. It ends the message: call it once, also for no body.
func (b *Builder) Body(contentType string, body []byte) {
	if contentType != "" {
		b.Header("Content-Type", contentType)
	}
	b.HeaderUint("Content-Length", uint64(len(body)))
	if b.enter(builderHeaders, builderDone) {
		b.buf = append(b.buf, "\r\n"...)
		b.buf = append(b.buf, body...)
	}
}

func isToken(s string) bool {
	for i := range len(s) {
		if chars[s[i]]&chToken == 0 {
			return false
		}
	}
	return len(s) > 0
}
