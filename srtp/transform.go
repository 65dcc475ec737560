package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// transform protects packets under one set of session keys. Methods work in place: seal and sealRTCP write
// behind the packet into the slice's capacity, which the caller has checked; open and openRTCP return the
// length of the packet in the clear, and false for one that is not authentic. They keep scratch space and so
// are not safe for concurrent use.
type transform interface {
	seal(packet []byte, header int, ssrc uint32, index uint64) []byte
	open(packet []byte, header int, ssrc uint32, index uint64) (int, bool)
	// word is the E bit and the SRTCP index.
	sealRTCP(packet []byte, ssrc, word uint32) []byte
	openRTCP(packet []byte, ssrc, word uint32) (int, bool)
}

func newTransform(s Suite, k sessionKeys) (transform, error) {
	block, err := aes.NewCipher(k.cipher)
	if err != nil {
		return nil, err
	}
	if suites[s].aead {
		aead, err := cipher.NewGCM(block)
		if err != nil {
			return nil, err
		}
		g := &gcm{aead: aead}
		copy(g.salt[:], k.salt)
		return g, nil
	}
	c := &counterMode{block: block, mac: hmac.New(sha1.New, k.auth), tag: suites[s].tag, rtcpTag: suites[s].rtcp}
	copy(c.salt[:], k.salt)
	return c, nil
}

// gcm is RFC 7714.
type gcm struct {
	aead cipher.AEAD
	salt [12]byte
	iv   [12]byte
	aad  [12]byte
}

// setIV is section 8.1 for RTP; for RTCP (section 9.1) the 48 bits hold the index alone.
func (g *gcm) setIV(ssrc uint32, index uint64) {
	g.iv[0], g.iv[1] = 0, 0
	binary.BigEndian.PutUint32(g.iv[2:], ssrc)
	binary.BigEndian.PutUint16(g.iv[6:], uint16(index>>32))
	binary.BigEndian.PutUint32(g.iv[8:], uint32(index))
	subtle.XORBytes(g.iv[:], g.iv[:], g.salt[:])
}

func (g *gcm) seal(packet []byte, header int, ssrc uint32, index uint64) []byte {
	g.setIV(ssrc, index)
	sealed := g.aead.Seal(packet[header:header], g.iv[:], packet[header:], packet[:header])
	return packet[:header+len(sealed)]
}

func (g *gcm) open(packet []byte, header int, ssrc uint32, index uint64) (int, bool) {
	if len(packet) < header+g.aead.Overhead() {
		return 0, false
	}
	g.setIV(ssrc, index)
	plain, err := g.aead.Open(packet[header:header], g.iv[:], packet[header:], packet[:header])
	return header + len(plain), err == nil
}

func (g *gcm) setRTCP(packet []byte, ssrc, word uint32) {
	g.setIV(ssrc, uint64(word&^encrypted))
	copy(g.aad[:8], packet)
	binary.BigEndian.PutUint32(g.aad[8:], word)
}

func (g *gcm) sealRTCP(packet []byte, ssrc, word uint32) []byte {
	g.setRTCP(packet, ssrc, word)
	sealed := g.aead.Seal(packet[8:8], g.iv[:], packet[8:], g.aad[:])
	return binary.BigEndian.AppendUint32(packet[:8+len(sealed)], word)
}

func (g *gcm) openRTCP(packet []byte, ssrc, word uint32) (int, bool) {
	if len(packet) < 8+g.aead.Overhead()+4 {
		return 0, false
	}
	g.setRTCP(packet, ssrc, word)
	plain, err := g.aead.Open(packet[8:8], g.iv[:], packet[8:len(packet)-4], g.aad[:])
	return 8 + len(plain), err == nil
}

// counterMode is AES-CM with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1).
type counterMode struct {
	block        cipher.Block
	mac          hash.Hash
	salt         [14]byte
	tag, rtcpTag int

	counter, stream [aes.BlockSize]byte
	roc             [4]byte
	sum             [sha1.Size]byte
}

// crypt applies the key stream to b. The counter's last 16 bits suffice: they number 1 MB of blocks.
func (c *counterMode) crypt(b []byte, ssrc uint32, index uint64) {
	copy(c.counter[:14], c.salt[:])
	c.counter[14], c.counter[15] = 0, 0
	binary.BigEndian.PutUint32(c.counter[4:], binary.BigEndian.Uint32(c.counter[4:])^ssrc)
	high := binary.BigEndian.Uint64(c.counter[8:])
	binary.BigEndian.PutUint64(c.counter[8:], high^index<<16)
	c.xor(b)
}

func (c *counterMode) xor(b []byte) {
	for n := uint16(0); len(b) > 0; n++ {
		binary.BigEndian.PutUint16(c.counter[14:], n)
		c.block.Encrypt(c.stream[:], c.counter[:])
		if len(b) < aes.BlockSize {
			for i := range b {
				b[i] ^= c.stream[i]
			}
			return
		}
		s0, s1 := binary.NativeEndian.Uint64(c.stream[:]), binary.NativeEndian.Uint64(c.stream[8:])
		binary.NativeEndian.PutUint64(b, binary.NativeEndian.Uint64(b)^s0)
		binary.NativeEndian.PutUint64(b[8:], binary.NativeEndian.Uint64(b[8:])^s1)
		b = b[aes.BlockSize:]
	}
}

// authenticate returns the whole HMAC of b and, for RTP, the rollover counter behind it.
func (c *counterMode) authenticate(b []byte, roc uint32, withROC bool) []byte {
	c.mac.Reset()
	c.mac.Write(b)
	if withROC {
		binary.BigEndian.PutUint32(c.roc[:], roc)
		c.mac.Write(c.roc[:])
	}
	return c.mac.Sum(c.sum[:0])
}

func (c *counterMode) seal(packet []byte, header int, ssrc uint32, index uint64) []byte {
	c.crypt(packet[header:], ssrc, index)
	return append(packet, c.authenticate(packet, uint32(index>>16), true)[:c.tag]...)
}

func (c *counterMode) open(packet []byte, header int, ssrc uint32, index uint64) (int, bool) {
	n := len(packet) - c.tag
	if n < header {
		return 0, false
	}
	want := c.authenticate(packet[:n], uint32(index>>16), true)[:c.tag]
	if subtle.ConstantTimeCompare(want, packet[n:]) != 1 {
		return 0, false
	}
	c.crypt(packet[header:n], ssrc, index)
	return n, true
}

func (c *counterMode) sealRTCP(packet []byte, ssrc, word uint32) []byte {
	c.crypt(packet[8:], ssrc, uint64(word&^encrypted))
	packet = binary.BigEndian.AppendUint32(packet, word)
	return append(packet, c.authenticate(packet, 0, false)[:c.rtcpTag]...)
}

func (c *counterMode) openRTCP(packet []byte, ssrc, word uint32) (int, bool) {
	n := len(packet) - c.rtcpTag
	if n < 8+4 {
		return 0, false
	}
	if subtle.ConstantTimeCompare(c.authenticate(packet[:n], 0, false)[:c.rtcpTag], packet[n:]) != 1 {
		return 0, false
	}
	c.crypt(packet[8:n-4], ssrc, uint64(word&^encrypted))
	return n - 4, true
}
