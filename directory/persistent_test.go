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

// TestTrieCollisions gives all keys one hash below the last level by walking down to it.
func TestTrieCollisions(t *testing.T) {
	tr := newTrie(func(i *item) string { return i.key })
	o := new(owner)
	const hash = 0x1234_5678_9abc_def0
	insert := func(i *item) bool {
		var replaced bool
		tr.root, _, replaced = tr.insert(o, tr.root, i, hash, trieDepth-1)
		return replaced
	}
	for _, key := range []string{"a", "b", "c"} {
		if insert(&item{key, 1}) {
			t.Errorf("%s replaced something", key)
		}
	}
	if !insert(&item{"b", 2}) || !insert(&item{"a", 2}) {
		t.Error("a collided key was not replaced")
	}
	slot := func() *trieSlot[*item] { return &tr.root.slots[0] }
	for key, want := range map[string]int{"a": 2, "b": 2, "c": 1} {
		if got, ok := slot().find(key, tr.keys.of); !ok || got.value != want {
			t.Errorf("%s is %v, %v; want %d", key, got, ok, want)
		}
	}
	for _, key := range []string{"a", "c"} {
		tr.root = tr.cut(o, tr.root, key, hash, trieDepth-1)
	}
	if got, ok := slot().find("b", tr.keys.of); !ok || got.value != 2 || slot().more != nil {
		t.Errorf("after the others are gone b is %v, %v", got, ok)
	}
	if _, ok := slot().find("a", tr.keys.of); ok {
		t.Error("a is still there")
	}
}
