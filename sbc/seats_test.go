package sbc

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/sip/transport"
	"carillon/trunk"
)

// quota gives an account a quota.
func quota(owner, name string, n int) func(*world) {
	return func(w *world) { w.more = append(w.more, &trunk.Quota{Account: owner, Name: name, Value: n}) }
}

// The calls of an account's connectors together are held to its rate, whatever each connector's own is.
func TestAccountCPS(t *testing.T) {
	scenario(t, func(w *world) {
		quota(account, trunk.QuotaAccountCPS, 2)(w)
		w.more = append(w.more, newConnector(plainID, account, plainID+".example.com"))
	}, func(r *rig) {
		tel := r.tel()
		place := func(at, number string) *agent {
			return r.customer(transport.TCP).dial("sip:"+number+"@"+at, ownNumber, sdpPlain).start()
		}
		accepted := func(at, number string) {
			t.Helper()
			a := place(at, number)
			a.want("100")
			busy(tel)
			a.refused("486")
		}
		accepted(host, farNumber)
		accepted(plainID+".example.com", farNumber)
		for _, at := range []string{host, plainID + ".example.com"} {
			if m := place(at, farNumber).refused("503"); !strings.Contains(string(m.Lookup("Warning")), "the account's quota, which is 2,") {
				t.Errorf("refused with %s", m.Lookup("Warning"))
			}
		}
		accepted(host, "911")
		time.Sleep(time.Second)
		accepted(host, farNumber)
	})
}

// A connector has no more calls up than its account's quota for each says, placed and received together; another
// connector of the account has its own.
func TestConnectorCalls(t *testing.T) {
	scenario(t, func(w *world) {
		quota(account, trunk.QuotaConnectorCalls, 1)(w)
		w.more = append(w.more, newConnector(plainID, account, plainID+".example.com"))
	}, func(r *rig) {
		tel, pbx := r.tel(), r.peer(transport.UDP, pbxIP+":5060")
		place := func(at, number string) *agent {
			return r.customer(transport.TCP).dial("sip:"+number+"@"+at, ownNumber, sdpPlain)
		}
		inbound := func() *agent { return r.phone(transport.TCP, carrierIP).inboundCall(sdpPlain) }
		caller := place(host, farNumber)
		callee := connect(caller, tel, sdpPlain)
		place(host, farNumber).start().refused("503")
		inbound().start().refused("503")
		emergency := place(host, "911").start()
		emergency.want("100")
		busy(tel)
		emergency.refused("486")
		second := place(plainID+".example.com", farNumber)
		secondCallee := connect(second, tel, sdpPlain)
		hangUp(second, secondCallee)
		hangUp(caller, callee)
		caller = inbound()
		callee = connect(caller, pbx, sdpPlain)
		place(host, farNumber).start().refused("503")
		hangUp(caller, callee)
	})
	// A call that stays inside counts at both ends, also within one account, and its caller is not told the other's limit.
	scenario(t, quota(otherAccount, trunk.QuotaConnectorCalls, 1), func(r *rig) {
		pbx := r.peer(transport.UDP, pbxIP+":5060")
		inside := func() *agent {
			return r.customer(transport.TCP).dial("sip:"+otherNumber+"@"+host, ownNumber, sdpPlain)
		}
		caller := inside()
		callee := connect(caller, pbx, sdpPlain)
		if m := inside().start().refused("503"); !strings.Contains(string(m.Lookup("Warning")), atCalledSide) {
			t.Errorf("refused with %s", m.Lookup("Warning"))
		}
		hangUp(caller, callee)
	})
}

// Of a group a connector without room is passed over, and a call counts for whose customer it rings.
func TestGroupMembersWithRoom(t *testing.T) {
	for name, dial := range callers {
		t.Run(name, func(t *testing.T) {
			scenario(t, func(w *world) {
				grouped(connectorID, plainID)(w)
				w.more = w.more[:len(w.more)-1] // its quota of calls
				quota(account, trunk.QuotaConnectorCalls, 1)(w)
			}, func(r *rig) {
				both := r.members(connectorID)
				first := dial(r).start()
				first.want("100")
				firstCallee := both[0].rings(t)
				second := dial(r).start()
				second.want("100")
				secondCallee := both[1].rings(t)
				dial(r).start("X-Pad: " + strings.Repeat("x", 600)).want("503")
				secondCallee.answer(486, "")
				both[1].pbx.want("ACK")
				second.refused("486")
				firstCallee.answer(503, "") // and the call goes over to the other
				both[0].pbx.want("ACK")
				target := both[1].rings(t)
				synctest.Wait()
				if through := r.sbc.actives.connectors; through[connectorID] != 0 || through[plainID] != 1 {
					t.Errorf("by connector %v are up", through)
				}
				target.answer(486, "")
				both[1].pbx.want("ACK")
				first.refused("486")
			})
		})
	}
}
