package server

import (
	"context"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/config"
	"carillon/directory"
	"carillon/trunk"
)

// confirming is a source that confirms one revision and then falls silent.
type confirming struct{}

func (confirming) Follow(ctx context.Context, apply func(trunk.Change) error) error {
	if err := apply(trunk.Change{Revision: 1, Reset: true}); err != nil {
		return err
	}
	<-ctx.Done()
	return ctx.Err()
}

// TestStale: a node whose external store is out of reach says so after --store-stale, one with an embedded store never.
func TestStale(t *testing.T) {
	clock := clocktest.New()
	d := directory.New(directory.Config{Clock: clock})
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Follow(ctx, confirming{}) }()
	t.Cleanup(func() { stop(); <-done })
	if err := d.Await(ctx, 1); err != nil {
		t.Fatal(err)
	}
	n := &Node{clock: clock, directory: d, config: config.Config{StoreStale: 30 * time.Second}}
	external := &Node{clock: clock, directory: d, config: n.config}
	external.config.Store.Endpoints = []string{"http://192.0.2.1:2379"}
	for _, step := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {30 * time.Second, false}, {time.Second, true}} {
		clock.Advance(step.after)
		if got := external.stale(); got != step.want {
			t.Errorf("external store, %v on: stale %v, want %v", step.after, got, step.want)
		}
		if n.stale() {
			t.Errorf("embedded store, %v on: stale", step.after)
		}
	}
}
