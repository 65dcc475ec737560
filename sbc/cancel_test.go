package sbc

import (
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip/transport"
)

func TestCancel(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
		scenario(t, nil, func(r *rig) {
			tel := r.tel()
			caller := r.customer(proto).outboundCall(sdpPlainOver(proto)).start()
			caller.want("100")
			target := tel.ring()
			target.answer(180, "")
			ringing := caller.want("180")
			caller.cancel()
			ok := caller.want("200")
			if string(ok.To().Tag()) != string(ringing.To().Tag()) {
				t.Error("the answer to CANCEL has another To-tag (RFC 3261 section 9.2)")
			}
			final := caller.refused("487")
			if string(final.To().Tag()) != string(ringing.To().Tag()) {
				t.Error("the 487 has another To-tag")
			}
			cancel := tel.want("CANCEL")
			if string(cancel.Via().Branch) != string(target.invite.Via().Branch) {
				t.Error("CANCEL has another branch than its INVITE")
			}
			r.wantRecord(call.ReasonCancelled, 487, "customer")
			tel.respond(cancel, 200, "", "")
			target.answer(487, "")
			tel.want("ACK")
			caller.quiet()
		})
	}
}

// Why a caller gave up reaches the target (RFC 3326): a phone that reads that another one took the call shows no missed one.
func TestCancelSaysWhy(t *testing.T) {
	for said, want := range map[string]string{
		"Reason: SIP;cause=200;text=\"Call completed elsewhere\"": "SIP;cause=200",
		"Subject: nothing": `Q.850;cause=16;text="The caller gave up before the call was answered."`,
	} {
		for _, method := range []string{"CANCEL", "BYE"} {
			scenario(t, (*world).encrypted, func(r *rig) {
				pbx := r.pbx()
				caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
				caller.want("100")
				target := pbx.ring()
				target.answer(180, "")
				caller.ok = caller.want("180")
				if method == "BYE" {
					caller.request("BYE", "", said)
				} else {
					cancel := caller.req
					cancel.Method, cancel.Headers, cancel.Body, cancel.ContentType = "CANCEL", []string{said}, "", ""
					caller.send(cancel.Bytes())
				}
				caller.want("200")
				caller.want("487")
				theirs := pbx.want("CANCEL")
				if got := header(theirs, "Reason"); got != want {
					t.Errorf("after %s the CANCEL has Reason %q, want %q", method, got, want)
				}
				pbx.respond(theirs, 200, "", "")
				target.answer(487, "")
				pbx.want("ACK")
				caller.req.CSeq = 1
				caller.ackFailure(caller.ok)
				r.wantRecord(call.ReasonCancelled, 487, "carrier")
			})
		}
	}
}

// sdpPlainOver is an offer a phone would make over a transport.
func sdpPlainOver(p transport.Proto) string {
	if p == transport.TLS {
		return sdpSecure
	}
	return sdpPlain
}

// A target that has said nothing yet must not be sent CANCEL (RFC 3261 section 9.1), only once it says something.
func TestCancelBeforeAnyAnswer(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		caller.cancel()
		caller.want("200")
		caller.refused("487")
		tel.quiet()
		target.answer(100, "")
		tel.respond(tel.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		tel.want("ACK")
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}

// The target answers while our CANCEL is on its way: the caller has its 487, the target gets ACK and BYE.
func TestCancelCrossesAnswer(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(180, "")
		caller.want("180")
		caller.cancel()
		caller.want("200")
		caller.refused("487")
		tel.respond(tel.want("CANCEL"), 200, "", "")
		target.answer(200, sdpPlain)
		ack := tel.want("ACK")
		if ack.CSeq() != target.invite.CSeq() {
			t.Error("ACK has another CSeq than its INVITE")
		}
		bye := tel.want("BYE")
		target.answer(200, sdpPlain)
		tel.want("ACK") // and no second BYE
		tel.respond(bye, 200, "", "")
		tel.quiet()
		caller.quiet()
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}

// The caller's CANCEL comes after our 200: the call stands (RFC 3261 section 9.2).
func TestCancelAfterAnswerChangesNothing(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.cancel()
		caller.want("200") // of the CANCEL
		caller.ack("")
		tel.quiet()
		r.noRecord()
		hangUp(caller, target)
	})
}

// A caller may end its early dialog with BYE (RFC 3261 section 15.1.1).
func TestByeBeforeAnswer(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(180, "")
		caller.ok = caller.want("180")
		bye := caller.inside("BYE", "")
		bye.CSeq++
		caller.send(bye.Bytes())
		caller.want("200")
		caller.refused("487")
		tel.respond(tel.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		tel.want("ACK")
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}

// CANCEL while the target is looked up or connected to.
func TestCancelWhileConnecting(t *testing.T) {
	scenario(t, func(w *world) { w.encrypted(); w.connector.Origination.Routes[0].Port = 5061 }, func(r *rig) {
		r.pbx()
		r.net.hang = map[addrPort]bool{mustAddr(pbxIP + ":5061"): true}
		caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
		caller.want("100")
		time.Sleep(time.Second)
		caller.cancel()
		caller.want("200")
		caller.refused("487")
		synctest.Wait()
		if left := len(r.net.dialed); left != 1 {
			t.Errorf("%d addresses were dialled, want 1", left)
		}
		r.wantRecord(call.ReasonCancelled, 487, "carrier")
	})
}

// A CANCEL whose INVITE was refused without state, or never was.
func TestStrayCancel(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		caller.cancel()
		caller.want("481")
	})
}

// The caller's connection closes while the target rings: nobody could be told of an answer.
func TestCallerGoesAway(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		caller.near.Cut()
		target.answer(180, "")
		tel.respond(tel.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		tel.want("ACK")
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		caller.near.Cut()
		target.answer(200, sdpPlain)
		tel.want("ACK")
		tel.bye()
		r.wantRecord(call.ReasonConnectionLost, 200, "node")
	})
}
