package interop

import (
	"strings"
	"testing"
)

// TestBaresipChangesTheSession: a real phone puts an encrypted call on hold and takes it back, and asks for a transfer,
// which crosses, or is executed, only where the connector's settings say so.
func TestBaresipChangesTheSession(t *testing.T) {
	t.Parallel()
	for name, transfers := range map[string]string{"hold and refused transfer": "refuse", "hold and relayed transfer": "relay", "hold and executed transfer": "execute"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, true, "md5")
			n.operate(t, "connector", "set", vc.ID, "transfers="+transfers)
			number := freshNumber()
			far := startBaresip(t, baresipConfig{account: account(number+"@127.0.0.1", "udp", "") + ";answermode=auto", tone: carrierTone})
			n.carrierFor(t, far.target("udp"), "off", number)
			near := startBaresip(t, baresipConfig{account: customerAccount(vc, "tls", "srtp-mand"), tone: customerTone, trace: true})
			near.command("dial", "sip:"+number+"@"+vc.Host)
			if e := near.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_ESTABLISHED" {
				t.Fatalf("the call ended: %+v\n%s", e, near.log.tail(4000))
			}
			far.wait("CALL_ESTABLISHED")
			near.hears(heard)
			far.hears(heard) // baresip 1.0.0 with a file for its source sends nothing after a re-INVITE, linphone does
			for _, change := range []string{"hold", "resume"} {
				far.forget()
				near.command(change, "")
				far.wait("CALL_REMOTE_SDP")
			}
			far.forget()
			near.command("transfer", "sip:"+labEcho+"@"+vc.Host)
			switch transfers {
			case "execute":
				far.wait("CALL_REMOTE_SDP") // it is joined with the echo
				near.wait("CALL_CLOSED")
				transferred(t, n, vc, near, far)
				return
			case "relay":
				if e := far.wait("TRANSFER"); !strings.Contains(e.Param, labEcho) || strings.Contains(e.Param, "127.0.0.1") {
					t.Errorf("the transfer is to %q", e.Param)
				}
			default:
				near.wait("TRANSFER_FAILED", "CALL_TRANSFER_FAILED")
			}
			near.command("hangup", "")
			far.wait("CALL_CLOSED")
			near.stop()
			r := n.records(t, vc, 1)[0]
			if m := r.Customer.Media; r.Status != 200 || m.Profile != "RTP/SAVP" || m.PlainSent != 0 || m.AuthFailures != 0 || m.Received < 40 || m.Sent < 40 {
				t.Errorf("status %d, media %+v", r.Status, m)
			}
		})
	}
}

// transferred ends a call that was transferred to the echo, and judges what was recorded.
func transferred(t *testing.T, n *process, vc connector, near, far *baresip) {
	t.Helper()
	far.command("hangup", "")
	far.wait("CALL_CLOSED")
	near.stop()
	for _, r := range n.records(t, vc, 2) {
		switch r.Reason {
		case "transferred":
			if m := r.Customer.Media; r.HungUpBy != "customer" || m.Profile != "RTP/SAVP" || m.PlainSent != 0 {
				t.Errorf("the call is recorded as %+v", r)
			}
		case "hangup":
			if r.HungUpBy != "carrier" || r.To != labEcho || r.Customer.Media.Profile != "" {
				t.Errorf("the new call is recorded as %+v", r)
			}
		default:
			t.Errorf("a record says %s", r.Reason)
		}
	}
}
