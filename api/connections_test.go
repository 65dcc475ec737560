package api

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/proxyproto"
	"carillon/sigv4"
	"carillon/trunk"
)

// bounded serves the node's API with a bound on its connections.
func (n *node) bounded(t *testing.T, most, mostPerIP int, below ...func(net.Listener) net.Listener) (*Connections, string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range below {
		ln = f(ln)
	}
	bound, server := NewConnections(most, mostPerIP), HTTPServer(n.handler, slog.New(slog.DiscardHandler))
	bound.Attach(server)
	served := make(chan error, 1)
	go func() { served <- server.Serve(bound.Listener(ln)) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
		if got := bound.Stats().Open; got != 0 {
			t.Errorf("%d connections are open after the end", got)
		}
		if len(bound.addresses) != 0 || bound.all.waiting.Len() != 0 {
			t.Errorf("after the end: %d addresses, %d waiting", len(bound.addresses), bound.all.waiting.Len())
		}
	})
	return bound, ln.Addr().String()
}

// dialFrom connects from an address of the loopback network and writes text.
func dialFrom(t *testing.T, source, to, text string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(source), 0))}
	c, err := d.DialContext(t.Context(), "tcp", to)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := io.WriteString(c, text); err != nil && text == "" {
		t.Fatal(err)
	}
	return c
}

// until waits for a state that a goroutine of the server brings about.
func (c *Connections) until(t *testing.T, reached func() bool) {
	t.Helper()
	for range 10_000 {
		c.mu.Lock()
		done := reached()
		c.mu.Unlock()
		if done {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatal("the server did not get there")
}

// ended waits until the server has closed c.
func ended(t *testing.T, c net.Conn) {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	var timeout net.Error
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		t.Errorf("the connection was not closed: %v", err)
	}
}

// ask sends one signed request on a connection of its own, or on c.
func (n *node) ask(t *testing.T, client *http.Client, to, method, path, body string) int {
	t.Helper()
	h, err := http.NewRequestWithContext(t.Context(), method, "http://"+to+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	sigv4.Sign(h, []byte(body), n.keys[accountA], sigv4.Scope{Region: "us-east-1", Service: "chime"}, n.clock.Now())
	a, err := client.Do(h)
	if err != nil {
		t.Errorf("%s %s: %v", method, path, err)
		return 0
	}
	defer a.Body.Close()
	_, _ = io.Copy(io.Discard, a.Body)
	return a.StatusCode
}

func freshClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
}

// TestFloods: connections that send nothing, half a header or half a body, many more than there are places and from the
// client's own address, keep no client from its answer.
func TestFloods(t *testing.T) {
	for name, text := range map[string]string{
		"silence":       "",
		"half a header": "POST /voice-connectors HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"half a body":   "POST /voice-connectors HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{",
		"no length":     "POST /voice-connectors HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{",
	} {
		t.Run(name, func(t *testing.T) {
			n := startNode(t)
			const most = 20
			bound, to := n.bounded(t, most, most)
			client := freshClient()
			first := dialFrom(t, "127.0.0.1", to, text)
			for range 10 {
				for range most {
					dialFrom(t, "127.0.0.1", to, text)
				}
				if got := n.ask(t, client, to, "POST", "/voice-connectors", create); got != 201 {
					t.Errorf("got %d, want 201", got)
				}
				if got := bound.Stats().Open; got > most {
					t.Errorf("%d connections are open, want at most %d", got, most)
				}
			}
			ended(t, first)
			if got := bound.Stats(); got.ClosedTotal+got.ClosedPerIP < 9*most || got.Refused != 0 {
				t.Errorf("stats: %+v", got)
			}
		})
	}
}

// TestFloodOfOneAddress: it takes its places from itself; the others' connections stay.
func TestFloodOfOneAddress(t *testing.T) {
	n := startNode(t)
	const perIP = 5
	bound, to := n.bounded(t, 100, perIP)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}, Timeout: 10 * time.Second}
	defer client.CloseIdleConnections()
	if got := n.ask(t, client, to, "GET", "/voice-connectors", ""); got != 200 {
		t.Fatal(got)
	}
	var flood []net.Conn
	source := netip.MustParsePrefix("127.0.0.2/32")
	for i := range 10 * perIP {
		flood = append(flood, dialFrom(t, "127.0.0.2", to, "GET /"))
		if i >= perIP {
			ended(t, flood[i-perIP])
			continue
		}
		bound.until(t, func() bool { from := bound.addresses[source]; return from != nil && from.open == i+1 })
	}
	if got := n.ask(t, client, to, "GET", "/voice-connectors", ""); got != 200 {
		t.Errorf("on the connection from before: %d", got)
	}
	if got := bound.Stats(); got.ClosedPerIP != 9*perIP || got.ClosedTotal != 0 || got.Open != perIP+1 {
		t.Errorf("stats: %+v", got)
	}
}

// heldStore keeps transactions until it is released.
type heldStore struct {
	trunk.Store
	came, release chan struct{}
}

func (s heldStore) Update(ctx context.Context, fn func(trunk.Tx) error) (int64, error) {
	s.came <- struct{}{}
	<-s.release
	return s.Store.Update(ctx, fn)
}

// TestWorkIsKept: a connection whose request is being worked on is closed for nobody; with all of them at work a new one
// is refused.
func TestWorkIsKept(t *testing.T) {
	n := startNode(t)
	held := heldStore{n.Server.config.Store, make(chan struct{}), make(chan struct{})}
	n.Server.config.Store = held
	const most = 3
	bound, to := n.bounded(t, most, most)
	answers := make(chan int, most)
	for range most {
		go func() { answers <- n.ask(t, freshClient(), to, "POST", "/voice-connectors", create) }()
		<-held.came
	}
	ended(t, dialFrom(t, "127.0.0.1", to, ""))
	if got := bound.Stats(); got.Refused != 1 || got.ClosedTotal+got.ClosedPerIP != 0 || got.Open != most {
		t.Errorf("stats: %+v", got)
	}
	close(held.release)
	for range most {
		if got := <-answers; got != 201 {
			t.Errorf("got %d, want 201", got)
		}
	}
}

// TestIdleGivesWay: a connection that has been answered waits again, and gives way before a younger one.
func TestIdleGivesWay(t *testing.T) {
	n := startNode(t)
	bound, to := n.bounded(t, 2, 2)
	idle := dialFrom(t, "127.0.0.1", to, "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(idle), nil)
	if err != nil || answer.StatusCode != 404 {
		t.Fatal(answer, err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	// It begins to wait when it comes, with the first octet of its request, and once more when the server says it is idle,
	// which may be after the answer has come.
	bound.until(t, func() bool { return bound.all.waiting.Len() == 1 && bound.turns == 3 })
	younger := dialFrom(t, "127.0.0.1", to, "GET")
	dialFrom(t, "127.0.0.1", to, "")
	ended(t, idle)
	if got := bound.Stats(); got.ClosedTotal != 1 {
		t.Errorf("stats: %+v", got)
	}
	if _, err := io.WriteString(younger, " /nothing HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Error(err)
	}
	if answer, err := http.ReadResponse(bufio.NewReader(younger), nil); err != nil || answer.StatusCode != 404 {
		t.Error(answer, err)
	}
}

// TestBehindABalancer: the client's address counts, and a balancer that does not say it keeps nobody waiting.
func TestBehindABalancer(t *testing.T) {
	n := startNode(t)
	bound, to := n.bounded(t, 100, 2, func(ln net.Listener) net.Listener {
		return &proxyproto.Listener{Listener: ln, Balancers: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Clock: n.clock}
	})
	for range 5 {
		dialFrom(t, "127.0.0.1", to, "")
	}
	const ask = "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
	var flood []net.Conn
	for i := range 4 {
		c := dialFrom(t, "127.0.0.1", to, "PROXY TCP4 192.0.2.7 192.0.2.1 4000 443\r\n"+ask)
		if answer, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || answer.StatusCode != 404 {
			t.Error(answer, err)
		}
		if flood = append(flood, c); i >= 2 {
			ended(t, flood[i-2])
		}
		// It goes to the end of those that wait once the server has done with the answer, which may be after the client
		// has. Each of these connections takes three places: when it comes, asks, and is answered; the silent five one.
		bound.until(t, func() bool { return bound.turns == uint64(5+3*(i+1)) })
	}
	other := dialFrom(t, "127.0.0.1", to, "PROXY TCP4 192.0.2.8 192.0.2.1 4000 443\r\n"+ask)
	if answer, err := http.ReadResponse(bufio.NewReader(other), nil); err != nil || answer.StatusCode != 404 {
		t.Error(answer, err)
	}
	if got := bound.Stats(); got.ClosedPerIP != 2 || got.ClosedTotal != 0 || got.Open != 5+2+1 {
		t.Errorf("stats: %+v", got)
	}
}

func TestSourceOf(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1:1": "192.0.2.1/32", "[::ffff:192.0.2.1]:1": "192.0.2.1/32", "[2001:db8::1:2:3:4]:1": "2001:db8::/64", "[fe80::1%eth0]:1": "fe80::/64",
	} {
		got, ok := sourceOf(net.TCPAddrFromAddrPort(netip.MustParseAddrPort(text)))
		if !ok || got.String() != want {
			t.Errorf("%s: %v, %t, want %s", text, got, ok, want)
		}
	}
	if _, ok := sourceOf(&net.UnixAddr{Name: "x"}); ok {
		t.Error("a socket without an address has one")
	}
}

// TestTrackedBelow: without a bound nothing is tracked, and work goes on.
func TestTrackedBelow(t *testing.T) {
	if !working(t.Context()) || trackedBelow(&net.TCPConn{}) != nil {
		t.Error(fmt.Sprint("tracked: ", trackedBelow(&net.TCPConn{})))
	}
}

// shortBuffers leaves little room for answers that nobody reads.
type shortBuffers struct{ net.Listener }

func (l shortBuffers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if tcp, ok := c.(*net.TCPConn); ok {
		err = errors.Join(err, tcp.SetWriteBuffer(4096))
	}
	return c, err
}

// TestUnreadAnswers: connections that send one request after another and read no answer keep no client from its own.
func TestUnreadAnswers(t *testing.T) {
	n := startNode(t)
	const most = 4
	bound, to := n.bounded(t, most, most, func(ln net.Listener) net.Listener { return shortBuffers{ln} })
	requests := strings.Repeat("GET /voice-connectors HTTP/1.1\r\nHost: x\r\n\r\n", 500_000)
	var flood []net.Conn
	for range most {
		c := dialFrom(t, "127.0.0.1", to, "")
		if err := errors.Join(c.(*net.TCPConn).SetReadBuffer(4096), c.SetWriteDeadline(time.Now().Add(500*time.Millisecond))); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, requests); err == nil {
			t.Fatal("the server has read all requests, so it is not held up by its answers")
		}
		flood = append(flood, c)
	}
	if got := n.ask(t, freshClient(), to, "POST", "/voice-connectors", create); got != 201 {
		t.Errorf("got %d, want 201", got)
	}
	if got := bound.Stats(); got.Refused != 0 || got.ClosedTotal != 1 {
		t.Errorf("stats: %+v", got)
	}
	for _, c := range flood {
		_ = c.Close()
	}
}
