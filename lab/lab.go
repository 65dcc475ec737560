// Package lab is the built-in lab carrier: a SIP peer on the loopback interface whose numbers each do one thing.
//
// It lets a fresh installation place real calls, with audio, before any contract with a carrier exists, and it is
// the far end of the end-to-end tests. Its numbers lie in an area code that is not assigned, and it takes no others.
package lab

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"time"

	"carillon/clock"
	"carillon/phone"
	"carillon/sip/transaction"
	"carillon/trunk"
)

// CarrierName is the name the lab has among the carriers.
const CarrierName = "lab"

// ToneHz is what the lab plays, in Hz: the frequency of test lines (ITU-T O.6).
const ToneHz = 1004

// MaxCallDuration is the longest a call to or from the lab lasts: the node's own limit, for a node that forgot it.
const MaxCallDuration = 4 * time.Hour

// Config is what a Lab is built from.
type Config struct {
	// Logger is nil to discard.
	Logger *slog.Logger
	// Clock is nil for the system's.
	Clock clock.Clock
	// Rand is nil for crypto/rand.
	Rand io.Reader
	// Timers are those of the lab's transactions; fields that are 0 mean the standards' values.
	Timers transaction.Timers
}

// Lab is a running lab carrier. Its methods are safe for concurrent use.
type Lab struct {
	phone *phone.Phone
	log   *slog.Logger
	clock clock.Clock
}

// Start listens on a UDP port of 127.0.0.1 that the system chooses.
func Start(c Config) (*Lab, error) {
	l := &Lab{log: c.Logger, clock: c.Clock}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	if l.clock == nil {
		l.clock = clock.System()
	}
	var err error
	l.phone, err = phone.New(phone.Config{
		Logger: l.log, Clock: l.clock, Rand: c.Rand, Timers: c.Timers, User: CarrierName, UserAgent: "Carillon-Lab",
	})
	if err != nil {
		return nil, fmt.Errorf("start lab carrier: %w", err)
	}
	l.phone.Handle(l.answer)
	return l, nil
}

// Addr returns where the lab takes calls.
func (l *Lab) Addr() netip.AddrPort { return l.phone.Addr() }

// Carrier returns the lab as a carrier of the installation. It takes its own numbers and no others; its media are
// plain RTP, as those of the public network.
func (l *Lab) Carrier() trunk.Carrier {
	addr := l.Addr()
	var prefixes []string
	for _, n := range Numbers() {
		prefixes = append(prefixes, string(n.E164))
	}
	return trunk.Carrier{
		Name:     CarrierName,
		Targets:  []trunk.Target{{Host: addr.Addr().String(), Port: addr.Port(), Transport: trunk.UDP}},
		Prefixes: prefixes,
		Sources:  []netip.Prefix{netip.PrefixFrom(addr.Addr(), addr.Addr().BitLen())},
		Lab:      true,
	}
}

// Call places a call from the carrier's side to a number of a customer, over UDP to the node's address. The caller
// hears ToneHz; what comes back is told by the call's Heard and Stats. A refusal is a *phone.Failure.
func (l *Lab) Call(ctx context.Context, to, from trunk.Number, node netip.AddrPort) (*phone.Call, error) {
	c, err := l.phone.Dial(ctx, phone.Invite{
		To: "sip:" + string(to) + "@" + node.String(), Target: node, From: string(from), Audio: phone.Tone(ToneHz),
	})
	if err != nil {
		return nil, err
	}
	timer := l.clock.AfterFunc(MaxCallDuration, func() { go l.hangUp(c) })
	go func() {
		<-c.Done()
		timer.Stop()
	}()
	return c, nil
}

func (l *Lab) hangUp(c *phone.Call) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	defer l.clock.AfterFunc(hangupWait, cancel).Stop()
	if err := c.Hangup(ctx); err != nil {
		l.log.Info("hang up", "call", c.ID(), "error", err)
	}
}

// hangupWait is how long the answer to a BYE is waited for: 64*T1.
const hangupWait = 32 * time.Second

// Close ends every call and stops listening.
func (l *Lab) Close() error { return l.phone.Close() }
