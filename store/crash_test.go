package store

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/store/storetest"
	"carillon/trunk"
)

// crashDirVariable makes a copy of the test binary the process that is killed.
const crashDirVariable = "STORE_CRASH_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(crashDirVariable); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled creates connectors with several writers and prints each id once its create was answered.
func writeUntilKilled(dir string) {
	s, err := Open(context.Background(), Config{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("ready")
	var mu sync.Mutex
	for w := range 8 {
		go func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("p%dw%dn%d", os.Getpid(), w, n)
				if _, err := create(s, storetest.Connector(id)); err != nil {
					fmt.Println("error", err)
					os.Exit(1)
				}
				mu.Lock()
				fmt.Println(id)
				mu.Unlock()
			}
		}()
	}
	select {}
}

func create(s *Store, entities ...trunk.Entity) (int64, error) {
	return s.Update(context.Background(), func(tx trunk.Tx) error {
		for _, e := range entities {
			tx.Create(e)
		}
		return nil
	})
}

// TestNothingAnsweredIsLost kills a process that writes, at random moments, and looks for all it had answered.
func TestNothingAnsweredIsLost(t *testing.T) {
	dir := t.TempDir()
	var answered []string
	for round := range 6 {
		lines := runAndKill(t, dir, time.Duration(rand.IntN(250))*time.Millisecond)
		if round > 0 && len(lines) == 0 {
			t.Log("killed before the first answer")
		}
		answered = append(answered, lines...)
	}
	if len(answered) < 100 {
		t.Fatalf("only %d creates were answered in all rounds", len(answered))
	}
	s := start(t, Config{Dir: dir})
	lost := 0
	for _, id := range answered {
		if e := storetest.Get(t, s, trunk.EntityKey{Kind: trunk.KindConnector, ID: id}); e == nil {
			lost++
			t.Errorf("connector %s was answered and is lost", id)
		} else if got := e.(*trunk.Connector).Credentials[0].MD5.Reveal(); got != "secret-md5-alice" {
			t.Errorf("connector %s came back with another secret", id)
		}
	}
	t.Logf("%d creates answered, %d lost", len(answered), lost)
}

// runAndKill returns the ids that were answered by a process killed some time after it was ready.
func runAndKill(t *testing.T, dir string, after time.Duration) []string {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDirVariable+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var answered []string
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		switch line := scanner.Text(); {
		case line == "ready":
			time.AfterFunc(after, func() { child.Process.Kill() })
		case strings.HasPrefix(line, "error"):
			t.Errorf("child: %s", line)
			child.Process.Kill()
		default:
			answered = append(answered, line)
		}
	}
	child.Wait() // it was killed: its exit says nothing
	return answered
}

func TestASecondProcessIsRefused(t *testing.T) {
	s := start(t, Config{})
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), crashDirVariable+"="+s.config.Dir)
	out, err := child.Output()
	want := fmt.Sprintf("is in use by another process (pid %d)", os.Getpid())
	if err == nil || !strings.Contains(string(out), want) {
		t.Errorf("a second process said %q, %v; want %q", out, err, want)
	}
}
