package phone

import (
	"strings"

	"carillon/rtp"
)

// SampleRate is the rate of G.711 in Hz (RFC 3551 section 4.5.14).
const SampleRate = 8000

// FrameSize is the samples, and with G.711 the octets, of one packet: 20 ms.
const FrameSize = SampleRate / 50

// Codec is a payload format.
type Codec uint8

// The codecs, by their static payload types (RFC 3551 section 6).
const (
	PCMU Codec = rtp.PayloadPCMU
	PCMA Codec = rtp.PayloadPCMA
)

// String returns the name as an a=rtpmap line has it, for example "PCMU/8000".
func (c Codec) String() string {
	if c == PCMA {
		return "PCMA/8000"
	}
	return "PCMU/8000"
}

// parseCodec reads a payload format of a description; rtpmap is empty for a static payload type.
func parseCodec(format, rtpmap string) (Codec, bool) {
	name, _, _ := strings.Cut(rtpmap, " ")
	// A third part counts channels: G.711 has one.
	switch strings.ToUpper(strings.TrimSuffix(name, "/1")) {
	case "PCMU/8000":
		return PCMU, true
	case "PCMA/8000":
		return PCMA, true
	case "":
		switch format {
		case "0":
			return PCMU, true
		case "8":
			return PCMA, true
		}
	}
	return 0, false
}

// encode appends samples as octets.
func (c Codec) encode(dst []byte, samples []int16) []byte {
	for _, s := range samples {
		if c == PCMA {
			dst = append(dst, rtp.ALaw(s))
		} else {
			dst = append(dst, rtp.MuLaw(s))
		}
	}
	return dst
}

// decode appends octets as samples.
func (c Codec) decode(dst []int16, octets []byte) []int16 {
	for _, b := range octets {
		if c == PCMA {
			dst = append(dst, rtp.LinearA(b))
		} else {
			dst = append(dst, rtp.LinearMu(b))
		}
	}
	return dst
}
