package srtp

import (
	"reflect"
	"unsafe"
)

const (
	// cacheLine is what a processor fetches at once, in octets.
	cacheLine = 64
	// keyPart and tablePart are how much of a cipher's memory encryption reads: the expanded key at its beginning, 240 octets
	// for the longest, and what GCM multiplies with at its end, 256 octets. Between them lies a key for decryption of blocks,
	// which no suite uses.
	keyPart, tablePart = 256, 4*cacheLine + 32
)

// extent is memory of another package that a transform reads for each packet: the expanded key of a cipher.
type extent struct {
	at   unsafe.Pointer
	size uintptr
}

// extentOf returns that of a cipher, none where it is not behind a pointer.
func extentOf(cipher any) extent {
	v := reflect.ValueOf(cipher)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return extent{}
	}
	return extent{v.UnsafePointer(), v.Type().Elem().Size()}
}

// touch reads one octet of each line that encryption reads. The sum has no meaning; it keeps the compiler from leaving the
// reads out.
func (e extent) touch() (sum byte) {
	for at := uintptr(0); at < e.size; at += cacheLine {
		if at >= keyPart && at+tablePart < e.size {
			at = e.size - tablePart
		}
		sum += *(*byte)(unsafe.Add(e.at, at))
	}
	return sum
}

// Near and Warm read what the next packet will need, so that the processor has it close by then: between two packets of a stream
// come those of a thousand others. Near is for what leads to the rest; called for many receivers before Warm is called for
// the first, it has the processor wait for all of it at once. Both change nothing, and the results have no meaning.
func (r *Receiver) Near() byte {
	return byte(r.lastIndex) + byte(r.tag) + r.streams.near() + near(r.rtp)
}

// Warm goes on where Near ends.
func (r *Receiver) Warm() byte { return warm(r.rtp) + r.streams.warm() }

// Near is for a sender what it is for a Receiver.
func (s *Sender) Near() byte { return s.streams.near() + near(s.rtp) }

// Warm is for a sender what it is for a Receiver.
func (s *Sender) Warm() byte { return warm(s.rtp) + s.streams.warm() }

func (t *streams) near() byte {
	if len(t.all) == 0 {
		return 0
	}
	return byte(t.all[0].ssrc)
}

func (t *streams) warm() byte {
	if len(t.all) == 0 {
		return 0
	}
	s := t.all[0]
	return byte(s.rtp.bits[0]) + byte(s.rtp.lifetime)
}

func near(t transform) byte {
	switch t := t.(type) {
	case *gcm:
		return t.iv[0]
	case *counterMode:
		sum := t.mac.inner[0] + t.mac.outer[0] + t.keyStream.salt[0]
		if f := t.keyStream.fast; f != nil {
			return sum + byte(f.high) + f.iv[0]
		}
		return sum
	}
	return 0
}

func warm(t transform) byte {
	switch t := t.(type) {
	case *gcm:
		return t.memory.touch()
	case *counterMode:
		if f := t.keyStream.fast; f != nil {
			return f.memory.touch() + byte(f.table[3][(f.last+1)&15].low)
		}
		return t.keyStream.memory.touch()
	}
	return 0
}
