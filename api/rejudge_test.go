package api

import (
	"testing"

	v1 "carillon/api/v1"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

// TestDenyOnANodeThatIsBehind: what another node has tagged, or made in a region, a moment ago is forbidden here too,
// though the snapshot does not show it yet.
func TestDenyOnANodeThatIsBehind(t *testing.T) {
	n := startNode(t)
	lagging := &laggingDirectory{Directory: n.directory}
	n.Server.config.Directory = lagging
	behind := func(change func()) {
		lagging.mu.Lock()
		lagging.old = n.directory.Snapshot()
		lagging.mu.Unlock()
		change()
	}
	key := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},` +
			`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/frozen":"yes"}}},` +
			`{"Effect":"Deny","Action":"*","Resource":"arn:aws:chime:us-west-2:*:vc/*"}]}`
	})
	frozen := []trunk.Tag{{Key: "frozen", Value: "yes"}}
	connector := n.create(t, accountA, true)
	known, _ := n.directory.Snapshot().Connector(connector)
	const number = "+12065550123"
	n.order(t, accountA, number)
	tag := func() {
		c := known.Clone()
		c.Tags = frozen
		n.put(t, c)
	}
	untag := func() { n.put(t, known) }
	path := "/voice-connectors/" + connector
	for _, w := range []struct{ method, target, body string }{
		{"PUT", path, `{"Name":"other","RequireEncryption":true}`},
		{"DELETE", path, ""},
		{"PUT", path + "/termination", usTermination},
		{"POST", "/tags?operation=untag-resource", `{"ResourceARN":"` + known.ARN() + `","TagKeys":["frozen"]}`},
		{"PUT", v1.Connectors + "/" + connector + "/settings", `{"digest":["md5"]}`},
	} {
		untag()
		behind(tag)
		n.as(t, key, w.method, w.target, w.body).want(t, 403)
		if c, ok := n.directory.Snapshot().Connector(connector); !ok || c.Name != known.Name || c.Termination != nil || len(c.Tags) != 1 {
			t.Errorf("%s %s: the connector is %+v", w.method, w.target, c)
		}
		// The other way about, what is allowed by now is not: the request was refused before it was looked at.
		behind(untag)
		n.as(t, key, w.method, w.target, w.body).want(t, 403)
	}
	behind(func() {
		e, _ := n.directory.Snapshot().Number(number)
		tagged := e.Clone()
		tagged.Tags = frozen
		n.put(t, tagged)
	})
	n.as(t, key, "POST", "/phone-numbers/"+number, `{"Name":"mine"}`).want(t, 403)

	// What this node has not heard of at all.
	made := func(id string, region trunk.Region, tags []trunk.Tag) func() {
		return func() {
			c := known.Clone()
			c.ID, c.Region, c.Tags, c.HostName = id, region, tags, region.HostName(id, "voice.test")
			n.put(t, c)
		}
	}
	for id, change := range map[string]func(){
		"aaaaaaaaaaaaaaaaaaaaa1": made("aaaaaaaaaaaaaaaaaaaaa1", "us-east-1", frozen),
		"aaaaaaaaaaaaaaaaaaaaa2": made("aaaaaaaaaaaaaaaaaaaaa2", "us-west-2", nil),
	} {
		behind(change)
		n.as(t, key, "PUT", "/voice-connectors/"+id, `{"Name":"other","RequireEncryption":true}`).want(t, 403)
	}
	for id, change := range map[string]func(){
		"bbbbbbbbbbbbbbbbbbbbb1": made("bbbbbbbbbbbbbbbbbbbbb1", "us-east-1", frozen),
		"bbbbbbbbbbbbbbbbbbbbb2": made("bbbbbbbbbbbbbbbbbbbbb2", "us-west-2", nil),
	} {
		behind(change)
		n.as(t, key, "GET", "/voice-connectors/"+id, "").want(t, 403)
	}
	behind(made("ccccccccccccccccccccc1", "us-east-1", nil))
	n.as(t, key, "PUT", "/voice-connectors/ccccccccccccccccccccc1", `{"Name":"other","RequireEncryption":true}`).want(t, 200)
}

// TestOperatorsOwnPolicy: a Deny of a tenant's connector holds for an operator whose policy has it.
func TestOperatorsOwnPolicy(t *testing.T) {
	n := startNode(t)
	mine, theirs := n.create(t, accountA, true), n.create(t, accountB, true)
	c, _ := n.directory.Snapshot().Connector(mine)
	key := n.key(t, operatorAccount, func(k *iam.AccessKey) {
		k.Operator = true
		k.Policy = `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"carillon:*","Resource":"` + c.ARN() + `"}]}`
	})
	tagged := n.key(t, operatorAccount, func(k *iam.AccessKey) {
		k.Operator = true
		k.Policy = `{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/frozen":"yes"}}}]}`
	})
	frozen := c.Clone()
	frozen.Tags = []trunk.Tag{{Key: "frozen", Value: "yes"}}
	n.put(t, frozen)
	for id, want := range map[string]int{mine: 403, theirs: 200} {
		path := v1.Connectors + "/" + id + "/settings"
		for _, operator := range []sigv4.Credentials{key, tagged} {
			n.as(t, operator, "GET", path, "").want(t, want)
			n.as(t, operator, "PUT", path, `{"digest":["md5"]}`).want(t, want)
		}
	}
}
