package dns

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// ServeUDP answers on a socket until ctx ends, then closes it. One goroutine per core reads and answers; none is made per
// message, so a flood fills the kernel's queue and nothing of ours.
func (s *Server) ServeUDP(ctx context.Context, conn *net.UDPConn) error {
	// Answers must leave from the address that was asked: resolvers drop others. On a socket bound to one address
	// neither option is needed, and one of the two always fails for the socket's family.
	_ = ipv4.NewPacketConn(conn).SetControlMessage(ipv4.FlagDst, true)
	_ = ipv6.NewPacketConn(conn).SetControlMessage(ipv6.FlagDst, true)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() { s.readUDP(ctx, conn) })
	}
	readers.Wait()
	if ctx.Err() == nil {
		return errors.New("DNS socket closed")
	}
	return nil
}

func (s *Server) readUDP(ctx context.Context, conn *net.UDPConn) {
	in := make([]byte, dns.MaxMsgSize)
	out := make([]byte, 0, dns.MaxMsgSize)
	for {
		n, session, err := dns.ReadFromSessionUDP(conn, in)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // an ICMP error of an earlier answer, or a full machine: neither ends the service
			if !sleep(ctx, time.Millisecond) {
				return
			}
			continue
		}
		answer := s.answerSafely(out, in[:n], addrOf(session.RemoteAddr()), false)
		if answer == nil {
			continue
		}
		if _, err := dns.WriteToSessionUDP(conn, answer, session); err != nil {
			s.stats.writeErrors.Add(1)
		}
	}
}

// answerSafely keeps one message that trips a fault, ours or the parser's, from ending the process and its calls.
func (s *Server) answerSafely(dst, packet []byte, source netip.Addr, stream bool) (answer []byte) {
	defer func() {
		if r := recover(); r != nil {
			s.log.Error("DNS answer panicked", "panic", fmt.Sprint(r))
			answer = nil
		}
	}()
	return s.Answer(dst, packet, source, stream)
}

// ServeTCP accepts connections until ctx ends, then closes the listener and all connections.
func (s *Server) ServeTCP(ctx context.Context, ln net.Listener) error {
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	var conns sync.WaitGroup
	defer conns.Wait()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				conn.Close()
			}
			return nil
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("accept DNS connection: %w", err)
		}
		if err != nil { // out of descriptors: wait for some to come back
			sleep(ctx, 10*time.Millisecond)
			continue
		}
		source := addrOf(conn.RemoteAddr())
		if !s.conns.enter(source, s.cfg.MaxConns, s.cfg.MaxPerIP) {
			s.stats.connsRefused.Add(1)
			conn.Close()
			continue
		}
		conns.Go(func() {
			defer s.conns.leave(source)
			s.serveConn(ctx, conn, source)
		})
	}
}

// serveConn answers the queries of one connection in turn (RFC 7766). Reading whole queries against one deadline is what
// bounds a client that sends an octet at a time.
func (s *Server) serveConn(ctx context.Context, conn net.Conn, source netip.Addr) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	buf := make([]byte, 2+maxTCP)
	for range s.cfg.MaxQueries {
		if conn.SetDeadline(time.Now().Add(s.cfg.Idle)) != nil { // deadlines of sockets are the system's time
			return
		}
		if _, err := io.ReadFull(conn, buf[:2]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint16(buf))
		if size > maxTCP { // no query of ours is that long
			return
		}
		if _, err := io.ReadFull(conn, buf[2:2+size]); err != nil {
			return
		}
		answer := s.answerSafely(make([]byte, 2, 512), buf[2:2+size], source, true)
		if answer == nil {
			return
		}
		binary.BigEndian.PutUint16(answer, uint16(len(answer)-2))
		if _, err := conn.Write(answer); err != nil {
			s.stats.writeErrors.Add(1)
			return
		}
	}
}

// connTable counts TCP connections.
type connTable struct {
	mu    sync.Mutex
	total int
	perIP map[netip.Addr]int
}

func (t *connTable) enter(source netip.Addr, maxTotal, maxPerIP int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.total >= maxTotal || t.perIP[source] >= maxPerIP {
		return false
	}
	t.total++
	t.perIP[source]++
	return true
}

func (t *connTable) leave(source netip.Addr) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total--
	if t.perIP[source]--; t.perIP[source] == 0 {
		delete(t.perIP, source)
	}
}

func (t *connTable) open() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}

func addrOf(a net.Addr) netip.Addr {
	if p, err := netip.ParseAddrPort(a.String()); err == nil {
		return p.Addr().Unmap()
	}
	return netip.Addr{}
}

// sleep waits and says whether ctx still runs.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
