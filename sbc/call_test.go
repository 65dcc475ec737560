package sbc

import (
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip/transport"
)

func TestOutboundCall(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		t.Run(proto.String(), func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				tel := r.tel()
				caller := r.customer(proto).outboundCall(sdpPlain).start("X-Order: 66", "Subject: hello")
				caller.want("100")
				target := tel.ring()
				if got := string(target.invite.Body()); got != sdpPlain+" ours 2 for carrier" {
					t.Errorf("the carrier was offered %q", got)
				}
				if got := string(target.invite.Lookup("X-Order")); got != "66" {
					t.Errorf("X-Order is %q", got)
				}
				target.answer(100, "")
				target.answer(180, "")
				ringing := caller.want("180")
				target.answer(183, sdpPlain)
				early := caller.want("183")
				if !strings.Contains(string(early.Body()), "ours") {
					t.Errorf("early media %q", early.Body())
				}
				time.Sleep(2 * time.Second)
				target.answer(200, sdpPlain)
				target.want("ACK")
				ok := caller.answered()
				for _, m := range [][]byte{ringing.To().Tag(), early.To().Tag()} {
					if string(m) != string(ok.To().Tag()) {
						t.Error("the To-tag towards the caller changed")
					}
				}
				caller.ack("")
				time.Sleep(10 * time.Second)
				hangUp(caller, target)
				got := r.wantRecord(call.ReasonHangup, 200, "customer")
				if got.End.Sub(got.Answered) != 10*time.Second || got.Answered.Sub(got.Start) != 2*time.Second {
					t.Errorf("started %v, answered %v, ended %v", got.Start, got.Answered, got.End)
				}
				if got.Carrier != "tel" || got.From != ownNumber || got.To != farNumber || got.Revision != 7 || got.Account != account ||
					got.ConnectorID != connectorID || got.Direction != "Outbound" || got.ToCountry != "US" {
					t.Errorf("record %+v", got)
				}
				if got.Customer.Transport != strings.ToLower(proto.String()) || got.CarrierLeg.Transport != "udp" ||
					got.Customer.Media.PacketsReceived != 1 || got.CarrierLeg.Media.PacketsReceived != 2 ||
					got.Customer.SIPCallID != caller.req.CallID || got.CarrierLeg.SIPCallID != string(target.invite.CallID()) {
					t.Errorf("legs %+v and %+v", got.Customer, got.CarrierLeg)
				}
				want := []string{"offer of customer, off towards carrier", "offer of customer, off towards carrier", "answer of carrier", "answer of carrier", "confirm customer"}
				if did := r.media.only(t).did(); !slices.Equal(did, want) {
					t.Errorf("media was asked %q, want %q", did, want)
				}
			})
		})
	}
}
