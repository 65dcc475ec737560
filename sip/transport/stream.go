package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"carillon/sip"
)

// Reasons for which a connection is closed from our side; Handler.Closed gets them.
var (
	errWriteStalled  = errors.New("peer does not read")
	errLateHandshake = errors.New("TLS handshake takes too long")
	errLateFirst     = errors.New("no message after connecting")
	errLateMessage   = errors.New("message takes too long to arrive")
	errIdle          = errors.New("connection idle")
)

// stream is one TCP or TLS connection, accepted or dialed.
type stream struct {
	t      *Transport
	proto  Proto
	local  netip.AddrPort
	remote netip.AddrPort
	queue  *writeQueue
	conn   io.ReadWriter // queue, or the TLS session over it
	info   *TLSInfo      // set before anything is handed to the handler
	watch  watchdog
	ending func() // takes it out of the pool for good; nil when accepted
	leave  func() // takes it out of the pool and leaves it open; nil when accepted
	held   atomic.Int32
	reuse  *reuseInfo // of a peer that connected and proved who it is; nil for all others
	alias  uint16     // the port it calls its own, once it takes requests here; guarded by the transport's lock

	mu     sync.Mutex
	ended  bool
	cause  error // why it was closed from our side; nil when asked to
	framer sip.Framer
}

func (t *Transport) newStream(proto Proto, conn net.Conn) *stream {
	s := &stream{t: t, proto: proto, local: addrOf(conn.LocalAddr()), remote: addrOf(conn.RemoteAddr())}
	s.queue = newWriteQueue(t, conn, s.fail)
	s.conn = s.queue
	s.watch.init(t.clock, s.expired)
	s.framer.Max = t.limits.Message.Message
	return s
}

func addrOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return unmap(tcp.AddrPort())
	}
	return netip.AddrPort{}
}

// Proto, Local, TLS, Send and Close make a stream the Link of its one flow.
func (s *stream) Proto() Proto { return s.proto }

// Local returns our end.
func (s *stream) Local() netip.AddrPort { return s.local }

// TLS returns nil for TCP.
func (s *stream) TLS() *TLSInfo { return s.info }

// Send writes or queues b.
func (s *stream) Send(b []byte, _ netip.AddrPort) error {
	if _, err := s.conn.Write(b); err != nil {
		s.t.stats.SendErrors.Add(1)
		if errors.Is(err, ErrClosed) || errors.Is(err, net.ErrClosed) {
			return ErrClosed
		}
		return fmt.Errorf("send %v to %v: %w", s.proto, s.remote, err)
	}
	s.t.stats.Sent.Add(1)
	return nil
}

// Close closes the connection. What the system has not taken yet is lost.
func (s *stream) Close() error {
	s.fail(nil)
	return nil
}

func (s *stream) flow() Flow { return NewFlow(s, s.remote) }

func (s *stream) hold(n int32) { s.held.Add(n) }

// Retire takes the connection out of the pool.
func (s *stream) Retire() {
	if s.leave != nil {
		s.leave()
	}
}

// fail disconnects; the first cause is the one that is reported.
func (s *stream) fail(cause error) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended, s.cause = true, cause
	s.mu.Unlock()
	s.queue.stop()
	s.queue.Conn.Close()
}

// expired is called by the watchdog when the time of a phase is over.
func (s *stream) expired(p phase) {
	switch p {
	case phaseProxy:
		s.t.stats.LateProxy.Add(1)
		s.fail(errLateProxy)
	case phaseHandshake:
		s.t.stats.LateHandshake.Add(1)
		s.fail(errLateHandshake)
	case phaseFirst:
		s.t.stats.LateFirst.Add(1)
		s.fail(errLateFirst)
	case phaseMessage:
		s.t.stats.LateMessage.Add(1)
		s.fail(errLateMessage)
	case phaseLinger:
		s.fail(nil)
	case phaseIdle:
		if s.held.Load() > 0 {
			s.watch.start(phaseIdle, s.t.limits.Idle)
			return
		}
		s.t.stats.IdleClosed.Add(1)
		s.fail(errIdle)
	}
}

// handshakeServer makes the TLS session of an accepted connection.
func (s *stream) handshakeServer(c *serverSide) error {
	s.watch.start(phaseHandshake, s.t.limits.Handshake)
	session := tls.Server(s.queue, c.conf)
	if err := session.Handshake(); err != nil {
		s.t.stats.HandshakeFail.Add(1)
		s.strangeRecord(err)
		return fmt.Errorf("TLS handshake: %w", err) // the log says with whom
	}
	s.info, s.reuse = c.serverInfo(session.ConnectionState())
	s.conn = session
	return nil
}

// handshakeClient makes the TLS session of a dialed connection; ctx bounds it.
func (s *stream) handshakeClient(ctx context.Context, c *ClientTLS) error {
	conf, err := c.config()
	if err != nil {
		return err
	}
	session := tls.Client(s.queue, conf)
	if err := session.HandshakeContext(ctx); err != nil {
		s.t.stats.HandshakeFail.Add(1)
		return fmt.Errorf("TLS handshake with %v: %w", s.remote, err)
	}
	s.info = c.clientInfo(session.ConnectionState())
	s.conn = session
	return nil
}

// serve reads messages until the connection ends, then reports that.
func (s *stream) serve() {
	err := s.read()
	s.watch.stop()
	s.mu.Lock()
	if s.ended {
		err = s.cause // reading failed because of it
	}
	s.mu.Unlock()
	s.fail(nil)
	if s.ending != nil {
		s.ending() // first, so that whoever hears of the end can dial again
	}
	s.t.withdraw(s)
	s.t.handler.Closed(s.flow(), err)
}

// read returns nil at an end between two messages.
func (s *stream) read() error {
	m := new(sip.Message)
	for first := true; ; first = false {
		_, err := s.framer.Fill(s.conn)
		if first && s.strange() {
			return errStrangeProxy
		}
		heard, lost := s.drain(m)
		if lost != nil {
			s.linger()
			return fmt.Errorf("read %v from %v: %w", s.proto, s.remote, lost)
		}
		if err != nil {
			if errors.Is(err, io.EOF) && s.framer.Buffered() == 0 {
				return nil
			}
			return fmt.Errorf("read %v from %v: %w", s.proto, s.remote, err)
		}
		s.progress(heard)
	}
}

// heard says what a read brought.
type heard uint8

const (
	heardPart      heard = iota // less than a message
	heardKeepAlive              // keep-alives only
	heardMessage
)

// drain hands on every message that is complete. An error means that the next message cannot be found.
func (s *stream) drain(m *sip.Message) (heard, error) {
	got := heardPart
	for {
		b, ok, err := s.framer.Next()
		if pings := s.framer.Pings(); pings > 0 {
			got = max(got, heardKeepAlive)
			s.pong(pings)
		}
		if err != nil {
			s.t.stats.FramingLost.Add(1)
			s.t.deliverLost(s.flow(), m, b, err)
			return got, err
		}
		if !ok {
			return got, nil
		}
		got = heardMessage
		// A message that does not parse says nothing about where the next begins: the framer does.
		_ = s.t.deliver(s.flow(), m, b)
	}
}

// pong answers keep-alives with one CRLF each (RFC 5626 §3.5.1), and no more than a few at once.
func (s *stream) pong(pings int) {
	s.t.stats.KeepAlives.Add(uint64(pings))
	const crlfs = "\r\n\r\n\r\n\r\n"
	_, err := io.WriteString(s.conn, crlfs[:2*min(pings, len(crlfs)/2)])
	if err != nil {
		s.t.stats.SendErrors.Add(1)
	}
}

// progress chooses what to wait for next. Only whole messages and keep-alives buy time, and
// before the first message nothing does.
func (s *stream) progress(got heard) {
	current := s.watch.phase()
	switch {
	case current == phaseFirst && got != heardMessage:
	case s.framer.Buffered() == 0 && (got != heardPart || current == phaseMessage):
		s.watch.start(phaseIdle, s.t.limits.Idle)
	case s.framer.Buffered() > 0 && (got != heardPart || current != phaseMessage):
		s.watch.start(phaseMessage, s.t.limits.MessageTime)
	}
}

// linger lets the answer to a broken stream reach the peer: closing while its octets wait unread
// would reset the connection and destroy the answer on the way.
func (s *stream) linger() {
	s.watch.start(phaseLinger, lingerTime)
	if session, ok := s.conn.(*tls.Conn); ok {
		session.CloseWrite()
	}
	if half, ok := s.queue.Conn.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
	io.CopyN(io.Discard, s.queue.Conn, lingerOctets)
}
