// Package siptest gives tests of SIP code what they need around it: a wire in memory that loses
// what a script says and records what was sent when, and short ways to write messages.
package siptest

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"carillon/clock"
	"carillon/sip"
	"carillon/sip/transport"
)

// ErrCut is what sending on a wire returns after Cut.
var ErrCut = errors.New("wire cut")

// Receiver takes what comes out of a wire; transaction.Layer and every transport.Handler is one.
type Receiver interface {
	Receive(f transport.Flow, m *sip.Message)
}

// ReceiverFunc makes a Receiver of a function.
type ReceiverFunc func(f transport.Flow, m *sip.Message)

// Receive calls the function.
func (r ReceiverFunc) Receive(f transport.Flow, m *sip.Message) { r(f, m) }

// End is one end of a wire. It is the transport.Link of its flow. Sending delivers to the other
// end's Receiver before it returns, so a test with a fake clock is deterministic; what the
// Receiver sends back comes the same way, within the same call.
type End struct {
	proto transport.Proto
	local netip.AddrPort
	clock clock.Clock
	start time.Time
	other *End

	mu       sync.Mutex
	receiver Receiver
	lose     func(n int, b []byte) bool
	tls      *transport.TLSInfo
	sent     []Sent
	err      error
	closed   int
	retired  int
}

// Sent is one message that an End was asked to send, lost ones included.
type Sent struct {
	At   time.Duration // since the wire was made
	Lost bool
	Data []byte
}

// What returns the message in short: its method, or its status code.
func (s Sent) What() string {
	m := new(sip.Message)
	if err := m.Parse(slices.Clone(s.Data)); err != nil {
		return "malformed"
	}
	if m.IsRequest() {
		return string(m.MethodToken())
	}
	return strconv.Itoa(m.Status())
}

// Wire returns the two ends of a new wire, at 192.0.2.1 and 192.0.2.2 on the protocol's port.
// Flows of TLS wires say that the peer was verified; see SetTLS.
func Wire(proto transport.Proto, c clock.Clock) (a, b *End) {
	at := func(ip string) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr(ip), proto.DefaultPort())
	}
	return WireBetween(proto, c, at("192.0.2.1"), at("192.0.2.2"))
}

// WireBetween is Wire with addresses of the caller's choice, for tests with more than two parties.
func WireBetween(proto transport.Proto, c clock.Clock, at, bt netip.AddrPort) (a, b *End) {
	now := c.Now()
	end := func(local netip.AddrPort) *End {
		e := &End{proto: proto, clock: c, start: now, local: local}
		if proto == transport.TLS {
			e.tls = &transport.TLSInfo{Version: 0x0304, Cipher: "TLS_AES_128_GCM_SHA256", Check: transport.PeerVerified}
		}
		return e
	}
	a, b = end(at), end(bt)
	a.other, b.other = b, a
	return a, b
}

// Flow returns the way from this end to the other one.
func (e *End) Flow() transport.Flow { return transport.NewFlow(e, e.other.local) }

// Attach sets who takes what arrives at this end; without one it is lost.
func (e *End) Attach(r Receiver) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.receiver = r
}

// Lose sets which of the messages this end sends get lost: n counts them from 0. nil loses none.
func (e *End) Lose(lose func(n int, b []byte) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.lose = lose
}

// LoseFirst loses the next n messages.
func (e *End) LoseFirst(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	until := len(e.sent) + n
	e.lose = func(i int, _ []byte) bool { return i < until }
}

// Cut makes every later Send of this end return ErrCut.
func (e *End) Cut() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.err = ErrCut
}

// SetTLS sets what this end's flow says about its session.
func (e *End) SetTLS(info *transport.TLSInfo) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tls = info
}

// Proto returns the wire's protocol.
func (e *End) Proto() transport.Proto { return e.proto }

// Local returns this end's address.
func (e *End) Local() netip.AddrPort { return e.local }

// TLS returns what SetTLS set.
func (e *End) TLS() *transport.TLSInfo {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.tls
}

// Close counts; see Closed.
func (e *End) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.closed++
	return nil
}

// Closed returns how often this end's flow was closed.
func (e *End) Closed() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.closed
}

// Retire counts; see Retired.
func (e *End) Retire() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.retired++
}

// Retired returns how often this end's flow was retired.
func (e *End) Retired() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.retired
}

// Send records b and delivers it to the other end. What does not parse there is dropped, as a
// transport would.
func (e *End) Send(b []byte, _ netip.AddrPort) error {
	e.mu.Lock()
	if e.err != nil {
		defer e.mu.Unlock()
		return e.err
	}
	data := slices.Clone(b)
	lost := e.lose != nil && e.lose(len(e.sent), data)
	e.sent = append(e.sent, Sent{At: e.clock.Now().Sub(e.start), Lost: lost, Data: data})
	e.mu.Unlock()
	if !lost {
		e.other.arrive(slices.Clone(b))
	}
	return nil
}

func (e *End) arrive(b []byte) {
	e.mu.Lock()
	r := e.receiver
	e.mu.Unlock()
	if r == nil {
		return
	}
	m := new(sip.Message)
	if err := m.Parse(b); err != nil {
		return
	}
	f := e.Flow()
	if m.IsRequest() {
		m.SetReceived(f.Remote())
	}
	r.Receive(f, m)
}

// Sent returns what this end was asked to send so far.
func (e *End) Sent() []Sent {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.sent)
}

// Log returns what this end was asked to send, as lines such as "500ms INVITE" and "1s 200".
func (e *End) Log() []string {
	var lines []string
	for _, s := range e.Sent() {
		lines = append(lines, s.At.String()+" "+s.What())
	}
	return lines
}

// Last returns the message sent last, parsed; nil when there is none.
func (e *End) Last() *sip.Message {
	sent := e.Sent()
	if len(sent) == 0 {
		return nil
	}
	m := new(sip.Message)
	if err := m.Parse(slices.Clone(sent[len(sent)-1].Data)); err != nil {
		return nil
	}
	return m
}
