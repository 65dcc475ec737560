package store

import (
	"context"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/trunk"
)

// pageSize is how many records a follower is told of at a time.
const pageSize = 5000

// list tells the complete state at one revision, page by page. While the follower is told of one page the next is
// decoded, and the one after that read: a start waits for little else.
func (f *follower) list(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	l := &lister{store: f.store, size: pageSize, pages: make(chan []*mvccpb.KeyValue, 1)}
	ended := make(chan error, 1)
	go func() { // ends with ctx
		defer close(l.pages)
		prefix := f.store.config.Prefix + "e/"
		ended <- l.list(ctx, prefix, prefix)
	}()
	changes := make(chan trunk.Change, 1)
	go func() { // ends with ctx
		defer close(changes)
		for page := range l.pages {
			c := trunk.Change{Revision: l.revision, Partial: true}
			f.addAll(&c, page)
			select {
			case changes <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	reset := true
	for c := range changes {
		c.Reset = reset
		if err := f.tell(c); err != nil {
			return err
		}
		reset = false
	}
	if err := <-ended; err != nil {
		return err
	}
	f.store.stats.lists.Add(1)
	f.next = l.revision + 1
	return f.tell(trunk.Change{Revision: l.revision, Reset: reset})
}

// lister reads all records below a prefix at one revision.
//
// etcd counts, for each page it is asked for, all that is left of the range: to walk a range page by page takes the
// square of its length, many minutes for a million. So what is left behind a page is asked for in parts that have a
// longer prefix in common, until a part is about as long as a page.
type lister struct {
	store    *Store
	size     int64 // of a page
	pages    chan []*mvccpb.KeyValue
	revision int64 // set with the first page
}

// list reads what is below prefix from a key on.
func (l *lister) list(ctx context.Context, prefix, from string) error {
	for {
		answer, err := l.page(ctx, from, clientv3.GetPrefixRangeEnd(prefix))
		if err != nil || !answer.More {
			return err
		}
		last := string(answer.Kvs[len(answer.Kvs)-1].Key)
		if answer.Count > 3*l.size {
			return l.split(ctx, prefix, last)
		}
		from = last + "\x00"
	}
}

// split reads what is below prefix behind a key, from the longest prefix they share with that key to the shortest.
func (l *lister) split(ctx context.Context, prefix, last string) error {
	if err := l.list(ctx, last, last+"\x00"); err != nil {
		return err
	}
	for n := len(last) - 1; n > len(prefix); n-- {
		if next, ok := after(last[:n+1]); ok {
			if err := l.list(ctx, last[:n], next); err != nil {
				return err
			}
		}
	}
	// These may each be long, so they are parted once more. Of the bytes above those of names there are few.
	const named = 0x80
	next := int(last[len(prefix)]) + 1
	for ; next < named; next++ {
		part := prefix + string(rune(next))
		if err := l.list(ctx, part, part); err != nil {
			return err
		}
	}
	if next > 0xff {
		return nil
	}
	return l.list(ctx, prefix, prefix+string([]byte{byte(next)}))
}

// after returns the first key behind all that begin with prefix and have its length but the last byte in common.
func after(prefix string) (string, bool) {
	last := prefix[len(prefix)-1]
	return prefix[:len(prefix)-1] + string([]byte{last + 1}), last < 0xff
}

func (l *lister) page(ctx context.Context, from, end string) (*clientv3.GetResponse, error) {
	asked, cancel := context.WithTimeout(ctx, l.store.config.Timeout)
	answer, err := l.store.client.Get(asked, from, clientv3.WithRange(end), clientv3.WithLimit(l.size), clientv3.WithRev(l.revision))
	cancel()
	if err != nil {
		return nil, err
	}
	if l.revision == 0 {
		l.revision = answer.Header.Revision
	}
	if len(answer.Kvs) == 0 {
		return answer, nil
	}
	select {
	case l.pages <- answer.Kvs:
		return answer, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
