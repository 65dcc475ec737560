//go:build !unix

package transport

// writeOnce takes nothing where non-blocking writes are not ours to make: all goes by the queue.
func writeOnce(uintptr, []byte) (int, error) { return 0, nil }

// readsOnce says that non-blocking reads are not ours to make either.
const readsOnce = false

func readOnce(uintptr, []byte) (int, bool, error) { return 0, true, nil }
