package e2e_test

import (
	"context"
	"testing"

	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// TestLongRequests: on real sockets an INVITE too long for a datagram reaches the carrier over TCP, on the port where
// it also takes UDP, and over UDP where nobody listens for TCP.
func TestLongRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.MaxDatagram = 512 })
	for _, tt := range []struct {
		name string
		tcp  bool
		want string
	}{{"tcp", true, "tcp"}, {"no tcp", false, "udp"}} {
		t.Run(tt.name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(false)
			number := "+1212555014" + map[bool]string{true: "3", false: "4"}[tt.tcp]
			handle, taken := answering(t, func() phone.Answer { return phone.Answer{Audio: phone.Tone(450)} })
			udp := w.carrier("long-"+tt.want, handle, number)
			if tt.tcp {
				w.phone(phone.Config{Proto: transport.TCP, Bind: udp.Addr()}).Handle(handle)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			caller := w.phone(phone.Config{})
			call, err := caller.Dial(ctx, w.invite(c, transport.UDP, number))
			if err != nil {
				t.Fatal(err)
			}
			callee := receive(t, "the answer", taken)
			eventually(t, "audio at the carrier", func() bool { return hears(callee, 450) })
			if err := call.Hangup(ctx); err != nil {
				t.Error(err)
			}
			receive(t, "the carrier's BYE", callee.Done())
			if got := w.records(c, 1)[0].CarrierLeg.Transport; got != tt.want {
				t.Errorf("the carrier's leg ran over %s, want %s", got, tt.want)
			}
		})
	}
}
