package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"go.etcd.io/etcd/api/v3/mvccpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/trunk"
)

var (
	errClosed    = errors.New("the store was closed")
	errWentBack  = errors.New("the store's revision went back: it was restored")
	errWatchDone = errors.New("the store ended the watch")
)

// applyError is an error of the follower, which ends Follow, unlike one of the store.
type applyError struct{ error }

// Follow tells apply the complete state in parts, then every change in order of revisions, until ctx ends, the store
// is closed or apply gives an error. Between changes it tells the store's revision whenever that is confirmed, so
// that the follower knows it is not behind. It never calls apply twice at a time.
//
// Trouble with the store is not an error of Follow: it watches again from where it was, and lists again where the
// revisions between have been compacted.
func (s *Store) Follow(ctx context.Context, apply func(trunk.Change) error) error {
	f := &follower{store: s, apply: apply}
	for failures := 0; ; {
		err := f.step(ctx)
		var refused applyError
		switch {
		case errors.As(err, &refused):
			return fmt.Errorf("apply change: %w", refused.error)
		case ctx.Err() != nil:
			return ctx.Err()
		case s.client.Ctx().Err() != nil:
			return errClosed
		case err == nil:
			failures = 0
			continue
		}
		if errors.Is(err, rpctypes.ErrCompacted) || errors.Is(err, errWentBack) {
			f.next = 0
		}
		if f.heard {
			failures, f.heard = 0, false
		}
		failures++
		s.config.Logger.Warn("store cannot be followed, trying again", "error", err, "next_revision", f.next, "failures", failures)
		if !s.pause(ctx, failures+8) {
			return ctx.Err()
		}
	}
}

type follower struct {
	store *Store
	apply func(trunk.Change) error
	next  int64 // the revision to watch from; 0 lists first
	heard bool  // something came since the last failure
}

// step lists or watches, until one is done or fails.
func (f *follower) step(ctx context.Context) error {
	if f.next == 0 {
		return f.list(ctx)
	}
	return f.watch(ctx)
}

func (f *follower) tell(c trunk.Change) error {
	if err := f.apply(c); err != nil {
		return applyError{err}
	}
	f.heard = true
	return nil
}

// decoded is one stored entity as it was read.
type decoded struct {
	key    trunk.EntityKey
	ours   bool
	entity trunk.Entity
	err    error
}

func (f *follower) decode(kv *mvccpb.KeyValue) (d decoded) {
	if d.key, d.ours = f.store.parseKey(string(kv.Key)); d.ours {
		d.entity, d.err = decode(d.key, kv.Value, f.store.box)
	}
	return d
}

// addAll decodes a page on all processors: it is nearly all that a restart waits for.
func (f *follower) addAll(c *trunk.Change, kvs []*mvccpb.KeyValue) {
	all := make([]decoded, len(kvs))
	parts := runtime.GOMAXPROCS(0)
	var working sync.WaitGroup
	for part := range parts {
		working.Go(func() {
			for i := part; i < len(kvs); i += parts {
				all[i] = f.decode(kvs[i])
			}
		})
	}
	working.Wait()
	for _, d := range all {
		f.add(c, d)
	}
}

// add puts one stored entity into the change. One that cannot be read is told as gone: an older version of it, which
// may allow more, must not stay in force.
func (f *follower) add(c *trunk.Change, d decoded) {
	switch {
	case d.err != nil:
		f.store.stats.unreadable.Add(1)
		f.store.config.Logger.Error("stored record cannot be read, it is not in force", "kind", d.key.Kind, "id", d.key.ID, "error", d.err)
		c.Deleted = append(c.Deleted, d.key)
	case d.entity != nil:
		c.Put = append(c.Put, d.entity)
	}
}

func (f *follower) watch(ctx context.Context) error {
	s := f.store
	// A member cut off from the others would keep the watch open and silent.
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	// etcd does not say how far a watch is that begins behind its present revision, and so would be silent until the
	// next write: the watch begins one revision early, and that one's events are left out.
	changes := s.client.Watch(ctx, s.config.Prefix+"e/", clientv3.WithPrefix(), clientv3.WithRev(f.next-1), clientv3.WithProgressNotify())
	s.stats.resumed.Add(1)
	due := make(chan struct{}, 1)
	timer := s.config.Clock.AfterFunc(s.config.Progress, func() { due <- struct{}{} })
	defer timer.Stop()
	for {
		select {
		case answer, open := <-changes:
			if !open {
				return errWatchDone
			}
			if err := f.handle(answer, changes); err != nil {
				return err
			}
		case <-due:
			if err := s.client.RequestProgress(ctx); err != nil {
				return err
			}
			timer.Reset(s.config.Progress)
		case <-ctx.Done():
			return ctx.Err()
		case <-s.client.Ctx().Done():
			return errClosed
		}
	}
}

// eventsAtOnce is from how many waiting events on a follower is told of them before more are taken along.
const eventsAtOnce = 1000

// handle tells the follower what came, together with what else has come meanwhile: the more there is, the less each
// costs.
func (f *follower) handle(answer clientv3.WatchResponse, more <-chan clientv3.WatchResponse) error {
	var events []*clientv3.Event
	for {
		if err := answer.Err(); err != nil {
			return errors.Join(f.tellEvents(events), err)
		}
		if answer.IsProgressNotify() {
			return errors.Join(f.tellEvents(events), f.progress(answer.Header.Revision))
		}
		for _, e := range answer.Events {
			if e.Kv.ModRevision >= f.next {
				events = append(events, e)
			}
		}
		if len(events) >= eventsAtOnce {
			return f.tellEvents(events)
		}
		select {
		case next, open := <-more:
			if !open {
				return errors.Join(f.tellEvents(events), errWatchDone)
			}
			answer = next
		default:
			return f.tellEvents(events)
		}
	}
}

func (f *follower) progress(revision int64) error {
	if revision < f.next-1 {
		return errWentBack
	}
	f.next = revision + 1
	return f.tell(trunk.Change{Revision: revision})
}

func (f *follower) tellEvents(events []*clientv3.Event) error {
	if len(events) == 0 {
		return nil
	}
	c := f.change(events)
	f.next = c.Revision + 1
	return f.tell(c)
}

// change makes one change of the events of one or more whole revisions. Of an entity changed more than once only the
// last state counts.
func (f *follower) change(events []*clientv3.Event) trunk.Change {
	// The header's revision may be ahead of the events that came with it.
	c := trunk.Change{Revision: events[len(events)-1].Kv.ModRevision}
	last := make(map[string]int, len(events))
	for i, e := range events {
		last[string(e.Kv.Key)] = i
	}
	for i, e := range events {
		if last[string(e.Kv.Key)] != i {
			continue
		}
		if e.Type == clientv3.EventTypeDelete {
			if key, ok := f.store.parseKey(string(e.Kv.Key)); ok {
				c.Deleted = append(c.Deleted, key)
			}
			continue
		}
		f.add(&c, f.decode(e.Kv))
	}
	return c
}
