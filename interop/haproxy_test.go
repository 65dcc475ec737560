package interop

import (
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// balancerIP is where haproxy connects to the node from; clientIP is a customer behind it. The node is told to believe
// the former and no other address of this machine.
const (
	balancerIP = "127.0.0.9"
	clientIP   = "127.0.0.3"
)

// haproxy runs a load balancer that hands connections on to a backend of the node, with the header that option names.
func haproxy(t *testing.T, backend, option string) (front string) {
	t.Helper()
	dir := t.TempDir()
	front = fmt.Sprintf("127.0.0.1:%d", freePair(t))
	file := filepath.Join(dir, "haproxy.cfg")
	text := fmt.Sprintf(`defaults
  mode tcp
  timeout connect 5s
  timeout client 60s
  timeout server 60s
listen sip
  bind %s
  source %s
  server node %s %s
`, front, balancerIP, backend, option)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out := &syncBuffer{}
	cmd := exec.Command(need(t, "haproxy"), "-db", "-f", file)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() { cmd.Process.Kill(); <-exited })
	want := fmt.Sprintf(":%04X ", netip.MustParseAddrPort(front).Port())
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(table), want) {
			return front
		}
		select {
		case err := <-exited:
			t.Fatalf("haproxy: %v\n%s", err, out.tail(2000))
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("haproxy does not listen:\n%s", out.tail(2000))
		}
	}
}

// TestHAProxy: calls through a real load balancer count for the customer behind it, in the allow list and in the record,
// with both versions of the header. Without one the balancer gets nothing.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	n := node(t)
	for _, option := range []string{"send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"} {
		t.Run(option, func(t *testing.T) {
			t.Parallel()
			vc := n.connect(t, false)
			n.call(t, "PUT", "/voice-connectors/"+vc.ID+"/termination", object{"Termination": object{
				"CallingRegions": []string{"US"}, "CidrAllowedList": []string{clientIP + "/32"}, "CpsLimit": 50}}, nil)
			far := serveSIPp(t, "answer", "tcp")
			number := n.carrier(t, far.target("tcp"), "off")
			front := haproxy(t, n.SIP.TCP, option)
			near := callSIPp(t, "customer_call", "tcp", front, number, vc.Host, vc.number,
				append(digestOptions(vc, number), "-i", clientIP)...)
			near.wait()
			far.wait()
			r := n.records(t, vc, 1)[0]
			if r.Status != 200 || r.Customer.Transport != "tcp" || r.Customer.Remote.Addr().String() != clientIP {
				t.Errorf("record %+v, want a call from %s", r, clientIP)
			}
		})
	}
	t.Run("over TLS", func(t *testing.T) {
		t.Parallel()
		vc := n.connect(t, true)
		front := haproxy(t, n.SIP.TLS, "send-proxy-v2")
		cmd := exec.Command(need(t, "openssl"), "s_client", "-connect", front, "-servername", vc.Host, "-verify_hostname", vc.Host,
			"-verify_return_error", "-CAfile", n.CAFile, "-no-CApath", "-no-CAstore", "-brief")
		cmd.Stdin = strings.NewReader("Q\n")
		if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "Verification: OK") {
			t.Errorf("TLS through the balancer: %v\n%s", err, out)
		}
	})
	t.Run("API", func(t *testing.T) {
		t.Parallel()
		front := haproxy(t, strings.TrimPrefix(n.API, "http://"), "send-proxy-v2")
		answer, err := http.Get("http://" + front + "/voice-connectors")
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != http.StatusForbidden {
			t.Errorf("a request without a signature through the balancer: status %d, want 403", answer.StatusCode)
		}
	})
	t.Run("without a header", func(t *testing.T) {
		t.Parallel()
		for _, backend := range []string{n.SIP.TCP, strings.TrimPrefix(n.API, "http://")} {
			if answer, err := http.Get("http://" + haproxy(t, backend, "") + "/voice-connectors"); err == nil {
				answer.Body.Close()
				t.Errorf("the node answered a balancer without a header: %s", answer.Status)
			}
		}
	})
}
