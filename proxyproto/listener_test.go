package proxyproto

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"carillon/clock/clocktest"
)

// listen serves one connection at a time to the test.
func listen(t *testing.T, balancers string) (*Listener, *clocktest.Fake, chan error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	clock, refused := clocktest.New(), make(chan error, 1)
	return &Listener{
		Listener: ln, Balancers: []netip.Prefix{netip.MustParsePrefix(balancers)}, Clock: clock,
		Refused: func(_ net.Addr, err error) { refused <- err },
	}, clock, refused
}

// dial connects and says something; the accepted side is returned.
func dial(t *testing.T, l *Listener, say string) (near, far net.Conn) {
	t.Helper()
	far, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	if _, err := io.WriteString(far, say); err != nil {
		t.Fatal(err)
	}
	if near, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close() })
	return near, far
}

func TestListener(t *testing.T) {
	l, _, refused := listen(t, "127.0.0.0/8")
	near, far := dial(t, l, v2(cmdProxy, famTCP4, four)+"hello")
	if got := near.RemoteAddr().String(); got != "192.0.2.7:40000" {
		t.Errorf("the client is %s, want 192.0.2.7:40000", got)
	}
	b := make([]byte, 5)
	if _, err := io.ReadFull(near, b); err != nil || string(b) != "hello" {
		t.Errorf("read %q, %v; want hello", b, err)
	}
	if _, err := io.WriteString(near, "world"); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(far, b); err != nil || string(b) != "world" {
		t.Errorf("the client got %q, %v; want world", b, err)
	}
	near, _ = dial(t, l, v2(cmdLocal, famNone, ""))
	if host, _, _ := net.SplitHostPort(near.RemoteAddr().String()); host != "127.0.0.1" {
		t.Errorf("a health check comes from %s, want the balancer", host)
	}
	near, far = dial(t, l, "GET / HTTP/1.1\r\n\r\n")
	if _, err := near.Read(b); !errors.Is(err, ErrMalformed) {
		t.Errorf("without a header: %v, want ErrMalformed", err)
	}
	if err := <-refused; !errors.Is(err, ErrMalformed) {
		t.Errorf("told of %v, want ErrMalformed", err)
	}
	if _, err := near.Write(b); err == nil {
		t.Error("something was said to a balancer without a header")
	}
	if n, err := far.Read(b); err == nil {
		t.Errorf("the connection stays open and says %q", b[:n])
	}
}

func TestListenerGivesUpWaiting(t *testing.T) {
	l, clock, refused := listen(t, "127.0.0.0/8")
	near, _ := dial(t, l, "PROXY ")
	done := make(chan error, 1)
	go func() {
		_, err := near.Read(make([]byte, 1))
		done <- err
	}()
	for end := time.Now().Add(5 * time.Second); clock.Pending() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing watches the wait")
		}
	}
	clock.Advance(DefaultWait)
	if err := <-done; err == nil {
		t.Error("no error after the wait")
	}
	<-refused
}

// TestListenerBelievesListedOnly: a header from anywhere else is what it is for a server: garbage.
func TestListenerBelievesListedOnly(t *testing.T) {
	l, _, _ := listen(t, "192.0.2.0/24")
	header := v2(cmdProxy, famTCP4, four)
	near, _ := dial(t, l, header)
	if host, _, _ := net.SplitHostPort(near.RemoteAddr().String()); host != "127.0.0.1" {
		t.Errorf("the client is %s, want 127.0.0.1", host)
	}
	b := make([]byte, len(header))
	if _, err := io.ReadFull(near, b); err != nil || string(b) != header {
		t.Errorf("read %q, %v; want the header", b, err)
	}
}
