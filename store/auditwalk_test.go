package store

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"carillon/audit"
)

// countedRanges is a KV that counts the records etcd looked at.
type countedRanges struct {
	clientv3.KV
	looked int64
}

// Get implements clientv3.KV.
func (c *countedRanges) Get(ctx context.Context, key string, opts ...clientv3.OpOption) (*clientv3.GetResponse, error) {
	answer, err := c.KV.Get(ctx, key, opts...)
	if err == nil {
		c.looked += answer.Count
	}
	return answer, err
}

// TestAuditWalk walks logs of every shape: years without an entry, thousands in one moment, entries of the future.
func TestAuditWalk(t *testing.T) {
	s := start(t, Config{})
	random := rand.New(rand.NewPCG(3, 4))
	now := time.Now()
	var want []string
	add := func(at time.Time) {
		want = append(want, s.auditKey(fmt.Sprintf("%s-123456789012-%036d", audit.Before(at), len(want))))
	}
	for range 3 {
		add(now.Add(time.Duration(random.Int64N(int64(time.Hour))))) // a node whose clock is ahead
	}
	for range 6000 { // a busy day
		add(now.Add(-time.Duration(random.Int64N(int64(24 * time.Hour)))))
	}
	for range 2500 { // a busy moment
		add(now.Add(-36 * time.Hour))
	}
	add(now.Add(-3 * 365 * 24 * time.Hour))
	add(time.UnixMilli(0))
	slices.Sort(want)
	for some := range slices.Chunk(want, 2000) {
		ops := make([]clientv3.Op, len(some))
		for i, key := range some {
			ops[i] = clientv3.OpPut(key, "v")
		}
		if _, err := s.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
			t.Fatal(err)
		}
	}
	counted := &countedRanges{KV: s.client.KV}
	s.client.KV = counted
	end := clientv3.GetPrefixRangeEnd(s.auditKey(""))
	for _, from := range []string{s.auditKey(""), want[0], want[len(want)/2], want[len(want)-1], end} {
		walk, got := s.auditWalk(from, end, 50), []string{}
		for {
			page, err := walk.next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if page == nil {
				break
			}
			if len(page) > 50 {
				t.Fatalf("a page of %d", len(page))
			}
			for _, kv := range page {
				got = append(got, string(kv.Key))
			}
		}
		begin, _ := slices.BinarySearch(want, from)
		if !slices.Equal(got, want[begin:]) {
			t.Errorf("from %q: %d entries, want the last %d of %d in order", from, len(got), len(want)-begin, len(want))
		}
	}
	// Page by page to the end of the log, etcd would look at some 370,000 records for one walk.
	counted.looked = 0
	for walk := s.auditWalk(s.auditKey(""), end, 100); ; {
		page, err := walk.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if page == nil {
			break
		}
	}
	if most := int64(20 * len(want)); counted.looked > most {
		t.Errorf("etcd looked at %d records for one walk over %d, want at most %d", counted.looked, len(want), most)
	}
	counted.looked = 0
	if page, err := s.auditWalk(s.auditKey(""), end, 100).next(t.Context()); err != nil || len(page) == 0 || counted.looked > 1000 {
		t.Errorf("the first page took a look at %d records: %v", counted.looked, err)
	}
}
