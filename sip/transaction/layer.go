package transaction

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"carillon/clock"
	"carillon/sip"
	"carillon/sip/transport"
)

// Defaults of Config.
const (
	// DefaultMaxServer bounds the server transactions, finished ones included: 10,000 requests a
	// second over the 32 s of timer J, some 160 MB. An operator sets --max-transactions.
	DefaultMaxServer = 320_000
	// DefaultMaxClient bounds the client transactions, finished ones included: 10,000 requests a
	// second over the 5 s of timer K, and as many INVITEs under way. An operator sets --max-transactions.
	DefaultMaxClient = 100_000
	// maxQueued bounds what waits for a callback of one transaction to return. Beyond it
	// messages the peer repeats anyway are dropped and counted.
	maxQueued = 32
)

// Core is the user of the transactions. Its methods are called on the goroutine that received
// the message and must not wait; messages are valid during the call only.
type Core interface {
	// Request takes a request that began a transaction, CANCEL that matches none included (the
	// answer then is 481). The user answers it, now or later, or calls Drop. For an INVITE it
	// sends 100 within 200 ms (RFC 3261 §17.2.1). Before Request returns it calls Bind if it
	// wants events.
	Request(tx *Server, req *sip.Message)
	// Ack takes an ACK that is not a transaction's own: those for 2xx, and strays. Find the
	// dialog and call Server.Acked.
	Ack(f transport.Flow, ack *sip.Message)
	// Stray takes a response that belongs to no transaction: a 2xx that comes late gets ACK and
	// BYE (RFC 3261 §13.2.2.4), the rest is ignored.
	Stray(f transport.Flow, resp *sip.Message)
}

// Config is what a Layer is built from.
type Config struct {
	Core   Core        // required
	Clock  clock.Clock // nil means the system's
	Rand   io.Reader   // source of branches; nil means crypto/rand
	Timers Timers      // zero fields mean the standards' values
	// MaxServer and MaxClient bound the transactions; 0 or less means the default. Above
	// MaxServer requests still reach the Core, with Server.Overloaded true.
	MaxServer, MaxClient int
}

// Stats counts what a Layer did. All fields only grow, but for the two gauges.
type Stats struct {
	ServerNow atomic.Int64 // gauge: server transactions, finished ones included
	ClientNow atomic.Int64 // gauge: client transactions, finished ones included

	Requests       atomic.Uint64 // requests that began a transaction
	Overloaded     atomic.Uint64 // of these, without state because of MaxServer
	Absorbed       atomic.Uint64 // requests and ACKs that repeat an earlier one
	Repeats        atomic.Uint64 // our own retransmissions, both sides
	Cancels        atomic.Uint64 // CANCELs that matched
	Acks           atomic.Uint64 // ACKs handed to the Core
	Strays         atomic.Uint64 // responses handed to the Core
	Timeouts       atomic.Uint64 // timers B, F, H and the wait after CANCEL
	NoAck          atomic.Uint64 // 2xx never acknowledged
	TransportFails atomic.Uint64 // transactions that could not send, or lost their connection
	RefusedClient  atomic.Uint64 // Start refused by MaxClient
	Dropped        atomic.Uint64 // messages dropped because a callback did not return
}

// Full reports that Config.MaxServer is reached: the next request will find Server.Overloaded true.
func (l *Layer) Full() bool { return l.servers.full() }

// ErrTooMany is returned by Layer.Start when Config.MaxClient is reached.
var ErrTooMany = errors.New("too many client transactions")

// Kind says what happened to a transaction.
type Kind uint8

// The kinds of events.
const (
	// Response: a client transaction received one; Event.Message has it. A repeated provisional
	// and each 2xx to INVITE come too (every 2xx wants an ACK); other repeats do not.
	Response Kind = iota + 1
	// Timeout: no response in time (timers B, F), none after CANCEL, or no ACK for a failure (timer H).
	Timeout
	// Silent: an INVITE had no response within timer B and Timers.Late goes on. Any event may follow;
	// Timeout or TransportError is the last.
	Silent
	// TransportError: the message could not be sent, or the connection is gone; Event.Err says why.
	// A client transaction is over with it. A server transaction is not: see Server.MoveTo.
	TransportError
	// Cancelled: a CANCEL came before the final response of an INVITE and was answered with 200;
	// Event.Message has it. The user answers the INVITE, normally with 487.
	Cancelled
	// Acked: the ACK of a final response other than 2xx arrived.
	Acked
	// NoAck: a 2xx was repeated for 64*T1 without Server.Acked: end the call with BYE
	// (RFC 3261 §13.3.1.4).
	NoAck
)

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case Response:
		return "Response"
	case Timeout:
		return "Timeout"
	case Silent:
		return "Silent"
	case TransportError:
		return "TransportError"
	case Cancelled:
		return "Cancelled"
	case Acked:
		return "Acked"
	case NoAck:
		return "NoAck"
	}
	return "unknown"
}

// Event is news of one transaction. Events of a transaction come one at a time, in order, on the
// goroutine that caused them, and never with a lock held: the receiver may call any method.
type Event struct {
	Kind    Kind
	Client  *Client        // whose news, when a client's
	Server  *Server        // whose news, when a server's
	Flow    transport.Flow // what Message came on
	Message *sip.Message   // valid during the call only
	Err     error          // of TransportError
}

// Outgoing is a request to be sent by a client transaction.
type Outgoing struct {
	Flow transport.Flow
	// Bytes is the whole request. It is copied. Its topmost Via carries Branch.
	Bytes  []byte
	Method sip.Method // as in Bytes; not Ack, which is no transaction when it answers 2xx
	Branch string     // from Layer.NewBranch, unused before
	// OnEvent receives the transaction's events, possibly before Start returns.
	OnEvent func(Event)
	// Timers changes those of the layer for this transaction where its fields are not zero.
	Timers *Timers
}

// Layer holds the transactions of both sides. Create it with New. It takes messages as the
// Receive and Closed of a transport.Handler; Malformed is its user's.
type Layer struct {
	core    Core
	rand    io.Reader
	timers  Timers
	stats   Stats
	seeds   seeds
	servers *table[*Server]
	clients *table[*Client]
	flows   flowIndex
	scratch sync.Pool // of *scratch
}

// New returns a Layer without transactions.
func New(c Config) (*Layer, error) {
	if c.Core == nil {
		return nil, errors.New("transaction layer without a core")
	}
	if c.Clock == nil {
		c.Clock = clock.System()
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	if c.MaxServer <= 0 {
		c.MaxServer = DefaultMaxServer
	}
	if c.MaxClient <= 0 {
		c.MaxClient = DefaultMaxClient
	}
	l := &Layer{
		core:    c.Core,
		rand:    c.Rand,
		timers:  c.Timers.withDefaults(),
		seeds:   newSeeds(),
		flows:   flowIndex{first: make(map[transport.Flow]*Client)},
		scratch: sync.Pool{New: newScratch},
	}
	l.servers = newTable[*Server](c.Clock, &l.stats.ServerNow, c.MaxServer)
	l.clients = newTable[*Client](c.Clock, &l.stats.ClientNow, c.MaxClient)
	return l, nil
}

// Stats returns the counters, which go on counting.
func (l *Layer) Stats() *Stats { return &l.stats }

// Timers returns the durations in use.
func (l *Layer) Timers() Timers { return l.timers }

// NewBranch returns a branch for a new request: the magic cookie of RFC 3261 §8.1.1.7 and 96
// random bits, so that nobody who has not seen it can answer in the peer's place. It panics when
// the source of randomness fails, since nothing could be sent safely.
func (l *Layer) NewBranch() string {
	const cookie = "z9hG4bK"
	var random [12]byte
	if _, err := io.ReadFull(l.rand, random[:]); err != nil {
		panic("transaction: read random: " + err.Error())
	}
	var b [len(cookie) + 2*len(random)]byte
	hex.Encode(b[copy(b[:], cookie):], random[:])
	return string(b[:])
}

// Start sends a request and returns its transaction. What follows, also a failure to send, comes
// as events, of which the first may come before Start returns. The error is ErrTooMany, or says
// that the branch is in use or the request is incomplete.
func (l *Layer) Start(o Outgoing) (*Client, error) {
	if o.Flow.IsZero() || o.Branch == "" || len(o.Bytes) == 0 || o.Method == sip.Ack {
		return nil, errors.New("incomplete request")
	}
	timers := &l.timers
	if o.Timers != nil {
		own := o.Timers.over(l.timers)
		timers = &own
	}
	c := &Client{layer: l, flow: o.Flow, on: o.OnEvent, timers: timers, branch: o.Branch,
		method: o.Method, repeat: never, end: never}
	c.keep(o.Bytes)
	k := l.seeds.client(o.Flow.Proto(), o.Method, []byte(o.Branch))
	existing, room := l.clients.add(k, c)
	switch {
	case !room:
		l.stats.RefusedClient.Add(1)
		return nil, ErrTooMany
	case existing != nil:
		return nil, fmt.Errorf("branch %s is in use", o.Branch)
	}
	l.flows.add(c)
	c.start(o.Bytes)
	return c, nil
}

// startCancel sends a CANCEL. Nobody hears of its end: the INVITE's is what counts.
func (l *Layer) startCancel(invite *Client, b []byte) {
	_, err := l.Start(Outgoing{Flow: invite.flow, Bytes: b, Method: sip.Cancel, Branch: invite.branch, Timers: invite.timers})
	if err != nil {
		// Without room for a transaction it goes out once: a lost CANCEL costs ringing, not memory.
		_ = invite.flow.Send(b)
	}
}
