package routing

import (
	"math"
	"slices"
	"strings"
	"testing"

	"carillon/trunk"
)

// hosts plans an inbound call over routes and returns the hosts in order.
func hosts(t *testing.T, routes []trunk.Route, choose Chooser) (order []string) {
	t.Helper()
	c := newConnector()
	c.Origination.Routes = routes
	p, refusal := PlanInbound(snapshot(t, c), c, Facts{User: string(own)}, choose)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for _, target := range p.Targets {
		order = append(order, target.Host)
	}
	return order
}

func route(host string, priority, weight int) trunk.Route {
	return trunk.Route{Host: host, Protocol: "TCP", Priority: priority, Weight: weight}
}

// Every host of a priority comes before the next, whatever the weights and the order given.
func TestPrioritiesComeFirst(t *testing.T) {
	routes := []trunk.Route{route("c1", 50, 100), route("a1", 1, 1), route("b1", 2, 100), route("a2", 1, 100), route("b2", 2, 1), route("a3", 1, 50)}
	before := slices.Clone(routes)
	for seed := range uint64(200) {
		got := hosts(t, routes, chooser(seed))
		var priorities strings.Builder
		for _, h := range got {
			priorities.WriteByte(h[0])
		}
		if priorities.String() != "aaabbc" {
			t.Fatalf("seed %d: %v", seed, got)
		}
		if sorted := slices.Sorted(slices.Values(got)); len(slices.Compact(sorted)) != len(routes) {
			t.Fatalf("seed %d: a host is there twice or not at all: %v", seed, got)
		}
	}
	if !slices.Equal(routes, before) {
		t.Error("the snapshot's routes were changed")
	}
}

// The share of each host is that of its weight; in second place it is its share of what is left.
func TestWeightsAreShares(t *testing.T) {
	routes := []trunk.Route{route("a", 1, 70), route("b", 1, 20), route("c", 1, 10)}
	const draws = 20000
	first, second := map[string]int{}, map[string]int{}
	choose := chooser(99)
	for range draws {
		ordered := order(routes, choose.Random)
		first[ordered[0].Host]++
		if ordered[0].Host == "a" {
			second[ordered[1].Host]++
		}
	}
	near := func(what string, got, of int, want float64) {
		t.Helper()
		// Five standard deviations of a binomial draw.
		if share, bound := float64(got)/float64(of), 5*math.Sqrt(want*(1-want)/float64(of)); math.Abs(share-want) > bound {
			t.Errorf("%s: share %.4f, want %.4f within %.4f", what, share, want, bound)
		}
	}
	near("a first", first["a"], draws, 0.7)
	near("b first", first["b"], draws, 0.2)
	near("c first", first["c"], draws, 0.1)
	near("b after a", second["b"], first["a"], 2.0/3)
	near("c after a", second["c"], first["a"], 1.0/3)
}

// The same randomness gives the same order.
func TestOrderFollowsItsRandomness(t *testing.T) {
	routes := []trunk.Route{route("a", 1, 1), route("b", 1, 1), route("c", 1, 1), route("d", 1, 1)}
	seen := map[string]bool{}
	for seed := range uint64(50) {
		got := strings.Join(hosts(t, routes, chooser(seed)), "")
		if again := strings.Join(hosts(t, routes, chooser(seed)), ""); got != again {
			t.Fatalf("seed %d gives %s and %s", seed, got, again)
		}
		seen[got] = true
	}
	if len(seen) < 12 {
		t.Errorf("50 seeds give %d of 24 orders", len(seen))
	}
}

// Targets that failed come last, in the order they had; the only one is tried all the same.
func TestFailedTargetsComeLast(t *testing.T) {
	routes := []trunk.Route{route("a", 1, 1), route("b", 2, 1), route("c", 3, 1), route("d", 4, 1)}
	failing := func(names string) Chooser {
		c := chooser(1)
		c.Failed = func(t Target) bool { return strings.Contains(names, t.Host) }
		return c
	}
	for failed, want := range map[string]string{"": "abcd", "a": "bcda", "ac": "bdac", "abcd": "abcd", "d": "abcd", "abc": "dabc"} {
		if got := strings.Join(hosts(t, routes, failing(failed)), ""); got != want {
			t.Errorf("failed %q: %s, want %s", failed, got, want)
		}
	}
	if got := hosts(t, routes[:1], failing("a")); len(got) != 1 {
		t.Errorf("the only target is not tried: %v", got)
	}
	c := newConnector()
	choose := chooser(1)
	choose.Failed = func(t Target) bool { return t.Host == "198.51.100.1" }
	p, _ := PlanOutbound(snapshot(t, c), c, Facts{User: "+12125550123", From: string(own)}, choose)
	if got, want := targets(p), "sip:198.51.100.2;transport=udp sip:198.51.100.1:5071;transport=tls"; got != want || p.Carrier.Name != "big" {
		t.Errorf("targets %s, want %s", got, want)
	}
}
