package api

import "sync"

// shares bounds how many of the requests that are worked on are one party's. Its map has no more elements than requests
// are worked on.
type shares struct {
	most int

	mu    sync.Mutex
	taken map[party]int
}

// enter takes a place of p's share, reporting false when it has none left.
func (s *shares) enter(p party) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[p] >= s.most {
		return false
	}
	s.taken[p]++
	return true
}

func (s *shares) leave(p party) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.taken[p]--; s.taken[p] == 0 {
		delete(s.taken, p)
	}
}

// enterShare counts the request among those of its account: one whose requests take long must not take the places of
// all. It comes after the signature, so that strangers take nobody's share.
func (r *request) enterShare() error {
	if r.shared = r.server.shares.enter(r.party()); !r.shared {
		r.server.metrics.overload.Inc()
		return errOverload
	}
	return nil
}

func (r *request) leaveShare() {
	if r.shared {
		r.server.shares.leave(r.party())
	}
}
