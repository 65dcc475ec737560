package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"carillon/bench/party"
	"carillon/call"
	"carillon/egress"
	"carillon/headroom"
	"carillon/media"
)

// sets is how many calls are set up and taken down for one figure, and how many ends are described.
const sets = 2000

// stage is when in the life of a plane calls are measured.
type stage struct {
	rest   time.Duration // of ports
	before int           // calls that come before
	count  int           // calls that are measured
}

// begun is a plane that has just started: every call opens its ports.
func begun() stage { return stage{rest: media.DefaultDrainTime, before: sets / 10, count: sets} }

// steady is a plane that has been up for longer than its ports rest: where a call takes 50 us, as many rest as of 400 calls a second
// with the default of 5 s. Garbage, of which a call makes 18 KB, was collected before, so that memory is used again, too.
func steady() stage { return stage{rest: 100 * time.Millisecond, before: 20000, count: 10000} }

// compareSetup measures what setting the media of a call up and taking them down costs: of Carillon's media plane in this
// process, and of rtpengine over its control protocol.
func (s settings) compareSetup() error {
	list, err := chosen(s.only)
	if err != nil {
		return err
	}
	for _, v := range list {
		fmt.Printf("%s, setting up and taking down\n", v.name)
		var first, ours, theirs []sample
		for range s.rounds {
			each, err := s.setPlane(v, begun())
			if err != nil {
				return err
			}
			first = append(first, sample{each: each})
			if each, err = s.setPlane(v, steady()); err != nil {
				return err
			}
			ours = append(ours, sample{each: each})
			if !s.peer {
				continue
			}
			if each, err = s.setPeer(v); err != nil {
				return err
			}
			theirs = append(theirs, sample{each: each})
		}
		of := func(a sample) float64 { return party.Micros(a.each) }
		fmt.Printf("  %-44s %6.0f us a call\n", "Carillon, the first calls, on new ports", party.Median(first, of))
		fmt.Printf("  %-44s %6.0f us a call", "Carillon, from then on, on ports that rested", party.Median(ours, of))
		if s.peer {
			fmt.Printf(", ratio %.2f\n  %-44s %6.0f us a call", party.Median(ours, of)/party.Median(theirs, of), "rtpengine", party.Median(theirs, of))
		}
		fmt.Println()
	}
	return nil
}

func policy(suite string, host string) call.Leg {
	leg := call.Leg{Signalling: netip.MustParseAddr(host), SRTP: call.SRTPOff}
	if suite != "" {
		leg.SRTP = call.SRTPRequire
	}
	leg.SecureSignalling = true
	return leg
}

// setPlane sets calls up in a plane of this process, whose memory is kept as a node keeps it. What the ends describe is written
// before. No packet flows, so the plane has an address of the loopback interface wherever the ends are.
func (s settings) setPlane(v variant, at stage) (time.Duration, error) {
	keeper := headroom.Keep(headroom.Default(headroom.Memory(os.DirFS("/"))))
	defer keeper.End()
	p, err := media.New(media.Config{
		IPs: []netip.Addr{netip.MustParseAddr(party.NodeHost)}, PortLo: 20000, PortHi: 59999, DrainTime: at.rest,
		Egress: egress.Policy{AllowLoopback: true, AllowPrivate: true},
	})
	if err != nil {
		return 0, err
	}
	defer p.Close()
	l, err := newLoad(v, s.place)
	defer l.close()
	if err != nil {
		return 0, err
	}
	caller, callee := policy(v.suites[0], s.place.Caller), policy(v.suites[1], s.place.Callee)
	var described [2][sets][]byte
	for n := range sets {
		for side := range described {
			end, key := l.end(n, side)
			described[side][n] = []byte(key.describe(end, 1))
		}
	}
	tagged := false
	one := func(n int) error {
		session, refusal := p.Open(call.Open{ID: "bench", Offerer: call.Customer, Leg: caller})
		if refusal != nil {
			return fmt.Errorf("open: %v", refusal)
		}
		defer session.Close()
		offer, refusal := session.Offer(call.Customer, described[0][n%sets], callee)
		if refusal != nil {
			return fmt.Errorf("offer: %v", refusal)
		}
		if !tagged { // a suite has the same tag in every offer
			_, tag, err := read(string(offer), v.suites[1])
			if err != nil {
				return err
			}
			for i := range sets {
				end, key := l.end(i, 1)
				described[1][i] = []byte(key.describe(end, tag))
			}
			tagged = true
		}
		if _, refusal = session.Answer(call.Carrier, described[1][n%sets]); refusal != nil {
			return fmt.Errorf("answer: %v", refusal)
		}
		return nil
	}
	for n := range at.before {
		if err := one(n); err != nil {
			return 0, err
		}
	}
	return usedFor([]int{os.Getpid()}, at.count, one)
}

// usedFor is the processor time that each of many calls takes.
func usedFor(pids []int, count int, one func(n int) error) (time.Duration, error) {
	before, err := party.ProcessorOf(pids)
	if err != nil {
		return 0, err
	}
	for n := range count {
		if err := one(n); err != nil {
			return 0, err
		}
	}
	after, err := party.ProcessorOf(pids)
	return (after - before) / time.Duration(count), err
}

func (s settings) setPeer(v variant) (time.Duration, error) {
	r := &rtpengine{place: s.place}
	defer r.stop()
	if err := r.start(v); err != nil {
		return 0, err
	}
	l, err := newLoad(v, s.place)
	defer l.close()
	if err != nil {
		return 0, err
	}
	one := func(n int) error {
		if _, err := r.call(l, n); err != nil {
			return err
		}
		return r.hangUp(n)
	}
	return usedFor(r.processes(), sets, one)
}
