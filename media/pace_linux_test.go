package media

import (
	"fmt"
	"testing"
	"time"

	"carillon/call"
)

func TestPace(t *testing.T) {
	var p pace
	for _, step := range []struct {
		at        time.Duration
		datagrams int
		want      bool
	}{
		{1 * time.Millisecond, 100, false}, // not counted for long enough
		{4 * time.Millisecond, 0, true},
		{7 * time.Millisecond, busyFrom - 1, true},
		{8 * time.Millisecond, 0, false},
		{12 * time.Millisecond, busyFrom, true},
		{20 * time.Millisecond, 2*busyFrom - 1, false},
		{time.Second, 1, false},
	} {
		if p.add(step.at, step.datagrams); p.busy != step.want {
			t.Errorf("at %v after %d more: busy %v, want %v", step.at, step.datagrams, p.busy, step.want)
		}
	}
}

// A beat comes in its period, comes at once where one was missed, and comes anew after a rest; none allocates.
func TestBeat(t *testing.T) {
	for _, alone := range []bool{false, true} {
		b, err := newBeat(time.Millisecond, alone)
		if err != nil {
			t.Fatal(err)
		}
		defer b.close()
		for range 2 {
			begun := time.Now()
			for range 5 {
				if !b.await() {
					t.Fatal("no beat")
				}
			}
			if took := time.Since(begun); took < 5*time.Millisecond {
				t.Errorf("5 beats of 1 ms took %v", took)
			}
			b.rest()
		}
		if n := testing.AllocsPerRun(2*showTurns, func() { b.await() }); n != 0 {
			t.Errorf("%v allocations a beat", n)
		}
		b.rest()
		b.close()
		if b.await() {
			t.Error("a closed timer beats")
		}
	}
	if showTurns*gatherTime >= 10*time.Millisecond {
		t.Errorf("the monitor looks at what has not been scheduled for 10 ms, a loop shows itself each %v", showTurns*gatherTime)
	}
}

// onItsOwn has a loop wait as one past the kernel does.
func onItsOwn(t *testing.T, l *loop) {
	t.Helper()
	b, err := newBeat(gatherTime, true)
	if err != nil {
		t.Fatal(err)
	}
	l.within(nil, func() {
		l.beat.close()
		l.beat = b
	})
}

// What a loop with a processor of its own makes ready to run lies with that processor: the loop lets the scheduler see to it at once, and
// not with one of the next beats.
func TestLoopShowsItself(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.Loops = 1 })
	l := p.relay.loops[0]
	onItsOwn(t, l)
	const asked = 64
	soon := 0
	for range asked {
		l.within(nil, func() {
			l.pace.busy = true
			if l.beat.turns <= showTurns/4 {
				soon++
			}
		})
	}
	if soon < asked/2 {
		t.Errorf("the loop was at one of its first beats in %d of %d cases", soon, asked)
	}
}

// In a lull the sockets are asked less often: what comes then is relayed all the same, ends the lull, and commands do not wait for it.
func TestLull(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.Loops = 1 })
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{}, plainLeg)
	l := p.relay.loops[0]
	onItsOwn(t, l)
	l.within(nil, func() { l.pace = pace{begun: time.Hour, busy: true} }) // and stays so
	turns := func() (n int) {
		l.within(nil, func() { n = l.lull.turns })
		return n
	}
	for end := time.Now().Add(patience); turns() <= lullFrom; {
		if time.Now().After(end) {
			t.Fatalf("%d turns", turns())
		}
	}
	// A command takes one turn; did it wait for one in which sockets are asked, it would take askTurns.
	const asked = 50
	fewest := 1 << 30
	for range 5 {
		before := turns()
		for range asked {
			turns()
		}
		fewest = min(fewest, turns()-before)
	}
	if fewest > asked*askTurns/2 {
		t.Errorf("%d commands took %d turns", asked, fewest)
	}
	talk(a, b)
	if n := turns(); n > lullFrom {
		t.Errorf("%d turns since a socket had something", n)
	}
}

// A loop becomes busy under load, relays all the same, obeys, and is idle again when the load ends.
func TestBusyLoop(t *testing.T) {
	t.Run("of sockets", func(t *testing.T) { testBusyLoop(t, false) })
	t.Run("as past the kernel", func(t *testing.T) { testBusyLoop(t, true) })
}

func testBusyLoop(t *testing.T, alone bool) {
	p := newPlane(t, func(c *Config) { c.Loops, c.PacketRate = 1, 1<<30 })
	if alone {
		onItsOwn(t, p.relay.loops[0])
	}
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{}, plainLeg)
	l := p.relay.loops[0]
	busy := func() (yes bool) {
		l.within(nil, func() { yes = l.pace.busy })
		return yes
	}
	end := time.Now().Add(patience)
	sent := 0
	const burst = 16 * busyFrom // as many as a socket holds, whatever the machine
	for ; !busy(); sent += burst {
		if time.Now().After(end) {
			t.Fatal("not busy under load")
		}
		for i := range burst {
			a.send(fmt.Sprint("packet ", sent+i))
		}
		for i := range burst {
			b.hear(fmt.Sprint("packet ", sent+i))
		}
	}
	talk(a, b)
	for busy() {
		if time.Now().After(end) {
			t.Fatal("busy without load")
		}
		time.Sleep(busyTime) // each question wakes the loop: asked all the time they are a load of their own
	}
	talk(a, b)
}
