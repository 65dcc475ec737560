package proxyproto

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"carillon/clock"
)

// DefaultWait is how long a balancer may take to send its header.
const DefaultWait = 5 * time.Second

// Listener takes the headers off the connections of listed balancers, for servers that know nothing of them: to these a
// connection's remote address is the client's.
type Listener struct {
	net.Listener
	// Balancers are the addresses whose connections must begin with a header.
	Balancers []netip.Prefix
	// Clock bounds the wait for a header; required.
	Clock clock.Clock
	// Refused, when set, hears of each connection closed for want of a good header.
	Refused func(balancer net.Addr, err error)
}

// Accept returns the next connection. It never waits for a header: the first look at the connection does.
func (l *Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if a, ok := c.RemoteAddr().(*net.TCPAddr); ok && l.listed(a.AddrPort().Addr()) {
		return &conn{Conn: c, l: l}, nil
	}
	return c, nil
}

func (l *Listener) listed(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	for _, p := range l.Balancers {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// conn is a balancer's connection.
type conn struct {
	net.Conn
	l      *Listener
	once   sync.Once
	source net.Addr
	err    error
}

// unwrap reads the header, once. A balancer that sends none in time is disconnected.
func (c *conn) unwrap() {
	c.once.Do(func() {
		c.source = c.Conn.RemoteAddr()
		late := c.l.Clock.AfterFunc(DefaultWait, func() { c.Conn.Close() })
		h, err := Read(c.Conn)
		late.Stop()
		if err != nil {
			c.err = err
			c.Conn.Close()
			if c.l.Refused != nil {
				c.l.Refused(c.source, err)
			}
			return
		}
		if h.Source.IsValid() {
			c.source = net.TCPAddrFromAddrPort(h.Source)
		}
	})
}

// Read reads what comes after the header.
func (c *conn) Read(b []byte) (int, error) {
	if c.unwrap(); c.err != nil {
		return 0, c.err
	}
	return c.Conn.Read(b)
}

// Write writes to the client. It waits for the header as Read does: nothing is said to a balancer that sent none.
func (c *conn) Write(b []byte) (int, error) {
	if c.unwrap(); c.err != nil {
		return 0, c.err
	}
	return c.Conn.Write(b)
}

// RemoteAddr returns the client's address, or the balancer's own when it named no client.
func (c *conn) RemoteAddr() net.Addr {
	c.unwrap()
	return c.source
}
