package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/audit"
	"carillon/clock"
	"carillon/store/storetest"
	"carillon/trunk"
)

// signed is the audit entry of a write by a tenant's key, or by an operator's.
func signed(n int, operator bool) *audit.Entry {
	return &audit.Entry{
		Time: time.UnixMilli(int64(n)), Account: "111111111111", Operator: operator, Action: "chime:X",
		RequestID: fmt.Sprintf("6f0b7c1e-0000-4000-8000-%012d", n),
	}
}

// TestAReserveForOperators: a tenant that fills the store comes only so far. Operators can still write, tenants delete,
// and that makes room for tenants again.
func TestAReserveForOperators(t *testing.T) {
	timers := &ownTimers{Clock: clock.System()}
	s := startWith(t, settings{quota: 32 << 20}, timers)
	entries := 0
	write := func(operator bool, fn func(trunk.Tx)) error {
		entries++
		_, err := s.Update(t.Context(), func(tx trunk.Tx) error {
			fn(tx)
			tx.Put(signed(entries, operator))
			return nil
		})
		return err
	}
	putBig := func(name string) func(trunk.Tx) { return func(tx trunk.Tx) { tx.Put(big(name)) } }

	// What is old and of no use is removed before it is taken for full.
	for range 200 {
		if err := write(false, putBig("same")); err != nil && trunk.KindOf(err) != trunk.Unavailable {
			t.Fatal(err)
		}
	}
	within(t, 20*time.Second, "room is made of old revisions", func() bool { return write(false, putBig("same")) == nil })
	if got := s.Stats(); got.Mended == 0 {
		t.Errorf("nothing was mended: %+v", got)
	}

	n := 0
	within(t, 30*time.Second, "it is found out that there is too much", func() bool {
		err := write(false, putBig(fmt.Sprint("kept ", n)))
		if err == nil {
			n++
		} else if !strings.Contains(err.Error(), "what is left is for operators") || trunk.KindOf(err) != trunk.Unavailable {
			t.Fatalf("a nearly full store gives a tenant %v", err)
		}
		return timers.waiting.Load()
	})
	if err := write(false, func(tx trunk.Tx) { tx.Put(quotaOf("small", 1)) }); !isReserved(err) {
		t.Errorf("a small write of a tenant gives %v", err)
	}
	if got := s.Stats(); got.Reserved == 0 || got.QuotaBytes != 32<<20 || got.DatabaseBytes < got.QuotaBytes/100*MaxTenantPercent {
		t.Errorf("counted %+v", got)
	}
	for i := range 5 {
		if err := write(true, func(tx trunk.Tx) { tx.Put(quotaOf("disabled", i)) }); err != nil {
			t.Fatalf("an operator is refused: %v", err)
		}
	}
	storetest.Put(t, s, quotaOf("the node's own", 1))
	for i := range n {
		key := storetest.Connector(fmt.Sprint("kept ", i)).EntityKey()
		if err := write(false, func(tx trunk.Tx) { tx.Delete(key) }); err != nil {
			t.Fatalf("a tenant may not delete: %v", err)
		}
	}
	timers.fire()
	within(t, 20*time.Second, "room is made by deleting", func() bool { return write(false, putBig("same")) == nil })
}
