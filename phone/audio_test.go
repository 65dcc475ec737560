package phone

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func say(a Audio, frames int) []int16 {
	var all []int16
	for range frames {
		var frame [FrameSize]int16
		a.Say(frame[:])
		all = append(all, frame[:]...)
	}
	return all
}

func TestToneShare(t *testing.T) {
	noise := make([]int16, SampleRate)
	random := rand.New(rand.NewPCG(1, 2))
	for i := range noise {
		noise[i] = int16(random.IntN(1<<16) - 1<<15)
	}
	mixed := say(Tone(440), 50)
	for i, s := range say(Tone(1004), 50) {
		mixed[i] = mixed[i]/2 + s/2
	}
	for _, tt := range []struct {
		name     string
		samples  []int16
		hz       float64
		low, top float64
	}{
		{"a tone", say(Tone(1004), 50), 1004, 0.99, 1},
		{"after mu-law", PCMU.decode(nil, PCMU.encode(nil, say(Tone(1004), 50))), 1004, 0.99, 1},
		{"after A-law", PCMA.decode(nil, PCMA.encode(nil, say(Tone(440), 50))), 440, 0.99, 1},
		{"another tone", say(Tone(1004), 50), 440, 0, 0.01},
		{"20 Hz beside", say(Tone(1004), 50), 1024, 0, 0.05},
		{"half of two", mixed, 440, 0.45, 0.55},
		{"ringing", say(Ringing(), 50), 440, 0.45, 0.55},
		{"noise", noise, 1004, 0, 0.01},
		{"silence", make([]int16, 800), 1004, 0, 0},
		{"nothing", nil, 1004, 0, 0},
	} {
		if got := ToneShare(tt.samples, tt.hz); got < tt.low || got > tt.top {
			t.Errorf("%s: the share is %.3f, want %.2f to %.2f", tt.name, got, tt.low, tt.top)
		}
	}
}

func TestRingingPauses(t *testing.T) {
	samples := say(Ringing(), 6*50)
	if ToneShare(samples[:2*SampleRate], 480) < 0.45 || ToneShare(samples[2*SampleRate:], 480) != 0 {
		t.Error("not 2 s on and 4 s off")
	}
}

// TestEchoIsBounded: who sends faster than is read gets what came last, not an ever longer delay.
func TestEchoIsBounded(t *testing.T) {
	e := Echo()
	for i := range 100 {
		frame := make([]int16, FrameSize)
		for j := range frame {
			frame[j] = int16(i)
		}
		e.Hear(frame)
	}
	said := say(e, 11)
	if first := 100 - echoSamples/FrameSize; said[0] != int16(first) || said[echoSamples-1] != 99 || said[echoSamples] != 0 {
		t.Errorf("echo goes from %d to %d, then %d; want %d to 99, then 0", said[0], said[echoSamples-1], said[echoSamples], first)
	}
}

// TestQuality compares with values worked out by hand from the formulas of G.107.
func TestQuality(t *testing.T) {
	for _, tt := range []struct {
		q      Quality
		r, mos float64
	}{
		{Quality{}, 93.2, 4.41},
		{Quality{Delay: 100 * time.Millisecond}, 93.2, 4.41},
		{Quality{Delay: 200 * time.Millisecond}, 90.15, 4.34},
		{Quality{Delay: 400 * time.Millisecond}, 69.13, 3.56},
		{Quality{Loss: 0.01}, 89.56, 4.32},
		{Quality{Loss: 0.05}, 77.42, 3.92},
		{Quality{Loss: 1}, 17.26, 1.18},
		{Quality{Loss: 1, Delay: 2 * time.Second}, 0, 1},
	} {
		if r, mos := tt.q.R(), tt.q.MOS(); math.Abs(r-tt.r) > 0.05 || math.Abs(mos-tt.mos) > 0.01 {
			t.Errorf("%+v: R %.2f, MOS %.3f; want %.2f, %.2f", tt.q, r, mos, tt.r, tt.mos)
		}
	}
	s := Stats{PacketsReceived: 95, Lost: 5, Jitter: 10 * time.Millisecond, RoundTrip: 100 * time.Millisecond}
	if q := s.Quality(); math.Abs(q.Loss-0.05) > 1e-9 || q.Delay != 90*time.Millisecond {
		t.Errorf("quality of %+v is %+v", s, q)
	}
	if q := (Stats{}).Quality(); q.Loss != 1 {
		t.Errorf("a call that received nothing lost %v of it", q.Loss)
	}
}

// TestWorseIsNeverBetter: the estimate falls with loss and with delay.
func TestWorseIsNeverBetter(t *testing.T) {
	last := 5.0
	for loss := 0.0; loss <= 1; loss += 0.01 {
		mos := Quality{Loss: loss}.MOS()
		if mos > last || mos < 1 {
			t.Fatalf("loss %.2f: MOS %.3f after %.3f", loss, mos, last)
		}
		last = mos
	}
	last = 5
	for ms := range 3000 {
		mos := Quality{Delay: time.Duration(ms) * time.Millisecond}.MOS()
		if mos > last+1e-9 || mos < 1 {
			t.Fatalf("delay %d ms: MOS %.4f after %.4f", ms, mos, last)
		}
		last = mos
	}
}
