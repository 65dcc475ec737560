package sbc

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

type addrPort = netip.AddrPort

func mustAddr(s string) addrPort { return netip.MustParseAddrPort(s) }

// What the first target answers decides whether the second is tried, and what the caller hears.
func TestFailover(t *testing.T) {
	for _, st := range []struct {
		status int
		goesOn bool
		caller string // what the caller gets when it does not go on
	}{
		{408, true, ""}, {500, true, ""}, {502, true, ""}, {503, true, ""}, {504, true, ""},
		{401, true, ""}, {407, true, ""},
		{302, false, "480"}, {400, false, "400"}, {403, false, "403"}, {404, false, "404"}, {480, false, "480"}, {484, false, "484"},
		{486, false, "486"}, {488, false, "488"}, {501, false, "501"}, {600, false, "600"}, {603, false, "603"},
	} {
		t.Run(fmt.Sprint(st.status), func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				tel, backup := r.tel(), r.backup()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				target := tel.ring()
				target.answer(st.status, "", "Contact: <sip:elsewhere@203.0.113.99>", "Reason: Q.850;cause=17;text=\"busy\"", "Retry-After: 60")
				tel.want("ACK")
				if !st.goesOn {
					final := caller.refused(st.caller)
					if got := string(final.Lookup("Reason")); got != "Q.850;cause=17" {
						t.Errorf("Reason is %q", got)
					}
					if final.Lookup("Retry-After") != nil || final.Contact() != nil {
						t.Errorf("the caller got %s", final.Bytes())
					}
					backup.quiet()
					got := r.record()
					if got.Reason != call.ReasonRemoteRefused.String() || fmt.Sprint(got.Status) != st.caller || got.HungUpBy != "carrier" ||
						len(got.Attempts) != 1 || got.Attempts[0].Status != st.status {
						t.Errorf("record %+v", got)
					}
					return
				}
				second := backup.ring()
				if string(second.invite.CallID()) == string(target.invite.CallID()) || string(second.invite.From().Tag()) == string(target.invite.From().Tag()) {
					t.Error("two targets share a dialog's identifiers")
				}
				if string(second.invite.Body()) == string(target.invite.Body()) {
					t.Error("two targets were given the same keys")
				}
				second.answer(200, sdpPlain)
				backup.want("ACK")
				caller.answered()
				caller.ack("")
				hangUp(caller, second)
				got := r.wantRecord(call.ReasonHangup, 200, "customer")
				if len(got.Attempts) != 2 || got.Attempts[0].Status != st.status || got.Attempts[1].Status != 200 || got.Attempts[1].Error != "" {
					t.Errorf("attempts %+v", got.Attempts)
				}
			})
		})
	}
}

// A target that refuses without a Reason is given one, and a sentence says that it was the far side, in every refusal.
func TestRefusalOfTheFarSideIsExplained(t *testing.T) {
	for status, cause := range map[int]int{
		400: 41, 403: 21, 404: 1, 405: 63, 406: 79, 410: 22, 420: 127, 480: 18, 482: 25, 484: 28, 485: 1, 486: 17, 488: 65, 491: 31,
		501: 79, 600: 17, 603: 21, 604: 1, 606: 65,
	} {
		scenario(t, nil, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
			caller.want("100")
			target := tel.ring()
			target.answer(status, "")
			target.want("ACK")
			final := caller.refused(fmt.Sprint(status))
			said := fmt.Sprintf("\"The far side refused the call: answered %d %s.", status, sip.ReasonPhrase(status))
			if got, want := header(final, "Reason"), fmt.Sprintf("Q.850;cause=%d;text=%s\"", cause, said); got != want {
				t.Errorf("%d: Reason is %q, want %q", status, got, want)
			}
			if got := header(final, "Warning"); got != "399 "+nodeName+" "+said+"\"" {
				t.Errorf("%d: Warning is %q", status, got)
			}
			r.wantRecord(call.ReasonRemoteRefused, status, "carrier")
		})
	}
}

// Silence, a lost connection, a target that cannot be connected and one that rings too long lead to the next.
func TestFailoverWithoutAnswer(t *testing.T) {
	for name, st := range map[string]struct {
		transport trunk.Transport
		happen    func(r *rig, first *peer)
		takes     time.Duration
		cancelled bool
	}{
		"silence":            {trunk.UDP, func(*rig, *peer) { time.Sleep(3500 * time.Millisecond) }, 3500 * time.Millisecond, false},
		"only a 100":         {trunk.UDP, func(_ *rig, p *peer) { p.ring().answer(100, ""); time.Sleep(183500 * time.Millisecond) }, 183500 * time.Millisecond, true},
		"rings too long":     {trunk.UDP, func(_ *rig, p *peer) { p.ring().answer(180, ""); time.Sleep(183500 * time.Millisecond) }, 183500 * time.Millisecond, true},
		"lost connection":    {trunk.TCP, func(r *rig, p *peer) { p.ring(); r.layer.Closed(p.near.Flow(), nil) }, 0, false},
		"refused connection": {trunk.TLS, func(*rig, *peer) {}, 0, false},
		"black hole":         {trunk.TLS, func(*rig, *peer) { time.Sleep(4 * time.Second) }, 4 * time.Second, false},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				w.carriers[0].Targets[0].Transport = st.transport
			}, func(r *rig) {
				proto := map[trunk.Transport]transport.Proto{trunk.UDP: transport.UDP, trunk.TCP: transport.TCP}[st.transport]
				var first *peer
				if proto != 0 {
					first = r.peer(proto, carrierIP+":5060")
				}
				if name == "black hole" {
					r.net.hang = map[addrPort]bool{mustAddr(carrierIP + ":5061"): true}
				}
				backup := r.backup()
				began := time.Now()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				st.happen(r, first)
				second := backup.ring()
				if took := time.Since(began); took != st.takes {
					t.Errorf("the second target was tried after %v, want %v", took, st.takes)
				}
				caller.clear()
				second.answer(180, "")
				caller.want("180")
				if st.cancelled {
					if got := first.far; !slices.Contains(tail(first.near.Log()), "CANCEL") {
						t.Errorf("the first target was not cancelled: %v", got.Log())
					}
					first.clear()
					// It answers late: ACK and BYE, and the caller hears nothing of it.
					late := &agent{peer: first, invite: first.all[0], tag: "late", contact: first.contactOf()}
					late.answer(200, sdpPlain)
					first.want("ACK")
					first.bye()
					caller.quiet()
				}
				second.answer(486, "")
				backup.want("ACK")
				caller.refused("486")
				if got := r.record(); len(got.Attempts) != 2 || got.Attempts[0].Error == "" {
					t.Errorf("attempts %+v", got.Attempts)
				}
				// The next call tries the target that failed last, but for one that only rang.
				next := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				next.want("100")
				if !st.cancelled {
					target := backup.ring()
					target.answer(486, "")
					backup.want("ACK")
				} else {
					first.clear()
					again := &agent{peer: first, invite: first.all[len(first.all)-1], tag: "again", contact: first.contactOf()}
					again.answer(486, "")
					first.clear()
				}
				next.refused("486")
			})
		})
	}
}

// tail cuts the times off a wire's log.
func tail(log []string) (what []string) {
	for _, line := range log {
		_, w, _ := strings.Cut(line, " ")
		what = append(what, w)
	}
	return what
}

// The ring time begins anew for each target.
func TestEachTargetHasItsRingTime(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		first := tel.ring()
		first.answer(180, "")
		time.Sleep(180 * time.Second)
		tel.respond(tel.want("CANCEL"), 200, first.tag, "")
		first.answer(487, "")
		tel.want("ACK")
		second := backup.ring()
		second.answer(180, "")
		time.Sleep(179 * time.Second)
		caller.clear()
		time.Sleep(time.Second)
		caller.refused("504")
		r.wantRecord(call.ReasonAllTargetsFailed, 504, "")
		backup.clear()
		second.answer(487, "")
		backup.want("ACK")
	})
}

// What the caller hears when every target failed (RFC 3261 section 16.7).
func TestBestAnswer(t *testing.T) {
	for _, st := range []struct {
		first, second int // 0 is silence
		want          string
	}{
		{503, 503, "500"}, {0, 0, "504"}, {408, 0, "504"}, {503, 500, "500"}, {504, 500, "504"}, {500, 504, "500"},
		{407, 502, "502"}, {401, 407, "500"}, {503, 408, "504"}, {408, 502, "502"}, {407, 503, "500"},
	} {
		t.Run(fmt.Sprintf("%d,%d", st.first, st.second), func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				caller := r.customer(transport.UDP).outboundCall(sdpPlain)
				tel, backup := r.tel(), r.backup()
				caller.start()
				caller.want("100")
				answerOrNot(tel, st.first)
				answerOrNot(backup, st.second)
				final := caller.refused(st.want)
				for _, header := range []string{"Proxy-Authenticate", "WWW-Authenticate", "Retry-After"} {
					if final.Lookup(header) != nil {
						t.Errorf("the caller got %s", header)
					}
				}
				got := r.record()
				if got.Reason != "all_targets_failed" || fmt.Sprint(got.Status) != st.want || len(got.Attempts) != 2 || got.HungUpBy != "" {
					t.Errorf("record %+v", got)
				}
			})
		})
	}
}

func answerOrNot(p *peer, status int) {
	target := p.ring()
	if status == 0 {
		time.Sleep(3500 * time.Millisecond)
		p.clear()
		return
	}
	target.answer(status, "", "Proxy-Authenticate: Digest realm=\"tel\", nonce=\"n\"", "Retry-After: 60")
	p.want("ACK")
}

// All addresses of a name are tried before the next target, each with its own time; addresses that must not be called
// are passed over, and a target over TLS is never tried in the clear.
func TestAddressesOfATarget(t *testing.T) {
	scenario(t, func(w *world) {
		w.carriers[0].Targets = []trunk.Target{{Host: "sip.tel.example", Transport: trunk.TCP}, {Host: "tls.tel.example", Transport: trunk.TLS}}
	}, func(r *rig) {
		r.net.name("sip.tel.example", resolve.TCP, "127.0.0.1:5060", "169.254.169.254:5060", "10.0.0.1:5060", "198.51.100.8:5060", "198.51.100.9:5060")
		r.net.name("tls.tel.example", resolve.TCP, "198.51.100.10:5060")
		r.net.hang = map[addrPort]bool{mustAddr("198.51.100.8:5060"): true}
		ninth := r.peer(transport.TCP, "198.51.100.9:5060")
		clear := r.peer(transport.TCP, "198.51.100.10:5060")
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		time.Sleep(connectDelay)
		target := ninth.ring()
		target.answer(503, "")
		ninth.want("ACK")
		time.Sleep(dialTimeout) // the slow one gets its time now
		caller.refused("500")
		clear.quiet()
		var dialed []string
		for _, d := range r.net.dialed {
			dialed = append(dialed, d.Addr.String())
		}
		if want := []string{"198.51.100.8:5060", "198.51.100.9:5060", "198.51.100.8:5060"}; !slices.Equal(dialed, want) {
			t.Errorf("dialled %v, want %v", dialed, want)
		}
		if got := r.record().Attempts; len(got) != 3 || got[1].Error != "could not be reached" || got[2].Error != "could not be reached" || got[1].Cause != "it did not answer within 4s" {
			t.Errorf("attempts %+v", got)
		}
	})
}

func TestCarrierDigest(t *testing.T) {
	for _, st := range []struct {
		status            int
		challenge, header string
	}{
		{407, "Proxy-Authenticate", "Proxy-Authorization"},
		{401, "WWW-Authenticate", "Authorization"},
	} {
		for _, accepted := range []bool{true, false} {
			scenario(t, func(w *world) {
				w.oneTarget()
				w.carriers[0].User, w.carriers[0].Password = "trunk", trunk.NewSecret("hunter2")
			}, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				challenge := st.challenge + ": Digest realm=\"tel.example\", nonce=\"abc\", qop=\"auth\", algorithm=SHA-256"
				first := tel.ring()
				first.answer(st.status, "", challenge)
				tel.want("ACK")
				second := tel.ring()
				value := string(second.invite.Lookup(st.header))
				if !strings.Contains(value, `username="trunk"`) || !strings.Contains(value, "uri=\"sip:"+farNumber+"@"+carrierIP+"\"") {
					t.Errorf("%s is %q", st.header, value)
				}
				if second.invite.CSeq() != first.invite.CSeq()+1 || string(second.invite.CallID()) != string(first.invite.CallID()) {
					t.Error("the second INVITE is not the first with the next CSeq")
				}
				if !accepted {
					second.answer(st.status, "", challenge)
					tel.want("ACK")
					caller.refused("500")
					tel.quiet()
					return
				}
				second.answer(200, sdpPlain)
				tel.want("ACK")
				caller.answered()
				caller.ack("")
				hangUp(caller, second)
			})
		}
	}
}

func TestBetter(t *testing.T) {
	var best outcome
	for _, st := range []struct{ status, best int }{
		{407, 407}, {0, 407}, {503, 503}, {407, 503}, {408, 408}, {503, 408}, {504, 504}, {502, 504}, {404, 404}, {500, 404},
	} {
		if best = better(best, outcome{status: st.status, text: "x"}); best.status != st.best {
			t.Errorf("after %d the best is %d, want %d", st.status, best.status, st.best)
		}
	}
}

// A target that answers again is tried in its own place again.
func TestRecoveredTarget(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		place := func() *agent {
			a := r.customer(transport.TCP).outboundCall(sdpPlain).start()
			a.want("100")
			return a
		}
		unavailable := func(p *peer) {
			p.ring().answer(503, "")
			p.want("ACK")
		}
		first := place()
		unavailable(tel)
		unavailable(backup)
		first.refused("500")
		second := place() // both failed: the order is as before
		unavailable(tel)
		target := backup.ring()
		target.answer(200, sdpPlain)
		backup.want("ACK")
		second.answered()
		second.ack("")
		third := place()
		busy(backup)
		third.refused("486")
		tel.quiet()
		hangUp(second, target)
		time.Sleep(DefaultFailedFor)
		fourth := place()
		busy(tel)
		fourth.refused("486")
	})
}

// A name with a great many addresses does not hold a call for as many times.
func TestAddressesAreBounded(t *testing.T) {
	scenario(t, func(w *world) { w.carriers[0].Targets = []trunk.Target{{Host: "many.example", Transport: trunk.TCP}} }, func(r *rig) {
		for i := range 50 {
			r.net.name("many.example", resolve.TCP, fmt.Sprintf("198.51.100.%d:5060", 100+i))
		}
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
		caller.want("100")
		caller.refused("500")
		if n := len(r.net.dialed); n != maxAddresses {
			t.Errorf("%d addresses were dialled, want %d", n, maxAddresses)
		}
	})
}

// A carrier with a password may ask for it with every request of a call: none of them fails for it, what the other side sent
// crosses once, and nobody else hears of it. Nonces serve once.
func TestCarrierChallengesEverything(t *testing.T) {
	withPassword := func(w *world) {
		w.oneTarget()
		w.carriers[0].User, w.carriers[0].Password = "trunk", trunk.NewSecret("hunter2")
	}
	nonce := 0
	challenge := func(stale bool) string {
		nonce++
		return fmt.Sprintf("Proxy-Authenticate: Digest realm=\"tel.example\", nonce=\"n%d\", qop=\"auth\", algorithm=MD5, stale=%v", nonce, stale)
	}
	proven := func(t *testing.T, m *sip.Message) bool {
		t.Helper()
		value := string(m.Lookup("Proxy-Authorization"))
		return strings.Contains(value, fmt.Sprintf("nonce=\"n%d\"", nonce)) && strings.Contains(value, "uri=\""+string(m.RequestURI().AppendTo(nil))+"\"")
	}
	// again challenges a request of the node's and takes it with the answer.
	again := func(t *testing.T, target *agent, method string) *sip.Message {
		t.Helper()
		first := target.want(method)
		target.respond(first, 407, "", "", challenge(false))
		if method == "INVITE" {
			target.want("ACK")
		}
		second := target.want(method)
		if second.CSeq() != first.CSeq()+1 || string(second.Body()) != string(first.Body()) || !proven(t, second) {
			t.Errorf("%s came again as\n%s", method, second.Bytes())
		}
		return second
	}
	scenario(t, withPassword, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(407, "", challenge(false))
		tel.want("ACK")
		target = tel.ring()
		target.answer(422, "", "Min-SE: 2000")
		tel.want("ACK")
		if target = tel.ring(); !strings.Contains(string(target.invite.Lookup("Proxy-Authorization")), "nc=00000002") {
			t.Errorf("after 422 came\n%s", target.invite.Bytes())
		}
		target.answer(407, "", challenge(false))
		tel.want("ACK")
		target = tel.ring()
		target.answer(407, "", challenge(true)) // it took too long
		tel.want("ACK")
		target = tel.ring()
		target.answer(183, sdpPlain, append(reliably(1), "Allow: INVITE, UPDATE")...)
		target.respond(again(t, target, "PRACK"), 200, "", "")
		caller.want("183")
		target.answer(200, sdpPlain)
		if ack := tel.want("ACK"); string(ack.Lookup("Proxy-Authorization")) != string(target.invite.Lookup("Proxy-Authorization")) {
			t.Errorf("the ACK has %q, its INVITE %q", ack.Lookup("Proxy-Authorization"), target.invite.Lookup("Proxy-Authorization"))
		}
		caller.answered()
		caller.ack("")
		caller.request("INFO", "")
		target.respond(again(t, target, "INFO"), 200, "", "")
		caller.want("200")
		caller.request("UPDATE", sdpPlain)
		target.respond(again(t, target, "UPDATE"), 200, "", sdpPlain, "Contact: "+target.contact)
		caller.want("200")
		caller.request("INVITE", sdpPlain)
		caller.want("100")
		re := again(t, target, "INVITE")
		target.respond(re, 200, "", sdpPlain, "Contact: "+target.contact)
		if ack := target.want("ACK"); string(ack.Lookup("Proxy-Authorization")) != string(re.Lookup("Proxy-Authorization")) {
			t.Error("the ACK of the re-INVITE has other credentials")
		}
		caller.sendAck(caller.want("200"), "")
		caller.request("BYE", "")
		caller.want("200")
		target.respond(again(t, target, "BYE"), 200, "", "")
		target.quiet()
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
	scenario(t, withPassword, func(r *rig) { // one that takes no answer
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		for method, status := range map[string]string{"INFO": "403", "UPDATE": "488"} {
			sdp := ""
			if method == "UPDATE" {
				sdp = sdpPlain
			}
			caller.request(method, sdp)
			for range 2 {
				target.respond(target.want(method), 407, "", "", challenge(false))
			}
			target.quiet()
			if m := caller.want(status); m.Lookup("Proxy-Authenticate") != nil {
				t.Errorf("the caller got\n%s", m.Bytes())
			}
		}
		for range 2 { // a nonce that is always stale
			caller.request("INFO", "")
			for range maxChallenges + 1 {
				target.respond(target.want("INFO"), 407, "", "", challenge(true))
			}
			caller.want("403")
		}
		hangUp(caller, target)
	})
	scenario(t, (*world).oneTarget, func(r *rig) { // one that gave us none
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		caller.request("INFO", "")
		target.respond(target.want("INFO"), 401, "", "", "WWW-Authenticate: Digest realm=\"tel.example\", nonce=\"x\"")
		caller.want("403")
		hangUp(caller, target)
	})
}
