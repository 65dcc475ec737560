package routing

import (
	"math/rand/v2"
	"slices"

	"carillon/call"
	"carillon/numbering"
	"carillon/trunk"
)

// FindConnector returns the connector that takes a carrier's call.
func FindConnector(v View, f Facts) (*trunk.Connector, trunk.Number, *call.Refusal) {
	n, ok := trunk.ParseNumber(f.User)
	if !ok {
		return nil, "", call.Refuse(call.ReasonNumberUnknown, printable(f.User))
	}
	number, ok := v.Number(n)
	if !ok || number.ConnectorID == "" {
		return nil, n, call.Refuse(call.ReasonNumberUnknown, string(n))
	}
	c, ok := v.Connector(number.ConnectorID)
	if !ok {
		return nil, n, call.Refuse(call.ReasonNumberUnknown, string(n))
	}
	return c, n, nil
}

// PlanInbound plans a carrier's call to a connector's customer. random orders routes of one priority; failed reports
// hosts that failed of late: they are tried after all others.
func PlanInbound(v View, c *trunk.Connector, f Facts, random *rand.Rand, failed func(Target) bool) (Plan, *call.Refusal) {
	n, _ := trunk.ParseNumber(f.User)
	p := Plan{
		Direction: call.Inbound, Connector: c, Revision: v.Revision(),
		To: string(n), ToCountry: numbering.Country(n), From: printable(firstOf(f.Asserted, f.From)),
	}
	if from, ok := trunk.ParseNumber(p.From); ok {
		p.From, p.FromCountry = string(from), numbering.Country(from)
	}
	o := c.Origination
	switch {
	case o == nil:
		return p, call.Refuse(call.ReasonNoRoute, "The connector has no origination.")
	case o.Disabled:
		return p, call.Refuse(call.ReasonNoRoute, "The connector's origination is disabled.")
	case len(o.Routes) == 0:
		return p, call.Refuse(call.ReasonNoRoute, "The connector's origination has no routes.")
	}
	for _, r := range order(o.Routes, random) {
		p.Targets = append(p.Targets, routeTarget(c, r, p.To))
	}
	demote(p.Targets, o.Routes, failed)
	return p, nil
}

// routeTarget turns a route into a target. A connector that requires encryption is reached by TLS whatever the route's
// protocol says, on port 5061 unless the route names another.
func routeTarget(c *trunk.Connector, r trunk.Route, user string) Target {
	t := Target{Host: r.Host, Port: r.Port, User: user, Transport: trunk.UDP, Peer: c.Settings.Peers[r.Host]}
	switch {
	case c.RequireEncryption:
		t.Transport, t.SRTP = trunk.TLS, call.SRTPRequire
	case r.Protocol == "TCP":
		t.Transport = trunk.TCP
	}
	return t
}

// order sorts routes by priority, lowest number first, and draws those of one priority by weight: each draw takes a
// route with a chance proportional to its weight among those left.
func order(routes []trunk.Route, random *rand.Rand) []trunk.Route {
	left := slices.Clone(routes)
	slices.SortStableFunc(left, func(a, b trunk.Route) int { return a.Priority - b.Priority })
	for i := range left {
		end := i
		total := 0
		for end < len(left) && left[end].Priority == left[i].Priority {
			total += left[end].Weight
			end++
		}
		draw := random.IntN(max(total, 1))
		for j := i; j < end; j++ {
			if draw -= left[j].Weight; draw < 0 {
				left[i], left[j] = left[j], left[i]
				break
			}
		}
	}
	return left
}

// demote moves targets that failed of late behind the others: a host that is down must not cost every call its
// timeout, and an only target is still tried.
func demote(targets []Target, routes []trunk.Route, failed func(Target) bool) {
	if failed == nil || len(routes) < 2 {
		return
	}
	slices.SortStableFunc(targets, func(a, b Target) int { return rank(failed(a)) - rank(failed(b)) })
}

func rank(failed bool) int {
	if failed {
		return 1
	}
	return 0
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}
