package main

import (
	"fmt"
	"time"

	"carillon/bench/party"
)

// A number of calls counts as carried with less loss and latency than these.
const (
	mostLoss    = 0.001
	mostLatency = 5 * time.Millisecond
)

// searchAll finds the highest number of calls of each system.
func (s settings) searchAll(systems []system, v variant) error {
	fmt.Printf("%s, the most calls on one processor with less than %.1f%% lost and p99 below %v\n", v.name, 100*mostLoss, mostLatency)
	best := make([]int, len(systems))
	for i, system := range systems {
		var err error
		if best[i], err = s.search(system, v); err != nil {
			return fmt.Errorf("%s: %w", system.name(), err)
		}
	}
	for i, system := range systems {
		fmt.Printf("  %-16s %6d calls, ratio %.2f\n", system.name(), best[i], float64(best[i])/float64(max(best[len(best)-1], 1)))
	}
	return nil
}

// search raises the number by a fifth until it is missed twice in a row.
func (s settings) search(system system, v variant) (best int, err error) {
	l, err := newLoad(v)
	defer l.close()
	if err != nil {
		return 0, err
	}
	defer system.stop()
	if err := system.start(v); err != nil {
		return 0, err
	}
	for calls, misses := s.calls, 0; misses < 2; {
		got, out, err := s.measure(system, l, calls)
		if err != nil {
			return best, err
		}
		carried := out.loss() < mostLoss && got.p99 < mostLatency && out.fault() == nil
		fmt.Printf("  %-16s %6d: %.2f us a packet, %.2f of the processor, %s, carried %v\n", system.name(), calls, party.Micros(got.each), got.cores, out, carried)
		if !carried {
			misses++
			continue
		}
		best, misses = calls, 0
		calls += calls / 5
	}
	return best, nil
}
