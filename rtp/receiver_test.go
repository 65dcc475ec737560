package rtp

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// arrival is a packet and when it comes.
type arrival struct {
	h  Header
	at time.Duration
}

// network makes a stream of so many packets of 20 ms and takes it through a network that delays, loses and repeats by chance.
// It returns what arrives, in order, and how many packets between the first and the last one never did.
func network(r *rand.Rand, rate uint32, packets int) (arrivals []arrival, lost uint64) {
	h := Header{SSRC: r.Uint32(), Sequence: uint16(65536 - r.IntN(packets)), Timestamp: -uint32(r.IntN(packets * int(rate) / 50))}
	first, last := -1, 0
	came := make([]bool, packets)
	for i := range packets {
		if i > 0 {
			h.Sequence, h.Timestamp = h.Sequence+1, h.Timestamp+rate/50
		}
		if r.IntN(20) == 0 {
			continue
		}
		came[i], last = true, i
		if first < 0 {
			first = i
		}
		for range 1 + r.IntN(10)/9 {
			arrivals = append(arrivals, arrival{h, time.Duration(i)*20*time.Millisecond + time.Duration(r.IntN(70_000))*time.Microsecond})
		}
	}
	for i := first; i < last; i++ {
		if !came[i] {
			lost++
		}
	}
	slices.SortStableFunc(arrivals, func(a, b arrival) int { return cmp.Compare(a.at, b.at) })
	return arrivals, lost
}

// reference is the jitter of RFC 3550 section 6.4.1, in exact arithmetic.
func reference(arrivals []arrival, rate uint32) time.Duration {
	jitter := 0.0
	last := 0
	for i := 1; i < len(arrivals); i++ {
		if arrivals[i].h.Timestamp == arrivals[last].h.Timestamp {
			continue
		}
		apart := (arrivals[i].at - arrivals[last].at).Seconds() - float64(int32(arrivals[i].h.Timestamp-arrivals[last].h.Timestamp))/float64(rate)
		jitter += (math.Abs(apart) - jitter) / 16
		last = i
	}
	return time.Duration(jitter * float64(time.Second))
}

// What a network does to a stream is what the account says, whatever the clock, over the wraps of sequence number and time
// stamp, with packets out of order and packets that come twice.
func TestAccountOfANetwork(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		rate := []uint32{8000, 16000, 48000}[seed%3]
		arrivals, lost := network(random, rate, 700)
		var r Receiver
		r.SetClockRate(rate)
		epoch, repeated, seen := time.Unix(1_800_000_000, 0), 0, map[uint16]bool{}
		for _, a := range arrivals {
			r.Add(a.h, epoch.Add(a.at))
			if seen[a.h.Sequence] {
				repeated++
			}
			seen[a.h.Sequence] = true
		}
		if got := r.Lost(); got != lost {
			t.Errorf("seed %d: lost %d; want %d", seed, got, lost)
		}
		// A report's number is that of A.3: what came twice stands for what did not come.
		if b := r.Report(); b.Lost != int32(lost)-int32(repeated) || b.SSRC != arrivals[0].h.SSRC {
			t.Errorf("seed %d: report %+v; want %d lost and %d that came again", seed, b, lost, repeated)
		}
		if got, want := r.Jitter(), reference(arrivals, rate); got < want-time.Millisecond || got > want+time.Millisecond {
			t.Errorf("seed %d, %d Hz: jitter %v; want %v", seed, rate, got, want)
		}
	}
}

// A stream that comes twice from end to end hides nothing of what is lost.
func TestRepetitionsHideNoLoss(t *testing.T) {
	var r Receiver
	for i := range 1000 {
		if i%10 == 5 {
			continue
		}
		for range 2 {
			r.Add(Header{SSRC: 1, Sequence: uint16(i), Timestamp: uint32(i) * 160}, time.Unix(int64(i), 0))
		}
	}
	if got := r.Lost(); got != 100 {
		t.Errorf("lost %d; want 100", got)
	}
	if b := r.Report(); b.Lost != -800 {
		t.Errorf("the report says %d lost; RFC 3550 A.3 has -800", b.Lost)
	}
}

// The first packets that come need not be the first that were sent.
func TestStreamBeginsOutOfOrder(t *testing.T) {
	var r Receiver
	for _, seq := range []uint16{1004, 1001, 1003, 1006} {
		r.Add(Header{SSRC: 1, Sequence: seq}, time.Unix(0, 0))
	}
	if got := r.Lost(); got != 2 { // 1002 and 1005
		t.Errorf("lost %d; want 2", got)
	}
	if b := r.Report(); b.Highest != 1006 || b.Lost != 2 {
		t.Errorf("report %+v", b)
	}
}

// A sender that counts from elsewhere, as after a hold or with another clock, is not late.
func TestNewClockIsNoJitter(t *testing.T) {
	var r Receiver
	at, seq, stamp := time.Unix(0, 0), uint16(0), uint32(0)
	send := func(packets int, step uint32) {
		for range packets {
			r.Add(Header{SSRC: 1, Sequence: seq, Timestamp: stamp}, at)
			at, seq, stamp = at.Add(20*time.Millisecond), seq+1, stamp+step
		}
	}
	check := func(after string) {
		t.Helper()
		if got := r.Jitter(); got != 0 || r.Lost() != 0 {
			t.Errorf("after %s: jitter %v, lost %d; want none", after, got, r.Lost())
		}
	}
	send(10, 160)
	r.SetClockRate(16000)
	send(40, 320)
	check("another format at once")
	r.SetClockRate(8000)
	send(50, 160)
	at = at.Add(time.Minute) // in which the clock of the sender stood still
	send(50, 160)
	check("a hold")
	stamp += 1 << 31
	send(50, 160)
	check("another time stamp")
	seq, stamp = seq+20000, 77
	send(50, 160)
	check("a restart")
	r.SetClockRate(48000)
	send(50, 960)
	r.SetClockRate(16000)
	send(50, 320)
	check("another format")

	// What jitter there is stays the same in time.
	for range 100 {
		send(1, 320)
		at = at.Add(16 * time.Millisecond)
		send(1, 320)
		at = at.Add(-16 * time.Millisecond)
	}
	before := r.Jitter()
	r.SetClockRate(0)
	send(1, 160)
	if got := r.Jitter(); before < 14*time.Millisecond || got < before-time.Millisecond || got > before+time.Millisecond {
		t.Errorf("jitter %v became %v with another clock", before, got)
	}
	if got := r.Report().Jitter; got < 14*8 || got > 17*8 {
		t.Errorf("the report says %d ticks of 8000 Hz", got)
	}
}
