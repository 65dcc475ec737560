package e2e_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"testing"
	"time"

	calls "carillon/call"
	"carillon/egress"
	"carillon/media"
)

// TestCallsComeAndGoPastTheKernel has calls begin and end while packets come to all ports, and the whole end under them. Nothing is
// left behind, and what was relayed left by the same ways.
func TestCallsComeAndGoPastTheKernel(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	n := newNamespace(t)
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	var conn *net.UDPConn
	var err error
	customer := netip.MustParseAddrPort(customerEnd + ":4000")
	n.do(func() { conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(customer)) })
	if err != nil {
		t.Fatal(err)
	}
	const first, last = 20000, 20099
	stop, flood := make(chan struct{}), sync.WaitGroup{}
	flood.Go(func() {
		b := make([]byte, 172)
		b[0], b[8] = 0x80, 1
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			binary.BigEndian.PutUint16(b[2:], uint16(i/50))
			conn.WriteToUDPAddrPort(b, netip.AddrPortFrom(netip.MustParseAddr(nodeEnd), uint16(first+i%(last-first+1))))
			if i%50 == 49 {
				time.Sleep(time.Millisecond)
			}
		}
	})
	before := 0
	for round := range 3 {
		p, err := media.New(media.Config{
			IPs: []netip.Addr{netip.MustParseAddr(nodeEnd)}, PortLo: first, PortHi: last, XDP: nodeLink, DrainTime: 20 * time.Millisecond,
			Egress: egress.Policy{AllowPrivate: true},
		})
		if err != nil {
			t.Fatal(err)
		}
		var busy sync.WaitGroup
		for i := range 8 {
			busy.Go(func() { comeAndGo(t, p, i) })
		}
		busy.Go(func() {
			for range 100 {
				p.Stats()
				time.Sleep(5 * time.Millisecond)
			}
		})
		time.Sleep(600 * time.Millisecond)
		s := p.Stats()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		busy.Wait()
		p.Stats()
		if s.FastReceived == 0 || s.FastSent == 0 || s.FastMalformed != 0 {
			t.Errorf("%+v", s)
		}
		if after := files(); round == 0 {
			before = after
		} else if after > before {
			t.Errorf("%d files are open after %d planes, %d after one", after, round+1, before)
		}
	}
	close(stop)
	flood.Wait()
	conn.Close()
}

// comeAndGo has calls one after the other, also for a moment after the end of all.
func comeAndGo(t *testing.T, p *media.Plane, i int) {
	describe := []byte(fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n", customerEnd))
	leg := calls.Leg{Signalling: netip.MustParseAddr(customerEnd)}
	for end := time.Now().Add(800 * time.Millisecond); time.Now().Before(end); {
		s, refusal := p.Open(calls.Open{ID: "churn", Offerer: calls.Customer, Leg: leg})
		if refusal != nil && refusal.Reason == calls.ReasonNodeFull {
			time.Sleep(time.Millisecond)
			continue
		}
		if refusal != nil {
			if refusal.Reason != calls.ReasonDraining {
				t.Error(refusal)
			}
			return
		}
		_, refused := s.Offer(calls.Customer, describe, leg)
		var gone *calls.Refusal
		if refused == nil {
			_, gone = s.Answer(calls.Carrier, describe)
		}
		for _, r := range []*calls.Refusal{refused, gone} {
			if r != nil && r.Reason != calls.ReasonDraining {
				t.Log(errors.New(r.Detail))
			}
		}
		s.Confirm(calls.Customer)
		s.Confirm(calls.Carrier)
		time.Sleep(time.Duration(5+i) * time.Millisecond)
		s.Report()
		s.Close()
	}
}
