package store

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/server/v3/embed"
	"google.golang.org/grpc"

	"log/slog"

	"carillon/seal"
	"carillon/store/storetest"
	"carillon/trunk"
)

// counting counts what is asked of etcd.
type counting struct {
	clientv3.KV
	committer
	gets, txns atomic.Int64
}

// Get implements clientv3.KV.
func (c *counting) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	c.gets.Add(1)
	return c.KV.Get(ctx, key, opts...)
}

// countingReads and countingCommits are its halves: both have a method Txn.
type (
	countingReads   struct{ *counting }
	countingCommits struct{ *counting }
)

// Txn implements clientv3.KV.
func (c countingReads) Txn(ctx context.Context) clientv3.Txn {
	c.txns.Add(1)
	return c.KV.Txn(ctx)
}

// Txn implements committer.
func (c countingCommits) Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error) {
	c.txns.Add(1)
	return c.committer.Txn(ctx, r, options...)
}

func TestACreateIsOneTransaction(t *testing.T) {
	s := start(t, Config{})
	kv := &counting{KV: s.client.KV, committer: s.commits}
	s.client.KV, s.commits = countingReads{kv}, countingCommits{kv}
	for _, c := range []struct {
		name       string
		fn         func(tx trunk.Tx) error
		gets, txns int64
	}{
		{"create", func(tx trunk.Tx) error { tx.Create(storetest.Connector("a")); return nil }, 0, 1},
		{"refused create", func(tx trunk.Tx) error { tx.Create(storetest.Connector("a")); return nil }, 0, 1},
		{"put and delete", func(tx trunk.Tx) error {
			tx.Put(storetest.Connector("b"))
			tx.Delete(storetest.Connector("a").EntityKey())
			return nil
		}, 0, 1},
		{"read twice, put", func(tx trunk.Tx) error {
			for range 2 {
				if _, err := tx.Get(storetest.Connector("b").EntityKey()); err != nil {
					return err
				}
			}
			tx.Put(storetest.Connector("b"))
			return nil
		}, 1, 1},
		{"nothing", func(trunk.Tx) error { return nil }, 0, 0},
	} {
		kv.gets.Store(0)
		kv.txns.Store(0)
		if _, err := s.Update(t.Context(), c.fn); err != nil && trunk.KindOf(err) != trunk.Conflict {
			t.Errorf("%s: %v", c.name, err)
		}
		if gets, txns := kv.gets.Load(), kv.txns.Load(); gets != c.gets || txns != c.txns {
			t.Errorf("%s: %d reads and %d transactions, want %d and %d", c.name, gets, txns, c.gets, c.txns)
		}
	}
}

func TestRerunsAreBounded(t *testing.T) {
	s := start(t, Config{})
	key := storetest.Connector("a").EntityKey()
	runs := 0
	_, err := s.Update(t.Context(), func(tx trunk.Tx) error {
		runs++
		if _, err := tx.Get(key); err != nil {
			return err
		}
		storetest.Put(t, s, storetest.Connector("a")) // somebody else, each time
		tx.Put(storetest.Connector("a"))
		return nil
	})
	if trunk.KindOf(err) != trunk.Unavailable || runs != MaxRuns {
		t.Errorf("after %d runs: %v; want %d runs, then unavailable", runs, err, MaxRuns)
	}
	if got := s.Stats(); got.Exhausted != 1 || got.Reruns != MaxRuns-1 {
		t.Errorf("counted %+v", got)
	}
	_, err = s.Update(t.Context(), func(tx trunk.Tx) error {
		for i := range MaxOps + 1 {
			tx.Delete(trunk.EntityKey{Kind: trunk.KindNumber, ID: fmt.Sprint(i)})
		}
		return nil
	})
	if trunk.KindOf(err) != trunk.LimitExceeded {
		t.Errorf("more than MaxOps gives %v", err)
	}
	big := storetest.Connector("big")
	big.Name = string(make([]byte, MaxRequestBytes))
	if _, err := create(s, big); trunk.KindOf(err) != trunk.LimitExceeded {
		t.Errorf("more than MaxRequestBytes gives %v", err)
	}
}

func TestClassify(t *testing.T) {
	for _, c := range []struct {
		err  error
		want trunk.Kind
	}{
		{rpctypes.ErrNoSpace, trunk.Unavailable}, {rpctypes.ErrNoLeader, trunk.Unavailable}, {rpctypes.ErrTimeout, trunk.Unavailable},
		{rpctypes.ErrGRPCLeaderChanged, trunk.Unavailable}, {rpctypes.ErrTooManyRequests, trunk.Unavailable}, {rpctypes.ErrCorrupt, trunk.Unavailable},
		{rpctypes.ErrPermissionDenied, trunk.Unavailable}, {context.DeadlineExceeded, trunk.Unavailable}, {context.Canceled, trunk.Unavailable},
		{rpctypes.ErrTooManyOps, trunk.LimitExceeded}, {rpctypes.ErrRequestTooLarge, trunk.LimitExceeded}, {rpctypes.ErrDuplicateKey, trunk.Internal},
	} {
		if got, _ := classify(c.err); got != c.want {
			t.Errorf("%v is %v, want %v", c.err, got, c.want)
		}
	}
}

// breakingWatcher ends the first watch at once, after what happens in between.
type breakingWatcher struct {
	clientv3.Watcher
	between func()
	broken  bool
}

// Watch implements clientv3.Watcher.
func (w *breakingWatcher) Watch(ctx context.Context, key string, opts ...clientv3.OpOption) clientv3.WatchChan {
	if !w.broken {
		w.broken = true
		w.between()
		ended := make(chan clientv3.WatchResponse)
		close(ended)
		return ended
	}
	return w.Watcher.Watch(ctx, key, opts...)
}

func TestFollowAfterABreak(t *testing.T) {
	for _, compacted := range []bool{false, true} {
		t.Run(fmt.Sprintf("compacted=%v", compacted), func(t *testing.T) {
			s := start(t, Config{Progress: 20 * time.Millisecond})
			storetest.Put(t, s, storetest.Connector("stays"), storetest.Connector("goes"))
			var last int64
			s.client.Watcher = &breakingWatcher{Watcher: s.client.Watcher, between: func() {
				if _, err := s.Update(t.Context(), func(tx trunk.Tx) error { tx.Delete(storetest.Connector("goes").EntityKey()); return nil }); err != nil {
					t.Error(err)
				}
				last = storetest.Put(t, s, storetest.Connector("comes"))
				if compacted {
					if _, err := s.client.Compact(t.Context(), last); err != nil {
						t.Error(err)
					}
				}
			}}
			state, lists, progress := map[string]bool{}, 0, 0
			enough := errors.New("enough")
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			err := s.Follow(ctx, func(c trunk.Change) error {
				if c.Reset {
					state, lists = map[string]bool{}, lists+1
				}
				for _, k := range c.Deleted {
					delete(state, k.ID)
				}
				for _, e := range c.Put {
					state[e.EntityKey().ID] = true
				}
				if c.Revision == last && len(c.Put)+len(c.Deleted) == 0 && !c.Reset {
					if progress++; progress == 3 {
						return enough
					}
				}
				return nil
			})
			if !errors.Is(err, enough) {
				t.Fatalf("Follow ended with %v; progress was told %d times", err, progress)
			}
			if len(state) != 2 || !state["stays"] || !state["comes"] {
				t.Errorf("the follower has %v", state)
			}
			wantLists := 1
			if compacted {
				wantLists = 2
			}
			if lists != wantLists || s.Stats().Lists != uint64(wantLists) {
				t.Errorf("%d complete lists, want %d", lists, wantLists)
			}
		})
	}
}

// startCluster runs an etcd of its own with a client listener, as an external cluster of one.
func startCluster(t *testing.T, dir string) (endpoint string, stop func()) {
	t.Helper()
	c := embeddedConfig(dir, slog.New(slog.DiscardHandler), newFatal())
	listen, err := url.Parse("unix://" + t.TempDir() + "/etcd.sock")
	if err != nil {
		t.Fatal(err)
	}
	c.ListenClientUrls, c.AdvertiseClientUrls = []url.URL{*listen}, []url.URL{*listen}
	e, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	<-e.Server.ReadyNotify()
	return listen.String(), e.Close
}

func TestExternalCluster(t *testing.T) {
	endpoint, stop := startCluster(t, t.TempDir())
	defer stop()
	prefixes := 0
	storetest.Run(t, func(t *testing.T) storetest.Store {
		prefixes++
		return start(t, Config{Endpoints: []string{endpoint}, Prefix: fmt.Sprint("p", prefixes, "/")})
	})
}

func TestTwoNodes(t *testing.T) {
	endpoint, stop := startCluster(t, t.TempDir())
	defer stop()
	first := start(t, Config{Endpoints: []string{endpoint}})
	c := storetest.Connector("shared")
	storetest.Put(t, first, c)

	dir := t.TempDir()
	if _, err := Open(t.Context(), Config{Dir: dir, Endpoints: []string{endpoint}}); err == nil {
		t.Fatal("a node that was not admitted opened the store")
	}
	key, err := seal.LoadNodeKey(dir+"/node.key", first.config.Random)
	if err != nil {
		t.Fatal(err)
	}
	if err := first.Admit(t.Context(), key.Public()); err != nil {
		t.Fatal(err)
	}
	second := start(t, Config{Dir: dir, Endpoints: []string{endpoint}})
	got := storetest.Get(t, second, c.EntityKey()).(*trunk.Connector)
	if !slices.Equal(got.Credentials, c.Credentials) {
		t.Error("the second node reads other credentials")
	}
	if string(first.Box().Derive("x")) != string(second.Box().Derive("x")) {
		t.Error("the nodes derive different keys")
	}
}

func TestALostClusterIsUnavailable(t *testing.T) {
	endpoint, stop := startCluster(t, t.TempDir())
	s := start(t, Config{Endpoints: []string{endpoint}, Timeout: 500 * time.Millisecond})
	stop()
	begin := time.Now()
	if _, err := create(s, storetest.Connector("a")); trunk.KindOf(err) != trunk.Unavailable {
		t.Errorf("a lost cluster gives %v", err)
	}
	if d := time.Since(begin); d > 3*time.Second {
		t.Errorf("it took %v to give up", d)
	}
	if s.Stats().Unavailable == 0 {
		t.Error("it was not counted")
	}
}
