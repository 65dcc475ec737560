package store

import (
	"context"
	"errors"
	"time"

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
// Errors besides fn's own: ErrPresent when what shall be absent is not; of the kind Conflict when a created entity exists; Unavailable when the store cannot be
// reached in time, is full, or too many others write the same entities - after a commit that got no answer, or met the
// quota of the store, the write may have happened; LimitExceeded for more than MaxOps reads and writes.
func (s *Store) Update(ctx context.Context, fn func(tx trunk.Tx) error) (int64, error) {
	u := &update{store: s, fn: fn, parent: ctx, until: s.config.Clock.Now().Add(s.config.Timeout), ticket: ticket{turns: s.turns}}
	defer u.end()
	for run := 0; run < MaxRuns; {
		revision, err := u.run()
		var needed *turnError
		var overtaken *overtakenError
		switch {
		case err == nil:
			return revision, nil
		case errors.As(err, &needed):
			if err := u.ticket.wait(u.context(), needed.key); err != nil {
				return 0, s.refuse("write to the store", err)
			}
			s.stats.turns.Add(1)
			continue // nothing was tried
		case errors.Is(err, errUnwritten):
			u.plain = true
		case errors.Is(err, errAgain), errors.As(err, &overtaken):
			if !u.again(overtaken, run) {
				run = MaxRuns
			}
		default:
			return 0, err
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

	parent context.Context
	until  time.Time
	// bounded is parent until then. It is made when it is needed: a first run without reads does not.
	bounded context.Context
	cancel  context.CancelFunc
}

func (u *update) context() context.Context {
	if u.bounded == nil {
		u.bounded, u.cancel = context.WithTimeout(u.parent, u.store.config.Timeout)
	}
	return u.bounded
}

func (u *update) end() {
	u.ticket.release()
	if u.cancel != nil {
		u.cancel()
	}
}

// run runs the function once and commits what it wrote.
func (u *update) run() (int64, error) {
	t := &tx{update: u, store: u.store}
	t.records = t.few[:0]
	err := u.fn(t)
	switch {
	case t.failed != nil:
		// fn may have made anything of a read that never happened.
		return 0, t.failed
	case t.unwritten && (err != nil || t.writes == 0):
		return 0, errUnwritten
	case err != nil:
		return 0, err
	case t.writes == 0:
		return t.revision, nil
	}
	revision, err := t.commit()
	if err == nil {
		u.store.stats.updates.Add(1)
	}
	return revision, err
}

// again makes ready for another run: it takes the turn for the record that had changed, or, where that is no news, waits
// and takes no more risk. It reports false when the time is over.
func (u *update) again(overtaken *overtakenError, run int) bool {
	if overtaken != nil && !u.ticket.holds(overtaken.key) {
		if err := u.ticket.wait(u.context(), overtaken.key); err != nil {
			return false
		}
		if u.ticket.holds(overtaken.key) {
			u.store.stats.turns.Add(1)
			return true
		}
	}
	u.plain = u.plain || run > 0
	return u.store.pause(u.context(), run+1)
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
