package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"testing"
	"time"

	"carillon/trunk"
)

// patience bounds each wait of the suite for something that must happen.
const patience = 20 * time.Second

// follower applies changes to a map, as the directory does.
type follower struct {
	state    map[trunk.EntityKey]trunk.Entity
	revision int64
	problem  error
	at       chan view
}

func (f *follower) apply(c trunk.Change) error {
	if c.Reset {
		f.state = map[trunk.EntityKey]trunk.Entity{}
	} else if f.state == nil {
		f.problem = errors.New("a change came before the complete state")
	}
	if c.Revision < f.revision {
		f.problem = fmt.Errorf("revision %d came after %d", c.Revision, f.revision)
	}
	f.revision = c.Revision
	for _, k := range c.Deleted {
		delete(f.state, k)
	}
	for _, e := range c.Put {
		f.state[e.EntityKey()] = e
	}
	if f.problem == nil && !c.Partial {
		f.at <- view{c.Revision, maps.Clone(f.state)}
	}
	return f.problem
}

// view is a complete state at a revision.
type view struct {
	revision int64
	state    map[trunk.EntityKey]trunk.Entity
}

// startFollowing returns a function that waits for a revision and returns the state there.
func startFollowing(t *testing.T, s Store) func(revision int64) map[trunk.EntityKey]trunk.Entity {
	t.Helper()
	f := &follower{at: make(chan view)}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Follow(ctx, f.apply) }()
	t.Cleanup(func() {
		cancel()
		for {
			select {
			case <-f.at:
			case <-ended:
				return
			case <-time.After(patience):
				t.Error("Follow does not end with its context")
				return
			}
		}
	})
	return func(revision int64) map[trunk.EntityKey]trunk.Entity {
		t.Helper()
		last := int64(0)
		for {
			select {
			case at := <-f.at:
				if last = at.revision; last >= revision {
					return at.state
				}
			case err := <-ended:
				t.Fatalf("Follow ended: %v", err)
			case <-time.After(patience):
				t.Fatalf("revision %d never came, the last is %d", revision, last)
			}
		}
	}
}

func follow(t *testing.T, s Store) {
	Put(t, s, quota("before", 1), quota("gone", 1))
	first, err := s.Update(t.Context(), func(tx trunk.Tx) error { tx.Delete(quota("gone", 0).EntityKey()); return nil })
	if err != nil {
		t.Fatal(err)
	}
	await := startFollowing(t, s)
	expect(t, await(first), quota("before", 1))

	revision := Put(t, s, quota("a", 1), quota("b", 1))
	expect(t, await(revision), quota("before", 1), quota("a", 1), quota("b", 1))

	for i := range 20 {
		revision = Put(t, s, quota("a", i))
	}
	expect(t, await(revision), quota("before", 1), quota("a", 19), quota("b", 1))

	revision, err = s.Update(t.Context(), func(tx trunk.Tx) error {
		tx.Delete(quota("a", 0).EntityKey())
		tx.Put(quota("c", 1))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, await(revision), quota("before", 1), quota("b", 1), quota("c", 1))
}

func followMany(t *testing.T, s Store) {
	const total = 2500
	var revision int64
	var want []trunk.Entity
	for i := 0; i < total; i += 500 {
		var batch []trunk.Entity
		for j := range 500 {
			batch = append(batch, quota(fmt.Sprintf("q%04d", i+j), i+j))
		}
		revision = Put(t, s, batch...)
		want = append(want, batch...)
	}
	expect(t, startFollowing(t, s)(revision), want...)
}

func followRefused(t *testing.T, s Store) {
	Put(t, s, quota("a", 1))
	sentinel := errors.New("no")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := s.Follow(ctx, func(trunk.Change) error { return sentinel }); !errors.Is(err, sentinel) {
		t.Errorf("Follow ended with %v, want apply's error", err)
	}
}

func expect(t *testing.T, got map[trunk.EntityKey]trunk.Entity, want ...trunk.Entity) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d entities, want %d", len(got), len(want))
	}
	for _, e := range want {
		if !reflect.DeepEqual(got[e.EntityKey()], e) {
			t.Errorf("%v is %+v, want %+v", e.EntityKey(), got[e.EntityKey()], e)
		}
	}
}
