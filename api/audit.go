package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	v1 "carillon/api/v1"
	"carillon/audit"
	"carillon/trunk"
)

// AuditLog is where the audit log is read from.
type AuditLog interface {
	// Audit returns at most limit entries that f chooses, newest first, those behind after, and the cursor of the next
	// page: "" on the last one. A page may be short though there is a next.
	Audit(ctx context.Context, f audit.Filter, limit int, after string) (entries []*audit.Entry, next string, err error)
}

// recorder is a transaction that notes what it changes.
type recorder struct {
	trunk.Tx
	notes []note
	// few is room for the one note of most transactions. Some notes are looked through, places has those of longer ones.
	few    [1]note
	places map[trunk.EntityKey]int
	// judge is asked about each entity before its reader gets it.
	judge  func(trunk.Entity) error
	failed error // the first read of ours that could not be done
}

// note is what a transaction saw and made of one entity.
type note struct {
	key           trunk.EntityKey
	before, after trunk.Entity // nil where there is none
	written       bool
}

// scanned is how many notes are looked through one by one; a map of fewer costs more than it saves.
const scanned = 8

func newRecorder(tx trunk.Tx, judge func(trunk.Entity) error) *recorder {
	t := &recorder{Tx: tx, judge: judge}
	t.notes = t.few[:0]
	return t
}

// noted returns the note of an entity, good until the next one is added; nil while there is none.
func (t *recorder) noted(key trunk.EntityKey) *note {
	if len(t.notes) > scanned {
		if i, ok := t.places[key]; ok {
			return &t.notes[i]
		}
		return nil
	}
	for i := range t.notes {
		if t.notes[i].key == key {
			return &t.notes[i]
		}
	}
	return nil
}

func (t *recorder) add(n note) {
	t.notes = append(t.notes, n)
	if len(t.notes) <= scanned {
		return
	}
	if t.places == nil {
		t.places = make(map[trunk.EntityKey]int, 2*len(t.notes))
	}
	for i := len(t.places); i < len(t.notes); i++ {
		t.places[t.notes[i].key] = i
	}
}

// Get implements trunk.Tx. What it returns first is what was there before.
func (t *recorder) Get(key trunk.EntityKey) (trunk.Entity, error) {
	e, err := t.Tx.Get(key)
	if err == nil && audit.Recorded(key.Kind) && t.noted(key) == nil {
		t.add(note{key: key, before: e})
		if e != nil {
			err = t.judge(e)
		}
	}
	return e, err
}

// Create implements trunk.Tx.
func (t *recorder) Create(e trunk.Entity) {
	key := e.EntityKey()
	if audit.Recorded(key.Kind) && t.noted(key) == nil {
		t.add(note{key: key}) // it commits only where there was none
	}
	t.write(key, e)
	t.Tx.Create(e)
}

// Put implements trunk.Tx.
func (t *recorder) Put(e trunk.Entity) {
	t.write(e.EntityKey(), e)
	t.Tx.Put(e)
}

// Delete implements trunk.Tx.
func (t *recorder) Delete(key trunk.EntityKey) {
	t.write(key, nil)
	t.Tx.Delete(key)
}

// write takes down a write before it is done. Where its function has not looked what was there, it looks itself.
func (t *recorder) write(key trunk.EntityKey, e trunk.Entity) {
	if !audit.Recorded(key.Kind) {
		return
	}
	if t.noted(key) == nil {
		if _, err := t.Get(key); err != nil {
			if t.failed == nil {
				t.failed = err
			}
			return
		}
	}
	n := t.noted(key)
	n.after, n.written = e, true
}

// record runs fn and puts the entry that tells of what it wrote into the same transaction. It returns how many it put.
func (r *request) record(tx trunk.Tx, fn func(trunk.Tx) error) (int, error) {
	r.fresh = nil
	t := newRecorder(tx, r.rejudge)
	if err := fn(t); err != nil {
		return 0, err
	}
	if t.failed != nil {
		return 0, t.failed
	}
	e := r.entry(t)
	if e == nil {
		return 0, nil
	}
	tx.Put(e)
	return 1, nil
}

// entry returns what the audit log keeps of a transaction; nil when it changes nothing that belongs there.
func (r *request) entry(t *recorder) *audit.Entry {
	e := &audit.Entry{
		Time: r.server.config.Clock.Now().UTC().Truncate(time.Millisecond), Account: r.principal.Account, RequestID: r.id, Part: r.recorded, Action: r.row.action,
		Principal: r.principal.ARN, AccessKeyID: r.principal.AccessKeyID, Operator: r.principal.Operator,
		UserAgent: audit.Agent(r.http.UserAgent()), Resource: r.resource,
	}
	if source, err := netip.ParseAddrPort(r.http.RemoteAddr); err == nil {
		e.Source = netip.AddrPortFrom(source.Addr().Unmap().WithZone(""), source.Port())
	}
	for _, n := range t.notes {
		if n.written && (n.before != nil || n.after != nil) {
			e.Add(audit.Diff(r.released(n.before), n.after))
		}
	}
	if len(e.Changes) == 0 {
		return nil
	}
	return e
}

// released returns what was there before as everybody saw it: a number whose time in the deletion queue is over belongs to
// nobody, though it still names its last holder. Whoever gets it next must not read who that was.
func (r *request) released(before trunk.Entity) trunk.Entity {
	if n, ok := before.(*trunk.PhoneNumber); ok && n.Lapsed(r.now) {
		return n.Release(n.Updated)
	}
	return before
}

func listAudit(r *request) (any, error) {
	account, err := r.accountQuery()
	if err != nil {
		return nil, err
	}
	f := audit.Filter{Account: account, Operation: r.query.Get(v1.QueryOperation), Resource: r.query.Get(v1.QueryResource)}
	if !r.principal.Operator {
		f.SeenBy = r.principal.Account
	}
	if err := r.knownOperation(f.Operation); err != nil {
		return nil, err
	}
	if f.Since, err = r.timeQuery(v1.QuerySince); err != nil {
		return nil, err
	}
	if f.Until, err = r.timeQuery(v1.QueryUntil); err != nil {
		return nil, err
	}
	limit, after, err := r.pageQuery()
	if err != nil {
		return nil, err
	}
	if r.leave, err = r.enter(r.server.auditReads); err != nil {
		return nil, err
	}
	ctx, cancel := r.bounded()
	defer cancel()
	entries, next, err := r.server.config.Audit.Audit(ctx, f, limit, after)
	if err != nil {
		return nil, err
	}
	answer := &v1.AuditList{Entries: []v1.AuditEntry{}}
	for _, e := range entries {
		if !r.principal.Operator {
			e = e.SeenBy(r.principal.Account)
		}
		answer.Entries = append(answer.Entries, ownEntry(e))
	}
	if next != "" {
		if len(entries) < limit {
			r.server.metrics.shortPages.Inc()
		}
		answer.NextToken = new(r.token(r.row.name, next))
	}
	return answer, nil
}

// knownOperation refuses a name that no operation has, which would find nothing, and says which one is close to it.
func (r *request) knownOperation(name string) error {
	near, bare := "", name[strings.IndexByte(name, ':')+1:] // an action, chime:NAME, finds its operation too
	for i := range r.server.rows {
		known := r.server.rows[i].name
		if bare == known || name == "" {
			return nil
		}
		a, b := strings.ToLower(bare), strings.ToLower(known)
		if a == b || near == "" && (strings.HasPrefix(b, a) || strings.HasPrefix(a, b) || strings.ReplaceAll(a, "-", "") == b) {
			near = known
		}
	}
	if near == "" {
		near = "DeleteVoiceConnector"
	}
	return trunk.Errorf(trunk.Invalid, "There is no operation %q; one is %s.", name, near)
}

// timeQuery reads a time; zero when the parameter is not there.
func (r *request) timeQuery(name string) (time.Time, error) {
	text := r.query.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, trunk.Errorf(trunk.Invalid, "%s must be a time such as 2026-11-23T09:30:00Z.", name)
	}
	return t, nil
}

func ownEntry(e *audit.Entry) v1.AuditEntry {
	w := v1.AuditEntry{
		ID: e.EntityKey().ID, Time: e.Time, RequestID: e.RequestID, Operation: e.Operation(), Action: e.Action, AccountID: e.Account,
		Principal: e.Principal, AccessKeyID: e.AccessKeyID, Operator: e.Operator, Source: e.Source, UserAgent: e.UserAgent,
		Resource: e.Resource, Changes: []v1.AuditChange{}, Omitted: e.Omitted,
	}
	for _, c := range e.Changes {
		w.Changes = append(w.Changes, v1.AuditChange{
			Kind: string(c.Key.Kind), ID: c.Key.ID, ARN: c.ARN, AccountID: cmp.Or(c.OwnerAfter, c.OwnerBefore), Before: json.RawMessage(c.Before), After: json.RawMessage(c.After), Cut: c.Cut,
		})
	}
	return w
}
