package main

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"flag"
	"fmt"
	"math"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"carillon/bench/party"
)

// system is what is measured.
type system interface {
	Name() string
	// start starts it anew: calls of the callers go to callee, over TLS with SRTP required where secure.
	Start(secure bool, callee string) error
	Stop()
	Processes() []int
	Address(secure bool) string
	Realm() string
	Goroutines() (int, error) // -1 where there are none
	Lost() (int, error)       // records of calls that were not written
	HeapGoal() (int64, error) // -1 where there is none
}

// settings are the command line.
type settings struct {
	rate, optionsRate float64
	length, hold      time.Duration
	watch             time.Duration
	rounds, held      int
	only              string
	max, options      bool
	peer              bool
	binary, data      string
}

func main() {
	var s settings
	flag.Float64Var(&s.rate, "rate", 400, "calls a second")
	flag.DurationVar(&s.length, "length", 8*time.Second, "how long calls are placed")
	flag.DurationVar(&s.hold, "hold", 300*time.Millisecond, "how long a call is up")
	flag.IntVar(&s.rounds, "rounds", 2, "rounds; every other one in the reverse order")
	flag.IntVar(&s.held, "held", 2000, "calls held to measure memory; 0 for none")
	flag.DurationVar(&s.watch, "watch", 0, "print the memory of the system under load so often; 0 for never")
	flag.StringVar(&s.only, "only", "", "udp or tls; both when empty")
	flag.BoolVar(&s.max, "max", false, "search the highest rate without a failed call, from -rate up")
	flag.BoolVar(&s.options, "options", false, "measure OPTIONS instead of calls")
	flag.Float64Var(&s.optionsRate, "options-rate", 4000, "OPTIONS a second")
	flag.BoolVar(&s.peer, "peer", hasKamailio(), "measure Kamailio with rtpengine, too")
	flag.StringVar(&s.binary, "carillon", "", "the node's program; built when empty")
	flag.StringVar(&s.data, "data", "", "parent of the node's data directory, which then stays; the system's for temporary files when empty")
	flag.Parse()
	if err := run(s); err != nil {
		fmt.Fprintln(os.Stderr, "calls:", err)
		os.Exit(1)
	}
}

func run(s settings) error {
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
	systems := []system{&party.Node{Binary: s.binary, Data: s.data}}
	if s.peer {
		systems = append(systems, &kamailio{})
	}
	go stopOnSignal(systems)
	switch {
	case s.options:
		return s.compareOptions(systems)
	case s.max:
		return s.eachVariant(func(secure bool) error { return s.searchAll(systems, secure) })
	}
	return s.eachVariant(func(secure bool) error { return s.compare(systems, secure) })
}

// stopOnSignal ends what runs with this program, which would measure beside it the next time.
func stopOnSignal(systems []system) {
	came := make(chan os.Signal, 1)
	signal.Notify(came, os.Interrupt, syscall.SIGTERM)
	<-came
	for _, s := range systems {
		s.Stop()
	}
	os.Exit(130)
}

func (s settings) eachVariant(do func(secure bool) error) error {
	for _, secure := range []bool{false, true} {
		if s.only != "" && (s.only == "tls") != secure {
			continue
		}
		if err := do(secure); err != nil {
			return err
		}
	}
	return nil
}

func variant(secure bool) string {
	if secure {
		return "TLS, digest, SRTP"
	}
	return "UDP, digest, RTP"
}

// sample is one measurement of one system.
type sample struct {
	each       time.Duration // processor time of a call
	result     *result
	lost       int     // records that the system could not write since it was started
	memory     int64   // octets of a held call
	goroutines float64 // of a held call
}

// compare measures all systems in turns, A B B A, and prints medians and ratios to the last one.
func (s settings) compare(systems []system, secure bool) error {
	fmt.Printf("%s, %.0f calls a second for %v, held for %v\n", variant(secure), s.rate, s.length, s.hold)
	samples := make([][]sample, len(systems))
	for round := range s.rounds {
		for i := range systems {
			if round%2 == 1 {
				i = len(systems) - 1 - i
			}
			got, err := s.visit(systems[i], secure)
			if err != nil {
				return fmt.Errorf("%s: %w", systems[i].Name(), err)
			}
			samples[i] = append(samples[i], got)
			fmt.Printf("  round %d  %-20s %6.0f us a call, %d failed %v, %d records lost, %d repeated, 180 after %v (p50) %v (p99)\n",
				round+1, systems[i].Name(), party.Micros(got.each), got.result.failed(), got.result.failures, got.lost, got.result.repeated,
				got.result.quantile(.5).Round(10*time.Microsecond), got.result.quantile(.99).Round(10*time.Microsecond))
		}
	}
	last := party.Median(samples[len(systems)-1], func(a sample) float64 { return party.Micros(a.each) })
	fmt.Printf("  %-20s %12s %8s %20s %18s\n", "median", "us a call", "ratio", "KiB a held call", "goroutines a call")
	for i, system := range systems {
		each := party.Median(samples[i], func(a sample) float64 { return party.Micros(a.each) })
		fmt.Printf("  %-20s %12.0f %8.2f %20.1f", system.Name(), each, each/last,
			party.Median(samples[i], func(a sample) float64 { return float64(a.memory) / 1024 }))
		if goroutines := party.Median(samples[i], func(a sample) float64 { return a.goroutines }); !math.IsNaN(goroutines) {
			fmt.Printf(" %18.2f", max(goroutines, 0))
		}
		fmt.Println()
	}
	return nil
}

// visit starts a system, lets it warm up, and measures calls and held calls.
func (s settings) visit(system system, secure bool) (got sample, err error) {
	c, err := newCallee(party.CalleeHost)
	if err != nil {
		return got, err
	}
	defer c.close()
	defer system.Stop()
	if err := system.Start(secure, c.address()); err != nil {
		return got, err
	}
	if _, err := s.load(system, secure, s.rate, 3*time.Second); err != nil {
		return got, err
	}
	if got, err = s.load(system, secure, s.rate, s.length); err != nil || s.held == 0 {
		return got, err
	}
	// Held calls are weighed on a system that has no garbage of others, and collects its own.
	system.Stop()
	os.Setenv("GOGC", "50")
	defer os.Unsetenv("GOGC")
	if err := system.Start(secure, c.address()); err != nil {
		return got, err
	}
	err = s.weigh(system, secure, &got)
	return got, err
}

func (s settings) plan(system system, secure bool) plan {
	p := plan{domain: system.Realm(), user: party.CallerUser, password: party.CallerPassword, from: party.CallerNumber, hold: s.hold}
	if secure {
		var key [30]byte
		_, _ = rand.Read(key[:])
		p.crypto = "1 AES_CM_128_HMAC_SHA1_80 inline:" + base64.StdEncoding.EncodeToString(key[:])
	}
	return p
}

func connect(system system, secure bool, c *caller) (err error) {
	if secure {
		c.wire, err = party.OverTLS(party.CallerHost, system.Address(true), system.Realm(), c.take)
	} else {
		c.wire, err = party.OverUDP(party.CallerHost, system.Address(false), c.take)
	}
	return err
}

// load places calls at a rate for a while.
func (s settings) load(system system, secure bool, rate float64, length time.Duration) (got sample, err error) {
	p := s.plan(system, secure)
	p.rate, p.calls = rate, int(rate*length.Seconds())
	c := newCaller(p, net.ParseIP(party.CallerHost))
	if err := connect(system, secure, c); err != nil {
		return got, err
	}
	defer c.wire.Close()
	before, err := party.UsageOf(system.Processes())
	if err != nil {
		return got, err
	}
	stop := s.observe(system)
	c.place()
	stop()
	after, err := party.UsageOf(system.Processes())
	if err != nil {
		return got, err
	}
	if got.lost, err = system.Lost(); err != nil {
		return got, err
	}
	got.result, got.each = &c.result, (after.Processor-before.Processor)/time.Duration(p.calls)
	if c.result.completed == 0 {
		return got, fmt.Errorf("no call was completed: %v", c.result.failures)
	}
	return got, nil
}

// weigh holds calls and measures their memory.
func (s settings) weigh(system system, secure bool, got *sample) error {
	p := s.plan(system, secure)
	p.rate, p.calls, p.stay = min(s.rate, 400), s.held, true
	c := newCaller(p, net.ParseIP(party.CallerHost))
	if err := connect(system, secure, c); err != nil {
		return err
	}
	defer c.wire.Close()
	if _, err := s.load(system, secure, min(s.rate, 100), time.Second); err != nil {
		return err
	}
	before, err := party.UsageOf(system.Processes())
	if err != nil {
		return err
	}
	running, err := system.Goroutines()
	if err != nil {
		return err
	}
	c.place()
	for end := time.Now().Add(patience); c.held.Load() < int64(s.held) && time.Now().Before(end); {
		time.Sleep(10 * time.Millisecond)
	}
	held := c.held.Load()
	after, err := party.UsageOf(system.Processes())
	if got.goroutines = math.NaN(); running >= 0 && err == nil {
		var now int
		now, err = system.Goroutines()
		got.goroutines = float64(now-running) / float64(s.held)
	}
	got.memory = (after.Memory - before.Memory) / int64(s.held)
	c.release()
	if err == nil && held < int64(s.held) {
		err = errors.New("calls did not stay up")
	}
	return err
}
