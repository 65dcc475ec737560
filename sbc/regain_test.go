package sbc

import (
	"testing"
	"testing/synctest"

	"carillon/call"
	"carillon/sip/resolve"
	"carillon/sip/transport"
)

// loseThere places a call over TCP or TLS whose caller's connection is gone when the target rings.
func loseThere(r *rig, proto transport.Proto, sentBy string) (caller, target *agent) {
	r.t.Helper()
	tel := r.tel()
	caller = r.customer(proto).outboundCall(sdpFor(proto))
	if sentBy != "" {
		caller.req.SentBy = sentBy
	}
	caller.start()
	caller.want("100")
	target = tel.ring()
	caller.near.Cut()
	return caller, target
}

func sdpFor(proto transport.Proto) string {
	if proto == transport.TLS {
		return sdpSecure
	}
	return sdpPlain
}

// goesOn answers the target and checks that the call is up on the caller's new connection, and stays there.
func goesOn(caller, target *agent, now *peer) {
	r := caller.r
	r.t.Helper()
	target.answer(180, "")
	moved := *caller
	moved.peer = now
	moved.want("180")
	target.answer(200, sdpPlain)
	target.want("ACK")
	moved.answered()
	moved.ack("")
	target.request("BYE", "")
	target.want("200")
	moved.bye()
	r.wantRecord(call.ReasonHangup, 200, "carrier")
	if got := r.sbc.stats.Regained.Load(); got != 1 {
		r.t.Errorf("%d callers were regained, want 1", got)
	}
}

// The answer to a caller whose connection is lost goes over a new one, to the address it came from and the port in its
// Via (RFC 3261 section 18.2.2), and the dialog stays there.
func TestAnswerOverNewConnection(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		caller, target := loseThere(r, transport.TCP, "pbx.invalid:5070")
		goesOn(caller, target, r.peer(transport.TCP, customerIP+":5070"))
	})
	scenario(t, nil, func(r *rig) { // only the refusal finds the connection lost
		caller, target := loseThere(r, transport.TCP, "pbx.invalid:5070")
		now := r.peer(transport.TCP, customerIP+":5070")
		target.answer(486, "")
		target.want("ACK")
		caller.peer = now
		caller.refused("486")
	})
}

// Over TLS the host in the Via must prove its name, wherever it is then found: at the address the call came from, on a
// connection it has opened itself, or where the DNS has it. Nothing else is tried.
func TestAnswerOverNewTLS(t *testing.T) {
	const name = "pbx.customer.example"
	for _, st := range []struct {
		what string
		put  func(r *rig) *peer
	}{
		{"where it came from", func(r *rig) *peer { return r.peer(transport.TLS, customerIP+":5071") }},
		{"its own connection", func(r *rig) *peer {
			p := r.phone(transport.TLS, strangerIP)
			r.net.opened = map[string]transport.Flow{name: p.near.Flow()}
			return p
		}},
		{"where the DNS has it", func(r *rig) *peer {
			r.net.name(name, resolve.TLS, pbxIP+":5071")
			return r.peer(transport.TLS, pbxIP+":5071")
		}},
	} {
		t.Run(st.what, func(t *testing.T) {
			scenario(t, (*world).encrypted, func(r *rig) {
				caller, target := loseThere(r, transport.TLS, name+":5071")
				goesOn(caller, target, st.put(r))
				for _, d := range r.net.dialed {
					if d.Proto == transport.TLS && (d.TLS.ServerName != name || d.TLS.SkipVerify) {
						t.Errorf("dialled %v as %+v", d.Addr, d.TLS)
					}
				}
			})
		})
	}
	scenario(t, (*world).encrypted, func(r *rig) { // an address proves nothing that is not in its certificate
		clear := r.peer(transport.TCP, customerIP+":5071")
		caller, target := loseThere(r, transport.TLS, customerIP+":5071")
		target.answer(200, sdpPlain)
		target.want("ACK")
		target.bye()
		clear.quiet()
		caller.quiet()
		for _, d := range r.net.dialed {
			if d.Proto == transport.TCP || d.Proto == transport.TLS && d.TLS.ServerName != customerIP {
				t.Errorf("dialled %v %v as %+v", d.Proto, d.Addr, d.TLS)
			}
		}
		r.wantRecord(call.ReasonConnectionLost, 200, "node")
	})
}

// A caller that comes back by itself, with its INVITE or inside the dialog, is answered there; one that only opens
// another call from elsewhere is not.
func TestCallerComesBack(t *testing.T) {
	back := func(r *rig, a *agent) *peer {
		now := r.phone(a.proto, customerIP)
		a.peer = now
		return now
	}
	scenario(t, nil, func(r *rig) {
		caller, target := loseThere(r, transport.TCP, "")
		now := back(r, caller)
		now.send(caller.req.Bytes())
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
	})
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start(insists)
		caller.want("100")
		target := tel.ring()
		target.answer(180, "")
		first := caller.wantReliable("180")
		caller.near.Cut()
		back(r, caller)
		caller.confirm(first, "")
		caller.want("200")
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
	})
	scenario(t, nil, func(r *rig) {
		caller, target := loseThere(r, transport.TCP, "")
		target.answer(100, "")
		now := back(r, caller)
		caller.cancel()
		caller.want("200")
		caller.refused("487")
		target.respond(target.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		target.want("ACK")
		now.quiet()
	})
}

// A caller that takes connections and drops them is looked for once.
func TestCallerIsRegainedOnce(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		_, target := loseThere(r, transport.TCP, customerIP+":5070")
		r.peer(transport.TCP, customerIP+":5070").near.Cut()
		target.answer(180, "")
		target.respond(target.want("CANCEL"), 200, "", "")
		target.answer(487, "")
		target.want("ACK")
		synctest.Wait()
		n := 0
		for _, d := range r.net.dialed {
			if d.Proto == transport.TCP {
				n++
			}
		}
		if n != 1 {
			t.Errorf("dialled the caller %d times, want once", n)
		}
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}
