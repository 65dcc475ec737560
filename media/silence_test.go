package media

import (
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
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
		s, refusal := p.Open(call.Open{ID: "quiet", Leg: plainLeg, OnSilence: func(side call.Side) { silent = append(silent, side) }})
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

	s, _, _ = start("", "")
	s.Close()
	fake.Advance(10 * time.Minute)
	want("a closed session is silent")
}

func TestPortsDrainByTheClock(t *testing.T) {
	fake := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = fake })
	open(t, p, call.Customer, plainLeg).Close()
	fake.Advance(DefaultDrainTime - time.Millisecond)
	if st := p.Stats(); st.PortsDraining != 4 {
		t.Errorf("draining %d; want 4", st.PortsDraining)
	}
	fake.Advance(time.Millisecond)
	deadline := time.Now().Add(patience)
	for p.Stats().PortsDraining > 0 {
		if time.Now().After(deadline) {
			t.Fatal("ports were not freed after the drain time")
		}
		time.Sleep(time.Millisecond)
	}
}
