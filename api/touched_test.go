package api

import (
	"maps"
	"testing"
	"time"

	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

// TestPolicyOfWhatARequestTouches: the policy is heard about everything a request names or takes from, not only about the
// resource it is for.
func TestPolicyOfWhatARequestTouches(t *testing.T) {
	n := startNode(t)
	mine, other := n.subject(t, accountA), n.subject(t, accountA)
	numberARN := func(e164 string) string { return "arn:aws:chime:us-east-1:" + accountA + ":phone-number/" + e164 }
	connectorARN := func(id string) string { return trunk.ConnectorARN(trunk.DefaultRegion, accountA, id) }
	as := func(policy string) sigv4.Credentials {
		return n.key(t, accountA, func(k *iam.AccessKey) { k.Policy = `{"Statement":[` + policy + `]}` })
	}
	const all = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	deny := func(arn string) string { return all + `,{"Effect":"Deny","Action":"*","Resource":"` + arn + `"}` }
	n.order(t, accountA, "+12065550100", "+12065550101", "+12065550102")
	n.pool(t, "+12065550109")
	tagged := n.stored(t, "+12065550100")
	tagged.Tags = []trunk.Tag{{Key: "team", Value: "voice"}}
	n.put(t, &tagged)

	t.Run("batch", func(t *testing.T) {
		// What allows some numbers does not allow the others, though both are the account's.
		byTag := as(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEqualsIfExists":{"aws:ResourceTag/team":"voice"}}},` +
			`{"Effect":"Deny","Action":"*","Resource":"` + numberARN("+12065550101") + `"}`)
		a := n.as(t, byTag, "POST", "/phone-numbers?operation=batch-update", `{"UpdatePhoneNumberRequestItems":[{"PhoneNumberId":"+12065550100","Name":"one"},{"PhoneNumberId":"+12065550101","Name":"one"}]}`).want(t, 200)
		if got := a.numberErrors(t); !maps.Equal(got, map[string]string{"+12065550101": "AccessDenied"}) {
			t.Errorf("got %v", got)
		}
		only := as(`{"Effect":"Allow","Action":"*","Resource":["` + numberARN("*") + `"],"Condition":{"Null":{"aws:ResourceTag/team":"true"}}}`)
		a = n.as(t, only, "POST", "/phone-numbers?operation=batch-delete", `{"PhoneNumberIds":["+12065550100"]}`).want(t, 200)
		if got := a.numberErrors(t); !maps.Equal(got, map[string]string{"+12065550100": "AccessDenied"}) {
			t.Errorf("a number that no statement allows: %v", got)
		}
	})
	t.Run("associate", func(t *testing.T) {
		path := "/voice-connectors/" + mine.connector + "?operation=associate-phone-numbers"
		a := n.as(t, as(deny(numberARN("+12065550101"))), "POST", path, numbersBody(false, "+12065550101")).want(t, 200)
		if got := a.numberErrors(t); !maps.Equal(got, map[string]string{"+12065550101": "AccessDenied"}) {
			t.Errorf("a denied number: %v", got)
		}
		// The usual policy names the connector only, and is enough for numbers that nobody has.
		own := as(`{"Effect":"Allow","Action":"chime:*","Resource":"` + connectorARN(mine.connector) + `"}`)
		if got := n.as(t, own, "POST", path, numbersBody(false, "+12065550101")).want(t, 200).Body; got != `{"PhoneNumberErrors":[]}` {
			t.Errorf("a free number: %s", got)
		}
		for from, target := range map[string]string{
			"connector": "/voice-connectors/" + other.connector, "group": "/voice-connector-groups/" + other.group,
		} {
			n.do(t, accountA, "POST", target+"?operation=associate-phone-numbers", numbersBody(true, "+12065550102")).want(t, 200)
			a = n.as(t, own, "POST", path, numbersBody(true, "+12065550102")).want(t, 200)
			if got := a.numberErrors(t); !maps.Equal(got, map[string]string{"+12065550102": "AccessDenied"}) {
				t.Errorf("taken from a %s that the policy does not allow: %v", from, got)
			}
		}
	})
	t.Run("order", func(t *testing.T) {
		n.as(t, as(deny(numberARN("+12065550109"))), "POST", "/phone-number-orders", `{"ProductType":"VoiceConnector","E164PhoneNumbers":["+12065550109"]}`).want(t, 403)
		if number := n.stored(t, "+12065550109"); number.Account != "" {
			t.Errorf("ordered for %s", number.Account)
		}
	})
	t.Run("group", func(t *testing.T) {
		denied := as(deny(connectorARN(other.connector)))
		members := `{"Name":"demo","VoiceConnectorItems":[{"VoiceConnectorId":"` + other.connector + `","Priority":1}]}`
		n.as(t, denied, "POST", "/voice-connector-groups", members).want(t, 403)
		group := n.group(t, accountA)
		n.as(t, denied, "PUT", "/voice-connector-groups/"+group, members).want(t, 403)
		n.do(t, accountA, "PUT", "/voice-connector-groups/"+group, members).want(t, 202)
		n.as(t, denied, "PUT", "/voice-connector-groups/"+group, `{"Name":"demo","VoiceConnectorItems":[]}`).want(t, 403)
	})
}

// TestTagKeysInCapitals: a second tag whose key differs in capitals only gives nobody what the first alone would not.
func TestTagKeysInCapitals(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	arn := trunk.ConnectorARN(trunk.DefaultRegion, accountA, id)
	n.do(t, accountA, "POST", "/tags?operation=tag-resource", `{"ResourceARN":"`+arn+`","Tags":[{"Key":"team","Value":"sip"},{"Key":"Team","Value":"voice"}]}`).want(t, 204)
	const both = `{"Name":"demo","RequireEncryption":true,"Tags":[{"Key":"team","Value":"sip"},{"Key":"TEAM","Value":"voice"}]}`
	for name, policy := range map[string]string{
		"allowed by the tag":     `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"voice"}}}`,
		"allowed without it":     `{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:ResourceTag/team":"admin"}}}`,
		"denied by the tag":      `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"sip"}}}`,
		"denied for another one": `{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:ResourceTag/team":"voice"}}}`,
	} {
		key := n.key(t, accountA, func(k *iam.AccessKey) { k.Policy = `{"Statement":[` + policy + `]}` })
		if a := n.as(t, key, "GET", "/voice-connectors/"+id, ""); a.Status != 403 {
			t.Errorf("%s: %d", name, a.Status)
		}
	}
	key := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:RequestTag/team":"voice"}}}}`
	})
	n.as(t, key, "POST", "/voice-connectors", both).want(t, 403)
}

// TestReplay: the same bytes make one connector for as long as their signature is good, also when it is dated ahead.
func TestReplay(t *testing.T) {
	n := startNode(t)
	first := ""
	h := newRequest("POST", "/voice-connectors", create, "Amz-Sdk-Invocation-Id", "one")
	sigv4.Sign(h, []byte(create), n.keys[accountA], sigv4.Scope{Region: "eu-west-1", Service: "chime"}, n.clock.Now().Add(sigv4.Window))
	for range 3 {
		again := newRequest("POST", "/voice-connectors", create)
		again.Header = h.Header.Clone()
		a := n.send(t, again).want(t, 201)
		id := a.text(t, "VoiceConnector", "VoiceConnectorId")
		if first == "" {
			first = id
		}
		if id != first {
			t.Error("made a second connector")
		}
		n.clock.Advance(sigv4.Window)
	}
	again := newRequest("POST", "/voice-connectors", create)
	again.Header = h.Header.Clone()
	n.clock.Advance(time.Second)
	n.send(t, again).want(t, 403)
}

// TestTargetOfAnotherResource: a signature for one resource is not good for another one, whatever form the target has.
func TestTargetOfAnotherResource(t *testing.T) {
	n := startNode(t)
	one, two := n.create(t, accountA, true), n.create(t, accountA, true)
	target := "/voice-connectors/" + two + "?y=://h/voice-connectors/" + one
	for _, scheme := range []string{"x:", "http:", "https:", "x://" + "h"} {
		h := newRequest("GET", "/voice-connectors/"+one, "")
		sigv4.Sign(h, nil, n.keys[accountA], sigv4.Scope{Region: "eu-west-1", Service: "chime"}, n.clock.Now())
		sent := newRequest("GET", target, "")
		sent.Header, sent.Host, sent.RequestURI = h.Header, h.Host, scheme+target
		sent.URL.Scheme = scheme[:len(scheme)-1]
		if a := n.send(t, sent); a.Status != 403 {
			t.Errorf("%s: %d %s", sent.RequestURI, a.Status, a.Body)
		}
	}
}
