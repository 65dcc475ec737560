package sbc

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// transferring begins a transfer up to where the new call rings.
func transferring(r *rig) (who, stays, target *agent) {
	r.t.Helper()
	tel := r.tel()
	who = r.customer(transport.TLS).outboundCall(sdpSecure)
	stays = connect(who, tel, sdpPlain)
	who.refer()
	return who, stays, tel.ring()
}

// Many phones hang up as soon as their REFER is accepted. The party that stays waits for the outcome.
func TestTransferorHangsUpAtOnce(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		who.request("BYE", "")
		who.want("200")
		stays.quiet()
		r.media.sessions[0].open.OnSilence(call.Customer, false) // it is heard no more
		for method, sdp := range map[string]string{"INVITE": sdpPlain, "UPDATE": sdpPlain, "INFO": ""} {
			stays.request(method, sdp)
			if refused := stays.want("491"); method == "INVITE" {
				a := stays.inside("ACK", "")
				a.CSeq, a.Branch = refused.CSeq(), branchOf(refused)
				stays.send(a.Bytes())
			}
		}
		target.answer(200, sdpPlain)
		target.want("ACK")
		stays.rejoined(sdpPlain)
		who.reported("200 OK", true) // the subscription outlives the call (RFC 5057 section 4)
		who.quiet()
		target.request("BYE", "")
		target.want("200")
		stays.bye()
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // and nobody is left to go back to
		who, stays, target := transferring(r)
		who.request("BYE", "")
		who.want("200")
		target.answer(486, "")
		target.want("ACK")
		told := who.reported("486 Busy Here", true)
		if got, want := string(told.Body()), `"The far side refused the call: answered 486 Busy Here."`+"\r\n"; !strings.HasSuffix(got, want) {
			t.Errorf("told %q, want %s", got, want)
		}
		stays.bye()
		rec := r.byReason(2)["hangup"]
		if f := rec.FailedTransfers; len(f) != 1 || f[0].To != newNumber || f[0].Status != 486 || f[0].Sentence != "The far side refused the call: answered 486 Busy Here." {
			t.Errorf("the record has the failed transfers %+v", f)
		}
		if rec.HungUpBy != "customer" || rec.TransferredTo != "" {
			t.Errorf("the record is %+v", rec)
		}
	})
}

// The party that stays hangs up while the new call rings, or while it is asked.
func TestRemainingPartyHangsUp(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		target.answer(180, "")
		who.reported("180 Ringing", false)
		stays.request("BYE", "")
		stays.want("200")
		target.respond(target.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		target.want("ACK")
		who.bye()
		who.reported("487 Request Terminated", true)
		if rec := r.byReason(2)["cancelled"]; rec.HungUpBy != "carrier" {
			t.Errorf("the record of the new call is %+v", rec)
		}
	})
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		target.answer(200, sdpPlain)
		target.want("ACK")
		asked := stays.want("INVITE")
		stays.request("BYE", "")
		stays.want("200")
		bye := target.want("BYE") // both are at one address
		target.respond(bye, 200, "", "")
		stays.respond(asked, 200, "", sdpPlain, "Contact: "+stays.contact) // it overtook the BYE
		stays.want("ACK")
		who.bye()
		who.reported("487 Request Terminated", true)
		stays.clear()
		r.byReasonOf(2, "hangup")
	})
}

// The target hangs up while the party that stays is asked: that one goes back to whom it spoke with, whatever it answers.
func TestTargetHangsUpBeforeItIsJoined(t *testing.T) {
	for _, accepts := range []bool{true, false} {
		scenario(t, executes, func(r *rig) {
			who, stays, target := transferring(r)
			target.answer(200, sdpPlain)
			target.want("ACK")
			asked := stays.want("INVITE")
			stays.respond(asked, 100, "", "")
			target.request("BYE", "")
			target.want("200")
			stays.respond(stays.want("CANCEL"), 200, "", "")
			if accepts {
				stays.respond(asked, 200, "", sdpPlain, "Contact: "+stays.contact)
				stays.want("ACK")
				if back := stays.rejoined(sdpPlain); !strings.Contains(string(back.Body()), "ours 2 for carrier") {
					t.Errorf("it is to go back to %q", back.Body())
				}
			} else {
				stays.respond(asked, 487, "", "")
				stays.want("ACK")
			}
			who.reported("487 Request Terminated", true)
			hangUp(who, stays)
			r.byReasonOf(2, "hangup")
		})
	}
}

// What the party that stays does not take leaves it where it is.
func TestRemainingPartyRefuses(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		target.answer(200, sdpPlain)
		target.want("ACK")
		stays.respond(stays.want("INVITE"), 488, "", "")
		stays.want("ACK")
		target.bye()
		who.reported("488 Not Acceptable Here", true)
		hangUp(who, stays)
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // it does not answer at all: it is gone
		who, stays, target := transferring(r)
		target.answer(200, sdpPlain)
		target.want("ACK")
		stays.want("INVITE")
		time.Sleep(40 * time.Second)
		stays.clear()
		who.bye()
		who.reported("408 Request Timeout", true)
		if rec := r.byReason(2)["connection_lost"]; rec.HungUpBy != "node" {
			t.Errorf("the record is %+v", rec)
		}
	})
}

// Both change the session at the same time: the node waits and tries again (RFC 3261 section 14.1), but not for ever.
func TestTransferGlare(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		target.answer(200, sdpPlain)
		target.want("ACK")
		stays.respond(stays.want("INVITE"), 491, "", "")
		stays.want("ACK")
		stays.request("INVITE", sdpPlain) // it comes through meanwhile
		stays.want("100")
		change := who.want("INVITE")
		time.Sleep(5 * time.Second) // past the pause: the node waits for the end of that change
		stays.quiet()
		who.respond(change, 200, "", sdpSecure, "Contact: "+who.contact)
		who.want("ACK")
		stays.sendAck(stays.want("200"), "")
		stays.rejoined(sdpPlain)
		who.reported("200 OK", true)
		who.bye()
		target.request("BYE", "")
		target.want("200")
		stays.bye()
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		target.answer(200, sdpPlain)
		target.want("ACK")
		for range maxGlares + 1 {
			stays.respond(stays.want("INVITE"), 491, "", "")
			stays.want("ACK")
			for stays.empty() && r.sbc.stats.TransferFails.Load() == 0 {
				time.Sleep(100 * time.Millisecond)
			}
		}
		target.bye()
		who.reported("491 Request Pending", true)
		hangUp(who, stays)
		r.byReason(2)
	})
}

// Who refuses a report is told nothing more, and the transfer goes on.
func TestReportRefused(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		who := r.customer(transport.TLS).outboundCall(sdpSecure)
		stays := connect(who, tel, sdpPlain)
		who.request("REFER", "", "Refer-To: <sip:"+newNumber+"@"+host+">", "Contact: "+who.contact)
		who.want("202")
		first := who.want("NOTIFY")
		target := tel.ring()
		target.answer(180, "")
		who.quiet() // one report at a time
		who.respond(first, 481, "", "")
		target.answer(200, sdpPlain)
		target.want("ACK")
		stays.rejoined(sdpPlain)
		who.bye()
		target.request("BYE", "")
		target.want("200")
		stays.bye()
		r.byReason(2)
	})
}

// The ACK that joins a party may be lost after the call it comes from has ended: the party repeats its answer.
func TestJoiningAckIsRepeated(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		who, stays, target := transferring(r)
		target.answer(200, sdpPlain)
		target.want("ACK")
		asked := stays.rejoined(sdpPlain)
		who.reported("200 OK", true)
		who.bye()
		time.Sleep(time.Second)
		if n := len(r.records.list()); n != 1 {
			t.Errorf("%d records", n)
		}
		stays.respond(asked, 200, "", sdpPlain, "Contact: "+stays.contact)
		if ack := stays.want("ACK"); ack.CSeq() != asked.CSeq() {
			t.Errorf("the ACK is\n%s", ack.Bytes())
		}
		target.request("BYE", "")
		target.want("200")
		stays.bye()
		r.byReason(2)
	})
}

// The node ends while a call is transferred.
func TestTransferIsDrained(t *testing.T) {
	for _, answered := range []bool{false, true} {
		scenario(t, executes, func(r *rig) {
			who, stays, target := transferring(r)
			if answered {
				target.answer(200, sdpPlain)
			}
			synctest.Wait()
			r.sbc.stopAll()
			time.Sleep(time.Minute)
			who.clear()
			stays.clear()
			r.byReasonOf(2, "shutdown")
		})
	}
}

// A customer of a connector inside the installation transfers a caller who is a customer of an encrypted one: what that
// one was promised holds in the new call.
func TestTransferKeepsThePromise(t *testing.T) {
	inside := func(w *world) {
		executes(w)
		w.connector.Settings.Transfers = trunk.RefuseTransfers
		w.other.Settings.Transfers = trunk.ExecuteTransfers
		w.other.Termination.CidrAllowedList = []trunk.CIDR{{Text: pbxIP + "/32", Prefix: netip.MustParsePrefix(pbxIP + "/32")}}
	}
	for _, answer := range []string{sdpSecure, sdpPlain} {
		scenario(t, inside, func(r *rig) {
			tel, pbx := r.tel(), r.peer(transport.UDP, pbxIP+":5060")
			stays := r.customer(transport.TLS).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpSecure)
			who := connect(stays, pbx, sdpPlain)
			stays.request("REFER", "", "Refer-To: <sip:"+newNumber+"@"+host+">", "Contact: "+stays.contact)
			stays.want("405") // its connector does not
			who.refer()
			target := tel.ring()
			wantHeaders(t, "the INVITE", target.invite, "P-Asserted-Identity: <sip:"+otherNumber+"@"+domain+">")
			target.answer(200, sdpPlain)
			target.want("ACK")
			if asked := stays.rejoined(answer); !strings.Contains(string(asked.Body()), "SAVP") {
				t.Errorf("an encrypted customer was offered %q", asked.Body())
			}
			who.reported("200 OK", true)
			who.bye()
			reason := "hangup"
			if answer == sdpPlain {
				reason = "media_not_encrypted"
				target.bye()
				stays.bye()
			} else {
				stays.request("BYE", "")
				stays.want("200")
				target.bye()
			}
			time.Sleep(time.Second)
			all := r.records.list()
			if len(all) != 3 {
				t.Fatalf("%d records: %+v", len(all), all)
			}
			i := slices.IndexFunc(all, func(rec call.Record) bool { return rec.Reason == reason })
			j := slices.IndexFunc(all, func(rec call.Record) bool { return rec.Reason == "transferred" && rec.Account == otherAccount })
			k := slices.IndexFunc(all, func(rec call.Record) bool { return rec.Reason == "transferred" && rec.Account == account })
			if i < 0 || j < 0 || k < 0 || all[i].Account != otherAccount || all[i].TransferOf != all[j].ID || all[j].TransferredTo != all[i].ID || all[k].TransferredTo != "" {
				t.Errorf("records %+v", all)
			}
		})
	}
}

// byReasonOf waits for so many records, all of one reason but one that may be cancelled.
func (r *rig) byReasonOf(n int, reason string) {
	r.t.Helper()
	time.Sleep(time.Second)
	all := r.records.list()
	if len(all) != n {
		r.t.Fatalf("%d records, want %d: %+v", len(all), n, all)
	}
	for _, rec := range all {
		if rec.Reason != reason {
			r.t.Errorf("a record says %s, want %s", rec.Reason, reason)
		}
	}
}

// empty reports whether nothing waits to be looked at.
func (p *peer) empty() bool {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.inbox) == 0
}

// branchOf is the branch of the request that a response answers.
func branchOf(m *sip.Message) string {
	_, branch, _ := strings.Cut(string(m.Lookup("Via")), "branch=")
	branch, _, _ = strings.Cut(branch, ";")
	return branch
}

// A transfer is no way around the promise: neither by signalling in the clear nor by a target that answers in the clear.
func TestTransferDowngrades(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		who := r.customer(transport.TLS).outboundCall(sdpSecure)
		stays := connect(who, tel, sdpPlain)
		refer := who.inside("REFER", "")
		refer.CSeq, refer.Transport = 7, "UDP"
		refer.Headers = []string{"Refer-To: <sip:" + newNumber + "@" + host + ">", "Contact: " + who.contact}
		clear := r.customer(transport.UDP)
		clear.send(refer.Bytes())
		third := r.customer(transport.UDP).outboundCall(sdpSecure)
		third.start("Replaces: " + ownDialog(who))
		third.refused("403")
		for _, quiet := range []*peer{clear, tel, who.peer} {
			quiet.quiet()
		}
		hangUp(who, stays)
		if rec := r.byReason(2)["hangup"]; rec.PlainRequestsDropped != 1 {
			t.Errorf("the record says that %d requests in the clear were dropped", rec.PlainRequestsDropped)
		}
	})
	for _, answer := range []string{sdpSecure, sdpPlain} {
		scenario(t, func(w *world) {
			executes(w)
			w.other.RequireEncryption = true
			w.other.Origination.Routes[0].Host = "pbx.example.org"
		}, func(r *rig) {
			tel, pbx := r.tel(), r.pbx()
			who := r.customer(transport.TLS).outboundCall(sdpSecure)
			stays := connect(who, tel, sdpPlain)
			who.request("REFER", "", "Refer-To: <tel:"+otherNumber+">", "Contact: "+who.contact)
			who.want("202")
			who.reported("100 Trying", false)
			target := pbx.ring()
			if body := string(target.invite.Body()); !strings.Contains(body, "SAVP") {
				t.Errorf("an encrypted customer is offered %q", body)
			}
			target.answer(200, answer)
			target.want("ACK")
			if answer == sdpPlain {
				target.bye()
				who.reported("488 Not Acceptable Here", true)
				hangUp(who, stays)
			} else {
				stays.rejoined(sdpPlain)
				who.reported("200 OK", true)
				who.bye()
				stays.request("BYE", "")
				stays.want("200")
				target.bye()
			}
			time.Sleep(time.Second)
			for _, rec := range r.records.list() { // of the other account's customer, who sees a call from a carrier
				if rec.Account == otherAccount && (rec.Direction != "Inbound" || rec.Customer.Transport != "tls" || rec.Remaining != nil || rec.TransferOf != "" || rec.CarrierLeg.Remote.IsValid()) {
					t.Errorf("the called account's record is %+v", rec)
				}
			}
			if n := len(r.records.list()); n != 3 {
				t.Errorf("%d records: %+v", n, r.records.list())
			}
		})
	}
}
