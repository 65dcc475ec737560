package transport

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/sip"
)

// meeting is a Handler that notes the order of each call's messages, and that waits with the first until messages of
// another call are handled beside it.
type meeting struct {
	mu   sync.Mutex
	seen map[string][]uint32
	once sync.Once
	met  chan struct{}
	late bool
}

func (h *meeting) Receive(_ Flow, m *sip.Message) {
	first := false
	h.once.Do(func() { first = true })
	h.mu.Lock()
	h.seen[string(m.CallID())] = append(h.seen[string(m.CallID())], m.CSeq())
	if len(h.seen) == 2 {
		select {
		case <-h.met:
		default:
			close(h.met)
		}
	}
	h.mu.Unlock()
	if first {
		select {
		case <-h.met:
		case <-time.After(patience):
			h.late = true
		}
	}
}

func (*meeting) Malformed(Flow, *sip.Message, *sip.ParseError) {}
func (*meeting) Closed(Flow, error)                            {}

// Datagrams that come at once are handled side by side, and those of one call in their order.
func TestBatchIsSharedByCall(t *testing.T) {
	h := &meeting{seen: map[string][]uint32{}, met: make(chan struct{})}
	tr := must(New(Config{Handler: h}))
	defer tr.Close()
	s, err := tr.openUDP(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer s.conn.Close()
	r := newUDPReader(s)
	r.shares = 4
	const calls = 8 // that all fall to one share has odds of 1 to 16,384
	for i := range udpBatch {
		head := "Call-ID"
		if i >= calls {
			head = "i" // a peer may write it either way
		}
		b := strings.NewReplacer("Call-ID: 1\r\n", fmt.Sprintf("%s: call-%d\r\n", head, i%calls), "CSeq: 1", fmt.Sprintf("CSeq: %d", 1+i)).
			Replace(string(options("UDP 192.0.2.9;rport", "")))
		r.headers[i].length = uint32(copy(r.buffers[i], b))
		r.names[i].Family = 2 // AF_INET
		r.names[i].Port = 0x1234
	}
	r.deliver(udpBatch)
	if h.late {
		t.Error("no two calls were handled side by side")
	}
	for call := range calls {
		want := []uint32{uint32(1 + call), uint32(1 + call + calls)}
		if got := h.seen[fmt.Sprintf("call-%d", call)]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("call %d: order %v; want %v", call, got, want)
		}
	}
}

func TestCallIDOf(t *testing.T) {
	for in, want := range map[string]string{
		"OPTIONS sip:a SIP/2.0\r\nVia: x\r\nCall-ID: one\r\n\r\n":                "one",
		"OPTIONS sip:a SIP/2.0\r\nContact: y\r\ncall-id \t:  two \r\n\r\n":       "two",
		"OPTIONS sip:a SIP/2.0\r\ni:three\r\n\r\n":                               "three",
		"OPTIONS sip:a SIP/2.0\nI: four\n\n":                                     "four",
		"INVITE sip:a SIP/2.0\r\nCSeq: 1 INVITE\r\n\r\nCall-ID: in the body\r\n": "",
		"i: not ended":       "",
		"":                   "",
		"\r\n\r\nCall-ID: x": "",
	} {
		if got := string(callIDOf([]byte(in))); got != want {
			t.Errorf("%q: got %q; want %q", in, got, want)
		}
	}
}

// A socket of both families sends to either, one of IPv4 says no to IPv6.
func TestUDPFamilies(t *testing.T) {
	tr, r, _ := start(t, Limits{})
	both := must(tr.ListenUDP(netip.MustParseAddrPort("[::]:0")))
	for _, host := range []string{"127.0.0.1", "::1"} {
		c := peer(t, netip.AddrPortFrom(netip.MustParseAddr(host), both.Port()))
		c.Write(options("UDP 192.0.2.9:5060;rport", ""))
		if got := r.next("message").flow.Remote(); got.Addr() != netip.MustParseAddr(host) {
			t.Errorf("from %v; want %s", got, host)
		}
		wantRead(t, c, "\r\n\r\n")
	}
	s, err := tr.openUDP(loopback)
	if err != nil {
		t.Fatal(err)
	}
	defer s.conn.Close()
	if err := s.any.write([]byte("x"), netip.MustParseAddrPort("[2001:db8::1]:5060")); err == nil {
		t.Error("a socket of IPv4 sent to IPv6")
	}
}
