//go:build amd64 || arm64

package media

import (
	"testing"
	"unsafe"

	"carillon/cacheline"
)

// place is a part of memory.
type place struct {
	what string
	at   unsafe.Pointer
	size uintptr
	most int // lines
}

// lines returns how many it touches.
func (p place) lines() int {
	return int((uintptr(p.at)+p.size-1)/cacheline.Size-uintptr(p.at)/cacheline.Size) + 1
}

// TestLegsLieOnLines shows that what every packet needs is on as few lines of memory as it fits on, and that what the relay loop
// writes is on none that signalling writes.
func TestLegsLieOnLines(t *testing.T) {
	if n := unsafe.Sizeof(pair{}) / cacheline.Size; n%2 == 0 {
		t.Errorf("a pair has %d lines; want an odd number", n)
	}
	for range 20 {
		s := &Session{}
		s.makeLegs(nil)
		for _, lg := range s.legs {
			p, pr := new(path), new(pair)
			for _, x := range []place{
				{"a leg's path, ends, budget and numbers", unsafe.Pointer(&lg.path), span(&lg.path, &lg.misses), 1},
				{"what is known of the stream", unsafe.Pointer(&lg.hearing), span(&lg.hearing, &lg.stream), 4},
				{"the counts of every packet", unsafe.Pointer(&lg.count), span(&lg.count, &lg.count.protected), 1},
				{"what warm fetches of a leg", unsafe.Pointer(&lg.path), span(&lg.path, &lg.count.protected), legLines},
				{"the latch of the first address", unsafe.Pointer(&lg.latches[0]), span(&lg.latches[0], &lg.latches[0].ports), 1},
				{"a path", unsafe.Pointer(p), span(p, &p.fax), 1},
				{"a port", unsafe.Pointer(&pr.rtp), span(&pr.rtp, &pr.rtp.leg), 1},
			} {
				if got := x.lines(); got > x.most || uintptr(x.at)%cacheline.Size != 0 {
					t.Errorf("%s: %d lines, begun %d octets behind a line; want %d from the beginning of one", x.what, got, uintptr(x.at)%cacheline.Size, x.most)
				}
			}
		}
		loops, signalling := uintptr(unsafe.Pointer(&s.legs[0].reporting)), uintptr(unsafe.Pointer(s.legs[1]))
		if end := loops + unsafe.Sizeof(s.legs[0].reporting) - 1; end/cacheline.Size == signalling/cacheline.Size {
			t.Error("the end of what the loop writes of one leg is on a line with what signalling writes of the other")
		}
	}
}

// span is how many octets there are from the beginning of one field to the end of another.
func span[A, B any](from *A, to *B) uintptr {
	return uintptr(unsafe.Pointer(to)) + unsafe.Sizeof(*to) - uintptr(unsafe.Pointer(from))
}
