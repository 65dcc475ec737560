// Package seal keeps secrets at rest: an installation data key seals values, and each node's key file opens it.
//
// A sealed value is bound to the place it was made for, so that who can write to the disk but has no key cannot
// move one connector's password to another. Values name the data key they were sealed with, so that a new key can
// take over while old values are still read.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
)

const (
	// KeySize is the size of a data key and of a derived key in bytes.
	KeySize = 32
	// Overhead is how many bytes a sealed value is longer than its text.
	Overhead = headerSize + 12 + 16

	headerSize = 5
	format     = 1
)

// Errors of Box.Open. Both leave nothing of the text behind.
var (
	// ErrUnknownKey: the value was sealed with a data key this box does not have.
	ErrUnknownKey = errors.New("sealed with a data key that this node does not have")
	// ErrTampered: the value was changed, cut, or made for another place.
	ErrTampered = errors.New("sealed value is damaged or belongs to another record")
)

// DataKey is an installation data key.
type DataKey struct{ secret [KeySize]byte }

// NewDataKey reads a fresh key from random.
func NewDataKey(random io.Reader) (DataKey, error) {
	var k DataKey
	if _, err := io.ReadFull(random, k.secret[:]); err != nil {
		return DataKey{}, fmt.Errorf("read randomness: %w", err)
	}
	return k, nil
}

// ID names the key in the values it seals. It says nothing of the key.
func (k DataKey) ID() uint32 { return binary.BigEndian.Uint32(k.derive("key id")) }

// String returns a placeholder.
func (k DataKey) String() string { return "[data key]" }

// GoString returns a placeholder.
func (k DataKey) GoString() string { return k.String() }

func (k DataKey) derive(purpose string) []byte {
	// Only a key shorter than FIPS 140 allows or a length above 255 hashes makes Key fail.
	out, err := hkdf.Key(sha256.New, k.secret[:], nil, "carillon/"+purpose, KeySize)
	if err != nil {
		panic(fmt.Sprintf("derive key: %v", err))
	}
	return out
}

// Box seals and opens values. It is safe for concurrent use.
type Box struct {
	current DataKey
	id      uint32
	aeads   map[uint32]cipher.AEAD
}

// NewBox returns a box that seals with current and opens what current or any of older sealed.
func NewBox(current DataKey, older ...DataKey) *Box {
	b := &Box{current: current, id: current.ID(), aeads: map[uint32]cipher.AEAD{}}
	for _, k := range append(older, current) {
		b.aeads[k.ID()] = newAEAD(k)
	}
	return b
}

func newAEAD(k DataKey) cipher.AEAD {
	block, err := aes.NewCipher(k.derive("seal"))
	if err != nil {
		panic(fmt.Sprintf("make cipher: %v", err)) // a key of 32 bytes is always taken
	}
	// The mode draws its nonces itself: a nonce that a caller could repeat would give the key away. Random nonces
	// bound one key to 2^32 values (NIST SP 800-38D section 8.3).
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(fmt.Sprintf("make cipher mode: %v", err))
	}
	return aead
}

// Seal returns plaintext sealed for the place that context names.
func (b *Box) Seal(context string, plaintext []byte) []byte {
	out := make([]byte, headerSize, Overhead+len(plaintext))
	out[0] = format
	binary.BigEndian.PutUint32(out[1:], b.id)
	return b.aeads[b.id].Seal(out, nil, plaintext, additional(out, context))
}

// Open returns what was sealed for context: the text, ErrUnknownKey or ErrTampered.
func (b *Box) Open(context string, sealed []byte) ([]byte, error) {
	if len(sealed) < Overhead || sealed[0] != format {
		return nil, ErrTampered
	}
	aead, ok := b.aeads[binary.BigEndian.Uint32(sealed[1:])]
	if !ok {
		return nil, ErrUnknownKey
	}
	text, err := aead.Open(nil, nil, sealed[headerSize:], additional(sealed[:headerSize], context))
	if err != nil {
		return nil, ErrTampered
	}
	return text, nil
}

func additional(header []byte, context string) []byte {
	return append(append(make([]byte, 0, headerSize+len(context)), header[:headerSize]...), context...)
}

// Derive returns the installation's key of KeySize bytes for a purpose, the same on every node and after every
// restart until the data key is replaced. Keys of different purposes say nothing of each other.
func (b *Box) Derive(purpose string) []byte { return b.current.derive("purpose/" + purpose) }

// Context names the place of one field: the kind and id of the record that holds it and the field's name. Fields
// of different places never share a context, whatever characters the names have.
func Context(kind, id, field string) string {
	b := make([]byte, 0, len(kind)+len(id)+len(field)+12)
	for _, part := range [...]string{kind, id, field} {
		b = strconv.AppendInt(b, int64(len(part)), 10)
		b = append(b, ':')
		b = append(b, part...)
	}
	return string(b)
}
