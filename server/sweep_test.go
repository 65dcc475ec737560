package server

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"
	"time"

	"carillon/clock"
	"carillon/clock/clocktest"
	"carillon/directory"
	"carillon/store/storetest"
	"carillon/trunk"
)

// signalling is a clock that tells when a timer was set.
type signalling struct {
	*clocktest.Fake
	set chan struct{}
}

func (c signalling) AfterFunc(d time.Duration, f func()) clock.Timer {
	defer func() { c.set <- struct{}{} }()
	return c.Fake.AfterFunc(d, f)
}

// TestSweep: numbers go back to the pool at the end of their week, without a trace of their account, and no earlier.
func TestSweep(t *testing.T) {
	store := new(storetest.Memory)
	fake := signalling{clocktest.New(), make(chan struct{})}
	d := directory.New(directory.Config{Clock: fake.Fake})
	ctx, stop := context.WithCancel(t.Context())
	following := make(chan struct{})
	go func() { defer close(following); _ = d.Follow(ctx, store) }()
	t.Cleanup(func() { stop(); <-following })
	put := func(numbers ...*trunk.PhoneNumber) {
		t.Helper()
		revision, err := store.Update(ctx, func(tx trunk.Tx) error {
			for _, n := range numbers {
				tx.Put(n)
			}
			return nil
		})
		if err == nil {
			err = d.Await(ctx, revision)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const account = "111122223333"
	now := fake.Now()
	var first []*trunk.PhoneNumber
	for i := range maxSweep + 1 {
		first = append(first, &trunk.PhoneNumber{
			E164: trunk.Number(fmt.Sprintf("+1206555%04d", i)), Account: account, Name: "secret", Deleted: now, Created: now,
		})
	}
	put(first...)
	put(&trunk.PhoneNumber{E164: "+12075550100", Account: account, Deleted: now.Add(time.Minute)},
		&trunk.PhoneNumber{E164: "+12075550101", Account: account})
	s := &sweeper{store: store, view: d.Snapshot, clock: fake, log: slog.New(slog.DiscardHandler)}
	running := make(chan struct{})
	go func() { defer close(running); s.run(ctx) }()
	state := func() (pool, held int) {
		if err := d.Await(ctx, store.Revision()); err != nil {
			t.Fatal(err)
		}
		for n := range d.Snapshot().NumbersOf("", "") {
			if !reflect.DeepEqual(n, n.Release(n.Updated)) {
				t.Errorf("something of the account is left: %+v", n)
			}
			pool++
		}
		for range d.Snapshot().NumbersOf(account, "") {
			held++
		}
		return pool, held
	}
	for _, step := range []struct {
		after      time.Duration
		pool, held int
	}{
		{0, 0, len(first) + 2},
		{trunk.DeletionQueue - sweepEvery, 0, len(first) + 2},
		{sweepEvery, len(first), 2},
		{sweepEvery, len(first) + 1, 1},
		{sweepEvery, len(first) + 1, 1},
	} {
		// One sweep after another: each ends where the next timer is set.
		for range step.after / sweepEvery {
			fake.Advance(sweepEvery)
			<-fake.set
		}
		if step.after == 0 {
			<-fake.set
		}
		if pool, held := state(); pool != step.pool || held != step.held {
			t.Errorf("%v on: %d in the pool, %d held, want %d and %d", step.after, pool, held, step.pool, step.held)
		}
	}
	if got := s.swept.Load(); got != uint64(len(first)+1) {
		t.Errorf("%d numbers were counted", got)
	}
	stop()
	<-running
}

// TestSweepLeavesWhatOthersTook: a number that was ordered or restored since the snapshot stays with who has it now.
func TestSweepLeavesWhatOthersTook(t *testing.T) {
	store := new(storetest.Memory)
	fake := clocktest.New()
	d := directory.New(directory.Config{Clock: fake})
	ctx, stop := context.WithCancel(t.Context())
	following := make(chan struct{})
	go func() { defer close(following); _ = d.Follow(ctx, store) }()
	t.Cleanup(func() { stop(); <-following })
	const e164 = trunk.Number("+12065550100")
	put := func(n *trunk.PhoneNumber) {
		t.Helper()
		if _, err := store.Update(ctx, func(tx trunk.Tx) error { tx.Put(n); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	put(&trunk.PhoneNumber{E164: e164, Account: "111122223333", Deleted: fake.Now()})
	if err := d.Await(ctx, store.Revision()); err != nil {
		t.Fatal(err)
	}
	stale := d.Snapshot()
	put(&trunk.PhoneNumber{E164: e164, Account: "444455556666"})
	fake.Advance(trunk.DeletionQueue)
	s := &sweeper{store: store, view: func() *directory.Snapshot { return stale }, clock: fake}
	before := store.Revision()
	if err := s.sweep(ctx); err != nil {
		t.Fatal(err)
	}
	if store.Revision() != before || s.swept.Load() != 0 {
		t.Errorf("revision %d after %d, %d counted", store.Revision(), before, s.swept.Load())
	}
}
