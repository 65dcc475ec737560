package sip

import (
	"io"
)

// Framer cuts one TCP or TLS stream into messages. Messages need a
// Content-Length (RFC 3261 §18.3). The first doubt about where a message ends
// is final: every later Next returns the same error, and the connection has to
// be closed, because guessing where the next message starts is how a body gets
// read as a request. The zero value is ready, with DefaultMaxMessage.
type Framer struct {
	// Max bounds one message in octets; 0 means DefaultMaxMessage. What a
	// Content-Length claims is never allocated, only what has arrived.
	Max int

	buf     []byte
	start   int // of the message being read
	scanned int // octets before it hold no end of headers
	total   int // length of the message once its headers are complete, else 0
	pings   int
	crlf    int // CRLFs seen between messages since the last ping was counted
	err     *ParseError
}

// Pings returns how many keep-alives (CRLF CRLF, RFC 5626 §3.5.1) came since
// the last call. Each is owed one CRLF.
func (f *Framer) Pings() int {
	n := f.pings
	f.pings = 0
	return n
}

// Buffered returns how many octets wait for the rest of their message.
func (f *Framer) Buffered() int { return len(f.buf) - f.start }

// Write adds what was read from the stream; it never fails. It moves the
// buffer: messages that Next returned before are overwritten.
func (f *Framer) Write(p []byte) (int, error) {
	f.compact()
	f.buf = append(f.buf, p...)
	return len(p), nil
}

// Fill reads once from r, up to 4 KiB or what the buffer holds, without a copy.
// Like Write it overwrites the messages that Next returned before.
func (f *Framer) Fill(r io.Reader) (int, error) {
	f.compact()
	if cap(f.buf)-len(f.buf) < minFill {
		f.buf = append(make([]byte, 0, 2*cap(f.buf)+minFill), f.buf...)
	}
	n, err := r.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	return n, err
}

// minFill is the least Fill asks for.
const minFill = 4096

// Next returns the next whole message, its end being where Content-Length says.
// ok is false where more octets are needed; err is a *ParseError, and final.
// Call it until it has no more before the next Write or Fill: msg lies in the
// buffer those move.
func (f *Framer) Next() (msg []byte, ok bool, err error) {
	return nil, false, nil
}

func (f *Framer) compact() {
	if f.start > 0 {
		n := copy(f.buf, f.buf[f.start:])
		f.buf, f.start = f.buf[:n], 0
	}
}
