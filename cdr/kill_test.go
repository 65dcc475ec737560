package cdr

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/call"
)

// The child of TestKill is this test binary with these set.
const (
	envDir = "CARILLON_CDR_TEST_DIR"
	envOut = "CARILLON_CDR_TEST_OUT"
	envRun = "CARILLON_CDR_TEST_RUN"
)

func TestMain(m *testing.M) {
	if os.Getenv(envDir) != "" {
		child()
		os.Exit(1) // it is meant to be killed
	}
	os.Exit(m.Run())
}

// child appends and exports until it is killed, and prints each id once its Append has returned.
func child() {
	l, err := Open(Config{Dir: os.Getenv(envDir), MaxSegmentBytes: 20_000, SyncInterval: time.Millisecond})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	e, err := NewExporter(l, os.Getenv(envOut))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	go e.Run(context.Background())
	var run int
	fmt.Sscan(os.Getenv(envRun), &run)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for n := g; ; n += 8 {
				r := record(run*1_000_000 + n)
				if err := l.Append(r); err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				mu.Lock()
				fmt.Println(r.ID)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestKill kills a process that appends and exports, several times on the same folders: every record it
// acknowledged must be in the log once, and after the next export be one file.
func TestKill(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	var acknowledged []call.ID
	for run := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), envDir+"="+dir, envOut+"="+out, fmt.Sprintf("%s=%d", envRun, run))
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(stdout)
		enough := 20 + rand.IntN(200)
		for n := 0; ; n++ {
			line, err := lines.ReadString('\n')
			if err != nil {
				break // also a half line: it was not read, so nothing is expected of it
			}
			acknowledged = append(acknowledged, call.ID(strings.TrimSpace(line)))
			if n == enough {
				cmd.Process.Kill()
			}
		}
		cmd.Wait() // the error is the kill
	}
	if len(acknowledged) < 4*20 {
		t.Fatalf("only %d records were acknowledged", len(acknowledged))
	}

	l := open(t, Config{Dir: dir, MaxSegmentBytes: 20_000})
	stored := map[call.ID]int{}
	for _, id := range ids(t, l, Filter{}) {
		stored[id]++
	}
	for _, id := range acknowledged {
		if stored[id] != 1 {
			t.Errorf("record %s was acknowledged and is there %d times", id, stored[id])
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := newExporter(t, l, out).Export(ctx); err != nil {
		t.Fatal(err)
	}
	var want []string
	for id := range stored {
		r, _, err := l.Show(id)
		if err != nil {
			t.Fatal(err)
		}
		key, _ := Key(&r)
		want = append(want, key)
	}
	slices.Sort(want)
	if got := exported(t, out); !slices.Equal(got, want) {
		t.Errorf("%d files for %d records", len(got), len(want))
	}
}
