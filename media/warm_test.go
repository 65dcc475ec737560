package media

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"carillon/cacheline"
	"carillon/srtp"
)

// TestWarmChangesNothing relays the same packets with and without it.
func TestWarmChangesNothing(t *testing.T) {
	for _, tt := range forwardCases {
		cold, warmed := newInProcess(t, tt.from, tt.to), newInProcess(t, tt.from, tt.to)
		unanswered := &leg{far: &leg{}}
		halfway := &leg{far: &leg{}}
		halfway.path.Store(warmed.from.path.Load())
		for i := range 100 {
			warm([]*leg{nil, warmed.from, unanswered, halfway, warmed.from.far, warmed.from})
			cold.from.receive(cold.w, &cold.from.pair.rtp, cold.next(t), cold.src)
			warmed.from.receive(warmed.w, &warmed.from.pair.rtp, warmed.next(t), warmed.src)
			if len(cold.out) == 0 || !bytes.Equal(cold.out, warmed.out) {
				t.Fatalf("%s, packet %d: %x, and %x where it was warm", tt.name, i, cold.out, warmed.out)
			}
		}
		if a, b := cold.from.far.count.report(), warmed.from.far.count.report(); a != b {
			t.Errorf("%s: %+v, and %+v where it was warm", tt.name, a, b)
		}
		many := slices.Repeat([]*leg{warmed.from, nil}, maxTogether/2)
		if n := testing.AllocsPerRun(100, func() { warm(many) }); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// BenchmarkForwardMany is BenchmarkForward with 1,000 streams in turns, as on a busy node: what a stream needs has left the nearer caches
// when its next packet comes. The memory that is read between two turns stands for the kernel and the other tenants
// of the processor.
func BenchmarkForwardMany(b *testing.B) {
	for _, tt := range forwardCases {
		b.Run(tt.name+", cold", func(b *testing.B) { benchmarkMany(b, tt.from, tt.to, false) })
		b.Run(tt.name+", warm", func(b *testing.B) { benchmarkMany(b, tt.from, tt.to, true) })
	}
}

func benchmarkMany(b *testing.B, from, to srtp.Suite, ahead bool) {
	const streams, turn = 1000, 25
	all := make([]*inProcess, streams)
	for i := range all {
		all[i] = newInProcess(b, from, to)
	}
	w := all[0].w
	w.scratch = srtp.NewScratch()
	others := make([]byte, 48<<20)
	var ring [turn][]byte
	for i := range ring {
		ring[i] = make([]byte, 0, MaxPacket+srtp.Overhead)
	}
	total, n, sum := time.Duration(0), 0, byte(0)
	for at := 0; n < b.N; at = (at + turn) % streams {
		for i := range ring {
			ring[i] = append(ring[i][:0], all[at+i].next(b)...)
		}
		for i := 0; i < len(others); i += cacheline.Size {
			sum += others[i]
		}
		var legs [turn]*leg
		for i := range legs {
			legs[i] = all[at+i].from
		}
		begin := time.Now()
		if ahead {
			warm(legs[:])
		}
		for i, lg := range legs {
			if ahead && i+keysAhead < len(legs) {
				legs[i+keysAhead].warmKeys()
			}
			lg.receive(w, &lg.pair.rtp, ring[i], all[at+i].src)
		}
		total += time.Since(begin)
		n += turn
	}
	if sum != 0 {
		b.Fatal(sum)
	}
	b.ReportMetric(float64(total.Nanoseconds())/float64(n), "relay-ns/packet")
}
