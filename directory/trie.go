package directory

import (
	"hash/maphash"
	"math/bits"
	"slices"
)

// owner marks the nodes that one builder has made and may still change. Every other node belongs to a snapshot.
type owner struct{ _ byte } // not of size 0: pointers to two of them must differ

// trie is a persistent map of values by the key they carry: a hash array mapped trie with 32 branches. A changed copy
// shares all nodes but those on the path to the change. Beside a radix tree it keeps no keys of its own, which for
// a million connectors is the difference between 20 and 400 bytes each.
type trie[V any] struct {
	root  *trieNode[V]
	count int
	keys  *trieKeys[V]
}

// trieKeys is what all copies of a trie have in common.
type trieKeys[V any] struct {
	// seed is random: keys that share a hash cannot be chosen from outside.
	seed maphash.Seed
	of   func(V) string
}

// trieNode keeps its children and its values apart: most nodes have but one of the two, and every change copies a path of
// them. Below the last level a node has the values of one whole hash, in no order and without bits.
type trieNode[V any] struct {
	owner *owner
	// inner are the branches that lead to a child, held those with a value; children and values have them in order.
	inner, held uint32
	children    []*trieNode[V]
	values      []V
}

const (
	trieBits  = 5
	trieDepth = 64 / trieBits // levels at which the hash still tells keys apart
)

func newTrie[V any](key func(V) string) *trie[V] {
	return &trie[V]{root: &trieNode[V]{}, keys: &trieKeys[V]{seed: maphash.MakeSeed(), of: key}}
}

func (k *trieKeys[V]) hash(key string) uint64 { return maphash.String(k.seed, key) }

// branch returns the bit of a hash in the nodes of a level.
func branch(hash uint64, level int) uint32 {
	return 1 << (hash >> (level * trieBits) & (1<<trieBits - 1))
}

// rank returns the place of a branch among those that are taken.
func rank(taken, bit uint32) int { return bits.OnesCount32(taken & (bit - 1)) }

// get returns the value with that key.
func (t *trie[V]) get(key string) (V, bool) {
	hash := t.keys.hash(key)
	n := t.root
	for level := 0; level < trieDepth; level++ {
		bit := branch(hash, level)
		if n.inner&bit != 0 {
			n = n.children[rank(n.inner, bit)]
			continue
		}
		if n.held&bit != 0 {
			if v := n.values[rank(n.held, bit)]; t.keys.of(v) == key {
				return v, true
			}
		}
		var none V
		return none, false
	}
	if i := t.find(n, key); i >= 0 {
		return n.values[i], true
	}
	var none V
	return none, false
}

// find returns the place of a key among values that share their hash, -1 for none.
func (t *trie[V]) find(n *trieNode[V], key string) int {
	return slices.IndexFunc(n.values, func(v V) bool { return t.keys.of(v) == key })
}

// mutable returns n, or a copy of it, that o may change.
func (n *trieNode[V]) mutable(o *owner) *trieNode[V] {
	if n.owner == o {
		return n
	}
	return &trieNode[V]{owner: o, inner: n.inner, held: n.held, children: slices.Clone(n.children), values: slices.Clone(n.values)}
}

// with returns n, or a copy of it, with another value at place i.
func (n *trieNode[V]) with(o *owner, bit uint32, i int, v V) *trieNode[V] {
	if n.owner == o {
		n.held |= bit
		n.values = slices.Insert(n.values, i, v)
		return n
	}
	values := make([]V, len(n.values)+1) // no more: most nodes stay as they are for long
	copy(values, n.values[:i])
	values[i] = v
	copy(values[i+1:], n.values[i:])
	return &trieNode[V]{owner: o, inner: n.inner, held: n.held | bit, children: slices.Clone(n.children), values: values}
}

// put adds v, or replaces the value with its key, which it returns.
func (t *trie[V]) put(o *owner, v V) (old V, replaced bool) {
	t.root, old, replaced = t.insert(o, t.root, v, t.keys.hash(t.keys.of(v)), 0)
	if !replaced {
		t.count++
	}
	return old, replaced
}

func (t *trie[V]) insert(o *owner, n *trieNode[V], v V, hash uint64, level int) (_ *trieNode[V], old V, replaced bool) {
	var bit uint32
	i, taken := len(n.values), false
	if level < trieDepth {
		bit = branch(hash, level)
		if n.inner&bit != 0 {
			n = n.mutable(o)
			child := &n.children[rank(n.inner, bit)]
			*child, old, replaced = t.insert(o, *child, v, hash, level+1)
			return n, old, replaced
		}
		i, taken = rank(n.held, bit), n.held&bit != 0
	} else if at := t.find(n, t.keys.of(v)); at >= 0 {
		i, taken = at, true
	}
	if !taken {
		return n.with(o, bit, i, v), old, false
	}
	n = n.mutable(o)
	old = n.values[i]
	if t.keys.of(old) == t.keys.of(v) {
		n.values[i] = v
		return n, old, true
	}
	// Two keys meet: both go one level down.
	child := &trieNode[V]{owner: o}
	child, _, _ = t.insert(o, child, old, t.keys.hash(t.keys.of(old)), level+1)
	child, _, _ = t.insert(o, child, v, hash, level+1)
	n.held, n.values = n.held&^bit, slices.Delete(n.values, i, i+1)
	n.children = slices.Insert(n.children, rank(n.inner, bit), child)
	n.inner |= bit
	var none V
	return n, none, false
}

// remove takes the value with that key out and returns it.
func (t *trie[V]) remove(o *owner, key string) (V, bool) {
	old, ok := t.get(key)
	if ok {
		t.root = t.cut(o, t.root, key, t.keys.hash(key), 0)
		t.count--
	}
	return old, ok
}

// cut removes a key that is there. A node left with nothing is removed from its parent.
func (t *trie[V]) cut(o *owner, n *trieNode[V], key string, hash uint64, level int) *trieNode[V] {
	n = n.mutable(o)
	if level == trieDepth {
		i := t.find(n, key)
		n.values = slices.Delete(n.values, i, i+1)
		return n
	}
	bit := branch(hash, level)
	if n.inner&bit == 0 {
		i := rank(n.held, bit)
		n.held, n.values = n.held&^bit, slices.Delete(n.values, i, i+1)
		return n
	}
	i := rank(n.inner, bit)
	child := t.cut(o, n.children[i], key, hash, level+1)
	if n.children[i] = child; len(child.children)+len(child.values) == 0 {
		n.inner, n.children = n.inner&^bit, slices.Delete(n.children, i, i+1)
	}
	return n
}
