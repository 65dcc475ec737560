package sbc

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"carillon/sip/transport"
)

// Whoever finds the call idle works on it, nobody else does at the same time, and no event is left lying.
func TestOneAtATimeWorks(t *testing.T) {
	const putters, each = 8, 500
	var m mailbox
	handled, workers := 0, 0 // the race detector watches over them
	var next [putters]uint64
	m.work = func() {
		workers++
		for {
			e, ok := m.take(false)
			if !ok {
				return
			}
			handled++
			if e.err != nil {
				continue
			}
			if e.number != next[e.attempt] {
				t.Errorf("putter %d: event %d came when %d was due", e.attempt, e.number, next[e.attempt])
				next[e.attempt] = e.number
			}
			next[e.attempt]++
			m.put(event{kind: evAnswered, err: errNoAddress}) // one of its own
		}
	}
	var wg sync.WaitGroup
	for p := range putters {
		wg.Go(func() {
			for n := range each {
				m.put(event{kind: evAnswered, attempt: p, number: uint64(n)})
			}
		})
	}
	wg.Wait()
	if len(m.events) != 0 || m.busy {
		t.Errorf("%d events are left, busy %v", len(m.events), m.busy)
	}
	if handled != 2*putters*each || workers == 0 {
		t.Errorf("%d events were handled; want %d", handled, 2*putters*each)
	}
}

// A call that is over must not stay in memory, with its media keys, for the half minute in which its transactions absorb
// repetitions: that is a thousand calls for every thirty a second.
func TestEndedCallIsForgotten(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		var forgotten atomic.Bool
		caller := r.customer(transport.TLS).outboundCall(sdpPlain)
		target := connect(caller, r.tel(), sdpPlain)
		r.sbc.mu.Lock()
		for _, c := range r.sbc.live {
			runtime.AddCleanup(c, func(b *atomic.Bool) { b.Store(true) }, &forgotten)
		}
		r.sbc.mu.Unlock()
		hangUp(caller, target)
		time.Sleep(time.Second)
		r.media.only(t).open.OnSilence = nil // the fake keeps its sessions
		if x := r.layer.Stats(); x.ClientNow.Load() == 0 || x.ServerNow.Load() == 0 {
			t.Fatal("the transactions are gone, too")
		}
		for range 1000 {
			if runtime.GC(); forgotten.Load() {
				return
			}
			runtime.Gosched()
		}
		t.Error("the call is still in memory")
	})
}
