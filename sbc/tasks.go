package sbc

import "sync"

// tasks counts what is under way and can be waited for while new ones still begin, which sync.WaitGroup does not allow.
type tasks struct {
	mu   sync.Mutex
	n    int
	idle []chan struct{}
}

func (t *tasks) begin() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tasks) done() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n > 0 {
		return
	}
	for _, c := range t.idle {
		close(c)
	}
	t.idle = nil
}

// Idle returns a channel that is closed when none is running.
func (t *tasks) Idle() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := make(chan struct{})
	if t.n == 0 {
		close(c)
		return c
	}
	t.idle = append(t.idle, c)
	return c
}
