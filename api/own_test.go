package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	v1 "carillon/api/v1"
	"carillon/api/wire"
	"carillon/call"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	d := json.NewDecoder(strings.NewReader(a.Body))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	return v
}

func TestCarriers(t *testing.T) {
	n := startNode(t)
	if got := n.do(t, operatorAccount, "GET", v1.Carriers, "").want(t, 200).Body; got != `{"carriers":[]}` {
		t.Errorf("empty list: %s", got)
	}
	body := `{"targets":["sip:203.0.113.9:5061;transport=tls","sips:b.example"],"prefixes":["+1"],"srtp":"require",` +
		`"sources":["198.51.100.0/24","2001:db8::1"],"probe_seconds":30,"user":"u","password":"geheim"}`
	got := decode[v1.Carrier](t, n.do(t, operatorAccount, "PUT", v1.Carriers+"/one", body).want(t, 200))
	if got.Name != "one" || got.Password != "" || got.SRTP != "require" || got.ProbeSeconds != 30 ||
		!slices.Equal(got.Targets, []string{"sip:203.0.113.9:5061;transport=tls", "sip:b.example;transport=tls"}) ||
		!slices.Equal(got.Sources, []string{"198.51.100.0/24", "2001:db8::1/128"}) {
		t.Errorf("got %+v", got)
	}
	c, _ := n.directory.Snapshot().Carrier("one")
	if c.Password.Reveal() != "geheim" {
		t.Error("the password was not kept")
	}
	n.do(t, operatorAccount, "PUT", v1.Carriers+"/one", `{"targets":["sip:c.example"],"user":"u"}`).want(t, 200)
	if c, _ = n.directory.Snapshot().Carrier("one"); c.Password.Reveal() != "geheim" || len(c.Targets) != 1 {
		t.Errorf("a put without password: %v", c)
	}
	n.do(t, operatorAccount, "PUT", v1.Carriers+"/one", `{"targets":["sip:c.example"],"user":"other"}`).want(t, 400)
	list := n.do(t, operatorAccount, "GET", v1.Carriers, "").want(t, 200)
	if strings.Contains(list.Body, "geheim") || len(decode[v1.CarrierList](t, list).Carriers) != 1 {
		t.Errorf("list: %s", list.Body)
	}
	n.do(t, operatorAccount, "DELETE", v1.Carriers+"/one", "").want(t, 204)
	n.do(t, operatorAccount, "DELETE", v1.Carriers+"/one", "").want(t, 404)
	n.put(t, &trunk.Carrier{Name: "lab", Lab: true, Targets: []trunk.Target{{Host: "lab.invalid", Transport: trunk.UDP}}})
	before := n.revision(t)
	for _, c := range []struct{ name, method, path, body, says string }{
		{"lab", "PUT", "/lab", `{"targets":["sip:a.example"]}`, "lab"},
		{"lab", "DELETE", "/lab", ``, "lab"},
		{"claims to be the lab", "PUT", "/two", `{"targets":["sip:a.example"],"lab":true}`, "lab"},
		{"no target", "PUT", "/two", `{}`, "targets"},
		{"bad target", "PUT", "/two", `{"targets":["sip:a b"]}`, "a b"},
		{"keys in the clear", "PUT", "/two", `{"targets":["sip:a.example;transport=udp"],"srtp":"require"}`, "TLS"},
		{"bad srtp", "PUT", "/two", `{"targets":["sip:a.example"],"srtp":"yes"}`, "srtp"},
		{"bad prefix", "PUT", "/two", `{"targets":["sip:a.example"],"prefixes":["1"]}`, "Prefix"},
		{"everybody", "PUT", "/two", `{"targets":["sip:a.example"],"sources":["0.0.0.0/0"]}`, "Source"},
		{"host bits", "PUT", "/two", `{"targets":["sip:a.example"],"sources":["10.0.0.1/8"]}`, "Source"},
		{"probe", "PUT", "/two", `{"targets":["sip:a.example"],"probe_seconds":-1}`, "probe"},
		{"other name", "PUT", "/two", `{"name":"three","targets":["sip:a.example"]}`, "name"},
		{"bad name", "PUT", "/a%2Fb", `{"targets":["sip:a.example"]}`, "name"},
		{"user alone", "PUT", "/two", `{"targets":["sip:a.example"],"user":"u"}`, "password"},
		{"unknown member", "PUT", "/two", `{"target":"sip:a.example"}`, "target"},
		{"password of another type", "PUT", "/two", `{"password":12345}`, "password"},
		{"no JSON", "PUT", "/two", `{`, "JSON"},
		{"two values", "PUT", "/two", `{} {}`, "end"},
	} {
		a := n.do(t, operatorAccount, c.method, v1.Carriers+c.path, c.body)
		if a.Status != 400 && a.Status != 403 || !strings.Contains(a.text(t, "Message"), c.says) || strings.Contains(a.Body, "12345") {
			t.Errorf("%s: got %d %s, want a refusal with %q", c.name, a.Status, a.Body, c.says)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

func TestNumbers(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	imported := func(body string) v1.NumberList {
		t.Helper()
		return decode[v1.NumberList](t, n.do(t, operatorAccount, "POST", v1.Numbers, body).want(t, 200))
	}
	if got := imported(`{"numbers":["+12065550100","+12065550101","+12065550101"]}`); len(got.Numbers) != 2 || got.Numbers[0].Account != "" {
		t.Errorf("pool: %+v", got)
	}
	imported(`{"numbers":["+12065550101"],"account":"` + accountB + `"}`)
	if got := imported(`{"numbers":["+12065550100","+12065550102"],"connector_id":"` + id + `"}`); got.Numbers[0].Account != accountA || got.Numbers[1].ConnectorID != id {
		t.Errorf("connector: %+v", got)
	}
	// Importing once more into the pool takes nothing away from anybody.
	if got := imported(`{"numbers":["+12065550100"]}`); got.Numbers[0].ConnectorID != id {
		t.Errorf("import again: %+v", got)
	}
	if !n.directory.Snapshot().OwnsNumber(accountB, "+12065550101") {
		t.Error("the account does not own its number")
	}
	for _, c := range []struct{ query, want string }{
		{"", "100 101 102"}, {"?account=" + accountA, "100 102"}, {"?connector=" + id, "100 102"}, {"?max-results=1", "100"},
	} {
		a := n.do(t, operatorAccount, "GET", v1.Numbers+c.query, "").want(t, 200)
		var got []string
		for _, n := range decode[v1.NumberList](t, a).Numbers {
			got = append(got, strings.TrimPrefix(n.Number, "+12065550"))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("list%s: got %v, want %s", c.query, got, c.want)
		}
	}
	first := decode[v1.NumberList](t, n.do(t, operatorAccount, "GET", v1.Numbers+"?max-results=2", ""))
	rest := decode[v1.NumberList](t, n.do(t, operatorAccount, "GET", v1.Numbers+"?max-results=2&next-token="+*first.NextToken, "").want(t, 200))
	if len(rest.Numbers) != 1 || rest.NextToken != nil {
		t.Errorf("second page: %+v", rest)
	}
	before := n.revision(t)
	for _, body := range []string{
		`{}`, `{"numbers":[]}`, `{"numbers":["12065550100"]}`, `{"numbers":["+1 206"]}`, `{"numbers":["+12065550100"],"account":"1"}`,
		`{"numbers":["` + strings.Repeat(`+12065550100","`, v1.MaxImport) + `+1"]}`,
	} {
		n.do(t, operatorAccount, "POST", v1.Numbers, body).want(t, 400)
	}
	n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"],"connector_id":"nobody"}`).want(t, 404)
	n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"],"connector_id":"`+id+`","account":"`+accountB+`"}`).want(t, 404)
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestRotateKey: the new key may do what the old one may; the old one ends at once, or works for the time of grace.
func TestRotateKey(t *testing.T) {
	n := startNode(t)
	const policy = `{"Statement":{"Effect":"Allow","Action":"chime:List*","Resource":"*"}}`
	old := n.key(t, accountA, func(k *iam.AccessKey) { k.Name, k.Policy = "ci", policy })
	rotate := func(signer sigv4.Credentials, id, body string) answer {
		return n.as(t, signer, "POST", v1.Keys+"/"+id+"?operation=rotate", body)
	}
	operator := n.keys[operatorAccount]
	signed := func(a answer) sigv4.Credentials {
		t.Helper()
		c := decode[v1.Credentials](t, a.want(t, 201))
		if c.SessionToken != "" || c.Expires != nil || !strings.HasPrefix(c.AccessKeyID, "AKIA") {
			t.Errorf("got %+v", c)
		}
		return sigv4.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey}
	}
	list := func(key sigv4.Credentials) int { return n.as(t, key, "GET", "/voice-connectors", "").Status }

	second := signed(rotate(operator, old.AccessKeyID, ""))
	if got := [2]int{list(old), list(second)}; got != [2]int{403, 200} {
		t.Errorf("without grace the old key and the new one get %v", got)
	}
	k, _ := n.directory.Snapshot().AccessKey(second.AccessKeyID)
	if k.Name != "ci" || k.Policy != policy || k.Account != accountA || k.Operator || !k.Created.Equal(n.clock.Now()) {
		t.Errorf("the new key is %+v", k)
	}
	if second.AccessKeyID == old.AccessKeyID || second.SecretAccessKey == old.SecretAccessKey {
		t.Error("the new key is the old one")
	}
	third := signed(rotate(operator, second.AccessKeyID, `{"grace_seconds":60}`))
	if got := [2]int{list(second), list(third)}; got != [2]int{200, 200} {
		t.Errorf("within the time of grace: %v", got)
	}
	for _, body := range []string{`{"grace_seconds":3600}`, ""} { // each heir would go on without end
		if a := rotate(operator, second.AccessKeyID, body).want(t, 409); !strings.Contains(a.Body, "2026-01-01T00:01:00Z") {
			t.Errorf("got %s", a.Body)
		}
	}
	n.clock.Advance(minute)
	if got := [2]int{list(second), list(third)}; got != [2]int{403, 200} {
		t.Errorf("after it: %v", got)
	}

	// The key that signs goes on with its owner knowing the next one, or not at all.
	before := n.revision(t)
	rotate(operator, operator.AccessKeyID, "").want(t, 409)
	rotate(operator, "AKIANOBODYNOBODYNOBO", "").want(t, 404)
	rotate(operator, old.AccessKeyID, "").want(t, 409)    // disabled
	rotate(operator, second.AccessKeyID, "").want(t, 409) // expired
	rotate(third, third.AccessKeyID, `{"grace_seconds":60}`).want(t, 403)
	for _, body := range []string{`{"grace_seconds":-1}`, `{"grace_seconds":99999999999}`, `{"grace":1}`} {
		rotate(operator, third.AccessKeyID, body).want(t, 400)
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
	temporary := n.key(t, accountA, func(k *iam.AccessKey) {
		k.SessionToken, k.Expires = trunk.NewSecret("t"), n.clock.Now().Add(minute)
	})
	rotate(operator, temporary.AccessKeyID, "").want(t, 409)
	next := signed(rotate(operator, operator.AccessKeyID, `{"grace_seconds":60}`))
	n.as(t, next, "GET", v1.Carriers, "").want(t, 200)
	n.clock.Advance(minute)
	n.as(t, operator, "GET", v1.Carriers, "").want(t, 403)
	n.as(t, next, "POST", v1.Keys+"/"+old.AccessKeyID+"?operation=enable", "").want(t, 204)
	if list(old) != 200 {
		t.Error("a key that was enabled again does not work")
	}
}

func TestKeys(t *testing.T) {
	n := startNode(t)
	made := decode[v1.Credentials](t, n.do(t, operatorAccount, "POST", v1.Keys, `{"account":"333333333333","name":"ci"}`).want(t, 201))
	key := sigv4.Credentials{AccessKeyID: made.AccessKeyID, SecretAccessKey: made.SecretAccessKey}
	n.as(t, key, "POST", "/voice-connectors", create).want(t, 201)
	n.as(t, key, "GET", v1.Carriers, "").want(t, 403)
	list := n.do(t, operatorAccount, "GET", v1.Keys+"?account=333333333333", "").want(t, 200)
	if keys := decode[v1.KeyList](t, list).Keys; len(keys) != 1 || keys[0].Name != "ci" || strings.Contains(list.Body, made.SecretAccessKey) {
		t.Errorf("list: %s", list.Body)
	}
	n.do(t, operatorAccount, "POST", v1.Keys+"/"+made.AccessKeyID+"?operation=disable", "").want(t, 204)
	n.as(t, key, "GET", "/voice-connectors", "").want(t, 403)
	n.do(t, operatorAccount, "DELETE", v1.Keys+"/"+made.AccessKeyID, "").want(t, 204)
	n.do(t, operatorAccount, "DELETE", v1.Keys+"/"+made.AccessKeyID, "").want(t, 404)

	temporary := decode[v1.Credentials](t, n.do(t, operatorAccount, "POST", v1.Keys, `{"expires_seconds":60,"operator":true}`).want(t, 201))
	key = sigv4.Credentials{AccessKeyID: temporary.AccessKeyID, SecretAccessKey: temporary.SecretAccessKey, SessionToken: temporary.SessionToken}
	if temporary.AccountID != operatorAccount || !strings.HasPrefix(temporary.AccessKeyID, "ASIA") || temporary.SessionToken == "" {
		t.Errorf("got %+v", temporary)
	}
	n.as(t, key, "GET", v1.Carriers, "").want(t, 200)
	n.clock.Advance(minute)
	if a := n.as(t, key, "GET", v1.Carriers, "").want(t, 403); a.errorType() != "ExpiredTokenException" {
		t.Errorf("expired: %v", a)
	}
	before := n.revision(t)
	own := n.keys[operatorAccount].AccessKeyID
	n.do(t, operatorAccount, "DELETE", v1.Keys+"/"+own, "").want(t, 409)
	n.do(t, operatorAccount, "POST", v1.Keys+"/"+own+"?operation=disable", "").want(t, 409)
	for _, body := range []string{
		`{"account":"1"}`, `{"policy":"{}"}`, `{"policy":""}`, `{"policy":" \n"}`, `{"expires_seconds":-1}`, `{"expires_seconds":99999999999}`,
		`{"name":"` + strings.Repeat("n", 65) + `"}`, `{"secret":"x"}`,
	} {
		n.do(t, operatorAccount, "POST", v1.Keys, body).want(t, 400)
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

func TestSettings(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	path := v1.Connectors + "/" + id + "/settings"
	if got := n.do(t, operatorAccount, "GET", path, "").want(t, 200).Body; got != `{"digest":["md5","sha-256"],"peers":{},"plain_emergency":false,"premium":false,"client_certificates":false,"redirects":"refuse","transfers":"refuse","headers":["X-*"]}` {
		t.Errorf("defaults: %s", got)
	}
	pin := strings.Repeat("aB", 32)
	n.do(t, operatorAccount, "PUT", path, `{"digest":["sha-256"],"peers":{"SBC.example":{"pin":"`+pin+`"}},"plain_emergency":true,"redirects":"refuse","transfers":"execute","headers":["X-*"]}`).want(t, 200)
	const want = `{"digest":["md5"],"peers":{"sbc.example":{"pin":"PIN"}},"plain_emergency":true,"premium":false,"client_certificates":false,"redirects":"refuse","transfers":"execute","headers":["X-*"]}`
	got := n.do(t, operatorAccount, "PUT", path, `{"digest":["md5"]}`).want(t, 200).Body
	if strings.Replace(got, strings.ToLower(pin), "PIN", 1) != want || n.do(t, operatorAccount, "GET", path, "").Body != got {
		t.Errorf("got %s", got)
	}
	tenant := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"carillon:*","Resource":"*"}}`
	})
	n.as(t, tenant, "PUT", path, `{"digest":[]}`).want(t, 200)
	before := n.revision(t)
	n.as(t, tenant, "PUT", path, `{"plain_emergency":true}`).want(t, 403)
	n.as(t, tenant, "PUT", path, `{"premium":true}`).want(t, 403)
	n.do(t, accountA, "PUT", path, `{"digest":[]}`).want(t, 403)
	for _, body := range []string{
		`{"digest":["sha-512"]}`, `{"digest":["md5","md5"]}`, `{"peers":{"a b":{"no_verify":true}}}`, `{"peers":{"a.example":{}}}`,
		`{"peers":{"a.example":{"pin":"00"}}}`, `{"peers":{"a.example":{"pin":"` + pin + `","no_verify":true}}}`, `{"digset":["md5"]}`, `{"redirects":"maybe"}`, `{"transfers":"maybe"}`, `{"headers":["Via"]}`, `{"headers":["X-a b"]}`,
	} {
		n.do(t, operatorAccount, "PUT", path, body).want(t, 400)
	}
	n.do(t, operatorAccount, "GET", v1.Connectors+"/nobody/settings", "").want(t, 404)
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestQuotaAboveAGroup: a quota that a group could never reach would promise what its operation refuses.
func TestQuotaAboveAGroup(t *testing.T) {
	n := startNode(t)
	path := v1.Quotas + "/" + strings.ReplaceAll(trunk.QuotaGroupMembers, " ", "%20")
	n.do(t, operatorAccount, "PUT", path, `{"value":3}`).want(t, 200)
	if a := n.do(t, operatorAccount, "PUT", path, `{"value":4}`).want(t, 400); !strings.Contains(a.Body, "0 to 3") {
		t.Errorf("above what a group takes: %s", a.Body)
	}
}

func TestQuotas(t *testing.T) {
	n := startNode(t)
	path := v1.Quotas + "/" + strings.ReplaceAll(trunk.QuotaCPS, " ", "%20")
	n.do(t, operatorAccount, "PUT", path, `{"value":5}`).want(t, 200)
	n.do(t, operatorAccount, "PUT", path, `{"value":7,"account":"`+accountA+`"}`).want(t, 200)
	list := decode[v1.QuotaList](t, n.do(t, operatorAccount, "GET", v1.Quotas, "").want(t, 200))
	if len(list.Quotas) != 2 || *list.Quotas[0].Value != 5 || *list.Quotas[1].Value != 7 || list.Quotas[1].Account != accountA || !slices.Equal(list.Names, trunk.QuotaNames()) {
		t.Errorf("got %+v", list)
	}
	before := n.revision(t)
	rate := v1.Quotas + "/API%20requests%20per%20second"
	for _, c := range [][2]string{
		{path, `{}`}, {path, `{"value":-1}`}, {path, `{"value":1,"account":"x"}`}, {v1.Quotas + "/x", `{"value":1}`}, {path, `{"value":1,"name":"x"}`},
		{rate, `{"value":0}`}, {rate + ":%20GetVoiceConnector", `{"value":0}`}, {rate + ":%20GetVoiceConnectro", `{"value":1}`}, {rate + ":%20", `{"value":1}`},
	} {
		n.do(t, operatorAccount, "PUT", c[0], c[1]).want(t, 400)
	}
	for query, status := range map[string]int{"?account=x": 400, "?account=" + accountB: 404} {
		n.do(t, operatorAccount, "DELETE", path+query, "").want(t, status)
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestQuotaSpellings: AWS's own names in any capitals mean the quotas here.
func TestQuotaSpellings(t *testing.T) {
	n := startNode(t)
	for spelling, want := range map[string]string{
		"voice connectors per ACCOUNT":               trunk.QuotaConnectors,
		"Voice Connectors":                           trunk.QuotaConnectors,
		"voice connector groups":                     trunk.QuotaGroups,
		"Voice Connectors per group":                 trunk.QuotaGroupMembers,
		"Provisioned phone numbers":                  trunk.QuotaNumbers,
		"Calls per second per connector":             trunk.QuotaCPS,
		"active voice connector calls":               trunk.QuotaActiveCalls,
		"api requests per second":                    trunk.QuotaAPIRate,
		"API requests per second: createsiprule":     "API requests per second: CreateSipRule",
		"API Requests per second: ListKeys":          "API requests per second: ListKeys",
		"API requests per second: getcalleridentity": "API requests per second: GetCallerIdentity",
	} {
		path := v1.Quotas + "/" + url.PathEscape(spelling)
		if got := decode[v1.Quota](t, n.do(t, operatorAccount, "PUT", path, `{"value":3,"account":"`+accountB+`"}`).want(t, 200)); got.Name != want {
			t.Errorf("%q is %q, want %q", spelling, got.Name, want)
		}
		if v, ok := n.directory.Snapshot().Quota(accountB, want); !ok || v != 3 {
			t.Errorf("%q: %d, %t", want, v, ok)
		}
		n.do(t, operatorAccount, "DELETE", path+"?account="+accountB, "").want(t, 204)
		n.do(t, operatorAccount, "DELETE", path+"?account="+accountB, "").want(t, 404)
	}
	if list := decode[v1.QuotaList](t, n.do(t, operatorAccount, "GET", v1.Quotas, "")); len(list.Quotas) != 0 || len(list.Defaults) != len(list.Names) {
		t.Errorf("all unset: %+v", list)
	}
}

// TestUnsetQuota: without its own quota an account has that of every account, and then none; what was made in between
// counts when one is set again.
func TestUnsetQuota(t *testing.T) {
	n := startNode(t)
	path := v1.Quotas + "/Voice%20Connectors"
	own := "?account=" + accountA
	n.do(t, operatorAccount, "PUT", path, `{"value":2}`).want(t, 200)
	n.do(t, operatorAccount, "PUT", path, `{"value":1,"account":"`+accountA+`"}`).want(t, 200)
	n.create(t, accountA, true)
	n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 400)
	n.do(t, operatorAccount, "DELETE", path+own, "").want(t, 204)
	second := n.create(t, accountA, true)
	n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 400)
	n.do(t, operatorAccount, "DELETE", path, "").want(t, 204)
	for range 3 {
		n.create(t, accountA, true)
	}
	n.do(t, accountA, "DELETE", "/voice-connectors/"+second, "").want(t, 204)
	n.do(t, operatorAccount, "PUT", path, `{"value":5,"account":"`+accountA+`"}`).want(t, 200)
	n.create(t, accountA, true)
	if a := n.do(t, accountA, "POST", "/voice-connectors", create).want(t, 400); a.text(t, "Message") != "The account has 5 Voice Connectors; its quota is 5." {
		t.Errorf("got %s", a.Body)
	}
}

func TestCalls(t *testing.T) {
	n := startNode(t)
	for i := range 5 {
		n.calls.records = append(n.calls.records, call.Record{ID: call.ID(fmt.Sprint("call-", i)), Account: []string{accountA, accountB}[i%2]})
	}
	reader := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":["carillon:ListCalls","carillon:GetCall"],"Resource":"*"}}`
	})
	if got := decode[v1.CallList](t, n.do(t, operatorAccount, "GET", v1.Calls, "").want(t, 200)); len(got.Calls) != 5 || got.NextToken != nil {
		t.Errorf("operator: %+v", got)
	}
	page := decode[v1.CallList](t, n.as(t, reader, "GET", v1.Calls+"?max-results=2", "").want(t, 200))
	if len(page.Calls) != 2 || page.Calls[1].ID != "call-2" || page.NextToken == nil {
		t.Fatalf("first page: %+v", page)
	}
	page = decode[v1.CallList](t, n.as(t, reader, "GET", v1.Calls+"?max-results=2&next-token="+*page.NextToken, "").want(t, 200))
	if len(page.Calls) != 1 || page.Calls[0].ID != "call-4" || page.NextToken != nil {
		t.Errorf("second page: %+v", page)
	}
	n.as(t, reader, "GET", v1.Calls+"/call-0", "").want(t, 200)
	n.as(t, reader, "GET", v1.Calls+"/call-1", "").want(t, 404)
	n.as(t, reader, "GET", v1.Calls+"/call-9", "").want(t, 404)
	n.as(t, reader, "GET", v1.Calls+"?account="+accountB, "").want(t, 403)
	n.as(t, reader, "GET", v1.Calls+"?account=x", "").want(t, 400)
	n.as(t, reader, "GET", v1.Calls+"?max-results=1001", "").want(t, 400)
	n.as(t, reader, "GET", v1.Calls+"?next-token=call-0", "").want(t, 400)
	n.as(t, reader, "GET", v1.Calls+"?number=%2B12065550100&reason=media_not_encrypted&since=2026-11-28T09:00:00Z&connector=abc", "").want(t, 200)
	want := CallFilter{Account: accountA, ConnectorID: "abc", Number: "+12065550100", Reason: "media_not_encrypted", Since: time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)}
	if n.calls.asked != want {
		t.Errorf("the log is asked for %+v, want %+v", n.calls.asked, want)
	}
	if a := n.as(t, reader, "GET", v1.Calls+"?reason=Media-Not", "").want(t, 400); !strings.Contains(string(a.Body), "one is media_not_encrypted.") {
		t.Errorf("a reason that is none: %s", a.Body)
	}
	n.as(t, reader, "GET", v1.Calls+"?since=noon", "").want(t, 400)
	n.do(t, accountA, "GET", v1.Calls, "").want(t, 403)
	n.calls.err = trunk.Errorf(trunk.Unavailable, "The log is being opened.")
	n.as(t, reader, "GET", v1.Calls, "").want(t, 503)
}

// TestCallsHideNetworks: of the far end a tenant reads the carrier's name and no address, unless the end is its own.
func TestCallsHideNetworks(t *testing.T) {
	n := startNode(t)
	const far = "sip:203.0.113.9:5061;transport=tls"
	leg := call.LegRecord{
		Transport: "tls", Remote: netip.MustParseAddrPort("203.0.113.9:5061"), SIPCallID: "id@203.0.113.9",
		Media: call.LegReport{Remote: netip.MustParseAddrPort("203.0.113.9:40000")},
	}
	record := call.Record{
		ID: "outbound", Account: accountA, Direction: "Outbound", Carrier: "north", CarrierLeg: leg, Customer: leg,
		Attempts: []call.Attempt{{Target: far, ConnectorID: "abcdefghijkl1234567890", Status: 200}},
	}
	inbound, inside := record, record
	inbound.ID, inbound.Direction, inside.ID, inside.Inside = "inbound", "Inbound", "inside", "abcdefghijkl1234567890"
	for _, r := range []*call.Record{&record, &inbound, &inside} {
		r.Attempts = append([]call.Attempt{{Target: far, Error: "could not be reached", Cause: "it refused the connection"}}, r.Attempts...)
	}
	n.calls.records = []call.Record{record, inbound, inside}
	reader := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":["carillon:ListCalls","carillon:GetCall"],"Resource":"*"}}`
	})
	hidden := call.LegRecord{Transport: "tls"}
	for i, read := range []func(string) v1.Call{
		func(id string) v1.Call {
			return decode[v1.Call](t, n.as(t, reader, "GET", v1.Calls+"/"+id, "").want(t, 200))
		},
		func(id string) v1.Call {
			all := decode[v1.CallList](t, n.as(t, reader, "GET", v1.Calls, "").want(t, 200)).Calls
			return all[slices.IndexFunc(all, func(c v1.Call) bool { return string(c.ID) == id })]
		},
	} {
		if got := read("outbound"); got.CarrierLeg != hidden || got.Attempts[1] != (call.Attempt{Target: call.HiddenTarget, Status: 200}) || got.Carrier != "north" || got.Customer != leg {
			t.Errorf("%d: a tenant reads of its call to a carrier %+v", i, got)
		}
		if got := read("inbound"); got.CarrierLeg != hidden || got.Attempts[0].Target != far || got.Customer != leg {
			t.Errorf("%d: a tenant reads of a carrier's call %+v", i, got)
		}
		if got := read("inside"); got.CarrierLeg != leg || got.Attempts[0].Target != far {
			t.Errorf("%d: a tenant reads of a call between its own connectors %+v", i, got)
		}
		for _, id := range []string{"outbound", "inbound", "inside"} {
			if got := read(id).Attempts[0]; got.Cause != "" || got.Error == "" {
				t.Errorf("%d, %s: a tenant reads why a target was not reached, which maps networks: %+v", i, id, got)
			}
		}
	}
	if got := decode[v1.CallList](t, n.do(t, operatorAccount, "GET", v1.Calls, "").want(t, 200)); got.Calls[0].CarrierLeg != leg || got.Calls[0].Attempts[0].Target != far ||
		got.Calls[0].Attempts[0].Cause == "" {
		t.Errorf("the operator reads %+v", got.Calls[0])
	}
}

// TestOperatorRows: no policy opens what belongs to the installation to a tenant.
func TestOperatorRows(t *testing.T) {
	n := startNode(t)
	everything := n.key(t, accountA, func(k *iam.AccessKey) { k.Policy = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}` })
	before, checked := n.revision(t), 0
	for _, op := range Operations() {
		if !op.OperatorOnly {
			continue
		}
		checked++
		path := strings.NewReplacer("{name}", "x", "{id}", "x").Replace(op.Path)
		if a := n.as(t, everything, op.Method, path, `{}`); a.Status != 403 || a.errorType() != "AccessDeniedException" {
			t.Errorf("%s: %v", op.Name, a)
		}
		if a := n.send(t, newRequest(op.Method, path, `{}`)); a.errorType() != "MissingAuthenticationTokenException" {
			t.Errorf("%s unsigned: %v", op.Name, a)
		}
	}
	if checked < 9 || n.revision(t) != before {
		t.Errorf("%d rows checked, revision %d to %d", checked, before, n.revision(t))
	}
}

// rerunning runs every transaction twice, as a store does when another writer was faster. The first run sees the state
// that before makes of it.
type rerunning struct {
	trunk.Store
	before func(trunk.Entity) trunk.Entity
}

func (s rerunning) Update(ctx context.Context, fn func(trunk.Tx) error) (int64, error) {
	return s.Store.Update(ctx, func(tx trunk.Tx) error {
		_ = fn(discarding{tx, s.before})
		return fn(tx)
	})
}

type discarding struct {
	trunk.Tx
	before func(trunk.Entity) trunk.Entity
}

func (d discarding) Get(k trunk.EntityKey) (trunk.Entity, error) {
	e, err := d.Tx.Get(k)
	if e != nil && d.before != nil {
		e = d.before(e)
	}
	return e, err
}

func (discarding) Absent(trunk.EntityKey) {}
func (discarding) Create(trunk.Entity)    {}
func (discarding) Put(trunk.Entity)       {}
func (discarding) Delete(trunk.EntityKey) {}

// TestTransactionsRunAgain: nothing of a run that did not commit may show in the one that did.
func TestTransactionsRunAgain(t *testing.T) {
	var before func(trunk.Entity) trunk.Entity
	n := startNode(t, func(c *Config) {
		c.Store = rerunning{c.Store, func(e trunk.Entity) trunk.Entity {
			if before == nil {
				return e
			}
			return before(e)
		}}
	})
	everyOffered(t, n.subject(t, accountA), func(op *wire.Operation, r offeredRequest) {
		if a := n.do(t, accountA, r.method, r.target, r.body); a.Status != op.Status {
			t.Errorf("%s: %v", op.Name, a)
		}
	})
	n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"],"account":"`+accountA+`"}`).want(t, 200)
	if got := n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["+12065550100"]}`).want(t, 200); len(decode[v1.NumberList](t, got).Numbers) != 1 {
		t.Errorf("import: %s", got.Body)
	}
	n.do(t, operatorAccount, "PUT", v1.Carriers+"/one", `{"targets":["sip:a.example"],"user":"u","password":"x"}`).want(t, 200)
	// The run that loses sees the password of user u; by the one that commits, the carrier has another user.
	before = func(e trunk.Entity) trunk.Entity {
		c, ok := e.(*trunk.Carrier)
		if !ok {
			return e
		}
		other := *c
		other.User = "v"
		return &other
	}
	n.do(t, operatorAccount, "PUT", v1.Carriers+"/one", `{"targets":["sip:a.example"],"user":"v"}`).want(t, 400)
}
