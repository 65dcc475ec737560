package sbc

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/sip/transport"
	"carillon/trunk"
)

// probing runs Probe until the test ends it.
func probing(r *rig) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.sbc.Probe(ctx) }()
	return func() { cancel(); <-done }
}

// A target that leaves its OPTIONS unanswered is tried last by calls; once it answers, with whatever it likes, it has
// its place again.
func TestProbe(t *testing.T) {
	const every = 10 * time.Second
	scenario(t, func(w *world) { w.carriers[0].Probe = every }, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		stop := probing(r)
		defer stop()
		time.Sleep(probeTick)
		first := tel.want("OPTIONS")
		if got, want := string(first.RequestURI().AppendTo(nil)), "sip:"+carrierIP+";transport=udp"; got != want {
			t.Errorf("OPTIONS %s, want %s", got, want)
		}
		backup.respond(backup.want("OPTIONS"), 405, "x", "")
		time.Sleep(DefaultTargetSilent + time.Millisecond)
		synctest.Wait()
		tel.clear() // the repetitions
		if got := r.sbc.stats.ProbeFails.Load(); got != 1 {
			t.Fatalf("%d probes failed, want 1", got)
		}
		call := func(p *peer) {
			t.Helper()
			caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
			caller.want("100")
			busy(p)
			caller.refused("486")
		}
		call(backup)
		tel.quiet()
		time.Sleep(every - DefaultTargetSilent)
		tel.respond(tel.want("OPTIONS"), 404, "x", "")
		backup.respond(backup.want("OPTIONS"), 200, "x", "")
		call(tel)
		if got := r.sbc.stats.Probes.Load(); got != 4 {
			t.Errorf("%d probes, want 4", got)
		}
	})
}

// TestProbeChangesAreLogged: that a target went away, and that it came back, is one line each, however often it was asked.
func TestProbeChangesAreLogged(t *testing.T) {
	const every = 10 * time.Second
	scenario(t, func(w *world) { w.carriers[0].Probe = every }, func(r *rig) {
		tel, backup := r.tel(), r.backup()
		var log bytes.Buffer
		r.sbc.log = slog.New(slog.NewTextHandler(&log, nil))
		stop := probing(r)
		time.Sleep(probeTick)
		for range 3 {
			backup.respond(backup.want("OPTIONS"), 200, "x", "")
			time.Sleep(DefaultTargetSilent + time.Millisecond)
			synctest.Wait()
			tel.clear() // it has answered none of them
			time.Sleep(every - DefaultTargetSilent - time.Millisecond)
		}
		time.Sleep(probeTick)
		backup.respond(backup.want("OPTIONS"), 200, "x", "")
		tel.respond(tel.want("OPTIONS"), 200, "x", "")
		synctest.Wait()
		stop()
		got := log.String()
		gone, back := strings.Count(got, "level=WARN msg=\"carrier's target does not answer OPTIONS"), strings.Count(got, "level=INFO msg=\"carrier's target answers OPTIONS again")
		if target := "target=\"sip:" + carrierIP + ";transport=udp\""; gone != 1 || back != 1 || strings.Count(got, target) != 2 {
			t.Errorf("gone %d times, back %d times, want once each, of %s:\n%s", gone, back, target, got)
		}
	})
}

// A target is alive when one of its addresses is, and calls then begin with that one.
func TestProbeTriesEveryAddress(t *testing.T) {
	scenario(t, func(w *world) {
		carrierAt("dual.example", 0, trunk.UDP)(w)
		w.carriers[0].Probe = time.Minute
	}, func(r *rig) {
		r.net.records("dual.example", [3]string{"UDP", "dual.example", deadV6}, [3]string{"UDP", "dual.example", aliveV4})
		dead, tel := r.peer(transport.UDP, deadV6), r.peer(transport.UDP, aliveV4)
		stop := probing(r)
		defer stop()
		time.Sleep(probeTick + DefaultTargetSilent + time.Millisecond)
		dead.clear()
		tel.respond(tel.want("OPTIONS"), 200, "x", "")
		synctest.Wait()
		if got := r.sbc.stats.ProbeFails.Load(); got != 0 {
			t.Errorf("%d probes failed, want none", got)
		}
		caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
		caller.want("100")
		busy(tel)
		caller.refused("486")
		dead.quiet()
	})
}
