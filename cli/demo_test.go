package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"carillon/clock"
)

// TestDemo: the whole story holds, says so, and leaves nothing behind.
func TestDemo(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	got := carillon(t, nil, "demo")
	if got.status != 0 {
		t.Fatalf("exit status %d\n%s%s", got.status, got.out, got.err)
	}
	steps := (&demo{}).steps()
	for _, step := range steps {
		if !strings.Contains(got.out, "held    "+step.title) || !strings.Contains(got.err, step.title+" …") {
			t.Errorf("no line about %q", step.title)
		}
	}
	for _, want := range []string{"our own tone came back", "403 Forbidden", "488", "0 sent in the clear", "All of it held, in"} {
		if !strings.Contains(strings.Join(strings.Fields(got.out), " "), want) {
			t.Errorf("no %q in\n%s", want, got.out)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) != 0 {
		t.Errorf("it left %v behind, %v", left, err)
	}
	if strings.Contains(got.out, "\x1b") || strings.Contains(got.err, "\x1b") {
		t.Error("colours, and no terminal")
	}
}

// TestDemoFails: one step that does not hold ends the story and decides the exit status.
func TestDemoFails(t *testing.T) {
	var out, progress bytes.Buffer
	s := &session{Streams: Streams{Out: &out, Err: &progress}, clock: clock.System()}
	d := &demo{s: s}
	ran := false
	results := d.tell(t.Context(), []demoStep{
		{"good", func(context.Context) (string, error) { return "fine", nil }},
		{"bad", func(context.Context) (string, error) { return "", errors.New("the call was let through") }},
		{"later", func(context.Context) (string, error) { ran = true; return "", nil }},
	})
	if len(results) != 2 || ran || !results[0].Held || results[1].Held {
		t.Errorf("%+v, the step after a failure ran: %t", results, ran)
	}
	if err := printDemo(s, results, false, time.Second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"FAILED  bad", "the call was let through", "Not all of it held."} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if report(&progress, errNotHeld) != exitFailed {
		t.Error("the exit status does not say so")
	}
}

func TestDemoJSON(t *testing.T) {
	t.Parallel()
	var v struct {
		Held  bool
		Steps []demoResult
	}
	if err := json.Unmarshal([]byte(carillon(t, nil, "demo", "--json").out), &v); err != nil || !v.Held || len(v.Steps) != len((&demo{}).steps()) {
		t.Errorf("%+v: %v", v, err)
	}
}

func TestWrap(t *testing.T) {
	got := strings.Join(wrap("one two  three four verylongwordindeed x", 9), "|")
	if want := "one two|three|four|verylongwordindeed|x"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
