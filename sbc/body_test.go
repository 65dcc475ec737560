package sbc

import (
	"bytes"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

const pidf = `<presence entity="pres:desk@customer.example"><civicAddress>1 Main St</civicAddress></presence>`

// mixed is a body of parts, each "type|id|text".
func mixed(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		f := strings.SplitN(p, "|", 3)
		b.WriteString("--b1\r\nContent-Type: " + f[0] + "\r\n")
		if f[1] != "" {
			b.WriteString("Content-ID: " + f[1] + "\r\n")
		}
		b.WriteString("\r\n" + f[2] + "\r\n")
	}
	return b.String() + "--b1--\r\n"
}

func located(r *rig, number string, parts ...string) *agent {
	a := r.customer(transport.TLS).dial("sip:"+number+"@"+host, ownNumber, mixed(parts...))
	a.req.ContentType = "multipart/mixed;boundary=b1"
	return a.start("Geolocation: <cid:loc@customer.example>;inserted-by=\"pbx.customer.example\"", "Geolocation-Routing: yes")
}

// An emergency call takes its location along (RFC 6442); nothing else of the customer's network goes with it.
func TestEmergencyLocation(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := located(r, "911", "application/sdp||"+sdpSecure, "application/pidf+xml|<loc@customer.example>|"+pidf, "text/plain||drop me")
		caller.want("100")
		target := tel.ring()
		wantHeaders(t, "the INVITE", target.invite, "Geolocation: <cid:loc@customer.example>", "Geolocation-Routing: yes")
		var got []string
		if !eachPart(target.invite, func(contentType string, h textproto.MIMEHeader, body []byte) {
			got = append(got, contentType+"|"+strings.Join(h["Content-Id"], "")+"|"+string(body))
		}) {
			t.Fatalf("the body is %q", target.invite.Body())
		}
		if len(got) != 2 || !strings.Contains(got[0], "ours") || strings.Contains(got[0], "SAVP") || got[1] != "application/pidf+xml|<loc@customer.example>|"+pidf {
			t.Errorf("the parts are %q", got)
		}
		target.answer(200, sdpPlain)
		target.want("ACK")
		caller.answered()
		caller.ack("")
		hangUp(caller, target)
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
}

// Where an ordinary caller is, is nobody's business: the description crosses alone.
func TestLocationOfOrdinaryCall(t *testing.T) {
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := located(r, farNumber, "application/sdp||"+sdpSecure, "application/pidf+xml|<loc@customer.example>|"+pidf)
		caller.want("100")
		target := tel.ring()
		if strings.Contains(string(target.invite.Bytes()), "loc@") || !isSDP(target.invite) {
			t.Errorf("the carrier got\n%s", target.invite.Bytes())
		}
		target.answer(486, "")
		target.want("ACK")
		caller.refused("486")
		r.record()
	})
	for name, parts := range map[string][]string{
		"in the clear":     {"application/sdp||" + sdpPlain, "application/pidf+xml||" + pidf},
		"two descriptions": {"application/sdp||" + sdpSecure, "application/sdp||" + sdpSecure},
		"too many parts":   slices.Repeat([]string{"text/plain||x"}, maxParts+1),
	} {
		scenario(t, (*world).encrypted, func(r *rig) {
			caller := located(r, "911", parts...)
			if name == "in the clear" {
				caller.want("100")
				caller.refused("488")
				r.record()
				return
			}
			caller.refused("415")
			r.wantRecord(call.ReasonRequestNotSupported, 415, "")
		})
	}
}

// Who sent a call on is told to the other side by number only.
func TestDiversions(t *testing.T) {
	says := []string{
		`Diversion: "Desk" <sip:+12065550177@pbx.customer.example:5070;x=y>;reason=user-busy;counter=2;privacy=off;secret=pbx.customer.example`,
		`Diversion: <sip:alice@customer.example>;reason=no-answer`,
		`History-Info: <sip:+12065550178@10.0.0.5?Reason=SIP%3Bcause%3D302>;index=1, <sip:+12065550179@10.0.0.6;cause=302>;index=1.1;rc=1`,
		`History-Info: <sip:+12065550180@10.0.0.6;cause=evil.example>;index=pbx.customer.example`,
	}
	want := []string{
		"Diversion: <sip:+12065550177@example.com>;reason=user-busy;counter=2;privacy=off",
		"History-Info: <sip:+12065550178@example.com>;index=1",
		"History-Info: <sip:+12065550179@example.com;cause=302>;index=1.1;rc=1",
		"History-Info: <sip:+12065550180@example.com>",
	}
	for direction, begin := range map[string]func(r *rig) (caller *agent, callee *peer){
		"outbound": func(r *rig) (*agent, *peer) { return r.customer(transport.TLS).outboundCall(sdpSecure), r.tel() },
		"inbound":  func(r *rig) (*agent, *peer) { tel := r.tel(); return tel.inboundCall(sdpPlain), r.pbx() },
	} {
		t.Run(direction, func(t *testing.T) {
			scenario(t, (*world).encrypted, func(r *rig) {
				caller, callee := begin(r)
				caller.start(append(says, slices.Repeat([]string{"Diversion: <sip:+12065550181@x.example>"}, 2*maxDiversions)...)...)
				caller.want("100")
				target := callee.ring()
				var got []string
				for f := range target.invite.Fields() {
					if f.ID == sip.HdrDiversion || f.ID == sip.HdrHistoryInfo {
						got = append(got, string(f.Name)+": "+string(f.Value))
					}
				}
				if len(got) > maxDiversions || !slices.Contains(got, want[0]) {
					t.Errorf("%d entries: %q", len(got), got)
				}
				if strings.Contains(string(target.invite.Bytes()), "customer.example") || strings.Contains(string(target.invite.Bytes()), "10.0.0.") {
					t.Errorf("the other side's network shows in\n%s", target.invite.Bytes())
				}
				target.answer(486, "")
				target.want("ACK")
				caller.refused("486")
				r.record()
			})
		})
	}
	scenario(t, (*world).encrypted, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure).start(says...)
		caller.want("100")
		target := tel.ring()
		var got []string
		for f := range target.invite.Fields() {
			if f.ID == sip.HdrDiversion || f.ID == sip.HdrHistoryInfo {
				got = append(got, string(f.Name)+": "+string(f.Value))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got\n%q\nwant\n%q", got, want)
		}
		target.answer(486, "")
		target.want("ACK")
		caller.refused("486")
		r.record()
	})
}

// Who wants to stay unknown does so towards a customer; a carrier is told, with the wish (RFC 5806, RFC 7044 section 10.1.2).
func TestHiddenDiversions(t *testing.T) {
	const number, other = "+12065550177", "+12065550178"
	says := []string{
		"Diversion: <sip:" + number + "@a.example>;reason=user-busy;privacy=full",
		"Diversion: <sip:" + number + "@a.example>;reason=user-busy;privacy=\"uri\"",
		"Diversion: <sip:" + other + "@a.example>;reason=user-busy;privacy=off",
		"Diversion: <sip:" + other + "@a.example>;reason=user-busy;privacy=name",
		"History-Info: <sip:" + number + "@a.example?Reason=SIP%3Bcause%3D302&privacy=History>;index=1",
		"History-Info: <sip:" + other + "@a.example?Privacy=none>;index=1.1",
	}
	entries := func(m *sip.Message) (got []string) {
		for f := range m.Fields() {
			if f.ID == sip.HdrDiversion || f.ID == sip.HdrHistoryInfo {
				got = append(got, string(f.Value))
			}
		}
		return got
	}
	for _, c := range []struct {
		privacy string
		inbound bool
		want    []string
	}{
		{"none", true, []string{
			"<" + nobody + ">;reason=user-busy;privacy=full", "<" + nobody + ">;reason=user-busy;privacy=uri",
			"<sip:" + other + "@example.com>;reason=user-busy;privacy=off", "<sip:" + other + "@example.com>;reason=user-busy;privacy=name",
			"<" + nobody + "?Privacy=history>;index=1", "<sip:" + other + "@example.com>;index=1.1",
		}},
		{"id;history", true, []string{
			"<" + nobody + ">;reason=user-busy;privacy=full", "<" + nobody + ">;reason=user-busy;privacy=uri",
			"<sip:" + other + "@example.com>;reason=user-busy;privacy=off", "<sip:" + other + "@example.com>;reason=user-busy;privacy=name",
			"<" + nobody + "?Privacy=history>;index=1", "<" + nobody + "?Privacy=history>;index=1.1",
		}},
		{"none", false, []string{
			"<sip:" + number + "@example.com>;reason=user-busy;privacy=full", "<sip:" + number + "@example.com>;reason=user-busy;privacy=uri",
			"<sip:" + other + "@example.com>;reason=user-busy;privacy=off", "<sip:" + other + "@example.com>;reason=user-busy;privacy=name",
			"<sip:" + number + "@example.com?Privacy=history>;index=1", "<sip:" + other + "@example.com>;index=1.1",
		}},
	} {
		scenario(t, (*world).encrypted, func(r *rig) {
			tel, pbx := r.tel(), r.pbx()
			caller, callee := r.customer(transport.TLS).outboundCall(sdpSecure), tel
			if c.inbound {
				caller, callee = tel.inboundCall(sdpPlain), pbx
			}
			caller.start(append(says, "Privacy: "+c.privacy)...)
			caller.want("100")
			target := callee.ring()
			if got := entries(target.invite); !slices.Equal(got, c.want) {
				t.Errorf("Privacy %s, inbound %v: got\n%q\nwant\n%q", c.privacy, c.inbound, got, c.want)
			}
			target.answer(486, "")
			target.want("ACK")
			caller.refused("486")
			r.record()
		})
	}
}

// FuzzBody reads any multipart body: no more parts than the bound, and a description only where one is.
func FuzzBody(f *testing.F) {
	f.Add("multipart/mixed;boundary=b1", mixed("application/sdp||v=0", "application/pidf+xml|<a@b>|"+pidf))
	f.Add("multipart/mixed;boundary=\"\"", "--\r\n\r\n----")
	f.Add("application/sdp", "v=0")
	f.Fuzz(func(t *testing.T, contentType, body string) {
		if strings.ContainsAny(contentType, "\r\n\x00") {
			return
		}
		r := siptest.Request{Method: "INVITE", URI: "sip:a@b", ContentType: contentType, Body: body}
		m := new(sip.Message)
		if m.Parse(r.Bytes()) != nil {
			return
		}
		n := 0
		eachPart(m, func(string, textproto.MIMEHeader, []byte) { n++ })
		if n > maxParts {
			t.Errorf("%d parts", n)
		}
		if sdp := bodySDP(m); sdp != nil && !bytes.Contains(m.Body(), sdp) {
			t.Errorf("the description %q is not in the body", sdp)
		}
		if l := locationOf(m); l != nil {
			out := l.withLocation(sip.NewBuilder(nil), []byte("v=0"), "z9hG4bK1")
			_ = fmt.Sprint(out.Err())
		}
		readable(m)
	})
}
