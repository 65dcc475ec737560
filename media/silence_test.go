package media

import (
	"net/netip"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/rtp"
)

// heard waits until the plane has counted the leg's packet: the fake clock must not move before.
func heard(t *testing.T, s *Session, side call.Side, packets uint64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for s.Report().Legs[side].PacketsReceived < packets {
		if time.Now().After(deadline) {
			t.Fatalf("side %v: packet %d never came", side, packets)
		}
		time.Sleep(time.Millisecond)
	}
}

func TestSilence(t *testing.T) {
	fake := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = fake })
	var silent []call.Side
	start := func(directA, directB string) (*Session, *phone, *phone) {
		silent = nil
		s, refusal := p.Open(call.Open{ID: "quiet", Leg: plainLeg, OnSilence: func(side call.Side, _ bool) { silent = append(silent, side) }})
		if refusal != nil {
			t.Fatal(refusal)
		}
		a, b := newPhone(t, 1), newPhone(t, 2)
		a.direct, b.direct = directA, directB
		dial(s, a, b, suites{"", ""}, plainLeg)
		return s, a, b
	}
	want := func(name string, sides ...call.Side) {
		t.Helper()
		if len(silent) != len(sides) || len(sides) > 0 && silent[0] != sides[0] {
			t.Errorf("%s: silent %v; want %v", name, silent, sides)
		}
	}

	s, a, b := start("", "")
	fake.Advance(59 * time.Second)
	want("not yet")
	a.send("x")
	b.hear("x")
	heard(t, s, call.Customer, 1)
	b.sendReport("alive")
	a.report() // the node's own: both were silent for long
	a.hearReport("alive")
	fake.Advance(59 * time.Second)
	want("RTP of one and RTCP of the other count")
	a.send("x")
	b.hear("x")
	heard(t, s, call.Customer, 2)
	fake.Advance(2 * time.Second)
	want("the carrier fell silent", call.Carrier)
	fake.Advance(10 * time.Minute)
	want("only once", call.Carrier)
	s.Close()

	s, _, _ = start("sendonly", "recvonly")
	fake.Advance(61 * time.Second)
	want("the side on hold promises nothing, the other does", call.Customer)
	s.Close()

	s, _, _ = start("inactive", "inactive")
	fake.Advance(10 * time.Minute)
	want("both on hold")
	a, b = newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	fake.Advance(59 * time.Second)
	want("the promise begins with the resume")
	fake.Advance(2 * time.Second)
	want("then it counts", call.Customer)
	s.Close()

	s, a, b = start("", "")
	fake.Advance(50 * time.Second)
	a.version++
	dial(s, a, b, suites{"", ""}, plainLeg)
	fake.Advance(11 * time.Second)
	want("a promise that is made again gives no more time", call.Customer)
	s.Close()

	s, _, _ = start("", "")
	s.Close()
	fake.Advance(10 * time.Minute)
	want("a closed session is silent")
}

// What is not the peer's does not keep a call alive, however much of it comes.
func TestForgeriesAreSilence(t *testing.T) {
	for _, suite := range []string{"", gcm} {
		fake := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = fake })
		var silent []call.Side
		s, refusal := p.Open(call.Open{ID: "quiet", Leg: legOf(suite), OnSilence: func(side call.Side, _ bool) { silent = append(silent, side) }})
		if refusal != nil {
			t.Fatal(refusal)
		}
		a, b, stranger := newPhone(t, 1), newPhone(t, 2), newPhone(t, 1)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		last := a.send("the last word")
		b.hear("the last word")
		for range 6 {
			fake.Advance(10 * time.Second)
			before := p.Stats()
			for _, x := range []struct {
				*phone
				b []byte
			}{{stranger, a.packet("forged")}, {stranger, last}, {a, last}, {a, a.packet("in the clear, or none that is longer than a tag")}} {
				if x.phone == a && suite == "" {
					continue // which would be the peer
				}
				x.write(x.rtp, x.b, a.far)
				x.write(x.rtcp, rtp.AppendCNAME(rtp.AppendRR(nil, 1), 1, "x"), netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1))
			}
			want := uint64(8)
			if suite == "" {
				want = 4
			}
			until(t, "all of it is dropped", func() bool { return p.Stats().Dropped == before.Dropped+want })
			b.sendReport("alive")
			until(t, "the report has come", func() bool { return p.Stats().Received == before.Received+want+1 })
		}
		if len(silent) != 1 || silent[0] != call.Customer {
			t.Errorf("%q: silent %v after a minute of forgeries; want the customer", suite, silent)
		}
	}
}

// A side that is held by its address, and one that sends faxes, promises nothing.
func TestSilenceThatWasAgreedOn(t *testing.T) {
	for name, change := range map[string]func(t *testing.T, s *Session, a, b *phone){
		"held by the customer's address": func(_ *testing.T, s *Session, a, b *phone) {
			a.connAddr, a.version = "0.0.0.0", 2
			dialHeld(s, a, b)
		},
		"held by the carrier's address": func(_ *testing.T, s *Session, a, b *phone) {
			b.connAddr, b.version = "0.0.0.0", 2
			dialHeld(s, a, b)
		},
		"fax": func(t *testing.T, s *Session, a, b *phone) {
			a.version = 2
			_, refusal := s.Offer(call.Customer, a.fax(), plainLeg)
			if refusal == nil {
				_, refusal = s.Answer(call.Carrier, b.fax())
			}
			if refusal != nil {
				t.Fatal(*refusal)
			}
		},
	} {
		fake := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = fake })
		var silent []call.Side
		s, refusal := p.Open(call.Open{ID: "quiet", Leg: plainLeg, OnSilence: func(side call.Side, _ bool) { silent = append(silent, side) }})
		if refusal != nil {
			t.Fatal(refusal)
		}
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{"", ""}, plainLeg)
		fake.Advance(50 * time.Second)
		change(t, s, a, b)
		fake.Advance(10 * time.Minute)
		if len(silent) != 0 {
			t.Errorf("%s: silent %v; want none", name, silent)
		}
		s.Close()
	}
}

// dialHeld is dial for a side whose address is none.
func dialHeld(s *Session, a, b *phone) {
	a.t.Helper()
	_, refusal := s.Offer(call.Customer, a.offer(""), plainLeg)
	if refusal == nil {
		_, refusal = s.Answer(call.Carrier, b.offer(""))
	}
	if refusal != nil {
		a.t.Fatal(*refusal)
	}
}

func TestPortsDrainByTheClock(t *testing.T) {
	fake := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = fake })
	late := open(t, p, call.Customer, plainLeg)
	open(t, p, call.Customer, plainLeg).Close()
	fake.Advance(DefaultDrainTime - time.Millisecond)
	late.Close()
	if st := p.Stats(); st.PortsDraining != 8 {
		t.Errorf("draining %d; want 8", st.PortsDraining)
	}
	fake.Advance(time.Millisecond)
	if st := p.Stats(); st.PortsDraining != 4 {
		t.Errorf("draining %d, when one call ended a moment ago; want 4", st.PortsDraining)
	}
	fake.Advance(DefaultDrainTime - time.Millisecond)
	deadline := time.Now().Add(patience)
	for p.Stats().PortsDraining > 0 {
		if time.Now().After(deadline) {
			t.Fatal("ports were not freed after the drain time")
		}
		time.Sleep(time.Millisecond)
	}
}
