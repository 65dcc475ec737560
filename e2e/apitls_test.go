package e2e_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"carillon/sigv4"
)

// TestAPITLSReload: SIGHUP swaps the API's certificate for new connections; one that is idle is answered further, and one
// in the middle of a request gets its answer.
func TestAPITLSReload(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	chain, key, write := ca.files()
	write("old.example.org")
	p := serve(t, t.TempDir(), filepath.Join(t.TempDir(), "ready.json"), "--tls-cert", chain, "--tls-key", key, "--api-tls")
	address, ok := strings.CutPrefix(p.ready.API, "https://")
	if !ok {
		t.Fatalf("the API is at %s", p.ready.API)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	dial := func(host string) (*tls.Conn, error) {
		return tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", address, &tls.Config{RootCAs: roots, ServerName: host})
	}
	open := func() *tls.Conn {
		t.Helper()
		c, err := dial("old.example.org")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	const body = `{"Name":"demo","RequireEncryption":true}`
	request := func() []byte {
		t.Helper()
		h, err := http.NewRequestWithContext(t.Context(), "POST", "https://"+address+"/voice-connectors", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		sigv4.Sign(h, []byte(body), sigv4.Credentials{AccessKeyID: p.ready.AccessKeyID, SecretAccessKey: p.ready.SecretAccessKey},
			sigv4.Scope{Region: "us-east-1", Service: "chime"}, time.Now())
		var text strings.Builder
		if err := h.Write(&text); err != nil {
			t.Fatal(err)
		}
		return []byte(text.String())
	}
	put := func(c *tls.Conn, text []byte) {
		t.Helper()
		if _, err := c.Write(text); err != nil {
			t.Fatal(err)
		}
	}
	answered := func(what string, c *tls.Conn) {
		t.Helper()
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		a, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		text, err := io.ReadAll(a.Body)
		if err != nil || a.StatusCode != http.StatusCreated {
			t.Errorf("%s: %v, %d %s", what, err, a.StatusCode, text)
		}
	}
	idle, halfway := open(), open()
	put(idle, request())
	answered("the first request", idle)
	half := request()
	put(halfway, half[:len(half)-len(body)/2])

	write("new.example.org")
	p.signal(syscall.SIGHUP)
	eventually(t, "the new certificate", func() bool {
		c, err := dial("new.example.org")
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	if c, err := dial("old.example.org"); err == nil {
		c.Close()
		t.Error("a new connection still gets the old certificate")
	}
	put(halfway, half[len(half)-len(body)/2:])
	answered("the request that was on its way", halfway)
	put(idle, request())
	answered("a request on the connection from before", idle)
}

// TestAPIFlood: with the API's places taken by connections that say nothing, in the clear and half way into a handshake,
// a client over TLS gets its answer.
func TestAPIFlood(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	chain, key, write := ca.files()
	write("localhost")
	const places = 20
	p := serve(t, t.TempDir(), filepath.Join(t.TempDir(), "ready.json"), "--tls-cert", chain, "--tls-key", key, "--api-tls",
		"--max-api-connections", "20", "--max-api-connections-per-ip", "10")
	address := strings.TrimPrefix(p.ready.API, "https://")
	roots := x509.NewCertPool()
	roots.AddCert(ca.certificate)
	client := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "localhost"},
	}}
	for i := range 10 * places {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if i%2 == 0 {
			_, _ = io.WriteString(c, "\x16\x03\x01\x02\x00") // a record's header, and nothing in it
		}
		if i%places != 0 {
			continue
		}
		a, err := client.Get(p.ready.API + "/voice-connectors")
		if err != nil {
			t.Errorf("after %d connections: %v", i+1, err)
			continue
		}
		a.Body.Close()
		if a.StatusCode != http.StatusForbidden || a.Header.Get("x-amzn-ErrorType") != "MissingAuthenticationTokenException" {
			t.Errorf("after %d connections: %v", i+1, a)
		}
	}
}
