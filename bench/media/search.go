package main

import (
	"fmt"
	"time"
)

// A number of calls counts as carried with less loss and latency than these.
const (
	mostLoss    = 0.001
	mostLatency = 5 * time.Millisecond
)

// searchAll finds the highest number of calls of each system.
func (s settings) searchAll(systems []system, v variant) error {
	fmt.Printf("%s, the most calls on one processor with less than %.1f%% lost and p99 below %v\n", v.name, 100*mostLoss, mostLatency)
	best, limited := make([]int, len(systems)), make([]bool, len(systems))
	for i, system := range systems {
		var err error
		if best[i], limited[i], err = s.search(system, v); err != nil {
			return fmt.Errorf("%s: %w", system.name(), err)
		}
	}
	for i, system := range systems {
		more := ""
		if limited[i] {
			more = ", or more: the load sends no more"
		}
		fmt.Printf("  %-16s %6d calls, ratio %.2f%s\n", system.name(), best[i], float64(best[i])/float64(max(best[len(best)-1], 1)), more)
	}
	return nil
}

// search raises the number by a fifth until it is missed twice in a row; limited says that the system
// carried all that came of a higher one, which the load was too slow for.
func (s settings) search(system system, v variant) (best int, limited bool, err error) {
	l, err := newLoad(v, s.place)
	defer l.close()
	if err != nil {
		return 0, false, err
	}
	defer system.stop()
	if err := system.start(v); err != nil {
		return 0, false, err
	}
	for calls, misses := s.calls, 0; misses < 2; {
		got, out, err := s.measure(system, l, calls)
		if err != nil {
			return best, false, err
		}
		within := out.loss() < mostLoss && got.p99 < mostLatency && out.fault() == nil
		carried := within && !out.slow
		fmt.Printf("  %-16s %6d: %s, %s, carried %v\n", system.name(), calls, got, out, carried)
		if !carried {
			misses++
			limited = limited || within
			continue
		}
		best, misses, limited = calls, 0, false
		calls += calls / 5
	}
	return best, limited, nil
}
