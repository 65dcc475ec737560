package routing

import (
	"math/rand/v2"
	"slices"

	"carillon/call"
	"carillon/numbering"
	"carillon/trunk"
)

// FindConnector returns the connector that takes a carrier's call. Of a number that a group holds it is the first of
// those that may: whichever is called, the account and what it may have are the same.
func FindConnector(v View, f Facts) (*trunk.Connector, trunk.Number, *call.Refusal) {
	n, ok := trunk.ParseNumber(f.User)
	if !ok {
		return nil, "", call.Refuse(call.ReasonNumberUnknown, Printable(f.User))
	}
	all, held := holders(v, n, nil)
	switch {
	case !held:
		return nil, n, call.Refuse(call.ReasonNumberUnknown, string(n))
	case len(all) == 0:
		return nil, n, emptyGroup()
	}
	return all[0], n, nil
}

// Chooser is what the order of routes depends on besides the routes.
type Chooser struct {
	// Random draws among routes of one priority, and among the connectors of a group.
	Random *rand.Rand
	// Failed reports targets that failed of late; nil means none did.
	Failed func(Target) bool
}

// PlanInbound plans a carrier's call to a connector's customer; c is what FindConnector found.
func PlanInbound(v View, c *trunk.Connector, f Facts, choose Chooser) (Plan, *call.Refusal) {
	n, _ := trunk.ParseNumber(f.User)
	p := Plan{
		Direction: call.Inbound, Connector: c, Revision: v.Revision(), Private: f.Private,
		To: string(n), ToCountry: numbering.Country(n), From: Printable(firstOf(f.Asserted, f.From)),
	}
	if f.Private {
		p.From = Printable(f.From) // the customer reads the record, too
	}
	if from, ok := trunk.ParseNumber(p.From); ok {
		p.From, p.FromCountry = string(from), numbering.Country(from)
	}
	all, _ := holders(v, n, choose.Random)
	var refusal *call.Refusal
	if p.Targets, refusal = lead(all, p.To, choose); refusal == nil {
		p.Connector = p.Targets[0].Connector
	}
	return p, refusal
}

// holders returns the connectors that take calls for a number, in the order they are tried, and whether anybody does: one
// connector, or those of a group that are there. Without randomness those of one priority keep their order.
func holders(v View, n trunk.Number, random *rand.Rand) (all []*trunk.Connector, held bool) {
	number, ok := v.Number(n)
	if !ok || !number.Deleted.IsZero() {
		return nil, false
	}
	if number.GroupID == "" {
		c, ok := v.Connector(number.ConnectorID)
		if !ok {
			return nil, false
		}
		return []*trunk.Connector{c}, true
	}
	g, ok := v.Group(number.GroupID)
	if !ok {
		return nil, false
	}
	for _, m := range arrange(g, random) {
		// A group has only connectors of its account; a call must not be where it is not.
		if c, ok := v.Connector(m.ConnectorID); ok && c.Account == number.Account {
			all = append(all, c)
		}
	}
	return all, true
}

// arrange returns the members of a group in the order they are tried.
func arrange(g *trunk.Group, random *rand.Rand) []trunk.Member {
	drawn := *g
	if random != nil {
		drawn.Members = slices.Clone(g.Members)
		random.Shuffle(len(drawn.Members), func(i, j int) {
			drawn.Members[i], drawn.Members[j] = drawn.Members[j], drawn.Members[i]
		})
	}
	if g.Distribution == trunk.LoadBalanced {
		return drawn.Members
	}
	return drawn.ByPriority()
}

// putRoutes is what changes that a connector cannot be called: carriers have no part in it.
const putRoutes = "Put an Origination with routes."

func noRoute(why, fix string) *call.Refusal {
	return &call.Refusal{Reason: call.ReasonNoRoute, Detail: why, Fix: fix}
}

func emptyGroup() *call.Refusal {
	return noRoute("The number's group has no connector.", "Add a connector to the group.")
}

// lead lists the targets of connectors that take over from each other: all of one before the first of the next. A
// connector that cannot be called is passed over, and one all of whose targets failed of late comes behind the others.
func lead(all []*trunk.Connector, user string, choose Chooser) ([]Target, *call.Refusal) {
	var blocks [][]Target
	refusal := emptyGroup()
	for _, c := range all {
		targets, refused := originate(c, user, choose)
		if refused != nil {
			refusal = refused
			continue
		}
		blocks = append(blocks, targets)
	}
	switch {
	case len(blocks) > 0:
	case len(all) > 1:
		return nil, noRoute("No connector of the number's group has an origination with routes that is not disabled.", putRoutes)
	default:
		return nil, refusal
	}
	if choose.Failed != nil {
		slices.SortStableFunc(blocks, func(a, b []Target) int { return rank(allFailed(a, choose)) - rank(allFailed(b, choose)) })
	}
	return slices.Concat(blocks...), nil
}

func allFailed(targets []Target, choose Chooser) bool {
	return !slices.ContainsFunc(targets, func(t Target) bool { return !choose.Failed(t) })
}

// originate lists a connector's routes as targets in the order they are tried.
func originate(c *trunk.Connector, user string, choose Chooser) ([]Target, *call.Refusal) {
	o := c.Origination
	switch {
	case o == nil:
		return nil, noRoute("The connector has no origination.", putRoutes)
	case o.Disabled:
		return nil, noRoute("The connector's origination is disabled.", "Put an Origination with Disabled false.")
	case len(o.Routes) == 0:
		return nil, noRoute("The connector's origination has no routes.", putRoutes)
	}
	targets := make([]Target, 0, len(o.Routes))
	for _, r := range order(o.Routes, choose.Random) {
		targets = append(targets, routeTarget(c, r, user))
	}
	demote(targets, choose.Failed)
	return targets, nil
}

// routeTarget turns a route into a target. A connector that requires encryption is reached by TLS whatever the route's
// protocol says, on port 5061 unless the route names another.
func routeTarget(c *trunk.Connector, r trunk.Route, user string) Target {
	t := Target{
		Host: r.Host, Port: r.Port, User: user, Transport: trunk.UDP, Peer: c.Settings.Peers[r.Host], Connector: c,
		IPv4Only: c.NetworkType == trunk.IPv4Only, // such a connector never tries IPv6
	}
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

// demote moves targets that failed of late behind all others: a host that is down must not cost every call its
// timeout, and a target that is the only one left is still tried.
func demote(targets []Target, failed func(Target) bool) {
	if failed == nil || len(targets) < 2 {
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
