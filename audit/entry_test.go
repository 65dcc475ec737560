package audit_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/audit"
	"carillon/iam"
	"carillon/trunk"
)

const (
	mine   = "111111111111"
	theirs = "222222222222"
)

func TestDiff(t *testing.T) {
	c := &trunk.Connector{ID: "c1", Account: mine, Name: "a <b>", Region: "us-east-1", RequireEncryption: true, NetworkType: trunk.IPv4Only}
	named, touched := *c, *c
	named.Name, named.RequireEncryption = "b", false
	touched.Updated = time.Unix(1, 0)
	pooled := &trunk.PhoneNumber{E164: "+12065550100"}
	held := &trunk.PhoneNumber{E164: "+12065550100", Account: mine, ConnectorID: "c1"}
	key := &iam.AccessKey{ID: "AKIA1", Account: mine, Secret: trunk.NewSecret("s")}
	rotated := *key
	rotated.Secret = trunk.NewSecret("t")
	with := func(users ...string) *trunk.Connector {
		d := *c
		for _, user := range users {
			name, ha1, _ := strings.Cut(user, "=")
			d.Credentials = append(d.Credentials, trunk.Credential{Username: name, MD5: trunk.NewSecret(ha1)})
		}
		return &d
	}
	for _, tt := range []struct {
		name             string
		before, after    trunk.Entity
		wantOld, wantNew string
		from, to, arn    string
	}{
		{"created", nil, c, "", `{"name":"a <b>","region":"us-east-1","require_encryption":true,"network_type":"IPV4_ONLY"}`, "", mine, c.ARN()},
		{"deleted", c, nil, `{"name":"a <b>","region":"us-east-1","require_encryption":true,"network_type":"IPV4_ONLY"}`, "", mine, "", c.ARN()},
		{"changed", c, &named, `{"name":"a <b>","require_encryption":true}`, `{"name":"b","require_encryption":false}`, mine, mine, c.ARN()},
		{"touched", c, &touched, `{}`, `{}`, mine, mine, c.ARN()},
		{"number given", pooled, held, `{"account":"","connector_id":""}`, `{"account":"111111111111","connector_id":"c1"}`, "", mine, held.ARN()},
		{"number taken", held, pooled, `{"account":"111111111111","connector_id":"c1"}`, `{"account":"","connector_id":""}`, mine, "", held.ARN()},
		{"first credentials", c, with("al=1"), `{"credentials":null}`, `{"credentials":{"al":"(set)"}}`, mine, mine, c.ARN()},
		{"another password", with("al=1", "bo=1"), with("al=2", "bo=1"), `{"credentials":{"al":"(set)","bo":"(set)"}}`, `{"credentials":{"al":"(changed)","bo":"(set)"}}`, mine, mine, c.ARN()},
		{"the same password", with("al=1"), with("al=1"), `{}`, `{}`, mine, mine, c.ARN()},
		{"a key's secret", key, &rotated, `{"secret":"(set)"}`, `{"secret":"(changed)"}`, mine, mine, ""},
		{"a quota", &trunk.Quota{Account: mine, Name: "x", Value: 1}, &trunk.Quota{Account: mine, Name: "x"}, `{"value":1}`, `{"value":0}`, mine, mine, ""},
		{"a carrier", nil, &trunk.Carrier{Name: "n", User: "u", Password: trunk.NewSecret("p")}, "", `{"srtp":"off","user":"u","password":"(set)"}`, "", "", ""},
	} {
		got := audit.Diff(tt.before, tt.after)
		want := audit.Change{Key: got.Key, ARN: tt.arn, OwnerBefore: tt.from, OwnerAfter: tt.to, Before: tt.wantOld, After: tt.wantNew}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", tt.name, got, want)
		}
	}
}

// TestBounds: an entry keeps saying what was written when there is no room for its members.
func TestBounds(t *testing.T) {
	e := new(audit.Entry)
	long := fmt.Sprintf(`{"name":%q}`, strings.Repeat("x", audit.MaxEntryBytes/2))
	for range 3 {
		e.Add(audit.Change{After: long})
	}
	e.Add(audit.Change{Before: `{"value":1}`, After: `{"value":2}`})
	if cut := []bool{e.Changes[0].Cut, e.Changes[1].Cut, e.Changes[2].Cut, e.Changes[3].Cut}; !slices.Equal(cut, []bool{false, true, true, false}) {
		t.Errorf("cut: %v", cut)
	}
	if c := e.Changes[1]; c.Before != "" || c.After != "{}" {
		t.Errorf("what is left of a cut creation: %+v", c)
	}
	for range audit.MaxChanges {
		e.Add(audit.Change{After: "{}"})
	}
	if len(e.Changes) != audit.MaxChanges || e.Omitted != 4 {
		t.Errorf("%d changes, %d omitted", len(e.Changes), e.Omitted)
	}
}

func TestAgent(t *testing.T) {
	for header, want := range map[string]string{
		"aws-cli/2.9.19": "aws-cli/2.9.19", "a\tb\r\nc\x7f": "a?b??c?", "ü": "ü", "a\xffb": "a?b",
		strings.Repeat("x", 300): strings.Repeat("x", audit.MaxUserAgent),
	} {
		if got := audit.Agent(header); got != want {
			t.Errorf("%q: got %q, want %q", header, got, want)
		}
	}
}

// TestSeenBy: an account sees what was done to what it holds and not who of another account did it, nor what became of
// it elsewhere.
func TestSeenBy(t *testing.T) {
	e := &audit.Entry{
		Time: time.Unix(1, 0).UTC(), Account: theirs, RequestID: "r", Action: "carillon:ImportNumbers", Principal: "arn:them", AccessKeyID: "AKIA2",
		Operator: true, UserAgent: "agent", Resource: "arn:aws:carillon:::numbers",
	}
	number := func(id, from, to string) audit.Change {
		return audit.Change{
			Key: trunk.EntityKey{Kind: trunk.KindNumber, ID: id}, OwnerBefore: from, OwnerAfter: to,
			ARN:    (&trunk.PhoneNumber{E164: trunk.Number(id), Account: cmp.Or(to, from)}).ARN(),
			Before: fmt.Sprintf(`{"account":%q}`, from), After: fmt.Sprintf(`{"account":%q}`, to),
		}
	}
	e.Changes = []audit.Change{number("+1", mine, theirs), number("+2", theirs, mine), number("+3", mine, mine), number("+4", theirs, theirs)}
	if e.SeenBy(theirs) != e {
		t.Error("an account does not see all of its own")
	}
	got := e.SeenBy(mine)
	lost, gained := number("+1", mine, ""), number("+2", "", mine)
	lost.After, gained.Before = "", ""
	want := &audit.Entry{
		Time: e.Time, RequestID: "r", Action: e.Action, Operator: true, Changes: []audit.Change{lost, gained, number("+3", mine, mine)},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	// A filter finds no more than what is shown.
	for resource, found := range map[string]bool{
		"+1": true, "+3": true, "+4": false, lost.ARN: true, gained.ARN: true, e.Changes[0].ARN: false, e.Changes[3].ARN: false, e.Resource: false,
	} {
		if f := (audit.Filter{SeenBy: mine, Resource: resource}); f.Match(e) != found {
			t.Errorf("%s finds the entry: %v", resource, !found)
		}
	}
	if other := (audit.Filter{SeenBy: "333333333333"}); other.Match(e) {
		t.Error("an account finds what is not about it")
	}
	if len(e.Changes) != 4 || e.Changes[0].After == "" {
		t.Error("the entry was changed")
	}
}

func TestIDs(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	e := &audit.Entry{Time: at, Account: mine, RequestID: "6f0b7c1e-0000-4000-8000-000000000001"}
	id := e.EntityKey().ID
	if gotAt, account, request, part, err := audit.ParseID(id); !gotAt.Equal(at) || account != mine || request != e.RequestID || part != 0 || err != nil {
		t.Errorf("%s gives %v %s %s %d, %v", id, gotAt, account, request, part, err)
	}
	later, second := *e, *e
	later.Time, second.Part = at.Add(time.Millisecond), 2
	if !(later.EntityKey().ID < id) || !(id < second.EntityKey().ID) {
		t.Errorf("the order is not %s, %s, %s", later.EntityKey().ID, id, second.EntityKey().ID)
	}
	if _, _, _, part, err := audit.ParseID(second.EntityKey().ID); part != 2 || err != nil {
		t.Errorf("part %d, %v", part, err)
	}
	for _, bad := range []string{"", "-", "--", id[1:], "x" + id[1:], id + "x", id + "1", id + "-", id + "-0", id + "-x", id[:40]} {
		if _, _, _, _, err := audit.ParseID(bad); err == nil {
			t.Errorf("%q is taken for an id", bad)
		}
	}
}

func FuzzParseID(f *testing.F) {
	for _, seed := range []string{"", "8232600000000-111111111111-6f0b7c1e-0000-4000-8000-000000000001", "8232600000000-1-6f0b7c1e-0000-4000-8000-000000000001-12", "--"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, id string) {
		at, account, request, part, err := audit.ParseID(id)
		if err != nil {
			return
		}
		e := &audit.Entry{Time: at, Account: account, RequestID: request, Part: part}
		if again, _, _, _, err := audit.ParseID(e.EntityKey().ID); err != nil || !again.Equal(at) {
			t.Errorf("%q gives %q, %v", id, e.EntityKey().ID, err)
		}
	})
}
