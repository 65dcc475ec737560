package transport

import (
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"carillon/clock"
	"carillon/sip"
)

// Defaults of Limits.
const (
	// DefaultAccepted bounds the accepted connections of all listeners.
	DefaultAccepted = 10000
	// DefaultAcceptedPerIP bounds those of one IPv4 address or IPv6 /64.
	DefaultAcceptedPerIP = 100
	// DefaultDialed bounds the outgoing connections, apart from the accepted ones so that a flood
	// of these cannot stop calls on their way out.
	DefaultDialed = 2000
	// DefaultHandshake is the time for a TLS handshake.
	DefaultHandshake = 5 * time.Second
	// DefaultFirstMessage is the time from connecting to the end of the first message.
	DefaultFirstMessage = 10 * time.Second
	// DefaultMessage is the time from the first octet of a message to its last.
	DefaultMessage = 10 * time.Second
	// DefaultIdle is twice what clients are told to keep connections alive with (RFC 5626 §4.4.1).
	DefaultIdle = 4 * time.Minute
	// DefaultWrite is how long a peer may take nothing.
	DefaultWrite = 5 * time.Second
	// DefaultDial is the time to connect, TLS handshake included.
	DefaultDial = 4 * time.Second
	// DefaultWriteQueue bounds the octets that wait for one peer to read.
	DefaultWriteQueue = 256 << 10
	// DefaultSTUNPerSecond bounds the STUN answers of one UDP socket.
	DefaultSTUNPerSecond = 1000
	// DefaultReceiveBuffer is asked of the system for each UDP socket, in octets.
	DefaultReceiveBuffer = 4 << 20

	maxDatagram = 65535
)

// Limits bounds what peers can make the transport hold. A field that is 0 or less means the
// default; each limit has a counter in Stats.
type Limits struct {
	Accepted      int           // accepted connections at a time
	AcceptedPerIP int           // of these, from one IPv4 address or one IPv6 /64
	Dialed        int           // outgoing connections at a time, also those being made
	Handshake     time.Duration // from accept to the end of the TLS handshake, or of a load balancer's header
	FirstMessage  time.Duration // from then to the end of the first SIP message
	MessageTime   time.Duration // from the first octet of a message to its last
	Idle          time.Duration // without a message or keep-alive, on connections nobody holds
	Write         time.Duration // a connection's socket taking no more octets
	Dial          time.Duration // an outgoing connection, TLS handshake included
	WriteQueue    int           // octets waiting for one connection's socket
	STUNPerSecond int           // STUN answers of one UDP socket
	ReceiveBuffer int           // octets asked of the system for each UDP socket
	Message       sip.Limits    // of one SIP message
}

func (l Limits) withDefaults() Limits {
	orInt := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	orTime := func(v *time.Duration, def time.Duration) {
		if *v <= 0 {
			*v = def
		}
	}
	orInt(&l.Accepted, DefaultAccepted)
	orInt(&l.AcceptedPerIP, DefaultAcceptedPerIP)
	orInt(&l.Dialed, DefaultDialed)
	orTime(&l.Handshake, DefaultHandshake)
	orTime(&l.FirstMessage, DefaultFirstMessage)
	orTime(&l.MessageTime, DefaultMessage)
	orTime(&l.Idle, DefaultIdle)
	orTime(&l.Write, DefaultWrite)
	orTime(&l.Dial, DefaultDial)
	orInt(&l.WriteQueue, DefaultWriteQueue)
	orInt(&l.STUNPerSecond, DefaultSTUNPerSecond)
	orInt(&l.ReceiveBuffer, DefaultReceiveBuffer)
	orInt(&l.Message.Message, sip.DefaultMaxMessage)
	return l
}

// Config is what a Transport is built from.
type Config struct {
	Handler Handler      // required
	Clock   clock.Clock  // nil means the system's
	Logger  *slog.Logger // nil discards
	Limits  Limits
	// Proxies are the addresses of load balancers: their TCP and TLS connections must begin with a header of the
	// PROXY protocol, whose source then stands for the connection's in everything.
	Proxies []netip.Prefix
	// DSCP is the mark of every packet sent (RFC 2474), 0 to 63; 0 marks none.
	DSCP int
}

// Stats counts what a Transport did. All fields only grow, but for the two gauges.
type Stats struct {
	Received      atomic.Uint64 // messages handed to Handler.Receive
	Sent          atomic.Uint64 // messages sent or queued
	SendErrors    atomic.Uint64 // messages that could not be sent
	Malformed     atomic.Uint64 // messages handed to Handler.Malformed
	Garbage       atomic.Uint64 // datagrams and messages dropped without an answer
	KeepAlives    atomic.Uint64 // CRLF keep-alives received (RFC 5626 §4.4.1)
	STUN          atomic.Uint64 // STUN binding requests answered
	STUNDropped   atomic.Uint64 // STUN binding requests over Limits.STUNPerSecond
	ReadErrors    atomic.Uint64 // errors reading a UDP socket
	AcceptErrors  atomic.Uint64 // errors accepting a connection
	Accepted      atomic.Uint64 // connections accepted
	Dialed        atomic.Uint64 // connections made
	Reused        atomic.Uint64 // times a connection that a verified peer opened was used to reach it
	Retired       atomic.Uint64 // of these, no longer given to anybody, because nothing came back on them
	DialErrors    atomic.Uint64 // connections that could not be made
	OverAccepted  atomic.Uint64 // connections refused by Limits.Accepted
	OverPerIP     atomic.Uint64 // connections refused by Limits.AcceptedPerIP
	OverDialed    atomic.Uint64 // Dial refused by Limits.Dialed
	HandshakeFail atomic.Uint64 // TLS handshakes that ended badly, timeouts among them
	LateHandshake atomic.Uint64 // closed by Limits.Handshake
	LateFirst     atomic.Uint64 // closed by Limits.FirstMessage
	LateMessage   atomic.Uint64 // closed by Limits.MessageTime
	IdleClosed    atomic.Uint64 // closed by Limits.Idle
	WriteStalled  atomic.Uint64 // closed by Limits.Write
	QueueFull     atomic.Uint64 // closed by Limits.WriteQueue
	FramingLost   atomic.Uint64 // closed because the stream was not SIP
	Proxied       atomic.Uint64 // connections that a listed load balancer gave a source
	BadProxy      atomic.Uint64 // closed because a load balancer's header was missing, malformed or cut off
	LateProxy     atomic.Uint64 // closed because it did not come within Limits.Handshake
	StrangeProxy  atomic.Uint64 // closed because somebody who is not listed sent such a header

	AcceptedNow atomic.Int64 // gauge: accepted connections open
	DialedNow   atomic.Int64 // gauge: outgoing connections open or being made
}
