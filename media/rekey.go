package media

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"carillon/srtp"
)

const (
	// MaxRekeyTime is how long packets under the key before are still taken once a peer has changed its key: those that
	// were on their way, and those of a peer that changes only when our answer reaches it. They are counted in
	// carillon_media_old_key_total.
	MaxRekeyTime = 5 * time.Second
	// resyncAfter is how many packets in a row from the peer's address may fail before each further one is also tried
	// with the next rollover counter: the second in which a voice stream sends as many tells a peer whose counter we
	// have lost from a forger's first tries. What that finds is counted in carillon_media_resynced_total.
	resyncAfter = 50
	// maxRollovers is how many rollovers a stream may have behind it that we join late, because what begins here has gone on
	// elsewhere before: those of four hours with packets of 10 ms are 22.
	maxRollovers = 32
)

// unprotect takes the packet b out of its protection. current is false for one under the key before, which says nothing
// about where the stream is now.
func (lg *leg) unprotect(w *worker, p *path, b []byte) (out []byte, current bool, err error) {
	if p.before == nil && lg.misses < resyncAfter {
		out, err = p.receiver.Unprotect(b[:0], b)
		return out, true, err
	}
	return lg.unprotectAnyhow(w, p, b)
}

// unprotectAnyhow is unprotect where more than one answer is possible. A try may spoil the packet, so each gets a copy.
func (lg *leg) unprotectAnyhow(w *worker, p *path, b []byte) (out []byte, current bool, err error) {
	size := copy(w.spare[:], b)
	again := func() []byte { return b[:copy(b, w.spare[:size])] }
	if out, err = p.receiver.Unprotect(b[:0], b); !mayBeOther(err) {
		return out, true, err
	}
	ssrc := binary.BigEndian.Uint32(again()[8:])
	top, known := p.receiver.Index(ssrc)
	if p.before != nil && w.now.Before(p.until) {
		p.before.Share(w.scratch)
		if out, old := p.before.Unprotect(b[:0], again()); old == nil {
			w.stats.oldKey.Add(1)
			return out, false, nil
		}
		// RFC 4568 section 7.1.4 begins at 0 with a new key, RFC 3711 section 3.3.1 goes on counting. Both are met.
		if near, ok := p.before.Index(ssrc); ok && !known {
			if out, later := p.receiver.UnprotectNear(b[:0], again(), near); later == nil {
				return out, true, nil
			}
		}
	}
	if lg.misses >= resyncAfter && errors.Is(err, srtp.ErrAuth) {
		near := top + 1<<16
		if !known { // SDP cannot tell the counter (RFC 4568 section 6.4): one more is tried with each packet
			lg.tries++
			near = uint64(1+lg.tries%maxRollovers)<<16 | 1<<15
		}
		if out, ahead := p.receiver.UnprotectNear(b[:0], again(), near); ahead == nil {
			w.stats.resynced.Add(1)
			return out, true, nil
		}
	}
	return nil, true, err
}

// mayBeOther reports whether a packet that failed may be good under another key or index. Two keys have their indices
// apart: what was seen under one may come for the first time under the other.
func mayBeOther(err error) bool {
	return errors.Is(err, srtp.ErrAuth) || errors.Is(err, srtp.ErrReplay)
}

// unprotectRTCP is unprotect for RTCP, which carries its index.
func (p *path) unprotectRTCP(w *worker, b []byte) (out []byte, current bool, err error) {
	if p.before == nil || !w.now.Before(p.until) {
		out, err = p.receiver.UnprotectRTCP(b[:0], b)
		return out, true, err
	}
	size := copy(w.spare[:], b)
	if out, err = p.receiver.UnprotectRTCP(b[:0], b); !mayBeOther(err) {
		return out, true, err
	}
	if out, old := p.before.UnprotectRTCP(b[:0], b[:copy(b, w.spare[:size])]); old == nil {
		w.stats.oldKey.Add(1)
		return out, false, nil
	}
	return nil, true, err
}

// missed notes a packet that was not authentic. Only those from where the peer is count, or may be: what a stranger sends
// must not make each packet cost more.
func (lg *leg) missed(p *path, err error, src netip.AddrPort) {
	if errors.Is(err, srtp.ErrAuth) && (src == p.rtp.to || !p.rtp.to.IsValid()) && lg.misses < resyncAfter {
		lg.misses++
	}
}
