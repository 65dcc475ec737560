package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/clock"
	"carillon/store/storetest"
	"carillon/trunk"
)

// smallDisk mounts a file system of its own of so many bytes.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
	// Where nobody reads the output a skip would hide that no disk was ever full.
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "" {
		t.Skip("only root may mount a small file system")
	}
	if err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		// A server that a fault has ended may still have its database mapped.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fill takes all but so many bytes of a file system; what it returns gives them back.
func fill(t *testing.T, dir string, leave int64) (empty func()) {
	t.Helper()
	name := filepath.Join(dir, "somebody else's")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, taken := room{dir: dir}, int64(0)
	within(t, 10*time.Second, "the disk is full", func() bool {
		free, err := r.free()
		if err != nil {
			t.Fatal(err)
		}
		// The store takes room for its log at the same time.
		err = syscall.Fallocate(int(f.Fd()), 0, taken, max(free-leave, 1))
		if err == nil {
			taken += free - leave
		}
		return err == nil || leave == 0 && free == 0
	})
	return func() {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
	}
}

// within waits until what must become true is.
func within(t *testing.T, patience time.Duration, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// watched is a follower's view of quotas.
type watched struct {
	mu     sync.Mutex
	values map[string]int
}

func follow(t *testing.T, s *Store) *watched {
	t.Helper()
	w := &watched{values: map[string]int{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- s.Follow(ctx, func(c trunk.Change) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, e := range c.Put {
				if q, ok := e.(*trunk.Quota); ok {
					w.values[q.Name] = q.Value
				}
			}
			return nil
		})
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

func (w *watched) has(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, ok := w.values[name]
	return ok
}

// TestAFullDisk: writes are refused before etcd runs into the end of the disk, reads go on, and writes do by themselves
// once there is room.
func TestAFullDisk(t *testing.T) {
	dir := smallDisk(t, 400<<20)
	s := start(t, Config{Dir: dir})
	seen := follow(t, s)
	storetest.Put(t, s, quotaOf("before", 1))
	empty := fill(t, dir, DefaultReserve/2)
	for i := range 3 {
		_, err := create(s, quotaOf(fmt.Sprint("refused ", i), 1))
		if trunk.KindOf(err) != trunk.Unavailable || !strings.Contains(err.Error(), "the store's disk is full") {
			t.Errorf("a full disk gives %v", err)
		}
	}
	if got := quotaValue(t, s, "before"); got != 1 {
		t.Errorf("a full disk reads %d, want 1", got)
	}
	if got := s.Stats(); got.NoRoom != 3 || got.Restarts != 0 {
		t.Errorf("counted %+v", got)
	}
	empty()
	storetest.Put(t, s, quotaOf("after", 1))
	within(t, 10*time.Second, "the follower sees the write", func() bool { return seen.has("after") })
	if seen.has("refused 0") {
		t.Error("a refused write was seen")
	}
	if got := s.Stats().Restarts; got != 0 {
		t.Errorf("the store was started again %d times", got)
	}
}

// TestADiskFullUnderTheStore lets somebody else take the last of the disk, so that etcd's own writes fail: it is down,
// says so at once, and comes back by itself with all it had answered.
func TestADiskFullUnderTheStore(t *testing.T) {
	dir := smallDisk(t, 300<<20)
	s := start(t, Config{Dir: dir, Reserve: -1, Timeout: 4 * time.Second})
	seen := follow(t, s)
	storetest.Put(t, s, quotaOf("before", 1))
	empty := fill(t, dir, 0)

	var answered []string
	for i := 0; ; i++ {
		name := fmt.Sprint("big ", i)
		_, err := create(s, quotaOf(name, i), big(name))
		if err == nil {
			answered = append(answered, name)
			continue
		}
		if trunk.KindOf(err) != trunk.Unavailable {
			t.Fatalf("a failing disk gives %v", err)
		}
		break
	}
	within(t, 20*time.Second, "the store notices", func() bool { _, down := s.embedded.server(); return down != nil })
	begin := time.Now()
	if _, err := create(s, quotaOf("down", 1)); trunk.KindOf(err) != trunk.Unavailable {
		t.Errorf("a store that is down gives %v", err)
	}
	if _, err := fetch(s, quotaOf("before", 0).EntityKey()); trunk.KindOf(err) != trunk.Unavailable {
		t.Errorf("a read of a store that is down gives %v", err)
	}
	if d := time.Since(begin); d > time.Second {
		t.Errorf("it took %v to say that the store is down", d)
	}

	empty()
	within(t, 20*time.Second, "the store is up again", func() bool { _, err := create(s, quotaOf("after", 1)); return err == nil })
	within(t, 10*time.Second, "the follower sees the write", func() bool { return seen.has("after") })
	t.Logf("%d writes were answered before the fault; counted %+v", len(answered), s.Stats())
	if s.Stats().Restarts == 0 {
		t.Error("the store was not started again")
	}
	for _, name := range append(answered, "before") {
		if storetest.Get(t, s, quotaOf(name, 0).EntityKey()) == nil || !seen.has(name) {
			t.Errorf("%q was answered and is lost, or was never seen", name)
		}
	}
}

// TestAFaultIsMended: whatever etcd means to end the process for, it is started again, and those who write meanwhile
// lose nothing that was answered.
func TestAFaultIsMended(t *testing.T) {
	s := start(t, Config{})
	seen := follow(t, s)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	var mu sync.Mutex
	var answered []string
	for w := range 4 {
		writing.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				name := fmt.Sprint(w, "-", i)
				if _, err := create(s, quotaOf(name, i)); err == nil {
					mu.Lock()
					answered = append(answered, name)
					mu.Unlock()
				} else if trunk.KindOf(err) != trunk.Unavailable {
					t.Errorf("a fault gives %v", err)
				} else {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for n := range uint64(2) {
		mu.Lock()
		before := len(answered)
		mu.Unlock()
		within(t, 10*time.Second, "writes are answered", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(answered) > before+20
		})
		server, err := s.embedded.server()
		if err != nil {
			t.Fatal(err)
		}
		server.fatal.note("input/output error")
		within(t, 30*time.Second, "the store is up again", func() bool { return s.Stats().Restarts == n+1 })
	}
	close(stop)
	writing.Wait()
	last := storetest.Put(t, s, quotaOf("last", 1))
	within(t, 10*time.Second, "the follower sees the last write", func() bool { return seen.has("last") })
	for _, name := range answered {
		if storetest.Get(t, s, quotaOf(name, 0).EntityKey()) == nil || !seen.has(name) {
			t.Errorf("%q was answered and is lost, or was never seen", name)
		}
	}
	t.Logf("%d writes answered around %d faults; the revision is %d", len(answered), s.Stats().Restarts, last)
}

// big is a record that fills a disk soon.
func big(id string) *trunk.Connector {
	c := storetest.Connector(id)
	c.Name = strings.Repeat("x", 500_000)
	return c
}

// TestAFullStore gives etcd a quota that is soon used up. Writes go on by themselves as soon as what is not needed any
// more makes room, and after a delete.
func TestAFullStore(t *testing.T) {
	timers := &ownTimers{Clock: clock.System()}
	s := startWith(t, settings{quota: 24 << 20}, timers)
	storetest.Put(t, s, quotaOf("before", 1))
	// The same record again and again: what is old is no use.
	for range 200 {
		if _, err := s.Update(t.Context(), func(tx trunk.Tx) error { tx.Put(big("same")); return nil }); err != nil {
			if trunk.KindOf(err) != trunk.Unavailable || !strings.Contains(err.Error(), "the store is full") {
				t.Fatalf("a full store gives %v", err)
			}
			break
		}
	}
	within(t, 20*time.Second, "room is made of old revisions", func() bool { _, err := create(s, quotaOf("after", 1)); return err == nil })
	within(t, 20*time.Second, "it is counted", func() bool { return s.Stats().Mended > 0 })
	// Records that are all needed: only a delete helps.
	n := 0
	within(t, 20*time.Second, "it is found out that there is too much", func() bool {
		// The write that meets the quota is refused and may be there all the same: etcd looks once more after it.
		_, err := create(s, big(fmt.Sprint("kept ", n)))
		if err == nil || trunk.KindOf(err) == trunk.Conflict {
			n++
		}
		return trunk.KindOf(err) == trunk.Unavailable && timers.waiting.Load()
	})
	if quotaValue(t, s, "before") != 1 {
		t.Error("a full store cannot be read")
	}
	if _, err := create(s, quotaOf("refused", 1)); trunk.KindOf(err) != trunk.Unavailable {
		t.Errorf("a full store gives %v", err)
	}
	for i := range n {
		key := storetest.Connector(fmt.Sprint("kept ", i)).EntityKey()
		if _, err := s.Update(t.Context(), func(tx trunk.Tx) error { tx.Delete(key); return nil }); err != nil {
			t.Fatalf("a full store does not let delete: %v", err)
		}
	}
	timers.fire()
	within(t, 20*time.Second, "room is made by deleting", func() bool { _, err := create(s, quotaOf("later", 1)); return err == nil })
}

// ownTimers is a clock whose long waits end when the test says so.
type ownTimers struct {
	clock.Clock
	waiting atomic.Bool
	mu      sync.Mutex
	held    []func()
}

// AfterFunc implements clock.Clock.
func (o *ownTimers) AfterFunc(d time.Duration, fn func()) clock.Timer {
	if d < mendPause {
		return o.Clock.AfterFunc(d, fn)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = append(o.held, fn)
	o.waiting.Store(true)
	return o.Clock.AfterFunc(time.Hour, func() {})
}

func (o *ownTimers) fire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, fn := range o.held {
		fn()
	}
}

// startWith opens an embedded store with settings of its own.
func startWith(t *testing.T, with settings, c clock.Clock) *Store {
	t.Helper()
	reference := start(t, Config{})
	with.dir, with.logger, with.clock, with.reserve = t.TempDir(), slog.New(slog.DiscardHandler), c, -1
	e, err := startEmbedded(t.Context(), with)
	if err != nil {
		t.Fatal(err)
	}
	s := &Store{config: reference.config, embedded: e, client: e.client, commits: e, box: reference.box}
	s.prepare()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
