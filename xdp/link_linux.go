package xdp

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cilium/ebpf"
	ebpflink "github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carillon/clock"
)

// Config says what a Link takes.
type Config struct {
	// Interface is the name of one of Ethernet, or of a virtual wire.
	Interface string
	// Addresses are those with ports to take, without a zone; those that the interface does not have are left to the kernel.
	Addresses []netip.Addr
	// Clock tells when the kernel is asked again about its neighbours.
	Clock clock.Clock
	// Logger takes what the link is.
	Logger *slog.Logger
}

// Stats is what a Link has done.
type Stats struct {
	// Received and Sent count datagrams, Passed those that were not sent because the kernel has to find the way or nothing
	// was free for them.
	Received, Sent, Passed uint64
	// Malformed counts frames that the program took and Parse did not.
	Malformed uint64
	// Lost counts frames that the program took and nobody fetched in time, so that there was no room for them.
	Lost uint64
	// Hops is the number of destinations known.
	Hops int
}

// Link is an interface whose datagrams pass the kernel by. Receive, Send and Flush are for one goroutine, the one that
// owns the datagrams; the rest is safe for all.
type Link struct {
	at      []netip.Addr
	host    []netip.Addr // the addresses of this host when it was opened
	mtu     int
	queues  []*queue
	maps    maps
	taking  *ebpf.Memory // of the map of ports
	program *ebpf.Program
	hook    ebpflink.Link
	tables  *tables
	hops    *hops
	// Of the one that receives.
	take      func([]Datagram)
	parse     func(frames [][]byte)
	frames    [MaxTurn][]byte
	datagrams [MaxTurn]Datagram

	received, sent, passed, malformed atomic.Uint64

	mu     sync.Mutex // keeps the queues' files open while Stats asks the kernel about them, which does not wait
	closed bool
}

// Open attaches to an interface. It fails without the rights to (CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF), where the interface
// has another program already, and where it has none of the addresses.
func Open(cfg Config) (l *Link, err error) {
	l = &Link{}
	l.parse = l.parsed
	defer func() {
		if err != nil {
			l.Close()
			l, err = nil, fmt.Errorf("attach to interface %s: %w", cfg.Interface, err)
		}
	}()
	about, err := net.InterfaceByName(cfg.Interface)
	if err != nil {
		return l, errors.New("there is no such interface; ip -brief address lists those there are")
	}
	l.mtu = about.MTU
	hardware, ok := hardwareOf(about)
	if !ok || about.Flags&net.FlagLoopback != 0 {
		return l, errors.New("it is not an Ethernet interface")
	}
	if l.at, err = own(about, cfg.Addresses); err != nil {
		return l, err
	}
	numbers, err := queuesOf(cfg.Interface)
	if err != nil {
		return l, err
	}
	if l.host, err = ofHost(); err != nil {
		return l, err
	}
	if err := l.attach(about.Index, numbers, hardware, cfg); err != nil {
		return l, explain(err, about, numbers)
	}
	handle, err := netlink.NewHandle()
	if err != nil {
		return l, fmt.Errorf("ask for routes: %w", err)
	}
	l.tables = &tables{netlink: handle, index: about.Index, own: hardware, mtu: about.MTU, from: l.at}
	l.hops = newHops(l.tables, cfg.Clock)
	cfg.Logger.Info("media pass the kernel by", "interface", cfg.Interface, "addresses", l.at, "queues", numbers)
	return l, nil
}

// own returns those of addresses that an interface has.
func own(about *net.Interface, addresses []netip.Addr) (at []netip.Addr, err error) {
	has, err := about.Addrs()
	if err != nil {
		return nil, err
	}
	var all []netip.Addr
	for _, a := range has {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			all = append(all, p.Addr().Unmap())
		}
	}
	for _, a := range all {
		if slices.Contains(addresses, a) {
			at = append(at, a)
		}
	}
	if len(at) == 0 {
		return nil, fmt.Errorf("its addresses are %v, and media are at %v", all, addresses)
	}
	return at, nil
}

// explain says what the system's error means to whoever runs the node.
func explain(err error, about *net.Interface, queues int) error {
	switch {
	case errors.Is(err, unix.EPERM):
		// The library names locked memory alone, which is the reason before Linux 5.11 only.
		return fmt.Errorf("the rights CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF are needed (AmbientCapabilities of systemd), "+
			"before Linux 5.11 locked memory, too (LimitMEMLOCK): %w", unix.EPERM)
	case errors.Is(err, unix.ENOBUFS):
		return fmt.Errorf("its queues need %d MiB of locked memory; raise the limit (ulimit -l, LimitMEMLOCK of systemd): %w", memoryOf(queues)>>20, err)
	case errors.Is(err, unix.EBUSY):
		return fmt.Errorf("it has an XDP program already, perhaps another node's; ip link show %s has it: %w", about.Name, err)
	case errors.Is(err, unix.ERANGE):
		return fmt.Errorf("its driver takes no XDP program with an MTU of %d; try 1500: %w", about.MTU, err)
	}
	return err
}

// ofHost returns all addresses that this host has.
func ofHost() (host []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			host = append(host, p.Addr().Unmap())
		}
	}
	return host, nil
}

// queuesOf returns how many queues of an interface receive.
func queuesOf(name string) (int, error) {
	found, err := filepath.Glob(filepath.Join("/sys/class/net", name, "queues/rx-*"))
	if err != nil {
		return 0, err
	}
	if len(found) > MaxQueues {
		return 0, fmt.Errorf("it has %d queues, and at most %d are read; ethtool -L makes them fewer", len(found), MaxQueues)
	}
	return max(1, len(found)), nil
}

func (l *Link) attach(index, numbers int, hardware [6]byte, cfg Config) (err error) {
	if l.maps, err = newMaps(numbers, len(l.at)); err != nil {
		return fmt.Errorf("make maps: %w", err)
	}
	if l.taking, err = l.maps.ports.Memory(); err != nil {
		return fmt.Errorf("map the ports: %w", err)
	}
	if l.program, err = program(l.maps, hardware, l.at); err != nil {
		return fmt.Errorf("load the program: %w", err)
	}
	// The program comes first: some drivers make their queues anew for it. Until the map has a queue's socket its frames go
	// to the kernel.
	if l.hook, err = ebpflink.AttachXDP(ebpflink.XDPOptions{Program: l.program, Interface: index}); err != nil {
		return fmt.Errorf("attach the program: %w", err)
	}
	pause := func() {
		past := make(chan struct{})
		cfg.Clock.AfterFunc(bindPause, func() { close(past) })
		<-past
	}
	for i := range numbers {
		q, err := openQueue(index, i, shareOf(i, numbers), pause)
		if err != nil {
			return err
		}
		l.queues = append(l.queues, q)
		if err := l.maps.sockets.Put(uint32(i), uint32(q.fd)); err != nil {
			return fmt.Errorf("hand over queue %d: %w", i, err)
		}
	}
	return nil
}

// Close detaches. Datagrams go to the kernel's sockets again. Only Stats, and Close itself, may be called at the same time or
// later; what comes second does not wait for the first.
func (l *Link) Close() {
	l.mu.Lock()
	closed := l.closed
	l.closed = true
	l.mu.Unlock()
	if closed {
		return
	}
	if l.hook != nil {
		_ = l.hook.Close()
	}
	if l.hops != nil {
		l.hops.close()
	}
	if l.tables != nil {
		l.tables.netlink.Close()
	}
	for _, q := range l.queues {
		q.close()
	}
	if l.program != nil {
		_ = l.program.Close()
	}
	l.maps.close()
}

// Addresses returns those that have ports to take.
func (l *Link) Addresses() []netip.Addr { return slices.Clone(l.at) }

// Take has the datagrams for a port come to Receive, and no more to a socket. It reports false for an address that the link does
// not have. A port is taken or left by one goroutine at a time.
func (l *Link) Take(at netip.AddrPort) bool { return l.mark(at, 1) }

// Leave has them go to the kernel's sockets again.
func (l *Link) Leave(at netip.AddrPort) { l.mark(at, 0) }

func (l *Link) mark(at netip.AddrPort, value byte) bool {
	i := slices.Index(l.at, at.Addr())
	if i < 0 {
		return false
	}
	const size = 8 // of an entry
	_, err := l.taking.WriteAt([]byte{value}, int64(i*portsOfAddress+int(at.Port()))*size)
	return err == nil
}

// Files returns what becomes readable when datagrams have come.
func (l *Link) Files() (fds []int) {
	for _, q := range l.queues {
		fds = append(fds, q.fd)
	}
	return fds
}

// Receive hands the datagrams that have come to take, up to MaxTurn at once. Until it returns it may write to a payload's memory,
// to which 200 octets behind the payload belong. Receive returns how many frames there were.
func (l *Link) Receive(take func([]Datagram)) (all int) {
	l.take = take
	for _, q := range l.queues {
		for range MaxWaiting / MaxTurn {
			n := q.receive(&l.frames, l.parse)
			all += n
			if n < MaxTurn {
				break
			}
		}
	}
	return all
}

func (l *Link) parsed(frames [][]byte) {
	n := 0
	for _, frame := range frames {
		var err error
		d := &l.datagrams[n]
		// Nobody on the wire has an address of this host: what a peer on this machine sends comes another way, and packets sent to
		// one of our own ports would go round.
		if *d, err = Parse(frame); err != nil || slices.Contains(l.host, d.From.Addr()) {
			l.malformed.Add(1)
			continue
		}
		n++
	}
	l.received.Add(uint64(n))
	l.take(l.datagrams[:n])
}

// Send puts a datagram among those that the next Flush sends, with the given traffic class (RFC 2474: the DSCP times
// four). It reports false where the datagram has to go through a socket: the way to its destination is not known here, or it
// is too long for a frame, or too many are on their way.
func (l *Link) Send(d Datagram, class uint8) bool {
	if !l.send(d, class) {
		l.passed.Add(1)
		return false
	}
	l.sent.Add(1)
	return true
}

func (l *Link) send(d Datagram, class uint8) bool {
	to := d.To.Addr()
	if ip6Size+udpSize+len(d.Payload) > l.mtu || to.Zone() != "" || d.From.Addr().Is4() != to.Is4() {
		return false
	}
	h := l.hops.find(to)
	if h == nil {
		return false
	}
	q := l.queues[0]
	chunk := q.chunk()
	if chunk == nil {
		return false
	}
	size := write(chunk, &h.ether, class, d)
	if size == 0 {
		return false
	}
	q.put(size)
	return true
}

// Flush has the kernel send what was put. It reports how many datagrams it did not take; they go with the next Flush.
func (l *Link) Flush() int { return l.queues[0].flush() }

// Stats returns what the link has done.
func (l *Link) Stats() Stats {
	s := Stats{Received: l.received.Load(), Sent: l.sent.Load(), Passed: l.passed.Load(), Malformed: l.malformed.Load(),
		Hops: int(l.hops.size.Load())}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, q := range l.queues {
		if !l.closed {
			s.Lost += q.lost()
		}
	}
	return s
}
