package sbc

import (
	"math"
	"slices"
	"strconv"
	"time"

	"carillon/call"
	"carillon/directory"
	"carillon/routing"
	"carillon/trunk"
)

// seats are the ids of the connectors that count a call: whose customer places it and whose customer is called. Empty ones
// count nothing.
type seats [2]string

// Places in seats.
const (
	placing = iota
	called
)

// noLimit is the limit of what has none.
const noLimit = math.MaxInt

// sit counts a call for a connector and notes that in an empty seat, unless limit calls of the connector are up.
func (a *actives) sit(seat *string, connector string, limit int) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.connectors[connector] >= limit {
		return false
	}
	if a.connectors == nil {
		a.connectors = make(map[string]int)
	}
	a.connectors[connector]++
	*seat = connector
	return true
}

// stand takes sit back; an empty seat counts nothing.
func (a *actives) stand(seat *string) {
	if *seat == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.connectors[*seat]--; a.connectors[*seat] == 0 {
		delete(a.connectors, *seat)
	}
	*seat = ""
}

// free empties all seats of a call.
func (a *actives) free(s *seats) {
	for i := range s {
		a.stand(&s[i])
	}
}

// through returns how many calls of a connector are up.
func (a *actives) through(connector string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.connectors[connector]
}

// connectorLimit is how many calls of a connector may be up at a time.
func connectorLimit(v *directory.Snapshot, c *trunk.Connector) int {
	return quotaOf(v, c.Account, trunk.QuotaConnectorCalls)
}

func quotaOf(v *directory.Snapshot, account, name string) int {
	if n, ok := v.Quota(account, name); ok {
		return n
	}
	return noLimit
}

func callsExceeded(n int, where string) *call.Refusal {
	return call.Refuse(call.ReasonConcurrencyExceeded, strconv.Itoa(n)+" "+where)
}

func rateExceeded(what string, n int, fix string) *call.Refusal {
	return &call.Refusal{Reason: call.ReasonCPSExceeded, Detail: what + ", which is " + strconv.Itoa(n) + ",", Fix: fix}
}

// limit spends a call of the connector's rate and of its account's, and counts the call in. Emergency calls pass.
func limit(s *Server, a *arrival) *call.Refusal {
	emergency := a.emergency()
	if a.owner.Direction == call.Outbound && !emergency {
		if refusal := s.spend(a, (*rates).take); refusal != nil {
			return refusal
		}
	}
	perAccount, perConnector, perNode := noLimit, noLimit, noLimit
	if !emergency {
		perNode = s.limits.Calls
		perAccount, perConnector = quotaOf(a.view, a.connector.Account, trunk.QuotaActiveCalls), connectorLimit(a.view, a.connector)
	}
	ok, full := s.actives.enter(a.connector.Account, perAccount, perNode)
	switch {
	case full:
		return callsUp(perNode)
	case !ok:
		return callsExceeded(perAccount, "in the account")
	}
	a.counted = true
	// Who is called counts where it is known which connector of a group that is.
	if a.owner.Direction == call.Outbound && !s.actives.sit(&a.seats[placing], a.connector.ID, perConnector) {
		return callsExceeded(perConnector, "through the connector")
	}
	return doubt(s, a, emergency)
}

// spend asks for a call of the connector's rate and of its account's, which are buckets like each other: no account's id
// is a connector's.
func (s *Server) spend(a *arrival, ask func(*rates, string, int, time.Time) bool) *call.Refusal {
	if cps := a.connector.Termination.CpsLimit; !ask(&s.rates, a.connector.ID, cps, a.at) {
		return rateExceeded("Termination.CpsLimit", cps, "")
	}
	account := a.connector.Account
	if n, limited := a.view.Quota(account, trunk.QuotaAccountCPS); limited && !ask(&s.rates, account, n, a.at) {
		return rateExceeded("the account's quota", n, "Raise the quota with carillon quota set, or start calls more slowly.")
	}
	return nil
}

// atCalledSide says whose quota is used up, and not what it is: the caller's account reads it.
const atCalledSide = "at the called side"

// limitCalled holds a call to a connector's customer to that connector's quota, and one that stays inside to the quota of
// the account at its other end, too. Of a group whoever has no room is passed over.
func limitCalled(s *Server, a *arrival) *call.Refusal {
	refusal := a.findSeat(func(c *trunk.Connector, n int) bool { return s.actives.sit(&a.seats[called], c.ID, n) })
	if refusal != nil {
		return refusal
	}
	other := a.plan.Inside
	if other == nil || other.Account == a.connector.Account {
		return nil
	}
	if !s.actives.share(other.Account, quotaOf(a.view, other.Account, trunk.QuotaActiveCalls)) {
		return call.Refuse(call.ReasonConcurrencyExceeded, atCalledSide)
	}
	a.shared = true
	return nil
}

// findSeat takes targets out of the plan until sit finds room at the connector of the first. A call that dials nobody, or a
// carrier, needs none.
func (a *arrival) findSeat(sit func(*trunk.Connector, int) bool) *call.Refusal {
	p := &a.plan
	if a.joined != nil || p.Targets[0].Connector == nil {
		return nil
	}
	left := slices.Clone(p.Targets)
	for len(left) > 0 {
		c := left[0].Connector
		if sit(c, connectorLimit(a.view, c)) {
			p.Targets = left
			if p.Inside != nil {
				p.Inside = c
			} else {
				p.Connector = c
			}
			return nil
		}
		left = slices.DeleteFunc(left, func(t routing.Target) bool { return t.Connector == c })
	}
	return call.Refuse(call.ReasonConcurrencyExceeded, atCalledSide)
}
