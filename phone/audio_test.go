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

// TestStatsQuality derives loss and delay from what was counted.
func TestStatsQuality(t *testing.T) {
	s := Stats{PacketsReceived: 95, Lost: 5, Jitter: 10 * time.Millisecond, RoundTrip: 100 * time.Millisecond}
	if q := s.Quality(); math.Abs(q.Loss-0.05) > 1e-9 || q.Delay != 90*time.Millisecond {
		t.Errorf("quality of %+v is %+v", s, q)
	}
	if q := (Stats{}).Quality(); q.Loss != 1 {
		t.Errorf("a call that received nothing lost %v of it", q.Loss)
	}
}
