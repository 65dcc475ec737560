package sbc

import (
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transport"
	"carillon/trunk"
)

// ownDialog is how a party of a call names its dialog to whom it is with.
func ownDialog(a *agent) string {
	return string(a.ok.CallID()) + ";to-tag=" + string(a.ok.To().Tag()) + ";from-tag=" + string(a.ok.From().Tag())
}

// referInto asks for a transfer to a call that is up and takes the 202 and the first report.
func (a *agent) referInto(replaces string) {
	a.r.t.Helper()
	a.request("REFER", "", "Refer-To: <sip:"+nodeName+":5061;transport=tls?Replaces="+escapeHeader(replaces)+">", "Contact: "+a.contact)
	a.want("202")
	a.reported("100 Trying", false)
}

// An attended transfer: the customer has two calls and leaves both; their other parties speak with each other.
func TestAttendedTransfer(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		one := r.customer(transport.TLS).outboundCall(sdpSecure)
		first := connect(one, tel, sdpPlain+"\r\na=recvonly\r\n")
		two := r.customer(transport.TLS).outboundCall(sdpSecure)
		second := connect(two, tel, sdpPlain)
		one.referInto(ownDialog(two))
		asked := second.rejoined(sdpPlain)
		two.quiet()
		two.request("INVITE", sdpSecure)
		refused := two.want("491") // its party is on its way
		a := two.inside("ACK", "")
		a.CSeq, a.Branch = refused.CSeq(), branchOf(refused)
		two.send(a.Bytes())
		if string(asked.CallID()) != string(second.invite.CallID()) {
			t.Errorf("the first to be asked was\n%s", asked.Bytes())
		}
		first.rejoined(sdpPlain)
		two.bye()
		one.reported("200 OK", true)
		one.bye()
		first.request("INFO", "")
		second.respond(second.want("INFO"), 200, "", "")
		first.want("200")
		for _, secret := range []string{"theirs", "call-", customerIP, "Replaces"} {
			if strings.Contains(tel.everything(), secret) {
				t.Errorf("%q shows at the carrier", secret)
			}
		}
		if seen := one.everything() + two.everything(); strings.Contains(seen, carrierIP) || strings.Contains(seen, first.tag) || strings.Contains(seen, second.tag) {
			t.Errorf("the carrier shows at the customer:\n%s", seen)
		}
		second.request("BYE", "")
		second.want("200")
		first.bye()
		time.Sleep(time.Second)
		all := r.records.list()
		if len(all) != 3 || all[0].Reason != "transferred" || all[1].Reason != "transferred" || all[2].Reason != "hangup" {
			t.Fatalf("records %+v", all)
		}
		joined := all[2]
		if all[0].TransferredTo != joined.ID || all[1].TransferredTo != joined.ID || joined.TransferOf != all[1].ID || joined.From != farNumber ||
			joined.To != farNumber || joined.Remaining == nil || joined.Remaining.SIPCallID != string(first.invite.CallID()) || joined.CarrierLeg.SIPCallID != string(second.invite.CallID()) {
			t.Errorf("records %+v", all)
		}
	})
}

// Of an attended transfer either party may not be had: the call that it is in goes on.
func TestAttendedTransferFails(t *testing.T) {
	for _, who := range []string{
		"the second refuses", "the first refuses", "the first hangs up", "the second hangs up when it has accepted", "the second's phone has hung up", "the second has hung up",
	} {
		t.Run(who, func(t *testing.T) {
			scenario(t, executes, func(r *rig) {
				tel := r.tel()
				one := r.customer(transport.TLS).outboundCall(sdpSecure)
				first := connect(one, tel, sdpPlain)
				two := r.customer(transport.TLS).outboundCall(sdpSecure)
				second := connect(two, tel, sdpPlain)
				dialog := ownDialog(two)
				switch who {
				case "the second refuses":
					one.referInto(dialog)
					second.respond(second.want("INVITE"), 488, "", "")
					second.want("ACK")
					one.reported("488 Not Acceptable Here", true)
					hangUp(two, second)
				case "the first refuses":
					one.referInto(dialog)
					second.rejoined(sdpPlain)
					first.respond(first.want("INVITE"), 488, "", "")
					first.want("ACK")
					second.rejoined(sdpPlain) // and back
					one.reported("488 Not Acceptable Here", true)
					hangUp(two, second)
				case "the first hangs up":
					one.referInto(dialog)
					second.rejoined(sdpPlain)
					asked := first.want("INVITE")
					first.request("BYE", "")
					first.want("200")
					second.rejoined(sdpPlain)
					one.bye()
					one.reported("487 Request Terminated", true)
					first.respond(asked, 487, "", "")
					first.want("ACK")
					hangUp(two, second)
					r.byReason(3)
					return
				case "the second hangs up when it has accepted":
					one.referInto(dialog)
					second.rejoined(sdpPlain)
					asked := first.want("INVITE")
					first.respond(asked, 100, "", "")
					second.request("BYE", "")
					second.want("200")
					two.bye()
					first.respond(first.want("CANCEL"), 200, "", "")
					first.respond(asked, 200, "", sdpPlain, "Contact: "+first.contact)
					first.want("ACK")
					first.rejoined(sdpPlain)
					one.reported("487 Request Terminated", true)
				case "the second's phone has hung up":
					one.referInto(dialog)
					second.rejoined(sdpPlain)
					two.request("BYE", "")
					two.want("200")
					first.respond(first.want("INVITE"), 488, "", "")
					first.want("ACK")
					second.bye()
					one.reported("488 Not Acceptable Here", true)
				default:
					hangUp(two, second)
					time.Sleep(time.Second)
					one.referInto(dialog)
					one.reported("481 Call/Transaction Does Not Exist", true)
				}
				hangUp(one, first)
				r.byReason(3)
			})
		})
	}
}

// Nobody reaches a dialog that is not of the same connector, and none by a guess; the answer never says which it was.
func TestReplacesIsolation(t *testing.T) {
	scenario(t, func(w *world) {
		executes(w)
		w.other.Settings.Transfers = trunk.ExecuteTransfers
	}, func(r *rig) {
		tel := r.tel()
		one := r.customer(transport.TLS).outboundCall(sdpSecure)
		first := connect(one, tel, sdpPlain)
		two := r.customer(transport.TLS).outboundCall(sdpSecure)
		second := connect(two, tel, sdpPlain)
		theirs := r.customer(transport.TLS).dial("sip:"+farNumber+"@"+otherHost, otherNumber, sdpSecure)
		far := connect(theirs, tel, sdpPlain)
		mine := ownDialog(two)
		toTag, fromTag := string(two.ok.To().Tag()), string(two.ok.From().Tag())
		carriers := string(second.invite.CallID()) + ";to-tag=" + string(second.invite.From().Tag()) + ";from-tag=" + second.tag
		for name, value := range map[string]string{
			"another account's":   ownDialog(theirs),
			"the carrier's":       carriers,
			"another Call-ID":     strings.Replace(mine, "call-", "other-", 1),
			"another remote tag":  mine + "x",
			"another local tag":   strings.Replace(mine, toTag, toTag[1:]+"0", 1),
			"tags the wrong way":  string(two.ok.CallID()) + ";to-tag=" + fromTag + ";from-tag=" + toTag,
			"in capitals":         strings.ToUpper(mine),
			"one tag":             string(two.ok.CallID()) + ";to-tag=" + toTag,
			"a tag of none":       string(two.ok.CallID()) + ";to-tag=" + toTag + ";from-tag=0",
			"the same call":       ownDialog(one),
			"nothing that parses": ";;;",
		} {
			one.referInto(value)
			one.reported("481 Call/Transaction Does Not Exist", true)
			third := r.customer(transport.TLS).outboundCall(sdpSecure)
			if name == "the same call" { // from another one it could be
				continue
			}
			third.start("Replaces: " + value)
			third.refused("481")
		}
		for _, quiet := range []*agent{first, theirs, far} {
			quiet.quiet()
		}
		hangUp(one, first)
		hangUp(two, second)
		hangUp(theirs, far)
		time.Sleep(time.Second)
	})
}

// taken is what TestReplaced looks at: a call of the customer's, which another phone of the customer's takes over.
func taken(r *rig) (who, stays, third *agent) {
	r.t.Helper()
	tel := r.tel()
	who = r.customer(transport.TLS).outboundCall(sdpSecure)
	stays = connect(who, tel, sdpPlain)
	third = r.customer(transport.TLS).outboundCall(sdpSecure)
	return who, stays, third
}

// An INVITE with Replaces takes a call over from another phone of the same connector, also where it is for our Contact.
func TestReplaced(t *testing.T) {
	for _, uri := range []string{"sip:" + farNumber + "@" + host, "sip:" + nodeName + ":5061;transport=tls"} {
		scenario(t, executes, func(r *rig) {
			who, stays, third := taken(r)
			if !strings.Contains(string(who.ok.Lookup("Supported")), "replaces") || !strings.Contains(string(who.ok.Lookup("Allow")), "REFER") {
				t.Errorf("the 200 does not say what it takes:\n%s", who.ok.Bytes())
			}
			if seen := string(stays.invite.Bytes()); strings.Contains(seen, "replaces") || strings.Contains(seen, "REFER") {
				t.Errorf("the carrier is told what it may not:\n%s", seen)
			}
			third.req.URI = uri
			third.start("Replaces: "+ownDialog(who), "Require: replaces")
			third.want("100")
			asked := stays.rejoined(sdpPlain)
			if body := string(asked.Body()); !strings.Contains(body, "ours 1 for carrier") {
				t.Errorf("the party is offered %q", body)
			}
			if answer := third.answered(); !strings.Contains(string(answer.Body()), "SAVP") {
				t.Errorf("answered with %q", answer.Body())
			}
			third.ack("")
			wantHeaders(t, "the BYE", who.bye(), "Reason: Q.850;cause=16;text=\"A side transferred the call: the other one went on in another call.\"")
			third.request("INFO", "")
			stays.respond(stays.want("INFO"), 200, "", "")
			third.want("200")
			hangUp(third, stays)
			got := r.byReason(2)
			if one, two := got["transferred"], got["hangup"]; one.TransferredTo != two.ID || two.TransferOf != one.ID || two.Customer.Transport != "tls" || two.Remaining != nil || two.From != ownNumber || two.To != farNumber {
				t.Errorf("records %+v", got)
			}
		})
	}
}

// What is refused, with the rule and what changes it.
func TestReplacesIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		policy trunk.TransferPolicy
		suffix string
		sdp    string
		status string
		reason call.Reason
	}{
		"refuse":         {trunk.RefuseTransfers, "", sdpSecure, "403", call.ReasonTransferNotAllowed},
		"early-only":     {trunk.ExecuteTransfers, ";early-only", sdpSecure, "486", call.ReasonDialogAnswered},
		"no offer":       {trunk.ExecuteTransfers, "", "", "400", call.ReasonBadDescription},
		"in the clear":   {trunk.ExecuteTransfers, "", sdpPlain, "488", call.ReasonMediaNotEncrypted},
		"asked of relay": {trunk.RelayTransfers, "", sdpSecure, "403", call.ReasonTransferNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				executes(w)
				w.connector.Settings.Transfers = c.policy
			}, func(r *rig) {
				who, stays, third := taken(r)
				third.req.Body = c.sdp
				third.start("Replaces: "+ownDialog(who)+c.suffix, "Require: replaces")
				if c.reason == call.ReasonMediaNotEncrypted { // no rule of admission
					third.want("100")
				}
				refused := third.refused(c.status)
				if !strings.Contains(string(refused.Lookup("Warning")), "carillon connector set") && c.policy != trunk.ExecuteTransfers {
					t.Errorf("refused with\n%s", refused.Bytes())
				}
				stays.quiet()
				hangUp(who, stays)
				if _, ok := r.byReason(2)[c.reason.String()]; !ok {
					t.Errorf("records %+v", r.records.list())
				}
			})
		})
	}
	scenario(t, executes, func(r *rig) { // a carrier takes nobody's place
		who, stays, _ := taken(r)
		for _, value := range []string{ownDialog(who), "x;to-tag=1;from-tag=2"} {
			carrier := stays.peer.inboundCall(sdpPlain)
			carrier.start("Replaces: " + value)
			carrier.refused("403")
		}
		hangUp(who, stays)
		if _, ok := r.byReason(2)["transfer_not_allowed"]; !ok {
			t.Errorf("records %+v", r.records.list())
		}
	})
	scenario(t, executes, func(r *rig) { // nor does a stranger, who learns nothing
		who, stays, _ := taken(r)
		stranger := r.phone(transport.TLS, strangerIP).outboundCall(sdpSecure)
		stranger.req.URI = "sip:" + nodeName
		stranger.start("Replaces: " + ownDialog(who))
		if refused := stranger.refused("403"); refused.Lookup("Warning") != nil {
			t.Errorf("a stranger was told\n%s", refused.Bytes())
		}
		hangUp(who, stays)
		r.record()
	})
	scenario(t, func(w *world) {
		executes(w)
		w.connector.Settings.Transfers = trunk.RelayTransfers
	}, func(r *rig) { // where it is only relayed, it is a call like any other
		who, stays, third := taken(r)
		third.start("Replaces: " + ownDialog(who))
		third.want("100")
		target := stays.peer.ring()
		target.answer(486, "")
		target.want("ACK")
		third.refused("486")
		hangUp(who, stays)
		r.byReason(2)
	})
}

// Races while a call is taken over.
func TestReplacedMeanwhile(t *testing.T) {
	start := func(r *rig) (who, stays, third *agent, asked *sip.Message) {
		who, stays, third = taken(r)
		third.start("Replaces: " + ownDialog(who))
		third.want("100")
		return who, stays, third, stays.want("INVITE")
	}
	scenario(t, executes, func(r *rig) { // the third gives up; the party goes back
		who, stays, third, asked := start(r)
		stays.respond(asked, 100, "", "")
		third.cancel()
		third.want("200")
		third.refused("487")
		stays.respond(stays.want("CANCEL"), 200, "", "")
		stays.respond(asked, 200, "", sdpPlain, "Contact: "+stays.contact)
		stays.want("ACK")
		stays.rejoined(sdpPlain)
		hangUp(who, stays)
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // the party refuses
		who, stays, third, asked := start(r)
		stays.respond(asked, 488, "", "")
		stays.want("ACK")
		third.refused("488")
		hangUp(who, stays)
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // the party breaks the promise of nobody, but names no codec
		who, stays, third, asked := start(r)
		stays.respond(asked, 200, "", sdpBad, "Contact: "+stays.contact)
		stays.want("ACK")
		stays.bye()
		who.bye()
		third.refused("400")
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // who is replaced hangs up first
		who, stays, third, asked := start(r)
		who.request("BYE", "")
		who.want("200")
		stays.respond(asked, 200, "", sdpPlain, "Contact: "+stays.contact)
		stays.want("ACK")
		third.answered()
		third.ack("")
		who.quiet()
		hangUp(third, stays)
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // the party hangs up
		who, stays, third, asked := start(r)
		stays.request("BYE", "")
		stays.want("200")
		who.bye()
		third.refused("487")
		stays.respond(asked, 487, "", "")
		stays.want("ACK")
		r.byReason(2)
	})
	scenario(t, executes, func(r *rig) { // two want the same call: one gets it
		who, stays, third, asked := start(r)
		fourth := r.customer(transport.TLS).outboundCall(sdpSecure)
		fourth.start("Replaces: " + ownDialog(who))
		fourth.want("100")
		fourth.refused("491")
		stays.respond(asked, 200, "", sdpPlain, "Contact: "+stays.contact)
		stays.want("ACK")
		third.answered()
		third.ack("")
		who.bye()
		hangUp(third, stays)
		r.byReason(3)
	})
}

// Two calls that are transferred into each other at the same time do not wait for each other.
func TestCrossedTransfers(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		one := r.customer(transport.TLS).outboundCall(sdpSecure)
		first := connect(one, tel, sdpPlain)
		two := r.customer(transport.TLS).outboundCall(sdpSecure)
		second := connect(two, tel, sdpPlain)
		one.referInto(ownDialog(two))
		asked := second.want("INVITE")
		two.request("REFER", "", "Refer-To: <sip:x?Replaces="+escapeHeader(ownDialog(one))+">", "Contact: "+two.contact)
		two.want("491")
		second.respond(asked, 200, "", sdpPlain, "Contact: "+second.contact)
		second.want("ACK")
		first.rejoined(sdpPlain)
		two.bye()
		one.reported("200 OK", true)
		one.bye()
		first.request("BYE", "")
		first.want("200")
		second.bye()
		r.byReason(2 + 1)
	})
}

func TestParseReplaces(t *testing.T) {
	for value, want := range map[string]replaces{
		"a@b;to-tag=1;from-tag=2":                     {"a@b", "1", "2", false},
		" a ; FROM-TAG = 2 ;x=y; to-tag=1;early-only": {"a", "1", "2", true},
	} {
		if got, ok := parseReplaces(value); !ok || got != want {
			t.Errorf("%q is %+v, %v; want %+v", value, got, ok, want)
		}
	}
	for _, value := range []string{"", "a", "a;to-tag=1", "a;to-tag=;from-tag=2", ";to-tag=1;from-tag=2", "a;to-tag=1;to-tag=2;from-tag=3"} {
		if got, ok := parseReplaces(value); ok {
			t.Errorf("%q was read as %+v", value, got)
		}
	}
	if r := (replaces{callID: "a", toTag: "1", fromTag: "0"}); !r.names(dialog.ID{CallID: "a", Local: "1"}) || r.names(dialog.ID{CallID: "a", Local: "1", Remote: "2"}) {
		t.Error("the tag 0 does not stand for none")
	}
}

// FuzzReplaces reads anything; what it takes has both tags and names one dialog.
func FuzzReplaces(f *testing.F) {
	f.Add("a@b;to-tag=1;from-tag=2;early-only")
	f.Add(";to-tag")
	f.Fuzz(func(t *testing.T, value string) {
		r, ok := parseReplaces(value)
		if !ok {
			return
		}
		again, ok := parseReplaces(r.callID + ";to-tag=" + r.toTag + ";from-tag=" + r.fromTag)
		if r.earlyOnly = false; !ok || again != r {
			t.Errorf("%q is %+v, and that again %+v", value, r, again)
		}
	})
}
