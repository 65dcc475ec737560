package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/cli"
	"carillon/phone"
	"carillon/server"
	"carillon/sip/transport"
)

// asCarillon makes this test binary behave like the program: processes that tests kill must be real ones.
const asCarillon = "E2E_RUN_AS_CARILLON"

// withFiles is how many files such a process may have open.
const withFiles = "E2E_OPEN_FILES"

func TestMain(m *testing.M) {
	if os.Getenv(asCarillon) != "" {
		if n, err := strconv.ParseUint(os.Getenv(withFiles), 10, 64); err == nil {
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: n, Max: n}); err != nil {
				panic(err)
			}
		}
		os.Exit(cli.Main(context.Background(), os.Args[1:], os.LookupEnv, cli.Streams{In: os.Stdin, Out: os.Stdout, Err: os.Stderr}))
	}
	os.Exit(m.Run())
}

// process is a `carillon serve --dev` of its own.
type process struct {
	*world
	cmd    *exec.Cmd
	out    *lockedBuffer
	exited chan error
}

// lockedBuffer may be read while a process writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// launch starts the program on a data directory, without waiting for it.
func launch(t *testing.T, dir, file string, more ...string) *process {
	t.Helper()
	return launchIn(t, nil, dir, file, more...)
}

// launchIn is launch with more in the environment.
func launchIn(t *testing.T, environment []string, dir, file string, more ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"serve", "--dev", "--data", dir, "--ready-file", file}
	for _, l := range []string{"api", "sip-udp", "sip-tcp", "sip-tls", "dns", "metrics"} {
		args = append(args, "--"+l, "127.0.0.1:0")
	}
	p := &process{world: &world{t: t, file: file, dir: dir}, cmd: exec.Command(self, append(args, more...)...), out: &lockedBuffer{}, exited: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), append(environment, asCarillon+"=1")...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.exited <- p.cmd.Wait() }()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if t.Failed() {
			t.Logf("the node said:\n%s", p.out)
		}
	})
	return p
}

// serve starts the program and waits for its ready file.
func serve(t *testing.T, dir, file string, more ...string) *process {
	t.Helper()
	return launch(t, dir, file, more...).await()
}

// await waits for the ready file.
func (p *process) await() *process {
	p.t.Helper()
	eventually(p.t, "the ready file", func() bool {
		select {
		case err := <-p.exited:
			p.t.Fatalf("the node ended: %v\n%s", err, p.out)
		default:
		}
		_, err := os.Stat(p.file)
		return err == nil
	})
	p.ready = readReady(p.t, p.file)
	return p
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// ended waits for the end of the process and returns its exit status.
func (p *process) ended() int {
	p.t.Helper()
	err := receive(p.t, "the end of the node", p.exited)
	var status *exec.ExitError
	if errors.As(err, &status) {
		return status.ExitCode()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	return 0
}

// TestReadyFile: the file is there once every listener answers, whole and for its owner only, and gone when the node is.
func TestReadyFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ready.json")
	if err := os.WriteFile(file, []byte(`{"api":"http://127.0.0.1:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	p := launch(t, t.TempDir(), file)
	var ready server.Ready
	eventually(t, "a ready file of this node", func() bool {
		if _, err := os.Stat(file); err != nil {
			return false
		}
		ready = readReady(t, file)
		return ready.API != "http://127.0.0.1:1"
	})
	if ready.PID != p.cmd.Process.Pid || len(ready.AccountID) != 12 || ready.Domain != "carillon.test" || ready.AccessKeyID == "" || ready.SecretAccessKey == "" {
		t.Errorf("ready file: pid %d, account %q, domain %q, key %q", ready.PID, ready.AccountID, ready.Domain, ready.AccessKeyID)
	}
	if ready.SIP.UDP != ready.SIP.TCP {
		t.Errorf("UDP %s and TCP %s do not share a number", ready.SIP.UDP, ready.SIP.TCP)
	}
	for _, at := range []string{ready.SIP.TCP, ready.SIP.TLS, ready.DNS, strings.TrimPrefix(ready.API, "http://")} {
		c, err := net.DialTimeout("tcp", at, time.Second)
		if err != nil {
			t.Errorf("nothing answers at %s: %v", at, err)
			continue
		}
		c.Close()
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("ready file: %v, %v; it holds a secret", info.Mode(), err)
	}
	if _, err := os.Stat(ready.CAFile); err != nil {
		t.Error(err)
	}
	if strings.Contains(p.out.String(), ready.SecretAccessKey) {
		t.Error("the node printed the secret, although there is a ready file for it")
	}
	for _, want := range []string{
		`"node is up" api=` + ready.API + " sip_udp=" + ready.SIP.UDP + " sip_tcp=" + ready.SIP.TCP + " sip_tls=" + ready.SIP.TLS + " dns=" + ready.DNS,
		" media=127.0.0.1 media_ports=", " domain=carillon.test ",
	} {
		eventually(t, want, func() bool { return strings.Contains(p.out.String(), want) })
	}
	p.signal(syscall.SIGTERM)
	if status := p.ended(); status != 0 {
		t.Errorf("exit status %d after SIGTERM, want 0", status)
	}
	if log := strings.TrimSpace(p.out.String()); !strings.HasSuffix(log, `msg="node stopped"`) {
		t.Errorf("the log's last line is not that the node stopped:\n%s", log)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the ready file outlives the node: %v", err)
	}
}

// TestWelcome: whoever starts a trial node without a ready file can copy from the terminal what a client needs.
func TestWelcome(t *testing.T) {
	t.Parallel()
	p := launch(t, t.TempDir(), "")
	var api, id, secret string
	eventually(t, "the welcome", func() bool {
		for _, line := range strings.Split(p.out.String(), "\n") {
			line = strings.TrimSpace(line)
			for name, to := range map[string]*string{"CARILLON_API": &api, "AWS_ACCESS_KEY_ID": &id, "AWS_SECRET_ACCESS_KEY": &secret} {
				if v, ok := strings.CutPrefix(line, "export "+name+"="); ok {
					*to = v
				}
			}
		}
		return api != "" && id != "" && strings.Contains(p.out.String(), "+19995550107")
	})
	environment := map[string]string{"CARILLON_API": api, "AWS_ACCESS_KEY_ID": id, "AWS_SECRET_ACCESS_KEY": secret}
	var out, errs bytes.Buffer
	status := cli.Main(t.Context(), []string{"key", "list"}, func(name string) (string, bool) { v, ok := environment[name]; return v, ok },
		cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	if status != 0 || !strings.Contains(out.String(), id) {
		t.Errorf("exit status %d, %s%s", status, out.String(), errs.String())
	}
}

// TestRestart: with --data, everything that a customer may have written down is the same after a restart.
func TestRestart(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "ready.json")
	first := serve(t, dir, file)
	c := first.connector(true)
	first.credentials(c, "alice", "right")
	ca, err := os.ReadFile(first.ready.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	first.signal(syscall.SIGTERM)
	first.ended()

	second := serve(t, dir, file)
	again, err := os.ReadFile(second.ready.CAFile)
	if err != nil || !bytes.Equal(ca, again) {
		t.Errorf("the CA is another one: %v", err)
	}
	a, b := first.ready, second.ready
	if a.AccountID != b.AccountID || a.AccessKeyID != b.AccessKeyID || a.SecretAccessKey != b.SecretAccessKey || a.Domain != b.Domain {
		t.Errorf("account or keys changed")
	}
	answer, _ := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	second.carrier("upstream", answer, "+1212")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	inv := second.invite(c, transport.TLS, outsideNumber)
	inv.User, inv.Password = "alice", "right"
	placed, err := second.phone(phone.Config{Proto: transport.TLS}).Dial(ctx, inv)
	if err != nil {
		t.Fatalf("a call with what was configured before the restart: %v", err)
	}
	eventually(t, "audio", func() bool { return hears(placed, 1004) })
	if err := placed.Hangup(ctx); err != nil {
		t.Error(err)
	}
	second.records(c, 1)
}

// TestKilled: kill -9 at any moment loses nothing that was acknowledged, and the next start comes up.
func TestKilled(t *testing.T) {
	const rounds, writers = 4, 8
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "ready.json")
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	p := serve(t, dir, file)
	for round := range rounds {
		var writing sync.WaitGroup
		for range writers {
			writing.Go(func() {
				for {
					var made wire.CreateVoiceConnectorResponse
					in := &wire.CreateVoiceConnectorRequest{Name: new("crash"), RequireEncryption: new(true)}
					if call(t.Context(), p.ready, wire.OpCreateVoiceConnector, in, &made) != nil {
						return
					}
					mu.Lock()
					acknowledged[*made.VoiceConnector.VoiceConnectorID] = true
					mu.Unlock()
				}
			})
		}
		time.Sleep(time.Duration(50+37*round) * time.Millisecond)
		p.signal(syscall.SIGKILL)
		p.ended()
		writing.Wait()
		// The ready file of a killed node stays; only the next one removes it.
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		p = serve(t, dir, file)
		stored := p.connectors()
		for id := range acknowledged {
			if !slices.Contains(stored, id) {
				t.Errorf("round %d: connector %s was acknowledged and is lost", round, id)
			}
		}
		// A connector is there with the entry that tells of its create, or neither is.
		slices.Sort(stored)
		if entries := p.audited("CreateVoiceConnector"); !slices.Equal(entries, stored) {
			t.Errorf("round %d: %d connectors are stored, and %d entries of creates: %v, %v", round, len(stored), len(entries), stored, entries)
		}
	}
	if len(acknowledged) < rounds*writers {
		t.Errorf("%d creates in all rounds prove little", len(acknowledged))
	}
	t.Logf("%d connectors acknowledged, all there after %d kills", len(acknowledged), rounds)
}

// TestRecordSurvivesKill: a record that can be read is on disk, and a kill neither loses nor doubles its export.
func TestRecordSurvivesKill(t *testing.T) {
	t.Parallel()
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "ready.json")
	p := serve(t, dir, file)
	answer, _ := answering(t, func() phone.Answer { return phone.Answer{} })
	p.carrier("upstream", answer, "+1212")
	c := p.connector(false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	placed, err := p.phone(phone.Config{}).Dial(ctx, p.invite(c, transport.UDP, outsideNumber))
	if err != nil {
		t.Fatal(err)
	}
	if err := placed.Hangup(ctx); err != nil {
		t.Fatal(err)
	}
	before := p.records(c, 1)[0]
	p.signal(syscall.SIGKILL)
	p.ended()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir, file)
	if after := p.records(c, 1)[0]; after.ID != before.ID || !after.End.Equal(before.End) || after.Reason != before.Reason {
		t.Errorf("the record was %+v and is %+v", before, after)
	}
	eventually(t, "the exported record", func() bool { return len(p.exported()) > 0 })
	if files := p.exported(); len(files) != 1 {
		t.Errorf("exported %v, want one file", files)
	}
}

// audited lists the ids of what an operation wrote, in their order.
func (w *world) audited(operation string) (ids []string) {
	w.t.Helper()
	var list v1.AuditList
	if err := json.Unmarshal([]byte(w.must("audit", "list", "--operation", operation, "--max", "100000", "--json")), &list); err != nil {
		w.t.Fatal(err)
	}
	for _, e := range list.Entries {
		for _, c := range e.Changes {
			ids = append(ids, c.ID)
		}
	}
	slices.Sort(ids)
	return ids
}

// connectors lists the ids of all connectors, page by page.
func (w *world) connectors() []string {
	w.t.Helper()
	var ids []string
	in := &wire.ListVoiceConnectorsRequest{MaxResults: new(int32(99))}
	for {
		var page wire.ListVoiceConnectorsResponse
		w.aws(wire.OpListVoiceConnectors, in, &page)
		for _, v := range page.VoiceConnectors {
			ids = append(ids, *v.VoiceConnectorID)
		}
		if page.NextToken == nil {
			return ids
		}
		in.NextToken = page.NextToken
	}
}

// TestDrain: after SIGTERM a running call goes on and a new one is refused with 503 and a time to come back; the node
// ends with the call. A second signal does not wait.
func TestDrain(t *testing.T) {
	t.Parallel()
	for _, impatient := range []bool{false, true} {
		t.Run(fmt.Sprintf("second signal %t", impatient), func(t *testing.T) {
			p := serve(t, t.TempDir(), filepath.Join(t.TempDir(), "ready.json"))
			answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
			p.carrier("upstream", answer, "+1212")
			c := p.connector(true)
			customer := p.phone(phone.Config{Proto: transport.TLS})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			placed, err := customer.Dial(ctx, p.invite(c, transport.TLS, outsideNumber))
			if err != nil {
				t.Fatal(err)
			}
			far := receive(t, "the carrier's call", taken)
			p.signal(syscall.SIGTERM)
			var refused *phone.Failure
			eventually(t, "503 to a new call", func() bool {
				more, err := customer.Dial(ctx, p.invite(c, transport.TLS, outsideNumber))
				if err == nil {
					_ = more.Hangup(ctx)
				}
				return errors.As(err, &refused)
			})
			if refused.Status != 503 {
				t.Errorf("a new call got %d", refused.Status)
			}
			if placed.Ended() != phone.EndNone || far.Ended() != phone.EndNone {
				t.Error("the running call was ended")
			}
			if impatient {
				p.signal(syscall.SIGTERM)
				receive(t, "the node's BYE", placed.Done())
			} else {
				eventually(t, "audio while the node drains", func() bool { return hears(placed, 1004) })
				if err := placed.Hangup(ctx); err != nil {
					t.Error(err)
				}
			}
			if status := p.ended(); status != 0 {
				t.Errorf("exit status %d", status)
			}
			receive(t, "the end of the carrier's call", far.Done())
		})
	}
}

// TestSecondNode: two nodes on one data directory would ruin it; the second says so and who is there.
func TestSecondNode(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := serve(t, dir, filepath.Join(t.TempDir(), "ready.json"))
	second := launch(t, dir, filepath.Join(t.TempDir(), "other.json"))
	if status := second.ended(); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	said := second.out.String()
	if strings.Count(said, "open store") != 1 {
		t.Errorf("the second node repeats itself: %q", said)
	}
	if want := fmt.Sprintf("in use by another process (pid %d)", first.cmd.Process.Pid); !strings.Contains(said, want) || !strings.Contains(said, dir) {
		t.Errorf("the second node said %q, want %q and the folder", said, want)
	}
	first.connector(false) // the first one is as before
}

// TestReadyFileOfTheShell: in a shell that names a running node to the other commands, a second node would have taken its
// ready file, and has to say why.
func TestReadyFileOfTheShell(t *testing.T) {
	t.Parallel()
	first := serve(t, t.TempDir(), filepath.Join(t.TempDir(), "ready.json"))
	for _, flag := range []bool{false, true} {
		args := []string{"serve", "--dev"}
		if flag {
			args = append(args, "--ready-file", first.file)
		}
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, args...)
		cmd.Env = append(os.Environ(), asCarillon+"=1", "CARILLON_READY_FILE="+first.file)
		out, err := cmd.CombinedOutput()
		var status *exec.ExitError
		if !errors.As(err, &status) || !strings.Contains(string(out), first.file+" belongs to a node that runs") {
			t.Errorf("given as a flag %t: %v, %s", flag, err, out)
		}
		if got := strings.Contains(string(out), "The name is from $CARILLON_READY_FILE"); got == flag {
			t.Errorf("given as a flag %t: the variable is named %t in %s", flag, got, out)
		}
	}
}
