package store

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/trunk"
)

var (
	// errAgain says that what a transaction read has changed meanwhile.
	errAgain = errors.New("run again")
	// errUnwritten says that the result of a run rests on what may never be written.
	errUnwritten = errors.New("run again with what is written")
)

// turnError says that a run has come to a record that Updates take turns for.
type turnError struct{ key string }

// Error implements error.
func (e *turnError) Error() string { return "it is not this transaction's turn to read " + e.key }

// Update implements trunk.Store. All reads of one run of fn see the same revision, and the commit holds only if none
// of them has changed since; otherwise fn runs again, at most MaxRuns times. Updates of this node that contend for a
// record take turns: there a run sees what the one before it leaves. Against those of other nodes they run again after
// a short random pause.
//
// A run that only creates and puts costs one etcd transaction and no read, and Updates that come at the same time share
// one, so two may have the same revision. A run that writes nothing returns the revision it read, or 0 when it read
// nothing.
//
// Kinds of error besides fn's own: Conflict when a created entity exists; Unavailable when the store cannot be
// reached in time or too many others write the same entities - after a commit that got no answer the write may have
// happened; LimitExceeded for more than MaxOps reads and writes.
func (s *Store) Update(ctx context.Context, fn func(tx trunk.Tx) error) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	u := &update{store: s, fn: fn, ticket: ticket{turns: s.turns}}
	defer u.ticket.release()
	for run := 0; run < MaxRuns; {
		revision, err := u.run(ctx)
		var needed *turnError
		var overtaken *overtakenError
		switch {
		case errors.As(err, &needed):
			if err := u.ticket.wait(ctx, needed.key); err != nil {
				return 0, s.refuse("write to the store", err)
			}
			s.stats.turns.Add(1)
			continue // nothing was tried
		case errors.Is(err, errUnwritten):
			u.plain = true
		case errors.Is(err, errAgain), errors.As(err, &overtaken):
			if !u.again(ctx, overtaken, run) {
				run = MaxRuns
			}
		default:
			return revision, err
		}
		if run++; run < MaxRuns {
			s.stats.reruns.Add(1)
		}
	}
	s.stats.exhausted.Add(1)
	return 0, trunk.Errorf(trunk.Unavailable, "others keep changing the same records; try again")
}

// update is one call of Update.
type update struct {
	store  *Store
	fn     func(trunk.Tx) error
	ticket ticket
	// plain runs read nothing that is not written yet, and keep their turns until they have been.
	plain bool
}

// run runs the function once and commits what it wrote.
func (u *update) run(ctx context.Context) (int64, error) {
	t := newTx(ctx, u)
	err := u.fn(t)
	switch {
	case t.failed != nil:
		// fn may have made anything of a read that never happened.
		return 0, t.failed
	case t.unwritten && (err != nil || len(t.order) == 0):
		return 0, errUnwritten
	case err != nil:
		return 0, err
	case len(t.order) == 0:
		return t.revision, nil
	}
	revision, err := t.commit()
	if err == nil {
		u.store.stats.updates.Add(1)
	}
	return revision, err
}

// again makes ready for another run: it takes the turn for the record that had changed, or, where that is no news, waits
// and takes no more risk. It reports false when ctx has ended.
func (u *update) again(ctx context.Context, overtaken *overtakenError, run int) bool {
	if overtaken != nil && !u.ticket.holds(overtaken.key) {
		if err := u.ticket.wait(ctx, overtaken.key); err != nil {
			return false
		}
		if u.ticket.holds(overtaken.key) {
			u.store.stats.turns.Add(1)
			return true
		}
	}
	u.plain = u.plain || run > 0
	return u.store.pause(ctx, run+1)
}

// pause waits a random part of a time that doubles with each run, reporting false when ctx ended first.
func (s *Store) pause(ctx context.Context, run int) bool {
	const first, most = 500 * time.Microsecond, 64 * time.Millisecond
	limit := min(first<<min(run, 10), most)
	var b [2]byte
	if _, err := s.config.Random.Read(b[:]); err != nil {
		b = [2]byte{0xff, 0xff} // without randomness the pause is the longest; the write must not fail for it
	}
	d := limit * time.Duration(uint16(b[0])<<8|uint16(b[1])) / 0xffff
	done := make(chan struct{})
	timer := s.config.Clock.AfterFunc(d, func() { close(done) })
	select {
	case <-done:
		return true
	case <-ctx.Done():
		timer.Stop()
		return false
	}
}

// tx is one run of Update's function.
type tx struct {
	ctx      context.Context
	store    *Store
	revision int64 // of all reads; 0 before the first
	reads    map[trunk.EntityKey]read
	readings []trunk.EntityKey // reads in order, so that the transaction is the same each time
	writes   map[trunk.EntityKey]*write
	order    []trunk.EntityKey
	failed   error // the first read that could not be done

	update    *update
	unwritten bool     // something it read may not be written
	after     *pending // by whom that is
}

type read struct {
	entity   trunk.Entity // nil when there is none
	modified int64        // etcd's ModRevision, 0 when there is none
	left     bool         // it is as tx.after leaves it
}

type write struct {
	entity trunk.Entity // nil deletes
	create bool         // the entity must not exist before the transaction
}

func newTx(ctx context.Context, u *update) *tx {
	return &tx{ctx: ctx, store: u.store, update: u, reads: map[trunk.EntityKey]read{}, writes: map[trunk.EntityKey]*write{}}
}

// Get implements trunk.Tx. It sees what this transaction wrote before.
func (t *tx) Get(key trunk.EntityKey) (trunk.Entity, error) {
	if w, ok := t.writes[key]; ok {
		return w.entity, nil
	}
	if r, ok := t.reads[key]; ok {
		return r.entity, nil
	}
	if t.failed != nil {
		return nil, t.failed
	}
	r, err := t.fetch(key)
	if err != nil {
		t.failed = err
		return nil, err
	}
	t.reads[key] = r
	t.readings = append(t.readings, key)
	return r.entity, nil
}

func (t *tx) fetch(key trunk.EntityKey) (read, error) {
	stored := t.store.entityKey(key)
	if !t.update.ticket.holds(stored) {
		if t.store.turns.contended(stored) {
			return read{}, &turnError{stored}
		}
	} else if r, ok, err := t.seen(key, stored); ok || err != nil {
		return r, err
	}
	var options []clientv3.OpOption
	if t.revision > 0 {
		options = append(options, clientv3.WithRev(t.revision))
	}
	answer, err := t.store.client.Get(t.ctx, stored, options...)
	if err != nil {
		return read{}, t.store.refuse("read the store", err)
	}
	if t.revision == 0 {
		t.revision = answer.Header.Revision
	}
	if len(answer.Kvs) == 0 {
		return read{}, nil
	}
	kv := answer.Kvs[0]
	e, err := decode(key, kv.Value, t.store.box)
	if err != nil {
		return read{}, err
	}
	return read{entity: e, modified: kv.ModRevision}, nil
}

// seen returns what the last one whose turn it was makes of the record, without asking the store.
func (t *tx) seen(key trunk.EntityKey, stored string) (read, bool, error) {
	last, ok := t.update.ticket.seen(stored)
	if !ok {
		return read{}, false, nil
	}
	if t.update.plain || t.after != nil && t.after != last.by {
		// One must be known to be written before it can be read.
		select {
		case <-last.by.done:
		case <-t.ctx.Done():
			return read{}, false, t.store.refuse("read the store", t.ctx.Err())
		}
	}
	revision := last.by.fate.Load()
	if t.update.plain || revision == failed {
		return read{}, false, nil
	}
	r := read{modified: revision, left: revision == unknown}
	if last.gone {
		r.modified = 0
	} else {
		var err error
		if r.entity, err = decode(key, []byte(last.value), t.store.box); err != nil {
			return read{}, false, err
		}
	}
	if t.unwritten = true; r.left {
		t.after = last.by
	}
	return r, true, nil
}

// Create implements trunk.Tx.
func (t *tx) Create(e trunk.Entity) {
	key := e.EntityKey()
	// What this transaction itself deleted may be created again.
	_, deleted := t.writes[key]
	t.write(key, e, !deleted)
}

// Put implements trunk.Tx.
func (t *tx) Put(e trunk.Entity) { t.write(e.EntityKey(), e, false) }

// Delete implements trunk.Tx.
func (t *tx) Delete(key trunk.EntityKey) { t.write(key, nil, false) }

func (t *tx) write(key trunk.EntityKey, e trunk.Entity, create bool) {
	w, ok := t.writes[key]
	if !ok {
		w = &write{}
		t.writes[key] = w
		t.order = append(t.order, key)
	}
	w.entity = e
	w.create = w.create || create
}

func (t *tx) commit() (int64, error) {
	if len(t.order) > MaxOps || len(t.reads)+len(t.order) > MaxOps {
		return 0, trunk.Errorf(trunk.LimitExceeded, "one transaction may read and write at most %d records", MaxOps)
	}
	p, err := t.pending()
	switch {
	case err != nil && t.unwritten:
		return 0, errUnwritten
	case err != nil:
		return 0, err
	case t.ctx.Err() != nil:
		return 0, t.store.refuse("write to the store", t.ctx.Err())
	}
	t.store.batches.submit(p)
	if !t.update.plain {
		t.update.ticket.leave(p)
		t.update.ticket.release()
	}
	o := t.store.batches.wait(t.ctx, p)
	var overtaken *overtakenError
	switch {
	case errors.Is(o.err, rpctypes.ErrLeaseNotFound):
		t.store.leases.forget()
		return 0, errAgain
	case errors.Is(o.err, errAgain), errors.As(o.err, &overtaken):
		return 0, o.err
	case o.err != nil:
		return 0, t.store.refuse("write to the store", o.err)
	case o.held:
		return o.revision, nil
	}
	return 0, t.whyNot()
}

func (t *tx) pending() (*pending, error) {
	p := &pending{after: t.after, writes: make([]clientv3.Op, 0, len(t.order))}
	for _, key := range t.order {
		w := t.writes[key]
		stored := t.store.entityKey(key)
		p.bytes += len(stored)
		if w.entity == nil {
			p.writes = append(p.writes, clientv3.OpDelete(stored))
			continue
		}
		value, err := encode(w.entity, t.store.box)
		if err != nil {
			return nil, err
		}
		var options []clientv3.OpOption
		if d, ok := w.entity.(*trunk.Dedup); ok {
			lease, err := t.store.leases.until(t.ctx, t.store, d.Expires)
			if err != nil {
				return nil, t.store.refuse("write to the store", err)
			}
			options = append(options, clientv3.WithLease(lease))
		}
		p.bytes += len(value)
		p.writes = append(p.writes, clientv3.OpPut(stored, string(value), options...))
	}
	var err error
	p.conditions, err = t.conditions()
	return p, err
}

// conditions returns what must hold at the commit.
func (t *tx) conditions() ([]condition, error) {
	var all []condition
	for _, key := range t.readings {
		if w := t.writes[key]; w != nil && w.create && t.reads[key].entity != nil {
			return nil, exists(key)
		}
		r := t.reads[key]
		all = append(all, condition{t.store.entityKey(key), r.modified, r.left, r.left && r.entity == nil})
	}
	for _, key := range t.created() {
		all = append(all, condition{key: t.store.entityKey(key)})
	}
	return all, nil
}

func (t *tx) created() []trunk.EntityKey {
	var keys []trunk.EntityKey
	for _, key := range t.order {
		if _, wasRead := t.reads[key]; t.writes[key].create && !wasRead {
			keys = append(keys, key)
		}
	}
	return keys
}

// whyNot tells, after a commit that did not hold, a conflict, which is final, from a read that was overtaken, which
// is not. It asks only then: the reads would cost every commit that holds.
func (t *tx) whyNot() error {
	created := t.created()
	if t.after != nil {
		return errAgain
	}
	if len(t.readings) == 0 && len(created) == 1 {
		return exists(created[0])
	}
	keys := slices.Concat(t.readings, created)
	gets := make([]clientv3.Op, 0, len(keys))
	for _, key := range keys {
		gets = append(gets, clientv3.OpGet(t.store.entityKey(key), clientv3.WithKeysOnly()))
	}
	answer, err := t.store.client.Txn(t.ctx).Then(gets...).Commit()
	if err != nil {
		return t.store.refuse("read the store", err)
	}
	for i, key := range keys {
		var modified int64
		if kvs := answer.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			modified = kvs[0].ModRevision
		}
		switch {
		case i < len(t.readings) && modified != t.reads[key].modified:
			return &overtakenError{t.store.entityKey(key)}
		case i >= len(t.readings) && modified != 0:
			return exists(key)
		}
	}
	return errAgain // it has been deleted since
}

func exists(key trunk.EntityKey) error {
	return trunk.Errorf(trunk.Conflict, "%s %q exists already", key.Kind, key.ID)
}
