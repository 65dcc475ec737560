package sbc

import (
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

const routeHost = "pbx.example.org"

// opened is a PBX's own connection, on which it has proven to be the host of the route.
func (r *rig) opened(host string) *peer {
	p := r.phone(transport.TLS, pbxIP)
	r.net.mu.Lock()
	r.net.opened = map[string]transport.Flow{host: p.near.Flow()}
	r.net.mu.Unlock()
	return p
}

// A call to a customer goes over the connection its PBX has opened and proven its name on, and nothing is looked up or
// connected to; all of the call stays there.
func TestCallOverTheCustomersConnection(t *testing.T) {
	pin := strings.Repeat("ab", 32)
	scenario(t, func(w *world) {
		w.encrypted()
		w.connector.Settings.Peers = map[string]trunk.PeerPolicy{routeHost: {Pin: pin}}
	}, func(r *rig) {
		pbx := r.opened(routeHost)
		caller := r.tel().inboundCall(sdpPlain)
		callee := connect(caller, pbx, sdpSecure)
		caller.request("INVITE", sdpPlain)
		caller.want("100")
		re := pbx.want("INVITE")
		pbx.respond(re, 200, "", sdpSecure, "Contact: "+callee.contact)
		pbx.want("ACK")
		caller.sendAck(caller.want("200"), "")
		hangUp(caller, callee)
		if len(r.net.asked) != 0 || len(r.net.dialed) != 0 {
			t.Errorf("looked up %v, dialled %v", r.net.asked, r.net.dialed)
		}
		if len(r.net.proofs) != 1 || r.net.proofs[0].ServerName != routeHost || len(r.net.proofs[0].Pins) != 1 || r.net.proofs[0].Pins[0] != parsePin(pin) {
			t.Errorf("asked for the proofs %+v", r.net.proofs)
		}
		r.wantRecord(call.ReasonHangup, 200, "carrier")
	})
}

// When that connection is lost in the middle of the call and the PBX has opened another, the call goes on there.
func TestCallMovesToTheCustomersNextConnection(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		first := r.opened(routeHost)
		caller := r.tel().inboundCall(sdpPlain)
		callee := connect(caller, first, sdpSecure)
		first.near.Cut()
		second := r.opened(routeHost)
		hangUpAlone(caller)
		second.bye()
		callee.quiet()
		if len(r.net.dialed) != 0 {
			t.Errorf("dialled %v", r.net.dialed)
		}
		r.record()
	})
}

// A connection that the peer has opened and lets nothing come of is no reason to give the host up: it is connected to.
func TestDeafConnectionOfTheCustomer(t *testing.T) {
	for name, happen := range map[string]func(r *rig, p *peer){
		"silent": func(*rig, *peer) { time.Sleep(DefaultTargetSilent) },
		"lost":   func(r *rig, p *peer) { r.layer.Closed(p.near.Flow(), nil) },
		"503":    func(_ *rig, p *peer) { p.respond(p.all[0], 503, "x", ""); p.want("ACK") },
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, (*world).encrypted, func(r *rig) {
				own, pbx := r.opened(routeHost), r.pbx()
				caller := r.tel().inboundCall(sdpPlain).start()
				caller.want("100")
				own.want("INVITE")
				happen(r, own)
				busy(pbx)
				caller.refused("486")
				if len(r.net.dialed) != 1 {
					t.Errorf("dialled %v, want the host once", r.net.dialed)
				}
			})
		})
	}
}

// What a peer has opened is not used for a carrier, nor for a route in the clear.
func TestConnectionsThatAreNotUsed(t *testing.T) {
	t.Run("carrier", func(t *testing.T) {
		scenario(t, carrierAt("tls.tel.example", 0, trunk.TLS), func(r *rig) {
			r.opened("tls.tel.example")
			r.net.name("tls.tel.example", resolve.TLS, "198.51.100.9:5061")
			tel := r.peer(transport.TLS, "198.51.100.9:5061")
			caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
			caller.want("100")
			busy(tel)
			caller.refused("486")
		})
	})
	t.Run("plain route", func(t *testing.T) {
		scenario(t, nil, func(r *rig) {
			r.opened(pbxIP)
			pbx := r.peer(transport.UDP, pbxIP+":5060")
			caller := r.tel().inboundCall(sdpPlain).start()
			caller.want("100")
			busy(pbx)
			caller.refused("486")
			if len(r.net.proofs) != 0 {
				t.Errorf("asked for the proofs %+v", r.net.proofs)
			}
		})
	})
}
