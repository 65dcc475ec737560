package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
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

// pollEvents is epoll_wait(2) without waiting.
func pollEvents(epoll int, events []unix.EpollEvent) (int, error) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), 0, 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// nothingAt reports whether nothing waits at sockets: poll(2) without waiting. An error of a port waits, too.
func nothingAt(fds []unix.PollFd) bool {
	var none unix.Timespec
	n, _, errno := unix.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(unsafe.SliceData(fds))), uintptr(len(fds)), uintptr(unsafe.Pointer(&none)), 0, 0, 0)
	return errno == 0 && n == 0
}

// beat is a timer of the kernel's; Go's own are too coarse. Most loops have Go's poller wait for it: where a thread sleeps in a system
// call, the runtime's monitor takes the processor away from it for others, and with both at it every half millisecond that was a
// fifth of the relay's time. A loop with a processor of Go's for itself does wait in the call, and has nothing more to do with the
// scheduler from turn to turn.
type beat struct {
	period  time.Duration
	file    *os.File
	conn    syscall.RawConn
	took    func(fd uintptr) bool
	running bool
	alone   bool
	turns   int // since the scheduler saw to the loop
}

// newBeat makes one; alone is true for a loop with a processor of Go's for itself.
func newBeat(period time.Duration, alone bool) (*beat, error) {
	flags := unix.TFD_CLOEXEC
	if !alone {
		flags |= unix.TFD_NONBLOCK
	}
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, flags)
	if err != nil {
		return nil, fmt.Errorf("create timer: %w", err)
	}
	b := &beat{period: period, file: os.NewFile(uintptr(fd), "timer"), alone: alone}
	if b.conn, err = b.file.SyscallConn(); err != nil {
		return nil, errors.Join(fmt.Errorf("watch timer: %w", err), b.file.Close())
	}
	var count [8]byte
	b.took = func(fd uintptr) bool {
		_, _, errno := unix.RawSyscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
		return errno != unix.EAGAIN
	}
	if alone {
		b.took = func(fd uintptr) bool {
			_, _, errno := unix.Syscall(unix.SYS_READ, fd, uintptr(unsafe.Pointer(&count)), uintptr(len(count)))
			return errno == 0 || errno == unix.EINTR
		}
	}
	return b, nil
}

// showTurns is after how many beats a loop alone on its processor lets Go's scheduler see to it: what the loop has made ready to run
// lies with that processor, and after 10 ms the monitor would take it away.
const showTurns = 16

// show has the scheduler see now to what the loop has made ready to run. Where nobody is idle it would wait for long.
func (b *beat) show() {
	if b.alone {
		b.turns = 0
		runtime.Gosched()
	}
}

// await waits for the next beat, or takes one that was missed. It returns false where it cannot.
func (b *beat) await() bool {
	if !b.running {
		b.running = b.set(b.period)
	}
	if b.turns++; b.turns == showTurns {
		b.show()
	}
	return b.running && b.conn.Read(b.took) == nil
}

// rest stops it until it is awaited again.
func (b *beat) rest() {
	if b.running {
		b.set(0)
		b.running = false
	}
}

func (b *beat) set(period time.Duration) (done bool) {
	each := unix.NsecToTimespec(int64(period))
	err := b.conn.Control(func(fd uintptr) {
		done = unix.TimerfdSettime(int(fd), 0, &unix.ItimerSpec{Interval: each, Value: each}, nil) == nil
	})
	return done && err == nil
}

func (b *beat) close() { _ = b.file.Close() }

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
