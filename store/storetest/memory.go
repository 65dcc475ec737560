package storetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"carillon/audit"
	"carillon/trunk"
)

// Memory is a store in memory, for tests of what uses a store. It keeps the entities it is given and not their
// stored forms. Its zero value is empty and ready.
type Memory struct {
	mu       sync.Mutex
	revision int64
	entities map[trunk.EntityKey]trunk.Entity
	feeds    map[*feed]bool
}

// feed is one follower's queue.
type feed struct {
	changes []trunk.Change
	wake    chan struct{}
}

// Update implements trunk.Store: one transaction at a time, so that fn runs exactly once.
func (m *Memory) Update(ctx context.Context, fn func(tx trunk.Tx) error) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return 0, fmt.Errorf("write to memory: %w (%w)", trunk.Errorf(trunk.Unavailable, "the store was asked to stop waiting"), err)
	}
	m.revision = max(m.revision, 1)
	t := &memoryTx{base: m.entities, writes: map[trunk.EntityKey]trunk.Entity{}}
	if err := fn(t); err != nil {
		return 0, err
	}
	if t.refused != nil {
		return 0, t.refused
	}
	if len(t.writes) == 0 {
		return m.revision, nil
	}
	m.revision++
	m.commit(t.writes)
	return m.revision, nil
}

func (m *Memory) commit(writes map[trunk.EntityKey]trunk.Entity) {
	if m.entities == nil {
		m.entities = map[trunk.EntityKey]trunk.Entity{}
	}
	c := trunk.Change{Revision: m.revision}
	for key, e := range writes {
		if key.Kind == audit.Kind {
			m.entities[key] = e // nobody follows the audit log
			continue
		}
		if e == nil {
			delete(m.entities, key)
			c.Deleted = append(c.Deleted, key)
			continue
		}
		m.entities[key] = e
		c.Put = append(c.Put, e)
	}
	for f := range m.feeds {
		f.add(c)
	}
}

// Revision returns the revision of the last commit.
func (m *Memory) Revision() int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.revision
}

// Follow implements directory.Source.
func (m *Memory) Follow(ctx context.Context, apply func(trunk.Change) error) error {
	f := &feed{wake: make(chan struct{}, 1)}
	m.mu.Lock()
	m.revision = max(m.revision, 1)
	complete := trunk.Change{Revision: m.revision, Reset: true}
	for key, e := range m.entities {
		if key.Kind != audit.Kind {
			complete.Put = append(complete.Put, e)
		}
	}
	f.add(complete)
	if m.feeds == nil {
		m.feeds = map[*feed]bool{}
	}
	m.feeds[f] = true
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.feeds, f)
	}()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-f.wake:
		}
		m.mu.Lock()
		changes := f.changes
		f.changes = nil
		m.mu.Unlock()
		for _, c := range changes {
			if err := apply(c); err != nil {
				return fmt.Errorf("apply change: %w", err)
			}
		}
	}
}

func (f *feed) add(c trunk.Change) {
	f.changes = append(f.changes, c)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// entries returns the audit log by the ids of its entries. m must be locked.
func (m *Memory) entries() []*audit.Entry {
	var all []*audit.Entry
	for _, e := range m.entities {
		if entry, ok := e.(*audit.Entry); ok {
			all = append(all, entry)
		}
	}
	slices.SortFunc(all, func(a, b *audit.Entry) int { return strings.Compare(a.EntityKey().ID, b.EntityKey().ID) })
	return all
}

// Audit reads the audit log as Store does.
func (m *Memory) Audit(_ context.Context, f audit.Filter, limit int, after string) (page []*audit.Entry, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.entries() {
		if e.EntityKey().ID <= after || !f.Match(e) {
			continue
		}
		if len(page) == limit {
			return page, page[limit-1].EntityKey().ID, nil
		}
		page = append(page, e)
	}
	return page, "", nil
}

// TrimAudit trims the audit log as Store does, but not by bytes: it has no stored forms.
func (m *Memory) TrimAudit(_ context.Context, now time.Time, r audit.Retention) (d audit.Dropped, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r = r.WithDefaults()
	seen := map[string]int{}
	for _, e := range m.entries() {
		switch seen[e.Account]++; {
		case now.Sub(e.Time) > r.Keep:
			d.Aged++
		case seen[e.Account] > r.PerAccount:
			d.Crowded++
		default:
			continue
		}
		delete(m.entities, e.EntityKey())
	}
	return d, nil
}

type memoryTx struct {
	base    map[trunk.EntityKey]trunk.Entity
	writes  map[trunk.EntityKey]trunk.Entity // nil deletes
	refused error
}

// Get implements trunk.Tx.
func (t *memoryTx) Get(key trunk.EntityKey) (trunk.Entity, error) {
	if e, ok := t.writes[key]; ok {
		return e, nil
	}
	return t.base[key], nil
}

// Absent implements trunk.Tx.
func (t *memoryTx) Absent(key trunk.EntityKey) {
	if t.base[key] != nil {
		t.refused = trunk.ErrPresent
	}
}

// Create implements trunk.Tx.
func (t *memoryTx) Create(e trunk.Entity) {
	key := e.EntityKey()
	if _, written := t.writes[key]; !written && t.base[key] != nil {
		t.refused = trunk.Errorf(trunk.Conflict, "%s %q exists already", key.Kind, key.ID)
	}
	t.Put(e)
}

// Put implements trunk.Tx.
func (t *memoryTx) Put(e trunk.Entity) {
	if reflect.TypeOf(e).Kind() != reflect.Pointer {
		// Every entity of the domain is a pointer; a store would have no form for anything else.
		t.refused = trunk.Errorf(trunk.Internal, "no stored form for %T", e)
	}
	t.writes[e.EntityKey()] = e
}

// Delete implements trunk.Tx.
func (t *memoryTx) Delete(key trunk.EntityKey) { t.writes[key] = nil }
