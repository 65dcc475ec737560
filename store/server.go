package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3rpc"
	"go.etcd.io/etcd/server/v3/proxy/grpcproxy/adapter"
)

// server is one start of etcd inside this process.
type server struct {
	etcd   *embed.Etcd
	client *clientv3.Client
	kv     pb.KVClient
	leases pb.LeaseClient
	watch  pb.WatchClient
	fatal  *fatal
	// ctx ends when the server does; what is asked of it ends with it.
	ctx    context.Context
	cancel context.CancelFunc
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
	c.SnapshotCount, c.SnapshotCatchUpEntries = snapshotEntries, catchUpEntries
	// A cluster of one elects itself after one election timeout at the latest; a short one makes for a short start.
	c.TickMs, c.ElectionMs = 20, 200
	c.PreVote = false
	return c
}

// startServer runs etcd's start on a goroutine of its own: where etcd would end the process, quietZap ends that
// goroutine, and on some damaged files its clean-up then waits for ever. Such a goroutine is left behind.
func startServer(ctx context.Context, c *embed.Config, f *fatal) (*server, error) {
	if err := checkLog(c.Dir); err != nil {
		return nil, err
	}
	type result struct {
		etcd *embed.Etcd
		err  error
	}
	started := make(chan result, 1)
	go func() {
		defer func() {
			if p := recover(); p != nil {
				f.note(fmt.Sprint(p))
			}
		}()
		etcd, err := embed.StartEtcd(c)
		started <- result{etcd, err}
	}()
	s := &server{fatal: f}
	select {
	case r := <-started:
		if r.err != nil {
			return nil, r.err
		}
		s.etcd = r.etcd
	case <-f.noted:
		return nil, f.err()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	select {
	case <-s.etcd.Server.ReadyNotify():
	case <-s.etcd.Server.StopNotify():
		return nil, errors.Join(errors.New("it stopped while starting"), f.err(), s.end(closeTimeout))
	case <-f.noted:
		return nil, errors.Join(f.err(), s.end(failedTimeout))
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), s.end(closeTimeout))
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.client = v3client.New(s.etcd.Server)
	s.kv = adapter.KvServerToKvClient(v3rpc.NewQuotaKVServer(s.etcd.Server))
	s.leases = adapter.LeaseServerToLeaseClient(v3rpc.NewQuotaLeaseServer(s.etcd.Server))
	s.watch = adapter.WatchServerToWatchClient(v3rpc.NewWatchServer(s.etcd.Server))
	return s, nil
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

// blame returns why a call ended with err: one that the server's own end has broken off was not called off by anybody.
func (s *server) blame(err error) error {
	if s.ctx.Err() == nil {
		return err
	}
	if why := s.fatal.err(); why != nil {
		return why
	}
	return errClosed
}

// end waits for etcd to end, but not for ever: one whose goroutines died of a disk error may never do.
func (s *server) end(atMost time.Duration) error {
	if s.cancel != nil {
		s.cancel()
		_ = s.client.Close() // it only ever says that its context has ended
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.etcd.Close()
	}()
	timer := time.NewTimer(atMost)
	defer timer.Stop()
	select {
	case <-done:
		return nil
	case <-timer.C:
		return errors.New("embedded etcd does not end")
	}
}
