package srtp

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"math/big"
	"math/rand/v2"
	"testing"
)

// polynomial writes an element as an integer whose bit i is the coefficient of x^i.
func polynomial(a element) *big.Int {
	z := new(big.Int)
	for i := range 64 {
		z.SetBit(z, i, uint(a.high>>(63-i)&1))
		z.SetBit(z, 64+i, uint(a.low>>(63-i)&1))
	}
	return z
}

// product multiplies the long way.
func product(a, b *big.Int) *big.Int {
	z, modulus := new(big.Int), big.NewInt(0x87)
	modulus.SetBit(modulus, 128, 1)
	for i := range 128 {
		if a.Bit(i) == 1 {
			z.Xor(z, new(big.Int).Lsh(b, uint(i)))
		}
	}
	for i := z.BitLen() - 1; i >= 128; i-- {
		if z.Bit(i) == 1 {
			z.Xor(z, new(big.Int).Lsh(modulus, uint(i-128)))
		}
	}
	return z
}

func TestField(t *testing.T) {
	r := rand.New(random())
	one := element{high: 1 << 63}
	elements := []element{{}, one, {low: 1}, {high: ^uint64(0), low: ^uint64(0)}, {high: 1}, {low: 1 << 63}}
	for range 100 {
		elements = append(elements, element{r.Uint64(), r.Uint64()})
	}
	for i, a := range elements {
		b := elements[(i+1)%len(elements)]
		if got, want := polynomial(a.times(b)), product(polynomial(a), polynomial(b)); got.Cmp(want) != 0 {
			t.Errorf("%x times %x = %x; want %x", a, b, got, want)
		}
		if got, want := polynomial(a.squared(1)), product(polynomial(a), polynomial(a)); got.Cmp(want) != 0 {
			t.Errorf("%x squared = %x; want %x", a, got, want)
		}
		want := one
		if a == (element{}) {
			want = a
		}
		if got := a.times(a.inverse()); got != want {
			t.Errorf("%x times its inverse = %x; want %x", a, got, want)
		}
	}
}

// Both ways must make the key stream that crypto/cipher makes, for every length around a block and a batch.
func TestKeyStream(t *testing.T) {
	r := rand.New(random())
	fill := func(b []byte) {
		for i := range b {
			b[i] = byte(r.Uint32())
		}
	}
	for range 60 {
		key, salt := make([]byte, 16+8*r.IntN(3)), make([]byte, 14)
		fill(key)
		fill(salt)
		block, err := aes.NewCipher(key)
		if err != nil {
			t.Fatal(err)
		}
		x := NewScratch()
		plain, fast, becoming := new(keyStream), new(keyStream), new(keyStream) // which turns fast on the way
		plain.begin(block, salt)
		fast.begin(block, salt)
		becoming.begin(block, salt)
		fast.accelerate(x)
		if hasFastGCM && fast.gcm == nil {
			t.Fatalf("key %x: the fast way was not taken", key)
		}
		becoming.until = worthwhile
		ssrc, index := r.Uint32(), r.Uint64N(maxIndex+1)
		for range 200 {
			switch r.IntN(10) {
			case 0:
				ssrc = r.Uint32()
			case 1:
				index = r.Uint64N(maxIndex + 1)
			case 2: // the sequence number for which the count of J0 borrows
				index = index&^0xffff | uint64(binary.BigEndian.Uint16(salt[12:]))
			default:
				index = (index + 1) & maxIndex
			}
			iv := make([]byte, 16)
			copy(iv, salt)
			for i, x := range binary.BigEndian.AppendUint32(nil, ssrc) {
				iv[4+i] ^= x
			}
			for i, x := range binary.BigEndian.AppendUint64(nil, index)[2:] {
				iv[8+i] ^= x
			}
			room := make([]byte, r.IntN(600)+32)
			fill(room)
			size := len(room) - 32
			want := bytes.Clone(room)
			cipher.NewCTR(block, iv).XORKeyStream(want[:size], want[:size])
			for name, k := range map[string]*keyStream{"plain": plain, "fast": fast, "becoming": becoming} {
				got := bytes.Clone(room)
				k.xor(x, got[:size], ssrc, index)
				if !bytes.Equal(got, want) {
					t.Fatalf("%s: key %x iv %x, %d bytes: %x; want %x", name, key, iv, size, got, want)
				}
			}
		}
		if hasFastGCM && becoming.gcm == nil {
			t.Fatalf("key %x: the fast way was not taken on the way", key)
		}
	}
}

func TestMAC(t *testing.T) {
	r := rand.New(random())
	key, b := make([]byte, 20), make([]byte, 400)
	for i := range key {
		key[i] = byte(r.Uint32())
	}
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	var m mac
	if err := m.begin(key); err != nil {
		t.Fatal(err)
	}
	x := NewScratch()
	want := hmac.New(sha1.New, key)
	for n := range b {
		want.Reset()
		want.Write(b[:n])
		if got := m.sum(x, b[:n]); !bytes.Equal(got, want.Sum(nil)) {
			t.Fatalf("%d bytes: %x; want %x", n, got, want.Sum(nil))
		}
		roc := r.Uint32()
		want.Write(binary.BigEndian.AppendUint32(nil, roc))
		if got := m.sumROC(x, b[:n], roc); !bytes.Equal(got, want.Sum(nil)) {
			t.Fatalf("%d bytes and a ROC: %x; want %x", n, got, want.Sum(nil))
		}
	}
}

func BenchmarkNewSender(b *testing.B) {
	for _, suite := range []Suite{AEAD_AES_128_GCM, AES_CM_128_HMAC_SHA1_80} {
		b.Run(suite.String(), func(b *testing.B) {
			k := key(b, suite)
			b.ReportAllocs()
			for b.Loop() {
				if _, err := NewSender(k); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
