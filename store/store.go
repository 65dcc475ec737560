// Package store keeps entities in etcd: embedded in the process without any listener, or an external cluster.
//
// Both are spoken to through one etcd client, so there is one code path. A write is one etcd transaction that holds
// only if nothing it read has changed; once answered it is on disk, or on a quorum of disks. Entities have stored
// forms of their own, apart from the domain's types, and their secrets are sealed before they leave the process.
package store

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/clock"
	"carillon/seal"
)

// Defaults and bounds.
const (
	// DefaultTimeout bounds one Update, its re-runs included.
	DefaultTimeout = 10 * time.Second
	// DefaultProgress is how often a follower asks the store for its revision.
	DefaultProgress = time.Second
	// MaxOps bounds the reads and writes of one Update. An external cluster must be started with --max-txn-ops of
	// as much, else its own lower bound refuses large ones.
	MaxOps = 4096
	// MaxRequestBytes bounds one transaction on the embedded store.
	MaxRequestBytes = 4 << 20
	// QuotaBytes bounds the embedded store's database. Beyond it writes are refused, reads go on; tenants' writes are
	// refused from MaxTenantPercent of it on.
	QuotaBytes = 8 << 30
	// KeptRevisions is how far back a follower may resume; older ones are compacted and make it list again.
	KeptRevisions = 50_000
	// snapshotEntries is after how many entries of etcd's log they are left to the database, and catchUpEntries how many
	// it keeps in memory all the same, for followers that a cluster of one does not have. Each may have MaxRequestBytes.
	snapshotEntries = 250
	catchUpEntries  = 50
	// MaxRuns bounds how often Update runs its function when others keep changing what it read.
	MaxRuns = 24

	dialTimeout = 5 * time.Second
	keepAlive   = 5 * time.Second
)

// Config says which store to open.
type Config struct {
	// Dir is the node's data directory; it is made when absent. The embedded store lives in its folder "etcd", and
	// Open makes the node's key file "node.key" in it unless Key is set.
	Dir string
	// Endpoints are those of an external etcd cluster; none uses the embedded store.
	Endpoints []string
	// TLS is for an external cluster; nil speaks in the clear.
	TLS *tls.Config
	// User and Password are for an external cluster with authentication.
	User, Password string
	// Prefix begins every key, so that one cluster can serve several installations; "" is "carillon/".
	Prefix string
	// Key opens the installation's data key; nil is the key file in Dir.
	Key *seal.NodeKey
	// Clock paces re-runs; nil is the system's.
	Clock clock.Clock
	// Random makes keys and spreads re-runs; nil is the system's.
	Random io.Reader
	// Logger gets warnings of the store; nil is silent.
	Logger *slog.Logger
	// Timeout bounds one Update; 0 is DefaultTimeout.
	Timeout time.Duration
	// Progress is how often a follower asks for the revision; 0 is DefaultProgress.
	Progress time.Duration
	// Reserve is how many bytes of the data directory's file system the embedded store leaves free; 0 is
	// DefaultReserve, and below 0 it takes all there is.
	Reserve int64
}

// Store implements trunk.Store and directory.Source.
type Store struct {
	config   Config
	client   *clientv3.Client
	commits  committer
	embedded *embedded // nil with an external cluster
	box      *seal.Box
	leases   leases
	batches  *batcher
	turns    *turns
	stats    counters
	closing  sync.Once
	closeErr error
}

// Stats counts what a store did since it was opened.
type Stats struct {
	// Updates were committed, Reruns ran their function again because others had changed what it read.
	Updates, Reruns uint64
	// Turns were taken by Updates for records that others of this node write, too.
	Turns uint64
	// Batches are etcd transactions with the updates of one or more callers. BatchesFull could not take all that
	// waited, BatchesDivided were more than the store takes and were sent again in parts, BatchesUnheld did not hold as
	// a whole and were sent again so that each update holds or fails alone.
	Batches, BatchesFull, BatchesDivided, BatchesUnheld uint64
	// Exhausted updates were given up after MaxRuns or their time, Unavailable ones because of the store.
	Exhausted, Unavailable uint64
	// Lists are complete lists made for followers, Resumed the watches taken up again without one.
	Lists, Resumed uint64
	// Unreadable are stored entities that could not be understood or unsealed; followers were told they are gone.
	Unreadable uint64
	// DatabaseBytes are the size of the database and QuotaBytes its bound; both are 0 with an external cluster.
	DatabaseBytes, QuotaBytes int64
	// Reserved writes of tenants were refused to leave the rest of the quota to operators.
	Reserved uint64
	// NoRoom writes were refused to leave Config.Reserve free, Restarts were needed after faults of the disk, and in
	// Mended databases that had reached their reserve room was made. All are of the embedded store.
	NoRoom, Restarts, Mended uint64
	// AuditAged and AuditCrowded are entries of the audit log removed for their age or for the number of younger ones.
	AuditAged, AuditCrowded uint64
}

type counters struct {
	updates, reruns, turns, batches, batchesFull, batchesDivided, batchesUnheld, exhausted, unavailable, lists, resumed, unreadable atomic.Uint64
	auditAged, auditCrowded                                                                                                         atomic.Uint64
}

// Open opens the store and the installation's data key, which the first node of all makes.
// ctx bounds the opening only.
func Open(ctx context.Context, c Config) (*Store, error) {
	s, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

func open(ctx context.Context, c Config) (*Store, error) {
	c = withDefaults(c)
	if c.Dir == "" && (len(c.Endpoints) == 0 || c.Key == nil) {
		return nil, errors.New("no data directory is named")
	}
	if c.Dir != "" {
		if err := prepareDir(c.Dir); err != nil {
			return nil, err
		}
	}
	if c.Key == nil {
		key, err := seal.LoadNodeKey(filepath.Join(c.Dir, "node.key"), c.Random)
		if err != nil {
			return nil, err
		}
		c.Key = key
	}
	s := &Store{config: c}
	s.prepare()
	if err := s.connect(ctx); err != nil {
		return nil, err
	}
	if err := s.openKeyring(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes what every store has, whatever its etcd.
func (s *Store) prepare() {
	ops := MaxBatchOps
	if len(s.config.Endpoints) == 0 {
		ops = MaxOps
	}
	s.batches = newBatcher(s, ops)
	s.turns = &turns{clock: s.config.Clock, hot: map[string]*turn{}}
}

func withDefaults(c Config) Config {
	if c.Prefix == "" {
		c.Prefix = "carillon/"
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Random == nil {
		c.Random = rand.Reader
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Reserve == 0 {
		c.Reserve = DefaultReserve
	}
	if c.Progress <= 0 {
		c.Progress = DefaultProgress
	}
	return c
}

// prepareDir makes the directory and proves that it can be written before anything is built on it.
func prepareDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make data directory: %w", err)
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data directory %s cannot be written: %w", dir, err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

func (s *Store) connect(ctx context.Context) error {
	if len(s.config.Endpoints) == 0 {
		e, err := startEmbedded(ctx, settings{
			dir: s.config.Dir, logger: s.config.Logger, clock: s.config.Clock, reserve: s.config.Reserve, quota: QuotaBytes,
		})
		if err != nil {
			return err
		}
		s.embedded, s.client, s.commits = e, e.client, e
		return nil
	}
	client, err := clientv3.New(clientv3.Config{
		Endpoints: s.config.Endpoints, TLS: s.config.TLS, Username: s.config.User, Password: s.config.Password,
		DialTimeout: dialTimeout, DialKeepAliveTime: keepAlive, DialKeepAliveTimeout: keepAlive,
		PermitWithoutStream: true, RejectOldCluster: true, Logger: quietZap(s.config.Logger, nil),
		MaxCallSendMsgSize: MaxRequestBytes, Context: context.WithoutCancel(ctx),
	})
	if err != nil {
		return fmt.Errorf("reach etcd at %v: %w", s.config.Endpoints, err)
	}
	s.client, s.commits = client, clientv3.RetryKVClient(client)
	return nil
}

// Box returns the installation's box, which also derives keys for other purposes.
func (s *Store) Box() *seal.Box { return s.box }

// Client returns the etcd client, for measuring; all writing goes through Update.
func (s *Store) Client() *clientv3.Client { return s.client }

// Stats returns the counters.
func (s *Store) Stats() Stats {
	c := &s.stats
	all := Stats{
		Updates: c.updates.Load(), Reruns: c.reruns.Load(), Turns: c.turns.Load(),
		Batches: c.batches.Load(), BatchesFull: c.batchesFull.Load(), BatchesDivided: c.batchesDivided.Load(), BatchesUnheld: c.batchesUnheld.Load(), Exhausted: c.exhausted.Load(),
		Unavailable: c.unavailable.Load(), Lists: c.lists.Load(), Resumed: c.resumed.Load(), Unreadable: c.unreadable.Load(),
		AuditAged: c.auditAged.Load(), AuditCrowded: c.auditCrowded.Load(),
	}
	if e := s.embedded; e != nil {
		all.DatabaseBytes, all.QuotaBytes, all.Reserved = e.size(), e.settings.quota, e.reserve.refused.Load()
		all.NoRoom, all.Restarts, all.Mended = e.room.refused.Load(), e.restarts.Load(), e.mended.Load()
	}
	return all
}

// Close ends the store. Followers end with an error; updates that still run give Unavailable.
func (s *Store) Close() error {
	s.closing.Do(func() {
		err := s.client.Close()
		if errors.Is(err, context.Canceled) {
			err = nil // the in-process client says so each time
		}
		if s.embedded != nil {
			err = errors.Join(err, s.embedded.close())
		}
		if err != nil {
			s.closeErr = fmt.Errorf("close store: %w", err)
		}
	})
	return s.closeErr
}
