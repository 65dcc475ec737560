package media

import (
	"encoding/binary"
	"net/netip"

	"carillon/call"
)

// faxCodec is what reports call the codec of a fax section (ITU-T T.38 annex D).
const faxCodec = "t38"

// judgeFax applies the policies of both legs to an offer of T.38: UDPTL has no SRTP, so a side that must be encrypted
// cannot have it. A gateway that is refused goes on with fax in G.711, which can be encrypted.
func (r *remote) judgeFax(near, far call.Leg) *call.Refusal {
	if r.profile.Fax && (near.SRTP == call.SRTPRequire || far.SRTP == call.SRTPRequire) {
		return call.Refuse(call.ReasonMediaNotEncrypted, "T.38 cannot be encrypted; send fax as G.711 audio")
	}
	return nil
}

// receiveFax takes a UDPTL datagram. Nothing in it proves where it comes from, so only the described address counts, as
// with RTP in the clear.
func (lg *leg) receiveFax(w *worker, p *path, s *socket, b []byte, src netip.AddrPort) {
	switch {
	case s.rtcp || !p.rtp.plain(src):
		lg.count.strange.Add(1)
		w.stats.wrongSource.Add(1)
	case !isUDPTL(b):
		w.stats.malformed.Add(1)
	case !lg.packets.take(w.second, p.rate):
		lg.police(w)
	default:
		lg.count.received.Add(1)
		lg.count.bytesReceived.Add(uint64(len(b)))
		lg.count.lastHeard.Store(int64(w.since))
		// While the call is switched the other leg may still have its audio, under a key that no UDPTL packet fits.
		if far := lg.far.path.Load(); far != nil && far.fax {
			lg.far.forward(w, far, b)
		}
	}
}

// isUDPTL reports whether b can be a UDPTL packet (ITU-T T.38 section 9.1): a sequence number, a primary packet whose
// length fits, and the field for error recovery behind it.
func isUDPTL(b []byte) bool {
	if len(b) < 5 {
		return false
	}
	length, rest := int(b[2]), b[3:]
	switch {
	case b[2]&0xc0 == 0x80: // two octets of length (ITU-T X.691 section 11.9)
		length, rest = int(binary.BigEndian.Uint16(b[2:])&0x3fff), b[4:]
	case b[2]&0x80 != 0:
		return false // fragments, which T.38 does not use
	}
	return length > 0 && length < len(rest)
}
