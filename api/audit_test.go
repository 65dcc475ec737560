package api

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/audit"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

// entries returns the audit log as the operator reads it, the newest first.
func (n *node) entries(t *testing.T, query string) []v1.AuditEntry {
	t.Helper()
	a := n.do(t, operatorAccount, "GET", v1.Audit+"?max-results=1000&"+query, "").want(t, 200)
	return decode[v1.AuditList](t, a).Entries
}

// write is a request that may write.
type write struct {
	name, account, method, target, body string
}

// ownWrites has a request for each of Carillon's own operations that write, in an order in which they succeed.
func ownWrites(connector, key string) []write {
	settings := v1.Connectors + "/" + connector + "/settings"
	return []write{
		{"PutCarrier", operatorAccount, "PUT", v1.Carriers + "/north", `{"targets":["sip:a.example"],"user":"u","password":"geheim-carrier"}`},
		{"PutCarrier", operatorAccount, "PUT", v1.Carriers + "/north", `{"targets":["sip:a.example"],"user":"u","password":"geheim-other"}`},
		{"DeleteCarrier", operatorAccount, "DELETE", v1.Carriers + "/north", ""},
		{"ImportNumbers", operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100","+12065550101"]}`},
		{"ImportNumbers", operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"],"connector_id":"` + connector + `"}`},
		{"ReleaseNumbers", operatorAccount, "POST", v1.Numbers + "?operation=release", `{"numbers":["+12065550100"]}`},
		{"CreateKey", operatorAccount, "POST", v1.Keys, `{"account":"` + accountA + `","name":"ci","expires_seconds":3600}`},
		{"DisableKey", operatorAccount, "POST", v1.Keys + "/" + key + "?operation=disable", ""},
		{"EnableKey", operatorAccount, "POST", v1.Keys + "/" + key + "?operation=enable", ""},
		{"RotateKey", operatorAccount, "POST", v1.Keys + "/" + key + "?operation=rotate", `{"grace_seconds":60}`},
		{"DeleteKey", operatorAccount, "DELETE", v1.Keys + "/" + key, ""},
		{"PutConnectorSettings", operatorAccount, "PUT", settings, `{"digest":["sha-256"],"plain_emergency":true}`},
		{"PutQuota", operatorAccount, "PUT", v1.Quotas + "/" + url.PathEscape(trunk.QuotaConnectors), `{"account":"` + accountA + `","value":5}`},
		{"PutQuota", operatorAccount, "PUT", v1.Quotas + "/" + url.PathEscape(trunk.QuotaConnectors), `{"account":"` + accountA + `","value":6}`},
		{"DeleteQuota", operatorAccount, "DELETE", v1.Quotas + "/" + url.PathEscape(trunk.QuotaConnectors) + "?account=" + accountA, ""},
	}
}

// silentWrites are operations that are sent with another method than GET and change nothing.
var silentWrites = []string{"GetCallerIdentity", "Rehearse", "ValidateE911Address"}

// TestEveryWriteLeavesAnEntry: each operation that changes something leaves one entry that says who, from where and
// what; the file holds what the entries say. An operation that changes nothing leaves none.
func TestEveryWriteLeavesAnEntry(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	spare := n.key(t, accountB, func(*iam.AccessKey) {}).AccessKeyID
	var all []write
	everyOffered(t, s, func(op *wire.Operation, r offeredRequest) {
		all = append(all, write{op.Name, accountA, r.method, r.target, r.body})
	})
	fresh := n.create(t, accountA, true)
	all = append(all, ownWrites(fresh, spare)...)
	tried := map[string]bool{}
	var got bytes.Buffer
	for _, w := range all {
		tried[w.name] = true
		n.clock.Advance(time.Millisecond) // entries are in the order of time
		before, known := n.revision(t), len(n.entries(t, ""))
		a := n.do(t, w.account, w.method, w.target, w.body, "User-Agent", "test/1")
		if a.Status >= 300 {
			t.Errorf("%s: %v", w.name, a)
			continue
		}
		wrote := n.revision(t) != before
		if wrote == (w.method == http.MethodGet || slices.Contains(silentWrites, w.name)) {
			t.Errorf("%s: %s, and something was written is %v", w.name, w.method, wrote)
		}
		entries := n.entries(t, "")
		if now := len(entries) - known; wrote != (now == 1) || now > 1 {
			t.Errorf("%s leaves %d entries, and something was written is %v", w.name, now, wrote)
			continue
		}
		if wrote {
			checkEntry(t, n, w, a, entries[0])
			tell(&got, entries[0])
		}
	}
	for _, op := range Operations() {
		if op.Offered && op.Method != http.MethodGet && !slices.Contains(silentWrites, op.Name) && !tried[op.Name] {
			t.Errorf("%s is not tried here", op.Name)
		}
	}
	golden(t, "testdata/audit.golden", hideIDs(got.String()))
}

// checkEntry holds an entry against the request that left it.
func checkEntry(t *testing.T, n *node, w write, a answer, e v1.AuditEntry) {
	t.Helper()
	key := n.keys[w.account].AccessKeyID
	if e.RequestID != a.Header.Get("x-amzn-RequestId") || e.Operation != w.name || !strings.HasSuffix(e.Action, ":"+w.name) || !e.Time.Equal(n.clock.Now()) ||
		e.AccountID != w.account || e.AccessKeyID != key || !strings.Contains(e.Principal, w.account) || e.Operator != (w.account == operatorAccount) ||
		e.Source.String() != "192.0.2.1:1234" || e.UserAgent != "test/1" || !strings.HasPrefix(e.Resource, "arn:aws:") {
		t.Errorf("%s left %+v", w.name, e)
	}
}

// tell writes what an entry says.
func tell(b *bytes.Buffer, e v1.AuditEntry) {
	fmt.Fprintf(b, "# %s on %s\n", e.Action, e.Resource)
	for _, c := range e.Changes {
		fmt.Fprintln(b, strings.TrimSpace(fmt.Sprintln(c.Kind, c.ID, c.AccountID, c.ARN)))
		for _, side := range []struct{ sign, text string }{{"-", string(c.Before)}, {"+", string(c.After)}} {
			if side.text != "" {
				fmt.Fprintf(b, "  %s %s\n", side.sign, side.text)
			}
		}
	}
	b.WriteByte('\n')
}

// hideIDs replaces what is drawn at random.
func hideIDs(text string) string {
	for _, form := range [][2]string{
		{`\b[a-z0-9]{22}\b`, "ID"}, {`\b(AKIA|ASIA)[A-Z0-9]{16}\b`, "KEY"},
		{`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`, "UUID"},
		{`\b2026-\d\d-\d\dT[0-9:.]+Z`, "TIME"},
	} {
		text = regexp.MustCompile(form[0]).ReplaceAllString(text, form[1])
	}
	return text
}

// golden holds text against a file.
func golden(t *testing.T, file, text string) {
	t.Helper()
	if *updateGolden {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got, wanted := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	for i := range max(len(got), len(wanted)) {
		if i >= len(got) || i >= len(wanted) || got[i] != wanted[i] {
			t.Fatalf("%s differs from line %d on: got\n%s\nwant\n%s\nIf it is right, write the file with `go test ./api -run %s -update`.", file, i+1,
				strings.Join(got[min(i, len(got)):min(i+4, len(got))], "\n"), strings.Join(wanted[min(i, len(wanted)):min(i+4, len(wanted))], "\n"), t.Name())
		}
	}
}

// TestAuditHoldsNoSecret looks for every secret that went through the API in all that the audit log has stored.
func TestAuditHoldsNoSecret(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	secrets := []string{"geheim-digest", "geheim-carrier", "geheim-other"}
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/termination", usTermination).want(t, 200)
	for _, password := range []string{"geheim-digest", "geheim-digest-2"} {
		body := `{"Credentials":[{"Username":"alice","Password":"` + password + `"}]}`
		n.do(t, accountA, "POST", "/voice-connectors/"+id+"/termination/credentials?operation=put", body).want(t, 204)
		c, _ := n.directory.Snapshot().Connector(id)
		secrets = append(secrets, c.Credentials[0].MD5.Reveal(), c.Credentials[0].SHA256.Reveal())
	}
	for _, w := range ownWrites(id, n.key(t, accountB, func(*iam.AccessKey) {}).AccessKeyID) {
		a := n.do(t, w.account, w.method, w.target, w.body)
		if w.name == "CreateKey" || w.name == "RotateKey" {
			made := decode[v1.Credentials](t, a)
			secrets = append(secrets, made.SecretAccessKey)
			if made.SessionToken != "" {
				secrets = append(secrets, made.SessionToken)
			}
		}
	}
	stored, _, err := n.store.Audit(t.Context(), audit.Filter{}, 1000, "")
	if err != nil || len(stored) < 10 {
		t.Fatalf("%d entries are stored, %v", len(stored), err)
	}
	for _, e := range stored {
		for _, secret := range secrets {
			if text := fmt.Sprintf("%+v", *e); secret == "" || strings.Contains(text, secret) {
				t.Errorf("an entry holds %q: %s", secret, text)
			}
		}
	}
}

// TestAuditIsTheAccountsOwn: an account sees what its keys did and what was done to what it holds, if its policy lets
// it; an operator sees all.
func TestAuditIsTheAccountsOwn(t *testing.T) {
	n := startNode(t)
	mine := n.create(t, accountA, true)
	n.create(t, accountB, true)
	n.do(t, operatorAccount, "PUT", v1.Connectors+"/"+mine+"/settings", `{"digest":["md5"]}`).want(t, 200)
	n.do(t, operatorAccount, "PUT", v1.Carriers+"/north", `{"targets":["sip:a.example"]}`).want(t, 200)
	n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"],"account":"`+accountB+`"}`).want(t, 200)
	n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"],"account":"`+accountA+`"}`).want(t, 200)

	n.do(t, accountA, "GET", v1.Audit, "").want(t, 403)
	reader := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"carillon:ListAudit","Resource":"arn:aws:carillon::` + accountA + `:audit"}}`
	})
	n.as(t, reader, "GET", v1.Audit+"?account="+accountB, "").want(t, 403)
	a := n.as(t, reader, "GET", v1.Audit+"?account="+accountA, "").want(t, 200)
	var operations []string
	for _, e := range decode[v1.AuditList](t, a).Entries {
		operations = append(operations, e.Operation)
		if by := e.AccountID != ""; by != (e.Operation == "CreateVoiceConnector") || by == e.Operator {
			t.Errorf("%s is shown as done by %q, operator %v", e.Operation, e.AccountID, e.Operator)
		}
	}
	if want := []string{"ImportNumbers", "PutConnectorSettings", "CreateVoiceConnector"}; !slices.Equal(slices.Sorted(slices.Values(operations)), slices.Sorted(slices.Values(want))) {
		t.Errorf("account A sees %v, want %v", operations, want)
	}
	for _, hidden := range []string{accountB, n.keys[operatorAccount].AccessKeyID, "north"} {
		if strings.Contains(a.Body, hidden) {
			t.Errorf("account A sees %s: %s", hidden, a.Body)
		}
	}
	if got := len(n.entries(t, "")); got != 6 {
		t.Errorf("an operator sees %d entries, want 6", got)
	}
	if got := len(n.entries(t, "account="+accountB)); got != 3 {
		t.Errorf("%d entries are about account B, want its create and two imports", got)
	}
}

func TestAuditPages(t *testing.T) {
	n := startNode(t)
	var made []string
	start := n.clock.Now()
	for range 5 {
		made = append(made, n.create(t, accountA, true))
		n.clock.Advance(minute)
	}
	slices.Reverse(made)
	for query, want := range map[string][]string{
		"": made, "operation=CreateVoiceConnector": made, "operation=chime:CreateVoiceConnector": made, "operation=DeleteVoiceConnector": nil,
		"resource=" + made[1]: made[1:2], "since=" + start.Add(3*minute).Format("2006-01-02T15:04:05Z"): made[:2],
		"until=" + start.Add(minute).Format("2006-01-02T15:04:05Z"): made[3:], "account=" + accountA: made, "account=" + accountB: nil,
	} {
		var got []string
		for target := v1.Audit + "?max-results=2&" + query; target != ""; {
			a := n.do(t, operatorAccount, "GET", target, "").want(t, 200)
			page := decode[v1.AuditList](t, a)
			for _, e := range page.Entries {
				got = append(got, e.Changes[0].ID)
			}
			if target = ""; page.NextToken != nil {
				target = v1.Audit + "?max-results=2&" + query + "&next-token=" + *page.NextToken
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", query, got, want)
		}
	}
	for _, query := range []string{"since=yesterday", "until=1", "next-token=x", "max-results=0", "account=1"} {
		if a := n.do(t, operatorAccount, "GET", v1.Audit+"?"+query, ""); a.Status != 400 {
			t.Errorf("%s: %v", query, a)
		}
	}
}

// TestAuditTokensTellNothing: the cursor behind a page may be another account's entry, and names it.
func TestAuditTokensTellNothing(t *testing.T) {
	n := startNode(t)
	n.create(t, accountB, true)
	n.clock.Advance(minute)
	n.create(t, accountA, true)
	n.clock.Advance(minute)
	n.create(t, accountA, true)
	reader := n.key(t, accountA, func(k *iam.AccessKey) { k.Policy = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}` })
	for _, target := range []string{v1.Audit + "?max-results=1", "/voice-connectors?max-results=1"} {
		a := n.as(t, reader, "GET", target, "").want(t, 200)
		token := cmp.Or(a.text(t, "next_token"), a.text(t, "NextToken"))
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) == 0 {
			t.Fatalf("%s: the token is %q", target, token)
		}
		cursor := n.entries(t, "account="+accountA)[0].ID
		for _, told := range []string{accountA, accountB, operatorAccount, cursor[:8]} {
			if bytes.Contains(raw, []byte(told)) {
				t.Errorf("%s: the token says %s: %q", target, told, raw)
			}
		}
		for i := range raw {
			raw[i] ^= 1
			bad := base64.RawURLEncoding.EncodeToString(raw)
			n.as(t, reader, "GET", strings.Replace(target, "?", "?next-token="+bad+"&", 1), "").want(t, 400)
			raw[i] ^= 1
		}
	}
}

// TestAuditTime: an entry has the time of its write. A request whose body takes its time must not slip in behind what an
// auditor has read already.
func TestAuditTime(t *testing.T) {
	n := startNode(t)
	h := newRequest("POST", "/voice-connectors", create)
	sigv4.Sign(h, []byte(create), n.keys[accountA], sigv4.Scope{Region: "eu-west-1", Service: "chime"}, n.clock.Now())
	body := h.Body
	var read time.Time
	h.Body = struct {
		io.Reader
		io.Closer
	}{readerFunc(func(b []byte) (int, error) {
		if read.IsZero() {
			n.clock.Advance(6 * time.Second)
			n.create(t, accountB, true)
			read = n.entries(t, "")[0].Time
			n.clock.Advance(time.Second)
		}
		return body.Read(b)
	}), body}
	n.send(t, h).want(t, 201)
	if got := n.entries(t, "account="+accountA); !got[0].Time.Equal(n.clock.Now()) {
		t.Errorf("the entry of a slow request is of %v, and the write was made at %v", got[0].Time, n.clock.Now())
	}
	if got := n.entries(t, "since="+read.Add(time.Millisecond).Format(time.RFC3339Nano)); len(got) != 1 || got[0].AccountID != accountA {
		t.Errorf("who reads on from %v gets %+v", read, got)
	}
}

// readerFunc is a reader that is a function.
type readerFunc func([]byte) (int, error)

// Read implements io.Reader.
func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestOnlyWhatHappenedIsAudited: refused writes and answered retries leave no entry, and a refused permission to write
// is in the log of the node.
func TestOnlyWhatHappenedIsAudited(t *testing.T) {
	var log bytes.Buffer
	n := startNode(t, func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	retry := []string{"Amz-Sdk-Invocation-Id", "one"}
	for range 2 {
		n.do(t, accountA, "POST", "/voice-connectors", create, retry...).want(t, 201)
	}
	n.do(t, accountA, "POST", "/voice-connectors", `{"Name":""}`).want(t, 400)
	n.do(t, accountA, "DELETE", "/voice-connectors/"+never().connector, "").want(t, 404)
	reader := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:List*","Resource":"*"}}`
	})
	n.as(t, reader, "POST", "/voice-connectors", create).want(t, 403)
	if got := n.entries(t, ""); len(got) != 1 || got[0].Operation != "CreateVoiceConnector" {
		t.Errorf("the log has %+v, want the one create", got)
	}
	if want := "outcome=AccessDeniedException"; strings.Count(log.String(), want) != 1 || !strings.Contains(log.String(), reader.AccessKeyID) {
		t.Errorf("the node's log lacks %s of key %s:\n%s", want, reader.AccessKeyID, log.String())
	}
}

// TestManyChanges: an entry has every entity that its transaction wrote, whether they are few or many, each once.
func TestManyChanges(t *testing.T) {
	n := startNode(t)
	for _, count := range []int{1, scanned, scanned + 1, 3 * scanned} {
		for _, account := range []string{accountA, accountB} { // first some are new, then all change
			var numbers []string
			for i := range count {
				numbers = append(numbers, fmt.Sprintf("+1206555%04d", i))
			}
			n.clock.Advance(minute)
			n.do(t, operatorAccount, "POST", v1.Numbers, `{"account":"`+account+`","numbers":["`+strings.Join(numbers, `","`)+`"]}`).want(t, 200)
			var got []string
			for _, c := range n.entries(t, "")[0].Changes {
				got = append(got, c.ID)
			}
			if slices.Sort(got); !slices.Equal(got, numbers) {
				t.Errorf("of %d numbers the entry has %v", count, got)
			}
		}
	}
}
