package interop

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// kamailio is Debian's Kamailio as the edge of a carrier: what is sent to it goes on to a SIPp behind it, by a route that
// it records.
type kamailio struct {
	port, full, tls int
	out             *syncBuffer
}

func startKamailio(t *testing.T, n *process, far int) *kamailio {
	t.Helper()
	program := need(t, "/usr/sbin/kamailio")
	dir := t.TempDir()
	k := &kamailio{port: freePair(t), full: freePair(t), tls: freePair(t), out: &syncBuffer{}}
	pem := filepath.Join(dir, "peer.pem")
	if err := n.peers.issue(pem, net.IPv4(127, 0, 0, 1)); err != nil {
		t.Fatal(err)
	}
	tls := "[server:default]\nmethod = TLSv1.2+\nprivate_key = " + pem + "\ncertificate = " + pem + "\n" +
		"[client:default]\nmethod = TLSv1.2+\nverify_certificate = no\n"
	if err := os.WriteFile(filepath.Join(dir, "tls.cfg"), []byte(tls), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/kamailio.cfg")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer(
		"FULL_PORT", strconv.Itoa(k.full), "TLS_PORT", strconv.Itoa(k.tls), "FAR_PORT", strconv.Itoa(far),
		"HOST", "127.0.0.1", "PORT", strconv.Itoa(k.port), "FAR", fmt.Sprintf("127.0.0.1:%d", far), "NODE", n.SIP.UDP, "DIR", dir,
	).Replace(string(text))
	file := filepath.Join(dir, "kamailio.cfg")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "-f", file, "-DD", "-E", "-m", "64", "-M", "8", "-Y", dir)
	cmd.Stdout, cmd.Stderr = k.out, k.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(os.Interrupt)
		select {
		case <-exited:
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
		}
	})
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", k.tls))
		if err == nil {
			conn.Close()
			return k
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("Kamailio: %v\n%s", err, k.out)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("Kamailio does not listen:\n%s", k.out)
		}
	}
}

// TestKamailioCarrier: a call through a real proxy that records its route on two sides, over each transport; every
// request of the call must follow that route, and a target without room is passed by.
func TestKamailioCarrier(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, transport, customer, far, hungUpBy string
		full                                     bool
	}{
		{"udp", "udp", "customer_call", "answer", "customer", false},
		{"tcp", "tcp", "customer_call", "answer", "customer", false},
		{"tls", "tls", "customer_call", "answer", "customer", false},
		{"carrier hangs up", "tls", "customer_called_off", "answer_hangup", "carrier", false},
		{"503 first", "udp", "customer_call", "answer", "customer", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, false)
			far := serveSIPp(t, c.far, "udp")
			k := startKamailio(t, n, far.port)
			port := k.port
			if c.transport == "tls" {
				port = k.tls
			}
			number := freshNumber()
			name := "k" + strings.TrimPrefix(number, "+")
			args := []string{"carrier", "put", name, "--prefix", number, "--srtp", "off"}
			if c.full {
				args = append(args, "--target", fmt.Sprintf("sip:127.0.0.1:%d;transport=udp", k.full))
			}
			n.operate(t, append(args, "--target", fmt.Sprintf("sip:127.0.0.1:%d;transport=%s", port, c.transport))...)
			t.Cleanup(func() { n.operate(t, "carrier", "delete", name) })
			near := callSIPp(t, c.customer, "udp", n.SIP.UDP, number, vc.Host, vc.number, digestOptions(vc, number)...)
			far.wait()
			near.wait()
			r := n.records(t, vc, 1)[0]
			if r.Status != 200 || r.HungUpBy != c.hungUpBy || r.CarrierLeg.Transport != c.transport ||
				c.transport == "tls" && (r.CarrierLeg.Peer != "verified" || r.CarrierLeg.TLSVersion == "") {
				t.Errorf("record %+v\n%s", r, k.out.tail(2000))
			}
			judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
			messages, err := os.ReadFile(filepath.Join(near.dir, "messages.log"))
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{"kamailio", strconv.Itoa(k.port), strconv.Itoa(k.full), strconv.Itoa(far.port)} {
				if strings.Contains(string(messages), ":"+secret) || strings.Contains(string(messages), secret+".") {
					t.Errorf("the customer is shown %q", secret)
				}
			}
		})
	}
}

// TestKamailioCalls: the carrier's calls come through the proxy, whose address is the carrier's.
func TestKamailioCalls(t *testing.T) {
	// Not in parallel: see TestBaresipInbound.
	n := node(t)
	vc := n.connect(t, false)
	phone := serveSIPp(t, "answer", "udp")
	n.route(t, vc, "127.0.0.1", phone.port, "UDP")
	far := freePair(t)
	k := startKamailio(t, n, far)
	caller := freshNumber()
	n.carrierFor(t, fmt.Sprintf("sip:127.0.0.1:%d;transport=udp", k.port), "off", caller)
	out := startSIPp(t, "carrier_call", "udp", fmt.Sprintf("127.0.0.1:%d", k.port), "-s", vc.number, "-key", "host", n.SIP.UDP, "-key", "caller", caller, "-p", strconv.Itoa(far))
	out.wait()
	phone.wait()
	r := n.records(t, vc, 1)[0]
	if r.Status != 200 || r.Direction != "Inbound" || r.From != caller || r.HungUpBy != "carrier" || r.CarrierLeg.Remote.Port() != uint16(k.port) {
		t.Errorf("record %+v\n%s", r, k.out.tail(2000))
	}
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
}

// TestKamailioLongInvite: an INVITE too long for a datagram reaches the carrier's proxy over TCP, although its target is
// UDP, and the call stays there.
func TestKamailioLongInvite(t *testing.T) {
	t.Parallel()
	n, err := startNode("--max-datagram", "512")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	vc := n.connect(t, false)
	far := serveSIPp(t, "answer_hangup", "udp")
	k := startKamailio(t, n, far.port)
	number := n.carrier(t, fmt.Sprintf("sip:127.0.0.1:%d;transport=udp", k.port), "off")
	near := callSIPp(t, "customer_called_off", "udp", n.SIP.UDP, number, vc.Host, vc.number, digestOptions(vc, number)...)
	near.wait()
	far.wait()
	r := n.records(t, vc, 1)[0]
	if r.Status != 200 || r.HungUpBy != "carrier" || r.CarrierLeg.Transport != "tcp" || r.CarrierLeg.Remote.Port() != uint16(k.port) {
		t.Errorf("record %+v\n%s", r, k.out.tail(2000))
	}
}
