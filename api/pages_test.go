package api

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"carillon/api/wire"
)

// pagedList is a list that an account reads page by page.
type pagedList struct {
	target, member, id string
	// body makes one more; the answer's member single has its id.
	body   func() string
	single string
}

func pagedLists() []pagedList {
	var rules atomic.Int64 // no two have one trigger
	return []pagedList{
		{"/voice-connectors", "VoiceConnectors", "VoiceConnectorId", func() string { return create }, "VoiceConnector"},
		{"/voice-connector-groups", "VoiceConnectorGroups", "VoiceConnectorGroupId", func() string { return `{"Name":"demo"}` }, "VoiceConnectorGroup"},
		{"/sip-rules", "SipRules", "SipRuleId", func() string { return ruleFor(fmt.Sprintf("+1206%07d", rules.Add(1))) }, "SipRule"},
	}
}

// one makes one more.
func (l pagedList) one(t testing.TB, n *node, account string) string {
	t.Helper()
	return n.do(t, account, "POST", l.target, l.body()).want(t, 201).text(t, l.single, l.id)
}

// page reads one page: the ids on it and the token of the next, nil on the last.
func (l pagedList) page(t testing.TB, n *node, query url.Values) (ids []string, next any) {
	t.Helper()
	a := n.do(t, accountA, "GET", l.target+"?"+query.Encode(), "").want(t, 200)
	var list map[string]json.RawMessage
	if err := json.Unmarshal([]byte(a.Body), &list); err != nil {
		t.Fatal(err)
	}
	var all []map[string]any
	if err := json.Unmarshal(list[l.member], &all); err != nil {
		t.Fatalf("%s: %v", a.Body, err)
	}
	for _, e := range all {
		id, _ := e[l.id].(string)
		ids = append(ids, id)
	}
	if string(list["NextToken"]) == "" {
		t.Errorf("%s: no NextToken, not even null: %s", l.target, a.Body)
	}
	return ids, a.member(t, "NextToken")
}

// TestPagesUnderWrites: while others are made and deleted all the time, whoever reads page by page sees each of those
// that stay exactly once, in the order of their creation, and nothing twice.
func TestPagesUnderWrites(t *testing.T) {
	for _, l := range pagedLists() {
		t.Run(l.member, func(t *testing.T) {
			n := startNode(t)
			var stay []string
			for range 12 {
				stay = append(stay, l.one(t, n, accountA))
				n.clock.Advance(minute)
			}
			l.one(t, n, accountB)
			stop := make(chan struct{})
			var writers sync.WaitGroup
			for range 2 {
				writers.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						made := n.do(t, accountA, "POST", l.target, l.body())
						if gone := n.do(t, accountA, "DELETE", l.target+"/"+made.text(t, l.single, l.id), ""); gone.Status != 204 {
							t.Errorf("made %v, deleted %v", made, gone)
							return
						}
					}
				})
			}
			for range 5 {
				l.readAll(t, n, stay)
			}
			close(stop)
			writers.Wait()
		})
	}
}

func (l pagedList) readAll(t *testing.T, n *node, stay []string) {
	seen, at := map[string]bool{}, 0
	query := url.Values{"max-results": {"2"}}
	for pages := 0; pages < 1000; pages++ {
		ids, next := l.page(t, n, query)
		for _, id := range ids {
			if seen[id] {
				t.Errorf("%s: %s is on two pages", l.target, id)
			}
			seen[id] = true
			if at < len(stay) && id == stay[at] {
				at++
			}
		}
		token, more := next.(string)
		if !more {
			if at != len(stay) {
				t.Errorf("%s: %d of %d were read, in their order", l.target, at, len(stay))
			}
			return
		}
		if len(ids) != 2 {
			t.Errorf("%s: a page that is not the last has %d", l.target, len(ids))
		}
		query.Set("next-token", token)
	}
	t.Errorf("%s: no end", l.target)
}

// TestPagesShift: what a page ended at may be deleted before the next one is read.
func TestPagesShift(t *testing.T) {
	for _, l := range pagedLists() {
		n := startNode(t)
		var all []string
		for range 5 {
			all = append(all, l.one(t, n, accountA))
			n.clock.Advance(minute)
		}
		first, next := l.page(t, n, url.Values{"max-results": {"2"}})
		for _, id := range first {
			n.do(t, accountA, "DELETE", l.target+"/"+id, "").want(t, 204)
		}
		token, _ := next.(string)
		rest, last := l.page(t, n, url.Values{"max-results": {"3"}, "next-token": {token}})
		if len(rest) != 3 || rest[0] != all[2] || rest[2] != all[4] || last != nil {
			t.Errorf("%s: got %v and %v, want %v and null", l.target, rest, last, all[2:])
		}
		// A token is of one operation and of one account, and empty is the first page.
		if ids, _ := l.page(t, n, url.Values{"next-token": {""}}); len(ids) != 3 {
			t.Errorf("%s: an empty token gives %v", l.target, ids)
		}
		for _, other := range pagedLists() {
			if a := n.do(t, accountA, "GET", other.target+"?next-token="+url.QueryEscape(token), ""); (a.Status == 200) != (other.target == l.target) {
				t.Errorf("the token of %s at %s: %d %s", l.target, other.target, a.Status, a.Body)
			}
		}
		n.do(t, accountB, "GET", l.target+"?next-token="+url.QueryEscape(token), "").want(t, 400)
	}
}

// TestLastPages: every list says that there is no more, in so many words.
func TestLastPages(t *testing.T) {
	n := startNode(t)
	requests := offeredRequests(n.subject(t, accountA))
	lists := 0
	for _, op := range wire.Operations() {
		r, ok := requests[op.ID]
		if !ok || !op.Paginated {
			continue
		}
		lists++
		if a := n.do(t, accountA, r.method, r.target, r.body).want(t, 200); !strings.Contains(a.Body, `"NextToken":null`) {
			t.Errorf("%s: %s", op.Name, a.Body)
		}
		for _, max := range []string{"0", "501", "x"} {
			separator := map[bool]string{true: "&", false: "?"}[strings.Contains(r.target, "?")]
			n.do(t, accountA, r.method, r.target+separator+"max-results="+max, r.body).want(t, 400)
		}
	}
	if lists < len(pagedLists()) {
		t.Errorf("only %d lists", lists)
	}
}
