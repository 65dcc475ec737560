package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// placeVariable names the systems' namespace to tests that run in the load's.
const placeVariable = "CARILLON_BENCH_SYSTEMS"

func testPlace() place {
	if systems := os.Getenv(placeVariable); systems != "" {
		return between(systems)
	}
	return loopback()
}

// hosts makes two namespaces for a test.
func hosts(t *testing.T) *namespaces {
	t.Helper()
	needNamespaces(t)
	n, err := newNamespaces(os.Getpid())
	t.Cleanup(func() {
		if err := n.remove(); err != nil {
			t.Error(err)
		}
		none(t)
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func needNamespaces(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("ip"); err == nil && os.Geteuid() == 0 {
		return
	}
	const lack = "two hosts need root and iproute2"
	if os.Getenv("CI") == "" {
		t.Skip(lack)
	}
	t.Fatal(lack)
}

// inHosts runs the tests of this program that run matches on one of two hosts. Each of those named must have passed there: a
// pattern that matches nothing passes, too.
func inHosts(t *testing.T, run string, named ...string) {
	t.Helper()
	n := hosts(t)
	cmd := exec.Command("ip", "netns", "exec", n.load, os.Args[0], "-test.run", run, "-test.v")
	cmd.Env = append(os.Environ(), placeVariable+"="+n.systems)
	text, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, text)
	}
	for _, name := range named {
		if !passed(text, name) {
			t.Errorf("%s did not pass on one of two hosts: %s", name, text)
		}
	}
}

// passed finds in what a test prints that it passed. Package testing prints a space in a name as an underscore.
func passed(text []byte, name string) bool {
	name = regexp.QuoteMeta(strings.ReplaceAll(name, " ", "_"))
	return regexp.MustCompile(`(?m)^ *--- PASS: ` + name + ` \(`).Match(text)
}

func TestPassed(t *testing.T) {
	const text = "=== RUN   TestLoad/a_b\n--- PASS: TestLoad (1.00s)\n    --- PASS: TestLoad/a_b (0.50s)\n    --- PASS: TestLoad/a_b#01 (0.10s)\n" +
		"    --- FAIL: TestLoad/c (0.10s)\n    --- SKIP: TestLoad/d (0.00s)\n    x_test.go:1: --- PASS: TestLoad/e (0.00s)\n"
	for name, want := range map[string]bool{
		"TestLoad": true, "TestLoad/a b": true, "TestLoad/a_b": true,
		"TestLoad/a": false, "TestLoad/a.b": false, "Load": false, "TestLoad/c": false, "TestLoad/d": false, "TestLoad/e": false, "TestLoad/f": false,
	} {
		if passed([]byte(text), name) != want {
			t.Errorf("%s passed: %v", name, !want)
		}
	}
}

// none checks that no namespace of this process is left.
func none(t *testing.T) {
	t.Helper()
	list, err := ip("netns", "list")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"carillon-load-", "carillon-systems-"} {
		if regexp.MustCompile(`\b` + name + strconv.Itoa(os.Getpid()) + `\b`).MatchString(list) {
			t.Errorf("left behind: %s", list)
		}
	}
}

// Between two hosts every packet in the clear and encrypted, and of every way to forward, arrives as it was sent, too.
func TestBetweenHosts(t *testing.T) {
	at := between("")
	var named []string
	for _, variant := range []string{"rtp-rtp", "cm-gcm"} {
		for _, system := range loaded(at, "") {
			named = append(named, "TestLoad/"+variant+"/"+system.name())
		}
	}
	for _, floor := range allFloors(t, at) {
		named = append(named, "TestFloors/"+floor.name())
	}
	inHosts(t, "^(TestLoad|TestFloors)$/^(rtp-rtp|cm-gcm|bare, .*)$", named...)
}

// A run between two hosts takes away what it made: when it ends, when it fails and when it is interrupted.
func TestApart(t *testing.T) {
	needNamespaces(t)
	bare := []string{"-carillon", "/nowhere", "-peer=false", "-only", "rtp-rtp"}
	err := apart(t.Context(), append(bare, "-length", "1s"))
	if none(t); err == nil {
		t.Error("a node that is nowhere is measured")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	begun := time.Now()
	err = apart(ctx, append(bare, "-setup", "-rounds", "1000"))
	if none(t); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) > 10*time.Second {
		t.Errorf("interrupted: %v after %v", err, time.Since(begun))
	}
	if err := apart(t.Context(), []string{"-setup", "-rounds", "1", "-only", "rtp-rtp"}); err != nil {
		t.Errorf("setting up: %v", err)
	}
	none(t)
}

// What runs in a namespace ends with it.
func TestRemove(t *testing.T) {
	n := hosts(t)
	cmd := exec.Command("ip", "netns", "exec", n.systems, "sleep", "1000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if pids, err := ip("netns", "pids", n.systems); err == nil && pids != "" {
			break
		}
	}
	if err := n.remove(); err != nil {
		t.Error(err)
	}
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		_ = cmd.Process.Kill()
		t.Error("it still runs")
	}
}

func TestXDPNeedsHosts(t *testing.T) {
	if err := start([]string{"-xdp"}); err == nil {
		t.Error("AF_XDP on the loopback interface")
	}
	n := newNode(between("there"), "carillon", true)
	if got := strings.Join(n.Options, " "); got != "--media-xdp "+systemDevice || n.name() == newNode(loopback(), "", false).name() {
		t.Errorf("%s starts with %q", n.name(), got)
	}
}
