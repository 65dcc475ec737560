package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"

	"carillon/bench/party"
)

// callee answers calls over UDP or over TLS.
type callee struct {
	host    string
	address string
	trust   string // file with its certificate, empty over UDP
	closers []io.Closer

	mu       sync.Mutex
	expected map[int]func(offer string) (string, error)
	said     map[string]string // by Call-ID
	failed   error
	offered  bool
}

func newCallee(host string, secure bool) (*callee, error) {
	c := &callee{host: host, expected: map[int]func(string) (string, error){}, said: map[string]string{}}
	if secure {
		return c, c.listenTLS()
	}
	conn, err := net.ListenPacket("udp4", host+":0")
	if err != nil {
		return c, fmt.Errorf("open the callee's socket: %w", err)
	}
	c.address, c.closers = conn.LocalAddr().String(), []io.Closer{conn}
	go c.serve(conn)
	return c, nil
}

func (c *callee) listenTLS() error {
	cert, key, err := party.SelfSigned("callee.test", c.host)
	if err != nil {
		return err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp("", "callee-*.pem")
	if err != nil {
		return err
	}
	c.trust = f.Name()
	if _, err = f.Write(cert); err != nil {
		return errors.Join(err, f.Close())
	}
	if err := f.Close(); err != nil {
		return err
	}
	listener, err := tls.Listen("tcp4", c.host+":0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		return err
	}
	c.address, c.closers = listener.Addr().String(), []io.Closer{listener}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go c.serveStream(conn)
		}
	}()
	return nil
}

func (c *callee) close() {
	for _, closer := range c.closers {
		_ = closer.Close()
	}
	if c.trust != "" {
		_ = os.Remove(c.trust)
	}
}

// expect has the n-th call answered.
func (c *callee) expect(n int, answer func(offer string) (string, error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.expected[n], c.failed, c.offered = answer, nil, false
}

// forget ends that and returns what went wrong.
func (c *callee) forget(n int) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.expected, n)
	if !c.offered {
		return errors.New("the call came to nobody")
	}
	return c.failed
}

// serve answers datagrams until the socket is closed.
func (c *callee) serve(conn net.PacketConn) {
	b := make([]byte, 65535)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		if answer := c.answer(party.Message(b[:n])); answer != nil {
			_, _ = conn.WriteTo(answer, from)
		}
	}
}

// serveStream answers the messages of a connection until the node closes it.
func (c *callee) serveStream(conn net.Conn) {
	defer conn.Close()
	var rest []byte
	b := make([]byte, 65535)
	for {
		n, err := conn.Read(b)
		if err != nil {
			return
		}
		rest = append(rest, b[:n]...)
		for {
			m, left, err := party.Frame(rest)
			if err != nil {
				return
			}
			if rest = left; m == nil {
				break
			}
			if answer := c.answer(m); answer != nil {
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		}
	}
}

// answer returns the response to a request, nil for what has none.
func (c *callee) answer(m party.Message) []byte {
	switch {
	case m.Status() != 0 || m.Method() == "ACK":
		return nil
	case m.Method() == "INVITE":
		return party.Respond(m, 200, "OK", c.contact(), c.invited(m))
	}
	return party.Respond(m, 200, "OK", c.contact(), "")
}

func (c *callee) contact() string {
	if c.trust != "" {
		return c.address + ";transport=tls"
	}
	return c.address
}

func (c *callee) invited(m party.Message) string {
	_, number, _ := strings.Cut(m.URI(), "1555")
	number, _, _ = strings.Cut(number, "@")
	n, _ := strconv.Atoi(number)
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer := c.expected[n]; answer != nil {
		c.offered = true
		c.said[m.Header("Call-ID")], c.failed = answer(m.Body())
	}
	return c.said[m.Header("Call-ID")] // a repeated INVITE, or one that refreshes the session
}
