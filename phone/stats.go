package phone

import (
	"net/netip"
	"time"

	"carillon/rtp"
	"carillon/sip/transport"
)

// Stats is what one call knows of itself. Counts are since its media began.
type Stats struct {
	// Transport is the signalling's; TLS describes it and is nil without TLS.
	Transport transport.Proto
	TLS       *transport.TLSInfo
	// Profile is "RTP/AVP", "RTP/SAVP" and so on, Suite the SRTP crypto suite by its IANA name, empty for plain RTP.
	// Both are empty before descriptions were exchanged.
	Profile, Suite string
	// Codec is for example "PCMU/8000".
	Codec string
	// Local and Remote are the media addresses.
	Local, Remote netip.AddrPort
	// Packets and octets of RTP, headers and tags left out of the octets.
	PacketsSent, BytesSent, PacketsReceived, BytesReceived uint64
	// RTCPSent and RTCPReceived count compound RTCP packets.
	RTCPSent, RTCPReceived uint64
	// Lost counts packets that never came (RFC 3550 appendix A.3), Jitter is the interarrival jitter (A.8).
	Lost   uint64
	Jitter time.Duration
	// RoundTrip is the last round trip that a report of the other side told, 0 before the first.
	RoundTrip time.Duration
	// FirstPacket is the time from agreeing on media to the first packet that could be played, 0 before it.
	FirstPacket time.Duration
	// AuthFailures counts SRTP and SRTCP packets whose tag was wrong, plain ones among them; Replays those that came before.
	AuthFailures, Replays uint64
	// WrongSource counts packets in the clear that came from another address than the one signalled.
	WrongSource uint64
	// Rejected counts packets that were malformed or of a payload type not agreed on.
	Rejected uint64
}

// Quality derives the figures of an estimate of how the other side sounded.
func (s Stats) Quality() rtp.Quality {
	q := rtp.Quality{Delay: rtp.OneWay(s.RoundTrip, s.Jitter), Codec: s.Codec}
	if expected := s.PacketsReceived + s.Lost; expected > 0 {
		q.Loss = float64(s.Lost) / float64(expected)
	}
	if s.PacketsReceived == 0 {
		q.Loss = 1
	}
	return q
}
