package main

import (
	"errors"
	"fmt"
	"time"

	"carillon/bench/party"
)

// sample is one measurement of one system.
type sample struct {
	each     time.Duration // processor time of a packet
	cores    float64
	host     time.Duration // all that the machine did for a packet, the load's work and the kernel's included
	load     float64       // of its processor
	memory   float64       // octets of a call
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
			fmt.Printf("  round %d  %-16s %s, %s\n", round+1, systems[i].name(), got, out)
		}
	}
	last := party.Median(samples[len(systems)-1], func(a sample) float64 { return party.Micros(a.each) })
	fmt.Printf("  %-16s %12s %8s %8s %8s %10s %10s %18s\n", "median", "us a packet", "ratio", "host", "loss", "p50", "p99", "MB of 1,000 calls")
	for i, system := range systems {
		of := func(f func(sample) float64) float64 { return party.Median(samples[i], f) }
		each := of(func(a sample) float64 { return party.Micros(a.each) })
		fmt.Printf("  %-16s %12.2f %8.2f %8.2f %7.3f%% %7.0f us %7.0f us %18.1f\n", system.name(), each, each/last,
			of(func(a sample) float64 { return party.Micros(a.host) }), 100*of(func(a sample) float64 { return a.loss }), of(func(a sample) float64 { return party.Micros(a.p50) }),
			of(func(a sample) float64 { return party.Micros(a.p99) }), of(func(a sample) float64 { return a.memory / 1e3 }))
	}
	peer := samples[len(systems)-1]
	busy := party.Median(peer, func(a sample) float64 { return a.cores })
	if s.place.both {
		busy += party.Median(peer, func(a sample) float64 { return a.load })
	}
	if busy > fullProcessor*float64(s.place.processors()) {
		fmt.Printf("  %s has no processor left: more than it has, no packet can take, and what is late spares it turns. With fewer calls (-calls) ratios to it tell more.\n",
			systems[len(systems)-1].name())
	}
	return nil
}

// fullProcessor is from where on a system is taken to want more of its processor than there is.
const fullProcessor = .95

// String says what was used.
func (a sample) String() string {
	return fmt.Sprintf("%.2f us a packet, %.2f of a processor, host %.2f us a packet, load %.2f of a processor",
		party.Micros(a.each), a.cores, party.Micros(a.host), a.load)
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
	if o.slow {
		text += ", the load sends less than it should"
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
	l, err := newLoad(v, s.place)
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
	var begun, ended reading
	out, err = l.run(s.warm, s.length, func() (err error) {
		begun, err = look(system)
		return err
	}, func() (err error) {
		ended, err = look(system)
		return err
	})
	if err != nil {
		return got, out, err
	}
	got = ended.since(begun, out.arrived)
	got.p50, got.p99, got.loss = out.latency.quantile(.5), out.latency.quantile(.99), out.loss()
	return got, out, nil
}
