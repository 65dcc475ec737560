package transport

import (
	"errors"
	"net/netip"

	"carillon/sip"
)

// Proto is a transport protocol of SIP.
type Proto uint8

// The protocols, in the order in which they became safer.
const (
	UDP Proto = iota + 1
	TCP
	TLS
)

// String returns the name as it is written in a Via header: "UDP", "TCP" or "TLS".
func (p Proto) String() string {
	switch p {
	case UDP:
		return "UDP"
	case TCP:
		return "TCP"
	case TLS:
		return "TLS"
	}
	return "unknown"
}

// Reliable reports whether the protocol retransmits by itself, so that transactions need not.
func (p Proto) Reliable() bool { return p == TCP || p == TLS }

// DefaultPort is the port that a missing one means: 5061 for TLS, else 5060 (RFC 3261 §19.1.2).
func (p Proto) DefaultPort() uint16 {
	if p == TLS {
		return 5061
	}
	return 5060
}

// Link is what flows run over: a UDP socket, a connection, or a fake of package siptest.
// Its dynamic type must be comparable, in practice a pointer.
type Link interface {
	Proto() Proto
	// Local returns the bound address.
	Local() netip.AddrPort
	// TLS describes the session of a TLS connection; nil for other protocols.
	TLS() *TLSInfo
	// Send sends one message to the remote address without waiting for the peer.
	// The bytes are not kept after it returns.
	Send(b []byte, to netip.AddrPort) error
	// Close closes a connection; it does nothing for a link that many flows share.
	Close() error
}

// Flow is one way to reach one peer: a UDP socket and a remote address, or one connection.
// Two flows are the same exactly when they are equal by ==. The zero Flow leads nowhere.
type Flow struct {
	link   Link
	remote netip.AddrPort
}

// NewFlow returns the flow to remote over link.
func NewFlow(link Link, remote netip.AddrPort) Flow { return Flow{link: link, remote: remote} }

// Errors of Flow.Send and Transport.Dial, besides those of the operating system.
var (
	// ErrClosed: the connection or the transport has been closed.
	ErrClosed = errors.New("transport closed")
	// ErrQueueFull: the peer does not read; the connection has been closed.
	ErrQueueFull = errors.New("write queue full")
	// ErrNoSocket: there is no UDP socket, or none of the remote address's family.
	ErrNoSocket = errors.New("no UDP socket for this address")
	// ErrTooManyConnections: Limits.Dialed is reached.
	ErrTooManyConnections = errors.New("too many outgoing connections")
	// ErrNoServerName: a TLS target names nobody to verify and neither pins nor opts out.
	ErrNoServerName = errors.New("TLS target without a server name")
	// ErrPinMismatch: the peer's key is none of the pinned ones.
	ErrPinMismatch = errors.New("peer's key is not pinned")
)

// IsZero reports whether the flow leads nowhere.
func (f Flow) IsZero() bool { return f.link == nil }

// Proto returns the protocol, 0 for the zero Flow.
func (f Flow) Proto() Proto {
	if f.link == nil {
		return 0
	}
	return f.link.Proto()
}

// Local returns our address; of a UDP flow that we began on a socket bound to all addresses, the unspecified one.
func (f Flow) Local() netip.AddrPort {
	if f.link == nil {
		return netip.AddrPort{}
	}
	return f.link.Local()
}

// Remote returns the peer's address; an IPv4 address is never in its IPv6-mapped form.
func (f Flow) Remote() netip.AddrPort { return f.remote }

// TLS describes the session of a TLS flow, and is nil for the others.
func (f Flow) TLS() *TLSInfo {
	if f.link == nil {
		return nil
	}
	return f.link.TLS()
}

// Send sends one message. It never waits for the peer; b may be reused when it returns. A nil
// error says that the message was handed to the operating system or queued, not that it arrived.
// A connection that fails later is reported by Handler.Closed.
func (f Flow) Send(b []byte) error {
	if f.link == nil {
		return ErrClosed
	}
	return f.link.Send(b, f.remote)
}

// Close closes the connection of a TCP or TLS flow and does nothing for UDP.
func (f Flow) Close() error {
	if f.link == nil {
		return nil
	}
	return f.link.Close()
}

// holder is a link whose idle timeout can be suspended.
type holder interface{ hold(n int32) }

// Hold keeps the connection open while it is idle, for a call that will need it. Each Hold wants
// one Release; both do nothing for UDP.
func (f Flow) Hold() {
	if h, ok := f.link.(holder); ok {
		h.hold(1)
	}
}

// Release takes one Hold back.
func (f Flow) Release() {
	if h, ok := f.link.(holder); ok {
		h.hold(-1)
	}
}

// retirer is a link that Dial can be kept from giving out.
type retirer interface{ Retire() }

// Retire has Dial give this connection to nobody any more: somebody found nothing coming back on
// it, and a firewall that has forgotten a connection lets no word of that through. Who holds the
// flow may go on with it. It does nothing for UDP and for connections that the peer made.
func (f Flow) Retire() {
	if r, ok := f.link.(retirer); ok {
		r.Retire()
	}
}

// Handler receives what a Transport reads. Its methods are called on the goroutine that reads
// the socket, so messages of one connection and of one UDP socket come in order, and a handler
// that waits stops the reading.
type Handler interface {
	// Receive takes a message. m is valid during the call only; Clone it to keep it. A request
	// carries the source for received and rport (RFC 3261 §18.2.1, RFC 3581 §4).
	Receive(f Flow, m *sip.Message)
	// Malformed takes a message that did not parse but can be answered: err.Status is the answer
	// it deserves, without state. A connection is closed after the call when err says that its
	// framing is lost.
	Malformed(f Flow, m *sip.Message, err *sip.ParseError)
	// Closed reports the end of a connection that had been established, after its last message.
	// err is nil when either side closed it in order.
	Closed(f Flow, err error)
}
