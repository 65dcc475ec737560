package store

import (
	"context"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// leaseStep is how much longer than asked an expiring entity may live. All entities that expire within one step share
// a lease: a lease for each would double the cost of the write that makes it.
const leaseStep = time.Minute

// leases holds the lease of the step in use. Its zero value is ready.
type leases struct {
	mu      sync.Mutex
	id      clientv3.LeaseID
	expires time.Time
	pending chan struct{} // closed when the lease being asked for has come; nil when none is
}

// until returns a lease that ends at or up to two steps after the given time.
func (l *leases) until(ctx context.Context, s *Store, expires time.Time) (clientv3.LeaseID, error) {
	for {
		l.mu.Lock()
		if l.id != 0 && !l.expires.Before(expires) && l.expires.Sub(expires) <= 2*leaseStep {
			id := l.id
			l.mu.Unlock()
			return id, nil
		}
		if wait := l.pending; wait != nil {
			l.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return 0, ctx.Err()
			}
		}
		done := make(chan struct{})
		l.pending = done
		l.mu.Unlock()

		id, ends, err := grant(ctx, s, expires)
		l.mu.Lock()
		l.pending = nil
		if err == nil {
			l.id, l.expires = id, ends
		}
		l.mu.Unlock()
		close(done)
		return id, err
	}
}

func grant(ctx context.Context, s *Store, expires time.Time) (clientv3.LeaseID, time.Time, error) {
	ends := expires.Add(leaseStep)
	life := max(ends.Sub(s.config.Clock.Now()), leaseStep)
	answer, err := s.client.Grant(ctx, int64(life/time.Second)+1)
	if err != nil {
		return 0, time.Time{}, err
	}
	return answer.ID, ends, nil
}

// forget drops a lease the store no longer knows.
func (l *leases) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.id = 0
}
