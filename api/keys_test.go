package api

import (
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "carillon/api/v1"
	"carillon/iam"
	"carillon/sigv4"
	"carillon/trunk"
)

// TestLastOperatorKey: a key of an operator that works and has no end is always left, also when two operators disable each
// other at once.
func TestLastOperatorKey(t *testing.T) {
	n := startNode(t)
	other := n.key(t, operatorAccount, func(k *iam.AccessKey) { k.Operator = true })
	ends := n.key(t, operatorAccount, func(k *iam.AccessKey) {
		k.Operator, k.SessionToken, k.Expires = true, trunk.NewSecret("t"), n.clock.Now().Add(minute)
	})
	pair := []sigv4.Credentials{n.keys[operatorAccount], other}
	for range 10 {
		var status [2]int
		var both sync.WaitGroup
		for i := range pair {
			both.Go(func() {
				status[i] = n.as(t, pair[i], "POST", v1.Keys+"/"+pair[1-i].AccessKeyID+"?operation=disable", "").Status
			})
		}
		both.Wait()
		left := slices.IndexFunc(pair, func(c sigv4.Credentials) bool {
			k, _ := n.directory.Snapshot().AccessKey(c.AccessKeyID)
			return !k.Disabled
		})
		if left < 0 {
			t.Fatalf("no operator is left: the answers are %v", status)
		}
		for _, take := range []func() answer{
			func() answer {
				return n.as(t, ends, "POST", v1.Keys+"/"+pair[left].AccessKeyID+"?operation=disable", "")
			},
			func() answer { return n.as(t, ends, "DELETE", v1.Keys+"/"+pair[left].AccessKeyID, "") },
		} {
			if a := take().want(t, 409); !strings.Contains(a.Body, "last key of an operator") {
				t.Errorf("got %s", a.Body)
			}
		}
		n.as(t, pair[left], "POST", v1.Keys+"/"+pair[1-left].AccessKeyID+"?operation=enable", "").want(t, 204)
	}
}

// TestOperatorsDisableEachOther: of two who do so at once one comes first, and the other's key does nothing any more.
func TestOperatorsDisableEachOther(t *testing.T) {
	n := startNode(t)
	for range 10 {
		var pair [2]sigv4.Credentials
		for i := range pair {
			pair[i] = n.key(t, operatorAccount, func(k *iam.AccessKey) { k.Operator = true })
		}
		var status [2]int
		var both sync.WaitGroup
		for i := range pair {
			both.Go(func() {
				status[i] = n.as(t, pair[i], "POST", v1.Keys+"/"+pair[1-i].AccessKeyID+"?operation=disable", "").Status
			})
		}
		both.Wait()
		if (status[0] == 204) == (status[1] == 204) {
			t.Fatalf("the answers are %v, want one 204", status)
		}
	}
}
