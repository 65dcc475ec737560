package cacheline

import (
	"testing"
	"unsafe"
)

// Fetch changes nothing of what it is asked for, and takes every address and number.
func TestFetch(t *testing.T) {
	b := make([]byte, 8*Size)
	for i := range b {
		b[i] = byte(i)
	}
	for lines := -1; lines <= 8; lines++ {
		Fetch(unsafe.Pointer(&b[lines&7]), lines)
	}
	for i := range b {
		if b[i] != byte(i) {
			t.Fatalf("octet %d is %d", i, b[i])
		}
	}
	Fetch(nil, 3)
	Fetch(unsafe.Pointer(&b[len(b)-1]), 1<<16) // past what is mapped
	if n := testing.AllocsPerRun(100, func() { Fetch(unsafe.Pointer(&b[0]), 8) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkFetch reads lines that are far away, with and without asking for the next ones: that it brings them near.
func BenchmarkFetch(b *testing.B) {
	const lines, step = 1 << 20, 7919 // 64 MB, in an order that no processor foresees
	memory := make([]byte, lines*Size)
	for i := range memory {
		memory[i] = 1 // memory never written to is one page for the system
	}
	clear(memory)
	at := func(i int) unsafe.Pointer { return unsafe.Pointer(&memory[i*step%lines*Size]) }
	for _, ahead := range []int{0, 16} {
		name := "asked for"
		if ahead == 0 {
			name = "found"
		}
		b.Run(name, func(b *testing.B) {
			next, sum := 0, 0
			for i := range b.N {
				if ahead > 0 {
					Fetch(at(i+ahead), 1)
				}
				// The next place depends on what is read, as on the packet path.
				next = i + int(memory[(i+next)*step%lines*Size])
				sum += next
				next -= i
			}
			if sum == -1 {
				b.Fatal(sum)
			}
		})
	}
}
