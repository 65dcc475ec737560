package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/cli"
	"carillon/config"
	"carillon/phone"
	"carillon/restjson"
	"carillon/server"
	"carillon/server/servertest"
	"carillon/sigv4"
	"carillon/sip/transport"
)

// Numbers of the tests: the caller's is the customer's own, the others belong to nobody.
const (
	customerNumber = "+12065550100"
	outsideNumber  = "+12125550142"
)

// patience bounds what should take milliseconds, and takes seconds where a machine does much else.
const patience = 30 * time.Second

// world is one node and what a test needs around it.
type world struct {
	t     *testing.T
	node  *server.Node // nil where the node is a process of its own
	ready server.Ready
	file  string // ready file
	dir   string // data directory
	other *trunkOf
}

// newWorld starts a node in this process.
func newWorld(t *testing.T, mutate ...func(*config.Config)) *world {
	t.Helper()
	file, dir := filepath.Join(t.TempDir(), "ready.json"), t.TempDir()
	all := append([]func(*config.Config){func(c *config.Config) { c.ReadyFile, c.Data = file, dir }}, mutate...)
	n := servertest.Start(t, all...)
	return &world{t: t, node: n, ready: n.Ready(), file: file, dir: dir}
}

// in returns the world for a subtest.
func (w *world) in(t *testing.T) *world {
	sub := *w
	sub.t = t
	return &sub
}

// carillon runs the command line and returns its exit status and what it printed.
func (w *world) carillon(args ...string) (status int, stdout, stderr string) {
	var out, errs bytes.Buffer
	getenv := func(name string) (string, bool) {
		if name == "CARILLON_READY_FILE" {
			return w.file, true
		}
		return "", false
	}
	status = cli.Main(w.t.Context(), args, getenv, cli.Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return status, out.String(), errs.String()
}

// must runs a command that has to succeed and returns what it printed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	status, out, errs := w.carillon(args...)
	if status != 0 {
		w.t.Fatalf("carillon %s: exit status %d: %s", strings.Join(args, " "), status, errs)
	}
	return out
}

// aws performs an operation that has to succeed.
func (w *world) aws(id wire.OperationID, in, out any) {
	w.t.Helper()
	if err := call(w.t.Context(), w.ready, id, in, out); err != nil {
		w.t.Fatalf("%s: %v", id, err)
	}
}

// call performs an operation of AWS's with the credentials of a ready file.
func call(ctx context.Context, r server.Ready, id wire.OperationID, in, out any) error {
	op := wire.Operations()[id]
	req, body, err := restjson.NewRequest(ctx, r.API, op.Route, op.In(wire.Voice).Input, in)
	if err != nil {
		return err
	}
	keys := sigv4.Credentials{AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey}
	sigv4.Sign(req, body, keys, sigv4.Scope{Region: "us-east-1", Service: "chime"}, time.Now())
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return restjson.ReadAnswer(answer, out)
}

// trunkOf is a connector of the test's.
type trunkOf struct{ id, host string }

// connector creates a connector with a termination for this machine and the customer's number.
func (w *world) connector(encrypted bool) trunkOf {
	w.t.Helper()
	c := w.bareConnector(encrypted)
	w.terminate(c, &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{"127.0.0.0/8"}, CPSLimit: new(int32(100))})
	w.must("number", "import", customerNumber, "--connector", c.id)
	return c
}

func (w *world) bareConnector(encrypted bool) trunkOf {
	w.t.Helper()
	var made wire.CreateVoiceConnectorResponse
	w.aws(wire.OpCreateVoiceConnector, &wire.CreateVoiceConnectorRequest{Name: new("e2e"), RequireEncryption: &encrypted}, &made)
	return trunkOf{*made.VoiceConnector.VoiceConnectorID, *made.VoiceConnector.OutboundHostName}
}

func (w *world) terminate(c trunkOf, t *wire.Termination) {
	w.t.Helper()
	w.aws(wire.OpPutVoiceConnectorTermination, &wire.PutVoiceConnectorTerminationRequest{VoiceConnectorID: c.id, Termination: t}, nil)
}

func (w *world) credentials(c trunkOf, user, password string) {
	w.t.Helper()
	w.aws(wire.OpPutVoiceConnectorTerminationCredentials, &wire.PutVoiceConnectorTerminationCredentialsRequest{
		VoiceConnectorID: c.id,
		Credentials:      []wire.Credential{{Username: new(wire.Sensitive(user)), Password: new(wire.Sensitive(password))}},
	}, nil)
}

// carrier is a peer that takes the calls to prefixes and does with them what handle says.
func (w *world) carrier(name string, handle func(*phone.Incoming), prefixes ...string) *phone.Phone {
	w.t.Helper()
	p := w.phone(phone.Config{User: name})
	p.Handle(handle)
	args := []string{"carrier", "put", name, "--target", fmt.Sprintf("sip:%s;transport=udp", p.Addr())}
	for _, prefix := range prefixes {
		args = append(args, "--prefix", prefix)
	}
	w.must(args...)
	return p
}

func (w *world) phone(c phone.Config) *phone.Phone {
	w.t.Helper()
	p, err := phone.New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := p.Close(); err != nil {
			w.t.Errorf("close phone: %v", err)
		}
	})
	return p
}

// answering takes every call with an answer of its own, for a tone belongs to one call, and tells of each.
func answering(t *testing.T, answer func() phone.Answer) (func(*phone.Incoming), <-chan *phone.Call) {
	taken := make(chan *phone.Call, 16)
	return func(in *phone.Incoming) {
		c, err := in.Answer(answer())
		if err != nil {
			t.Errorf("answer: %v", err)
			return
		}
		select {
		case taken <- c:
		default: // the test does not look
		}
	}, taken
}

// target is where the node takes SIP over a transport.
func (w *world) target(p transport.Proto) netip.AddrPort {
	text := map[transport.Proto]string{transport.UDP: w.ready.SIP.UDP, transport.TCP: w.ready.SIP.TCP, transport.TLS: w.ready.SIP.TLS}[p]
	return netip.MustParseAddrPort(text)
}

// invite is a call from the customer to an outside number.
func (w *world) invite(c trunkOf, p transport.Proto, to string) phone.Invite {
	w.t.Helper()
	inv := phone.Invite{
		To: "sip:" + to + "@" + c.host, Target: w.target(p), From: "sip:" + customerNumber + "@" + c.host,
		Audio: phone.Tone(450),
	}
	if p == transport.TLS {
		inv.TLS = &transport.ClientTLS{ServerName: c.host, Roots: w.roots()}
		inv.Suites = phone.DefaultSuites()
	}
	return inv
}

// records waits until n calls of a connector are recorded and returns them, the newest first.
func (w *world) records(c trunkOf, n int) []v1.Call {
	w.t.Helper()
	var list v1.CallList
	eventually(w.t, fmt.Sprintf("%d records", n), func() bool {
		if err := json.Unmarshal([]byte(w.must("calls", "list", "--json", "--connector", c.id, "--max", "1000")), &list); err != nil {
			w.t.Fatal(err)
		}
		return len(list.Calls) >= n
	})
	if len(list.Calls) != n {
		w.t.Fatalf("%d records, want %d: %+v", len(list.Calls), n, list.Calls)
	}
	return list.Calls
}

// eventually waits for something that another goroutine does.
func eventually(t *testing.T, what string, held func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !held() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain for: %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience):
		t.Fatalf("waited %s in vain for: %s", patience, what)
		panic("unreachable")
	}
}

// readReady reads a ready file that must be there.
func readReady(t *testing.T, file string) server.Ready {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var r server.Ready
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatalf("ready file: %v in %s", err, text)
	}
	return r
}

// hears reports whether a side has heard a clear tone for a fifth of a second.
func hears(c *phone.Call, hz float64) bool {
	return len(c.Recent()) >= phone.SampleRate/5 && c.Heard(hz) > 0.7
}
