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
// a million connectors is the difference between 40 and 400 bytes each.
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

type trieNode[V any] struct {
	owner  *owner
	bitmap uint32 // which branches are taken; slots has those, in order
	slots  []trieSlot[V]
}

// trieSlot has either a child or values; more than one value only where whole hashes collide.
type trieSlot[V any] struct {
	child *trieNode[V]
	value V
	more  *[]V // further values of the same hash; almost always nil
}

const (
	trieBits  = 5
	trieDepth = 64 / trieBits // levels at which the hash still tells keys apart
)

func newTrie[V any](key func(V) string) *trie[V] {
	return &trie[V]{root: &trieNode[V]{}, keys: &trieKeys[V]{seed: maphash.MakeSeed(), of: key}}
}

func (k *trieKeys[V]) hash(key string) uint64 { return maphash.String(k.seed, key) }

// slot returns the place of a hash in the node at that level, and whether it is taken.
func (n *trieNode[V]) slot(hash uint64, level int) (bit uint32, index int, taken bool) {
	bit = 1 << (hash >> (level * trieBits) & (1<<trieBits - 1))
	return bit, bits.OnesCount32(n.bitmap & (bit - 1)), n.bitmap&bit != 0
}

// get returns the value with that key.
func (t *trie[V]) get(key string) (V, bool) {
	hash := t.keys.hash(key)
	n := t.root
	for level := 0; ; level++ {
		_, i, taken := n.slot(hash, level)
		if !taken {
			var none V
			return none, false
		}
		s := &n.slots[i]
		if s.child != nil {
			n = s.child
			continue
		}
		return s.find(key, t.keys.of)
	}
}

func (s *trieSlot[V]) find(key string, of func(V) string) (V, bool) {
	if of(s.value) == key {
		return s.value, true
	}
	if s.more != nil {
		for _, v := range *s.more {
			if of(v) == key {
				return v, true
			}
		}
	}
	var none V
	return none, false
}

// mutable returns n, or a copy of it, that o may change.
func (n *trieNode[V]) mutable(o *owner) *trieNode[V] {
	if n.owner == o {
		return n
	}
	return &trieNode[V]{owner: o, bitmap: n.bitmap, slots: slices.Clone(n.slots)}
}

// with returns n, or a copy of it, with another slot.
func (n *trieNode[V]) with(o *owner, bit uint32, i int, s trieSlot[V]) *trieNode[V] {
	if n.owner == o {
		n.bitmap |= bit
		n.slots = slices.Insert(n.slots, i, s)
		return n
	}
	slots := make([]trieSlot[V], len(n.slots)+1)
	copy(slots, n.slots[:i])
	slots[i] = s
	copy(slots[i+1:], n.slots[i:])
	return &trieNode[V]{owner: o, bitmap: n.bitmap | bit, slots: slots}
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
	bit, i, taken := n.slot(hash, level)
	if !taken {
		return n.with(o, bit, i, trieSlot[V]{value: v}), old, false
	}
	n = n.mutable(o)
	s := &n.slots[i]
	if s.child != nil {
		s.child, old, replaced = t.insert(o, s.child, v, hash, level+1)
		return n, old, replaced
	}
	if found, ok := s.find(t.keys.of(v), t.keys.of); ok {
		s.replace(v, t.keys.of)
		return n, found, true
	}
	if level == trieDepth-1 {
		more := []V{v}
		if s.more != nil {
			more = append(slices.Clone(*s.more), v)
		}
		s.more = &more
		return n, old, false
	}
	// Two keys meet: both go one level down. Above the last level a slot has one value only.
	child := &trieNode[V]{owner: o}
	child, _, _ = t.insert(o, child, s.value, t.keys.hash(t.keys.of(s.value)), level+1)
	child, _, _ = t.insert(o, child, v, hash, level+1)
	*s = trieSlot[V]{child: child}
	return n, old, false
}

func (s *trieSlot[V]) replace(v V, of func(V) string) {
	if of(s.value) == of(v) {
		s.value = v
		return
	}
	more := slices.Clone(*s.more)
	for i := range more {
		if of(more[i]) == of(v) {
			more[i] = v
		}
	}
	s.more = &more
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

// cut removes a key that is there. A node left without slots is removed from its parent.
func (t *trie[V]) cut(o *owner, n *trieNode[V], key string, hash uint64, level int) *trieNode[V] {
	n = n.mutable(o)
	bit, i, _ := n.slot(hash, level)
	s := &n.slots[i]
	switch {
	case s.child != nil:
		if s.child = t.cut(o, s.child, key, hash, level+1); len(s.child.slots) > 0 {
			return n
		}
	case s.more != nil:
		rest := slices.DeleteFunc(append([]V{s.value}, *s.more...), func(v V) bool { return t.keys.of(v) == key })
		*s = trieSlot[V]{value: rest[0]}
		if len(rest) > 1 {
			more := rest[1:]
			s.more = &more
		}
		return n
	}
	n.bitmap &^= bit
	n.slots = slices.Delete(n.slots, i, i+1)
	return n
}
