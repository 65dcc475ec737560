package directory

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"carillon/iam"
	"carillon/store/storetest"
	"carillon/trunk"
)

const (
	accountA = "111111111111"
	accountB = "222222222222"
)

var epoch = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func id(n int) string { return fmt.Sprintf("c%021d", n) }

func connector(n int, account string) *trunk.Connector {
	return &trunk.Connector{
		ID: id(n), Account: account, Name: fmt.Sprintf("trunk %d", n), HostName: id(n) + ".voiceconnector.example.test",
		Region: trunk.DefaultRegion, Created: epoch.Add(time.Duration(n) * time.Millisecond),
	}
}

// at applies changes one after the other to a new directory, starting with an empty complete state of revision 1.
func at(t testing.TB, changes ...trunk.Change) *Directory {
	t.Helper()
	d := New(Config{})
	for i, c := range append([]trunk.Change{{Reset: true}}, changes...) {
		if c.Revision == 0 {
			c.Revision = int64(i) + 1
		}
		if err := d.apply(c); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func put(entities ...trunk.Entity) trunk.Change { return trunk.Change{Put: entities} }

func gone(keys ...trunk.EntityKey) trunk.Change { return trunk.Change{Deleted: keys} }

func ids(connectors []*trunk.Connector) []string {
	var all []string
	for _, c := range connectors {
		all = append(all, c.ID)
	}
	return all
}

func TestASnapshotNeverChanges(t *testing.T) {
	d := at(t, put(connector(1, accountA)))
	old := d.Snapshot()
	next := connector(1, accountA)
	next.Name = "renamed"
	for _, c := range []trunk.Change{put(next, connector(2, accountA)), gone(next.EntityKey())} {
		c.Revision = d.Snapshot().Revision() + 1
		if err := d.apply(c); err != nil {
			t.Fatal(err)
		}
	}
	if c, ok := old.Connector(id(1)); !ok || c.Name != "trunk 1" {
		t.Errorf("the old snapshot now has %+v, %v", c, ok)
	}
	if n := old.CountConnectors(accountA); n != 1 || old.Revision() != 2 {
		t.Errorf("the old snapshot now counts %d at revision %d", n, old.Revision())
	}
	if _, ok := d.Snapshot().Connector(id(1)); ok || d.Snapshot().CountConnectors(accountA) != 1 {
		t.Errorf("the new snapshot still has the deleted connector, counts %d", d.Snapshot().CountConnectors(accountA))
	}
}

func TestConnectorByHost(t *testing.T) {
	plain, moved, odd := connector(1, accountA), connector(2, accountA), connector(3, accountA)
	odd.HostName = "Trunk.Example.test"
	d := at(t, put(plain, moved, odd))
	for _, c := range []struct {
		host string
		want string
	}{
		{plain.HostName, plain.ID},
		{plain.HostName + ".", plain.ID},
		{"C000000000000000000001.VoiceConnector.Example.Test", plain.ID},
		{"C00000000000000000001.voiceconnector.example.test", ""}, // one digit short of an id
		{id(1) + ".voiceconnector.EXAMPLE.test", plain.ID},
		{id(1) + ".voiceconnector.example.org", ""},
		{id(1), ""},
		{"trunk.example.test", odd.ID},
		{"TRUNK.example.test.", odd.ID},
		{"", ""},
		{".", ""},
	} {
		got, ok := d.Snapshot().ConnectorByHost(c.host)
		if ok != (c.want != "") || ok && got.ID != c.want {
			t.Errorf("host %q gives %v, %v; want %q", c.host, got, ok, c.want)
		}
	}

	renamed := moved.Clone()
	renamed.HostName = "new.example.test"
	back := odd.Clone()
	back.HostName = id(3) + ".voiceconnector.example.test"
	d = at(t, put(plain, moved, odd), put(renamed, back))
	for host, want := range map[string]bool{
		moved.HostName: false, renamed.HostName: true, "trunk.example.test": false, back.HostName: true,
	} {
		if _, ok := d.Snapshot().ConnectorByHost(host); ok != want {
			t.Errorf("after the change of hosts %q found is %v, want %v", host, ok, want)
		}
	}
	d = at(t, put(renamed), gone(renamed.EntityKey()))
	if c, ok := d.Snapshot().ConnectorByHost(renamed.HostName); ok {
		t.Errorf("a deleted connector's host still gives %v", c.ID)
	}
}

func TestAHostTakenOverSurvivesItsFormerOwner(t *testing.T) {
	first, second := connector(1, accountA), connector(2, accountA)
	first.HostName, second.HostName = "trunk.example.test", "trunk.example.test"
	d := at(t, put(first), put(second), gone(first.EntityKey()))
	if c, ok := d.Snapshot().ConnectorByHost("trunk.example.test"); !ok || c.ID != second.ID {
		t.Errorf("the host gives %v, %v; want the second", c, ok)
	}
}

// TestAConnectorThatChangesPlace moves a connector to another account and another time under its old id.
func TestAConnectorThatChangesPlace(t *testing.T) {
	moved := connector(1, accountB)
	later := connector(2, accountA)
	later.Created = later.Created.Add(time.Hour)
	s := at(t, put(connector(1, accountA), connector(2, accountA), connector(3, accountA)), put(moved, later)).Snapshot()
	if got := ids(s.Connectors(accountA, "", 10)); !slices.Equal(got, []string{id(3), id(2)}) || s.CountConnectors(accountA) != 2 {
		t.Errorf("the old account lists %v and counts %d", got, s.CountConnectors(accountA))
	}
	if got := ids(s.Connectors(accountB, "", 10)); !slices.Equal(got, []string{id(1)}) || s.CountConnectors(accountB) != 1 {
		t.Errorf("the new account lists %v and counts %d", got, s.CountConnectors(accountB))
	}
	if n := s.CountConnectors(""); n != 3 {
		t.Errorf("all together are %d, want 3", n)
	}
}

func TestConnectorsInOrder(t *testing.T) {
	same := connector(9, accountA)
	same.Created = connector(2, "").Created
	d := at(t, put(connector(3, accountA), connector(1, accountA), same, connector(2, accountA), connector(4, accountB), connector(0, accountB)))
	s := d.Snapshot()
	for _, c := range []struct {
		account string
		want    []string
	}{
		{accountA, []string{id(1), id(2), id(9), id(3)}},
		{accountB, []string{id(0), id(4)}},
		{"", []string{id(1), id(2), id(9), id(3), id(0), id(4)}},
		{"333333333333", nil},
		{"11111111111", nil}, // a prefix of an account is not the account
	} {
		if got := ids(s.Connectors(c.account, "", 100)); !slices.Equal(got, c.want) {
			t.Errorf("account %q lists %v, want %v", c.account, got, c.want)
		}
		var paged []string
		for after := ""; ; {
			page := s.Connectors(c.account, after, 1)
			if len(page) == 0 {
				break
			}
			paged = append(paged, page[0].ID)
			after = ConnectorCursor(page[0])
		}
		if !slices.Equal(paged, c.want) {
			t.Errorf("account %q page by page lists %v, want %v", c.account, paged, c.want)
		}
		if got := s.CountConnectors(c.account); got != len(c.want) {
			t.Errorf("account %q counts %d, want %d", c.account, got, len(c.want))
		}
	}
	for _, cursor := range []string{"x", "//", accountA + "/!!/" + id(1), accountA + "//" + id(1), accountA + "/99999999999999999999/" + id(1), ConnectorCursor(connector(4, accountB)), accountA} {
		if got := s.Connectors(accountA, cursor, 10); got != nil {
			t.Errorf("cursor %q gives %v", cursor, ids(got))
		}
	}
	if got := s.Connectors(accountA, "", 0); len(got) != 0 {
		t.Errorf("limit 0 gives %v", ids(got))
	}
}

// TestPagesSurviveWrites deletes the connector a cursor stands on and adds others before and behind it.
func TestPagesSurviveWrites(t *testing.T) {
	d := New(Config{})
	revision := int64(0)
	apply := func(c trunk.Change) {
		revision++
		c.Revision = revision
		if err := d.apply(c); err != nil {
			t.Fatal(err)
		}
	}
	apply(trunk.Change{Reset: true})
	const total = 60
	for i := range total {
		apply(put(connector(10*i+10, accountA)))
	}
	seen := map[string]int{}
	after := ""
	for step := 0; ; step++ {
		page := d.Snapshot().Connectors(accountA, after, 7)
		if len(page) == 0 {
			break
		}
		for _, c := range page {
			seen[c.ID]++
		}
		last := page[len(page)-1]
		after = ConnectorCursor(last)
		apply(gone(last.EntityKey()))
		apply(put(connector(step, accountA)))
		apply(put(connector(10_000+step, accountB)))
	}
	for i := range total {
		if n := seen[id(10*i+10)]; n != 1 {
			t.Errorf("connector %d was listed %d times", 10*i+10, n)
		}
	}
}

func number(n trunk.Number, account, connectorID string) *trunk.PhoneNumber {
	return &trunk.PhoneNumber{E164: n, Account: account, ConnectorID: connectorID}
}

func TestNumbers(t *testing.T) {
	pool, held, routed, other := number("+12065550100", "", ""), number("+12065550101", accountA, ""), number("+12065550102", accountA, id(1)), number("+442071838750", accountB, id(2))
	s := at(t, put(pool, held, routed, other)).Snapshot()
	for _, c := range []struct {
		filter NumberFilter
		after  trunk.Number
		limit  int
		want   []*trunk.PhoneNumber
	}{
		{NumberFilter{}, "", 10, []*trunk.PhoneNumber{pool, held, routed, other}},
		{NumberFilter{}, held.E164, 1, []*trunk.PhoneNumber{routed}},
		{NumberFilter{}, "+12065550101999", 1, []*trunk.PhoneNumber{routed}}, // a cursor whose number is gone
		{NumberFilter{Account: accountA}, "", 10, []*trunk.PhoneNumber{held, routed}},
		{NumberFilter{Account: accountA}, held.E164, 10, []*trunk.PhoneNumber{routed}},
		{NumberFilter{ConnectorID: id(1)}, "", 10, []*trunk.PhoneNumber{routed}},
		{NumberFilter{ConnectorID: id(1), Account: accountA}, "", 10, []*trunk.PhoneNumber{routed}},
		{NumberFilter{ConnectorID: id(1), Account: accountB}, "", 10, nil},
		{NumberFilter{ConnectorID: id(3)}, "", 10, nil},
	} {
		if got := s.Numbers(c.filter, c.after, c.limit); !slices.Equal(got, c.want) {
			t.Errorf("%+v after %q gives %v, want %v", c.filter, c.after, got, c.want)
		}
	}
	for _, c := range []struct {
		account string
		number  trunk.Number
		want    bool
	}{
		{accountA, held.E164, true}, {accountB, held.E164, false}, {accountA, pool.E164, false}, {"", pool.E164, false}, {accountA, "+1999", false},
	} {
		if got := s.OwnsNumber(c.account, c.number); got != c.want {
			t.Errorf("account %q owns %s: %v, want %v", c.account, c.number, got, c.want)
		}
	}
}

func TestANumberMoves(t *testing.T) {
	d := at(t, put(number("+12065550100", accountA, id(1))), put(number("+12065550100", accountB, id(2))))
	for filter, want := range map[NumberFilter]int{{Account: accountA}: 0, {ConnectorID: id(1)}: 0, {Account: accountB}: 1, {ConnectorID: id(2)}: 1, {}: 1} {
		if got := len(d.Snapshot().Numbers(filter, "", 10)); got != want {
			t.Errorf("%+v gives %d, want %d", filter, got, want)
		}
	}
	d = at(t, put(number("+12065550100", accountA, id(1))), gone(trunk.EntityKey{Kind: trunk.KindNumber, ID: "+12065550100"}))
	if got := d.Snapshot().Numbers(NumberFilter{}, "", 10); len(got) != 0 || len(d.Snapshot().Numbers(NumberFilter{Account: accountA}, "", 10)) != 0 {
		t.Errorf("the deleted number is still listed: %v", got)
	}
}

func names(carriers []*trunk.Carrier) []string {
	var all []string
	for _, c := range carriers {
		all = append(all, c.Name)
	}
	return all
}

func TestCarriers(t *testing.T) {
	prefixes := func(text ...string) (all []netip.Prefix) {
		for _, p := range text {
			all = append(all, netip.MustParsePrefix(p))
		}
		return all
	}
	lab := &trunk.Carrier{Name: "lab", Lab: true, Prefixes: []string{"+12065550199"}, Targets: []trunk.Target{{Host: "127.0.0.1"}}}
	every := &trunk.Carrier{Name: "every", Targets: []trunk.Target{{Host: "sip.example.test"}, {Host: "2001:db8::1"}}}
	us := &trunk.Carrier{Name: "us", Prefixes: []string{"+1", "+1206"}, Sources: prefixes("198.51.100.0/24")}
	also := &trunk.Carrier{Name: "also", Prefixes: []string{"+1206"}, Sources: prefixes("198.51.0.0/16", "::ffff:203.0.113.0/120")}
	d := at(t, put(lab, every, us), put(also))
	s := d.Snapshot()
	if got := names(s.Carriers()); !slices.Equal(got, []string{"also", "every", "lab", "us"}) {
		t.Errorf("carriers are %v", got)
	}
	for _, c := range []struct {
		number trunk.Number
		want   []string
	}{
		{"+12065550199", []string{"lab", "also", "us", "every"}},
		{"+12065550100", []string{"also", "us", "every"}},
		{"+13035550100", []string{"us", "every"}},
		{"+442071838750", []string{"every"}},
		{"", []string{"every"}},
	} {
		if got := names(s.CarrierFor(c.number)); !slices.Equal(got, c.want) {
			t.Errorf("%s goes to %v, want %v", c.number, got, c.want)
		}
	}
	for source, want := range map[string]string{
		"127.0.0.1": "lab", "::ffff:127.0.0.1": "lab", "2001:db8::1": "every", "2001:db8::1%eth0": "every", "2001:db8::2": "",
		"198.51.100.7": "us", "198.51.7.7": "also", "203.0.113.9": "also", "192.0.2.1": "",
	} {
		got, ok := s.CarrierBySource(netip.AddrPortFrom(netip.MustParseAddr(source), 40000))
		if ok != (want != "") || ok && got.Name != want {
			t.Errorf("source %s is %v, want %q", source, got, want)
		}
	}
	if _, ok := s.CarrierBySource(netip.AddrPort{}); ok {
		t.Error("no address at all belongs to a carrier")
	}

	moved := *us
	moved.Prefixes = []string{"+44"}
	d = at(t, put(lab, every, us, also), put(&moved), gone(also.EntityKey(), trunk.EntityKey{Kind: trunk.KindCarrier, ID: "never"}))
	if got := names(d.Snapshot().CarrierFor("+12065550100")); !slices.Equal(got, []string{"every"}) {
		t.Errorf("after the change the number goes to %v", got)
	}
	if c, ok := d.Snapshot().Carrier("us"); !ok || c.Prefixes[0] != "+44" {
		t.Errorf("carrier us is %+v, %v", c, ok)
	}
	if _, ok := d.Snapshot().Carrier("also"); ok {
		t.Error("the deleted carrier is still there")
	}
}

func TestTheRest(t *testing.T) {
	key := &iam.AccessKey{ID: "AKIA1", Account: accountA, Disabled: true}
	moved := &iam.AccessKey{ID: "AKIA2", Account: accountA}
	health := &trunk.Health{ConnectorID: id(1)}
	in := &trunk.Installation{Domain: "example.test"}
	s := at(t, put(key, moved, health, in, &trunk.Quota{Account: accountA, Name: "n", Value: 1}, &trunk.Quota{Name: "n", Value: 2}),
		put(&iam.AccessKey{ID: "AKIA2", Account: accountB})).Snapshot()
	if got, ok := s.AccessKey("AKIA1"); !ok || got != key {
		t.Errorf("access key is %v, %v", got, ok)
	}
	for account, want := range map[string]int{accountA: 1, accountB: 1, "": 2, "3": 0} {
		if got := s.AccessKeys(account); len(got) != want {
			t.Errorf("account %q has %d keys, want %d", account, len(got), want)
		}
	}
	for _, c := range []struct {
		account, name string
		want          int
		ok            bool
	}{{accountA, "n", 1, true}, {accountB, "n", 2, true}, {accountB, "m", 0, false}} {
		if got, ok := s.Quota(c.account, c.name); got != c.want || ok != c.ok {
			t.Errorf("quota %s of %s is %d, %v", c.name, c.account, got, ok)
		}
	}
	// Taken away again, it falls back on that of every account, and without one stays a quota of nothing.
	unset := at(t, put(&trunk.Quota{Account: accountA, Name: "n", Value: trunk.Unset}, &trunk.Quota{Name: "n", Value: 2},
		&trunk.Quota{Account: accountA, Name: "m", Value: trunk.Unset})).Snapshot()
	for name, want := range map[string]int{"n": 2, "m": math.MaxInt} {
		if got, ok := unset.Quota(accountA, name); got != want || !ok {
			t.Errorf("unset quota %s is %d, %v, want %d", name, got, ok, want)
		}
	}
	if got := s.Quotas(); len(got) != 2 || got[0] != (trunk.Quota{Name: "n", Value: 2}) {
		t.Errorf("quotas are %v", got)
	}
	if got, ok := s.Health(id(1)); !ok || got != health {
		t.Errorf("health is %v, %v", got, ok)
	}
	if got, ok := s.Installation(); !ok || got != in {
		t.Errorf("installation is %v, %v", got, ok)
	}
	s = at(t, put(key, health, in, &trunk.Quota{Name: "n", Value: 2}),
		gone(key.EntityKey(), health.EntityKey(), in.EntityKey(), trunk.EntityKey{Kind: trunk.KindQuota, ID: "/n"})).Snapshot()
	_, hasKey := s.AccessKey("AKIA1")
	_, hasHealth := s.Health(id(1))
	_, hasInstallation := s.Installation()
	_, hasQuota := s.Quota("", "n")
	if hasKey || hasHealth || hasInstallation || hasQuota || len(s.AccessKeys(accountA)) != 0 {
		t.Errorf("deleted entities are still there: %v %v %v %v", hasKey, hasHealth, hasInstallation, hasQuota)
	}
}

func TestPartsAreNotShown(t *testing.T) {
	d := at(t, put(connector(1, accountA)))
	for _, c := range []trunk.Change{
		{Revision: 9, Reset: true, Partial: true, Put: []trunk.Entity{connector(2, accountA)}},
		{Revision: 9, Partial: true, Put: []trunk.Entity{connector(3, accountA)}},
	} {
		if err := d.apply(c); err != nil {
			t.Fatal(err)
		}
		if got := ids(d.Snapshot().Connectors("", "", 10)); !slices.Equal(got, []string{id(1)}) {
			t.Errorf("half a list is shown: %v", got)
		}
	}
	if err := d.apply(trunk.Change{Revision: 9, Put: []trunk.Entity{connector(4, accountA)}}); err != nil {
		t.Fatal(err)
	}
	if got := ids(d.Snapshot().Connectors("", "", 10)); !slices.Equal(got, []string{id(2), id(3), id(4)}) || d.Snapshot().Revision() != 9 {
		t.Errorf("the complete list is %v at %d", got, d.Snapshot().Revision())
	}
}

func TestAwait(t *testing.T) {
	d := at(t)
	if err := d.Await(t.Context(), 1); err != nil {
		t.Errorf("await of the present revision: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("client went away")
	cancel(cause)
	if err := d.Await(ctx, 99); trunk.KindOf(err) != trunk.Unavailable || !errors.Is(err, cause) {
		t.Errorf("await with an ended context gave %v", err)
	}
	if n := d.Waiting(); n != 0 {
		t.Errorf("%d waiters are left of none", n)
	}

	const waiters, last = 1000, 50
	var done sync.WaitGroup
	for i := range waiters {
		done.Go(func() {
			revision := int64(2 + i%(last-1))
			if err := d.Await(context.Background(), revision); err != nil {
				t.Errorf("await: %v", err)
			}
			if got := d.Snapshot().Revision(); got < revision {
				t.Errorf("woken for %d the snapshot is at %d", revision, got)
			}
		})
	}
	for d.Waiting() < waiters {
		time.Sleep(time.Millisecond)
	}
	for revision := int64(2); revision <= last; revision++ {
		if err := d.apply(trunk.Change{Revision: revision}); err != nil {
			t.Fatal(err)
		}
		// Exactly those whose revision has not come still wait.
		want := 0
		for i := range waiters {
			if int64(2+i%(last-1)) > revision {
				want++
			}
		}
		if got := d.Waiting(); got != want {
			t.Fatalf("at %d there wait %d, want %d", revision, got, want)
		}
	}
	done.Wait()
}

func TestFollowAStore(t *testing.T) {
	store := &storetest.Memory{}
	d := New(Config{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Follow(ctx, store) }()
	if err := d.Await(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	if err := d.Follow(ctx, store); err == nil {
		t.Error("two Follows at once were allowed")
	}
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			for i := range 50 {
				c := connector(w*1000+i, accountA)
				revision := storetest.Put(t, store, c)
				if err := d.Await(context.Background(), revision); err != nil {
					t.Errorf("await: %v", err)
				}
				if got, ok := d.Snapshot().Connector(c.ID); !ok || got != c {
					t.Errorf("connector %s is not there at its own revision", c.ID)
				}
			}
		})
	}
	writers.Wait()
	if d.Confirmed().IsZero() {
		t.Error("the revision was never confirmed")
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("Follow ended with %v", err)
	}
}

// TestCarriersOnOneAddress: carriers of a laboratory share an address. The port tells which one calls, and a call from
// another port of it is the operator's carrier's and not the lab's.
func TestCarriersOnOneAddress(t *testing.T) {
	target := func(port uint16, transport trunk.Transport) []trunk.Target {
		return []trunk.Target{{Host: "127.0.0.1", Port: port, Transport: transport}}
	}
	lab := &trunk.Carrier{Name: "alab", Lab: true, Targets: target(6000, trunk.UDP)}
	first := &trunk.Carrier{Name: "first", Targets: target(0, trunk.UDP)}
	second := &trunk.Carrier{Name: "second", Targets: target(0, trunk.TLS)}
	s := at(t, put(lab, second, first)).Snapshot()
	for source, want := range map[string]string{
		"127.0.0.1:6000": "alab", "127.0.0.1:5060": "first", "127.0.0.1:5061": "second", "127.0.0.1:40000": "first",
		"[::ffff:127.0.0.1]:5061": "second",
	} {
		if got, ok := s.CarrierBySource(netip.MustParseAddrPort(source)); !ok || got.Name != want {
			t.Errorf("source %s is %v, want %q", source, got, want)
		}
	}
	alone := at(t, put(lab)).Snapshot()
	if got, ok := alone.CarrierBySource(netip.MustParseAddrPort("127.0.0.1:40000")); !ok || got.Name != "alab" {
		t.Errorf("with the lab alone another port is %v, want the lab", got)
	}
}
