package phone

import (
	"math"
	"sync"
)

// Audio is what one side of a call says and does with what it hears. Both functions are called on the call's own
// goroutines, one call of each at a time, and must not block; a slice is theirs until they return. nil Say is silence,
// nil Hear listens to nothing.
type Audio struct {
	// Say fills a frame of FrameSize linear samples.
	Say func(frame []int16)
	// Hear takes the samples of one packet.
	Hear func(samples []int16)
	// EchoKeys sends back each key that comes as a telephone event.
	EchoKeys bool
}

// toneLevel is the amplitude of Tone: 10 dB below the loudest sample, loud enough to stand out after any codec.
const toneLevel = 10362

// Tone says a sine of this frequency in Hz. Echo test lines use 1,004 Hz, because 1,000 Hz divides the sample rate and
// would meet the same eight code words for ever (ITU-T O.6).
func Tone(hz float64) Audio {
	phase, step := 0.0, 2*math.Pi*hz/SampleRate
	return Audio{Say: func(frame []int16) {
		for i := range frame {
			frame[i] = int16(toneLevel * math.Sin(phase))
			phase += step
		}
		phase = math.Mod(phase, 2*math.Pi)
	}}
}

// Ringing says the ringing tone of ITU-T E.180 supplement 2 for North America: 440 and 480 Hz, 2 s on and 4 s off.
func Ringing() Audio {
	n := 0
	return Audio{Say: func(frame []int16) {
		for i := range frame {
			frame[i] = 0
			if n%(6*SampleRate) < 2*SampleRate {
				t := 2 * math.Pi * float64(n) / SampleRate
				frame[i] = int16(toneLevel / 2 * (math.Sin(440*t) + math.Sin(480*t)))
			}
			n++
		}
	}}
}

// echoSamples bounds what an echo holds back: 200 ms. More would only be delay.
const echoSamples = SampleRate / 5

// Echo says what it hears and sends back the keys that are pressed. What comes faster than it can be said is dropped, oldest first.
func Echo() Audio {
	var mu sync.Mutex
	var held []int16
	return Audio{
		EchoKeys: true,
		Say: func(frame []int16) {
			mu.Lock()
			defer mu.Unlock()
			n := copy(frame, held)
			clear(frame[n:])
			held = held[:copy(held, held[n:])]
		},
		Hear: func(samples []int16) {
			mu.Lock()
			defer mu.Unlock()
			held = append(held, samples...)
			if over := len(held) - echoSamples; over > 0 {
				held = held[:copy(held, held[over:])]
			}
		},
	}
}

// ToneShare returns which share of the samples' energy, 0 to 1, is a sine of this frequency in Hz (Goertzel's
// algorithm). A clean tone gives more than 0.9, speech and noise less than 0.1; silence gives 0. It wants at least
// a tenth of a second of samples to tell tones 20 Hz apart.
func ToneShare(samples []int16, hz float64) float64 {
	if len(samples) == 0 {
		return 0
	}
	coefficient := 2 * math.Cos(2*math.Pi*hz/SampleRate)
	var s1, s2, energy float64
	for _, v := range samples {
		x := float64(v)
		s1, s2 = x+coefficient*s1-s2, s1
		energy += x * x
	}
	if energy == 0 {
		return 0
	}
	power := s1*s1 + s2*s2 - coefficient*s1*s2
	return min(1, 2*power/(energy*float64(len(samples))))
}
