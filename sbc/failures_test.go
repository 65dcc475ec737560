package sbc

import (
	"context"
	"testing"
	"time"

	"carillon/sip/transport"
	"carillon/trunk"
)

// Targets and addresses that failed of late and are still dead or alive again, by who the first two peers are.
var trialWorlds = []struct {
	name  string
	world func(*world)
	names func(*rig)
	first string
	next  string
}{
	{"targets", nil, func(*rig) {}, carrierIP + ":5060", backupIP + ":5060"},
	{"addresses", carrierAt("dual.example", 0, trunk.UDP), func(r *rig) {
		r.net.records("dual.example", [3]string{"UDP", "dual.example", deadV6}, [3]string{"UDP", "dual.example", aliveV4})
	}, deadV6, aliveV4},
}

// place starts a call that the node has taken in.
func (r *rig) place() *agent {
	r.t.Helper()
	caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
	caller.want("100")
	return caller
}

// When the time of a failure is over, one call at a time finds out whether somebody is there again; the others do not
// wait for it. Once it was answered the target has its place again.
func TestOneCallTriesWhatFailed(t *testing.T) {
	for _, st := range trialWorlds {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, st.world, func(r *rig) {
				st.names(r)
				first, next := r.peer(transport.UDP, st.first), r.peer(transport.UDP, st.next)
				refusedBy := func(caller *agent, p *peer) {
					t.Helper()
					busy(p)
					caller.refused("486")
				}
				silent := func(caller *agent) {
					t.Helper()
					first.want("INVITE")
					time.Sleep(DefaultTargetSilent)
					first.clear()
					refusedBy(caller, next)
				}
				silent(r.place())
				for range 2 { // it stays dead: each time is one call's
					time.Sleep(DefaultFailedFor)
					trial := r.place()
					for range 3 {
						refusedBy(r.place(), next)
					}
					silent(trial)
					refusedBy(r.place(), next)
				}
				time.Sleep(DefaultFailedFor)
				trial := r.place()
				target := first.ring()
				refusedBy(r.place(), next)
				target.answer(100, "") // of a proxy, which says nothing about those behind it
				refusedBy(r.place(), next)
				target.answer(180, "")
				trial.want("180")
				refusedBy(r.place(), first)
				target.answer(486, "")
				first.want("ACK")
				trial.refused("486")
				next.quiet()
			})
		})
	}
}

// A trial that shows nothing, because its caller gives up, is the next call's; one that is not heard of again is
// somebody else's after a while.
func TestTrialPassesOn(t *testing.T) {
	for _, st := range trialWorlds {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, st.world, func(r *rig) {
				st.names(r)
				first, next := r.peer(transport.UDP, st.first), r.peer(transport.UDP, st.next)
				caller := r.place()
				time.Sleep(DefaultTargetSilent)
				busy(next)
				caller.refused("486")
				first.clear()
				time.Sleep(DefaultFailedFor)
				for range 2 {
					caller = r.place()
					target := first.ring()
					target.answer(100, "")
					caller.cancel()
					caller.want("200")
					caller.refused("487")
					first.respond(first.want("CANCEL"), 200, "", "")
					target.answer(487, "")
					first.want("ACK")
				}
				trial := r.place()
				target := first.ring()
				target.answer(100, "")
				time.Sleep(DefaultFailedFor)
				caller = r.place()
				busy(first)
				caller.refused("486")
				target.answer(486, "")
				first.want("ACK")
				trial.refused("486")
				next.quiet()
			})
		})
	}
}

// A firewall that swallows TCP costs one long request at a time its wait, also when the memory of it is over.
func TestOneRequestAsksForTCP(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		udp := r.tel()
		r.net.hang = map[addrPort]bool{mustAddr(telAddr): true}
		first := longCall(r)
		time.Sleep(tcpTime)
		busy(udp)
		first.refused("486")
		time.Sleep(tcpRetry)
		first = longCall(r)
		second := longCall(r)
		busy(udp)
		second.refused("486")
		time.Sleep(tcpTime)
		busy(udp)
		first.refused("486")
		if got := r.net.tcpDials(telAddr); got != 2 {
			t.Errorf("TCP was tried %d times, want 2", got)
		}
	})
}

// A connection to others on which nothing comes back, to an INVITE, a BYE or a probe, is not used for the next call: a
// firewall that has forgotten it swallows all of them. Whatever answer comes keeps it.
func TestSilentConnectionIsRetired(t *testing.T) {
	overTCP := func(w *world) {
		w.oneTarget()
		w.carriers[0].Targets[0].Transport = trunk.TCP
	}
	for _, st := range []struct {
		name   string
		happen func(r *rig, tel *peer)
		want   int
	}{
		{"INVITE", func(r *rig, tel *peer) {
			caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
			caller.want("100")
			time.Sleep(DefaultTargetSilent)
			caller.refused("504")
		}, 1},
		{"INVITE answered with 503", func(r *rig, tel *peer) {
			caller := r.customer(transport.UDP).outboundCall(sdpPlain).start()
			caller.want("100")
			tel.ring().answer(503, "")
			caller.refused("500")
		}, 0},
		{"BYE", func(r *rig, tel *peer) {
			caller := r.customer(transport.UDP).outboundCall(sdpPlain)
			connect(caller, tel, sdpPlain)
			hangUpAlone(caller)
			time.Sleep(time.Minute)
		}, 1},
		{"probe", func(r *rig, tel *peer) {
			if r.sbc.askOptions(context.Background(), trunk.Target{Host: carrierIP}, tel.near.Flow()) {
				t.Error("a silent target is alive")
			}
		}, 1},
	} {
		t.Run(st.name, func(t *testing.T) {
			scenario(t, overTCP, func(r *rig) {
				tel := r.peer(transport.TCP, carrierIP+":5060")
				st.happen(r, tel)
				if got := tel.near.Retired(); got != st.want {
					t.Errorf("the connection was retired %d times, want %d", got, st.want)
				}
			})
		})
	}
}
