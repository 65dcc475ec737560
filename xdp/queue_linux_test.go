package xdp

import (
	"bytes"
	"fmt"
	"os"
	"strings"
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

// Memory for frames is whole, asked for in huge pages, there before it is used, and goes back.
func TestMapFrames(t *testing.T) {
	for _, size := range []int{chunkSize, 3 * hugePage / 2, 2 * hugePage} {
		mapped, memory, err := mapFrames(size)
		if err != nil {
			t.Fatal(err)
		}
		at := uintptr(unsafe.Pointer(&memory[0]))
		if len(memory) != size || cap(memory) != size || at%hugePage != 0 {
			t.Errorf("%d octets and room for %d at %x; want %d from the beginning of a huge page on", len(memory), cap(memory), at, size)
		}
		there := make([]byte, (size+os.Getpagesize()-1)/os.Getpagesize())
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, at, uintptr(size), uintptr(unsafe.Pointer(&there[0]))); errno != 0 {
			t.Fatal(errno)
		}
		if i := bytes.IndexByte(there, 0); i >= 0 {
			t.Errorf("page %d of %d octets is not there before the first frame", i, size)
		}
		if _, err := os.Stat("/sys/kernel/mm/transparent_hugepage"); err == nil && !strings.Contains(flagsAt(t, at), " hg") {
			t.Errorf("%d octets are not asked for in huge pages: %s", size, flagsAt(t, at))
		}
		for i := range memory {
			if memory[i] != 0 {
				t.Fatalf("octet %d is %d at first", i, memory[i])
			}
			memory[i] = 1
		}
		(&queue{fd: -1, mapped: mapped, memory: memory}).close()
		if err := unix.Munmap(mapped); err == nil {
			t.Errorf("a queue that was closed still had its %d octets", size)
		}
	}
	for range 200 { // wherever the system puts it
		mapped, memory, err := mapFrames(chunkSize)
		if err != nil {
			t.Fatal(err)
		}
		memory[0]++
		if err := unix.Munmap(mapped); err != nil {
			t.Fatal(err)
		}
	}
}

// flagsAt returns the flags of the memory at an address (proc(5), VmFlags).
func flagsAt(t *testing.T, at uintptr) (flags string) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	within := false
	for line := range strings.Lines(string(text)) {
		var from, to uintptr
		if n, _ := fmt.Sscanf(line, "%x-%x ", &from, &to); n == 2 {
			within = from <= at && at < to
		}
		if rest, ok := strings.CutPrefix(line, "VmFlags:"); ok && within {
			return strings.TrimSuffix(rest, "\n")
		}
	}
	t.Fatalf("%x is in none of the process's memory", at)
	return ""
}
