package e2e_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

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
