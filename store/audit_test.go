package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/audit"
	"carillon/store/storetest"
	"carillon/trunk"
)

// TestAuditScan: a filter that nothing passes looks at MaxAuditScan entries and says where to go on.
func TestAuditScan(t *testing.T) {
	s := start(t, Config{})
	const more = 7
	entries := make([]trunk.Entity, 0, MaxAuditScan+more)
	for n := range MaxAuditScan + more {
		entries = append(entries, &audit.Entry{
			Time: time.UnixMilli(int64(n)), Account: "111111111111", RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n), Action: "chime:X",
		})
	}
	for len(entries) > 0 {
		n := min(len(entries), MaxOps)
		storetest.Put(t, s, entries[:n]...)
		entries = entries[n:]
	}
	rare := audit.Filter{Operation: "Y"}
	found, next, err := s.Audit(t.Context(), rare, 100, "")
	if err != nil || len(found) != 0 || next == "" {
		t.Fatalf("the first page has %d entries, cursor %q, %v; want an empty one with a cursor", len(found), next, err)
	}
	if at, _, _, _, err := audit.ParseID(next); err != nil || at.UnixMilli() != more {
		t.Errorf("the cursor stands at %v, %v; want entry %d", at, err, more)
	}
	if found, next, err = s.Audit(t.Context(), rare, 100, next); err != nil || len(found) != 0 || next != "" {
		t.Errorf("the second page has %d entries, cursor %q, %v; want the end", len(found), next, err)
	}
}

// TestAuditPageBytes: however many entries are asked for, a page holds no more than MaxPageBytes, and nothing is left out.
func TestAuditPageBytes(t *testing.T) {
	s := start(t, Config{})
	const count = 100
	long := `{"x":"` + strings.Repeat("x", audit.MaxEntryBytes) + `"}`
	var entries []trunk.Entity
	for n := range count {
		entries = append(entries, &audit.Entry{
			Time: time.UnixMilli(int64(n)), Account: "111111111111", RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n), Action: "chime:X",
			Changes: []audit.Change{{Key: trunk.EntityKey{Kind: trunk.KindConnector, ID: "c"}, After: long}},
		})
	}
	for len(entries) > 0 {
		storetest.Put(t, s, entries[:10]...)
		entries = entries[10:]
	}
	got, cut := 0, 0
	for after := ""; ; {
		page, next, err := s.Audit(t.Context(), audit.Filter{}, 1000, after)
		if err != nil {
			t.Fatal(err)
		}
		for size, i := 0, 0; i < len(page); i++ {
			if size += len(page[i].Changes[0].After); size > audit.MaxPageBytes {
				t.Fatalf("a page of %d entries has more than %d bytes", len(page), audit.MaxPageBytes)
			}
			if want := int64(count - 1 - got); page[i].Time.UnixMilli() != want {
				t.Fatalf("entry %d, want %d", page[i].Time.UnixMilli(), want)
			}
			got++
		}
		if after = next; next == "" {
			break
		}
		cut++
	}
	if got != count || cut == 0 {
		t.Errorf("%d entries on %d pages, want %d on several", got, cut+1, count)
	}
}

// TestUnreadableAuditEntries are passed over and counted.
func TestUnreadableAuditEntries(t *testing.T) {
	s := start(t, Config{})
	var good []trunk.Entity
	for n := range 3 {
		good = append(good, &audit.Entry{Time: time.UnixMilli(int64(n)), Account: "111111111111", RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n), Action: "chime:X"})
	}
	storetest.Put(t, s, good...)
	putRaw(t, s, good[1].EntityKey(), map[string]any{"v": formVersion + 1})
	putRaw(t, s, trunk.EntityKey{Kind: audit.Kind, ID: "no id"}, map[string]any{"v": formVersion})
	found, next, err := s.Audit(t.Context(), audit.Filter{}, 100, "")
	if err != nil || len(found) != 2 || next != "" || s.Stats().Unreadable != 2 {
		t.Errorf("%d entries, cursor %q, %v, %d unreadable; want 2 of each", len(found), next, err, s.Stats().Unreadable)
	}
}

// TestTrimAuditBytes: long entries go before short ones of other accounts, the oldest first, and however few they are.
func TestTrimAuditBytes(t *testing.T) {
	s := start(t, Config{})
	for n := range 20 {
		for account, length := range map[string]int{"111111111111": 40_000, "222222222222": 10} {
			storetest.Put(t, s, &audit.Entry{
				Time: time.UnixMilli(int64(n)), Account: account, RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n), Action: "chime:X",
				UserAgent: strings.Repeat("x", length),
			})
		}
	}
	d, err := s.TrimAudit(t.Context(), time.UnixMilli(100), audit.Retention{BytesPerAccount: 250_000})
	if err != nil || d != (audit.Dropped{Crowded: 14}) {
		t.Errorf("dropped %+v, %v; want the 14 oldest long ones", d, err)
	}
	left, _, err := s.Audit(t.Context(), audit.Filter{Account: "111111111111"}, 100, "")
	if err != nil || len(left) != 6 || left[5].Time.UnixMilli() != 14 {
		t.Errorf("%d are left, %v", len(left), err)
	}
	if short, _, err := s.Audit(t.Context(), audit.Filter{Account: "222222222222"}, 100, ""); err != nil || len(short) != 20 {
		t.Errorf("%d short ones are left, %v", len(short), err)
	}
}
