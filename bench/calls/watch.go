package main

import (
	"fmt"
	"sync"
	"time"

	"carillon/bench/party"
)

// observe prints what a system holds every s.watch until the function it returns is called.
func (s settings) observe(system system) (stop func()) {
	if s.watch <= 0 {
		return func() {}
	}
	var watching sync.WaitGroup
	ended, begun := make(chan struct{}), time.Now()
	watching.Go(func() {
		tick := time.NewTicker(s.watch)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
				fmt.Printf("    %4.0f s: %s\n", time.Since(begun).Seconds(), holdings(system))
			}
		}
	})
	return func() {
		close(ended)
		watching.Wait()
	}
}

// holdings tells what a system holds now.
func holdings(system system) string {
	const mebi = 1 << 20
	usage, err := party.UsageOf(system.Processes())
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf("%d MiB", usage.Memory/mebi)
	goal, err := system.HeapGoal()
	if err != nil {
		return err.Error()
	}
	running, err := system.Goroutines()
	if err != nil {
		return err.Error()
	}
	if goal < 0 {
		return text
	}
	return fmt.Sprintf("%s, garbage is collected at %d MiB, %d goroutines", text, goal/mebi, running)
}
