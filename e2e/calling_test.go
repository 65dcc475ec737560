package e2e_test

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"

	"carillon/phone"
	"carillon/sip/transport"
)

// listenDeaf is a UDP socket that answers nothing.
func listenDeaf(t *testing.T) netip.AddrPort {
	t.Helper()
	s, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.LocalAddr().(*net.UDPAddr).AddrPort()
}

// TestCancel: a caller who gives up while it rings cancels the carrier's side, too.
func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ringing := make(chan *phone.Incoming, 1)
	w.carrier("upstream", func(in *phone.Incoming) {
		if err := in.Ring(180, nil); err != nil {
			t.Error(err)
		}
		ringing <- in
		<-in.Context().Done()
	}, "+1212")
	for _, p := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		t.Run(p.String(), func(t *testing.T) {
			w := w.in(t)
			c := w.connector(p == transport.TLS)
			inv := w.invite(c, p, outsideNumber)
			ctx, giveUp := context.WithCancel(t.Context())
			defer giveUp()
			inv.OnProgress = func(pr phone.Progress) {
				if pr.Status == 180 {
					giveUp()
				}
			}
			if _, err := w.phone(phone.Config{Proto: p}).Dial(ctx, inv); !errors.Is(err, context.Canceled) {
				t.Errorf("dial: %v, want it cancelled", err)
			}
			far := receive(t, "the carrier's INVITE", ringing)
			receive(t, "the carrier's CANCEL", far.Context().Done())
			if r := w.records(c, 1)[0]; r.Reason != "cancelled" || r.Status != 487 || !r.Answered.IsZero() {
				t.Errorf("record: %d %s, answered %s", r.Status, r.Reason, r.Answered)
			}
		})
	}
}

// TestHangupByCarrier: a BYE from the far side ends the customer's leg.
func TestHangupByCarrier(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(1004)} })
	w.carrier("upstream", answer, "+1212")
	for _, p := range []transport.Proto{transport.UDP, transport.TCP, transport.TLS} {
		t.Run(p.String(), func(t *testing.T) {
			w := w.in(t)
			c := w.connector(p == transport.TLS)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			placed, err := w.phone(phone.Config{Proto: p}).Dial(ctx, w.invite(c, p, outsideNumber))
			if err != nil {
				t.Fatal(err)
			}
			far := receive(t, "the carrier's call", taken)
			if err := far.Hangup(ctx); err != nil {
				t.Error(err)
			}
			receive(t, "the customer's BYE", placed.Done())
			if placed.Ended() != phone.EndRemote {
				t.Errorf("the customer's call ended as %q", placed.Ended())
			}
			if r := w.records(c, 1)[0]; r.HungUpBy != "carrier" || r.Reason != "hangup" {
				t.Errorf("record: %s by %s", r.Reason, r.HungUpBy)
			}
		})
	}
}
