package rtp

import (
	"math"
	"testing"
	"time"
)

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
		{Quality{Codec: "G729/8000"}, 82.2, 4.1},
		{Quality{Codec: "G729/8000", Loss: 0.05}, 64.7, 3.33},
		{Quality{Codec: "opus/48000/2"}, 93.2, 4.41},
		{Quality{Loss: 1, Delay: 2 * time.Second}, 0, 1},
	} {
		if r, mos := tt.q.R(), tt.q.MOS(); math.Abs(r-tt.r) > 0.05 || math.Abs(mos-tt.mos) > 0.01 {
			t.Errorf("%+v: R %.2f, MOS %.3f; want %.2f, %.2f", tt.q, r, mos, tt.r, tt.mos)
		}
	}
}

// The values that the recommendations print: opinions of ratings (G.107 table B.1), the rating of a call with all parameters at
// their defaults (G.107 table 2), and codecs (G.113 tables I.1 and I.4).
func TestPublishedQuality(t *testing.T) {
	for r, want := range map[float64]float64{-5: 1, 0: 1, 50: 2.58, 60: 3.10, 70: 3.60, 80: 4.03, 90: 4.34, 93.2: 4.41, 100: 4.5, 120: 4.5} {
		if got := opinion(r); math.Abs(got-want) >= 0.01 {
			t.Errorf("a rating of %v is an opinion of %.3f; want %.2f", r, got, want)
		}
	}
	if got := (Quality{}).R(); got != 93.2 {
		t.Errorf("the default is %v; want 93.2", got)
	}
	for codec, want := range map[string]equipment{
		"PCMU/8000": {0, 25.1}, "PCMA/8000": {0, 25.1}, "G729/8000": {11, 19}, "G723/8000": {15, 16.1}, "GSM-EFR/8000": {5, 10},
	} {
		if got := equipmentOf(codec); got != want {
			t.Errorf("%s: %+v; want %+v", codec, got, want)
		}
		// Losing as many percent as Bpl takes half of what is left to lose.
		if got, want := (Quality{Codec: codec, Loss: want.bpl / 100}).R(), defaultR-want.ie-(95-want.ie)/2; math.Abs(got-want) > 1e-9 {
			t.Errorf("%s: R is %v with a loss of Bpl; want %v", codec, got, want)
		}
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
