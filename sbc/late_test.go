package sbc

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip/transport"
)

// An INVITE without a description: the target's answer is the offer, the caller's ACK the answer.
func TestLateOffer(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall("").start()
		caller.want("100")
		target := tel.ring()
		if len(target.invite.Body()) != 0 {
			t.Errorf("the carrier was offered %q", target.invite.Body())
		}
		target.answer(180, "")
		caller.want("180")
		target.answer(200, sdpPlain)
		tel.quiet() // the ACK waits for the answer
		ok := caller.answered()
		if !strings.Contains(string(ok.Body()), "SAVP") {
			t.Errorf("the customer was offered %q", ok.Body())
		}
		caller.ack(sdpSecure)
		ack := tel.want("ACK")
		if got := string(ack.Body()); !strings.Contains(got, "ours") || strings.Contains(got, "SAVP") {
			t.Errorf("the carrier's answer is %q", got)
		}
		target.answer(200, sdpPlain)
		if again := tel.want("ACK"); string(again.Body()) != string(ack.Body()) {
			t.Error("the ACK of the repeated 200 differs")
		}
		want := []string{"offer of carrier, require towards customer", "answer of customer", "confirm customer"}
		if did := r.media.only(t).did(); !slices.Equal(did, want) {
			t.Errorf("media was asked %q, want %q", did, want)
		}
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// A target that hangs up before the answer to its offer has come still gets the ACK of its 200: it repeats it until then.
func TestLateOfferHungUpByTheTarget(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall("").start()
		caller.want("100")
		target := tel.ring()
		target.answer(200, sdpPlain)
		caller.answered()
		target.request("BYE", "")
		target.want("200")
		if ack := target.want("ACK"); len(ack.Body()) != 0 || ack.CSeq() != target.invite.CSeq() {
			t.Errorf("ACK is\n%s", ack.Bytes())
		}
		caller.ack(sdpSecure)
		caller.bye()
		r.wantRecord(call.ReasonHangup, 200, "carrier")
	})
}

// A customer that answers an encrypted late offer in the clear, or not at all, is hung up at once.
func TestLateOfferAnsweredInTheClear(t *testing.T) {
	for sdp, reason := range map[string]call.Reason{sdpPlain: call.ReasonMediaNotEncrypted, "": call.ReasonBadDescription} {
		scenario(t, (*world).encrypted, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TLS).outboundCall("").start()
			caller.want("100")
			target := tel.ring()
			target.answer(200, sdpPlain)
			caller.answered()
			caller.ack(sdp)
			if ack := tel.want("ACK"); len(ack.Body()) != 0 {
				t.Errorf("the carrier got the answer %q", ack.Body())
			}
			tel.bye()
			bye := caller.bye()
			if reason == call.ReasonMediaNotEncrypted && !strings.Contains(string(bye.Lookup("Reason")), "RequireEncryption") {
				t.Errorf("Reason is %q", bye.Lookup("Reason"))
			}
			r.wantRecord(reason, 200, "node")
			for _, did := range r.media.only(t).did() {
				if strings.HasPrefix(did, "confirm") {
					t.Error("media was let through")
				}
			}
		})
	}
}

// The carrier calls without a description: the customer's answer must be encrypted or the call ends.
func TestInboundLateOffer(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		pbx := r.pbx()
		caller := r.phone(transport.UDP, carrierIP).inboundCall("").start()
		caller.want("100")
		target := pbx.ring()
		target.answer(200, sdpSecure)
		if ok := caller.answered(); strings.Contains(string(ok.Body()), "SAVP") {
			t.Errorf("the carrier was offered %q", ok.Body())
		}
		caller.ack(sdpPlain)
		if ack := pbx.want("ACK"); !strings.Contains(string(ack.Body()), "SAVP") {
			t.Errorf("the customer's answer is %q", ack.Body())
		}
		hangUp(caller, target)
	})
	scenario(t, (*world).encrypted, func(r *rig) {
		pbx := r.pbx()
		caller := r.phone(transport.UDP, carrierIP).inboundCall("").start()
		caller.want("100")
		target := pbx.ring()
		target.answer(200, sdpPlain)
		pbx.want("ACK")
		pbx.bye()
		caller.refused("488")
		r.wantRecord(call.ReasonMediaNotEncrypted, 488, "")
	})
}

// The host of an encrypted customer answers an encrypted offer in the clear.
func TestPlainAnswerOfAnEncryptedCustomer(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		pbx := r.pbx()
		caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
		caller.want("100")
		target := pbx.ring()
		target.answer(183, sdpPlain)
		if early := caller.want("183"); len(early.Body()) != 0 {
			t.Errorf("early media in the clear was passed on: %q", early.Body())
		}
		target.answer(200, sdpPlain)
		pbx.want("ACK")
		bye := pbx.bye()
		if !strings.Contains(string(bye.Lookup("Reason")), "cause=65") {
			t.Errorf("Reason is %q", bye.Lookup("Reason"))
		}
		caller.refused("488")
		got := r.wantRecord(call.ReasonMediaNotEncrypted, 488, "")
		if !got.Answered.IsZero() || len(got.Attempts) != 1 || got.Attempts[0].Status != 200 {
			t.Errorf("record %+v", got)
		}
	})
}

// What an encrypted customer offers in the clear never rings anywhere.
func TestPlainOfferOfAnEncryptedCustomer(t *testing.T) {
	byName := func(w *world) {
		w.encrypted()
		w.carriers[0].Targets[0].Host = "tel.example.net"
	}
	scenario(t, byName, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpPlain).start()
		caller.want("100")
		final := caller.refused("488")
		if !strings.HasPrefix(string(final.Lookup("Warning")), "302 "+nodeName) {
			t.Errorf("Warning is %q", final.Lookup("Warning"))
		}
		tel.quiet()
		if len(r.net.asked) != 0 {
			t.Error("a target was looked up")
		}
		r.wantRecord(call.ReasonMediaNotEncrypted, 488, "")
	})
}

// A gateway that leaves out of its 200 what it said in its 183.
func TestAnswerOnlyInEarlyMedia(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(183, sdpPlain)
		early := caller.want("183")
		target.answer(200, "")
		tel.want("ACK")
		if ok := caller.answered(); string(ok.Body()) != string(early.Body()) {
			t.Errorf("the caller got %q, want %q", ok.Body(), early.Body())
		}
		caller.ack("")
		hangUp(caller, target)
	})
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		tel.ring().answer(200, "")
		tel.want("ACK")
		tel.bye()
		caller.refused("400")
		r.wantRecord(call.ReasonBadDescription, 400, "")
	})
}

// A phone behind the target answers while the record of the call is written: it is not forgotten with the call.
func TestForkAnswersWhileRecordIsWritten(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		r.records.takes = time.Second
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(200, sdpBad)
		target.want("ACK")
		target.bye()
		other := *target
		other.tag = "other"
		other.answer(200, sdpPlain)
		tel.quiet() // nothing is done before the record is on disk
		time.Sleep(time.Second)
		if got := string(tel.want("ACK").To().Tag()); got != "other" {
			t.Errorf("ACK goes to %q", got)
		}
		if bye := tel.bye(); string(bye.To().Tag()) != "other" {
			t.Errorf("BYE goes to %q", bye.To().Tag())
		}
		caller.refused("400")
		r.wantRecord(call.ReasonBadDescription, 400, "")
	})
}

// A customer who is called may send from the addresses of its list, as one who calls.
func TestListOfACalledCustomer(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		pbx := r.pbx()
		caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
		caller.want("100")
		target := pbx.ring()
		target.answer(200, sdpSecure)
		pbx.want("ACK")
		caller.answered()
		caller.ack("")
		s := r.media.only(t)
		s.mu.Lock()
		customer, carrier := s.policies[call.Customer], s.policies[call.Carrier]
		s.mu.Unlock()
		if customer.Trusted == nil || !customer.Trusted(netip.MustParseAddr(customerIP)) || customer.Trusted(netip.MustParseAddr(strangerIP)) {
			t.Errorf("the customer's leg: %+v", customer)
		}
		if carrier.Trusted != nil {
			t.Errorf("the carrier's leg: %+v", carrier)
		}
		hangUp(caller, target)
	})
}
