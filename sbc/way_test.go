package sbc

import (
	"testing"

	"carillon/sip/transport"
)

// Where requests inside a call that runs over UDP go: where the route set or the Contact says, unless nobody can be
// there for us; a phone behind NAT is reached where its datagrams come from, on the port the NAT gave it.
func TestWayToAPhone(t *testing.T) {
	const elsewhere = "203.0.113.77:5070"
	for name, st := range map[string]struct {
		contact string
		headers []string
		want    string // empty: where its datagrams come from
	}{
		"private address":            {"<sip:phone@192.168.1.20:5060>", nil, ""},
		"private address in IPv6":    {"<sip:phone@[fd00::20]:5060>", nil, ""},
		"shared address of carriers": {"<sip:phone@100.64.0.20>", nil, ""},
		"link-local address":         {"<sip:phone@169.254.7.7>", nil, ""},
		"a name":                     {"<sip:phone@phone.example.net>", nil, ""},
		"nonsense for a port":        {"<sip:phone@224.0.0.1:5060>", nil, ""},
		"another public address":     {"<sip:phone@" + elsewhere + ">", nil, elsewhere},
		"its own, another port":      {"<sip:phone@" + customerIP + ":5070>", nil, customerIP + ":5070"},
		"its own, the default port":  {"<sip:phone@" + customerIP + ">", nil, customerIP + ":5060"},
		"a proxy before a phone":     {"<sip:phone@192.168.1.20>", []string{"Record-Route: <sip:" + elsewhere + ";lr>"}, elsewhere},
	} {
		t.Run(name, func(t *testing.T) {
			scenario(t, (*world).oneTarget, func(r *rig) {
				tel := r.tel()
				phone := r.customer(transport.UDP)
				want := phone
				if st.want != "" {
					want = r.peer(transport.UDP, st.want)
				}
				caller := phone.outboundCall(sdpPlain)
				caller.req.Headers = append([]string{"Contact: " + st.contact}, st.headers...)
				callee := connect(caller, tel, sdpPlain)
				callee.request("BYE", "")
				callee.want("200")
				want.bye()
				if want != phone {
					phone.quiet()
				}
			})
		})
	}
}

// A connection that is lost is made anew to where the peer was, and not to a machine here that has the private address in
// its Contact.
func TestReconnectBehindNAT(t *testing.T) {
	for contact, want := range map[string]string{
		"<sip:phone@192.168.1.20:5070;transport=tcp>":       customerIP + ":5070",
		"<sip:phone@203.0.113.77:5070;transport=tcp>":       "203.0.113.77:5070",
		"<sip:phone@" + customerIP + ":5080;transport=tcp>": customerIP + ":5080",
	} {
		scenario(t, (*world).oneTarget, func(r *rig) {
			tel := r.tel()
			caller := r.customer(transport.TCP).outboundCall(sdpPlain)
			caller.req.Headers = []string{"Contact: " + contact}
			callee := connect(caller, tel, sdpPlain)
			caller.near.Cut()
			again := r.peer(transport.TCP, want)
			callee.request("BYE", "")
			callee.want("200")
			again.bye()
		})
	}
}
