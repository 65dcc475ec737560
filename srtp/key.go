package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// ErrKeySize: the bytes of a key do not fit its suite.
var ErrKeySize = errors.New("srtp: key and salt do not fit the suite")

// MaxKeySize is the size of the longest master key with its master salt, in bytes.
const MaxKeySize = 46

// Key is a suite with a master key and a master salt. It formats as the suite's name alone, whatever the
// verb, so that no log line or error can hold a key. The zero value is no key.
type Key struct {
	suite  Suite
	secret [MaxKeySize]byte // master key, then master salt
}

// NewKey draws a key from random.
func NewKey(suite Suite, random io.Reader) (Key, error) {
	keys, err := NewKeys([]Suite{suite}, random)
	if err != nil {
		return Key{}, err
	}
	return keys[0], nil
}

// NewKeys draws a key for each of some suites, all of them at once.
func NewKeys(suites []Suite, random io.Reader) ([]Key, error) {
	keys, size := make([]Key, len(suites)), 0
	for _, s := range suites {
		if !s.Valid() {
			return nil, ErrKeySize
		}
		size += Key{suite: s}.size()
	}
	drawn := make([]byte, size)
	if _, err := io.ReadFull(random, drawn); err != nil {
		return nil, fmt.Errorf("draw srtp keys: %w", err)
	}
	for i, s := range suites {
		keys[i].suite = s
		drawn = drawn[copy(keys[i].secret[:keys[i].size()], drawn):]
	}
	return keys, nil
}

// ParseKey takes the master key followed by the master salt, as the inline parameter of RFC 4568 section 6.1
// holds them.
func ParseKey(suite Suite, keySalt []byte) (Key, error) {
	k := Key{suite: suite}
	if !suite.Valid() || len(keySalt) != k.size() {
		return Key{}, ErrKeySize
	}
	copy(k.secret[:], keySalt)
	return k, nil
}

func (k Key) size() int { return k.suite.KeySize() + k.suite.SaltSize() }

// Overhead returns how many bytes the suite adds to an RTP packet.
func (k Key) Overhead() int {
	if !k.suite.Valid() {
		return 0
	}
	return int(suites[k.suite].tag)
}

// Suite returns the key's suite.
func (k Key) Suite() Suite { return k.suite }

// IsZero reports whether k is no key.
func (k Key) IsZero() bool { return k.suite == 0 }

// Equal compares suite, key and salt in constant time.
func (k Key) Equal(o Key) bool {
	return k.suite == o.suite && subtle.ConstantTimeCompare(k.secret[:], o.secret[:]) == 1
}

// Shares reports whether both have one master key and salt, whatever their suites. _80 and _32 of a cipher then make the same
// key stream, and only their tags differ.
func (k Key) Shares(o Key) bool {
	return !k.IsZero() && !o.IsZero() && subtle.ConstantTimeCompare(k.secret[:], o.secret[:]) == 1
}

// Secret returns a copy of the master key followed by the master salt.
func (k Key) Secret() []byte { return k.AppendSecret(nil) }

// AppendSecret adds the master key followed by the master salt to b.
func (k Key) AppendSecret(b []byte) []byte { return append(b, k.secret[:k.size()]...) }

// Inline returns key and salt in base64 with padding, for an a=crypto line. The result is secret.
func (k Key) Inline() string { return base64.StdEncoding.EncodeToString(k.secret[:k.size()]) }

// String returns the suite's name.
func (k Key) String() string { return k.suite.String() }

// GoString returns the suite's name.
func (k Key) GoString() string { return "srtp.Key{" + k.suite.String() + "}" }

// Format writes the suite's name whatever the verb: %x would otherwise print the array.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.suite.String()) }

// LogValue returns the suite's name.
func (k Key) LogValue() slog.Value { return slog.StringValue(k.suite.String()) }

// MarshalText returns the suite's name.
func (k Key) MarshalText() ([]byte, error) { return []byte(k.suite.String()), nil }

// Labels of the key derivation (RFC 3711 section 4.3.2).
const (
	labelRTPCipher byte = iota
	labelRTPAuth
	labelRTPSalt
	labelRTCPCipher
	labelRTCPAuth
	labelRTCPSalt
)

// prf is AES_CM_PRF of RFC 3711 section 4.3.3 with a key derivation rate of 0, for one master key and salt.
type prf struct {
	block cipher.Block
	salt  [14]byte
	x     [aes.BlockSize]byte // the block to be encrypted
}

// newPRF takes a salt of 112 bits, or one of 96 that is padded with zeros (RFC 7714 section 11).
func newPRF(masterKey, masterSalt []byte) (prf, error) {
	block, err := aes.NewCipher(masterKey)
	if err != nil {
		return prf{}, fmt.Errorf("derive srtp key: %w", err)
	}
	p := prf{block: block}
	copy(p.salt[:], masterSalt)
	return p, nil
}

// derive writes what a label gives to room, in whole blocks, and returns as much of it as is wanted.
func (p *prf) derive(room []byte, label byte, size int) []byte {
	clear(p.x[copy(p.x[:], p.salt[:]):])
	p.x[7] ^= label
	for i := 0; i < size; i += aes.BlockSize {
		p.x[15] = byte(i / aes.BlockSize)
		p.block.Encrypt(room[i:], p.x[:])
	}
	return room[:size]
}

// sessionKeys are what one direction's RTP or RTCP runs on.
type sessionKeys struct {
	cipher, auth, salt []byte
	// from and room are what they are made of and where they are: memory in one piece.
	from prf
	room [3][2 * aes.BlockSize]byte
}

func (k Key) sessionKeys(labelCipher, labelAuth, labelSalt byte) (*sessionKeys, error) {
	row := suites[k.suite]
	p, err := newPRF(k.secret[:row.key], k.secret[row.key:row.key+row.salt])
	if err != nil {
		return nil, err
	}
	out := &sessionKeys{from: p}
	out.cipher = out.from.derive(out.room[0][:], labelCipher, row.key)
	out.salt = out.from.derive(out.room[1][:], labelSalt, row.salt)
	if !row.aead {
		out.auth = out.from.derive(out.room[2][:], labelAuth, sha1.Size)
	}
	return out, nil
}
