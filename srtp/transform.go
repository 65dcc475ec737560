package srtp

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"encoding/binary"
)

// transform protects packets under one set of session keys. Methods work in place: seal and sealRTCP write
// behind the packet into the slice's capacity, which the caller has checked; open and openRTCP return the
// length of the packet in the clear, and false for one that is not authentic. They keep scratch space and so
// are not safe for concurrent use.
type transform interface {
	// begin takes the keys of a suite; it comes first, and once.
	begin(s Suite, k *sessionKeys) error
	seal(packet []byte, header int, ssrc uint32, index uint64) []byte
	open(packet []byte, header int, ssrc uint32, index uint64) (int, bool)
	// word is the E bit and the SRTCP index.
	sealRTCP(packet []byte, ssrc, word uint32) []byte
	openRTCP(packet []byte, ssrc, word uint32) (int, bool)
}

// blank returns a transform of a suite that has no keys yet.
func blank(s Suite) transform {
	if suites[s].aead {
		return new(gcm)
	}
	return new(counterMode)
}

// gcm is RFC 7714.
type gcm struct {
	aead   cipher.AEAD
	memory memory
	salt   [12]byte
	iv     [12]byte
	aad    [12]byte
}

func (g *gcm) begin(_ Suite, k *sessionKeys) error {
	block, err := aes.NewCipher(k.cipher)
	if err != nil {
		return err
	}
	if g.aead, err = cipher.NewGCM(block); err != nil {
		return err
	}
	g.memory = memoryOf(g.aead)
	copy(g.salt[:], k.salt)
	return nil
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
