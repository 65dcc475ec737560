// Package interop drives the program from outside with software that knows nothing of it: the AWS CLI, boto3 and the
// AWS SDKs for Go and JavaScript against its API, SIPp and baresip against its trunk, tshark on its wire.
//
// Every operation of the API is in the trials of TestConformance, which every client runs; the other tests of clients
// are about what is no operation's own: signatures, exit codes, stories.
//
// One node serves all tests. Each makes connectors, numbers and carriers of its own, so they can run side by side. A
// peer that is not installed fails the test that needs it: tools/packages.sh installs them all.
package interop

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// ready is the ready file, as docs/config.md describes it.
type ready struct {
	API string `json:"api"`
	SIP struct {
		UDP string `json:"udp"`
		TCP string `json:"tcp"`
		TLS string `json:"tls"`
	} `json:"sip"`
	DNS             string `json:"dns"`
	Metrics         string `json:"metrics"`
	Domain          string `json:"domain"`
	CAFile          string `json:"ca_file"`
	AccessKeyID     string `json:"access_key_id"`
	SecretAccessKey string `json:"secret_access_key"`
	AccountID       string `json:"account_id"`
	PID             int    `json:"pid"`
}

// process is a running `carillon serve --dev`.
type process struct {
	ready
	dir       string
	binary    string
	readyFile string
	peers     *authority
	cmd       *exec.Cmd
	log       *syncBuffer
	exited    chan struct{}
}

// startTimeout is generous: CI machines have two cores and run other tests beside this.
const startTimeout = 60 * time.Second

var (
	shared  = sync.OnceValues(startShared)
	started atomic.Bool
)

// node returns the node that all tests share.
func node(t *testing.T) *process {
	t.Helper()
	n, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestMain(m *testing.M) {
	code := m.Run()
	if started.Load() {
		n, err := shared()
		if err == nil {
			err = n.stop()
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func startShared() (*process, error) {
	started.Store(true)
	return startNode("--proxy-protocol", balancerIP+"/32", "--api-proxy-protocol", balancerIP+"/32")
}

// startNode starts a node of its own with further flags.
func startNode(more ...string) (*process, error) {
	dir, err := os.MkdirTemp("", "carillon-interop-")
	if err != nil {
		return nil, err
	}
	peers, err := newAuthority(dir)
	if err != nil {
		return nil, fmt.Errorf("make the peers' CA: %w", err)
	}
	binary := os.Getenv("CARILLON_BINARY")
	if binary == "" {
		binary = "../bin/carillon"
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return nil, err
	}
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("no program to test, run make build first: %w", err)
	}
	n := &process{dir: dir, binary: binary, readyFile: filepath.Join(dir, "ready.json"), peers: peers,
		log: &syncBuffer{}, exited: make(chan struct{})}
	return n, n.start(more)
}

func (n *process) start(more []string) error {
	args := append([]string{"serve", "--dev", "--data", filepath.Join(n.dir, "data"), "--ready-file", n.readyFile,
		"--tls-trust", n.peers.file, "--log-level", "debug",
		"--api", "127.0.0.1:0", "--sip-udp", "127.0.0.1:0", "--sip-tcp", "127.0.0.1:0", "--sip-tls", "127.0.0.1:0",
		"--dns", "127.0.0.1:0", "--metrics", "127.0.0.1:0"}, more...)
	n.cmd = exec.Command(n.binary, args...)
	n.cmd.Stdout, n.cmd.Stderr = n.log, n.log
	if err := n.cmd.Start(); err != nil {
		return fmt.Errorf("start the node: %w", err)
	}
	go func() {
		n.cmd.Wait()
		close(n.exited)
	}()
	deadline := time.After(startTimeout)
	for {
		text, err := os.ReadFile(n.readyFile)
		if err == nil {
			return json.Unmarshal(text, &n.ready)
		}
		if !errors.Is(err, os.ErrNotExist) {
			return err
		}
		select {
		case <-n.exited:
			return fmt.Errorf("the node ended at start:\n%s", n.log)
		case <-deadline:
			n.cmd.Process.Kill()
			return fmt.Errorf("the node was not ready in %v:\n%s", startTimeout, n.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// stop ends the node as an operator would, and reports a node that had already died or does not end.
func (n *process) stop() error {
	defer os.RemoveAll(n.dir)
	if !n.alive() {
		return fmt.Errorf("the node died during the tests (%v):\n%s", n.cmd.ProcessState, n.log.tail(8000))
	}
	n.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-n.exited:
	case <-time.After(30 * time.Second):
		n.cmd.Process.Kill()
		<-n.exited
		return fmt.Errorf("the node did not end 30 s after SIGTERM:\n%s", n.log.tail(8000))
	}
	if bytes.Contains(n.log.bytes(), []byte("panic")) || bytes.Contains(n.log.bytes(), []byte("DATA RACE")) {
		return fmt.Errorf("the node's log tells of a panic or a race:\n%s", n.log.tail(8000))
	}
	return nil
}

func (n *process) alive() bool {
	select {
	case <-n.exited:
		return false
	default:
		return true
	}
}

// need fails the test when a peer program is missing: a test that is skipped on a poor machine proves nothing there.
func need(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		t.Fatalf("%s is not installed, run tools/packages.sh: %v", program, err)
	}
	return path
}

// syncBuffer is a buffer that one goroutine fills while another reads.
type syncBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.b = append(s.b, p...)
	return len(p), nil
}

func (s *syncBuffer) bytes() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return bytes.Clone(s.b)
}

func (s *syncBuffer) String() string { return string(s.bytes()) }

func (s *syncBuffer) tail(n int) string {
	b := s.bytes()
	return string(b[max(0, len(b)-n):])
}
