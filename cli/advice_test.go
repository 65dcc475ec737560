package cli

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/api/wire"
	"carillon/config"
)

// tryServe starts a node that must not start; one that does is ended.
func tryServe(t *testing.T, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	var out, errs bytes.Buffer
	status := Main(ctx, args, func(string) (string, bool) { return "", false }, Streams{In: strings.NewReader(""), Out: &out, Err: &errs})
	return result{status, out.String(), errs.String()}
}

// TestStartAdvice: what goes wrong the first time says how to put it right.
func TestStartAdvice(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free := []string{"serve", "--dev", "--api", "127.0.0.1:0", "--sip-udp", "off", "--sip-tcp", "off", "--sip-tls", "127.0.0.1:0", "--dns", "off", "--metrics", "off"}
	for flag, tt := range map[string]struct{ value, want string }{
		"--media-xdp": {"lo", "start media: take media past the kernel (--media-xdp): attach to interface lo: it is not an Ethernet interface."},
		"--api":       {taken.Addr().String(), "carillon serve --help has the flag of each listener"},
		"--sip-tls":   {taken.Addr().String(), "Another program has the port"},
		"--dns":       {taken.Addr().String(), "port 0 takes a free one"},
		"--sip-tcp":   {"192.0.2.1:0", "This machine has no such address"},
		"--media-ip":  {"192.0.2.1", "--media-advertise"},
	} {
		got := tryServe(t, append(slices.Clone(free), "--data", t.TempDir(), flag, tt.value)...)
		if got.status != 1 || !strings.Contains(got.err, "carillon: The node did not start: ") || !strings.Contains(got.err, tt.want) {
			t.Errorf("%s %s: exit status %d, %s", flag, tt.value, got.status, got.err)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := tryServe(t, append(free, "--data", file)...); got.status != 1 || !strings.Contains(got.err, file) {
		t.Errorf("a data folder that is a file: %+v", got)
	}
	// Tests may run as root, who is denied nothing.
	low := fmt.Errorf("start DNS: %w", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)})
	if got := advice(low); !strings.Contains(got, "CAP_NET_BIND_SERVICE") {
		t.Errorf("a low port: %q", got)
	}
	if got := advice(fmt.Errorf("make folder: %w", &os.PathError{Op: "mkdir", Path: "/var/lib/carillon", Err: syscall.EACCES})); !strings.Contains(got, "--data") {
		t.Errorf("a folder of somebody else: %q", got)
	}
	if got := advice(fmt.Errorf("open store: data directory is in use")); got != "" {
		t.Errorf("an error that speaks for itself: %q", got)
	}
}

func TestExplain(t *testing.T) {
	here := netip.MustParseAddr("192.0.2.7")
	open := &wire.Termination{CIDRAllowedList: []string{"198.51.100.0/27", "192.0.2.0/28"}}
	for _, tt := range []struct {
		status int
		t      *wire.Termination
		user   string
		want   string
	}{
		{407, open, "", "give --user and --password"},
		{407, open, "pbx", "does not take this user name and password"},
		{403, nil, "", "no termination"},
		{403, &wire.Termination{Disabled: new(true)}, "", "disabled"},
		{403, &wire.Termination{CIDRAllowedList: []string{"198.51.100.0/27"}}, "", "does not have 192.0.2.7"},
		{403, open, "", "msg=refused"},
		{403, &wire.Termination{}, "", "msg=refused"},
	} {
		if got := explain(tt.status, tt.t, here, tt.user); !strings.Contains(got, tt.want) {
			t.Errorf("%d with %+v as %q: %q, want %q", tt.status, tt.t, tt.user, got, tt.want)
		}
	}
}

// TestCallIsExplained: the node keeps silent to a stranger, the command knows more.
func TestCallIsExplained(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	s.connector(false)
	got := s.run("call --to echo --from +12065550100")
	if got.status != 1 || !strings.Contains(got.out, "403 Forbidden") || !strings.Contains(got.out, "The connector has no termination") {
		t.Errorf("without a termination: %+v", got)
	}
	if got := s.run("call --to tone --from +12065550100 --assert status=403"); got.status != 0 {
		t.Errorf("a refusal that was asked for: %+v", got)
	}
}

// TestHelpHasDefaults: nobody should have to start a node to learn its ports.
func TestHelpHasDefaults(t *testing.T) {
	help := strings.Join(strings.Fields(carillon(t, nil, "serve", "--help").out), " ")
	for _, f := range config.Fields() {
		if f.Default != "" && !strings.Contains(help, "["+f.Default) {
			t.Errorf("serve --help does not say that --%s is %s", f.Name, f.Default)
		}
		if f.DevDefault != f.Default && f.DevDefault != "" && !strings.Contains(help, "with --dev "+f.DevDefault+"]") {
			t.Errorf("serve --help does not say that --%s is %s with --dev", f.Name, f.DevDefault)
		}
	}
}

// TestAPIVariableIsTheNodesOwn: one variable serves node and client, and nodes listen on HOST:PORT.
func TestAPIVariableIsTheNodesOwn(t *testing.T) {
	t.Parallel()
	s := script{t, startNode(t)}
	r := s.ready()
	away := script{t, map[string]string{
		"CARILLON_API": strings.TrimPrefix(r.API, "http://"), "AWS_ACCESS_KEY_ID": r.AccessKeyID, "AWS_SECRET_ACCESS_KEY": r.SecretAccessKey,
	}}
	away.expect("key list", r.AccessKeyID)
}
