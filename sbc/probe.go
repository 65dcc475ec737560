package sbc

import (
	"context"
	"time"

	"carillon/routing"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// Bounds of probing.
const (
	// probeTick is how often the carriers are looked through for targets that are due.
	probeTick = 500 * time.Millisecond
	// maxProbes is the most probes under way; further ones wait for the next tick.
	maxProbes = 100
)

// probes are the OPTIONS sent to carriers' targets.
type probes struct {
	due     map[string]time.Time // by target
	silent  map[string]bool      // targets that left the last one unanswered
	results chan probeResult
	flying  int
}

type probeResult struct {
	target string
	alive  bool
	every  time.Duration
}

// Probe sends OPTIONS to the targets of carriers that ask for it, until ctx ends. A target that does not answer is tried
// last by calls until it does.
func (s *Server) Probe(ctx context.Context) {
	p := probes{due: make(map[string]time.Time), silent: make(map[string]bool), results: make(chan probeResult, maxProbes)}
	for {
		tick := make(chan struct{})
		timer := s.clock.AfterFunc(probeTick, func() { close(tick) })
		for waiting := true; waiting; {
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case r := <-p.results:
				p.flying--
				s.noteProbe(&p, r)
			case <-tick:
				waiting = false
			}
		}
		s.probeDue(ctx, &p)
	}
}

// probeDue starts the probes that are due and forgets targets that are gone.
func (s *Server) probeDue(ctx context.Context, p *probes) {
	now := s.clock.Now()
	due := make(map[string]time.Time, len(p.due))
	for _, carrier := range s.cfg.Directory.Snapshot().Carriers() {
		if carrier.Probe <= 0 {
			continue
		}
		for _, t := range carrier.Targets {
			name := t.String()
			next := p.due[name]
			if !now.Before(next) && p.flying < maxProbes {
				next = now.Add(carrier.Probe)
				p.flying++
				go func() {
					p.results <- probeResult{target: name, alive: s.probe(ctx, t), every: carrier.Probe}
				}()
			}
			due[name] = next
		}
	}
	p.due = due
	for name := range p.silent {
		if _, still := due[name]; !still {
			delete(p.silent, name)
		}
	}
}

// noteProbe takes a result down. The log has changes alone: a carrier that is down for a night is one line.
func (s *Server) noteProbe(p *probes, r probeResult) {
	s.stats.Probes.Add(1)
	_, asked := p.due[r.target] // else its carrier is gone meanwhile
	switch {
	case r.alive && p.silent[r.target]:
		delete(p.silent, r.target)
		s.log.Info("carrier's target answers OPTIONS again", "target", r.target)
	case !r.alive && asked && !p.silent[r.target]:
		p.silent[r.target] = true
		s.log.Warn("carrier's target does not answer OPTIONS: calls try it last", "target", r.target)
	}
	if r.alive {
		s.failures.forget(r.target)
		return
	}
	s.stats.ProbeFails.Add(1)
	// Until after the next probe, so that a target that stays silent is never tried first in between.
	s.failures.add(r.target, s.clock.Now(), 2*r.every+s.limits.TargetSilent)
}

// probe reports whether any address of a target answers OPTIONS: a call would find that one, too.
func (s *Server) probe(ctx context.Context, t trunk.Target) bool {
	target := routing.Target{Host: t.Host, Port: t.Port, Transport: t.Transport}
	var left []resolve.Target
	for {
		found, err := s.reach(ctx, target, left)
		if err != nil {
			return false
		}
		if s.askOptions(ctx, t, found.flow) {
			s.dead.forget(pathName(found.flow.Proto().String(), found.flow.Remote()))
			return true
		}
		s.noteDead(found.flow.Proto().String(), found.flow.Remote())
		if left = found.addresses; len(left) == 0 {
			return false
		}
	}
}

// askOptions sends OPTIONS on a flow. Any answer but 408 and 503 is a sign of life: many carriers refuse OPTIONS and
// take calls.
func (s *Server) askOptions(ctx context.Context, t trunk.Target, f transport.Flow) bool {
	answer := make(chan int, 1)
	branch := s.layer.NewBranch()
	b := sip.NewBuilder(make([]byte, 0, 1024))
	uri := t.String()
	b.Request("OPTIONS", []byte(uri))
	b.Header("Via", s.via(f, branch))
	b.HeaderUint("Max-Forwards", hops)
	b.Header("From", "<sip:"+s.cfg.Domain+">;tag="+s.random.token(8))
	b.Header("To", "<"+uri+">")
	b.Header("Call-ID", s.random.token(16))
	b.Header("CSeq", "1 OPTIONS")
	b.Header("Contact", "<"+s.ownURI(f, false)+">")
	b.Header("User-Agent", userAgent)
	b.Body("", nil)
	_, err := s.layer.Start(transaction.Outgoing{
		Flow: f, Bytes: b.Bytes(), Method: sip.Options, Branch: branch,
		Timers: &transaction.Timers{F: s.limits.TargetSilent},
		OnEvent: func(e transaction.Event) {
			status := 0
			if e.Kind == transaction.Response {
				if status = e.Message.Status(); status < 200 {
					return
				}
			}
			select {
			case answer <- status:
			default:
			}
		},
	})
	if err != nil {
		return false
	}
	select {
	case status := <-answer:
		if status == 0 {
			f.Retire()
		}
		return status != 0 && status != 408 && status != 503
	case <-ctx.Done():
		return false
	}
}
