package srtp

import (
	"crypto/aes"
	"crypto/subtle"
	"encoding/binary"
)

// counterMode is AES-CM with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1).
type counterMode struct {
	scratch      *Scratch
	mac          mac
	tag, rtcpTag uint8
	keyStream    keyStream
}

func (c *counterMode) begin(s Suite, k *sessionKeys) error {
	block, err := aes.NewCipher(k.cipher)
	if err != nil {
		return err
	}
	if err := c.mac.begin(k.auth); err != nil {
		return err
	}
	c.keyStream.begin(block, k.salt)
	c.tag, c.rtcpTag = suites[s].tag, suites[s].rtcp
	return nil
}

// room returns the scratch, which is its own where none is shared.
func (c *counterMode) room() *Scratch {
	if c.scratch == nil {
		c.scratch = NewScratch()
	}
	return c.scratch
}

func (c *counterMode) seal(packet []byte, header int, ssrc uint32, index uint64) []byte {
	x := c.room()
	c.keyStream.xor(x, packet[header:], ssrc, index)
	return append(packet, c.mac.sumROC(x, packet, uint32(index>>16))[:c.tag]...)
}

func (c *counterMode) open(packet []byte, header int, ssrc uint32, index uint64) (int, bool) {
	x, n := c.room(), len(packet)-int(c.tag)
	if n < header {
		return 0, false
	}
	want := c.mac.sumROC(x, packet[:n], uint32(index>>16))[:c.tag]
	if subtle.ConstantTimeCompare(want, packet[n:]) != 1 {
		return 0, false
	}
	c.keyStream.xor(x, packet[header:n], ssrc, index)
	return n, true
}

func (c *counterMode) sealRTCP(packet []byte, ssrc, word uint32) []byte {
	x := c.room()
	c.keyStream.xor(x, packet[8:], ssrc, uint64(word&^encrypted))
	packet = binary.BigEndian.AppendUint32(packet, word)
	return append(packet, c.mac.sum(x, packet)[:c.rtcpTag]...)
}

func (c *counterMode) openRTCP(packet []byte, ssrc, word uint32) (int, bool) {
	x, n := c.room(), len(packet)-int(c.rtcpTag)
	if n < 8+4 {
		return 0, false
	}
	if subtle.ConstantTimeCompare(c.mac.sum(x, packet[:n])[:c.rtcpTag], packet[n:]) != 1 {
		return 0, false
	}
	c.keyStream.xor(x, packet[8:n-4], ssrc, uint64(word&^encrypted))
	return n - 4, true
}
