package media

import (
	"encoding/binary"
	"errors"

	"carillon/srtp"
)

// numbering keeps the sequence numbers that a leg sends under a key going forward. A gateway that starts over
// with the same SSRC is no trouble in the clear, but under a key the old indices are used up and the peer
// would take the packets for replays; so they are numbered on from where the stream was.
type numbering struct {
	ssrc    uint32
	offset  uint16
	waiting bool
	next    uint16
}

// protect protects the RTP packet b in place. Two packets in a row from far behind mean that the source
// started over; one alone is only very late.
func (n *numbering) protect(s *srtp.Sender, b []byte) ([]byte, error) {
	seq, ssrc := binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint32(b[8:])
	if ssrc != n.ssrc {
		*n = numbering{ssrc: ssrc}
	}
	binary.BigEndian.PutUint16(b[2:], seq+n.offset)
	out, err := s.Protect(b[:0], b)
	if !errors.Is(err, srtp.ErrStale) {
		return out, err
	}
	if !n.waiting || seq != n.next {
		n.waiting, n.next = true, seq+1
		return nil, err
	}
	top, _ := s.Index(ssrc)
	n.offset, n.waiting = uint16(top)+1-seq, false
	binary.BigEndian.PutUint16(b[2:], seq+n.offset)
	return s.Protect(b[:0], b)
}
