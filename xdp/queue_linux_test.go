package xdp

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

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

// Memory for frames is whole, apart from what else there is, and goes back.
func TestMapFrames(t *testing.T) {
	for _, size := range []int{chunkSize, 3 * hugePage / 2, 2 * hugePage} {
		mapped, memory, err := mapFrames(size)
		if err != nil {
			t.Fatal(err)
		}
		if len(memory) != size || cap(memory) != size || uintptr(unsafe.Pointer(&memory[0]))%hugePage != 0 {
			t.Errorf("%d octets and room for %d at %p; want %d from the beginning of a huge page on", len(memory), cap(memory), &memory[0], size)
		}
		for i := range memory {
			if memory[i] != 0 {
				t.Fatalf("octet %d is %d at first", i, memory[i])
			}
			memory[i] = 1
		}
		if err := unix.Munmap(mapped); err != nil {
			t.Errorf("give %d octets back: %v", size, err)
		}
	}
}
