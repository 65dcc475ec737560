package sbc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transport"
)

// timed sets a call up in which both sides say something about session timers, and returns what each got of ours: the
// INVITE at the target and the 200 at the caller.
func timed(r *rig, callerSays, targetSays []string) (caller, target *agent, invite, ok *sip.Message) {
	tel := r.tel()
	caller = r.customer(transport.TLS).outboundCall(sdpSecure).start(callerSays...)
	caller.want("100")
	target = tel.ring()
	target.answer(200, sdpPlain, targetSays...)
	target.want("ACK")
	ok = caller.answered()
	caller.ack("")
	return caller, target, target.invite, ok
}

var (
	refreshes = []string{"Supported: timer", "Session-Expires: 600;refresher=uac", "Allow: INVITE, ACK, BYE, CANCEL, UPDATE"}
	keepsUp   = []string{"Require: timer", "Session-Expires: 1800;refresher=uas"}
)

func header(m *sip.Message, name string) string { return string(m.Lookup(name)) }

func wantHeaders(t *testing.T, what string, m *sip.Message, want ...string) {
	t.Helper()
	for _, h := range want {
		name, value, _ := strings.Cut(h, ": ")
		if got := header(m, name); got != value {
			t.Errorf("%s has %s %q, want %q", what, name, got, value)
		}
	}
}

// What is said to each side when a call is set up (RFC 4028 sections 7 and 9).
func TestSessionTimerIsAgreed(t *testing.T) {
	for _, c := range []struct {
		name   string
		says   []string
		answer []string // headers of our 200, "Name: " for absent ones
	}{
		{"refreshes itself", refreshes, []string{"Session-Expires: 600;refresher=uac", "Require: timer"}},
		{"leaves it to us", []string{"Supported: timer", "Session-Expires: 600;refresher=uas"}, []string{"Session-Expires: 600;refresher=uas", "Require: "}},
		{"leaves it open", []string{"Supported: timer", "Session-Expires: 600"}, []string{"Session-Expires: 600;refresher=uac", "Require: timer"}},
		{"wants longer than we do", []string{"Supported: timer", "Session-Expires: 7200"}, []string{"Session-Expires: 1800;refresher=uac"}},
		{"will not go below", []string{"Supported: timer", "Session-Expires: 7200", "Min-SE: 3600"}, []string{"Session-Expires: 3600;refresher=uac"}},
		{"names none", []string{"Supported: timer"}, []string{"Session-Expires: 1800;refresher=uac", "Require: timer"}},
		{"knows none", nil, []string{"Session-Expires: ", "Require: "}},
	} {
		t.Run(c.name, func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				caller, target, invite, ok := timed(r, c.says, keepsUp)
				wantHeaders(t, "the 200", ok, append(c.answer, "Supported: timer, 100rel")...)
				wantHeaders(t, "the INVITE", invite, "Session-Expires: 1800", "Min-SE: 90", "Supported: timer, 100rel")
				hangUp(caller, target)
				r.record()
			})
		})
	}
}

// A side that promised to refresh and does not is gone: both sides are hung up a little before the session's end.
func TestSessionExpires(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		caller, target, _, _ := timed(r, refreshes, keepsUp)
		time.Sleep(567 * time.Second)
		caller.quiet()
		time.Sleep(2 * time.Second) // 600 less 32
		caller.bye()
		target.bye()
		r.wantRecord(call.ReasonSessionExpired, 200, "node")
	})
}

func TestRefreshKeepsTheCall(t *testing.T) {
	for method, sdp := range map[string]string{"UPDATE": "", "INVITE": sdpSecure} {
		t.Run(method, func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				caller, target, _, _ := timed(r, refreshes, keepsUp)
				for range 5 {
					time.Sleep(500 * time.Second)
					caller.request(method, sdp, refreshes...)
					if method == "INVITE" {
						caller.want("100")
						re := target.want("INVITE")
						wantHeaders(t, "the re-INVITE", re, "Session-Expires: 1800;refresher=uas")
						target.respond(re, 200, "", sdpPlain, append(keepsUp, "Contact: "+target.contact)...)
						target.want("ACK")
					}
					ok := caller.want("200")
					wantHeaders(t, "the 200 to "+method, ok, "Session-Expires: 600;refresher=uac", "Require: timer")
					if method == "INVITE" {
						caller.sendAck(ok, "")
					}
					if method == "UPDATE" {
						target.request("UPDATE", "", keepsUp...)
						target.want("200")
					}
				}
				hangUp(caller, target)
				r.wantRecord(call.ReasonHangup, 200, "customer")
			})
		})
	}
}

// Where the node refreshes, it does so at half the time: by UPDATE where the peer takes it, else by the same offer.
func TestNodeRefreshes(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		caller, target, _, _ := timed(r, refreshes, []string{"Session-Expires: 1000;refresher=uac", "Allow: INVITE, UPDATE"})
		for range 3 {
			time.Sleep(500 * time.Second)
			update := target.want("UPDATE")
			if wantHeaders(t, "the UPDATE", update, "Session-Expires: 1000;refresher=uac"); len(update.Body()) > 0 {
				t.Errorf("a refresh with the body %q", update.Body())
			}
			target.respond(update, 200, "", "", "Session-Expires: 1000;refresher=uac")
			caller.request("UPDATE", "", refreshes...)
			caller.want("200")
		}
		hangUp(caller, target)
		r.record()
	})
	scenario(t, nil, func(r *rig) { // a target that knows neither timers nor UPDATE
		caller, target, _, _ := timed(r, refreshes, nil)
		time.Sleep(450 * time.Second)
		caller.request("UPDATE", "", refreshes...)
		caller.want("200")
		time.Sleep(450 * time.Second)
		re := target.want("INVITE")
		if !strings.Contains(string(re.Body()), "ours") {
			t.Errorf("the offer is %q", re.Body())
		}
		target.respond(re, 200, "", sdpPlain, "Contact: "+target.contact)
		target.want("ACK")
		caller.quiet()
		caller.request("INVITE", sdpSecure) // the session is free again
		caller.want("100")
		target.respond(target.want("INVITE"), 488, "", "")
		target.want("ACK")
		caller.want("488")
		ack := caller.inside("ACK", "")
		caller.send(ack.Bytes())
		hangUp(caller, target)
		r.record()
	})
}

func TestFailedRefreshes(t *testing.T) {
	asks := []string{"Session-Expires: 1000;refresher=uac", "Allow: INVITE, UPDATE"}
	for _, c := range []struct {
		name   string
		play   func(r *rig, target *agent)
		reason call.Reason
	}{
		{"481", func(_ *rig, target *agent) { target.respond(target.want("UPDATE"), 481, "", "") }, call.ReasonConnectionLost},
		{"silence", func(_ *rig, target *agent) {
			target.want("UPDATE")
			time.Sleep(33 * time.Second)
			for target.next() == "UPDATE" {
				target.want("UPDATE")
			}
		}, call.ReasonConnectionLost},
		{"501 until the end", func(_ *rig, target *agent) {
			for range 10000 {
				switch target.next() {
				case "UPDATE":
					target.respond(target.want("UPDATE"), 501, "", "")
				case "BYE":
					return
				default:
					time.Sleep(time.Second)
				}
			}
		}, call.ReasonSessionExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				caller, target, _, _ := timed(r, []string{"Supported: timer", "Session-Expires: 1800;refresher=uac"}, asks)
				time.Sleep(500 * time.Second)
				c.play(r, target)
				target.bye()
				caller.bye()
				r.wantRecord(c.reason, 200, "node")
			})
		})
	}
	scenario(t, nil, func(r *rig) { // the peer is changing the session itself, or wants a longer one
		caller, target, _, _ := timed(r, []string{"Supported: timer", "Session-Expires: 1800;refresher=uac"}, asks)
		time.Sleep(500 * time.Second)
		target.respond(target.want("UPDATE"), 491, "", "")
		time.Sleep(2090 * time.Millisecond) // the Call-ID is ours (RFC 3261 section 14.1)
		target.quiet()
		for range 191 {
			if time.Sleep(10 * time.Millisecond); target.next() != "" {
				break
			}
		}
		target.respond(target.want("UPDATE"), 422, "", "", "Min-SE: 1200")
		again := target.want("UPDATE")
		wantHeaders(t, "the UPDATE after 422", again, "Session-Expires: 1200;refresher=uac", "Min-SE: 1200")
		target.respond(again, 200, "", "", "Session-Expires: 1200;refresher=uac")
		hangUp(caller, target)
		r.record()
	})
}

// The node tries again after a glare as RFC 3261 section 14.1 says: in the caller's dialog, whose Call-ID is not ours, within
// two seconds, and not at the same time on every call.
func TestRefreshAfterGlare(t *testing.T) {
	waited := map[time.Duration]bool{}
	scenario(t, nil, func(r *rig) {
		caller, target, _, _ := timed(r, []string{"Supported: timer", "Session-Expires: 600;refresher=uas", "Allow: INVITE, UPDATE"}, keepsUp)
		time.Sleep(300 * time.Second)
		for range 10 {
			caller.respond(caller.want("UPDATE"), 491, "", "")
			since := time.Now()
			for caller.next() == "" && time.Since(since) <= 2*time.Second {
				time.Sleep(10 * time.Millisecond)
			}
			waited[time.Since(since)] = true
		}
		caller.respond(caller.want("UPDATE"), 200, "", "", "Session-Expires: 600;refresher=uac")
		hangUp(caller, target)
		r.record()
	})
	if len(waited) < 5 {
		t.Errorf("ten glares were followed by pauses of %v", waited)
	}
}

// A target may want a longer session, but not for ever (RFC 4028 section 7.3).
func TestTargetFindsTheSessionTooShort(t *testing.T) {
	tooShort := func(tel *peer, minimum string) *agent {
		target := tel.ring()
		target.answer(422, "", "Min-SE: "+minimum)
		target.want("ACK")
		return target
	}
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure).start()
		caller.want("100")
		first := tooShort(tel, "3600").invite
		target := tel.ring()
		wantHeaders(t, "the second INVITE", target.invite, "Session-Expires: 3600", "Min-SE: 3600")
		if string(target.invite.CallID()) != string(first.CallID()) || target.invite.CSeq() != first.CSeq()+1 {
			t.Errorf("asked again as %s %d after %s %d", target.invite.CallID(), target.invite.CSeq(), first.CallID(), first.CSeq())
		}
		target.answer(200, sdpPlain, "Session-Expires: 3600;refresher=uas")
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.record()
	})
	for name, minimums := range map[string][]string{
		"ever more": {"200", "2000", "20000"}, "the same again": {"3600", "3600"}, "beyond reason": {"4294967295"}, "none": {"x"},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, (*world).oneTarget, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.TLS).outboundCall(sdpSecure).start()
				caller.want("100")
				for _, minimum := range minimums {
					tooShort(tel, minimum)
				}
				caller.refused("422")
				tel.quiet()
				r.record()
			})
		})
	}
}

func TestTooShortInsideACall(t *testing.T) {
	for _, method := range []string{"UPDATE", "INVITE"} {
		scenario(t, nil, func(r *rig) {
			caller, target, _, _ := timed(r, refreshes, keepsUp)
			caller.request(method, sdpSecure, "Session-Expires: 10", "Supported: timer")
			wantHeaders(t, "the 422", caller.want("422"), "Min-SE: 90")
			if method == "INVITE" {
				ack := caller.inside("ACK", "")
				caller.send(ack.Bytes())
			}
			target.quiet()
			hangUp(caller, target)
			r.record()
		})
	}
}

// next names the message that waits, "" for none.
func (p *peer) next() string {
	p.r.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.inbox) == 0 {
		return ""
	}
	return describe(p.inbox[0])
}
