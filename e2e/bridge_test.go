package e2e_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// TestBridgedLegs: each leg of a call is protected as its own policy has it, and media cross between them whatever those are;
// where a policy cannot be kept there is no call.
func TestBridgedLegs(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	trust := ca.file()
	w := newWorld(t, func(c *config.Config) { c.TLSTrust = trust })
	for _, tt := range []struct {
		srtp      string // the carrier's policy
		tls       bool   // how it is reached
		downgrade bool   // it answers in the clear whatever it is offered
		profile   string // of the carrier's leg; "" for no call
	}{
		{"off", false, false, "RTP/AVP"}, {"off", true, false, "RTP/AVP"}, {"offer", true, false, "RTP/SAVP"}, {"offer", true, true, "RTP/AVP"},
		{"require", true, false, "RTP/SAVP"}, {"require", true, true, ""},
	} {
		for _, customer := range []transport.Proto{transport.UDP, transport.TLS} {
			name := tt.srtp + " over " + map[bool]string{true: "TLS", false: "UDP"}[tt.tls] + " from " + customer.String()
			if tt.downgrade {
				name += ", answered in the clear"
			}
			t.Run(name, func(t *testing.T) {
				w := w.in(t)
				c := w.connector(customer == transport.TLS)
				cfg, way := phone.Config{User: "tel"}, ";transport=udp"
				if tt.tls {
					cfg.Proto, cfg.Certificate, way = transport.TLS, ca.issue("127.0.0.1"), ";transport=tls"
				}
				answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004), Downgrade: tt.downgrade} })
				carrier := w.phone(cfg)
				carrier.Handle(answer)
				w.must("carrier", "put", "bridged", "--prefix", "+1212", "--srtp", tt.srtp, "--target", "sip:"+carrier.Addr().String()+way)
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				placed, err := w.phone(phone.Config{Proto: customer}).Dial(ctx, w.invite(c, customer, outsideNumber))
				if tt.profile == "" {
					var refused *phone.Failure
					if !errors.As(err, &refused) {
						t.Errorf("a call whose carrier's leg is in the clear: %v", err)
					}
					r := w.records(c, 1)[0]
					if m := r.CarrierLeg.Media; m.PlainSent != 0 || m.PacketsReceived != 0 {
						t.Errorf("the carrier's leg: %+v", m)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				far := receive(t, "the call at the carrier", taken)
				eventually(t, "audio both ways", func() bool { return hears(placed, 1004) && hears(far, 450) })
				if err := placed.Hangup(ctx); err != nil {
					t.Error(err)
				}
				receive(t, "the carrier's BYE", far.Done())
				r := w.records(c, 1)[0]
				near := map[transport.Proto]string{transport.UDP: "RTP/AVP", transport.TLS: "RTP/SAVP"}[customer]
				if r.Customer.Media.Profile != near || r.CarrierLeg.Media.Profile != tt.profile {
					t.Errorf("the legs are %s and %s; want %s and %s", r.Customer.Media.Profile, r.CarrierLeg.Media.Profile, near, tt.profile)
				}
				for _, leg := range []struct{ protected, plain uint64 }{
					{r.Customer.Media.Protected, r.Customer.Media.PlainSent}, {r.CarrierLeg.Media.Protected, r.CarrierLeg.Media.PlainSent},
				} {
					if (leg.protected == 0) == (leg.plain == 0) {
						t.Errorf("%d packets left protected and %d in the clear on one leg", leg.protected, leg.plain)
					}
				}
				if strings.HasSuffix(near, "SAVP") && r.Customer.Media.PlainSent != 0 {
					t.Errorf("%d packets left in the clear to the customer", r.Customer.Media.PlainSent)
				}
			})
		}
	}
}
