package transport

import (
	"net"
	"strings"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
)

// counting is a Handler that answers whatever it is given.
type counting struct{ messages, malformed, closed int }

func (c *counting) Receive(f Flow, m *sip.Message) {
	c.messages++
	if m.IsRequest() {
		ReplyFlow(f, m).Send(response(m, 200))
	}
}

func (c *counting) Malformed(f Flow, m *sip.Message, err *sip.ParseError) {
	c.malformed++
	f.Send(response(m, err.Status))
}

func (c *counting) Closed(Flow, error) { c.closed++ }

// FuzzStream feeds a connection arbitrary octets, cut in two anywhere: it must end in order, once,
// and the cut must not matter.
func FuzzStream(f *testing.F) {
	m := string(options("TCP 192.0.2.9;rport", ""))
	f.Add([]byte(m), 10)
	f.Add([]byte(m+m), len(m))
	f.Add([]byte("\r\n\r\n"+m), 2)
	f.Add([]byte(strings.Replace(m, "Content-Length: 0", "Content-Length: 9999999999", 1)), 50)
	f.Add([]byte(strings.Replace(m, "CSeq: 1", "CSeq: x", 1)), 50)
	f.Add([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), 3)
	f.Add([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 7)
	f.Fuzz(func(t *testing.T, data []byte, cut int) {
		if cut < 0 || cut > len(data) {
			cut = len(data) / 2
		}
		whole := feed(t, data)
		parts := feed(t, data[:cut], data[cut:])
		if whole != parts {
			t.Errorf("whole %+v, in parts %+v", whole, parts)
		}
		if whole.closed != 1 {
			t.Errorf("closed %d times, want once", whole.closed)
		}
	})
}

// feed sends parts over a pipe and returns what the handler saw.
func feed(t *testing.T, parts ...[]byte) counting {
	t.Helper()
	h := new(counting)
	tr, err := New(Config{Handler: h, Clock: clocktest.New()})
	if err != nil {
		t.Fatal(err)
	}
	near, far := net.Pipe()
	tr.accept(TCP, near, nil)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		buf := make([]byte, 4096)
		for {
			if _, err := far.Read(buf); err != nil {
				return
			}
		}
	}()
	far.SetWriteDeadline(time.Now().Add(patience))
	for _, p := range parts {
		if _, err := far.Write(p); err != nil {
			break // it was closed on us, as it should at the first doubt
		}
	}
	far.Close()
	<-drained
	tr.Close()
	return *h
}
