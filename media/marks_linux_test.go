package media

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/call"
)

// marked returns the mark of the next datagram.
func marked(t *testing.T, c *net.UDPConn) int {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	oob := make([]byte, 128)
	_, n, _, _, err := c.ReadMsgUDP(make([]byte, 2048), oob)
	if err != nil {
		t.Fatal(err)
	}
	control, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(control) != 1 {
		t.Fatalf("%+v, %v", control, err)
	}
	return int(control[0].Data[0])
}

// Everything that a call sends has the operator's mark, RTP and RTCP, in both families.
func TestCallsAreMarked(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.DSCP, c.IPs = 34, []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	})
	six := plainLeg
	six.Signalling = netip.MustParseAddr("::1")
	a, b := newPhone(t, 1), newPhone(t, 2)
	b.rtp, b.rtcp = listen6(t), listen6(t)
	s := open(t, p, call.Customer, secureLeg)
	offered, refusal := s.Offer(call.Customer, a.offer(gcm), six)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	answered, refusal := s.Answer(call.Carrier, []byte(strings.ReplaceAll(string(b.answer(offered, "")), "IP4 127.0.0.1", "IP6 ::1")))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a.learn(answered)
	for _, x := range []struct {
		from, to      *phone
		level, option int
	}{{b, a, unix.IPPROTO_IP, unix.IP_RECVTOS}, {a, b, unix.IPPROTO_IPV6, unix.IPV6_RECVTCLASS}} {
		for _, c := range []*net.UDPConn{x.to.rtp, x.to.rtcp} {
			raw, err := c.SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			var failed error
			if err := raw.Control(func(fd uintptr) { failed = unix.SetsockoptInt(int(fd), x.level, x.option, 1) }); err != nil || failed != nil {
				t.Fatal(err, failed)
			}
		}
		x.from.send("voice")
		x.from.sendReport("report")
		if voice, report := marked(t, x.to.rtp), marked(t, x.to.rtcp); voice != 34<<2 || report != 34<<2 {
			t.Errorf("phone %d: RTP is marked %#x and RTCP %#x; want %#x", x.to.ssrc, voice, report, 34<<2)
		}
	}
}
