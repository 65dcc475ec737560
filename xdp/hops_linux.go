package xdp

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"carillon/clock"
)

const (
	// maxAsked is how many destinations wait to be looked up.
	maxAsked = 256
	// hopRefresh is how often the kernel is asked again about those that are known: for so long a frame may go to a neighbour
	// that has changed its address.
	hopRefresh = time.Second
	// hopIdle is how long a destination is known that nothing is sent to.
	hopIdle = time.Minute
)

// hop is what frames to a destination begin with, and never changes.
type hop struct {
	to    netip.Addr
	ether [etherSize]byte
	// ready is false where the kernel must find the way: by another interface, or to a neighbour it does not know.
	ready bool
	// doubtful is set where the kernel has not heard of the neighbour for a while. It asks again only when it sends
	// something itself.
	doubtful bool
}

// place is one of the table's.
type place struct {
	hop atomic.Pointer[hop]
	// used is set by what is sent and taken back with each refresh; tried by the one datagram in between that goes through
	// the socket because the neighbour is doubtful.
	used, tried atomic.Bool
	// idle counts refreshes without use. It is the refresher's.
	idle int
}

// hops knows the next hops of destinations. One goroutine looks them up, another keeps them.
type hops struct {
	kernel kernel
	seed   maphash.Seed
	places [MaxHops]place
	asked  chan netip.Addr
	stop   chan struct{}
	ended  sync.WaitGroup
	clock  clock.Clock
	size   atomic.Int64
}

// kernel answers what a router would do.
type kernel interface {
	// route says which neighbour a datagram goes to from this interface; not ok where it goes elsewhere or nowhere.
	route(to netip.Addr) (next netip.Addr, ok bool)
	// neighbours returns those of the interface that have an address of hardware.
	neighbours() map[netip.Addr]neighbour
	// hardware is the interface's own address.
	hardware() [6]byte
}

type neighbour struct {
	hardware [6]byte
	doubtful bool
}

func newHops(k kernel, c clock.Clock) *hops {
	h := &hops{kernel: k, clock: c, seed: maphash.MakeSeed(), asked: make(chan netip.Addr, maxAsked), stop: make(chan struct{})}
	h.ended.Go(h.keep)
	return h
}

func (h *hops) close() {
	close(h.stop)
	h.ended.Wait()
}

// find returns the hop of a destination that frames may be sent to now, nil where the datagram has to go through its socket.
func (h *hops) find(to netip.Addr) *hop {
	p := h.place(to)
	known := p.hop.Load()
	if known == nil || known.to != to {
		select {
		case h.asked <- to:
		default: // it is asked with the next datagram
		}
		return nil
	}
	if !p.used.Load() {
		p.used.Store(true)
	}
	if !known.ready || known.doubtful && !p.tried.Load() && !p.tried.Swap(true) {
		return nil
	}
	return known
}

func (h *hops) place(to netip.Addr) *place {
	raw := to.As16()
	return &h.places[maphash.Bytes(h.seed, raw[:])%MaxHops]
}

// keep looks up what is asked and asks again, until it is stopped.
func (h *hops) keep() {
	due := make(chan struct{}, 1)
	remind := func() { due <- struct{}{} } // there is room: the next timer is set when this is taken
	timer := h.clock.AfterFunc(hopRefresh, remind)
	defer func() { timer.Stop() }()
	for {
		select {
		case <-h.stop:
			return
		case to := <-h.asked:
			h.learn(to)
		case <-due:
			h.refresh()
			timer = h.clock.AfterFunc(hopRefresh, remind)
		}
	}
}

// learn looks up a destination and the others that are asked for. One that is sent to keeps its place: two that fall on one
// and took it from each other would have the kernel asked with every packet.
func (h *hops) learn(to netip.Addr) {
	var neighbours map[netip.Addr]neighbour
	for {
		p := h.place(to)
		known := p.hop.Load()
		if known == nil || known.to != to && p.idle > 0 && !p.used.Load() {
			if known == nil {
				h.size.Add(1)
			}
			if neighbours == nil {
				neighbours = h.kernel.neighbours()
			}
			p.idle = 0
			p.hop.Store(h.look(to, neighbours))
		}
		select {
		case to = <-h.asked:
		default:
			return
		}
	}
}

func (h *hops) refresh() {
	if h.size.Load() == 0 {
		return
	}
	neighbours := h.kernel.neighbours()
	for i := range h.places {
		p := &h.places[i]
		known := p.hop.Load()
		if known == nil {
			continue
		}
		p.idle++
		if p.used.Swap(false) {
			p.idle = 0
		}
		if p.idle >= int(hopIdle/hopRefresh) {
			p.idle = 0
			p.hop.Store(nil)
			h.size.Add(-1)
			continue
		}
		if now := h.look(known.to, neighbours); *now != *known {
			p.hop.Store(now)
		}
		p.tried.Store(false)
	}
}

func (h *hops) look(to netip.Addr, neighbours map[netip.Addr]neighbour) *hop {
	found := &hop{to: to}
	// Sockets have these refused: an address of IPv4 in IPv6's form, and one of a link without saying which.
	if to.Is4In6() || to.IsLinkLocalUnicast() && to.Is6() {
		return found
	}
	next, ok := h.kernel.route(to)
	if !ok {
		return found
	}
	n, ok := neighbours[next]
	if !ok {
		return found
	}
	own := h.kernel.hardware()
	copy(found.ether[:6], n.hardware[:])
	copy(found.ether[6:12], own[:])
	kind := uint16(etherIP4)
	if to.Is6() {
		kind = etherIP6
	}
	binary.BigEndian.PutUint16(found.ether[12:], kind)
	found.ready, found.doubtful = true, n.doubtful
	return found
}

// tables are the kernel's, of one interface.
type tables struct {
	netlink *netlink.Handle
	index   int
	own     [6]byte
	mtu     int
	from    []netip.Addr
}

func (t *tables) hardware() [6]byte { return t.own }

func (t *tables) route(to netip.Addr) (next netip.Addr, ok bool) {
	for _, a := range t.from {
		if a.Is4() != to.Is4() {
			continue
		}
		way, found := t.routeFrom(a, to)
		// Rules may send each of several addresses another way. One that the host has lost has none.
		if !found || ok && way != next {
			return next, false
		}
		next, ok = way, true
	}
	return next, ok
}

func (t *tables) routeFrom(from, to netip.Addr) (next netip.Addr, ok bool) {
	routes, err := t.netlink.RouteGetWithOptions(to.AsSlice(), &netlink.RouteGetOptions{SrcAddr: from.AsSlice()})
	if err != nil || len(routes) != 1 {
		return next, false
	}
	r := routes[0]
	if r.LinkIndex != t.index || r.Encap != nil || r.Type != unicast && r.Type != 0 {
		return next, false
	}
	if len(r.Gw) == 0 && r.Via == nil {
		return to, true
	}
	next, ok = netip.AddrFromSlice(r.Gw)
	return next.Unmap(), ok
}

// unicast is the type of route to a host (RTN_UNICAST of linux/rtnetlink.h); others are local, broadcast, refused.
const unicast = 1

func (t *tables) neighbours() map[netip.Addr]neighbour {
	all := map[netip.Addr]neighbour{}
	if !t.same() {
		return all // sockets do as well
	}
	list, err := t.netlink.NeighList(t.index, netlink.FAMILY_ALL)
	if err != nil {
		return all // nobody is known then, and sockets do
	}
	for _, n := range list {
		const known = netlink.NUD_PERMANENT | netlink.NUD_REACHABLE | netlink.NUD_STALE | netlink.NUD_DELAY | netlink.NUD_PROBE
		at, ok := netip.AddrFromSlice(n.IP)
		if !ok || n.State&known == 0 || len(n.HardwareAddr) != 6 || n.HardwareAddr[0]&1 != 0 {
			continue
		}
		all[at.Unmap()] = neighbour{[6]byte(n.HardwareAddr), n.State&netlink.NUD_STALE != 0}
	}
	return all
}

// same reports whether the interface is what it was in the beginning.
func (t *tables) same() bool {
	now, err := t.netlink.LinkByIndex(t.index)
	if err != nil {
		return false
	}
	about := now.Attrs()
	return about.RawFlags&unix.IFF_UP != 0 && about.MTU >= t.mtu && bytes.Equal(about.HardwareAddr, t.own[:])
}

// hardwareOf is an interface's Ethernet address.
func hardwareOf(i *net.Interface) (own [6]byte, ok bool) {
	if len(i.HardwareAddr) != len(own) {
		return own, false
	}
	return [6]byte(i.HardwareAddr), true
}
