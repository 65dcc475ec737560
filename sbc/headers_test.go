package sbc

import (
	"testing"

	"carillon/sip/transport"
)

// Which custom headers cross is the connector's to say; those that only the node writes never do.
func TestCustomHeaders(t *testing.T) {
	says := []string{"X-Order: 1", "X-Order-Item: 2", "X-Secret: 3", "X-VoiceConnector-ID: 4", "X-Amzn-Id: 5", "Subject: kept", "User-to-User: 56a390f3;encoding=hex", "Priority: urgent", "Y-Other: 6"}
	for name, c := range map[string]struct {
		headers []string
		want    map[string]string
	}{
		"by default": {nil, map[string]string{"X-Order": "1", "X-Order-Item": "2", "X-Secret": "3"}},
		"none":       {[]string{}, nil},
		"some":       {[]string{"x-order*", "X-AMZN*", "X-VoiceConnector-ID"}, map[string]string{"X-Order": "1", "X-Order-Item": "2"}},
		"one":        {[]string{"X-Order"}, map[string]string{"X-Order": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) { w.encrypted(); w.connector.Settings.Headers = c.headers }, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.TLS).outboundCall(sdpSecure).start(says...)
				caller.want("100")
				target := tel.ring()
				for _, h := range []string{"X-Order", "X-Order-Item", "X-Secret", "X-VoiceConnector-ID", "X-Amzn-Id", "Y-Other"} {
					if got := header(target.invite, h); got != c.want[h] {
						t.Errorf("%s is %q, want %q", h, got, c.want[h])
					}
				}
				wantHeaders(t, "the INVITE", target.invite, "Subject: kept", "User-to-User: 56a390f3;encoding=hex", "Priority: urgent")
				target.answer(486, "")
				target.want("ACK")
				caller.refused("486")
				r.record()
			})
		})
	}
}
