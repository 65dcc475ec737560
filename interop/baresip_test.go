package interop

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The tones of the two sides.
const (
	customerTone = 440.0
	carrierTone  = 1000.0
)

// heard is how much each side must hear before one hangs up.
const heard = time.Second

// bareCall is one call between a baresip as customer and a baresip as carrier, with Carillon between them.
type bareCall struct {
	name      string
	encrypted bool
	// customer is the customer's transport, media its mediaenc.
	customer, media string
	// carrier is the carrier's transport, srtp the carrier's policy, carrierMedia its mediaenc.
	carrier, srtp, carrierMedia string
}

var bareCalls = []bareCall{
	{"udp/rtp to udp/rtp", false, "udp", "", "udp", "off", ""},
	{"tcp/rtp to tcp/rtp", false, "tcp", "", "tcp", "off", ""},
	{"tls/rtp to udp/rtp", false, "tls", "", "udp", "off", ""},
	{"udp/rtp to tls/srtp", false, "udp", "", "tls", "require", "srtp-mand"},
	{"tls/srtp to udp/rtp", true, "tls", "srtp-mand", "udp", "off", ""},
	{"tls/srtp to tls/rtp", true, "tls", "srtp-mand", "tls", "off", ""},
	{"tls/srtp to tls/srtp", true, "tls", "srtp-mand", "tls", "require", "srtp-mand"},
	// Feedback ends here: a carrier set to plain audio refuses RTP/AVPF.
	{"tls/srtp with feedback to udp/rtp", true, "tls", "srtp-mandf", "udp", "off", ""},
	{"tls/srtp with feedback to tls/srtp", true, "tls", "srtp-mandf", "tls", "require", "srtp-mand"},
}

// TestBaresipOutbound: real phones call real phones through the connector, which they find through its DNS. Both
// hear each other, and the record says what was encrypted on each leg.
func TestBaresipOutbound(t *testing.T) {
	t.Parallel()
	for i, c := range bareCalls {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			vc := n.connect(t, c.encrypted, "md5")
			number := freshNumber()
			far := startBaresip(t, baresipConfig{account: account(number+"@127.0.0.1", c.carrier, c.carrierMedia) + ";answermode=auto", tone: carrierTone})
			n.carrierFor(t, far.target(c.carrier), c.srtp, number)
			near := startBaresip(t, baresipConfig{account: customerAccount(vc, c.customer, c.media), tone: customerTone})
			near.command("dial", "sip:"+number+"@"+vc.Host)
			if e := near.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_ESTABLISHED" {
				t.Fatalf("the call ended: %+v\n%s\nrecord %+v", e, near.log.tail(4000), n.records(t, vc, 1))
			}
			far.wait("CALL_ESTABLISHED")
			near.hears(heard)
			far.hears(heard)
			hang, other := near, far
			if i%2 == 1 { // the carrier hangs up
				hang, other = far, near
			}
			hang.command("hangup", "")
			other.wait("CALL_CLOSED")
			near.heard(carrierTone, customerTone, heard)
			far.heard(customerTone, carrierTone, heard)
			r := n.records(t, vc, 1)[0]
			if who := map[bool]string{true: "customer", false: "carrier"}[i%2 == 0]; r.HungUpBy != who {
				t.Errorf("hung up by %q, want %q", r.HungUpBy, who)
			}
			if r.Direction != "Outbound" || r.From != vc.number || r.To != number || r.AuthUser != phoneUser {
				t.Errorf("record %+v", r)
			}
			c.judge(t, r)
		})
	}
}

// TestBaresipInbound: the carrier's phone calls the connector's number and the customer's phone answers, over TLS
// with a certificate that the node checks.
func TestBaresipInbound(t *testing.T) {
	for _, c := range []bareCall{
		{"udp/rtp to udp/rtp", false, "udp", "", "udp", "off", ""},
		{"udp/rtp to tcp/rtp", false, "tcp", "", "udp", "off", ""},
		{"udp/rtp to tls/srtp", true, "tls", "srtp-mand", "udp", "off", ""},
		{"tls/srtp to tls/srtp", true, "tls", "srtp-mand", "tls", "require", "srtp-mand"},
	} {
		t.Run(c.name, func(t *testing.T) {
			// Not in parallel: all these carriers call from one address, which must mean one carrier at a time.
			n := node(t)
			vc := n.connect(t, c.encrypted, "md5")
			phone := startBaresip(t, baresipConfig{account: account(vc.number+"@127.0.0.1", c.customer, c.media) + ";answermode=auto", tone: customerTone})
			port, protocol := phone.port, "TCP"
			if c.customer == "tls" {
				port++
			}
			if c.customer == "udp" {
				protocol = "UDP"
			}
			n.route(t, vc, "127.0.0.1", port, protocol)
			caller := freshNumber()
			far := startBaresip(t, baresipConfig{account: account(caller+"@127.0.0.1", c.carrier, c.carrierMedia), tone: carrierTone})
			n.carrierFor(t, far.target(c.carrier), c.srtp, caller)
			far.command("dial", "sip:"+vc.number+"@"+n.sip(c.carrier)+";transport="+c.carrier)
			if e := far.wait("CALL_ESTABLISHED", "CALL_CLOSED"); e.Type != "CALL_ESTABLISHED" {
				t.Fatalf("the call ended: %+v\n%s\nrecord %+v", e, far.log.tail(4000), n.records(t, vc, 1))
			}
			phone.wait("CALL_ESTABLISHED")
			phone.hears(heard)
			far.hears(heard)
			phone.command("hangup", "")
			far.wait("CALL_CLOSED")
			far.heard(customerTone, carrierTone, heard)
			phone.heard(carrierTone, customerTone, heard)
			r := n.records(t, vc, 1)[0]
			if r.Direction != "Inbound" || r.From != caller || r.To != vc.number || r.HungUpBy != "customer" {
				t.Errorf("record %+v", r)
			}
			if c.customer == "tls" && r.Customer.Peer != "verified" {
				t.Errorf("the customer's certificate is %q, want verified", r.Customer.Peer)
			}
			c.judge(t, r)
		})
	}
}

// judge compares the record's proof with what the call was.
func (c bareCall) judge(t *testing.T, r record) {
	t.Helper()
	const packets = int(heard / (20 * time.Millisecond))
	if r.Status != 200 || r.Reason != "hangup" || r.RequireEncryption != c.encrypted {
		t.Errorf("record %+v", r)
	}
	for _, leg := range []struct {
		name, transport string
		srtp, offered   bool // offered: the phone made the offer of the leg
		record          legRecord
	}{
		{"customer", c.customer, c.media != "", r.Direction == "Outbound", r.Customer},
		{"carrier", c.carrier, c.carrierMedia != "", r.Direction == "Inbound", r.CarrierLeg},
	} {
		// baresip offers one suite; from ours it takes the first.
		suite := "AEAD_AES_128_GCM"
		if leg.offered {
			suite = "AES_CM_128_HMAC_SHA1_80"
		}
		m := leg.record.Media
		if leg.record.Transport != leg.transport || m.Codec != "PCMU/8000" || m.Received < packets || m.Sent < packets || m.AuthFailures != 0 || m.Replays != 0 {
			t.Errorf("%s leg %+v", leg.name, leg.record)
		}
		if leg.transport == "tls" && (!strings.HasPrefix(leg.record.TLSVersion, "TLS 1.") || leg.record.Cipher == "") {
			t.Errorf("%s leg: TLS %q with %q", leg.name, leg.record.TLSVersion, leg.record.Cipher)
		}
		profile := "RTP/SAVP"
		if c.media == "srtp-mandf" && leg.offered {
			profile = "RTP/SAVPF"
		}
		if leg.srtp && (m.Profile != profile || m.Suite != suite || m.Protected < packets || m.Unprotected < packets || m.PlainSent != 0) {
			t.Errorf("%s leg is not encrypted: %+v", leg.name, m)
		}
		if !leg.srtp && (m.Profile != "RTP/AVP" || m.Suite != "" || m.Protected != 0 || m.PlainSent < packets) {
			t.Errorf("%s leg is not plain: %+v", leg.name, m)
		}
	}
}

// account returns an account that needs no password.
func account(user, transport, media string) string {
	a := "<sip:" + user + ";transport=" + transport + ">"
	if media != "" {
		a += ";mediaenc=" + media
	}
	return a
}

func customerAccount(vc connector, transport, media string) string {
	return account(vc.number+"@"+vc.Host, transport, media) + ";auth_user=" + phoneUser + ";auth_pass=" + phonePassword
}

// target is where a baresip takes calls.
func (b *baresip) target(transport string) string {
	port := b.port
	if transport == "tls" {
		port++
	}
	return fmt.Sprintf("sip:127.0.0.1:%d;transport=%s", port, transport)
}

// sip returns the node's address for a transport.
func (n *process) sip(transport string) string {
	switch transport {
	case "udp":
		return n.SIP.UDP
	case "tcp":
		return n.SIP.TCP
	}
	return n.SIP.TLS
}
