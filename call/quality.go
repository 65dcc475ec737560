package call

import "time"

// MediaSample is what one way of one leg's media did in a second, or in several where a call is long.
type MediaSample struct {
	// Seconds is how many seconds it covers: 1, or a power of two.
	Seconds uint32 `json:"seconds"`
	// Packets and Bytes are RTP's, headers included in the latter; Lost are packets that never came.
	Packets uint32 `json:"packets"`
	Bytes   uint32 `json:"bytes"`
	Lost    uint32 `json:"lost"`
	// JitterMicros is the highest interarrival jitter (RFC 3550 A.8), RoundTripMicros the last round trip between node
	// and peer, 0 where none was measured yet. Both are in microseconds.
	JitterMicros    uint32 `json:"jitter_micros"`
	RoundTripMicros uint32 `json:"round_trip_micros,omitempty"`
	// GapMicros is the longest time between two packets that ended here, in microseconds; only of what is received, and
	// not where the peer had said that it would say nothing: on hold, or by comfort noise or a marker before speech.
	GapMicros uint32 `json:"gap_micros,omitempty"`
	// SSRC is the source and PayloadType the format, 0 to 127, of the first packet, of speech where there is any.
	SSRC        uint32 `json:"ssrc"`
	PayloadType uint8  `json:"payload_type"`
	// MOS is the E-model's estimate for the worst second in hundredths, 100 to 441; 0 where nothing can be said.
	MOS uint16 `json:"mos"`
}

// Add puts a later sample to s.
func (s *MediaSample) Add(o MediaSample) {
	if s.Packets == 0 {
		s.SSRC, s.PayloadType = o.SSRC, o.PayloadType
	}
	s.Seconds += o.Seconds
	s.Packets += o.Packets
	s.Bytes += o.Bytes
	s.Lost += o.Lost
	s.JitterMicros, s.GapMicros = max(s.JitterMicros, o.JitterMicros), max(s.GapMicros, o.GapMicros)
	if o.RoundTripMicros != 0 {
		s.RoundTripMicros = o.RoundTripMicros
	}
	if s.MOS == 0 || o.MOS != 0 && o.MOS < s.MOS {
		s.MOS = o.MOS
	}
}

// LegSamples are both ways of a leg's media over the time of a call. All samples of a way but the last cover the same
// number of seconds.
type LegSamples struct {
	// Received is what came from the peer, as it was measured here. Sent is what went to it: its packets were counted
	// here, loss and jitter are what the peer reports.
	Received, Sent []MediaSample
	// ReceivedSince and SentSince are when the first sample of each begins; zero where there is none.
	ReceivedSince, SentSince time.Time
	// Formats is what the samples' payload types mean on this leg.
	Formats []MediaFormat
}

// MediaFormat is what a payload type was agreed to mean (RFC 3551 section 6, RFC 8866 section 6.6).
type MediaFormat struct {
	PayloadType uint8
	// Codec is for example "PCMU/8000".
	Codec string
}

// MediaReport is what the media plane knows when a call's media is closed.
type MediaReport struct {
	// Legs is indexed by Side.
	Legs [2]LegReport
	// Samples is indexed by Side.
	Samples [2]LegSamples
}
