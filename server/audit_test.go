package server

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"carillon/audit"
	"carillon/clock/clocktest"
)

// trimmer tells of each pass and fails the first.
type trimmer struct{ passes chan time.Time }

func (s trimmer) TrimAudit(_ context.Context, now time.Time, r audit.Retention) (audit.Dropped, error) {
	s.passes <- now
	if now.Equal(clocktest.Epoch) {
		return audit.Dropped{}, errors.New("the store cannot be reached")
	}
	return audit.Dropped{Aged: r.PerAccount}, nil
}

// TestTrimAudit: the audit log is trimmed at the start and then every trimEvery, also after a pass that failed, until the node
// stops.
func TestTrimAudit(t *testing.T) {
	clock, s := clocktest.New(), trimmer{make(chan time.Time)}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		trimAudit(ctx, s, audit.Retention{PerAccount: 3}, clock, slog.New(slog.DiscardHandler))
	}()
	await := func(want time.Time) {
		t.Helper()
		select {
		case got := <-s.passes:
			if !got.Equal(want) {
				t.Errorf("trimmed at %v, want %v", got, want)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("not trimmed at %v", want)
		}
	}
	at := clocktest.Epoch
	await(at)
	for range 3 {
		waitPending(t, clock)
		clock.Advance(trimEvery - time.Second)
		select {
		case got := <-s.passes:
			t.Fatalf("trimmed at %v, it is not time yet", got)
		default:
		}
		clock.Advance(time.Second)
		at = at.Add(trimEvery)
		await(at)
	}
	stop()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("it does not end with its context")
	}
}

// waitPending waits until somebody waits for the clock.
func waitPending(t *testing.T, c *clocktest.Fake) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); c.Pending() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nobody waits for the clock")
		}
	}
}
