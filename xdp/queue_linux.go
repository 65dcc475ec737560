package xdp

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"carillon/cacheline"
)

// The memory of a queue, in chunks of which each holds a frame.
const (
	chunkSize = 2048
	// headroom is what the kernel leaves free before a frame that it puts into a chunk (XDP_PACKET_HEADROOM).
	headroom = 256
	// maxKicks is how often in a row the kernel may send none of the frames that wait, for want of memory, before they are left
	// to the next time.
	maxKicks = 8
	// bindTries is how often a queue that is taken is tried, bindPause the time between.
	bindTries, bindPause = 200, 10 * time.Millisecond
)

// ring is one that this process shares with the kernel: one of them writes, the other reads, and each shows how far it is.
type ring struct {
	memory             []byte
	producer, consumer *uint32
	entries            unsafe.Pointer
	size               uint32 // a power of two
}

func (r *ring) descriptor(i uint32) *unix.XDPDesc {
	return (*unix.XDPDesc)(unsafe.Add(r.entries, uintptr(i&(r.size-1))*unsafe.Sizeof(unix.XDPDesc{})))
}

func (r *ring) address(i uint32) *uint64 {
	return (*uint64)(unsafe.Add(r.entries, uintptr(i&(r.size-1))*8))
}

// queue is a socket of the family AF_XDP at one of an interface's queues. One goroutine uses it.
type queue struct {
	fd     int
	mapped []byte // with memory in it
	memory []byte
	// Of this process: filled and sent are written, received and done read.
	filled, received, sent, done ring
	free                         []uint64 // chunks for what is sent
	next                         uint32   // descriptor to send
	stuck                        bool     // the last flush left frames
}

// share is what a queue has of the memory for frames.
type share struct {
	waiting uint32
	sends   bool
}

// leastWaiting is how many frames wait at least at a queue; a power of two.
const leastWaiting = 2048

// shareOf is that of the n-th of so many queues. The first one sends.
func shareOf(n, queues int) share {
	s := share{MaxWaiting, n == 0}
	for ; queues > 1 && s.waiting > leastWaiting; queues = (queues + 1) / 2 {
		s.waiting /= 2
	}
	return s
}

// chunks is how many the queue's memory is divided into.
func (s share) chunks() int {
	if s.sends {
		return int(s.waiting) + MaxLeaving
	}
	return int(s.waiting)
}

// memoryOf is how many octets so many queues have together. The system locks them.
func memoryOf(queues int) (all int) {
	for i := range queues {
		all += shareOf(i, queues).chunks() * chunkSize
	}
	return all
}

// openQueue opens one that receives and, where it is to, sends. A queue stays taken for a moment after its socket was closed, as when
// a node that was killed starts anew; pause passes some of that time.
func openQueue(index, number int, share share, pause func()) (q *queue, err error) {
	q = &queue{fd: -1}
	defer func() {
		if err != nil {
			q.close()
		}
	}()
	if q.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return q, fmt.Errorf("open a socket of the family AF_XDP: %w", err)
	}
	chunks := share.chunks()
	if q.mapped, q.memory, err = mapFrames(chunks * chunkSize); err != nil {
		return q, fmt.Errorf("map memory for frames: %w", err)
	}
	if err := q.makeRings(share); err != nil {
		return q, err
	}
	for i := range share.waiting {
		*q.filled.address(i) = uint64(i) * chunkSize
	}
	atomic.StoreUint32(q.filled.producer, share.waiting)
	for i := int(share.waiting); i < chunks; i++ {
		q.free = append(q.free, uint64(i)*chunkSize)
	}
	// Copying: what drivers do without it differs, and none of that could be tried.
	at := &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(index), QueueID: uint32(number)}
	for range bindTries {
		if err = unix.Bind(q.fd, at); err != unix.EBUSY {
			break
		}
		pause()
	}
	if err != nil {
		return q, fmt.Errorf("bind to queue %d: %w", number, err)
	}
	return q, nil
}

// hugePage is what the processor looks up at once, where the system grants it, instead of 4 KB.
const hugePage = 2 << 20

// mapFrames returns memory of a size, and what is to be unmapped. Frames come to all of it in turns, so that in pages of the usual
// size each of them would be looked up anew. Where huge ones are not to be had the usual ones are taken.
func mapFrames(size int) (mapped, memory []byte, err error) {
	if mapped, err = unix.Mmap(-1, 0, size+hugePage, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS); err != nil {
		return nil, nil, err
	}
	at := -uintptr(unsafe.Pointer(unsafe.SliceData(mapped))) % hugePage
	memory = mapped[at : at+uintptr(size) : at+uintptr(size)]
	_ = unix.Madvise(memory, unix.MADV_HUGEPAGE)
	for i := 0; i < size; i += os.Getpagesize() {
		memory[i] = 0 // so that it is there before the first frame
	}
	return mapped, memory, nil
}

func (q *queue) makeRings(share share) error {
	about := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(q.memory)))), Len: uint64(len(q.memory)), Size: chunkSize}
	if err := q.set(unix.XDP_UMEM_REG, unsafe.Pointer(&about), unsafe.Sizeof(about)); err != nil {
		return fmt.Errorf("register memory for frames: %w", err)
	}
	for _, r := range []struct {
		option int
		size   uint32
	}{
		{unix.XDP_UMEM_FILL_RING, share.waiting}, {unix.XDP_UMEM_COMPLETION_RING, MaxLeaving},
		{unix.XDP_RX_RING, share.waiting}, {unix.XDP_TX_RING, MaxLeaving},
	} {
		if r.option == unix.XDP_TX_RING && !share.sends {
			continue
		}
		if err := q.set(r.option, unsafe.Pointer(&r.size), unsafe.Sizeof(r.size)); err != nil {
			return fmt.Errorf("make ring %d: %w", r.option, err)
		}
	}
	var at unix.XDPMmapOffsets
	length := uint32(unsafe.Sizeof(at))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS,
		uintptr(unsafe.Pointer(&at)), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 || length != uint32(unsafe.Sizeof(at)) {
		return fmt.Errorf("ask where the rings are: %w", errors.Join(errno, errors.ErrUnsupported))
	}
	q.filled.size, q.received.size, q.sent.size, q.done.size = share.waiting, share.waiting, MaxLeaving, MaxLeaving
	const descriptor, address = unsafe.Sizeof(unix.XDPDesc{}), 8
	err := errors.Join(
		q.filled.open(q.fd, unix.XDP_UMEM_PGOFF_FILL_RING, at.Fr, address),
		q.done.open(q.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, at.Cr, address),
		q.received.open(q.fd, unix.XDP_PGOFF_RX_RING, at.Rx, descriptor))
	if share.sends {
		err = errors.Join(err, q.sent.open(q.fd, unix.XDP_PGOFF_TX_RING, at.Tx, descriptor))
	}
	return err
}

func (q *queue) set(option int, value unsafe.Pointer, size uintptr) error {
	_, _, errno := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(q.fd), unix.SOL_XDP, uintptr(option), uintptr(value), size, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

func (r *ring) open(fd int, page int64, at unix.XDPRingOffset, entry uintptr) (err error) {
	r.memory, err = unix.Mmap(fd, page, int(at.Desc)+int(r.size)*int(entry), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("map a ring: %w", err)
	}
	base := unsafe.Pointer(unsafe.SliceData(r.memory))
	r.producer, r.consumer = (*uint32)(unsafe.Add(base, at.Producer)), (*uint32)(unsafe.Add(base, at.Consumer))
	r.entries = unsafe.Add(base, at.Desc)
	return nil
}

func (q *queue) close() {
	if q.fd >= 0 {
		_ = unix.Close(q.fd)
	}
	for _, memory := range [][]byte{q.filled.memory, q.received.memory, q.sent.memory, q.done.memory, q.mapped} {
		if memory != nil {
			_ = unix.Munmap(memory)
		}
	}
}

// receive hands up to MaxTurn frames that have come to take, which may write to a frame and to what is behind it in its chunk
// until it returns. It returns how many there were.
func (q *queue) receive(frames *[MaxTurn][]byte, take func(frames [][]byte)) int {
	from := *q.received.consumer
	n := min(atomic.LoadUint32(q.received.producer)-from, MaxTurn)
	if n == 0 {
		return 0
	}
	for i := range n {
		d := q.received.descriptor(from + i)
		end := d.Addr&^(chunkSize-1) + chunkSize
		frames[i] = q.memory[d.Addr : d.Addr+uint64(d.Len) : end]
		// Another one has written it.
		cacheline.Fetch(unsafe.Pointer(unsafe.SliceData(frames[i])), int(d.Len+cacheline.Size-1)/cacheline.Size)
	}
	take(frames[:n])
	fill := *q.filled.producer
	for i := range n {
		*q.filled.address(fill + i) = q.received.descriptor(from+i).Addr &^ (chunkSize - 1)
	}
	atomic.StoreUint32(q.received.consumer, from+n)
	atomic.StoreUint32(q.filled.producer, fill+n)
	return int(n)
}

// chunk returns one for a frame to send, nil when all are on their way or none leaves at the time.
func (q *queue) chunk() []byte {
	if q.stuck {
		return nil
	}
	if len(q.free) == 0 {
		q.reclaim()
	}
	if len(q.free) == 0 || q.next-atomic.LoadUint32(q.sent.consumer) == MaxLeaving {
		return nil
	}
	at := q.free[len(q.free)-1]
	return q.memory[at : at+chunkSize : at+chunkSize]
}

// put sends the chunk that chunk returned last, with the next flush.
func (q *queue) put(size int) {
	at := q.free[len(q.free)-1]
	q.free = q.free[:len(q.free)-1]
	*q.sent.descriptor(q.next) = unix.XDPDesc{Addr: at, Len: uint32(size)}
	q.next++
}

// reclaim takes chunks back whose frames have gone.
func (q *queue) reclaim() {
	from := *q.done.consumer
	n := atomic.LoadUint32(q.done.producer) - from
	for i := range n {
		q.free = append(q.free, *q.done.address(from + i))
	}
	atomic.StoreUint32(q.done.consumer, from+n)
}

// flush has the kernel send what was put. It reports how many frames it did not send yet: they go with the next flush, and
// until then no more are put. An interface that is down keeps them, and with them would come, when it is up again, what else
// was said meanwhile.
func (q *queue) flush() (left int) {
	sent := atomic.LoadUint32(q.sent.consumer)
	if q.next == sent {
		return 0
	}
	atomic.StoreUint32(q.sent.producer, q.next)
	for tries := 0; tries < maxKicks; tries++ {
		// The call does not wait, and is not announced to Go's scheduler: it sends a few frames.
		_, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		now := atomic.LoadUint32(q.sent.consumer)
		left = int(q.next - now)
		if left == 0 {
			break
		}
		if now != sent { // also with an error: a frame that the driver drops ends the call and not what is behind it
			sent, tries = now, 0
		} else if errno != 0 && errno != unix.EAGAIN && errno != unix.EINTR {
			break
		}
	}
	q.stuck = left > 0
	q.reclaim()
	return left
}

// lost is how many frames found no room. It may be asked from any goroutine.
func (q *queue) lost() uint64 {
	var about unix.XDPStatistics
	size := uint32(unsafe.Sizeof(about))
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_XDP, unix.XDP_STATISTICS,
		uintptr(unsafe.Pointer(&about)), uintptr(unsafe.Pointer(&size)), 0)
	if errno != 0 {
		return 0
	}
	return about.Rx_dropped + about.Rx_ring_full
}
