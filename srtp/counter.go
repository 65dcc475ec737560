package srtp

import (
	"crypto/subtle"
	"encoding/binary"
)

// counterMode is AES-CM with HMAC-SHA1 (RFC 3711 sections 4.1.1 and 4.2.1).
type counterMode struct {
	keyStream    keyStream
	mac          mac
	tag, rtcpTag int
}

func (c *counterMode) seal(packet []byte, header int, ssrc uint32, index uint64) []byte {
	c.keyStream.xor(packet[header:], ssrc, index)
	return append(packet, c.mac.sumROC(packet, uint32(index>>16))[:c.tag]...)
}

func (c *counterMode) open(packet []byte, header int, ssrc uint32, index uint64) (int, bool) {
	n := len(packet) - c.tag
	if n < header {
		return 0, false
	}
	want := c.mac.sumROC(packet[:n], uint32(index>>16))[:c.tag]
	if subtle.ConstantTimeCompare(want, packet[n:]) != 1 {
		return 0, false
	}
	c.keyStream.xor(packet[header:n], ssrc, index)
	return n, true
}

func (c *counterMode) sealRTCP(packet []byte, ssrc, word uint32) []byte {
	c.keyStream.xor(packet[8:], ssrc, uint64(word&^encrypted))
	packet = binary.BigEndian.AppendUint32(packet, word)
	return append(packet, c.mac.sum(packet)[:c.rtcpTag]...)
}

func (c *counterMode) openRTCP(packet []byte, ssrc, word uint32) (int, bool) {
	n := len(packet) - c.rtcpTag
	if n < 8+4 {
		return 0, false
	}
	if subtle.ConstantTimeCompare(c.mac.sum(packet[:n])[:c.rtcpTag], packet[n:]) != 1 {
		return 0, false
	}
	c.keyStream.xor(packet[8:n-4], ssrc, uint64(word&^encrypted))
	return n - 4, true
}
