package api

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/iam"
	"carillon/trunk"
)

// pool puts numbers into the pool.
func (n *node) pool(t testing.TB, numbers ...string) {
	t.Helper()
	for _, e164 := range numbers {
		n.put(t, &trunk.PhoneNumber{E164: trunk.Number(e164), Created: n.clock.Now(), Updated: n.clock.Now()})
	}
}

// order puts numbers into the pool and orders them for an account. It returns the order's id.
func (n *node) order(t testing.TB, account string, numbers ...string) string {
	t.Helper()
	n.pool(t, numbers...)
	body := `{"ProductType":"VoiceConnector","E164PhoneNumbers":["` + strings.Join(numbers, `","`) + `"]}`
	a := n.do(t, account, "POST", "/phone-number-orders", body).want(t, 201)
	if a.text(t, "PhoneNumberOrder", "Status") != "Successful" {
		t.Fatalf("order: %s", a.Body)
	}
	return a.text(t, "PhoneNumberOrder", "PhoneNumberOrderId")
}

// numberRequests has a valid request for each operation on phone numbers.
func numberRequests(s subject) map[wire.OperationID]offeredRequest {
	one := "us-east-1:" + accountA + ":phone-number/" + s.number
	anyone := "us-east-1:" + accountA + ":phone-number/*"
	oneVC, oneVCG := "eu-west-1:"+accountA+":vc/"+s.connector, "us-east-1:"+accountA+":vcg/"+s.group
	p := "/phone-numbers/" + strings.Replace(s.number, "+", "%2B", 1)
	c, g := "/voice-connectors/"+s.connector, "/voice-connector-groups/"+s.group
	numbers := `{"E164PhoneNumbers":["` + s.number + `"]}`
	return map[wire.OperationID]offeredRequest{
		wire.OpSearchAvailablePhoneNumbers:       {"GET", "/search?type=phone-numbers", "", anyone},
		wire.OpListSupportedPhoneNumberCountries: {"GET", "/phone-number-countries?product-type=VoiceConnector", "", anyone},
		wire.OpCreatePhoneNumberOrder:            {"POST", "/phone-number-orders", `{"ProductType":"VoiceConnector","E164PhoneNumbers":["+12065550190"]}`, anyone},
		wire.OpListPhoneNumberOrders:             {"GET", "/phone-number-orders", "", anyone},
		wire.OpGetPhoneNumberOrder:               {"GET", "/phone-number-orders/" + s.order, "", anyone},

		wire.OpListPhoneNumbers:       {"GET", "/phone-numbers", "", anyone},
		wire.OpGetPhoneNumber:         {"GET", p, "", one},
		wire.OpUpdatePhoneNumber:      {"POST", p, `{"CallingName":"front desk"}`, one},
		wire.OpBatchUpdatePhoneNumber: {"POST", "/phone-numbers?operation=batch-update", `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"` + s.number + `","Name":"desk"}]}`, anyone},
		wire.OpDeletePhoneNumber:      {"DELETE", p, "", one},
		wire.OpRestorePhoneNumber:     {"POST", p + "?operation=restore", "", one},
		wire.OpBatchDeletePhoneNumber: {"POST", "/phone-numbers?operation=batch-delete", `{"PhoneNumberIds":["` + s.number + `"]}`, anyone},

		wire.OpGetPhoneNumberSettings:    {"GET", "/settings/phone-number", "", anyone},
		wire.OpUpdatePhoneNumberSettings: {"PUT", "/settings/phone-number", `{"CallingName":"demo"}`, anyone},

		wire.OpAssociatePhoneNumbersWithVoiceConnector:         {"POST", c + "?operation=associate-phone-numbers", numbers, oneVC},
		wire.OpDisassociatePhoneNumbersFromVoiceConnector:      {"POST", c + "?operation=disassociate-phone-numbers", numbers, oneVC},
		wire.OpAssociatePhoneNumbersWithVoiceConnectorGroup:    {"POST", g + "?operation=associate-phone-numbers", numbers, oneVCG},
		wire.OpDisassociatePhoneNumbersFromVoiceConnectorGroup: {"POST", g + "?operation=disassociate-phone-numbers", numbers, oneVCG},
	}
}

// numberOrder is an order in which all of numberRequests succeed.
func numberOrder() []wire.OperationID {
	return []wire.OperationID{
		wire.OpSearchAvailablePhoneNumbers, wire.OpListSupportedPhoneNumberCountries, wire.OpCreatePhoneNumberOrder,
		wire.OpListPhoneNumberOrders, wire.OpGetPhoneNumberOrder, wire.OpListPhoneNumbers, wire.OpGetPhoneNumber,
		wire.OpUpdatePhoneNumber, wire.OpBatchUpdatePhoneNumber,
		wire.OpAssociatePhoneNumbersWithVoiceConnector, wire.OpDisassociatePhoneNumbersFromVoiceConnector,
		wire.OpAssociatePhoneNumbersWithVoiceConnectorGroup, wire.OpDisassociatePhoneNumbersFromVoiceConnectorGroup,
		wire.OpDeletePhoneNumber, wire.OpRestorePhoneNumber, wire.OpBatchDeletePhoneNumber,
		wire.OpUpdatePhoneNumberSettings, wire.OpGetPhoneNumberSettings,
	}
}

// hidesNumbers fails unless a batch answers another account's number as it answers one that never was.
func hidesNumbers(t *testing.T, op *wire.Operation, theirs, nobodys answer) {
	t.Helper()
	_, detail, ok := strings.Cut(theirs.Body, `"PhoneNumberId"`)
	_, want, _ := strings.Cut(nobodys.Body, `"PhoneNumberId"`)
	if !ok || theirs.Status != 200 || nobodys.Status != 200 || !strings.Contains(theirs.Body, `"ErrorCode":"NotFound"`) ||
		detail[len(`:"%2B19995550000"`):] != want[len(`:"%2B19995550000"`):] {
		t.Errorf("%s: %d %s, for an unknown number %d %s", op.Name, theirs.Status, theirs.Body, nobodys.Status, nobodys.Body)
	}
}

// numberErrors returns the error codes of a batch by number.
func (a answer) numberErrors(t testing.TB) map[string]string {
	t.Helper()
	list, ok := a.member(t, "PhoneNumberErrors").([]any)
	if !ok {
		t.Fatalf("PhoneNumberErrors is no list: %s", a.Body)
	}
	codes := map[string]string{}
	for _, e := range list {
		e := e.(map[string]any)
		if e["ErrorMessage"] == "" {
			t.Errorf("no message: %s", a.Body)
		}
		codes[strings.Replace(fmt.Sprint(e["PhoneNumberId"]), "%2B", "+", 1)] = fmt.Sprint(e["ErrorCode"])
	}
	return codes
}

// TestGetPhoneNumber holds every member of an answer against what AWS's own examples have.
func TestGetPhoneNumber(t *testing.T) {
	n := startNode(t)
	order := n.order(t, accountA, "+12065550100", "+498001234567")
	const timestamps = `"CreatedTimestamp":"2026-01-01T00:00:00.000Z"`
	want := `{"PhoneNumber":{"Associations":[],"CallingNameStatus":"Unassigned","Capabilities":{"InboundCall":true,` +
		`"InboundMMS":false,"InboundSMS":false,"OutboundCall":true,"OutboundMMS":false,"OutboundSMS":false},"Country":"US",` + timestamps +
		`,"E164PhoneNumber":"+12065550100","OrderId":"` + order + `","PhoneNumberArn":"arn:aws:chime:us-east-1:` + accountA +
		`:phone-number/+12065550100","PhoneNumberId":"%2B12065550100","ProductType":"VoiceConnector","Status":"Unassigned","Type":"Local",` +
		`"UpdatedTimestamp":"2026-01-01T00:00:00.001Z"}}`
	if got := n.do(t, accountA, "GET", "/phone-numbers/+12065550100", "").want(t, 200).Body; got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	for _, target := range []string{"+12065550100", "%2B12065550100", "%2b12065550100", "%252B12065550100", "12065550100"} {
		if got := n.do(t, accountA, "GET", "/phone-numbers/"+target, "").want(t, 200).Body; got != want {
			t.Errorf("%s: got %s", target, got)
		}
	}
	for _, target := range []string{"+12065550101", "%2B%2B12065550100", "++12065550100", "%2520", "+", "%2B", "0", "%00", "val"} {
		a := n.do(t, accountA, "GET", "/phone-numbers/"+target, "")
		if a.Status != 404 || a.errorType() != "NotFoundException" {
			t.Errorf("%s: %v", target, a)
		}
	}
	if got := n.do(t, accountA, "GET", "/phone-numbers/498001234567", "").want(t, 200); got.text(t, "PhoneNumber", "Country") != "DE" {
		t.Errorf("got %s", got.Body)
	}
}

// TestNumberAssociations: what takes a number's calls is in its answer and makes its status.
func TestNumberAssociations(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	n.order(t, accountA, "+12065550100")
	rule := func(id, account, number string, disabled bool) {
		n.put(t, &trunk.SIPRule{ID: id, Account: account, Trigger: trunk.ToPhoneNumber, TriggerValue: number, Disabled: disabled, Created: n.clock.Now()})
	}
	associate := func(path string) {
		n.do(t, accountA, "POST", path, `{"E164PhoneNumbers":["+12065550100"],"ForceAssociate":true}`).want(t, 200)
	}
	const at = `"AssociatedTimestamp":"2026-01-01T00:00:00.000Z",`
	for _, c := range []struct {
		name    string
		do      func()
		status  string
		answers string
	}{
		{"nothing", func() {}, "Unassigned", `[]`},
		{"a connector", func() { associate("/voice-connectors/" + s.connector + "?operation=associate-phone-numbers") }, "Assigned",
			`[{` + at + `"Name":"VoiceConnectorId","Value":"` + s.connector + `"}]`},
		{"a group", func() { associate("/voice-connector-groups/" + s.group + "?operation=associate-phone-numbers") }, "Assigned",
			`[{` + at + `"Name":"VoiceConnectorGroupId","Value":"` + s.group + `"}]`},
		{"rules of others, disabled or of other numbers", func() {
			rule("r1", accountB, "+12065550100", false)
			rule("r2", accountA, "+12065550100", true)
			rule("r3", accountA, "+1206555010", false)
		}, "Assigned", `[{` + at + `"Name":"VoiceConnectorGroupId","Value":"` + s.group + `"}]`},
		{"a rule", func() {
			n.do(t, accountA, "POST", "/voice-connector-groups/"+s.group+"?operation=disassociate-phone-numbers", `{"E164PhoneNumbers":["+12065550100"]}`).want(t, 200)
			rule("r2", accountA, "+12065550100", false)
		}, "Assigned", `[{` + at + `"Name":"SipRuleId","Value":"r2"}]`},
		{"nothing again", func() { n.remove(t, trunk.EntityKey{Kind: trunk.KindSIPRule, ID: "r2"}) }, "Unassigned", `[]`},
	} {
		c.do()
		a := n.do(t, accountA, "GET", "/phone-numbers/+12065550100", "").want(t, 200)
		if a.text(t, "PhoneNumber", "Status") != c.status || !strings.Contains(a.Body, `"Associations":`+c.answers) {
			t.Errorf("%s: got %s, want %s %s", c.name, a.Body, c.status, c.answers)
		}
	}
}

func TestUpdatePhoneNumber(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	n.order(t, accountA, "+12065550100")
	const path = "/phone-numbers/+12065550100"
	number := func() map[string]any {
		t.Helper()
		m, _ := n.do(t, accountA, "GET", path, "").want(t, 200).member(t, "PhoneNumber").(map[string]any)
		return m
	}
	for _, c := range []struct{ body, member, want string }{
		{`{"CallingName":"front desk"}`, "CallingName", "front desk"},
		{`{"CallingName":"front desk"}`, "CallingNameStatus", "UpdateSucceeded"},
		{`{"Name":"a-desk, b_desk"}`, "Name", "a-desk, b_desk"},
		{`{"ProductType":"SipMediaApplicationDialIn"}`, "ProductType", "SipMediaApplicationDialIn"},
		{`{"ProductType":"VoiceConnector"}`, "ProductType", "VoiceConnector"},
		{`{"CallingName":""}`, "CallingNameStatus", "Unassigned"},
	} {
		a := n.do(t, accountA, "POST", path, c.body).want(t, 200)
		if got := a.text(t, "PhoneNumber", c.member); got != c.want || number()[c.member] != c.want {
			t.Errorf("%s: %s is %q, then %v", c.body, c.member, got, number()[c.member])
		}
	}
	if got := number()["Name"]; got != "a-desk, b_desk" {
		t.Errorf("the name is %v after other updates", got)
	}
	before, updated := n.revision(t), number()["UpdatedTimestamp"]
	for _, body := range []string{``, `{}`, `{"ProductType":"VoiceConnector"}`, `{"Name":"a-desk, b_desk"}`} {
		n.do(t, accountA, "POST", path, body).want(t, 200)
	}
	if n.revision(t) != before || number()["UpdatedTimestamp"] != updated {
		t.Error("an update without a change was stored")
	}
	n.do(t, accountA, "POST", "/voice-connectors/"+s.connector+"?operation=associate-phone-numbers", `{"E164PhoneNumbers":["+12065550100"]}`).want(t, 200)
	before = n.revision(t)
	for _, c := range []struct {
		name, body string
		status     int
		says       string
	}{
		{"two details", `{"CallingName":"x y","Name":"x"}`, 400, "one"},
		{"three", `{"CallingName":"x y","Name":"x","ProductType":"VoiceConnector"}`, 400, "one"},
		{"business calling", `{"ProductType":"BusinessCalling"}`, 400, "BusinessCalling"},
		{"product of an associated number", `{"ProductType":"SipMediaApplicationDialIn"}`, 409, "associated"},
		{"calling name too long", `{"CallingName":"1234567890123456"}`, 400, "callingName"},
		{"calling name of one letter", `{"CallingName":"a"}`, 400, "callingName"},
		{"calling name with a quote", `{"CallingName":"a\"b"}`, 400, "callingName"},
		{"name with a slash", `{"Name":"a/b"}`, 400, "name"},
	} {
		a := n.do(t, accountA, "POST", path, c.body)
		if a.Status != c.status || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, a.Status, a.Body, c.status, c.says)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestBatchUpdate: each item has its own fate, and all that succeed are one transaction.
func TestBatchUpdate(t *testing.T) {
	n := startNode(t)
	n.order(t, accountA, "+12065550100", "+12065550101", "+12065550102")
	n.order(t, accountB, "+12065550103")
	n.do(t, accountA, "DELETE", "/phone-numbers/+12065550102", "").want(t, 204)
	const target = "/phone-numbers?operation=batch-update"
	items := func(items ...string) string {
		return `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":` + strings.Join(items, `},{"PhoneNumberId":`) + `}]}`
	}
	before := n.revision(t)
	a := n.do(t, accountA, "POST", target, items(
		`"+12065550100","CallingName":"first"`, `"%2B12065550100","Name":"second"`, `"%252B12065550101","CallingName":"third"`,
		`"12065550101","CallingName":"x y","Name":"x"`, `"+12065550102","Name":"x"`, `"+12065550103","Name":"x"`, `"+12065550104"`, `"val"`,
	)).want(t, 200)
	want := map[string]string{
		"+12065550101": "BadRequest", "+12065550102": "BadRequest", "+12065550103": "NotFound", "+12065550104": "NotFound", "val": "NotFound",
	}
	if got := a.numberErrors(t); !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := n.revision(t); got != before+1 {
		t.Errorf("%d transactions", got-before)
	}
	one, _ := n.directory.Snapshot().Number("+12065550100")
	two, _ := n.directory.Snapshot().Number("+12065550101")
	if one.CallingName != "first" || one.Name != "second" || two.CallingName != "third" || two.Name != "" {
		t.Errorf("stored %+v, %+v", one, two)
	}
	if got := n.do(t, accountA, "POST", target, items(`"+12065550100","CallingName":"again"`)).want(t, 200).Body; got != `{"PhoneNumberErrors":[]}` {
		t.Errorf("without an error: %s", got)
	}
	before = n.revision(t)
	for _, body := range []string{`{}`, `{"UpdatePhoneNumberRequestItems":[]}`, items(strings.Split(strings.Repeat(`"+1",`, MaxNumbers)+`"+1"`, ",")...)} {
		n.do(t, accountA, "POST", target, body).want(t, 400)
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestBatchHearsDenials: a Deny of one number holds in a batch too, although a policy is asked about batches in general.
func TestBatchHearsDenials(t *testing.T) {
	n := startNode(t)
	n.order(t, accountA, "+12065550100", "+12065550101")
	key := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":[{"Effect":"Allow","Action":"chime:*","Resource":"*"},` +
			`{"Effect":"Deny","Action":"chime:*","Resource":"arn:aws:chime:*:*:phone-number/+12065550100"}]}`
	})
	for _, c := range [][2]string{
		{"batch-update", `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"%2B12065550100","Name":"x"},{"PhoneNumberId":"+12065550101","Name":"x"}]}`},
		{"batch-delete", `{"PhoneNumberIds":["12065550100","+12065550101"]}`},
	} {
		a := n.as(t, key, "POST", "/phone-numbers?operation="+c[0], c[1]).want(t, 200)
		if got := a.numberErrors(t); len(got) != 1 || got["+12065550100"] != "AccessDenied" {
			t.Errorf("%s: got %v", c[0], got)
		}
	}
	kept, _ := n.directory.Snapshot().Number("+12065550100")
	gone, _ := n.directory.Snapshot().Number("+12065550101")
	if kept.Name != "" || !kept.Deleted.IsZero() || gone.Deleted.IsZero() {
		t.Errorf("stored %+v, %+v", kept, gone)
	}
}

// TestTagsOfNumbersAndGroups: policies may ask for them, in batches too.
func TestTagsOfNumbersAndGroups(t *testing.T) {
	n := startNode(t)
	tagged, bare, theirs := n.subject(t, accountA), n.subject(t, accountA), n.subject(t, accountB)
	for _, s := range []subject{tagged, theirs} {
		g, _ := n.directory.Snapshot().Group(s.group)
		number, _ := n.directory.Snapshot().Number(trunk.Number(s.number))
		g, number = g.Clone(), number.Clone()
		g.Tags = []trunk.Tag{{Key: "team", Value: "voice"}}
		number.Tags = g.Tags
		n.put(t, g, number)
	}
	const asks = `,"Condition":{"StringEquals":{"aws:ResourceTag/team":"voice"}}}`
	only := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:*","Resource":"*"` + asks + `}`
	})
	for s, want := range map[subject]int{tagged: 200, bare: 403, theirs: 403} {
		for _, target := range []string{"/phone-numbers/" + s.number, "/voice-connector-groups/" + s.group} {
			if a := n.as(t, only, "GET", target, ""); a.Status != want {
				t.Errorf("%s: got %d, want %d", target, a.Status, want)
			}
		}
	}
	but := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":[{"Effect":"Allow","Action":"chime:*","Resource":"*"},{"Effect":"Deny","Action":"chime:*","Resource":"*"` + asks + `]}`
	})
	a := n.as(t, but, "POST", "/phone-numbers?operation=batch-delete", `{"PhoneNumberIds":["`+tagged.number+`","`+bare.number+`"]}`).want(t, 200)
	if got := a.numberErrors(t); len(got) != 1 || got[tagged.number] != "AccessDenied" {
		t.Errorf("in a batch: %v", got)
	}
}

func TestNumberSettings(t *testing.T) {
	n := startNode(t)
	const path = "/settings/phone-number"
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != `{"CallingName":null,"CallingNameUpdatedTimestamp":null}` {
		t.Errorf("before the first: %s", got)
	}
	n.put(t, &trunk.AccountSettings{Account: accountA, CdrBucket: "records"})
	n.do(t, accountA, "PUT", path, `{"CallingName":"first"}`).want(t, 204)
	n.clock.Advance(minute)
	n.do(t, accountA, "PUT", path, `{"CallingName":"myName"}`).want(t, 204)
	const want = `{"CallingName":"myName","CallingNameUpdatedTimestamp":"2026-01-01T00:01:00.000Z"}`
	if got := n.do(t, accountA, "GET", path, "").want(t, 200).Body; got != want {
		t.Errorf("got %s", got)
	}
	if got := n.directory.Snapshot().AccountSettings(accountA).CdrBucket; got != "records" {
		t.Errorf("the account's other settings: %q", got)
	}
	if got := n.do(t, accountB, "GET", path, "").want(t, 200).Body; got == want {
		t.Error("another account sees it")
	}
	for _, body := range []string{`{}`, `{"CallingName":"x"}`, `{"CallingName":"has\nbreak"}`} {
		n.do(t, accountA, "PUT", path, body).want(t, 400)
	}
}

// FuzzNumberID: what is read is a number that names itself, however it was spelled.
func FuzzNumberID(f *testing.F) {
	for _, id := range []string{"+12065550100", "%2B12065550100", "%252b12065550100", "12065550100", "%2B+1", "%2B", "val", ""} {
		f.Add(id)
	}
	f.Fuzz(func(t *testing.T, id string) {
		e164 := parseNumberID(id)
		if e164 == "" {
			return
		}
		if again, ok := trunk.ParseDialled(string(e164)); !ok || again != e164 || parseNumberID(numberID(e164)) != e164 || !strings.HasSuffix(id, string(e164[1:])) {
			t.Errorf("%q is read as %q", id, e164)
		}
	})
}
