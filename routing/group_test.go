package routing

import (
	"math"
	"slices"
	"strings"
	"testing"

	"carillon/call"
	"carillon/directory"
	"carillon/trunk"
)

// shared is a number that a group holds.
const shared = trunk.Number("+12065550500")

// member returns a connector with two hosts, named after it.
func member(id string, change ...func(*trunk.Connector)) *trunk.Connector {
	c := &trunk.Connector{
		ID: id, Account: account, HostName: id + ".voiceconnector.example.com",
		Origination: &trunk.Origination{Routes: []trunk.Route{
			{Host: id + "1", Protocol: "UDP", Priority: 1, Weight: 1}, {Host: id + "2", Protocol: "UDP", Priority: 2, Weight: 1},
		}},
	}
	for _, f := range change {
		f(c)
	}
	return c
}

// grouped builds a snapshot in which the number shared is of a group of these members: "x1" is connector x with priority 1.
func grouped(t *testing.T, d trunk.Distribution, members string, more ...trunk.Entity) *directory.Snapshot {
	t.Helper()
	g := &trunk.Group{ID: "g", Account: account, Distribution: d}
	for _, m := range strings.Fields(members) {
		g.Members = append(g.Members, trunk.Member{ConnectorID: m[:1], Priority: int(m[1] - '0')})
	}
	return snapshot(t, newConnector(), append(more, g, &trunk.PhoneNumber{E164: shared, Account: account, GroupID: "g"})...)
}

// blocks plans a carrier's call to the shared number and returns the connectors in the order they are called, each once:
// all of one's hosts come before the next one's, and each target names its connector.
func blocks(t *testing.T, v View, choose Chooser) (order string) {
	t.Helper()
	f := Facts{User: string(shared), From: "+12125550123"}
	c, _, refusal := FindConnector(v, f)
	if refusal != nil {
		t.Fatal(refusal)
	}
	p, refusal := PlanInbound(v, c, f, choose)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for i, target := range p.Targets {
		if id := target.Connector.ID; !strings.HasSuffix(order, id) {
			order += id
		}
		if !strings.HasPrefix(target.Host, target.Connector.ID) || target.User != string(shared) || target.Carrier != nil {
			t.Errorf("target %d is %+v", i, target)
		}
	}
	if p.Connector != p.Targets[0].Connector || len(order)*2 != len(p.Targets) {
		t.Errorf("connector %s, targets %s", p.Connector.ID, targets(p))
	}
	return order
}

// shares draws many plans and returns the share of each order.
func shares(t *testing.T, v View, draws uint64) map[string]float64 {
	t.Helper()
	seen := map[string]float64{}
	for seed := range draws {
		seen[blocks(t, v, chooser(seed))] += 1 / float64(draws)
	}
	return seen
}

// evenly holds orders against what they must be: these and no others, each as often as the others.
func evenly(t *testing.T, got map[string]float64, draws float64, want ...string) {
	t.Helper()
	for order, share := range got {
		p := 1 / float64(len(want))
		// Five standard deviations of a binomial draw.
		if bound := 5*math.Sqrt(p*(1-p)/draws) + 1e-9; !slices.Contains(want, order) || math.Abs(share-p) > bound {
			t.Errorf("order %s has a share of %.3f; want each of %v to have %.3f within %.3f", order, share, want, p, bound)
		}
	}
	if len(got) != len(want) {
		t.Errorf("orders %v, want %v", got, want)
	}
}

// TestGroupByPriority: connectors by priority, those of one priority in a random order.
func TestGroupByPriority(t *testing.T) {
	const draws = 4000
	xyz := []trunk.Entity{member("x"), member("y"), member("z")}
	evenly(t, shares(t, grouped(t, trunk.PriorityWeighted, "z3 x1 y2", xyz...), 200), 200, "xyz")
	evenly(t, shares(t, grouped(t, trunk.PriorityWeighted, "x2 y1 z2", xyz...), draws), draws, "yxz", "yzx")
	evenly(t, shares(t, grouped(t, trunk.PriorityWeighted, "x1 y1 z1", xyz...), draws), draws, "xyz", "xzy", "yxz", "yzx", "zxy", "zyx")
}

// TestGroupLoadBalanced: connectors in a random order, whatever their priority.
func TestGroupLoadBalanced(t *testing.T) {
	const draws = 4000
	v := grouped(t, trunk.LoadBalanced, "x1 y2 z3", member("x"), member("y"), member("z"))
	evenly(t, shares(t, v, draws), draws, "xyz", "xzy", "yxz", "yzx", "zxy", "zyx")
	if g, _ := v.Group("g"); g.Members[0].ConnectorID != "x" || g.Members[1].ConnectorID != "y" {
		t.Errorf("the snapshot's group was changed: %+v", g.Members)
	}
}

// TestGroupPassesOver those that cannot be called; when none is left there is no route, and no carrier is asked.
func TestGroupPassesOver(t *testing.T) {
	none := map[string]func(*trunk.Connector){
		"no origination":  func(c *trunk.Connector) { c.Origination = nil },
		"disabled":        func(c *trunk.Connector) { c.Origination.Disabled = true },
		"no routes":       func(c *trunk.Connector) { c.Origination.Routes = nil },
		"another account": func(c *trunk.Connector) { c.Account = other },
		"deleted":         func(c *trunk.Connector) { c.ID = "q" },
	}
	for name, change := range none {
		if got := blocks(t, grouped(t, trunk.PriorityWeighted, "x1 y2 z3", member("x", change), member("y"), member("z")), chooser(1)); got != "yz" {
			t.Errorf("the first has %s: called %s, want yz", name, got)
		}
		v := grouped(t, trunk.LoadBalanced, "x1 y2", member("x", change), member("y", change))
		f := Facts{User: string(shared), From: string(own)}
		c, _, refusal := FindConnector(v, f)
		if refusal == nil {
			_, refusal = PlanInbound(v, c, f, chooser(1))
		}
		if reason(refusal) != call.ReasonNoRoute.String() || strings.Contains(refusal.Fix, "carrier") || refusal.Fix == "" {
			t.Errorf("both have %s: refused %q", name, reason(refusal))
		}
		if p, refusal := PlanOutbound(v, newConnector(), f, chooser(1)); reason(refusal) != call.ReasonNoRoute.String() || len(p.Targets) != 0 {
			t.Errorf("both have %s, from inside: refused %q, targets %s", name, reason(refusal), targets(p))
		}
	}
	if _, _, refusal := FindConnector(grouped(t, trunk.LoadBalanced, ""), Facts{User: string(shared)}); reason(refusal) != call.ReasonNoRoute.String() {
		t.Errorf("a group of none: refused %q", reason(refusal))
	}
	gone := snapshot(t, newConnector(), &trunk.PhoneNumber{E164: shared, Account: account, GroupID: "gone"})
	if _, _, refusal := FindConnector(gone, Facts{User: string(shared)}); reason(refusal) != call.ReasonNumberUnknown.String() {
		t.Errorf("a group that is gone: refused %q", reason(refusal))
	}
}

// TestGroupMembersKeepTheirRules: a target has the encryption, the peers and the addresses of its own connector.
func TestGroupMembersKeepTheirRules(t *testing.T) {
	secure := member("x", func(c *trunk.Connector) {
		c.RequireEncryption, c.NetworkType = true, trunk.DualStack
		c.Settings.Peers = map[string]trunk.PeerPolicy{"x1": {NoVerify: true}, "y1": {NoVerify: true}}
	})
	plain := member("y", func(c *trunk.Connector) { c.NetworkType = trunk.IPv4Only })
	v := grouped(t, trunk.PriorityWeighted, "x1 y2", secure, plain)
	p, refusal := PlanOutbound(v, newConnector(), Facts{User: string(shared), From: string(own)}, chooser(1))
	if refusal != nil || p.Inside != p.Targets[0].Connector || p.Connector.ID != "a" || p.Carrier != nil {
		t.Fatalf("plan %+v, %v", p, refusal)
	}
	if want := "sip:x1;transport=tls sip:x2;transport=tls sip:y1;transport=udp sip:y2;transport=udp"; targets(p) != want {
		t.Errorf("targets %s, want %s", targets(p), want)
	}
	for i, want := range []Target{
		{SRTP: call.SRTPRequire, Peer: trunk.PeerPolicy{NoVerify: true}}, {SRTP: call.SRTPRequire}, {IPv4Only: true}, {IPv4Only: true},
	} {
		if got := p.Targets[i]; got.SRTP != want.SRTP || got.Peer != want.Peer || got.IPv4Only != want.IPv4Only {
			t.Errorf("target %d: %+v, want %+v", i, got, want)
		}
	}
}

// TestGroupsWithFailedTargets: a connector none of whose hosts answered of late comes last; one of whose hosts did not
// keeps its place.
func TestGroupsWithFailedTargets(t *testing.T) {
	v := grouped(t, trunk.PriorityWeighted, "x1 y2 z3", member("x"), member("y"), member("z"))
	for failed, want := range map[string]string{"": "xyz", "x1": "xyz", "x1 x2": "yzx", "x1 x2 y1": "yzx", "x1 x2 y1 y2": "zxy", "x1 x2 y1 y2 z1 z2": "xyz"} {
		choose := chooser(1)
		choose.Failed = func(t Target) bool { return slices.Contains(strings.Fields(failed), t.Host) }
		if got := blocks(t, v, choose); got != want {
			t.Errorf("failed %q: called %s, want %s", failed, got, want)
		}
	}
}
