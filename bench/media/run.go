package main

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	sendBatch    = 64
	receiveBatch = 64
	controlSize  = 64
	// every so many packets of a stream one is authenticated.
	sampled = 50
)

// outcome is what became of the packets of a measured window.
type outcome struct {
	sent, arrived int
	doubled       int // arrived twice
	wrong         int // not authentic, of another size or from nowhere
	why           error
	silent        int // streams without any packet
	dropped       int // by the load's own sockets
	latency       histogram
	late          histogram // bursts of the load, behind their time
	slow          bool      // the load sent less in a second than it should
}

func (o *outcome) loss() float64 {
	return 1 - float64(o.arrived)/float64(max(o.sent, 1))
}

// mostStretch is the part of a window's length by which it may have become longer.
const mostStretch = 0.002

// engine drives a load from one thread: who waits for packets would be woken by the system, and the system would pay.
type engine struct {
	*load
	out       outcome
	first     uint64 // frame of the window
	last      uint64 // the first one behind it
	measuring bool

	sends    [sendBatch]message
	vectors  [sendBatch]unix.Iovec
	receives [receiveBatch]message
	into     [receiveBatch]unix.Iovec
	buffers  [receiveBatch][512]byte
	names    [receiveBatch]unix.RawSockaddrInet4
	controls [receiveBatch][controlSize]byte
}

// message is struct mmsghdr.
type message struct {
	header unix.Msghdr
	size   uint32
	_      uint32
}

// run sends on all calls for warm and then for length; begin and end are called at the edges of what is measured.
func (l *load) run(warm, length time.Duration, begin, end func() error) (*outcome, error) {
	e := &engine{load: l}
	for i := range e.receives {
		e.into[i].Base, e.into[i].Len = &e.buffers[i][0], uint64(len(e.buffers[i]))
	}
	e.first = l.frame + uint64(warm/(time.Second/frameRate))
	e.last = e.first + uint64(length/(time.Second/frameRate))
	for _, lg := range l.legs {
		lg.arrived, lg.sent = 0, [window]int64{}
	}
	edges := make(chan func() error, 2)
	failed := make(chan error, 2)
	go func() { // beside the thread that sends, which must not wait
		for f := range edges {
			failed <- f()
		}
		close(failed)
	}()
	ended := make(chan error, 1)
	go func() { ended <- e.drive(edges, begin, end) }()
	err := <-ended
	close(edges)
	for other := range failed {
		if err == nil {
			err = other
		}
	}
	e.sum()
	return &e.out, err
}

// drive sends every burst at its time and takes what has come in between.
func (e *engine) drive(edges chan<- func() error, begin, end func() error) error {
	runtime.LockOSThread() // and the thread ends with the goroutine, with its priority
	hasten()
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1000, 0, 0, 0)
	drops := e.drops()
	next := monotonic()
	behind := int64(0) // at the beginning of the window
	for ; e.frame < e.last; e.frame++ {
		if e.frame == e.first {
			edges <- begin
			e.measuring = true
			drops, behind = e.drops(), monotonic()-next
		}
		for side := range e.packets {
			if err := e.packets[side].make(e.frame); err != nil {
				return err
			}
		}
		for step := range e.steps {
			sleepUntil(next)
			if e.measuring {
				e.out.late.add(monotonic() - next)
			}
			next += stepTime
			for side := range e.steps[step] {
				if err := e.send(e.steps[step][side], e.packets[side].now); err != nil {
					return err
				}
			}
			e.receive()
		}
	}
	e.out.slow = float64(monotonic()-next-behind) > mostStretch*float64(e.last-e.first)*frameTime
	edges <- end
	for range 10 * stepsInFrame { // what is on its way
		next += stepTime / 2
		sleepUntil(next)
		e.receive()
	}
	e.out.dropped = int(e.drops() - drops)
	return nil
}

// send sends one packet on all legs of a burst, which share a socket.
func (e *engine) send(legs []*leg, packet []byte) error {
	if e.frames != nil {
		return e.sendFrames(legs, packet)
	}
	for len(legs) > 0 {
		n := min(len(legs), sendBatch)
		now := time.Now().UnixNano()
		for i, lg := range legs[:n] {
			e.vectors[i] = unix.Iovec{Base: &packet[0], Len: uint64(len(packet))}
			e.sends[i].header = unix.Msghdr{Name: (*byte)(unsafe.Pointer(&lg.to)), Namelen: unix.SizeofSockaddrInet4, Iov: &e.vectors[i], Iovlen: 1}
			lg.sent[e.frame%window] = now
		}
		for at := 0; at < n; {
			did, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(legs[0].port.fd), uintptr(unsafe.Pointer(&e.sends[at])), uintptr(n-at), 0, 0, 0)
			if errno == unix.EAGAIN || errno == unix.EINTR || errno == unix.ECONNREFUSED {
				continue
			}
			if errno != 0 {
				return fmt.Errorf("send: %w", errno)
			}
			at += int(did)
		}
		legs = legs[n:]
	}
	return nil
}

func (e *engine) sendFrames(legs []*leg, packet []byte) error {
	sum := words(packet)
	for batch := range slices.Chunk(legs, frameBatch) {
		now := time.Now().UnixNano()
		for _, lg := range batch {
			lg.sent[e.frame%window] = now
		}
		if err := e.frames.send(batch, packet, sum); err != nil {
			return err
		}
	}
	return nil
}

// receive takes all that has come.
func (e *engine) receive() {
	for _, side := range e.sockets {
		for _, p := range side {
			for e.receiveFrom(p) == receiveBatch {
			}
		}
	}
}

func (e *engine) receiveFrom(p *port) int {
	for i := range e.receives {
		e.receives[i].header = unix.Msghdr{
			Name: (*byte)(unsafe.Pointer(&e.names[i])), Namelen: unix.SizeofSockaddrInet4, Iov: &e.into[i], Iovlen: 1,
			Control: &e.controls[i][0], Controllen: controlSize,
		}
	}
	n, _, errno := unix.Syscall6(unix.SYS_RECVMMSG, uintptr(p.fd), uintptr(unsafe.Pointer(&e.receives[0])), receiveBatch, unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	for i := range int(n) {
		m := &e.receives[i]
		from := e.names[i].Port
		lg := p.legs[from<<8|from>>8]
		at := p.stamp(e.controls[i][:m.header.Controllen])
		e.take(lg, e.buffers[i][:m.size], at)
	}
	return int(n)
}

// stamp reads when a packet came, and how many did not fit before it.
func (p *port) stamp(control []byte) (at int64) {
	const header = unix.SizeofCmsghdr
	for len(control) >= header {
		h := (*unix.Cmsghdr)(unsafe.Pointer(&control[0]))
		if h.Len < header || int(h.Len) > len(control) {
			break
		}
		switch body := control[header:h.Len]; {
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_TIMESTAMPNS:
			at = int64(binary.NativeEndian.Uint64(body))*1e9 + int64(binary.NativeEndian.Uint64(body[8:]))
		case h.Level == unix.SOL_SOCKET && h.Type == unix.SO_RXQ_OVFL:
			p.drops = binary.NativeEndian.Uint32(body)
		}
		control = control[min(len(control), (int(h.Len)+7)&^7):]
	}
	return at
}

// take counts a packet that came to a leg.
func (e *engine) take(lg *leg, b []byte, at int64) {
	if len(b) >= 2 && b[1] >= 192 && b[1] <= 223 {
		return // RTCP, which a node makes of its own
	}
	if lg == nil || len(b) != lg.check.size {
		e.wrong(fmt.Errorf("%d octets for leg %v", len(b), lg != nil))
		return
	}
	frame := frameOf(binary.BigEndian.Uint16(b[2:]), e.frame)
	sent := &lg.peer.sent[frame%window]
	if frame > e.frame || frame+window <= e.frame || *sent == 0 {
		if e.measuring {
			e.out.doubled++
		}
		return
	}
	since := at - *sent
	*sent = 0
	if frame%sampled == 0 {
		if err := lg.check.check(b, frame, lg.peer.side); err != nil {
			e.wrong(err)
			return
		}
	}
	if frame >= e.first {
		lg.arrived++
		e.out.latency.add(since)
	}
}

func (e *engine) wrong(why error) {
	if e.measuring {
		e.out.wrong++
		e.out.why = why
	}
}

func (e *engine) drops() (n uint32) {
	for _, side := range e.sockets {
		for _, p := range side {
			n += p.drops
		}
	}
	return n
}

func (e *engine) sum() {
	each := int(e.last - e.first)
	for _, lg := range e.legs {
		e.out.sent += each
		e.out.arrived += lg.arrived
		if lg.arrived == 0 {
			e.out.silent++
		}
	}
}

func monotonic() int64 {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	return now.Nano()
}

func sleepUntil(at int64) {
	if monotonic() >= at {
		return
	}
	until := unix.NsecToTimespec(at)
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, unix.TIMER_ABSTIME, &until, nil) == unix.EINTR {
	}
}
