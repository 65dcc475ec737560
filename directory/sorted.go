package directory

import (
	"slices"
	"sort"
)

// sorted is a persistent ordered set: a B-tree whose changed copy shares all pages but those on the path to the
// change. It keeps no keys beside the values.
type sorted[V any] struct {
	root    *page[V] // nil when empty
	compare func(a, b V) int
}

// pageSize is the most values or children of a page; a page below a quarter joins its neighbour where both fit.
const pageSize = 24

type page[V any] struct {
	owner *owner
	// values are a leaf's values, or for each child the largest value below it.
	values   []V
	children []*page[V] // nil in a leaf
}

func (p *page[V]) largest() V { return p.values[len(p.values)-1] }

func (p *page[V]) mutable(o *owner) *page[V] {
	if p.owner == o {
		return p
	}
	return &page[V]{owner: o, values: slices.Clone(p.values), children: slices.Clone(p.children)}
}

// put adds v, or replaces the value that compares equal.
func (s *sorted[V]) put(o *owner, v V) {
	if s.root == nil {
		s.root = &page[V]{owner: o, values: []V{v}}
		return
	}
	left, right := s.insert(o, s.root, v)
	s.root = left
	if right != nil {
		s.root = &page[V]{owner: o, values: []V{left.largest(), right.largest()}, children: []*page[V]{left, right}}
	}
}

// insert returns the changed page and, when it had to be split, its upper half.
func (s *sorted[V]) insert(o *owner, p *page[V], v V) (left, right *page[V]) {
	p = p.mutable(o)
	i, equal := slices.BinarySearchFunc(p.values, v, s.compare)
	switch {
	case p.children == nil && equal:
		p.values[i] = v
		return p, nil
	case p.children == nil:
		p.values = slices.Insert(p.values, i, v)
	default:
		i = min(i, len(p.children)-1) // what is larger than all goes into the last child
		child, upper := s.insert(o, p.children[i], v)
		p.children[i], p.values[i] = child, child.largest()
		if upper != nil {
			p.children = slices.Insert(p.children, i+1, upper)
			p.values = slices.Insert(p.values, i+1, upper.largest())
		}
	}
	if len(p.values) <= pageSize {
		return p, nil
	}
	half := len(p.values) / 2
	right = &page[V]{owner: o, values: slices.Clone(p.values[half:])}
	clear(p.values[half:])
	p.values = p.values[:half]
	if p.children != nil {
		right.children = slices.Clone(p.children[half:])
		clear(p.children[half:])
		p.children = p.children[:half]
	}
	return p, right
}

// remove takes out the value that compares equal to v, if there is one.
func (s *sorted[V]) remove(o *owner, v V) {
	if s.root == nil {
		return
	}
	s.root = s.cut(o, s.root, v)
	for s.root.children != nil && len(s.root.children) == 1 {
		s.root = s.root.children[0]
	}
	if len(s.root.values) == 0 {
		s.root = nil
	}
}

func (s *sorted[V]) cut(o *owner, p *page[V], v V) *page[V] {
	i, equal := slices.BinarySearchFunc(p.values, v, s.compare)
	if i == len(p.values) || p.children == nil && !equal {
		return p
	}
	p = p.mutable(o)
	if p.children == nil {
		p.values = slices.Delete(p.values, i, i+1)
		return p
	}
	child := s.cut(o, p.children[i], v)
	p.children[i] = child
	if len(child.values) == 0 {
		p.children = slices.Delete(p.children, i, i+1)
		p.values = slices.Delete(p.values, i, i+1)
		return p
	}
	p.values[i] = child.largest()
	if len(child.values) < pageSize/4 {
		s.join(o, p, i)
	}
	return p
}

// join puts the small child i together with a neighbour, where the two leave room for more.
func (s *sorted[V]) join(o *owner, p *page[V], i int) {
	if i+1 == len(p.children) {
		i--
	}
	if i < 0 || len(p.children[i].values)+len(p.children[i+1].values) > pageSize*3/4 {
		return
	}
	left, right := p.children[i].mutable(o), p.children[i+1]
	left.values = append(left.values, right.values...)
	left.children = append(left.children, right.children...)
	p.children[i], p.values[i] = left, left.largest()
	p.children = slices.Delete(p.children, i+1, i+2)
	p.values = slices.Delete(p.values, i+1, i+2)
}

// from calls yield with each value in order, beginning with the first for which begun is true, until yield returns
// false. Once begun is true of a value it must be true of all larger ones.
func (s *sorted[V]) from(begun func(V) bool, yield func(V) bool) {
	if s.root != nil {
		s.root.from(begun, yield)
	}
}

func (p *page[V]) from(begun, yield func(V) bool) bool {
	for i := sort.Search(len(p.values), func(i int) bool { return begun(p.values[i]) }); i < len(p.values); i++ {
		switch {
		case p.children == nil && !yield(p.values[i]):
			return false
		case p.children != nil && !p.children[i].from(begun, yield):
			return false
		}
	}
	return true
}
