package e2e_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/xdp"
)

// wireEnd sends whole frames from the customer's end.
type wireEnd struct {
	fd         int
	at         syscall.SockaddrLinklayer
	node, self [6]byte
}

// end opens the customer's end of the wire.
func (n *namespace) end() *wireEnd {
	n.t.Helper()
	w := &wireEnd{}
	here, err := net.InterfaceByName(nodeLink)
	if err != nil {
		n.t.Fatal(err)
	}
	n.do(func() {
		var there *net.Interface
		if there, err = net.InterfaceByName(customerLink); err != nil {
			return
		}
		w.node, w.self = [6]byte(here.HardwareAddr), [6]byte(there.HardwareAddr)
		w.at = syscall.SockaddrLinklayer{Ifindex: there.Index, Halen: 6}
		w.fd, err = syscall.Socket(syscall.AF_PACKET, syscall.SOCK_RAW, 0)
	})
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { syscall.Close(w.fd) })
	return w
}

// frameOf is a frame with a datagram; the checksum of UDP is left out.
func (w *wireEnd) frameOf(to [6]byte, from, at netip.AddrPort, payload string) []byte {
	b := append(append([]byte{}, to[:]...), w.self[:]...)
	b = append(b, 8, 0, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(28+len(payload)))
	b = append(b, 0, 0, 0, 0, 64, 17, 0, 0)
	b = append(append(b, from.Addr().AsSlice()...), at.Addr().AsSlice()...)
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b[24:], ^uint16(sum+sum>>16))
	b = binary.BigEndian.AppendUint16(b, from.Port())
	b = binary.BigEndian.AppendUint16(b, at.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(payload)))
	return append(append(b, 0, 0), payload...)
}

func (w *wireEnd) send(t *testing.T, frame []byte) {
	t.Helper()
	if err := syscall.Sendto(w.fd, frame, 0, &w.at); err != nil {
		t.Fatal(err)
	}
}

// heard returns the payloads that a link and the kernel's socket have within a moment.
func heard(link *xdp.Link, conn *net.UDPConn) (past, kernel []string) {
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); time.Sleep(time.Millisecond) {
		link.Receive(func(list []xdp.Datagram) {
			for _, d := range list {
				past = append(past, string(d.Payload))
			}
		})
	}
	buf := make([]byte, 2000)
	for {
		conn.SetReadDeadline(time.Now().Add(time.Millisecond))
		size, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return past, kernel
		}
		kernel = append(kernel, string(buf[:size]))
	}
}

// TestLinkTakesItsOwnFrames: those for others, which an interface sees that listens to all, and those from an address of this
// host are no more taken than the kernel takes them; those for many the kernel decides about.
func TestLinkTakesItsOwnFrames(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	n := newNamespace(t)
	const second = "10.77.0.9"
	run(t, "ip", "addr", "add", second+"/24", "dev", nodeLink)
	run(t, "ip", "link", "set", nodeLink, "promisc", "on")
	w := n.end()
	link, err := openLink(nodeLink, nodeEnd)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	at := netip.MustParseAddrPort(nodeEnd + ":20000")
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	customer := netip.MustParseAddrPort(customerEnd + ":4000")
	for _, taken := range []bool{false, true} {
		if taken {
			link.Take(at)
		}
		w.send(t, w.frameOf(w.node, customer, at, "ours"))
		w.send(t, w.frameOf([6]byte{2, 9, 9, 9, 9, 9}, customer, at, "another's"))
		w.send(t, w.frameOf([6]byte(append(w.node[:5:5], w.node[5]^1)), customer, at, "another's by a bit"))
		w.send(t, w.frameOf([6]byte{255, 255, 255, 255, 255, 255}, customer, at, "all's"))
		for _, own := range []string{nodeEnd, second, "127.0.0.1"} {
			w.send(t, w.frameOf(w.node, netip.MustParseAddrPort(own+":4000"), at, "from "+own))
		}
		past, kernel := heard(link, conn)
		if all := append(past, kernel...); !slices.Equal(all, []string{"ours", "all's"}) || taken != slices.Contains(past, "ours") {
			t.Errorf("taken %v: past the kernel came %q, and to it %q", taken, past, kernel)
		}
	}
	if n := link.Stats().Malformed; n != 3 {
		t.Errorf("%d frames were dropped", n)
	}
}

// sender sends by a link to the customer's end.
type sender struct {
	t    *testing.T
	link *xdp.Link
	far  *net.UDPConn
	d    xdp.Datagram
}

// newSender returns one whose customer the kernel knows.
func (n *namespace) newSender(link *xdp.Link) *sender {
	n.t.Helper()
	s := &sender{t: n.t, link: link}
	s.d.From, s.d.To = netip.MustParseAddrPort(nodeEnd+":20000"), netip.MustParseAddrPort(customerEnd+":4000")
	var err error
	n.do(func() { s.far, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(s.d.To)) })
	if err != nil {
		n.t.Fatal(err)
	}
	n.t.Cleanup(func() { s.far.Close() })
	s.meet()
	return s
}

func (s *sender) send(payload string) bool {
	s.d.Payload = []byte(payload)
	return s.link.Send(s.d, 0)
}

// meet waits until the link knows the way.
func (s *sender) meet() {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		s.far.WriteToUDPAddrPort(nil, s.d.From)
		s.send("met")
		if sent := s.send("met"); s.link.Flush() == 0 && sent {
			break
		}
		if time.Now().After(end) {
			s.t.Fatalf("no way to the customer is found: %+v", s.link.Stats())
		}
	}
	s.heard()
}

// heard is how many datagrams the customer has, and the last.
func (s *sender) heard() (n int, last string) {
	buf := make([]byte, 2000)
	for {
		s.far.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		size, _, err := s.far.ReadFromUDPAddrPort(buf)
		if err != nil {
			return n, last
		}
		n, last = n+1, string(buf[:size])
	}
}

// refused waits until nothing is sent any more.
func (s *sender) refused(why string) {
	s.t.Helper()
	for end := time.Now().Add(5 * time.Second); s.send("late") || s.send("late"); time.Sleep(50 * time.Millisecond) {
		s.link.Flush()
		if time.Now().After(end) {
			s.t.Errorf("%s, and frames are still sent", why)
			return
		}
	}
}

// TestLinkDown: an interface that is down keeps no more than a turn's frames for when it is up again, and one whose other end is
// down none.
func TestLinkDown(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	n := newNamespace(t)
	link, err := openLink(nodeLink, nodeEnd)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	s := n.newSender(link)
	const turn = 25
	for _, ours := range []bool{false, true} {
		set := func(state string) {
			if ours {
				run(t, "ip", "link", "set", nodeLink, state)
				return
			}
			n.do(func() { run(t, "ip", "link", "set", customerLink, state) })
		}
		set("down")
		left := 0
		for range 20 {
			for range turn {
				s.send("of old")
			}
			left = link.Flush()
		}
		if want := map[bool]int{false: 0, true: turn}[ours]; left != want {
			t.Errorf("ours %v: %d frames were kept, not %d", ours, left, want)
		}
		set("up")
		s.meet()
		if left := link.Flush(); left != 0 {
			t.Errorf("ours %v: %d frames are left with the interface up", ours, left)
		}
	}
}

// TestLinkChanges: what was found in the beginning is not used when it is no more.
func TestLinkChanges(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	n := newNamespace(t)
	const second = "10.77.1.9"
	run(t, "ip", "addr", "add", second+"/32", "dev", nodeLink)
	run(t, "ip", "route", "add", customerEnd+"/32", "dev", nodeLink)
	link, err := openLink(nodeLink, nodeEnd, second)
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	s := n.newSender(link)
	run(t, "ip", "link", "set", nodeLink, "mtu", "700")
	s.refused("frames of this size do not go through the interface any more")
	run(t, "ip", "link", "set", nodeLink, "mtu", "1500")
	s.meet()
	for _, each := range []string{nodeEnd + "/24", second + "/32"} {
		run(t, "ip", "addr", "del", each, "dev", nodeLink)
		run(t, "ip", "route", "replace", customerEnd+"/32", "dev", nodeLink)
		s.refused("the address " + each + " was lost")
		run(t, "ip", "addr", "add", each, "dev", nodeLink)
		s.meet()
	}
	before := n.end().node
	run(t, "ip", "link", "set", nodeLink, "address", "02:00:00:00:00:42")
	s.refused("the interface has another address of Ethernet")
	run(t, "ip", "link", "set", nodeLink, "address", net.HardwareAddr(before[:]).String())
	s.meet()
	// An interface that is gone takes nothing, and does not keep whoever waits for it awake.
	run(t, "ip", "link", "del", nodeLink)
	s.refused("the interface is gone")
	poll := []unix.PollFd{{Fd: int32(link.Files()[0]), Events: unix.POLLIN}}
	for range 20 {
		if woken, _ := unix.Poll(poll, 10); woken > 0 {
			t.Fatalf("an interface that is gone wakes with %#x", poll[0].Revents)
		}
	}
}
