package srtp

import (
	"crypto/sha1"
	"crypto/subtle"
	"encoding"
	"encoding/binary"
	"errors"
	"hash"
)

// errSHA1 says that crypto/sha1 writes its state in a form that mac does not know.
var errSHA1 = errors.New("srtp: unknown form of the sha1 state")

// The form in which crypto/sha1 writes its state: a mark, five words, a block not yet full, the length.
const (
	stateWords = 4
	stateSize  = stateWords + sha1.Size + sha1.BlockSize + 8
)

// The blocks that a key is laid over: 0x36 and 0x5c (RFC 2104 section 2).
const (
	innerPad = "6666666666666666666666666666666666666666666666666666666666666666"
	outerPad = `\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\\`
)

// digest is what crypto/sha1 gives.
type digest interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// mac is HMAC-SHA1 (RFC 2104) for short messages. crypto/hmac spends as long on a voice packet around the
// hash function as half of the hash function takes: it copies the state to finish it twice over. Here the
// padding is written by hand, so that every write is whole blocks, and the five words are read from the
// state.
type mac struct {
	inner, outer [sha1.Size]byte // the words after the block that holds the key
}

func (m *mac) begin(key []byte) error {
	sha, ok := sha1.New().(digest)
	if !ok || len(key) > sha1.BlockSize {
		return errSHA1
	}
	k := &keying{sha: sha}
	return errors.Join(k.stateAfter(&m.inner, key, innerPad), k.stateAfter(&m.outer, key, outerPad))
}

// keying is what it takes to begin with a key: memory in one piece.
type keying struct {
	sha   digest
	block [sha1.BlockSize]byte
	state [stateSize]byte
}

// stateAfter writes the words after the block that holds the key. That they are where mac looks for them, the mark says and
// the length, which is that of one block.
func (k *keying) stateAfter(to *[sha1.Size]byte, key []byte, pad string) error {
	copy(k.block[:], pad)
	subtle.XORBytes(k.block[:], key, k.block[:len(key)])
	k.sha.Reset()
	k.sha.Write(k.block[:])
	state, err := k.sha.AppendBinary(k.state[:0])
	if err != nil || len(state) != stateSize || string(state[:stateWords]) != "sha\x01" ||
		binary.BigEndian.Uint64(state[stateSize-8:]) != sha1.BlockSize {
		return errSHA1
	}
	copy(to[:], state[stateWords:])
	return nil
}

// sum returns the HMAC of b, in memory of x that its next use overwrites.
func (m *mac) sum(x *Scratch, b []byte) []byte {
	whole := len(b) &^ (sha1.BlockSize - 1)
	return m.finish(x, b[:whole], copy(x.tail[:], b[whole:]))
}

// sumROC is sum of b with the rollover counter behind it.
func (m *mac) sumROC(x *Scratch, b []byte, roc uint32) []byte {
	whole := len(b) &^ (sha1.BlockSize - 1)
	n := copy(x.tail[:], b[whole:])
	binary.BigEndian.PutUint32(x.tail[n:], roc)
	return m.finish(x, b[:whole], n+4)
}

// finish takes the whole blocks of the message; n bytes more stand in the scratch's tail. Neither Write nor the two ways
// to the state return an error once begin has found their form to be the known one.
func (m *mac) finish(x *Scratch, blocks []byte, n int) []byte {
	x.resume(&m.inner)
	if len(blocks) > 0 {
		x.sha.Write(blocks)
	}
	size := (n + 1 + 8 + sha1.BlockSize - 1) &^ (sha1.BlockSize - 1)
	x.tail[n] = 0x80
	clear(x.tail[n+1 : size-8])
	binary.BigEndian.PutUint64(x.tail[size-8:], 8*uint64(sha1.BlockSize+len(blocks)+n))
	x.sha.Write(x.tail[:size])
	copy(x.last[:], x.words())

	x.resume(&m.outer)
	x.sha.Write(x.last[:])
	return x.words()
}
