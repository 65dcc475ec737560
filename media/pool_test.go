package media

import (
	"net"
	"slices"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
)

// until waits for what a relay loop does in its own time.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// smallPlane has a range of so many pairs and a clock that stands still.
func smallPlane(t *testing.T, pairs, loops int) (*Plane, *clocktest.Fake) {
	t.Helper()
	fake := clocktest.New()
	p := newPlane(t, func(c *Config) {
		c.Clock, c.Loops, c.PortLo, c.PortHi = fake, loops, 23500, uint16(23499+2*pairs)
	})
	return p, fake
}

func pairsOf(s *Session) []*pair {
	return []*pair{s.legs[call.Customer].pair, s.legs[call.Carrier].pair}
}

func TestNextCallTakesBoundPorts(t *testing.T) {
	p, fake := smallPlane(t, 8, 1)
	a, b := newPhone(t, 1), newPhone(t, 2)
	seen := map[*pair]int{}
	for range 12 {
		s := open(t, p, call.Customer, secureLeg)
		dial(s, a, b, suites{gcm, ""}, plainLeg)
		for range 3 {
			talk(a, b)
		}
		a.sendReport("alice")
		b.hearReport("alice")
		b.sendReport("bob")
		a.hearReport("bob")
		for _, pr := range pairsOf(s) {
			seen[pr]++
		}
		// Counts, keys and addresses of the calls before would show here.
		checkReport(t, s.Close(), gcm, "")
		fake.Advance(DefaultDrainTime)
	}
	st := p.Stats()
	if st.PortsReused < 16 || st.PortsInUse != 0 || st.PortsDraining != 0 || st.PortsIdle != 2*len(seen) {
		t.Errorf("stats %+v; want at least 16 pairs reused and %d ports idle", st, 2*len(seen))
	}
}

func TestPortsRestWhileSomebodySends(t *testing.T) {
	p, fake := smallPlane(t, 24, 1)
	a, b := newPhone(t, 1), newPhone(t, 2)
	s := open(t, p, call.Customer, plainLeg)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
	s.Close()
	for range 3 { // a phone that never heard of the BYE
		fake.Advance(DefaultDrainTime - time.Second)
		before := p.Stats().Unready
		a.send("still here")
		until(t, "the datagram is dropped", func() bool { return p.Stats().Unready == before+1 })
		fake.Advance(time.Second)
		if st := p.Stats(); st.PortsDraining != 2 || st.PortsIdle != 2 || st.PortsStrayed == 0 {
			t.Fatalf("stats %+v; want the pair that is sent to draining and the other idle", st)
		}
	}
	fake.Advance(2 * DefaultDrainTime)
	if st := p.Stats(); st.PortsDraining != 0 || st.PortsIdle != 4 {
		t.Errorf("stats %+v; want both pairs idle once it is quiet", st)
	}
	// One that was sent to while it was idle is not given away either.
	before := p.Stats().Unready
	a.send("hello again")
	until(t, "the datagram is dropped", func() bool { return p.Stats().Unready == before+1 })
	loud := s.legs[call.Customer].pair
	for range 6 {
		s := open(t, p, call.Customer, plainLeg)
		if slices.Contains(pairsOf(s), loud) {
			t.Fatal("a call was given the pair that is sent to")
		}
		s.Close()
		fake.Advance(MinDrainTime)
		a.send("and again")
		before++
		until(t, "the datagram is dropped", func() bool { return p.Stats().Unready == before+1 })
	}
}

// Among pairs that all wait for a call, those that somebody sends to are passed over.
func TestIdlePortsThatAreSentToArePassedOver(t *testing.T) {
	p, fake := smallPlane(t, 14, 1) // more than are used: other programs may hold some
	a := newPhone(t, 1)
	first, second, third := open(t, p, call.Customer, plainLeg), open(t, p, call.Customer, plainLeg), open(t, p, call.Customer, plainLeg)
	loud := first.legs[call.Customer].pair
	for _, s := range []*Session{first, second, third} {
		s.Close()
	}
	fake.Advance(DefaultDrainTime)
	if st := p.Stats(); st.PortsIdle != 12 {
		t.Fatalf("stats %+v; want all ports idle", st)
	}
	for range 20 {
		before := p.Stats().Unready
		a.write(a.rtp, a.packet("for the last call"), loud.rtp.local)
		until(t, "the datagram is dropped", func() bool { return p.Stats().Unready == before+1 })
		one, two := open(t, p, call.Customer, plainLeg), open(t, p, call.Customer, plainLeg)
		if slices.Contains(append(pairsOf(one), pairsOf(two)...), loud) {
			t.Fatal("a call was given the pair that is sent to")
		}
		one.Close()
		two.Close()
		fake.Advance(DefaultDrainTime)
	}
	if p.Stats().PortsStrayed == 0 {
		t.Error("the pair was never looked at")
	}
}

// A datagram too long to be relayed tells as well as any other that somebody still sends.
func TestPortsRestWhileSomebodySendsTooMuch(t *testing.T) {
	p, fake := smallPlane(t, 8, 1)
	a := newPhone(t, 1)
	s := open(t, p, call.Customer, plainLeg)
	loud := s.legs[call.Customer].pair
	s.Close()
	fake.Advance(DefaultDrainTime - time.Second)
	a.write(a.rtp, make([]byte, MaxPacket+1), loud.rtp.local)
	until(t, "the datagram is dropped", func() bool { return p.Stats().Oversize == 1 })
	fake.Advance(time.Second)
	if st := p.Stats(); st.PortsDraining != 2 || st.PortsStrayed != 1 {
		t.Errorf("stats %+v; want the pair that is sent to draining", st)
	}
}

// A pair whose upper port another program has is not taken, and its lower one is left to whoever wants it.
func TestHalfAPairLeaksNothing(t *testing.T) {
	var taken *net.UDPConn
	for taken == nil {
		c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if port(c)%2 == 1 {
			taken = c
		}
	}
	upper := uint16(port(taken))
	p := newPlane(t, func(c *Config) { c.PortLo, c.PortHi = upper-1, upper })
	files := countFiles(t)
	for range 5 {
		if _, refusal := p.Open(call.Open{ID: "half", Leg: plainLeg}); reason(refusal) != call.ReasonNodeFull {
			t.Fatalf("a call on half a pair: %v; want %v", refusal, call.ReasonNodeFull)
		}
	}
	if got := countFiles(t); got != files {
		t.Errorf("%d files are open after %d", got, files)
	}
	lower, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(upper) - 1})
	if err != nil {
		t.Fatalf("the lower port is still held: %v", err)
	}
	_ = lower.Close()
}

func TestPortsAreHurriedOnlyInNeed(t *testing.T) {
	p, fake := smallPlane(t, 3, 1)
	s := open(t, p, call.Customer, plainLeg)
	s.Close()
	if _, refusal := p.Open(call.Open{ID: "at once", Leg: plainLeg}); reason(refusal) != call.ReasonNodeFull {
		t.Fatalf("call on ports just released: %v; want %v", refusal, call.ReasonNodeFull)
	}
	fake.Advance(MinDrainTime - 1)
	if _, refusal := p.Open(call.Open{ID: "too early", Leg: plainLeg}); reason(refusal) != call.ReasonNodeFull {
		t.Fatalf("call before MinDrainTime: %v; want %v", refusal, call.ReasonNodeFull)
	}
	fake.Advance(MinDrainTime)
	s = open(t, p, call.Customer, plainLeg)
	if st := p.Stats(); st.PortsHurried != 2 {
		t.Errorf("hurried %d; want 2", st.PortsHurried)
	}
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
}

func TestLoopsShareASmallRange(t *testing.T) {
	p, fake := smallPlane(t, 2, 2)
	a, b := newPhone(t, 1), newPhone(t, 2)
	var loops []*loop
	for range 4 {
		s := open(t, p, call.Customer, plainLeg)
		loops = append(loops, s.legs[call.Customer].loop)
		dial(s, a, b, suites{"", ""}, plainLeg)
		talk(a, b)
		s.Close()
		fake.Advance(DefaultDrainTime)
	}
	if loops[0] == loops[1] {
		t.Fatal("the calls did not change loops")
	}
	if st := p.Stats(); st.PortsReused != 6 || st.PortsIdle != 4 {
		t.Errorf("stats %+v; want 6 pairs reused and 4 ports idle", st)
	}
}

func TestIdlePortsAreBounded(t *testing.T) {
	// More than are used: other programs of this machine may hold some of the range.
	p, fake := smallPlane(t, MaxIdlePairs+400, 2)
	var sessions []*Session
	for range MaxIdlePairs/2 + 50 {
		sessions = append(sessions, open(t, p, call.Customer, plainLeg))
	}
	for _, s := range sessions {
		s.Close()
	}
	fake.Advance(DefaultDrainTime)
	until(t, "the surplus is closed", func() bool { return p.Stats().PortsDraining == 0 })
	if st := p.Stats(); st.PortsIdle != 2*MaxIdlePairs || st.PortsInUse != 0 {
		t.Errorf("stats %+v; want %d ports idle", st, 2*MaxIdlePairs)
	}
}

// A pair that served long enough is closed, so that the ports in use change.
func TestPortsWearOut(t *testing.T) {
	p, fake := smallPlane(t, 8, 1)
	s := open(t, p, call.Customer, plainLeg)
	worn := s.legs[call.Carrier].pair
	worn.uses = maxUses - 1
	s.Close()
	fake.Advance(DefaultDrainTime)
	until(t, "the worn pair is closed", func() bool { return p.Stats().PortsDraining == 0 })
	if st := p.Stats(); st.PortsIdle != 2 {
		t.Errorf("idle %d; want 2", st.PortsIdle)
	}
	if at := worn.rtp.local; p.ports.owns(at) {
		t.Errorf("%v is still held", at)
	}
}
