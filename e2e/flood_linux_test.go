package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/api/wire"
	"carillon/phone"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// spoofer sends datagrams from as many addresses of this machine as one likes, as a forger does, and counts what comes
// back to any of them.
type spoofer struct {
	conn   *net.UDPConn
	source netip.Addr
	heard  atomic.Int64 // octets
}

func newSpoofer(t *testing.T) *spoofer {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4zero})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	s := &spoofer{conn: conn, source: netip.MustParseAddr("127.16.0.0")}
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := conn.ReadFromUDPAddrPort(b)
			if err != nil {
				return
			}
			s.heard.Add(int64(n))
		}
	}()
	return s
}

// send sends a datagram from an address that has sent none before.
func (s *spoofer) send(b []byte, to netip.AddrPort) error {
	s.source = s.source.Next()
	_, _, err := s.conn.WriteMsgUDPAddrPort(b, unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: s.source.As4()}), to)
	return err
}

// heap is what is in use after everything that is not has been given back.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSpoofedFlood: datagrams from tens of thousands of addresses leave nothing behind, bring those addresses no more
// octets than they were made to send, and disturb neither the call that is up nor the one that comes next.
func TestSpoofedFlood(t *testing.T) {
	w := newWorld(t)
	c := w.connector(false)
	w.terminate(c, &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{"127.0.0.1/32"}, CPSLimit: new(int32(100))})
	guarded := w.bareConnector(false) // which has passwords
	w.terminate(guarded, &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{"192.0.2.0/24"}, CPSLimit: new(int32(1))})
	w.credentials(guarded, "phone", "a good password")
	handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450)} })
	w.carrier("flooded", handle, outsideNumber)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	caller := w.phone(phone.Config{Proto: transport.TCP})
	up, err := caller.Dial(ctx, w.invite(c, transport.TCP, outsideNumber))
	if err != nil {
		t.Fatal(err)
	}
	callee := receive(t, "the answer", taken)

	s := newSpoofer(t)
	target := w.target(transport.UDP)
	request := func(i int) []byte {
		r := siptest.Request{
			Method: []string{"INVITE", "OPTIONS", "REGISTER", "BYE", "ACK", "FOO"}[i%6], Branch: fmt.Sprintf("z9hG4bK%d", i), FromTag: fmt.Sprint(i),
			CallID: fmt.Sprintf("%d@forged", i), URI: "sip:+12125550123@" + []string{c.host, guarded.host, "nobody.example"}[i/6%3],
		}
		if r.Method == "INVITE" {
			r.Headers = []string{"Contact: <sip:forged@192.0.2.99>"}
		}
		return r.Bytes()
	}
	rubbish := bytes.Repeat([]byte("INVITE \xff\x00\r\n"), 100)
	before, goroutines := heap(), runtime.NumGoroutine()
	const rounds = 20_000
	asked := int64(0)
	for i := range rounds {
		for _, b := range [][]byte{rubbish, rubbish[:7], request(i)} {
			if err := s.send(b, target); err != nil {
				t.Fatal(err)
			}
		}
		asked += int64(len(request(i))) // nothing else may be answered at all
	}
	eventually(t, "the node to be through with it", func() bool {
		was := s.heard.Load()
		time.Sleep(50 * time.Millisecond)
		return s.heard.Load() == was
	})
	if heard := s.heard.Load(); heard == 0 || heard > asked {
		t.Errorf("%d octets of requests from forged addresses brought these %d", asked, heard)
	}
	if now := runtime.NumGoroutine(); now > goroutines+10 {
		t.Errorf("%d goroutines, before there were %d", now, goroutines)
	}
	const most = 16 << 20 // of 60,000 sources; a transaction for each request alone would be more
	if after := heap(); after-before > most {
		t.Errorf("%d octets are held, before it were %d", after, before)
	}
	if err := up.Hangup(ctx); err != nil {
		t.Errorf("the call that was up: %v", err)
	}
	receive(t, "the carrier's BYE", callee.Done())
	next, err := w.phone(phone.Config{}).Dial(ctx, w.invite(c, transport.UDP, outsideNumber))
	if err != nil {
		t.Fatalf("the call after the flood: %v", err)
	}
	callee = receive(t, "the answer", taken)
	if err := next.Hangup(ctx); err != nil {
		t.Error(err)
	}
	receive(t, "the carrier's BYE", callee.Done())
}
