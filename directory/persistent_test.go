package directory

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
)

// TestTrieAndSortedAgainstAMap changes both at random, in batches, and compares every version with a plain map, also
// after later versions have been made of it.
func TestTrieAndSortedAgainstAMap(t *testing.T) {
	type version struct {
		trie   trie[*item]
		sorted sorted[*item]
		want   map[string]*item
	}
	random := rand.New(rand.NewPCG(1, 2))
	v := version{*newTrie(func(i *item) string { return i.key }), sorted[*item]{compare: compareItems}, map[string]*item{}}
	versions := []version{v}
	for batch := range 300 {
		o := new(owner)
		v.want = maps.Clone(v.want)
		// It grows to some thousands, shrinks to nothing, and grows again.
		shrinking := batch%100 >= 50
		for range 1 + random.IntN(80) {
			key := strconv.Itoa(random.IntN(3000))
			if shrinking && random.IntN(4) > 0 && len(v.want) > 0 || random.IntN(4) == 0 {
				if shrinking {
					for key = range v.want { // any
						break
					}
				}
				old, ok := v.trie.remove(o, key)
				if want := v.want[key]; old != want || ok != (want != nil) {
					t.Fatalf("remove %s gave %v, %v; want %v", key, old, ok, want)
				}
				v.sorted.remove(o, &item{key: key})
				delete(v.want, key)
				continue
			}
			i := &item{key, random.Int()}
			old, ok := v.trie.put(o, i)
			if want := v.want[key]; old != want || ok != (want != nil) {
				t.Fatalf("put %s gave %v, %v; want %v", key, old, ok, want)
			}
			v.sorted.put(o, i)
			v.want[key] = i
		}
		versions = append(versions, v)
	}
	for n, v := range versions {
		if v.trie.count != len(v.want) {
			t.Fatalf("version %d counts %d, want %d", n, v.trie.count, len(v.want))
		}
		for i := range 3000 {
			key := strconv.Itoa(i)
			if got, ok := v.trie.get(key); got != v.want[key] || ok != (v.want[key] != nil) {
				t.Fatalf("version %d has %v, %v under %s; want %v", n, got, ok, key, v.want[key])
			}
		}
		want := slices.SortedFunc(maps.Values(v.want), compareItems)
		if got := collect(&v.sorted, ""); !slices.Equal(got, want) {
			t.Fatalf("version %d lists %d items, want %d", n, len(got), len(want))
		}
		bound := strconv.Itoa(random.IntN(3000))
		at, _ := slices.BinarySearchFunc(want, &item{key: bound}, compareItems)
		if got := collect(&v.sorted, bound); !slices.Equal(got, want[at:]) {
			t.Fatalf("version %d lists %d items from %s, want %d", n, len(got), bound, len(want)-at)
		}
	}
}

type item struct {
	key   string
	value int
}

func compareItems(a, b *item) int { return cmp.Compare(a.key, b.key) }

func collect(s *sorted[*item], from string) []*item {
	var all []*item
	s.from(func(i *item) bool { return i.key >= from }, func(i *item) bool { all = append(all, i); return true })
	return all
}

// TestSortedStaysShallow deletes nearly all and looks at what is left.
func TestSortedStaysShallow(t *testing.T) {
	s := sorted[*item]{compare: compareItems}
	o := new(owner)
	for i := range 20_000 {
		s.put(o, &item{key: fmt.Sprintf("%05d", i)})
	}
	for i := range 20_000 {
		if i%100 != 0 {
			s.remove(o, &item{key: fmt.Sprintf("%05d", i)})
		}
	}
	pages := 0
	var count func(p *page[*item])
	count = func(p *page[*item]) {
		pages++
		for _, child := range p.children {
			count(child)
		}
	}
	count(s.root)
	if pages > 60 {
		t.Errorf("200 values are left in %d pages", pages)
	}
}

// TestTrieCollisions gives all keys one hash, so that they go down to below the last level.
func TestTrieCollisions(t *testing.T) {
	tr := newTrie(func(i *item) string { return i.key })
	o := new(owner)
	const hash = 0x1234_5678_9abc_def0
	bottom := tr.root
	for level := range trieDepth {
		child := &trieNode[*item]{owner: o}
		*bottom = trieNode[*item]{owner: o, inner: branch(hash, level), children: []*trieNode[*item]{child}}
		bottom = child
	}
	put := func(o *owner, i *item) (old *item) {
		tr.root, old, _ = tr.insert(o, tr.root, i, hash, 0)
		return old
	}
	check := func(want map[string]int) {
		t.Helper()
		if len(bottom.values) != len(want) {
			t.Errorf("there are %d values, want %d", len(bottom.values), len(want))
		}
		for key, value := range want {
			if i := tr.find(bottom, key); i < 0 || bottom.values[i].value != value {
				t.Errorf("%s is in place %d of %v; want %d", key, i, bottom.values, value)
			}
		}
	}
	for _, key := range []string{"a", "b", "c"} {
		if old := put(o, &item{key, 1}); old != nil {
			t.Errorf("%s replaced %v", key, old)
		}
	}
	for _, key := range []string{"b", "a"} {
		if old := put(o, &item{key, 2}); old == nil || old.key != key || old.value != 1 {
			t.Errorf("%s replaced %v", key, old)
		}
	}
	check(map[string]int{"a": 2, "b": 2, "c": 1})
	put(new(owner), &item{"d", 1}) // of another version
	check(map[string]int{"a": 2, "b": 2, "c": 1})
	for _, key := range []string{"a", "c", "d", "b"} {
		tr.root = tr.cut(o, tr.root, key, hash, 0)
	}
	if len(tr.root.children)+len(tr.root.values) > 0 {
		t.Errorf("after all are gone the root has %v, %v", tr.root.children, tr.root.values)
	}
}

// TestTrieMeetings: two keys whose hashes differ in the last bits only part at the last level.
func TestTrieMeetings(t *testing.T) {
	tr := newTrie(func(i *item) string { return i.key })
	first := &item{"first", 1}
	hash := tr.keys.hash(first.key)
	tr.root, _, _ = tr.insert(new(owner), tr.root, first, hash, 0)
	second := &item{"second", 2}
	for _, other := range []uint64{hash ^ 1<<(trieBits*(trieDepth-1)), hash} { // parted at the last level, then not at all
		root, _, replaced := tr.insert(new(owner), tr.root, second, other, 0)
		if replaced {
			t.Errorf("%v replaced another key", second)
		}
		if got, ok := (&trie[*item]{root: root, keys: tr.keys}).get(first.key); !ok || got != first {
			t.Errorf("beside %x the first is %v, %v", other, got, ok)
		}
		n, depth := root, 0
		for len(n.children) > 0 {
			n, depth = n.children[0], depth+1
		}
		if want := trieDepth - 1; other != hash && (depth != want || len(n.values) != 2) {
			t.Errorf("the two part at level %d with %d values, want level %d with 2", depth, len(n.values), want)
		}
		if other == hash && (depth != trieDepth || len(n.values) != 2) {
			t.Errorf("the two are at level %d with %d values, want level %d with 2", depth, len(n.values), trieDepth)
		}
	}
	if got, ok := tr.get(second.key); ok {
		t.Errorf("the version before has %v", got)
	}
}
