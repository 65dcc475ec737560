package api

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"

	"carillon/iam"
	"carillon/trunk"
)

// tagsOfARN lists tags by an ARN in a properly encoded query.
func (n *node) tagsOfARN(t testing.TB, account, arn string) answer {
	t.Helper()
	return n.do(t, account, "GET", "/tags?arn="+url.QueryEscape(arn), "")
}

func tagBody(arn, tags string) string { return fmt.Sprintf(`{"ResourceARN":%q,"Tags":%s}`, arn, tags) }

// TestTagARNs: every form of an ARN names its resource, in all three operations.
func TestTagARNs(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	elsewhere := n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"demo","RequireEncryption":true,"AwsRegion":"eu-west-2"}`).text(t, "VoiceConnector", "VoiceConnectorId")
	group := n.group(t, accountA)
	n.put(t, &trunk.PhoneNumber{E164: "+12065550100", Account: accountA})
	n.put(t, &trunk.PhoneNumber{E164: "+12065550101", Account: accountA, Deleted: n.clock.Now()})
	const us = "arn:aws:chime:us-east-1:" + accountA + ":"
	for i, arn := range []string{
		us + "vc/" + id,
		us + "voice-connector/" + id,
		"arn:aws:chime:eu-central-1:" + accountA + ":vc/" + id,
		"arn:aws:chime::" + accountA + ":vc/" + id,
		"arn:aws-us-gov:chime:us-gov-west-1:" + accountA + ":vc/" + id,
		"arn:aws:chime:eu-west-2:" + accountA + ":vc/" + elsewhere,
		us + "vcg/" + group,
		us + "voice-connector-group/" + group,
		"arn:aws-cn:chime:cn-north-1:" + accountA + ":vcg/" + group,
		us + "phone-number/+12065550100",
		us + "phone-number/12065550100",
		us + "phone-number/%2B12065550100",
		us + "phone-number/%2b12065550100",
		us + "phone-number/%252B12065550100",
		us + "phone-number/ 12065550100", // a query whose plus sign nobody encoded
		"arn:aws:chime:ap-southeast-2:" + accountA + ":phone-number/+12065550100",
		us + "phone-number/+12065550101", // in the deletion queue
	} {
		want := fmt.Sprintf(`{"Tags":[{"Key":"k","Value":"%d"}]}`, i)
		n.do(t, accountA, "POST", "/tags?operation=tag-resource", tagBody(arn, fmt.Sprintf(`[{"Key":"k","Value":"%d"}]`, i))).want(t, 204)
		if a := n.tagsOfARN(t, accountA, arn).want(t, 200); a.Body != want {
			t.Errorf("%s: %s, want %s", arn, a.Body, want)
		}
		if a := n.do(t, accountA, "GET", "/tags?arn="+strings.ReplaceAll(arn, " ", "+"), "").want(t, 200); a.Body != want {
			t.Errorf("%s, not encoded: %s, want %s", arn, a.Body, want)
		}
		if i%2 == 0 {
			n.do(t, accountA, "POST", "/tags?operation=untag-resource", fmt.Sprintf(`{"ResourceARN":%q,"TagKeys":["k"]}`, arn)).want(t, 204)
			if a := n.tagsOfARN(t, accountA, arn).want(t, 200); a.Body != `{"Tags":[]}` {
				t.Errorf("%s: %s is left", arn, a.Body)
			}
		}
	}
}

// TestEmittedARNs: every ARN in an answer is one of which tags can be asked.
func TestEmittedARNs(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	for _, c := range [][3]string{
		{"/voice-connectors/" + s.connector, "VoiceConnector", "VoiceConnectorArn"},
		{"/voice-connector-groups/" + s.group, "VoiceConnectorGroup", "VoiceConnectorGroupArn"},
		{"/phone-numbers/" + url.PathEscape(s.number), "PhoneNumber", "PhoneNumberArn"},
	} {
		arn := n.do(t, accountA, "GET", c[0], "").want(t, 200).text(t, c[1], c[2])
		if a := n.tagsOfARN(t, accountA, arn); arn == "" || a.Status != 200 {
			t.Errorf("%s %q: %v", c[2], arn, a)
		}
	}
}

func TestTagRefusals(t *testing.T) {
	n := startNode(t)
	s, other := n.subject(t, accountA), n.subject(t, accountB)
	n.put(t, &trunk.PhoneNumber{E164: "+12065550177", Account: accountA, Deleted: n.clock.Now().Add(-trunk.DeletionQueue)})
	before := n.revision(t)
	const us = "arn:aws:chime:us-east-1:"
	for _, c := range []struct {
		name, arn string
		status    int
	}{
		{"another account's connector", us + accountB + ":vc/" + other.connector, 404},
		{"another account's group", us + accountB + ":vcg/" + other.group, 404},
		{"another account's number", us + accountB + ":phone-number/" + other.number, 404},
		{"another account's connector as one's own", us + accountA + ":vc/" + other.connector, 404},
		{"another account's group as one's own", us + accountA + ":vcg/" + other.group, 404},
		{"another account's number as one's own", us + accountA + ":phone-number/" + other.number, 404},
		{"one's own as another account's", us + accountB + ":vc/" + s.connector, 404},
		{"one's own group as another account's", us + accountB + ":vcg/" + s.group, 404},
		{"one's own number as another account's", us + accountB + ":phone-number/" + s.number, 404},
		{"unknown connector", us + accountA + ":vc/" + never().connector, 404},
		{"unknown group", us + accountA + ":vcg/" + never().group, 404},
		{"unknown number", us + accountA + ":phone-number/" + never().number, 404},
		{"a number whose time in the queue is over", us + accountA + ":phone-number/+12065550177", 404},
		{"a group as a connector", us + accountA + ":vc/" + s.group, 404},
		{"no account", us + ":vc/" + s.connector, 404},
		{"no id", us + accountA + ":vc/", 400},
		{"no kind", us + accountA + ":" + s.connector, 400},
		{"a SIP rule", us + accountA + ":sip-rule/" + s.rule, 400},
		{"an application", us + accountA + ":sma/" + s.rule, 400},
		{"no number", us + accountA + ":phone-number/front-desk", 400},
		{"a number of two plus signs", us + accountA + ":phone-number/++12065550100", 400},
		{"another service", "arn:aws:s3:us-east-1:" + accountA + ":vc/" + s.connector, 400},
		{"another partition", "arn:azure:chime:us-east-1:" + accountA + ":vc/" + s.connector, 400},
		{"too short", "arn:aws:chime", 400},
		{"no ARN", "vc/" + s.connector, 400},
		{"a line break", us + accountA + ":vc/" + s.connector + "\n", 400},
		{"1,025 characters", us + accountA + ":vc/" + strings.Repeat("a", 1025), 400},
		{"empty", "", 400},
	} {
		for _, a := range []answer{
			n.tagsOfARN(t, accountA, c.arn),
			n.do(t, accountA, "POST", "/tags?operation=tag-resource", tagBody(c.arn, `[{"Key":"k","Value":"v"}]`)),
			n.do(t, accountA, "POST", "/tags?operation=untag-resource", fmt.Sprintf(`{"ResourceARN":%q,"TagKeys":["k"]}`, c.arn)),
		} {
			want := map[int]string{400: "BadRequestException", 404: "NotFoundException"}[c.status]
			if a.Status != c.status || a.errorType() != want || c.status == 404 && a.Body != `{"Code":"NotFound","Message":"Unable to find the requested identifier"}` {
				t.Errorf("%s: got %v, want %d", c.name, a, c.status)
			}
		}
	}
	if a := n.tagsOfARN(t, accountA, us+accountA+":sma/x"); a.text(t, "Message") != "Invalid resource" {
		t.Errorf("got %s, want AWS's words", a.Body)
	}
	n.do(t, accountA, "GET", "/tags", "").want(t, 400)
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestTags: tags merge, those of the create included; nothing else of the resource changes.
func TestTags(t *testing.T) {
	n := startNode(t)
	const voice, chime = "voice-chime.us-east-1.amazonaws.com", "chime.us-east-1.amazonaws.com"
	made := n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"demo","RequireEncryption":true,"Tags":[{"Key":"one","Value":"1"},{"Key":"two","Value":"2"}]}`).want(t, 201)
	id, arn := made.text(t, "VoiceConnector", "VoiceConnectorId"), made.text(t, "VoiceConnector", "VoiceConnectorArn")
	n.clock.Advance(minute)
	for _, c := range []struct{ name, operation, host, body, want string }{
		{"those of the create", "", "", "", "one=1 two=2"},
		{"a new value and a new key", "tag-resource", voice, tagBody(arn, `[{"Key":"two","Value":"zwei"},{"Key":"three","Value":""}]`), "one=1 two=zwei three="},
		{"keys have a case", "tag-resource", voice, tagBody(arn, `[{"Key":"One","Value":"x"}]`), "one=1 two=zwei three= One=x"},
		{"one there and one not", "untag-resource", chime, `{"ResourceARN":"` + arn + `","TagKeys":["two","four"]}`, "one=1 three= One=x"},
		{"the same again", "untag-resource", chime, `{"ResourceARN":"` + arn + `","TagKeys":["two","four"]}`, "one=1 three= One=x"},
	} {
		if c.operation != "" {
			if a := n.do(t, accountA, "POST", "/tags?operation="+c.operation, c.body, "Host", c.host).want(t, 204); a.Body != "" {
				t.Errorf("%s: answered %q", c.name, a.Body)
			}
		}
		n.wantTags(t, c.name, arn, c.want)
	}
	if got := n.do(t, accountA, "GET", "/voice-connectors/"+id, "").want(t, 200); got.Body != made.Body {
		t.Errorf("the connector is now %s, was %s", got.Body, made.Body)
	}
}

func (n *node) wantTags(t *testing.T, name, arn, want string) {
	t.Helper()
	a := n.tagsOfARN(t, accountA, arn).want(t, 200)
	list, _ := a.member(t, "Tags").([]any)
	var got []string
	for _, e := range list {
		tag, _ := e.(map[string]any)
		got = append(got, fmt.Sprint(tag["Key"], "=", tag["Value"]))
	}
	if list == nil || strings.Join(got, " ") != want {
		t.Errorf("%s: tags are %s, want %s", name, a.Body, want)
	}
}

func TestTagLimits(t *testing.T) {
	n := startNode(t)
	const voice, chime = "voice-chime.us-east-1.amazonaws.com", "chime.us-east-1.amazonaws.com"
	arn := trunk.ConnectorARN("us-east-1", accountA, n.create(t, accountA, true))
	var tags []string
	for i := range trunk.MaxTags {
		tags = append(tags, fmt.Sprintf(`{"Key":"k%d","Value":"v"}`, i))
	}
	n.do(t, accountA, "POST", "/tags?operation=tag-resource", tagBody(arn, "["+strings.Join(tags, ",")+"]")).want(t, 204)
	n.do(t, accountA, "POST", "/tags?operation=tag-resource", tagBody(arn, `[{"Key":"k7","Value":"w"}]`)).want(t, 204)
	before := n.revision(t)
	long := strings.Repeat("ü", 129)
	for _, c := range []struct{ name, host, tags, exception, says string }{
		{"a 51st", voice, `[{"Key":"k50","Value":"v"}]`, "ResourceLimitExceededException", "50"},
		{"a 51st in chime", chime, `[{"Key":"k50","Value":"v"}]`, "BadRequestException", "50"},
		{"51 at once", voice, "[" + strings.Join(tags, ",") + `,{"Key":"k","Value":"v"}]`, "BadRequestException", "50"},
		{"none", voice, `[]`, "BadRequestException", "tags"},
		{"one key twice", voice, `[{"Key":"k1","Value":"v"},{"Key":"k1","Value":"w"}]`, "BadRequestException", "twice"},
		{"AWS's own", voice, `[{"Key":"aws:createdBy","Value":"v"}]`, "BadRequestException", "aws:"},
		{"AWS's own in capitals", voice, `[{"Key":"AWS:x","Value":"v"}]`, "BadRequestException", "aws:"},
		{"no key", voice, `[{"Value":"v"}]`, "BadRequestException", "key"},
		{"long key", voice, `[{"Key":"` + long + `","Value":"v"}]`, "BadRequestException", "128"},
		{"long value", voice, `[{"Key":"k1","Value":"` + long + long + `"}]`, "BadRequestException", "256"},
		{"empty value in chime", chime, `[{"Key":"k1","Value":""}]`, "BadRequestException", "value"},
		{"no value", voice, `[{"Key":"k1"}]`, "BadRequestException", "value"},
	} {
		a := n.do(t, accountA, "POST", "/tags?operation=tag-resource", tagBody(arn, c.tags), "Host", c.host)
		if a.Status != 400 || a.errorType() != c.exception || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %v, want %s with %q", c.name, a, c.exception, c.says)
		}
	}
	n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"demo","RequireEncryption":true,"Tags":[{"Key":"aws:x","Value":"v"}]}`).want(t, 400)
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestTagsAtOnce: of many who tag one resource at the same moment nobody's tag is lost.
func TestTagsAtOnce(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	for _, arn := range []string{
		trunk.ConnectorARN("us-east-1", accountA, s.connector), trunk.GroupARN(accountA, s.group),
		"arn:aws:chime:us-east-1:" + accountA + ":phone-number/" + s.number,
	} {
		var all sync.WaitGroup
		for i := range 8 {
			all.Go(func() {
				if a := n.do(t, accountA, "POST", "/tags?operation=tag-resource", tagBody(arn, fmt.Sprintf(`[{"Key":"k%d","Value":"v"}]`, i))); a.Status != 204 {
					t.Errorf("%s: %v", arn, a)
				}
			})
		}
		all.Wait()
		tags, _ := n.tagsOfARN(t, accountA, arn).want(t, 200).member(t, "Tags").([]any)
		if len(tags) != 8 {
			t.Errorf("%s has %d tags, want 8", arn, len(tags))
		}
	}
}

// TestTagPolicies: a policy judges the resource that the handler acts on, by its ARN and its tags.
func TestTagPolicies(t *testing.T) {
	n := startNode(t)
	mine, other := n.subject(t, accountA), n.subject(t, accountA)
	arn := func(s subject) string { return trunk.ConnectorARN("us-east-1", accountA, s.connector) }
	key := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:*Tag*","Resource":["` + arn(mine) + `","` + trunk.GroupARN(accountA, mine.group) +
			`","arn:aws:chime:us-east-1:` + accountA + `:phone-number/` + mine.number + `"]}}`
	})
	tags := `"Tags":[{"Key":"k","Value":"v"}]`
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"mine", `{"ResourceARN":"` + arn(mine) + `",` + tags + `}`, 204},
		{"mine, of another region and form", `{"ResourceARN":"arn:aws:chime:eu-west-1:` + accountA + `:voice-connector/` + mine.connector + `",` + tags + `}`, 204},
		{"my group", `{"ResourceARN":"arn:aws:chime:eu-west-1:` + accountA + `:voice-connector-group/` + mine.group + `",` + tags + `}`, 204},
		{"my number", `{"ResourceARN":"arn:aws:chime:eu-west-1:` + accountA + `:phone-number/%2B` + mine.number[1:] + `",` + tags + `}`, 204},
		{"another", `{"ResourceARN":"` + arn(other) + `",` + tags + `}`, 403},
		{"another group", `{"ResourceARN":"` + trunk.GroupARN(accountA, other.group) + `",` + tags + `}`, 403},
		{"another number", `{"ResourceARN":"arn:aws:chime:us-east-1:` + accountA + `:phone-number/` + other.number + `",` + tags + `}`, 403},
		{"nothing", `{"ResourceARN":"arn:aws:chime:us-east-1:` + accountA + `:x/y",` + tags + `}`, 403},
		// One reading for the judge and the handler: the last member of that very name.
		{"two members, mine last", `{"ResourceARN":"` + arn(other) + `","ResourceARN":"` + arn(mine) + `",` + tags + `}`, 204},
		{"two members, another last", `{"ResourceARN":"` + arn(mine) + `","ResourceARN":"` + arn(other) + `",` + tags + `}`, 403},
		{"a member in other letters", `{"ResourceARN":"` + arn(mine) + `","resourceARN":"` + arn(other) + `",` + tags + `}`, 204},
	} {
		if a := n.as(t, key, "POST", "/tags?operation=tag-resource", c.body); a.Status != c.want {
			t.Errorf("%s: got %v, want %d", c.name, a, c.want)
		}
	}
	for _, resource := range []string{arn(other), trunk.GroupARN(accountA, other.group), "arn:aws:chime:us-east-1:" + accountA + ":phone-number/" + other.number} {
		if a := n.tagsOfARN(t, accountA, resource).want(t, 200); a.Body != `{"Tags":[]}` {
			t.Errorf("%s: %s", resource, a.Body)
		}
	}
	// Tags of every kind of resource open it to whoever asks by them.
	byTag := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/k":"v"}}}}`
	})
	for s, want := range map[subject]int{mine: 200, other: 403} {
		for _, target := range []string{"/voice-connectors/" + s.connector, "/voice-connector-groups/" + s.group, "/phone-numbers/" + url.PathEscape(s.number)} {
			if a := n.as(t, byTag, "GET", target, ""); a.Status != want {
				t.Errorf("%s by its tag: %v, want %d", target, a, want)
			}
		}
	}
}

func FuzzTaggable(f *testing.F) {
	for _, arn := range []string{
		"arn:aws:chime:us-east-1:111111111111:vc/a", "arn:aws-cn:chime:::vcg/b/c", "arn:aws:chime:us-east-1:1:phone-number/%252B12065550100",
		"arn:aws:chime:us-east-1:1:phone-number/ 12065550100", "arn:aws:chime:a:b:c:d/e", "arn::::::", "",
	} {
		f.Add(arn)
	}
	f.Fuzz(func(t *testing.T, arn string) {
		got, err := parseTaggable(arn)
		if err != nil {
			if trunk.KindOf(err) != trunk.Invalid || got != (taggable{}) {
				t.Errorf("%q: %v with %+v", arn, err, got)
			}
			return
		}
		// The canonical ARN names the same thing, and one thing only.
		names, canonical := 0, ""
		if got.connector != "" {
			names, canonical = names+1, trunk.ConnectorARN(trunk.Region(got.region), got.account, got.connector)
		}
		if got.group != "" {
			names, canonical = names+1, trunk.GroupARN(got.account, got.group)
		}
		if got.number != "" {
			names, canonical = names+1, (&trunk.PhoneNumber{E164: got.number, Account: got.account}).ARN()
		}
		again, err := parseTaggable(canonical)
		again.region = got.region
		if names != 1 || err != nil || again != got {
			t.Errorf("%q is %+v, and %q is %+v, %v", arn, got, canonical, again, err)
		}
	})
}
