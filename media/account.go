package media

import (
	"math"
	"slices"
	"time"

	"carillon/call"
	"carillon/rtp"
)

// MaxSamples is how many samples are kept of each way of a leg. A sample covers a second; when there is no room for more,
// each two become one, so that a call of four hours has some of 128 seconds. The memory is taken when the call is
// answered.
const MaxSamples = 128

// way is the account of one way of a leg's media. It belongs to the session's relay loop.
type way struct {
	memory  *sampleMemory
	samples []call.MediaSample
	span    uint32           // seconds that a sample covers
	open    call.MediaSample // the one that is being filled
	next    call.MediaSample // what its first packet says of the second that has begun
	// packets, bytes and lost are the totals at the last turn of a second.
	packets, bytes, lost uint64
}

// sampleMemory is what the samples of one way take. It goes from call to call.
type sampleMemory [MaxSamples]call.MediaSample

// newWay begins an account in memory that is lent.
func newWay(m *sampleMemory) way { return way{memory: m, samples: m[:0], span: 1} }

// add takes the sample of a second.
func (y *way) add(s call.MediaSample) {
	y.open.Add(s)
	if y.open.Seconds < y.span {
		return
	}
	y.samples = append(y.samples, y.open)
	y.open = call.MediaSample{}
	if len(y.samples) < MaxSamples {
		return
	}
	for i := range MaxSamples / 2 {
		s := y.samples[2*i]
		s.Add(y.samples[2*i+1])
		y.samples[i] = s
	}
	y.samples, y.span = y.samples[:MaxSamples/2], 2*y.span
}

// empty adds seconds of which nothing is to be said but that they passed.
func (y *way) empty(seconds int64) {
	for range seconds {
		y.add(call.MediaSample{Seconds: 1})
	}
}

// take ends the second that is under way: what the totals grew by.
func (y *way) take(packets, bytes, lost uint64) call.MediaSample {
	s := y.next
	s.Seconds = 1
	s.Packets, s.Bytes = uint32(packets-y.packets), uint32(bytes-y.bytes)
	if lost > y.lost { // a packet that comes late takes itself off the account
		s.Lost = uint32(lost - y.lost)
	}
	return s
}

// totals remembers where the next second begins.
func (y *way) totals(packets, bytes, lost uint64) { y.packets, y.bytes, y.lost = packets, bytes, lost }

// all returns a copy of the samples with what is under way.
func (y *way) all(current call.MediaSample) []call.MediaSample {
	last := y.open
	last.Add(current)
	if len(y.samples) == 0 && last.Packets == 0 {
		return nil
	}
	return append(slices.Clone(y.samples), last)
}

// mos returns the E-model's estimate in hundredths.
func (p *path) mos(loss float64, trip, jitter time.Duration) uint16 {
	return uint16(math.Round(100 * rtp.Quality{Loss: loss, Delay: rtp.OneWay(trip, jitter), Codec: p.codec}.MOS()))
}

// share returns the part of what was sent that was lost.
func share(lost, arrived uint64) float64 {
	if lost == 0 {
		return 0
	}
	return float64(lost) / float64(lost+arrived)
}

// turn begins a new second with the packet h of the leg's peer: it ends the one before, on both ends of the way that the
// packet takes, and sends reports that are due.
func (lg *leg) turn(w *worker, p, far *path, h rtp.Header) {
	if lg.second != 0 {
		lg.endSecond(w, p, far)
	}
	lg.second = w.second
	lg.count.ssrc.Store(h.SSRC)
	lg.in.next = call.MediaSample{SSRC: h.SSRC, PayloadType: h.PayloadType}
	lg.far.out.next = lg.in.next
	lg.far.source.begin(w, h, &lg.far.count)
	lg.gap = 0
	lg.reportTo(w, p)
	lg.far.reportTo(w, far)
}

func (lg *leg) endSecond(w *worker, p, far *path) {
	c, f := &lg.count, &lg.far.count
	in, out := lg.inSecond(), lg.far.outSecond()
	trip, tripOut := time.Duration(c.roundTrip.Load()), time.Duration(f.roundTrip.Load())
	if in.Packets > 0 {
		in.MOS = p.mos(share(uint64(in.Lost), uint64(in.Packets)), trip, lg.jitter)
		c.mosReceived.Add(uint64(in.MOS))
		c.ratedReceived.Add(1)
	}
	if out.Packets > 0 && f.reports.Load() > 0 {
		out.MOS = far.mos(lg.far.fraction, tripOut, time.Duration(f.jitterSent.Load()))
		f.mosSent.Add(uint64(out.MOS))
		f.ratedSent.Add(1)
	}
	lg.in.add(in)
	lg.far.out.add(out)
	past := w.second - lg.second - 1
	lg.in.empty(past)
	lg.far.out.empty(past)
	lg.in.totals(c.received.Load(), c.bytesReceived.Load(), lg.lost)
	lg.far.out.totals(f.sent.Load(), f.bytesSent.Load(), f.lostSent.Load())
	c.longestGap.Store(max(c.longestGap.Load(), uint64(lg.gap)))
	c.maxJitter.Store(max(c.maxJitter.Load(), uint64(lg.jitter)))
	// The other side was silent for all of the second that this one spoke in.
	if far.promises && lg.far.arrived < time.Duration(lg.second-1)*time.Second {
		f.oneWay.Add(1)
	}
}

// inSecond is the second under way of what came from the peer.
func (lg *leg) inSecond() call.MediaSample {
	s := lg.in.take(lg.count.received.Load(), lg.count.bytesReceived.Load(), lg.lost)
	s.JitterMicros, s.GapMicros = micros(lg.jitter), micros(lg.gap)
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

// samples returns a copy of the account, for the relay loop or once it is past the session.
func (lg *leg) samples() call.LegSamples {
	if lg.in.span == 0 {
		return call.LegSamples{}
	}
	return call.LegSamples{Received: lg.in.all(lg.inSecond()), Sent: lg.out.all(lg.outSecond())}
}

// micros returns a duration in microseconds as far as they go.
func micros(d time.Duration) uint32 {
	return uint32(min(max(d/time.Microsecond, 0), math.MaxUint32))
}
