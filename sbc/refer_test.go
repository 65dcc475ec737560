package sbc

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

func relays(w *world) {
	w.encrypted()
	w.oneTarget()
	w.connector.Settings.Transfers = trunk.RelayTransfers
}

// A transfer crosses: the number in the other side's terms, its progress without anything of the other side's network.
func TestReferIsRelayed(t *testing.T) {
	scenario(t, relays, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		sent := caller.request("REFER", "", "Refer-To: \"Bob\" <sip:+12125550177@pbx.customer.example:5070;transport=udp?X-Evil=1>",
			"Referred-By: <sip:+12065550100@pbx.customer.example>;cid=\"x\"", "Contact: "+caller.contact)
		refer := target.want("REFER")
		wantHeaders(t, "the REFER", refer, "Refer-To: <sip:+12125550177@example.com>", "Referred-By: <sip:+12065550100@example.com>")
		if strings.Contains(string(refer.Bytes()), "customer.example") {
			t.Errorf("the REFER is\n%s", refer.Bytes())
		}
		target.respond(refer, 202, "", "", "Contact: "+target.contact)
		caller.want("202")
		target.notify("terminated;reason=noresource", "SIP/2.0 486 Busy at sbc.carrier.example\r\n")
		got := caller.want("NOTIFY")
		wantHeaders(t, "the NOTIFY", got, "Event: refer;id="+strconv.Itoa(int(sent.CSeq)), "Subscription-State: terminated;reason=noresource")
		if string(got.Body()) != "SIP/2.0 486 Busy Here\r\n" {
			t.Errorf("the NOTIFY says %q", got.Body())
		}
		caller.respond(got, 200, "", "")
		target.want("200")
		hangUp(caller, target)
		r.record()
	})
	scenario(t, relays, func(r *rig) { // the carrier transfers, and the customer is to call through its connector
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		target.request("REFER", "", "Refer-To: <tel:+12125550177>", "Contact: "+target.contact)
		refer := caller.want("REFER")
		wantHeaders(t, "the REFER", refer, "Refer-To: <sip:+12125550177@"+host+">")
		caller.respond(refer, 603, "", "")
		target.want("603")
		hangUp(caller, target)
		r.record()
	})
}

// A carrier that asks for its password with a REFER reports on the one that had it.
func TestReferIsChallenged(t *testing.T) {
	scenario(t, func(w *world) {
		relays(w)
		w.carriers[0].User, w.carriers[0].Password = "trunk", trunk.NewSecret("hunter2")
	}, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		sent := caller.request("REFER", "", "Refer-To: <sip:+12125550177@x.example>", "Contact: "+caller.contact)
		target.respond(target.want("REFER"), 401, "", "", "WWW-Authenticate: Digest realm=\"tel.example\", nonce=\"n\"")
		refer := target.want("REFER")
		if !strings.Contains(header(refer, "Authorization"), `username="trunk"`) {
			t.Errorf("the REFER came again as\n%s", refer.Bytes())
		}
		target.respond(refer, 202, "", "", "Contact: "+target.contact)
		caller.want("202")
		for _, id := range []uint32{refer.CSeq() - 1, refer.CSeq()} {
			target.req.CSeq++
			n := target.inside("NOTIFY", "SIP/2.0 200 OK\r\n")
			n.ContentType = "message/sipfrag;version=2.0"
			n.Headers = append(n.Headers, "Event: refer;id="+strconv.Itoa(int(id)), "Subscription-State: terminated", "Contact: "+target.contact)
			target.send(n.Bytes())
			if id != refer.CSeq() {
				target.want("481")
				continue
			}
			got := caller.want("NOTIFY")
			wantHeaders(t, "the NOTIFY", got, "Event: refer;id="+strconv.Itoa(int(sent.CSeq)))
			caller.respond(got, 200, "", "")
			target.want("200")
		}
		hangUp(caller, target)
		r.record()
	})
}

func TestReferIsRefused(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		var log lockedLog
		r.sbc.log = slog.New(slog.NewTextHandler(&log, nil))
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		caller.request("REFER", "", "Refer-To: <sip:+12125550177@x.example>", "Contact: "+caller.contact)
		wantHeaders(t, "the 405", caller.want("405"), "Allow: "+allowed, "Warning: 399 "+nodeName+` "The call may not be transferred from this side, and its`+
			` dialogs not be replaced: the connector's setting transfers is refuse. The operator has the node do the transfers of the connector's customer: `+
			`carillon connector set ID transfers=execute."`)
		target.quiet()
		target.request("REFER", "", "Refer-To: <sip:+12125550178@x.example>", "Contact: "+target.contact)
		if m := target.want("405"); strings.Contains(string(m.Lookup("Warning")), "setting") {
			t.Errorf("a carrier is told of a setting:\n%s", m.Bytes())
		}
		if got, want := log.String(), "msg=refused call="; strings.Count(got, want) != 2 || !strings.Contains(got, "method=REFER reason=transfer_not_allowed status=405 side=customer to=+12125550177 ") {
			t.Errorf("the log says %q", got)
		}
		for range maxTransfers {
			caller.request("REFER", "", "Refer-To: <sip:+12125550177@x.example>", "Contact: "+caller.contact)
			caller.want("405")
		}
		if s := r.sbc.Stats(); s.ReferRefusals.Load() != 2+maxTransfers || s.Unrecorded.Load() != 1 {
			t.Errorf("%d are counted and %d unrecorded", s.ReferRefusals.Load(), s.Unrecorded.Load())
		}
		hangUp(caller, target)
		failed := r.record().FailedTransfers
		if len(failed) != maxTransfers || failed[0].To != "+12125550177" || failed[0].Status != 405 || failed[0].Fix == "" {
			t.Errorf("the record has the failed transfers %+v", failed)
		}
	})
	scenario(t, nil, func(r *rig) { // the other account's record has none of them
		pbx := r.peer(transport.UDP, pbxIP+":5060")
		caller := r.customer(transport.UDP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain)
		target := connect(caller, pbx, sdpPlain)
		caller.request("REFER", "", "Refer-To: <sip:+12125550177@x.example>", "Contact: "+caller.contact)
		caller.want("405")
		target.request("REFER", "", "Refer-To: <sip:+12125550178@x.example>", "Contact: "+target.contact)
		target.want("405")
		hangUp(caller, target)
		synctest.Wait()
		for _, rec := range r.records.list() {
			want := map[string]string{account: "+12125550177", otherAccount: "+12125550178"}[rec.Account]
			if f := rec.FailedTransfers; len(f) != 1 || f[0].To != want {
				t.Errorf("the record of %s has %+v, want %s", rec.Account, f, want)
			}
		}
	})
	for _, referTo := range []string{
		"Refer-To: <sip:alice@x.example>", "Refer-To: <http://x.example>", "Refer-To: nonsense", "X-None: 1",
		"Refer-To: <sip:+12125550177@x.example?Replaces=a%3Bto-tag%3Db%3Bfrom-tag%3Dc>",
	} {
		scenario(t, relays, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TLS).outboundCall(sdpSecure)
			target := connect(caller, tel, sdpPlain)
			caller.request("REFER", "", referTo, "Contact: "+caller.contact)
			caller.want("400")
			target.quiet()
			target.notify("active", "SIP/2.0 100 Trying\r\n") // of nothing
			target.want("481")
			hangUp(caller, target)
			r.record()
		})
	}
}

// An attended transfer names the second call's dialog as the customer knows it; the carrier is told its own.
func TestReferWithReplaces(t *testing.T) {
	scenario(t, func(w *world) {
		relays(w)
		w.other.Settings.Transfers = trunk.RelayTransfers
	}, func(r *rig) {
		tel := r.tel()
		one := r.customer(transport.TLS).outboundCall(sdpSecure)
		first := connect(one, tel, sdpPlain)
		two := r.customer(transport.TLS).outboundCall(sdpSecure)
		second := connect(two, tel, sdpPlain)
		dialog := string(two.ok.CallID()) + ";to-tag=" + string(two.ok.To().Tag()) + ";from-tag=" + string(two.ok.From().Tag())
		refer := func(replaces string) {
			one.request("REFER", "", "Refer-To: <sip:"+farNumber+"@"+host+"?Replaces="+escapeHeader(replaces)+">", "Contact: "+one.contact)
		}
		for _, wrong := range []string{
			strings.Replace(dialog, "call-", "other-", 1), dialog + "x", string(two.ok.CallID()) + ";to-tag=" + string(two.ok.To().Tag()),
		} {
			refer(wrong)
			one.want("400")
		}
		refer(dialog)
		got := first.want("REFER")
		addr, err := sip.ParseNameAddr(got.Lookup("Refer-To"))
		if err != nil {
			t.Fatal(err)
		}
		want := "Replaces=" + escapeHeader(string(second.invite.CallID())+";to-tag="+second.tag+";from-tag="+string(second.invite.From().Tag()))
		if string(addr.URI.Headers) != want {
			t.Errorf("Refer-To has %q, want %q", addr.URI.Headers, want)
		}
		first.respond(got, 202, "", "", "Contact: "+first.contact)
		one.want("202")
		for range maxTransfers - 1 {
			refer(dialog)
			first.respond(first.want("REFER"), 202, "", "", "Contact: "+first.contact)
			one.want("202")
		}
		refer(dialog)
		one.want("503")
		hangUp(two, second)
		time.Sleep(time.Second)
		hangUp(one, first)
		if n := len(r.records.list()); n != 2 {
			t.Errorf("%d records", n)
		}
	})
}

// notify sends a report about a transfer inside the dialog.
func (a *agent) notify(state, frag string) {
	a.r.t.Helper()
	a.req.CSeq++
	n := a.inside("NOTIFY", frag)
	n.ContentType = "message/sipfrag;version=2.0"
	n.Headers = append(n.Headers, "Event: refer", "Subscription-State: "+state, "Contact: "+a.contact)
	a.send(n.Bytes())
}
