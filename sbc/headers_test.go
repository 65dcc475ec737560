package sbc

import (
	"testing"

	"carillon/call"
	"carillon/sip"
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

// User-to-User (RFC 7433) and custom headers cross with every message of a call that can have them, both ways, and what is
// the node's own crosses with none.
func TestHeadersCrossAllAlong(t *testing.T) {
	says := func(text string) []string {
		return []string{"User-to-User: " + text + ";encoding=hex", "X-Leg: " + text, "X-VoiceConnector-ID: forged", "X-Amzn-Id: forged"}
	}
	heard := func(m *sip.Message, text string) {
		t.Helper()
		wantHeaders(t, "the "+describe(m), m, "User-to-User: "+text+";encoding=hex", "X-Leg: "+text, "X-Amzn-Id: ", "X-VoiceConnector-ID: ")
	}
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", fromSDP, says("01")...)
		from.want("100")
		re := to.want("INVITE")
		heard(re, "01")
		to.respond(re, 200, "", toSDP, append(says("02"), "Contact: "+to.contact)...)
		to.want("ACK")
		ok := from.want("200")
		heard(ok, "02")
		from.sendAck(ok, "")
		from.request("UPDATE", fromSDP, says("03")...)
		update := to.want("UPDATE")
		heard(update, "03")
		to.respond(update, 200, "", toSDP, append(says("04"), "Contact: "+to.contact)...)
		heard(from.want("200"), "04")
		from.request("BYE", "", says("05")...)
		from.want("200")
		heard(to.bye(), "05")
		r.wantRecord(call.ReasonHangup, 200, r.record().HungUpBy)
	})
	scenario(t, (*world).encrypted, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure).start(says("06")...)
		caller.want("100")
		target := tel.ring()
		heard(target.invite, "06")
		target.answer(183, sdpPlain, says("07")...)
		heard(caller.want("183"), "07")
		target.answer(503, "")
		target.want("ACK")
		second := backup.ring()
		second.answer(500, "", says("08")...)
		second.want("ACK")
		heard(caller.refused("500"), "08")
		r.record()
	})
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure).start()
		caller.want("100")
		target := tel.ring()
		target.answer(603, "", says("09")...)
		target.want("ACK")
		heard(caller.refused("603"), "09")
		r.record()
	})
	scenario(t, nil, func(r *rig) { // a BYE that waits for the ACK
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		target.request("BYE", "", says("10")...)
		target.want("200")
		caller.ack("")
		heard(caller.bye(), "10")
		r.record()
	})
}
