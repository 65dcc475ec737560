package sbc

import (
	"strings"
	"testing"

	"carillon/sip/transport"
)

// What the caller is told about targets that failed names none of them, whatever they say of themselves.
func TestFailuresNameNoHosts(t *testing.T) {
	for phrase, want := range map[string]string{
		"Busy Here":                           "Busy Here",
		"Caller Id +12065550100 is not valid": "Caller Id +12065550100 is not valid",
		"Gone. Try later!":                    "Gone. Try later!",
		"Busy at sbc.carrier.example":         "Bad Gateway",
		"No route to 10.0.0.7":                "Bad Gateway",
		"No route to [2001:db8::7]:5060":      "Bad Gateway",
		"See (bob@carrier)":                   "Bad Gateway",
		strings.Repeat("x", 101):              "Bad Gateway",
	} {
		scenario(t, (*world).encrypted, func(r *rig) {
			tel, backup := r.tel(), r.backup()
			caller := r.customer(transport.TLS).outboundCall(sdpSecure).start()
			caller.want("100")
			for _, p := range []*peer{tel, backup} {
				target := p.ring()
				p.send([]byte(strings.Replace(reply502(target), "Bad Gateway", phrase, 1)))
				target.want("ACK")
			}
			final := caller.refused("502")
			if string(final.Reason()) != want {
				t.Errorf("%q was passed on as %q, want %q", phrase, final.Reason(), want)
			}
			for _, secret := range []string{carrierIP, backupIP, "10.0.0.7", "2001:db8", "carrier.example"} {
				if strings.Contains(caller.everything(), secret) {
					t.Errorf("%s shows in\n%s", secret, caller.everything())
				}
			}
			r.record()
		})
	}
}

func reply502(a *agent) string {
	return "SIP/2.0 502 Bad Gateway\r\nVia: " + string(a.invite.Lookup("Via")) + "\r\nFrom: " + string(a.invite.Lookup("From")) +
		"\r\nTo: " + string(a.invite.Lookup("To")) + ";tag=" + a.tag + "\r\nCall-ID: " + string(a.invite.CallID()) +
		"\r\nCSeq: " + string(a.invite.Lookup("CSeq")) + "\r\nContent-Length: 0\r\n\r\n"
}
