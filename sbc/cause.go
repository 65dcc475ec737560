package sbc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"strconv"
	"strings"
	"syscall"

	"carillon/egress"
	"carillon/routing"
	"carillon/sip/resolve"
	"carillon/sip/transport"
)

// longestCause bounds what a record says of an error: a certificate may hold any number of names.
const longestCause = 240

// unreachable says why a target could not be reached, and where a setting changes that, which. It is for the operator: who
// may place routes could otherwise map the node's networks with it.
func unreachable(t routing.Target, err error) string {
	var certificate *tls.CertificateVerificationError
	var noTLS tls.RecordHeaderError
	switch {
	case errors.As(err, &certificate):
		return clean("its certificate does not verify: "+certificate.Err.Error()) + trust(t, certificate.Err)
	case errors.Is(err, transport.ErrPinMismatch):
		return "its key is not the one that is pinned" + pin(t)
	case errors.Is(err, resolve.ErrBadName):
		return "its name is not one that the DNS can have"
	case errors.Is(err, resolve.ErrNotFound):
		return "its name does not resolve"
	case errors.Is(err, resolve.ErrTemporary):
		return "the name servers did not answer for its name"
	case errors.Is(err, egress.ErrOwn):
		return "it is this node itself"
	case errors.Is(err, egress.ErrPrivate):
		return "it has a private address, which more than one account may not call (--allow-private)"
	case errors.Is(err, egress.ErrLoopback):
		return "it has a loopback address, which may not be called (--allow-loopback)"
	case errors.Is(err, errOfCarrier):
		return "the redirect leads to a carrier"
	case errors.Is(err, transport.ErrTooManyConnections):
		return "the node has as many outgoing connections as it may"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "it refused the connection"
	case errors.As(err, &noTLS):
		return "it does not speak TLS"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return "it closed the connection"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "no network leads to it"
	case errors.Is(err, context.DeadlineExceeded):
		return "it did not answer within " + dialTimeout.String()
	}
	return clean(err.Error())
}

// trust says what makes a certificate trusted that is not.
func trust(t routing.Target, err error) string {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	switch {
	case errors.As(err, &unknown):
		return ". Give its CA with --tls-trust" + pin(t)
	case errors.As(err, &name):
		return ". Call it by a name of its certificate" + pin(t)
	}
	return pin(t)
}

// pin names the setting that takes the place of a route's certificate; carriers have none.
func pin(t routing.Target) string {
	if t.Connector == nil || t.Redirected {
		return ""
	}
	return ", or pin its key: carillon connector set " + t.Connector.ID + " peer." + t.Host + ".pin=SHA256"
}

// clean keeps what others sent from forging lines, and bounds it.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if len(s) > longestCause {
		s = strings.ToValidUTF8(s[:longestCause], "") + "…"
	}
	return s
}
