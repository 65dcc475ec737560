package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/srtp/v3"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/rtp"
	"carillon/srtp"
)

// limited has the phone say in its offers how many packets its key serves.
func limited(s *Session, a, b *phone, suite, lifetime string) {
	a.t.Helper()
	offer := bytes.Replace(a.offer(suite), []byte(a.offerKey()), []byte(a.offerKey()+"|"+lifetime), 1)
	offered, refusal := s.Offer(call.Customer, offer, plainLeg)
	if refusal != nil {
		a.t.Fatal(*refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		a.t.Fatal(*refusal)
	}
	a.learn(answered)
}

// A key serves as many packets as its line says. What comes after that is not heard, RTCP with it, and is counted as what
// it is; a new key ends that, the same one again does not.
func TestLifetimeOfAPeersKey(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		a.seq = 65533 // the rollover is on the way
		limited(s, a, b, suite, "10")
		s.Confirm(call.Customer)
		for range 10 {
			talk(a, b)
		}
		a.sendReport("in time")
		b.hearReport("in time")
		a.send("one too many")
		a.send("and another")
		b.hearNothing()
		a.sendReport("too late")
		until(t, "all packets were seen", func() bool { return p.Stats().Dropped == 3 })
		if got := b.count(b.rtcp); got != 0 {
			t.Errorf("%s: %d reports under a key that is used up", suite, got)
		}
		b.send("the other way is another key")
		a.hear("the other way is another key")
		if r, st := s.Report().Legs[call.Customer], p.Stats(); r.KeyUsedUp != 3 || st.KeyUsedUp != 3 || r.AuthFailures+r.Replays != 0 || st.Dropped != 3 {
			t.Errorf("%s: %+v; want 3 packets past the lifetime, and nothing else dropped", suite, r)
		}
		limited(s, a, b, suite, "1000")
		a.send("the same key again")
		b.hearNothing()
		rekeyed(t, s, a, b, suite)
		for range 12 {
			talk(a, b)
		}
		a.sendReport("new")
		b.hearReport("new")
		if r := s.Close().Legs[call.Customer]; r.KeyUsedUp != 4 || r.AuthFailures != 0 {
			t.Errorf("%s: %d past the lifetime, %d not authentic; want 4 and 0", suite, r.KeyUsedUp, r.AuthFailures)
		}
	}
}

// A side that goes on under a key that is used up is as silent as one that sends nothing, and its call ends with that reason.
// Forgeries that run ahead of the stream do not end a key.
func TestSpentKeyEndsInSilence(t *testing.T) {
	for _, spent := range []bool{true, false} {
		clock := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = clock })
		var ended []string
		s, refusal := p.Open(call.Open{ID: "spent", Leg: secureLeg, OnSilence: func(side call.Side, spent bool) {
			ended = append(ended, fmt.Sprint(side, spent))
		}})
		if refusal != nil {
			t.Fatal(*refusal)
		}
		a, b := newPhone(t, 1), newPhone(t, 2)
		limited(s, a, b, gcm, "2^2")
		for range 4 {
			talk(a, b)
		}
		until(t, "the packets were counted", func() bool { return s.Report().Legs[call.Customer].PacketsReceived == 4 })
		before := p.Stats().Received
		if spent {
			a.send("one too many")
		} else {
			a.write(a.rtp, append(a.packet("forged"), make([]byte, 16)...), a.far)
		}
		until(t, "the packet was seen", func() bool { return p.Stats().Received == before+1 })
		clock.Advance(30 * time.Second)
		b.send("not silent")
		a.hear("not silent")
		a.sendReport("not heard if spent")
		until(t, "both were seen", func() bool { return p.Stats().Received == before+3 })
		clock.Advance(31 * time.Second)
		want := "[customer true]"
		if !spent {
			want = "[]" // RTCP says that it lives
		}
		if fmt.Sprint(ended) != want {
			t.Errorf("spent %v: ended %v; want %s", spent, ended, want)
		}
		s.Close()
	}
}

// A key that comes back after another one, as that of a phone after the music, goes on where it was: with its rollover
// counter, and nothing that was heard under it is heard again.
func TestKeyThatComesBack(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b, music := newPhone(t, 1), newPhone(t, 2), newPhone(t, 3)
		a.seq = 65533
		dial(s, a, b, suites{suite, ""}, plainLeg)
		s.Confirm(call.Customer)
		var old [][]byte
		for i := range 6 {
			old = append(old, a.send(fmt.Sprint("before ", i)))
			b.hear(fmt.Sprint("before ", i))
			if i == 2 { // the side is asked into another session, and does not go
				s.Origin(call.Customer, s.Origin(call.Customer, call.Origin{}))
			}
		}
		for range maxFormer - 1 {
			dial(s, music, b, suites{suite, ""}, plainLeg)
			talk(music, b)
			music.version++
			music.rekey(suite)
		}
		before := a.farKey
		dial(s, a, b, suites{suite, ""}, plainLeg)
		for _, packet := range old {
			a.write(a.rtp, packet, a.far)
		}
		b.hearNothing()
		talk(a, b)
		if r := s.Close().Legs[call.Customer]; r.Replays != 6 || r.AuthFailures != 0 || a.farKey == before {
			t.Errorf("%s: %d replays, %d not authentic, our key renewed %v; want 6, none, true", suite, r.Replays, r.AuthFailures, a.farKey != before)
		}
	}
}

// A party that comes into another session, as when its call is transferred, may keep its key, and goes on counting under it:
// it is heard at once, and nothing that was heard before is heard again. Our own key it gets anew, here and where it comes
// back to.
func TestKeyGoesOnInAnotherSession(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b, c := newPhone(t, 1), newPhone(t, 2), newPhone(t, 3)
		a.seq = 40000
		dial(s, a, b, suites{suite, ""}, plainLeg)
		s.Confirm(call.Customer)
		for _, seq := range []uint16{40000, 60000, 20000, 45000} { // the second round, in the upper half
			a.seq = seq
			talk(a, b)
		}
		old := a.send("before")
		b.hear("before")
		first := a.farKey
		next := open(t, p, call.Carrier, plainLeg)
		offered, refusal := next.Offer(call.Carrier, c.offer(""), secureLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		told := s.Origin(call.Customer, call.Origin{})
		s.Origin(call.Customer, told) // the session it leaves learns that, too
		next.Origin(call.Customer, told)
		answered, refusal := next.Answer(call.Customer, a.answer(offered, suite))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		c.learn(answered)
		for range 3 {
			talk(a, c)
		}
		a.write(a.rtp, old, a.far)
		c.hearNothing()
		if r := next.Report().Legs[call.Customer]; r.AuthFailures != 0 || r.Replays != 1 || a.farKey == first {
			t.Errorf("%s: %d not authentic, %d replays, our key is another %v; want 0, 1, true", suite, r.AuthFailures, r.Replays, a.farKey != first)
		}
		// And back: the session that it left goes on with the party's key, under a new one of ours, whoever offers.
		for _, offer := range []func() []byte{
			func() []byte {
				out, refusal := s.Offer(call.Carrier, b.offer(""), secureLeg)
				if refusal != nil {
					t.Fatal(*refusal)
				}
				back, refusal := s.Answer(call.Customer, a.answer(out, suite))
				if refusal != nil {
					t.Fatal(*refusal)
				}
				b.learn(back)
				return out
			},
			func() []byte {
				s.Origin(call.Customer, told)
				dial(s, a, b, suites{suite, ""}, plainLeg)
				return []byte(a.lastSDP)
			},
		} {
			before := a.farKey
			if out := offer(); a.farKey == before || a.farKey == first || strings.Contains(string(out), first) {
				t.Errorf("%s: a key of ours came back with the party", suite)
			}
			talk(a, b)
			now := a.farKey
			if dial(s, a, b, suites{suite, ""}, plainLeg); a.farKey != now {
				t.Errorf("%s: a re-offer that changes nothing changed our key", suite)
			}
			talk(a, b)
		}
	}
}

// Of a key that came back under another identifier only the last receiver is remembered: the one before has not seen all.
func TestNoFormerKeyTwice(t *testing.T) {
	lg := &leg{}
	var in []*srtp.Receiver
	for _, use := range []struct {
		key byte
		mki string
	}{{1, ""}, {2, ""}, {1, "x"}, {2, ""}} {
		a := &applied{remote: &remote{}}
		var err error
		if a.key, err = srtp.ParseKey(srtp.AEAD_AES_128_GCM, bytes.Repeat([]byte{use.key}, 28)); err != nil {
			t.Fatal(err)
		}
		a.crypto.MKI = []byte(use.mki)
		if a.in, err = srtp.NewReceiver(a.key, a.crypto.MKI); err != nil {
			t.Fatal(err)
		}
		in = append(in, a.in)
		lg.retire(a)
		lg.now = a
	}
	if len(lg.former) != 1 || lg.former[0].in != in[2] {
		t.Errorf("%d keys are remembered; want the first one as it was used last", len(lg.former))
	}
}

// Keys that a peer changes again and again are not remembered for ever.
func TestFormerKeysAreBounded(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	for range 3 * maxFormer {
		rekeyed(t, s, a, b, gcm)
		talk(a, b)
	}
	if n := len(s.legs[call.Customer].former); n != maxFormer {
		t.Errorf("%d keys are remembered; want %d", n, maxFormer)
	}
}

// A key that stays is answered with the tag and the spelling of the line that brings it again, and goes on.
func TestKeyUnderAnotherTag(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	x := offerLines(s, a, b, inline(2, 46), "2 AES_CM_256_HMAC_SHA1_80 "+inline(2, 46))
	x.talk(a, b)
	y := offerLines(s, a, b, inline(2, 46), "03 AES_256_CM_HMAC_SHA1_80 "+inline(2, 46))
	if y.tag != "03" || y.suite != "AES_256_CM_HMAC_SHA1_80" {
		t.Errorf("answered as %s %s; want the tag and the spelling of the last offer", y.tag, y.suite)
	}
	x.talk(a, b)
}

// The rollover counter of both ways lives through a hold of either form and through a change of the source and back.
func TestRolloverCounterOverHoldAndSource(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		a.seq, b.seq = 65533, 65533
		dial(s, a, b, suites{suite, suite}, secureLeg)
		s.Confirm(call.Customer)
		for range 4 {
			talk(a, b)
		}
		keyA, keyB := a.farKey, b.farKey
		for _, hold := range []string{"sendonly", "inactive", "0.0.0.0"} {
			if hold == "0.0.0.0" {
				a.connAddr = hold
			} else {
				a.direct = hold
			}
			a.version++
			if offered, refusal := s.Offer(call.Customer, a.offer(suite), secureLeg); refusal != nil {
				t.Fatal(*refusal)
			} else if answered, refusal := s.Answer(call.Carrier, b.answer(offered, suite)); refusal != nil {
				t.Fatal(*refusal)
			} else if hold != "0.0.0.0" {
				a.learn(answered)
			}
			if hold != "0.0.0.0" && a.farKey != keyA || b.farKey != keyB {
				t.Errorf("%s, %s: keys changed", suite, hold)
			}
			a.direct, a.connAddr = "", "127.0.0.1"
			a.version++
			dial(s, a, b, suites{suite, suite}, secureLeg)
			talk(a, b)
		}
		// Another source has a counter of its own, and the first one its own still.
		ssrc, seq := a.ssrc, a.seq
		a.ssrc, a.seq = 99, 65534
		for range 3 {
			talk(a, b)
		}
		a.ssrc, a.seq = ssrc, seq
		talk(a, b)
		if r := s.Close(); r.Legs[call.Customer].AuthFailures+r.Legs[call.Carrier].AuthFailures+r.Legs[call.Customer].Replays != 0 {
			t.Errorf("%s: %+v", suite, r.Legs)
		}
	}
}

// No key of ours is ever told twice but for one stream that goes on: not to both sides, not under two suites, not to two
// targets, and not to a side that has moved or changed its key.
func TestEveryStreamHasItsOwnKey(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b, c := newPhone(t, 1), newPhone(t, 2), newPhone(t, 3)
	where := map[string]string{}
	note := func(stream string, description []byte) {
		t.Helper()
		for _, line := range ourLines(description) {
			at := stream + " " + line[1]
			if old, ok := where[line[2]]; ok && old != at {
				t.Errorf("the key of %s is that of %s", at, old)
			}
			where[line[2]] = at
		}
	}
	exchange := func(near, far *phone, nearStream, farStream string) {
		t.Helper()
		offered, refusal := s.Offer(call.Customer, near.offer(gcm), secureLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		note(farStream, offered)
		answered, refusal := s.Answer(call.Carrier, far.answer(offered, gcm))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		note(nearStream, answered)
		near.learn(answered)
		talk(near, far)
	}
	exchange(a, b, "to a", "to the first target")
	exchange(a, c, "to a", "to the second target")
	s.Confirm(call.Customer)
	s.Confirm(call.Carrier)
	exchange(a, c, "to a", "to the second target") // nothing changes: the keys in use may stay
	a.version++
	a.rekey(gcm)
	exchange(a, c, "to a under its new key", "to the second target")
	moved := newPhone(t, 4)
	moved.suite, moved.keySalt, moved.out, moved.rtcp = a.suite, a.keySalt, a.out, a.rtcp
	exchange(moved, c, "to a, which moved", "to the second target")
	moved.mux = true
	exchange(moved, c, "to a, whose reports moved", "to the second target")
	offered, refusal := s.Offer(call.Customer, moved.offer(gcm), offerLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	note("to the second target under another policy", offered)
	if len(where) < 12 {
		t.Errorf("only %d keys were seen", len(where))
	}
}

// Reports have a window too; those that are authentic and not encrypted are no better than plain ones, nor is what is no
// report once its protection is off; and DTLS is not answered, or taken for anything.
func TestWhatIsNotSRTCP(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		talk(a, b)
		reports := netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1)
		report, err := a.out.EncryptRTCP(nil, a.named(rtp.AppendRR(nil, a.ssrc), "once"), nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			a.write(a.rtcp, report, reports)
		}
		b.hearReport("once")
		k := phoneSuites[suite]
		clear, err := pion.CreateContext(a.keySalt[:k.key], a.keySalt[k.key:], k.profile, pion.SRTCPNoEncryption())
		if err != nil {
			t.Fatal(err)
		}
		clear.SetIndex(a.ssrc, 100)
		authentic, err := clear.EncryptRTCP(nil, rtp.AppendRR(nil, a.ssrc), nil)
		if err != nil {
			t.Fatal(err)
		}
		a.write(a.rtcp, authentic, reports)
		broken, err := a.out.EncryptRTCP(nil, append(rtp.AppendRR(nil, a.ssrc), 0x80, rtp.TypeRR, 0, 9), nil)
		if err != nil {
			t.Fatal(err)
		}
		a.write(a.rtcp, broken, reports)
		hello := append([]byte("\x16\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x40\x01"), strings.Repeat("hello", 12)...)
		a.write(a.rtp, hello, a.far)
		a.write(a.rtcp, hello, reports)
		until(t, "all packets were seen", func() bool { return p.Stats().Received == 9 }) // with the two of talk
		b.hearNothing()
		a.hearNothing()
		if got := b.count(b.rtcp) + a.count(a.rtcp); got != 0 {
			t.Errorf("%s: %d reports too many", suite, got)
		}
		r, st := s.Close().Legs[call.Customer], p.Stats()
		if r.Replays != 2 || r.PlainDropped != 1 || r.RTCPReceived != 1 || st.Dropped != 6 {
			t.Errorf("%s: %+v; want 2 replays, 1 in the clear, 1 report taken, 6 dropped in all (%d)", suite, r, st.Dropped)
		}
	}
}
