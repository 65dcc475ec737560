package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
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
	veth, xdp     bool
	place         place
}

func main() {
	if main, done := disguised(os.Args); done {
		exit(main())
	}
	exit(start(os.Args[1:]))
}

// parse reads a command line.
func parse(args []string) (s settings) {
	s.place = loopback()
	flag := flag.NewFlagSet("media", flag.ExitOnError)
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
	flag.BoolVar(&s.veth, "veth", false, "the load and the systems in two network namespaces with a pair of veth between them; needs root")
	flag.BoolVar(&s.xdp, "xdp", false, "measure the node with media by AF_XDP, too; only with -veth")
	flag.BoolVar(&s.place.both, "both", false, "systems may use the load's processor, too: for more calls than one carries")
	_ = flag.Parse(args) // which ends the program at what it does not know
	return s
}

// start builds the node's program and measures here, or between two hosts.
func start(args []string) error {
	s := parse(args)
	if s.xdp && !s.veth {
		return errors.New("-xdp goes with -veth only: the loopback interface has no AF_XDP")
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if s.binary == "" && !s.setup {
		dir, err := os.MkdirTemp("", "carillon-build-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		s.binary = filepath.Join(dir, "carillon")
		if err := party.Build(s.binary); err != nil {
			return err
		}
		args = append([]string{"-carillon", s.binary}, args...)
	}
	if s.veth {
		return apart(ctx, args)
	}
	cancel() // signals end the program
	return run(s)
}

// disguised returns what else this program does where it is run by itself.
func disguised(args []string) (main func() error, done bool) {
	switch {
	case len(args) == 4 && args[1] == forwardFlag:
		return func() error { return forward(args[2], args[3], os.Stdin, os.Stdout) }, true
	case len(args) > 2 && args[1] == insideFlag:
		return func() error {
			s := parse(args[3:])
			both := s.place.both
			s.place = between(args[2])
			s.place.both = both
			return run(s)
		}, true
	case len(args) > 2 && args[1] == underFlag:
		return func() error { return runUnder(args[2:], systemProcessor) }, true
	case len(args) > 2 && args[1] == bothFlag:
		return func() error { return runUnder(args[2:], systemProcessor, loadProcessor) }, true
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
	if err := stay(); err != nil {
		return err
	}
	systems, err := s.systems()
	if err != nil {
		return err
	}
	fmt.Println("huge pages:", hugePages())
	for _, v := range list {
		switch {
		case s.soak > 0:
			err = s.endure(newNode(s.place, s.binary, s.xdp), v)
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

// systems are what is measured, in their order; the last one is what the others are compared with.
func (s settings) systems() ([]system, error) {
	list := []system{newNode(s.place, s.binary, false)}
	if s.xdp {
		list = append(list, newNode(s.place, s.binary, true))
	}
	bare, err := floors(s.place, s.floors)
	list = append(list, bare...)
	if s.peer {
		list = append(list, &rtpengine{place: s.place})
	}
	return list, err
}
