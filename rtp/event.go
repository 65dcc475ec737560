package rtp

import (
	"encoding/binary"
	"strings"
)

// keys are the keys of a telephone by their event codes (RFC 4733 section 3.2).
const keys = "0123456789*#ABCD"

// Event is the payload of a telephone event (RFC 4733 section 2.3).
type Event struct {
	// Code is 0 to 15 for the keys of a telephone.
	Code uint8
	// End is true in the last packets of an event.
	End bool
	// Volume is the power of the tone in dB below 1 mW, 0 to 63.
	Volume uint8
	// Duration is how long the event has lasted, in units of the time stamp.
	Duration uint16
}

// ParseEvent reads an event; of several in one packet, the first.
func ParseEvent(b []byte) (Event, bool) {
	if len(b) < 4 {
		return Event{}, false
	}
	return Event{Code: b[0], End: b[1]&0x80 != 0, Volume: b[1] & 0x3f, Duration: binary.BigEndian.Uint16(b[2:])}, true
}

// Append appends the payload.
func (e Event) Append(b []byte) []byte {
	flags := e.Volume & 0x3f
	if e.End {
		flags |= 0x80
	}
	return binary.BigEndian.AppendUint16(append(b, e.Code, flags), e.Duration)
}

// EventOf returns the code of a key: a digit, *, # or A to D.
func EventOf(key byte) (uint8, bool) {
	i := strings.IndexByte(keys, key)
	return uint8(max(i, 0)), i >= 0
}

// Key returns the key of an event, false for events that are none.
func (e Event) Key() (byte, bool) {
	if int(e.Code) >= len(keys) {
		return 0, false
	}
	return keys[e.Code], true
}
