package sbc

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/directory"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// newNumber is whom calls are transferred to.
const newNumber = "+12125550177"

// executes makes the node do the transfers of an encrypted connector, whose PBX may also place calls.
func executes(w *world) {
	w.encrypted()
	w.oneTarget()
	w.connector.Settings.Transfers = trunk.ExecuteTransfers
	w.connector.Termination.CidrAllowedList = append(w.connector.Termination.CidrAllowedList,
		trunk.CIDR{Text: pbxIP + "/32", Prefix: netip.MustParsePrefix(pbxIP + "/32")})
}

// refer asks for a transfer to newNumber and takes the 202 and the first report.
func (a *agent) refer(headers ...string) {
	a.r.t.Helper()
	a.request("REFER", "", append([]string{"Refer-To: <sip:" + newNumber + "@" + host + ">", "Contact: " + a.contact}, headers...)...)
	a.want("202")
	a.reported("100 Trying", false)
}

// reported takes a report and answers it.
func (a *agent) reported(status string, final bool) *sip.Message {
	a.r.t.Helper()
	m := a.want("NOTIFY")
	a.respond(m, 200, "", "")
	state := string(m.Get(sip.HdrSubscriptionState))
	if first, _, _ := strings.Cut(string(m.Body()), "\r\n"); first != "SIP/2.0 "+status || strings.HasPrefix(state, "terminated") != final {
		a.r.t.Errorf("told %q, %s; want %s, final %v", m.Body(), state, status, final)
	}
	return m
}

// rejoined takes the re-INVITE that joins a party with another, and accepts it.
func (a *agent) rejoined(sdp string) *sip.Message {
	a.r.t.Helper()
	m := a.want("INVITE")
	a.respond(m, 200, "", sdp, "Contact: "+a.contact)
	a.want("ACK")
	return m
}

// byReason waits for so many records and returns them by what they say.
func (r *rig) byReason(n int) map[string]call.Record {
	r.t.Helper()
	time.Sleep(time.Second)
	all, found := r.records.list(), map[string]call.Record{}
	for _, rec := range all {
		found[rec.Reason] = rec
	}
	if len(all) != n {
		r.t.Fatalf("%d records, want %d: %+v", len(all), n, all)
	}
	return found
}

// The customer transfers a call it placed: the node calls the number under the connector's rules, joins the carrier's
// party with it, tells how it went and hangs the customer up.
func TestTransferIsExecuted(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		stays := connect(caller, tel, sdpPlain+" a=recvonly")
		caller.refer("Referred-By: <sip:" + ownNumber + "@pbx.customer.example>;cid=\"x\"")
		target := tel.ring()
		wantHeaders(t, "the INVITE", target.invite, "Referred-By: <sip:"+ownNumber+"@"+domain+">",
			"P-Asserted-Identity: <sip:"+ownNumber+"@"+domain+">", "To: <sip:"+newNumber+"@"+carrierIP+">")
		target.answer(180, "")
		caller.reported("180 Ringing", false)
		target.answer(180, "")
		target.answer(183, sdpPlain)
		caller.reported("183 Session Progress", false)
		stays.quiet()
		target.answer(200, sdpPlain+" of the target")
		target.want("ACK")
		stays.rejoined(sdpPlain + " again")
		caller.reported("200 OK", true)
		wantHeaders(t, "the BYE", caller.bye(), "Reason: Q.850;cause=16;text=\"A side transferred the call: the other one went on in another call.\"")
		// Both are in one call now: what one changes reaches the other, and each sees its own dialog.
		stays.request("INVITE", sdpPlain+" once more")
		stays.want("100")
		again := target.want("INVITE")
		target.respond(again, 200, "", sdpPlain, "Contact: "+target.contact)
		target.want("ACK")
		ok := stays.want("200")
		stays.sendAck(ok, "")
		for _, secret := range []string{"theirs", "call-", customerIP, "customer.example"} {
			if strings.Contains(tel.everything(), secret) {
				t.Errorf("%q shows at the carrier", secret)
			}
		}
		for _, secret := range []string{carrierIP, stays.tag, target.tag, string(target.invite.CallID())} {
			if strings.Contains(caller.everything(), secret) {
				t.Errorf("%q shows at the customer", secret)
			}
		}
		time.Sleep(time.Minute)
		stays.request("BYE", "")
		stays.want("200")
		target.bye()
		got := r.byReason(2)
		one, two := got["transferred"], got["hangup"]
		if one.TransferredTo != two.ID || two.TransferOf != one.ID || one.HungUpBy != "customer" || two.HungUpBy != "carrier" {
			t.Errorf("records %+v\nand %+v", one, two)
		}
		if two.Direction != "Outbound" || two.From != ownNumber || two.To != newNumber || two.Customer.Transport != "" ||
			two.Remaining == nil || two.Remaining.SIPCallID != one.CarrierLeg.SIPCallID || two.Remaining.Media.PacketsReceived != 1 {
			t.Errorf("the new call's record is %+v", two)
		}
		if seen := two.SeenByTenant(); seen.Remaining.Remote.IsValid() || seen.Remaining.SIPCallID != "" || two.Remaining.SIPCallID == "" {
			t.Errorf("the account sees %+v", seen.Remaining)
		}
		if n := r.sbc.stats.Transferred.Load(); n != 1 || r.sbc.stats.Transfers.Load() != 1 || r.sbc.stats.TransferFails.Load() != 0 {
			t.Errorf("%d transferred", n)
		}
	})
}

// A call that came in is transferred by the PBX; the number it came to is shown, and what was held is open again.
func TestTransferOfAnInboundCall(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel, pbx := r.tel(), r.pbx()
		stays := tel.inboundCall(sdpPlain)
		who := connect(stays, pbx, sdpSecure)
		who.request("INVITE", sdpSecure+" a=sendonly")
		who.want("100")
		held := stays.want("INVITE")
		stays.respond(held, 200, "", sdpPlain+"\r\na=recvonly\r\n", "Contact: "+stays.contact)
		stays.want("ACK")
		who.sendAck(who.want("200"), "")
		who.refer()
		target := tel.ring()
		wantHeaders(t, "the INVITE", target.invite, "P-Asserted-Identity: <sip:"+ownNumber+"@"+domain+">")
		target.answer(200, sdpPlain)
		target.want("ACK")
		stays.rejoined(sdpPlain)
		who.reported("200 OK", true)
		who.bye()
		if got := r.media.sessions[1].did(); !slices.Equal(got, []string{
			"offer of customer, off towards carrier", "answer of carrier", "offer of carrier, off towards customer",
			"told what of customer was heard: session 1, time 2", // as late as can be, and before it can be heard again
			"answer of customer", "confirm customer", "confirm carrier",
		}) {
			t.Errorf("the new call's media did %q", got)
		}
		target.request("BYE", "")
		target.want("200")
		stays.bye()
		r.byReason(2)
	})
}

// A target that does not answer leaves the call as it was.
func TestTransferThatFails(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		stays := connect(caller, tel, sdpPlain)
		for _, status := range []int{486, 603} {
			caller.refer()
			target := tel.ring()
			caller.request("REFER", "", "Refer-To: <sip:"+newNumber+"@"+host+">", "Contact: "+caller.contact)
			caller.want("491") // one at a time
			target.answer(status, "")
			target.want("ACK")
			caller.reported(strconv.Itoa(status)+" "+sip.ReasonPhrase(status), true)
		}
		stays.quiet()
		if got := r.media.sessions[0].did(); slices.Contains(got, "reject") {
			t.Errorf("the call's media did %q", got)
		}
		caller.request("INFO", "")
		stays.respond(stays.want("INFO"), 200, "", "")
		caller.want("200")
		hangUp(caller, stays)
		got := r.byReason(3)
		if rec := got["remote_refused"]; rec.TransferOf != got["hangup"].ID || rec.Remaining != nil || rec.Status != 603 {
			t.Errorf("the record of the new call is %+v", rec)
		}
		if rec := got["hangup"]; rec.TransferredTo != "" {
			t.Errorf("the record of the call is %+v", rec)
		}
	})
}

// What the rules refuse is told with the sentence of an INVITE's answer, and recorded; nothing is dialled.
func TestTransferIsAdmittedLikeACall(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*world)
		referTo string
		status  string
		reason  call.Reason
	}{
		"country":  {nil, "<sip:+442079460123@" + host + ">", "403 Forbidden", call.ReasonCountryNotAllowed},
		"number":   {nil, "<sip:alice@" + host + ">", "484 Address Incomplete", call.ReasonNumberMalformed},
		"in clear": {nil, "<sip:" + newNumber + "@" + host + ";transport=udp>", "403 Forbidden", call.ReasonSignallingNotEncrypted},
		"sips":     {nil, "<sips:" + newNumber + "@" + host + ">", "480 Temporarily Unavailable", call.ReasonSIPSNotAllowed},
		"rate":     {func(w *world) { w.connector.Termination.CpsLimit = 1 }, "<tel:" + newNumber + ">", "503 Service Unavailable", call.ReasonCPSExceeded},
		"concurrency": {func(w *world) {
			w.more = append(w.more, &trunk.Quota{Account: account, Name: trunk.QuotaActiveCalls, Value: 1})
		}, "<tel:" + newNumber + ">", "503 Service Unavailable", call.ReasonConcurrencyExceeded},
		"no carrier": {func(w *world) { w.carriers[0].Prefixes = []string{farNumber} }, "<sip:" + newNumber + "@x>", "404 Not Found", call.ReasonNoRoute},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				executes(w)
				if c.change != nil {
					c.change(w)
				}
			}, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.TLS).outboundCall(sdpSecure)
				stays := connect(caller, tel, sdpPlain)
				caller.request("REFER", "", "Refer-To: "+c.referTo, "Contact: "+caller.contact)
				caller.want("202")
				caller.reported("100 Trying", false)
				told := caller.reported(c.status, true)
				if !strings.Contains(string(told.Body()), "\r\nReason: Q.850;cause=") || !strings.Contains(string(told.Body()), "\r\nWarning: 3") {
					t.Errorf("told %q", told.Body())
				}
				stays.quiet()
				hangUp(caller, stays)
				records := r.byReason(2)
				if _, ok := records[c.reason.String()]; !ok {
					t.Errorf("records are %+v", r.records.list())
				}
				status, _, _ := strings.Cut(c.status, " ")
				failed := records["hangup"].FailedTransfers
				if len(failed) != 1 || fmt.Sprint(failed[0].Status) != status || failed[0].Sentence == "" || !strings.Contains(c.referTo, failed[0].To) {
					t.Errorf("the call that goes on has the failed transfers %+v", failed)
				}
			})
		})
	}
}

// The rules are those of the moment: what was changed while the call was up holds for the transfer.
func TestTransferUnderChangedRules(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*trunk.Connector) *trunk.Connector
		status string
	}{
		"deleted":   {func(*trunk.Connector) *trunk.Connector { return nil }, "403 Forbidden"},
		"refuses":   {func(c *trunk.Connector) *trunk.Connector { c.Settings.Transfers = trunk.RefuseTransfers; return c }, "403 Forbidden"},
		"encrypted": {func(c *trunk.Connector) *trunk.Connector { c.RequireEncryption = true; return c }, "403 Forbidden"},
		"disabled":  {func(c *trunk.Connector) *trunk.Connector { c.Termination = nil; return c }, "403 Forbidden"},
	} {
		t.Run(name, func(t *testing.T) {
			var w *world
			scenario(t, func(made *world) {
				w = made
				executes(w)
				w.connector.RequireEncryption = false
			}, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain)
				stays := connect(caller, tel, sdpPlain)
				changed := *w.connector
				now := w.entities()[1:]
				if next := c.change(&changed); next != nil {
					now = append(now, next)
				}
				if err := r.sbc.cfg.Directory.(*directory.Directory).Follow(context.Background(), source(now)); err != nil {
					t.Fatal(err)
				}
				caller.request("REFER", "", "Refer-To: <tel:"+newNumber+">", "Contact: "+caller.contact)
				caller.want("202")
				caller.reported("100 Trying", false)
				caller.reported(c.status, true)
				stays.quiet()
				hangUp(caller, stays)
				r.byReason(2)
			})
		})
	}
}

// Whoever answers no report is not sent ever more of them.
func TestReportsAreBounded(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		stays := connect(caller, tel, sdpPlain)
		refer := func() { caller.request("REFER", "", "Refer-To: <tel:+442079460123>", "Contact: "+caller.contact) }
		var reports []*sip.Message
		for range maxTransfers {
			refer()
			caller.want("202")
			reports = append(reports, caller.want("NOTIFY"))
		}
		refer()
		caller.want("503")
		for _, m := range reports[:4] {
			caller.respond(m, 481, "", "")
		}
		refer()
		caller.want("202")
		caller.reported("100 Trying", false)
		caller.reported("403 Forbidden", true)
		hangUp(caller, stays)
		time.Sleep(time.Minute)
		caller.clear()
	})
}

// Who must not transfer: the carrier, and a customer from where no call may come.
func TestTransferIsTheCustomers(t *testing.T) {
	scenario(t, executes, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		target.request("REFER", "", "Refer-To: <sip:"+newNumber+"@"+host+">", "Contact: "+target.contact)
		refused := target.want("403")
		if !strings.Contains(string(refused.Lookup("Warning")), "only a connector's own customer") {
			t.Errorf("refused with\n%s", refused.Bytes())
		}
		if strings.Contains(string(refused.Lookup("Warning")), "carillon connector") {
			t.Errorf("a carrier is told of a setting:\n%s", refused.Bytes())
		}
		for _, wrong := range []string{"Refer-To: <http://x.example>", "Refer-To: nonsense", "X-None: 1", "Refer-To: <sip:" + newNumber + "@x;method=BYE>"} {
			caller.request("REFER", "", wrong, "Contact: "+caller.contact)
			caller.want("400")
		}
		caller.quiet()
		hangUp(caller, target)
		r.record()
	})
	scenario(t, func(w *world) {
		executes(w)
		w.connector.Termination.CidrAllowedList = w.connector.Termination.CidrAllowedList[:1]
	}, func(r *rig) {
		tel, pbx := r.tel(), r.pbx()
		stays := tel.inboundCall(sdpPlain)
		who := connect(stays, pbx, sdpSecure)
		who.request("REFER", "", "Refer-To: <sip:"+newNumber+"@"+host+">", "Contact: "+who.contact)
		who.want("202")
		who.reported("100 Trying", false)
		who.reported("403 Forbidden", true)
		tel.quiet()
		hangUp(stays, who)
		if _, ok := r.byReason(2)["source_not_allowed"]; !ok {
			t.Errorf("records are %+v", r.records.list())
		}
	})
}
