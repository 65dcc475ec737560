package api

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/directory"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/store"
	"carillon/trunk"
)

// The accounts of the tests. The operator's is the installation's.
const (
	operatorAccount = "000000000001"
	accountA        = "111111111111"
	accountB        = "222222222222"
)

// node is a server on a real store and directory, with a clock that stands still.
type node struct {
	*Server
	store     *store.Store
	directory *directory.Directory
	clock     *clocktest.Fake
	calls     *fakeCalls
	rehearser *fakeRehearser
	metrics   *prometheus.Registry
	handler   http.Handler
	// keys are by account.
	keys map[string]sigv4.Credentials
}

func startNode(t testing.TB, change ...func(*Config)) *node {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d := directory.New(directory.Config{})
	ctx, stop := context.WithCancel(t.Context())
	var following sync.WaitGroup
	following.Go(func() { _ = d.Follow(ctx, s) })
	t.Cleanup(func() { stop(); following.Wait() })
	n := &node{
		store: s, directory: d, clock: clocktest.New(), calls: new(fakeCalls), rehearser: new(fakeRehearser), metrics: prometheus.NewRegistry(),
		keys: map[string]sigv4.Credentials{},
	}
	config := Config{
		Store: s, Directory: d, Calls: n.calls, Audit: s, Rehearser: n.rehearser, Clock: n.clock, Random: rand.Reader, Metrics: n.metrics,
		TokenKey: []byte("0123456789abcdef"),
	}
	for _, f := range change {
		f(&config)
	}
	if n.Server, err = New(config); err != nil {
		t.Fatal(err)
	}
	n.handler = n.Handler()
	n.put(t, &trunk.Installation{Domain: "voice.test", Account: operatorAccount, Created: n.clock.Now()})
	for _, account := range []string{operatorAccount, accountA, accountB} {
		n.keys[account] = n.key(t, account, func(k *iam.AccessKey) { k.Operator = account == operatorAccount })
	}
	return n
}

// fakeRehearser remembers what it was asked and gives the answer it was told.
type fakeRehearser struct {
	asked  call.Question
	answer call.Rehearsal
}

func (f *fakeRehearser) Rehearse(q call.Question) call.Rehearsal {
	f.asked = q
	return f.answer
}

// put stores entities past the API.
func (n *node) put(t testing.TB, entities ...trunk.Entity) {
	t.Helper()
	n.write(t, func(tx trunk.Tx) {
		for _, e := range entities {
			tx.Put(e)
		}
	})
}

// remove deletes an entity past the API.
func (n *node) remove(t testing.TB, key trunk.EntityKey) {
	t.Helper()
	n.write(t, func(tx trunk.Tx) { tx.Delete(key) })
}

func (n *node) write(t testing.TB, fn func(trunk.Tx)) {
	t.Helper()
	revision, err := n.store.Update(t.Context(), func(tx trunk.Tx) error { fn(tx); return nil })
	if err == nil {
		err = n.directory.Await(t.Context(), revision)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (n *node) key(t testing.TB, account string, change func(*iam.AccessKey)) sigv4.Credentials {
	t.Helper()
	k, err := NewAccessKey(rand.Reader, account, 0, n.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	change(k)
	n.put(t, k)
	return sigv4.Credentials{AccessKeyID: k.ID, SecretAccessKey: k.Secret.Reveal(), SessionToken: k.SessionToken.Reveal()}
}

// revision returns the store's: it grows with every write.
func (n *node) revision(t testing.TB) int64 {
	t.Helper()
	got, err := n.store.Client().Get(t.Context(), "revision")
	if err != nil {
		t.Fatal(err)
	}
	return got.Header.Revision
}

// answer is what a client gets.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

func (a answer) errorType() string { return a.Header.Get("x-amzn-ErrorType") }

// member returns the value at a path of member names in the body.
func (a answer) member(t testing.TB, names ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		t.Fatalf("body %q: %v", a.Body, err)
	}
	for _, name := range names {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

func (a answer) text(t testing.TB, names ...string) string {
	t.Helper()
	s, _ := a.member(t, names...).(string)
	return s
}

// request builds a request as net/http's server would deliver it, not signed yet.
func newRequest(method, target, body string, header ...string) *http.Request {
	h := httptest.NewRequest(method, target, strings.NewReader(body))
	h.Host = "127.0.0.1:8080"
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			h.Host = header[i+1]
			continue
		}
		h.Header.Set(header[i], header[i+1])
	}
	return h
}

// do sends a signed request as an account.
func (n *node) do(t testing.TB, account, method, target, body string, header ...string) answer {
	t.Helper()
	return n.as(t, n.keys[account], method, target, body, header...)
}

// as sends a request signed with a key.
func (n *node) as(t testing.TB, key sigv4.Credentials, method, target, body string, header ...string) answer {
	t.Helper()
	h := newRequest(method, target, body, header...)
	sigv4.Sign(h, []byte(body), key, sigv4.Scope{Region: "eu-west-1", Service: "chime"}, n.clock.Now())
	return n.send(t, h)
}

// send sends a request as it is, and holds the answer against what every answer must have.
func (n *node) send(t testing.TB, h *http.Request) answer {
	t.Helper()
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, h)
	a := answer{w.Code, w.Header(), w.Body.String()}
	if len(a.Header.Get("x-amzn-RequestId")) != 36 {
		t.Errorf("%s %s: x-amzn-RequestId is %q", h.Method, h.URL, a.Header.Get("x-amzn-RequestId"))
	}
	length, want := a.Header.Get("Content-Length"), fmt.Sprint(len(a.Body))
	if a.Status == http.StatusNoContent {
		want = ""
	}
	if length != want {
		t.Errorf("%s %s: Content-Length is %q, want %q", h.Method, h.URL, length, want)
	}
	if a.Status >= 400 {
		if a.errorType() == "" || a.text(t, "Code") == "" || a.text(t, "Message") == "" {
			t.Errorf("%s %s: %d without type, Code or Message: %v %s", h.Method, h.URL, a.Status, a.Header, a.Body)
		}
	}
	if a.Body != "" && a.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%s %s: Content-Type is %q", h.Method, h.URL, a.Header.Get("Content-Type"))
	}
	return a
}

// want fails unless the answer has that status.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.Status != status {
		t.Fatalf("got %d %s %s, want %d", a.Status, a.errorType(), a.Body, status)
	}
	return a
}

// create makes a connector and returns its id.
func (n *node) create(t testing.TB, account string, encrypted bool) string {
	t.Helper()
	a := n.do(t, account, "POST", "/voice-connectors", fmt.Sprintf(`{"Name":"demo","RequireEncryption":%t}`, encrypted)).want(t, 201)
	return a.text(t, "VoiceConnector", "VoiceConnectorId")
}

// fakeCalls holds records, newest first; a cursor is the id of the last one given.
type fakeCalls struct {
	asked   CallFilter
	records []call.Record
	err     error
}

func (f *fakeCalls) List(_ context.Context, filter CallFilter, limit int, after string) ([]call.Record, string, error) {
	f.asked = filter
	var found []call.Record
	seen := after == ""
	for _, r := range f.records {
		if !seen {
			seen = string(r.ID) == after
			continue
		}
		if filter.Account != "" && r.Account != filter.Account || filter.ConnectorID != "" && r.ConnectorID != filter.ConnectorID {
			continue
		}
		if len(found) == limit {
			return found, string(found[limit-1].ID), f.err
		}
		found = append(found, r)
	}
	return found, "", f.err
}

func (f *fakeCalls) Show(_ context.Context, id call.ID) (call.Record, bool, error) {
	for _, r := range f.records {
		if r.ID == id {
			return r, true, f.err
		}
	}
	return call.Record{}, false, f.err
}

const minute = time.Minute
