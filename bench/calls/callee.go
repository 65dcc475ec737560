package main

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
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
		m := message(b[:n])
		if m.status() != 0 {
			continue
		}
		switch m.method() {
		case "INVITE":
			c.invited(m, from)
		case "ACK":
			c.mu.Lock()
			delete(c.open, m.header("Call-ID"))
			c.mu.Unlock()
		default:
			_, _ = c.conn.WriteToUDP(respond(m, 200, "OK", c.address(), ""), from)
		}
	}
}

func (c *callee) invited(m message, from *net.UDPAddr) {
	_, number, _ := strings.Cut(m.uri(), "1555")
	number, _, _ = strings.Cut(number, "@")
	n, _ := strconv.Atoi(number)
	_, _ = c.conn.WriteToUDP(respond(m, 180, "Ringing", c.address(), ""), from)
	a := &answer{b: respond(m, 200, "OK", c.address(), description(c.at, calleePort(n), "")), to: from, sent: time.Now(), wait: firstRepeat}
	c.mu.Lock()
	c.open[m.header("Call-ID")] = a
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

// respond writes the response to a request.
func respond(m message, status int, phrase, contact, body string) []byte {
	b := fmt.Appendf(nil, "SIP/2.0 %d %s\r\n", status, phrase)
	for _, name := range []string{"Via", "Record-Route", "From", "Call-ID", "CSeq"} {
		for _, value := range m.all(name) {
			b = fmt.Appendf(b, "%s: %s\r\n", name, value)
		}
	}
	to := m.header("To")
	if !strings.Contains(to, "tag=") {
		to += ";tag=callee"
	}
	b = fmt.Appendf(b, "To: %s\r\nContact: <sip:callee@%s>\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\n", to, contact)
	if body != "" {
		b = append(b, "Content-Type: application/sdp\r\n"...)
	}
	return fmt.Appendf(b, "Content-Length: %d\r\n\r\n%s", len(body), body)
}
