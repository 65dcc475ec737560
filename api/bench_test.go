package api

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"carillon/sigv4"
)

// BenchmarkCreate makes connectors durably through the handler with 64 writers at a time: signature, policy,
// validation, one transaction, directory, answer.
func BenchmarkCreate(b *testing.B) {
	n := startNode(b)
	h := newRequest("POST", "/voice-connectors", create)
	sigv4.Sign(h, []byte(create), n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
	var failed atomic.Int64
	b.SetParallelism(32) // times GOMAXPROCS
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if w := replay(n, h.Header.Clone(), create); w.Code != 201 {
				failed.Add(1)
			}
		}
	})
	if failed.Load() > 0 {
		b.Fatalf("%d creates failed", failed.Load())
	}
}

// BenchmarkCreateHTTP makes connectors through a loopback connection for each of 64 clients, which sign each request;
// they share the processors with the server.
func BenchmarkCreateHTTP(b *testing.B) {
	n := startNode(b)
	server := httptest.NewUnstartedServer(nil)
	server.Config = HTTPServer(n.handler, slog.New(slog.DiscardHandler))
	server.Start()
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			h, err := http.NewRequest("POST", server.URL+"/voice-connectors", strings.NewReader(create))
			if err != nil {
				b.Error(err)
				return
			}
			sigv4.Sign(h, []byte(create), n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
			a, err := client.Do(h)
			if err != nil {
				b.Error(err)
				return
			}
			_, _ = io.Copy(io.Discard, a.Body)
			_ = a.Body.Close()
			if a.StatusCode != http.StatusCreated {
				b.Error(a.Status)
			}
		}
	})
}

// BenchmarkBarePut is the floor of BenchmarkCreate: as many bytes, put through the same client, by as many writers.
func BenchmarkBarePut(b *testing.B) {
	n := startNode(b)
	id := n.create(b, accountA, true)
	stored, err := n.store.Client().Get(b.Context(), "carillon/e/connector/"+id)
	if err != nil || len(stored.Kvs) != 1 {
		b.Fatalf("%v, %v", stored, err)
	}
	value := string(stored.Kvs[0].Value)
	var serial atomic.Int64
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := n.store.Client().Put(b.Context(), fmt.Sprintf("bare/%022d", serial.Add(1)), value); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkGet reads one connector: no store on the way.
func BenchmarkGet(b *testing.B) {
	n := startNode(b)
	target := "/voice-connectors/" + n.create(b, accountA, true)
	h := newRequest("GET", target, "")
	sigv4.Sign(h, nil, n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		n.handler.ServeHTTP(w, h)
		if w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

func replay(n *node, header map[string][]string, body string) *httptest.ResponseRecorder {
	h := httptest.NewRequest("POST", "/voice-connectors", strings.NewReader(body))
	h.Host, h.Header = "127.0.0.1:8080", header
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, h)
	return w
}
