package media

import (
	"bytes"
	"net/netip"
	"testing"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/egress"
)

// rekeyed makes the phone offer again with a key of its own that is new, and returns the phone as it was.
func rekeyed(t *testing.T, s *Session, a, b *phone, suite string) (before *phone) {
	t.Helper()
	old := *a
	a.version++
	a.rekey(suite)
	dial(s, a, b, suites{suite, b.suite}, plainLeg)
	return &old
}

// Packets under the key before are on their way when a peer changes its key: they are taken for a while, from where the
// peer is, and those under the new one from the first.
func TestRekeyLeavesNoGap(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		clock := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = clock })
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		s.Confirm(call.Customer)
		talk(a, b)
		key := a.farKey
		old := rekeyed(t, s, a, b, suite)
		if a.farKey == key {
			t.Errorf("%s: our key stayed when the peer's changed", suite)
		}
		old.send("was on its way")
		b.hear("was on its way")
		old.sendReport("old")
		b.hearReport("old")
		talk(a, b)
		a.sendReport("new")
		b.hearReport("new")
		old.send("came late")
		b.hear("came late")
		stranger := newPhone(t, 66)
		stranger.write(stranger.rtp, stranger.protect(stranger.packet("forged")), a.far)
		clock.Advance(MaxRekeyTime)
		old.send("too late")
		old.sendReport("too late")
		b.hearNothing()
		talk(a, b)
		r, st := s.Close(), p.Stats()
		if st.OldKey != 3 || r.Legs[call.Customer].AuthFailures != 3 {
			t.Errorf("%s: %d under the old key, %d not authentic; want 3 and 3", suite, st.OldKey, r.Legs[call.Customer].AuthFailures)
		}
	}
}

// RFC 4568 lets the rollover counter begin anew with a key, RFC 3711 lets it go on; phones do either.
func TestRolloverCounterAfterRekey(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		for _, roc := range []uint32{0, 1} {
			p := newPlane(t, nil)
			s := open(t, p, call.Customer, secureLeg)
			a, b := newPhone(t, 1), newPhone(t, 2)
			a.seq = 65533
			dial(s, a, b, suites{suite, ""}, plainLeg)
			s.Confirm(call.Customer)
			for range 4 {
				talk(a, b)
			}
			rekeyed(t, s, a, b, suite)
			a.out.SetROC(a.ssrc, roc)
			for range 3 {
				talk(a, b)
			}
			if r := s.Close().Legs[call.Customer]; r.AuthFailures != 0 {
				t.Errorf("%s, counter %d: %+v", suite, roc, r)
			}
		}
	}
}

// Until the call is answered another key is that of another peer, and the one before has nothing to say any more.
func TestForksShareNoKeys(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b, c := newPhone(t, 1), newPhone(t, 2), newPhone(t, 3)
	offered, _ := s.Offer(call.Customer, a.offer(""), secureLeg)
	for _, fork := range []*phone{b, c} {
		answered, refusal := s.Answer(call.Carrier, fork.answer(offered, gcm))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		a.learn(answered)
		talk(a, fork)
	}
	b.send("from the other fork")
	a.hearNothing()
	talk(a, c)
}

// An answer that comes again, as in a 2xx after an 18x, is not taken again: what packets and listeners go by stays.
func TestSameAnswerChangesNothing(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	offered, _ := s.Offer(call.Customer, a.offer(""), secureLeg)
	said := b.answer(offered, gcm)
	first, refusal := s.Answer(call.Carrier, said)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	paths := [2]*path{s.legs[0].path.Load(), s.legs[1].path.Load()}
	again, refusal := s.Answer(call.Carrier, bytes.Clone(said))
	if refusal != nil || !bytes.Equal(again, first) {
		t.Errorf("the same answer again: %q, %v; want %q", again, refusal, first)
	}
	for side, lg := range s.legs {
		if lg.path.Load() != paths[side] {
			t.Errorf("the same answer was taken again on side %d", side)
		}
	}
	if _, refusal = s.Answer(call.Carrier, append(bytes.Clone(said), "a=x\r\n"...)); refusal != nil || s.legs[1].path.Load() == paths[1] {
		t.Errorf("another answer was not taken: %v", refusal)
	}
}

// A peer whose rollovers we have missed is found again, but not because of what strangers send.
func TestMissedRolloverIsFound(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		talk(a, b)
		a.out.SetROC(a.ssrc, 1) // 65,536 packets went nowhere
		stranger := newPhone(t, 66)
		for range resyncAfter {
			stranger.write(stranger.rtp, a.packet("from elsewhere, in the clear and longer than a tag"), a.far)
		}
		for range resyncAfter {
			a.send("unknown")
		}
		for range 3 {
			talk(a, b)
		}
		forged := a.packet("a forgery that is tried twice and fails")
		a.write(a.rtp, forged, a.far)
		talk(a, b)
		if st := p.Stats(); st.Resynced != 1 || st.AuthFailures+st.PlainDropped != 2*resyncAfter+1 {
			t.Errorf("%s: resynced %d, not authentic %d; want 1 and %d", suite, st.Resynced, st.AuthFailures+st.PlainDropped, 2*resyncAfter+1)
		}
		s.Close()
	}
}

// A stream that has gone on elsewhere before has a counter that no description tells. It is found, also where the peer is
// behind NAT and has not been heard yet.
func TestStreamJoinedLate(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		for _, address := range []string{"127.0.0.1", "10.1.2.3"} {
			for roc, seq := range map[uint32]uint16{1: 60000, 2: 5, 22: 40000} {
				p := newPlane(t, func(c *Config) { c.Egress = egress.Policy{AllowLoopback: true} })
				s := open(t, p, call.Customer, secureLeg)
				a, b := newPhone(t, 1), newPhone(t, 2)
				a.connAddr = address
				dial(s, a, b, suites{suite, ""}, plainLeg)
				a.out.SetROC(a.ssrc, roc)
				a.seq = seq
				for range resyncAfter + maxRollovers {
					a.send("unknown")
				}
				until(t, "all packets were seen", func() bool { return p.Stats().Received == resyncAfter+maxRollovers })
				for b.drain() {
				}
				talk(a, b)
				if r, st := s.Close().Legs[call.Customer], p.Stats(); st.Resynced != 1 || r.AuthFailures < resyncAfter || r.Replays != 0 {
					t.Errorf("%s, %s, counter %d: found %d times, %d not authentic, %d replays", suite, address, roc, st.Resynced, r.AuthFailures, r.Replays)
				}
			}
		}
	}
}

// A good packet between bad ones says that the counter is right, and so does a key that has just begun.
func TestFewFailuresLookForNoCounter(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		s.Confirm(call.Customer)
		talk(a, b)
		junk := func() { a.write(a.rtp, a.packet("not authentic, and longer than a tag"), a.far) }
		for range resyncAfter - 1 {
			junk()
		}
		talk(a, b)
		ahead := *a
		for range resyncAfter - 1 {
			junk()
		}
		ahead.out.SetROC(a.ssrc, 1)
		ahead.send("65,536 packets ahead")
		b.hearNothing()
		rekeyed(t, s, a, b, suite)
		talk(a, b)
		a.out.SetROC(a.ssrc, 1)
		a.send("ahead under a new key")
		b.hearNothing()
		if st := p.Stats(); st.Resynced != 0 {
			t.Errorf("%s: %d streams were found again", suite, st.Resynced)
		}
	}
}

// A peer that offers a key of ours would make both directions share a key stream.
func TestOurKeysAreNotOffered(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, gcm}, secureLeg)
	s.Confirm(call.Customer)
	talk(a, b)
	for name, key := range map[string]string{"to this side": a.farKey, "to the other": b.farKey} {
		body := a.sdp("RTP/SAVP", "1 "+gcm+" inline:"+key)
		if _, refusal := s.Offer(call.Customer, body, secureLeg); reason(refusal) != call.ReasonNoCommonSuite {
			t.Errorf("our own key %s: %v; want %v", name, reason(refusal), call.ReasonNoCommonSuite)
		}
		next := a.sdp("RTP/SAVP", "1 "+gcm+" inline:"+key, "2 "+gcm+" inline:"+a.offerKey())
		if _, refusal := s.Offer(call.Customer, next, secureLeg); refusal != nil {
			t.Errorf("our own key %s, and a good line: %v", name, *refusal)
		}
		s.Reject()
	}
	talk(a, b)
	// One key under two suites makes one key stream all the same.
	const cm = "AES_CM_128_HMAC_SHA1_80"
	s = open(t, p, call.Customer, secureLeg)
	dial(s, a, b, suites{cm, ""}, plainLeg)
	if _, refusal := s.Offer(call.Customer, a.sdp("RTP/SAVP", "1 AES_CM_128_HMAC_SHA1_32 inline:"+a.farKey), secureLeg); reason(refusal) != call.ReasonNoCommonSuite {
		t.Errorf("our own key under another suite: %v; want %v", reason(refusal), call.ReasonNoCommonSuite)
	}
	talk(a, b)
}

// An authentic packet under the old key says nothing about where the peer is.
func TestOldKeyMovesNoLatch(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	s.Confirm(call.Customer)
	talk(a, b)
	old := rekeyed(t, s, a, b, gcm)
	elsewhere := newPhone(t, 1)
	for range 2 { // before the new key was heard, and after
		held := old.protect(old.packet("held back, and sent on from elsewhere"))
		elsewhere.write(elsewhere.rtp, held, a.far)
		b.hear("held back, and sent on from elsewhere")
		b.send("to where the peer is")
		a.hear("to where the peer is")
		talk(a, b)
	}
	if got := s.Report().Legs[call.Customer].Remote; got != netip.MustParseAddrPort(a.rtp.LocalAddr().String()) {
		t.Errorf("the latch moved to %v", got)
	}
}

// The packets of a new key are counted anew: one from another address moves the stream, although those before had higher
// indices.
func TestLatchFollowsNewKey(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.seq = 65533
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	s.Confirm(call.Customer)
	for range 4 {
		talk(a, b)
	}
	rekeyed(t, s, a, b, gcm)
	talk(a, b)
	moved := newPhone(t, 1)
	moved.out, moved.in, moved.secure, moved.far, moved.seq = a.out, a.in, true, a.far, a.seq
	talk(moved, b)
}
