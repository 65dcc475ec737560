package server

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"carillon/clock"
	"carillon/directory"
	"carillon/trunk"
)

// sweepEvery is how often numbers that have lapsed in the deletion queue are put back into the pool. Everybody treats
// them as nobody's before that; only a search finds them after it.
const sweepEvery = time.Minute

// maxSweep bounds the numbers of one transaction of a sweep.
const maxSweep = 100

// sweeper puts numbers back into the pool at the end of their time in the deletion queue. Every node has one: what
// another one has swept is left alone.
type sweeper struct {
	store trunk.Store
	view  func() *directory.Snapshot
	clock clock.Clock
	log   *slog.Logger
	// swept counts the numbers that this node put back.
	swept atomic.Uint64
}

// run sweeps until ctx ends.
func (s *sweeper) run(ctx context.Context) {
	for {
		if err := s.sweep(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.log.Warn("sweep deletion queue", "error", err)
		}
		pause := make(chan struct{})
		timer := s.clock.AfterFunc(sweepEvery, func() { close(pause) })
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-pause:
		}
	}
}

func (s *sweeper) sweep(ctx context.Context) error {
	now := s.clock.Now().UTC().Truncate(time.Millisecond)
	var lapsed []trunk.EntityKey
	for n := range s.view().DeletedNumbers() {
		if n.Lapsed(now) {
			lapsed = append(lapsed, n.EntityKey())
		}
	}
	for batch := range slices.Chunk(lapsed, maxSweep) {
		released := 0
		_, err := s.store.Update(ctx, func(tx trunk.Tx) error {
			released = 0
			for _, key := range batch {
				n, found, err := trunk.Get[*trunk.PhoneNumber](tx, key)
				if err != nil {
					return err
				}
				if found && n.Lapsed(now) { // nobody ordered it, and no other node swept it
					tx.Put(n.Release(now))
					released++
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		s.swept.Add(uint64(released))
	}
	return nil
}
