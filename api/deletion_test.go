package api

import (
	"strings"
	"testing"
	"time"

	"carillon/trunk"
)

// TestDeletionQueue: a deleted number can be restored, as it was, for a week.
func TestDeletionQueue(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	n.order(t, accountA, "+12065550100")
	const path, restore = "/phone-numbers/+12065550100", "/phone-numbers/%252B12065550100?operation=restore"
	n.do(t, accountA, "POST", path, `{"CallingName":"front desk"}`).want(t, 200)
	for _, kind := range []string{"/voice-connectors/" + s.connector, "/voice-connector-groups/" + s.group} {
		n.do(t, accountA, "POST", kind+"?operation=associate-phone-numbers", numbersBody(false, "+12065550100")).want(t, 200)
		a := n.do(t, accountA, "DELETE", path, "")
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.Body, "Disassociate") {
			t.Errorf("%s: delete of an associated number: %v", kind, a)
		}
		batch := n.do(t, accountA, "POST", "/phone-numbers?operation=batch-delete", `{"PhoneNumberIds":["+12065550100"]}`).want(t, 200)
		if got := batch.numberErrors(t)["+12065550100"]; got != "BadRequest" {
			t.Errorf("%s: in a batch: %s", kind, batch.Body)
		}
		n.do(t, accountA, "POST", kind+"?operation=disassociate-phone-numbers", numbersBody(false, "+12065550100")).want(t, 200)
	}
	if got := n.do(t, accountA, "DELETE", path, "").want(t, 204).Body; got != "" {
		t.Errorf("delete answers %q", got)
	}
	n.clock.Advance(time.Hour)
	before := n.revision(t)
	n.do(t, accountA, "DELETE", path, "").want(t, 204) // once more does not begin the week anew
	if n.revision(t) != before {
		t.Error("something was stored")
	}
	a := n.do(t, accountA, "GET", path, "").want(t, 200)
	if a.text(t, "PhoneNumber", "Status") != "DeleteInProgress" || a.text(t, "PhoneNumber", "DeletionTimestamp") != "2026-01-01T00:00:00.000Z" {
		t.Errorf("in the queue: %s", a.Body)
	}
	if got := listed(t, n.do(t, accountA, "GET", "/phone-numbers?status=DeleteInProgress", "").want(t, 200)); len(got) != 1 {
		t.Errorf("listed: %v", got)
	}
	if n.directory.Snapshot().OwnsNumber(accountA, "+12065550100") {
		t.Error("a deleted number may still be a caller id")
	}
	n.do(t, accountA, "POST", path, `{"Name":"x"}`).want(t, 400)
	n.do(t, accountB, "POST", restore, "").want(t, 404)
	n.clock.Advance(trunk.DeletionQueue - time.Hour - time.Millisecond)
	a = n.do(t, accountA, "POST", restore, "").want(t, 200)
	if a.text(t, "PhoneNumber", "Status") != "Unassigned" || a.text(t, "PhoneNumber", "CallingName") != "front desk" || strings.Contains(a.Body, "DeletionTimestamp") {
		t.Errorf("restored: %s", a.Body)
	}
	if got := n.do(t, accountA, "POST", restore, "").want(t, 200).Body; got != a.Body {
		t.Errorf("restored once more: %s", got)
	}
}

// TestLapsedNumbersAreNobodys: at the end of the week a number is gone for its account in every operation, swept or
// not, and anybody can order it.
func TestLapsedNumbersAreNobodys(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	n.do(t, accountA, "POST", "/phone-numbers/"+s.number, `{"Name":"secret"}`).want(t, 200)
	n.do(t, accountA, "DELETE", "/phone-numbers/"+s.number, "").want(t, 204)
	n.clock.Advance(trunk.DeletionQueue)
	for op, r := range numberRequests(s) {
		a := n.do(t, accountA, r.method, r.target, r.body)
		switch {
		case !strings.Contains(r.target+r.body, s.number[1:]):
			if strings.Contains(a.Body, `"PhoneNumberId":"%2B`+s.number[1:]) {
				t.Errorf("%v: %s", op, a.Body)
			}
		case strings.HasPrefix(r.target, "/phone-numbers/"):
			if a.Status != 404 {
				t.Errorf("%v: %v", op, a)
			}
		case a.numberErrors(t)[s.number] != "NotFound":
			t.Errorf("%v: %v", op, a)
		}
	}
	n.do(t, accountB, "POST", orderPath, orderBody("VoiceConnector", s.number)).want(t, 201)
	a := n.do(t, accountB, "GET", "/phone-numbers/"+s.number, "").want(t, 200)
	if strings.Contains(a.Body, "secret") || a.text(t, "PhoneNumber", "Status") != "Unassigned" {
		t.Errorf("the next holder sees %s", a.Body)
	}
	n.do(t, accountA, "POST", "/phone-numbers/"+s.number+"?operation=restore", "").want(t, 404)
	for _, c := range n.entries(t, "operation=CreatePhoneNumberOrder&account="+accountB)[0].Changes {
		if before := string(c.Before); strings.Contains(before, accountA) || strings.Contains(before, "secret") {
			t.Errorf("the next holder's order shows what the number was before: %s", before)
		}
	}
}
