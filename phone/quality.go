package phone

import (
	"math"
	"time"
)

// Constants of the E-model (ITU-T G.107, 2015) and of its equipment table (ITU-T G.113, 2007, appendix I).
const (
	// defaultR is the rating R with every parameter of G.107 table 2 at its default: Ro - Is.
	defaultR = 93.2
	// g711Ie is the equipment impairment factor of G.711 without loss.
	g711Ie = 0
	// g711Bpl is the packet-loss robustness of G.711 with a receiver that conceals losses (G.711 appendix I).
	g711Bpl = 25.1
	// randomBurst is the burst ratio of losses that come independently.
	randomBurst = 1
	// delayFree is the one-way delay in ms below which Idd is 0.
	delayFree = 100
)

// Quality is what an estimate of how a call sounded is made from.
type Quality struct {
	// Loss is the share of packets lost, 0 to 1.
	Loss float64
	// Delay is one way from mouth to ear.
	Delay time.Duration
}

// R returns the transmission rating of the E-model, 0 (worst) to 93.2 (best narrow-band call).
func (q Quality) R() float64 {
	percent := 100 * min(1, max(0, q.Loss))
	ieEff := g711Ie + (95-g711Ie)*percent/(percent/randomBurst+g711Bpl)
	return min(defaultR, max(0, defaultR-delayImpairment(q.Delay)-ieEff))
}

// delayImpairment is Idd of G.107 section 7.4.
func delayImpairment(delay time.Duration) float64 {
	ms := float64(delay) / float64(time.Millisecond)
	if ms <= delayFree {
		return 0
	}
	x := math.Log2(ms / delayFree)
	return 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
}

// MOS returns the mean opinion score, 1 (bad) to 4.41 (G.107 annex B): an estimate from figures of the network, which
// knows nothing of what was said.
func (q Quality) MOS() float64 {
	r := q.R()
	if r <= 0 {
		return 1
	}
	return max(1, 1+0.035*r+r*(r-60)*(100-r)*7e-6)
}

// bufferedJitter is how many times the jitter a usual receiver's buffer holds back.
const bufferedJitter = 2

// Quality derives an estimate's figures from what was measured: half the round trip, the packet itself and a jitter
// buffer make the delay.
func (s Stats) Quality() Quality {
	q := Quality{Delay: s.RoundTrip/2 + frameTime + bufferedJitter*s.Jitter}
	if expected := s.PacketsReceived + s.Lost; expected > 0 {
		q.Loss = float64(s.Lost) / float64(expected)
	}
	if s.PacketsReceived == 0 {
		q.Loss = 1
	}
	return q
}
