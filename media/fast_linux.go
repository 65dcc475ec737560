package media

import (
	"errors"
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"carillon/cacheline"
	"carillon/xdp"
)

// fast is a way of datagrams beside the sockets, past the kernel. Nil where there is none. It knows nothing of calls: what a
// session does with a datagram, and what leaves, is decided in the same place whichever way it takes.
type fast struct {
	link  *xdp.Link
	loop  *loop
	class uint8
	on    []fastAddress
	take  func([]xdp.Datagram)
}

// fastAddress has the sockets of an address by their port.
type fastAddress struct {
	ip      netip.Addr
	sockets []atomic.Pointer[socket]
}

// attach has the only loop take the datagrams of an interface past the kernel.
func (r *relay) attach(cfg *Config) error {
	if len(r.loops) != 1 {
		return errors.New("one loop has to own the interface")
	}
	link, err := xdp.Open(xdp.Config{Interface: cfg.XDP, Addresses: cfg.IPs, Clock: cfg.Clock, Logger: cfg.Logger})
	if err != nil {
		return err
	}
	f := &fast{link: link, class: uint8(cfg.DSCP << 2)}
	f.take = f.taken
	for _, ip := range link.Addresses() {
		f.on = append(f.on, fastAddress{ip, make([]atomic.Pointer[socket], 1<<16)})
	}
	for _, fd := range link.Files() {
		event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}
		if err := unix.EpollCtl(r.loops[0].epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
			link.Close()
			return fmt.Errorf("watch interface %s: %w", cfg.XDP, err)
		}
	}
	alone, err := newBeat(gatherTime, true)
	if err != nil {
		link.Close()
		return err
	}
	past := make(chan struct{})
	l := r.loops[0]
	l.do(func() {
		l.beat.close()
		f.loop, l.fast, l.beat, l.worker.send = l, f, alone, f.send
		close(past)
	})
	<-past
	return nil
}

// place returns where the socket of an address is, nil for an address that is not of the interface.
func (f *fast) place(at netip.AddrPort) *atomic.Pointer[socket] {
	for i := range f.on {
		if f.on[i].ip == at.Addr() {
			return &f.on[i].sockets[at.Port()]
		}
	}
	return nil
}

// put has a socket's datagrams go to its leg.
func (f *fast) put(s *socket) {
	if f == nil {
		return
	}
	if p := f.place(s.local); p != nil {
		p.Store(s)
		f.link.Take(s.local)
	}
}

// drop ends that.
func (f *fast) drop(s *socket) {
	if f == nil {
		return
	}
	if p := f.place(s.local); p != nil {
		f.link.Leave(s.local)
		p.Store(nil)
	}
}

// receive takes what has come and returns how many datagrams that were.
func (f *fast) receive() int {
	if f == nil {
		return 0
	}
	return f.link.Receive(f.take)
}

// taken delivers what has come together.
func (f *fast) taken(list []xdp.Datagram) {
	var places [xdp.MaxTurn]*atomic.Pointer[socket]
	var sockets [xdp.MaxTurn]*socket
	var legs [xdp.MaxTurn]*leg
	for i := range list {
		places[i] = f.place(list[i].To)
		cacheline.Fetch(unsafe.Pointer(places[i]), 1)
	}
	for i, p := range places[:len(list)] {
		if p != nil {
			sockets[i] = p.Load()
			cacheline.Fetch(unsafe.Pointer(sockets[i]), 1)
		}
	}
	for i, s := range sockets[:len(list)] {
		if s != nil {
			legs[i] = s.leg.Load()
		}
	}
	warm(legs[:len(list)])
	for i, s := range sockets[:len(list)] {
		if i+keysAhead < len(list) {
			legs[i+keysAhead].warmKeys()
		}
		if s == nil {
			f.loop.stats.received.Add(1)
			f.loop.stats.unready.Add(1)
			continue
		}
		f.loop.deliver(s, list[i].Payload, list[i].From)
	}
}

// send sends a datagram with the next flush, or at once through its socket.
func (f *fast) send(s *socket, b []byte, to netip.AddrPort) bool {
	return f.link.Send(xdp.Datagram{From: s.local, To: to, Payload: b}, f.class) || sendTo(s, b, to)
}

// flush has the kernel put on the wire what was sent.
func (f *fast) flush() {
	if f != nil {
		f.link.Flush()
	}
}

func (f *fast) close() {
	if f != nil {
		f.link.Close()
	}
}

// addTo counts what went past the kernel.
func (f *fast) addTo(s *Stats) {
	if f == nil {
		return
	}
	st := f.link.Stats()
	s.FastReceived, s.FastSent, s.FastPassed, s.FastMalformed, s.FastLost, s.FastHops =
		st.Received, st.Sent, st.Passed, st.Malformed, st.Lost, st.Hops
}
