package store

import (
	"errors"
	"slices"

	pb "go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/trunk"
)

// tx is one run of Update's function.
type tx struct {
	update   *update
	store    *Store
	revision int64 // of all reads; 0 before the first
	// records are what it touched, in order, so that the transaction is the same each time.
	records []record
	few     [3]record               // room for those of nearly all transactions
	index   map[trunk.EntityKey]int // where the records are, once they are many
	reads   int
	writes  int
	failed  error // the first read that could not be done

	unwritten bool     // something it read may not be written
	after     *pending // by whom that is
}

// record is one that a transaction touched.
type record struct {
	key    trunk.EntityKey
	stored string // key
	isRead bool
	read   read

	absent bool // it must not exist before the transaction, which does not care why

	isWritten bool
	entity    trunk.Entity // nil deletes
	create    bool         // it must not exist before the transaction
}

type read struct {
	entity   trunk.Entity // nil when there is none
	modified int64        // etcd's ModRevision, 0 when there is none
	left     bool         // it is as tx.after leaves it
}

// manyRecords is from when on records are found by an index.
const manyRecords = 16

// find returns the record with that key; nil when it was not touched. It is good until the next one is touched.
func (t *tx) find(key trunk.EntityKey) *record {
	if t.index != nil {
		if i, ok := t.index[key]; ok {
			return &t.records[i]
		}
		return nil
	}
	for i := range t.records {
		if t.records[i].key == key {
			return &t.records[i]
		}
	}
	return nil
}

// touch returns the record with that key, which it makes.
func (t *tx) touch(key trunk.EntityKey) *record {
	if r := t.find(key); r != nil {
		return r
	}
	t.records = append(t.records, record{key: key, stored: t.store.entityKey(key)})
	switch n := len(t.records); {
	case t.index != nil:
		t.index[key] = n - 1
	case n > manyRecords:
		t.index = make(map[trunk.EntityKey]int, 2*n)
		for i := range t.records {
			t.index[t.records[i].key] = i
		}
	}
	return &t.records[len(t.records)-1]
}

// Get implements trunk.Tx. It sees what this transaction wrote before.
func (t *tx) Get(key trunk.EntityKey) (trunk.Entity, error) {
	if r := t.find(key); r != nil && r.isWritten {
		return r.entity, nil
	} else if r != nil && r.isRead {
		return r.read.entity, nil
	}
	if t.failed != nil {
		return nil, t.failed
	}
	r := t.touch(key)
	if r.read, t.failed = t.fetch(key, r.stored); t.failed != nil {
		return nil, t.failed
	}
	r.isRead = true
	t.reads++
	return r.read.entity, nil
}

func (t *tx) fetch(key trunk.EntityKey, stored string) (read, error) {
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
	answer, err := t.store.client.Get(t.update.context(), stored, options...)
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
		case <-t.update.context().Done():
			return read{}, false, t.store.refuse("read the store", t.update.context().Err())
		}
	}
	revision := last.by.fate.Load()
	if t.update.plain || revision == failed {
		return read{}, false, nil
	}
	r := read{modified: revision, left: revision == unknown}
	if last.value == nil {
		r.modified = 0
	} else {
		var err error
		if r.entity, err = decode(key, last.value, t.store.box); err != nil {
			return read{}, false, err
		}
	}
	if t.unwritten = true; r.left {
		t.after = last.by
	}
	return r, true, nil
}

// Absent implements trunk.Tx.
func (t *tx) Absent(key trunk.EntityKey) {
	r := t.touch(key)
	if !r.absent && !r.isRead {
		t.reads++
	}
	r.absent = true
}

// Create implements trunk.Tx.
func (t *tx) Create(e trunk.Entity) {
	// One that this transaction itself deleted may be created again.
	r := t.write(e.EntityKey(), e)
	r.create = r.create || !r.isWritten
	r.isWritten = true
}

// Put implements trunk.Tx.
func (t *tx) Put(e trunk.Entity) { t.write(e.EntityKey(), e).isWritten = true }

// Delete implements trunk.Tx.
func (t *tx) Delete(key trunk.EntityKey) { t.write(key, nil).isWritten = true }

func (t *tx) write(key trunk.EntityKey, e trunk.Entity) *record {
	r := t.touch(key)
	if !r.isWritten {
		t.writes++
	}
	r.entity = e
	return r
}

func (t *tx) commit() (int64, error) {
	if t.reads+t.writes > MaxOps {
		return 0, trunk.Errorf(trunk.LimitExceeded, "one transaction may read and write at most %d records", MaxOps)
	}
	if err := t.reserved(); err != nil {
		return 0, t.store.refuse("write to the store", err)
	}
	p, err := t.pending()
	switch {
	case err != nil && t.unwritten:
		return 0, errUnwritten
	case err != nil:
		return 0, err
	case t.update.parent.Err() != nil:
		return 0, t.store.refuse("write to the store", t.update.parent.Err())
	}
	t.store.batches.submit(p)
	if !t.update.plain {
		t.update.ticket.leave(p)
		t.update.ticket.release()
	}
	o := t.store.batches.wait(t.update.parent, p)
	var overtaken *overtakenError
	switch {
	case o.held:
		return o.revision, nil
	case errors.Is(o.err, rpctypes.ErrLeaseNotFound):
		t.store.leases.forget()
		return 0, errAgain
	case errors.As(o.err, &overtaken) && t.wantsAbsent(overtaken.key):
		return 0, trunk.ErrPresent
	case errors.Is(o.err, errAgain), errors.As(o.err, &overtaken):
		return 0, o.err
	case o.err != nil:
		return 0, t.store.refuse("write to the store", o.err)
	}
	return 0, t.whyNot()
}

// pending returns what must hold at the commit and what is written then.
func (t *tx) pending() (*pending, error) {
	p := &pending{after: t.after, until: t.update.until, done: make(chan struct{})}
	p.writes, p.conditions = p.few.writes[:0], p.few.conditions[:0]
	for i := range t.records {
		r := &t.records[i]
		if r.isRead {
			switch {
			case r.read.entity == nil:
			case r.absent:
				return nil, trunk.ErrPresent
			case r.create:
				return nil, exists(r.key)
			}
			p.conditions = append(p.conditions, condition{
				key: r.stored, modified: r.read.modified, left: r.read.left, gone: r.read.left && r.read.entity == nil,
			})
		} else if r.create || r.absent {
			p.conditions = append(p.conditions, condition{key: r.stored})
		}
		if !r.isWritten {
			continue
		}
		op := &pb.RequestOp{Request: &pb.RequestOp_RequestDeleteRange{RequestDeleteRange: &pb.DeleteRangeRequest{Key: []byte(r.stored)}}}
		if r.entity != nil {
			put, err := t.put(r)
			if err != nil {
				return nil, err
			}
			p.bytes += len(put.Value)
			op = &pb.RequestOp{Request: &pb.RequestOp_RequestPut{RequestPut: put}}
		}
		p.bytes += len(r.stored)
		p.writes = append(p.writes, write{r.stored, op, entryOf(r.entity, op)})
	}
	return p, nil
}

func (t *tx) put(r *record) (*pb.PutRequest, error) {
	value, err := encode(r.entity, t.store.box)
	if err != nil {
		return nil, err
	}
	put := &pb.PutRequest{Key: []byte(r.stored), Value: value}
	if d, ok := r.entity.(*trunk.Dedup); ok {
		lease, err := t.store.leases.until(t.update.context(), t.store, d.Expires)
		if err != nil {
			return nil, t.store.refuse("write to the store", err)
		}
		put.Lease = int64(lease)
	}
	return put, nil
}

// whyNot tells, after a commit that did not hold, a conflict, which is final, from a read that was overtaken, which
// is not. It asks only then: the reads would cost every commit that holds.
func (t *tx) whyNot() error {
	if t.after != nil {
		return errAgain
	}
	var asked []*record
	for i := range t.records {
		if r := &t.records[i]; r.isRead || r.create || r.absent {
			asked = append(asked, r)
		}
	}
	if len(asked) == 1 && !asked[0].isRead {
		return present(asked[0])
	}
	gets := make([]clientv3.Op, len(asked))
	for i, r := range asked {
		gets[i] = clientv3.OpGet(r.stored, clientv3.WithKeysOnly())
	}
	answer, err := t.store.client.Txn(t.update.context()).Then(gets...).Commit()
	if err != nil {
		return t.store.refuse("read the store", err)
	}
	for i, r := range asked {
		var modified int64
		if kvs := answer.Responses[i].GetResponseRange().Kvs; len(kvs) > 0 {
			modified = kvs[0].ModRevision
		}
		switch {
		case r.isRead && modified != r.read.modified:
			return &overtakenError{r.stored}
		case !r.isRead && modified != 0:
			return present(r)
		}
	}
	return errAgain // it has been deleted since
}

// wantsAbsent reports whether the record stored under a key must be absent for a reason other than a create.
func (t *tx) wantsAbsent(stored string) bool {
	return slices.ContainsFunc(t.records, func(r record) bool { return r.stored == stored && r.absent })
}

// present is why a transaction cannot hold that wanted the record not to exist.
func present(r *record) error {
	if r.absent {
		return trunk.ErrPresent
	}
	return exists(r.key)
}

func exists(key trunk.EntityKey) error {
	return trunk.Errorf(trunk.Conflict, "%s %q exists already", key.Kind, key.ID)
}
