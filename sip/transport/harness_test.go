package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
)

const patience = 5 * time.Second

// got is something a handler was called with.
type got struct {
	what string // "message", "malformed" or "closed"
	flow Flow
	m    *sip.Message
	err  error
}

// recorder is a Handler that keeps what it gets, and answers OPTIONS with 200.
type recorder struct {
	t  *testing.T
	ch chan got
}

func (r *recorder) Receive(f Flow, m *sip.Message) {
	if m.IsRequest() && m.Method() == sip.Options {
		ReplyFlow(f, m).Send(response(m, 200))
	}
	r.ch <- got{what: "message", flow: f, m: m.Clone()}
}

func (r *recorder) Malformed(f Flow, m *sip.Message, err *sip.ParseError) {
	f.Send(response(m, err.Status))
	r.ch <- got{what: "malformed", flow: f, m: m.Clone(), err: err}
}

func (r *recorder) Closed(f Flow, err error) { r.ch <- got{what: "closed", flow: f, err: err} }

// next waits for something of this kind.
func (r *recorder) next(what string) got {
	r.t.Helper()
	select {
	case g := <-r.ch:
		if g.what != what {
			r.t.Fatalf("got %s %v, want %s", g.what, g.err, what)
		}
		return g
	case <-time.After(patience):
		r.t.Fatalf("no %s", what)
	}
	panic("unreachable")
}

func response(m *sip.Message, code int) []byte {
	var b sip.Builder
	sip.AppendResponse(&b, m, code, sip.ReasonPhrase(code), "tag")
	b.Body("", nil)
	return bytes.Clone(b.Bytes())
}

// TestMain checks that no test left a goroutine of a transport behind.
func TestMain(m *testing.M) {
	code := m.Run()
	end := time.Now().Add(patience)
	for code == 0 {
		buf := make([]byte, 1<<20)
		stacks := string(buf[:runtime.Stack(buf, true)])
		// With the dot, which names of functions have and names of files have not.
		if strings.Count(stacks, "carillon/sip/transport.") == strings.Count(stacks, "carillon/sip/transport.TestMain") {
			break
		}
		if time.Now().After(end) {
			os.Stderr.WriteString("goroutines left:\n" + stacks)
			code = 1
		}
		time.Sleep(time.Millisecond)
	}
	os.Exit(code)
}

// start makes a Transport that is closed at the end of the test, with nothing left in it.
func start(t *testing.T, limits Limits) (*Transport, *recorder, *clocktest.Fake) {
	t.Helper()
	r, c := &recorder{t: t, ch: make(chan got, 10000)}, clocktest.New()
	tr, err := New(Config{Handler: r, Clock: c, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		tr.Close()
		if n := len(tr.closers) + len(tr.pool) + len(tr.accepted) + len(tr.reusable); n != 0 {
			t.Errorf("%d things left in the transport", n)
		}
		if n := tr.stats.AcceptedNow.Load() + tr.stats.DialedNow.Load(); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
	return tr, r, c
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<16)
			t.Fatalf("waited in vain: %s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// wantPhase waits until the only connection is waited on for this.
func wantPhase(t *testing.T, tr *Transport, p phase) {
	t.Helper()
	eventually(t, "phase", func() bool {
		tr.mu.Lock()
		defer tr.mu.Unlock()
		for c := range tr.closers {
			if s, ok := c.(*stream); ok {
				return s.watch.phase() == p
			}
		}
		return false
	})
}

var loopback = netip.MustParseAddrPort("127.0.0.1:0")

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func listenTCP(t *testing.T, tr *Transport) netip.AddrPort {
	t.Helper()
	return must(tr.ListenTCP(loopback))
}

// connect opens a bare TCP connection that is closed at the end of the test.
func connect(t *testing.T, addr netip.AddrPort) net.Conn {
	t.Helper()
	c := must(net.Dial("tcp", addr.String()))
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	return c
}

// options writes a request; via is what stands before the branch.
func options(via, extra string) []byte {
	return []byte("OPTIONS sip:a@example.com SIP/2.0\r\nVia: SIP/2.0/" + via + ";branch=z9hG4bK1\r\n" +
		"From: <sip:b@example.com>;tag=1\r\nTo: <sip:a@example.com>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n" +
		"Max-Forwards: 70\r\n" + extra + "Content-Length: 0\r\n\r\n")
}

// wantRead reads until the stream has shown text, or fails.
func wantRead(t *testing.T, c io.Reader, text string) string {
	t.Helper()
	var all []byte
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		all = append(all, buf[:n]...)
		if strings.Contains(string(all), text) {
			return string(all)
		}
		if err != nil {
			t.Fatalf("read %q, then %v; want %q", all, err, text)
		}
	}
}

// wantClosed checks that the other side closes the connection.
func wantClosed(t *testing.T, c io.Reader) {
	t.Helper()
	_, err := io.Copy(io.Discard, c)
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		t.Error("connection stays open")
	}
}

// authority signs the certificates of a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newAuthority() *authority {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	cert := must(x509.ParseCertificate(must(x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key))))
	a := &authority{cert: cert, key: key, pool: x509.NewCertPool()}
	a.pool.AddCert(cert)
	return a
}

// issue makes a certificate for names and IP addresses.
func (a *authority) issue(names ...string) *tls.Certificate {
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: names[0]},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der := must(x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key))
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: must(x509.ParseCertificate(der))}
}

// listenTLS presents the certificate of the name asked for, else the first.
func listenTLS(t *testing.T, tr *Transport, c ServerTLS, certs ...*tls.Certificate) netip.AddrPort {
	t.Helper()
	c.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		for _, cert := range certs {
			if hello.ServerName != "" && cert.Leaf.VerifyHostname(hello.ServerName) == nil {
				return cert, nil
			}
		}
		return certs[0], nil
	}
	return must(tr.ListenTLS(loopback, c))
}

// tlsPeer connects to a new TLS listener.
func tlsPeer(tb testing.TB, tr *Transport, a *authority) net.Conn {
	tb.Helper()
	cert := a.issue("sbc.test")
	addr := must(tr.ListenTLS(loopback, ServerTLS{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }}))
	return must(tls.Dial("tcp", addr.String(), &tls.Config{RootCAs: a.pool, ServerName: "sbc.test"}))
}

func dial(t *testing.T, tr *Transport, target Target) (Flow, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return tr.Dial(ctx, target)
}
