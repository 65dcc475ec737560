package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"carillon/clock"
	"carillon/srtp"
)

// socket is one bound media port.
type socket struct {
	fd    int
	local netip.AddrPort
	holder
}

// maxEvents is how many ready sockets one wait returns.
const maxEvents = 256

// relay is a set of loops, each waiting on many sockets. A goroutine for each socket costs twice the
// processor time for a packet: the scheduler wakes and parks one for each datagram.
type relay struct {
	loops []*loop
	// epoch is when the relay started. Moments are kept as distances from it: a step of the wall clock must
	// not make every call look silent.
	epoch time.Time
	dscp  int
}

// loop is one goroutine. Everything a packet touches belongs to the loop of its session.
type loop struct {
	worker
	counters counters
	// turn is odd while the loop is at work.
	turn    atomic.Uint64
	clock   clock.Clock
	log     *slog.Logger
	epoll   int
	wake    int
	sockets socketTable
	pace    pace
	beat    *beat
	lull    lull
	// fast is the loop's after the start; what it holds of sockets is for all.
	fast *fast
	done chan struct{}

	// called is true where there are commands, or the loop is to end.
	called atomic.Bool

	mu       sync.Mutex
	commands []func()
	closed   bool
}

func startRelay(loops int, c clock.Clock, log *slog.Logger) (*relay, error) {
	r := &relay{epoch: c.Now()}
	for range loops {
		l, err := newLoop(c, log)
		if err != nil {
			return nil, errors.Join(err, r.close())
		}
		l.epoch = r.epoch
		r.loops = append(r.loops, l)
		go l.run()
	}
	return r, nil
}

func newLoop(c clock.Clock, log *slog.Logger) (*loop, error) {
	l := &loop{clock: c, log: log, done: make(chan struct{})}
	l.worker.stats, l.worker.send, l.worker.scratch = &l.counters, sendTo, srtp.NewScratch()
	var err error
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("create epoll: %w", err)
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(fmt.Errorf("create eventfd: %w", err), unix.Close(l.epoll))
	}
	if l.beat, err = newBeat(gatherTime, false); err != nil {
		return nil, errors.Join(err, unix.Close(l.wake), unix.Close(l.epoll))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(l.wake)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, l.wake, &event); err != nil {
		l.beat.close()
		return nil, errors.Join(fmt.Errorf("watch eventfd: %w", err), unix.Close(l.wake), unix.Close(l.epoll))
	}
	return l, nil
}

// bind opens a socket that no loop watches yet.
func (r *relay) bind(s *socket, addr netip.AddrPort) error {
	family := unix.AF_INET6
	if addr.Addr().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open media socket: %w", err)
	}
	if family == unix.AF_INET6 {
		err = setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1)
	}
	switch {
	case r.dscp == 0 || err != nil:
	case family == unix.AF_INET6:
		err = setOption(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, r.dscp<<2)
	default:
		err = setOption(fd, unix.IPPROTO_IP, unix.IP_TOS, r.dscp<<2)
	}
	if err == nil {
		err = bindTo(fd, addr)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("bind media socket to %s: %w", addr, err), unix.Close(fd))
	}
	s.fd, s.local = fd, addr
	return nil
}

// unbind closes a socket that was never added.
func (r *relay) unbind(s *socket) { _ = unix.Close(s.fd) }

// pick chooses the loop of a session.
func (r *relay) pick(n uint32) *loop { return r.loops[n%uint32(len(r.loops))] }

// second tells in which second of the relay a moment lies.
func (r *relay) second(now time.Time) int64 { return secondOf(now.Sub(r.epoch)) }

func (r *relay) size() int { return len(r.loops) }

// add has l watch a new pair's sockets. It does not wake it.
func (r *relay) add(p *pair, l *loop) {
	l.watch(&p.rtp)
	l.watch(&p.rtcp)
}

// move has l watch the sockets of a pair of another loop, which is past them when move returns. Those that ended with that loop
// are closed, and their numbers may be other files' by now.
func (r *relay) move(p *pair, l *loop) {
	past := make(chan struct{})
	from := p.loop
	var left []*socket
	from.do(func() {
		for _, s := range []*socket{&p.rtp, &p.rtcp} {
			if from.unwatch(s) {
				left = append(left, s)
			}
		}
		close(past)
	})
	<-past
	for _, s := range left {
		l.watch(s)
	}
}

// remove closes the pair's sockets in their loop and calls then: only the loop knows that it is not using them.
func (r *relay) remove(p *pair, then func()) {
	l := p.loop
	l.do(func() {
		l.forget(&p.rtp)
		l.forget(&p.rtcp)
		then()
	})
}

// maxStale is how many datagrams are thrown away at once.
const maxStale = 64

// nothing reports whether nothing waits in the sockets of some pairs. Of a loop that sleeps the kernel is not asked: what came
// more than gatherTime ago has woken it, and the holders know of it. What is missed, because it came since or the loop is not
// given the processor, the next call drops like what comes right after the question: it has agreed on nothing yet.
func (r *relay) nothing(pairs []*pair) bool {
	if !slices.ContainsFunc(pairs, func(p *pair) bool { return p.loop.atWork() }) {
		return true
	}
	var fds [2 * maxAtOnce]unix.PollFd
	for i, p := range pairs {
		fds[2*i] = unix.PollFd{Fd: int32(p.rtp.fd), Events: unix.POLLIN}
		fds[2*i+1] = unix.PollFd{Fd: int32(p.rtcp.fd), Events: unix.POLLIN}
	}
	return nothingAt(fds[:2*len(pairs)])
}

// empty throws away what waits in the pair's sockets and reports whether it was nothing.
func (r *relay) empty(p *pair) bool {
	nothing := true
	for _, s := range []*socket{&p.rtp, &p.rtcp} {
		var b [1]byte
		for range maxStale {
			if _, _, ok := recvFrom(s.fd, b[:]); !ok {
				break
			}
			nothing = false
		}
	}
	return nothing
}

// close stops the loops and waits for them. Sockets still watched are closed.
func (r *relay) close() error {
	for _, l := range r.loops {
		l.do(nil)
	}
	for _, l := range r.loops {
		<-l.done
		l.fast.close()
	}
	return nil
}

func (r *relay) addTo(s *Stats) {
	for _, l := range r.loops {
		l.counters.addTo(s)
		l.fast.addTo(s)
	}
}

// do runs f in the loop; nil ends the loop. After the end f runs at once.
func (l *loop) do(f func()) {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		if f != nil {
			<-l.done
			f()
		}
		return
	}
	awake := len(l.commands) > 0 // an earlier wake-up is still to be obeyed
	if f == nil {
		l.closed = true
	} else {
		l.commands = append(l.commands, f)
	}
	if awake && f != nil {
		l.mu.Unlock()
		return
	}
	l.called.Store(true)
	// The write cannot block: the counter of an eventfd would have to reach 2^64.
	one := [8]byte{1}
	_, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(l.wake), uintptr(unsafe.Pointer(&one)), uintptr(len(one)))
	l.mu.Unlock()
	if errno != 0 {
		l.log.Error("wake media loop", "error", errno)
	}
}

// within runs f in the loop and waits for it.
func (l *loop) within(_ *Session, f func()) {
	past := make(chan struct{})
	l.do(func() { f(); close(past) })
	<-past
}

// atWork reports whether the loop may be at packets.
func (l *loop) atWork() bool { return l.turn.Load()&1 == 1 }

// settle waits until the loop is past the packets it was at. A loop that sleeps is at none, and whatever wakes it comes
// after what the caller did before.
func (l *loop) settle(*Session) {
	if !l.atWork() {
		return
	}
	past := make(chan struct{})
	l.do(func() { close(past) })
	<-past
}

// watch begins to read a socket, from any thread. The lock keeps the loop from ending meanwhile; what is done under it
// does not wait for anything.
func (l *loop) watch(s *socket) {
	l.sockets.mu.Lock()
	defer l.sockets.mu.Unlock()
	if l.sockets.stopped {
		_ = unix.Close(s.fd)
		return
	}
	l.sockets.put(s)
	l.fast.put(s)
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.fd)}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		l.log.Error("watch media socket", "local", s.local, "error", err)
	}
}

// unwatch leaves a socket and reports whether it was there: one that was not was closed with the loop.
func (l *loop) unwatch(s *socket) bool {
	if !l.sockets.take(s) {
		return false
	}
	l.fast.drop(s)
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, s.fd, nil); err != nil {
		l.log.Error("leave media socket", "local", s.local, "error", err)
	}
	return true
}

func (l *loop) forget(s *socket) {
	if !l.sockets.take(s) {
		return
	}
	l.fast.drop(s)
	if err := unix.Close(s.fd); err != nil {
		l.log.Error("close media socket", "local", s.local, "error", err)
	}
}

// A busy loop lets datagrams gather and reads them in one turn: to be woken for each of them costs a third of what it costs
// to relay it.
const (
	// gatherTime is from turn to turn of a busy loop, and so the most that gathering adds to a packet's way.
	gatherTime = 500 * time.Microsecond
	// busyTime is how long datagrams are counted, and busyFrom how many of them make a loop busy: 2,000 in a second, which
	// is 20 calls and one for each turn.
	busyTime = 4 * time.Millisecond
	busyFrom = 8
)

// pace tells whether a loop is busy.
type pace struct {
	begun time.Duration
	count int
	busy  bool
}

// add counts the datagrams of a turn.
func (p *pace) add(now time.Duration, datagrams int) {
	p.count += datagrams
	if passed := now - p.begun; passed >= busyTime {
		p.busy = p.count >= busyFrom*int(passed/busyTime)
		p.begun, p.count = now, 0
	}
}

const (
	// lullFrom is after how many turns in which no socket had anything, a tenth of a second, they are asked in one of askTurns alone.
	lullFrom = 200
	askTurns = 4
)

// lull counts the turns since a socket had something. Where media pass the kernel by that is rare, and to ask for it at each turn is a
// fiftieth of a packet. What comes to a socket all the same waits for up to two milliseconds, once: then there is no lull.
type lull struct{ turns int }

// skip reports whether the sockets are not asked in a turn.
func (n *lull) skip() bool {
	n.turns++
	return n.turns > lullFrom && n.turns%askTurns != 0
}

// wait waits for sockets that have datagrams.
func (l *loop) wait(events []unix.EpollEvent) (int, error) {
	if l.pace.busy && l.beat.await() {
		if l.beat.alone && l.lull.skip() && !l.called.Load() {
			return 0, nil
		}
		return pollEvents(l.epoll, events)
	}
	l.beat.rest()
	return unix.EpollWait(l.epoll, events, -1)
}

// run is not bound to a thread: one that is has to be handed the processor by another thread whenever it has waited.
func (l *loop) run() {
	defer close(l.done)
	var events [maxEvents]unix.EpollEvent
	for {
		n, err := l.wait(events[:])
		l.turn.Add(1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			l.log.Error("wait for media", "error", err)
			l.mu.Lock()
			l.closed = true
			l.mu.Unlock()
			l.obey()
			l.stop()
			return
		}
		l.tick(l.clock.Now())
		l.pace.add(l.since, n+l.fast.receive())
		woken := l.readAll(events[:max(n, 0)])
		l.fast.flush()
		// After the events: a socket closed by a command cannot have an event left in this batch.
		if woken {
			if !l.obey() {
				l.stop()
				return
			}
			l.beat.show()
		}
		l.turn.Add(1)
	}
}

// readAll reads a datagram from each socket that has one, and reports whether there are commands.
func (l *loop) readAll(events []unix.EpollEvent) (woken bool) {
	var sockets [maxTogether]*socket
	var legs [maxTogether]*leg
	for len(events) > 0 {
		n := min(len(events), maxTogether)
		for i, e := range events[:n] {
			woken = woken || int(e.Fd) == l.wake
			sockets[i] = l.sockets.get(int(e.Fd))
		}
		for i, s := range sockets[:n] {
			if legs[i] = nil; s != nil {
				legs[i] = s.leg.Load()
			}
		}
		warm(legs[:n])
		for i, s := range sockets[:n] {
			if i+keysAhead < n {
				legs[i+keysAhead].warmKeys()
			}
			if s != nil {
				l.lull.turns = 0
				l.read(s)
			}
		}
		events = events[n:]
	}
	return woken
}

// obey runs the commands and reports whether the loop goes on.
func (l *loop) obey() bool {
	var count [8]byte
	_, _ = unix.Read(l.wake, count[:])
	l.mu.Lock()
	commands, closed := l.commands, l.closed
	l.commands = nil
	l.called.Store(false)
	l.mu.Unlock()
	for _, f := range commands {
		f()
	}
	return !closed
}

func (l *loop) stop() {
	for _, s := range l.sockets.stop() {
		l.forget(s)
	}
	l.beat.close()
	_ = unix.Close(l.wake)
	_ = unix.Close(l.epoll)
}

// read takes one datagram; epoll reports the socket again when more are waiting. A call's socket has one every
// 20 ms, so asking for a second would mostly be a system call for nothing, and a flooded port cannot starve
// the others.
func (l *loop) read(s *socket) {
	n, src, ok := recvFrom(s.fd, l.buf[:MaxPacket+1])
	if !ok {
		return
	}
	if n > MaxPacket {
		l.oversize(s)
		return
	}
	l.deliver(s, l.buf[:n], src)
}

// deliver hands a datagram to the leg that holds the socket it came to, however it came.
func (l *loop) deliver(s *socket, b []byte, src netip.AddrPort) {
	if lg := s.leg.Load(); lg != nil {
		lg.receive(&l.worker, s, b, src)
		return
	}
	l.stray(s)
}
