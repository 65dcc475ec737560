package sip

// Defaults of Limits.
const (
	// DefaultMaxMessage is what a UDP datagram can carry, in octets; streams are held to the same.
	DefaultMaxMessage = 65535
	// DefaultMaxHeaders bounds the header lines of a message, folded lines counting once.
	DefaultMaxHeaders = 256
	// DefaultMaxLine bounds the start line and each header, folds included, in octets.
	DefaultMaxLine = 8192
)

// Limits bounds what Parse accepts. A field that is 0 or less means the
// default. A message beyond a limit is refused with 513 and a fault of its own.
type Limits struct {
	Message int // octets, start line to end of body
	Headers int // header lines
	Line    int // octets of one start line or header, folds included
}

const (
	maxMessage = 1 << 30      // offsets are 32 bits wide
	maxHeaders = repeated - 1 // line numbers are 15 bits wide
)

func (l Limits) withDefaults() Limits {
	if l.Message <= 0 {
		l.Message = DefaultMaxMessage
	}
	if l.Headers <= 0 {
		l.Headers = DefaultMaxHeaders
	}
	if l.Line <= 0 {
		l.Line = DefaultMaxLine
	}
	l.Message, l.Headers = min(l.Message, maxMessage), min(l.Headers, maxHeaders)
	return l
}
