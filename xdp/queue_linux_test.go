package xdp

import "testing"

// TestShares: an interface of many queues takes no more memory than one of few, as far as that goes, and sizes of rings are
// powers of two.
func TestShares(t *testing.T) {
	for queues, want := range map[int]uint32{1: MaxWaiting, 2: MaxWaiting / 2, 3: MaxWaiting / 4, 4: MaxWaiting / 4, 5: MaxWaiting / 8, 8: MaxWaiting / 8, MaxQueues: leastWaiting} {
		for n := range queues {
			if got := shareOf(n, queues); got.waiting != want || got.waiting&(got.waiting-1) != 0 || got.sends != (n == 0) {
				t.Errorf("queue %d of %d: %+v, want %d", n, queues, got, want)
			}
		}
	}
}
