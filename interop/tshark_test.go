package interop

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// capture is what tshark saw on the loopback interface.
type capture struct {
	t    *testing.T
	file string
	cmd  *exec.Cmd
	log  *syncBuffer
	// packets are known after stop.
	packets []packet
}

// packet is one UDP datagram or TCP segment with something in it.
type packet struct {
	tcp      bool
	from, to uint16
	payload  []byte
}

// startCapture returns when packets are being written. Capturing needs root or CAP_NET_RAW.
func startCapture(t *testing.T) *capture {
	t.Helper()
	c := &capture{t: t, file: filepath.Join(t.TempDir(), "loopback.pcapng"), log: &syncBuffer{}}
	c.cmd = exec.Command(need(t, "tshark"), "-i", "lo", "-q", "-w", c.file)
	c.cmd.Stderr = c.log
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill() })
	marker, err := net.Dial("udp", "127.0.0.1:9")
	if err != nil {
		t.Fatal(err)
	}
	defer marker.Close()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		marker.Write([]byte("marker"))
		if seen, err := os.ReadFile(c.file); err == nil && bytes.Contains(seen, []byte("marker")) {
			return c
		}
		if time.Now().After(deadline) {
			t.Fatalf("tshark captures nothing; it needs root or CAP_NET_RAW:\n%s", c.log)
		}
	}
}

// stop ends the capture. tshark writes what it still holds.
func (c *capture) stop() {
	c.t.Helper()
	time.Sleep(300 * time.Millisecond) // the kernel's buffer is read in steps
	c.cmd.Process.Signal(syscall.SIGINT)
	if err := c.cmd.Wait(); err != nil {
		c.t.Fatalf("tshark: %v\n%s", err, c.log)
	}
	c.parse()
}

// read runs tshark on the capture and returns the lines it prints.
func (c *capture) read(args ...string) []string {
	c.t.Helper()
	out, err := exec.Command("tshark", append([]string{"-n", "-r", c.file}, args...)...).Output()
	if err != nil {
		c.t.Fatalf("tshark %q: %v", args, err)
	}
	return strings.FieldsFunc(string(out), func(r rune) bool { return r == '\n' })
}

// parse takes the packets apart.
func (c *capture) parse() {
	c.t.Helper()
	for _, line := range c.read("-Y", "(udp || tcp.len>0) && !tcp.analysis.retransmission", "-T", "fields", "-E", "occurrence=f",
		"-e", "udp.srcport", "-e", "udp.dstport", "-e", "udp.payload", "-e", "tcp.srcport", "-e", "tcp.dstport", "-e", "tcp.payload") {
		f := strings.Split(line, "\t")
		p := packet{tcp: f[0] == ""}
		if p.tcp {
			f = f[3:]
		}
		payload, err := hex.DecodeString(strings.ReplaceAll(f[2], ":", ""))
		if err != nil {
			c.t.Fatal(err)
		}
		p.from, p.to, p.payload = portNumber(c.t, f[0]), portNumber(c.t, f[1]), payload
		c.packets = append(c.packets, p)
	}
}

// datagrams returns the payloads that went from one UDP port to another.
func (c *capture) datagrams(from, to uint16) [][]byte {
	var all [][]byte
	for _, p := range c.packets {
		if !p.tcp && p.from == from && p.to == to {
			all = append(all, p.payload)
		}
	}
	return all
}

// stream returns what went from one TCP port to another.
func (c *capture) stream(from, to uint16) []byte {
	var all []byte
	for _, p := range c.packets {
		if p.tcp && p.from == from && p.to == to {
			all = append(all, p.payload...)
		}
	}
	return all
}

// onlyTLS reports whether a stream is TLS records and nothing else (RFC 8446 section 5.1), and how many.
func onlyTLS(stream []byte) (records int, ok bool) {
	for len(stream) > 0 {
		if len(stream) < 5 || stream[0] < 20 || stream[0] > 23 || stream[1] != 3 || stream[2] > 3 {
			return records, false
		}
		size := 5 + int(binary.BigEndian.Uint16(stream[3:]))
		if len(stream) < size {
			return records, false
		}
		stream = stream[size:]
		records++
	}
	return records, true
}

// mulaw returns the sample that an octet of G.711 mu-law stands for.
func mulaw(b byte) float64 {
	b = ^b
	magnitude := (int(b&0x0f)<<3+0x84)<<(b>>4&7) - 0x84
	if b&0x80 != 0 {
		magnitude = -magnitude
	}
	return float64(magnitude) / 32768
}

// tapped returns the sound that somebody who listens on the wire makes of RTP packets with 160 octets of mu-law.
func tapped(packets [][]byte) []float64 {
	var samples []float64
	for _, p := range packets {
		if len(p) < 12+160 || p[1]&0x7f != 0 {
			continue
		}
		for _, b := range p[12 : 12+160] {
			samples = append(samples, mulaw(b))
		}
	}
	return samples
}

// TestWire listens in on an encrypted call. Whoever taps the customer's side finds TLS and SRTP and nothing else; on
// the carrier's side, which is plain, the same ears hear both tones, so they are good enough.
func TestWire(t *testing.T) {
	n := node(t)
	vc := n.connect(t, true, "md5")
	number := freshNumber()
	far := startBaresip(t, baresipConfig{account: account(number+"@127.0.0.1", "udp", "") + ";answermode=auto", tone: carrierTone})
	n.carrierFor(t, far.target("udp"), "off", number)
	near := startBaresip(t, baresipConfig{account: customerAccount(vc, "tls", "srtp-mand"), tone: customerTone})
	wire := startCapture(t)
	near.command("dial", "sip:"+number+"@"+vc.Host)
	near.wait("CALL_ESTABLISHED")
	time.Sleep(6 * time.Second) // baresip sends RTCP every 5 s
	far.command("hangup", "")
	near.wait("CALL_CLOSED")
	wire.stop()
	r := n.records(t, vc, 1)[0]
	near.heard(carrierTone, customerTone, heard)

	_, port, err := net.SplitHostPort(n.SIP.TLS)
	if err != nil {
		t.Fatal(err)
	}
	sip, phone := portNumber(t, port), r.Customer.Remote.Port()
	for _, stream := range [][]byte{wire.stream(phone, sip), wire.stream(sip, phone)} {
		if records, ok := onlyTLS(stream); !ok || records < 5 {
			t.Errorf("after %d TLS records comes something else", records)
		}
	}
	customer, carrier := r.Customer.Media, r.CarrierLeg.Media
	judgeSRTP(t, "to the customer", wire.datagrams(customer.Local.Port(), customer.Remote.Port()))
	judgeSRTP(t, "from the customer", wire.datagrams(customer.Remote.Port(), customer.Local.Port()))
	judgeSRTCP(t, wire.datagrams(customer.Local.Port()+1, customer.Remote.Port()+1))
	// baresip itself sends RTCP in the clear, an APP before it knows the key and a BYE when it has forgotten it. Such
	// packets are counted and go no further.
	if customer.PlainDropped == 0 {
		t.Error("no plain packet was counted")
	}
	for _, tap := range []struct {
		from, to uint16
		hertz    float64
	}{
		{carrier.Local.Port(), carrier.Remote.Port(), customerTone},
		{carrier.Remote.Port(), carrier.Local.Port(), carrierTone},
	} {
		if got := share(tapped(wire.datagrams(tap.from, tap.to)), tap.hertz); got < 0.9 {
			t.Errorf("on the plain leg %v Hz are %.3f of what is heard, want almost all", tap.hertz, got)
		}
	}
	side := map[uint16]bool{phone: true, customer.Remote.Port(): true, customer.Remote.Port() + 1: true}
	for _, p := range wire.packets {
		for _, word := range []string{"INVITE", "SIP/2.0", "a=crypto", number, phoneUser + `"`} {
			if (side[p.from] || side[p.to]) && bytes.Contains(p.payload, []byte(word)) {
				t.Errorf("%q is on the wire of the customer's side: %q", word, p.payload)
			}
		}
	}
	if hits := wire.read("-Y", fmt.Sprintf("sip.Method==INVITE && udp.dstport==%d", far.port)); len(hits) != 1 {
		t.Errorf("on the plain leg tshark, with its own eyes, sees %d INVITEs, want 1", len(hits))
	}
}

// judgeSRTP checks that all packets have the length of AES_CM_128_HMAC_SHA1_80 and sound like noise.
func judgeSRTP(t *testing.T, which string, packets [][]byte) {
	t.Helper()
	protected := 0
	for _, p := range packets {
		if len(p) == 12+160+10 {
			protected++
			continue
		}
		t.Errorf("%s: a packet of %d octets that is not SRTP: % x", which, len(p), p[:min(len(p), 20)])
	}
	if protected < 50 {
		t.Errorf("%s: %d SRTP packets", which, protected)
	}
	sound := tapped(packets)
	for _, hertz := range []float64{customerTone, carrierTone} {
		if got := share(sound, hertz); got > 0.05 {
			t.Errorf("%s: %v Hz are %.3f of what a tap hears", which, hertz, got)
		}
	}
}

// judgeSRTCP checks the E flag, which stands before the 31 bits of the index and the tag (RFC 3711 section 3.4).
func judgeSRTCP(t *testing.T, packets [][]byte) {
	t.Helper()
	if len(packets) == 0 {
		t.Error("no RTCP went to the customer")
	}
	for _, p := range packets {
		if len(p) < 8+4+10 || p[len(p)-14]&0x80 == 0 {
			t.Errorf("RTCP in the clear to the customer: % x", p)
		}
	}
}

func portNumber(t *testing.T, text string) uint16 {
	t.Helper()
	number, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	return uint16(number)
}
