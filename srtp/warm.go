package srtp

import (
	"crypto/aes"
	"reflect"
	"unsafe"
)

// cacheLine is what a processor fetches at once, in octets.
const cacheLine = 64

// The form of memory of other packages that each packet reads: crypto/aes begins with the number of rounds, and has a key
// expanded to 16 octets for each of them and 16 more; its GCM begins likewise, and ends with what it multiplies with. Between lies a
// key for decryption of blocks, which no suite uses.
const (
	cipherSize, gcmSize = 488, 760
	expandedAt          = 8
	tableAt             = gcmSize - 16*aes.BlockSize
	maxRounds           = 14
)

// memory is a cipher's, the zero value where it has not the form that is known here: then it is not read ahead.
type memory struct{ at unsafe.Pointer }

// memoryOf returns that of a cipher of crypto/aes, or of its GCM, of which size says which is meant.
func memoryOf(cipher any, size uintptr) memory {
	v := reflect.ValueOf(cipher)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return memory{}
	}
	if v.Type().Elem().Size() != size {
		return memory{}
	}
	m := memory{v.UnsafePointer()}
	if m.rounds() > maxRounds {
		return memory{}
	}
	return m
}

func (m memory) rounds() uintptr { return *(*uintptr)(m.at) }

// touch reads one octet of each line that encryption reads, of a GCM with what it multiplies with. The sum has no meaning; it keeps
// the compiler from leaving the reads out.
func (m memory) touch(gcm bool) (sum byte) {
	if m.at == nil {
		return 0
	}
	if gcm {
		for at := uintptr(tableAt); at < gcmSize; at += cacheLine {
			sum += *(*byte)(unsafe.Add(m.at, at))
		}
		sum += *(*byte)(unsafe.Add(m.at, gcmSize-1))
	}
	for at, end := uintptr(0), expandedAt+(m.rounds()+1)*aes.BlockSize; at < end; at += cacheLine {
		sum += *(*byte)(unsafe.Add(m.at, at))
	}
	return sum
}

// Near and Warm read what the next packet will need, so that the processor has it close by then: between two packets of a stream
// come those of a thousand others. Near is for what leads to the rest; called for many receivers before Warm is called for
// the first, it has the processor wait for all of it at once. Both change nothing, and the results have no meaning.
func (r *Receiver) Near() byte { return byte(r.lastIndex) + r.streams.near() + near(r.rtp) }

// Warm goes on where Near ends.
func (r *Receiver) Warm() byte { return warm(r.rtp) + r.streams.warm() }

// Near is for a sender what it is for a Receiver.
func (s *Sender) Near() byte { return s.streams.near() + near(s.rtp) }

// Warm is for a sender what it is for a Receiver.
func (s *Sender) Warm() byte { return warm(s.rtp) + s.streams.warm() }

// near reads the stream that most keys have alone.
func (t *streams) near() byte { return byte(t.first.rtp.top) }

// warm reads the one that was used last, where it is another one.
func (t *streams) warm() byte {
	if t.last == nil || t.last == &t.first {
		return 0
	}
	return byte(t.last.rtp.top) + byte(t.last.ssrc)
}

func near(t transform) byte {
	switch t := t.(type) {
	case *gcm:
		return t.iv[0]
	case *counterMode:
		return t.mac.inner[0] + t.keyStream.salt[0] + byte(t.keyStream.low[0].high)
	}
	return 0
}

func warm(t transform) byte {
	switch t := t.(type) {
	case *gcm:
		return t.memory.touch(true)
	case *counterMode:
		return t.keyStream.memory.touch(t.keyStream.gcm != nil)
	}
	return 0
}
