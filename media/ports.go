package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"carillon/clock"
)

// errNoPorts: no pair is free on any address of the family.
var errNoPorts = errors.New("no media ports are free")

const (
	// MaxIdlePairs is how many pairs of ports stay bound, over all addresses, though no call uses them: the next
	// call is given two of them instead of new ones.
	MaxIdlePairs = 1024
	// MinDrainTime is the shortest time a pair is kept from the next call when all others are in use, instead of
	// Config.DrainTime.
	MinDrainTime = 500 * time.Millisecond

	// choice is how many idle pairs a loop needs before one of them is taken, and not a new one: with fewer, a
	// stranger could foresee the port of the next call.
	choice = 64
	// maxUses is how many calls a pair serves before it is closed, so that the ports in use do not stay the same. Each
	// such change wakes a loop, and a thread that then waits again keeps the runtime's monitor polling for 10 ms.
	maxUses = 1024
	// randomTries is how many random ports are tried before the range is searched from a random place: with
	// most of the range free, the choice cannot be foreseen.
	randomTries = 16
	// pickTries is how many pairs are looked at for one that nothing arrives at.
	pickTries = 8
)

// pair is the RTP and RTCP port of one leg. It belongs to one loop until it is moved.
type pair struct {
	rtp, rtcp socket
	loop      *loop
	on        *addrPorts
	index     int

	// Under the lock of ports.
	state pairState
	uses  int
	// ended is when its last call did, queued when it began to drain, or began anew because somebody still sent.
	ended, queued time.Time

	_ [13]uint64 // up to an odd number of lines, so that those of many pairs do not compete for a place in the caches
}

type pairState uint8

const (
	pairBinding pairState = iota
	pairUsed
	pairDraining
	pairIdle
	pairClosing
	pairStates
)

// holder says whose a socket is.
type holder struct {
	rtcp bool
	leg  atomic.Pointer[leg] // nil while no call holds it
	// strayed is when the last datagram came that no call waited for, in nanoseconds since the relay's epoch.
	strayed atomic.Int64
}

// give hands the pair's datagrams to a leg, nil for none.
func (p *pair) give(lg *leg) {
	p.rtp.leg.Store(lg)
	p.rtcp.leg.Store(lg)
}

// quietSince reports whether nobody sent to the pair since then while no call used it.
func (p *pair) quietSince(then time.Duration) bool {
	return p.rtp.strayed.Load() <= int64(then) && p.rtcp.strayed.Load() <= int64(then)
}

// ports hands out pairs. Those of ended calls stay bound: opening and closing four sockets was most of what the media
// of a call cost. A pair is given to the next call only when no call has used it for the drain time, nobody has sent
// to it for as long, and nothing is known to wait in its sockets.
type ports struct {
	cfg   *Config
	rand  io.Reader
	relay *relay
	floor int // idle pairs of a loop that are left for choice
	most  int // pairs bound at once, on all addresses
	// lo and hi are the configuration's, for the loops.
	lo, hi uint16

	reused, hurried, strayed atomic.Uint64

	mu     sync.Mutex
	on     []*addrPorts
	count  [pairStates]int
	sweep  clock.Timer // set while pairs drain
	closed bool
}

// addrPorts are the pairs of one address. Its slices are guarded by the lock of ports.
type addrPorts struct {
	ip       netip.Addr
	told     netip.Addr        // what descriptions have instead of ip
	pairs    []*pair           // by place in the range, nil where nothing is bound
	idle     map[*loop][]*pair // in no order
	draining []*pair           // the longest first
}

func newPorts(cfg *Config, random io.Reader, r *relay) *ports {
	p := &ports{cfg: cfg, rand: random, relay: r, lo: cfg.PortLo, hi: cfg.PortHi}
	for _, ip := range cfg.IPs {
		p.on = append(p.on, &addrPorts{ip: ip, told: advertised(cfg.Advertise, ip), pairs: make([]*pair, p.pairs()), idle: map[*loop][]*pair{}})
	}
	p.most = p.pairs() * len(cfg.IPs)
	if cfg.MaxPorts > 0 {
		p.most = min(p.most, max(1, cfg.MaxPorts/2)) // a pair is two files
	}
	// A small range shared by many loops must not be spent on choice.
	p.floor = min(choice, max(1, min(p.pairs(), p.most)/(8*r.size())))
	return p
}

// first and pairs describe the range: the first even port and the number of pairs.
func (p *ports) first() int { return (int(p.cfg.PortLo) + 1) &^ 1 }
func (p *ports) pairs() int { return (int(p.cfg.PortHi) + 1 - p.first()) / 2 }

// maxAtOnce is how many pairs are acquired at once: those of both legs of a call.
const maxAtOnce = 2

// acquire fills out with pairs of l on an address of like's family, or of any when like is invalid. All of them are had or
// none.
func (p *ports) acquire(like netip.Addr, l *loop, out []*pair) error {
	had := 0
	var failed error
	for _, a := range p.on {
		if like.IsValid() && like.Unmap().Is4() != a.ip.Is4() {
			continue
		}
		n, err := p.acquireOn(a, l, out[had:])
		if had += n; had == len(out) {
			return nil
		}
		failed = errors.Join(failed, err)
	}
	for i, pr := range out[:had] {
		p.release(pr)
		out[i] = nil
	}
	if failed != nil {
		return failed
	}
	return errNoPorts
}

// acquireOn returns how many it could have.
func (p *ports) acquireOn(a *addrPorts, l *loop, out []*pair) (had int, err error) {
	had, err = p.reuse(a, l, p.floor, out)
	for ; had < len(out) && err == nil; had++ {
		if out[had], err = p.acquireAnyhow(a, l); out[had] == nil {
			return had, err
		}
	}
	return had, err
}

// acquireAnyhow returns a pair where there is no idle one to spare.
func (p *ports) acquireAnyhow(a *addrPorts, l *loop) (*pair, error) {
	pr, err := p.bind(a, l)
	if pr != nil {
		return pr, nil
	}
	// Nothing new can be had. A pair that is there is better than a refused call.
	var one [1]*pair
	if n, again := p.reuse(a, l, 0, one[:]); n > 0 || again != nil {
		return one[0], again
	}
	if pr = p.hurry(a, l); pr != nil {
		return pr, nil
	}
	return nil, err
}

// bind opens a pair that is not bound yet. It returns none when all are bound, here or by another process, or as many as
// may be, and an error when no other one would do better, as when the process is out of file descriptors: trying thousands
// then would only add to the trouble.
func (p *ports) bind(a *addrPorts, l *loop) (*pair, error) {
	if p.full() {
		return nil, nil
	}
	var b [2 * (randomTries + 1)]byte
	if _, err := io.ReadFull(p.rand, b[:]); err != nil {
		return nil, fmt.Errorf("choose media ports: %w", err)
	}
	n := p.pairs()
	for i := range randomTries {
		if got, err := p.try(a, l, int(binary.BigEndian.Uint16(b[2*i:]))%n); got != nil || err != nil {
			return got, err
		}
	}
	from := int(binary.BigEndian.Uint16(b[2*randomTries:]))
	for i := range n {
		if got, err := p.try(a, l, (from+i)%n); got != nil || err != nil {
			return got, err
		}
	}
	return nil, nil
}

// full reports whether as many pairs are bound as may be.
func (p *ports) full() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bound() >= p.most
}

// bound is the number of pairs that are bound or about to be. It is called with the lock held.
func (p *ports) bound() (n int) {
	for _, c := range p.count {
		n += c
	}
	return n
}

// try binds the i-th pair of a.
func (p *ports) try(a *addrPorts, l *loop, i int) (*pair, error) {
	pr := &pair{on: a, index: i, loop: l}
	pr.rtcp.rtcp = true
	pr.rtp.strayed.Store(math.MinInt64)
	pr.rtcp.strayed.Store(math.MinInt64)
	p.mu.Lock()
	refuse := a.pairs[i] != nil || p.closed || p.bound() >= p.most
	if !refuse {
		a.pairs[i] = pr
		p.count[pairBinding]++
	}
	p.mu.Unlock()
	if refuse {
		return nil, nil
	}
	port := uint16(p.first() + 2*i)
	if err := p.relay.bind(&pr.rtp, netip.AddrPortFrom(a.ip, port)); err != nil {
		p.forget(pr)
		return nil, onlyTaken(err)
	}
	if err := p.relay.bind(&pr.rtcp, netip.AddrPortFrom(a.ip, port+1)); err != nil {
		p.relay.unbind(&pr.rtp)
		p.forget(pr)
		return nil, onlyTaken(err)
	}
	p.mu.Lock()
	p.turn(pr, pairUsed)
	p.mu.Unlock()
	p.relay.add(pr, l)
	return pr, nil
}

// onlyTaken drops the errors that concern one port.
func onlyTaken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		return nil
	}
	return err
}

// turn changes the state of a pair. It is called with the lock held.
func (p *ports) turn(pr *pair, s pairState) {
	p.count[pr.state]--
	p.count[s]++
	pr.state = s
}

// forget takes a pair that is not bound any more out of the books.
func (p *ports) forget(pr *pair) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[pr.state]--
	pr.on.pairs[pr.index] = nil
}

// release takes a pair back from a leg. What still arrives for the leg is dropped from now on.
func (p *ports) release(pr *pair) {
	pr.give(nil)
	p.mu.Lock()
	defer p.mu.Unlock()
	pr.uses++
	pr.ended = p.cfg.Clock.Now()
	p.drain(pr, pr.ended)
}

// drain puts a pair behind those that wait. It is called with the lock held.
func (p *ports) drain(pr *pair, now time.Time) {
	p.turn(pr, pairDraining)
	pr.queued = now
	pr.on.draining = append(pr.on.draining, pr)
	if p.sweep == nil && !p.closed {
		p.sweep = p.cfg.Clock.AfterFunc(p.cfg.DrainTime, p.sweepDrained)
	}
}

// close ends all draining. The relay closes the sockets.
func (p *ports) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	if p.sweep != nil {
		p.sweep.Stop()
	}
}

// addTo counts ports, not pairs.
func (p *ports) addTo(s *Stats) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		s.PortsInUse = 2 * (p.count[pairUsed] + p.count[pairBinding])
		s.PortsDraining = 2 * (p.count[pairDraining] + p.count[pairClosing])
		s.PortsIdle = 2 * p.count[pairIdle]
	}
	s.PortsTotal = 2 * p.most
	s.PortsReused, s.PortsHurried, s.PortsStrayed = p.reused.Load(), p.hurried.Load(), p.strayed.Load()
}

// owns reports whether addr is a media port that this node holds: two legs described at each other's ports would pass a
// packet round for ever. Ports are bound before anything is described, so the later of the two descriptions always
// meets a port that is held.
func (p *ports) owns(addr netip.AddrPort) bool {
	i := (int(addr.Port()) - p.first()) >> 1
	if i < 0 || i >= p.pairs() {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range p.on {
		if a.reachedBy(addr.Addr()) && a.pairs[i] != nil {
			return true
		}
	}
	return false
}

// mine reports whether addr may be a media port of this node, held or not. It takes no lock: a loop asks.
func (p *ports) mine(addr netip.AddrPort) bool {
	if addr.Port() < p.lo || addr.Port() > p.hi {
		return false
	}
	for _, a := range p.on {
		if a.reachedBy(addr.Addr()) {
			return true
		}
	}
	return false
}

// reachedBy reports whether what is sent to ip may come to the ports of a.
func (a *addrPorts) reachedBy(ip netip.Addr) bool {
	return ip == a.ip || ip == a.told || a.ip.IsUnspecified() && ip.IsLoopback()
}

// advertised returns the address to write into descriptions for one that ports are bound to.
func advertised(list []netip.Addr, ip netip.Addr) netip.Addr {
	for _, a := range list {
		if a.Unmap().Is4() == ip.Unmap().Is4() {
			return a.Unmap()
		}
	}
	if ip.IsUnspecified() {
		return netip.Addr{}
	}
	return ip
}
