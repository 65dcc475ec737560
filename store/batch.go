package store

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"google.golang.org/grpc"
)

// Bounds of a batch. What does not fit waits for the next one; carillon_store_batches_full_total counts how often.
const (
	// MaxBatch is the most transactions of concurrent Updates that are committed as one.
	MaxBatch = 100
	// MaxBatchOps bounds, on an external cluster, the units of one batch and the writes or conditions of its largest
	// together. It is the default --max-txn-ops of an etcd cluster, which counts the same way; one with a lower bound
	// is found out and gets smaller batches. A single transaction may have more, up to MaxOps, the bound of the
	// embedded store.
	MaxBatchOps = 128
	// MaxBatchBytes bounds the keys and values of one batch. It is below the default --max-request-bytes of an etcd
	// cluster; one with a lower bound is found out. A single transaction may have more, up to MaxRequestBytes.
	MaxBatchBytes = 1 << 20
)

// batcher commits the transactions of concurrent Updates together: one entry of etcd's log, and one wait for the disk,
// for all of a batch. One batch is on its way at a time, and takes along what has come since the last: a lone Update
// waits for nobody, and the slower the disk, the larger the batches.
//
// A batch is made of units, each a nested transaction with its own conditions, which holds or fails alone. Nearly
// always a unit is one Update's transaction; those that were handed from turn to turn are one unit together.
type batcher struct {
	store *Store

	mu      sync.Mutex
	queue   []*pending
	sending bool // by the goroutine that commits one batch after another
	passed  bool // something in the queue touches a record of the batch on its way
	ops     int  // of a batch, that the store is known to take
	bytes   int  // likewise
}

func newBatcher(s *Store, ops int) *batcher {
	return &batcher{store: s, ops: ops, bytes: MaxBatchBytes}
}

// condition is that a record was last changed at a revision, or that there is none, at revision 0.
type condition struct {
	key      string
	modified int64
	// left says that the record must be as pending.after leaves it, which is not written yet; gone that this is
	// without it.
	left, gone bool
}

// write is what becomes of a record.
type write struct {
	key string
	op  *pb.RequestOp
}

// pending is one transaction on its way.
type pending struct {
	conditions []condition
	writes     []write
	bytes      int
	until      time.Time // when it is too late to begin
	// after is the transaction whose writes this one has seen; nil for what has only seen the store.
	after *pending
	unit  *unit // in the batch being put together or on its way
	alone bool  // a batch with it was refused as a whole
	gone  bool  // nobody waits for it any more
	// fate is unknown at first, then the revision of its commit or failed.
	fate   atomic.Int64
	done   chan struct{} // closed when result is there
	result outcome
	few    struct { // room for those of nearly all
		conditions [4]condition
		writes     [2]write
	}
}

const (
	unknown = 0
	failed  = -1
)

// outcome is what became of a transaction; err is etcd's, errAgain or an *overtakenError.
type outcome struct {
	held     bool
	revision int64
	err      error
}

// end tells p its outcome.
func (p *pending) end(o outcome) {
	if o.held {
		p.fate.Store(o.revision)
	} else {
		p.fate.Store(failed)
	}
	p.result = o
	close(p.done)
}

// settled replaces what p knows of a transaction before it by what became of that, reporting false when that failed.
func (p *pending) settled() bool {
	revision := p.after.fate.Load()
	if revision == failed {
		return false
	}
	for i, c := range p.conditions {
		if c.left && c.gone {
			p.conditions[i] = condition{key: c.key}
		} else if c.left {
			p.conditions[i] = condition{key: c.key, modified: revision}
		}
	}
	p.after = nil
	return true
}

// submit puts p into the queue. Wait must follow.
func (b *batcher) submit(p *pending) {
	b.mu.Lock()
	b.queue = append(b.queue, p)
	idle := !b.sending
	b.sending = true
	b.mu.Unlock()
	if idle {
		go b.send() // ends when the queue is empty
	}
}

// wait returns what became of p. When ctx ends before that, it stays unknown.
func (b *batcher) wait(ctx context.Context, p *pending) outcome {
	select {
	case <-p.done:
		return p.result
	case <-ctx.Done():
		b.leave(p, ctx.Err())
		return outcome{err: ctx.Err()}
	}
}

// leave takes p out of the queue, or keeps it from coming back there.
func (b *batcher) leave(p *pending, why error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.gone = true
	if i := slices.Index(b.queue, p); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
		p.end(outcome{err: why})
	}
}

// send commits batches until the queue is empty.
func (b *batcher) send() {
	var batch []*unit
	defer func() {
		if batch != nil { // etcd ended this goroutine where it meant to end the process
			b.settle(batch, outcome{err: errClosed}, nil)
			go b.send()
		}
	}()
	for {
		// Whoever has a write ready and only waits for a processor comes along; on an idle machine this costs nothing.
		runtime.Gosched()
		if batch = b.take(); batch == nil {
			return
		}
		whole, each := b.transact(batch)
		sent := batch
		batch = nil
		b.settle(sent, whole, each)
	}
}

// take returns the next batch: of the queue, in its order, what fits and goes together. Nil ends the sender.
func (b *batcher) take() []*unit {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := draft{most: b.ops, limit: b.bytes, touched: map[string]mark{}}
	var kept []*pending
	now := b.store.config.Clock.Now()
	for i, p := range b.queue {
		if now.After(p.until) {
			p.end(outcome{err: context.DeadlineExceeded})
			continue
		}
		if p.after != nil && p.after.fate.Load() != unknown && !p.settled() {
			p.end(outcome{err: errAgain})
			continue
		}
		fits, joins := d.place(p)
		if !joins {
			kept, b.passed = append(kept, p), true
			continue
		}
		if !fits {
			b.store.stats.batchesFull.Add(1)
			kept = append(kept, b.queue[i:]...)
			break
		}
	}
	b.queue, b.sending = kept, d.units != nil
	if d.units != nil {
		b.store.stats.batches.Add(1)
	}
	return d.units
}

// committer is the call that batches are committed by. clientv3's form of it copies every request twice.
type committer interface {
	Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error)
}

// transact commits a batch and returns what became of it as a whole and, when that is not an error, of each of it.
func (b *batcher) transact(batch []*unit) (whole outcome, each []bool) {
	// Nobody's own context: one caller that leaves must not end the others' writes. Half of the time is for those who
	// come while an earlier batch gets no answer.
	ctx, cancel := context.WithTimeout(context.Background(), b.store.config.Timeout/2)
	defer cancel()
	request := batch[0].request()
	if len(batch) > 1 {
		request = &pb.TxnRequest{Success: make([]*pb.RequestOp, len(batch))}
		for i, u := range batch {
			request.Success[i] = &pb.RequestOp{Request: &pb.RequestOp_RequestTxn{RequestTxn: u.request()}}
		}
	}
	answer, err := b.store.commits.Txn(ctx, request, grpc.MaxCallSendMsgSize(MaxRequestBytes))
	if err != nil {
		return outcome{err: clientv3.ContextError(ctx, err)}, nil
	}
	each = make([]bool, len(batch))
	if len(batch) == 1 {
		each[0] = answer.Succeeded
		return outcome{revision: answer.Header.Revision}, each
	}
	for i, r := range answer.Responses {
		each[i] = r.GetResponseTxn().Succeeded
	}
	return outcome{revision: answer.Header.Revision}, each
}

// settle tells everybody in a batch what became of it, or puts it back into the queue when it was refused for being one.
func (b *batcher) settle(batch []*unit, whole outcome, each []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	passed := b.passed
	b.passed = false
	if b.divide(batch, whole.err) {
		return
	}
	written := map[string]bool{}
	for i, u := range batch {
		o := whole
		o.held = o.err == nil && each[i]
		if o.err == nil && !o.held && len(u.members) > 1 {
			o.err = errAgain // which of them it was nobody knows
		}
		for _, p := range u.members {
			p.end(o)
		}
		if passed && o.held {
			for _, w := range u.writes {
				written[w.key] = true
			}
		}
	}
	b.overtaken(written, whole.revision)
}

// divide puts a batch back that was refused for what it is as a whole, in a way that the store will take, and reports
// whether it did. Of every other error nobody knows whether the batch was written.
func (b *batcher) divide(batch []*unit, err error) bool {
	var all []*pending
	size, bytes := 0, 0
	for _, u := range batch {
		size, bytes, all = max(size, u.size()), bytes+u.bytes, append(all, u.members...)
	}
	if len(all) == 1 {
		return false
	}
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps):
		b.ops = (len(batch) + size) / 2
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		b.bytes = bytes / 2
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		// Only those with that lease are to hear of it.
		for _, p := range all {
			p.alone = true
		}
	default:
		return false
	}
	back := all[:0]
	for _, p := range all {
		if p.unit = nil; p.gone {
			p.end(outcome{err: err})
		} else {
			back = append(back, p)
		}
	}
	b.queue = append(back, b.queue...)
	b.store.stats.batchesDivided.Add(1)
	return true
}

// overtaken ends the transactions in the queue that have read what was written meanwhile: they cannot hold any more.
func (b *batcher) overtaken(written map[string]bool, revision int64) {
	if len(written) == 0 {
		return
	}
	b.queue = slices.DeleteFunc(b.queue, func(p *pending) bool {
		for _, c := range p.conditions {
			if !c.left && written[c.key] && c.modified < revision {
				p.end(outcome{err: &overtakenError{c.key}})
				return true
			}
		}
		return false
	})
}
