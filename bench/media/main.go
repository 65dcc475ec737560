package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"carillon/bench/party"
)

// settings are the command line.
type settings struct {
	calls, rounds int
	warm, length  time.Duration
	only          string
	max, setup    bool
	soak          time.Duration
	peer          bool
	binary        string
	floors        string
}

func main() {
	var s settings
	flag.IntVar(&s.calls, "calls", 500, "calls at once; with -max the first number tried")
	flag.IntVar(&s.rounds, "rounds", 2, "rounds; every other one in the reverse order")
	flag.DurationVar(&s.warm, "warm", time.Second, "how long media flow before they are measured")
	flag.DurationVar(&s.length, "length", 5*time.Second, "how long media are measured")
	flag.StringVar(&s.only, "only", usual, "variants, with commas")
	flag.BoolVar(&s.max, "max", false, "search the highest number of calls on one processor")
	flag.BoolVar(&s.setup, "setup", false, "measure setting media up and taking them down")
	flag.DurationVar(&s.soak, "soak", 0, "watch the node for so long")
	flag.BoolVar(&s.peer, "peer", hasRTPEngine(), "measure rtpengine, too")
	flag.StringVar(&s.floors, "floors", floorEpoll, "bare forwarders, with commas: "+floorEpoll+", "+floorGathered+" or "+floorRing+", each also with "+connectedWord)
	flag.StringVar(&s.binary, "carillon", "", "the node's program; built when empty")
	if main, done := disguised(os.Args); done {
		exit(main())
	}
	flag.Parse()
	exit(run(s))
}

// disguised returns what else this program does where it is run by itself.
func disguised(args []string) (main func() error, done bool) {
	switch {
	case len(args) == 3 && args[1] == forwardFlag:
		return func() error { return forward(args[2], os.Stdin, os.Stdout) }, true
	case len(args) > 2 && args[1] == underFlag:
		return func() error { return runUnder(args[2:]) }, true
	}
	return nil, false
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "media:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

func run(s settings) error {
	if s.setup {
		return s.compareSetup()
	}
	list, err := chosen(s.only)
	if err != nil {
		return err
	}
	if s.binary == "" {
		dir, err := os.MkdirTemp("", "carillon-build-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.binary = filepath.Join(dir, "carillon")
		if err := party.Build(s.binary); err != nil {
			return err
		}
	}
	if err := stay(); err != nil {
		return err
	}
	bare, err := floors(s.floors)
	if err != nil {
		return err
	}
	systems := append([]system{&node{Node: party.Node{Binary: s.binary}}}, bare...)
	if s.peer {
		systems = append(systems, &rtpengine{})
	}
	for _, v := range list {
		switch {
		case s.soak > 0:
			err = s.endure(systems[0], v)
		case s.max:
			err = s.searchAll(systems, v)
		default:
			err = s.compare(systems, v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sample is one measurement of one system.
type sample struct {
	each     time.Duration // processor time of a packet
	cores    float64
	memory   float64 // octets of a call
	p50, p99 time.Duration
	loss     float64
}

// compare measures all systems in turns, A B B A, and prints medians and ratios to the last one.
func (s settings) compare(systems []system, v variant) error {
	fmt.Printf("%s, %d calls, %v\n", v.name, s.calls, s.length)
	samples := make([][]sample, len(systems))
	for round := range s.rounds {
		for i := range systems {
			if round%2 == 1 {
				i = len(systems) - 1 - i
			}
			got, out, err := s.visit(systems[i], v)
			if err != nil {
				return fmt.Errorf("%s: %w", systems[i].name(), err)
			}
			samples[i] = append(samples[i], got)
			fmt.Printf("  round %d  %-16s %6.2f us a packet, %.2f of a processor, %s\n", round+1, systems[i].name(), party.Micros(got.each), got.cores, out)
		}
	}
	last := party.Median(samples[len(systems)-1], func(a sample) float64 { return party.Micros(a.each) })
	fmt.Printf("  %-16s %12s %8s %8s %10s %10s %18s\n", "median", "us a packet", "ratio", "loss", "p50", "p99", "MB of 1,000 calls")
	for i, system := range systems {
		of := func(f func(sample) float64) float64 { return party.Median(samples[i], f) }
		each := of(func(a sample) float64 { return party.Micros(a.each) })
		fmt.Printf("  %-16s %12.2f %8.2f %7.3f%% %7.0f us %7.0f us %18.1f\n", system.name(), each, each/last,
			100*of(func(a sample) float64 { return a.loss }), of(func(a sample) float64 { return party.Micros(a.p50) }),
			of(func(a sample) float64 { return party.Micros(a.p99) }), of(func(a sample) float64 { return a.memory / 1e3 }))
	}
	return nil
}

// String says what became of the packets.
func (o *outcome) String() string {
	text := fmt.Sprintf("%.3f%% lost, %v (p50) %v (p99) later", 100*o.loss(), o.latency.quantile(.5), o.latency.quantile(.99))
	for _, fault := range []struct {
		n    int
		what string
	}{{o.wrong, "not authentic"}, {o.doubled, "doubled"}, {o.silent, "streams silent"}, {o.dropped, "dropped by the load"}} {
		if fault.n > 0 {
			text += fmt.Sprintf(", %d %s", fault.n, fault.what)
		}
	}
	if late := o.late.quantile(.99); late > lateLoad {
		text += fmt.Sprintf(", the load is %v behind (p99)", late)
	}
	return text
}

// lateLoad is how far the load's bursts may be behind their times.
const lateLoad = time.Millisecond

// fault is what makes a measurement worth nothing.
func (o *outcome) fault() error {
	switch {
	case o.wrong > 0:
		return fmt.Errorf("%d packets are not what was sent: %w", o.wrong, o.why)
	case o.silent > 0:
		return fmt.Errorf("%d streams are silent", o.silent)
	}
	return nil
}

// visit starts a system, sets calls up and measures their media.
func (s settings) visit(system system, v variant) (got sample, out *outcome, err error) {
	l, err := newLoad(v)
	defer l.close()
	if err != nil {
		return got, nil, err
	}
	defer system.stop()
	if err := system.start(v); err != nil {
		return got, nil, err
	}
	before, err := party.UsageOf(system.processes())
	if err != nil {
		return got, nil, err
	}
	got, out, err = s.measure(system, l, s.calls)
	if err != nil {
		return got, out, err
	}
	after, err := party.UsageOf(system.processes())
	got.memory = float64(after.Memory-before.Memory) / float64(s.calls)
	return got, out, errors.Join(err, out.fault())
}

// measure adds calls up to a number and measures the media of all.
func (s settings) measure(system system, l *load, calls int) (got sample, out *outcome, err error) {
	for l.calls() < calls {
		fars, err := system.call(l, l.calls())
		if err != nil {
			return got, nil, fmt.Errorf("set up call %d: %w", l.calls(), err)
		}
		if err := l.join(fars); err != nil {
			return got, nil, err
		}
	}
	var used party.Usage
	var begun time.Time
	var wall time.Duration
	out, err = l.run(s.warm, s.length, func() (err error) {
		used, err = party.UsageOf(system.processes())
		begun = time.Now()
		return err
	}, func() error {
		now, err := party.UsageOf(system.processes())
		wall = time.Since(begun)
		used.Processor = now.Processor - used.Processor
		return err
	})
	if err != nil {
		return got, out, err
	}
	got.each = used.Processor / time.Duration(max(out.arrived, 1))
	got.cores = used.Processor.Seconds() / wall.Seconds()
	got.p50, got.p99, got.loss = out.latency.quantile(.5), out.latency.quantile(.99), out.loss()
	return got, out, nil
}
