package storetest

import (
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"

	"carillon/audit"
	"carillon/trunk"
)

// auditTime is the time of the entry of number 0; each number is a second later.
func auditTime(n int) time.Time {
	return time.Date(2026, 11, 23, 9, 0, n, int(5*time.Millisecond), time.UTC)
}

// entry returns the audit entry of a number, of a write that an account's key made to what owner holds.
func entry(n int, account, owner string) *audit.Entry {
	e := &audit.Entry{
		Time: auditTime(n), Account: account, RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n), Action: "chime:UpdateVoiceConnector",
		Principal: "arn:aws:iam::" + account + ":user/key", AccessKeyID: "AKIAEXAMPLE000000001",
		Source: netip.MustParseAddrPort("203.0.113.7:40001"), UserAgent: "aws-cli/2.9.19", Resource: "arn:aws:chime:us-east-1:" + owner + ":vc/*",
	}
	e.Add(audit.Change{
		Key: trunk.EntityKey{Kind: trunk.KindConnector, ID: fmt.Sprint("c", n)}, ARN: fmt.Sprint("arn:c", n), OwnerBefore: owner, OwnerAfter: owner,
		Before: `{"name":"old"}`, After: `{"name":"new"}`,
	})
	return e
}

// auditSamples are a full and a bare entry.
func auditSamples() []trunk.Entity {
	full := entry(1, account, "123456789013")
	full.Operator, full.Part, full.Omitted = true, 2, 3
	full.Add(audit.Change{Key: trunk.EntityKey{Kind: trunk.KindCarrier, ID: "north"}, Before: `{"srtp":"off"}`, Cut: true})
	return []trunk.Entity{full, &audit.Entry{Time: auditTime(2), Account: account, RequestID: entry(2, "", "").RequestID, Action: "carillon:PutQuota"}}
}

// auditIDs walks all pages and returns the request ids, the last digits alone.
func auditIDs(t *testing.T, s Store, f audit.Filter, limit int) (numbers []int) {
	t.Helper()
	for after := ""; ; {
		entries, next, err := s.Audit(t.Context(), f, limit, after)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) > limit {
			t.Fatalf("a page has %d entries, at most %d were asked for", len(entries), limit)
		}
		for _, e := range entries {
			n := 0
			if _, err := fmt.Sscanf(e.RequestID[24:], "%d", &n); err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, n)
		}
		if next == "" {
			return numbers
		}
		after = next
	}
}

func auditPages(t *testing.T, s Store) {
	const other = "123456789013"
	// Put in an order that is not theirs.
	for _, n := range []int{3, 0, 5, 1, 4, 2} {
		account, owner := account, account
		if n%2 == 1 {
			account = other
		}
		if n == 5 {
			owner = other
		}
		Put(t, s, entry(n, account, owner))
	}
	for _, c := range []struct {
		name   string
		filter audit.Filter
		want   []int
	}{
		{"all", audit.Filter{}, []int{5, 4, 3, 2, 1, 0}},
		{"what an account did or holds", audit.Filter{Account: account}, []int{4, 3, 2, 1, 0}},
		{"what another did", audit.Filter{Account: other}, []int{5, 3, 1}},
		{"since, to the millisecond", audit.Filter{Since: auditTime(3)}, []int{5, 4, 3}},
		{"since a millisecond later", audit.Filter{Since: auditTime(3).Add(time.Millisecond)}, []int{5, 4}},
		{"until", audit.Filter{Until: auditTime(2)}, []int{2, 1, 0}},
		{"until a millisecond earlier", audit.Filter{Until: auditTime(2).Add(-time.Millisecond)}, []int{1, 0}},
		{"a window", audit.Filter{Since: auditTime(1), Until: auditTime(3), Account: account}, []int{3, 2, 1}},
		{"an id", audit.Filter{Resource: "c2"}, []int{2}},
		{"an ARN", audit.Filter{Resource: "arn:c4"}, []int{4}},
		{"an operation", audit.Filter{Operation: "UpdateVoiceConnector"}, []int{5, 4, 3, 2, 1, 0}},
		{"an action", audit.Filter{Operation: "chime:UpdateVoiceConnector"}, []int{5, 4, 3, 2, 1, 0}},
		{"another operation", audit.Filter{Operation: "DeleteVoiceConnector"}, nil},
	} {
		for _, limit := range []int{1, 2, 3, 6, 100} {
			if got := auditIDs(t, s, c.filter, limit); !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, pages of %d: %v, want %v", c.name, limit, got, c.want)
			}
		}
	}
	entries, _, err := s.Audit(t.Context(), audit.Filter{Resource: "c3"}, 1, "")
	if err != nil || len(entries) != 1 || !reflect.DeepEqual(entries[0], entry(3, other, account)) {
		t.Errorf("got %+v, %v; want %+v", entries, err, entry(3, other, account))
	}
}

// auditBesides: an entry is written with what it tells of, or not at all, and followers hear of the write alone.
func auditBesides(t *testing.T, s Store) {
	await := startFollowing(t, s)
	Put(t, s, quota("a", 1), entry(0, account, account))
	if _, err := s.Update(t.Context(), func(tx trunk.Tx) error {
		tx.Create(quota("a", 2))
		tx.Put(entry(1, account, account))
		return nil
	}); trunk.KindOf(err) != trunk.Conflict {
		t.Errorf("a create of what exists gave %v, want a conflict", err)
	}
	revision := Put(t, s, quota("b", 1))
	expect(t, await(revision), quota("a", 1), quota("b", 1))
	if got := auditIDs(t, s, audit.Filter{}, 10); !reflect.DeepEqual(got, []int{0}) {
		t.Errorf("the log has the entries %v, want that of the write that happened", got)
	}
	expect(t, startFollowing(t, s)(revision), quota("a", 1), quota("b", 1))
}

func auditTrim(t *testing.T, s Store) {
	const other = "123456789013"
	const total = 240
	var batch []trunk.Entity
	for n := range total {
		who := account
		if n%4 == 0 {
			who = other
		}
		batch = append(batch, entry(n, who, account))
	}
	Put(t, s, append(batch, quota("a", 1))...)
	trim := func(now time.Time, r audit.Retention, want audit.Dropped) {
		t.Helper()
		if got, err := s.TrimAudit(t.Context(), now, r); err != nil || got != want {
			t.Errorf("trim at %v by %+v dropped %+v, %v; want %+v", now, r, got, err, want)
		}
	}
	keep := audit.Retention{Keep: 200 * time.Second, PerAccount: total}
	trim(auditTime(200), keep, audit.Dropped{})
	// An entry as old as Keep is kept, one a millisecond older is not.
	trim(auditTime(200).Add(time.Millisecond), keep, audit.Dropped{Aged: 1})
	trim(auditTime(320), keep, audit.Dropped{Aged: 119})
	// 120 are left, 30 of them the other account's.
	keep.PerAccount = 40
	trim(auditTime(320), keep, audit.Dropped{Crowded: 50})
	trim(auditTime(320), keep, audit.Dropped{})
	got := auditIDs(t, s, audit.Filter{}, 1000)
	others := 0
	for _, n := range got {
		if n%4 == 0 {
			others++
		}
	}
	if len(got) != 70 || others != 30 || got[0] != total-1 {
		t.Errorf("%d entries are left, %d of the account with few, the newest is %d; want 70, 30, %d", len(got), others, got[0], total-1)
	}
	trim(auditTime(100_000), audit.Retention{Keep: time.Second}, audit.Dropped{Aged: 70})
	if got := value(t, s, "a"); got != 1 {
		t.Errorf("the quota is %d", got)
	}
}
