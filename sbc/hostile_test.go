package sbc

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/clock"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// answerRaw answers the INVITE that rang with octets that our own Builder would not write.
func (a *agent) answerRaw(code int, sdp string, change func([]byte) []byte, headers ...string) {
	a.r.t.Helper()
	var b sip.Builder
	sip.AppendResponse(&b, a.invite, code, sip.ReasonPhrase(code), a.tag)
	b.Header("Contact", a.contact)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		b.Header(name, strings.TrimSpace(value))
	}
	b.Body("application/sdp", []byte(sdp))
	if b.Err() != nil {
		a.r.t.Fatalf("write a %d: %v", code, b.Err())
	}
	a.send(change(bytes.Clone(b.Bytes())))
}

// A quoted NUL is a valid header that cannot be written on. It must not keep the answer from the caller, who would ring
// for ever in a call that nothing ends.
func TestAnswerWithUnwritableHeader(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		nul := func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("NUL"), []byte{'\\', 0}) }
		target.answerRaw(183, sdpPlain, nul, `Subject: "NUL"`)
		caller.want("183")
		target.answerRaw(200, sdpPlain, nul, `Subject: "NUL"`, "User-to-User: 00")
		target.want("ACK")
		ok := caller.answered()
		if ok.Get(sip.HdrSubject) != nil || string(ok.Get(sip.HdrUserToUser)) != "00" {
			t.Errorf("the answer is\n%q", ok.Bytes())
		}
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// An answer in which the target has written another From-tag or Call-ID than it was sent makes no dialog: what is kept
// under our tag would never be found again.
func TestAnswerOfAnotherDialog(t *testing.T) {
	for name, change := range map[string]func(*agent) (old, new string){
		"From-tag": func(a *agent) (string, string) {
			return ";tag=" + string(a.invite.From().Tag()), ";tag=" + strings.Repeat("x", 40)
		},
		"Call-ID": func(a *agent) (string, string) { return string(a.invite.CallID()), strings.Repeat("y", 40) },
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) { w.oneTarget(); w.connector.Settings.Transfers = trunk.RelayTransfers }, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				target := tel.ring()
				old, other := change(target)
				target.answerRaw(200, sdpPlain, func(b []byte) []byte { return bytes.Replace(b, []byte(old), []byte(other), 1) })
				caller.refused("502")
			})
		})
	}
}

// A customer whose PBX redirects must not have the node call a carrier in its stead: carriers trust the node's address,
// and what the customer's rules say of numbers, caller ids and rates would not have been asked.
func TestRedirectToACarrier(t *testing.T) {
	const named, lab, elsewhere = "198.51.100.33", "192.0.2.99", "192.0.2.21"
	world := func(w *world) {
		w.connector.Settings.Redirects = trunk.FollowRedirects
		w.carriers[0].Sources = []netip.Prefix{netip.MustParsePrefix("198.51.100.64/28")}
		w.carriers = append(w.carriers,
			&trunk.Carrier{Name: "lab", Lab: true, Targets: []trunk.Target{{Host: lab, Transport: trunk.UDP}}},
			&trunk.Carrier{Name: "named", Targets: []trunk.Target{{Host: "sbc.tel.example", Transport: trunk.TLS}}})
	}
	for _, c := range []struct {
		host, addr string
		proto      transport.Proto
		follows    bool
	}{
		{carrierIP, carrierIP + ":5060", transport.UDP, false},
		{carrierIP + ":5080;transport=tcp", carrierIP + ":5080", transport.TCP, false},
		{"198.51.100.77", "198.51.100.77:5060", transport.UDP, false}, // one that its calls come from
		{named + ":5062", named + ":5062", transport.UDP, false},
		{"sbc.tel.example;transport=tls", named + ":5061", transport.TLS, false},
		{"pbx2.example.org;transport=tls", named + ":5061", transport.TLS, false}, // whatever name leads there
		{lab, lab + ":5060", transport.UDP, true},
		{elsewhere, elsewhere + ":5060", transport.UDP, true},
	} {
		t.Run(c.host, func(t *testing.T) {
			scenario(t, world, func(r *rig) {
				r.net.name("sbc.tel.example", resolve.TLS, named+":5061")
				r.net.name("pbx2.example.org", resolve.TLS, named+":5061")
				pbx, other := r.peer(transport.UDP, pbxIP+":5060"), r.peer(c.proto, c.addr)
				caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
				caller.want("100")
				target := pbx.ring()
				target.answer(302, "", "Contact: <sip:+19005550123@"+c.host+">")
				target.want("ACK")
				if c.follows {
					second := other.ring()
					second.answer(486, "")
					second.want("ACK")
					caller.refused("486")
					return
				}
				time.Sleep(10 * time.Second)
				other.quiet()
				caller.refused("480")
			})
		})
	}
}

// While the name of a carrier cannot be looked up, any address may be that carrier's.
func TestRedirectWhileNamesFail(t *testing.T) {
	const elsewhere = "192.0.2.21:5060"
	for _, trouble := range []bool{false, true} {
		scenario(t, func(w *world) {
			w.connector.Settings.Redirects = trunk.FollowRedirects
			w.carriers = append(w.carriers, &trunk.Carrier{Name: "named", Targets: []trunk.Target{{Host: "sbc.tel.example", Transport: trunk.TLS}}})
		}, func(r *rig) {
			r.net.trouble = map[string]bool{"sbc.tel.example": trouble}
			pbx, other := r.peer(transport.UDP, pbxIP+":5060"), r.peer(transport.UDP, elsewhere)
			caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
			caller.want("100")
			target := pbx.ring()
			target.answer(302, "", "Contact: <sip:+19005550123@"+elsewhere+">")
			target.want("ACK")
			if !trouble {
				second := other.ring()
				second.answer(486, "")
				second.want("ACK")
				caller.refused("486")
				return
			}
			time.Sleep(10 * time.Second)
			other.quiet()
			caller.refused("480")
		})
	}
}

// A connection that a carrier has opened and proven its name on is as little for a customer's redirect.
func TestRedirectOverACarriersConnection(t *testing.T) {
	scenario(t, func(w *world) {
		w.connector.RequireEncryption = true
		w.connector.Settings.Redirects = trunk.FollowRedirects
		w.connector.Settings.Peers = map[string]trunk.PeerPolicy{pbxIP: {NoVerify: true}}
	}, func(r *rig) {
		pbx, tel := r.peer(transport.TLS, pbxIP+":5061"), r.peer(transport.TLS, carrierIP+":40000")
		r.net.opened = map[string]transport.Flow{"sbc.tel.example": tel.near.Flow()}
		caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
		caller.want("100")
		target := pbx.ring()
		target.answer(302, "", "Contact: <sip:+19005550123@sbc.tel.example;transport=tls>")
		target.want("ACK")
		time.Sleep(10 * time.Second)
		tel.quiet()
		caller.refused("480")
	})
}

// A carrier that is asked by REFER places a call at the operator's cost: a customer may have it dial what it may dial itself.
func TestRelayedReferObeysTheRules(t *testing.T) {
	for number, status := range map[string]string{"+19005550123": "403", "+442079460123": "403", "+12125550177": ""} {
		scenario(t, relays, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TLS).outboundCall(sdpSecure)
			target := connect(caller, tel, sdpPlain)
			caller.request("REFER", "", "Refer-To: <sip:"+number+"@x.example>", "Contact: "+caller.contact)
			if status == "" {
				target.respond(target.want("REFER"), 202, "", "", "Contact: "+target.contact)
				status = "202"
			}
			caller.want(status)
			target.quiet()
			hangUp(caller, target)
			r.record()
		})
	}
	scenario(t, func(w *world) { relays(w); w.connector.Termination = nil }, func(r *rig) {
		tel, pbx := r.tel(), r.pbx()
		caller := tel.inboundCall(sdpPlain)
		target := connect(caller, pbx, sdpSecure)
		target.request("REFER", "", "Refer-To: <sip:+12125550177@x.example>", "Contact: "+target.contact)
		target.want("403")
		caller.quiet()
		hangUp(caller, target)
		r.record()
	})
}

// Refusals that their sender never acknowledges must not fill what all tenants share: over a connection none is kept, and
// over UDP they leave half of the room.
func TestRefusalsLeaveRoom(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		p := r.customer(transport.TCP)
		for range 20 {
			p.dial("sip:12@"+host, ownNumber, sdpPlain).start()
		}
		synctest.Wait()
		if n := r.layer.Stats().ServerNow.Load(); n != 0 {
			t.Errorf("%d transactions are kept of calls refused over TCP", n)
		}
		p.want("484")
	})
	scenario(t, func(w *world) { w.withCredentials("alice", "secret"); w.connector.Termination.CidrAllowedList = nil }, func(r *rig) {
		var err error
		r.layer, err = transaction.New(transaction.Config{Core: r.sbc, Clock: clock.System(), MaxServer: 8})
		if err != nil {
			t.Fatal(err)
		}
		r.sbc.Attach(r.layer, r.net)
		p := r.customer(transport.UDP)
		for range 10 {
			caller := p.dial("sip:12@"+host, ownNumber, strings.Repeat(sdpPlain, 40)).start()
			caller.withCredentials(caller.refused("407"), "alice", "secret")
			caller.want("484")
		}
		if n := r.layer.Stats().ServerNow.Load(); n != 4 {
			t.Errorf("%d of 8 transactions are kept of calls refused over UDP, want 4", n)
		}
	})
}

// What the other side does not answer must not pile up: each request is kept whole and repeated for half a minute.
func TestUnansweredRequestsDoNotPileUp(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		for range 2 { // once they have their answer, there is room again
			before := r.layer.Stats().ClientNow.Load()
			for range maxCrossing {
				caller.request("INFO", "")
				target.want("INFO")
			}
			caller.request("INFO", "")
			caller.want("503")
			target.quiet()
			if n := r.layer.Stats().ClientNow.Load() - before; n != maxCrossing {
				t.Errorf("%d requests wait at the target, want %d", n, maxCrossing)
			}
			time.Sleep(time.Minute)
			tel.clear()
			for range maxCrossing {
				caller.want("408")
			}
		}
		hangUp(caller, target)
		r.record()
	})
}

// Two calls that become one are no more calls than before, but each try begins one and leaves a record.
func TestJoiningSpendsTheRate(t *testing.T) {
	scenario(t, func(w *world) { executes(w); w.connector.Termination.CpsLimit = 2 }, func(r *rig) {
		tel := r.tel()
		one, two := r.customer(transport.TLS).outboundCall(sdpSecure), r.customer(transport.TLS).outboundCall(sdpSecure)
		first, second := connect(one, tel, sdpPlain), connect(two, tel, sdpPlain)
		time.Sleep(time.Second)
		for range 2 {
			one.referInto(ownDialog(two))
			second.respond(second.want("INVITE"), 488, "", "")
			second.want("ACK")
			one.reported("488 Not Acceptable Here", true)
		}
		one.referInto(ownDialog(two))
		one.reported("503 Service Unavailable", true)
		second.quiet()
		hangUp(one, first)
		hangUp(two, second)
	})
}

// While TCP is looked for to send a long ACK, another fork of the target answers. Its dialog is not the one that waits for
// that ACK: it is ended at once, and nothing is left of it.
func TestForkAnswersWhileAnAckWaits(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		r.net.hang = map[netip.AddrPort]bool{netip.MustParseAddrPort(carrierIP + ":5060"): true}
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(200, sdpPlain, "Record-Route: <sip:"+carrierIP+";lr;x="+strings.Repeat("x", DefaultDatagram)+">")
		caller.answered()
		tel.quiet() // the ACK waits
		fork := *target
		fork.tag = "fork"
		fork.answer(200, sdpPlain)
		if ack := tel.want("ACK"); string(ack.To().Tag()) != fork.tag {
			t.Errorf("got the ACK of %s", ack.To().Tag())
		}
		if bye := tel.bye(); string(bye.To().Tag()) != fork.tag {
			t.Errorf("got the BYE of %s", bye.To().Tag())
		}
		time.Sleep(tcpTime)
		tel.want("ACK")
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// What a request brings and cannot be written back must not cost its answer: without one its transaction stays for ever.
func TestRequestWithUnwritableOption(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		for _, method := range []string{"INFO", "INVITE", "UPDATE", "OPTIONS"} {
			caller.request(method, "", "Require: \"\\\x00\"")
			if refused := caller.want("500"); method == "INVITE" {
				a := caller.inside("ACK", "")
				a.CSeq, a.Branch = refused.CSeq(), branchOf(refused)
				caller.send(a.Bytes())
			}
		}
		hangUp(caller, target)
		r.record()
	})
}

// What a target can do again and again is logged a few times.
func TestNotesAreBounded(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		var lines atomic.Int64
		r.sbc.log = slog.New(counting{&lines})
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		for range 3 * maxNotes {
			target.answer(183, sdpBad)
			time.Sleep(100 * time.Millisecond)
		}
		caller.clear()
		target.answer(486, "")
		target.want("ACK")
		caller.refused("486")
		if n := lines.Load(); n < maxNotes || n > maxNotes+5 {
			t.Errorf("%d lines are logged of one call, want about %d", n, maxNotes)
		}
	})
}

// counting is a log that counts its lines.
type counting struct{ lines *atomic.Int64 }

func (counting) Enabled(context.Context, slog.Level) bool { return true }
func (c counting) Handle(context.Context, slog.Record) error {
	c.lines.Add(1)
	return nil
}
func (c counting) WithAttrs([]slog.Attr) slog.Handler { return c }
func (c counting) WithGroup(string) slog.Handler      { return c }

// A REFER that is too long for UDP is written a second time, with another number: its reports name that one.
func TestLongReferIsReported(t *testing.T) {
	scenario(t, relays, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		tcp := r.peer(transport.TCP, carrierIP+":5060")
		r.sbc.limits.Datagram = 100
		for range 2 {
			sent := caller.request("REFER", "", "Refer-To: <sip:+12125550177@x.example>", "Contact: "+caller.contact)
			refer := tcp.want("REFER")
			tcp.respond(refer, 202, "", "", "Contact: "+target.contact)
			caller.want("202")
			target.request("NOTIFY", "SIP/2.0 100 Trying", fmt.Sprintf("Event: refer;id=%d", refer.CSeq()), "Subscription-State: active")
			got := caller.want("NOTIFY")
			wantHeaders(t, "the NOTIFY", got, fmt.Sprintf("Event: refer;id=%d", sent.CSeq))
			caller.respond(got, 200, "", "")
			target.want("200")
		}
		caller.request("BYE", "")
		caller.want("200")
		tcp.bye()
		r.record()
	})
}

// A phrase that does not print stays with who said it: records are read on terminals, which it would command.
func TestPhraseThatDoesNotPrint(t *testing.T) {
	for phrase, want := range map[string]string{
		"Busy\x1b]0;owned\x07": "Busy Here", "B\xffsy": "Busy Here", "Besetzt, später": "Besetzt, später",
	} {
		scenario(t, (*world).oneTarget, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
			caller.want("100")
			target := tel.ring()
			target.answerRaw(486, "", func(b []byte) []byte { return bytes.Replace(b, []byte("Busy Here"), []byte(phrase), 1) })
			target.want("ACK")
			if got := string(caller.refused("486").Reason()); got != want {
				t.Errorf("%q reaches the caller as %q, want %q", phrase, got, want)
			}
			if rec := r.record(); !strings.Contains(rec.Attempts[0].Error, want) {
				t.Errorf("%q is recorded as %q", phrase, rec.Attempts[0].Error)
			}
		})
	}
}
