package main

import (
	"fmt"
	"time"

	"carillon/bench/party"
)

// A rate counts as reached when no call failed and no record of one was lost, the callers kept it, one request in a thousand was repeated at most and
// the 99th percentile of the time to 180 stayed below latest.
const latest = 250 * time.Millisecond

// searchAll finds the highest rate of each system.
func (s settings) searchAll(systems []system, secure bool) error {
	fmt.Printf("%s, the highest rate without a failed call\n", variant(secure))
	best := make([]float64, len(systems))
	for i, system := range systems {
		var err error
		if best[i], err = s.search(system, secure); err != nil {
			return fmt.Errorf("%s: %w", system.Name(), err)
		}
	}
	for i, system := range systems {
		fmt.Printf("  %-20s %6.0f calls a second, ratio %.2f\n", system.Name(), best[i], best[i]/best[len(best)-1])
	}
	return nil
}

// search raises the rate by a fifth until it is missed twice in a row.
func (s settings) search(system system, secure bool) (best float64, err error) {
	c, err := newCallee(party.CalleeHost)
	if err != nil {
		return 0, err
	}
	defer c.close()
	defer system.Stop()
	if err := system.Start(secure, c.address()); err != nil {
		return 0, err
	}
	if _, err := s.load(system, secure, s.rate/2, 3*time.Second); err != nil {
		return 0, err
	}
	for rate, misses := s.rate, 0; misses < 2; {
		got, err := s.load(system, secure, rate, s.length)
		if err != nil {
			return best, err
		}
		r, p99 := got.result, got.result.quantile(.99)
		kept := float64(r.placed) / (r.wall - s.hold).Seconds()
		reached := r.failed() == 0 && got.lost == 0 && kept >= .95*rate && r.repeated <= r.placed/1000 && p99 < latest
		fmt.Printf("  %-20s %6.0f: %.0f kept, %.0f us a call, %d failed %v, %d records lost, %d repeated, 180 after %v (p99), reached %v\n", system.Name(),
			rate, kept, party.Micros(got.each), r.failed(), r.failures, got.lost, r.repeated, p99.Round(time.Millisecond), reached)
		if !reached {
			misses++
			time.Sleep(3 * time.Second)
			continue
		}
		best, misses = rate, 0
		rate *= 1.2
	}
	return best, nil
}

// compareOptions measures OPTIONS at one rate in turns, and the highest rate at which all are answered.
func (s settings) compareOptions(systems []system) error {
	fmt.Printf("OPTIONS over UDP, %.0f a second\n", s.optionsRate)
	samples, best := make([][]sample, len(systems)), make([]float64, len(systems))
	for round := range s.rounds {
		for i := range systems {
			if round%2 == 1 {
				i = len(systems) - 1 - i
			}
			if err := s.visitOptions(systems[i], &samples[i], &best[i]); err != nil {
				return fmt.Errorf("%s: %w", systems[i].Name(), err)
			}
		}
	}
	n := len(systems) - 1
	of := func(a sample) float64 { return party.Micros(a.each) }
	for i, system := range systems {
		fmt.Printf("  %-20s %6.1f us each, ratio %.2f; %6.0f a second at most, ratio %.2f\n", system.Name(),
			party.Median(samples[i], of), party.Median(samples[i], of)/party.Median(samples[n], of), best[i], best[i]/best[n])
	}
	return nil
}

func (s settings) visitOptions(system system, samples *[]sample, best *float64) error {
	c, err := newCallee(party.CalleeHost)
	if err != nil {
		return err
	}
	defer c.close()
	defer system.Stop()
	if err := system.Start(false, c.address()); err != nil {
		return err
	}
	if _, err := askOptions(system, s.optionsRate, time.Second); err != nil {
		return err
	}
	got, err := askOptions(system, s.optionsRate, s.length)
	if err != nil {
		return err
	}
	fmt.Printf("  %-20s %6.1f us each, %d of %d answered\n", system.Name(), party.Micros(got.each), got.answered, got.sent)
	*samples = append(*samples, sample{each: got.each})
	for rate, misses := s.optionsRate, 0; misses < 2; {
		got, err := askOptions(system, rate, 2*time.Second)
		if err != nil {
			return err
		}
		if got.answered < got.sent-got.sent/1000 {
			misses++
			continue
		}
		*best, misses = max(*best, rate), 0
		rate *= 1.2
	}
	return nil
}
