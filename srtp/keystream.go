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

// keyStream is AES in counter mode (RFC 3711 section 4.1.1).
type keyStream struct {
	block   cipher.Block
	memory  extent
	salt    [aes.BlockSize]byte // 112 bits, then zeros
	scratch *Scratch
	fast    *fastStream
	until   int // short payloads until the fast way is made; 0 for never
}

// worthwhile is after how many packets the fast way is made: half a second of a call, since most INVITEs bring none, and
// to make it costs as much as it saves on a hundred packets.
const worthwhile = 25

func newKeyStream(block cipher.Block, salt []byte) *keyStream {
	k := &keyStream{block: block, memory: extentOf(block)}
	copy(k.salt[:14], salt)
	return k
}

// first returns the counter block a packet begins with. Its last 16 bits are 0 and number the blocks: 1 MB.
func (k *keyStream) first(ssrc uint32, index uint64) (high, low uint64) {
	high = binary.BigEndian.Uint64(k.salt[:8]) ^ uint64(ssrc)
	low = binary.BigEndian.Uint64(k.salt[8:]) ^ index<<16
	return high, low
}

// xor applies the key stream of a packet to b.
func (k *keyStream) xor(b []byte, ssrc uint32, index uint64) {
	high, low := k.first(ssrc, index)
	if len(b) <= batch*aes.BlockSize {
		if k.fast != nil {
			k.fast.xor(&roomOf(&k.scratch).stream, b, high, low)
			return
		}
		if k.until > 0 {
			if k.until--; k.until == 0 {
				k.accelerate()
			}
		}
	}
	k.xorBlocks(b, high, low)
}

func (k *keyStream) xorBlocks(b []byte, high, low uint64) {
	stream := &roomOf(&k.scratch).stream
	for len(b) > 0 {
		size := min(len(b), batch*aes.BlockSize)
		for at := 0; at < size; at += aes.BlockSize {
			s := stream[at : at+aes.BlockSize : at+aes.BlockSize]
			binary.BigEndian.PutUint64(s, high)
			binary.BigEndian.PutUint64(s[8:], low)
			k.block.Encrypt(s, s)
			low++
		}
		b = b[subtle.XORBytes(b, b[:size], stream[:size]):]
	}
}

// fastStream makes the same key stream several blocks at a time. crypto/cipher's counter mode does, but
// cannot be set to a packet's counter without allocating 512 bytes for it. Its GCM can: GCM encrypts with the
// same counter mode from the block after J0, and with an IV of 128 bits J0 is (IV*H + L)*H, where H is the
// encrypted zero block and L the length 128 (NIST SP 800-38D section 7.1). H has an inverse, so for each J0
// there is one IV that leads there: J0*H^-2 + L*H^-1. GCM's tag is thrown away.
//
// All of J0 but the 16 bits of the sequence number stays the same for 65,536 packets of a stream, and the
// product is linear: so one product is kept and the rest is four look-ups, of which three stay the same for 16 packets and
// are kept, too: each is a line of memory that is far away when the stream's next packet comes. The look-ups depend on the
// sequence number and the salt, which may be public (RFC 3711 section 3.2.1), and not on the key.
type fastStream struct {
	// Two lines with what every packet reads.
	gcm       cipher.AEAD
	memory    extent
	high, low uint64  // what known is for
	near      element // known and the three look-ups for sixteen
	sixteen   uint16
	last      uint16 // of the 16 bits, in the last packet
	isKnown   bool
	iv        [aes.BlockSize]byte

	known  element
	back   element        // H^-2
	length element        // L*H^-1
	table  [4][16]element // H^-2 times each value of a quarter of the 16 bits
}

// hasFastGCM: elsewhere GCM is slower than single blocks, and not constant in time.
const hasFastGCM = runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64"

// accelerate makes xor fast for short payloads, at the cost of 2 KB and some microseconds. It shows first that
// the fast way and the plain one agree under this key, and else leaves the plain one in place.
func (k *keyStream) accelerate() {
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
	f := &fastStream{gcm: gcm, memory: extentOf(gcm), back: inverse.squared(1), length: element{low: 128}.times(inverse)}
	// The 16 bits are those of x^96 to x^111; the first quarter is the highest.
	unit := element{low: 1 << 31}.times(f.back)
	for quarter := range f.table {
		t := &f.table[quarter]
		for bit := 8; bit > 0; bit, unit = bit>>1, unit.timesX() {
			for i := bit; i < 16; i++ {
				if i&bit != 0 {
					t[i] = t[i].add(unit)
				}
			}
		}
	}
	high, low := k.first(0, 0)
	var want, got [3 * aes.BlockSize]byte
	k.xorBlocks(want[:], high, low)
	f.xor(&roomOf(&k.scratch).stream, got[:], high, low)
	if got == want {
		k.fast = f
	}
}

// xor applies the key stream from the counter block high, low, whose last 16 bits are 0, by way of scratch:
// GCM writes a tag, and what lies behind b is not ours to write. What is encrypted is zeros, which gives the
// key stream itself. GCM takes 8 blocks at a time and single ones for the rest, so that a whole number of
// eights is as fast as the 160 bytes of most packets and faster than 80 or 240.
func (f *fastStream) xor(scratch *[(batch + 1) * aes.BlockSize]byte, b []byte, high, low uint64) {
	const counted, eight = 0xffffffff, 8 * aes.BlockSize // counted: the half of low that GCM counts in
	n := uint16(low>>16) - 1                             // J0 lies one before the first block and ends in 0xffff
	if low &^= counted; !f.isKnown || f.high != high || f.low != low || f.sixteen != n>>4 {
		f.turn(high, low, n)
	}
	f.last = n
	iv := f.near.add(f.table[3][n&15])
	iv.put(&f.iv)
	size := (len(b) + eight - 1) &^ (eight - 1)
	f.gcm.Seal(scratch[:0], f.iv[:], zeros[:size], nil)
	subtle.XORBytes(b, b, scratch[:size])
}

// turn keeps what is the same for the next packets.
func (f *fastStream) turn(high, low uint64, n uint16) {
	if !f.isKnown || f.high != high || f.low != low {
		f.high, f.low, f.isKnown = high, low, true
		f.known = element{high, low | 0xffff}.times(f.back).add(f.length)
	}
	f.sixteen = n >> 4
	f.near = f.known.add(f.table[0][n>>12]).add(f.table[1][n>>8&15]).add(f.table[2][n>>4&15])
}
