package api

import (
	"strings"
	"testing"

	v1 "carillon/api/v1"
	"carillon/trunk"
)

// stored returns a number as it is stored.
func (n *node) stored(t *testing.T, e164 trunk.Number) trunk.PhoneNumber {
	t.Helper()
	number, ok := n.directory.Snapshot().Number(e164)
	if !ok {
		t.Fatalf("%s is gone", e164)
	}
	return *number
}

// TestImportMoves: an import leaves to an account what it said of a number, and gives it to another one bare.
func TestImportMoves(t *testing.T) {
	n := startNode(t)
	s, other := n.subject(t, accountA), n.subject(t, accountA)
	const e164 = "+12065550100"
	order := n.order(t, accountA, e164)
	n.do(t, accountA, "POST", "/phone-numbers/"+e164, `{"Name":"desk"}`).want(t, 200)
	n.do(t, accountA, "POST", "/phone-numbers/"+e164, `{"ProductType":"SipMediaApplicationDialIn"}`).want(t, 200)
	bring := func(rest string) v1.Number {
		t.Helper()
		a := n.do(t, operatorAccount, "POST", v1.Numbers, `{"numbers":["`+e164+`"]`+rest+`}`).want(t, 200)
		return decode[v1.NumberList](t, a).Numbers[0]
	}
	before := n.revision(t)
	bring("")
	bring(`,"account":"` + accountA + `"`)
	if n.revision(t) != before {
		t.Error("an import that changes nothing was stored")
	}
	bring(`,"connector_id":"` + s.connector + `"`)
	got := n.stored(t, e164)
	if got.ConnectorID != s.connector || got.Name != "desk" || got.OrderID != order || got.Product() != trunk.ProductVoiceConnector || got.Associated.IsZero() {
		t.Errorf("to a connector of its account: %+v", got)
	}
	n.do(t, accountA, "POST", "/voice-connector-groups/"+s.group+"?operation=associate-phone-numbers", numbersBody(true, e164)).want(t, 200)
	if own := bring(`,"account":"` + accountA + `"`); own.GroupID != s.group {
		t.Errorf("to the account that has it: %+v", own)
	}
	bring(`,"connector_id":"` + other.connector + `"`)
	if got = n.stored(t, e164); got.ConnectorID != other.connector || got.GroupID != "" {
		t.Errorf("from a group to a connector: %+v", got)
	}
	bring(`,"account":"` + accountB + `"`)
	got = n.stored(t, e164)
	if got.Account != accountB || got.IsAssociated() || got.Name != "" || got.OrderID != "" || !got.Associated.IsZero() {
		t.Errorf("to another account: %+v", got)
	}
	n.do(t, accountA, "GET", "/phone-numbers/"+e164, "").want(t, 404)
	n.do(t, accountB, "DELETE", "/phone-numbers/"+e164, "").want(t, 204)
	if own := bring(""); own.Deleted == nil || own.Account != accountB {
		t.Errorf("to the pool while it is in the deletion queue: %+v", own)
	}
	if own := bring(`,"account":"` + accountB + `"`); own.Deleted != nil {
		t.Errorf("out of the deletion queue: %+v", own)
	}
	n.do(t, accountB, "DELETE", "/phone-numbers/"+e164, "").want(t, 204)
	n.clock.Advance(trunk.DeletionQueue)
	if list := n.do(t, operatorAccount, "GET", v1.Numbers+"?account="+accountB, "").want(t, 200); strings.Contains(list.Body, e164) {
		t.Errorf("lapsed, and listed: %s", list.Body)
	}
	if list := n.do(t, operatorAccount, "GET", v1.Numbers, "").want(t, 200); !strings.Contains(list.Body, `{"number":"`+e164+`","created"`) {
		t.Errorf("lapsed, and not in the pool: %s", list.Body)
	}
	if bring(""); n.stored(t, e164).Account != "" {
		t.Errorf("lapsed, and not brought to the pool: %+v", n.stored(t, e164))
	}
}

func TestReleaseNumbers(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	n.order(t, accountA, "+12065550100", "+12065550101")
	n.pool(t, "+12065550102")
	n.do(t, accountA, "POST", "/voice-connectors/"+s.connector+"?operation=associate-phone-numbers", numbersBody(false, "+12065550100")).want(t, 200)
	const target = v1.Numbers + "?operation=release"
	a := n.do(t, operatorAccount, "POST", target, `{"numbers":["+12065550100","+12065550102"]}`).want(t, 200)
	if got := decode[v1.NumberList](t, a).Numbers; len(got) != 2 || got[0].Account != "" || got[0].ConnectorID != "" {
		t.Errorf("released: %s", a.Body)
	}
	if got := found(t, n.do(t, accountB, "GET", "/search?type=phone-numbers", "").want(t, 200)); strings.Join(got, " ") != "+12065550100 +12065550102" {
		t.Errorf("in the pool: %v", got)
	}
	before := n.revision(t)
	n.do(t, operatorAccount, "POST", target, `{"numbers":["+12065550101","+12065550999"]}`).want(t, 404)
	n.do(t, operatorAccount, "POST", target, `{"numbers":["+12065550101","+12065550999"],"remove":true}`).want(t, 404)
	n.do(t, operatorAccount, "POST", target, `{"numbers":[]}`).want(t, 400)
	n.do(t, accountA, "POST", target, `{"numbers":["+12065550101"]}`).want(t, 403)
	if n.revision(t) != before {
		t.Error("something was stored")
	}
	if got := n.do(t, operatorAccount, "POST", target, `{"numbers":["+12065550101","+12065550102"],"remove":true}`).want(t, 200).Body; got != `{"numbers":[],"next_token":null}` {
		t.Errorf("removed: %s", got)
	}
	n.do(t, accountA, "GET", "/phone-numbers/+12065550101", "").want(t, 404)
	if _, ok := n.directory.Snapshot().Number("+12065550102"); ok {
		t.Error("a number that was removed from the pool is still there")
	}
	n.do(t, operatorAccount, "GET", v1.Numbers+"?group="+s.group, "").want(t, 200)
	// The connector has none left, so it can go.
	n.do(t, accountA, "DELETE", "/voice-connectors/"+s.connector, "").want(t, 204)
}

// TestImportKeepsCount: no quota refuses an operator, and what an operator moves is counted for those who order.
func TestImportKeepsCount(t *testing.T) {
	n := startNode(t)
	n.put(t, &trunk.Quota{Name: trunk.QuotaNumbers, Value: 2})
	n.pool(t, "+12065550101", "+12065550102", "+12065550103", "+12065550104", "+12065550105")
	send := func(target, body string) { n.do(t, operatorAccount, "POST", target, body).want(t, 200) }
	orders := func(account, number string, want int) {
		t.Helper()
		n.do(t, account, "POST", orderPath, orderBody("VoiceConnector", number)).want(t, want)
	}
	orders(accountA, "+12065550101", 201)
	send(v1.Numbers, `{"numbers":["+12065550110","+12065550111"],"account":"`+accountA+`"}`) // three of two
	send(v1.Numbers, `{"numbers":["+12065550110"],"account":"`+accountA+`"}`)                // already there
	orders(accountA, "+12065550102", 400)
	send(v1.Numbers, `{"numbers":["+12065550111"],"account":"`+accountB+`"}`)
	orders(accountA, "+12065550102", 400)
	orders(accountB, "+12065550103", 201)
	orders(accountB, "+12065550104", 400)
	send(v1.Numbers+"?operation=release", `{"numbers":["+12065550110"]}`)
	orders(accountA, "+12065550102", 201)
	orders(accountA, "+12065550104", 400)
	n.do(t, accountA, "DELETE", "/phone-numbers/+12065550102", "").want(t, 204)
	send(v1.Numbers+"?operation=release", `{"numbers":["+12065550102"],"remove":true}`) // of the queue, which does not count
	orders(accountA, "+12065550104", 201)
	orders(accountA, "+12065550105", 400)
	n.do(t, accountA, "DELETE", "/phone-numbers/+12065550104", "").want(t, 204)
	orders(accountA, "+12065550105", 201)
	send(v1.Numbers, `{"numbers":["+12065550104"],"account":"`+accountA+`"}`) // out of the queue, over the quota
	n.do(t, accountA, "DELETE", "/phone-numbers/+12065550104", "").want(t, 204)
	orders(accountA, "+12065550110", 400)
	if got := n.directory.Snapshot().CountNumbers(accountA); got != 2 {
		t.Errorf("%d numbers in use", got)
	}
}
