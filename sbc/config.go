package sbc

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"time"

	"carillon/clock"
	"carillon/egress"
	"carillon/sip/digest"
	"carillon/sip/transport"
)

// Limits bounds the plane. A field that is 0 means its default.
type Limits struct {
	// Calls is the most calls up at a time; default 20,000.
	Calls int
	// Unproven is the most calls of one connector at a time whose sender has shown nothing but the address in its
	// datagrams, which can be forged; the ACK of the answer is the proof. Default 5,000: one connector alone cannot
	// fill the node.
	Unproven int
	// TargetSilent is how long a target may answer nothing at all; default 3.5 s.
	TargetSilent time.Duration
	// Ring is how long a target may ring; default 180 s.
	Ring time.Duration
	// Session is the longest a call goes on without a sign of life from each side (RFC 4028); default 1,800 s.
	Session time.Duration
	// Join is how long a party may take to answer the offer of whom a transfer joins it with; default 32 s.
	Join time.Duration
	// Duration is the longest time a call may last; default 4 h.
	Duration time.Duration
	// Drain is how long calls may go on after Drain; default 300 s.
	Drain time.Duration
	// FailedFor is how long a target that failed is tried last by all calls; then one call at a time tries it first, until
	// it answers. Default 30 s.
	FailedFor time.Duration
	// Datagram is the longest request sent over UDP, in octets; a longer one goes over TCP where the peer takes it.
	// Default 1,300 (RFC 3261 section 18.1.1, for a path whose MTU is not known).
	Datagram int
	// HeaderBytes is the most octets of custom headers passed on in one message; default 2,048.
	HeaderBytes int
}

// Defaults of Limits.
const (
	DefaultCalls        = 20000                   // calls held at once; a node sets --max-calls, 10000 by default
	DefaultUnproven     = 5000                    // calls of one connector at once whose caller is known by a datagram's address only: --max-unproven-calls
	DefaultTargetSilent = 3500 * time.Millisecond // how long a target may be silent before the next is tried: --target-silence
	DefaultRing         = 180 * time.Second       // how long a target may ring: --ring-time
	DefaultSession      = 1800 * time.Second      // longest time without a sign of life from a side (RFC 4028)
	DefaultJoin         = 32 * time.Second        // how long a party may take to answer the offer of whom a transfer joins it with
	DefaultDuration     = 4 * time.Hour           // longest call: --max-call-time
	DefaultDrain        = 300 * time.Second       // how long calls may go on when the node is told to end: --drain
	DefaultFailedFor    = 30 * time.Second        // how long a target that failed comes after those that did not
	DefaultDatagram     = 1300                    // longest request in octets that is sent over UDP: --max-datagram
	DefaultHeaderBytes  = 2048                    // octets of custom headers that cross with one message
)

func (l Limits) withDefaults() Limits {
	orTime := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	orInt := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	orInt(&l.Calls, DefaultCalls)
	orInt(&l.Unproven, DefaultUnproven)
	orTime(&l.TargetSilent, DefaultTargetSilent)
	orTime(&l.Ring, DefaultRing)
	orTime(&l.Session, DefaultSession)
	orTime(&l.Join, DefaultJoin)
	orTime(&l.Duration, DefaultDuration)
	orTime(&l.Drain, DefaultDrain)
	orTime(&l.FailedFor, DefaultFailedFor)
	orInt(&l.Datagram, DefaultDatagram)
	orInt(&l.HeaderBytes, DefaultHeaderBytes)
	return l
}

// Config is what a Server is built from. Directory, Media, Records, Digest, Resolver and Rand are required.
type Config struct {
	Directory Directory
	Media     MediaPlane
	Records   Records
	Digest    *digest.Server
	Resolver  Resolver
	// Health may be nil.
	Health Health
	// Stale reports that the node no longer knows whether its configuration is the installation's. New calls but
	// emergency calls are then refused. It may be nil and must not block.
	Stale func() bool
	// Egress judges every address that was learned before anything is sent there.
	Egress egress.Policy
	// Name is the node's host name or address in Contact, Via and Warning; peers must reach the node by it.
	Name string
	// Name6 is the node's address for peers over IPv6, where Name is an IPv4 address; empty for none.
	Name6 string
	// Domain is the host of our From on carrier legs.
	Domain string
	// Ports are the ports the node listens on, by transport.Proto; 0 where it does not.
	Ports func(transport.Proto) uint16
	// Roots returns those that verify the certificates of peers; nil means the system's. Certificate returns the one
	// that is shown to peers that ask. Both are asked for every connection, and return the same pointer while nothing
	// has changed: connections are shared by it.
	Roots       func() *x509.CertPool
	Certificate func() *tls.Certificate
	Clock       clock.Clock
	// Rand makes tags, call ids and the order of routes.
	Rand   io.Reader
	Logger *slog.Logger
	Limits Limits
}
