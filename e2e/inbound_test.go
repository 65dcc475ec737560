package e2e_test

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
	"carillon/trunk"
)

// route is one of an origination, to a phone.
func route(at netip.AddrPort, priority int32, protocol string) wire.OriginationRoute {
	return wire.OriginationRoute{
		Host: new(at.Addr().String()), Port: new(int32(at.Port())), Protocol: new(wire.OriginationRouteProtocol(protocol)),
		Priority: &priority, Weight: new(int32(1)),
	}
}

func (w *world) originate(c trunkOf, routes ...wire.OriginationRoute) {
	w.t.Helper()
	w.aws(wire.OpPutVoiceConnectorOrigination, &wire.PutVoiceConnectorOriginationRequest{
		VoiceConnectorID: c.id, Origination: &wire.Origination{Routes: routes},
	}, nil)
}

// ring places a call from the lab carrier to a number of the customer.
func (w *world) ring(ctx context.Context, to string) (*phone.Call, error) {
	return w.node.Lab().Call(ctx, trunk.Number(to), outsideNumber, w.target(transport.UDP))
}

// TestInbound: a call to the customer's number arrives over the transport of the route, over TLS with SRTP alone where
// the connector requires encryption, whatever the route says.
func TestInbound(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	trust := ca.file()
	w := newWorld(t, func(c *config.Config) { c.TLSTrust = trust })
	for _, tt := range []struct {
		name      string
		encrypted bool
		protocol  string // of the route
		proto     transport.Proto
	}{
		{"tls", true, "TCP", transport.TLS},
		{"tls although the route says UDP", true, "UDP", transport.TLS},
		{"udp", false, "UDP", transport.UDP},
		{"tcp", false, "TCP", transport.TCP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(tt.encrypted)
			config := phone.Config{Proto: tt.proto}
			if tt.proto == transport.TLS {
				config.Certificate = ca.issue("127.0.0.1")
			}
			customer := w.phone(config)
			asked := make(chan *phone.Incoming, 1)
			answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450), Secure: tt.encrypted} })
			customer.Handle(func(in *phone.Incoming) { asked <- in; answer(in) })
			w.originate(c, route(customer.Addr(), 1, tt.protocol))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			caller, err := w.ring(ctx, customerNumber)
			if err != nil {
				t.Fatalf("call from the carrier: %v", err)
			}
			in, callee := receive(t, "the INVITE", asked), receive(t, "the answer", taken)
			if in.Transport != tt.proto || in.Secure != tt.encrypted || in.User != customerNumber || in.FromUser != outsideNumber {
				t.Errorf("the INVITE came over %s, SAVP %t, to %s from %s", in.Transport, in.Secure, in.User, in.FromUser)
			}
			eventually(t, "audio at the customer", func() bool { return hears(callee, 1004) })
			eventually(t, "audio at the carrier", func() bool { return hears(caller, 450) })
			if st := callee.Stats(); (st.Suite != "") != tt.encrypted || st.AuthFailures != 0 {
				t.Errorf("the customer's media: %s %q, %d not authentic", st.Profile, st.Suite, st.AuthFailures)
			}
			if err := caller.Hangup(ctx); err != nil {
				t.Error(err)
			}
			receive(t, "the customer's BYE", callee.Done())
			r := w.records(c, 1)[0]
			if r.Direction != "Inbound" || r.Status != 200 || r.HungUpBy != "carrier" || r.From != outsideNumber || r.To != customerNumber || !r.Lab {
				t.Errorf("record: %+v", r)
			}
			if m := r.Customer.Media; tt.encrypted && (m.PlainSent != 0 || m.Suite == "" || r.Customer.TLSVersion == "" || r.Customer.Peer != "verified") {
				t.Errorf("the record does not prove the encryption: %+v", r.Customer)
			}
		})
	}
}

// TestInboundNeverFallsBack: a customer who cannot be verified, or does not speak TLS or SRTP at all, gets no call rather than one in the clear.
func TestInboundNeverFallsBack(t *testing.T) {
	t.Parallel()
	ca, stranger := newAuthority(t), newAuthority(t)
	trust := ca.file()
	w := newWorld(t, func(c *config.Config) { c.TLSTrust = trust })
	for _, tt := range []struct {
		name    string
		config  phone.Config
		answer  phone.Answer
		attempt string // what the record says of the attempt
		cause   string // what it says of it to the operator
	}{
		{name: "no TLS", config: phone.Config{Proto: transport.TCP}, attempt: "could not be reached", cause: "it closed the connection"},
		{name: "unknown CA", config: phone.Config{Proto: transport.TLS, Certificate: stranger.issue("127.0.0.1")}, attempt: "could not be reached",
			cause: "its certificate does not verify: x509: certificate signed by unknown authority"},
		{name: "certificate of another host", config: phone.Config{Proto: transport.TLS, Certificate: ca.issue("sbc.example.org")}, attempt: "could not be reached",
			cause: "its certificate does not verify: x509: "},
		{name: "answers in the clear", config: phone.Config{Proto: transport.TLS, Certificate: ca.issue("127.0.0.1")}, answer: phone.Answer{Downgrade: true}, attempt: "RTP/SAVP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(true)
			customer := w.phone(tt.config)
			customer.Handle(func(in *phone.Incoming) {
				if in.Transport != transport.TLS || !in.Secure {
					t.Errorf("an INVITE came over %s, SAVP %t", in.Transport, in.Secure)
				}
				_, _ = in.Answer(tt.answer)
			})
			w.originate(c, route(customer.Addr(), 1, "TCP"))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			_, err := w.ring(ctx, customerNumber)
			var refused *phone.Failure
			if !errors.As(err, &refused) {
				t.Fatalf("got %v, want a refusal", err)
			}
			r := w.records(c, 1)[0]
			said, cause := r.Sentence, ""
			for _, a := range r.Attempts {
				said += " " + a.Error
				cause += a.Cause
			}
			if !strings.Contains(cause, tt.cause) {
				t.Errorf("the record says it was %q, want %q", cause, tt.cause)
			}
			if !strings.Contains(said, tt.attempt) || r.Customer.Media.PlainSent != 0 {
				t.Errorf("the record says %q, %d sent in the clear", said, r.Customer.Media.PlainSent)
			}
		})
	}
}

// TestInboundNumberUnknown: a carrier that asks for nobody's number hears so.
func TestInboundNumberUnknown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := w.ring(ctx, "+12065550199")
	var refused *phone.Failure
	if !errors.As(err, &refused) || refused.Status != 404 {
		t.Errorf("got %v, want 404", err)
	}
}

// TestFailover: every route of a priority is tried before the next priority, and the record lists what each answered.
func TestFailover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.connector(false)
	busy := func(in *phone.Incoming) { _ = in.Reject(503, "") }
	first, second := w.phone(phone.Config{}), w.phone(phone.Config{})
	first.Handle(busy)
	second.Handle(busy)
	last := w.phone(phone.Config{})
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{} })
	last.Handle(answer)
	w.originate(c, route(last.Addr(), 2, "UDP"), route(first.Addr(), 1, "UDP"), route(second.Addr(), 1, "UDP"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	caller, err := w.ring(ctx, customerNumber)
	if err != nil {
		t.Fatal(err)
	}
	callee := receive(t, "the call", taken)
	if err := callee.Hangup(ctx); err != nil {
		t.Error(err)
	}
	receive(t, "the carrier's BYE", caller.Done())
	r := w.records(c, 1)[0]
	if len(r.Attempts) != 3 || r.HungUpBy != "customer" {
		t.Fatalf("attempts %+v, hung up by %s", r.Attempts, r.HungUpBy)
	}
	for i, a := range r.Attempts {
		if want := map[bool]int{true: 200, false: 503}[i == 2]; a.Status != want {
			t.Errorf("attempt %d: %+v, want %d", i+1, a, want)
		}
	}
	if !strings.Contains(r.Attempts[2].Target, last.Addr().String()) {
		t.Errorf("the last attempt was %s, want %s", r.Attempts[2].Target, last.Addr())
	}
}

// TestSilentTarget: a carrier's target that says nothing is given up for the next one.
func TestSilentTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.TargetSilence = 1e9 }) // the second target has as long, on a busy machine, too
	deaf := listenDeaf(t)
	alive := w.phone(phone.Config{})
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{} })
	alive.Handle(answer)
	w.must("carrier", "put", "two", "--prefix", "+1212", "--target", "sip:"+deaf.String()+";transport=udp", "--target", "sip:"+alive.Addr().String()+";transport=udp")
	c := w.connector(false)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	placed, err := w.phone(phone.Config{}).Dial(ctx, w.invite(c, transport.UDP, outsideNumber))
	if err != nil {
		t.Fatal(err)
	}
	receive(t, "the call at the second target", taken)
	if err := placed.Hangup(ctx); err != nil {
		t.Error(err)
	}
	if r := w.records(c, 1)[0]; len(r.Attempts) != 2 || r.Attempts[0].Error == "" || r.Attempts[1].Status != 200 {
		t.Errorf("attempts: %+v", r.Attempts)
	}
}
