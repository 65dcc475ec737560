package main

import "time"

// histogram counts durations in microseconds; what is beyond its end counts as its end.
type histogram struct {
	counts [20_001]uint32
	total  int
}

func (h *histogram) add(nanoseconds int64) {
	h.counts[max(0, min(nanoseconds/1000, int64(len(h.counts)-1)))]++
	h.total++
}

// quantile returns the q-th part.
func (h *histogram) quantile(q float64) time.Duration {
	left := int(q * float64(h.total))
	for us, n := range h.counts {
		if left -= int(n); left < 0 {
			return time.Duration(us) * time.Microsecond
		}
	}
	return 0
}
