package rtp

import (
	"encoding/binary"
	"time"
)

const (
	senderInfoSize  = 20
	reportBlockSize = 24
)

// NextRTCP splits the first packet off a compound that CheckRTCP accepted. Of one that it did not, what does not fit is
// the first packet.
func NextRTCP(b []byte) (first, rest []byte) {
	if len(b) < 4 {
		return b, nil
	}
	size := min(len(b), 4*(1+int(binary.BigEndian.Uint16(b[2:]))))
	return b[:size], b[size:]
}

// Report is a sender's or a receiver's report (RFC 3550 section 6.4). It is a view of its packet.
type Report struct {
	// SSRC is who reports.
	SSRC uint32
	// Sender is true for a sender's report, which alone has Info.
	Sender bool
	Info   SenderInfo

	blocks []byte
}

// ParseReport reads a report; it is false for packets of other types and for broken ones.
func ParseReport(packet []byte) (Report, bool) {
	if len(packet) < RTCPHeaderSize || packet[1] != TypeSR && packet[1] != TypeRR {
		return Report{}, false
	}
	r := Report{SSRC: binary.BigEndian.Uint32(packet[4:]), Sender: packet[1] == TypeSR}
	blocks, count := packet[RTCPHeaderSize:], int(packet[0]&0x1f)
	if r.Sender {
		if len(blocks) < senderInfoSize {
			return Report{}, false
		}
		r.Info = SenderInfo{
			NTP: binary.BigEndian.Uint64(blocks), RTP: binary.BigEndian.Uint32(blocks[8:]),
			Packets: binary.BigEndian.Uint32(blocks[12:]), Octets: binary.BigEndian.Uint32(blocks[16:]),
		}
		blocks = blocks[senderInfoSize:]
	}
	if len(blocks) < count*reportBlockSize {
		return Report{}, false
	}
	r.blocks = blocks[:count*reportBlockSize]
	return r, true
}

// Len returns the number of blocks, at most 31.
func (r Report) Len() int { return len(r.blocks) / reportBlockSize }

// Block returns the i-th block.
func (r Report) Block(i int) ReportBlock {
	b := r.blocks[i*reportBlockSize:]
	return ReportBlock{
		SSRC: binary.BigEndian.Uint32(b), Fraction: b[4],
		Lost:    int32(binary.BigEndian.Uint32(b[4:])<<8) >> 8, // 24 bits with sign
		Highest: binary.BigEndian.Uint32(b[8:]), Jitter: binary.BigEndian.Uint32(b[12:]),
		LastSR: binary.BigEndian.Uint32(b[16:]), Delay: binary.BigEndian.Uint32(b[20:]),
	}
}

// MiddleNTP returns the middle 32 bits of an NTP time, by which a report is known in the answers to it.
func MiddleNTP(ntp uint64) uint32 { return uint32(ntp >> 16) }

// ReportDelay returns a duration in the unit of ReportBlock.Delay, 1/65536 s.
func ReportDelay(d time.Duration) uint32 {
	return uint32(d/time.Second)<<16 + uint32(d%time.Second<<16/time.Second)
}

// DelayOf returns what a ReportBlock.Delay means.
func DelayOf(delay uint32) time.Duration { return time.Duration(delay) * time.Second >> 16 }

// sdesPriv is the item whose first octet is a length (RFC 3550 section 6.5.8).
const sdesPriv = 8

// HideNames replaces the texts of source descriptions and farewells in a compound that CheckRTCP accepted, each by as
// much of with as it takes, over and over: phones write their user's name and their host's address there. Lengths stay.
func HideNames(b []byte, with string) {
	for len(b) > 0 {
		var p []byte
		p, b = NextRTCP(b)
		if len(p) < 4 || with == "" {
			return
		}
		count := int(p[0] & 0x1f)
		switch p[1] {
		case TypeSDES:
			hideItems(p[4:], with)
		case TypeBYE:
			if at := 4 + 4*count; at < len(p) {
				hideText(p[at+1:min(len(p), at+1+int(p[at]))], with)
			}
		}
	}
}

// hideItems goes through the chunks of a source description: a source, items, a zero, and zeros up to 32 bits.
func hideItems(b []byte, with string) {
	for len(b) >= 4 {
		at := 4
		for at < len(b) && b[at] != 0 {
			if at+2 > len(b) {
				return
			}
			text := b[at+2 : min(len(b), at+2+int(b[at+1]))]
			if b[at] == sdesPriv && len(text) > 0 {
				text = text[1:]
			}
			hideText(text, with)
			at += 2 + int(b[at+1])
		}
		b = b[min(len(b), at/4*4+4):]
	}
}

func hideText(text []byte, with string) {
	for i := range text {
		text[i] = with[i%len(with)]
	}
}
