package e2e_test

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"carillon/clock"
	"carillon/xdp"
)

// TestLink sends datagrams past the kernel of one end of a wire and the ordinary way at the other.
func TestLink(t *testing.T) {
	if !alone(t) {
		return
	}
	n := newNamespace(t)
	node, customer := netip.MustParseAddr(nodeEnd), netip.MustParseAddr(customerEnd)
	link, err := xdp.Open(xdp.Config{Interface: nodeLink, Addresses: []netip.Addr{node}, PortLo: 20000, PortHi: 20009,
		Clock: clock.System(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	var far *net.UDPConn
	n.do(func() {
		far, err = net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(customer, 4000)))
	})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	for port := uint16(19999); port <= 20010; port++ {
		if _, err := far.WriteToUDPAddrPort([]byte{byte(port)}, netip.AddrPortFrom(node, port)); err != nil {
			t.Fatal(err)
		}
	}
	var got []xdp.Datagram
	for end := time.Now().Add(2 * time.Second); len(got) < 10 && time.Now().Before(end); {
		link.Receive(func(d xdp.Datagram) {
			d.Payload = bytes.Clone(d.Payload)
			got = append(got, d)
		})
	}
	for i, d := range got {
		port := 20000 + uint16(i)
		if d.From != netip.AddrPortFrom(customer, 4000) || d.To != netip.AddrPortFrom(node, port) || !bytes.Equal(d.Payload, []byte{byte(port)}) {
			t.Errorf("datagram %d: %+v", i, d)
		}
	}
	if len(got) != 10 {
		t.Fatalf("%d of the 10 datagrams for the range came: %+v", len(got), link.Stats())
	}
	t.Logf("%+v", link.Stats())
	from, to := netip.AddrPortFrom(node, 20004), netip.AddrPortFrom(customer, 4000)
	// More than there is room for at once, so that chunks are used again.
	const datagrams, burst = 6000, 150
	for i := 0; i < datagrams; i += burst {
		for k := i; k < i+burst; k++ {
			sendPast(t, link, xdp.Datagram{From: from, To: to, Payload: []byte{byte(k), byte(k >> 8), 3}})
		}
		if left := link.Flush(); left != 0 {
			t.Fatalf("%d of %d datagrams were left", left, burst)
		}
		buf := make([]byte, 100)
		for k := i; k < i+burst; k++ {
			far.SetReadDeadline(time.Now().Add(5 * time.Second))
			size, src, err := far.ReadFromUDPAddrPort(buf)
			if err != nil || src != from || !bytes.Equal(buf[:size], []byte{byte(k), byte(k >> 8), 3}) {
				t.Fatalf("datagram %d: % x from %s, %v", k, buf[:size], src, err)
			}
		}
	}
	if s := link.Stats(); s.Received != 10 || s.Sent != datagrams || s.Malformed != 0 || s.Hops != 1 {
		t.Errorf("%+v", s)
	}
}

// sendPast sends one as soon as the link knows the way.
func sendPast(t *testing.T, link *xdp.Link, d xdp.Datagram) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !link.Send(d, 184); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("no way to the customer is found: %+v", link.Stats())
		}
	}
}
