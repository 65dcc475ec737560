package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/directory"
	"carillon/store/storetest"
	"carillon/trunk"
)

// TestSeedPage sends the sample request of the documentation of CreateVoiceConnector and holds the answer against the
// sample answer, except where that is wrong: no client understands a member "Voice Connector".
func TestSeedPage(t *testing.T) {
	n := startNode(t)
	a := n.do(t, accountA, "POST", "/voice-connectors", `{"Name": "newVoiceConnector", "AwsRegion": "us-west-2", "RequireEncryption": true}`,
		"Host", "service.chime.aws.amazon.com", "Accept-Encoding", "identity",
		"User-Agent", "aws-cli/1.16.170 Python/3.6.0 Windows/10 botocore/1.12.160").want(t, 201)
	id := a.text(t, "VoiceConnector", "VoiceConnectorId")
	if !regexp.MustCompile(`^[a-z0-9]{22}$`).MatchString(id) {
		t.Errorf("id is %q", id)
	}
	want := `{"VoiceConnector":{"AwsRegion":"us-west-2","CreatedTimestamp":"2026-01-01T00:00:00.000Z","Name":"newVoiceConnector",` +
		`"NetworkType":"IPV4_ONLY","OutboundHostName":"ID.voiceconnector.voice.test","RequireEncryption":true,` +
		`"UpdatedTimestamp":"2026-01-01T00:00:00.000Z","VoiceConnectorArn":"arn:aws:chime:us-west-2:111111111111:vc/ID","VoiceConnectorId":"ID"}}`
	if got := strings.ReplaceAll(a.Body, id, "ID"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := n.do(t, accountA, "GET", "/voice-connectors/"+id, "").want(t, 200).Body; got != a.Body {
		t.Errorf("Get answers %s", got)
	}
}

func TestCreateDefaultsAndMembers(t *testing.T) {
	n := startNode(t)
	a := n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"x","RequireEncryption":false}`).want(t, 201)
	if got := a.text(t, "VoiceConnector", "AwsRegion"); got != "us-east-1" {
		t.Errorf("region without AwsRegion is %q", got)
	}
	a = n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"x","RequireEncryption":true,"AwsRegion":"eu-central-1",`+
		`"IntegrationType":"CONNECT_ANALYTICS_CONNECTOR","Tags":[{"Key":"k","Value":""}],"NoSuchMember":{"a":[1]}}`, "Host", "voice-chime.eu-central-1.amazonaws.com").want(t, 201)
	id := a.text(t, "VoiceConnector", "VoiceConnectorId")
	if got, want := a.text(t, "VoiceConnector", "OutboundHostName"), id+".eu-central-1.vc.voice.test"; got != want {
		t.Errorf("host name is %q, want %q", got, want)
	}
	if got := a.text(t, "VoiceConnector", "IntegrationType"); got != "CONNECT_ANALYTICS_CONNECTOR" {
		t.Errorf("IntegrationType is %q", got)
	}
	c, _ := n.directory.Snapshot().Connector(id)
	if len(c.Tags) != 1 || c.Tags[0] != (trunk.Tag{Key: "k"}) {
		t.Errorf("tags are %v", c.Tags)
	}
	dual := `{"Name":"x","RequireEncryption":true,"NetworkType":"DUAL_STACK"}`
	if a := n.do(t, accountA, "POST", "/voice-connectors", dual).want(t, 400); !strings.Contains(a.Body, "IPv6") {
		t.Errorf("DUAL_STACK without IPv6: %s", a.Body)
	}
	six := startNode(t, func(c *Config) { c.DualStack = true })
	if got := six.do(t, accountA, "POST", "/voice-connectors", dual).want(t, 201).text(t, "VoiceConnector", "NetworkType"); got != "DUAL_STACK" {
		t.Errorf("NetworkType is %q", got)
	}
}

func TestUpdateAndDelete(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	n.clock.Advance(minute)
	a := n.do(t, accountA, "PUT", "/voice-connectors/"+id, `{"Name":"renamed","RequireEncryption":false}`).want(t, 200)
	if a.text(t, "VoiceConnector", "Name") != "renamed" || a.member(t, "VoiceConnector", "RequireEncryption") != false ||
		a.text(t, "VoiceConnector", "UpdatedTimestamp") != "2026-01-01T00:01:00.000Z" ||
		a.text(t, "VoiceConnector", "CreatedTimestamp") != "2026-01-01T00:00:00.000Z" {
		t.Errorf("Update answers %s", a.Body)
	}
	if a := n.do(t, accountA, "DELETE", "/voice-connectors/"+id, "").want(t, 204); a.Body != "" {
		t.Errorf("Delete answers %q", a.Body)
	}
	if a := n.do(t, accountA, "DELETE", "/voice-connectors/"+id, "").want(t, 404); a.errorType() != "NotFoundException" {
		t.Errorf("second Delete answers %v", a)
	}
}

func TestDeleteWithNumbers(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	number := &trunk.PhoneNumber{E164: "+12065550100", Account: accountA, ConnectorID: id}
	n.put(t, number)
	a := n.do(t, accountA, "DELETE", "/voice-connectors/"+id, "").want(t, 409)
	if a.errorType() != "ConflictException" || a.text(t, "Code") != "PhoneNumberAssociationsExist" {
		t.Errorf("got %v", a)
	}
	n.put(t, &trunk.PhoneNumber{E164: number.E164, Account: accountA})
	n.do(t, accountA, "DELETE", "/voice-connectors/"+id, "").want(t, 204)
}

// TestDeleteNeedsTheState: a snapshot that lags behind the store may miss a number that was associated meanwhile.
func TestDeleteNeedsTheState(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	stale := n.directory.Snapshot()
	n.do(t, operatorAccount, "POST", "/carillon/v1/numbers", fmt.Sprintf(`{"numbers":["+12065550100"],"connector_id":%q}`, id)).want(t, 200)
	n.Server.config.Directory = fixedDirectory{n.directory, stale}
	a := n.do(t, accountA, "DELETE", "/voice-connectors/"+id, "").want(t, 503)
	if a.errorType() != "ServiceUnavailableException" {
		t.Errorf("got %v", a)
	}
}

type fixedDirectory struct {
	*directory.Directory
	snapshot *directory.Snapshot
}

func (d fixedDirectory) Snapshot() *directory.Snapshot { return d.snapshot }

func TestListPages(t *testing.T) {
	n := startNode(t)
	if got := n.do(t, accountA, "GET", "/voice-connectors", "").want(t, 200).Body; got != `{"NextToken":null,"VoiceConnectors":[]}` {
		t.Errorf("empty list is %s", got)
	}
	want := map[string]bool{}
	for range 7 {
		want[n.create(t, accountA, true)] = true
		n.clock.Advance(time.Second)
	}
	n.create(t, accountB, true)
	got, token := map[string]bool{}, ""
	for page := 0; ; page++ {
		a := n.do(t, accountA, "GET", "/voice-connectors?next-token="+token+"&max-results=3", "").want(t, 200)
		if page == 0 {
			// Connectors made and deleted between two pages must not shift the rest.
			n.create(t, accountA, true)
			n.do(t, accountA, "DELETE", "/voice-connectors/"+ids(t, a)[0], "").want(t, 204)
		}
		for _, id := range ids(t, a) {
			if got[id] {
				t.Errorf("%s is on two pages", id)
			}
			got[id] = true
		}
		if a.member(t, "NextToken") == nil {
			break
		}
		token = a.text(t, "NextToken")
		if page > 5 {
			t.Fatal("no end")
		}
	}
	for id := range want {
		if !got[id] {
			t.Errorf("%s is on no page", id)
		}
	}
	first := n.do(t, accountA, "GET", "/voice-connectors?max-results=1", "").text(t, "NextToken")
	otherStart := map[bool]string{true: "B", false: "A"}[first[0] == 'A']
	for name, c := range map[string]struct{ account, token string }{
		"another account's": {accountB, first}, "cut": {accountA, first[:len(first)-1]}, "changed": {accountA, otherStart + first[1:]},
		"free text": {accountA, "tok%2F%2B%3D%201"}, "a plain cursor": {accountA, accountA}, "empty": {accountA, ""},
	} {
		a := n.do(t, c.account, "GET", "/voice-connectors?next-token="+c.token, "")
		if c.token == "" {
			a.want(t, 200)
			continue
		}
		if a.want(t, 400); a.errorType() != "BadRequestException" {
			t.Errorf("%s token: %v", name, a)
		}
	}
}

func ids(t *testing.T, a answer) []string {
	t.Helper()
	var list struct {
		VoiceConnectors []struct{ VoiceConnectorId string }
	}
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range list.VoiceConnectors {
		all = append(all, c.VoiceConnectorId)
	}
	return all
}

// TestRetriedCreate: a client that lost the answer sends the same request with the same invocation id.
func TestRetriedCreate(t *testing.T) {
	n := startNode(t)
	const body = `{"Name":"demo","RequireEncryption":true}`
	send := func(account, body, invocation string) string {
		t.Helper()
		a := n.do(t, account, "POST", "/voice-connectors", body, "amz-sdk-invocation-id", invocation, "amz-sdk-request", "attempt=1").want(t, 201)
		return a.text(t, "VoiceConnector", "VoiceConnectorId")
	}
	first := send(accountA, body, "one")
	if got := send(accountA, body, "one"); got != first {
		t.Error("the retry made another connector")
	}
	for name, got := range map[string]string{
		"other invocation": send(accountA, body, "two"),
		"other account":    send(accountB, body, "one"),
		"other body":       send(accountA, body+" ", "one"),
		"no invocation":    n.create(t, accountA, true),
	} {
		if got == first {
			t.Errorf("%s got the first result", name)
		}
	}
	n.clock.Advance(DefaultRetryMemory + 2*time.Second)
	if send(accountA, body, "one") == first {
		t.Error("the first result is remembered too long")
	}
	again := send(accountA, body, "three")
	n.do(t, accountA, "DELETE", "/voice-connectors/"+again, "").want(t, 204)
	before := n.revision(t)
	n.do(t, accountA, "POST", "/voice-connectors", body, "amz-sdk-invocation-id", "three").want(t, 400)
	if n.revision(t) != before {
		t.Error("a retry of a create whose connector is gone wrote something")
	}
}

func TestRetriesAtOnce(t *testing.T) {
	n := startNode(t)
	var (
		all sync.WaitGroup
		mu  sync.Mutex
		ids = map[string]bool{}
	)
	for range 8 {
		all.Go(func() {
			a := n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"demo","RequireEncryption":true}`, "amz-sdk-invocation-id", "one")
			mu.Lock()
			defer mu.Unlock()
			ids[a.text(t, "VoiceConnector", "VoiceConnectorId")] = true
		})
	}
	all.Wait()
	if len(ids) != 1 || n.directory.Snapshot().CountConnectors(accountA) != 1 {
		t.Errorf("%d ids, %d connectors", len(ids), n.directory.Snapshot().CountConnectors(accountA))
	}
}

// TestQuota: the quota holds for creates at the same moment, a deleted connector gives its place back, a retry takes
// none.
func TestQuota(t *testing.T) {
	n := startNode(t)
	kept := n.create(t, accountA, true)
	n.do(t, operatorAccount, "PUT", "/carillon/v1/quotas/Voice%20Connectors%20per%20account", `{"account":"`+accountA+`","value":3}`).want(t, 200)
	const body = `{"Name":"demo","RequireEncryption":true}`
	n.do(t, accountA, "POST", "/voice-connectors", body, "amz-sdk-invocation-id", "one").want(t, 201)
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		made int
	)
	for range 8 {
		all.Go(func() {
			a := n.do(t, accountA, "POST", "/voice-connectors", body)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case a.Status == http.StatusCreated:
				made++
			case a.errorType() != "ResourceLimitExceededException" || a.text(t, "Code") != "ResourceLimitExceeded" || a.Status != 400:
				t.Errorf("over quota: %v", a)
			}
		})
	}
	all.Wait()
	if made != 1 || n.directory.Snapshot().CountConnectors(accountA) != 3 {
		t.Errorf("%d made at once, %d in all; want 1 and 3", made, n.directory.Snapshot().CountConnectors(accountA))
	}
	n.do(t, accountA, "POST", "/voice-connectors", body, "amz-sdk-invocation-id", "one").want(t, 201)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+kept, "").want(t, 204)
	n.create(t, accountA, true)
	n.do(t, accountA, "POST", "/voice-connectors", body).want(t, 400)
	n.create(t, accountB, true)
}

// TestQuotaCountsWhatWasThere: under a quota younger than the connectors, a delete that comes before any create starts
// the count too.
func TestQuotaCountsWhatWasThere(t *testing.T) {
	n := startNode(t)
	first := n.create(t, accountA, true)
	n.create(t, accountA, true)
	n.put(t, &trunk.Quota{Name: trunk.QuotaConnectors, Value: 2})
	n.do(t, accountA, "DELETE", "/voice-connectors/"+first, "").want(t, 204)
	n.create(t, accountA, true)
	a := n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 400)
	if want := "The account has 2 Voice Connectors; its quota is 2."; a.text(t, "Message") != want {
		t.Errorf("got %s", a.Body)
	}
}

// laggingDirectory shows an old snapshot until somebody waits for a newer revision.
type laggingDirectory struct {
	*directory.Directory
	mu  sync.Mutex
	old *directory.Snapshot
}

func (d *laggingDirectory) Snapshot() *directory.Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.old != nil {
		return d.old
	}
	return d.Directory.Snapshot()
}

func (d *laggingDirectory) Await(ctx context.Context, revision int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.old != nil && revision > d.old.Revision() {
		d.old = nil
	}
	return d.Directory.Await(ctx, revision)
}

// TestReadAfterWriteElsewhere: what another node has answered is found here too, although this node has not heard of it.
func TestReadAfterWriteElsewhere(t *testing.T) {
	n := startNode(t)
	lagging := &laggingDirectory{Directory: n.directory, old: n.directory.Snapshot()}
	id := n.create(t, accountA, true)
	n.Server.config.Directory = lagging
	n.do(t, accountA, "GET", "/voice-connectors/"+id, "").want(t, 200)
	lagging.mu.Lock()
	lagging.old = n.directory.Snapshot()
	lagging.mu.Unlock()
	n.put(t, &trunk.Health{ConnectorID: "other", Source: netip.MustParseAddr("203.0.113.9")})
	n.do(t, accountA, "GET", "/voice-connectors/"+id+"/termination", "").want(t, 404)
	n.do(t, accountA, "GET", "/voice-connectors/zzzzzzzzzzzzzzzzzzzzzz", "").want(t, 404)
}

// TestQuotaSetWhileCreatesRun: creates and deletes that began before the quota was set, here on a node that has not heard
// of it, are counted all the same.
func TestQuotaSetWhileCreatesRun(t *testing.T) {
	n := startNode(t)
	first, second := n.create(t, accountA, true), n.create(t, accountA, true)
	lagging := &laggingDirectory{Directory: n.directory}
	n.Server.config.Directory = lagging
	usage := (&trunk.Usage{Account: accountA, Name: trunk.QuotaConnectors}).EntityKey()
	for _, c := range []struct {
		method, path, body string
		status, left       int
	}{
		{"POST", "/voice-connectors", create, 201, 3},
		{"DELETE", "/voice-connectors/" + first, "", 204, 2},
		{"DELETE", "/voice-connectors/" + second, "", 204, 1},
	} {
		for _, account := range []string{"", accountA} {
			n.remove(t, (&trunk.Quota{Account: account, Name: trunk.QuotaConnectors}).EntityKey())
		}
		n.remove(t, usage)
		lagging.mu.Lock()
		lagging.old = n.directory.Snapshot()
		lagging.mu.Unlock()
		n.put(t, &trunk.Quota{Name: trunk.QuotaConnectors, Value: 0})
		n.put(t, &trunk.Quota{Account: accountA, Name: trunk.QuotaConnectors, Value: 5})
		n.do(t, accountA, c.method, c.path, c.body).want(t, c.status)
		if got, ok := storetest.Get(t, n.store, usage).(*trunk.Usage); !ok || got.Count != c.left {
			t.Errorf("after %s: the count is %+v, want %d", c.method, got, c.left)
		}
	}
}
