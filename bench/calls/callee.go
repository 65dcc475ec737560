package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"carillon/bench/party"
)

// callee answers calls over UDP: 180 and 200 at once.
type callee struct {
	conn *net.UDPConn
	at   net.IP

	mu   sync.Mutex
	open map[string]*answer // by Call-ID, until the ACK
}

// answer is a 200 that is repeated until its ACK has come.
type answer struct {
	b    []byte
	to   *net.UDPAddr
	sent time.Time
	wait time.Duration
}

func newCallee(host string) (*callee, error) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(host)})
	if err != nil {
		return nil, fmt.Errorf("open the callee's socket: %w", err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	c := &callee{conn: conn, at: net.ParseIP(host), open: map[string]*answer{}}
	go c.serve()
	go c.repeat()
	return c, nil
}

func (c *callee) address() string { return c.conn.LocalAddr().String() }

// calleePort is where the audio of the n-th call would be.
func calleePort(n int) int { return 20001 + 2*(n%20000) }

func (c *callee) serve() {
	b := make([]byte, 65535)
	for {
		n, from, err := c.conn.ReadFromUDP(b)
		if err != nil {
			return
		}
		m := party.Message(b[:n])
		if m.Status() != 0 {
			continue
		}
		switch m.Method() {
		case "INVITE":
			c.invited(m, from)
		case "ACK":
			c.mu.Lock()
			delete(c.open, m.Header("Call-ID"))
			c.mu.Unlock()
		default:
			_, _ = c.conn.WriteToUDP(party.Respond(m, 200, "OK", c.address(), ""), from)
		}
	}
}

func (c *callee) invited(m party.Message, from *net.UDPAddr) {
	_, number, _ := strings.Cut(m.URI(), "1555")
	number, _, _ = strings.Cut(number, "@")
	n, _ := strconv.Atoi(number)
	_, _ = c.conn.WriteToUDP(party.Respond(m, 180, "Ringing", c.address(), ""), from)
	a := &answer{b: party.Respond(m, 200, "OK", c.address(), party.Description(c.at, calleePort(n), "")), to: from, sent: time.Now(), wait: firstRepeat}
	c.mu.Lock()
	c.open[m.Header("Call-ID")] = a
	c.mu.Unlock()
	_, _ = c.conn.WriteToUDP(a.b, from)
}

// repeat repeats answers without an ACK until the socket is closed.
func (c *callee) repeat() {
	for {
		time.Sleep(100 * time.Millisecond)
		c.mu.Lock()
		for id, a := range c.open {
			switch waited := time.Since(a.sent); {
			case waited > patience:
				delete(c.open, id)
			case waited >= a.wait:
				a.wait = 2*a.wait + firstRepeat
				if _, err := c.conn.WriteToUDP(a.b, a.to); err != nil {
					c.mu.Unlock()
					return
				}
			}
		}
		c.mu.Unlock()
	}
}

func (c *callee) close() { c.conn.Close() }
