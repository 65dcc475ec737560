package media

import (
	"math"
	"time"

	"carillon/call"
	"carillon/rtp"
)

// never is a moment that no packet comes after.
const never = time.Duration(math.MaxInt64)

// hearing is what is known of the stream that comes from a leg's peer. It belongs to the session's relay loop.
type hearing struct {
	second int64 // the one under way; 0 before the first packet
	on     *path // that the last packet took, nil to look at the next one anew
	ssrc   uint32
	// sequence and payload are the last packet's.
	sequence uint16
	payload  uint8
	// noise is true where the last packet was comfort noise, hushed for the one behind it.
	noise, hushed bool
	// rank is what the sample of the second is named after: nothing yet, any packet, speech.
	rank uint8
	lost uint64
	// arrived is when the last packet came, before the last one ahead of the second under way, since the relay's epoch.
	arrived time.Duration
	// jitter is the last one; peak the highest of the second and gap its longest.
	jitter, gap time.Duration
	stream      rtp.Receiver
	peak        time.Duration
	before      time.Duration
	codec       string // of the last speech
}

// What a sample may be named after.
const (
	afterNothing uint8 = iota
	afterAny
	afterSpeech
)

// turn takes a packet of the leg's peer that is the first of a second, of a source, of a format or on a path. With a new second
// it ends the one before, on both ends of the way that the packet takes, and sends reports that are due.
func (lg *leg) turn(w *worker, p, far *path, h rtp.Header) {
	fresh, other := lg.second != w.second, lg.second == 0 || lg.ssrc != h.SSRC
	lg.enter(w.second, far)
	if other {
		lg.ssrc = h.SSRC
		lg.count.ssrc.Store(h.SSRC)
		lg.far.changeSource(h.SSRC)
	}
	f := p.meaning(h.PayloadType)
	lg.on, lg.payload = p, h.PayloadType
	if lg.hushed, lg.noise = lg.noise, f.noise; f.noise {
		lg.on = nil // the next packet is to be looked at: whether it ends the silence
	}
	lg.stream.SetClockRate(f.rate)
	rank := afterAny
	if f.speech {
		lg.codec, rank = f.codec, afterSpeech
	}
	if rank > lg.rank {
		lg.rank = rank
		lg.in.next = call.MediaSample{SSRC: h.SSRC, PayloadType: h.PayloadType}
		lg.far.out.next = call.MediaSample{SSRC: h.SSRC, PayloadType: p.detour.leavesAs(h.PayloadType)}
	}
	// The time stamp of an event is the one at which it began.
	if other || fresh && f.speech {
		lg.far.source.mark(h.Timestamp, w.since, f.rate)
	}
	if fresh {
		lg.reportTo(w, p)
		lg.far.reportTo(w, far)
	}
}

// enter begins the first second of what comes from the peer, or ends the one before.
func (lg *leg) enter(second int64, far *path) {
	if lg.second == 0 {
		lg.in.begun, lg.far.out.begun = second, second
		lg.beginSecond(second)
		return
	}
	lg.pass(second, far)
}

// beginSecond begins a second of what comes from the peer.
func (lg *leg) beginSecond(second int64) {
	lg.second, lg.on, lg.rank, lg.before = second, nil, afterNothing, lg.arrived
	lg.gap, lg.peak = 0, 0
	lg.in.next, lg.far.out.next = call.MediaSample{}, call.MediaSample{}
}

// pass ends the second under way, and those that passed without a packet since, where second has begun.
func (lg *leg) pass(second int64, far *path) {
	if lg.second == 0 || lg.second >= second {
		return
	}
	c, f := &lg.count, &lg.far.count
	in, out := lg.inSecond(), lg.far.outSecond()
	if in.Packets > 0 {
		in.MOS = mos(lg.codec, share(uint64(in.Lost), uint64(in.Packets)), time.Duration(c.roundTrip.Load()), lg.jitter)
		c.mosReceived.Add(uint64(in.MOS))
		c.ratedReceived.Add(1)
	}
	if out.Packets > 0 && lg.far.isTold(lg.second) {
		out.MOS = mos(lg.codec, lg.far.fraction, time.Duration(f.roundTrip.Load()), time.Duration(f.jitterSent.Load()))
		f.mosSent.Add(uint64(out.MOS))
		f.ratedSent.Add(1)
	}
	lg.in.add(in)
	lg.far.out.add(out)
	past := second - lg.second - 1
	lg.in.empty(past)
	lg.far.out.empty(past)
	lg.in.totals(c.received.Load(), c.bytesReceived.Load(), lg.lost)
	lg.far.out.totals(f.sent.Load(), f.bytesSent.Load(), f.lostSent.Load())
	c.maxJitter.Store(max(c.maxJitter.Load(), uint64(lg.peak)))
	if in.Packets > 0 && lg.far.silent(far, lg.second) {
		f.oneWay.Add(1)
	}
	lg.beginSecond(second)
}

// silent reports whether the peer sent nothing in a second in which it was to speak. One that last sent comfort noise has
// nothing to say.
func (lg *leg) silent(p *path, second int64) bool {
	from, last := time.Duration(second-1)*time.Second, lg.arrived
	if lg.second > second {
		last = lg.before
	}
	return p != nil && p.mutual <= from && last < from && !lg.noise
}

// inSecond is the second under way of what came from the peer.
func (lg *leg) inSecond() call.MediaSample {
	s := lg.in.take(lg.count.received.Load(), lg.count.bytesReceived.Load(), lg.lost)
	if s.Packets > 0 {
		s.JitterMicros, s.GapMicros = micros(lg.peak), micros(lg.gap)
	}
	s.RoundTripMicros = micros(time.Duration(lg.count.roundTrip.Load()))
	return s
}

// outSecond is the second under way of what went to the peer.
func (lg *leg) outSecond() call.MediaSample {
	s := lg.out.take(lg.count.sent.Load(), lg.count.bytesSent.Load(), lg.count.lostSent.Load())
	s.JitterMicros = micros(time.Duration(lg.count.jitterSent.Load()))
	s.RoundTripMicros = micros(time.Duration(lg.count.roundTrip.Load()))
	return s
}

// samples returns a copy of the account up to a second, for the relay loop or once it is past the session.
func (lg *leg) samples(second int64, epoch time.Time) call.LegSamples {
	lg.pass(second, lg.far.path.Load())
	lg.far.pass(second, lg.path.Load())
	since := func(y *way) time.Time {
		if y.begun == 0 {
			return time.Time{}
		}
		return epoch.Add(time.Duration(y.begun-1) * time.Second)
	}
	return call.LegSamples{
		Received: lg.in.all(lg.inSecond(), lg.lost), ReceivedSince: since(&lg.in),
		Sent: lg.out.all(lg.outSecond(), lg.count.lostSent.Load()), SentSince: since(&lg.out),
	}
}

// account counts a packet of the peer that is authentic and not too many.
func (lg *leg) account(w *worker, p *path, h rtp.Header, size int) {
	c := &lg.count
	c.received.Add(1)
	c.bytesReceived.Add(uint64(size))
	c.lastHeard.Store(int64(w.since))
	if gap := w.since - max(lg.arrived, p.from); gap > lg.gap && lg.arrived != 0 {
		lg.widen(gap, h)
	}
	lg.arrived, lg.sequence, lg.hushed = w.since, h.Sequence, false
	lg.stream.Add(h, w.now)
	if lost := lg.stream.Lost(); lost != lg.lost {
		lg.lost = lost
		c.lost.Store(lost)
	}
	if jitter := lg.stream.Jitter(); jitter != lg.jitter {
		lg.jitter, lg.peak = jitter, max(lg.peak, jitter)
		c.jitter.Store(uint64(jitter))
	}
}

// widen takes the longest gap of the second. A sender that was silent of its own accord left none: it had said so by
// comfort noise, or says so by a marker (RFC 3551 section 4.1). Where packets were lost nobody can tell.
func (lg *leg) widen(gap time.Duration, h rtp.Header) {
	if h.Sequence == lg.sequence+1 && (h.Marker || lg.hushed) {
		return
	}
	lg.gap = gap
	if c := &lg.count; uint64(gap) > c.longestGap.Load() {
		c.longestGap.Store(uint64(gap))
	}
}
