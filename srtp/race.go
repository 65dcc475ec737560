//go:build race

package srtp

// raceDetector: in an instrumented crypto/sha1, to give the state allocates a slice for the empty part of its
// block, unless that is 32 bytes or less. Filling half of the block keeps the tests for allocations true.
const raceDetector = true
