package server

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"carillon/config"
)

// startSleep starts a process of a name that does nothing, and ends it with the test at the latest.
func startSleep(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), name)
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	c := exec.Command(link, "60")
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	return c
}

// waitDead waits until a child is dead and leaves it as its parent does before it waits for it: a zombie.
func waitDead(t *testing.T, pid int) {
	t.Helper()
	const byPID, exited, keep = 1, 4, 0x1000000 // P_PID, WEXITED, WNOWAIT of waitid(2)
	for {
		_, _, errno := syscall.Syscall6(syscall.SYS_WAITID, byPID, uintptr(pid), 0, exited|keep, 0, 0)
		if errno == 0 {
			return
		}
		if errno != syscall.EINTR {
			t.Fatal(errno)
		}
	}
}

// ownName is the name under which this test runs.
func ownName(t *testing.T) string {
	t.Helper()
	name, state := process(os.Getpid())
	if name == "" || state == "" {
		t.Fatalf("this process is %q in state %q", name, state)
	}
	return name
}

// TestStaleReadyFile: the file of a node that is gone goes; beside one that runs no other starts.
func TestStaleReadyFile(t *testing.T) {
	node, other := startSleep(t, ownName(t)), startSleep(t, "sleeper")
	file := filepath.Join(t.TempDir(), "ready.json")
	n := &Node{config: config.Config{ReadyFile: file}}
	claim := func(content string) (stays bool, err error) {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		refused := n.claimReadyFile(t.Context())
		_, err = os.Stat(file)
		return err == nil, refused
	}
	if stays, err := claim(readyOf(t, node.Process.Pid)); !stays || err == nil || !strings.Contains(err.Error(), file+" belongs to a node that runs, process "+strconv.Itoa(node.Process.Pid)) {
		t.Errorf("beside a node that runs: stays %t, %v", stays, err)
	}
	_ = node.Process.Kill()
	waitDead(t, node.Process.Pid)
	// In a container every node is process 1, also the one before the restart.
	for what, content := range map[string]string{
		"dead, its parent does not know yet": readyOf(t, node.Process.Pid), "another program": readyOf(t, other.Process.Pid), "own process id": readyOf(t, os.Getpid()),
		"empty": "", "cut": "{", "nothing": "{}", "no process": readyOf(t, -1),
	} {
		if stays, err := claim(content); stays || err != nil {
			t.Errorf("%s: stays %t, %v", what, stays, err)
		}
	}
	if err := n.claimReadyFile(t.Context()); err != nil {
		t.Errorf("without a file: %v", err)
	}
}

func readyOf(t *testing.T, pid int) string {
	t.Helper()
	text, err := json.Marshal(Ready{API: "http://127.0.0.1:1", PID: pid})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSecondNodeLeavesTheReadyFile: of a second node, which does not start, the first knows nothing.
func TestSecondNodeLeavesTheReadyFile(t *testing.T) {
	other := startSleep(t, ownName(t))
	file := filepath.Join(t.TempDir(), "ready.json")
	text := readyOf(t, other.Process.Pid)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := config.Default(true)
	conf.Data, conf.ReadyFile = t.TempDir(), file
	if node, err := Start(t.Context(), conf, Options{}); err == nil {
		_ = node.Close()
		t.Fatal("the node started beside the one of its ready file")
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("the ready file is %q, %v", got, err)
	}
}
