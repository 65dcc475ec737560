package party

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"carillon/server"
	"carillon/sigv4"
)

// The caller's account at either system.
const (
	CallerUser     = "caller"
	CallerPassword = "a secret of this benchmark"
	CallerNumber   = "+12065550123"
)

// Node is a Carillon node as an operator would start it.
type Node struct {
	Binary string
	Data   string // parent of its data directory
	// Trust is a file with the certificate of the callee, which then has SIP over TLS and must have SRTP; over UDP and
	// without SRTP when empty.
	Trust string
	// Under is a command that runs the node, such as taskset with its flags; none when empty.
	Under []string
	// Hosts are the run's addresses, those of Loopback when empty.
	Hosts Hosts
	// Options are further ones of the command that serves.
	Options []string

	dir    string
	cmd    *exec.Cmd
	ready  server.Ready
	domain string // of the connector
}

func (n *Node) Name() string { return "Carillon" }

// Start starts a node on a new data directory, with one connector, its credentials, a number and the callee as carrier.
func (n *Node) Start(secure bool, callee string) (err error) {
	if n.Hosts == (Hosts{}) {
		n.Hosts = Loopback()
	}
	if n.dir, err = os.MkdirTemp(n.Data, "carillon-calls-"); err != nil {
		return err
	}
	log, err := os.Create(filepath.Join(n.dir, "log"))
	if err != nil {
		return err
	}
	defer log.Close()
	readyFile := filepath.Join(n.dir, "ready.json")
	command := append(slices.Clone(n.Under), n.Binary)
	command = append(command, n.arguments(readyFile)...)
	n.cmd = exec.Command(command[0], command[1:]...)
	n.cmd.Stdout, n.cmd.Stderr = log, log
	if err := n.cmd.Start(); err != nil {
		return err
	}
	if err := n.await(readyFile); err != nil {
		text, _ := os.ReadFile(log.Name()) // which Stop removes
		return fmt.Errorf("start the node: %w; its log: %s", err, text)
	}
	return n.configure(secure, callee, readyFile)
}

// arguments are those of the command that serves.
func (n *Node) arguments(readyFile string) []string {
	control, host := n.Hosts.Control+":0", n.Hosts.Node
	args := []string{"serve", "--dev", "--data", filepath.Join(n.dir, "data"), "--ready-file", readyFile,
		"--api", control, "--metrics", control, "--dns", control, "--sip-udp", host + ":0", "--sip-tcp", host + ":0",
		"--sip-tls", host + ":0", "--media-ip", host, "--media-ports", "20000-59999", "--max-calls", "100000"}
	if n.Trust != "" {
		args = append(args, "--tls-trust", n.Trust)
	}
	return append(args, n.Options...)
}

// await reads the file that the node writes when it is up.
func (n *Node) await(readyFile string) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		text, err := os.ReadFile(readyFile)
		if errors.Is(err, os.ErrNotExist) {
			// Looked at, not waited for: that is for Stop.
			var info unix.Siginfo
			const flags = unix.WEXITED | unix.WNOHANG | unix.WNOWAIT
			if unix.Waitid(unix.P_PID, n.cmd.Process.Pid, &info, flags, nil) == nil && info.Signo != 0 {
				return errors.New("it has ended")
			}
			continue
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &n.ready)
	}
	return errors.New("it does not come up")
}

func (n *Node) configure(secure bool, callee, readyFile string) error {
	var made struct {
		VoiceConnector struct{ VoiceConnectorId, OutboundHostName string }
	}
	err := n.ask("POST", "/voice-connectors", map[string]any{"Name": "bench", "RequireEncryption": secure}, &made)
	if err != nil {
		return err
	}
	path := "/voice-connectors/" + made.VoiceConnector.VoiceConnectorId + "/termination"
	n.domain = made.VoiceConnector.OutboundHostName
	termination := map[string]any{"CpsLimit": 100000, "CallingRegions": []string{"US"}, "CidrAllowedList": []string{n.Hosts.Caller + "/32"}}
	if err := n.ask("PUT", path, map[string]any{"Termination": termination}, nil); err != nil {
		return err
	}
	credentials := []map[string]string{{"Username": CallerUser, "Password": CallerPassword}}
	if err := n.ask("POST", path+"/credentials?operation=put", map[string]any{"Credentials": credentials}, nil); err != nil {
		return err
	}
	transport, srtp := "udp", "off"
	if n.Trust != "" {
		transport, srtp = "tls", "require"
	}
	for _, args := range [][]string{
		{"carrier", "put", "callee", "--target", "sip:" + callee + ";transport=" + transport, "--prefix", "+1555", "--srtp", srtp},
		{"number", "import", CallerNumber, "--connector", made.VoiceConnector.VoiceConnectorId},
	} {
		if out, err := exec.Command(n.Binary, append(args, "--ready-file", readyFile)...).CombinedOutput(); err != nil {
			return fmt.Errorf("%v: %w: %s", args, err, out)
		}
	}
	return nil
}

// ask makes a request to the API.
func (n *Node) ask(method, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	r, err := http.NewRequest(method, n.ready.API+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	key := sigv4.Credentials{AccessKeyID: n.ready.AccessKeyID, SecretAccessKey: n.ready.SecretAccessKey}
	sigv4.Sign(r, body, key, sigv4.Scope{Region: "us-east-1", Service: "chime"}, time.Now())
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode/100 != 2 {
		err = errors.New(answer.Status)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", method, path, err, text)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(text, out)
}

func (n *Node) Processes() []int { return []int{n.cmd.Process.Pid} }

func (n *Node) Realm() string { return n.domain }

func (n *Node) Address(secure bool) string {
	if secure {
		return n.ready.SIP.TLS
	}
	return n.ready.SIP.UDP
}

// Goroutines is how many the node has.
func (n *Node) Goroutines() (int, error) {
	v, err := n.metric("go_goroutines")
	return int(v), err
}

// Lost is how many records of calls the node could not write.
func (n *Node) Lost() (int, error) {
	v, err := n.metric("carillon_records_failed_total")
	return int(v), err
}

// HeapGoal is how large the heap may become before garbage is collected, in octets: what the last collection left in use and
// a fixed amount.
func (n *Node) HeapGoal() (int64, error) {
	v, err := n.metric("go_memstats_next_gc_bytes")
	return int64(v), err
}

// metric asks the node for a metric without labels.
func (n *Node) metric(name string) (float64, error) {
	answer, err := http.Get(n.ready.Metrics)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("no %s at %s, which answers %s", name, n.ready.Metrics, answer.Status)
}

// Stop ends the node and removes what it wrote, unless the place for it was chosen: ext4 without a journal does not use
// inodes again for minutes, and steps over each of them for every file that the next node makes.
func (n *Node) Stop() {
	if n.cmd != nil && n.cmd.Process != nil {
		_ = n.cmd.Process.Signal(syscall.SIGKILL)
		_ = n.cmd.Wait()
	}
	if n.Data == "" {
		_ = os.RemoveAll(n.dir)
	}
}

// Build makes the node's program, whose module is a neighbour of this one.
func Build(binary string) error {
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "carillon").Output()
	if err != nil {
		return fmt.Errorf("find the node's module: %w", err)
	}
	c := exec.Command("go", "build", "-trimpath", "-o", binary, "./cmd/carillon")
	c.Dir = strings.TrimSpace(string(dir))
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("build the node: %w: %s", err, out)
	}
	return nil
}
