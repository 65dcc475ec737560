package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"carillon/api/wire"
	"carillon/restjson"
	"carillon/server"
	"carillon/sigv4"
	"carillon/trunk"
)

// load is a crowd of clients that each want their connectors, whatever becomes of the node meanwhile: they send a create
// that got no answer again, as SDKs do, under the id of the first attempt.
type load struct {
	t      *testing.T
	client *http.Client

	mu       sync.Mutex
	answered map[string]string // connector by invocation
}

func newLoad(t *testing.T, connections int) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections}
	t.Cleanup(transport.CloseIdleConnections)
	return &load{t: t, client: &http.Client{Transport: transport, Timeout: patience}, answered: map[string]string{}}
}

// create asks for the connector of an invocation.
func (l *load) create(ctx context.Context, r server.Ready, invocation string) (string, error) {
	op := wire.Operations()[wire.OpCreateVoiceConnector]
	in := &wire.CreateVoiceConnectorRequest{Name: new("load"), RequireEncryption: new(true)}
	req, body, err := restjson.NewRequest(ctx, r.API, op.Route, op.In(wire.Voice).Input, in)
	if err != nil {
		return "", err
	}
	req.Header.Set("Amz-Sdk-Invocation-Id", invocation)
	keys := sigv4.Credentials{AccessKeyID: r.AccessKeyID, SecretAccessKey: r.SecretAccessKey}
	sigv4.Sign(req, body, keys, sigv4.Scope{Region: "us-east-1", Service: "chime"}, time.Now())
	answer, err := l.client.Do(req)
	if err != nil {
		return "", err
	}
	var made wire.CreateVoiceConnectorResponse
	if err := restjson.ReadAnswer(answer, &made); err != nil {
		return "", err
	}
	return *made.VoiceConnector.VoiceConnectorID, nil
}

// run sends creates for all invocations that have no answer, many at a time, until the node is gone or all have one.
// It calls after with the number of answers each time one comes.
func (l *load) run(r server.Ready, invocations []string, after func(answers int)) {
	ctx, cancel := context.WithCancel(l.t.Context())
	defer cancel()
	var next atomic.Int64
	var all sync.WaitGroup
	for range l.client.Transport.(*http.Transport).MaxConnsPerHost {
		all.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(invocations) {
					return
				}
				id, err := l.create(ctx, r, invocations[i])
				var refused *restjson.AnswerError
				switch {
				case errors.As(err, &refused):
					l.t.Errorf("a create was refused: %v", err)
					cancel()
				case err != nil:
					cancel() // the node is gone
				default:
					after(l.note(invocations[i], id))
				}
			}
		})
	}
	all.Wait()
}

func (l *load) note(invocation, id string) (answers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if had := l.answered[invocation]; had != "" && had != id {
		l.t.Errorf("the same create made %s and %s", had, id)
	}
	l.answered[invocation] = id
	return len(l.answered)
}

// missing returns the invocations without an answer.
func (l *load) missing(invocations []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(invocations), func(i string) bool { return l.answered[i] != "" })
}

// TestKilledUnderLoad kills the node twice while 10,000 creates are under way under a quota of as many. What was
// answered is there; no attempt left half of a create: a memory of it without its connector, a place taken in the quota,
// an audit entry; and those that got no answer make each one connector when they are sent again.
func TestKilledUnderLoad(t *testing.T) {
	const creates, connections, sampled = 10_000, 256, 200
	dir, file := t.TempDir(), filepath.Join(t.TempDir(), "ready.json")
	invocations := make([]string, creates)
	for i := range invocations {
		invocations[i] = fmt.Sprintf("load-%d", i)
	}
	p := serve(t, dir, file)
	p.must("quota", "set", trunk.QuotaConnectors, fmt.Sprint(creates))
	l := newLoad(t, connections)
	for _, killAt := range []int{creates / 3, creates * 2 / 3, creates + 1} {
		var once sync.Once
		l.run(p.ready, l.missing(invocations), func(answers int) {
			if answers >= killAt {
				once.Do(func() { p.signal(syscall.SIGKILL) })
			}
		})
		if killAt > creates {
			break
		}
		p.ended()
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		p = serve(t, dir, file)
		p.whole(l)
	}
	if left := l.missing(invocations); len(left) > 0 {
		t.Fatalf("%d creates were never answered", len(left))
	}
	stored := p.whole(l)
	if len(stored) != creates {
		t.Errorf("%d connectors are stored, want one for each of %d creates", len(stored), creates)
	}
	// The count under the quota is the number of connectors: not one more fits, and one does for one that goes.
	var refused *restjson.AnswerError
	if _, err := l.create(t.Context(), p.ready, "one more"); !errors.As(err, &refused) || refused.Type != "ResourceLimitExceededException" {
		t.Errorf("one connector above the quota: %v", err)
	}
	gone := l.answered[invocations[0]]
	p.aws(wire.OpDeleteVoiceConnector, &wire.DeleteVoiceConnectorRequest{VoiceConnectorID: gone}, nil)
	if _, err := l.create(t.Context(), p.ready, "in its place"); err != nil {
		t.Errorf("a connector in the place of one that went: %v", err)
	}
	// A create that was answered is remembered with its connector.
	for i := 1; i < creates; i += creates / sampled {
		if id, err := l.create(t.Context(), p.ready, invocations[i]); err != nil || id != l.answered[invocations[i]] {
			t.Fatalf("the retry of a create that made %s: %s, %v", l.answered[invocations[i]], id, err)
		}
	}
}

// whole checks a node after a start: every connector that was answered is there, and each that is there has the audit
// entry of its create.
func (p *process) whole(l *load) (stored []string) {
	p.t.Helper()
	stored = p.connectors()
	slices.Sort(stored)
	lost := 0
	for _, id := range l.answered {
		if _, found := slices.BinarySearch(stored, id); !found {
			lost++
		}
	}
	if lost > 0 {
		p.t.Errorf("%d of %d connectors were answered and are lost", lost, len(l.answered))
	}
	if entries := p.audited("CreateVoiceConnector"); !slices.Equal(entries, stored) {
		p.t.Errorf("%d connectors are stored, and the audit log has %d creates", len(stored), len(entries))
	}
	p.t.Logf("%d answered, %d stored", len(l.answered), len(stored))
	return stored
}

// smallDisk mounts a file system of its own of so many bytes.
func smallDisk(t *testing.T, bytes int64) string {
	t.Helper()
	dir := t.TempDir()
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
	// Where nobody reads the output a skip would hide that no disk was ever full.
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "" {
		t.Skip("only root may mount a small file system")
	}
	if err != nil {
		t.Fatalf("mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// TestDiskFull: with a full disk writes are refused with ServiceUnavailableException and reads go on; nobody needs to do
// anything but make room.
func TestDiskFull(t *testing.T) {
	const size, leave = 400 << 20, 50 << 20
	dir, file := smallDisk(t, size), filepath.Join(t.TempDir(), "ready.json")
	p := serve(t, dir, file)
	before := p.bareConnector(true)
	get := func(id string) error {
		return call(t.Context(), p.ready, wire.OpGetVoiceConnector, &wire.GetVoiceConnectorRequest{VoiceConnectorID: id}, nil)
	}
	others := filepath.Join(dir, "somebody else's")
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(others)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(fs.Bavail)*fs.Bsize-leave); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		err := call(t.Context(), p.ready, wire.OpCreateVoiceConnector, &wire.CreateVoiceConnectorRequest{Name: new("e2e"), RequireEncryption: new(true)}, nil)
		var refused *restjson.AnswerError
		if !errors.As(err, &refused) || refused.Status != http.StatusServiceUnavailable || refused.Type != "ServiceUnavailableException" {
			t.Fatalf("a create on a full disk: %v", err)
		}
		if err := get(before.id); err != nil {
			t.Errorf("a read on a full disk: %v", err)
		}
	}
	if err := os.Remove(others); err != nil {
		t.Fatal(err)
	}
	f.Close()
	after := p.bareConnector(true)
	p.signal(syscall.SIGKILL)
	p.ended()
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	p = serve(t, dir, file)
	want := []string{before.id, after.id}
	slices.Sort(want)
	got := p.connectors()
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("after the disk was full there are %v, want %v", got, want)
	}
}
