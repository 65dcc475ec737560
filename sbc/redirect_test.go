package sbc

import (
	"fmt"
	"strings"
	"testing"

	"carillon/call"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// follows makes the connector follow redirects; its carrier has one target.
func follows(w *world) {
	w.oneTarget()
	w.connector.Settings.Redirects = trunk.FollowRedirects
}

func TestRedirectIsFollowed(t *testing.T) {
	scenario(t, follows, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		first := tel.ring()
		// The one preferred comes first; a URI that is none, one at a place already tried and the caller's hosts do not count.
		first.answer(302, "", "Contact: <sip:+12125550999@"+carrierIP+">;q=0.5, <tel:+12125550123>, <sip:"+farNumber+"@"+backupIP+":5060>;q=0.9, <sip:"+farNumber+"@"+carrierIP+">")
		first.want("ACK")
		second := backup.ring()
		if string(second.invite.CallID()) == string(first.invite.CallID()) || string(second.invite.RequestURI().User) != farNumber {
			t.Errorf("the second INVITE is\n%s", second.invite.Bytes())
		}
		second.answer(503, "")
		second.want("ACK")
		third := tel.ring()
		if string(third.invite.RequestURI().User) != "+12125550999" {
			t.Errorf("the third INVITE is for %s", third.invite.RequestURI().User)
		}
		third.answer(200, sdpPlain)
		third.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, third)
		rec := r.wantRecord(call.ReasonHangup, 200, "customer")
		if len(rec.Attempts) != 3 || !strings.Contains(rec.Attempts[0].Error, "followed") || strings.Contains(caller.everything(), backupIP) {
			t.Errorf("attempts %+v", rec.Attempts)
		}
	})
}

func TestRedirectIsRefused(t *testing.T) {
	contact := "Contact: <sip:" + farNumber + "@" + backupIP + ">"
	for name, c := range map[string]struct {
		world   func(*world)
		contact string
	}{
		"by default":             {(*world).oneTarget, contact},
		"without a usable place": {follows, "Contact: <tel:+12125550123>"},
		"to itself":              {follows, "Contact: <sip:" + farNumber + "@" + carrierIP + ">"},
		"to a listener of ours":  {func(w *world) { follows(w); w.egress.Own = nil }, "Contact: <sip:x@169.254.169.254>"},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, c.world, func(r *rig) {
				tel, backup := r.tel(), r.backup()
				caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
				caller.want("100")
				target := tel.ring()
				target.answer(302, "", c.contact)
				target.want("ACK")
				caller.refused("480")
				backup.quiet()
				r.record()
			})
		})
	}
}

// Hosts that redirect to each other for ever end the call after some.
func TestRedirectLoop(t *testing.T) {
	scenario(t, follows, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		for i := range maxRedirects + 1 {
			target := tel.ring()
			target.answer(302, "", fmt.Sprintf("Contact: <sip:+1212555%04d@%s>", i, carrierIP))
			target.want("ACK")
		}
		tel.quiet()
		caller.refused("480")
		r.record()
	})
}

// On an encrypted connector a redirect leads nowhere but over TLS, with the certificate of the host it names.
func TestRedirectKeepsThePromise(t *testing.T) {
	for _, uri := range []string{"sip:desk@other.example.org", "sip:desk@other.example.org;transport=udp", "sips:desk@other.example.org", "sip:desk@other.example.org:5061;transport=tcp"} {
		scenario(t, func(w *world) {
			w.encrypted()
			w.connector.Settings.Redirects = trunk.FollowRedirects
			w.connector.Settings.Peers = map[string]trunk.PeerPolicy{"pbx.example.org": {NoVerify: true}}
		}, func(r *rig) {
			tel, pbx := r.tel(), r.pbx()
			r.net.name("other.example.org", resolve.TLS, "192.0.2.21:5061")
			other := r.peer(transport.TLS, "192.0.2.21:5061")
			caller := tel.inboundCall(sdpPlain).start()
			caller.want("100")
			target := pbx.ring()
			target.answer(302, "", "Contact: <"+uri+">")
			target.want("ACK")
			second := other.ring()
			if !strings.Contains(string(second.invite.Body()), "SAVP") {
				t.Errorf("%s: offered %q", uri, second.invite.Body())
			}
			dialed := r.net.dialed[len(r.net.dialed)-1]
			if dialed.Proto != transport.TLS || dialed.TLS == nil || dialed.TLS.SkipVerify || dialed.TLS.ServerName != "other.example.org" {
				t.Errorf("%s: dialled %+v", uri, dialed)
			}
			second.answer(200, sdpSecure)
			second.want("ACK")
			caller.answered()
			caller.ack("")
			hangUp(caller, second)
			r.record()
		})
	}
}
