package interop

import (
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// dnsmasq is a name server with the records of its arguments, which live for a second.
type dnsmasq struct {
	t    *testing.T
	port int
	cmd  *exec.Cmd
	gone chan error
	out  *syncBuffer
}

func startDNSMasq(t *testing.T, records ...string) *dnsmasq {
	t.Helper()
	d := &dnsmasq{t: t, port: freePair(t)}
	d.serve(records...)
	t.Cleanup(d.stop)
	return d
}

// serve starts the server, in place of the one before.
func (d *dnsmasq) serve(records ...string) {
	d.t.Helper()
	args := append([]string{"--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
		"--listen-address=127.0.0.1", "--bind-interfaces", fmt.Sprintf("--port=%d", d.port), "--local-ttl=1", "--local=/test/"}, records...)
	d.out, d.gone = &syncBuffer{}, make(chan error, 1)
	d.cmd = exec.Command(need(d.t, "/usr/sbin/dnsmasq"), args...)
	d.cmd.Stdout, d.cmd.Stderr = d.out, d.out
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	gone, cmd := d.gone, d.cmd
	go func() { gone <- cmd.Wait() }()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if out, err := exec.Command(need(d.t, "dig"), "+time=1", "+tries=1", "@127.0.0.1", "-p", fmt.Sprint(d.port), "up.test").CombinedOutput(); err == nil && strings.Contains(string(out), "status:") {
			return
		}
		select {
		case err := <-d.gone:
			d.t.Fatalf("dnsmasq: %v\n%s", err, d.out.tail(2000))
		default:
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("dnsmasq does not answer:\n%s", d.out.tail(2000))
		}
	}
}

func (d *dnsmasq) stop() {
	d.cmd.Process.Kill()
	select {
	case <-d.gone:
	case <-time.After(5 * time.Second):
	}
}

// TestDNSMasq: a real name server leads a carrier's name to its machines by NAPTR, SRV and addresses (RFC 3263): past a
// dead one of lower priority number, anew once the records' time is over, and as before while the server is gone.
func TestDNSMasq(t *testing.T) {
	t.Parallel()
	dead := freePair(t)
	first := serveSIPp(t, "answer", "tcp")
	records := func(service, host string, far *sipp) []string {
		return []string{
			"--naptr-record=carrier.test,10,10,S," + service + ",," + host + ".carrier.test",
			"--naptr-record=carrier.test,20,10,S,SIP+D2S,,_sip._sctp.carrier.test",
			fmt.Sprintf("--srv-host=%s.carrier.test,dead.carrier.test,%d,10,1", host, dead),
			fmt.Sprintf("--srv-host=%s.carrier.test,alive.carrier.test,%d,20,1", host, far.port),
			"--host-record=dead.carrier.test,127.0.0.1", "--host-record=alive.carrier.test,127.0.0.1",
		}
	}
	names := startDNSMasq(t, records("SIP+D2T", "_sip._tcp", first)...)
	n, err := startNode("--resolver", fmt.Sprintf("127.0.0.1:%d", names.port))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Error(err)
		}
	})
	vc := n.connect(t, false)
	number := n.carrier(t, "sip:carrier.test", "off")
	call := func(what string, calls int, far *sipp, transport string) {
		t.Helper()
		near := callSIPp(t, "customer_call", "udp", n.SIP.UDP, number, vc.Host, vc.number, digestOptions(vc, number)...)
		near.wait()
		far.wait()
		r := n.records(t, vc, calls)[0]
		want := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(far.port))
		if r.Status != 200 || r.CarrierLeg.Transport != transport || r.CarrierLeg.Remote != want {
			t.Errorf("%s: %d over %s to %v, want 200 over %s to %v", what, r.Status, r.CarrierLeg.Transport, r.CarrierLeg.Remote, transport, want)
		}
	}
	call("NAPTR chooses TCP, SRV has a dead machine first", 1, first, "tcp")

	second := serveSIPp(t, "answer", "udp")
	names.stop()
	names.serve(records("SIP+D2U", "_sip._udp", second)...)
	time.Sleep(1100 * time.Millisecond) // the life of a record is what this is about
	call("the domain has moved to UDP", 2, second, "udp")

	third := startSIPp(t, "answer", "udp", "-p", fmt.Sprint(second.port))
	third.port = second.port
	third.listening("udp")
	names.stop()
	time.Sleep(1100 * time.Millisecond)
	call("the name server is gone", 3, third, "udp")
}
