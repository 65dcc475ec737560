package rtp

import "time"

// Bounds of RFC 3550 appendix A.1.
const (
	// maxDropout is the largest forward step that is still the same sequence.
	maxDropout = 3000
	// maxMisorder is the largest backward step that is still the same sequence.
	maxMisorder = 100
)

// remembered is how many of the last packets are known by number, to tell a late packet from one that was there already.
const remembered = 64

// Receiver keeps the account of one incoming stream (RFC 3550 appendices A.1, A.3, A.8). The zero value is
// ready; a new SSRC begins a new stream and what the old one lost is kept. It is not safe for concurrent use.
type Receiver struct {
	rate      int64         // ticks of the payload's clock in a second; 0 stands for 8000
	tick      time.Duration // one of them, to the nanosecond; 0 stands for 8000 Hz
	ssrc      uint32
	started   bool
	anew      bool   // the next packet's transit time is not to be compared with the last one's
	base, max uint32 // extended sequence numbers
	bad       uint32 // the sequence number that would confirm a restart, plus 1<<16 when there is none
	seen      uint64 // which of the last packets came, max in the lowest bit
	received  uint64 // as in A.3, those that came again included
	repeated  uint64 // those that came again
	before    uint64 // lost by earlier streams
	transit   int64
	timestamp uint32 // of the last packet
	jitter    int64  // in 1/16 of a clock tick, as in A.8
	epoch     time.Time
	lastExp   uint64
	lastRec   uint64
}

// defaultRate is the clock of most payload formats for speech in Hz (RFC 3551 section 4.5).
const defaultRate = 8000

// SetClockRate tells the clock of the packets that follow, in Hz; 0 stands for 8000. Streams may change it with their format
// (RFC 7160).
func (r *Receiver) SetClockRate(hz uint32) {
	if hz == 0 {
		hz = defaultRate
	}
	if old, rate := r.ticksPerSecond(), int64(hz); rate != old {
		r.rate, r.tick, r.anew = rate, time.Second/time.Duration(rate), true
		r.jitter = r.jitter * rate / old // it is told in time
	}
}

func (r *Receiver) ticksPerSecond() int64 {
	if r.rate == 0 {
		return defaultRate
	}
	return r.rate
}

// noRestart is a value of bad that no sequence number equals.
const noRestart = 1 << 16

// Add takes one packet's header and the moment it arrived.
func (r *Receiver) Add(h Header, at time.Time) {
	if !r.started || h.SSRC != r.ssrc {
		r.restart(h, at)
		return
	}
	if !r.sequence(h) {
		return
	}
	r.received++
	// Packets of one moment, as those of an event (RFC 4733), say nothing about the time between them.
	if h.Timestamp == r.timestamp {
		return
	}
	r.timestamp = h.Timestamp
	transit := r.ticks(at) - int64(h.Timestamp)
	// The difference is taken modulo 2^32 because time stamps wrap.
	d := int64(int32(transit - r.transit))
	r.transit = transit
	if d < 0 {
		d = -d
	}
	// More than a second is no jitter: the sender counts from elsewhere, as some do after a hold.
	if r.anew || d > r.ticksPerSecond() {
		r.anew = false
		return
	}
	r.jitter += d - (r.jitter+8)>>4
}

func (r *Receiver) restart(h Header, at time.Time) {
	if r.started {
		r.before += r.lostNow()
	} else {
		r.epoch = at
	}
	r.started, r.ssrc, r.anew = true, h.SSRC, false
	r.begin(h)
	r.received, r.jitter = 1, 0
	r.transit, r.timestamp = r.ticks(at)-int64(h.Timestamp), h.Timestamp
}

// begin begins a sequence with a packet that is not counted yet.
func (r *Receiver) begin(h Header) {
	r.base, r.max, r.bad, r.seen = uint32(h.Sequence), uint32(h.Sequence), noRestart, 1
	r.received, r.repeated, r.lastExp, r.lastRec = 0, 0, 0, 0
}

// sequence follows update_seq of A.1 and reports whether the packet counts.
func (r *Receiver) sequence(h Header) bool {
	delta := h.Sequence - uint16(r.max)
	switch {
	case delta == 0:
		r.repeated++
	case delta < maxDropout:
		r.max += uint32(delta)
		r.seen = r.seen<<delta | 1
		r.bad = noRestart
	case delta <= 1<<16-1-maxMisorder:
		// A very large jump: two packets in a row from there mean that the sender restarted.
		if uint32(h.Sequence) == r.bad {
			r.before += r.lostNow()
			r.begin(h)
			return true
		}
		r.bad = uint32(h.Sequence + 1)
		return false
	default:
		r.late(-delta)
	}
	return true
}

// late takes a packet that is so many behind the last one.
func (r *Receiver) late(behind uint16) {
	if behind < remembered {
		if r.seen>>behind&1 != 0 {
			r.repeated++
			return
		}
		r.seen |= 1 << behind
	}
	// The first packets of a stream may be out of order, too.
	if r.max >= uint32(behind) {
		r.base = min(r.base, r.max-uint32(behind))
	}
}

func (r *Receiver) ticks(at time.Time) int64 {
	rate, since := r.ticksPerSecond(), at.Sub(r.epoch)
	return int64(since/time.Second)*rate + int64(since%time.Second)*rate/int64(time.Second)
}

func (r *Receiver) expected() uint64 { return uint64(r.max-r.base) + 1 }

// lostNow is never negative: packets that came again after they were forgotten make more arrive than were sent.
func (r *Receiver) lostNow() uint64 {
	came := r.received - r.repeated
	if !r.started || came >= r.expected() {
		return 0
	}
	return r.expected() - came
}

// Lost returns how many packets never came, over all streams. Unlike the number in a report, which A.3 has made up by packets
// that come twice, it is not made less by those.
func (r *Receiver) Lost() uint64 { return r.before + r.lostNow() }

// SSRC returns the source of the current stream, 0 before the first.
func (r *Receiver) SSRC() uint32 { return r.ssrc }

// Jitter returns the interarrival jitter of the current stream.
func (r *Receiver) Jitter() time.Duration {
	tick := r.tick
	if tick == 0 {
		tick = time.Second / defaultRate
	}
	return time.Duration(r.jitter>>4) * tick // no division: it is asked with every packet
}

// Report returns the block for the current stream and begins the next interval. LastSR and Delay are left 0.
func (r *Receiver) Report() ReportBlock {
	if !r.started {
		return ReportBlock{}
	}
	expected, received := r.expected(), r.received
	interval, got := expected-r.lastExp, received-r.lastRec
	r.lastExp, r.lastRec = expected, received
	var fraction uint8
	if interval > 0 && got < interval {
		fraction = uint8(min((interval-got)<<8/interval, 255))
	}
	lost := int64(expected) - int64(received)
	return ReportBlock{
		SSRC: r.ssrc, Fraction: fraction, Lost: int32(min(max(lost, -1<<23), 1<<23-1)),
		Highest: r.max, Jitter: uint32(r.jitter >> 4),
	}
}
