package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// files returns the names of a chain and a key file, and what writes a certificate for a host to them.
func (a *authority) files() (chain, key string, write func(host string)) {
	dir := a.t.TempDir()
	chain, key = filepath.Join(dir, "chain.pem"), filepath.Join(dir, "key.pem")
	return chain, key, func(host string) {
		a.t.Helper()
		c := a.issue(host)
		raw, err := x509.MarshalPKCS8PrivateKey(c.PrivateKey)
		if err != nil {
			a.t.Fatal(err)
		}
		for path, block := range map[string]*pem.Block{chain: {Type: "CERTIFICATE", Bytes: c.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: raw}} {
			if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
				a.t.Fatal(err)
			}
		}
	}
}

// TestReload: SIGHUP swaps the certificate for new connections and keeps the open ones; a damaged one changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	chain, key, write := newAuthority(t).files()
	write("old.example.org")
	p := serve(t, t.TempDir(), filepath.Join(t.TempDir(), "ready.json"), "--tls-cert", chain, "--tls-key", key)
	dial := func() *tls.Conn {
		t.Helper()
		c, err := tls.Dial("tcp", p.ready.SIP.TLS, &tls.Config{InsecureSkipVerify: true}) // the name is what is looked at
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	name := func(c *tls.Conn) string { return c.ConnectionState().PeerCertificates[0].DNSNames[0] }
	open := dial()
	if got := name(open); got != "old.example.org" {
		t.Fatalf("the node shows %s", got)
	}
	const doubt = "has no name for *.voiceconnector.carillon.test: clients that check it will not connect."
	eventually(t, "the certificate's name and a doubt about it in the log of the start", func() bool {
		got := p.out.String()
		return strings.Contains(got, chain+" "+doubt) && strings.Contains(got, "names=old.example.org")
	})
	if err := os.WriteFile(chain, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signal(syscall.SIGHUP)
	eventually(t, "the complaint about the damaged file", func() bool { return strings.Contains(p.out.String(), "the old ones stay") })
	eventually(t, "the names of the files", func() bool { return strings.Contains(p.out.String(), "--tls-cert "+chain+" with --tls-key "+key+":") })
	if got := name(dial()); got != "old.example.org" {
		t.Errorf("after a damaged file the node shows %s", got)
	}
	write("new.example.org")
	p.signal(syscall.SIGHUP)
	eventually(t, "the new certificate", func() bool { return name(dial()) == "new.example.org" })
	eventually(t, "the new certificate in the log", func() bool {
		got := p.out.String()
		return strings.Contains(got, "names=new.example.org") && strings.Count(got, doubt) == 2
	})
	// A keep-alive (RFC 5626 §3.5.1) on the connection that was open is still answered.
	if _, err := open.Write([]byte("\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	pong := make([]byte, 2)
	if _, err := open.Read(pong); err != nil || string(pong) != "\r\n" {
		t.Errorf("the open connection answers %q, %v", pong, err)
	}
}
