package e2e_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"carillon/config"
	"carillon/phone"
	"carillon/sip/transport"
)

// TestPortsRunOut: a call for which no media ports are free is refused with 503 and the time to come again, both ways, and
// takes nothing with it: when the first call is over the next one gets its ports.
func TestPortsRunOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.MediaPorts = config.Ports{Lo: 29990, Hi: 29993} })
	answer, taken := answering(t, func() phone.Answer { return phone.Answer{} })
	w.carrier("upstream", answer, "+1212")
	c := w.connector(false)
	caller := w.phone(phone.Config{})
	caller.Handle(func(in *phone.Incoming) { t.Errorf("%s rings without ports", in.From) })
	w.originate(c, route(caller.Addr(), 1, "UDP"))
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for range 3 {
		var first *phone.Call
		var err error
		// The ports of the last call rest for a moment.
		eventually(t, "a call with ports", func() bool {
			first, err = caller.Dial(ctx, w.invite(c, transport.UDP, outsideNumber))
			return err == nil
		})
		far := receive(t, "the call at the carrier", taken)
		_, err = caller.Dial(ctx, w.invite(c, transport.UDP, outsideNumber))
		var refused *phone.Failure
		if !errors.As(err, &refused) || refused.Status != 503 || !strings.Contains(refused.Reason, "Q.850") {
			t.Errorf("a call without ports: %v", err)
		}
		if _, err = w.ring(ctx, customerNumber); !errors.As(err, &refused) || refused.Status != 503 {
			t.Errorf("a call from the carrier without ports: %v", err)
		}
		if err := first.Hangup(ctx); err != nil {
			t.Fatal(err)
		}
		receive(t, "the carrier's BYE", far.Done())
		for _, nothing := range []string{"carillon_media_ports_used 0", "carillon_media_sessions 0", "carillon_calls_active 0"} {
			eventually(t, nothing, func() bool { return strings.Contains(w.metrics(), nothing+"\n") })
		}
	}
	if lack := `carillon_calls_ended_total{reason="node_full"} 0`; strings.Contains(w.metrics(), lack+"\n") {
		t.Errorf("the metrics say %s", lack)
	}
}

// metrics reads the node's metrics.
func (w *world) metrics() string {
	w.t.Helper()
	answer, err := http.Get(w.ready.Metrics)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(text)
}

// TestSilentCall: a call whose media stop although they were promised is ended after the time for it, towards both sides; not
// while a side still sends reports, and not while it is on hold.
func TestSilentCall(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	w := newWorld(t, func(c *config.Config) { c.MediaSilence = timeout })
	c := w.connector(false)
	connect := func(name string) *party {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(w.target(transport.UDP)))
		if err != nil {
			t.Fatal(err)
		}
		return newParty(t, name, "UDP", conn)
	}
	carrier, customer := connect("carrier"), connect("customer")
	w.must("carrier", "put", "plain", "--prefix", "+1212", "--target", "sip:"+carrier.conn.LocalAddr().String()+";transport=udp")
	customer.from("sip:"+customerNumber+"@"+c.host, "sip:"+outsideNumber+"@"+c.host)
	near, far := plainSound(t), plainSound(t)
	establish(customer, carrier, near, far)
	talk(near, far)
	goesOn := func(when string) {
		t.Helper()
		select {
		case m := <-carrier.in:
			t.Fatalf("%s the carrier got %s", when, m.start)
		case m := <-customer.in:
			t.Fatalf("%s the customer got %s", when, m.start)
		case <-time.After(2 * timeout):
		}
	}
	near.only("reports")
	far.only("voice")
	goesOn("with reports of one side and voice of the other")
	near.only("")
	near.direction, far.direction = "sendonly", "recvonly"
	reoffer(t, customer, carrier, near, far)
	far.play(false)
	goesOn("held by the customer")
	near.direction, far.direction = "", ""
	reoffer(t, customer, carrier, near, far)
	customer.answer(customer.await("BYE"), 200, nil)
	carrier.answer(carrier.await("BYE"), 200, nil)
	if r := w.records(c, 1)[0]; r.Reason != "media_silence" || !strings.Contains(r.Sentence, "carrier side") {
		t.Errorf("the record says %s: %s", r.Reason, r.Sentence)
	}
}
