package sbc

import (
	"testing"
	"testing/synctest"

	"carillon/call"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// A message that brings out a fault ends its own call, with an answer, a BYE for who is up and a record, and no other.
func TestPanicEndsOneCall(t *testing.T) {
	scenario(t, (*world).oneTarget, func(r *rig) {
		tel := r.tel()
		other := r.customer(transport.UDP).outboundCall(sdpPlain)
		bystander := connect(other, tel, sdpPlain)

		r.customer(transport.UDP).outboundCall(sdpPlain+" panic").start().wantRefused("100", "500")
		tel.quiet()

		caller := r.customer(transport.UDP).outboundCall(sdpPlain)
		target := connect(caller, tel, sdpPlain)
		caller.request("INVITE", sdpPlain+" panic")
		caller.want("100")
		ack := caller.inside("ACK", "")
		refused := caller.want("500")
		ack.CSeq, ack.Branch = refused.CSeq(), branchOf(refused)
		caller.send(ack.Bytes())
		caller.bye()
		target.bye()

		hangUp(other, bystander)
		if found := r.byReason(3); found[call.ReasonInternal.String()].Status != 200 || found[call.ReasonHangup.String()].Status != 200 {
			t.Errorf("records %+v", found)
		}
		r.panics = 2
	})
}

// wantRefused takes answers, the last of which it acknowledges.
func (a *agent) wantRefused(provisional, status string) {
	a.r.t.Helper()
	a.want(provisional)
	a.refused(status)
}

// One that is met before there is a call leaves its message without an answer.
func TestPanicInAdmission(t *testing.T) {
	scenario(t, nil, func(r *rig) {
		r.health.panics = true
		p := r.customer(transport.UDP)
		p.send(siptest.Request{Method: "OPTIONS", URI: "sip:" + host, SentBy: p.addr.String(), Branch: newBranch(), FromTag: "x", CallID: "options"}.Bytes())
		p.quiet()
		synctest.Wait()
		if n := r.layer.Stats().ServerNow.Load(); n != 0 {
			t.Errorf("%d transactions are left", n)
		}
		r.panics = 1
	})
}
