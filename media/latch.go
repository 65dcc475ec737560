package media

import (
	"net/netip"
	"sync/atomic"

	"carillon/srtp"
)

// latch decides which sources a leg's packets may come from and where packets for it go. It belongs to the
// session's relay loop; a description that changes the peer's address brings a new one.
//
// Symmetric RTP without a proof of origin is how strangers take over a stream (RTP Bleed): a plain leg takes
// packets from the described address, and only where that one is private from the peer's signalling address or from
// one that the connector's owner listed.
type latch struct {
	// What every packet needs comes first.
	to      netip.AddrPort // where packets go; invalid until known
	latched bool
	ssrc    uint32
	index   uint64
	// seen is to for readers outside the loop.
	seen atomic.Pointer[netip.AddrPort]
	// ports tells which are media ports of this node. Who has the keys may send from any address, and over IPv6 the kernel
	// lets a packet in from the wire that bears our own: calls aimed at each other's ports would pass a packet round for ever.
	ports     *ports
	described netip.AddrPort
	// alternate is the address from which any port may be latched, invalid for none; listed tells of others, and is nil
	// where there are none.
	alternate netip.Addr
	listed    func(netip.AddrPort) bool
	// nominated is the priority of the pair that ICE chose, 0 without one.
	nominated uint32
}

// begin has a blank latch begin with the described address, unless sending there is not allowed.
func (l *latch) begin(described netip.AddrPort, alternate netip.Addr, sendable bool) {
	l.described, l.alternate = described, alternate
	if sendable && described.Port() != 0 && !described.Addr().IsUnspecified() {
		l.to = described
	}
}

// plain reports whether a packet in the clear may come from src.
func (l *latch) plain(src netip.AddrPort) bool {
	if l.latched {
		return src == l.to
	}
	if src == l.described {
		if l.alternate.IsValid() {
			l.move(src)
		}
		return true
	}
	if l.alternate.IsValid() && (src.Addr() == l.alternate || l.listed != nil && l.listed(src)) {
		l.move(src)
		return true
	}
	return false
}

// newest reports whether nothing later of its stream came before the packet: one that was held back until the peer had
// changed its SSRC has no index to be compared with that of the new stream.
func newest(r *srtp.Receiver, ssrc uint32, index uint64) bool {
	top, _ := r.Index(ssrc)
	return index == top
}

// authentic takes the source of a packet that was found authentic. Only one with a higher index moves the
// latch: a copy that was held back and sent on from elsewhere arrives behind the stream.
func (l *latch) authentic(src netip.AddrPort, ssrc uint32, index uint64) {
	newer := !l.latched || ssrc != l.ssrc || index > l.index
	if newer {
		l.ssrc, l.index = ssrc, index
		if (src != l.to || !l.latched) && !l.ports.mine(src) {
			l.move(src)
		}
	}
}

func (l *latch) move(src netip.AddrPort) {
	l.latched = true
	l.to = src
	l.seen.Store(&src)
}

// remote returns the address in use, for reports.
func (l *latch) remote() netip.AddrPort {
	if p := l.seen.Load(); p != nil {
		return *p
	}
	return l.described
}
