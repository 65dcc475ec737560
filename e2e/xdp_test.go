package e2e_test

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/clock"
	"carillon/config"
	"carillon/xdp"
)

// TestNothingPlainPastTheKernel: the promise does not depend on which way packets take.
func TestNothingPlainPastTheKernel(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	x := newWired(t, func(c *config.Config) { c.MediaXDP = nodeLink })
	// Those that differ in what crosses the wire; transfers and ringing differ in signalling.
	kinds := []string{"a call, held and changed", "T.38", "IPv6", "without protection", "late offer", "failover to another route",
		"RequireEncryption turned off and on", "a call without reports"}
	x.show(t, func(kind string) bool { return slices.Contains(kinds, kind) })
	for _, way := range []string{"received", "sent"} {
		// The customer's leg is past the kernel, and the carrier's, on this machine, through sockets.
		if n := x.metric(`carillon_media_xdp_datagrams_total{way="` + way + `"}`); n < 1000 {
			t.Errorf("%v datagrams were %s past the kernel", n, way)
		}
	}
	if n := x.metric("carillon_media_xdp_malformed_total") + x.metric("carillon_media_xdp_lost_total"); n != 0 {
		t.Errorf("%v frames were malformed or lost", n)
	}
}

func openLink(name string, at ...string) (*xdp.Link, error) {
	cfg := xdp.Config{Interface: name, Clock: clock.System(), Logger: slog.New(slog.DiscardHandler)}
	for _, a := range at {
		cfg.Addresses = append(cfg.Addresses, netip.MustParseAddr(a))
	}
	return xdp.Open(cfg)
}

// TestLink sends datagrams past the kernel of one end of a wire and the ordinary way at the other.
func TestLink(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	n := newNamespace(t)
	link, err := openLink(nodeLink, nodeEnd6, nodeEnd, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	for _, ends := range [][2]string{{nodeEnd, customerEnd}, {nodeEnd6, customerEnd6}} {
		node, customer := netip.MustParseAddr(ends[0]), netip.MustParseAddrPort(net.JoinHostPort(ends[1], "4000"))
		var far *net.UDPConn
		n.do(func() { far, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(customer)) })
		if err != nil {
			t.Fatal(err)
		}
		t.Run("to "+ends[0], func(t *testing.T) { takesPorts(t, link, node, far) })
		t.Run("from "+ends[0], func(t *testing.T) { sendsInOrder(t, link, netip.AddrPortFrom(node, 20004), far) })
		far.Close()
	}
	if s := link.Stats(); s.Received != 20 || s.Malformed != 0 || s.Lost != 0 || s.Hops != 3 { // this machine is a destination, too, to which no frame goes
		t.Errorf("%+v", s)
	}
}

// takesPorts: those that it was told to take are the link's, and the kernel has the others.
func takesPorts(t *testing.T, link *xdp.Link, node netip.Addr, far *net.UDPConn) {
	from := far.LocalAddr().(*net.UDPAddr).AddrPort()
	var kernel [2]*net.UDPConn
	for i, port := range []uint16{19999, 20010} {
		conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(node, port)))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		kernel[i] = conn
	}
	if link.Take(netip.MustParseAddrPort("198.51.100.1:20000")) {
		t.Error("a port of an address that the interface does not have was taken")
	}
	for port := uint16(19999); port <= 20010; port++ {
		if !link.Take(netip.AddrPortFrom(node, port)) {
			t.Error("a port was not taken")
		}
	}
	link.Leave(netip.AddrPortFrom(node, 19999))
	link.Leave(netip.AddrPortFrom(node, 20010))
	for port := uint16(19999); port <= 20010; port++ {
		if _, err := far.WriteToUDPAddrPort([]byte{byte(port)}, netip.AddrPortFrom(node, port)); err != nil {
			t.Fatal(err)
		}
	}
	// What does not fit into a frame of the usual Ethernet comes in fragments, which the kernel joins.
	if _, err := far.WriteToUDPAddrPort(make([]byte, 3000), netip.AddrPortFrom(node, 19999)); err != nil {
		t.Fatal(err)
	}
	for i, sizes := range [][]int{{1, 3000}, {1}} {
		for _, want := range sizes {
			kernel[i].SetReadDeadline(time.Now().Add(5 * time.Second))
			if size, _, err := kernel[i].ReadFromUDPAddrPort(make([]byte, 4000)); size != want || err != nil {
				t.Errorf("the kernel has %d octets, not %d: %v", size, want, err)
			}
		}
	}
	var got []xdp.Datagram
	for end := time.Now().Add(5 * time.Second); len(got) < 10 && time.Now().Before(end); {
		link.Receive(func(list []xdp.Datagram) {
			for _, d := range list {
				if cap(d.Payload)-len(d.Payload) < 200 {
					t.Errorf("%d octets are left behind a payload", cap(d.Payload)-len(d.Payload))
				}
				d.Payload = bytes.Clone(d.Payload)
				got = append(got, d)
			}
		})
	}
	if len(got) != 10 {
		t.Fatalf("%d of the 10 datagrams for ports that were taken came: %+v", len(got), link.Stats())
	}
	for i, d := range got {
		to := netip.AddrPortFrom(node, 20000+uint16(i))
		if d.From != netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) || d.To != to || !bytes.Equal(d.Payload, []byte{byte(to.Port())}) {
			t.Errorf("datagram %d: %+v", i, d)
		}
	}
}

// sendsInOrder: more than there is room for at once, so that memory is used again.
func sendsInOrder(t *testing.T, link *xdp.Link, from netip.AddrPort, far *net.UDPConn) {
	at := far.LocalAddr().(*net.UDPAddr).AddrPort()
	d := xdp.Datagram{From: from, To: netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}
	const datagrams, burst = 6 * xdp.MaxLeaving, 128
	for i := 0; i < datagrams; i += burst {
		for k := i; k < i+burst; k++ {
			d.Payload = []byte{byte(k), byte(k >> 8), 3}
			// The kernel knows the neighbour from what has come; the link asks it.
			for end := time.Now().Add(5 * time.Second); !link.Send(d, 184); time.Sleep(time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("no way to the customer is found: %+v", link.Stats())
				}
			}
		}
		if left := link.Flush(); left != 0 {
			t.Fatalf("%d of %d datagrams were left", left, burst)
		}
		buf := make([]byte, 100)
		for k := i; k < i+burst; k++ {
			far.SetReadDeadline(time.Now().Add(5 * time.Second))
			size, src, err := far.ReadFromUDPAddrPort(buf)
			if err != nil || netip.AddrPortFrom(src.Addr().Unmap(), src.Port()) != from || !bytes.Equal(buf[:size], []byte{byte(k), byte(k >> 8), 3}) {
				t.Fatalf("datagram %d: % x from %s, %v", k, buf[:size], src, err)
			}
		}
	}
	d.Payload = make([]byte, 1460)
	if link.Send(d, 0) {
		t.Error("a datagram longer than a frame was taken")
	}
	d.Payload, d.To = nil, netip.MustParseAddrPort("127.0.0.1:9")
	for range 10 {
		if link.Send(d, 0); link.Send(d, 0) {
			t.Error("a datagram for this machine was taken")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// TestLinkGone: an interface that is removed and made anew leaves everything to the sockets.
func TestLinkGone(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	newNamespace(t)
	link, err := openLink(nodeLink, nodeEnd)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	link.Take(netip.MustParseAddrPort(nodeEnd + ":20004"))
	d := xdp.Datagram{From: netip.MustParseAddrPort(nodeEnd + ":20004"), To: netip.MustParseAddrPort(customerEnd + ":4000"), Payload: []byte{1}}
	sends := func(want bool) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); link.Send(d, 0) != want; time.Sleep(10 * time.Millisecond) { // so few do not fill the queue
			link.Flush()
			if time.Now().After(end) {
				t.Fatalf("sent past the kernel is not %v: %+v", want, link.Stats())
			}
		}
		link.Flush()
		link.Receive(func(list []xdp.Datagram) { t.Errorf("%d datagrams came", len(list)) })
	}
	run(t, "ip", "neigh", "add", customerEnd, "lladdr", "02:00:00:00:00:01", "dev", nodeLink)
	sends(true)
	run(t, "ip", "link", "del", nodeLink)
	run(t, "ip", "link", "add", nodeLink, "type", "veth", "peer", "name", customerLink)
	run(t, "ip", "addr", "add", nodeEnd+"/24", "dev", nodeLink)
	run(t, "ip", "link", "set", customerLink, "up")
	run(t, "ip", "link", "set", nodeLink, "up")
	run(t, "ip", "neigh", "add", customerEnd, "lladdr", "02:00:00:00:00:01", "dev", nodeLink)
	sends(false)
}

// TestNoLink: what cannot be attached to, and why.
func TestNoLink(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	newNamespace(t)
	run(t, "ip", "link", "add", "long0", "mtu", "9000", "type", "veth", "peer", "name", "long1", "mtu", "9000")
	run(t, "ip", "addr", "add", "192.0.2.10/24", "dev", "long0")
	refused := func(name, at, want string) {
		t.Helper()
		if _, err := openLink(name, at); err == nil || !strings.Contains(err.Error(), "attach to interface "+name+": "+want) {
			t.Errorf("%s with %s: %v", name, at, err)
		}
	}
	refused("nosuch0", nodeEnd, "there is no such interface; ip -brief address lists those there are")
	refused("lo", "127.0.0.1", "it is not an Ethernet interface")
	refused(nodeLink, "192.0.2.1", "its addresses are ["+nodeEnd+" "+nodeEnd6)
	refused("long0", "192.0.2.10", "its driver takes no XDP program with an MTU of 9000; try 1500")
	without(t, unix.CAP_BPF, func() { refused(nodeLink, nodeEnd, "the rights CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are needed") })
	without(t, unix.CAP_NET_RAW, func() { refused(nodeLink, nodeEnd, "the rights CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are needed") })
	// What systemd lets a service lock by default.
	if err := unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: 8 << 20, Max: 8 << 20}); err != nil {
		t.Fatal(err)
	}
	without(t, unix.CAP_IPC_LOCK, func() { refused(nodeLink, nodeEnd, "its queues need 36 MiB of locked memory; raise the limit") })
	first, err := openLink(nodeLink, nodeEnd)
	if err != nil {
		t.Fatal(err)
	}
	refused(nodeLink, nodeEnd, "it has an XDP program already, perhaps another node's; ip link show "+nodeLink)
	// Nothing is left behind, by the one that failed neither.
	first.Close()
	again, err := openLink(nodeLink, nodeEnd)
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// without runs do on a thread that has the rights of root but for one.
func without(t *testing.T, right int, do func()) {
	t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		about := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var has [2]unix.CapUserData
		err := unix.Capget(&about, &has[0])
		for _, right := range []int{right, unix.CAP_SYS_ADMIN} { // which would do for the others
			has[right/32].Effective &^= 1 << (right % 32)
		}
		if err == nil {
			err = unix.Capset(&about, &has[0])
		}
		if err == nil {
			do()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
