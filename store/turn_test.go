package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"

	"carillon/store/storetest"
	"carillon/trunk"
)

// count adds one to a record, and creates another of its own beside it.
func count(name, own string) func(trunk.Tx) error {
	return func(tx trunk.Tx) error {
		q, ok, err := trunk.Get[*trunk.Quota](tx, quotaOf(name, 0).EntityKey())
		if err != nil {
			return err
		}
		n := 1
		if ok {
			n = q.Value + 1
		}
		tx.Put(quotaOf(name, n))
		tx.Create(quotaOf(own, n))
		return nil
	}
}

// heat makes updates take turns for a record, as if two of them had just contended for it.
func heat(t *testing.T, s *Store, name string) {
	t.Helper()
	own := ticket{turns: s.turns}
	if err := own.wait(t.Context(), s.entityKey(quotaOf(name, 0).EntityKey())); err != nil {
		t.Fatal(err)
	}
	own.release()
}

// busy blocks the batcher with a batch on its way, so that what comes next waits in the queue.
func busy(t *testing.T, s *Store) (*gate, *updates) {
	t.Helper()
	g := newGate(t, s)
	var u updates
	u.start(t.Context(), s, creates("on its way"))
	g.next(t)
	return g, &u
}

// openGate lets everything through from now on.
func openGate(g *gate) {
	go func() {
		for {
			select {
			case g.pass <- nil:
			case <-g.sent:
			case <-g.ended:
				return
			}
		}
	}()
}

// TestTurnsAreHandedOn: updates that all change the same record are committed together, each on top of the one before.
func TestTurnsAreHandedOn(t *testing.T) {
	s := start(t, Config{})
	heat(t, s, "n")
	g, first := busy(t, s)
	var all updates
	for i := range 20 {
		all.start(t.Context(), s, count("n", fmt.Sprint("own ", i)))
		queued(t, s, i+1)
	}
	g.pass <- nil
	if n := g.next(t); n != 1 {
		t.Errorf("the 20 went as %d units, want one", n)
	}
	g.pass <- nil
	if held, kinds := all.kinds(); held != 20 {
		t.Errorf("%d held, others %v", held, kinds)
	}
	first.kinds()
	if got := s.Stats(); got.Reruns != 0 || got.Batches != 2 || got.Turns != 20 {
		t.Errorf("counted %+v", got)
	}
	openGate(g)
	if n := quotaValue(t, s, "n"); n != 20 {
		t.Errorf("20 additions made %d", n)
	}
	for i := range 20 {
		if n := quotaValue(t, s, fmt.Sprint("own ", i)); n != i+1 {
			t.Errorf("update %d saw %d, want %d", i, n-1, i)
		}
	}
}

// TestATurnAcrossBatches: what is on its way is seen by who comes next, and committed after it.
func TestATurnAcrossBatches(t *testing.T) {
	s := start(t, Config{})
	heat(t, s, "n")
	g, _ := busy(t, s)
	var all updates
	all.start(t.Context(), s, count("n", "a"))
	queued(t, s, 1)
	g.pass <- nil
	g.next(t)
	all.start(t.Context(), s, count("n", "b"))
	queued(t, s, 1)
	all.start(t.Context(), s, func(tx trunk.Tx) error { tx.Delete(quotaOf("n", 0).EntityKey()); return nil })
	queued(t, s, 2)
	openGate(g)
	if held, kinds := all.kinds(); held != 3 {
		t.Errorf("%d held, others %v", held, kinds)
	}
	if b := quotaValue(t, s, "b"); b != 2 {
		t.Errorf("the second saw %d, want 1", b-1)
	}
	if got := s.Stats().Reruns; got != 0 {
		t.Errorf("%d reruns", got)
	}
}

// TestADeleteIsHandedOn: a record that is gone is seen as gone, in the same unit and in the next batch.
func TestADeleteIsHandedOn(t *testing.T) {
	for _, sameUnit := range []bool{true, false} {
		s := start(t, Config{})
		storetest.Put(t, s, quotaOf("n", 7))
		heat(t, s, "n")
		g, _ := busy(t, s)
		var all updates
		all.start(t.Context(), s, func(tx trunk.Tx) error {
			_, err := tx.Get(quotaOf("n", 0).EntityKey())
			tx.Delete(quotaOf("n", 0).EntityKey())
			return err
		})
		queued(t, s, 1)
		if !sameUnit {
			g.pass <- nil
			g.next(t)
		}
		all.start(t.Context(), s, count("n", "own"))
		queued(t, s, map[bool]int{true: 2, false: 1}[sameUnit])
		openGate(g)
		if held, kinds := all.kinds(); held != 2 {
			t.Errorf("%d held, others %v", held, kinds)
		}
		reruns := s.Stats().Reruns
		if n := quotaValue(t, s, "n"); n != 1 || reruns != 0 {
			t.Errorf("same unit %v: n is %d after %d reruns, want 1 after none", sameUnit, n, reruns)
		}
	}
}

// TestNothingUnwrittenIsTold: an error, and an answer without a write, rest only on what is on disk.
func TestNothingUnwrittenIsTold(t *testing.T) {
	full := errors.New("full")
	for name, fn := range map[string]func(tx trunk.Tx) error{
		"error": func(tx trunk.Tx) error {
			e, err := tx.Get(quotaOf("n", 0).EntityKey())
			if err == nil && e != nil {
				err = full
			}
			tx.Put(quotaOf("n", 5))
			return err
		},
		"read": func(tx trunk.Tx) error {
			e, err := tx.Get(quotaOf("n", 0).EntityKey())
			if err == nil && e != nil {
				err = full
			}
			return err
		},
		"create": func(tx trunk.Tx) error {
			_, err := tx.Get(quotaOf("n", 0).EntityKey())
			tx.Create(quotaOf("n", 5))
			return err
		},
	} {
		for _, written := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, written %v", name, written), func(t *testing.T) {
				s := start(t, Config{})
				heat(t, s, "n")
				g, _ := busy(t, s)
				var one, two updates
				one.start(t.Context(), s, count("n", "own"))
				queued(t, s, 1)
				g.pass <- nil
				g.next(t) // the count is on its way
				two.start(t.Context(), s, fn)
				for s.Stats().Reruns == 0 { // it has seen it, and runs again with what is written
					runtime.Gosched()
				}
				if written {
					g.pass <- nil
				} else {
					g.pass <- errors.New("the disk failed")
				}
				openGate(g)
				one.kinds()
				two.all.Wait()
				if err := two.errs[0]; (err == nil) == written {
					t.Errorf("the second was told %v", err)
				}
			})
		}
	}
}

// TestAnotherNodeOvertakesATurn: a write past the turns makes all of the unit fail, and all of them hold afterwards.
func TestAnotherNodeOvertakesATurn(t *testing.T) {
	s := start(t, Config{})
	heat(t, s, "n")
	g, _ := busy(t, s)
	var all updates
	for i := range 5 {
		all.start(t.Context(), s, count("n", fmt.Sprint("own ", i)))
		queued(t, s, i+1)
	}
	value, err := encode(quotaOf("n", 100), s.box)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.client.Put(t.Context(), s.entityKey(quotaOf("n", 0).EntityKey()), string(value)); err != nil {
		t.Fatal(err)
	}
	openGate(g)
	if held, kinds := all.kinds(); held != 5 {
		t.Errorf("%d held, others %v", held, kinds)
	}
	if n := quotaValue(t, s, "n"); n != 105 {
		t.Errorf("5 additions to 100 made %d", n)
	}
}

// TestALeaverInTheLine: who waits for a turn and leaves, or leaves with its transaction in the queue, holds up nobody.
func TestALeaverInTheLine(t *testing.T) {
	s := start(t, Config{})
	heat(t, s, "n")
	g, _ := busy(t, s)
	ctx, leave := context.WithCancel(t.Context())
	var leavers, others updates
	leavers.start(ctx, s, count("n", "left"))
	queued(t, s, 1)
	others.start(t.Context(), s, count("n", "stays"))
	queued(t, s, 2)
	leave()
	if held, kinds := leavers.kinds(); held != 0 || kinds[trunk.Unavailable] != 1 {
		t.Errorf("%d held, others %v", held, kinds)
	}
	openGate(g)
	if held, kinds := others.kinds(); held != 1 {
		t.Errorf("%d held, others %v", held, kinds)
	}
	if n := quotaValue(t, s, "n"); n != 1 {
		t.Errorf("n is %d, want 1", n)
	}

	holder := ticket{turns: s.turns}
	key := s.entityKey(quotaOf("n", 0).EntityKey())
	if err := holder.wait(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	ctx, leave = context.WithCancel(t.Context())
	second, third := ticket{turns: s.turns}, ticket{turns: s.turns}
	ended := make(chan error, 2)
	go func() { ended <- second.wait(ctx, key) }()
	inLine(t, s, key, 1)
	go func() { ended <- third.wait(t.Context(), key) }()
	inLine(t, s, key, 2)
	leave()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the leaver got %v", err)
	}
	holder.release()
	if err := <-ended; err != nil || !third.holds(key) || second.holds(key) {
		t.Errorf("the turn did not come to the next: %v", err)
	}
	third.release()
}

func inLine(t *testing.T, s *Store, key string, want int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		s.turns.mu.Lock()
		got := len(s.turns.hot[key].line)
		s.turns.mu.Unlock()
		if got == want {
			return
		}
	}
	t.Fatalf("the line is never %d long", want)
}

// TestTurnsAreForgotten: a record that nobody contends for any more is read like any other, and their number is bounded.
func TestTurnsAreForgotten(t *testing.T) {
	s := start(t, Config{})
	for i := range MaxTurns {
		heat(t, s, fmt.Sprint(i))
	}
	key := func(name string) string { return s.entityKey(quotaOf(name, 0).EntityKey()) }
	over := ticket{turns: s.turns}
	if err := over.wait(t.Context(), key("one more")); err != nil || over.holds(key("one more")) {
		t.Errorf("turns for more than MaxTurns records: %v, %v", over.keys, err)
	}
	if !s.turns.contended(key("0")) {
		t.Error("turns are not kept")
	}
	s.turns.mu.Lock()
	for _, turn := range s.turns.hot {
		turn.used = turn.used.Add(-turnKept - time.Second)
	}
	s.turns.mu.Unlock()
	if s.turns.contended(key("0")) {
		t.Error("turns are kept for ever")
	}
	heat(t, s, "one more")
	if n := len(s.turns.hot); n != 1 {
		t.Errorf("%d turns are kept, want 1", n)
	}
}
