package api

import (
	"slices"
	"testing"

	"carillon/api/wire"
	"carillon/iam"
	"carillon/restjson"
	"carillon/trunk"
)

// TestTagConditions: policies may ask for the tags of the connector and of the request.
func TestTagConditions(t *testing.T) {
	n := startNode(t)
	tagged, bare, theirs := n.create(t, accountA, true), n.create(t, accountA, true), n.create(t, accountB, true)
	for _, id := range []string{tagged, theirs} {
		c, _ := n.directory.Snapshot().Connector(id)
		c = c.Clone()
		c.Tags = []trunk.Tag{{Key: "Team", Value: "voice"}}
		n.put(t, c)
	}
	allow := func(condition string) string {
		return `{"Statement":{"Effect":"Allow","Action":"chime:*","Resource":"*","Condition":` + condition + `}}`
	}
	const withTags = `{"Name":"demo","RequireEncryption":true,"Tags":[{"Key":"Team","Value":"voice"},{"Key":"cost","Value":"1"}]}`
	const twice = `{"Name":"demo","RequireEncryption":true,"Tags":[{"Key":"Team","Value":"voice"}],"Tags":[{"Key":"Team","Value":"sip"}]}`
	for _, c := range []struct {
		name, policy, method, target, body string
		want                               int
	}{
		{"resource tag", allow(`{"StringEquals":{"aws:ResourceTag/team":"voice"}}`), "GET", "/voice-connectors/" + tagged, "", 200},
		{"resource without it", allow(`{"StringEquals":{"aws:ResourceTag/team":"voice"}}`), "GET", "/voice-connectors/" + bare, "", 403},
		{"another account's", allow(`{"StringEquals":{"aws:ResourceTag/team":"voice"}}`), "GET", "/voice-connectors/" + theirs, "", 403},
		{"no one resource", allow(`{"StringEquals":{"aws:ResourceTag/team":"voice"}}`), "GET", "/voice-connectors", "", 403},
		{"own operation", `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/team":"voice"}}}}`, "GET", "/carillon/v1/connectors/" + tagged + "/settings", "", 200},
		{"request tag", allow(`{"StringEquals":{"aws:RequestTag/Team":"voice"}}`), "POST", "/voice-connectors", withTags, 201},
		{"request tag of another value", allow(`{"StringEquals":{"aws:RequestTag/Team":"sip"}}`), "POST", "/voice-connectors", withTags, 403},
		{"request without tags", allow(`{"StringEquals":{"aws:RequestTag/Team":"voice"}}`), "POST", "/voice-connectors", create, 403},
		{"tag keys", allow(`{"ForAllValues:StringEquals":{"aws:TagKeys":["Team","cost"]}}`), "POST", "/voice-connectors", withTags, 201},
		{"one key too many", allow(`{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}`), "POST", "/voice-connectors", withTags, 403},
		{"a request that is refused anyway", allow(`{"ForAllValues:StringEquals":{"aws:TagKeys":["Team"]}}`), "POST", "/voice-connectors", withTags + "x", 400},
		// What is judged must be what is done.
		{"the handler's reading of two members", allow(`{"StringEquals":{"aws:RequestTag/Team":"sip"}}`), "POST", "/voice-connectors", twice, 201},
		{"not the other reading", allow(`{"StringEquals":{"aws:RequestTag/Team":"voice"}}`), "POST", "/voice-connectors", twice, 403},
	} {
		key := n.key(t, accountA, func(k *iam.AccessKey) { k.Policy = c.policy })
		a := n.as(t, key, c.method, c.target, c.body)
		if a.Status != c.want {
			t.Errorf("%s: got %d %s, want %d", c.name, a.Status, a.Body, c.want)
		}
		if c.body == twice && a.Status == 201 {
			made, _ := n.directory.Snapshot().Connector(a.text(t, "VoiceConnector", "VoiceConnectorId"))
			if !slices.Equal(made.Tags, []trunk.Tag{{Key: "Team", Value: "sip"}}) {
				t.Errorf("%s: made with %v", c.name, made.Tags)
			}
		}
	}
}

// TestTokenIssueTime: sessions from before a moment can be denied, permanent keys have none.
func TestTokenIssueTime(t *testing.T) {
	n := startNode(t)
	const policy = `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"2026-01-01T00:00:01Z"}}}]}`
	for temporary, want := range map[bool]int{true: 403, false: 200} {
		key := n.key(t, accountA, func(k *iam.AccessKey) {
			k.Policy = policy
			if temporary {
				k.SessionToken, k.Expires = trunk.NewSecret("t"), n.clock.Now().Add(minute)
			}
		})
		n.as(t, key, "GET", "/voice-connectors", "").want(t, want)
	}
}

// TestRequestTagsAreKnown: of every operation that takes tags or their keys, policies see them.
func TestRequestTagsAreKnown(t *testing.T) {
	known := []wire.OperationID{wire.OpCreateVoiceConnector, wire.OpTagResource, wire.OpUntagResource}
	offered := offeredOperations()
	found := 0
	for _, op := range wire.Operations() {
		shape := op.In(wire.Either).Input
		if !slices.ContainsFunc(shape.Members, func(m restjson.Member) bool { return m.Name == "Tags" || m.Name == "TagKeys" }) {
			continue
		}
		found++
		if _, ok := offered[op.ID]; ok && !slices.Contains(known, op.ID) {
			t.Errorf("addRequestTags does not know %s", op.Name)
		}
	}
	if found < len(known) {
		t.Errorf("only %d operations with tags in the model", found)
	}
}
