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
	// waryBatches go with units after one that did not hold without.
	waryBatches = 16
	// MaxFlights is how many batches are on their way at a time: while the store writes one to the disk, it can apply the
	// one before, and the callers of a third make up their transactions.
	MaxFlights = 2
	// yields is how often a batch lets others run before it goes: a request that has just come takes that many turns to
	// become a write. A batch costs the same however many are in it, so that over HTTP an eighth more fits into a second.
	yields = 4
)

// batcher commits the transactions of concurrent Updates together: one entry of etcd's log, and one wait for the disk,
// for all of a batch. A batch takes along what has come since the last: a lone Update waits for nobody, and the slower the
// disk, the larger the batches. At most MaxFlights are on their way at a time; see due.
//
// A batch is made of units, each a nested transaction with its own conditions, which holds or fails alone. Nearly
// always a unit is one Update's transaction; those that were handed from turn to turn are one unit together.
type batcher struct {
	store *Store

	mu      sync.Mutex
	queue   []*pending
	behind  draft    // has touched what those do that the last take left in the queue to wait
	ready   int      // at most so many of the queue do not wait for a batch on its way
	flights []*draft // on their way
	senders int      // goroutines that commit one batch after another
	most    int      // of those
	wary    int      // how many batches go with units before one is tried without
	ops     int      // of a batch, that the store is known to take
	bytes   int      // likewise
}

func newBatcher(s *Store, ops int) *batcher {
	return &batcher{store: s, ops: ops, bytes: MaxBatchBytes, most: MaxFlights, behind: draft{touched: map[string]mark{}}}
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
	key   string
	op    *pb.RequestOp
	entry *entryWrite // of the audit log; nil for anything else
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
	b.ready++
	due := b.due()
	if due {
		b.senders++
	}
	b.mu.Unlock()
	if due {
		go b.send() // ends when the queue is empty
	}
}

// due reports whether a sender more is wanted: when none is at work, or when as many wait as each batch on its way has.
// Were the next one to go with fewer, batches would become ever smaller, and each costs the same.
func (b *batcher) due() bool {
	if b.senders >= b.most || len(b.flights) < b.senders {
		return false // one is about to take what there is
	}
	ready := min(b.ready, len(b.queue))
	for _, f := range b.flights {
		if ready < f.members {
			return false
		}
	}
	return ready > 0
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

// send commits batches until nothing is due.
func (b *batcher) send() {
	var flight *draft
	defer func() {
		if flight != nil { // etcd ended this goroutine where it meant to end the process
			b.settle(flight, outcome{err: errClosed}, nil)
			go b.send()
		}
	}()
	for {
		// Whoever has a write ready and only waits for a processor comes along; on an idle machine this costs nothing.
		for range yields {
			runtime.Gosched()
		}
		if flight = b.take(); flight == nil {
			return
		}
		whole, each := b.transact(flight)
		sent := flight
		flight = nil
		b.settle(sent, whole, each)
	}
}

// take returns the next batch: of the queue, in its order, what fits and goes together and with those on their way. Nil
// ends the sender. Nobody goes before one that stays and touches the same: else those who read a record, batch after
// batch, would keep back the one who writes it.
func (b *batcher) take() *draft {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.senders--
	if !b.due() {
		return nil
	}
	d := &draft{most: b.ops, limit: b.bytes, touched: map[string]mark{}}
	var kept []*pending
	b.ready = 0
	clear(b.behind.touched)
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
		awaits, fits, joins := b.awaits(p), false, false
		if !awaits && !b.behind.meets(p) {
			fits, joins = d.place(p)
		}
		if !joins {
			b.behind.touch(p, nil)
			kept, d.passed = append(kept, p), d.passed || !awaits
			continue
		}
		if !fits {
			b.store.stats.batchesFull.Add(1)
			kept, b.ready = append(kept, b.queue[i:]...), len(b.queue)-i
			break
		}
	}
	b.queue = kept
	if d.units == nil {
		return nil
	}
	if d.nested = b.wary > 0 && len(d.units) > 1; d.nested {
		b.wary--
	}
	b.senders++
	b.flights = append(b.flights, d)
	b.store.stats.batches.Add(1)
	return d
}

// awaits reports whether p touches what a batch on its way writes, or the other way round: what it would be judged by
// nobody knows yet.
func (b *batcher) awaits(p *pending) (awaits bool) {
	for _, f := range b.flights {
		if f.meets(p) {
			f.passed, awaits = true, true
		}
	}
	return awaits
}

// committer is the call that batches are committed by. clientv3's form of it copies every request twice.
type committer interface {
	Txn(ctx context.Context, r *pb.TxnRequest, options ...grpc.CallOption) (*pb.TxnResponse, error)
}

// transact commits a batch and returns what became of it as a whole and, when that is not an error, of each of it.
//
// All of a batch hold nearly always, so they are tried as one transaction without units first: those cost etcd more than
// what is in them. When that does not hold, nothing of it is written, and the batch goes again with its units. The next
// ones then go with units at once: who makes one transaction after the other fail must not make all others go twice.
func (b *batcher) transact(d *draft) (whole outcome, each []bool) {
	// Nobody's own context: one caller that leaves must not end the others' writes. Half of the time is for those who
	// come while an earlier batch gets no answer.
	ctx, cancel := context.WithTimeout(context.Background(), b.store.config.Timeout/2)
	defer cancel()
	each = make([]bool, len(d.units))
	if request := d.flat(b.store); request != nil {
		answer, err := b.store.commits.Txn(ctx, request, grpc.MaxCallSendMsgSize(MaxRequestBytes))
		if err != nil {
			return outcome{err: clientv3.ContextError(ctx, err)}, nil
		}
		if answer.Succeeded || len(d.units) == 1 {
			for i := range each {
				each[i] = answer.Succeeded
			}
			return outcome{revision: answer.Header.Revision}, each
		}
		b.unheld()
	}
	answer, err := b.store.commits.Txn(ctx, d.request(), grpc.MaxCallSendMsgSize(MaxRequestBytes))
	if err != nil {
		return outcome{err: clientv3.ContextError(ctx, err)}, nil
	}
	for i, r := range answer.Responses {
		each[i] = r.GetResponseTxn().Succeeded
	}
	return outcome{revision: answer.Header.Revision}, each
}

func (b *batcher) unheld() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.wary = waryBatches
	b.store.stats.batchesUnheld.Add(1)
}

// settle tells everybody in a batch what became of it, or puts it back into the queue when it was refused for being one.
func (b *batcher) settle(f *draft, whole outcome, each []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.flights = slices.DeleteFunc(b.flights, func(other *draft) bool { return other == f })
	b.ready = len(b.queue)
	if b.divide(f, whole.err) {
		return
	}
	written := map[string]bool{}
	for i, u := range f.units {
		o := whole
		o.held = o.err == nil && each[i]
		if o.err == nil && !o.held && len(u.members) > 1 {
			o.err = errAgain // which of them it was nobody knows
		}
		for _, p := range u.members {
			p.end(o)
		}
		if f.passed && o.held {
			for _, w := range u.writes {
				written[w.key] = true
			}
		}
	}
	b.overtaken(written, whole.revision)
}

// divide puts a batch back that was refused for what it is as a whole, in a way that the store will take, and reports
// whether it did. Of every other error nobody knows whether the batch was written.
func (b *batcher) divide(d *draft, err error) bool {
	var all []*pending
	for _, u := range d.units {
		all = append(all, u.members...)
	}
	if len(all) == 1 {
		return false
	}
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps):
		b.ops = d.ops / 2
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		b.bytes = d.bytes / 2
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
	b.ready = len(b.queue)
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
