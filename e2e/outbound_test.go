package e2e_test

import (
	"context"
	"crypto/x509"
	"os"
	"testing"

	"carillon/phone"
	"carillon/sip/transport"
)

func (w *world) roots() *x509.CertPool {
	w.t.Helper()
	pem, err := os.ReadFile(w.ready.CAFile)
	if err != nil {
		w.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		w.t.Fatalf("no certificate in %s", w.ready.CAFile)
	}
	return pool
}

// TestOutbound: calls go out over every transport, with digest and without, and both sides hear each other.
func TestOutbound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	w.carrier("upstream", handle, "+1")
	for _, tt := range []struct {
		name             string
		proto            transport.Proto
		encrypted        bool
		user, password   string
		profile, carrier string
	}{
		{name: "udp", proto: transport.UDP, profile: "RTP/AVP"},
		{name: "tcp", proto: transport.TCP, profile: "RTP/AVP"},
		{name: "tls", proto: transport.TLS, encrypted: true, profile: "RTP/SAVP"},
		{name: "udp with digest", proto: transport.UDP, user: "alice", password: "correct horse", profile: "RTP/AVP"},
		{name: "tcp with digest", proto: transport.TCP, user: "alice", password: "correct horse", profile: "RTP/AVP"},
		{name: "tls with digest", proto: transport.TLS, encrypted: true, user: "alice", password: "correct horse", profile: "RTP/SAVP"},
		{name: "tls without need", proto: transport.TLS, profile: "RTP/SAVP"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(tt.encrypted)
			inv := w.invite(c, tt.proto, outsideNumber)
			if tt.user != "" {
				w.credentials(c, tt.user, tt.password)
				inv.User, inv.Password = tt.user, tt.password
			}
			customer := w.phone(phone.Config{Proto: tt.proto})
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			placed, err := customer.Dial(ctx, inv)
			if err != nil {
				t.Fatalf("dial: %v", err)
			}
			far := receive(t, "the carrier's side of the call", taken)
			eventually(t, "audio from the carrier", func() bool { return hears(placed, 1004) })
			eventually(t, "audio from the customer", func() bool { return hears(far, 450) })
			st := placed.Stats()
			if st.Profile != tt.profile || (st.Suite != "") != (tt.profile == "RTP/SAVP") || st.AuthFailures != 0 {
				t.Errorf("customer's media: %s %s, %d wrong tags", st.Profile, st.Suite, st.AuthFailures)
			}
			if err := placed.Hangup(ctx); err != nil {
				t.Errorf("hang up: %v", err)
			}
			receive(t, "the carrier's BYE", far.Done())
			r := w.records(c, 1)[0]
			if r.Reason != "hangup" || r.HungUpBy != "customer" || r.Status != 200 || r.From != customerNumber || r.To != outsideNumber ||
				r.Direction != "Outbound" || r.Carrier != "upstream" || r.AuthUser != tt.user || r.RequireEncryption != tt.encrypted {
				t.Errorf("record: %+v", r)
			}
			if m := r.Customer.Media; m.PacketsReceived == 0 || m.PacketsSent == 0 || m.Profile != tt.profile {
				t.Errorf("record of the customer leg: %+v", m)
			}
			if tt.encrypted {
				m := r.Customer.Media
				if m.PlainSent != 0 || m.Protected != m.PacketsSent+m.RTCPSent || m.Suite == "" || r.Customer.TLSVersion == "" || r.Customer.Cipher == "" {
					t.Errorf("the record does not prove the encryption: %+v", r.Customer)
				}
			}
		})
	}
}
