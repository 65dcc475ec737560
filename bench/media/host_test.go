package main

import (
	"testing"
	"time"

	"carillon/bench/party"
)

func TestIdleTime(t *testing.T) {
	const stat = "cpu  51990 0 26003 1000 50 0 4317 33 0 0\ncpu0 1 0 1 600 20 0 1 1 0 0\ncpu1 1 0 1 400 30 0 1 1 0 0\nintr 3 4 5 6 7 8\n"
	if idle, n := idleTime(stat); idle != 10500*time.Millisecond || n != 2 {
		t.Errorf("%v of %d processors", idle, n)
	}
	if idle, n := idleTime("cpu  1 2\n"); idle != 0 || n != 0 {
		t.Errorf("of nothing: %v of %d processors", idle, n)
	}
}

// Of two processors for a second, one was idle for half of it and the other for a quarter.
func TestSince(t *testing.T) {
	begun := reading{idle: time.Minute, at: time.Unix(1000, 0), load: time.Second, system: party.Usage{Processor: time.Hour}}
	ended := reading{
		idle: time.Minute + 750*time.Millisecond, count: 2, at: time.Unix(1001, 0), load: 1250 * time.Millisecond,
		system: party.Usage{Processor: time.Hour + 500*time.Millisecond},
	}
	want := sample{each: 5 * time.Microsecond, cores: .5, host: 12500 * time.Nanosecond, load: .25}
	if got := ended.since(begun, 100_000); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSetting(t *testing.T) {
	for text, want := range map[string]string{"always [madvise] never\n": "madvise", "[always] madvise never": "always", "": "unknown", "[": "unknown"} {
		if got := setting(text); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}
