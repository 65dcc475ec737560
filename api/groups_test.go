package api

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"carillon/trunk"
)

// group makes a group of those connectors, the first with priority 1, and returns its id.
func (n *node) group(t testing.TB, account string, connectors ...string) string {
	t.Helper()
	a := n.do(t, account, "POST", "/voice-connector-groups", `{"Name":"demo","VoiceConnectorItems":`+items(connectors...)+`}`).want(t, 201)
	return a.text(t, "VoiceConnectorGroup", "VoiceConnectorGroupId")
}

func items(connectors ...string) string {
	var all []string
	for i, id := range connectors {
		all = append(all, fmt.Sprintf(`{"Priority":%d,"VoiceConnectorId":%q}`, i+1, id))
	}
	return "[" + strings.Join(all, ",") + "]"
}

func TestGroup(t *testing.T) {
	n := startNode(t)
	one, two := n.create(t, accountA, true), n.create(t, accountA, false)
	a := n.do(t, accountA, "POST", "/voice-connector-groups", `{"Name":"demo","VoiceConnectorItems":[{"VoiceConnectorId":"`+one+`"}]}`).want(t, 201)
	id := a.text(t, "VoiceConnectorGroup", "VoiceConnectorGroupId")
	const path = "/voice-connector-groups/"
	form := func(name, items, distribution, updated string) string {
		return `{"VoiceConnectorGroup":{"CallDistributionType":"` + distribution + `","CreatedTimestamp":"2026-01-01T00:00:00.000Z","Name":"` + name + `",` +
			`"UpdatedTimestamp":"` + updated + `","VoiceConnectorGroupArn":"arn:aws:chime:us-east-1:` + accountA + `:vcg/` + id + `",` +
			`"VoiceConnectorGroupId":"` + id + `","VoiceConnectorItems":` + items + `}}`
	}
	if want := form("demo", items(one), "PriorityWeightedDistribution", "2026-01-01T00:00:00.000Z"); a.Body != want {
		t.Errorf("create:\n got %s\nwant %s", a.Body, want)
	}
	n.clock.Advance(minute)
	for _, c := range []struct{ name, update, want string }{
		{"members and distribution", `{"Name":"demo","VoiceConnectorItems":` + items(two, one) + `,"CallDistributionType":"LoadBalancedDistribution"}`,
			form("demo", items(two, one), "LoadBalancedDistribution", "2026-01-01T00:01:00.000Z")},
		// The distribution stays, the members do not.
		{"a name alone, as Terraform renames", `{"Name":"renamed","VoiceConnectorItems":[]}`,
			form("renamed", "[]", "LoadBalancedDistribution", "2026-01-01T00:01:00.001Z")},
		{"nothing new", `{"Name":"renamed","VoiceConnectorItems":[]}`,
			form("renamed", "[]", "LoadBalancedDistribution", "2026-01-01T00:01:00.002Z")},
	} {
		if a := n.do(t, accountA, "PUT", path+id, c.update).want(t, 202); a.Body != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, a.Body, c.want)
		}
		if got := n.do(t, accountA, "GET", path+id, "").want(t, 200); got.Body != c.want {
			t.Errorf("%s: Get answers\n%s, want\n%s", c.name, got.Body, c.want)
		}
	}
	inner := strings.TrimSuffix(strings.TrimPrefix(n.do(t, accountA, "GET", path+id, "").Body, `{"VoiceConnectorGroup":`), "}")
	if got, want := n.do(t, accountA, "GET", path, "").want(t, 404).errorType(), "UnknownOperationException"; got != want {
		t.Errorf("no id: %s, want %s", got, want)
	}
	if got, want := n.do(t, accountA, "GET", "/voice-connector-groups", "").want(t, 200).Body, `{"NextToken":null,"VoiceConnectorGroups":[`+inner+`]}`; got != want {
		t.Errorf("list: %s, want %s", got, want)
	}
	if a := n.do(t, accountA, "DELETE", path+id, "").want(t, 204); a.Body != "" {
		t.Errorf("delete answers %q", a.Body)
	}
	for _, method := range []string{"GET", "DELETE"} {
		n.do(t, accountA, method, path+id, "").want(t, 404)
	}
}

func TestGroupRefusals(t *testing.T) {
	n := startNode(t)
	one, theirs := n.create(t, accountA, true), n.create(t, accountB, true)
	all := []string{one, n.create(t, accountA, true), n.create(t, accountA, true), n.create(t, accountA, true)}
	id := n.group(t, accountA, one)
	before := n.revision(t)
	for _, c := range []struct {
		name, items string
		either      int
		says        string
	}{
		{"four members", items(all...), 400, "at most 3"},
		{"one member twice", items(one, one), 400, "twice"},
		{"priority 0", `[{"VoiceConnectorId":"` + one + `","Priority":0}]`, 400, "priority"},
		{"priority 100", `[{"VoiceConnectorId":"` + one + `","Priority":100}]`, 400, "priority"},
		{"no connector", `[{"Priority":1}]`, 400, "voiceConnectorId"},
		{"unknown connector", items(never().connector), 404, "does not have"},
		{"another account's connector", items(theirs), 404, "does not have"},
	} {
		for host, unknown := range map[string]int{"127.0.0.1": 404, "voice-chime.us-east-1.amazonaws.com": 404, "chime.us-east-1.amazonaws.com": 400} {
			want := c.either
			if want == 404 {
				want = unknown // chime does not model NotFoundException on the create
			}
			body := `{"Name":"demo","VoiceConnectorItems":` + c.items + `}`
			a := n.do(t, accountA, "POST", "/voice-connector-groups", body, "Host", host)
			if a.Status != want || !strings.Contains(a.text(t, "Message"), c.says) {
				t.Errorf("%s at %s: create answers %d %s, want %d with %q", c.name, host, a.Status, a.Body, want, c.says)
			}
			a = n.do(t, accountA, "PUT", "/voice-connector-groups/"+id, body, "Host", host)
			if a.Status != c.either || !strings.Contains(a.text(t, "Message"), c.says) {
				t.Errorf("%s at %s: update answers %d %s, want %d with %q", c.name, host, a.Status, a.Body, c.either, c.says)
			}
		}
	}
	for _, c := range []struct{ name, host, method, target, body, says string }{
		{"no name", "127.0.0.1", "POST", "", `{}`, "name"},
		{"control character", "127.0.0.1", "POST", "", `{"Name":"a\nb"}`, "control"},
		{"distribution", "127.0.0.1", "POST", "", `{"Name":"demo","CallDistributionType":"Fair"}`, "Fair"},
		{"update without items", "127.0.0.1", "PUT", "/" + id, `{"Name":"demo"}`, "voiceConnectorItems"},
		{"update without a name", "127.0.0.1", "PUT", "/" + id, `{"VoiceConnectorItems":[]}`, "name"},
		{"no priority in chime", "chime.us-east-1.amazonaws.com", "POST", "", `{"Name":"demo","VoiceConnectorItems":[{"VoiceConnectorId":"` + one + `"}]}`, "priority"},
	} {
		a := n.do(t, accountA, c.method, "/voice-connector-groups"+c.target, c.body, "Host", c.host)
		if a.Status != 400 || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestAssociationsBlockDeletes: what something refers to stays, and the ErrorCode says what refers.
func TestAssociationsBlockDeletes(t *testing.T) {
	n := startNode(t)
	connector := n.create(t, accountA, true)
	group := n.group(t, accountA, connector)
	path := "/voice-connector-groups/" + group
	refused := func(target, code string) {
		t.Helper()
		a := n.do(t, accountA, "DELETE", target, "").want(t, 409)
		if a.errorType() != "ConflictException" || a.text(t, "Code") != code {
			t.Errorf("%s: got %v, want %s", target, a, code)
		}
	}
	refused("/voice-connectors/"+connector, "VoiceConnectorGroupAssociationsExist")
	refused(path, "Conflict")
	n.put(t, &trunk.PhoneNumber{E164: "+12065550100", Account: accountA, GroupID: group})
	refused(path, "PhoneNumberAssociationsExist")
	n.do(t, accountA, "PUT", path, `{"Name":"demo","VoiceConnectorItems":[]}`).want(t, 202)
	refused(path, "PhoneNumberAssociationsExist")
	n.put(t, &trunk.PhoneNumber{E164: "+12065550100", Account: accountA})
	n.do(t, accountA, "DELETE", path, "").want(t, 204)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+connector, "").want(t, 204)
}

// TestConnectorInSeveralGroups: AWS does not say; here it may. To join or leave one shows in its UpdatedTimestamp.
func TestConnectorInSeveralGroups(t *testing.T) {
	n := startNode(t)
	connector := n.create(t, accountA, true)
	one, two := n.group(t, accountA, connector), n.group(t, accountA, connector)
	if got := n.do(t, accountA, "GET", "/voice-connectors/"+connector, "").text(t, "VoiceConnector", "UpdatedTimestamp"); got != "2026-01-01T00:00:00.002Z" {
		t.Errorf("updated at %s, want two steps after its creation", got)
	}
	n.do(t, accountA, "PUT", "/voice-connector-groups/"+one, `{"Name":"demo","VoiceConnectorItems":[]}`).want(t, 202)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+connector, "").want(t, 409)
	n.do(t, accountA, "PUT", "/voice-connector-groups/"+two, `{"Name":"demo","VoiceConnectorItems":[]}`).want(t, 202)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+connector, "").want(t, 204)
}

// TestJoinAndDeleteAtOnce: a connector joins a group, or is created into one, while it is deleted. Never may a group
// hold a connector that is gone.
func TestJoinAndDeleteAtOnce(t *testing.T) {
	n := startNode(t)
	existing := n.group(t, accountA)
	joins := map[string][2]string{
		"update": {"PUT", "/voice-connector-groups/" + existing},
		"create": {"POST", "/voice-connector-groups"},
	}
	outcomes := map[string]int{}
	for name, join := range joins {
		for range 25 {
			connector := n.create(t, accountA, true)
			n.do(t, accountA, "PUT", "/voice-connector-groups/"+existing, `{"Name":"demo","VoiceConnectorItems":[]}`).want(t, 202)
			var joined, deleted answer
			var both sync.WaitGroup
			both.Go(func() {
				joined = n.do(t, accountA, join[0], join[1], `{"Name":"demo","VoiceConnectorItems":`+items(connector)+`}`)
			})
			both.Go(func() { deleted = n.do(t, accountA, "DELETE", "/voice-connectors/"+connector, "") })
			both.Wait()
			_, lives := n.directory.Snapshot().Connector(connector)
			member := len(n.directory.Snapshot().GroupsOf(connector)) > 0
			switch {
			case joined.Status < 300 && deleted.Status == 409 && lives && member:
				outcomes["joined"]++
			case joined.Status == 404 && deleted.Status == 204 && !lives && !member:
				outcomes["deleted"]++
			default:
				t.Errorf("%s: joined %d %s, deleted %d %s, lives %t, in a group %t", name, joined.Status, joined.Body, deleted.Status, deleted.Body, lives, member)
			}
		}
	}
	if outcomes["joined"] == 0 || outcomes["deleted"] == 0 {
		t.Logf("only one of the two ever came first: %v", outcomes)
	}
}

// TestDeletesCatchUp: a node that has not heard of the latest change does not refuse a delete by what it remembers, and
// does not carry it out by that either.
func TestDeletesCatchUp(t *testing.T) {
	n := startNode(t)
	lagging := &laggingDirectory{Directory: n.directory}
	empty := `{"Name":"demo","VoiceConnectorItems":[]}`
	connector := n.create(t, accountA, true)
	group := n.group(t, accountA)
	elsewhere := func(method, target, body string) {
		t.Helper()
		lagging.mu.Lock()
		lagging.old = n.directory.Snapshot()
		lagging.mu.Unlock()
		n.Server.config.Directory = n.directory
		if a := n.do(t, accountA, method, target, body); a.Status >= 300 {
			t.Fatalf("%s %s: %v", method, target, a)
		}
		n.Server.config.Directory = lagging
	}
	elsewhere("PUT", "/voice-connector-groups/"+group, `{"Name":"demo","VoiceConnectorItems":`+items(connector)+`}`)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+connector, "").want(t, 409)
	elsewhere("PUT", "/voice-connector-groups/"+group, empty)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+connector, "").want(t, 204)
	elsewhere("PUT", "/voice-connector-groups/"+group, empty)
	n.do(t, accountA, "DELETE", "/voice-connector-groups/"+group, "").want(t, 204)
}

// TestDeleteGroupNeedsTheState: a snapshot that stays behind may miss a number that was associated meanwhile.
func TestDeleteGroupNeedsTheState(t *testing.T) {
	n := startNode(t)
	group := n.group(t, accountA)
	stale := n.directory.Snapshot()
	n.do(t, accountA, "PUT", "/voice-connector-groups/"+group, `{"Name":"demo","VoiceConnectorItems":[]}`).want(t, 202)
	n.Server.config.Directory = fixedDirectory{n.directory, stale}
	if a := n.do(t, accountA, "DELETE", "/voice-connector-groups/"+group, "").want(t, 503); a.errorType() != "ServiceUnavailableException" {
		t.Errorf("got %v", a)
	}
}

// TestGroupQuotas: the quota holds for creates at the same moment, a deleted group gives its place back, a retry takes
// none; the quota of members is judged apart.
func TestGroupQuotas(t *testing.T) {
	n := startNode(t)
	kept := n.group(t, accountA)
	quota := func(name string, value int) {
		t.Helper()
		n.do(t, operatorAccount, "PUT", "/carillon/v1/quotas/"+strings.ReplaceAll(name, " ", "%20"), fmt.Sprintf(`{"account":%q,"value":%d}`, accountA, value)).want(t, 200)
	}
	quota(trunk.QuotaGroups, 3)
	const target, body = "/voice-connector-groups", `{"Name":"demo"}`
	first := n.do(t, accountA, "POST", target, body, "amz-sdk-invocation-id", "one").want(t, 201).Body
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		made int
	)
	for range 8 {
		all.Go(func() {
			a := n.do(t, accountA, "POST", target, body)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.Status == http.StatusCreated:
				made++
			case a.errorType() != "ResourceLimitExceededException" || a.Status != 400:
				t.Errorf("over quota: %v", a)
			}
		})
	}
	all.Wait()
	if got := n.directory.Snapshot().CountGroups(accountA); made != 1 || got != 3 {
		t.Errorf("%d made at once, %d in all; want 1 and 3", made, got)
	}
	if again := n.do(t, accountA, "POST", target, body, "amz-sdk-invocation-id", "one").want(t, 201).Body; again != first {
		t.Errorf("the retry got %s, the first request %s", again, first)
	}
	n.do(t, accountA, "DELETE", target+"/"+kept, "").want(t, 204)
	last := n.group(t, accountA)
	n.do(t, accountA, "POST", target, body).want(t, 400)
	n.group(t, accountB)

	one, two := n.create(t, accountA, true), n.create(t, accountA, true)
	quota(trunk.QuotaGroupMembers, 1)
	n.do(t, accountA, "PUT", target+"/"+last, `{"Name":"demo","VoiceConnectorItems":`+items(one)+`}`).want(t, 202)
	a := n.do(t, accountA, "PUT", target+"/"+last, `{"Name":"demo","VoiceConnectorItems":`+items(one, two)+`}`).want(t, 400)
	if a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), "quota is 1") {
		t.Errorf("two members, update: %v", a)
	}
	quota(trunk.QuotaGroups, 9)
	a = n.do(t, accountA, "POST", target, `{"Name":"demo","VoiceConnectorItems":`+items(one, two)+`}`).want(t, 400)
	if a.errorType() != "ResourceLimitExceededException" || !strings.Contains(a.text(t, "Message"), "quota is 1") {
		t.Errorf("two members, create: %v", a)
	}
}
