package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"carillon/store/storetest"
	"carillon/trunk"
)

// sockets returns this process's sockets that listen for TCP or are bound for UDP, and those of Unix paths.
func sockets(t *testing.T) map[string]bool {
	t.Helper()
	mine := map[string]bool{}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil && runtime.GOOS == "linux" {
		t.Fatal(err)
	} else if err != nil {
		t.Skip("this test reads /proc, which this system lacks")
	}
	for _, fd := range fds {
		target, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			mine[strings.TrimSuffix(inode, "]")] = true
		}
	}
	found := map[string]bool{}
	for _, table := range []struct {
		file          string
		inode, state  int
		listen, other string
	}{{"tcp", 9, 3, "0A", ""}, {"tcp6", 9, 3, "0A", ""}, {"udp", 9, 3, "07", "01"}, {"udp6", 9, 3, "07", "01"}, {"unix", 6, 5, "01", "01"}} {
		text, err := os.ReadFile("/proc/self/net/" + table.file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			f := strings.Fields(line)
			if len(f) > table.inode && mine[f[table.inode]] && (f[table.state] == table.listen || f[table.state] == table.other) {
				found[table.file+" "+strings.TrimSpace(line)] = true
			}
		}
	}
	return found
}

func TestTheEmbeddedStoreHasNoSocket(t *testing.T) {
	before := sockets(t)
	s := start(t, Config{})
	storetest.Put(t, s, storetest.Samples()...)
	for socket := range sockets(t) {
		if !before[socket] {
			t.Errorf("the embedded store opened a socket: %s", socket)
		}
	}
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(t.Context(), Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	samples := storetest.Samples()
	revision := storetest.Put(t, s, samples...)
	derived := string(s.Box().Derive("purpose"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, err := create(s, storetest.Connector("late")); trunk.KindOf(err) != trunk.Unavailable {
		t.Errorf("a closed store gives %v, want unavailable", err)
	}

	s = start(t, Config{Dir: dir})
	for _, e := range samples {
		if storetest.Get(t, s, e.EntityKey()) == nil {
			t.Errorf("%v did not survive", e.EntityKey())
		}
	}
	if got := storetest.Put(t, s, samples[0]); got != revision+1 {
		t.Errorf("the first revision after the restart is %d, want %d", got, revision+1)
	}
	if string(s.Box().Derive("purpose")) != derived {
		t.Error("derived keys differ after a restart")
	}
}

func TestOpenRefusals(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	held := start(t, Config{})
	otherKey := t.TempDir()
	copyTree(t, held, otherKey)
	if err := os.Remove(filepath.Join(otherKey, "node.key")); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir, want string
	}{
		"no directory":     {"", "no data directory is named"},
		"a file":           {file, "data directory"},
		"below a file":     {filepath.Join(file, "sub"), "make data directory"},
		"not writable":     {"/proc/self/fdinfo", "cannot be written"},
		"in use":           {held.config.Dir, "in use by another process"},
		"another node key": {otherKey, "not wrapped for this node's key"},
	} {
		_, err := Open(t.Context(), Config{Dir: c.dir})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), "open store: ") {
			t.Errorf("%s: got %v, want an error with %q", name, err, c.want)
		}
	}
}

// copyTree copies a store's directory once what it holds was answered, as a disk is copied under a running system.
func copyTree(t *testing.T, s *Store, to string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(s.config.Dir)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(to, "node.key"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedDirectoriesAreRefused(t *testing.T) {
	good := start(t, Config{})
	for i := range 50 {
		storetest.Put(t, good, storetest.Connector(fmt.Sprint("c", i)))
	}
	for name, damage := range map[string]func(file string, size int64) error{
		"database overwritten": func(file string, size int64) error {
			if !strings.HasSuffix(file, "snap/db") {
				return nil
			}
			return os.WriteFile(file, []byte(strings.Repeat("garbage ", int(size/8))), 0o600)
		},
		"database cut short": func(file string, size int64) error {
			if !strings.HasSuffix(file, "snap/db") {
				return nil
			}
			return os.Truncate(file, 100)
		},
		"log overwritten in its middle": func(file string, _ int64) error {
			if !strings.HasSuffix(file, ".wal") {
				return nil
			}
			f, err := os.OpenFile(file, os.O_RDWR, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteAt([]byte(strings.Repeat("garbage ", 64)), 1024)
			return err
		},
		"log lost": func(file string, _ int64) error {
			if !strings.HasSuffix(file, ".wal") {
				return nil
			}
			return os.Remove(file)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			copyTree(t, good, dir)
			err := filepath.Walk(dir, func(file string, info os.FileInfo, err error) error {
				if err != nil || info.IsDir() {
					return err
				}
				return damage(file, info.Size())
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			s, err := Open(ctx, Config{Dir: dir})
			if err == nil {
				s.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), "start embedded etcd in "+dir) {
				t.Errorf("got %v, want an error that names the directory", err)
			}
			t.Log(err)
		})
	}
}

func TestEtcdCannotEndTheProcess(t *testing.T) {
	f := newFatal()
	logger := quietZap(slog.New(slog.DiscardHandler), f)
	for _, end := range []func(){
		func() { logger.Fatal("disk failed", zap.Error(os.ErrPermission)) },
		func() { logger.Panic("and more") },
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			end()
			t.Error("the goroutine went on")
		}()
		<-done
	}
	if err := f.err(); err == nil || err.Error() != "embedded etcd stopped: disk failed: permission denied" {
		t.Errorf("the reason kept is %v", err)
	}
}
