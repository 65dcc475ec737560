//go:build unix && !linux

package transport

import "syscall"

// writeOnce gives b to a non-blocking socket; it returns 0 and no error when the socket is full.
func writeOnce(fd uintptr, b []byte) (int, error) {
	for {
		n, err := syscall.Write(int(fd), b)
		switch err {
		case nil:
			return n, nil
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, nil
		default:
			return 0, err
		}
	}
}

// readsOnce says that readOnce may be used.
const readsOnce = true

// readOnce reads from a non-blocking socket and reports whether that is over; it is not when nothing is there.
func readOnce(fd uintptr, b []byte) (n int, done bool, err error) {
	for {
		n, err = syscall.Read(int(fd), b)
		switch err {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			return 0, false, nil
		}
		return max(n, 0), true, err
	}
}
