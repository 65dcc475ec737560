package xdp

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

var ether4 = [etherSize]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
var ether6 = [etherSize]byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd}

func framed(t testing.TB, from, to string, payload []byte) []byte {
	t.Helper()
	f := netip.MustParseAddrPort(from)
	ether := &ether4
	if f.Addr().Is6() {
		ether = &ether6
	}
	b := make([]byte, 2048)
	n := write(b, ether, 184, Datagram{f, netip.MustParseAddrPort(to), payload})
	if n == 0 {
		t.Fatal("a frame does not fit")
	}
	return b[:n]
}

// TestWrite compares frames with what Linux put on a virtual wire for the same datagrams, sent by sockets with IP_TOS 184,
// IP_MTU_DISCOVER and IPV6_TCLASS, the wire's offloading of checksums turned off.
func TestWrite(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"10.77.0.1:20000", "10.77.0.2:4000", "020000000001020000000002" + "0800" +
			"45b8001f000040004011257a0a4d00010a4d0002" + "4e200fa0000bc918" + "616263"},
		{"[2001:db8::1]:20000", "[2001:db8::2]:4001", "020000000001020000000002" + "86dd" +
			"6b800000000b1140" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "4e200fa1000b823f" + "616263"},
	} {
		if got := hex.EncodeToString(framed(t, c.from, c.to, []byte("abc"))); got != c.want {
			t.Errorf("%s to %s:\n got %s\nwant %s", c.from, c.to, got, c.want)
		}
	}
}

func TestParseWhatWriteWrote(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, ends := range [][2]string{{"192.0.2.1:1", "198.51.100.7:65535"}, {"[2001:db8::1]:30000", "[2001:db8:1::ffff]:2"}} {
		for size := range 1200 {
			payload := make([]byte, size)
			for i := range payload {
				payload[i] = byte(r.Uint32())
			}
			frame := framed(t, ends[0], ends[1], payload)
			// The padding of short frames is not the datagram's.
			d, err := Parse(append(frame, 0xee, 0xee))
			if err != nil || d.From.String() != ends[0] || d.To.String() != ends[1] || !bytes.Equal(d.Payload, payload) {
				t.Fatalf("%d octets from %s: %+v, %v", size, ends[0], d, err)
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good4 := framed(t, "192.0.2.1:5", "198.51.100.7:6", []byte("what is said"))
	good6 := framed(t, "[2001:db8::1]:5", "[2001:db8::2]:6", []byte("what is said"))
	change := func(frame []byte, at int, b ...byte) []byte {
		frame = slices.Clone(frame)
		copy(frame[at:], b)
		return frame
	}
	// mend makes the header's checksum right again, so that it is not what refuses.
	mend := func(frame []byte) []byte {
		h := frame[etherSize : etherSize+ip4Size]
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], ^fold(sum(h, 0)))
		return frame
	}
	for _, c := range []struct {
		name  string
		frame []byte
		want  error
	}{
		{"nothing", nil, errShort},
		{"ARP", change(good4, 12, 8, 6), errForm},
		{"an IPv4 header's end", good4[:etherSize+ip4Size-1], errShort},
		{"an IPv6 header's end", good6[:etherSize+ip6Size-1], errShort},
		{"IPv4, cut", good4[:len(good4)-1], errShort},
		{"IPv6, cut", good6[:len(good6)-1], errShort},
		{"options", mend(change(good4, 14, 0x46)), errForm},
		{"a fragment", mend(change(good4, 20, 0x20, 0)), errForm},
		{"a fragment's rest", mend(change(good4, 20, 0, 1)), errForm},
		{"TCP", mend(change(good4, 23, 6)), errForm},
		{"TCP over IPv6", change(good6, 20, 6), errForm},
		{"IPv6 of version 5", change(good6, 14, 0x50), errForm},
		{"an IPv4 length below its headers", mend(change(good4, 16, 0, 27)), errForm},
		{"a UDP length below its header", change(good4, 38, 0, 7), errForm},
		{"a UDP length above IP's", change(good4, 38, 0, 21), errForm},
		{"a wrong header", change(good4, 22, 63), errChecksum},
		{"a wrong payload", change(good4, 42, 'W'), errChecksum},
		{"a wrong payload over IPv6", change(good6, 62, 'W'), errChecksum},
		{"no checksum over IPv6", change(good6, 60, 0, 0), errChecksum},
		{"from nowhere", framed(t, "0.0.0.0:5", "198.51.100.7:6", nil), errAddress},
		{"from the loopback", framed(t, "127.0.0.1:5", "198.51.100.7:6", nil), errAddress},
		{"from a group", framed(t, "224.0.0.5:5", "198.51.100.7:6", nil), errAddress},
		{"from all", framed(t, "255.255.255.255:5", "198.51.100.7:6", nil), errAddress},
		{"from itself", framed(t, "198.51.100.7:5", "198.51.100.7:6", nil), errAddress},
		{"from the loopback over IPv6", framed(t, "[::1]:5", "[2001:db8::2]:6", nil), errAddress},
		{"from IPv4 inside IPv6", framed(t, "[::ffff:192.0.2.1]:5", "[2001:db8::2]:6", nil), errAddress},
	} {
		if d, err := Parse(c.frame); err != c.want {
			t.Errorf("%s: %+v, %v; want %v", c.name, d, err, c.want)
		}
	}
}

// TestChecksums: none at all is allowed over IPv4 (RFC 768), and so is what another process of this machine leaves for
// hardware to complete.
func TestChecksums(t *testing.T) {
	for _, ends := range [][2]string{{"192.0.2.1:5", "198.51.100.7:6"}, {"[2001:db8::1]:5", "[2001:db8::2]:6"}} {
		frame := framed(t, ends[0], ends[1], []byte("half"))
		from, to := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		at := len(frame) - len("half") - 2
		binary.BigEndian.PutUint16(frame[at:], fold(pseudo(from.Addr(), to.Addr(), udpSize+4)))
		if _, err := Parse(frame); err != nil {
			t.Errorf("%s, begun: %v", ends[0], err)
		}
		binary.BigEndian.PutUint16(frame[at:], 0)
		if _, err := Parse(frame); (err == nil) != from.Addr().Is4() {
			t.Errorf("%s, none: %v", ends[0], err)
		}
	}
}

func TestWriteRefusesWhatDoesNotFit(t *testing.T) {
	at := netip.MustParseAddrPort("192.0.2.1:5")
	b := make([]byte, etherSize+ip4Size+udpSize+10)
	if n := write(b, &ether4, 0, Datagram{at, at, make([]byte, 10)}); n != len(b) {
		t.Errorf("wrote %d octets", n)
	}
	if n := write(b, &ether4, 0, Datagram{at, at, make([]byte, 11)}); n != 0 {
		t.Errorf("wrote %d octets of one too many", n)
	}
	if n := write(make([]byte, 1<<17), &ether4, 0, Datagram{at, at, make([]byte, 1<<16)}); n != 0 {
		t.Errorf("wrote %d octets of more than IP can carry", n)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(framed(f, "192.0.2.1:5", "198.51.100.7:6", []byte("four")))
	f.Add(framed(f, "[2001:db8::1]:5", "[2001:db8::2]:6", []byte("six")))
	f.Fuzz(func(t *testing.T, frame []byte) {
		d, err := Parse(frame)
		if err != nil {
			return
		}
		if len(frame) > MaxFrame {
			return
		}
		ether := ether4
		if d.From.Addr().Is6() {
			ether = ether6
		}
		// What was understood says the same when it is written.
		b := make([]byte, 2048)
		n := write(b, &ether, 0, d)
		again, err := Parse(b[:n])
		if err != nil || again.From != d.From || again.To != d.To || !bytes.Equal(again.Payload, d.Payload) {
			t.Fatalf("%+v is written as %x, and that is %+v, %v", d, b[:n], again, err)
		}
	})
}

func BenchmarkFrame(b *testing.B) {
	buf := make([]byte, 2048)
	d := Datagram{netip.MustParseAddrPort("192.0.2.1:5"), netip.MustParseAddrPort("198.51.100.7:6"), make([]byte, 172)}
	b.Run("write", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			write(buf, &ether4, 184, d)
		}
	})
	frame := framed(b, d.From.String(), d.To.String(), d.Payload)
	b.Run("parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(frame); err != nil {
				b.Fatal(err)
			}
		}
	})
}
