package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/audit"
	"carillon/store/storetest"
	"carillon/trunk"
)

func numbered(n int, account string, at time.Time) *audit.Entry {
	return &audit.Entry{Time: at.UTC(), Account: account, RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n), Action: "chime:X"}
}

// records returns how many records the audit log has.
func records(t *testing.T, s *Store) int {
	t.Helper()
	answer, err := s.client.Get(t.Context(), s.auditKey(""), clientv3.WithPrefix(), clientv3.WithCountOnly())
	if err != nil {
		t.Fatal(err)
	}
	return int(answer.Count)
}

// TestEntriesOfABatchShareARecord: one for each account, and none of a write that did not hold.
func TestEntriesOfABatchShareARecord(t *testing.T) {
	s := start(t, Config{})
	g := newGate(t, s)
	var all updates
	all.start(t.Context(), s, creates("first"))
	g.next(t)
	const writers = 9
	for n := range writers {
		all.start(t.Context(), s, func(tx trunk.Tx) error {
			tx.Create(quotaOf(fmt.Sprint("n", n), 1))
			tx.Put(numbered(n, fmt.Sprintf("%012d", n%2), time.UnixMilli(int64(1000+n))))
			return nil
		})
	}
	queued(t, s, writers)
	openGate(g)
	if held, kinds := all.kinds(); held != writers+1 {
		t.Fatalf("%d held, others %v", held, kinds)
	}
	if got := records(t, s); got != 2 {
		t.Errorf("the entries of 2 accounts are in %d records", got)
	}
	var want []string
	for n := writers - 1; n >= 0; n-- {
		want = append(want, fmt.Sprint(n))
	}
	if got := walkAudit(t, s, audit.Filter{}, 2); !slices.Equal(got, want) {
		t.Errorf("the log has %v, want %v", got, want)
	}
}

// walkAudit returns the numbers of the entries on all pages.
func walkAudit(t *testing.T, s *Store, f audit.Filter, limit int) (numbers []string) {
	t.Helper()
	for after := ""; ; {
		page, next, err := s.Audit(t.Context(), f, limit, after)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			numbers = append(numbers, strings.TrimLeft(e.RequestID[24:35], "0")+e.RequestID[35:])
		}
		if after = next; next == "" {
			return numbers
		}
	}
}

// TestBlocksReadLikeEntries: however entries are put together, pages and bounds of time find them in their order.
func TestBlocksReadLikeEntries(t *testing.T) {
	s := start(t, Config{})
	random := rand.New(rand.NewPCG(1, 2))
	const count = 600
	var entries []*audit.Entry
	var begin int64
	for n := range count {
		if n%20 == 0 {
			begin = random.Int64N(1500)
		}
		at := time.UnixMilli(1_000_000 + begin + random.Int64N(150)) // they reach into others' time
		entries = append(entries, numbered(n, fmt.Sprintf("%012d", random.IntN(3)), at))
	}
	for left := entries; len(left) > 0; {
		n := min(1+random.IntN(40), len(left))
		var batch []entryWrite
		for _, e := range left[:n] {
			p, err := (&tx{update: &update{}, store: s, records: []record{{
				key: e.EntityKey(), stored: s.entityKey(e.EntityKey()), isWritten: true, entity: e,
			}}}).pending()
			if err != nil {
				t.Fatal(err)
			}
			batch = append(batch, *p.writes[0].entry)
		}
		for _, op := range s.blocks(batch) {
			if _, err := s.client.Put(t.Context(), string(op.GetRequestPut().Key), string(op.GetRequestPut().Value)); err != nil {
				t.Fatal(err)
			}
		}
		left = left[n:]
	}
	if got := records(t, s); got >= count/2 || got < count/100 {
		t.Fatalf("%d records for %d entries: nothing is tested", got, count)
	}
	slices.SortFunc(entries, func(a, b *audit.Entry) int { return strings.Compare(a.EntityKey().ID, b.EntityKey().ID) })
	for _, f := range []audit.Filter{
		{}, {Account: "000000000001"},
		{Since: time.UnixMilli(1_000_400)}, {Until: time.UnixMilli(1_000_900)}, {Since: time.UnixMilli(1_000_400), Until: time.UnixMilli(1_000_900)},
	} {
		var want []string
		for _, e := range entries {
			if f.Match(e) {
				want = append(want, strings.TrimLeft(e.RequestID[24:35], "0")+e.RequestID[35:])
			}
		}
		for _, limit := range []int{1, 7, 64, 1000} {
			if got := walkAudit(t, s, f, limit); !slices.Equal(got, want) {
				t.Errorf("%+v, pages of %d: got %d entries\n%v\nwant %d\n%v", f, limit, len(got), got, len(want), want)
			}
		}
	}
	// What is trimmed is counted in entries, and of nobody is less left than is to be kept.
	d, err := s.TrimAudit(t.Context(), time.UnixMilli(1_000_500).Add(time.Hour), audit.Retention{Keep: time.Hour, PerAccount: 10})
	left := len(walkAudit(t, s, audit.Filter{}, 1000))
	if err != nil || d.Aged == 0 || d.Crowded == 0 || d.Aged+d.Crowded != count-left {
		t.Errorf("dropped %+v of %d, %d are left: %v", d, count, left, err)
	}
	for n := range 3 {
		if got := len(walkAudit(t, s, audit.Filter{Account: fmt.Sprintf("%012d", n)}, 1000)); got < 10 || got > 10+MaxBatch {
			t.Errorf("%d entries are left of account %d, want 10 and at most a block more", got, n)
		}
	}
}

// TestWhatGoesIntoABlock: entries of one account and of about one time, so many and so long.
func TestWhatGoesIntoABlock(t *testing.T) {
	s := start(t, Config{})
	at := time.UnixMilli(5_000)
	for _, c := range []struct {
		name    string
		entries func(i int) *audit.Entry
		n, want int
	}{
		{"one", func(i int) *audit.Entry { return numbered(i, "111111111111", at) }, 1, 1},
		{"a batch", func(i int) *audit.Entry { return numbered(i, "111111111111", at) }, MaxBatch, 1},
		{"more than that", func(i int) *audit.Entry { return numbered(i, "111111111111", at) }, MaxBatch + 1, 2},
		{"two accounts", func(i int) *audit.Entry { return numbered(i, fmt.Sprintf("%012d", i%2), at) }, 10, 2},
		{"too far apart", func(i int) *audit.Entry {
			return numbered(i, "111111111111", at.Add(time.Duration(i)*60*time.Millisecond))
		}, 4, 2},
		{"too long", func(i int) *audit.Entry {
			e := numbered(i, "111111111111", at)
			e.UserAgent = strings.Repeat("x", maxStoredBlock/3)
			return e
		}, 4, 2},
	} {
		var units []*unit
		for i := range c.n {
			e := c.entries(i)
			p, err := (&tx{update: &update{}, store: s, records: []record{{key: e.EntityKey(), stored: s.entityKey(e.EntityKey()), isWritten: true, entity: e}}}).pending()
			if err != nil {
				t.Fatal(err)
			}
			units = append(units, &unit{writes: p.writes})
		}
		d := &draft{units: units, most: MaxOps}
		if got := len(d.flat(s).Success); got != c.want {
			t.Errorf("%s: %d records, want %d", c.name, got, c.want)
		}
	}
}

// TestAnUnreadableLineHidesNoOther: it is counted and passed over.
func TestAnUnreadableLineHidesNoOther(t *testing.T) {
	s := start(t, Config{})
	a, b := numbered(1, "111111111111", time.UnixMilli(9)), numbered(2, "111111111111", time.UnixMilli(8))
	storetest.Put(t, s, a)
	form, err := encode(b, s.box)
	if err != nil {
		t.Fatal(err)
	}
	value := a.EntityKey().ID + " {\n" + b.EntityKey().ID + " " + string(form) + "\nno id\n\n"
	if _, err := s.client.Put(t.Context(), s.auditKey(a.EntityKey().ID), value); err != nil {
		t.Fatal(err)
	}
	if got := walkAudit(t, s, audit.Filter{}, 10); !slices.Equal(got, []string{"2"}) || s.Stats().Unreadable == 0 {
		t.Errorf("the log has %v, %d are unreadable; want the one that is good", got, s.Stats().Unreadable)
	}
}
