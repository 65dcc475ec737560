package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"carillon/bench/party"
)

// reading is what a system, the load and the machine have used so far.
type reading struct {
	system party.Usage
	load   time.Duration // processor time of this process
	idle   time.Duration // of all processors together
	count  int           // of the processors
	at     time.Time
}

func look(system system) (r reading, err error) {
	if r.system, err = party.UsageOf(system.processes()); err != nil {
		return r, err
	}
	var self unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &self); err != nil {
		return r, fmt.Errorf("read what the load uses: %w", err)
	}
	r.load = time.Duration(self.Utime.Nano() + self.Stime.Nano())
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return r, err
	}
	r.at = time.Now()
	r.idle, r.count = idleTime(string(text))
	return r, nil
}

// hugePages tells for which memory the kernel grants pages of 2 MB: always, as Debian's kernels are made, where it is asked to
// (madvise), or never. A relay of many calls takes less time with them.
func hugePages() string {
	text, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		return "unknown"
	}
	return setting(string(text))
}

// setting is the choice in brackets.
func setting(text string) string {
	_, from, _ := strings.Cut(text, "[")
	chosen, _, ok := strings.Cut(from, "]")
	if !ok {
		return "unknown"
	}
	return chosen
}

// tick is the unit of /proc/stat, on every machine that Go knows.
const tick = 10 * time.Millisecond

// idleTime reads from /proc/stat how long the processors together had nothing to do, and how many there are. It is the one
// figure there that is not sampled: the clock's ticks, which the others are counted by, are in step with the load's bursts.
func idleTime(stat string) (idle time.Duration, processors int) {
	const nothing, waiting = 4, 5
	for line := range strings.Lines(stat) {
		fields := strings.Fields(line)
		if len(fields) <= waiting || !strings.HasPrefix(fields[0], "cpu") {
			continue
		}
		if fields[0] != "cpu" {
			processors++
			continue
		}
		for _, field := range fields[nothing : waiting+1] {
			n, _ := strconv.ParseInt(field, 10, 64)
			idle += time.Duration(n) * tick
		}
	}
	return idle, processors
}

// since fills in what was used for so many packets from an earlier reading to this one.
func (r reading) since(before reading, packets int) (s sample) {
	wall, each := r.at.Sub(before.at), time.Duration(max(packets, 1))
	used := r.system.Processor - before.system.Processor
	s.each, s.cores = used/each, used.Seconds()/wall.Seconds()
	s.load = (r.load - before.load).Seconds() / wall.Seconds()
	s.host = (time.Duration(r.count)*wall - (r.idle - before.idle)) / each
	return s
}
