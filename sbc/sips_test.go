package sbc

import (
	"net/netip"
	"strings"
	"testing"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/sip/transport"
	"carillon/trunk"
)

// sipsCall is an INVITE of the customer to a sips URI.
func (p *peer) sipsCall(sdp string) *agent { return p.dial("sips:"+farNumber+"@"+host, ownNumber, sdp) }

const telTLS = "198.51.100.9:5061"

// mixedCarrier has a target in the clear before one over TLS.
func mixedCarrier(w *world) {
	w.carriers[0].Targets = []trunk.Target{{Host: carrierIP, Transport: trunk.UDP}, {Host: "tls.tel.example", Transport: trunk.TLS}}
}

func text(u *sip.URI) string { return string(u.AppendTo(nil)) }

// A sips URI is taken over TLS only, whatever the connector asks for; who may not call learns nothing of it.
func TestSIPSOverTLSOnly(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TCP} {
		scenario(t, nil, func(r *rig) {
			caller := r.customer(proto).sipsCall(sdpPlain).start()
			final := caller.refused("403")
			if proto == transport.TCP { // over UDP there is no room for the sentence
				if got := string(final.Lookup("Warning")); !strings.HasPrefix(got, "399 ") || !strings.Contains(got, "port 5061") {
					t.Errorf("Warning is %q", got)
				}
			}
			r.wantRecord(call.ReasonSIPSNotOverTLS, 403, "")
			options := r.customer(proto).dial("sips:"+host, ownNumber, "")
			options.req.Method, options.req.CSeq = "OPTIONS", 7
			options.start()
			options.want("403")
			stranger := r.phone(proto, strangerIP).sipsCall(sdpPlain).start()
			if got := stranger.refused("403"); got.Lookup("Warning") != nil {
				t.Errorf("a stranger was told %s", got.Lookup("Warning"))
			}
			if got := r.sbc.stats.Refused(call.ReasonSIPSNotOverTLS); got != 2 {
				t.Errorf("%d requests were refused for their way, want 2", got)
			}
		})
	}
}

// A call to a sips URI goes to nobody in the clear: without a target over TLS it is refused (RFC 5630 section 5.3).
func TestSIPSGoesNowhereInTheClear(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		final := r.customer(transport.TLS).sipsCall(sdpPlain).start().refused("480")
		if got := string(final.Lookup("Warning")); !strings.HasPrefix(got, "380 ") {
			t.Errorf("Warning is %q, want code 380", got)
		}
		r.wantRecord(call.ReasonSIPSNotAllowed, 480, "")
		if text := string(final.Lookup("Warning")) + r.records.list()[0].Sentence; strings.Contains(text, carrierIP) {
			t.Errorf("the customer is told the carrier's address: %s", text)
		}
		tel.quiet()
		backup.quiet()
	})
}

// Of a carrier's targets a call to a sips URI tries those over TLS, as sips URIs, and every Contact is one.
func TestSIPSCall(t *testing.T) {
	scenario(t, mixedCarrier, func(r *rig) {
		plain := r.tel()
		r.net.name("tls.tel.example", resolve.TLS, telTLS)
		tel := r.peer(transport.TLS, telTLS)
		caller := r.customer(transport.TLS).sipsCall(sdpPlain)
		caller.contact = strings.Replace(caller.contact, "<sip:", "<sips:", 1)
		callee := connect(caller, tel, sdpPlain)
		if got, want := text(callee.invite.RequestURI()), "sips:"+farNumber+"@tls.tel.example"; got != want {
			t.Errorf("INVITE %s, want %s", got, want)
		}
		if got, want := text(&callee.invite.To().URI), "sips:"+farNumber+"@tls.tel.example"; got != want {
			t.Errorf("To is %s, want %s", got, want)
		}
		const own = "sips:" + nodeName + ":5061"
		if got := text(&callee.invite.Contact().URI); got != own {
			t.Errorf("the callee's Contact is %s, want %s", got, own)
		}
		if got := text(&caller.ok.Contact().URI); got != own {
			t.Errorf("the caller's Contact is %s, want %s", got, own)
		}
		caller.request("INVITE", sdpPlain)
		caller.want("100")
		re := tel.want("INVITE")
		if got := text(&re.Contact().URI); got != own {
			t.Errorf("a re-INVITE's Contact is %s, want %s", got, own)
		}
		tel.respond(re, 200, "", sdpPlain, "Contact: "+callee.contact)
		tel.want("ACK")
		ok := caller.want("200")
		if got := text(&ok.Contact().URI); got != own {
			t.Errorf("its answer's Contact is %s, want %s", got, own)
		}
		caller.sendAck(ok, "")
		hangUp(caller, callee)
		plain.quiet()
		for _, d := range r.net.dialed {
			if d.Proto != transport.TLS {
				t.Errorf("dialled %v %v", d.Proto, d.Addr)
			}
		}
	})
}

// A target whose transport the DNS chooses is asked for over TLS alone.
func TestSIPSAsksForTLS(t *testing.T) {
	scenario(t, carrierAt("any.tel.example", 0, trunk.AnyTransport), func(r *rig) {
		r.net.records("any.tel.example", [3]string{"UDP", "udp.tel.example", telAddr}, [3]string{"TLS", "tls.tel.example", telTLS})
		udp, tel := r.tel(), r.peer(transport.TLS, telTLS)
		caller := r.customer(transport.TLS).sipsCall(sdpPlain).start()
		caller.want("100")
		busy(tel)
		caller.refused("486")
		udp.quiet()
		if want := (resolve.Query{Host: "any.tel.example", Secure: true}); len(r.net.asked) != 1 || r.net.asked[0] != want {
			t.Errorf("asked for %+v, want %+v", r.net.asked, want)
		}
	})
}

// Towards the customer a carrier's sips URI needs a route over TLS, and gets it on a connector that requires encryption.
func TestSIPSInbound(t *testing.T) {
	inbound := func(r *rig) *agent {
		return r.peer(transport.TLS, carrierIP+":40000").dial("sips:"+ownNumber+"@"+nodeIP, farNumber, sdpPlain)
	}
	sources := func(w *world) { w.carriers[0].Sources = []netip.Prefix{netip.MustParsePrefix(carrierIP + "/32")} }
	t.Run("plain route", func(t *testing.T) {
		scenario(t, sources, func(r *rig) {
			pbx := r.peer(transport.UDP, pbxIP+":5060")
			inbound(r).start().refused("480")
			pbx.quiet()
		})
	})
	t.Run("route over TLS", func(t *testing.T) {
		scenario(t, func(w *world) { sources(w); w.encrypted() }, func(r *rig) {
			pbx := r.pbx()
			caller := inbound(r)
			callee := connect(caller, pbx, sdpSecure)
			if got, want := text(callee.invite.RequestURI()), "sips:"+ownNumber+"@pbx.example.org"; got != want {
				t.Errorf("INVITE %s, want %s", got, want)
			}
			hangUp(caller, callee)
		})
	})
}

// Our Contact is a sips URI where RFC 3261 section 12.1.1 says so, and the far leg of a call to a sip URI is none.
func TestContactScheme(t *testing.T) {
	for name, st := range map[string]struct {
		contact string
		headers []string
		want    string
	}{
		"sip":                     {"sip", nil, "sip:" + nodeName + ":5061;transport=tls"},
		"sips Contact":            {"sips", nil, "sips:" + nodeName + ":5061"},
		"sips Record-Route":       {"sip", []string{"Record-Route: <sips:proxy.example.net;lr>, <sip:other.example.net;lr>"}, "sips:" + nodeName + ":5061"},
		"Record-Route before all": {"sips", []string{"Record-Route: <sip:proxy.example.net;lr>"}, "sip:" + nodeName + ":5061;transport=tls"},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, (*world).oneTarget, func(r *rig) {
				tel := r.tel()
				caller := r.customer(transport.TLS).outboundCall(sdpPlain)
				caller.req.Headers = append([]string{strings.Replace("Contact: "+caller.contact, "<sip:", "<"+st.contact+":", 1)}, st.headers...)
				callee := connect(caller, tel, sdpPlain)
				if got := text(&caller.ok.Contact().URI); got != st.want {
					t.Errorf("Contact is %s, want %s", got, st.want)
				}
				if got := callee.invite.RequestURI().Scheme; got != sip.SchemeSIP {
					t.Errorf("the carrier was called by %s", text(callee.invite.RequestURI()))
				}
				hangUp(caller, callee)
			})
		})
	}
}

// A redirect of a call to a sips URI stays one.
func TestSIPSRedirect(t *testing.T) {
	scenario(t, func(w *world) {
		follows(w)
		carrierAt("tls.tel.example", 0, trunk.TLS)(w)
	}, func(r *rig) {
		r.net.name("tls.tel.example", resolve.TLS, telTLS)
		r.net.name("other.tel.example", resolve.TLS, "198.51.100.10:5061")
		first, second := r.peer(transport.TLS, telTLS), r.peer(transport.TLS, "198.51.100.10:5061")
		caller := r.customer(transport.TLS).sipsCall(sdpPlain).start()
		caller.want("100")
		moved := first.ring()
		moved.answer(302, "", "Contact: <sip:"+farNumber+"@other.tel.example;transport=udp>")
		moved.want("ACK")
		m := second.want("INVITE")
		if got, want := text(m.RequestURI()), "sips:"+farNumber+"@other.tel.example"; got != want {
			t.Errorf("INVITE %s, want %s", got, want)
		}
		second.respond(m, 486, "x", "")
		second.want("ACK")
		caller.refused("486")
	})
}

// What a Contact says takes nothing of a call to a sips URI into the clear, at its beginning or later: its requests go over
// TLS, or nowhere.
func TestSIPSDialogStaysSecure(t *testing.T) {
	for _, later := range []bool{false, true} {
		scenario(t, func(w *world) { carrierAt("tls.tel.example", 0, trunk.TLS)(w) }, func(r *rig) {
			r.net.name("tls.tel.example", resolve.TLS, telTLS)
			tel := r.peer(transport.TLS, telTLS)
			caller := r.customer(transport.TLS).sipsCall(sdpPlain)
			clear := r.peer(transport.UDP, customerIP+":5060")
			inTheClear := "<sip:peer@" + customerIP + ":5060;transport=udp>"
			if !later {
				caller.req.Headers = []string{"Contact: " + inTheClear}
			}
			callee := connect(caller, tel, sdpPlain)
			if later {
				caller.contact = inTheClear
				caller.request("UPDATE", "")
				caller.want("200")
			}
			callee.request("INFO", "")
			caller.respond(caller.want("INFO"), 200, "", "") // on the connection that is there
			callee.want("200")
			caller.near.Cut()
			callee.request("BYE", "")
			callee.want("200")
			clear.quiet()
			for _, d := range r.net.dialed {
				if d.Proto != transport.TLS {
					t.Errorf("dialled %v %v", d.Proto, d.Addr)
				}
			}
			r.wantRecord(call.ReasonHangup, 200, "carrier")
		})
	}
}
