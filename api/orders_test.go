package api

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/directory"
	"carillon/trunk"
)

const orderPath = "/phone-number-orders"

func orderBody(product string, numbers ...string) string {
	return `{"ProductType":"` + product + `","E164PhoneNumbers":["` + strings.Join(numbers, `","`) + `"]}`
}

// TestOrders: an order takes what is in the pool, says of the rest that it failed, and is final at once.
func TestOrders(t *testing.T) {
	n := startNode(t)
	n.pool(t, "+12065550100", "+12065550101", "+12065550102")
	n.put(t, &trunk.PhoneNumber{E164: "+12065550103", Account: accountB})
	for _, c := range []struct{ name, product, numbers, status, each string }{
		{"all", "VoiceConnector", "+12065550100", "Successful", "Acquired"},
		{"some, and each once", "SipMediaApplicationDialIn", "12065550101 +12065550100 +12065550101", "Partial", "Acquired Failed"},
		{"another account's, one of the own and one that never was", "VoiceConnector", "+12065550103 +12065550100 +12065550104", "Failed", "Failed Failed Failed"},
	} {
		a := n.do(t, accountA, "POST", orderPath, orderBody(c.product, strings.Fields(c.numbers)...)).want(t, 201)
		id := a.text(t, "PhoneNumberOrder", "PhoneNumberOrderId")
		var each []string
		for _, o := range a.member(t, "PhoneNumberOrder", "OrderedPhoneNumbers").([]any) {
			each = append(each, fmt.Sprint(o.(map[string]any)["Status"]))
		}
		if a.text(t, "PhoneNumberOrder", "Status") != c.status || strings.Join(each, " ") != c.each || len(id) != 36 {
			t.Errorf("%s: %s", c.name, a.Body)
		}
		if got := n.do(t, accountA, "GET", orderPath+"/"+id, "").want(t, 200).Body; got != a.Body {
			t.Errorf("%s: read again: %s", c.name, got)
		}
	}
	second := n.do(t, accountA, "GET", "/phone-numbers/+12065550101", "").want(t, 200)
	if second.text(t, "PhoneNumber", "ProductType") != "SipMediaApplicationDialIn" || second.text(t, "PhoneNumber", "OrderId") == "" {
		t.Errorf("got %s", second.Body)
	}
	if n, _ := n.directory.Snapshot().Number("+12065550103"); n.Account != accountB {
		t.Error("another account's number was taken")
	}
	named := `{"ProductType":"VoiceConnector","E164PhoneNumbers":["+12065550102"],"Name":"lobby"}`
	n.do(t, accountA, "POST", orderPath, named).want(t, 201)
	if got := n.do(t, accountA, "GET", "/phone-numbers/+12065550102", "").want(t, 200).text(t, "PhoneNumber", "Name"); got != "lobby" {
		t.Errorf("the name is %q", got)
	}
}

// TestOrderOfOthers: an order learns nothing about numbers of other accounts.
func TestOrderOfOthers(t *testing.T) {
	n := startNode(t)
	n.order(t, accountB, "+12065550100")
	ask := func(number string) string {
		a := n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", number)).want(t, 201)
		return strings.NewReplacer(number, "N", a.text(t, "PhoneNumberOrder", "PhoneNumberOrderId"), "ID").Replace(a.Body)
	}
	if theirs, nobodys := ask("+12065550100"), ask("+12065550999"); theirs != nobodys || !strings.Contains(theirs, `"Failed"`) {
		t.Errorf("theirs %s\nnobody's %s", theirs, nobodys)
	}
}

func TestOrderRefusals(t *testing.T) {
	n := startNode(t)
	n.pool(t, "+12065550100")
	before := n.revision(t)
	for _, c := range []struct{ name, body, says string }{
		{"nothing", `{}`, "roductType"},
		{"no numbers", orderBody("VoiceConnector")[:len(`{"ProductType":"VoiceConnector","E164PhoneNumbers":[`)] + `]}`, "1 to 100"},
		{"business calling", orderBody("BusinessCalling", "+12065550100"), "BusinessCalling"},
		{"unknown product", orderBody("Fax", "+12065550100"), "roductType"},
		{"no number", orderBody("VoiceConnector", "val"), "e164PhoneNumbers"},
		{"too many", orderBody("VoiceConnector", slices.Repeat([]string{"+12065550100"}, MaxNumbers+1)...), "1 to 100"},
	} {
		a := n.do(t, accountA, "POST", orderPath, c.body)
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestOneOrderGetsANumber: of orders for one number at the same moment exactly one gets it.
func TestOneOrderGetsANumber(t *testing.T) {
	n := startNode(t)
	for round := range 10 {
		number := fmt.Sprintf("+120655501%02d", round)
		n.pool(t, number)
		var (
			all      sync.WaitGroup
			mu       sync.Mutex
			acquired []string
		)
		for _, account := range []string{accountA, accountB, operatorAccount, accountA} {
			all.Go(func() {
				a := n.do(t, account, "POST", orderPath, orderBody("VoiceConnector", number)).want(t, 201)
				mu.Lock()
				defer mu.Unlock()
				if a.text(t, "PhoneNumberOrder", "Status") == "Successful" {
					acquired = append(acquired, account)
				}
			})
		}
		all.Wait()
		holder, _ := n.directory.Snapshot().Number(trunk.Number(number))
		if len(acquired) != 1 || holder.Account != acquired[0] {
			t.Fatalf("%s: acquired by %v, held by %s", number, acquired, holder.Account)
		}
	}
}

// TestOrderSentAgain: the very same order gets the first answer; the numbers it has meanwhile are not ordered anew.
func TestOrderSentAgain(t *testing.T) {
	n := startNode(t)
	n.pool(t, "+12065550100")
	send := func(invocation string) string {
		return n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", "+12065550100"), "amz-sdk-invocation-id", invocation).want(t, 201).Body
	}
	first := send("one")
	if again := send("one"); again != first {
		t.Errorf("sent again: %s, first %s", again, first)
	}
	if other := send("two"); !strings.Contains(other, `"Failed"`) {
		t.Errorf("another order: %s", other)
	}
}

func TestListOrders(t *testing.T) {
	n := startNode(t)
	var want []string
	for i := range 5 {
		want = append(want, n.order(t, accountA, fmt.Sprintf("+1206555010%d", i)))
		n.clock.Advance(minute)
	}
	n.order(t, accountB, "+12065550190")
	var got []string
	token := ""
	for {
		a := n.do(t, accountA, "GET", orderPath+"?max-results=2"+token, "").want(t, 200)
		for _, o := range a.member(t, "PhoneNumberOrders").([]any) {
			got = append(got, fmt.Sprint(o.(map[string]any)["PhoneNumberOrderId"]))
		}
		next := a.text(t, "NextToken")
		if next == "" {
			if !strings.Contains(a.Body, `"NextToken":null`) {
				t.Errorf("last page: %s", a.Body)
			}
			break
		}
		token = "&next-token=" + next
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	n.do(t, accountA, "GET", orderPath+"/00000000-0000-4000-8000-000000000000", "").want(t, 404)
	n.do(t, accountA, "GET", orderPath+"/val", "").want(t, 400)
}

// TestNumberQuota: the quota holds for orders at the same moment, and for what is restored; the deletion queue gives
// places back. An order that does not fit takes nothing.
func TestNumberQuota(t *testing.T) {
	n := startNode(t)
	n.order(t, accountA, "+12065550100")
	n.pool(t, "+12065550101", "+12065550102", "+12065550103", "+12065550104", "+12065550105", "+12065550107", "+12065550108")
	n.put(t, &trunk.Quota{Account: accountA, Name: trunk.QuotaNumbers, Value: 3})
	over := n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", "+12065550101", "+12065550102", "+12065550103"))
	if over.Status != 400 || over.errorType() != "ResourceLimitExceededException" || over.text(t, "Code") != "ResourceLimitExceeded" {
		t.Errorf("over the quota: %v", over)
	}
	if got := len(n.directory.Snapshot().Orders(accountA, "", 9)); got != 1 {
		t.Errorf("%d orders are kept", got)
	}
	// Numbers that cannot be had take no place.
	n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", "+12065550101", "+12065550100", "+19995550100", "+19995550101")).want(t, 201)
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		made int
	)
	for i := range 4 {
		all.Go(func() {
			a := n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", fmt.Sprintf("+1206555010%d", 2+i)))
			mu.Lock()
			defer mu.Unlock()
			if a.Status == 201 {
				made++
			}
		})
	}
	all.Wait()
	held := n.directory.Snapshot().Numbers(directory.NumberFilter{Account: accountA}, "", 9)
	if made != 1 || len(held) != 3 {
		t.Fatalf("%d orders succeeded, %d numbers held; want 1 and 3", made, len(held))
	}
	path := "/phone-numbers/" + string(held[0].E164)
	n.do(t, accountA, "DELETE", path, "").want(t, 204)
	n.do(t, accountA, "DELETE", path, "").want(t, 204) // gives no second place
	n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", "+12065550107", "+12065550108")).want(t, 400)
	n.do(t, accountA, "POST", orderPath, orderBody("VoiceConnector", "+12065550108")).want(t, 201)
	if a := n.do(t, accountA, "POST", path+"?operation=restore", ""); a.errorType() != "ResourceLimitExceededException" {
		t.Errorf("restore over the quota: %v", a)
	}
	n.do(t, accountA, "POST", "/phone-numbers?operation=batch-delete", `{"PhoneNumberIds":["`+string(held[1].E164)+`"]}`).want(t, 200)
	n.do(t, accountA, "POST", path+"?operation=restore", "").want(t, 200)
	n.do(t, accountA, "POST", path+"?operation=restore", "").want(t, 200)
	if got := n.directory.Snapshot().CountNumbers(accountA); got != 3 {
		t.Errorf("%d numbers in use", got)
	}
}

// TestMostOrders: for one order more than are remembered the oldest is forgotten.
func TestMostOrders(t *testing.T) {
	n := startNode(t)
	n.pool(t, "+12065550100")
	for from := 0; from < trunk.MaxOrders; from += 2500 {
		var some []trunk.Entity
		for i := from; i < from+2500; i++ {
			some = append(some, &trunk.Order{
				ID: fmt.Sprintf("order-%05d", i), Account: accountA, ProductType: "VoiceConnector",
				Created: n.clock.Now().Add(time.Duration(i-trunk.MaxOrders) * time.Second),
			})
		}
		n.put(t, some...)
	}
	n.order(t, accountA, "+12065550100")
	s := n.directory.Snapshot()
	if got := s.Orders(accountA, "", trunk.MaxOrders+1); len(got) != trunk.MaxOrders || got[0].ID != "order-00001" {
		t.Errorf("%d orders, the first is %s", len(got), got[0].ID)
	}
}
