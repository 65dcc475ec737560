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
	begun   int64            // the second of the first sample, 0 for none
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

// add takes the sample of a second, or of several that end with a sample.
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
	for seconds > 0 {
		n := min(seconds, int64(y.span-y.open.Seconds))
		y.add(call.MediaSample{Seconds: uint32(n)})
		seconds -= n
	}
}

// take returns the second that is under way: what the totals grew by.
func (y *way) take(packets, bytes, lost uint64) call.MediaSample {
	s := y.next
	s.Seconds = 1
	s.Packets, s.Bytes = uint32(packets-y.packets), uint32(bytes-y.bytes)
	if lost > y.lost {
		s.Lost = uint32(lost - y.lost)
	}
	return s
}

// totals remembers where the next second begins. A packet that was counted as lost and came in a later second is taken off
// where it was counted: what the seconds lost is what the call lost. Their estimates stay, for the ear had missed it.
func (y *way) totals(packets, bytes, lost uint64) {
	if lost < y.lost {
		forgive(y.samples, &y.open, y.lost-lost)
	}
	y.packets, y.bytes, y.lost = packets, bytes, lost
}

// forgive takes packets off what the last samples lost.
func forgive(samples []call.MediaSample, open *call.MediaSample, late uint64) {
	for i := len(samples); late > 0 && i >= 0; i-- {
		s := open
		if i < len(samples) {
			s = &samples[i]
		}
		n := min(late, uint64(s.Lost))
		s.Lost, late = s.Lost-uint32(n), late-n
	}
}

// all returns a copy of the samples with the second under way, for the totals at this moment.
func (y *way) all(current call.MediaSample, lost uint64) []call.MediaSample {
	if y.begun == 0 {
		return nil
	}
	all := append(slices.Clone(y.samples), y.open)
	last := &all[len(all)-1]
	if lost < y.lost {
		forgive(all[:len(all)-1], last, y.lost-lost)
	}
	last.Add(current)
	return all
}

// mos returns the E-model's estimate in hundredths.
func mos(codec string, loss float64, trip, jitter time.Duration) uint16 {
	return uint16(math.Round(100 * rtp.Quality{Loss: loss, Delay: rtp.OneWay(trip, jitter), Codec: codec}.MOS()))
}

// share returns the part of what was sent that was lost.
func share(lost, arrived uint64) float64 {
	if lost == 0 {
		return 0
	}
	return float64(lost) / float64(lost+arrived)
}

// micros returns a duration in microseconds as far as they go.
func micros(d time.Duration) uint32 {
	return uint32(min(max(d/time.Microsecond, 0), math.MaxUint32))
}
