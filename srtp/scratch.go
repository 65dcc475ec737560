package srtp

import (
	"crypto/aes"
	"crypto/sha1"
	"encoding/binary"
)

// Scratch is what protecting a packet writes besides the packet. Senders and receivers make one of their own unless they
// Share one: with many calls what they share stays in the processor's caches, and what each has for itself does not.
type Scratch struct {
	sha    digest
	form   [stateSize]byte          // a state after one block, to be filled with words
	state  [stateSize]byte          // as sha wrote it
	tail   [2 * sha1.BlockSize]byte // the message's last bytes, ROC, padding
	last   [sha1.BlockSize]byte     // the outer message: inner sum, padding
	stream [(batch + 1) * aes.BlockSize]byte
	iv     [aes.BlockSize]byte
}

// NewScratch returns a Scratch. It is not safe for concurrent use, and so neither are two that share it.
func NewScratch() *Scratch {
	x := &Scratch{}
	x.sha, _ = sha1.New().(digest) // without it there is no mac that asks
	if x.sha != nil {
		x.sha.Write(x.last[:])
		_, _ = x.sha.AppendBinary(x.form[:0])
	}
	x.last[sha1.Size] = 0x80
	binary.BigEndian.PutUint64(x.last[sha1.BlockSize-8:], 8*(sha1.BlockSize+sha1.Size))
	return x
}

// resume goes on from the words of a state after one block.
func (x *Scratch) resume(words *[sha1.Size]byte) {
	copy(x.form[stateWords:], words[:])
	_ = x.sha.UnmarshalBinary(x.form[:])
}

// words returns the sum, which more bytes of a block not yet full do not change.
func (x *Scratch) words() []byte {
	if raceDetector {
		x.sha.Write(x.last[:sha1.BlockSize/2])
	}
	_, _ = x.sha.AppendBinary(x.state[:0])
	return x.state[stateWords : stateWords+sha1.Size]
}

// Share has the sender use x for RTP from now on; nil changes nothing.
func (s *Sender) Share(x *Scratch) { share(s.rtp, x) }

// Share has the receiver use x for RTP from now on; nil changes nothing.
func (r *Receiver) Share(x *Scratch) { share(r.rtp, x) }

func share(t transform, x *Scratch) {
	if c, ok := t.(*counterMode); ok && x != nil {
		c.scratch = x
	}
}
