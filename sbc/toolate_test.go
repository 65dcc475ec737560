package sbc

import (
	"fmt"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip/transport"
)

// A target that rings for too long has stopped before the next one rings, unless it does not say so; whoever answers it in
// that moment has the call.
func TestNeverTwoPhones(t *testing.T) {
	rungOut := func(r *rig) (caller, first *agent, tel, backup *peer) {
		tel, backup = r.tel(), r.backup()
		caller = r.customer(transport.UDP).outboundCall(sdpPlain).start()
		caller.want("100")
		first = tel.ring()
		first.answer(180, "")
		caller.want("180")
		time.Sleep(DefaultRing)
		tel.respond(tel.want("CANCEL"), 200, first.tag, "")
		backup.quiet()
		return caller, first, tel, backup
	}
	scenario(t, nil, func(r *rig) {
		caller, first, tel, backup := rungOut(r)
		first.answer(180, "") // on its way when the CANCEL came
		time.Sleep(DefaultTargetSilent - time.Millisecond)
		backup.quiet()
		first.answer(487, "")
		tel.want("ACK")
		busy(backup)
		caller.refused("486")
		if got := r.record().Attempts; len(got) != 2 || got[0].Error != "rang for longer than the ring time" {
			t.Errorf("attempts %+v", got)
		}
	})
	scenario(t, nil, func(r *rig) {
		caller, first, tel, backup := rungOut(r)
		first.answer(200, sdpPlain)
		tel.want("ACK")
		caller.answered()
		caller.ack("")
		time.Sleep(time.Minute)
		hangUp(caller, first)
		backup.quiet()
		r.wantRecord(call.ReasonHangup, 200, "customer")
	})
	scenario(t, nil, func(r *rig) { // it does not say that it has stopped
		caller, first, tel, backup := rungOut(r)
		time.Sleep(DefaultTargetSilent)
		second := backup.ring()
		first.answer(200, sdpPlain)
		tel.want("ACK")
		tel.bye()
		second.answer(486, "")
		backup.want("ACK")
		caller.refused("486")
		r.record()
	})
	scenario(t, nil, func(r *rig) { // the caller does not wait for that
		caller, first, tel, backup := rungOut(r)
		caller.cancel()
		caller.want("200")
		caller.refused("487")
		first.answer(487, "")
		tel.want("ACK")
		backup.quiet()
		r.wantRecord(call.ReasonCancelled, 487, "customer")
	})
}

// A target that answers later than it is waited for, while the next one rings already or the caller has gone, is told to
// stop ringing, and is hung up on when it was answered; its lateness is no sign of life.
func TestAnswersThatComeTooLate(t *testing.T) {
	for _, gone := range []bool{false, true} {
		for _, code := range []int{180, 200, 486} {
			t.Run(fmt.Sprint(code, gone), func(t *testing.T) {
				scenario(t, nil, func(r *rig) {
					tel, backup := r.tel(), r.backup()
					caller := r.customer(transport.TCP).outboundCall(sdpPlain).start()
					caller.want("100")
					late := tel.ring()
					var second *agent
					if gone {
						caller.cancel()
						caller.want("200")
						caller.refused("487")
					}
					time.Sleep(DefaultTargetSilent)
					if !gone {
						second = backup.ring()
						second.answer(100, "")
					}
					time.Sleep(time.Second)
					tel.clear()
					switch late.answer(code, map[int]string{200: sdpPlain}[code]); code {
					case 180:
						tel.respond(tel.want("CANCEL"), 200, late.tag, "")
						late.answer(487, "")
						tel.want("ACK")
					case 200:
						tel.want("ACK")
						tel.bye()
					case 486:
						tel.want("ACK")
					}
					tel.quiet()
					if !gone {
						second.answer(486, "")
						backup.want("ACK")
						caller.refused("486")
						caller = r.customer(transport.TCP).outboundCall(sdpPlain).start()
						caller.want("100")
						busy(backup) // the late one comes last
						caller.refused("486")
					}
					caller.quiet()
				})
			})
		}
	}
}
