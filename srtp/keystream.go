package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
	"runtime"
)

// batch is how many blocks of key stream are made before they are applied, and so the longest payload that
// the fast way takes: 256 bytes are 32 ms of G.711.
const batch = 16

var zeros [batch * aes.BlockSize]byte

// keyStream is AES in counter mode (RFC 3711 section 4.1.1). It makes the key stream of a packet block by block, or, once that is
// worthwhile, several blocks at a time. crypto/cipher's counter mode does, but
// cannot be set to a packet's counter without allocating 512 bytes for it. Its GCM can: GCM encrypts with the
// same counter mode from the block after J0, and with an IV of 128 bits J0 is (IV*H + L)*H, where H is the
// encrypted zero block and L the length 128 (NIST SP 800-38D section 7.1). H has an inverse, so for each J0
// there is one IV that leads there: J0*H^-2 + L*H^-1. GCM's tag is thrown away.
//
// All of J0 but the 16 bits of the sequence number stays the same for 65,536 packets of a stream, and the
// product is linear: so one product is kept, and H^-2 times each of the 16 bits. What twelve of the bits add stays the same for 16
// packets and is kept, too: the rest is far away when the stream's next packet comes.
type keyStream struct {
	memory memory // of gcm
	// A line of memory with what every packet reads.
	until     int32    // short payloads until the fast way is made; 0 for never
	known     bool     // whether ssrc, roc and turns.known are known
	salt      [14]byte // 112 bits
	sixteen   uint16   // the packets that near serves
	ssrc, roc uint32   // those that turns.known is for
	near      element  // turns.known with what the highest twelve of the 16 bits add
	gcm       cipher.AEAD
	// And one with what the lowest four bits add.
	low   [4]element
	turns *turns
	block cipher.Block
	_     [5]uint64 // up to eight lines with what is ahead of it in a Sender or Receiver
}

// turns is what the first of sixteen packets reads.
type turns struct {
	known  element     // (J0*H^-2 + L*H^-1) without the 16 bits
	back   element     // H^-2
	length element     // L*H^-1
	high   [12]element // H^-2 times each of the highest twelve of the 16 bits
}

// worthwhile is after how many packets the fast way is made: half a second of a call, since most INVITEs bring none, and
// to make it costs as much as it saves on a hundred packets.
const worthwhile = 25

// begin takes the cipher and the salt.
func (k *keyStream) begin(block cipher.Block, salt []byte) {
	k.block = block
	copy(k.salt[:], salt)
}

// first returns the counter block a packet begins with. Its last 16 bits are 0 and number the blocks: 1 MB.
func (k *keyStream) first(ssrc uint32, index uint64) (high, low uint64) {
	high = binary.BigEndian.Uint64(k.salt[:8]) ^ uint64(ssrc)
	low = (uint64(binary.BigEndian.Uint32(k.salt[8:]))<<16 | uint64(binary.BigEndian.Uint16(k.salt[12:])) ^ index) << 16
	return high, low
}

// xor applies the key stream of a packet to b, by way of x.
func (k *keyStream) xor(x *Scratch, b []byte, ssrc uint32, index uint64) {
	if len(b) <= batch*aes.BlockSize {
		if k.gcm != nil {
			k.xorFast(x, b, ssrc, index)
			return
		}
		if k.until > 0 {
			if k.until--; k.until == 0 {
				k.accelerate(x)
			}
		}
	}
	k.xorBlocks(x, b, ssrc, index)
}

func (k *keyStream) xorBlocks(x *Scratch, b []byte, ssrc uint32, index uint64) {
	high, low := k.first(ssrc, index)
	for len(b) > 0 {
		size := min(len(b), batch*aes.BlockSize)
		for at := 0; at < size; at += aes.BlockSize {
			s := x.stream[at : at+aes.BlockSize : at+aes.BlockSize]
			binary.BigEndian.PutUint64(s, high)
			binary.BigEndian.PutUint64(s[8:], low)
			k.block.Encrypt(s, s)
			low++
		}
		b = b[subtle.XORBytes(b, b[:size], x.stream[:size]):]
	}
}

// hasFastGCM: elsewhere GCM is slower than single blocks, and not constant in time.
const hasFastGCM = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// accelerate makes xor fast for short payloads, at the cost of 1 KB and some microseconds. It shows first that
// the fast way and the plain one agree under this key, and else leaves the plain one in place.
func (k *keyStream) accelerate(x *Scratch) {
	if !hasFastGCM {
		return
	}
	gcm, err := cipher.NewGCMWithNonceSize(k.block, aes.BlockSize)
	if err != nil {
		return
	}
	var zero, h [aes.BlockSize]byte
	k.block.Encrypt(h[:], zero[:])
	inverse := elementOf(&h).inverse()
	k.turns = &turns{back: inverse.squared(1), length: element{low: 128}.times(inverse)}
	// The 16 bits are those of x^96 to x^111, the highest first.
	unit := element{low: 1 << 31}.times(k.turns.back)
	for i := range k.turns.high {
		k.turns.high[i], unit = unit, unit.timesX()
	}
	for i := range k.low {
		k.low[i], unit = unit, unit.timesX()
	}
	var want, got [3 * aes.BlockSize]byte
	k.xorBlocks(x, want[:], 0, 0)
	k.gcm, k.memory = gcm, memoryOf(gcm)
	if k.xorFast(x, got[:], 0, 0); got != want {
		k.gcm, k.memory, k.turns = nil, memory{}, nil
	}
}

// xorFast is xor for up to a batch of blocks, by way of x:
// GCM writes a tag, and what lies behind b is not ours to write. What is encrypted is zeros, which gives the
// key stream itself. GCM takes 8 blocks at a time and single ones for the rest, so that a whole number of
// eights is as fast as the 160 bytes of most packets and faster than 80 or 240. What is looked up or not depends on the sequence
// number and the salt, which may be public (RFC 3711 section 3.2.1), and not on the key.
func (k *keyStream) xorFast(x *Scratch, b []byte, ssrc uint32, index uint64) {
	const eight = 8 * aes.BlockSize
	// J0 lies one before the first block and ends in 0xffff.
	n := binary.BigEndian.Uint16(k.salt[12:]) ^ uint16(index) - 1
	if roc := uint32(index >> 16); !k.known || k.ssrc != ssrc || k.roc != roc || k.sixteen != n>>4 {
		k.turn(ssrc, roc, n)
	}
	// What plus and put would do, without two calls for each packet.
	b3, b2, b1, b0 := -uint64(n>>3&1), -uint64(n>>2&1), -uint64(n>>1&1), -uint64(n&1)
	low := &k.low
	binary.BigEndian.PutUint64(x.iv[:8], k.near.high^low[0].high&b3^low[1].high&b2^low[2].high&b1^low[3].high&b0)
	binary.BigEndian.PutUint64(x.iv[8:], k.near.low^low[0].low&b3^low[1].low&b2^low[2].low&b1^low[3].low&b0)
	size := (len(b) + eight - 1) &^ (eight - 1)
	k.gcm.Seal(x.stream[:0], x.iv[:], zeros[:size], nil)
	subtle.XORBytes(b, b, x.stream[:size])
}

// turn keeps what is the same for the next packets.
func (k *keyStream) turn(ssrc, roc uint32, n uint16) {
	t := k.turns
	if !k.known || k.ssrc != ssrc || k.roc != roc {
		k.ssrc, k.roc, k.known = ssrc, roc, true
		const counted = 0xffffffff // the half that GCM counts in
		high, low := k.first(ssrc, uint64(roc)<<16)
		t.known = element{high, low&^counted | 0xffff}.times(t.back).add(t.length)
	}
	k.sixteen = n >> 4
	k.near = t.known.plus(t.high[:], n)
}
