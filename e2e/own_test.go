package e2e_test

import (
	"context"
	"net/netip"
	"strings"
	"testing"

	"carillon/config"
)

// TestRouteToOurselves: no route leads a call to a listener of this node, SIP or not, bound early or late.
func TestRouteToOurselves(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *config.Config) { c.Metrics = "127.0.0.1:0" })
	r := w.node.Ready()
	for name, at := range map[string]string{
		"SIP": r.SIP.TCP, "API": strings.TrimPrefix(r.API, "http://"), "DNS": r.DNS,
		"metrics": strings.TrimSuffix(strings.TrimPrefix(r.Metrics, "http://"), "/metrics"),
	} {
		t.Run(name, func(t *testing.T) {
			w := w.in(t)
			c := w.connector(false)
			addr, err := netip.ParseAddrPort(at)
			if err != nil {
				t.Fatal(err)
			}
			w.originate(c, route(addr, 1, "TCP"))
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if _, err := w.ring(ctx, customerNumber); err == nil {
				t.Fatal("the call was answered")
			}
			call := w.records(c, 1)[0]
			// A listener that is dialled would be reached, and answer nothing that is SIP.
			if len(call.Attempts) != 1 || call.Attempts[0].Error != "could not be reached" || call.Attempts[0].Cause != "it is this node itself" {
				t.Errorf("a call to %s was tried: %+v", at, call.Attempts)
			}
		})
	}
}
