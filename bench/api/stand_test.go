package api

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/api"
	"carillon/call"
	"carillon/directory"
	"carillon/headroom"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/store"
	"carillon/trunk"
)

// noPlanes stands for the parts of a node that have to do with calls, which nothing here asks.
type noPlanes struct{}

func (noPlanes) List(context.Context, api.CallFilter, int, string) ([]call.Record, string, error) {
	return nil, "", nil
}

func (noPlanes) Show(context.Context, call.ID) (call.Record, bool, error) {
	return call.Record{}, false, nil
}

func (noPlanes) Rehearse(call.Question) call.Rehearsal { return call.Rehearsal{} }

// stand is an API over an embedded store, as a node has it.
type stand struct {
	store     *store.Store
	directory *directory.Directory
	handler   http.Handler
	key       *iam.AccessKey
	capped    *iam.AccessKey // of an account with a quota of connectors
	region    string
}

const (
	account       = "111122223333"
	cappedAccount = "444455556666"
)

func newStand(b *testing.B) *stand {
	b.Helper()
	if os.Getenv("GOGC") == "" { // as a node does
		b.Cleanup(headroom.Keep(headroom.Default(headroom.Memory(os.DirFS("/")))).End)
	}
	s, err := store.Open(b.Context(), store.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	d := directory.New(directory.Config{})
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Follow(ctx, s) }()
	b.Cleanup(func() { stop(); <-done; s.Close() })
	key, err := api.NewAccessKey(rand.Reader, account, 0, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	capped, err := api.NewAccessKey(rand.Reader, cappedAccount, 0, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	revision, err := s.Update(b.Context(), func(tx trunk.Tx) error {
		tx.Create(&trunk.Installation{Domain: "bench.test", Account: account, Created: time.Now()})
		tx.Create(key)
		tx.Create(capped)
		tx.Create(&trunk.Quota{Account: cappedAccount, Name: trunk.QuotaConnectors, Value: 1 << 30})
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Await(b.Context(), revision); err != nil {
		b.Fatal(err)
	}
	a, err := api.New(api.Config{Store: s, Directory: d, Calls: noPlanes{}, Rehearser: noPlanes{}, Audit: s, Random: rand.Reader, TokenKey: make([]byte, 32)})
	if err != nil {
		b.Fatal(err)
	}
	return &stand{store: s, directory: d, handler: a.Handler(), key: key, capped: capped, region: "us-east-1"}
}

// serve answers HTTP on a port of the loopback interface, with the limits a node sets.
func (s *stand) serve(b *testing.B, h http.Handler) (address string) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := api.HTTPServer(h, slog.New(slog.DiscardHandler))
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve(listener) }()
	b.Cleanup(func() { server.Close(); <-done })
	return listener.Addr().String()
}

func (s *stand) sign(b testing.TB, key *iam.AccessKey, method, url, body string) *http.Request {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	sigv4.Sign(r, []byte(body), sigv4.Credentials{AccessKeyID: key.ID, SecretAccessKey: key.Secret.Reveal()},
		sigv4.Scope{Region: s.region, Service: "chime"}, time.Now())
	return r
}

// stored makes a connector and returns what the store keeps of that: the connector, and what the audit log says of it.
func (s *stand) stored(b *testing.B) string {
	b.Helper()
	connector, err := s.store.Client().Get(b.Context(), "carillon/e/connector/"+s.create(b))
	if err != nil || len(connector.Kvs) != 1 {
		b.Fatalf("read the stored connector: %v", err)
	}
	all, err := s.store.Client().Get(b.Context(), "carillon/", clientv3.WithPrefix(), clientv3.WithMinModRev(connector.Kvs[0].ModRevision))
	if err != nil {
		b.Fatal(err)
	}
	var value []byte
	for _, kv := range all.Kvs {
		value = append(value, kv.Value...)
	}
	return string(value)
}
