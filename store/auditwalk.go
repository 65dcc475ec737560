package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/audit"
)

const (
	// firstWindow is how much of the audit log's time is asked for first, in milliseconds.
	firstWindow = 60_000
	// crowdedWindow is how many entries are too many for one window.
	crowdedWindow = 2000
	// idDigits is how many digits an entry's id begins with: the time, the newest first.
	idDigits = 13
)

// auditWalk reads the audit log from one key to another, page by page, the newest entries first.
//
// etcd counts, for each page it is asked for, all that is left of the range: to walk a long log page by page takes the
// square of its length, and to read its first page the length. So a range ends some time after its beginning, the sooner
// the more entries there are.
type auditWalk struct {
	store     *Store
	from, end string // the end not included
	limit     int64  // of a page
	options   []clientv3.OpOption
	window    int64 // in milliseconds
}

func (s *Store) auditWalk(from, end string, limit int64, options ...clientv3.OpOption) *auditWalk {
	return &auditWalk{store: s, from: from, end: end, limit: limit, options: options, window: firstWindow}
}

// next returns the next page; nil behind the last one.
func (w *auditWalk) next(ctx context.Context) ([]*mvccpb.KeyValue, error) {
	for w.from < w.end {
		bound := w.bound()
		asked, cancel := context.WithTimeout(ctx, w.store.config.Timeout)
		options := append([]clientv3.OpOption{clientv3.WithRange(bound), clientv3.WithLimit(w.limit)}, w.options...)
		answer, err := w.store.client.Get(asked, w.from, options...)
		cancel()
		if err != nil {
			return nil, w.store.refuse("read the audit log", err)
		}
		switch {
		case answer.Count > crowdedWindow:
			w.window = max(w.window/4, 1)
		case !answer.More:
			w.window *= 4 // it reaches behind all there can be before it overflows
		}
		w.from = bound
		if answer.More {
			w.from = string(answer.Kvs[len(answer.Kvs)-1].Key) + "\x00"
		}
		if len(answer.Kvs) > 0 {
			return answer.Kvs, nil
		}
	}
	return nil, nil
}

// bound returns where the window ends that begins at from.
func (w *auditWalk) bound() string {
	id := strings.TrimPrefix(w.from, w.store.auditKey(""))
	if len(id) < idDigits {
		id = audit.Before(w.store.config.Clock.Now())
	}
	at, err := strconv.ParseInt(id[:idDigits], 10, 64)
	if err != nil {
		return w.end // no id: whatever that is, it is read
	}
	text := fmt.Sprintf("%0*d", idDigits, at+w.window)
	if len(text) > idDigits {
		return w.end
	}
	return min(w.store.auditKey(text), w.end)
}

// auditLines reads the entries of a walk, the newest first, those behind after. Blocks that were written at the same time
// reach into each other: an entry is given once no record that is still to come can have a younger one.
type auditLines struct {
	walk  *auditWalk
	after string // an id
	page  []*mvccpb.KeyValue
	ready []line // in order
}

// next returns the next entry; nil behind the last one.
func (a *auditLines) next(ctx context.Context) (*line, error) {
	for {
		if len(a.page) == 0 {
			page, err := a.walk.next(ctx)
			if err != nil {
				return nil, err
			}
			a.page = page
		}
		if len(a.ready) > 0 && (len(a.page) == 0 || a.ready[0].id < a.id(a.page[0])) {
			l := a.ready[0]
			a.ready = a.ready[1:]
			return &l, nil
		}
		if len(a.page) == 0 {
			return nil, nil
		}
		a.take(a.page[0])
		a.page = a.page[1:]
	}
}

func (a *auditLines) id(kv *mvccpb.KeyValue) string {
	return strings.TrimPrefix(string(kv.Key), a.walk.store.auditKey(""))
}

// take puts the entries of a record where they belong.
func (a *auditLines) take(kv *mvccpb.KeyValue) {
	for _, l := range lines(a.id(kv), kv.Value) {
		if l.id <= a.after {
			continue
		}
		at := len(a.ready)
		for at > 0 && a.ready[at-1].id > l.id {
			at--
		}
		a.ready = slices.Insert(a.ready, at, l)
	}
}
