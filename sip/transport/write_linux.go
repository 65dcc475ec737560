package transport

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// writeOnce gives b to a non-blocking socket; it returns 0 and no error when the socket is full.
func writeOnce(fd uintptr, b []byte) (int, error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, nil
		default:
			return 0, errno
		}
	}
}

// readsOnce says that readOnce may be used.
const readsOnce = true

// readOnce reads from a non-blocking socket and reports whether that is over; it is not when nothing is there.
func readOnce(fd uintptr, b []byte) (n int, done bool, err error) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		switch errno {
		case 0:
			return int(n), true, nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, false, nil
		default:
			return 0, true, errno
		}
	}
}
