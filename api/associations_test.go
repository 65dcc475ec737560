package api

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"carillon/trunk"
)

func numbersBody(force bool, numbers ...string) string {
	return fmt.Sprintf(`{"E164PhoneNumbers":["%s"],"ForceAssociate":%t}`, strings.Join(numbers, `","`), force)
}

// TestAssociate: with a connector and with a group, what can be associated is, and the rest has its reason.
func TestAssociate(t *testing.T) {
	n := startNode(t)
	s, other := n.subject(t, accountA), n.subject(t, accountA)
	for kind, paths := range map[string][2]string{
		"connector": {"/voice-connectors/" + s.connector, "/voice-connector-groups/" + other.group},
		"group":     {"/voice-connector-groups/" + s.group, "/voice-connectors/" + other.connector},
	} {
		number := func(last string) string { return fmt.Sprintf("+1%d55501%s", 206+len(kind), last) }
		n.order(t, accountA, number("00"), number("01"), number("02"), number("03"), number("04"), number("05"))
		n.order(t, accountB, number("10"))
		n.pool(t, number("11"))
		n.do(t, accountA, "POST", "/phone-numbers/"+number("01"), `{"ProductType":"SipMediaApplicationDialIn"}`).want(t, 200)
		n.do(t, accountA, "DELETE", "/phone-numbers/"+number("02"), "").want(t, 204)
		mine, theirs := paths[0]+"?operation=", paths[1]+"?operation="
		n.do(t, accountA, "POST", theirs+"associate-phone-numbers", numbersBody(false, number("03"))).want(t, 200)
		n.do(t, accountA, "POST", mine+"associate-phone-numbers", `{"E164PhoneNumbers":["`+number("04")+`"]}`).want(t, 200)
		a := n.do(t, accountA, "POST", mine+"associate-phone-numbers", numbersBody(false,
			strings.TrimPrefix(number("00"), "+"), number("01"), number("02"), number("03"), number("04"), number("10"), number("11"), number("12"))).want(t, 200)
		want := map[string]string{
			number("01"): "BadRequest", number("02"): "NotFound", number("03"): "PhoneNumberAssociationsExist",
			number("10"): "NotFound", number("11"): "NotFound", number("12"): "NotFound",
		}
		if got := a.numberErrors(t); !maps.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", kind, got, want)
		}
		before := n.revision(t)
		if got := n.do(t, accountA, "POST", mine+"associate-phone-numbers", numbersBody(true, number("00"), number("00"))).want(t, 200).Body; got != `{"PhoneNumberErrors":[]}` || n.revision(t) != before {
			t.Errorf("%s: once more: %s, stored %t", kind, got, n.revision(t) != before)
		}
		n.do(t, accountA, "POST", mine+"associate-phone-numbers", numbersBody(true, number("03"))).want(t, 200)
		n.takers(t, kind+" by force", s, number("00"), number("03"), number("04"))
		// Taking away what nobody has is done already; what somebody else has stays theirs.
		n.do(t, accountA, "POST", theirs+"associate-phone-numbers", numbersBody(false, number("05"))).want(t, 200)
		a = n.do(t, accountA, "POST", mine+"disassociate-phone-numbers", numbersBody(false,
			number("00"), number("00"), number("01"), number("02"), number("05"), number("10"))).want(t, 200)
		if got, want := a.numberErrors(t), map[string]string{number("02"): "NotFound", number("05"): "Conflict", number("10"): "NotFound"}; !maps.Equal(got, want) {
			t.Errorf("%s: disassociate: got %v, want %v", kind, got, want)
		}
		n.takers(t, kind+" after disassociation", s, number("03"), number("04"))
		n.do(t, accountA, "POST", mine+"disassociate-phone-numbers", numbersBody(false, number("03"), number("04"))).want(t, 200)
		n.do(t, accountA, "POST", theirs+"disassociate-phone-numbers", numbersBody(false, number("05"))).want(t, 200)
		for _, body := range []string{`{}`, `{"E164PhoneNumbers":[]}`, numbersBody(false, slices.Repeat([]string{number("00")}, MaxNumbers+1)...)} {
			n.do(t, accountA, "POST", mine+"associate-phone-numbers", body).want(t, 400)
			n.do(t, accountA, "POST", mine+"disassociate-phone-numbers", body).want(t, 400)
		}
	}
}

// takers fails unless exactly these numbers are with the connector and the group of the subject together.
func (n *node) takers(t *testing.T, name string, s subject, want ...string) {
	t.Helper()
	var got []string
	for _, filter := range []string{"VoiceConnectorId&filter-value=" + s.connector, "VoiceConnectorGroupId&filter-value=" + s.group} {
		a := n.do(t, accountA, "GET", "/phone-numbers?filter-name="+filter, "").want(t, 200)
		got = append(got, listed(t, a)...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

// listed returns the numbers of a list.
func listed(t testing.TB, a answer) []string {
	t.Helper()
	var all []string
	for _, e := range a.member(t, "PhoneNumbers").([]any) {
		all = append(all, fmt.Sprint(e.(map[string]any)["E164PhoneNumber"]))
	}
	return all
}

// TestAssociateMeetsDelete: a connector or group that is deleted while numbers are associated with it never leaves a
// number that points at nothing: one of the two is refused, or the delete comes after the other's end.
func TestAssociateMeetsDelete(t *testing.T) {
	n := startNode(t)
	n.order(t, accountA, "+12065550100", "+12065550101")
	for round := range 20 {
		s := n.subject(t, accountA)
		for _, path := range []string{"/voice-connectors/" + s.connector, "/voice-connector-groups/" + s.group} {
			var both sync.WaitGroup
			both.Go(func() {
				a := n.do(t, accountA, "POST", path+"?operation=associate-phone-numbers", numbersBody(true, "+12065550100", "+12065550101"))
				if a.Status != 200 && a.Status != 404 {
					t.Errorf("associate: %v", a)
				}
			})
			both.Go(func() {
				a := n.do(t, accountA, "DELETE", path, "")
				if a.Status != 204 && a.Status != 409 && a.Status != 503 {
					t.Errorf("delete: %v", a)
				}
			})
			both.Wait()
			view := n.directory.Snapshot()
			for _, e164 := range []trunk.Number{"+12065550100", "+12065550101"} {
				number, _ := view.Number(e164)
				_, connector := view.Connector(number.ConnectorID)
				_, group := view.Group(number.GroupID)
				if number.ConnectorID != "" && !connector || number.GroupID != "" && !group {
					t.Fatalf("round %d: %s points at nothing: %+v", round, e164, number)
				}
			}
		}
	}
}

// TestAssociationTouches: whoever gets or loses a number is another state of itself, by which a delete on another node
// sees that it must look again.
func TestAssociationTouches(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	n.order(t, accountA, "+12065550100")
	state := func() [2]string {
		c := n.do(t, accountA, "GET", "/voice-connectors/"+s.connector, "").want(t, 200)
		g := n.do(t, accountA, "GET", "/voice-connector-groups/"+s.group, "").want(t, 200)
		return [2]string{c.text(t, "VoiceConnector", "UpdatedTimestamp"), g.text(t, "VoiceConnectorGroup", "UpdatedTimestamp")}
	}
	last := state()
	for _, c := range []struct {
		path             string
		connector, group bool
	}{
		{"/voice-connectors/" + s.connector + "?operation=associate-phone-numbers", true, false},
		{"/voice-connectors/" + s.connector + "?operation=associate-phone-numbers", false, false},
		{"/voice-connector-groups/" + s.group + "?operation=associate-phone-numbers", true, true},
		{"/voice-connectors/" + s.connector + "?operation=disassociate-phone-numbers", false, false},
		{"/voice-connector-groups/" + s.group + "?operation=disassociate-phone-numbers", false, true},
	} {
		n.do(t, accountA, "POST", c.path, numbersBody(true, "+12065550100")).want(t, 200)
		now := state()
		if (now[0] != last[0]) != c.connector || (now[1] != last[1]) != c.group {
			t.Errorf("%s: from %v to %v", c.path, last, now)
		}
		last = now
	}
}
