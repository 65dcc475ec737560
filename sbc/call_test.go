package sbc

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip/transport"
)

func TestOutboundCall(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		t.Run(proto.String(), func(t *testing.T) {
			scenario(t, nil, func(r *rig) {
				tel := r.tel()
				caller := r.customer(proto).outboundCall(sdpPlain).start("X-Order: 66", "Subject: hello")
				caller.want("100")
				target := tel.ring()
				if got := string(target.invite.Body()); got != sdpPlain+" ours 1 for carrier" {
					t.Errorf("the carrier was offered %q", got)
				}
				if got := string(target.invite.Lookup("X-Order")); got != "66" {
					t.Errorf("X-Order is %q", got)
				}
				target.answer(100, "")
				target.answer(180, "")
				ringing := caller.want("180")
				target.answer(183, sdpPlain)
				early := caller.want("183")
				if !strings.Contains(string(early.Body()), "ours") {
					t.Errorf("early media %q", early.Body())
				}
				time.Sleep(2 * time.Second)
				target.answer(200, sdpPlain)
				target.want("ACK")
				ok := caller.answered()
				for _, m := range [][]byte{ringing.To().Tag(), early.To().Tag()} {
					if string(m) != string(ok.To().Tag()) {
						t.Error("the To-tag towards the caller changed")
					}
				}
				caller.ack("")
				time.Sleep(10 * time.Second)
				hangUp(caller, target)
				got := r.wantRecord(call.ReasonHangup, 200, "customer")
				if got.End.Sub(got.Answered) != 10*time.Second || got.Answered.Sub(got.Start) != 2*time.Second {
					t.Errorf("started %v, answered %v, ended %v", got.Start, got.Answered, got.End)
				}
				if got.Carrier != "tel" || got.From != ownNumber || got.To != farNumber || got.Revision != 7 || got.Account != account ||
					got.ConnectorID != connectorID || got.Direction != "Outbound" || got.ToCountry != "US" {
					t.Errorf("record %+v", got)
				}
				if got.Customer.Transport != strings.ToLower(proto.String()) || got.CarrierLeg.Transport != "udp" ||
					got.Customer.Media.PacketsReceived != 1 || got.CarrierLeg.Media.PacketsReceived != 2 ||
					got.Customer.SIPCallID != caller.req.CallID || got.CarrierLeg.SIPCallID != string(target.invite.CallID()) {
					t.Errorf("legs %+v and %+v", got.Customer, got.CarrierLeg)
				}
				want := []string{"offer of customer, off towards carrier", "answer of carrier", "answer of carrier", "confirm customer"}
				if did := r.media.only(t).did(); !slices.Equal(did, want) {
					t.Errorf("media was asked %q, want %q", did, want)
				}
			})
		})
	}
}

func TestInboundCall(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		pbx := r.pbx()
		caller := r.phone(transport.UDP, carrierIP).inboundCall(sdpPlain).start()
		caller.want("100")
		target := pbx.ring()
		if !strings.Contains(string(target.invite.Body()), "SAVP") {
			t.Errorf("the customer was offered %q", target.invite.Body())
		}
		if got := string(target.invite.Lookup("X-VoiceConnector-ID")); got != connectorID {
			t.Errorf("X-VoiceConnector-ID is %q", got)
		}
		if got := string(target.invite.RequestURI().AppendTo(nil)); got != "sip:"+ownNumber+"@pbx.example.org;transport=tls" {
			t.Errorf("Request-URI is %s", got)
		}
		if d := r.net.dialed[0]; d.TLS == nil || d.TLS.ServerName != "pbx.example.org" || d.TLS.SkipVerify || !r.net.asked[0].Secure {
			t.Errorf("dialled %+v after asking for %+v", d, r.net.asked[0])
		}
		target.answer(200, sdpSecure)
		target.want("ACK")
		ok := caller.answered()
		if strings.Contains(string(ok.Body()), "SAVP") {
			t.Errorf("the carrier got %q", ok.Body())
		}
		caller.ack("")
		target.request("BYE", "")
		target.want("200")
		caller.bye()
		got := r.wantRecord(call.ReasonHangup, 200, "customer")
		if got.Direction != "Inbound" || !got.RequireEncryption || got.Customer.Transport != "tls" || got.CarrierLeg.Transport != "udp" ||
			got.Customer.Peer != call.PeerVerified || got.Customer.TLSVersion != "TLS 1.3" || got.From != farNumber || got.To != ownNumber {
			t.Errorf("record %+v", got)
		}
	})
}

// A call between connectors of the installation makes a record for each account, and no carrier hears of it.
func TestInsideCall(t *testing.T) {
	scenario(t, func(w *world) { w.other.RequireEncryption = true }, func(r *rig) {
		tel, pbx := r.tel(), r.peer(transport.TLS, pbxIP+":5061")
		caller := r.customer(transport.UDP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain)
		target := connect(caller, pbx, sdpSecure)
		if got := string(target.invite.Lookup("X-VoiceConnector-ID")); got != otherID {
			t.Errorf("X-VoiceConnector-ID is %q", got)
		}
		hangUp(caller, target)
		tel.quiet()
		all := r.records.list()
		if len(all) != 2 {
			t.Fatalf("%d records, want 2", len(all))
		}
		first, second := all[0], all[1]
		if first.Account != account || first.Direction != "Outbound" || first.HungUpBy != "customer" || first.RequireEncryption {
			t.Errorf("the caller's record: %+v", first)
		}
		if second.Account != otherAccount || second.ConnectorID != otherID || second.Direction != "Inbound" || second.HungUpBy != "carrier" ||
			!second.RequireEncryption || second.ID == first.ID {
			t.Errorf("the called one's record: %+v", second)
		}
		if second.Customer.Transport != "tls" || second.CarrierLeg.Transport != "udp" || first.Customer.SIPCallID != caller.req.CallID ||
			second.Customer.SIPCallID != string(target.invite.CallID()) || !strings.Contains(second.Attempts[0].Target, pbxIP) {
			t.Errorf("legs %+v and %+v", second.Customer, second.CarrierLeg)
		}
		// Neither account learns the other's network from its record.
		for secret, record := range map[string]call.Record{pbxIP: first, string(target.invite.CallID()): first, customerIP: second, caller.req.CallID: second} {
			if text, _ := json.Marshal(record); strings.Contains(string(text), secret) {
				t.Errorf("%s of the other account is in the record %s", secret, text)
			}
		}
	})
}

// Nothing of one side's addresses, tags, Call-ID, Via, Contact or names may be seen on the other, whatever is sent.
func TestTopologyHiding(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain)
		caller.start("User-Agent: customer-phone/1", "Record-Route: <sip:"+customerIP+";lr>", "Organization: customer-corp",
			"P-Preferred-Identity: <sip:"+ownNumber+"@customer-corp.example>", "Diversion: <sip:1@customer-corp.example>",
			"History-Info: <sip:1@customer-corp.example>;index=1", "X-VoiceConnector-ID: forged", "X-Amzn-Trace: forged", "Call-Info: <http://customer-corp.example>")
		caller.want("100")
		target := tel.ring()
		target.answer(183, sdpPlain, "Server: carrier-gw/9", "Reason: Q.850;cause=21;text=\"gw "+carrierIP+"\"")
		caller.want("183")
		target.answer(200, sdpPlain, "Server: carrier-gw/9", "X-VoiceConnector-ID: forged", "P-Asserted-Identity: <sip:secret@carrier-gw.example>")
		target.want("ACK")
		caller.answered()
		caller.ack("")
		caller.request("INVITE", sdpPlain, "X-Note: re-invite")
		caller.want("100")
		re := tel.want("INVITE")
		tel.respond(re, 200, "", sdpPlain, "Contact: "+target.contact)
		tel.want("ACK")
		caller.sendAck(caller.want("200"), "")
		target.request("INFO", "")
		info := caller.want("INFO")
		caller.respond(info, 200, "", "", "Server: customer-phone/1")
		target.want("200")
		target.request("BYE", "", "Reason: SIP;cause=480;text=\"trunk "+carrierIP+" down\"")
		target.want("200")
		bye := caller.bye()
		if got := string(bye.Lookup("Reason")); got != "SIP;cause=480" {
			t.Errorf("Reason is %q", got)
		}
		for _, secret := range []string{
			customerIP, "Alice", "customer-phone", "customer-corp", "forged", caller.req.CallID, caller.req.FromTag, host, string(caller.ok.To().Tag()), caller.req.Branch,
		} {
			if strings.Contains(tel.everything(), secret) {
				t.Errorf("the carrier saw %q", secret)
			}
		}
		for _, secret := range []string{
			carrierIP, "carrier-gw", "forged", string(target.invite.CallID()), string(target.invite.From().Tag()), target.tag, string(target.invite.Via().Branch),
		} {
			if strings.Contains(caller.everything(), secret) {
				t.Errorf("the customer saw %q", secret)
			}
		}
	})
}

func TestByeBeforeAckWaits(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		target.request("BYE", "")
		target.want("200")
		caller.quiet() // a UAS must not send BYE before the ACK
		r.wantRecord(call.ReasonHangup, 200, "carrier")
		caller.ack("")
		caller.bye()
	})
}

// A BYE of the caller says as much as the ACK it comes before.
func TestCallersByeWithoutAck(t *testing.T) {
	for _, offer := range []string{sdpPlain, ""} {
		scenario(t, nil, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TCP).outboundCall(offer).start()
			caller.want("100")
			target := tel.ring()
			target.answer(200, sdpPlain)
			if offer != "" {
				target.want("ACK")
			}
			caller.answered()
			caller.request("BYE", "")
			caller.want("200")
			if offer == "" {
				target.want("ACK") // late, and without an answer: but a 2xx must have it
			}
			target.bye()
			r.wantRecord(call.ReasonHangup, 200, "customer")
		})
	}
}

func TestAckTimeout(t *testing.T) {
	for _, offer := range []string{sdpPlain, ""} {
		scenario(t, nil, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.UDP).outboundCall(offer).start()
			caller.want("100")
			target := tel.ring()
			target.answer(200, sdpPlain)
			if offer != "" {
				target.want("ACK")
			}
			time.Sleep(31 * time.Second)
			if got := caller.near.Log(); len(got) < 10 {
				t.Errorf("the 200 was not repeated: %v", got)
			}
			target.clear()
			r.noRecord()
			time.Sleep(2 * time.Second)
			if offer == "" {
				target.want("ACK")
			}
			target.bye()
			caller.clear()
			got := r.wantRecord(call.ReasonAckTimeout, 200, "node")
			if got.Answered.IsZero() {
				t.Error("the call was answered")
			}
		})
	}
}

// A repeated 2xx gets the same ACK again, in the same place.
func TestRepeatedAnswerGetsItsAckAgain(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.quiet()
		fork := *target
		fork.tag = "anotherfork"
		fork.answer(200, sdpPlain)
		ack := tel.want("ACK")
		bye := tel.bye()
		if string(ack.To().Tag()) != fork.tag || string(bye.To().Tag()) != fork.tag {
			t.Errorf("ACK to %s and BYE to %s, want the other fork", ack.To().Tag(), bye.To().Tag())
		}
		fork.answer(200, sdpPlain)
		tel.want("ACK")
		tel.quiet()
		caller.quiet()
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// A target that answers with ever new To-tags makes the node end a few dialogs and no more.
func TestForksAreBounded(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		fork := *target
		for i := range maxForks - 1 {
			fork.tag = fmt.Sprint("fork", i)
			fork.answer(200, sdpPlain)
			tel.want("ACK")
			tel.bye()
		}
		for i := range 100 {
			fork.tag = fmt.Sprint("more", i)
			fork.answer(200, sdpPlain)
		}
		tel.quiet()
		time.Sleep(time.Second)
		target.answer(200, sdpPlain)
		target.want("ACK") // the dialog of the call is one of them
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
		if n := r.sbc.Stats().Strays.Load() + r.sbc.Stats().Overflows.Load(); n < 100 {
			t.Errorf("%d strays and overflows were counted, want 100", n)
		}
	})
}

// A target cannot aim a flood at the caller, or by its Contact at anybody: what it may repeat at will goes on at a pace.
func TestTargetsAnswersArePaced(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		target := tel.ring()
		caller.clear()
		for range 20 * repeatRate {
			target.answer(180, "")
			synctest.Wait()
		}
		caller.mu.Lock()
		n := len(caller.inbox)
		caller.mu.Unlock()
		if n != repeatRate {
			t.Errorf("the caller got %d provisional answers at once, want %d", n, repeatRate)
		}
		time.Sleep(time.Second)
		caller.clear()
		target.answer(200, sdpPlain) // the final answer is not held to it
		target.want("ACK")
		caller.answered()
		caller.ack("")
		for range 20 * repeatRate {
			target.answer(200, sdpPlain)
			synctest.Wait()
		}
		tel.mu.Lock()
		n = len(tel.inbox)
		tel.mu.Unlock()
		if n > repeatRate {
			t.Errorf("repeated answers brought %d ACKs at once, want %d at most", n, repeatRate)
		}
		tel.clear()
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// A side that floods its dialog with requests holds no transactions with them, on neither leg.
func TestInDialogRequestsAreBounded(t *testing.T) {
	for _, method := range []string{"INFO", "OPTIONS", "UPDATE"} {
		scenario(t, nil, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.UDP).outboundCall(sdpPlain)
			target := connect(caller, tel, sdpPlain)
			for range 20 * repeatRate {
				caller.request(method, "")
				synctest.Wait()
			}
			stats := r.layer.Stats()
			if servers, clients := stats.ServerNow.Load(), stats.ClientNow.Load(); servers > 2*repeatRate || clients > 2*repeatRate {
				t.Errorf("%s: %d and %d transactions are held", method, servers, clients)
			}
			if n := r.sbc.Stats().Overflows.Load(); n < 18*repeatRate {
				t.Errorf("%s: %d refused, want most", method, n)
			}
			time.Sleep(time.Minute)
			caller.clear()
			target.clear()
			hangUp(caller, target)
			r.wantRecord(call.ReasonHangup, 200, "customer")
		})
	}
}

func TestMediaSilenceAndLongestTime(t *testing.T) {
	for reason, happen := range map[call.Reason]func(*rig){
		call.ReasonMediaSilence: func(r *rig) { r.media.only(r.t).open.OnSilence(call.Carrier, false) },
		call.ReasonMaxDuration:  func(*rig) { time.Sleep(time.Hour) },
	} {
		scenario(t, func(w *world) { w.limits.Duration, w.limits.Session = time.Hour, 3*time.Hour }, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TLS).outboundCall(sdpSecure)
			target := connect(caller, tel, sdpPlain)
			happen(r)
			target.bye()
			caller.bye()
			r.wantRecord(reason, 200, "node")
		})
		scenario(t, func(w *world) { w.limits.Duration, w.limits.Ring = time.Hour, 2*time.Hour }, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TLS).outboundCall(sdpSecure).start()
			caller.want("100")
			target := tel.ring()
			target.answer(180, "")
			caller.want("180")
			happen(r)
			caller.refused("408")
			cancel := tel.want("CANCEL")
			tel.respond(cancel, 200, "", "")
			target.answer(487, "")
			tel.want("ACK")
			r.wantRecord(reason, 408, "node")
		})
	}
}

// A side that is silent because its key is used up is told so, and what to change.
func TestSpentKeySaysSo(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		target := connect(caller, tel, sdpPlain)
		r.media.only(r.t).open.OnSilence(call.Customer, true)
		target.bye()
		caller.bye()
		const want = "Promised media stopped: the lifetime that the customer side gave its SRTP key in a=crypto is over, and it went on under that key."
		if got := r.wantRecord(call.ReasonMediaSilence, 200, "node"); got.Sentence != want {
			t.Errorf("the record says %q; want %q", got.Sentence, want)
		}
	})
}

// The hops a call has left go down by one, and the parameters of a telephone number are not part of it.
func TestHopsAndNumberParameters(t *testing.T) {
	for hops, want := range map[string]string{"70": "69", "1": "0", "255": "70"} {
		scenario(t, nil, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TCP).dial("sip:"+farNumber+";phone-context=x@"+host, ownNumber, sdpPlain)
			caller.send([]byte(strings.Replace(string(caller.req.Bytes()), "Max-Forwards: 70", "Max-Forwards: "+hops, 1)))
			caller.want("100")
			m := tel.ring()
			if got := string(m.invite.Lookup("Max-Forwards")); got != want || string(m.invite.RequestURI().User) != farNumber {
				t.Errorf("%s hops and %s, want %s and %s", got, m.invite.RequestURI().User, want, farNumber)
			}
			m.answer(486, "")
			tel.want("ACK")
			caller.refused("486")
		})
	}
}
