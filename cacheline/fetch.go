//go:build amd64 || arm64

package cacheline

import "unsafe"

// Fetch asks for so many lines from the one on that p points into. It neither waits nor changes anything, and whatever p points
// to, it does not fault: a wrong one costs time alone.
//
//go:noescape
func Fetch(p unsafe.Pointer, lines int)
