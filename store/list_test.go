package store

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"go.etcd.io/etcd/api/v3/mvccpb"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// TestAListHasEveryRecordOnce reads keys of every shape in pages so small that all ranges are parted again and again.
func TestAListHasEveryRecordOnce(t *testing.T) {
	s := start(t, Config{})
	const prefix = "x/"
	alphabet := []string{"a", "b", "z", "/", "0", "\x00", "\x7f", "\x80", "\xfe", "\xff"}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 20 {
		if _, err := s.client.Delete(t.Context(), prefix, clientv3.WithPrefix()); err != nil {
			t.Fatal(err)
		}
		var want []string
		beginning := strings.Repeat("long/", round%4)
		for range 10 + 30*round {
			var key strings.Builder
			key.WriteString(prefix + beginning)
			for range random.IntN(6) {
				key.WriteString(alphabet[random.IntN(len(alphabet))])
			}
			want = append(want, key.String())
		}
		slices.Sort(want)
		want = slices.Compact(want)
		for some := range slices.Chunk(want, 500) {
			ops := make([]clientv3.Op, len(some))
			for i, key := range some {
				ops[i] = clientv3.OpPut(key, "v")
			}
			if _, err := s.client.Txn(t.Context()).Then(ops...).Commit(); err != nil {
				t.Fatal(err)
			}
		}
		for _, size := range []int64{2, 3, 7} {
			l := &lister{store: s, size: size, pages: make(chan []*mvccpb.KeyValue, len(want)+1)}
			if err := l.list(t.Context(), prefix, prefix); err != nil {
				t.Fatal(err)
			}
			close(l.pages)
			var got []string
			for page := range l.pages {
				for _, kv := range page {
					got = append(got, string(kv.Key))
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("round %d, pages of %d: %d keys, want the %d in order:\n%q\n%q", round, size, len(got), len(want), got, want)
			}
		}
	}
}
