package server

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"carillon/config"
)

// TestStaleReadyFile: the file of a node that is gone goes, that of one that runs stays until another is up.
func TestStaleReadyFile(t *testing.T) {
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	pid := other.Process.Pid
	file := filepath.Join(t.TempDir(), "ready.json")
	n := &Node{config: config.Config{ReadyFile: file}}
	stays := func(content string) bool {
		t.Helper()
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := n.removeStale(); err != nil {
			t.Fatal(err)
		}
		_, err := os.Stat(file)
		return err == nil
	}
	if !stays(readyOf(t, pid)) {
		t.Error("the file of a node that runs was removed")
	}
	_ = other.Process.Kill()
	_ = other.Wait()
	if stays(readyOf(t, pid)) {
		t.Error("the file of a node that is gone stays")
	}
	// In a container every node is process 1, also the one before the restart.
	if stays(readyOf(t, os.Getpid())) {
		t.Error("a file with the own process id stays")
	}
	for _, content := range []string{"", "{", "{}", readyOf(t, -1)} {
		if stays(content) {
			t.Errorf("a file %q stays", content)
		}
	}
	if err := n.removeStale(); err != nil {
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

// TestFailedStartLeavesTheReadyFile: of a second node that cannot start, the first knows nothing.
func TestFailedStartLeavesTheReadyFile(t *testing.T) {
	other := exec.Command("sleep", "60")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Process.Kill(); _ = other.Wait() }()
	file := filepath.Join(t.TempDir(), "ready.json")
	text := readyOf(t, other.Process.Pid)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	conf := config.Default(true)
	conf.Data, conf.ReadyFile, conf.SIPUDP = t.TempDir(), file, "192.0.2.1:0"
	if node, err := Start(t.Context(), conf, Options{}); err == nil {
		_ = node.Close()
		t.Fatal("the node started on an address that is not here")
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != text {
		t.Errorf("the ready file is %q, %v", got, err)
	}
}
