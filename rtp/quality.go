package rtp

import (
	"math"
	"strings"
	"time"
)

// Constants of the E-model (ITU-T G.107, 2015): R = Ro - Is - Id - Ie,eff + A. Echo is left out of Id: what a node sees
// of a call does not tell it.
const (
	// defaultR is Ro - Is with every parameter of G.107 table 2 at its default; the advantage A is 0.
	defaultR = 93.2
	// delayFree is mT, the one-way delay in ms up to which Idd is 0, with the sensitivity sT at its default 1 (section 7.4).
	delayFree = 100
	// randomBurst is the burst ratio BurstR of losses that come independently, and most the impairment Ie,eff of losing all
	// (section 7.5).
	randomBurst, most = 1, 95
	// worst and best are the ends of the scale of opinions that R is turned into (annex B).
	worst, best = 1, 4.5
)

// equipment is what a codec costs (ITU-T G.113, 2007, appendix I).
type equipment struct {
	// ie is the equipment impairment factor without loss, bpl the robustness against loss with a receiver that conceals
	// it.
	ie, bpl float64
}

// equipmentOf returns the figures of a codec by its rtpmap name. Those that G.113 does not know are taken for G.711: the
// model's scale ends at narrow-band speech, which they are at least as good as.
func equipmentOf(codec string) equipment {
	name, _, _ := strings.Cut(codec, "/")
	switch strings.ToUpper(name) {
	case "G729":
		return equipment{11, 19} // G.729A with VAD
	case "G723":
		return equipment{15, 16.1} // 6.3 kbit/s with VAD
	case "GSM-EFR":
		return equipment{5, 10}
	}
	return equipment{0, 25.1} // G.711 with appendix I
}

// Quality is what an estimate of how a stream sounded is made from.
type Quality struct {
	// Loss is the share of packets lost, 0 to 1.
	Loss float64
	// Delay is one way from mouth to ear.
	Delay time.Duration
	// Codec is the payload format, for example "PCMU/8000"; empty stands for G.711.
	Codec string
}

// R returns the transmission rating of the E-model, 0 (worst) to 93.2 (best narrow-band call).
func (q Quality) R() float64 {
	percent, e := 100*min(1, max(0, q.Loss)), equipmentOf(q.Codec)
	ieEff := e.ie + (most-e.ie)*percent/(percent/randomBurst+e.bpl)
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
func (q Quality) MOS() float64 { return opinion(q.R()) }

// opinion turns a rating into a mean opinion score (G.107 annex B).
func opinion(r float64) float64 {
	switch {
	case r <= 0:
		return worst
	case r >= 100:
		return best
	}
	return max(worst, 1+0.035*r+r*(r-60)*(100-r)*7e-6) // the cubic dips below 1 before it rises
}

// bufferedJitter is how many times the jitter a usual receiver's buffer holds back.
const bufferedJitter = 2

// packetTime is the speech in a usual packet, all of which must be spoken before the first of it can leave.
const packetTime = 20 * time.Millisecond

// OneWay estimates the delay from mouth to ear by what is measured: half the round trip, the packet itself and a jitter
// buffer.
func OneWay(roundTrip, jitter time.Duration) time.Duration {
	return roundTrip/2 + packetTime + bufferedJitter*jitter
}
