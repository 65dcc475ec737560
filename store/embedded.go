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

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"

	"carillon/clock"
)

const (
	startTimeout = 2 * time.Minute
	closeTimeout = 10 * time.Second
	// failedTimeout is how long a server that a fault has ended may take to close its files itself.
	failedTimeout = 2 * time.Second
	// firstRestart and lastRestart bound the pause before a server that a fault has ended is started again.
	firstRestart = 500 * time.Millisecond
	lastRestart  = 15 * time.Second
)

// embedded keeps an etcd server running inside this process. It has no peers and no sockets: its client calls it
// directly. A server that a fault of the disk has ended is started again on the same files once there is room; those
// who hold the client need not know.
type embedded struct {
	settings settings
	lock     *os.File
	room     room
	reserve  reserve
	client   *clientv3.Client // asks whichever server runs
	now      atomic.Pointer[running]
	crowded  chan struct{} // the database has reached its reserve, or etcd has refused a write because of its size
	stop     context.CancelFunc
	ended    chan struct{} // closed when nothing watches over the server any more
	restarts atomic.Uint64
	mended   atomic.Uint64
}

type settings struct {
	dir     string
	logger  *slog.Logger
	clock   clock.Clock
	reserve int64 // bytes of the file system that writes leave free; below 0 none
	quota   int64 // bytes the database may have
}

// running is the server that runs now, or why none does.
type running struct {
	server  *server
	why     error
	changed chan struct{} // closed when something else is true
}

func startEmbedded(ctx context.Context, s settings) (*embedded, error) {
	lock, err := lockDir(s.dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{
		settings: s, lock: lock, room: room{dir: s.dir, reserve: s.reserve, logger: s.logger},
		reserve: reserve{quota: s.quota, logger: s.logger},
		crowded: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	srv, err := e.start(ctx)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start embedded etcd in %s: %w", s.dir, err), lock.Close())
	}
	e.now.Store(&running{server: srv, changed: make(chan struct{})})
	e.client = relayClient(e)
	watching, stop := context.WithCancel(context.Background())
	e.stop = stop
	go e.watch(watching) // ends with stop
	return e, nil
}

func (e *embedded) start(ctx context.Context) (*server, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	f := newFatal()
	c := embeddedConfig(filepath.Join(e.settings.dir, "etcd"), e.settings.logger, f)
	c.QuotaBackendBytes = e.settings.quota
	return startServer(ctx, c, f)
}

// server returns the one that runs, or why none does.
func (e *embedded) server() (*server, error) {
	now := e.now.Load()
	return now.server, now.why
}

// await returns a server once one runs.
func (e *embedded) await(ctx context.Context) (*server, error) {
	for {
		now := e.now.Load()
		if now.server != nil || errors.Is(now.why, errClosed) {
			return now.server, now.why
		}
		select {
		case <-now.changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (e *embedded) become(server *server, why error) {
	close(e.now.Swap(&running{server: server, why: why, changed: make(chan struct{})}).changed)
}

// Txn implements committer. It writes nothing that could use up the last of the disk.
func (e *embedded) Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error) {
	if err := e.room.check(); err != nil {
		return nil, err
	}
	server, err := e.server()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(server.ctx, cancel)()
	answer, err := server.kv.Txn(ctx, r, options...)
	if err != nil {
		err = server.blame(clientv3.ContextError(ctx, err))
	}
	if errors.Is(err, rpctypes.ErrNoSpace) {
		e.noteCrowded()
	}
	return answer, err
}

// watch starts the server again when a fault has ended it, and makes room in its database when that is full.
func (e *embedded) watch(ctx context.Context) {
	defer close(e.ended)
	e.noteCrowded() // an earlier run may have left it full, or the alarm
	crowded := e.crowded
	rested := make(chan struct{}, 1)
	for {
		server, _ := e.server()
		select {
		case <-ctx.Done():
			return
		case <-server.fatal.noted:
			if !e.revive(ctx, server) {
				return
			}
		case <-crowded:
			if !e.mend(ctx, server) {
				crowded = nil
				e.settings.clock.AfterFunc(mendPause, func() { rested <- struct{}{} })
			}
		case <-rested:
			e.noteCrowded()
			crowded = e.crowded
		}
	}
}

// revive replaces a server that a fault has ended, reporting false when ctx has ended before one ran again.
func (e *embedded) revive(ctx context.Context, failed *server) bool {
	s := e.settings
	why := failed.fatal.err()
	e.become(nil, why)
	s.logger.Error("the store is down, reads go on from memory", "error", why)
	err := failed.end(failedTimeout)
	for pause := firstRestart; ; pause = min(2*pause, lastRestart) {
		if err := fence(filepath.Join(s.dir, "etcd")); err != nil {
			s.logger.Error("the failed store holds on to its files", "error", err)
		}
		if !e.pause(ctx, pause) {
			return false
		}
		var server *server
		if err = e.room.check(); err == nil {
			server, err = e.start(ctx)
		}
		if err == nil {
			e.restarts.Add(1)
			e.become(server, nil)
			s.logger.Info("the store is up again")
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.logger.Error("the store cannot be started again yet", "error", err)
		e.become(nil, errors.Join(why, err))
	}
}

// pause reports false when ctx has ended before d was over.
func (e *embedded) pause(ctx context.Context, d time.Duration) bool {
	over := make(chan struct{})
	timer := e.settings.clock.AfterFunc(d, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
		return true
	case <-ctx.Done():
		return false
	}
}

// close ends etcd and gives the directory back.
func (e *embedded) close() error {
	e.stop()
	<-e.ended
	server, why := e.server()
	if server != nil {
		why = errors.Join(server.end(closeTimeout), server.fatal.err())
	}
	e.become(nil, errClosed)
	return errors.Join(why, e.lock.Close())
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
