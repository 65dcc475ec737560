package api

import (
	"slices"
	"strings"
	"testing"

	"carillon/api/wire"
)

// TestRecordedRequestsAreRouted: the clients were made to send every operation in the order of their names, first with
// all members and then with the required ones. So the recording itself says which operation each request is.
func TestRecordedRequestsAreRouted(t *testing.T) {
	n := startNode(t)
	for file, namespace := range map[string]wire.Namespace{"chime": wire.Chime, "voice": wire.Voice} {
		var want []string
		for _, op := range wire.Operations() {
			if op.In(namespace).Offered {
				want = append(want, op.Name)
			}
		}
		slices.Sort(want)
		want = slices.Concat(want, want)
		requests := readRequests(t, "testdata/requests/"+file+".txt")
		if len(requests) != len(want) {
			t.Fatalf("%s: %d requests, want %d", file, len(requests), len(want))
		}
		for i, r := range requests {
			path, _, _ := strings.Cut(r.target, "?")
			match, err := n.router.Match(r.method, path, r.query)
			if err != nil {
				t.Errorf("%s %s: %v", r.method, r.target, err)
			} else if got := n.rows[match.Route].name; got != want[i] {
				t.Errorf("%s %s: routed to %s, want %s", r.method, r.target, got, want[i])
			}
		}
	}
}
