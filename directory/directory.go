// Package directory keeps an immutable index of one store revision in memory and follows the store.
//
// Everything that answers quickly - a SIP message, a DNS question, a read of the API - asks a Snapshot and nothing
// else. A change builds the next snapshot, which shares all but the changed paths with the one before, and swaps
// one pointer: readers never wait, never see half a transaction, and a change costs the same with ten connectors
// and with a million.
//
// Entities in a snapshot are shared by all its readers. They must never be changed: clone first.
package directory

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"carillon/clock"
	"carillon/trunk"
)

// Source is what a directory follows.
type Source interface {
	// Follow calls apply first with the complete state, in parts, then with each change in order of revisions, until
	// ctx ends or apply gives an error. It never calls apply twice at a time. Trouble with the store is its own to
	// mend: it tries again for as long as ctx lives.
	Follow(ctx context.Context, apply func(trunk.Change) error) error
}

// Config is what a Directory needs.
type Config struct {
	// Logger is told about complete lists; nil is silent.
	Logger *slog.Logger
	// Clock stamps Confirmed; nil is the system's.
	Clock clock.Clock
}

// Directory holds the latest snapshot.
type Directory struct {
	logger    *slog.Logger
	clock     clock.Clock
	current   atomic.Pointer[Snapshot]
	confirmed atomic.Int64 // Unix nanoseconds; 0 before the first complete state
	following atomic.Bool
	next      *builder // parts of a complete state that is still arriving; only Follow touches it

	mu      sync.Mutex
	waiters waiters
}

// New returns a directory whose snapshot is empty and of revision 0.
func New(c Config) *Directory {
	d := &Directory{logger: c.Logger, clock: c.Clock}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if d.clock == nil {
		d.clock = clock.System()
	}
	d.current.Store(emptySnapshot())
	return d
}

// Snapshot returns the latest snapshot; never nil. A caller that asks twice about one call or one request must keep
// the snapshot it got: the next one may differ.
func (d *Directory) Snapshot() *Snapshot { return d.current.Load() }

// Confirmed returns when the source last said what its revision is; the zero time before the first complete state.
// A node that shares a store with others judges by it whether it still knows the truth.
func (d *Directory) Confirmed() time.Time {
	ns := d.confirmed.Load()
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}

// Follow keeps the directory at the source's state until ctx ends; it then returns ctx's error. Only one Follow may
// run at a time.
func (d *Directory) Follow(ctx context.Context, source Source) error {
	if !d.following.CompareAndSwap(false, true) {
		return errors.New("follow the store: this directory follows already")
	}
	defer d.following.Store(false)
	d.next = nil
	if err := source.Follow(ctx, d.apply); err != nil {
		return fmt.Errorf("follow the store: %w", err)
	}
	return nil
}

func (d *Directory) apply(c trunk.Change) error {
	b := d.next
	switch {
	case c.Reset:
		b = newBuilder(emptySnapshot())
	case b == nil && c.Revision < d.Snapshot().revision:
		return nil // a progress note that was overtaken
	case b == nil:
		b = newBuilder(d.Snapshot())
	}
	for _, key := range c.Deleted {
		b.remove(key)
	}
	for _, e := range c.Put {
		b.put(e)
	}
	if c.Partial {
		d.next = b
		return nil
	}
	complete := d.next != nil || c.Reset
	d.next = nil
	s := b.build(c.Revision)
	d.publish(s)
	if complete {
		d.logger.Info("directory complete", "revision", s.revision, "connectors", s.connectors.count, "numbers", s.numbers.Len())
	}
	return nil
}

// publish swaps the pointer before it looks for waiters; Await looks at the pointer after it has the lock. So a
// waiter either sees the snapshot or is seen.
func (d *Directory) publish(s *Snapshot) {
	d.current.Store(s)
	d.confirmed.Store(d.clock.Now().UnixNano())
	d.mu.Lock()
	defer d.mu.Unlock()
	d.waiters.release(s.revision)
}

// Await returns once Snapshot is at revision or later. A writer calls it with the revision of its commit, so that
// its client can at once use what it wrote. Await(ctx, 1) returns after the first complete state.
// When ctx ends first the error is of kind Unavailable and wraps ctx's; what was written stays written.
func (d *Directory) Await(ctx context.Context, revision int64) error {
	if d.Snapshot().revision >= revision {
		return nil
	}
	d.mu.Lock()
	if d.Snapshot().revision >= revision {
		d.mu.Unlock()
		return nil
	}
	w := d.waiters.add(revision)
	d.mu.Unlock()
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
	}
	d.mu.Lock()
	d.waiters.drop(w)
	d.mu.Unlock()
	refusal := trunk.Errorf(trunk.Unavailable, "revision %d is stored but not yet in force on this node, which is at %d", revision, d.Snapshot().revision)
	return fmt.Errorf("await revision: %w (%w)", refusal, context.Cause(ctx))
}

// Waiting returns how many calls of Await wait now.
func (d *Directory) Waiting() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.waiters)
}
