package phone

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// testCertificate returns a certificate for 127.0.0.1 and the roots that trust it.
func testCertificate(t *testing.T) (*tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "phone"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, roots
}

// fast makes the waits of transactions a hundredth.
func fast() transaction.Timers {
	return transaction.Timers{T1: 5 * time.Millisecond, T2: 40 * time.Millisecond, T4: 50 * time.Millisecond}
}

func newPhone(t *testing.T, c Config) *Phone {
	t.Helper()
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// twoPhones returns a caller and a callee on the same transport.
func twoPhones(t *testing.T, proto transport.Proto) (caller, callee *Phone) {
	t.Helper()
	c := Config{Proto: proto}
	if proto == transport.TLS {
		c.Certificate, c.Roots = testCertificate(t)
	}
	callee = newPhone(t, c)
	c.Certificate = nil
	return newPhone(t, c), callee
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// to is the Invite that reaches a phone.
func to(p *Phone, user string) Invite {
	return Invite{To: "sip:" + user + "@" + p.Addr().String(), Target: p.Addr()}
}

// eventually waits until f holds.
func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never happened: %s", what)
		}
	}
}

// answering answers every call and hands it on.
func answering(t *testing.T, p *Phone, a func() Answer) chan *Call {
	t.Helper()
	calls := make(chan *Call, 16)
	p.Handle(func(in *Incoming) {
		c, err := in.Answer(a())
		if err != nil {
			t.Logf("answer: %v", err)
			return
		}
		calls <- c
	})
	return calls
}

func await[T any](t *testing.T, what string, ch <-chan T) T {
	t.Helper()
	select {
	case v := <-ch:
		return v
	case <-time.After(5 * time.Second):
		t.Fatalf("never came: %s", what)
		panic("unreachable")
	}
}
