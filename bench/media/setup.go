package main

import (
	"fmt"
	"net/netip"
	"os"
	"time"

	"carillon/bench/party"
	"carillon/call"
	"carillon/egress"
	"carillon/media"
)

// sets is how many calls are set up and taken down for one figure.
const sets = 2000

// compareSetup measures what setting the media of a call up and taking them down costs: of Carillon's media plane in this
// process, and of rtpengine over its control protocol.
func (s settings) compareSetup() error {
	list, err := chosen(s.only)
	if err != nil {
		return err
	}
	for _, v := range list {
		fmt.Printf("%s, setting up and taking down\n", v.name)
		var ours, theirs []sample
		for range s.rounds {
			each, err := s.setPlane(v)
			if err != nil {
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
		fmt.Printf("  %-16s %6.0f us a call\n", "Carillon", party.Median(ours, of))
		if s.peer {
			fmt.Printf("  %-16s %6.0f us a call, ratio %.2f\n", "rtpengine", party.Median(theirs, of), party.Median(ours, of)/party.Median(theirs, of))
		}
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

// setPlane sets calls up in a plane of this process, the ends' work of reading and writing keys included. No packet flows, so
// the plane has an address of the loopback interface wherever the ends are.
func (s settings) setPlane(v variant) (time.Duration, error) {
	p, err := media.New(media.Config{
		IPs: []netip.Addr{netip.MustParseAddr(party.NodeHost)}, PortLo: 20000, PortHi: 59999,
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
	one := func(n int) error {
		caller, callee := policy(v.suites[0], s.place.Caller), policy(v.suites[1], s.place.Callee)
		session, refusal := p.Open(call.Open{ID: "bench", Offerer: call.Customer, Leg: caller})
		if refusal != nil {
			return fmt.Errorf("open: %v", refusal)
		}
		defer session.Close()
		at, key := l.end(n, 0)
		offer, refusal := session.Offer(call.Customer, []byte(key.describe(at, 1)), callee)
		if refusal != nil {
			return fmt.Errorf("offer: %v", refusal)
		}
		at, key = l.end(n, 1)
		_, tag, err := read(string(offer), key.suite)
		if err != nil {
			return err
		}
		if _, refusal = session.Answer(call.Carrier, []byte(key.describe(at, tag))); refusal != nil {
			return fmt.Errorf("answer: %v", refusal)
		}
		return nil
	}
	for n := range sets / 10 {
		if err := one(n); err != nil {
			return 0, err
		}
	}
	return usedFor([]int{os.Getpid()}, one)
}

// usedFor is the processor time that each of many calls takes.
func usedFor(pids []int, one func(n int) error) (time.Duration, error) {
	before, err := party.UsageOf(pids)
	if err != nil {
		return 0, err
	}
	for n := range sets {
		if err := one(n); err != nil {
			return 0, err
		}
	}
	after, err := party.UsageOf(pids)
	return (after.Processor - before.Processor) / sets, err
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
	return usedFor(r.processes(), one)
}
