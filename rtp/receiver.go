package rtp

import "time"

// Bounds of RFC 3550 appendix A.1.
const (
	// maxDropout is the largest forward step that is still the same sequence.
	maxDropout = 3000
	// maxMisorder is the largest backward step that is still the same sequence.
	maxMisorder = 100
)

// Receiver keeps the account of one incoming stream (RFC 3550 appendices A.1, A.3, A.8). The zero value is
// ready; a new SSRC begins a new stream and what the old one lost is kept. It is not safe for concurrent use.
type Receiver struct {
	// ClockRate is the payload's clock in Hz; 0 stands for 8000.
	ClockRate uint32

	ssrc      uint32
	started   bool
	base, max uint32 // extended sequence numbers
	bad       uint32 // the sequence number that would confirm a restart, plus 1<<16 when there is none
	received  uint64
	before    uint64 // lost by earlier streams
	transit   int64
	timestamp uint32 // of the last packet
	jitter    int64  // in 1/16 of a clock tick, as in A.8
	epoch     time.Time
	lastExp   uint64
	lastRec   uint64
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
	r.jitter += d - (r.jitter+8)>>4
}

func (r *Receiver) restart(h Header, at time.Time) {
	if r.started {
		r.before += r.lostNow()
	} else {
		r.epoch = at
	}
	r.started, r.ssrc = true, h.SSRC
	r.base, r.max, r.bad = uint32(h.Sequence), uint32(h.Sequence), noRestart
	r.received, r.jitter, r.lastExp, r.lastRec = 1, 0, 0, 0
	r.transit, r.timestamp = r.ticks(at)-int64(h.Timestamp), h.Timestamp
}

// sequence follows update_seq of A.1 and reports whether the packet counts.
func (r *Receiver) sequence(h Header) bool {
	delta := h.Sequence - uint16(r.max)
	switch {
	case delta < maxDropout:
		r.max += uint32(delta)
		r.bad = noRestart
	case delta <= 1<<16-1-maxMisorder:
		// A very large jump: two packets in a row from there mean that the sender restarted.
		if uint32(h.Sequence) == r.bad {
			r.before += r.lostNow()
			r.base, r.max, r.bad = uint32(h.Sequence), uint32(h.Sequence), noRestart
			r.received, r.lastExp, r.lastRec = 0, 0, 0
			return true
		}
		r.bad = uint32(h.Sequence + 1)
		return false
	}
	return true
}

func (r *Receiver) ticks(at time.Time) int64 {
	rate := int64(r.ClockRate)
	if rate == 0 {
		rate = 8000
	}
	since := at.Sub(r.epoch)
	return int64(since/time.Second)*rate + int64(since%time.Second)*rate/int64(time.Second)
}

func (r *Receiver) expected() uint64 { return uint64(r.max-r.base) + 1 }

// lostNow is never negative: duplicates can make more arrive than were sent.
func (r *Receiver) lostNow() uint64 {
	if !r.started || r.received >= r.expected() {
		return 0
	}
	return r.expected() - r.received
}

// Lost returns how many packets never came, over all streams.
func (r *Receiver) Lost() uint64 { return r.before + r.lostNow() }

// Jitter returns the interarrival jitter of the current stream.
func (r *Receiver) Jitter() time.Duration {
	rate := int64(r.ClockRate)
	if rate == 0 {
		rate = 8000
	}
	return time.Duration((r.jitter >> 4) * int64(time.Second) / rate)
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
