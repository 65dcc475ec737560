package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// TestFamilies: an encrypted customer on IPv4 calls a carrier on IPv6 and is called by it; the node joins the two.
func TestFamilies(t *testing.T) {
	t.Parallel()
	need6(t)
	ca := newAuthority(t)
	trust := ca.file()
	w := newWorld(t, func(c *config.Config) {
		c.TLSTrust, c.SIPUDP = trust, "[::]:0"
		c.MediaIP = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	})
	six := netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	carrier := w.phone(phone.Config{User: "six", Bind: six})
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	carrier.Handle(answer)
	w.must("carrier", "put", "six", "--target", fmt.Sprintf("sip:%s;transport=udp", carrier.Addr()), "--prefix", "+1212", "--source", "::1/128")
	c := w.connector(true)
	customer := w.phone(phone.Config{Proto: transport.TLS, Certificate: ca.issue("127.0.0.1")})
	welcome, called := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450), Secure: true} })
	customer.Handle(welcome)
	w.originate(c, route(customer.Addr(), 1, "TCP"))

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	calls := func(name string, near, far *phone.Call) {
		eventually(t, name+": audio both ways", func() bool { return hears(near, 1004) && hears(far, 450) })
		if n, f := near.Stats(), far.Stats(); n.Suite == "" || !n.Remote.Addr().Is4() || !f.Remote.Addr().Is6() {
			t.Errorf("%s: the customer's media %s %q with %v, the carrier's with %v", name, n.Profile, n.Suite, n.Remote, f.Remote)
		}
		if err := near.Hangup(ctx); err != nil {
			t.Error(err)
		}
		receive(t, name+": the other side's BYE", far.Done())
	}
	placed, err := customer.Dial(ctx, w.invite(c, transport.TLS, outsideNumber))
	if err != nil {
		t.Fatal(err)
	}
	calls("out", placed, receive(t, "the call at the carrier", taken))

	node := netip.AddrPortFrom(netip.IPv6Loopback(), w.target(transport.UDP).Port())
	back, err := carrier.Dial(ctx, phone.Invite{
		To: "sip:" + customerNumber + "@" + node.String(), Target: node, From: outsideNumber, Audio: phone.Tone(1004),
	})
	if err != nil {
		t.Fatal(err)
	}
	calls("in", receive(t, "the call at the customer", called), back)
	for _, r := range w.records(c, 2) {
		if m := r.Customer.Media; m.PlainSent != 0 || !m.Local.Addr().Is4() || !r.CarrierLeg.Media.Local.Addr().Is6() {
			t.Errorf("%s: customer's media %+v, carrier's %+v", r.Direction, m, r.CarrierLeg.Media)
		}
	}
}
