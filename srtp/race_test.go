//go:build race

package srtp

// raceDetector: the instrumented crypto/sha1 allocates each time it gives its state, because the compiler then
// makes the slice of an append(b, make(...)...) for real.
const raceDetector = true
