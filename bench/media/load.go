package main

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The streams.
const (
	frameRate    = 50 // packets a second
	frameTime    = 1_000_000_000 / frameRate
	payloadSize  = 160
	headerSize   = 12
	stepTime     = 400_000 // nanoseconds between two bursts, which no timer of a system should be in step with
	stepsInFrame = frameTime / stepTime
	// socketsOfSide are shared by the calls of a side: with a socket for each call the load would cost more than the system.
	socketsOfSide = 4
	// window is how many packets of a stream are remembered: what comes later than 1.28 s counts as lost.
	window = 64
)

// load is both ends of all calls.
type load struct {
	keys    [2]key
	sockets [2][]*port
	legs    []*leg
	steps   [stepsInFrame][2][]*leg // by when and from which side they send
	frame   uint64                  // of the streams, from 0
	packets [2]*packets
	frames  *frames // by which packets are sent; nil where they are sent from the sockets
}

// port is a socket of the load. A system has a port of its own for each leg, which finds the leg.
type port struct {
	fd    int
	local netip.AddrPort
	legs  [1 << 16]*leg
	drops uint32 // packets that did not fit, which is our fault
}

// leg is one end of a call.
type leg struct {
	side int
	peer *leg
	port *port
	to   unix.RawSockaddrInet4
	head [frameHead]byte // of its frames
	sum  uint32          // of what its checksums are made of beside the packet
	// sent is when the last packets were sent, by frame; 0 once they have arrived.
	sent  [window]int64
	check *checker
	// arrived counts packets of the measured window.
	arrived int
}

func newLoad(v variant, at place) (l *load, err error) {
	l = &load{}
	if at.device != "" {
		if l.frames, err = newFrames(loadDevice); err != nil {
			return l, err
		}
	}
	for side, host := range []string{at.Caller, at.Callee} {
		if l.keys[side], err = newKey(v.suites[side]); err != nil {
			return l, err
		}
		if l.packets[side], err = newPackets(l.keys[side], side); err != nil {
			return l, err
		}
		for range socketsOfSide {
			p, err := openPort(host)
			if err != nil {
				return l, err
			}
			l.sockets[side] = append(l.sockets[side], p)
		}
	}
	return l, nil
}

func openPort(host string) (*port, error) {
	fd, at, err := bound(host)
	if err != nil {
		return nil, fmt.Errorf("open a socket of the load: %w", err)
	}
	p := &port{fd: fd, local: at}
	const room = 16 << 20
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, room) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, room) // as much as there is
	}
	for _, option := range []int{unix.SO_TIMESTAMPNS, unix.SO_RXQ_OVFL} {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, 1); err != nil {
			return p, fmt.Errorf("set option %d of a socket of the load: %w", option, err)
		}
	}
	return p, nil
}

func (l *load) close() {
	if l.frames != nil {
		_ = l.frames.close()
	}
	for _, side := range l.sockets {
		for _, p := range side {
			_ = unix.Close(p.fd)
		}
	}
}

func (l *load) calls() int { return len(l.legs) / 2 }

// place says in which step the n-th call's leg of a side sends, and from which socket.
func (l *load) place(n, side int) (step int, p *port) {
	step = (n + side*stepsInFrame/2) % stepsInFrame
	return step, l.sockets[side][step%socketsOfSide]
}

// end is the end of the n-th call at a side, as it is described.
func (l *load) end(n, side int) (at netip.AddrPort, k key) {
	_, p := l.place(n, side)
	return p.local, l.keys[side]
}

// join adds the next call, of which a system told each end the far one.
func (l *load) join(fars [2]far) error {
	n := l.calls()
	var legs [2]*leg
	for side := range legs {
		step, p := l.place(n, side)
		check, err := newChecker(fars[side].key)
		if err != nil {
			return err
		}
		at := fars[side].at
		if l.owns(at) {
			return fmt.Errorf("media of call %d are not anchored: %s", n, at)
		}
		if p.legs[at.Port()] != nil {
			return fmt.Errorf("port %s is of two calls", at)
		}
		lg := &leg{side: side, port: p, to: sockaddr(at), check: check}
		lg.head = head(p.local, at, headerSize+payloadSize+overheads[l.keys[side].suite])
		lg.sum = words(lg.head[26:]) // from the addresses on
		p.legs[at.Port()] = lg
		legs[side] = lg
		l.steps[step][side] = append(l.steps[step][side], lg)
	}
	legs[0].peer, legs[1].peer = legs[1], legs[0]
	l.legs = append(l.legs, legs[0], legs[1])
	return nil
}

func (l *load) owns(at netip.AddrPort) bool {
	for _, side := range l.sockets {
		for _, p := range side {
			if p.local == at {
				return true
			}
		}
	}
	return false
}

func sockaddr(at netip.AddrPort) unix.RawSockaddrInet4 {
	return unix.RawSockaddrInet4{Family: unix.AF_INET, Port: at.Port()<<8 | at.Port()>>8, Addr: at.Addr().As4()}
}
