package api

import (
	"fmt"
	"strings"
	"testing"

	v1 "carillon/api/v1"
	"carillon/call"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

func TestRehearse(t *testing.T) {
	n := startNode(t)
	one := n.create(t, accountA, true)
	mine := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"carillon:Rehearse","Resource":"*"}}`
	})
	others := n.key(t, accountB, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"carillon:Rehearse","Resource":"*"}}`
	})
	ask := func(who string, body string) answer {
		t.Helper()
		return n.as(t, map[string]any{"mine": mine, "others": others, "operator": n.keys[operatorAccount]}[who].(sigv4.Credentials), "POST", v1.Rehearsals, body)
	}
	n.rehearser.answer = call.Rehearsal{Account: accountA, Admitted: true, Targets: []call.RehearsedTarget{{URI: "sip:192.0.2.1;transport=udp", SRTP: "off", Carrier: "north"}}}
	got := decode[v1.Rehearsal](t, ask("mine", `{"from":"+12065550100","to":"+12125550123","source":"203.0.113.7"}`).want(t, 200))
	c, _ := n.directory.Snapshot().Connector(one)
	if q := n.rehearser.asked; q.Host != c.HostName || !q.SRTP || q.Transport != "tls" || q.Source.String() != "203.0.113.7:0" {
		t.Errorf("asked %+v", q)
	}
	if got.Targets[0].URI != "" || got.Targets[0].Carrier == "north" {
		t.Errorf("a tenant is shown the carrier %+v", got.Targets[0])
	}
	theirs := n.create(t, accountB, false)
	own := call.RehearsedTarget{URI: "sip:192.0.2.7;transport=udp", SRTP: "off", ConnectorID: one}
	n.rehearser.answer.Inside, n.rehearser.answer.Targets = theirs, []call.RehearsedTarget{own, {URI: "sip:192.0.2.8;transport=udp", SRTP: "off", ConnectorID: theirs}}
	got = decode[v1.Rehearsal](t, ask("mine", `{"to":"+12125550123","source":"203.0.113.7"}`).want(t, 200))
	if got.Inside != "" || got.Targets[0] != own || got.Targets[1].URI != "" || got.Targets[1].ConnectorID != "" {
		t.Errorf("a tenant is shown another account's hosts: inside %s, %+v", got.Inside, got.Targets)
	}
	n.rehearser.answer.Inside, n.rehearser.answer.Targets = "", []call.RehearsedTarget{{URI: "sip:192.0.2.1;transport=udp", SRTP: "off", Carrier: "north"}}
	two := n.create(t, accountA, false)
	ask("mine", `{"to":"+12125550123","source":"203.0.113.7"}`).want(t, 400) // which one?
	n.put(t, &trunk.PhoneNumber{E164: "+12065550100", Account: accountA, ConnectorID: two})
	ask("mine", `{"from":"+12065550100","to":"+12125550123","source":"203.0.113.7:5060","transport":"udp"}`).want(t, 200)
	if c, _ := n.directory.Snapshot().Connector(two); n.rehearser.asked.Host != c.HostName || n.rehearser.asked.SRTP {
		t.Errorf("asked %+v, want the connector of the number", n.rehearser.asked)
	}
	// Nobody learns of another account's connector, by its id or by its numbers.
	named := fmt.Sprintf(`{"connector_id":%q,"to":"+12125550123","source":"203.0.113.7"}`, one)
	never := strings.Replace(named, one, "zzzzzzzzzzzzzzzzzzzzzz", 1)
	if a, b := ask("others", named), ask("others", never); a.Status != 404 || a.Body != b.Body {
		t.Errorf("another's connector: %v, one that never was: %v", a, b)
	}
	inbound := func(who string, rules []call.RehearsedRule, account, reason string) answer {
		t.Helper()
		n.rehearser.answer = call.Rehearsal{Account: account, Reason: reason, Rules: rules}
		return ask(who, `{"inbound":true,"to":"+12065550100","source":"203.0.113.7"}`)
	}
	rules := []call.RehearsedRule{{Rule: "source", Passed: true}, {Rule: call.RuleNumber}}
	nobodys := inbound("others", rules, "", "number_unknown").want(t, 404)
	for _, account := range []string{accountA, ""} { // of a group that is empty no account is told
		if a := inbound("others", rules, account, "no_route"); a.Status != nobodys.Status || a.Body != nobodys.Body {
			t.Errorf("another account's number: %v, one that nobody has: %v", a, nobodys)
		}
	}
	inbound("mine", rules, "", "number_unknown").want(t, 200) // its own, which leads nowhere
	inbound("others", rules[:1], "", "source_not_allowed").want(t, 200)
	n.rehearser.answer = call.Rehearsal{Account: accountA, Targets: []call.RehearsedTarget{{URI: "sip:192.0.2.1;transport=udp", SRTP: "off", Carrier: "north"}}}
	if a := decode[v1.Rehearsal](t, ask("operator", named).want(t, 200)); a.Targets[0].Carrier != "north" {
		t.Errorf("the operator is shown %+v", a.Targets)
	}
	n.do(t, accountA, "POST", v1.Rehearsals, named).want(t, 403) // the default policy has AWS's operations only
	for _, body := range []string{
		`{}`, `{"to":"+1"}`, `{"to":"+1","source":"nowhere"}`, `{"to":"+1","source":"fe80::1%eth0"}`, `{"to":"+1","source":"203.0.113.7","transport":"sctp"}`,
		`{"to":"` + strings.Repeat("1", 200) + `","source":"203.0.113.7"}`, `{"to":"+1","source":"203.0.113.7","typo":1}`,
	} {
		ask("operator", body).want(t, 400)
	}
}
