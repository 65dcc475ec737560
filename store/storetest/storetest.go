// Package storetest holds what every store must do, as one suite, and the simplest store that does it.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/audit"
	"carillon/trunk"
)

// Store is what the suite tests.
type Store interface {
	trunk.Store
	// Follow is directory.Source's.
	Follow(ctx context.Context, apply func(trunk.Change) error) error
	// Audit and TrimAudit read the audit log and end its oldest entries.
	Audit(ctx context.Context, f audit.Filter, limit int, after string) (entries []*audit.Entry, next string, err error)
	TrimAudit(ctx context.Context, now time.Time, r audit.Retention) (audit.Dropped, error)
}

// Run runs the suite. open returns an empty store that lives as long as the test it is given.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Store)
	}{
		{"entities come back as they were put", roundTrip},
		{"create refuses what exists", createConflict},
		{"what shall be absent", absent},
		{"an error writes nothing", errorWritesNothing},
		{"a transaction sees its own writes", ownWrites},
		{"delete", deletes},
		{"revisions", revisions},
		{"a run reads one revision", oneRevision},
		{"no update is lost", noLostUpdate},
		{"no write skew", noWriteSkew},
		{"no write skew among many", noWriteSkewAmongMany},
		{"many at once hold or fail alone", holdOrFailAlone},
		{"many count at once", countAtOnce},
		{"an ended context is unavailable", endedContext},
		{"a type without a stored form is refused", foreignType},
		{"follow", follow},
		{"follow lists many", followMany},
		{"follow ends with apply's error", followRefused},
		{"the audit log has pages", auditPages},
		{"the audit log stands beside the entities", auditBesides},
		{"the audit log is trimmed", auditTrim},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Put writes entities in one transaction and returns its revision.
func Put(t testing.TB, s trunk.Store, entities ...trunk.Entity) int64 {
	t.Helper()
	revision, err := s.Update(context.Background(), func(tx trunk.Tx) error {
		for _, e := range entities {
			tx.Put(e)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	return revision
}

// Get reads an entity; nil when there is none.
func Get(t testing.TB, s trunk.Store, key trunk.EntityKey) trunk.Entity {
	t.Helper()
	var e trunk.Entity
	if _, err := s.Update(context.Background(), func(tx trunk.Tx) (err error) {
		e, err = tx.Get(key)
		return err
	}); err != nil {
		t.Fatalf("get %v: %v", key, err)
	}
	return e
}

func create(s trunk.Store, entities ...trunk.Entity) (int64, error) {
	return s.Update(context.Background(), func(tx trunk.Tx) error {
		for _, e := range entities {
			tx.Create(e)
		}
		return nil
	})
}

func roundTrip(t *testing.T, s Store) {
	samples := Samples()
	for _, e := range samples {
		if _, err := create(s, e); err != nil {
			t.Fatalf("create %v: %v", e.EntityKey(), err)
		}
	}
	for _, want := range samples {
		if got := Get(t, s, want.EntityKey()); !reflect.DeepEqual(got, want) {
			t.Errorf("%v came back as\n%+v, want\n%+v", want.EntityKey(), got, want)
		}
	}
}

func createConflict(t *testing.T, s Store) {
	Put(t, s, quota("a", 1))
	for name, fn := range map[string]func(tx trunk.Tx) error{
		"blind": func(tx trunk.Tx) error { tx.Create(quota("a", 2)); tx.Put(quota("b", 2)); return nil },
		"read": func(tx trunk.Tx) error {
			if e, err := tx.Get(quota("a", 0).EntityKey()); err != nil || e == nil {
				return fmt.Errorf("get: %v, %v", e, err)
			}
			tx.Put(quota("b", 2))
			tx.Create(quota("a", 2))
			return nil
		},
		"read of another": func(tx trunk.Tx) error {
			if _, err := tx.Get(quota("b", 0).EntityKey()); err != nil {
				return err
			}
			tx.Put(quota("b", 2))
			tx.Create(quota("a", 2))
			return nil
		},
		"one of several": func(tx trunk.Tx) error { tx.Create(quota("b", 2)); tx.Create(quota("a", 2)); return nil },
	} {
		if _, err := s.Update(t.Context(), fn); trunk.KindOf(err) != trunk.Conflict {
			t.Errorf("%s: create of what exists gave %v, want a conflict", name, err)
		}
	}
	if got := value(t, s, "a"); got != 1 {
		t.Errorf("a is %d after refused creates, want 1", got)
	}
	if got := Get(t, s, quota("b", 0).EntityKey()); got != nil {
		t.Errorf("a refused transaction wrote %v", got)
	}
}

// absent: a write that wants something absent holds while it is, and tells a conflict apart from it.
func absent(t *testing.T, s Store) {
	a, b := quota("a", 0).EntityKey(), quota("b", 0).EntityKey()
	write := func(fn func(tx trunk.Tx)) error {
		_, err := s.Update(t.Context(), func(tx trunk.Tx) error { fn(tx); return nil })
		return err
	}
	if err := write(func(tx trunk.Tx) { tx.Absent(a); tx.Absent(b); tx.Create(quota("first", 1)) }); err != nil {
		t.Fatal(err)
	}
	Put(t, s, quota("a", 1))
	for name, fn := range map[string]func(tx trunk.Tx){
		"alone":         func(tx trunk.Tx) { tx.Absent(a); tx.Put(quota("second", 1)) },
		"with another":  func(tx trunk.Tx) { tx.Absent(b); tx.Absent(a); tx.Create(quota("second", 1)) },
		"beside a read": func(tx trunk.Tx) { _, _ = tx.Get(b); tx.Absent(a); tx.Put(quota("second", 1)) },
	} {
		if err := write(fn); !errors.Is(err, trunk.ErrPresent) {
			t.Errorf("%s: the update gave %v, want ErrPresent", name, err)
		}
	}
	if err := write(func(tx trunk.Tx) { tx.Absent(b); tx.Create(quota("first", 2)) }); trunk.KindOf(err) != trunk.Conflict {
		t.Errorf("a create of what exists gave %v, want a conflict", err)
	}
	if Get(t, s, quota("second", 0).EntityKey()) != nil {
		t.Error("what was refused was written")
	}
}

func errorWritesNothing(t *testing.T, s Store) {
	before := Put(t, s, quota("a", 1))
	sentinel := errors.New("no")
	if _, err := s.Update(t.Context(), func(tx trunk.Tx) error {
		tx.Put(quota("a", 2))
		tx.Create(quota("b", 1))
		tx.Delete(quota("a", 0).EntityKey())
		return sentinel
	}); err != sentinel {
		t.Errorf("got error %v, want fn's own", err)
	}
	if got := value(t, s, "a"); got != 1 {
		t.Errorf("a is %d, want 1", got)
	}
	if after := Put(t, s, quota("a", 1)); after != before+1 {
		t.Errorf("the next revision is %d, want %d: the failed update used one", after, before+1)
	}
}

func ownWrites(t *testing.T, s Store) {
	if _, err := s.Update(t.Context(), func(tx trunk.Tx) error {
		key := quota("a", 0).EntityKey()
		for i, step := range []struct {
			do   func()
			want int // -1 is absent
		}{
			{func() {}, -1},
			{func() { tx.Create(quota("a", 1)) }, 1},
			{func() { tx.Put(quota("a", 2)) }, 2},
			{func() { tx.Delete(key) }, -1},
			{func() { tx.Create(quota("a", 3)) }, 3},
		} {
			step.do()
			q, ok, err := trunk.Get[*trunk.Quota](tx, key)
			if err != nil || ok != (step.want >= 0) || ok && q.Value != step.want {
				return fmt.Errorf("step %d: got %+v, %v, %v; want %d", i, q, ok, err, step.want)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, "a"); got != 3 {
		t.Errorf("a is %d, want 3", got)
	}
}

func deletes(t *testing.T, s Store) {
	Put(t, s, quota("a", 1))
	if _, err := s.Update(t.Context(), func(tx trunk.Tx) error {
		tx.Delete(quota("a", 0).EntityKey())
		tx.Delete(quota("never", 0).EntityKey())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if e := Get(t, s, quota("a", 0).EntityKey()); e != nil {
		t.Errorf("deleted entity is still %v", e)
	}
	if _, err := create(s, quota("a", 2)); err != nil {
		t.Errorf("create after delete: %v", err)
	}
}

func revisions(t *testing.T, s Store) {
	last := int64(0)
	for i := range 5 {
		r := Put(t, s, quota("a", i), quota("b", i))
		if r <= last {
			t.Errorf("revision %d after %d", r, last)
		}
		last = r
	}
	r, err := s.Update(t.Context(), func(tx trunk.Tx) error { _, err := tx.Get(quota("a", 0).EntityKey()); return err })
	if err != nil || r != last {
		t.Errorf("reading gave revision %d, %v; want %d", r, err, last)
	}
}

// oneRevision reads two entities that are only ever written together, while they are.
func oneRevision(t *testing.T, s Store) {
	Put(t, s, quota("a", 0), quota("b", 0))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := range 200 {
			if _, err := s.Update(context.Background(), func(tx trunk.Tx) error {
				tx.Put(quota("a", i))
				tx.Put(quota("b", i))
				return nil
			}); err != nil {
				t.Errorf("put: %v", err)
				return
			}
		}
	}()
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		if _, err := s.Update(t.Context(), func(tx trunk.Tx) error {
			a, _, err := trunk.Get[*trunk.Quota](tx, quota("a", 0).EntityKey())
			if err != nil {
				return err
			}
			b, _, err := trunk.Get[*trunk.Quota](tx, quota("b", 0).EntityKey())
			if err == nil && a.Value != b.Value {
				t.Errorf("one run read %d and %d", a.Value, b.Value)
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func noLostUpdate(t *testing.T, s Store) {
	const writers, each = 8, 20
	Put(t, s, quota("sum", 0))
	var done sync.WaitGroup
	for range writers {
		done.Go(func() {
			for range each {
				if err := add(s, "sum"); err != nil {
					t.Errorf("add: %v", err)
				}
			}
		})
	}
	done.Wait()
	if got := value(t, s, "sum"); got != writers*each {
		t.Errorf("%d additions made %d", writers*each, got)
	}
}

func add(s Store, name string) error {
	return persist(func() error {
		_, err := s.Update(context.Background(), func(tx trunk.Tx) error {
			q, _, err := trunk.Get[*trunk.Quota](tx, quota(name, 0).EntityKey())
			if err != nil {
				return err
			}
			tx.Put(quota(name, q.Value+1))
			return nil
		})
		return err
	})
}

// persist tries again while the store says that too many others write, as its callers may.
func persist(update func() error) error {
	for {
		if err := update(); err == nil || trunk.KindOf(err) != trunk.Unavailable {
			return err
		}
	}
}

// noWriteSkew lets two transactions each take the last free place after having seen it free.
func noWriteSkew(t *testing.T, s Store) {
	for round := range 30 {
		Put(t, s, quota("a", 0), quota("b", 0))
		var both sync.WaitGroup
		for _, mine := range []string{"a", "b"} {
			both.Go(func() {
				if _, err := s.Update(context.Background(), func(tx trunk.Tx) error {
					a, _, err := trunk.Get[*trunk.Quota](tx, quota("a", 0).EntityKey())
					if err != nil {
						return err
					}
					b, _, err := trunk.Get[*trunk.Quota](tx, quota("b", 0).EntityKey())
					if err == nil && a.Value+b.Value == 0 {
						tx.Put(quota(mine, 1))
					}
					return err
				}); err != nil {
					t.Errorf("update: %v", err)
				}
			})
		}
		both.Wait()
		if a, b := value(t, s, "a"), value(t, s, "b"); a+b != 1 {
			t.Fatalf("round %d: %d and %d, want one of them", round, a, b)
		}
	}
}

// noWriteSkewAmongMany is for stores that commit what comes at the same time together: of each pair both would hold by
// the state before.
func noWriteSkewAmongMany(t *testing.T, s Store) {
	const pairs, writers = 16, 4
	name := func(pair, side int) string { return fmt.Sprintf("%d of pair %d", side, pair) }
	for round := range 5 {
		var reset []trunk.Entity
		for pair := range pairs {
			reset = append(reset, quota(name(pair, 0), 0), quota(name(pair, 1), 0))
		}
		Put(t, s, reset...)
		var all sync.WaitGroup
		for i := range pairs * writers {
			pair, side := i%pairs, i/pairs%2
			all.Go(func() {
				if err := claim(s, name(pair, side), name(pair, 1-side)); err != nil {
					t.Errorf("update: %v", err)
				}
			})
		}
		all.Wait()
		for pair := range pairs {
			if a, b := value(t, s, name(pair, 0)), value(t, s, name(pair, 1)); a+b != 1 {
				t.Fatalf("round %d, pair %d: %d and %d, want one of them", round, pair, a, b)
			}
		}
	}
}

// claim sets mine to 1 unless one of the two is 1 already.
func claim(s Store, mine, other string) error {
	return persist(func() error {
		_, err := s.Update(context.Background(), func(tx trunk.Tx) error {
			a, _, err := trunk.Get[*trunk.Quota](tx, quota(mine, 0).EntityKey())
			if err != nil {
				return err
			}
			b, _, err := trunk.Get[*trunk.Quota](tx, quota(other, 0).EntityKey())
			if err == nil && a.Value+b.Value == 0 {
				tx.Put(quota(mine, 1))
			}
			return err
		})
		return err
	})
}

// holdOrFailAlone creates each name several times at the same time, each together with a record of its own: one of
// them holds, the others change nothing.
func holdOrFailAlone(t *testing.T, s Store) {
	const names, rivals = 25, 4
	var mu sync.Mutex
	winner := map[string]int{}
	var all sync.WaitGroup
	for i := range names * rivals {
		name, rival := fmt.Sprint("name ", i%names), i/names
		all.Go(func() {
			_, err := create(s, quota(name, rival), quota(fmt.Sprint(name, " of ", rival), rival))
			mu.Lock()
			defer mu.Unlock()
			if _, won := winner[name]; err == nil && !won {
				winner[name] = rival
			} else if trunk.KindOf(err) != trunk.Conflict || err == nil {
				t.Errorf("%s by %d: %v, won before: %v", name, rival, err, won)
			}
		})
	}
	all.Wait()
	for i := range names * rivals {
		name, rival := fmt.Sprint("name ", i%names), i/names
		won, ok := winner[name]
		if !ok || value(t, s, name) != won {
			t.Fatalf("%s is not its one winner's", name)
		}
		if own := Get(t, s, quota(fmt.Sprint(name, " of ", rival), 0).EntityKey()); (own != nil) != (rival == won) {
			t.Errorf("%s: the record of %d is %v, the winner is %d", name, rival, own, won)
		}
	}
}

// countAtOnce lets many change the same two records at the same time, in either order, each with a record of its own
// that only one may make. None may be given up, and no half may stay.
func countAtOnce(t *testing.T, s Store) {
	const writers, each = 32, 8
	Put(t, s, quota("a", 0), quota("b", 0))
	var refused atomic.Int64
	var all sync.WaitGroup
	for w := range writers {
		names := [2]string{"a", "b"}
		if w%2 == 1 {
			names = [2]string{"b", "a"}
		}
		all.Go(func() {
			for n := range each {
				_, err := s.Update(context.Background(), func(tx trunk.Tx) error {
					for _, name := range names {
						q, _, err := trunk.Get[*trunk.Quota](tx, quota(name, 0).EntityKey())
						if err != nil {
							return err
						}
						tx.Put(quota(name, q.Value+1))
					}
					tx.Create(quota(fmt.Sprint(w/2, " makes ", n), w)) // as its neighbour does
					return nil
				})
				if trunk.KindOf(err) == trunk.Conflict && err != nil {
					refused.Add(1)
				} else if err != nil {
					t.Errorf("update: %v", err)
				}
			}
		})
	}
	all.Wait()
	const want = writers * each / 2
	if a, b := value(t, s, "a"), value(t, s, "b"); a != want || b != want || refused.Load() != want {
		t.Errorf("a is %d, b %d and %d were refused, want %d each", a, b, refused.Load(), want)
	}
}

func endedContext(t *testing.T, s Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	_, err := s.Update(ctx, func(tx trunk.Tx) error {
		tx.Put(quota("a", 1))
		return nil
	})
	if trunk.KindOf(err) != trunk.Unavailable {
		t.Errorf("got %v, want unavailable", err)
	}
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("it took %v to see that the context had ended", d)
	}
}

type foreign struct{}

// EntityKey implements trunk.Entity.
func (foreign) EntityKey() trunk.EntityKey { return trunk.EntityKey{Kind: "foreign", ID: "x"} }

func foreignType(t *testing.T, s Store) {
	if _, err := create(s, foreign{}, quota("a", 1)); err == nil || trunk.KindOf(err) != trunk.Internal {
		t.Errorf("got %v, want an internal error", err)
	}
	if e := Get(t, s, quota("a", 0).EntityKey()); e != nil {
		t.Errorf("the refused transaction wrote %v", e)
	}
}
