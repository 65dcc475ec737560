package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The ways to receive and send that the bare forwarder has, for -floors. The first one is woken by every packet; the others
// take what has gathered in gatherTime, as the relay does when it is busy. With "connected" a socket sends without an address.
const (
	floorEpoll    = "epoll"
	floorGathered = "gathered"
	floorRing     = "ring"
	connectedWord = "-connected"
)

// gatherTime is in nanoseconds.
const gatherTime = 500_000

// floors returns a forwarder at a place for each of the ways named.
func floors(at place, names string) (list []system, err error) {
	for name := range strings.SplitSeq(names, ",") {
		switch way, _ := strings.CutSuffix(name, connectedWord); way {
		case floorEpoll, floorGathered, floorRing:
			list = append(list, &forwarder{place: at, floor: name})
		default:
			return nil, fmt.Errorf("there is no floor %q", name)
		}
	}
	return list, nil
}

// way is what a packet needs that came on a socket: where it goes, and from which socket.
type way struct {
	to        unix.RawSockaddrInet4
	from      int
	connected bool
}

// send sends a packet that takes the way.
func (w *way) send(b unsafe.Pointer, size uintptr) {
	if w.connected {
		_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(w.from), uintptr(b), size, 0, 0, 0)
		return
	}
	_, _, _ = unix.RawSyscall6(unix.SYS_SENDTO, uintptr(w.from), uintptr(b), size, 0, uintptr(unsafe.Pointer(&w.to)), unix.SizeofSockaddrInet4)
}

// overEpoll forwards what epoll reports.
func overEpoll(epoll int, ways []way, gathered bool) {
	runtime.LockOSThread()
	var events [256]unix.EpollEvent
	b := new([2048]byte)
	for {
		wait := -1
		if gathered {
			// Not announced to Go's scheduler, whose monitor would poll meanwhile and take a fifth of the time.
			each := unix.NsecToTimespec(gatherTime)
			_, _, _ = unix.RawSyscall6(unix.SYS_CLOCK_NANOSLEEP, unix.CLOCK_MONOTONIC, 0, uintptr(unsafe.Pointer(&each)), 0, 0, 0)
			wait = 0
		}
		n, err := unix.EpollWait(epoll, events[:], wait)
		if err != nil && err != unix.EINTR {
			return
		}
		for _, event := range events[:max(n, 0)] {
			size, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(event.Fd), uintptr(unsafe.Pointer(b)), uintptr(len(b)), 0, 0, 0)
			if errno == 0 {
				ways[event.Fd].send(unsafe.Pointer(b), size)
			}
		}
	}
}

// overRing forwards with one call of the system each gatherTime: the sockets' receives stay until they are closed, and what
// came is sent with the call that waits for more. Sockets come through the channel.
func overRing(added <-chan int, ways []way) error {
	runtime.LockOSThread()
	r, err := newRing(1024, 8192)
	if err != nil {
		return err
	}
	buffers, err := newRingBuffers(r)
	if err != nil {
		return err
	}
	// The source is received, too: a relay needs it.
	header := &unix.Msghdr{Namelen: unix.SizeofSockaddrInet4}
	receive := func(fd int) {
		s := r.next()
		s.op, s.flags, s.fd, s.user, s.priority = opRecvmsg, sqeBufferSelect, int32(fd), uint64(fd), recvMultishot|recvPollFirst
		s.address, s.size = uint64(uintptr(unsafe.Pointer(header))), 1
		if ways[fd].connected {
			s.op, s.address, s.size = opRecv, 0, 0
		}
	}
	var used []uint16
	done := func(c completion) {
		if int(c.user) >= len(ways) {
			return // a send that failed
		}
		w := &ways[c.user]
		if c.flags&cqeBuffer != 0 {
			id := uint16(c.flags >> cqeBufferShift)
			used = append(used, id)
			b := buffers.of(id)[:c.result]
			s := r.next()
			if !w.connected {
				b = b[recvmsgOut+unix.SizeofSockaddrInet4:]
				s.offset, s.addressSize = uint64(uintptr(unsafe.Pointer(&w.to))), unix.SizeofSockaddrInet4
			}
			s.op, s.flags, s.fd, s.user, s.opFlags = opSend, sqeSkipSuccess, int32(w.from), uint64(len(ways)), unix.MSG_DONTWAIT
			s.address, s.size = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))), uint32(len(b))
		}
		if c.flags&cqeMore == 0 {
			receive(int(c.user))
		}
	}
	for {
		// More completions than there can be: it is the time that ends the wait.
		if err := r.enter(1<<20, gatherTime); err != nil {
			return fmt.Errorf("enter the ring: %w", err)
		}
		for _, id := range used {
			buffers.give(id)
		}
		buffers.show()
		used = used[:0]
		r.take(done)
		for range len(added) {
			receive(<-added)
		}
	}
}

// forwardOver runs the forwarder's loop for a floor, in its own thread.
func forwardOver(floor string, epoll int, added <-chan int, ways []way) {
	floor, _ = strings.CutSuffix(floor, connectedWord)
	if floor != floorRing {
		go overEpoll(epoll, ways, floor == floorGathered)
		return
	}
	go func() {
		fmt.Fprintln(os.Stderr, "forwarder:", overRing(added, ways))
		os.Exit(1)
	}()
}
