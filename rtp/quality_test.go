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
