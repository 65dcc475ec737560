package transport

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"carillon/sip"
)

// Reading and sending on a socket that never blocks need not be announced to Go's scheduler. That announcement wakes the
// runtime's monitor thread each time the process was idle, which then polls every 20 us: a sixth of what a call cost.

const (
	// udpBatch is how many datagrams are read at once.
	udpBatch = 16
	// sharedBatch is how many must have come at once to be shared between the processors. With fewer, waking another
	// one costs more than it saves.
	sharedBatch = 8
)

// udpSender sends on a socket.
type udpSender struct {
	raw  syscall.RawConn
	is4  bool
	sent *sync.Pool // of *sending
}

func newUDPSender(conn *net.UDPConn) (udpSender, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return udpSender{}, err
	}
	s := udpSender{raw: raw, sent: &sync.Pool{New: newSending}}
	err = raw.Control(func(fd uintptr) {
		domain, _ := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DOMAIN)
		s.is4 = domain == unix.AF_INET
	})
	return s, err
}

// sending is one datagram on its way out.
type sending struct {
	name   unix.RawSockaddrInet6 // the larger of the two
	vector unix.Iovec
	header unix.Msghdr
	errno  syscall.Errno
	try    func(fd uintptr) bool // once, for it would be made anew each time
}

func newSending() any {
	o := new(sending)
	o.try = o.attempt
	o.header.Name, o.header.Iov = (*byte)(unsafe.Pointer(&o.name)), &o.vector
	o.header.SetIovlen(1)
	return o
}

// attempt sends and reports whether that is over; it is not when the socket takes no more.
func (o *sending) attempt(fd uintptr) bool {
	for {
		_, _, o.errno = unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&o.header)), 0)
		if o.errno != unix.EINTR {
			return o.errno != unix.EAGAIN
		}
	}
}

func (l *udpLink) write(b []byte, to netip.AddrPort) error {
	s := l.s
	if len(b) == 0 || to.Addr().Zone() != "" || s.is4 && !to.Addr().Unmap().Is4() {
		_, _, err := s.conn.WriteMsgUDPAddrPort(b, l.control, to) // which knows zones and the right error
		return err
	}
	o := s.sent.Get().(*sending)
	o.vector.Base, o.header.Namelen = unsafe.SliceData(b), unix.SizeofSockaddrInet6
	o.vector.SetLen(len(b))
	if s.is4 {
		name := (*unix.RawSockaddrInet4)(unsafe.Pointer(&o.name))
		*name = unix.RawSockaddrInet4{Family: unix.AF_INET, Port: swapped(to.Port()), Addr: to.Addr().Unmap().As4()}
		o.header.Namelen = unix.SizeofSockaddrInet4
	} else {
		o.name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: swapped(to.Port()), Addr: to.Addr().As16()}
	}
	o.header.Control = unsafe.SliceData(l.control)
	o.header.SetControllen(len(l.control))
	err := s.raw.Write(o.try)
	if err == nil && o.errno != 0 {
		err = o.errno
	}
	o.vector.Base = nil
	s.sent.Put(o)
	return err
}

// swapped turns a port between the processor's and the network's order of octets.
func swapped(port uint16) uint16 {
	var b [2]byte
	binary.BigEndian.PutUint16(b[:], port)
	return binary.NativeEndian.Uint16(b[:])
}

// message is the kernel's struct mmsghdr.
type message struct {
	header unix.Msghdr
	length uint32
	_      [4]byte
}

// udpReader reads one socket.
type udpReader struct {
	s        *udpSocket
	seed     maphash.Seed
	shares   int
	headers  [udpBatch]message
	vectors  [udpBatch]unix.Iovec
	names    [udpBatch]unix.RawSockaddrInet6
	buffers  [udpBatch][]byte
	messages [udpBatch]sip.Message
	control  [udpBatch][controlSize]byte // what the system tells of a datagram
	flows    [udpBatch]Flow
	share    [udpBatch]int // whose a datagram is, -1 when it was dealt with
	err      error
}

func newUDPReader(s *udpSocket) *udpReader {
	r := &udpReader{s: s, seed: maphash.MakeSeed(), shares: runtime.GOMAXPROCS(0)}
	for i := range r.headers {
		r.buffers[i] = make([]byte, maxDatagram) // costs memory only as far as it is used
		r.vectors[i].Base = &r.buffers[i][0]
		r.vectors[i].SetLen(maxDatagram)
		r.headers[i].header.Name = (*byte)(unsafe.Pointer(&r.names[i]))
		r.headers[i].header.Iov = &r.vectors[i]
		r.headers[i].header.SetIovlen(1)
	}
	return r
}

// serve reads until the socket is closed; no other error ends it. Messages of one call from one side stay in order, also
// where several came at once and are shared between the processors: a BYE must not overtake the ACK.
func (s *udpSocket) serve() {
	r := newUDPReader(s)
	for {
		err := s.raw.Read(r.read)
		if err == nil {
			err = r.err
		}
		if s.readFailed(err) {
			return
		}
	}
}

// read handles all that waits in the socket and returns false, to be called again when there is more, or true after an
// error.
func (r *udpReader) read(fd uintptr) bool {
	for {
		for i := range r.headers {
			h := &r.headers[i].header
			h.Namelen = unix.SizeofSockaddrInet6
			if r.s.links != nil {
				h.Control = &r.control[i][0]
				h.SetControllen(controlSize)
			}
		}
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&r.headers)), udpBatch, unix.MSG_DONTWAIT, 0, 0)
		switch errno {
		case 0:
			r.deliver(int(n))
		case unix.EAGAIN:
			return false
		case unix.EINTR:
		default:
			r.err = errno
			return true
		}
	}
}

// deliver handles n datagrams and returns when all are done.
func (r *udpReader) deliver(n int) {
	shares := 1
	if n >= sharedBatch {
		shares = min(r.shares, udpBatch)
	}
	for i := range n {
		b := r.buffers[i][:r.headers[i].length]
		r.flows[i] = NewFlow(r.link(i), sourceOf(&r.names[i]))
		switch {
		case r.s.take(b, r.flows[i]):
			r.share[i] = -1
		case shares == 1:
			r.share[i] = 0
		default:
			r.share[i] = int(maphash.Bytes(r.seed, callIDOf(b)) % uint64(shares))
		}
	}
	if shares > 1 {
		r.handleBeside(n, shares)
		return
	}
	r.handle(n, 0)
}

// handleBeside handles each share on a goroutine of its own.
func (r *udpReader) handleBeside(n, shares int) {
	var others sync.WaitGroup
	for share := 1; share < shares; share++ {
		if slices.Contains(r.share[:n], share) {
			others.Go(func() { r.handle(n, share) })
		}
	}
	r.handle(n, 0)
	others.Wait()
}

func (r *udpReader) handle(n, share int) {
	for i := range n {
		if r.share[i] == share {
			r.s.t.deliver(r.flows[i], &r.messages[i], r.buffers[i][:r.headers[i].length])
		}
	}
}

// link returns the link to answer the i-th datagram over.
func (r *udpReader) link(i int) *udpLink {
	if r.s.links == nil {
		return r.s.any
	}
	return r.s.linkFrom(destination(r.control[i][:r.headers[i].header.Controllen]))
}

func sourceOf(name *unix.RawSockaddrInet6) netip.AddrPort {
	if name.Family == unix.AF_INET {
		name4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(name))
		return netip.AddrPortFrom(netip.AddrFrom4(name4.Addr), swapped(name4.Port))
	}
	addr := netip.AddrFrom16(name.Addr).Unmap()
	if name.Scope_id != 0 && addr.Is6() {
		addr = addr.WithZone(strconv.Itoa(int(name.Scope_id)))
	}
	return netip.AddrPortFrom(addr, swapped(name.Port))
}

// callIDOf finds the value of Call-ID without judging the message; nil when there is none.
func callIDOf(b []byte) []byte {
	for {
		line, rest, more := bytes.Cut(b, []byte{'\n'})
		if !more || len(line) < 2 {
			return nil // the head is over
		}
		b = rest
		if c := line[0] | 0x20; c != 'c' && c != 'i' {
			continue
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		name = bytes.TrimRight(name, " \t")
		if len(name) == 1 && name[0]|0x20 == 'i' || bytes.EqualFold(name, []byte("Call-ID")) {
			return bytes.TrimSpace(value)
		}
	}
}
