package store

import (
	"fmt"
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
