package cli

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"carillon/config"
	"carillon/restjson"
	"carillon/server/servertest"
	"carillon/trunk"
)

// result is what a command left behind.
type result struct {
	status   int
	out, err string
}

// carillon runs a command in an environment.
func carillon(t *testing.T, env map[string]string, args ...string) result {
	t.Helper()
	return carillonReading(t, env, "", args...)
}

func carillonReading(t *testing.T, env map[string]string, in string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	getenv := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	status := Main(t.Context(), args, getenv, Streams{In: strings.NewReader(in), Out: &out, Err: &errs})
	return result{status, out.String(), errs.String()}
}

// TestEveryLeafRuns: what the parser accepts must be something that runs.
func TestEveryLeafRuns(t *testing.T) {
	var g grammar
	parser, err := kong.New(&g, kong.Name("carillon"))
	if err != nil {
		t.Fatal(err)
	}
	leaves := parser.Model.Leaves(false)
	if len(leaves) < 15 {
		t.Errorf("found %d commands", len(leaves))
	}
	for _, leaf := range leaves {
		if _, ok := leaf.Target.Addr().Interface().(command); !ok {
			t.Errorf("%s does not run", leaf.FullPath())
		}
		if leaf.Help == "" {
			t.Errorf("%s has no help", leaf.FullPath())
		}
		for _, f := range leaf.Flags {
			if f.Help == "" {
				t.Errorf("%s --%s has no help", leaf.FullPath(), f.Name)
			}
		}
	}
}

func TestExitStatusIsTotal(t *testing.T) {
	for _, k := range trunk.Kinds() {
		want := exitFailed
		if k == trunk.Invalid {
			want = exitUsage
		}
		if got := exitStatus(k); got != want {
			t.Errorf("%s: %d, want %d", k, got, want)
		}
	}
	for status, want := range map[int]trunk.Kind{
		400: trunk.Invalid, 403: trunk.Forbidden, 404: trunk.NotFound, 409: trunk.Conflict, 413: trunk.Invalid,
		429: trunk.Throttled, 500: trunk.Internal, 502: trunk.Internal, 503: trunk.Unavailable,
	} {
		err := fmt.Errorf("wrapped: %w", &restjson.AnswerError{Exception: restjson.Exception{Status: status, Type: "X"}})
		if got := kindOf(err); got != want {
			t.Errorf("status %d is %s, want %s", status, got, want)
		}
	}
	over := &restjson.AnswerError{Exception: restjson.Exception{Status: http.StatusBadRequest, Type: "ResourceLimitExceededException"}}
	if got := kindOf(over); got != trunk.LimitExceeded {
		t.Errorf("over quota is %s", got)
	}
}

// TestUsage: what makes no sense ends with 2 and one sentence that says what would, before anything is sent.
func TestUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(file, []byte(`{}`), 0o600); err != nil {
		t.Fatal(err)
	}
	nowhere := map[string]string{"CARILLON_API": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}
	for _, tt := range []struct {
		args string
		env  map[string]string
		want string
		exit int
	}{
		{"frobnicate", nil, "unexpected argument frobnicate", 2},
		{"carrier put up", nil, "--target", 2},
		{"carrier put up --nope", nil, "carrier put --help", 2},
		{"serve", nil, "--domain is required without --dev", 2},
		{"serve --dev --sip-udp nonsense", nil, "not HOST:PORT", 2},
		{"config check --dev --config /nonexistent", nil, "--config", 2},
		{"config check --dev --media-ports 10-20", nil, "below 1024", 2},
		{"number list", nil, "--ready-file FILE", 2},
		{"number list --ready-file /nonexistent/ready.json", nil, "no node that writes it is up", 1},
		{"number list --ready-file " + file, nil, "is not a ready file", 2},
		{"number list", map[string]string{"CARILLON_API": "http://127.0.0.1:1"}, "AWS_ACCESS_KEY_ID", 2},
		{"number list", nowhere, "does not answer", 1},
		{"calls list --max 0", nowhere, "--max", 2},
		{"audit list --limit 0", nowhere, "--max", 2},
		{"audit list --since yesterday", nowhere, "--since", 2},
		{"key create --expires 1ms", nowhere, "at least a second", 2},
		{"key create --policy /nonexistent", nowhere, "policy cannot be read", 2},
		{"carrier put up --target sip:a:1 --probe 1500ms", nowhere, "whole seconds", 2},
		{"carrier put up --target sip:a:1 --user u --password -", nowhere, "no password on standard input", 2},
		{"call --to echo --transport carrier-pigeon", nowhere, "--transport", 2},
		{"call --to nobody", nowhere, "neither a number nor one of the laboratory: echo, tone", 2},
		{"call --to echo --duration 10ms", nowhere, "--duration", 2},
		{"call --to echo --assert mos", nowhere, "NAME=VALUE", 2},
		{"rehearse --to +12125550123 --source 192.0.2.1 --inbound --connector x", nowhere, "exclude each other", 2},
		{"serve --media-ip x", nil, `--media-ip: "x" is not an IP address (see`, 2},
		{"serve --max-calls x", nil, `--max-calls: "x" is not a whole number (see`, 2},
		{"serve --drain x", nil, `--drain: "x" is no length of time such as`, 2},
		{"serve --resolver x", nil, "--resolver: that is not an address and a port such as", 2},
		{"serve --proxy-protocol 192.0.2.1", nil, `--proxy-protocol: "192.0.2.1" is not a network such as`, 2},
		{"config check --dev", map[string]string{"CARILLON_MEDIA_IP": "x"}, `"x" is not an IP address`, 2},
		{"config check --dev", map[string]string{"CARILLON_RESOLVER": "x"}, `"x" is not an address and a port such as`, 2},
		{"config check --dev", map[string]string{"CARILLON_PROXY_PROTOCOL": "x"}, `"x" is not a network such as`, 2},
		{"key create --expires 7w", nowhere, `--expires: "7w" is no length of time such as 90s, 1h30m or 7d`, 2},
		{"calls trace x", nowhere, "unexpected argument trace", 2},
	} {
		got := carillon(t, tt.env, strings.Fields(tt.args)...)
		if got.status != tt.exit || !strings.Contains(got.err, tt.want) || !strings.HasPrefix(got.err, "carillon: ") || got.out != "" {
			t.Errorf("carillon %s: exit status %d, %q%q, want %d and %q", tt.args, got.status, got.out, got.err, tt.exit, tt.want)
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}} {
		if got := carillon(t, nil, args...); got.status != 0 || !strings.Contains(got.out, "serve") || !strings.Contains(got.out, "demo") {
			t.Errorf("carillon %v: %d, %s%s", args, got.status, got.out, got.err)
		}
	}
	// Help for a command whose arguments are missing is help all the same.
	got := carillon(t, nil, "serve", "--help")
	if got.status != 0 {
		t.Errorf("exit status %d", got.status)
	}
	for _, f := range config.Fields() {
		if !strings.Contains(got.out, "--"+f.Name) {
			t.Errorf("serve --help does not name --%s", f.Name)
		}
	}
	if got := carillon(t, nil, "carrier", "put", "--help"); got.status != 0 || !strings.Contains(got.out, "--srtp") {
		t.Errorf("%d %s%s", got.status, got.out, got.err)
	}
}

// TestSettingsOfANode: flag, environment and file reach the node's configuration as one.
func TestSettingsOfANode(t *testing.T) {
	file := filepath.Join(t.TempDir(), "node.yaml")
	if err := os.WriteFile(file, []byte("domain: file.example\nmax-calls: 0\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := carillon(t, nil, "config", "check", "--dev", "--config", file); got.status != 2 || !strings.Contains(got.err, "--max-calls 0") {
		t.Errorf("the file is not read: %+v", got)
	}
	if got := carillon(t, map[string]string{"CARILLON_MAX_CALLS": "7"}, "config", "check", "--dev", "--config", file); got.status != 0 {
		t.Errorf("the environment does not beat the file: %+v", got)
	}
	if got := carillon(t, map[string]string{"CARILLON_MAX_CALLS": "7"}, "config", "check", "--dev", "--max-calls", "0"); got.status != 2 {
		t.Errorf("the flag does not beat the environment: %+v", got)
	}
}

func TestVersion(t *testing.T) {
	got := carillon(t, nil, "version", "--json")
	var v struct{ Version, Go string }
	if err := json.Unmarshal([]byte(got.out), &v); err != nil || v.Version == "" || !strings.HasPrefix(v.Go, "go") {
		t.Errorf("%+v: %v", got, err)
	}
	if got := carillon(t, nil, "--version"); got.status != 0 || !strings.HasPrefix(got.out, "carillon "+v.Version) {
		t.Errorf("--version: %+v", got)
	}
}

// TestHelpCommand: help is a command as well as a flag.
func TestHelpCommand(t *testing.T) {
	for command, flag := range map[string]string{"help": "--help", "help key create": "key create --help"} {
		got, want := carillon(t, nil, strings.Fields(command)...), carillon(t, nil, strings.Fields(flag)...)
		if got != want || got.status != 0 || got.out == "" {
			t.Errorf("%s: %+v, want %+v", command, got, want)
		}
	}
}

// startNode starts a node and returns the environment in which commands find it.
func startNode(t *testing.T) map[string]string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ready.json")
	servertest.Start(t, func(c *config.Config) { c.ReadyFile = file })
	return map[string]string{"CARILLON_READY_FILE": file}
}

// TestConfigCheckWarns: a certificate that no client of a connector takes is no error, for the operator may know what he
// does; it is said all the same.
func TestConfigCheckWarns(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"sbc.example.org"}}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "both.pem")
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	got := carillon(t, nil, "config", "check", "--dev", "--tls-cert", file, "--tls-key", file)
	want := "carillon: warning: --tls-cert " + file + " has no name for *.voiceconnector.carillon.test: clients that check it will not connect.\n"
	if got.status != 0 || got.err != want || !strings.Contains(got.out, "The settings are fine.") {
		t.Errorf("got %+v, want the warning %q", got, want)
	}
}
