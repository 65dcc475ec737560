package sbc

import (
	"context"
	"time"

	"carillon/sip/resolve"
	"carillon/sip/transport"
)

// connectDelay is how long the connecting to one address of a host goes on alone before the next one is tried beside it
// (RFC 8305 section 5): a family or a machine that swallows packets costs a call this and no timeout.
const connectDelay = 250 * time.Millisecond

// raced is how the connecting to one address ended.
type raced struct {
	index int
	flow  transport.Flow
	err   error
}

// race connects to addresses of one host, each begun connectDelay after the one before or as soon as that has failed,
// and returns the first flow, its index and those that had failed by then. Attempts still under way are given up.
func (s *Server) race(ctx context.Context, targets []transport.Target) (won raced, failed []int) {
	if len(targets) == 1 {
		f, err := s.dial(ctx, targets[0])
		return raced{flow: f, err: err}, nil
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	results := make(chan raced, len(targets)) // so that nobody who lost waits for ever
	started, due := 0, make(chan struct{}, 1)
	begin := func() {
		i := started
		started++
		go func() {
			f, err := s.dial(ctx, targets[i])
			results <- raced{i, f, err}
		}()
	}
	begin()
	for {
		timer := s.clock.AfterFunc(connectDelay, func() {
			select {
			case due <- struct{}{}:
			default:
			}
		})
		select {
		case r := <-results:
			timer.Stop()
			if r.err == nil {
				return r, failed
			}
			failed = append(failed, r.index)
			won.err = r.err
			if len(failed) == len(targets) {
				return won, failed
			}
			if started < len(targets) {
				begin()
			}
		case <-due:
			if started < len(targets) {
				begin()
			}
		}
	}
}

// sameHost returns how many targets at the front are addresses of one host and may be raced. What follows is another
// server, whose turn comes when this one has failed (RFC 3263 section 4.3). Over UDP there is nothing to race: whether
// somebody is there shows only when the request is answered.
func sameHost(targets []resolve.Target) int {
	first := targets[0]
	if first.Proto == resolve.UDP {
		return 1
	}
	n := 1
	for n < len(targets) && targets[n].Name == first.Name && targets[n].Proto == first.Proto && targets[n].Addr.Port() == first.Addr.Port() {
		n++
	}
	return n
}
