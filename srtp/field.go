package srtp

import (
	"crypto/aes"
	"encoding/binary"
)

// element is one of GF(2^128) as GCM writes it (NIST SP 800-38D section 6.3): the coefficient of x^0 is the
// first bit of the first byte, here the highest of high. No operation branches or looks up by value: what is
// multiplied is derived from a key.
type element struct{ high, low uint64 }

func elementOf(b *[aes.BlockSize]byte) element {
	return element{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

func (a element) put(b *[aes.BlockSize]byte) {
	binary.BigEndian.PutUint64(b[:8], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
}

// plus adds those of some elements, sixteen at most, whose bits are set, the highest bit for the first.
func (a element) plus(some []element, bits uint16) element {
	for _, e := range some {
		mask := -uint64(bits >> 15)
		a.high, a.low = a.high^e.high&mask, a.low^e.low&mask
		bits <<= 1
	}
	return a
}

func (a element) add(b element) element { return element{a.high ^ b.high, a.low ^ b.low} }

// timesX multiplies by x, modulo x^128 + x^7 + x^2 + x + 1.
func (a element) timesX() element {
	carry := -(a.low & 1) & (0xe1 << 56)
	return element{a.high>>1 ^ carry, a.low>>1 | a.high<<63}
}

func (a element) times(b element) element {
	var z element
	for _, word := range [2]uint64{a.high, a.low} {
		for range 64 {
			mask := uint64(int64(word) >> 63)
			z.high ^= b.high & mask
			z.low ^= b.low & mask
			b, word = b.timesX(), word<<1
		}
	}
	return z
}

// spread puts a zero behind each bit, which squares a polynomial over GF(2).
func spread(half uint64) uint64 {
	x := half & 0xffffffff
	x = (x | x<<16) & 0x0000ffff0000ffff
	x = (x | x<<8) & 0x00ff00ff00ff00ff
	x = (x | x<<4) & 0x0f0f0f0f0f0f0f0f
	x = (x | x<<2) & 0x3333333333333333
	x = (x | x<<1) & 0x5555555555555555
	return x << 1
}

// squared returns a to the power of 2^n.
func (a element) squared(n int) element {
	for range n {
		// over holds the coefficients from x^128; x^128 is x^7 + x^2 + x + 1, and what that shifts out
		// at the end is folded in once more.
		over := element{spread(a.low >> 32), spread(a.low)}
		out := over.low<<63 ^ over.low<<62 ^ over.low<<57
		a = element{
			spread(a.high>>32) ^ over.high ^ over.high>>1 ^ over.high>>2 ^ over.high>>7,
			spread(a.high) ^ over.low ^ over.low>>1 ^ over.low>>2 ^ over.low>>7 ^ over.high<<63 ^ over.high<<62 ^ over.high<<57,
		}
		a.high ^= out ^ out>>1 ^ out>>2 ^ out>>7
	}
	return a
}

// inverse returns a to the power of 2^128 - 2, which is 1/a, and 0 for 0.
func (a element) inverse() element {
	p := a // a^(2^n - 1) for n = 1, 3, 7, 15, 31, 63, 127
	for n := 1; n < 127; n = 2*n + 1 {
		p = p.squared(n).times(p).squared(1).times(a)
	}
	return p.squared(1)
}
