package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What Debian's SIPp 3.6.1 cannot do, and how the tests live with it:
//   - It has no TLS and no SRTP: baresip and the SDK story have both.
//   - Of a challenge it reads the first line only and knows MD5 alone, so MD5 must be offered first, as is our default.
//   - Its digest-uri is sip:ADDRESS:PORT of the peer, not the Request-URI, unless -auth_uri says otherwise; we compare
//     the two (RFC 7616 section 3.4), so it must be said. TestSIPpDigestURI shows what happens if it is not.
//   - It sends a tone with rtp_stream and echoes with -rtp_echo, but judges nothing it hears: the record's counters do,
//     and baresip's recordings.
//   - It echoes on the port that it streams from, too. Two that echo pass every packet on between them for ever, until
//     the node drops what is too much and with it the tone; so the one that streams does not echo.

// sipp is one running SIPp.
type sipp struct {
	t    *testing.T
	dir  string
	port int
	cmd  *exec.Cmd
	out  *syncBuffer
	done chan error
}

// startSIPp runs a scenario for one call: a file of testdata, or the text of one.
func startSIPp(t *testing.T, scenario, transport string, more ...string) *sipp {
	t.Helper()
	program := need(t, "/usr/bin/sipp")
	s := &sipp{t: t, dir: t.TempDir(), port: freePair(t), out: &syncBuffer{}, done: make(chan error, 1)}
	if !strings.HasPrefix(scenario, "<") {
		text, err := os.ReadFile("testdata/sipp_" + scenario + ".xml")
		if err != nil {
			t.Fatal(err)
		}
		scenario = string(text)
	}
	if !strings.Contains(scenario, "rtp_stream=") {
		more = append(more, "-rtp_echo")
	}
	if err := os.WriteFile(filepath.Join(s.dir, "scenario.xml"), []byte(scenario), 0o600); err != nil {
		t.Fatal(err)
	}
	// SIPp streams the bytes of a file as they are: 0x2a and 0xaa are a square wave in G.711 mu-law.
	tone := []byte(strings.Repeat("\x2a\x2a\x2a\x2a\xaa\xaa\xaa\xaa", sampleRate/8))
	if err := os.WriteFile(filepath.Join(s.dir, "tone.ul"), tone, 0o600); err != nil {
		t.Fatal(err)
	}
	mode := map[string]string{"udp": "u1", "tcp": "t1"}[transport]
	args := append([]string{"-sf", "scenario.xml", "-t", mode, "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", strconv.Itoa(s.port),
		"-mp", strconv.Itoa(mediaPort(t)), "-m", "1", "-nostdin",
		"-timeout", "20s", "-timeout_error", "-trace_msg", "-message_file", "messages.log", "-trace_err", "-error_file", "errors.log"}, more...)
	s.cmd = exec.Command(program, args...)
	s.cmd.Dir = s.dir
	s.cmd.Env = append(os.Environ(), "TERM=xterm")
	s.cmd.Stdout, s.cmd.Stderr = s.out, s.out
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.done <- s.cmd.Wait() }()
	t.Cleanup(func() { s.cmd.Process.Kill() })
	return s
}

// mediaPort returns a port for RTP that no other test is given and the node does not use.
func mediaPort(t *testing.T) int {
	t.Helper()
	port := 6000 + 8*int(numbers.Add(1))
	if port > 12000 {
		t.Fatal("out of media ports")
	}
	return port
}

// serveSIPp runs a scenario that waits for a call and returns when it listens.
func serveSIPp(t *testing.T, scenario, transport string, more ...string) *sipp {
	t.Helper()
	s := startSIPp(t, scenario, transport, more...)
	s.listening(transport)
	return s
}

// listening waits until the kernel says that the port is taken.
func (s *sipp) listening(transport string) {
	s.t.Helper()
	want := fmt.Sprintf(":%04X ", s.port)
	for deadline := time.Now().Add(10 * time.Second); ; {
		table, err := os.ReadFile("/proc/net/" + transport)
		if err != nil {
			s.t.Fatal(err)
		}
		if strings.Contains(string(table), want) {
			return
		}
		select {
		case err := <-s.done:
			s.t.Fatalf("SIPp: %v\n%s", err, s.out)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("SIPp does not listen:\n%s", s.out)
		}
	}
}

// callSIPp runs a scenario of a caller: number is called at host through the node's address.
func callSIPp(t *testing.T, scenario, transport, node, number, host, caller string, more ...string) *sipp {
	t.Helper()
	return startSIPp(t, scenario, transport, append([]string{node, "-s", number, "-key", "host", host, "-key", "caller", caller}, more...)...)
}

// wait waits until the scenario is over; it must have gone as written.
func (s *sipp) wait() {
	s.t.Helper()
	select {
	case err := <-s.done:
		if err == nil {
			return
		}
		messages, _ := os.ReadFile(filepath.Join(s.dir, "messages.log"))
		errors, _ := os.ReadFile(filepath.Join(s.dir, "errors.log"))
		s.t.Fatalf("SIPp: %v\n%s\n%s\n%s", err, errors, messages, s.out.tail(1500))
	case <-time.After(30 * time.Second):
		s.t.Fatalf("SIPp did not end:\n%s", s.out.tail(1500))
	}
}

// heard is everything that came and went, as SIPp wrote it down.
func (s *sipp) heard(t *testing.T) string {
	t.Helper()
	messages, err := os.ReadFile(filepath.Join(s.dir, "messages.log"))
	if err != nil || len(messages) == 0 {
		t.Fatalf("%v wrote down %d octets: %v", s.cmd, len(messages), err)
	}
	return string(messages)
}

// nudge lets a SIPp over UDP that waits for an INFO go on, so that a flow can wait for what its sides do not see. SIPp goes
// by the Call-ID and asks not where it comes from.
func (s *sipp) nudge(t *testing.T) {
	t.Helper()
	callID := regexp.MustCompile(`(?m)^Call-ID: .*$`).FindString(s.heard(t))
	to, err := net.Dial("udp4", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		t.Fatal(err)
	}
	defer to.Close()
	lines := []string{"INFO sip:127.0.0.1 SIP/2.0", "Via: SIP/2.0/UDP " + to.LocalAddr().String() + ";branch=z9hG4bKnudge",
		"From: <sip:test@127.0.0.1>;tag=test", "To: <sip:127.0.0.1>", strings.TrimSpace(callID), "CSeq: 1 INFO", "Content-Length: 0", "", ""}
	if _, err := to.Write([]byte(strings.Join(lines, "\r\n"))); err != nil {
		t.Fatal(err)
	}
}

// target is where a SIPp takes calls.
func (s *sipp) target(transport string) string {
	return fmt.Sprintf("sip:127.0.0.1:%d;transport=%s", s.port, transport)
}

// digestOptions are the options of a customer that calls number.
func digestOptions(vc connector, number string) []string {
	return []string{"-au", phoneUser, "-ap", phonePassword, "-auth_uri", number + "@" + vc.Host}
}

// TestSIPpOutbound: SIPp as customer and as carrier, every way a call can go.
func TestSIPpOutbound(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, customer, carrier, transport, carrierTransport string
		status                                               int
		reason, hungUpBy                                     string
		audio                                                bool
	}{
		{"customer hangs up", "customer_call", "answer", "udp", "udp", 200, "hangup", "customer", true},
		{"customer hangs up, TCP", "customer_call", "answer", "tcp", "tcp", 200, "hangup", "customer", true},
		{"TCP to UDP", "customer_call", "answer", "tcp", "udp", 200, "hangup", "customer", true},
		{"carrier hangs up", "customer_called_off", "answer_hangup", "udp", "udp", 200, "hangup", "carrier", true},
		{"carrier hangs up, UDP to TCP", "customer_called_off", "answer_hangup", "udp", "tcp", 200, "hangup", "carrier", true},
		{"cancel", "customer_cancel", "ring", "udp", "udp", 487, "cancelled", "", false},
		{"cancel, TCP", "customer_cancel", "ring", "tcp", "tcp", 487, "cancelled", "", false},
		{"busy", "customer_busy", "busy", "udp", "udp", 486, "remote_refused", "", false},
		{"busy, TCP", "customer_busy", "busy", "tcp", "tcp", 486, "remote_refused", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, false) // both algorithms are offered, MD5 first
			far := serveSIPp(t, c.carrier, c.carrierTransport)
			number := n.carrier(t, far.target(c.carrierTransport), "off")
			near := callSIPp(t, c.customer, c.transport, n.sip(c.transport), number, vc.Host, vc.number, digestOptions(vc, number)...)
			near.wait()
			far.wait()
			r := n.records(t, vc, 1)[0]
			if r.Status != c.status || r.Reason != c.reason || r.From != vc.number || r.To != number || r.AuthUser != phoneUser ||
				r.Customer.Transport != c.transport || r.CarrierLeg.Transport != c.carrierTransport {
				t.Errorf("record %+v", r)
			}
			if c.hungUpBy != "" && r.HungUpBy != c.hungUpBy {
				t.Errorf("hung up by %q, want %q", r.HungUpBy, c.hungUpBy)
			}
			c := [2]legRecord{r.Customer, r.CarrierLeg}
			judgeEcho(t, c, r.Status == 200)
		})
	}
}

// judgeEcho checks that what one side streamed reached the other and its echo came back.
func judgeEcho(t *testing.T, legs [2]legRecord, audio bool) {
	t.Helper()
	const packets = 40 // of the 60 in 1.2 s
	for i, leg := range legs {
		m := leg.Media
		if audio && (m.Received < packets || m.Sent < packets || m.Profile != "RTP/AVP" || m.Codec != "PCMU/8000") {
			t.Errorf("leg %d carried too little: %+v", i, m)
		}
		if !audio && (m.Received != 0 || m.Sent != 0) {
			t.Errorf("leg %d carried media without a call: %+v", i, m)
		}
	}
}

// TestSIPpInbound: a SIPp carrier calls a SIPp customer, over UDP and TCP.
func TestSIPpInbound(t *testing.T) {
	for _, c := range []struct{ name, transport, protocol, scenario, hungUpBy string }{
		{"udp", "udp", "UDP", "answer", "carrier"},
		{"tcp", "tcp", "TCP", "answer", "carrier"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Not in parallel: see TestBaresipInbound.
			n := node(t)
			vc := n.connect(t, false)
			phone := serveSIPp(t, c.scenario, c.transport)
			n.route(t, vc, "127.0.0.1", phone.port, c.protocol)
			caller := n.carrier(t, "sip:127.0.0.1:9;transport=udp", "off")
			far := callSIPp(t, "carrier_call", c.transport, n.sip(c.transport), vc.number, n.sip(c.transport), caller)
			far.wait()
			phone.wait()
			r := n.records(t, vc, 1)[0]
			if r.Status != 200 || r.Direction != "Inbound" || r.From != caller || r.To != vc.number || r.HungUpBy != c.hungUpBy || r.Customer.Transport != c.transport {
				t.Errorf("record %+v", r)
			}
			judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
		})
	}
}

// TestSIPpDigestURI: SIPp's own digest-uri is not the Request-URI, and a digest for another resource is no proof for
// this one.
func TestSIPpDigestURI(t *testing.T) {
	t.Parallel()
	n := node(t)
	vc := n.connect(t, false)
	near := callSIPp(t, "customer_challenged_again", "udp", n.SIP.UDP, labEcho, vc.Host, vc.number, "-au", phoneUser, "-ap", phonePassword)
	near.wait()
	if r := n.records(t, vc, 1)[0]; r.Reason != "credentials_wrong" || r.Status != 407 || !strings.Contains(r.Sentence, "uri") {
		t.Errorf("record %+v", r)
	}
}
