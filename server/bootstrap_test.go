package server

import (
	"net/netip"
	"testing"
	"time"

	"carillon/config"
	"carillon/iam"
	"carillon/trunk"
)

// restart starts a node on data, changes its keys, stops it and says which key the next start writes into the ready file.
func restart(t *testing.T, data string, change func(first *iam.AccessKey) []*iam.AccessKey) string {
	t.Helper()
	run := func(between func(*Node)) string {
		conf := config.Default(true)
		conf.Data = data
		const free = config.Listen("127.0.0.1:0")
		conf.API, conf.SIPUDP, conf.SIPTCP, conf.SIPTLS, conf.DNS, conf.Metrics = free, free, free, free, free, free
		conf.MediaIP = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
		n, err := Start(t.Context(), conf, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		id := n.Ready().AccessKeyID
		between(n)
		return id
	}
	run(func(n *Node) {
		first, ok := n.directory.Snapshot().AccessKey(n.Ready().AccessKeyID)
		if !ok || !first.Bootstrap {
			t.Fatalf("the first start writes the key %+v", first)
		}
		changed := *first
		_, err := n.store.Update(t.Context(), func(tx trunk.Tx) error {
			for _, k := range change(&changed) {
				tx.Put(k)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	return run(func(*Node) {})
}

// TestReadyKey: a start writes the installation's first key, or the one that took its place, and no other: one that an
// operator has made is that operator's secret.
func TestReadyKey(t *testing.T) {
	made := func(first *iam.AccessKey, id, name string, bootstrap bool) *iam.AccessKey {
		return &iam.AccessKey{
			ID: id, Account: first.Account, Name: name, Operator: true, Bootstrap: bootstrap,
			Secret: trunk.NewSecret("secret"), Created: first.Created.Add(time.Second),
		}
	}
	const alice, heir = "AKIAALICEALICEALICE0", "AKIAHEIRHEIRHEIRHEI0"
	for name, tt := range map[string]struct {
		change func(*iam.AccessKey) []*iam.AccessKey
		want   string
	}{
		"disabled": {func(first *iam.AccessKey) []*iam.AccessKey {
			first.Disabled = true
			return []*iam.AccessKey{first, made(first, alice, operatorKey, false)}
		}, ""},
		"rotated": {func(first *iam.AccessKey) []*iam.AccessKey {
			first.Disabled = true
			return []*iam.AccessKey{first, made(first, alice, "alice", false), made(first, heir, operatorKey, true)}
		}, heir},
		"rotated in a store of before": {func(first *iam.AccessKey) []*iam.AccessKey {
			first.Disabled, first.Bootstrap = true, false
			return []*iam.AccessKey{first, made(first, alice, "alice", false), made(first, heir, operatorKey, false)}
		}, heir},
		"disabled in a store of before": {func(first *iam.AccessKey) []*iam.AccessKey {
			first.Disabled, first.Bootstrap = true, false
			return []*iam.AccessKey{first, made(first, alice, "alice", false)}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := restart(t, t.TempDir(), tt.change); got != tt.want {
				t.Errorf("the next start writes %q, want %q", got, tt.want)
			}
		})
	}
}
