package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
)

// embedded is an etcd server inside this process. It has no peers and no sockets: its client calls it directly.
type embedded struct {
	etcd  *embed.Etcd
	lock  *os.File
	fatal *fatal
}

// fatal keeps the first message after which etcd wanted to end the process.
type fatal struct {
	message atomic.Pointer[string]
	noted   chan struct{}
}

func newFatal() *fatal { return &fatal{noted: make(chan struct{})} }

func (f *fatal) note(message string) {
	if f.message.CompareAndSwap(nil, &message) {
		close(f.noted)
	}
}

func (f *fatal) err() error {
	if m := f.message.Load(); m != nil {
		return errors.New("embedded etcd stopped: " + *m)
	}
	return nil
}

func startEmbedded(ctx context.Context, dir string, logger *slog.Logger) (*embedded, error) {
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{lock: lock, fatal: newFatal()}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := e.start(ctx, embeddedConfig(filepath.Join(dir, "etcd"), logger, e.fatal)); err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded etcd in %s: %w", dir, err), lock.Close())
	}
	return e, nil
}

func embeddedConfig(dir string, logger *slog.Logger, f *fatal) *embed.Config {
	c := embed.NewConfig()
	c.Name = "carillon"
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.Dir = dir
	c.ListenPeerUrls, c.ListenClientUrls, c.ListenClientHttpUrls, c.ListenMetricsUrls = nil, nil, nil, nil
	c.AdvertiseClientUrls = nil
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(quietZap(logger, f))
	c.LogLevel = "error"
	c.AutoCompactionMode = embed.CompactorModeRevision
	c.AutoCompactionRetention = strconv.Itoa(KeptRevisions)
	c.QuotaBackendBytes = QuotaBytes
	c.MaxTxnOps = MaxOps
	c.MaxRequestBytes = MaxRequestBytes
	c.SnapshotCount = 10_000
	// A cluster of one elects itself after one election timeout at the latest; a short one makes for a short start.
	c.TickMs, c.ElectionMs = 20, 200
	c.PreVote = false
	return c
}

// start runs etcd's start on a goroutine of its own: where etcd would end the process, quietZap ends that goroutine,
// and on some damaged files its clean-up then waits for ever. Such a goroutine is left behind.
func (e *embedded) start(ctx context.Context, c *embed.Config) error {
	if err := checkLog(c.Dir); err != nil {
		return err
	}
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				e.fatal.note(fmt.Sprint(p))
			}
		}()
		etcd, err := embed.StartEtcd(c)
		started <- result{etcd, err}
	}()
	select {
	case r := <-started:
		if r.err != nil {
			return r.err
		}
		e.etcd = r.etcd
	case <-e.fatal.noted:
		return e.fatal.err()
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-e.etcd.Server.ReadyNotify():
		return nil
	case <-e.etcd.Server.StopNotify():
		return errors.Join(errors.New("it stopped while starting"), e.fatal.err(), e.end())
	case <-e.fatal.noted:
		return errors.Join(e.fatal.err(), e.end())
	case <-ctx.Done():
		return errors.Join(ctx.Err(), e.end())
	}
}

// checkLog refuses a database whose log is gone: etcd would take it for a new one and wait for ever for its entries.
func checkLog(dir string) error {
	if _, err := os.Stat(filepath.Join(dir, "member", "snap", "db")); err != nil {
		return nil // a new store, or one that etcd itself will find fault with
	}
	logs, err := filepath.Glob(filepath.Join(dir, "member", "wal", "*.wal"))
	if err == nil && len(logs) == 0 {
		err = errors.New("the database is there but its write-ahead log is gone")
	}
	return err
}

func (e *embedded) client() *clientv3.Client { return v3client.New(e.etcd.Server) }

func (e *embedded) commits() committer {
	return adapter.KvServerToKvClient(v3rpc.NewQuotaKVServer(e.etcd.Server))
}

// close ends etcd and gives the directory back.
func (e *embedded) close() error { return errors.Join(e.end(), e.fatal.err(), e.lock.Close()) }

// end waits for etcd to end, but not for ever: one whose goroutines died of a disk error never does.
func (e *embedded) end() error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.etcd.Close()
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errors.New("embedded etcd does not end")
	}
}

// lockDir takes the directory for this process. The lock goes with the process, however it ends.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := make([]byte, 32)
		n, _ := f.Read(holder)
		f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
		}
		return nil, fmt.Errorf("data directory %s is in use by another process (pid %s)", dir, strings.TrimSpace(string(holder[:n])))
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock data directory %s: %w", dir, err)
	}
	return f, nil
}
