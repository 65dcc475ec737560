package sip

import (
	"bytes"
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

// Peek returns what waits for the rest of its message. It is valid until the
// next call of another method.
func (f *Framer) Peek() []byte { return f.buf[f.start:] }

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
	if len(f.buf) == 0 && cap(f.buf) > keptFill {
		f.buf = nil
	}
	if cap(f.buf)-len(f.buf) < minFill {
		f.buf = append(make([]byte, 0, 2*cap(f.buf)+minFill), f.buf...)
	}
	n, err := r.Read(f.buf[len(f.buf):cap(f.buf)])
	f.buf = f.buf[:len(f.buf)+n]
	return n, err
}

const (
	// minFill is the least Fill asks for.
	minFill = 4096
	// keptFill is the most memory that is kept between messages: one long message on each of ten thousand connections,
	// which then say no more, would else hold a gigabyte.
	keptFill = 16 << 10
)

// Next returns the next whole message, its end being where Content-Length says.
// ok is false where more octets are needed. Call it until it has no more before
// the next Write or Fill: msg lies in the buffer those move.
//
// err is a *ParseError, and final. Where the headers had come through, msg then
// holds start line and headers, so that the error can be answered along them.
func (f *Framer) Next() (msg []byte, ok bool, err error) {
	if f.err != nil {
		return nil, false, f.err
	}
	if f.total == 0 {
		head, fault := f.readHead()
		if fault != FaultNone {
			f.err = answers[fault]
			return head, false, f.err
		}
		if head == nil {
			return nil, false, nil
		}
	}
	end := f.start + f.total
	if len(f.buf) < end {
		return nil, false, nil
	}
	msg = f.buf[f.start:end:end]
	f.start, f.scanned, f.total = end, 0, 0
	return msg, true, nil
}

// readHead looks for the end of the headers in what has not been looked at yet,
// so that a message that trickles in costs no more than one that comes at once.
// It returns nil where the end has not come; else it sets total.
func (f *Framer) readHead() (head []byte, fault Fault) {
	if f.scanned == 0 {
		if ready, fault := f.skipKeepAlives(); !ready {
			return nil, fault
		}
	}
	b, limit := f.buf[f.start:], f.max()
	for {
		length := bytes.IndexByte(b[f.scanned:], '\n')
		if length < 0 {
			f.scanned = len(b)
			break
		}
		lf := f.scanned + length
		if lf == 0 || b[lf-1] != '\r' {
			return nil, FaultLineEnd
		}
		f.scanned = lf + 1
		if f.scanned > limit {
			break
		}
		if lf >= 3 && b[lf-2] == '\n' {
			head = b[:lf+1]
			f.total, fault = frameLength(head, limit)
			return head, fault
		}
	}
	if f.scanned > limit {
		return nil, FaultTooLarge
	}
	return nil, FaultNone
}

func (f *Framer) max() int {
	if f.Max <= 0 {
		return DefaultMaxMessage
	}
	return min(f.Max, maxMessage)
}

// skipKeepAlives steps over CRLFs between messages (RFC 3261 §7.5) and counts
// the pairs. It is ready once an octet is there that can begin a start line;
// whoever speaks TLS or anything else to this port is found out here.
func (f *Framer) skipKeepAlives() (ready bool, fault Fault) {
	for f.start < len(f.buf) {
		switch c := f.buf[f.start]; {
		case is(c, chToken):
			f.crlf = 0
			return true, FaultNone
		case c != '\r' || f.start+1 < len(f.buf) && f.buf[f.start+1] != '\n':
			return false, FaultStreamStart
		case f.start+1 == len(f.buf):
			return false, FaultNone
		}
		f.start += 2
		if f.crlf++; f.crlf == 2 {
			f.pings++
			f.crlf = 0
		}
	}
	return false, FaultNone
}

// frameLength returns the length of the message with this head. It reads the
// lines as Parse does: compact form, white space before the colon, folds.
func frameLength(head []byte, limit int) (int, Fault) {
	length, found := uint64(0), false
	for rest, first := head, true; len(rest) > 0; first = false {
		end := bytes.IndexByte(rest, '\n') + 1
		colon := bytes.IndexByte(rest[:end], ':')
		for end < len(rest) && isSpace(rest[end]) {
			end += bytes.IndexByte(rest[end:], '\n') + 1
		}
		field := rest[:end]
		rest = rest[end:]
		if first || colon < 0 || ParseHeaderID(trim(field[:colon])) != HdrContentLength {
			continue
		}
		if found {
			return 0, FaultDuplicate
		}
		var ok bool
		if length, ok = parseUint(bytes.Trim(field[colon+1:], " \t\r\n"), maxContentLength); !ok {
			return 0, FaultContentLength
		}
		found = true
	}
	if !found {
		return 0, FaultNoContentLength
	}
	if length > uint64(limit-len(head)) {
		return 0, FaultTooLarge
	}
	return len(head) + int(length), FaultNone
}

func (f *Framer) compact() {
	if f.start > 0 {
		n := copy(f.buf, f.buf[f.start:])
		f.buf, f.start = f.buf[:n], 0
	}
}
