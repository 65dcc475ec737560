package media

import (
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below never wait, and so they are not announced to Go's scheduler: that would wake the runtime's monitor thread,
// which polls for as long as a thread seems to wait.

// recvFrom is recvfrom(2) without the address object that x/sys/unix allocates for each datagram.
func recvFrom(fd int, b []byte) (int, netip.AddrPort, bool) {
	var sa unix.RawSockaddrInet6 // the larger of the two
	size := uint32(unsafe.Sizeof(sa))
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), 0, uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return 0, netip.AddrPort{}, false
	}
	if sa.Family == unix.AF_INET {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa))
		return int(n), netip.AddrPortFrom(netip.AddrFrom4(sa4.Addr), swap(sa4.Port)), true
	}
	return int(n), netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), swap(sa.Port)), true
}

// sendTo is sendto(2) without an address object.
func sendTo(s *socket, b []byte, to netip.AddrPort) bool {
	sa, size := addressOf(to)
	_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), 0, uintptr(unsafe.Pointer(&sa)), size)
	return errno == 0
}

// swap turns a port between the processor's and the network's order of bytes.
func swap(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// addressOf returns an address in the kernel's form; with it goes the size.
func addressOf(at netip.AddrPort) (sa unix.RawSockaddrInet6, size uintptr) {
	if at.Addr().Is4() {
		sa4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&sa)) // the smaller of the two
		*sa4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swap(at.Port()), Addr: at.Addr().As4()}
		return sa, unix.SizeofSockaddrInet4
	}
	return unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swap(at.Port()), Addr: at.Addr().As16()}, unix.SizeofSockaddrInet6
}

// bindTo is bind(2).
func bindTo(fd int, at netip.AddrPort) error {
	sa, size := addressOf(at)
	_, _, errno := unix.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&sa)), size)
	if errno != 0 {
		return errno
	}
	return nil
}

// setOption is setsockopt(2) for a number.
func setOption(fd, level, option, value int) error {
	n := int32(value)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), uintptr(level), uintptr(option),
		uintptr(unsafe.Pointer(&n)), unsafe.Sizeof(n), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// socketTable finds sockets by file descriptor. The loop reads it without a lock; what is put in meanwhile it may miss
// once, and the kernel tells it again.
type socketTable struct {
	all atomic.Pointer[[]atomic.Pointer[socket]]

	mu      sync.Mutex // of those that write
	stopped bool       // the loop has ended and takes none
}

// get returns the socket of a file descriptor, nil when there is none.
func (t *socketTable) get(fd int) *socket {
	if all := t.all.Load(); all != nil && fd < len(*all) {
		return (*all)[fd].Load()
	}
	return nil
}

// put adds a socket. It is called with the lock held.
func (t *socketTable) put(s *socket) {
	all := t.all.Load()
	if all == nil || s.fd >= len(*all) {
		larger := make([]atomic.Pointer[socket], 2*s.fd+64)
		for i := range larger {
			if all != nil && i < len(*all) {
				larger[i].Store((*all)[i].Load())
			}
		}
		all = &larger
		t.all.Store(all)
	}
	(*all)[s.fd].Store(s)
}

// take removes a socket and reports whether it was there.
func (t *socketTable) take(s *socket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.get(s.fd) != s {
		return false
	}
	(*t.all.Load())[s.fd].Store(nil)
	return true
}

// stop takes no more sockets and returns those that are in.
func (t *socketTable) stop() (left []*socket) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.stopped = true
	if all := t.all.Load(); all != nil {
		for i := range *all {
			if s := (*all)[i].Load(); s != nil {
				left = append(left, s)
			}
		}
	}
	return left
}
