package e2e_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"

	"carillon/phone"
	"carillon/rtp"
	"carillon/sip/transport"
)

// wiretap is a TCP proxy that keeps what passes, both ways.
type wiretap struct {
	addr netip.AddrPort
	mu   sync.Mutex
	seen bytes.Buffer
}

// tap listens in front of a target.
func tap(t *testing.T, target netip.AddrPort) *wiretap {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{addr: ln.Addr().(*net.TCPAddr).AddrPort()}
	var running sync.WaitGroup
	t.Cleanup(func() { ln.Close(); running.Wait() })
	running.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", target.String())
			if err != nil {
				near.Close()
				continue
			}
			running.Go(func() { w.pass(near, far) })
			running.Go(func() { w.pass(far, near) })
		}
	})
	return w
}

func (w *wiretap) pass(from, to net.Conn) {
	defer to.Close()
	_, _ = io.Copy(to, io.TeeReader(from, w))
}

// Write keeps what passes.
func (w *wiretap) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen.Write(b)
}

// sniffer reads every packet on the loopback interface.
type sniffer struct {
	fd   int
	done chan struct{}
	mu   sync.Mutex
	udp  []packet
}

// packet is one UDP datagram over IPv4.
type packet struct {
	from, to netip.AddrPort
	payload  []byte
}

// sniff begins to listen; only root may.
func sniff(t *testing.T) *sniffer {
	t.Helper()
	const all = 0x0300 // ETH_P_ALL in network order
	fd, err := syscall.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM, all)
	// Where nobody reads the output a skip would hide that the promise was not looked at on the wire.
	if errors.Is(err, syscall.EPERM) && os.Getenv("CI") == "" {
		t.Skip("only root may read packets off the wire")
	}
	if err != nil {
		t.Fatal(err)
	}
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrLinklayer{Protocol: all, Ifindex: lo.Index}); err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		// All tests' packets come here: one that runs slowly must not lose its own.
		syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, syscall.SO_RCVBUFFORCE, 16<<20),
		// A read that wakes up now and then notices the end of the test.
		syscall.SetsockoptTimeval(fd, syscall.SOL_SOCKET, syscall.SO_RCVTIMEO, &syscall.Timeval{Usec: 50_000}),
	)
	if err != nil {
		t.Fatal(err)
	}
	s := &sniffer{fd: fd, done: make(chan struct{})}
	var running sync.WaitGroup
	running.Go(s.read)
	t.Cleanup(func() { close(s.done); running.Wait(); syscall.Close(fd) })
	return s
}

func (s *sniffer) read() {
	buf := make([]byte, 65536)
	for {
		select {
		case <-s.done:
			return
		default:
		}
		n, _, err := syscall.Recvfrom(s.fd, buf, 0)
		if err != nil {
			continue
		}
		if p, ok := parseUDP(buf[:n]); ok {
			s.mu.Lock()
			s.udp = append(s.udp, p)
			s.mu.Unlock()
		}
	}
}

// parseUDP reads a datagram out of an IPv4 packet (RFC 791, RFC 768).
func parseUDP(b []byte) (packet, bool) {
	if len(b) < 28 || b[0]>>4 != 4 || b[9] != syscall.IPPROTO_UDP {
		return packet{}, false
	}
	header := int(b[0]&15) * 4
	if len(b) < header+8 {
		return packet{}, false
	}
	from, _ := netip.AddrFromSlice(b[12:16])
	to, _ := netip.AddrFromSlice(b[16:20])
	u := b[header:]
	return packet{
		from:    netip.AddrPortFrom(from, binary.BigEndian.Uint16(u)),
		to:      netip.AddrPortFrom(to, binary.BigEndian.Uint16(u[2:])),
		payload: bytes.Clone(u[8:]),
	}, true
}

// between returns what passed between a phone's media address and the node, both ways.
func (s *sniffer) between(phone netip.AddrPort) []packet {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []packet
	for _, p := range s.udp {
		if p.from == phone || p.to == phone {
			all = append(all, p)
		}
	}
	return all
}

// loud is a sample whose code word is rare in anything else.
const loud = 8031

// constant says the same sample in every packet: in the clear, its code word fills the payload.
func constant(frame []int16) {
	for i := range frame {
		frame[i] = loud
	}
}

// TestNothingInTheClear: of an encrypted call nothing crosses the customer's wire that a listener could read: the
// signalling is TLS, and no packet carries the audio that both sides say. The carrier's wire, which is plain, shows that
// the listener would have seen it.
func TestNothingInTheClear(t *testing.T) {
	t.Parallel()
	s := sniff(t)
	w := newWorld(t)
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Audio{Say: constant}} })
	w.carrier("upstream", answer, "+1212")
	c := w.connector(true)
	wire := tap(t, w.target(transport.TLS))
	inv := w.invite(c, transport.TLS, outsideNumber)
	inv.Target, inv.Audio = wire.addr, phone.Audio{Say: constant}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	placed, err := w.phone(phone.Config{Proto: transport.TLS}).Dial(ctx, inv)
	if err != nil {
		t.Fatal(err)
	}
	far := receive(t, "the carrier's call", taken)
	eventually(t, "audio both ways", func() bool {
		return placed.Stats().PacketsReceived > 20 && far.Stats().PacketsReceived > 20
	})
	secured, plain := placed.Stats(), far.Stats()
	word := bytes.Repeat([]byte{rtp.MuLaw(loud)}, 16)
	readable := func(at netip.AddrPort) (clear, total int) {
		for _, p := range s.between(at) {
			total++
			if bytes.Contains(p.payload, word) {
				clear++
			}
		}
		return clear, total
	}
	// What a party has heard the listener may still have to read.
	eventually(t, "the listener to see both wires", func() bool {
		_, total := readable(secured.Local)
		clear, _ := readable(plain.Local)
		return total >= 40 && clear >= 40
	})
	if err := placed.Hangup(ctx); err != nil {
		t.Error(err)
	}
	if clear, total := readable(secured.Local); clear != 0 || total < 40 {
		t.Errorf("%d of %d packets on the customer's wire can be read", clear, total)
	}
	if clear, total := readable(plain.Local); clear < 40 {
		t.Errorf("%d of %d packets on the carrier's wire can be read: the listener sees nothing", clear, total)
	}
	wire.mu.Lock()
	defer wire.mu.Unlock()
	for _, word := range []string{"SIP/2.0", "INVITE", "crypto", customerNumber, outsideNumber} {
		if bytes.Contains(wire.seen.Bytes(), []byte(word)) {
			t.Errorf("%q crosses the customer's wire in the clear", word)
		}
	}
	if wire.seen.Len() < 1000 {
		t.Errorf("only %d octets of signalling were seen", wire.seen.Len())
	}
	if r := w.records(c, 1)[0]; r.Customer.Media.PlainSent != 0 || r.CarrierLeg.Media.PlainSent == 0 {
		t.Errorf("plain sent: %d to the customer, %d to the carrier", r.Customer.Media.PlainSent, r.CarrierLeg.Media.PlainSent)
	}
}
