package sbc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	"carillon/call"
	"carillon/egress"
	"carillon/routing"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// TestUnreachable: the operator reads why a target could not be reached, and the setting that changes it where there is one.
func TestUnreachable(t *testing.T) {
	route := routing.Target{Host: "pbx.example.org", Connector: &trunk.Connector{ID: connectorID}}
	carrier := routing.Target{Host: "sip.tel.example"}
	const orPin = ", or pin its key: carillon connector set " + connectorID + " peer.pbx.example.org.pin=SHA256"
	unverified := func(err error) error { return &tls.CertificateVerificationError{Err: err} }
	expired := x509.CertificateInvalidError{Cert: &x509.Certificate{}, Reason: x509.Expired, Detail: "long ago"}
	for _, tt := range []struct {
		target routing.Target
		err    error
		want   string
	}{
		{route, unverified(x509.UnknownAuthorityError{}), "its certificate does not verify: x509: certificate signed by unknown authority. Give its CA with --tls-trust" + orPin},
		{carrier, unverified(x509.UnknownAuthorityError{}), "its certificate does not verify: x509: certificate signed by unknown authority. Give its CA with --tls-trust"},
		{route, unverified(x509.HostnameError{Certificate: &x509.Certificate{DNSNames: []string{"a.example"}}, Host: "b.example"}),
			"its certificate does not verify: x509: certificate is valid for a.example, not b.example. Call it by a name of its certificate" + orPin},
		{carrier, unverified(expired), "its certificate does not verify: x509: certificate has expired or is not yet valid: long ago"},
		{route, transport.ErrPinMismatch, "its key is not the one that is pinned" + orPin},
		{carrier, resolve.ErrNotFound, "its name does not resolve"},
		{carrier, resolve.ErrTemporary, "the name servers did not answer for its name"},
		{carrier, resolve.ErrBadName, "its name is not one that the DNS can have"},
		{carrier, egress.ErrOwn, "it is this node itself"},
		{carrier, egress.ErrPrivate, "it has a private address, which more than one account may not call (--allow-private)"},
		{carrier, egress.ErrLoopback, "it has a loopback address, which may not be called (--allow-loopback)"},
		{carrier, errOfCarrier, "the redirect leads to a carrier"},
		{carrier, transport.ErrTooManyConnections, "the node has as many outgoing connections as it may"},
		{carrier, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}, "it refused the connection"},
		{carrier, &net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "it closed the connection"},
		{carrier, io.EOF, "it closed the connection"},
		{carrier, tls.RecordHeaderError{Msg: "first record does not look like a TLS handshake"}, "it does not speak TLS"},
		{carrier, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, "no network leads to it"},
		{carrier, context.DeadlineExceeded, "it did not answer within 4s"},
		{carrier, errors.New("evil\nline\x1b[31m" + strings.Repeat("é", 200)), "wrapped: evil?line?[31m" + strings.Repeat("é", 108) + "…"},
	} {
		if got := unreachable(tt.target, fmt.Errorf("wrapped: %w", tt.err)); got != tt.want {
			t.Errorf("%v: %q, want %q", tt.err, got, tt.want)
		}
	}
}

// TestAttemptsAreCounted: the caller reads what became of the targets, and once each.
func TestAttemptsAreCounted(t *testing.T) {
	c := &activeCall{}
	for _, text := range []string{"could not be reached", "answered 503 Service Unavailable", "could not be reached"} {
		c.rec.Attempts = append(c.rec.Attempts, call.Attempt{Error: text})
	}
	if got, want := c.attemptList(), "two could not be reached, one answered 503 Service Unavailable"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := numeral(11); got != "11" {
		t.Errorf("eleven is %q", got)
	}
}
