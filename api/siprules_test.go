package api

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"carillon/trunk"
)

// ruleFor is a request for a rule with that number as its trigger.
func ruleFor(number string) string {
	return `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"` + number + `","TargetApplications":[{"SipMediaApplicationId":"app-1","Priority":1,"AwsRegion":"us-east-1"}]}`
}

func TestSIPRule(t *testing.T) {
	n := startNode(t)
	host := n.do(t, accountA, "POST", "/voice-connectors", create).text(t, "VoiceConnector", "OutboundHostName")
	a := n.do(t, accountA, "POST", "/sip-rules", `{"Name":"demo","TriggerType":"RequestUriHostname","TriggerValue":"`+host+`","Disabled":true,`+
		`"TargetApplications":[{"SipMediaApplicationId":"app-2","Priority":2,"AwsRegion":"us-west-2"},{"SipMediaApplicationId":"app-1"}]}`).want(t, 201)
	id := a.text(t, "SipRule", "SipRuleId")
	form := func(disabled bool, name, targets, updated string) string {
		return fmt.Sprintf(`{"SipRule":{"CreatedTimestamp":"2026-01-01T00:00:00.000Z","Disabled":%t,"Name":%q,"SipRuleId":%q,"TargetApplications":%s,`+
			`"TriggerType":"RequestUriHostname","TriggerValue":%q,"UpdatedTimestamp":%q}}`, disabled, name, id, targets, host, updated)
	}
	const two, one = `[{"AwsRegion":"us-west-2","Priority":2,"SipMediaApplicationId":"app-2"},{"SipMediaApplicationId":"app-1"}]`, `[{"SipMediaApplicationId":"app-3"}]`
	if want := form(true, "demo", two, "2026-01-01T00:00:00.000Z"); a.Body != want {
		t.Errorf("create answers\n%s, want\n%s", a.Body, want)
	}
	n.clock.Advance(minute)
	for _, c := range []struct{ name, update, want string }{
		{"the name alone", `{"Name":"renamed"}`, form(true, "renamed", two, "2026-01-01T00:01:00.000Z")},
		{"enabled", `{"Name":"renamed","Disabled":false}`, form(false, "renamed", two, "2026-01-01T00:01:00.001Z")},
		{"targets", `{"Name":"renamed","TargetApplications":` + one + `}`, form(false, "renamed", one, "2026-01-01T00:01:00.002Z")},
	} {
		if a := n.do(t, accountA, "PUT", "/sip-rules/"+id, c.update).want(t, 202); a.Body != c.want {
			t.Errorf("%s: update answers\n%s, want\n%s", c.name, a.Body, c.want)
		}
		if a := n.do(t, accountA, "GET", "/sip-rules/"+id, "").want(t, 200); a.Body != c.want {
			t.Errorf("%s: get answers\n%s, want\n%s", c.name, a.Body, c.want)
		}
	}
	n.do(t, accountA, "DELETE", "/sip-rules/"+id, "").want(t, 204)
	n.do(t, accountA, "GET", "/sip-rules/"+id, "").want(t, 404)
	n.do(t, accountA, "DELETE", "/sip-rules/"+id, "").want(t, 404)
	n.do(t, accountA, "PUT", "/sip-rules/"+id, `{"Name":"demo"}`).want(t, 404)
}

// TestSIPRuleTriggers: an account has one rule for a trigger, however it is spelled and however many ask at once.
func TestSIPRuleTriggers(t *testing.T) {
	n := startNode(t)
	host := func(name string) string {
		return `{"Name":"demo","TriggerType":"RequestUriHostname","TriggerValue":"` + name + `","TargetApplications":[{"SipMediaApplicationId":"app-1"}]}`
	}
	n.do(t, accountA, "POST", "/sip-rules", ruleFor("+12065550100")).want(t, 201)
	first := n.do(t, accountA, "POST", "/sip-rules", host("a.voice.test"), "amz-sdk-invocation-id", "one").want(t, 201)
	for name, body := range map[string]string{
		"the same number": ruleFor("+12065550100"), "without its plus sign": ruleFor("12065550100"),
		"the same name": host("a.voice.test"), "in capitals": host("A.Voice.TEST"), "with a dot behind it": host("a.voice.test."),
	} {
		if a := n.do(t, accountA, "POST", "/sip-rules", body); a.Status != 409 || a.errorType() != "ConflictException" || a.text(t, "Code") != "Conflict" {
			t.Errorf("%s: %v", name, a)
		}
	}
	if again := n.do(t, accountA, "POST", "/sip-rules", host("a.voice.test"), "amz-sdk-invocation-id", "one").want(t, 201); again.Body != first.Body {
		t.Errorf("a retry got %s, the first request %s", again.Body, first.Body)
	}
	n.do(t, accountB, "POST", "/sip-rules", ruleFor("+12065550100")).want(t, 201)

	var all sync.WaitGroup
	var mu sync.Mutex
	statuses := map[int]int{}
	for range 8 {
		all.Go(func() {
			a := n.do(t, accountA, "POST", "/sip-rules", ruleFor("+12065550111"))
			mu.Lock()
			defer mu.Unlock()
			statuses[a.Status]++
		})
	}
	all.Wait()
	if statuses[201] != 1 || statuses[409] != 7 {
		t.Errorf("at once: %v, want one 201 and seven 409", statuses)
	}
	// What was deleted is free again.
	id := first.text(t, "SipRule", "SipRuleId")
	n.do(t, accountA, "DELETE", "/sip-rules/"+id, "").want(t, 204)
	n.do(t, accountA, "POST", "/sip-rules", host("a.voice.test")).want(t, 201)
}

func TestSIPRuleRefusals(t *testing.T) {
	n := startNode(t)
	id := n.do(t, accountA, "POST", "/sip-rules", ruleFor("+12065550100")).want(t, 201).text(t, "SipRule", "SipRuleId")
	before := n.revision(t)
	const target = `"TargetApplications":[{"SipMediaApplicationId":"app-1"}]`
	for _, c := range []struct{ name, method, target, body, says string }{
		{"no name", "POST", "/sip-rules", `{"TriggerType":"ToPhoneNumber","TriggerValue":"+12065550101",` + target + `}`, "name"},
		{"no number", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"val",` + target + `}`, "E.164"},
		{"no host", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"RequestUriHostname","TriggerValue":"a b",` + target + `}`, "OutboundHostName"},
		{"unknown trigger", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"Moon","TriggerValue":"full",` + target + `}`, "Moon"},
		{"no targets", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"+12065550101","TargetApplications":[]}`, "targetApplications"},
		{"26 targets", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"+12065550101","TargetApplications":[` +
			strings.Repeat(`{"SipMediaApplicationId":"a"},`, 25) + `{"SipMediaApplicationId":"a"}]}`, "25"},
		{"target without an application", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"+12065550101","TargetApplications":[{}]}`, "SipMediaApplicationId"},
		{"application with a space", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"+12065550101","TargetApplications":[{"SipMediaApplicationId":"a b"}]}`, "printable"},
		{"region of 257", "POST", "/sip-rules", `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"+12065550101","TargetApplications":[{"SipMediaApplicationId":"a","AwsRegion":"` + strings.Repeat("x", 257) + `"}]}`, "256"},
		{"priority 0", "PUT", "/sip-rules/" + id, `{"Name":"demo","TargetApplications":[{"SipMediaApplicationId":"a","Priority":0}]}`, "priority"},
		{"update without a name", "PUT", "/sip-rules/" + id, `{"Disabled":true}`, "name"},
		{"update to no targets", "PUT", "/sip-rules/" + id, `{"Name":"demo","TargetApplications":[]}`, "targetApplications"},
	} {
		a := n.do(t, accountA, c.method, c.target, c.body)
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestListSIPRulesOfApplication: a filter makes pages no shorter and no less complete.
func TestListSIPRulesOfApplication(t *testing.T) {
	n := startNode(t)
	for i := range 12 {
		app := "other"
		if i%4 == 3 {
			app = "mine"
		}
		n.do(t, accountA, "POST", "/sip-rules", strings.Replace(ruleFor(fmt.Sprintf("+120655501%02d", i)), "app-1", app, 1)).want(t, 201)
		n.clock.Advance(minute)
	}
	read := func(query string) (values []string, next string) {
		a := n.do(t, accountA, "GET", "/sip-rules?"+query, "").want(t, 200)
		for _, part := range strings.Split(a.Body, `"TriggerValue":"`)[1:] {
			values = append(values, part[:12])
		}
		return values, a.text(t, "NextToken")
	}
	first, next := read("sip-media-application=mine&max-results=2")
	rest, last := read("sip-media-application=mine&max-results=2&next-token=" + next)
	if got := fmt.Sprint(first, rest); got != "[+12065550103 +12065550107] [+12065550111]" || next == "" || last != "" {
		t.Errorf("got %s, tokens %q and %q", got, next, last)
	}
	if none, next := read("sip-media-application=nobody"); len(none) != 0 || next != "" {
		t.Errorf("of an unknown application: %v %q", none, next)
	}
}

// TestMostRules: an account has no more SIP rules than that, whatever its quotas.
func TestMostRules(t *testing.T) {
	n := startNode(t)
	var rules []trunk.Entity
	for i := range trunk.MaxSIPRules {
		rules = append(rules, &trunk.SIPRule{ID: fmt.Sprint("rule-", i), Account: accountA, Name: "r", Trigger: "RequestUriHostname", TriggerValue: fmt.Sprint(i, ".example")})
	}
	n.put(t, rules...)
	body := `{"Name":"demo","TriggerType":"ToPhoneNumber","TriggerValue":"+12065550199","TargetApplications":[{"SipMediaApplicationId":"app-1","Priority":1,"AwsRegion":"us-east-1"}]}`
	if a := n.do(t, accountA, "POST", "/sip-rules", body).want(t, 400); a.errorType() != "ResourceLimitExceededException" {
		t.Errorf("got %v", a)
	}
	n.remove(t, rules[0].EntityKey())
	n.do(t, accountA, "POST", "/sip-rules", body).want(t, 201)
	if got := len(n.directory.Snapshot().SIPRules(accountA, "", 2000)); got != trunk.MaxSIPRules {
		t.Errorf("%d rules", got)
	}
}
