package media

import (
	"slices"

	"carillon/srtp"
)

// maxFormer is how many keys of a peer besides the one in use are remembered: a call that is put on hold has one of the music,
// and forks have one each.
const maxFormer = 4

// formerKey is a key that a peer has used, and what was received under it.
type formerKey struct {
	key srtp.Key
	mki string
	in  *srtp.Receiver
}

// heardKeys is what a session has received of a side, handed over to another session that the side comes into.
type heardKeys struct {
	of   *Session
	keys []formerKey
}

// inUse returns the peer's key in use, false where there is none.
func (lg *leg) inUse() (formerKey, bool) {
	if lg.now == nil || lg.now.in == nil {
		return formerKey{}, false
	}
	return formerKey{lg.now.key, string(lg.now.crypto.MKI), lg.now.in}, true
}

// retire keeps the key in use for the day it comes back, when another one follows it.
func (lg *leg) retire(next *applied) {
	lg.former = slices.DeleteFunc(lg.former, func(f formerKey) bool { return f.in == next.in })
	if old, ok := lg.inUse(); ok && old.in != next.in {
		lg.former = append(lg.former, old)
		lg.former = lg.former[max(0, len(lg.former)-maxFormer):]
	}
}

// formerly returns the receiver of a key that the peer has used before, nil for none. A new one would take for fresh what was
// heard then.
func (lg *leg) formerly(r *remote) *srtp.Receiver {
	for _, f := range lg.former {
		if f.key.Equal(r.key) && f.mki == string(r.crypto.MKI) {
			return f.in
		}
	}
	return nil
}

// heard copies what the session has received of the leg's side; nil where that was nothing under a key. The relay loop goes
// on with what is copied.
func (lg *leg) heard() any {
	keys := slices.Clone(lg.former)
	if now, ok := lg.inUse(); ok {
		keys = append(keys, now)
	}
	if len(keys) == 0 || lg.session.closed {
		return nil
	}
	h := &heardKeys{of: lg.session}
	for _, k := range keys {
		next, err := srtp.NewReceiver(k.key, []byte(k.mki))
		if err != nil {
			continue // it was a key before
		}
		lg.loop.within(lg.session, func() { next.Follow(k.in) })
		h.keys = append(h.keys, formerKey{k.key, k.mki, next})
	}
	return h
}
