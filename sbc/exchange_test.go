package sbc

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip/siptest"
	"carillon/sip/transport"
	"carillon/trunk"
)

// talk runs a script inside an answered call of an encrypted customer.
func talk(t *testing.T, script func(r *rig, caller, callee *agent)) {
	t.Helper()
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		script(r, caller, connect(caller, tel, sdpPlain))
	})
}

// sides gives a script of two agents both ways round, each with a description that its side may send.
func sides(t *testing.T, script func(r *rig, from, to *agent, fromSDP, toSDP string)) {
	t.Helper()
	t.Run("by the caller", func(t *testing.T) {
		talk(t, func(r *rig, caller, callee *agent) { script(r, caller, callee, sdpSecure, sdpPlain) })
	})
	t.Run("by the callee", func(t *testing.T) {
		talk(t, func(r *rig, caller, callee *agent) { script(r, callee, caller, sdpPlain, sdpSecure) })
	})
}

func TestReinvite(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.contact = "<sip:moved@" + from.addr.String() + ";transport=" + strings.ToLower(from.proto.String()) + ">"
		from.request("INVITE", fromSDP)
		from.want("100")
		re := to.want("INVITE")
		if strings.Contains(string(re.Body()), "SAVP") != (toSDP == sdpSecure) {
			t.Errorf("offered %q", re.Body())
		}
		to.respond(re, 180, "", "")
		to.respond(re, 200, "", toSDP, "Contact: "+to.contact)
		to.want("ACK")
		ok := from.want("200")
		if strings.Contains(string(ok.Body()), "SAVP") != (fromSDP == sdpSecure) {
			t.Errorf("answered %q", ok.Body())
		}
		to.respond(re, 200, "", toSDP, "Contact: "+to.contact)
		to.want("ACK") // of the repeated 200
		from.quiet()
		from.sendAck(ok, "")
		to.request("BYE", "")
		to.want("200")
		bye := from.bye()
		if !strings.HasPrefix(string(bye.RequestURI().User), "moved") {
			t.Errorf("BYE went to %s, want the new Contact", bye.RequestURI().AppendTo(nil))
		}
		r.record()
	})
}

func TestUpdate(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("UPDATE", fromSDP)
		update := to.want("UPDATE")
		to.respond(update, 200, "", toSDP, "Contact: "+strings.Replace(to.contact, "peer@", "moved@", 1))
		if ok := from.want("200"); !strings.Contains(string(ok.Body()), "ours") {
			t.Errorf("answered %q", ok.Body())
		}
		from.request("UPDATE", "") // a refresh stays on its leg
		from.want("200")
		to.quiet()
		from.request("BYE", "")
		from.want("200")
		if bye := to.bye(); string(bye.RequestURI().User) != "moved" {
			t.Errorf("BYE went to %s, want the new Contact", bye.RequestURI().AppendTo(nil))
		}
	})
}

func hangUpFrom(from, to *agent) {
	from.r.t.Helper()
	from.request("BYE", "")
	from.want("200")
	to.bye()
}

// What would break the promise, or is refused by the other side, leaves the session as it was.
func TestRefusedChangeKeepsTheSession(t *testing.T) {
	for _, method := range []string{"INVITE", "UPDATE"} {
		talk(t, func(r *rig, caller, callee *agent) {
			caller.request(method, sdpPlain)
			if method == "INVITE" {
				caller.want("100")
			}
			final := caller.want("488")
			if !strings.HasPrefix(string(final.Lookup("Warning")), "302") {
				t.Errorf("Warning is %q", final.Lookup("Warning"))
			}
			if method == "INVITE" {
				r := caller.inside("ACK", "")
				caller.send(r.Bytes())
			}
			callee.quiet()
			hangUp(caller, callee)
			r.wantRecord(call.ReasonHangup, 200, "customer")
		})
		sides(t, func(r *rig, from, to *agent, fromSDP, _ string) {
			from.request(method, fromSDP)
			if method == "INVITE" {
				from.want("100")
			}
			to.respond(to.want(method), 488, "", "", "Reason: SIP;cause=488;text=\"secret\"")
			if method == "INVITE" {
				to.want("ACK")
			}
			if got := string(from.want("488").Lookup("Reason")); got != "SIP;cause=488" {
				t.Errorf("Reason is %q", got)
			}
			if method == "INVITE" {
				from.send(from.inside("ACK", "").Bytes())
			}
			hangUpFrom(from, to)
		})
	}
}

// The far side answers a re-INVITE in the clear, or says it knows the call no more, or nothing.
func TestChangeThatEndsTheCall(t *testing.T) {
	talk(t, func(r *rig, caller, callee *agent) {
		callee.request("INVITE", sdpPlain)
		callee.want("100")
		caller.respond(caller.want("INVITE"), 200, "", sdpPlain, "Contact: "+caller.contact)
		caller.want("ACK")
		callee.want("488")
		callee.send(callee.inside("ACK", "").Bytes())
		caller.bye()
		callee.bye()
		r.wantRecord(call.ReasonMediaNotEncrypted, 200, "node")
	})
	for _, status := range []int{481, 408, 0} {
		sides(t, func(r *rig, from, to *agent, fromSDP, _ string) {
			from.request("UPDATE", fromSDP)
			update := to.want("UPDATE")
			want := "408"
			if status == 0 {
				time.Sleep(32 * time.Second)
				to.clear()
			} else {
				to.respond(update, status, "", "")
				if status == 481 {
					want = "481"
				}
			}
			if status == 0 {
				// Both byes may come before or after the repeated UPDATE was cleared.
				r.wantRecord(call.ReasonConnectionLost, 200, "node")
				return
			}
			from.want(want)
			from.bye()
			to.bye()
			r.wantRecord(call.ReasonConnectionLost, 200, "node")
		})
	}
}

// Both sides change the session at once (RFC 3261 section 14.2).
func TestGlare(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", fromSDP)
		from.want("100")
		re := to.want("INVITE")
		to.request("INVITE", toSDP)
		to.want("491")
		to.send(to.inside("ACK", "").Bytes())
		to.request("UPDATE", toSDP)
		to.want("491")
		for _, method := range []string{"INVITE", "UPDATE"} { // who does not wait for its own answer is told when to come again
			from.request(method, fromSDP)
			if again := from.want("500"); header(again, "Retry-After") == "" {
				t.Errorf("a second %s has the answer\n%s", method, again.Bytes())
			}
			if method == "INVITE" {
				from.send(from.inside("ACK", "").Bytes())
			}
		}
		to.respond(re, 491, "", "")
		to.want("ACK")
		from.want("491")
		from.send(from.inside("ACK", "").Bytes())
		// It is over: the next one passes.
		to.request("UPDATE", toSDP)
		from.respond(from.want("UPDATE"), 200, "", fromSDP, "Contact: "+from.contact)
		to.want("200")
		hangUpFrom(from, to)
	})
}

func TestLateOfferReinvite(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", "")
		from.want("100")
		re := to.want("INVITE")
		if len(re.Body()) != 0 {
			t.Errorf("offered %q", re.Body())
		}
		to.respond(re, 200, "", toSDP, "Contact: "+to.contact)
		to.quiet()
		ok := from.want("200")
		if strings.Contains(string(ok.Body()), "SAVP") != (fromSDP == sdpSecure) {
			t.Errorf("offered back %q", ok.Body())
		}
		from.sendAck(ok, fromSDP)
		if ack := to.want("ACK"); !strings.Contains(string(ack.Body()), "ours") {
			t.Errorf("ACK has %q", ack.Body())
		}
		hangUpFrom(from, to)
	})
	talk(t, func(r *rig, caller, callee *agent) {
		caller.request("INVITE", "")
		caller.want("100")
		callee.respond(callee.want("INVITE"), 200, "", sdpPlain, "Contact: "+callee.contact)
		caller.sendAck(caller.want("200"), sdpPlain)
		callee.want("ACK")
		callee.bye()
		caller.bye()
		r.wantRecord(call.ReasonMediaNotEncrypted, 200, "node")
	})
}

// A side that sends 100 to a re-INVITE and nothing else does not lock the session for ever.
func TestReinviteNeverAnswered(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", fromSDP)
		from.want("100")
		re := to.want("INVITE")
		to.respond(re, 100, "", "")
		time.Sleep(180 * time.Second)
		to.respond(to.want("CANCEL"), 200, "", "")
		to.respond(re, 487, "", "")
		to.want("ACK")
		from.want("487")
		from.send(from.inside("ACK", "").Bytes())
		hangUpFrom(from, to)
	})
}

func TestReinviteCancelled(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		re := from.request("INVITE", fromSDP)
		from.want("100")
		theirs := to.want("INVITE")
		to.respond(theirs, 180, "", "")
		re.Method, re.Headers, re.Body, re.ContentType = "CANCEL", nil, "", ""
		from.send(re.Bytes())
		from.want("200")
		to.respond(to.want("CANCEL"), 200, "", "")
		to.respond(theirs, 487, "", "")
		to.want("ACK")
		from.want("487")
		from.send(from.inside("ACK", "").Bytes())
		hangUpFrom(from, to)
	})
}

// BYE overtakes a re-INVITE, in each state of it.
func TestByeDuringReinvite(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", fromSDP)
		from.want("100")
		re := to.want("INVITE")
		to.respond(re, 100, "", "")
		to.request("BYE", "")
		to.want("200")
		to.respond(to.want("CANCEL"), 200, "", "")
		from.want("487")
		from.send(from.inside("ACK", "").Bytes())
		from.bye()
		to.respond(re, 200, "", toSDP, "Contact: "+to.contact)
		to.want("ACK")
		r.record()
	})
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", "")
		from.want("100")
		re := to.want("INVITE")
		to.respond(re, 200, "", toSDP, "Contact: "+to.contact)
		from.want("200")
		from.request("BYE", "")
		from.want("200")
		to.want("ACK")
		to.bye()
		from.clear() // the 200 of the re-INVITE is repeated: nobody acknowledged it
		r.record()
	})
}

// An ACK with the number of a re-INVITE that has no answer yet does nothing.
func TestAckBeforeAnswerOfReinvite(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, toSDP string) {
		from.request("INVITE", fromSDP)
		from.want("100")
		re := to.want("INVITE")
		from.send(from.inside("ACK", "").Bytes())
		to.respond(re, 200, "", toSDP, "Contact: "+to.contact)
		to.want("ACK")
		from.sendAck(from.want("200"), "")
		hangUpFrom(from, to)
	})
}

func TestInfo(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, _, _ string) {
		dtmf := from.inside("INFO", "Signal=5\r\n")
		from.req.CSeq++
		dtmf.CSeq, dtmf.ContentType = from.req.CSeq, "application/dtmf-relay"
		from.send(dtmf.Bytes())
		info := to.want("INFO")
		if string(info.Body()) != "Signal=5\r\n" || string(info.ContentType()) != "application/dtmf-relay" {
			t.Errorf("INFO is %s", info.Bytes())
		}
		to.respond(info, 200, "", "")
		from.want("200")
		from.request("INFO", "")
		to.respond(to.want("INFO"), 415, "", "")
		from.want("415")
		from.request("INFO", "")
		to.want("INFO")
		time.Sleep(32 * time.Second)
		to.clear()
		from.want("408")
		hangUpFrom(from, to)
	})
}

// An INFO may bring anything but a session description: one side's addresses and key are not for the other, and the
// carrier's leg is in the clear.
func TestInfoBringsNoDescription(t *testing.T) {
	part := func(contentType, body string) string {
		return "--b\r\nContent-Type: " + contentType + "\r\n\r\n" + body + "\r\n--b--\r\n"
	}
	for _, st := range []struct{ contentType, body string }{
		{"application/sdp", sdpSecure},
		{"Application/SDP;charset=utf-8", "v=0"},
		{"text/plain", "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:key"},
		{"multipart/mixed;boundary=b", part("application/sdp", "v=0")},
		{"multipart/alternative;boundary=b", part("application/SDP; x=y", "v=0")},
		{"multipart/mixed", part("text/plain", "no boundary is named")},
	} {
		sides(t, func(r *rig, from, to *agent, _, _ string) {
			from.req.CSeq++
			info := from.inside("INFO", st.body)
			info.ContentType = st.contentType
			from.send(info.Bytes())
			from.want("415")
			to.quiet()
			hangUpFrom(from, to)
		})
	}
	sides(t, func(r *rig, from, to *agent, _, _ string) {
		from.req.CSeq++
		info := from.inside("INFO", part("application/dtmf-relay", "Signal=5"))
		info.ContentType = "multipart/mixed;boundary=b"
		from.send(info.Bytes())
		to.respond(to.want("INFO"), 200, "", "")
		from.want("200")
		hangUpFrom(from, to)
	})
}

func TestInDialogOddities(t *testing.T) {
	sides(t, func(r *rig, from, to *agent, fromSDP, _ string) {
		for _, st := range []struct{ method, status string }{
			{"OPTIONS", "200"}, {"PRACK", "481"}, {"REFER", "405"}, {"MESSAGE", "405"}, {"HUH", "501"},
		} {
			from.request(st.method, "")
			from.want(st.status)
		}
		old := from.inside("INFO", "")
		old.CSeq -= 3
		from.send(old.Bytes())
		from.want("500") // a number that was used
		from.req.CSeq++
		re := from.inside("INVITE", "not a description")
		re.ContentType = "text/plain"
		from.send(re.Bytes())
		wantHeaders(t, "the 415", from.want("415"), "Accept: application/sdp, multipart/mixed")
		from.send(from.inside("ACK", "").Bytes())
		from.request("INFO", "", "Require: timer, precondition")
		wantHeaders(t, "the 420", from.want("420"), "Unsupported: precondition")
		from.request("INFO", "zipped", "Content-Encoding: gzip") // a description could be in it
		wantHeaders(t, "the 415", from.want("415"), "Accept-Encoding: identity")
		wrong := from.inside("BYE", "")
		wrong.CSeq++
		wrong.FromTag = "somebodyelse"
		from.send(wrong.Bytes())
		from.want("481")
		wrong.ToTag = "nosuchdialog"
		wrong.Headers = []string{"User-Agent: a phone with a name"} // a datagram from anybody gets no more than it brought
		wrong.Branch = newBranch()
		from.send(wrong.Bytes())
		from.want("481")
		to.quiet()
		hangUpFrom(from, to)
	})
}

// A request in the clear on a leg that began over TLS is dropped and counted; one that shows a key ends the call.
func TestInDialogInTheClear(t *testing.T) {
	talk(t, func(r *rig, caller, callee *agent) {
		thief := r.phone(transport.UDP, strangerIP)
		for _, method := range []string{"BYE", "INVITE", "ACK", "INFO"} {
			caller.req.CSeq++
			req := caller.inside(method, "")
			req.Transport = "UDP"
			thief.send(req.Bytes())
		}
		thief.quiet()
		callee.quiet()
		if got := r.sbc.Stats().PlainDrops.Load(); got != 4 {
			t.Errorf("%d messages were dropped, want 4", got)
		}
		hangUp(caller, callee)
		if got := r.wantRecord(call.ReasonHangup, 200, "customer"); got.PlainRequestsDropped != 3 {
			t.Errorf("%d requests are in the record, want 3 (an ACK is none)", got.PlainRequestsDropped)
		}
	})
	talk(t, func(r *rig, caller, callee *agent) { // who only guessed the tag cannot end the call
		req := caller.inside("INVITE", sdpSecure)
		req.FromTag = "guess"
		r.phone(transport.UDP, strangerIP).send(req.Bytes())
		hangUp(caller, callee)
		if got := r.wantRecord(call.ReasonHangup, 200, "customer"); got.PlainRequestsDropped != 0 {
			t.Errorf("%d guesses are in the record", got.PlainRequestsDropped)
		}
	})
	talk(t, func(r *rig, caller, callee *agent) {
		req := caller.inside("INVITE", sdpSecure)
		req.CSeq++
		req.Transport = "TCP"
		r.phone(transport.TCP, customerIP).send(req.Bytes())
		callee.bye()
		caller.bye()
		r.wantRecord(call.ReasonPlainInDialog, 200, "node")
	})
}

// A customer's new connection carries on; the call's requests follow it.
func TestCallMovesToNewConnection(t *testing.T) {
	talk(t, func(r *rig, caller, callee *agent) {
		again := r.phone(transport.TLS, strangerIP)
		caller.near.Cut()
		caller.req.CSeq++
		info := caller.inside("INFO", "")
		again.send(info.Bytes())
		callee.respond(callee.want("INFO"), 200, "", "")
		again.want("200")
		did := r.media.only(t).did()
		if want := fmt.Sprint("customer moved to ", strangerIP); did[len(did)-1] != want {
			t.Errorf("media was asked %q, want %q last", did, want)
		}
		callee.request("BYE", "")
		callee.want("200")
		again.bye()
		r.record()
	})
}

// A lost connection is made anew: to the Contact, but as the host that was called, under its peer policy.
func TestReconnectToTheTarget(t *testing.T) {
	for _, back := range []bool{true, false} {
		scenario(t, func(w *world) {
			w.encrypted()
			w.connector.Settings.Peers = map[string]trunk.PeerPolicy{"pbx.example.org": {Pin: strings.Repeat("ab", 32)}}
		}, func(r *rig) {
			pbx := r.pbx()
			caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain)
			pbx.far.Attach(pbx)
			callee := connect(caller, pbx, sdpSecure)
			pbx.near.Cut()
			var second *peer
			if back {
				second = r.peer(transport.TLS, pbxIP+":5061")
			} else {
				delete(r.net.peers, destination{transport.TLS, mustAddr(pbxIP + ":5061")})
			}
			hangUpAlone(caller)
			if back {
				second.bye()
			}
			last := r.net.dialed[len(r.net.dialed)-1]
			if last.Addr != mustAddr(pbxIP+":5061") || last.TLS == nil || last.TLS.ServerName != "pbx.example.org" || len(last.TLS.Pins) != 1 {
				t.Errorf("dialled %+v", last)
			}
			if len(r.net.dialed) != 2 {
				t.Errorf("dialled %d times, want 2", len(r.net.dialed))
			}
			callee.quiet()
			r.record()
		})
	}
}

func hangUpAlone(a *agent) siptest.Request {
	r := a.request("BYE", "")
	a.want("200")
	return r
}
