package transport

import (
	"bytes"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// tosOf reads the mark of datagrams as they come out of the network (RFC 791, RFC 8200).
func tosOf(t *testing.T, c *net.UDPConn) int {
	t.Helper()
	raw := must(c.SyscallConn())
	var err error
	if ctl := raw.Control(func(fd uintptr) {
		if err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_RECVTOS, 1); c.LocalAddr().(*net.UDPAddr).IP.To4() == nil {
			err = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_IPV6, syscall.IPV6_RECVTCLASS, 1)
		}
	}); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	c.Write(options("UDP 192.0.2.9:5060;rport", ""))
	oob := make([]byte, 128)
	_, n, _, _, err := c.ReadMsgUDP(make([]byte, 2048), oob)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range must(syscall.ParseSocketControlMessage(oob[:n])) {
		if m.Header.Type == syscall.IP_TOS || m.Header.Type == syscall.IPV6_TCLASS {
			return int(m.Data[0])
		}
	}
	t.Fatal("the datagram came without its mark")
	return 0
}

// markOf asks the system for the mark of a connection.
func markOf(t *testing.T, c net.Conn) int {
	t.Helper()
	raw := must(c.(*net.TCPConn).SyscallConn())
	mark, err := 0, error(nil)
	if ctl := raw.Control(func(fd uintptr) { mark, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_IP, syscall.IP_TOS) }); ctl != nil || err != nil {
		t.Fatal(ctl, err)
	}
	return mark
}

func TestMarks(t *testing.T) {
	for _, dscp := range []int{0, 24} {
		r := &recorder{t: t, ch: make(chan got, 16)}
		tr := must(New(Config{Handler: r, DSCP: dscp}))
		t.Cleanup(func() { tr.Close() })
		for _, at := range []string{"127.0.0.1:0", "[::1]:0"} {
			addr, err := tr.ListenUDP(netip.MustParseAddrPort(at))
			if err != nil {
				t.Logf("no %s on this machine: %v", at, err)
				continue
			}
			if got := tosOf(t, peer(t, addr)); got != dscp<<2 {
				t.Errorf("DSCP %d: a datagram from %s is marked %#x", dscp, addr, got)
			}
		}
		at := must(tr.ListenTCP(loopback))
		far := must(net.Listen("tcp", "127.0.0.1:0"))
		t.Cleanup(func() { far.Close() })
		near := must(net.Dial("tcp", at.String()))
		t.Cleanup(func() { near.Close() })
		near.Write(options("TCP 127.0.0.1", ""))
		accepted := r.next("message").flow
		for accepted.Proto() != TCP {
			accepted = r.next("message").flow
		}
		dialed, err := dial(t, tr, Target{Proto: TCP, Addr: far.Addr().(*net.TCPAddr).AddrPort()})
		if err != nil {
			t.Fatal(err)
		}
		for what, f := range map[string]Flow{"accepted": accepted, "dialled": dialed} {
			if got := markOf(t, f.link.(*stream).queue.Conn); got != dscp<<2 {
				t.Errorf("DSCP %d: the %s connection is marked %#x", dscp, what, got)
			}
		}
	}
	// What the system refuses is a warning, and it refuses nothing here.
	var log bytes.Buffer
	tr := must(New(Config{Handler: &recorder{t: t, ch: make(chan got, 16)}, DSCP: 24, Logger: slog.New(slog.NewTextHandler(&log, nil))}))
	t.Cleanup(func() { tr.Close() })
	for _, at := range []string{"127.0.0.1:0", "0.0.0.0:0", "[::]:0"} {
		if _, err := tr.ListenTCP(netip.MustParseAddrPort(at)); err != nil {
			t.Logf("no %s on this machine: %v", at, err)
		}
	}
	if log.Len() > 0 {
		t.Errorf("listening over TCP warned: %s", &log)
	}
	if _, err := New(Config{Handler: &recorder{}, DSCP: 64}); err == nil {
		t.Error("a DSCP of 64 was taken")
	}
}
