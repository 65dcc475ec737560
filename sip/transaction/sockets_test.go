package transaction_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"math/big"
	"net/netip"
	"testing"
	"time"

	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

const patience = 5 * time.Second

// node is a transport and a layer on real sockets, as a program puts them together.
type node struct {
	*transaction.Layer
	t    *testing.T
	tr   *transport.Transport
	news chan string
	tx   chan *transaction.Server
	req  *sip.Message
}

func (n *node) Malformed(transport.Flow, *sip.Message, *sip.ParseError) { n.news <- "malformed" }

func (n *node) Request(tx *transaction.Server, req *sip.Message) {
	tx.Bind("near", n.event)
	if req.Method() == sip.Invite {
		n.req = req.Clone()
		tx.Respond(siptest.Response(n.t, req, 180, "near"))
		n.tx <- tx
		return
	}
	tx.Respond(siptest.Response(n.t, req, 200, "near"))
}

func (n *node) Ack(transport.Flow, *sip.Message) { n.news <- "core ACK" }

func (n *node) Stray(_ transport.Flow, m *sip.Message) { n.news <- fmt.Sprint("stray ", m.Status()) }

func (n *node) event(e transaction.Event) {
	if e.Kind == transaction.Response {
		n.news <- fmt.Sprint(e.Message.Status())
		return
	}
	n.news <- e.Kind.String()
}

func (n *node) want(news ...string) {
	n.t.Helper()
	for _, w := range news {
		select {
		case got := <-n.news:
			if got != w {
				n.t.Fatalf("told %s, want %s", got, w)
			}
		case <-time.After(patience):
			n.t.Fatalf("not told %s", w)
		}
	}
}

func newNode(t *testing.T) *node {
	t.Helper()
	n := &node{t: t, news: make(chan string, 100), tx: make(chan *transaction.Server, 1)}
	var err error
	if n.Layer, err = transaction.New(transaction.Config{Core: n}); err != nil {
		t.Fatal(err)
	}
	if n.tr, err = transport.New(transport.Config{Handler: n}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.tr.Close() })
	return n
}

// listen opens one protocol and returns how to reach it.
func (n *node) listen(proto transport.Proto) transport.Target {
	n.t.Helper()
	any4 := netip.MustParseAddrPort("127.0.0.1:0")
	target := transport.Target{Proto: proto}
	var err error
	switch proto {
	case transport.UDP:
		target.Addr, err = n.tr.ListenUDP(any4)
	case transport.TCP:
		target.Addr, err = n.tr.ListenTCP(any4)
	case transport.TLS:
		cert := selfSigned(n.t)
		target.TLS = &transport.ClientTLS{Pins: []transport.SPKIHash{transport.HashSPKI(cert.Leaf)}}
		target.Addr, err = n.tr.ListenTLS(any4, transport.ServerTLS{
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return cert, nil }})
	}
	if err != nil {
		n.t.Fatal(err)
	}
	return target
}

func selfSigned(t *testing.T) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (n *node) start(target transport.Target, method sip.Method) *transaction.Client {
	n.t.Helper()
	if target.Proto == transport.UDP {
		if _, err := n.tr.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
			n.t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	flow, err := n.tr.Dial(ctx, target)
	if err != nil {
		n.t.Fatal(err)
	}
	branch := n.NewBranch()
	c, err := n.Start(transaction.Outgoing{Flow: flow, Method: method, Branch: branch, OnEvent: n.event,
		Bytes: siptest.Request{Method: method.String(), Branch: branch, Transport: target.Proto.String(),
			SentBy: flow.Local().String()}.Bytes()})
	if err != nil {
		n.t.Fatal(err)
	}
	return c
}

func TestOnSockets(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		t.Run(proto.String(), func(t *testing.T) {
			customer, server := newNode(t), newNode(t)
			target := server.listen(proto)
			customer.start(target, sip.Options)
			customer.want("200")
			call := customer.start(target, sip.Invite)
			customer.want("180")
			tx := <-server.tx
			call.Cancel("")
			server.want("Cancelled")
			if err := tx.Respond(siptest.Response(t, server.req, 487, "near")); err != nil {
				t.Fatal(err)
			}
			customer.want("487")
			server.want("Acked")
		})
	}
}

// The loss of a connection is told to what waits on it.
func TestLostConnection(t *testing.T) {
	customer, server := newNode(t), newNode(t)
	customer.start(server.listen(transport.TLS), sip.Invite)
	customer.want("180")
	(<-server.tx).Flow().Close()
	customer.want("TransportError")
}
