package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// frames sends whole Ethernet frames through the transmit ring of an AF_XDP socket, many with one call of the system. The
// kernel copies them, builds no header and looks no route up, which is half of what sending from a socket costs the load.
type frames struct {
	fd                 int
	memory             []byte // of the chunks, which are free again when a call has copied them
	queues             [2][]byte
	produced, consumed *uint32 // of the transmit ring
	descriptors        []unix.XDPDesc
	made               uint32
	completed, seen    *uint32 // of the completion ring
}

const (
	frameBatch = 32   // what the kernel takes with one call
	chunkSize  = 2048 // the smallest there is
	ringSize   = 1024 // of either ring
	frameHead  = 14 + 20 + 8
)

// newFrames opens a socket that sends from a device.
func newFrames(device string) (f *frames, err error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return nil, err
	}
	f = &frames{}
	if f.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		return nil, fmt.Errorf("open a socket for frames: %w", err)
	}
	if err := f.open(link.Index); err != nil {
		return nil, errors.Join(fmt.Errorf("send frames from %s: %w", device, err), f.close())
	}
	return f, nil
}

func (f *frames) open(link int) (err error) {
	const protection = unix.PROT_READ | unix.PROT_WRITE
	if f.memory, err = unix.Mmap(-1, 0, frameBatch*chunkSize, protection, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE); err != nil {
		return err
	}
	area := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&f.memory[0]))), Len: uint64(len(f.memory)), Size: chunkSize}
	if err := f.option(unix.SYS_SETSOCKOPT, unix.XDP_UMEM_REG, unsafe.Pointer(&area), unsafe.Sizeof(area)); err != nil {
		return err
	}
	for _, ring := range []uintptr{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_TX_RING} {
		size := uint32(ringSize)
		if err := f.option(unix.SYS_SETSOCKOPT, ring, unsafe.Pointer(&size), unsafe.Sizeof(size)); err != nil {
			return err
		}
	}
	var at unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(at))
	if err := f.option(unix.SYS_GETSOCKOPT, unix.XDP_MMAP_OFFSETS, unsafe.Pointer(&at), uintptr(unsafe.Pointer(&size))); err != nil {
		return err
	}
	const flags = unix.MAP_SHARED | unix.MAP_POPULATE
	tx, err := unix.Mmap(f.fd, unix.XDP_PGOFF_TX_RING, int(at.Tx.Desc)+ringSize*int(unsafe.Sizeof(unix.XDPDesc{})), protection, flags)
	if err != nil {
		return err
	}
	f.queues[0] = tx
	done, err := unix.Mmap(f.fd, unix.XDP_UMEM_PGOFF_COMPLETION_RING, int(at.Cr.Desc)+ringSize*8, protection, flags)
	if err != nil {
		return err
	}
	f.queues[1] = done
	word := func(b []byte, offset uint64) *uint32 { return (*uint32)(unsafe.Pointer(&b[offset])) }
	f.produced, f.consumed = word(tx, at.Tx.Producer), word(tx, at.Tx.Consumer)
	f.completed, f.seen = word(done, at.Cr.Producer), word(done, at.Cr.Consumer)
	f.descriptors = unsafe.Slice((*unix.XDPDesc)(unsafe.Pointer(&tx[at.Tx.Desc])), ringSize)
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The kernel gives a queue up a while after the socket before is closed.
		err := unix.Bind(f.fd, &unix.SockaddrXDP{Flags: unix.XDP_COPY, Ifindex: uint32(link)})
		if err != unix.EBUSY || time.Now().After(end) {
			return err
		}
	}
}

func (f *frames) option(call, name uintptr, value unsafe.Pointer, size uintptr) error {
	if _, _, errno := unix.Syscall6(call, uintptr(f.fd), unix.SOL_XDP, name, uintptr(value), size, 0); errno != 0 {
		return fmt.Errorf("option %d: %w", name, errno)
	}
	return nil
}

func (f *frames) close() error {
	errs := []error{unix.Close(f.fd)}
	for _, b := range append(f.queues[:], f.memory) {
		if b != nil {
			errs = append(errs, unix.Munmap(b))
		}
	}
	return errors.Join(errs...)
}

// send sends a packet on up to frameBatch legs; sum is the one's complement sum of its words.
func (f *frames) send(legs []*leg, packet []byte, sum uint32) error {
	for i, lg := range legs {
		b := f.memory[i*chunkSize:][:frameHead+len(packet)]
		copy(b, lg.head[:])
		copy(b[frameHead:], packet)
		binary.BigEndian.PutUint16(b[frameHead-2:], lg.checksum(sum, len(packet)))
		f.descriptors[f.made%ringSize] = unix.XDPDesc{Addr: uint64(i * chunkSize), Len: uint32(len(b))}
		f.made++
	}
	atomic.StoreUint32(f.produced, f.made)
	for atomic.LoadUint32(f.consumed) != f.made {
		_, _, errno := unix.Syscall6(unix.SYS_SENDTO, uintptr(f.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		atomic.StoreUint32(f.seen, atomic.LoadUint32(f.completed))
		if errno != 0 && errno != unix.EAGAIN && errno != unix.EBUSY && errno != unix.ENOBUFS && errno != unix.EINTR {
			return fmt.Errorf("send frames: %w", errno)
		}
	}
	return nil
}

// head writes the headers of packets of a size from one address to another, all but the checksum of UDP.
func head(from, to netip.AddrPort, size int) (b [frameHead]byte) {
	copy(b[0:], systemMAC)
	copy(b[6:], loadMAC)
	binary.BigEndian.PutUint16(b[12:], unix.ETH_P_IP)
	ip, udp := b[14:34], b[34:]
	ip[0], ip[6], ip[8], ip[9] = 0x45, 0x40, 64, unix.IPPROTO_UDP // without options, not to be fragmented
	binary.BigEndian.PutUint16(ip[2:], uint16(20+8+size))
	source, destination := from.Addr().As4(), to.Addr().As4()
	copy(ip[12:], source[:])
	copy(ip[16:], destination[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(words(ip)))
	binary.BigEndian.PutUint16(udp[0:], from.Port())
	binary.BigEndian.PutUint16(udp[2:], to.Port())
	binary.BigEndian.PutUint16(udp[4:], uint16(8+size))
	return b
}

// checksum is that of UDP (RFC 768) for a packet with a sum and a size.
func (lg *leg) checksum(sum uint32, size int) uint16 {
	if c := ^fold(lg.sum + sum + uint32(unix.IPPROTO_UDP+8+size)); c != 0 {
		return c
	}
	return 0xffff
}

// words adds 16-bit words up; there are so few that the sum does not overflow.
func words(b []byte) (sum uint32) {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

// fold makes a one's complement sum of 16 bits.
func fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
