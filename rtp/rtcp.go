package rtp

import (
	"encoding/binary"
	"errors"
	"time"
)

// RTCP packet types (RFC 3550 section 12.1, RFC 4585, RFC 3611).
const (
	TypeSR    = 200
	TypeRR    = 201
	TypeSDES  = 202
	TypeBYE   = 203
	TypeAPP   = 204
	TypeRTPFB = 205
	TypePSFB  = 206
	TypeXR    = 207
)

// RTCPHeaderSize is the length of an RTCP header with the sender's SSRC, in bytes.
const RTCPHeaderSize = 8

// Errors of CheckRTCP.
var (
	// ErrRTCPShort: a packet of the compound ends outside the datagram.
	ErrRTCPShort = errors.New("rtcp: packet too short")
	// ErrRTCPVersion: a packet's version is not 2.
	ErrRTCPVersion = errors.New("rtcp: version is not 2")
	// ErrRTCPType: a packet type outside 192 to 223.
	ErrRTCPType = errors.New("rtcp: not an RTCP packet type")
	// ErrRTCPPadding: padding before the last packet, or longer than its packet.
	ErrRTCPPadding = errors.New("rtcp: bad padding")
	// ErrRTCPCount: more report blocks announced than the packet holds.
	ErrRTCPCount = errors.New("rtcp: report count exceeds the packet")
)

// CheckRTCP validates a compound packet in the clear (RFC 3550 appendix A.2): versions, types, lengths that
// add up to the datagram, padding in the last packet only, and report blocks that fit. The first packet may
// be of any type, because reduced-size RTCP (RFC 5506) need not begin with a report.
func CheckRTCP(b []byte) error {
	if len(b) < RTCPHeaderSize {
		return ErrRTCPShort
	}
	for len(b) > 0 {
		if len(b) < 4 {
			return ErrRTCPShort
		}
		if b[0]>>6 != 2 {
			return ErrRTCPVersion
		}
		if b[1] < 192 || b[1] > 223 {
			return ErrRTCPType
		}
		size := 4 * (1 + int(binary.BigEndian.Uint16(b[2:])))
		if size > len(b) {
			return ErrRTCPShort
		}
		if err := checkOne(b[:size], size == len(b)); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}

func checkOne(b []byte, last bool) error {
	size := len(b)
	if b[0]&0x20 != 0 {
		pad := int(b[size-1])
		if !last || pad == 0 || pad%4 != 0 || pad > size-4 {
			return ErrRTCPPadding
		}
		size -= pad
	}
	count := int(b[0] & 0x1f)
	need := 4
	switch b[1] {
	case TypeSR:
		need = 28 + 24*count
	case TypeRR:
		need = 8 + 24*count
	case TypeBYE:
		need = 4 + 4*count
	case TypeSDES:
		need = 4 + 8*count // an SSRC and at least one item with its end, padded to 32 bits
	case TypeAPP, TypeRTPFB, TypePSFB:
		need = 12
	}
	if size < need {
		return ErrRTCPCount
	}
	return nil
}

// ReportBlock is what a receiver says of one source (RFC 3550 section 6.4.1).
type ReportBlock struct {
	// SSRC is the source reported on.
	SSRC uint32
	// Fraction is the share lost since the last report, in 1/256.
	Fraction uint8
	// Lost is the number lost since the beginning, clamped to 24 bits with sign.
	Lost int32
	// Highest is the extended highest sequence number.
	Highest uint32
	// Jitter is in units of the payload's clock rate.
	Jitter uint32
	// LastSR and Delay answer the source's last sender report, in 1/65536 s.
	LastSR, Delay uint32
}

// SenderInfo is what a sender says of itself (RFC 3550 section 6.4.1).
type SenderInfo struct {
	// NTP is the moment of the report as a 64-bit NTP time, RTP the same moment on the stream's clock.
	NTP uint64
	RTP uint32
	// Packets and Octets count what was sent.
	Packets, Octets uint32
}

// NTPTime returns t as a 64-bit NTP time stamp: seconds since 1900 and 2^-32 s.
func NTPTime(t time.Time) uint64 {
	const since1900 = 2208988800
	sec := uint64(t.Unix() + since1900)
	return sec<<32 | uint64(t.Nanosecond())<<32/1e9
}

// AppendSR appends a sender report with at most 31 blocks.
func AppendSR(b []byte, ssrc uint32, info SenderInfo, blocks ...ReportBlock) []byte {
	blocks = blocks[:min(len(blocks), 31)]
	b = appendRTCPHeader(b, TypeSR, len(blocks), 28+24*len(blocks))
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = binary.BigEndian.AppendUint64(b, info.NTP)
	b = binary.BigEndian.AppendUint32(b, info.RTP)
	b = binary.BigEndian.AppendUint32(b, info.Packets)
	b = binary.BigEndian.AppendUint32(b, info.Octets)
	return appendBlocks(b, blocks)
}

// AppendRR appends a receiver report with at most 31 blocks.
func AppendRR(b []byte, ssrc uint32, blocks ...ReportBlock) []byte {
	blocks = blocks[:min(len(blocks), 31)]
	b = appendRTCPHeader(b, TypeRR, len(blocks), 8+24*len(blocks))
	b = binary.BigEndian.AppendUint32(b, ssrc)
	return appendBlocks(b, blocks)
}

// AppendCNAME appends a source description that holds one canonical name of at most 255 bytes; every
// compound packet needs one (RFC 3550 section 6.1).
func AppendCNAME(b []byte, ssrc uint32, name string) []byte {
	name = name[:min(len(name), 255)]
	items := 2 + len(name) + 1
	pad := (4 - items%4) % 4
	b = appendRTCPHeader(b, TypeSDES, 1, 8+items+pad)
	b = binary.BigEndian.AppendUint32(b, ssrc)
	b = append(b, 1, byte(len(name)))
	b = append(b, name...)
	return append(b, make([]byte, 1+pad)...)
}

// AppendBYE appends a packet that ends a source.
func AppendBYE(b []byte, ssrc uint32) []byte {
	b = appendRTCPHeader(b, TypeBYE, 1, 8)
	return binary.BigEndian.AppendUint32(b, ssrc)
}

func appendRTCPHeader(b []byte, kind byte, count, size int) []byte {
	b = append(b, 2<<6|byte(count), kind)
	return binary.BigEndian.AppendUint16(b, uint16(size/4-1))
}

func appendBlocks(b []byte, blocks []ReportBlock) []byte {
	for _, r := range blocks {
		lost := uint32(min(max(r.Lost, -1<<23), 1<<23-1)) & 0xffffff
		b = binary.BigEndian.AppendUint32(b, r.SSRC)
		b = binary.BigEndian.AppendUint32(b, uint32(r.Fraction)<<24|lost)
		b = binary.BigEndian.AppendUint32(b, r.Highest)
		b = binary.BigEndian.AppendUint32(b, r.Jitter)
		b = binary.BigEndian.AppendUint32(b, r.LastSR)
		b = binary.BigEndian.AppendUint32(b, r.Delay)
	}
	return b
}
