package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// What is used of io_uring(7), by the names of linux/io_uring.h.
const (
	setupCQSize       = 1 << 3
	setupSingleIssuer = 1 << 12
	setupDeferTaskrun = 1 << 13
	enterGetEvents    = 1
	enterExtArg       = 1 << 3
	opRecvmsg         = 10
	opSend            = 26
	opRecv            = 27
	sqeBufferSelect   = 1 << 5
	sqeSkipSuccess    = 1 << 6
	recvPollFirst     = 1
	recvMultishot     = 2
	cqeBuffer         = 1
	cqeMore           = 2
	cqeBufferShift    = 16
	registerBuffers   = 22 // IORING_REGISTER_PBUF_RING
	offsetSQEs        = 0x10000000
	recvmsgOut        = 16 // struct io_uring_recvmsg_out
)

// submission is struct io_uring_sqe.
type submission struct {
	op, flags   uint8
	priority    uint16
	fd          int32
	offset      uint64 // where a send goes
	address     uint64
	size        uint32
	opFlags     uint32
	user        uint64
	group       uint16
	_           uint16
	addressSize uint16
	_           uint16
	_           [2]uint64
}

// completion is struct io_uring_cqe.
type completion struct {
	user   uint64
	result int32
	flags  uint32
}

// ringParams is struct io_uring_params.
type ringParams struct {
	sqEntries, cqEntries, flags, _, _, _, _ uint32
	_                                       [3]uint32
	sq                                      struct{ head, tail, mask, entries, flags, dropped, array, _, _, _ uint32 }
	cq                                      struct{ head, tail, mask, entries, overflow, entriesAt, flags, _, _, _ uint32 }
}

// ring is an io_uring of one thread.
type ring struct {
	fd                     int
	sqHead, sqTail, sqMask *uint32
	cqHead, cqTail, cqMask *uint32
	submissions            []submission
	completions            []completion
	made, taken, seen      uint32
	wait                   unix.Timespec
	argument               struct {
		_        uint64
		_, _     uint32
		deadline uint64
	}
}

func newRing(entries, completions uint32) (*ring, error) {
	p := ringParams{flags: setupCQSize | setupSingleIssuer | setupDeferTaskrun, cqEntries: completions}
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(&p)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("set up a ring: %w", errno)
	}
	size := max(int(p.sq.array)+4*int(p.sqEntries), int(p.cq.entriesAt)+int(unsafe.Sizeof(completion{}))*int(p.cqEntries))
	const protection, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_SHARED | unix.MAP_POPULATE
	queues, err := unix.Mmap(int(fd), 0, size, protection, flags)
	submissions, err2 := unix.Mmap(int(fd), offsetSQEs, int(unsafe.Sizeof(submission{}))*int(p.sqEntries), protection, flags)
	if err := errors.Join(err, err2); err != nil {
		return nil, errors.Join(fmt.Errorf("map a ring: %w", err), unix.Close(int(fd)))
	}
	at := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&queues[offset])) }
	r := &ring{
		fd: int(fd), sqHead: at(p.sq.head), sqTail: at(p.sq.tail), sqMask: at(p.sq.mask),
		cqHead: at(p.cq.head), cqTail: at(p.cq.tail), cqMask: at(p.cq.mask),
		submissions: unsafe.Slice((*submission)(unsafe.Pointer(&submissions[0])), p.sqEntries),
		completions: unsafe.Slice((*completion)(unsafe.Pointer(&queues[p.cq.entriesAt])), p.cqEntries),
	}
	for i, array := uint32(0), unsafe.Slice(at(p.sq.array), p.sqEntries); i < p.sqEntries; i++ {
		array[i] = i
	}
	return r, nil
}

// next returns a place for a submission; when there is none, what waits goes first.
func (r *ring) next() *submission {
	for r.made-r.taken >= uint32(len(r.submissions)) {
		_ = r.enter(0, 0)
	}
	s := &r.submissions[r.made&*r.sqMask]
	r.made++
	*s = submission{}
	return s
}

// enter submits, and waits for so many completions or nanoseconds.
func (r *ring) enter(completions int, nanoseconds int64) error {
	atomic.StoreUint32(r.sqTail, r.made)
	r.wait = unix.NsecToTimespec(nanoseconds)
	r.argument.deadline = uint64(uintptr(unsafe.Pointer(&r.wait)))
	_, _, errno := unix.RawSyscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), uintptr(r.made-r.taken), uintptr(completions),
		enterGetEvents|enterExtArg, uintptr(unsafe.Pointer(&r.argument)), unsafe.Sizeof(r.argument))
	r.taken = atomic.LoadUint32(r.sqHead)
	if errno != 0 && errno != unix.ETIME && errno != unix.EINTR {
		return errno
	}
	return nil
}

// take calls f for everything that has completed.
func (r *ring) take(f func(completion)) {
	for tail := atomic.LoadUint32(r.cqTail); r.seen != tail; r.seen++ {
		f(r.completions[r.seen&*r.cqMask])
	}
	atomic.StoreUint32(r.cqHead, r.seen)
}

// ringBuffers are what a ring receives into: struct io_uring_buf_ring and the memory of its buffers.
type ringBuffers struct {
	ring   []ringBuffer
	memory []byte
	tail   uint16
}

type ringBuffer struct {
	address uint64
	size    uint32
	id      uint16
	tail    uint16 // of the first one: of the ring
}

const (
	ringBufferCount = 1024 // a power of two
	ringBufferSize  = 2304
)

func newRingBuffers(r *ring) (*ringBuffers, error) {
	const entries = ringBufferCount * int(unsafe.Sizeof(ringBuffer{}))
	memory, err := unix.Mmap(-1, 0, entries+ringBufferCount*ringBufferSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("map buffers: %w", err)
	}
	b := &ringBuffers{ring: unsafe.Slice((*ringBuffer)(unsafe.Pointer(&memory[0])), ringBufferCount), memory: memory[entries:]}
	registration := struct {
		address      uint64
		entries      uint32
		group, flags uint16
		_            [3]uint64
	}{address: uint64(uintptr(unsafe.Pointer(&memory[0]))), entries: ringBufferCount}
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(r.fd), registerBuffers, uintptr(unsafe.Pointer(&registration)), 1, 0, 0); errno != 0 {
		return nil, fmt.Errorf("register buffers: %w", errno)
	}
	for id := range uint16(ringBufferCount) {
		b.give(id)
	}
	b.show()
	return b, nil
}

func (b *ringBuffers) of(id uint16) []byte {
	return b.memory[int(id)*ringBufferSize:][:ringBufferSize]
}

// give puts a buffer back, and show tells the kernel.
func (b *ringBuffers) give(id uint16) {
	e := &b.ring[b.tail%ringBufferCount]
	e.address, e.size, e.id = uint64(uintptr(unsafe.Pointer(&b.of(id)[0]))), ringBufferSize, id
	b.tail++
}

// show writes the tail, which lies in the upper half of the word with the first entry's id on machines of little endian.
func (b *ringBuffers) show() {
	word := (*uint32)(unsafe.Pointer(&b.ring[0].id))
	atomic.StoreUint32(word, uint32(b.ring[0].id)|uint32(b.tail)<<16)
}
