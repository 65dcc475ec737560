package interop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// rawRequest is a SIP request written by hand. The zero value of each member stands for what is right.
type rawRequest struct {
	method, uri, version, cseq string
	host                       string
	hops                       string // the Max-Forwards line; "-" leaves it out
	length                     string // the Content-Length line; "-" leaves it out
	more                       string // further lines
	toTag                      string
	body                       string
	change                     func(string) string
}

// rawCount makes branches, tags and Call-IDs that nobody else uses.
var rawCount atomic.Int64

// text returns the request as it is sent from an address over a transport.
func (r rawRequest) text(from net.Addr, transport string) string {
	n := rawCount.Add(1)
	method := or(r.method, "INVITE")
	uri := or(r.uri, "sip:"+labEcho+"@"+r.host)
	line := func(given, standard string) string {
		if given == "-" {
			return ""
		}
		return or(given, standard) + "\r\n"
	}
	text := fmt.Sprintf("%s %s %s\r\nVia: SIP/2.0/%s %s;branch=z9hG4bKraw%d;rport\r\nFrom: <sip:a@raw.example>;tag=f%d\r\nTo: <sip:b@%s>%s\r\n"+
		"Call-ID: raw%d@raw.example\r\nCSeq: 1 %s\r\nContact: <sip:a@%s>\r\nUser-Agent: a hand-written request, long enough for any refusal to fit into its size\r\n%s%s%s\r\n%s",
		method, uri, or(r.version, "SIP/2.0"), strings.ToUpper(transport), from, n, n, r.host, r.toTag, n, or(r.cseq, method), from,
		line(r.hops, "Max-Forwards: 70"), r.more, line(r.length, "Content-Length: "+strconv.Itoa(len(r.body))), r.body)
	if r.change != nil {
		text = r.change(text)
	}
	return text
}

// patience is how long silence must last to count as silence.
const patience = 400 * time.Millisecond

// sendUDP sends one datagram and returns the first answer; empty is silence.
func sendUDP(t *testing.T, node string, write func(net.Addr) string) string {
	t.Helper()
	conn, err := net.Dial("udp", node)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(write(conn.LocalAddr()))); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(patience))
	answer := make([]byte, 1<<16)
	n, _ := conn.Read(answer)
	return string(answer[:n])
}

// sendTCP sends bytes on a connection of their own and returns what came back and whether the node hung up.
func sendTCP(t *testing.T, node string, write func(net.Addr) string) (answer string, closed bool) {
	t.Helper()
	conn, err := net.Dial("tcp", node)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	// The node may answer and hang up before all of a long message is written.
	_, _ = conn.Write([]byte(write(conn.LocalAddr())))
	text, err := io.ReadAll(conn)
	return string(text), !errors.Is(err, os.ErrDeadlineExceeded)
}

// status returns the status of an answer, 0 for silence.
func status(answer string) int {
	code, _, _ := strings.Cut(strings.TrimPrefix(answer, "SIP/2.0 "), " ")
	n, _ := strconv.Atoi(code)
	return n
}

// TestBadSIP: malformed requests get the answer of RFC 3261 or none, and a connection whose messages can no longer
// be told apart is closed.
func TestBadSIP(t *testing.T) {
	n := node(t)
	vc := n.connect(t, false)
	const closes = true
	long := strings.Repeat("a", 60_000)
	for _, c := range []struct {
		name     string
		r        rawRequest
		udp, tcp int // status; 0 is silence
		closed   bool
		has      string
	}{
		{"well formed", rawRequest{}, 407, 407, false, "Proxy-Authenticate: Digest"},
		{"no Max-Forwards", rawRequest{hops: "-"}, 407, 407, false, ""},
		{"Max-Forwards 0", rawRequest{hops: "Max-Forwards: 0"}, 483, 483, false, ""},
		{"Max-Forwards 256", rawRequest{hops: "Max-Forwards: 256"}, 400, 400, false, "Max-Forwards"},
		{"Max-Forwards no number", rawRequest{hops: "Max-Forwards: x"}, 400, 400, false, "Max-Forwards"},
		{"unknown method", rawRequest{method: "FOO"}, 501, 501, false, ""},
		{"method not served", rawRequest{method: "REGISTER"}, 405, 405, false, "Allow: INVITE"},
		{"BYE of no dialog", rawRequest{method: "BYE"}, 481, 481, false, ""},
		{"BYE of an unknown dialog", rawRequest{method: "BYE", toTag: ";tag=x"}, 481, 481, false, ""},
		{"CANCEL of nothing", rawRequest{method: "CANCEL"}, 481, 481, false, ""},
		{"ACK of nothing", rawRequest{method: "ACK"}, 0, 0, false, ""},
		{"SIP/3.0", rawRequest{version: "SIP/3.0"}, 505, 505, false, ""},
		{"other scheme", rawRequest{uri: "http://raw.example/"}, 416, 416, false, ""},
		{"extension required", rawRequest{more: "Require: foo\r\n"}, 420, 420, false, "Unsupported: foo"},
		{"CSeq of another method", rawRequest{cseq: "BYE"}, 400, 400, false, ""},
		{"header twice", rawRequest{more: "Call-ID: again\r\n"}, 400, 400, false, ""},
		{"no From", rawRequest{change: func(s string) string { return strings.Replace(s, "From:", "X-From:", 1) }}, 400, 400, false, ""},
		{"no Via", rawRequest{change: func(s string) string { return strings.Replace(s, "Via:", "X-Via:", 1) }}, 0, 0, false, ""},
		{"line without colon", rawRequest{more: "no header\r\n"}, 400, 400, false, ""},
		{"NUL in a header", rawRequest{more: "X-A: a\x00b\r\n"}, 400, 400, false, ""},
		{"unknown host", rawRequest{uri: "sip:b@nobody.example"}, 404, 404, false, ""},
		{"other body", rawRequest{more: "Content-Type: text/plain\r\n", body: "hello"}, 415, 415, false, "Accept: application/sdp"},
		{"body shorter than its length", rawRequest{length: "Content-Length: 500"}, 400, 0, false, ""},
		{"no length", rawRequest{length: "-"}, 407, 400, closes, ""},
		{"negative length", rawRequest{length: "Content-Length: -1"}, 400, 400, closes, ""},
		{"length no number", rawRequest{length: "Content-Length: many"}, 400, 400, closes, ""},
		{"length of 20 digits", rawRequest{length: "Content-Length: 99999999999999999999"}, 400, 400, closes, ""},
		{"two lengths", rawRequest{length: "Content-Length: 0\r\nContent-Length: 5"}, 400, 400, closes, ""},
		{"long header", rawRequest{more: "X-A: " + long + "\r\n"}, 513, 513, false, ""},
		{"2,000 headers", rawRequest{more: strings.Repeat("X-A: a\r\n", 2000)}, 513, 513, false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if c.r.host = vc.Host; c.name == "unknown host" {
				c.r.host = "nobody.example"
			}
			udp := sendUDP(t, n.SIP.UDP, func(a net.Addr) string { return c.r.text(a, "udp") })
			tcp, closed := sendTCP(t, n.SIP.TCP, func(a net.Addr) string { return c.r.text(a, "tcp") })
			if status(udp) != c.udp || status(tcp) != c.tcp || closed != c.closed {
				t.Errorf("UDP %d, TCP %d, closed %v; want %d, %d, %v\n%s\n%s", status(udp), status(tcp), closed, c.udp, c.tcp, c.closed, udp, tcp)
			}
			if !strings.Contains(tcp, c.has) || c.udp == c.tcp && !strings.Contains(udp, c.has) {
				t.Errorf("no %q in\n%s\n%s", c.has, udp, tcp)
			}
		})
	}
}

// TestNoSIP: what is no SIP at all gets no answer, and a stream of it is closed.
func TestNoSIP(t *testing.T) {
	n := node(t)
	random := make([]byte, 2000)
	rand.New(rand.NewSource(1)).Read(random)
	for _, c := range []struct {
		name, text string
		closed     bool
	}{
		{"random octets", string(random), true},
		{"HTTP", "GET / HTTP/1.1\r\nHost: raw.example\r\n\r\n", true},
		{"words", "hello world\r\n\r\n", true},
		{"a TLS hello", "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", true},
		{"empty lines", "\r\n\r\n", false}, // a keep-alive (RFC 5626 section 4.4.1)
		{"an answer to nobody", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 127.0.0.1:5;branch=z9hG4bKq\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:b@y>;tag=2\r\nCall-ID: 1\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			same := func(net.Addr) string { return c.text }
			if answer := sendUDP(t, n.SIP.UDP, same); answer != "" {
				t.Errorf("UDP answers %q", answer)
			}
			answer, closed := sendTCP(t, n.SIP.TCP, same)
			if pong := map[bool]string{true: "\r\n"}[c.name == "empty lines"]; answer != pong || closed != c.closed {
				t.Errorf("TCP answers %q and closes: %v, want %q and %v", answer, closed, pong, c.closed)
			}
		})
	}
	if answer, closed := sendTCP(t, n.SIP.TCP, func(net.Addr) string { return "INVITE sip:a@b SIP/2.0\r\nX: " + strings.Repeat("a", 300_000) }); answer != "" || !closed {
		t.Errorf("300 kB without an end: answer %q, closed %v", answer, closed)
	}
}

// TestTruncatedSIP cuts a request off at every octet: silence or 400, and the node goes on.
func TestTruncatedSIP(t *testing.T) {
	n := node(t)
	vc := n.connect(t, false)
	conn, err := net.Dial("udp", n.SIP.UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	whole := rawRequest{host: vc.Host, more: "Content-Type: application/sdp\r\n", body: "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 9 RTP/AVP 0\r\n"}.text(conn.LocalAddr(), "udp")
	for i := range len(whole) {
		if _, err := conn.Write([]byte(whole[:i])); err != nil {
			t.Fatal(err)
		}
	}
	conn.SetReadDeadline(time.Now().Add(2 * patience))
	answer := make([]byte, 1<<16)
	for {
		size, err := conn.Read(answer)
		if err != nil {
			break
		}
		if got := status(string(answer[:size])); got != 400 {
			t.Errorf("got %d for a part of a request:\n%s", got, answer[:size])
		}
	}
	n.answers(t, vc)
}

// answers checks that a well-formed request still gets its answer.
func (n *process) answers(t *testing.T, vc connector) {
	t.Helper()
	answer := ""
	for tries := 0; answer == "" && tries < 20; tries++ { // a client repeats a lost request, too
		answer = sendUDP(t, n.SIP.UDP, func(a net.Addr) string { return rawRequest{host: vc.Host}.text(a, "udp") })
	}
	if status(answer) != 407 {
		t.Errorf("the node no longer answers over UDP: %q", answer)
	}
	if answer, _ := sendTCP(t, n.SIP.TCP, func(a net.Addr) string { return rawRequest{host: vc.Host}.text(a, "tcp") }); status(answer) != 407 {
		t.Errorf("the node no longer answers over TCP: %q", answer)
	}
}

// memory returns what the node holds of the machine's memory, in MiB.
func (n *process) memory(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", n.PID))
	if err != nil {
		t.Fatal(err)
	}
	_, after, ok := strings.Cut(string(text), "VmRSS:")
	fields := strings.Fields(after)
	if !ok || len(fields) == 0 {
		t.Fatal("no VmRSS")
	}
	kB, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kB >> 10
}

// TestFlood sends far more rubbish and far more strangers' requests than the node could keep, and looks at its memory.
func TestFlood(t *testing.T) {
	n := node(t)
	vc := n.connect(t, false)
	conn, err := net.Dial("udp", n.SIP.UDP)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.Copy(io.Discard, conn)
	garbage := bytes.Repeat([]byte("garbage\xff\x00"), 150)
	flood := func(count int) {
		t.Helper()
		for i := range count {
			request := rawRequest{host: "stranger.example", method: []string{"INVITE", "OPTIONS", "REGISTER", "FOO"}[i%4]}.text(conn.LocalAddr(), "udp")
			_, _ = conn.Write([]byte(request)) // a full socket buffer loses some: that is the point of a flood
			_, _ = conn.Write(garbage)
		}
	}
	flood(5_000) // the first of it pays for buffers that stay
	before := n.memory(t)
	flood(30_000)
	after := n.memory(t)
	const most = 64 // MiB; 60,000 messages of 1 kB that were all kept would be more
	if after-before > most {
		t.Errorf("memory grew from %d to %d MiB", before, after)
	}
	n.answers(t, vc)
}

// TestSlowTLS: clients that never finish their handshake are sent away, and others get in meanwhile.
func TestSlowTLS(t *testing.T) {
	t.Parallel() // it mostly waits
	n := node(t)
	vc := n.connect(t, true)
	const clients = 50
	began := time.Now()
	ended := make(chan error, clients)
	for i := range clients {
		conn, err := net.Dial("tcp", n.SIP.TLS)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 1 { // half of them begin and stop in the middle
			if _, err := conn.Write([]byte("\x16\x03\x01\x02\x00\x01\x00")); err != nil {
				t.Fatal(err)
			}
		}
		go func() {
			conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			_, err := io.ReadAll(conn)
			ended <- err
		}()
	}
	conn, err := tls.Dial("tcp", n.SIP.TLS, &tls.Config{ServerName: vc.Host, InsecureSkipVerify: true}) // openssl_test checks it
	if err != nil {
		t.Fatalf("no way in beside %d slow clients: %v", clients, err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte(rawRequest{host: vc.Host}.text(conn.LocalAddr(), "tls"))); err != nil {
		t.Fatal(err)
	}
	conn.SetReadDeadline(time.Now().Add(5 * time.Second))
	answer := make([]byte, 4096)
	if size, err := conn.Read(answer); err != nil || status(string(answer[:size])) != 407 {
		t.Errorf("beside slow clients: %v, %q", err, answer[:size])
	}
	for range clients {
		if err := <-ended; errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a client without a handshake is still connected after %v", time.Since(began))
			return
		}
	}
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("slow clients were sent away after %v: honest ones on bad lines need longer", took)
	}
}
