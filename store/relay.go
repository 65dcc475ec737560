package store

import (
	"context"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// relayClient returns a client that asks whichever server of e runs. Where none does, calls say why at once, and watches
// wait for one.
func relayClient(e *embedded) *clientv3.Client {
	c := clientv3.NewCtxClient(context.Background())
	c.KV = clientv3.NewKVFromKVClient(relayKV{e}, c)
	c.Lease = clientv3.NewLeaseFromLeaseClient(relayLease{e}, c, time.Second)
	c.Watcher = relayWatcher{clientv3.NewWatchFromWatchClient(relayWatch{e}, c)}
	return c
}

// relay makes one call to the server that runs. The call ends with the server: one that has lost the goroutine that
// would answer it waits for ever.
func relay[Out any](ctx context.Context, e *embedded, call func(context.Context, *server) (Out, error)) (Out, error) {
	server, err := e.server()
	if err != nil {
		var none Out
		return none, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(server.ctx, cancel)()
	out, err := call(ctx, server)
	if err != nil {
		err = server.blame(err)
	}
	return out, err
}

// relayKV implements pb.KVClient.
type relayKV struct{ e *embedded }

// Range implements pb.KVClient.
func (r relayKV) Range(ctx context.Context, in *pb.RangeRequest, _ ...grpc.CallOption) (*pb.RangeResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.RangeResponse, error) { return s.kv.Range(ctx, in) })
}

// Put implements pb.KVClient.
func (r relayKV) Put(ctx context.Context, in *pb.PutRequest, _ ...grpc.CallOption) (*pb.PutResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.PutResponse, error) { return s.kv.Put(ctx, in) })
}

// DeleteRange implements pb.KVClient.
func (r relayKV) DeleteRange(ctx context.Context, in *pb.DeleteRangeRequest, _ ...grpc.CallOption) (*pb.DeleteRangeResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.DeleteRangeResponse, error) {
		return s.kv.DeleteRange(ctx, in)
	})
}

// Txn implements pb.KVClient.
func (r relayKV) Txn(ctx context.Context, in *pb.TxnRequest, _ ...grpc.CallOption) (*pb.TxnResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.TxnResponse, error) { return s.kv.Txn(ctx, in) })
}

// Compact implements pb.KVClient.
func (r relayKV) Compact(ctx context.Context, in *pb.CompactionRequest, _ ...grpc.CallOption) (*pb.CompactionResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.CompactionResponse, error) { return s.kv.Compact(ctx, in) })
}

// RangeStream implements pb.KVClient. The embedded server has no streams of ranges.
func (r relayKV) RangeStream(ctx context.Context, in *pb.RangeRequest, _ ...grpc.CallOption) (grpc.ServerStreamingClient[pb.RangeStreamResponse], error) {
	server, err := r.e.server()
	if err != nil {
		return nil, err
	}
	return server.kv.RangeStream(ctx, in)
}

// relayLease implements pb.LeaseClient.
type relayLease struct{ e *embedded }

// LeaseGrant implements pb.LeaseClient.
func (r relayLease) LeaseGrant(ctx context.Context, in *pb.LeaseGrantRequest, _ ...grpc.CallOption) (*pb.LeaseGrantResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.LeaseGrantResponse, error) {
		return s.leases.LeaseGrant(ctx, in)
	})
}

// LeaseRevoke implements pb.LeaseClient.
func (r relayLease) LeaseRevoke(ctx context.Context, in *pb.LeaseRevokeRequest, _ ...grpc.CallOption) (*pb.LeaseRevokeResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.LeaseRevokeResponse, error) {
		return s.leases.LeaseRevoke(ctx, in)
	})
}

// LeaseTimeToLive implements pb.LeaseClient.
func (r relayLease) LeaseTimeToLive(ctx context.Context, in *pb.LeaseTimeToLiveRequest, _ ...grpc.CallOption) (*pb.LeaseTimeToLiveResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.LeaseTimeToLiveResponse, error) {
		return s.leases.LeaseTimeToLive(ctx, in)
	})
}

// LeaseLeases implements pb.LeaseClient.
func (r relayLease) LeaseLeases(ctx context.Context, in *pb.LeaseLeasesRequest, _ ...grpc.CallOption) (*pb.LeaseLeasesResponse, error) {
	return relay(ctx, r.e, func(ctx context.Context, s *server) (*pb.LeaseLeasesResponse, error) {
		return s.leases.LeaseLeases(ctx, in)
	})
}

// LeaseKeepAlive implements pb.LeaseClient.
func (r relayLease) LeaseKeepAlive(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse], error) {
	server, err := r.e.server()
	if err != nil {
		return nil, err
	}
	return server.leases.LeaseKeepAlive(ctx)
}

// relayWatch implements pb.WatchClient.
type relayWatch struct{ e *embedded }

// Watch implements pb.WatchClient. The stream ends with the server.
func (r relayWatch) Watch(ctx context.Context, _ ...grpc.CallOption) (grpc.BidiStreamingClient[pb.WatchRequest, pb.WatchResponse], error) {
	server, err := r.e.await(ctx)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(server.ctx, cancel)
	return server.watch.Watch(ctx)
}

// relayWatcher hides what a context is made of: the client prints it, and races with whoever changes it.
type relayWatcher struct{ clientv3.Watcher }

// Watch implements clientv3.Watcher.
func (w relayWatcher) Watch(ctx context.Context, key string, options ...clientv3.OpOption) clientv3.WatchChan {
	return w.Watcher.Watch(&blankContext{ctx}, key, options...)
}

type blankContext struct{ context.Context }

// String implements fmt.Stringer.
func (*blankContext) String() string { return "context" }
