package media

import (
	"errors"
	"net/netip"
	"time"

	"carillon/rtp"
	"carillon/srtp"
	"carillon/stun"
)

// path is how a leg receives and sends. It is made when descriptions were exchanged and never changed; the
// latches and SRTP contexts it points to belong to the session's relay loop and outlive it where a
// re-offer keeps them.
type path struct {
	// What every packet needs comes first: a line of memory.

	// receiver is nil for plain RTP, sender likewise.
	receiver *srtp.Receiver
	sender   *srtp.Sender
	// before is the receiver under the peer's key before, taken until then; nil for none.
	before *srtp.Receiver
	// rtp and rtcp are the same latch with mux.
	rtp *latch
	// detour is what else happens to what comes from the peer; nil for nothing.
	detour *detour
	// ice answers connectivity checks; nil where the peer does not need ICE.
	ice *agent
	// from is the moment since which the peer was to send, and mutual the one since which both sides were to, the call having
	// been answered; never where it is not to.
	from time.Duration
	// rate is how many packets of the peer are relayed in a second.
	rate uint32
	// secure is true where packets in the clear must not leave, whatever else is set.
	secure bool
	// muted is true while nothing may be sent: on hold, or before Confirm.
	muted bool
	// mux is true when RTCP shares the port of RTP (RFC 5761).
	mux bool
	// fax is true for UDPTL, on both legs or on none.
	fax bool

	rtcp   *latch
	mutual time.Duration
	until  time.Time
	// quiet is true where the peer wants no RTCP (RFC 3556); it is not made then, what the other side sends is passed on.
	quiet bool
	// frame is the payload of 10 ms in the clear and overhead what protecting adds, in bytes; they tell
	// plain packets from forged ones in the counts. A frame of 0 means unknown.
	frame, overhead int
	// clockRate is the codec's, in Hz, and formats what payload types mean.
	clockRate uint32
	formats   []format
	// since is the second in which the path was made.
	since int64
	_     [3]uint64 // up to three lines
}

// worker is what one relay loop brings to a packet.
type worker struct {
	stats *counters
	epoch time.Time
	// now is when the datagram came, since the same from the epoch on, and second counts from 1.
	now    time.Time
	since  time.Duration
	second int64
	buf    [MaxPacket + srtp.Overhead]byte
	spare  [MaxPacket]byte // of a packet that may have to be tried again
	send   func(s *socket, b []byte, to netip.AddrPort) bool
	// scratch is what the transforms of all sessions of the loop write to.
	scratch *srtp.Scratch
	// report is where reports of our own are made.
	report [reportSize + srtp.Overhead]byte
}

// reportSize is the most octets of a report of our own: a sender's report with one block, and a name.
const reportSize = 28 + 24 + 32

// tick tells the time.
func (w *worker) tick(now time.Time) {
	w.now, w.since = now, now.Sub(w.epoch)
	w.second = secondOf(w.since)
}

func secondOf(since time.Duration) int64 { return int64(since/time.Second) + 1 }

// stray counts a datagram that came to a port which no call holds.
func (w *worker) stray(s *socket) {
	s.strayed.Store(int64(w.since))
	w.stats.received.Add(1)
	w.stats.unready.Add(1)
}

// oversize drops a datagram longer than MaxPacket. To ports that no call holds it is a straggler like any other.
func (w *worker) oversize(s *socket) {
	if s.leg.Load() == nil {
		s.strayed.Store(int64(w.since))
	}
	w.stats.received.Add(1)
	w.stats.oversize.Add(1)
}

// receive takes a datagram from one of the leg's sockets. b has capacity for srtp.Overhead bytes more.
func (lg *leg) receive(w *worker, s *socket, b []byte, src netip.AddrPort) {
	w.stats.received.Add(1)
	p, far := lg.path.Load(), lg.far.path.Load()
	if p == nil || far == nil {
		w.stats.unready.Add(1)
		return
	}
	if p.ice != nil && stun.Is(b) {
		lg.check(w, p, s, b, src)
		return
	}
	if p.fax {
		lg.receiveFax(w, p, s, b, src)
		return
	}
	if s.rtcp || p.mux && rtp.IsRTCP(b) {
		lg.receiveRTCP(w, p, far, b, src)
		return
	}
	h, err := rtp.Parse(b)
	// Reports that come where only RTP was agreed on would begin a stream each for their first words: they ruin the account
	// of the real one, and use up those that the key towards the other side may have.
	if err != nil || h.Reserved() {
		w.stats.malformed.Add(1)
		return
	}
	if p.receiver == nil {
		if !p.rtp.plain(src) {
			lg.count.strange.Add(1)
			w.stats.wrongSource.Add(1)
			return
		}
	} else {
		if src != p.rtp.to && !lg.strangers.take(w.second, MaxStrangerRate) {
			lg.police(w)
			return
		}
		size, current := len(b), false
		p.receiver.Share(w.scratch)
		if b, current, err = lg.unprotect(w, p, b); err != nil {
			lg.missed(p, err, src)
			lg.refuse(w, err, p.looksPlain(size-h.Size))
			return
		}
		lg.misses = 0
		if current {
			ssrc, index := p.receiver.Last()
			if ssrc == p.rtp.ssrc || newest(p.receiver, ssrc, index) {
				p.rtp.authentic(src, ssrc, index)
			}
		}
		lg.count.unprotected.Add(1)
	}
	if !lg.packets.take(w.second, p.rate) {
		lg.police(w)
		return
	}
	if w.second != lg.second || h.SSRC != lg.ssrc || h.PayloadType != lg.payload || p != lg.on {
		lg.turn(w, p, far, h)
	}
	lg.account(w, p, h, len(b))
	if d := p.detour; d != nil && d.take(w, b, h, src) != nil {
		w.stats.malformed.Add(1)
		return
	}
	if lg.far.forward(w, far, b) && h.Size != rtp.HeaderSize {
		lg.far.heads += uint64(h.Size - rtp.HeaderSize)
	}
}

func (lg *leg) receiveRTCP(w *worker, p, far *path, b []byte, src netip.AddrPort) {
	err := rtp.CheckRTCP(b)
	if p.receiver == nil {
		switch {
		case !p.rtcp.plain(src):
			lg.count.strange.Add(1)
			w.stats.wrongSource.Add(1)
			return
		case err != nil:
			w.stats.malformed.Add(1)
			return
		}
	} else {
		// The lengths of a compound in the clear add up to the datagram; those of SRTCP cannot, there is
		// an index and a tag behind.
		if src != p.rtcp.to && !lg.strangers.take(w.second, MaxStrangerRate) {
			lg.police(w)
			return
		}
		plain, current := err == nil, false
		if b, current, err = p.unprotectRTCP(w, b); err != nil {
			lg.refuse(w, err, plain)
			return
		}
		if rtp.CheckRTCP(b) != nil {
			w.stats.malformed.Add(1)
			return
		}
		lg.count.unprotected.Add(1)
		if current && !p.mux {
			p.rtcp.authentic(src, 0, uint64(p.receiver.LastRTCP()))
		}
	}
	if !lg.reports.take(w.second, MaxRTCPRate) {
		lg.police(w)
		return
	}
	lg.count.rtcpReceived.Add(1)
	lg.count.lastHeard.Store(int64(w.since))
	lg.readRTCP(w, b)
	lg.reportTo(w, p) // which would otherwise wait for a packet of either side
	rtp.HideNames(b, lg.session.cname)
	lg.far.forwardRTCP(w, far, b)
}

// refuse counts a packet that did not unprotect.
func (lg *leg) refuse(w *worker, err error, plain bool) {
	switch {
	case errors.Is(err, srtp.ErrReplay):
		lg.count.replays.Add(1)
		w.stats.replays.Add(1)
	case errors.Is(err, srtp.ErrClear), plain:
		lg.count.plainDropped.Add(1)
		w.stats.plainDropped.Add(1)
	case errors.Is(err, srtp.ErrExhausted):
		lg.count.keyUsedUp.Add(1)
		w.stats.keyUsedUp.Add(1)
	case errors.Is(err, srtp.ErrAuth):
		lg.count.authFailures.Add(1)
		w.stats.authFailures.Add(1)
	default:
		w.stats.malformed.Add(1)
	}
}

// looksPlain reports whether a payload that did not unprotect has the size of one in the clear and not the
// size of a protected one. RTP and SRTP look alike otherwise; the packet is dropped whatever it was.
func (p *path) looksPlain(payload int) bool {
	return p.frame > 0 && payload > 0 && payload%p.frame == 0 && (payload-p.overhead)%p.frame != 0
}

// forward sends an RTP packet in the clear to the leg's peer, protected where the leg is, and reports whether it left.
func (lg *leg) forward(w *worker, p *path, b []byte) bool {
	if p.muted || !p.rtp.to.IsValid() {
		w.stats.muted.Add(1)
		return false
	}
	size := len(b)
	if p.sender != nil {
		var err error
		p.sender.Share(w.scratch)
		if b, err = lg.numbers.protect(p.sender, b); err != nil {
			w.stats.sendRefused.Add(1)
			return false
		}
	} else if p.secure {
		w.stats.sendRefused.Add(1)
		return false
	}
	if !lg.emit(w, p, &lg.pair.rtp, b, p.rtp.to) {
		return false
	}
	lg.count.sent.Add(1)
	lg.count.bytesSent.Add(uint64(size))
	return true
}

// forwardRTCP sends a compound RTCP packet in the clear to the leg's peer, protected where the leg is, and reports whether
// it left.
func (lg *leg) forwardRTCP(w *worker, p *path, b []byte) bool {
	if p.muted || !p.rtcp.to.IsValid() {
		w.stats.muted.Add(1)
		return false
	}
	if p.sender != nil {
		var err error
		if b, err = p.sender.ProtectRTCP(b[:0], b); err != nil {
			w.stats.sendRefused.Add(1)
			return false
		}
	} else if p.secure {
		w.stats.sendRefused.Add(1)
		return false
	}
	s := &lg.pair.rtcp
	if p.mux {
		s = &lg.pair.rtp
	}
	if !lg.emit(w, p, s, b, p.rtcp.to) {
		return false
	}
	lg.count.rtcpSent.Add(1)
	return true
}

// emit hands a datagram to the kernel and counts whether it left protected.
func (lg *leg) emit(w *worker, p *path, s *socket, b []byte, to netip.AddrPort) bool {
	if !w.send(s, b, to) {
		w.stats.sendErrors.Add(1)
		return false
	}
	w.stats.sent.Add(1)
	if p.sender != nil {
		lg.count.protected.Add(1)
	} else {
		lg.count.plainSent.Add(1)
	}
	return true
}
