package sbc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

const (
	insists = "Require: 100rel"
	knows   = "Supported: 100rel"
)

// reliably are the headers that make a target's provisional answer a reliable one.
func reliably(rseq int) []string { return []string{insists, fmt.Sprintf("RSeq: %d", rseq)} }

// ringing places an encrypted customer's call and takes it at the carrier.
func ringing(r *rig, sdp string, headers ...string) (caller, target *agent) {
	tel := r.tel()
	caller = r.customer(transport.TLS).outboundCall(sdp).start(headers...)
	caller.want("100")
	return caller, tel.ring()
}

// wantReliable takes a reliable answer at the caller.
func (a *agent) wantReliable(status string) *sip.Message {
	a.r.t.Helper()
	m := a.want(status)
	if header(m, "Require") != "100rel" || header(m, "RSeq") == "" {
		a.r.t.Errorf("the %s has Require %q and RSeq %q", status, header(m, "Require"), header(m, "RSeq"))
	}
	if a.ok == nil {
		a.ok = m // the early dialog
	}
	return m
}

func (a *agent) rack(m *sip.Message) string {
	return fmt.Sprintf("RAck: %s %d INVITE", header(m, "RSeq"), m.CSeq())
}

// confirm sends the PRACK of a reliable answer.
func (a *agent) confirm(m *sip.Message, sdp string) siptest.Request {
	a.r.t.Helper()
	return a.request("PRACK", sdp, a.rack(m))
}

// wantPrack takes our PRACK of a target's answer and answers it.
func (a *agent) wantPrack(rseq int) *sip.Message {
	a.r.t.Helper()
	m := a.want("PRACK")
	if got, want := header(m, "RAck"), fmt.Sprintf("%d %d INVITE", rseq, a.invite.CSeq()); got != want {
		a.r.t.Errorf("RAck is %q, want %q", got, want)
	}
	a.respond(m, 200, "", "")
	return m
}

func TestReliableOnBothSides(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, sdpSecure, knows)
		wantHeaders(t, "the INVITE", target.invite, "Supported: timer, 100rel")
		target.answer(183, sdpPlain, reliably(7)...)
		target.wantPrack(7)
		progress := caller.wantReliable("183")
		if !strings.Contains(string(progress.Body()), "SAVP") {
			t.Errorf("early media is %q", progress.Body())
		}
		time.Sleep(600 * time.Millisecond)
		if again := caller.want("183"); string(again.Bytes()) != string(progress.Bytes()) {
			t.Error("the repetition differs")
		}
		target.answer(183, sdpPlain, reliably(7)...) // a repetition has its PRACK on the way already
		target.quiet()
		target.answer(180, "", reliably(8)...)
		target.wantPrack(8)
		target.answer(180, "", reliably(10)...) // 9 was overtaken: it will come, and this again
		target.quiet()
		caller.quiet() // one answer at a time waits for its PRACK
		caller.confirm(progress, "")
		caller.want("200")
		ring := caller.wantReliable("180")
		caller.confirm(ring, "")
		caller.want("200")
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		caller.quiet()
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// PRACKs count on, and the ACK and the CANCEL of the INVITE do not: with a number of theirs the far side finds no INVITE,
// and every call with reliable answers fails (RFC 3261 sections 13.2.2.4 and 9.1).
func TestInviteKeepsItsNumber(t *testing.T) {
	for _, answered := range []bool{true, false} {
		scenario(t, (*world).encrypted, func(r *rig) {
			caller, target := ringing(r, sdpSecure)
			for i := range 3 {
				target.answer(183, sdpPlain, reliably(1+i)...)
				if prack := target.wantPrack(1 + i); prack.CSeq() != target.invite.CSeq()+uint32(i)+1 {
					t.Errorf("PRACK %d has the number %d after INVITE %d", i, prack.CSeq(), target.invite.CSeq())
				}
				caller.want("183")
			}
			if !answered {
				caller.cancel()
				caller.want("200")
				caller.refused("487")
				cancel := target.want("CANCEL")
				if cancel.CSeq() != target.invite.CSeq() {
					t.Errorf("CANCEL has the number %d, its INVITE %d", cancel.CSeq(), target.invite.CSeq())
				}
				target.respond(cancel, 200, "", "")
				target.answer(487, "")
			} else {
				target.answer(200, sdpPlain)
			}
			if ack := target.want("ACK"); ack.CSeq() != target.invite.CSeq() {
				t.Errorf("ACK has the number %d, its INVITE %d", ack.CSeq(), target.invite.CSeq())
			}
			if answered {
				caller.answered()
				caller.ack("")
				caller.request("BYE", "")
				caller.want("200")
				if bye := target.bye(); bye.CSeq() != target.invite.CSeq()+4 {
					t.Errorf("BYE has the number %d after three PRACKs of INVITE %d", bye.CSeq(), target.invite.CSeq())
				}
			}
			r.record()
		})
	}
}

// Either side may know reliable answers alone.
func TestReliableOnOneSide(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) { // the target
		caller, target := ringing(r, sdpSecure)
		target.answer(183, sdpPlain, reliably(1)...)
		target.wantPrack(1)
		m := caller.want("183")
		wantHeaders(t, "the 183", m, "Require: ", "RSeq: ")
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.record()
	})
	scenario(t, (*world).encrypted, func(r *rig) { // the caller, who insists
		caller, target := ringing(r, sdpSecure, insists)
		target.answer(180, "")
		ring := caller.wantReliable("180")
		target.quiet()
		caller.confirm(ring, "")
		caller.want("200")
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.record()
	})
	scenario(t, (*world).encrypted, func(r *rig) { // the caller, who only could
		caller, target := ringing(r, sdpSecure, knows)
		target.answer(180, "")
		wantHeaders(t, "the 180", caller.want("180"), "RSeq: ")
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.record()
	})
}

// A 2xx does not overtake a description that the caller has not confirmed (RFC 3262 section 3).
func TestAnswerWaitsForPrack(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, sdpSecure, knows)
		target.answer(183, sdpPlain, reliably(1)...)
		target.wantPrack(1)
		progress := caller.wantReliable("183")
		target.answer(200, sdpPlain)
		target.answer(200, sdpPlain) // repeated for want of an ACK
		caller.quiet()
		caller.confirm(progress, "")
		caller.want("200")
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
	scenario(t, (*world).encrypted, func(r *rig) { // the caller gives up while it waits
		caller, target := ringing(r, sdpSecure, knows)
		target.answer(183, sdpPlain, reliably(1)...)
		target.wantPrack(1)
		caller.wantReliable("183")
		target.answer(200, sdpPlain)
		caller.cancel()
		caller.want("200")
		caller.refused("487")
		target.want("ACK")
		target.bye()
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}

// Two phones behind the target answer while the first one's 2xx waits: it has the call, the other is hung up.
func TestForkAnswersWhileAnswerWaits(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, sdpSecure, knows)
		target.answer(183, sdpPlain, reliably(1)...)
		target.wantPrack(1)
		progress := caller.wantReliable("183")
		target.answer(200, sdpPlain)
		other := *target
		other.tag = "other"
		other.answer(200, sdpPlain)
		for _, method := range []string{"ACK", "BYE"} {
			m := target.want(method)
			if got := string(m.To().Tag()); got != "other" {
				t.Errorf("%s goes to %q, want the phone that came second", method, got)
			}
			if method == "BYE" {
				target.respond(m, 200, "", "")
			}
		}
		caller.confirm(progress, "")
		caller.want("200")
		if got := string(target.want("ACK").To().Tag()); got != target.tag {
			t.Errorf("ACK goes to %q, want %q", got, target.tag)
		}
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// A caller that never confirms is gone: the call ends after 32 seconds and the target is cancelled.
func TestPrackNeverComes(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, sdpSecure, insists)
		target.answer(183, sdpPlain)
		times := 0
		for start := time.Now(); time.Since(start) < 31900*time.Millisecond; time.Sleep(100 * time.Millisecond) {
			for caller.next() == "183" {
				caller.want("183")
				times++
			}
		}
		if times != 7 { // at 0, 0.5, 1.5, 3.5, 7.5, 15.5 and 31.5 s
			t.Errorf("sent %d times, want 7", times)
		}
		time.Sleep(200 * time.Millisecond)
		caller.refused("504")
		cancel := target.want("CANCEL")
		target.respond(cancel, 200, "", "")
		target.answer(487, "")
		target.want("ACK")
		r.wantRecord(call.ReasonAckTimeout, 504, "")
	})
}

func TestPrackOfNothing(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, sdpSecure, insists)
		target.answer(180, "")
		ring := caller.wantReliable("180")
		for _, rack := range []string{"RAck: 99 1 INVITE", "RAck: 1 99 INVITE", "RAck: 1 1 UPDATE", "RAck: x", ""} {
			var headers []string
			if rack != "" {
				headers = append(headers, rack)
			}
			caller.request("PRACK", "", headers...)
			caller.want("481")
		}
		caller.confirm(ring, "")
		caller.want("200")
		caller.confirm(ring, "") // once more, as a request of its own
		caller.want("481")
		target.answer(486, "")
		target.want("ACK")
		caller.refused("486")
		r.record()
	})
}

// An INVITE without a description and a target that offers in a reliable answer: the PRACK carries the caller's answer,
// held to the promise like any other (RFC 3262 section 5).
func TestEarlyLateOffer(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, "", knows)
		target.answer(183, sdpPlain, reliably(1)...)
		target.quiet() // its PRACK waits for the answer
		progress := caller.wantReliable("183")
		if !strings.Contains(string(progress.Body()), "SAVP") {
			t.Errorf("the customer was offered %q", progress.Body())
		}
		caller.confirm(progress, sdpSecure)
		prack := target.wantPrack(1)
		if got := string(prack.Body()); !strings.Contains(got, "ours") || strings.Contains(got, "SAVP") {
			t.Errorf("the carrier's answer is %q", got)
		}
		caller.want("200")
		target.answer(200, "")
		if ack := target.want("ACK"); len(ack.Body()) > 0 {
			t.Errorf("a second answer %q", ack.Body())
		}
		if ok := caller.answered(); len(ok.Body()) > 0 {
			t.Errorf("a second offer %q", ok.Body())
		}
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
	for sdp, status := range map[string]string{sdpPlain: "488", "": "400"} {
		scenario(t, (*world).encrypted, func(r *rig) {
			caller, target := ringing(r, "", knows)
			target.answer(183, sdpPlain, reliably(1)...)
			progress := caller.wantReliable("183")
			caller.confirm(progress, sdp)
			caller.want("200")
			caller.refused(status)
			cancel := target.want("CANCEL")
			target.respond(cancel, 200, "", "")
			target.answer(487, "")
			target.want("ACK")
			r.record()
		})
	}
	scenario(t, (*world).encrypted, func(r *rig) { // a caller that cannot confirm is never asked to
		caller, target := ringing(r, "")
		wantHeaders(t, "the INVITE", target.invite, "Supported: timer")
		target.answer(486, "")
		target.want("ACK")
		caller.refused("486")
		r.record()
	})
	scenario(t, (*world).encrypted, func(r *rig) { // the answer fits no other target
		backup := r.backup()
		caller, target := ringing(r, "", knows)
		target.answer(183, sdpPlain, reliably(1)...)
		caller.confirm(caller.wantReliable("183"), sdpSecure)
		target.wantPrack(1)
		caller.want("200")
		target.answer(503, "")
		target.want("ACK")
		caller.refused("500")
		backup.quiet()
		r.record()
	})
}

// The session may change before the call is answered, once both sides have confirmed the first description (RFC 3311).
func TestEarlyUpdate(t *testing.T) {
	begin := func(r *rig) (caller, target *agent, progress *sip.Message) {
		caller, target = ringing(r, sdpSecure, knows)
		target.answer(183, sdpPlain, append(reliably(1), "Allow: INVITE, UPDATE")...)
		target.wantPrack(1)
		return caller, target, caller.wantReliable("183")
	}
	finish := func(r *rig, caller, target *agent) {
		target.answer(200, "")
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	}
	scenario(t, (*world).encrypted, func(r *rig) { // by the caller
		caller, target, progress := begin(r)
		caller.request("UPDATE", sdpSecure)
		caller.want("491") // not before its PRACK
		caller.confirm(progress, "")
		caller.want("200")
		caller.request("UPDATE", sdpSecure)
		update := target.want("UPDATE")
		target.respond(update, 200, "", sdpPlain, "Contact: "+target.contact)
		if ok := caller.want("200"); !strings.Contains(string(ok.Body()), "SAVP") {
			t.Errorf("answered %q", ok.Body())
		}
		caller.request("UPDATE", sdpPlain) // a downgrade
		caller.want("488")
		finish(r, caller, target)
	})
	scenario(t, (*world).encrypted, func(r *rig) { // by the target
		caller, target, progress := begin(r)
		caller.confirm(progress, "")
		caller.want("200")
		target.request("UPDATE", sdpPlain)
		update := caller.want("UPDATE")
		if !strings.Contains(string(update.Body()), "SAVP") {
			t.Errorf("the customer was offered %q", update.Body())
		}
		caller.respond(update, 200, "", sdpSecure, "Contact: "+caller.contact)
		target.want("200")
		finish(r, caller, target)
	})
	scenario(t, (*world).encrypted, func(r *rig) { // by an offer in the PRACK
		caller, target, progress := begin(r)
		caller.confirm(progress, sdpSecure)
		update := target.want("UPDATE")
		target.respond(update, 200, "", sdpPlain, "Contact: "+target.contact)
		if ok := caller.want("200"); string(ok.CSeqMethod()) != "PRACK" || !strings.Contains(string(ok.Body()), "SAVP") {
			t.Errorf("the 200 to %s answers %q", ok.CSeqMethod(), ok.Body())
		}
		finish(r, caller, target)
	})
	scenario(t, (*world).encrypted, func(r *rig) { // the target fails in the middle
		backup := r.backup()
		caller, target, progress := begin(r)
		caller.confirm(progress, "")
		caller.want("200")
		caller.request("UPDATE", sdpSecure)
		update := target.want("UPDATE")
		target.answer(503, "")
		target.want("ACK")
		caller.want("500")
		target.respond(update, 481, "", "")
		second := backup.ring()
		second.answer(200, sdpPlain)
		second.want("ACK")
		caller.answered()
		caller.ack("")
		time.Sleep(2 * DefaultRing) // the time the UPDATE had is over, too
		hangUp(caller, second)
		r.record()
	})
	scenario(t, (*world).encrypted, func(r *rig) { // the caller gives up in the middle
		caller, target, progress := begin(r)
		caller.confirm(progress, "")
		caller.want("200")
		caller.request("UPDATE", sdpSecure)
		update := target.want("UPDATE")
		first := *caller
		first.req.CSeq = 1
		first.cancel()
		caller.want("200")
		caller.want("500") // of the UPDATE, at once: nobody waits for the target any more
		first.refused("487")
		target.respond(target.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		target.want("ACK")
		target.respond(update, 200, "", sdpPlain, "Contact: "+target.contact)
		caller.quiet()
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}

// Each fork of the far side has an early dialog of its own, and the one that answers goes on in its.
func TestForkedReliableAnswers(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, one := ringing(r, sdpSecure)
		two := *one
		two.tag = "second"
		one.answer(183, sdpPlain, reliably(5)...)
		first := one.wantPrack(5)
		two.answer(183, sdpPlain, reliably(900)...)
		second := two.wantPrack(900)
		if got := [2]string{string(first.To().Tag()), string(second.To().Tag())}; got != [2]string{one.tag, "second"} {
			t.Errorf("PRACKs went to %v", got)
		}
		caller.want("183")
		caller.want("183")
		two.answer(200, sdpPlain)
		two.want("ACK")
		caller.answered()
		caller.ack("")
		caller.request("BYE", "")
		caller.want("200")
		bye := two.bye()
		if string(bye.To().Tag()) != "second" || bye.CSeq() <= second.CSeq() {
			t.Errorf("BYE goes to %s with CSeq %d, after PRACK %d", bye.To().Tag(), bye.CSeq(), second.CSeq())
		}
		r.record()
	})
}

// A provisional answer makes an early dialog whether it is reliable or not (RFC 3261 section 12.1): INFO crosses in it both
// ways, for announcements in early media that ask for keys, and the target may refresh it.
func TestEarlyDialog(t *testing.T) {
	keys := func(a *agent) {
		a.req.CSeq++
		info := a.inside("INFO", "Signal=5\r\n")
		info.ContentType = "application/dtmf-relay"
		a.send(info.Bytes())
	}
	scenario(t, (*world).encrypted, func(r *rig) {
		caller, target := ringing(r, sdpSecure)
		target.answer(183, sdpPlain)
		caller.ok = caller.want("183")
		keys(caller)
		info := target.want("INFO")
		if string(info.Body()) != "Signal=5\r\n" || string(info.To().Tag()) != target.tag || string(info.RequestURI().User) != "peer" {
			t.Errorf("the target got\n%s", info.Bytes())
		}
		target.respond(info, 200, "", "")
		caller.want("200")
		keys(target)
		caller.respond(caller.want("INFO"), 200, "", "")
		target.want("200")
		target.request("UPDATE", "") // of its Contact
		target.want("200")
		target.request("UPDATE", sdpPlain) // the first answer was not confirmed (RFC 3311 section 5.1)
		target.want("491")
		caller.request("UPDATE", sdpSecure)
		caller.want("491")
		target.answer(180, "", reliably(3)...) // in the same dialog
		target.wantPrack(3)
		caller.want("180")
		target.answer(200, sdpPlain)
		if ack := target.want("ACK"); ack.CSeq() != target.invite.CSeq() {
			t.Errorf("ACK has the number %d, its INVITE %d", ack.CSeq(), target.invite.CSeq())
		}
		caller.answered()
		first := *caller
		first.req.CSeq = 1
		first.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
	scenario(t, (*world).encrypted, func(r *rig) { // nobody is there yet, or says where
		caller, target := ringing(r, sdpSecure, insists)
		target.answer(180, "")
		ring := caller.wantReliable("180")
		caller.confirm(ring, "")
		caller.want("200")
		other := *target
		other.tag = "other"
		other.answer(180, "")
		caller.confirm(caller.wantReliable("180"), "")
		caller.want("200")
		keys(&other) // the second fork's dialog is not the one that was told of
		other.want("481")
		target.answer(503, "")
		target.want("ACK")
		keys(caller) // the next target has said nothing yet
		caller.want("480")
		time.Sleep(4 * time.Second)
		caller.refused("504")
		r.record()
	})
	scenario(t, (*world).encrypted, func(r *rig) { // a target hangs up before it has answered
		caller, target := ringing(r, sdpSecure)
		target.answer(180, "")
		caller.want("180")
		target.request("BYE", "", "Reason: Q.850;cause=19")
		target.want("200")
		final := caller.refused("480")
		wantHeaders(t, "the 480", final, "Reason: Q.850;cause=19")
		target.respond(target.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		target.want("ACK")
		r.wantRecord(call.ReasonRemoteRefused, 480, "carrier")
	})
}
