package server

import "carillon/media"

// drop is a reason not to relay a datagram.
type drop struct {
	why, help string
	count     func(*media.Stats) uint64
}

// drops are all that media.Stats has, in alphabetical order.
func drops() []drop {
	return []drop{
		{"key_used_up", "The key's lifetime is over, or it has more streams than one key serves. The peer has to change its key.", func(s *media.Stats) uint64 { return s.KeyUsedUp }},
		{"malformed", "No RTP, RTCP or UDPTL, or not where it was agreed on, such as RTCP at a port of RTP without `a=rtcp-mux`.", func(s *media.Stats) uint64 { return s.Malformed }},
		{"muted", "For a side on hold, one whose answer is not confirmed yet, or one whose address is not known yet.", func(s *media.Stats) uint64 { return s.Muted }},
		{"no_call", "At a port without a call: before the answer, or behind the end of a call. A few a call are usual.", func(s *media.Stats) uint64 { return s.Unready }},
		{"not_authentic", "SRTP whose tag is wrong: a forged packet, or a peer that uses another key than it wrote into its description.", func(s *media.Stats) uint64 { return s.AuthFailures }},
		{"not_protected", "Good, but not to be encrypted for the other side: more streams than a key serves, or one packet sent twice.", func(s *media.Stats) uint64 { return s.SendRefused }},
		{"not_sent", "The kernel refused to send it: no route, a firewall, or its buffers are full.", func(s *media.Stats) uint64 { return s.SendErrors }},
		{"oversize", "Longer than `media.MaxPacket` ([limits](limits.md)).", func(s *media.Stats) uint64 { return s.Oversize }},
		{"plain", "In the clear from a side that has to encrypt.", func(s *media.Stats) uint64 { return s.PlainDropped }},
		{"policed", "Above the rate of a side, or of strangers: `media.DefaultPacketRate`, `MaxRTCPRate`, `MaxStrangerRate`, `MaxCheckRate`.", func(s *media.Stats) uint64 { return s.Policed }},
		{"replay", "SRTP that came before, or is too old to tell.", func(s *media.Stats) uint64 { return s.Replays }},
		{"wrong_source", "In the clear from another address than the peer's, which the latch holds.", func(s *media.Stats) uint64 { return s.WrongSource }},
	}
}
