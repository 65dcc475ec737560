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

// level returns the power of samples in dBm0: in the mu-law of ITU-T G.711 the loudest sine has 3.17.
func level(samples []int16) float64 {
	sum := 0.0
	for _, s := range samples {
		sum += float64(s) * float64(s)
	}
	return 3.17 + 10*math.Log10(2*sum/float64(len(samples))/(32124*32124))
}

// toneDBm is 10 dB below the loudest 16-bit sample, which lies 0.17 dB above the loudest one of the mu-law.
const toneDBm = 3.17 - 10 + 0.17

// A tone has its level whatever its frequency, before and after either law.
func TestToneLevel(t *testing.T) {
	for _, hz := range []float64{440, 697, 1004, 1633} {
		said := say(Tone(hz), 50)
		for name, samples := range map[string][]int16{
			"as said": said, "mu-law": PCMU.decode(nil, PCMU.encode(nil, said)), "A-law": PCMA.decode(nil, PCMA.encode(nil, said)),
		} {
			if got := level(samples); math.Abs(got-toneDBm) > 0.1 {
				t.Errorf("%v Hz, %s: %.2f dBm0; want %.2f", hz, name, got, toneDBm)
			}
		}
	}
	if got := level(say(Ringing(), 50)); math.Abs(got-(toneDBm-3.01)) > 0.1 {
		t.Errorf("ringing has %.2f dBm0; want %.2f", got, toneDBm-3.01)
	}
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
