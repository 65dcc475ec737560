package api

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"

	"carillon/sigv4"
)

// TestOverSockets sends what only a real connection can: two requests on one connection, a chunked body, a body that
// is too long, and a header that is.
func TestOverSockets(t *testing.T) {
	n := startNode(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := HTTPServer(n.handler, slog.New(slog.DiscardHandler))
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	send := func(body string, chunked bool, header ...string) (*http.Response, string) {
		t.Helper()
		var r io.Reader = strings.NewReader(body)
		if chunked {
			r = io.MultiReader(r) // a reader whose length net/http does not know
		}
		h, err := http.NewRequest("POST", "http://"+l.Addr().String()+"/voice-connectors", r)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+1 < len(header); i += 2 {
			h.Header.Set(header[i], header[i+1])
		}
		sigv4.Sign(h, []byte(body), n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
		a, err := client.Do(h)
		if err != nil {
			t.Fatal(err)
		}
		defer a.Body.Close()
		text, err := io.ReadAll(a.Body)
		if err != nil {
			t.Fatal(err)
		}
		return a, string(text)
	}
	for _, chunked := range []bool{false, true} {
		if a, text := send(create, chunked); a.StatusCode != 201 || a.ContentLength != int64(len(text)) || a.Header.Get("Date") == "" {
			t.Errorf("chunked %v: %v %s", chunked, a, text)
		}
		long := `{"X":"` + strings.Repeat("x", DefaultMaxBody) + `"}`
		if a, text := send(long, chunked); a.StatusCode != 400 || !a.Close || !strings.Contains(text, "1048576") {
			t.Errorf("chunked %v: too long a body: %v %s", chunked, a, text)
		}
	}
	// A client that does not ask first has written all of it before it reads; the answer must still be there.
	if a, text := send(`{"X":"`+strings.Repeat("x", 8*DefaultMaxBody)+`"}`, false); a.StatusCode != 400 || !strings.Contains(text, "1048576") {
		t.Errorf("8 MiB without asking: %v %s", a, text)
	}
	if a, _ := send(create, false, "X-Long", strings.Repeat("x", 2*MaxHeaderBytes)); a.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("too long a header: %v", a)
	}
}

// TestCutBody: a client that sends less than it said is answered, and nothing is stored.
func TestCutBody(t *testing.T) {
	n := startNode(t)
	before := n.revision(t)
	h := newRequest("POST", "/voice-connectors", create)
	h.Body = io.NopCloser(io.MultiReader(bytes.NewReader([]byte(create[:10])), failingReader{}))
	if a := n.send(t, h); a.Status != 400 || a.errorType() != "BadRequestException" {
		t.Errorf("got %v", a)
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, fmt.Errorf("read: %w", io.ErrUnexpectedEOF) }
