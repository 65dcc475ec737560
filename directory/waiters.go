package directory

import "container/heap"

// waiter is one Await. Each has a channel of its own: one channel closed for all would wake thousands at each
// change for the few whose revision has come.
type waiter struct {
	revision int64
	done     chan struct{}
	index    int // place in the heap, -1 once out of it
}

// waiters is a heap, the lowest revision first.
type waiters []*waiter

func (h *waiters) add(revision int64) *waiter {
	w := &waiter{revision: revision, done: make(chan struct{})}
	heap.Push(h, w)
	return w
}

func (h *waiters) release(revision int64) {
	for len(*h) > 0 && (*h)[0].revision <= revision {
		close(heap.Pop(h).(*waiter).done)
	}
}

func (h *waiters) drop(w *waiter) {
	if w.index >= 0 {
		heap.Remove(h, w.index)
	}
}

// Len implements heap.Interface.
func (h waiters) Len() int { return len(h) }

// Less implements heap.Interface.
func (h waiters) Less(i, j int) bool { return h[i].revision < h[j].revision }

// Swap implements heap.Interface.
func (h waiters) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *waiters) Push(x any) {
	w := x.(*waiter)
	w.index = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *waiters) Pop() any {
	old := *h
	w := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	w.index = -1
	return w
}
