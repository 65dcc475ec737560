package directory

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/trunk"
)

// TestGroupsFollowAModel changes groups at random and compares every answer with the plain way to compute it.
func TestGroupsFollowAModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s, model := emptySnapshot(), map[string]*trunk.Group{}
	for revision := range int64(400) {
		b := newBuilder(s)
		for range 1 + random.IntN(3) {
			id := fmt.Sprintf("group%02d", random.IntN(20))
			if random.IntN(3) == 0 {
				b.remove(trunk.EntityKey{Kind: trunk.KindGroup, ID: id})
				delete(model, id)
				continue
			}
			g := &trunk.Group{ID: id, Account: fmt.Sprint(random.IntN(2)), Created: time.UnixMilli(random.Int64N(5))}
			for _, c := range random.Perm(4)[:random.IntN(4)] {
				g.Members = append(g.Members, trunk.Member{ConnectorID: fmt.Sprint(c), Priority: 1})
			}
			b.put(g)
			model[id] = g
		}
		s = b.build(revision)
		compareGroups(t, s, model)
	}
}

func compareGroups(t *testing.T, s *Snapshot, model map[string]*trunk.Group) {
	t.Helper()
	all := slices.SortedFunc(maps.Values(model), func(a, b *trunk.Group) int {
		return strings.Compare(string(orderKey(groupStanding(a))), string(orderKey(groupStanding(b))))
	})
	for _, account := range []string{"0", "1"} {
		var want, got []*trunk.Group
		for _, g := range all {
			if g.Account == account {
				want = append(want, g)
			}
		}
		for after := ""; ; after = GroupCursor(got[len(got)-1]) {
			page := s.Groups(account, after, 3)
			got = append(got, page...)
			if len(page) < 3 {
				break
			}
		}
		if !slices.Equal(got, want) || s.CountGroups(account) != len(want) {
			t.Fatalf("revision %d, account %s: %d groups, want %d", s.revision, account, len(got), len(want))
		}
	}
	for c := range 4 {
		want := 0
		for _, g := range all {
			if g.Has(fmt.Sprint(c)) {
				want++
			}
		}
		if got := s.GroupsOf(fmt.Sprint(c)); len(got) != want {
			t.Fatalf("revision %d: connector %d is in %d groups, want %d", s.revision, c, len(got), want)
		}
	}
	for _, g := range all {
		if got, ok := s.Group(g.ID); !ok || got != g {
			t.Fatalf("revision %d: group %s is %v", s.revision, g.ID, got)
		}
	}
}

// TestNumbersMoveBetweenOwners: a number is found under what it belongs to now and nowhere else.
func TestNumbersMoveBetweenOwners(t *testing.T) {
	const e164, account, connector, group = trunk.Number("+12065550100"), "111122223333", "c1", "g1"
	s := emptySnapshot()
	put := func(n *trunk.PhoneNumber) {
		b := newBuilder(s)
		n.E164 = e164
		b.put(n)
		s = b.build(s.revision + 1)
	}
	count := func(numbers func(func(*trunk.PhoneNumber) bool)) (n int) {
		for range numbers {
			n++
		}
		return n
	}
	for _, c := range []struct {
		name                                            string
		number                                          trunk.PhoneNumber
		pool, held, byConnector, byGroup, queued, owned int
	}{
		{"in the pool", trunk.PhoneNumber{}, 1, 0, 0, 0, 0, 0},
		{"held", trunk.PhoneNumber{Account: account}, 0, 1, 0, 0, 0, 1},
		{"of a connector", trunk.PhoneNumber{Account: account, ConnectorID: connector}, 0, 1, 1, 0, 0, 1},
		{"of a group", trunk.PhoneNumber{Account: account, GroupID: group}, 0, 1, 0, 1, 0, 1},
		{"deleted", trunk.PhoneNumber{Account: account, Deleted: time.Unix(1, 0)}, 0, 1, 0, 0, 1, 0},
		{"back in the pool", trunk.PhoneNumber{}, 1, 0, 0, 0, 0, 0},
	} {
		put(&c.number)
		owned := 0
		if s.OwnsNumber(account, e164) {
			owned = 1
		}
		got := []int{
			count(s.PoolNumbers("+1206", "")), count(s.NumbersOf(account, "")), len(s.Numbers(NumberFilter{ConnectorID: connector}, "", 9)),
			len(s.Numbers(NumberFilter{GroupID: group}, "", 9)), count(s.DeletedNumbers()), owned,
		}
		if want := []int{c.pool, c.held, c.byConnector, c.byGroup, c.queued, c.owned}; !slices.Equal(got, want) {
			t.Errorf("%s: found under pool, account, connector, group, queue, owned %v, want %v", c.name, got, want)
		}
		if s.CountNumbers(account) != c.owned {
			t.Errorf("%s: the account counts %d", c.name, s.CountNumbers(account))
		}
	}
	if n := count(s.PoolNumbers("+1206", e164)) + count(s.PoolNumbers("+1207", "")); n != 0 {
		t.Errorf("%d numbers behind the last or under another prefix", n)
	}
}

// TestRulesOn: a SIP rule is found under the number it names, in its account, for as long as it names it.
func TestRulesOn(t *testing.T) {
	const account, one, other = "111122223333", trunk.Number("+12065550100"), trunk.Number("+120655501")
	s := emptySnapshot()
	change := func(f func(*builder)) {
		b := newBuilder(s)
		f(b)
		s = b.build(s.revision + 1)
	}
	rule := func(trigger trunk.Trigger, value trunk.Number) *trunk.SIPRule {
		return &trunk.SIPRule{ID: "r1", Account: account, Trigger: trigger, TriggerValue: string(value)}
	}
	for _, c := range []struct {
		name       string
		change     func(*builder)
		one, other int
	}{
		{"about a number", func(b *builder) { b.put(rule(trunk.ToPhoneNumber, one)) }, 1, 0},
		{"about another", func(b *builder) { b.put(rule(trunk.ToPhoneNumber, other)) }, 0, 1},
		{"about a host", func(b *builder) { b.put(rule(trunk.RequestURIHostname, one)) }, 0, 0},
		{"back", func(b *builder) { b.put(rule(trunk.ToPhoneNumber, one)) }, 1, 0},
		{"removed", func(b *builder) { b.remove(trunk.EntityKey{Kind: trunk.KindSIPRule, ID: "r1"}) }, 0, 0},
	} {
		change(c.change)
		if a, b := len(s.RulesOn(account, one)), len(s.RulesOn(account, other)); a != c.one || b != c.other {
			t.Errorf("%s: %d and %d rules, want %d and %d", c.name, a, b, c.one, c.other)
		}
		if n := len(s.RulesOn("444455556666", one)); n != 0 {
			t.Errorf("%s: another account sees %d", c.name, n)
		}
	}
}
