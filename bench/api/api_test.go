package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"carillon/api"
	"carillon/call"
	"carillon/directory"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/store"
	"carillon/trunk"
)

// writers is how many clients create at the same time.
const writers = 64

// noCalls stands for the records of calls, which creates do not read.
type noCalls struct{}

func (noCalls) List(context.Context, api.CallFilter, int, string) ([]call.Record, string, error) {
	return nil, "", nil
}

func (noCalls) Show(context.Context, call.ID) (call.Record, bool, error) {
	return call.Record{}, false, nil
}

// stand is an API over an embedded store, as a node has it.
type stand struct {
	store   *store.Store
	handler http.Handler
	key     *iam.AccessKey
	region  string
}

func newStand(b *testing.B) *stand {
	b.Helper()
	s, err := store.Open(b.Context(), store.Config{Dir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	d := directory.New(directory.Config{})
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Follow(ctx, s) }()
	b.Cleanup(func() { stop(); <-done; s.Close() })
	key, err := api.NewAccessKey(rand.Reader, "111122223333", 0, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	revision, err := s.Update(b.Context(), func(tx trunk.Tx) error {
		tx.Create(&trunk.Installation{Domain: "bench.test", Account: "111122223333", Created: time.Now()})
		tx.Create(key)
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := d.Await(b.Context(), revision); err != nil {
		b.Fatal(err)
	}
	a, err := api.New(api.Config{Store: s, Directory: d, Calls: noCalls{}, Random: rand.Reader, TokenKey: make([]byte, 32)})
	if err != nil {
		b.Fatal(err)
	}
	return &stand{store: s, handler: a.Handler(), key: key, region: "us-east-1"}
}

func (s *stand) sign(b testing.TB, url string) *http.Request {
	body := []byte(`{"Name":"bench","RequireEncryption":true}`)
	r, err := http.NewRequest(http.MethodPost, url+"/voice-connectors", bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	sigv4.Sign(r, body, sigv4.Credentials{AccessKeyID: s.key.ID, SecretAccessKey: s.key.Secret.Reveal()},
		sigv4.Scope{Region: s.region, Service: "chime"}, time.Now())
	return r
}

// parallel runs do from 64 goroutines and reports how many a second.
func parallel(b *testing.B, do func() error) {
	b.SetParallelism(max(1, writers/max(1, 2)))
	start := time.Now()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := do(); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "creates/s")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkCreates measures bare puts of a connector's size, CreateVoiceConnector at the handler, and the same through
// HTTP over loopback with signing clients on the same cores.
func BenchmarkCreates(b *testing.B) {
	b.Run("etcd-put", func(b *testing.B) {
		s := newStand(b)
		value := string(bytes.Repeat([]byte("x"), 450))
		var n atomic.Int64
		parallel(b, func() error {
			_, err := s.store.Client().Put(context.Background(), fmt.Sprintf("bench/%d", n.Add(1)), value)
			return err
		})
	})
	b.Run("handler", func(b *testing.B) {
		s := newStand(b)
		parallel(b, func() error {
			r := s.sign(b, "http://127.0.0.1")
			r.RequestURI = "/voice-connectors"
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			return wantCreated(w.Code, w.Body)
		})
	})
	b.Run("http", func(b *testing.B) {
		s := newStand(b)
		server := httptest.NewServer(s.handler)
		defer server.Close()
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}
		parallel(b, func() error {
			answer, err := client.Do(s.sign(b, server.URL))
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			err = wantCreated(answer.StatusCode, answer.Body)
			_, _ = io.Copy(io.Discard, answer.Body)
			return err
		})
	})
}

func wantCreated(status int, body io.Reader) error {
	if status == http.StatusCreated {
		return nil
	}
	text, _ := io.ReadAll(io.LimitReader(body, 500))
	return fmt.Errorf("status %d: %s", status, text)
}
