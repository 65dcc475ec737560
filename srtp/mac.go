package srtp

import (
	"bytes"
	"crypto/sha1"
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

// digest is what crypto/sha1 gives.
type digest interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// mac is HMAC-SHA1 (RFC 2104) for short messages. crypto/hmac spends as long on a voice packet around the
// hash function as half of the hash function takes: it copies the state to finish it twice over. Here the
// padding is written by hand, so that every write is whole blocks, and the five words are read from the
// state. It keeps scratch space and so is not safe for concurrent use.
type mac struct {
	sha          digest
	inner, outer [stateSize]byte // after the block that holds the key
	state        [stateSize]byte
	tail         [2 * sha1.BlockSize]byte // the message's last bytes, ROC, padding
	last         [sha1.BlockSize]byte     // the outer message: inner sum, padding
}

func newMAC(key []byte) (*mac, error) {
	sha, ok := sha1.New().(digest)
	if !ok || len(key) > sha1.BlockSize {
		return nil, errSHA1
	}
	m := &mac{sha: sha}
	if err := m.knowsState(); err != nil {
		return nil, err
	}
	if err := m.stateAfter(&m.inner, key, 0x36); err != nil {
		return nil, err
	}
	if err := m.stateAfter(&m.outer, key, 0x5c); err != nil {
		return nil, err
	}
	m.last[sha1.Size] = 0x80
	binary.BigEndian.PutUint64(m.last[sha1.BlockSize-8:], 8*(sha1.BlockSize+sha1.Size))
	return m, nil
}

// knowsState checks that the words are where mac looks for them: those of a fresh state are in FIPS 180-4
// section 5.3.1.
func (m *mac) knowsState() error {
	state, err := m.sha.AppendBinary(nil)
	if err != nil || len(state) != stateSize {
		return errSHA1
	}
	fresh := []byte("\x67\x45\x23\x01\xef\xcd\xab\x89\x98\xba\xdc\xfe\x10\x32\x54\x76\xc3\xd2\xe1\xf0")
	if !bytes.Equal(state[stateWords:stateWords+sha1.Size], fresh) {
		return errSHA1
	}
	return nil
}

func (m *mac) stateAfter(to *[stateSize]byte, key []byte, pad byte) error {
	var block [sha1.BlockSize]byte
	copy(block[:], key)
	for i := range block {
		block[i] ^= pad
	}
	m.sha.Reset()
	m.sha.Write(block[:])
	_, err := m.sha.AppendBinary(to[:0])
	return err
}

// sum returns the HMAC of b, in memory that the next call overwrites.
func (m *mac) sum(b []byte) []byte {
	whole := len(b) &^ (sha1.BlockSize - 1)
	return m.finish(b[:whole], copy(m.tail[:], b[whole:]))
}

// sumROC is sum of b with the rollover counter behind it.
func (m *mac) sumROC(b []byte, roc uint32) []byte {
	whole := len(b) &^ (sha1.BlockSize - 1)
	n := copy(m.tail[:], b[whole:])
	binary.BigEndian.PutUint32(m.tail[n:], roc)
	return m.finish(b[:whole], n+4)
}

// finish takes the whole blocks of the message; n bytes more stand in m.tail. Neither Write nor the two ways
// to the state return an error once newMAC has found their form to be the known one.
func (m *mac) finish(blocks []byte, n int) []byte {
	_ = m.sha.UnmarshalBinary(m.inner[:])
	if len(blocks) > 0 {
		m.sha.Write(blocks)
	}
	size := (n + 1 + 8 + sha1.BlockSize - 1) &^ (sha1.BlockSize - 1)
	m.tail[n] = 0x80
	clear(m.tail[n+1 : size-8])
	binary.BigEndian.PutUint64(m.tail[size-8:], 8*uint64(sha1.BlockSize+len(blocks)+n))
	m.sha.Write(m.tail[:size])
	copy(m.last[:], m.words())

	_ = m.sha.UnmarshalBinary(m.outer[:])
	m.sha.Write(m.last[:])
	return m.words()
}

// words returns the sum, which more bytes of a block not yet full do not change.
func (m *mac) words() []byte {
	if raceDetector {
		m.sha.Write(m.last[:sha1.BlockSize/2])
	}
	_, _ = m.sha.AppendBinary(m.state[:0])
	return m.state[stateWords : stateWords+sha1.Size]
}
