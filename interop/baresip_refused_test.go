package interop

import (
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestBaresipRefused: what must not get through an encrypted connector does not, and the phone is told why.
func TestBaresipRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, transport, media string
		status, reason, says   string
	}{
		{"in the clear", "udp", "", "403", "signalling_not_encrypted", "SIP must come over TLS"},
		{"TCP without TLS", "tcp", "", "403", "signalling_not_encrypted", "SIP must come over TLS"},
		{"TLS without SRTP", "tls", "", "488", "media_not_encrypted", "RTP/SAVP"},
		{"TLS with a key on a plain profile", "tls", "srtp", "488", "media_not_encrypted", "RTP/SAVP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, true, "md5")
			// The connector's DNS offers TLS only; a phone that is set to clear transports is pointed there by hand.
			a := customerAccount(vc, c.transport, c.media)
			if c.transport != "tls" {
				a += `;outbound="sip:` + n.sip(c.transport) + ";transport=" + c.transport + `"`
			}
			phone := startBaresip(t, baresipConfig{account: a, tone: customerTone, trace: true})
			phone.command("dial", "sip:"+labEcho+"@"+vc.Host)
			if e := phone.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_CLOSED" || !strings.HasPrefix(e.Param, c.status) {
				t.Errorf("got %+v, want %s; log:\n%s", e, c.status, phone.log.tail(3000))
			}
			r := n.records(t, vc, 1)[0]
			if r.Reason != c.reason || !strings.Contains(r.Sentence, c.says) || r.Customer.Media.Received != 0 {
				t.Errorf("record %+v", r)
			}
			if !strings.Contains(phone.log.String(), c.says) {
				t.Errorf("the phone was not told why; log:\n%s", phone.log.tail(3000))
			}
		})
	}
}

// TestBaresipWrongPassword: the call ends with the challenge and is recorded.
func TestBaresipWrongPassword(t *testing.T) {
	t.Parallel()
	n := node(t)
	vc := n.connect(t, true, "md5")
	a := strings.Replace(customerAccount(vc, "tls", "srtp-mand"), phonePassword, "not-"+phonePassword, 1)
	phone := startBaresip(t, baresipConfig{account: a, tone: customerTone})
	phone.command("dial", "sip:"+freshNumber()+"@"+vc.Host)
	if e := phone.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_CLOSED" {
		t.Errorf("got %+v", e)
	}
	if r := n.records(t, vc, 1)[0]; r.Reason != "credentials_wrong" || r.Status != 407 {
		t.Errorf("record %+v", r)
	}
}

// TestBaresipUntrusted: an inbound call does not reach a customer whose certificate nobody signed, not even its
// INVITE, and is not tried in the clear.
func TestBaresipUntrusted(t *testing.T) {
	t.Parallel()
	n := node(t)
	vc := n.connect(t, true, "md5")
	phone := startBaresip(t, baresipConfig{account: account(vc.number+"@127.0.0.1", "tls", "srtp-mand") + ";answermode=auto", tone: customerTone, stranger: true, trace: true})
	n.route(t, vc, "127.0.0.1", phone.port+1, "TCP")
	caller := freshNumber()
	far := startBaresip(t, baresipConfig{account: account(caller+"@127.0.0.1", "udp", ""), tone: carrierTone})
	n.carrierFor(t, far.target("udp"), "off", caller)
	far.command("dial", "sip:"+vc.number+"@"+n.SIP.UDP)
	if e := far.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_CLOSED" || !strings.HasPrefix(e.Param, "50") {
		t.Errorf("got %+v", e)
	}
	if r := n.records(t, vc, 1)[0]; r.Reason != "all_targets_failed" || r.Customer.Media.Sent != 0 {
		t.Errorf("record %+v", r)
	}
	if strings.Contains(phone.log.String(), "INVITE") {
		t.Errorf("the stranger was sent an INVITE:\n%s", phone.log.tail(3000))
	}
}

// TestBaresipRings: a call that is still ringing is given up by the caller, then another is refused by the called.
func TestBaresipRings(t *testing.T) {
	t.Parallel()
	n := node(t)
	vc := n.connect(t, true, "md5")
	number := freshNumber()
	far := startBaresip(t, baresipConfig{account: account(number+"@127.0.0.1", "tcp", ""), tone: carrierTone})
	n.carrierFor(t, far.target("tcp"), "off", number)
	near := startBaresip(t, baresipConfig{account: customerAccount(vc, "tls", "srtp-mand"), tone: customerTone})
	near.command("dial", "sip:"+number+"@"+vc.Host)
	near.wait("CALL_RINGING")
	far.wait("CALL_INCOMING")
	near.command("hangup", "")
	far.wait("CALL_CLOSED")
	if r := n.records(t, vc, 1)[0]; r.Reason != "cancelled" || r.Status != 487 || !r.Answered.IsZero() {
		t.Errorf("record %+v", r)
	}
	near.forget()
	far.forget()
	near.command("dial", "sip:"+number+"@"+vc.Host)
	near.wait("CALL_RINGING")
	far.wait("CALL_INCOMING")
	time.Sleep(200 * time.Millisecond) // let it ring
	far.command("hangup", "")
	if e := near.wait("CALL_CLOSED"); !strings.HasPrefix(e.Param, "486") {
		t.Errorf("got %+v, want 486", e)
	}
	if r := n.records(t, vc, 2)[0]; r.Reason != "remote_refused" || r.Status != 486 {
		t.Errorf("record %+v", r)
	}
	near.stop()
	if files, _ := filepath.Glob(filepath.Join(near.dir, "dump-*-dec.wav")); len(files) != 0 {
		t.Errorf("a call that was never answered was heard: %v", files)
	}
}
