package srtp

import (
	"crypto/aes"
	"reflect"
	"unsafe"

	"carillon/cacheline"
)

// The form of memory of another package that each packet reads: GCM of crypto/cipher begins with an expanded key and ends with what it
// multiplies with. Between lies a key for decryption of blocks, which nobody uses.
const (
	gcmSize = 760
	// keyLines are those of a key of 128 bits. The fourth one of 256 bits is found when it is needed.
	keyLines   = 3
	tableAt    = gcmSize - 16*aes.BlockSize
	tableLines = 5
)

// memory is a GCM's, the zero value where it has not the form that is known here: then it is not asked for ahead.
type memory struct{ at unsafe.Pointer }

func memoryOf(gcm any) memory {
	v := reflect.ValueOf(gcm)
	if v.Kind() != reflect.Pointer || v.IsNil() || v.Type().Elem().Size() != gcmSize {
		return memory{}
	}
	return memory{v.UnsafePointer()}
}

func (m memory) fetch() {
	if m.at != nil {
		cacheline.Fetch(m.at, keyLines)
		cacheline.Fetch(unsafe.Add(m.at, tableAt), tableLines)
	}
}

// Near and Warm have the processor bring near what the next packet will need. Near asks for what leads to the rest, and Warm for
// the rest: called when some time has passed since Near, it does not wait. Both change nothing.
func (r *Receiver) Near() { near(unsafe.Pointer(r), unsafe.Sizeof(*r)) }

// Warm goes on where Near ends.
func (r *Receiver) Warm() { warm(r.rtp, &r.streams) }

// Near is for a sender what it is for a Receiver.
func (s *Sender) Near() { near(unsafe.Pointer(s), unsafe.Sizeof(*s)) }

// Warm is for a sender what it is for a Receiver.
func (s *Sender) Warm() { warm(s.rtp, &s.streams) }

// near asks for the first two lines of a Sender or Receiver, of which the second one is its first stream, which most keys have alone,
// and for the first line of its transform, which lies behind it: only of one that NewSender or NewReceiver has made.
func near(at unsafe.Pointer, size uintptr) {
	cacheline.Fetch(at, 2)
	cacheline.Fetch(unsafe.Add(at, size), 1)
}

// warm asks for the rest of a transform, for its cipher's memory, and for the stream used last where that is not the first.
func warm(t transform, s *streams) {
	switch t := t.(type) {
	case *gcm:
		t.memory.fetch()
	case *counterMode:
		cacheline.Fetch(unsafe.Add(unsafe.Pointer(t), cacheline.Size), 2)
		t.keyStream.memory.fetch()
	}
	if s.last != &s.first {
		cacheline.Fetch(unsafe.Pointer(s.last), 1)
	}
}
