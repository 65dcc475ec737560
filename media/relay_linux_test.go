package media

import (
	"errors"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"carillon/call"
	"carillon/clock"
)

func TestSystemCallsDoNotAllocate(t *testing.T) {
	r := &relay{}
	for _, addr := range []string{"127.0.0.1:0", "[::1]:0"} {
		var s socket
		if err := r.bind(&s, netip.MustParseAddrPort(addr)); err != nil {
			t.Logf("skip %s: %v", addr, err)
			continue
		}
		local, err := boundTo(&s)
		if err != nil {
			t.Fatal(err)
		}
		b, buf := []byte("datagram"), make([]byte, 64)
		if n := testing.AllocsPerRun(200, func() {
			if !sendTo(&s, b, local) {
				t.Fatal("send refused")
			}
			n, src, ok := recvFrom(s.fd, buf)
			if !ok || src != local || string(buf[:n]) != "datagram" {
				t.Fatalf("received %q from %v, %v; want %q from %v", buf[:n], src, ok, b, local)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations a datagram; want 0", addr, n)
		}
		if _, _, ok := recvFrom(s.fd, buf); ok {
			t.Errorf("%s: received from an empty socket", addr)
		}
		r.unbind(&s)
	}
}

// The mark is on the packets as they come out of the network (RFC 2474).
func TestMarks(t *testing.T) {
	for _, dscp := range []int{0, 46} {
		r := &relay{dscp: dscp}
		for _, at := range []struct {
			addr          string
			level, option int
		}{{"127.0.0.1:0", unix.IPPROTO_IP, unix.IP_RECVTOS}, {"[::1]:0", unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}} {
			var from, to socket
			if err := errors.Join(r.bind(&from, netip.MustParseAddrPort(at.addr)), r.bind(&to, netip.MustParseAddrPort(at.addr))); err != nil {
				t.Logf("no %s: %v", at.addr, err)
				continue
			}
			peer, err := boundTo(&to)
			if err := errors.Join(err, unix.SetsockoptInt(to.fd, at.level, at.option, 1)); err != nil {
				t.Fatal(err)
			}
			if !sendTo(&from, []byte("marked"), peer) {
				t.Fatal("send refused")
			}
			oob := make([]byte, 128)
			_, n, _, _, err := unix.Recvmsg(to.fd, make([]byte, 64), oob, 0)
			if err != nil {
				t.Fatal(err)
			}
			control, err := unix.ParseSocketControlMessage(oob[:n])
			if err != nil || len(control) != 1 || int(control[0].Data[0]) != dscp<<2 {
				t.Errorf("%s: %+v, %v; want the mark %#x", at.addr, control, err, dscp<<2)
			}
			r.unbind(&from)
			r.unbind(&to)
		}
	}
}

// boundTo asks the kernel which port it picked.
func boundTo(s *socket) (netip.AddrPort, error) {
	sa, err := unix.Getsockname(s.fd)
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port)), err
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port)), err
	}
	return netip.AddrPort{}, err
}

// There is a loop for each processor, calls are spread over them evenly, and all that a packet of a call touches belongs to one.
func TestCallsAreSpreadOverLoops(t *testing.T) {
	if got := newPlane(t, func(c *Config) { c.Loops = 0 }).relay.size(); got != runtime.GOMAXPROCS(0) {
		t.Errorf("%d loops; want %d", got, runtime.GOMAXPROCS(0))
	}
	p := newPlane(t, func(c *Config) { c.Loops = 3 })
	calls := map[*loop]int{}
	for range 12 {
		s := open(t, p, call.Customer, plainLeg)
		calls[s.legs[0].loop]++
		for _, lg := range s.legs {
			if lg.loop != s.legs[0].loop || lg.pair.loop != lg.loop || lg.loop.sockets.get(lg.pair.rtp.fd) != &lg.pair.rtp || lg.loop.sockets.get(lg.pair.rtcp.fd) != &lg.pair.rtcp {
				t.Fatal("a call's sockets are of several loops")
			}
		}
	}
	for l, n := range calls {
		if n != 4 {
			t.Errorf("loop %p has %d of 12 calls; want 4", l, n)
		}
	}
}

// Out of file descriptors, a call is refused at once and the next one finds the plane as it was.
func TestOutOfFiles(t *testing.T) {
	p := newPlane(t, nil)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	low := old
	low.Cur = uint64(countFiles(t)) + 1
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	_, refusal := p.Open(call.Open{ID: "one too many", Leg: plainLeg})
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if reason(refusal) != call.ReasonNodeFull {
		t.Errorf("refusal %v; want %v", refusal, call.ReasonNodeFull)
	}
	if st := p.Stats(); st.PortsInUse != 0 {
		t.Errorf("%d ports leaked", st.PortsInUse)
	}
	open(t, p, call.Customer, plainLeg).Close()
}

// A call that is given the ports of another loop while the plane ends must not close files that have the numbers of those ports
// since.
func TestPortsThatMoveAtTheEnd(t *testing.T) {
	r, err := startRelay(2, clock.System(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	pr := &pair{loop: r.loops[0]}
	for _, s := range []*socket{&pr.rtp, &pr.rtcp} {
		if err := r.bind(s, netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
			t.Fatal(err)
		}
	}
	r.add(pr, r.loops[0])
	if err := r.close(); err != nil {
		t.Fatal(err)
	}
	reused := false
	var files []int
	for range 32 {
		fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		files, reused = append(files, fd), reused || fd == pr.rtp.fd
	}
	if !reused {
		t.Fatal("no file has the number of the port: nothing is tested")
	}
	r.move(pr, r.loops[1])
	for _, fd := range files {
		if err := unix.Close(fd); err != nil {
			t.Errorf("file %d was closed by the relay: %v", fd, err)
		}
	}
}

// What waits in the sockets of a pair belongs to an earlier call. It may wait in any socket of several pairs.
func TestWaitingDatagramsAreThrownAway(t *testing.T) {
	r, l := &relay{}, &loop{}
	pairs := []*pair{{loop: l}, {loop: l}}
	for _, pr := range pairs {
		for _, s := range []*socket{&pr.rtp, &pr.rtcp} {
			if err := r.bind(s, netip.MustParseAddrPort("127.0.0.1:0")); err != nil {
				t.Fatal(err)
			}
			defer r.unbind(s)
		}
	}
	l.turn.Store(1) // at work: the kernel is asked
	for _, pr := range pairs {
		if !r.empty(pr) || !r.nothing(pairs) {
			t.Error("new sockets are not empty")
		}
		to, err := boundTo(&pr.rtcp)
		if err != nil {
			t.Fatal(err)
		}
		for range maxStale {
			if !sendTo(&pr.rtp, []byte("stale"), to) {
				t.Fatal("send refused")
			}
		}
		if r.nothing(pairs) || r.empty(pr) {
			t.Error("sockets with datagrams were taken for empty")
		}
		if !r.empty(pr) || !r.nothing(pairs) {
			t.Error("not all was thrown away")
		}
	}
}
