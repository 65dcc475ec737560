// Package rtp reads RTP and RTCP packets, builds RTCP reports and keeps the account of loss and jitter
// (RFC 3550, RFC 3551, RFC 5761).
//
// Nothing here copies or allocates: a Header is a view of values, and payloads are slices of the packet.
package rtp

import (
	"encoding/binary"
	"errors"
)

// HeaderSize is the length of an RTP header without contributing sources and extension, in bytes.
const HeaderSize = 12

// Errors of Parse and Payload. They carry no detail: at media rates a sender of rubbish must not make the
// node format text.
var (
	// ErrShort: the packet ends before the header it announces.
	ErrShort = errors.New("rtp: packet too short")
	// ErrVersion: the version is not 2.
	ErrVersion = errors.New("rtp: version is not 2")
	// ErrPadding: the padding is longer than the payload or of length 0.
	ErrPadding = errors.New("rtp: bad padding")
)

// Header is the fixed part of an RTP header (RFC 3550 section 5.1) and where the payload begins.
type Header struct {
	// Padding is the P bit. Under SRTP the padding itself can be judged only after unprotecting.
	Padding bool
	// Extension is the X bit.
	Extension bool
	// Marker is the M bit.
	Marker bool
	// PayloadType is 0 to 127.
	PayloadType uint8
	// Sequence is the sequence number.
	Sequence uint16
	// Timestamp counts in units of the payload's clock rate.
	Timestamp uint32
	// SSRC is the synchronization source.
	SSRC uint32
	// Size is the length of the whole header in bytes, with contributing sources and extension.
	Size int
}

// Parse reads the header of an RTP packet. It checks the version and that contributing sources and
// extension lie inside the packet.
func Parse(b []byte) (Header, error) {
	if len(b) < HeaderSize {
		return Header{}, ErrShort
	}
	if b[0]>>6 != 2 {
		return Header{}, ErrVersion
	}
	h := Header{
		Padding:     b[0]&0x20 != 0,
		Extension:   b[0]&0x10 != 0,
		Marker:      b[1]&0x80 != 0,
		PayloadType: b[1] & 0x7f,
		Sequence:    binary.BigEndian.Uint16(b[2:]),
		Timestamp:   binary.BigEndian.Uint32(b[4:]),
		SSRC:        binary.BigEndian.Uint32(b[8:]),
		Size:        HeaderSize + 4*int(b[0]&0x0f),
	}
	if h.Extension {
		if len(b) < h.Size+4 {
			return Header{}, ErrShort
		}
		h.Size += 4 + 4*int(binary.BigEndian.Uint16(b[h.Size+2:]))
	}
	if len(b) < h.Size {
		return Header{}, ErrShort
	}
	return h, nil
}

// Payload returns the payload of the packet h was parsed from, without padding.
func (h Header) Payload(b []byte) ([]byte, error) {
	if len(b) < h.Size {
		return nil, ErrShort
	}
	body := b[h.Size:]
	if !h.Padding {
		return body, nil
	}
	if len(body) == 0 {
		return nil, ErrPadding
	}
	n := int(body[len(body)-1])
	if n == 0 || n > len(body) {
		return nil, ErrPadding
	}
	return body[:len(body)-n], nil
}

// Put writes h as a 12-byte header without contributing sources, extension and padding into b, which must
// be at least HeaderSize long.
func (h Header) Put(b []byte) {
	_ = b[HeaderSize-1]
	b[0], b[1] = 2<<6, h.PayloadType&0x7f
	if h.Marker {
		b[1] |= 0x80
	}
	binary.BigEndian.PutUint16(b[2:], h.Sequence)
	binary.BigEndian.PutUint32(b[4:], h.Timestamp)
	binary.BigEndian.PutUint32(b[8:], h.SSRC)
}

// IsRTCP tells RTCP from RTP on a port that carries both: RTCP's packet types 192 to 223 are the RTP
// payload types 64 to 95 with the marker set, which RFC 5761 section 4 takes away from RTP.
func IsRTCP(b []byte) bool {
	return len(b) >= 2 && b[1] >= 192 && b[1] <= 223
}

// Reserved reports whether a header cannot be RTP's because what it belongs to is RTCP: the packet types 200 to 204 of RFC
// 3550 read as payload types 72 to 76 with the marker set, which RFC 3551 section 6 reserves so that the two can be told
// apart where they were not agreed to share a port.
func (h Header) Reserved() bool { return h.Marker && h.PayloadType >= 72 && h.PayloadType <= 76 }
