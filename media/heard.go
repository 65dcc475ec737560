package media

import (
	"slices"

	"carillon/call"
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

// retire keeps the key in use for the day it comes back, when another one follows it. No key is there twice.
func (lg *leg) retire(next *applied) {
	lg.former = slices.DeleteFunc(lg.former, func(f formerKey) bool { return f.key.Equal(next.key) })
	if old, ok := lg.inUse(); ok && !old.key.Equal(next.key) {
		lg.former = append(lg.former, old)
		lg.former = lg.former[max(0, len(lg.former)-maxFormer):]
	}
}

// receiverFor returns what unprotects what a side sends. The rollover counter and the replay window live as long as the key,
// also where the side has used another one meanwhile, or names the key otherwise: a new receiver would take for fresh what was
// heard before.
func (lg *leg) receiverFor(r *remote) (*srtp.Receiver, *call.Refusal) {
	known := slices.Clone(lg.former)
	if now, ok := lg.inUse(); ok {
		known = append(known, now)
	}
	var before *srtp.Receiver
	if i := slices.IndexFunc(known, func(f formerKey) bool { return f.key.Equal(r.key) }); i >= 0 {
		if before = known[i].in; known[i].mki == string(r.crypto.MKI) {
			return before, nil
		}
	}
	in, err := srtp.NewReceiver(r.key, r.crypto.MKI)
	if err != nil {
		return nil, call.Refuse(call.ReasonNoCommonSuite, "the key cannot be used")
	}
	in.LiveFor(r.crypto.Lifetime)
	if before != nil {
		lg.loop.within(lg.session, func() { in.Follow(before) })
	}
	return in, nil
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
