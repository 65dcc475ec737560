package clocktest

import (
	"slices"
	"testing"
	"time"

	"carillon/clock"
)

func TestAdvanceRunsInOrder(t *testing.T) {
	c := New()
	var got []string
	at := func(name string) func() {
		return func() { got = append(got, name+"@"+c.Now().Sub(Epoch).String()) }
	}
	c.AfterFunc(2*time.Second, at("b"))
	c.AfterFunc(time.Second, func() {
		at("a")()
		c.AfterFunc(time.Second, at("c")) // same instant as b, set later
		c.AfterFunc(9*time.Second, at("late"))
	})
	stopped := c.AfterFunc(time.Second, at("stopped"))
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop must report true once, then false")
	}
	c.AfterFunc(0, at("now"))
	if len(got) != 0 {
		t.Fatalf("ran before Advance: %v", got)
	}
	c.Advance(3 * time.Second)
	want := []string{"now@0s", "a@1s", "b@2s", "c@2s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := c.Now().Sub(Epoch); got != 3*time.Second {
		t.Errorf("now %v, want 3s", got)
	}
	if n := c.Pending(); n != 1 {
		t.Errorf("pending %d, want 1", n)
	}
	if d, ok := c.Next(); !ok || d != 7*time.Second {
		t.Errorf("next %v %v, want 7s true", d, ok)
	}
}

func TestReset(t *testing.T) {
	c := New()
	fired := 0
	timer := c.AfterFunc(time.Second, func() { fired++ })
	if !timer.Reset(3 * time.Second) {
		t.Error("Reset of a pending timer must report true")
	}
	c.Advance(2 * time.Second)
	if fired != 0 {
		t.Error("fired at the old time")
	}
	c.Advance(time.Second)
	if fired != 1 {
		t.Errorf("fired %d times, want 1", fired)
	}
	if timer.Reset(time.Second) {
		t.Error("Reset of a fired timer must report false")
	}
	c.Advance(time.Second)
	if fired != 2 {
		t.Errorf("fired %d times after a second Reset, want 2", fired)
	}
}

func TestResetFromItself(t *testing.T) {
	c := New()
	var times []time.Duration
	var timer clock.Timer
	timer = c.AfterFunc(time.Second, func() {
		times = append(times, c.Now().Sub(Epoch))
		if len(times) < 3 {
			timer.Reset(time.Duration(len(times)) * 2 * time.Second)
		}
	})
	c.Advance(time.Minute)
	if want := []time.Duration{time.Second, 3 * time.Second, 7 * time.Second}; !slices.Equal(times, want) {
		t.Errorf("got %v, want %v", times, want)
	}
}

func TestSystem(t *testing.T) {
	done := make(chan struct{})
	c := clock.System()
	before := c.Now()
	c.AfterFunc(time.Millisecond, func() { close(done) })
	<-done
	if got := c.Now().Sub(before); got < time.Millisecond {
		t.Errorf("fired after %v, want at least 1ms", got)
	}
}
