package sbc

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip/transport"
)

// drain runs Drain and returns a channel that gives its time.
func (r *rig) drain(ctx context.Context) <-chan time.Duration {
	done, began := make(chan time.Duration, 1), time.Now()
	go func() {
		r.sbc.Drain(ctx)
		done <- time.Since(began)
	}()
	synctest.Wait()
	return done
}

func finished(t *testing.T, done <-chan time.Duration, want time.Duration) {
	t.Helper()
	synctest.Wait()
	select {
	case took := <-done:
		if took != want {
			t.Errorf("Drain took %v, want %v", took, want)
		}
	default:
		t.Fatal("Drain has not returned")
	}
}

func TestDrainWaitsForCalls(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		callee := connect(caller, tel, sdpPlain)
		done := r.drain(context.Background())
		if m := r.customer(transport.TLS).outboundCall(sdpSecure).start().refused("503"); m.Lookup("Retry-After") == nil {
			t.Error("no Retry-After")
		}
		r.phone(transport.TCP, carrierIP).inboundCall(sdpPlain).start().refused("503")
		time.Sleep(time.Minute)
		caller.request("INVITE", sdpSecure) // the call goes on as before
		caller.want("100")
		callee.respond(callee.want("INVITE"), 200, "", sdpPlain, "Contact: "+callee.contact)
		callee.want("ACK")
		caller.sendAck(caller.want("200"), "")
		hangUp(caller, callee)
		finished(t, done, time.Minute)
		if all := r.records.list(); len(all) != 3 || all[2].Reason != "hangup" {
			t.Errorf("records %+v", all)
		}
	})
}

func TestDrainEndsCalls(t *testing.T) {
	scenario(t, func(w *world) { w.limits.Drain, w.limits.Ring = time.Minute, time.Hour }, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		callee := connect(caller, tel, sdpPlain)
		ringing := r.customer(transport.TLS).outboundCall(sdpSecure).start()
		ringing.want("100")
		target := tel.ring()
		target.answer(180, "")
		ringing.want("180")
		done := r.drain(context.Background())
		time.Sleep(time.Minute)
		if m := ringing.refused("503"); m.Lookup("Retry-After") == nil {
			t.Error("no Retry-After")
		}
		caller.bye()
		synctest.Wait()
		for _, what := range tail(tel.near.Log())[2:] {
			if what != "BYE" && what != "CANCEL" && what != "INVITE" {
				t.Errorf("the carrier got %s", what)
			}
		}
		tel.clear()
		target.answer(487, "")
		tel.want("ACK")
		finishedLater := done
		time.Sleep(stopWait)
		finished(t, finishedLater, time.Minute+stopWait) // the carrier did not answer BYE
		_ = callee
		byReason := map[string]int{}
		for _, rec := range r.records.list() {
			byReason[rec.Reason+" "+rec.HungUpBy] += rec.Status
		}
		if byReason["shutdown node"] != 200+503 {
			t.Errorf("records %+v", r.records.list())
		}
	})
}

func TestDrainStopsWithItsContext(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		tel := r.tel()
		caller := r.customer(transport.TLS).outboundCall(sdpSecure)
		connect(caller, tel, sdpPlain)
		ctx, stop := context.WithCancel(context.Background())
		done := r.drain(ctx)
		time.Sleep(5 * time.Second)
		stop()
		caller.bye()
		tel.bye()
		finished(t, done, 5*time.Second)
		r.wantRecord(call.ReasonShutdown, 200, "node")
	})
}

// A call that passed admission just before the end is not forgotten by Drain.
func TestNoCallBeginsAfterDrain(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		r.sbc.stopAll()
		r.customer(transport.TCP).outboundCall(sdpPlain).start().want("503")
		r.noRecord()
	})
}

// A record that cannot be written is counted; the call ends all the same.
func TestRecordThatCannotBeWritten(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		r.records.fail = errors.New("disk full")
		tel := r.tel()
		caller := r.customer(transport.TCP).outboundCall(sdpPlain)
		callee := connect(caller, tel, sdpPlain)
		hangUp(caller, callee)
		if n := r.sbc.Stats().RecordFails.Load(); n != 1 {
			t.Errorf("%d failures were counted, want 1", n)
		}
	})
}
