package store

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/audit"
	"carillon/iam"
	"carillon/trunk"
)

// MaxAuditScan is the most entries one Audit looks at. A filter that few entries pass gives short, even empty, pages with
// a cursor to go on from.
const MaxAuditScan = 10_000

const (
	// auditPage is how many entries are read at a time: they can be long.
	auditPage = 64
	// trimPage is how many entries one transaction of TrimAudit removes.
	trimPage = 100
	// maxStoredEntry is about the most that an entry takes; it tells when no account can have too many bytes.
	maxStoredEntry = 2 * audit.MaxEntryBytes
)

// auditKey is the key of an entry. Entries are apart from the other entities, so that nobody who follows those is told
// of each, and a start does not read them.
func (s *Store) auditKey(id string) string { return s.config.Prefix + "a/" + id }

// storedEntry leaves out what the id says (time, account, request) and what is as it is for almost all: a principal that
// follows from the key, a resource that is the ARN of what was changed, an owner that is the account itself. Every write
// of the API pays for its bytes, so their names are short.
type storedEntry struct {
	header
	Action    string         `json:"a"`
	Principal string         `json:"p,omitempty"`
	Key       string         `json:"k,omitempty"`
	Operator  bool           `json:"op,omitempty"`
	Source    netip.AddrPort `json:"s,omitzero"`
	UserAgent string         `json:"u,omitempty"`
	Resource  string         `json:"r,omitempty"`
	Changes   []storedChange `json:"c,omitempty"`
	Omitted   int            `json:"more,omitempty"`
}

type storedChange struct {
	Kind        string          `json:"k"`
	ID          string          `json:"i"`
	ARN         string          `json:"r,omitempty"`
	OwnerBefore *string         `json:"from,omitempty"` // where it is not the entry's account
	OwnerAfter  *string         `json:"to,omitempty"`   // likewise
	Before      json.RawMessage `json:"b,omitempty"`
	After       json.RawMessage `json:"n,omitempty"`
	Cut         bool            `json:"cut,omitempty"`
}

func entryForm(e *audit.Entry) *storedEntry {
	f := &storedEntry{
		header: header{formVersion}, Action: e.Action, Key: e.AccessKeyID, Operator: e.Operator,
		Source: e.Source, UserAgent: e.UserAgent, Omitted: e.Omitted,
	}
	if e.Principal != usualPrincipal(e) {
		f.Principal = e.Principal
	}
	if e.Resource != usualResource(e) {
		f.Resource = e.Resource
	}
	for i := range e.Changes {
		c := &e.Changes[i]
		s := storedChange{Kind: string(c.Key.Kind), ID: c.Key.ID, ARN: c.ARN, Before: json.RawMessage(c.Before), After: json.RawMessage(c.After), Cut: c.Cut}
		if c.OwnerBefore != usualOwner(e, c.Before) {
			s.OwnerBefore = &c.OwnerBefore
		}
		if c.OwnerAfter != usualOwner(e, c.After) {
			s.OwnerAfter = &c.OwnerAfter
		}
		f.Changes = append(f.Changes, s)
	}
	return f
}

func (f *storedEntry) entity(id string) (trunk.Entity, error) {
	e := &audit.Entry{
		Action: f.Action, Principal: f.Principal, AccessKeyID: f.Key, Operator: f.Operator,
		Source: f.Source, UserAgent: f.UserAgent, Resource: f.Resource, Omitted: f.Omitted,
	}
	var err error
	if e.Time, e.Account, e.RequestID, e.Part, err = audit.ParseID(id); err != nil {
		return nil, err
	}
	for _, s := range f.Changes {
		c := audit.Change{
			Key: trunk.EntityKey{Kind: trunk.EntityKind(s.Kind), ID: s.ID}, ARN: s.ARN, Before: string(s.Before), After: string(s.After), Cut: s.Cut,
		}
		c.OwnerBefore, c.OwnerAfter = usualOwner(e, c.Before), usualOwner(e, c.After)
		if s.OwnerBefore != nil {
			c.OwnerBefore = *s.OwnerBefore
		}
		if s.OwnerAfter != nil {
			c.OwnerAfter = *s.OwnerAfter
		}
		e.Changes = append(e.Changes, c)
	}
	if e.Principal == "" {
		e.Principal = usualPrincipal(e)
	}
	if e.Resource == "" {
		e.Resource = usualResource(e)
	}
	return e, nil
}

// usualPrincipal is what stands for a principal that is not stored; "" where the entry names no key.
func usualPrincipal(e *audit.Entry) string {
	if e.AccessKeyID == "" {
		return ""
	}
	return iam.UserARN(e.Account, e.AccessKeyID)
}

func usualResource(e *audit.Entry) string {
	if len(e.Changes) == 0 {
		return ""
	}
	return e.Changes[0].ARN
}

func usualOwner(e *audit.Entry, side string) string {
	if side == "" {
		return ""
	}
	return e.Account
}

// Audit returns at most limit entries of the audit log that f chooses, the newest first, those behind the cursor after,
// or the first ones when it is empty. next is the cursor of the next page, "" on the last one. It looks at no more than
// MaxAuditScan entries, and gives no more than audit.MaxPageBytes.
func (s *Store) Audit(ctx context.Context, f audit.Filter, limit int, after string) (entries []*audit.Entry, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	from, end := s.auditRange(f, after)
	log := &auditLines{walk: s.auditWalk(from, end, auditPage), after: after}
	for looked, size := 0, 0; ; {
		l, err := log.next(ctx)
		if err != nil {
			return nil, "", err
		}
		if l == nil {
			return entries, "", nil
		}
		if len(entries) == limit || looked == MaxAuditScan {
			return entries, next, nil
		}
		if e := s.auditEntry(f, l.id, l.value); e != nil {
			if size += len(l.value); size > audit.MaxPageBytes && len(entries) > 0 {
				return entries, next, nil
			}
			entries = append(entries, e)
		}
		looked, next = looked+1, l.id
	}
}

// auditRange returns the keys of the records that may hold what f chooses behind a cursor, the end not included.
func (s *Store) auditRange(f audit.Filter, after string) (from, end string) {
	from, end = s.auditKey(""), clientv3.GetPrefixRangeEnd(s.auditKey(""))
	if !f.Until.IsZero() {
		from = s.auditKey(audit.Before(f.Until.Add(blockSpan)))
	}
	if at, _, _, _, err := audit.ParseID(after); err == nil {
		from = max(from, s.auditKey(audit.Before(at.Add(blockSpan))))
	} else if after != "" {
		from = max(from, s.auditKey(after))
	}
	if !f.Since.IsZero() {
		end = clientv3.GetPrefixRangeEnd(s.auditKey(audit.Before(f.Since)))
	}
	return from, end
}

// auditEntry returns a stored entry if f chooses it. One that cannot be read is counted and passed over: it must not
// hide all older ones.
func (s *Store) auditEntry(f audit.Filter, id string, value []byte) *audit.Entry {
	// Most entries of a busy installation are somebody else's: to look for twelve digits is cheaper than to decode.
	if f.Account != "" && !strings.Contains(id, f.Account) && !bytes.Contains(value, []byte(f.Account)) {
		return nil
	}
	e, err := decode(trunk.EntityKey{Kind: audit.Kind, ID: id}, value, s.box)
	if err != nil {
		s.stats.unreadable.Add(1)
		s.config.Logger.Error("audit entry left out", "error", err)
		return nil
	}
	if entry := e.(*audit.Entry); f.Match(entry) {
		return entry
	}
	return nil
}

// TrimAudit removes what r says shall not be kept any longer at now. It may run on several nodes at a time.
func (s *Store) TrimAudit(ctx context.Context, now time.Time, r audit.Retention) (audit.Dropped, error) {
	r = r.WithDefaults()
	var d audit.Dropped
	err := s.trimAged(ctx, clientv3.GetPrefixRangeEnd(s.auditKey(audit.Before(now.Add(-r.Keep)))), &d)
	if err == nil {
		err = s.trimCrowded(ctx, r, &d)
	}
	s.stats.auditAged.Add(uint64(d.Aged))
	s.stats.auditCrowded.Add(uint64(d.Crowded))
	if e := s.embedded; e != nil && d != (audit.Dropped{}) && e.reserve.crowded(e.size()) {
		e.noteCrowded() // now the room can come back
	}
	return d, err
}

// trimAged removes the entries from a key on, which are those older than its time.
func (s *Store) trimAged(ctx context.Context, from string, d *audit.Dropped) error {
	walk := s.auditWalk(from, clientv3.GetPrefixRangeEnd(s.auditKey("")), trimPage, clientv3.WithKeysOnly())
	for {
		page, err := walk.next(ctx)
		if err != nil || page == nil {
			return err
		}
		first, last := string(page[0].Key), string(page[len(page)-1].Key)
		n, err := s.removeAudit(ctx, []clientv3.Op{clientv3.OpDelete(first, clientv3.WithRange(last+"\x00"), clientv3.WithPrevKV())})
		if d.Aged += n; err != nil {
			return err
		}
	}
}

// trimCrowded removes those of each account that have too many younger ones, or too many bytes of them. A block goes when
// there are enough without it.
func (s *Store) trimCrowded(ctx context.Context, most audit.Retention, d *audit.Dropped) error {
	count, err := s.countAudit(ctx)
	if err != nil || count <= min(int64(most.PerAccount/MaxBatch), most.BytesPerAccount/maxStoredEntry) {
		return err // no account can have more: the walk is spared
	}
	type share struct {
		entries int
		bytes   int64
	}
	seen := map[string]share{}
	walk := s.auditWalk(s.auditKey(""), clientv3.GetPrefixRangeEnd(s.auditKey("")), auditPage)
	for {
		page, err := walk.next(ctx)
		if err != nil || page == nil {
			return err
		}
		var removals []clientv3.Op
		for _, kv := range page {
			key := string(kv.Key)
			_, account, _, _, err := audit.ParseID(strings.TrimPrefix(key, s.auditKey("")))
			before := seen[account]
			now := share{before.entries + countLines(kv.Value), before.bytes + int64(len(key)+len(kv.Value))}
			seen[account] = now
			if err == nil && (before.entries >= most.PerAccount || now.bytes > most.BytesPerAccount) {
				removals = append(removals, clientv3.OpDelete(key, clientv3.WithPrevKV()))
			}
		}
		for len(removals) > 0 {
			n := min(trimPage, len(removals))
			removed, err := s.removeAudit(ctx, removals[:n])
			if d.Crowded += removed; err != nil {
				return err
			}
			removals = removals[n:]
		}
	}
}

func (s *Store) countAudit(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	answer, err := s.client.Get(ctx, s.auditKey(""), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		return 0, s.refuse("count the audit log", err)
	}
	return answer.Count, nil
}

func (s *Store) removeAudit(ctx context.Context, removals []clientv3.Op) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	answer, err := s.client.Txn(ctx).Then(removals...).Commit()
	if err != nil {
		return 0, s.refuse("trim the audit log", err)
	}
	for _, r := range answer.Responses {
		for _, kv := range r.GetResponseDeleteRange().PrevKvs {
			removed += countLines(kv.Value)
		}
	}
	return removed, nil
}
