package store

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// Bounds of a batch. What does not fit waits for the next one; carillon_store_batches_full_total counts how often.
const (
	// MaxBatch is the most transactions of concurrent Updates that are committed as one.
	MaxBatch = 100
	// MaxBatchOps bounds the transactions of one batch and the writes or conditions of its largest together. It is the
	// default --max-txn-ops of an etcd cluster, which counts the same way; one with a lower bound is found out and
	// gets smaller batches. A single transaction may have more, up to MaxOps.
	MaxBatchOps = 128
	// MaxBatchBytes bounds the keys and values of one batch. It is below the default --max-request-bytes of an etcd
	// cluster; one with a lower bound is found out. A single transaction may have more, up to MaxRequestBytes.
	MaxBatchBytes = 1 << 20
)

// batcher commits the transactions of concurrent Updates together: one entry of etcd's log, and one wait for the disk,
// for all of a batch. Each is a transaction of its own inside it, with its own conditions, and holds or fails alone.
// One batch is on its way at a time, and takes along what has come since the last: a lone Update waits for nobody, and
// the slower the disk, the larger the batches.
//
// etcd judges the conditions of all of them by the state before the batch. So no two of one batch may touch the same
// record where one of them writes it: each would hold though the other changed what it had read.
type batcher struct {
	store *Store

	mu      sync.Mutex
	queue   []*pending
	sending bool // by the goroutine that commits one batch after another
	passed  bool // something in the queue touches a record of the batch on its way
	ops     int  // of a batch, that the store is known to take
	bytes   int  // likewise
}

func newBatcher(s *Store) *batcher { return &batcher{store: s, ops: MaxBatchOps, bytes: MaxBatchBytes} }

// condition is that a record was last changed at a revision, or that there is none, at revision 0.
type condition struct {
	key      string
	modified int64
}

// pending is one transaction on its way.
type pending struct {
	conditions []condition
	writes     []clientv3.Op
	bytes      int
	done       chan outcome // holds one, so that nobody waits for a reader that left
	alone      bool         // a batch with it was refused as a whole
	left       bool         // nobody waits for it any more
}

// outcome is what became of a transaction; err is etcd's, or errAgain.
type outcome struct {
	held     bool
	revision int64
	err      error
}

// size is what counts of p against MaxBatchOps.
func (p *pending) size() int { return max(len(p.conditions), len(p.writes)) }

// commit returns what became of p. When ctx ends before that, it stays unknown.
func (b *batcher) commit(ctx context.Context, p *pending) outcome {
	if err := ctx.Err(); err != nil {
		return outcome{err: err}
	}
	p.done = make(chan outcome, 1)
	b.mu.Lock()
	b.queue = append(b.queue, p)
	idle := !b.sending
	b.sending = true
	b.mu.Unlock()
	if idle {
		go b.send() // ends when the queue is empty
	}
	select {
	case o := <-p.done:
		return o
	case <-ctx.Done():
		b.leave(p)
		return outcome{err: ctx.Err()}
	}
}

// leave takes p out of the queue, or keeps it from coming back there.
func (b *batcher) leave(p *pending) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.left = true
	if i := slices.Index(b.queue, p); i >= 0 {
		b.queue = slices.Delete(b.queue, i, i+1)
	}
}

// send commits batches until the queue is empty.
func (b *batcher) send() {
	var batch []*pending
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
func (b *batcher) take() []*pending {
	b.mu.Lock()
	defer b.mu.Unlock()
	var batch, kept []*pending
	touched := footprint{}
	size, bytes := 0, 0
	for i, p := range b.queue {
		if touched.collides(p) {
			kept, b.passed = append(kept, p), true
			continue
		}
		size, bytes = max(size, p.size()), bytes+p.bytes
		n := len(batch) + 1
		if n > 1 && (n > MaxBatch || n+size > b.ops || bytes > b.bytes || p.alone || batch[0].alone) {
			b.store.stats.batchesFull.Add(1)
			kept = append(kept, b.queue[i:]...)
			break
		}
		touched.add(p)
		batch = append(batch, p)
	}
	b.queue, b.sending = kept, batch != nil
	if batch != nil {
		b.store.stats.batches.Add(1)
	}
	return batch
}

// footprint is the records a batch touches; true for those it writes.
type footprint map[string]bool

func (f footprint) collides(p *pending) bool {
	for _, c := range p.conditions {
		if f[c.key] {
			return true
		}
	}
	for _, w := range p.writes {
		if _, touched := f[string(w.KeyBytes())]; touched {
			return true
		}
	}
	return false
}

func (f footprint) add(p *pending) {
	for _, c := range p.conditions {
		f[c.key] = false // two may read the same, which neither writes
	}
	for _, w := range p.writes {
		f[string(w.KeyBytes())] = true
	}
}

// transact commits a batch and returns what became of it as a whole and, when that is not an error, of each of it.
func (b *batcher) transact(batch []*pending) (whole outcome, each []bool) {
	// Nobody's own context: one caller that leaves must not end the others' writes.
	ctx, cancel := context.WithTimeout(context.Background(), b.store.config.Timeout)
	defer cancel()
	if len(batch) == 1 {
		answer, err := b.store.client.Txn(ctx).If(batch[0].compares()...).Then(batch[0].writes...).Commit()
		if err != nil {
			return outcome{err: err}, nil
		}
		return outcome{revision: answer.Header.Revision}, []bool{answer.Succeeded}
	}
	ops := make([]clientv3.Op, len(batch))
	for i, p := range batch {
		ops[i] = clientv3.OpTxn(p.compares(), p.writes, nil)
	}
	answer, err := b.store.client.Txn(ctx).Then(ops...).Commit()
	if err != nil {
		return outcome{err: err}, nil
	}
	each = make([]bool, len(batch))
	for i, r := range answer.Responses {
		each[i] = r.GetResponseTxn().Succeeded
	}
	return outcome{revision: answer.Header.Revision}, each
}

func (p *pending) compares() []clientv3.Cmp {
	compares := make([]clientv3.Cmp, len(p.conditions))
	for i, c := range p.conditions {
		compares[i] = clientv3.Compare(clientv3.ModRevision(c.key), "=", c.modified)
	}
	return compares
}

// settle tells everybody in a batch what became of it, or puts it back into the queue when it was refused for being one.
func (b *batcher) settle(batch []*pending, whole outcome, each []bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	passed := b.passed
	b.passed = false
	if len(batch) > 1 && b.divide(batch, whole.err) {
		return
	}
	written := map[string]bool{}
	for i, p := range batch {
		o := whole
		o.held = o.err == nil && each[i]
		p.done <- o
		if passed && o.held {
			for _, w := range p.writes {
				written[string(w.KeyBytes())] = true
			}
		}
	}
	b.overtaken(written, whole.revision)
}

// divide puts a batch back that was refused for what it is as a whole, in a way that the store will take, and reports
// whether it did. Of every other error nobody knows whether the batch was written.
func (b *batcher) divide(batch []*pending, err error) bool {
	size, bytes := 0, 0
	for _, p := range batch {
		size, bytes = max(size, p.size()), bytes+p.bytes
	}
	switch {
	case errors.Is(err, rpctypes.ErrTooManyOps):
		b.ops = (len(batch) + size) / 2
	case errors.Is(err, rpctypes.ErrRequestTooLarge):
		b.bytes = bytes / 2
	case errors.Is(err, rpctypes.ErrLeaseNotFound):
		// Only those with that lease are to hear of it.
		for _, p := range batch {
			p.alone = true
		}
	default:
		return false
	}
	back := slices.DeleteFunc(batch, func(p *pending) bool { return p.left })
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
			if written[c.key] && c.modified < revision {
				p.done <- outcome{err: errAgain}
				return true
			}
		}
		return false
	})
}
