package cli

import (
	"testing"
	"time"
)

var spans = map[string]time.Duration{
	"90s": 90 * time.Second, "1h30m": 90 * time.Minute, "7d": 168 * time.Hour, "1d12h": 36 * time.Hour, "0d": 0, "-1s": -time.Second, "100000d": 2_400_000 * time.Hour,
}

func TestSpan(t *testing.T) {
	for text, want := range spans {
		var got span
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("%s: %v, %v, want %v", text, time.Duration(got), err, want)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "7", "7w", "100001d", "99999999999d", "1d-1h", "1d1d", "1d2562047h"} {
		var got span
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: taken as %v", text, time.Duration(got))
		}
	}
}

func FuzzSpan(f *testing.F) {
	for text := range spans {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, again span
		if got.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(time.Duration(got).String())); err != nil || again != got {
			t.Errorf("%q is %v, which reads as %v, %v", text, time.Duration(got), time.Duration(again), err)
		}
	})
}

// TestMoment: a time, a day, or how long ago.
func TestMoment(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"": "", "24h": "2026-11-22T12:00:00Z", "7d": "2026-11-16T12:00:00Z", "2026-11-20": "2026-11-20T00:00:00Z", "2026-11-23T09:30:00+01:00": "2026-11-23T08:30:00Z",
	} {
		if got, err := moment(text, now); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{"yesterday", "-1h", "2026-13-01", "20261120"} {
		if got, err := moment(text, now); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}
