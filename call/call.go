// Package call names what happens: a call, its two legs, why it ended and the record it leaves.
//
// The package is plain values. It imports nothing of the project, so that signalling, media, routing and
// records can speak about one call without knowing each other.
package call

import (
	"fmt"
	"net/netip"
)

// ID identifies one call in every log line, record and metric exemplar. It is a UUID in its 36-character
// text form, never a SIP Call-ID: a call has two dialogs and so two SIP Call-IDs.
type ID string

// Direction is seen from the customer, as AWS sees it.
type Direction uint8

const (
	// Outbound calls go from the customer to a carrier.
	Outbound Direction = iota
	// Inbound calls come from a carrier to the customer.
	Inbound
)

// String returns the direction as AWS writes it in call records.
func (d Direction) String() string {
	if d == Inbound {
		return "Inbound"
	}
	return "Outbound"
}

// Side says who is at the far end of a leg. Encryption, the allow list and digest belong to the customer's
// side whatever the direction of the call.
type Side uint8

const (
	// Customer is the side of the connector's owner.
	Customer Side = iota
	// Carrier is the side of the public network.
	Carrier
)

// Other returns the opposite side.
func (s Side) Other() Side { return s ^ 1 }

// String returns "customer" or "carrier".
func (s Side) String() string {
	if s == Carrier {
		return "carrier"
	}
	return "customer"
}

// SRTP is how far a leg's media must be protected.
type SRTP uint8

const (
	// SRTPOff uses RTP/AVP; an offer that insists on RTP/SAVP is answered if its key may be read.
	SRTPOff SRTP = iota
	// SRTPOffer prefers RTP/SAVP and accepts RTP/AVP.
	SRTPOffer
	// SRTPRequire never sends or accepts media in the clear.
	SRTPRequire
)

// String returns the setting's name as operators write it.
func (s SRTP) String() string {
	switch s {
	case SRTPOffer:
		return "offer"
	case SRTPRequire:
		return "require"
	default:
		return "off"
	}
}

// ParseSRTP reads the names that String writes.
func ParseSRTP(s string) (SRTP, error) {
	for _, v := range []SRTP{SRTPOff, SRTPOffer, SRTPRequire} {
		if s == v.String() {
			return v, nil
		}
	}
	return 0, fmt.Errorf("srtp %q: use off, offer or require", s)
}

// Leg is what signalling decides about one leg's media before its first packet.
type Leg struct {
	// SRTP is the leg's policy.
	SRTP SRTP
	// SecureSignalling is true when the leg's SIP runs over TLS. Without it a key in a description could be
	// read by anyone on the path, so no key is sent and none is accepted.
	SecureSignalling bool
	// Signalling is the source address of the peer's SIP. Where the described address is private and another, plain RTP
	// may be latched from this one, from any port.
	Signalling netip.Addr
	// HoldUntilConfirmed sends no media to this leg before Confirm: a spoofed INVITE over UDP must not aim
	// a stream at a third party.
	HoldUntilConfirmed bool
	// Trusted reports addresses that the connector's owner listed: media may go there before Confirm all the same, and
	// plain RTP may be latched from there like from Signalling. Nil trusts none besides that.
	Trusted func(netip.Addr) bool
}

// Origin is what a description says of itself (RFC 8866 section 5.2): a side must see one session in all it is told in a
// dialog, its version go up by one, and never fewer sections (RFC 3264 section 8).
type Origin struct {
	Session, Version uint64
	// Sections are those of the description, as sdp.Sections returns them; empty where there is one at most.
	Sections string
	// Heard is the media plane's own: what it has heard of the side, for another session of the same dialog. A peer that
	// keeps its SRTP key goes on counting under it (RFC 3711 section 3.2.1).
	Heard any
}

// Open is what the media plane needs to know to hold a call's media.
type Open struct {
	// ID is the call.
	ID ID
	// Offerer is the side whose description comes first, and Leg its policy.
	Offerer Side
	// Leg is the policy of the offerer's leg.
	Leg Leg
	// OnSilence is called once when a side that promised packets has sent neither RTP nor RTCP for the
	// plane's media timeout; spent says that it went on under a key whose lifetime is over. It must not block.
	OnSilence func(side Side, spent bool)
}

// LegReport counts what one leg's media did. All counts are since the call began.
type LegReport struct {
	// Profile is the transport profile in use: "RTP/AVP", "RTP/SAVP"; empty when no media was agreed.
	Profile string `json:"profile,omitempty"`
	// Suite is the SRTP crypto suite in use, by its IANA name; empty for plain RTP.
	Suite string `json:"suite,omitempty"`
	// Codec is the first payload format agreed, for example "PCMU/8000".
	Codec string `json:"codec,omitempty"`
	// Local and Remote are the media addresses in use.
	Local  netip.AddrPort `json:"local,omitzero"`
	Remote netip.AddrPort `json:"remote,omitzero"`
	// PacketsReceived and BytesReceived count authentic RTP from the peer; PacketsSent and BytesSent RTP to it.
	PacketsReceived uint64 `json:"packets_received"`
	BytesReceived   uint64 `json:"bytes_received"`
	PacketsSent     uint64 `json:"packets_sent"`
	BytesSent       uint64 `json:"bytes_sent"`
	// RTCPReceived and RTCPSent count authentic RTCP packets.
	RTCPReceived uint64 `json:"rtcp_received"`
	RTCPSent     uint64 `json:"rtcp_sent"`
	// Protected counts packets sent under a key, Unprotected those received under one and found authentic.
	Protected   uint64 `json:"protected"`
	Unprotected uint64 `json:"unprotected"`
	// AuthFailures counts packets whose tag was wrong, Replays those seen before.
	AuthFailures uint64 `json:"auth_failures"`
	Replays      uint64 `json:"replays"`
	// PlainDropped counts packets in the clear that reached a protected leg and were dropped.
	PlainDropped uint64 `json:"plain_dropped"`
	// PlainSent counts packets that left in the clear. On a leg that requires SRTP it is always 0.
	PlainSent uint64 `json:"plain_sent"`
	// WrongSource counts packets from addresses that were neither signalled nor latched.
	WrongSource uint64 `json:"wrong_source"`
	// Lost is RTP's own count of packets that never came (RFC 3550 A.3), never negative.
	Lost uint64 `json:"lost"`
	// JitterMicros is the last interarrival jitter in microseconds (RFC 3550 A.8), MaxJitterMicros the highest of all
	// seconds.
	JitterMicros    uint64 `json:"jitter_micros"`
	MaxJitterMicros uint64 `json:"max_jitter_micros,omitempty"`
	// Policed counts packets dropped because too many came in a second.
	Policed uint64 `json:"policed,omitempty"`
	// KeyUsedUp counts packets dropped because the peer's key may protect no more: its a=crypto line gave it a lifetime.
	KeyUsedUp uint64 `json:"key_used_up,omitempty"`
	// SSRC is the last source heard (RFC 3550), 0 for none.
	SSRC uint32 `json:"ssrc,omitempty"`
	// RoundTripMicros is the last round trip between node and peer in microseconds, by RTCP; 0 where none was measured.
	RoundTripMicros uint64 `json:"round_trip_micros,omitempty"`
	// LongestGapMicros is the longest time between two packets from the peer in microseconds, pauses that it had announced
	// left out. OneWaySeconds counts seconds of the answered call in which the peer had promised packets, announced no pause
	// and sent none while the other side spoke.
	LongestGapMicros uint64 `json:"longest_gap_micros,omitempty"`
	OneWaySeconds    uint64 `json:"one_way_seconds,omitempty"`
	// MOS is the E-model's estimate (ITU-T G.107) of how the peer sounded, 1 to 4.41, MOSSent of how the peer was heard
	// to; 0 where nothing can be said.
	MOS     float64 `json:"mos,omitempty"`
	MOSSent float64 `json:"mos_sent,omitempty"`
	// LostSent and JitterSentMicros are what the peer reports of the streams sent to it, as far as it can be true.
	LostSent         uint64 `json:"lost_sent,omitempty"`
	JitterSentMicros uint64 `json:"jitter_sent_micros,omitempty"`
	// RTCPMade counts those of RTCPSent that the node made itself, because the other side sends none.
	RTCPMade uint64 `json:"rtcp_made,omitempty"`
}
