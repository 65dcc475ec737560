package media

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"sync"
	"syscall"

	"carillon/clock"
)

// errNoPorts: no pair is free on any address of the family.
var errNoPorts = errors.New("no media ports are free")

// randomTries is how many random pairs are tried before the range is searched from a random place: with
// most of the range free, the choice cannot be foreseen.
const randomTries = 16

// pair is the RTP and RTCP port of one leg.
type pair struct {
	rtp, rtcp socket
	key       portKey
}

type portKey struct {
	ip   netip.Addr
	port uint16 // of RTP
}

// ports hands out pairs and keeps those of ended calls bound for a while.
type ports struct {
	cfg   *Config
	rand  io.Reader
	relay *relay

	mu       sync.Mutex
	used     map[portKey]bool // true while draining
	draining map[*pair]clock.Timer
	closed   bool
}

func newPorts(cfg *Config, random io.Reader, r *relay) *ports {
	return &ports{cfg: cfg, rand: random, relay: r, used: map[portKey]bool{}, draining: map[*pair]clock.Timer{}}
}

// first and pairs describe the range: the first even port and the number of pairs.
func (p *ports) first() int { return (int(p.cfg.PortLo) + 1) &^ 1 }
func (p *ports) pairs() int { return (int(p.cfg.PortHi) + 1 - p.first()) / 2 }

// acquire binds a pair on an address of like's family, or of any when like is invalid.
func (p *ports) acquire(like netip.Addr) (*pair, error) {
	for _, ip := range p.cfg.IPs {
		if like.IsValid() && like.Unmap().Is4() != ip.Is4() {
			continue
		}
		var b [2 * (randomTries + 1)]byte
		if _, err := io.ReadFull(p.rand, b[:]); err != nil {
			return nil, fmt.Errorf("choose media ports: %w", err)
		}
		n := p.pairs()
		for i := range randomTries {
			if got, err := p.try(ip, int(binary.BigEndian.Uint16(b[2*i:]))%n); got != nil || err != nil {
				return got, err
			}
		}
		from := int(binary.BigEndian.Uint16(b[2*randomTries:]))
		for i := range n {
			if got, err := p.try(ip, (from+i)%n); got != nil || err != nil {
				return got, err
			}
		}
	}
	return nil, errNoPorts
}

// try binds the i-th pair of ip. It returns no pair when that one is taken, here or by another process, and an
// error when no other one would do better, as when the process is out of file descriptors: trying thousands
// then would only add to the trouble.
func (p *ports) try(ip netip.Addr, i int) (*pair, error) {
	key := portKey{ip, uint16(p.first() + 2*i)}
	p.mu.Lock()
	_, taken := p.used[key]
	if !taken && !p.closed {
		p.used[key] = false
	}
	refuse := taken || p.closed
	p.mu.Unlock()
	if refuse {
		return nil, nil
	}
	got := &pair{key: key}
	if err := p.relay.bind(&got.rtp, netip.AddrPortFrom(ip, key.port)); err != nil {
		p.free(key)
		return nil, onlyTaken(err)
	}
	if err := p.relay.bind(&got.rtcp, netip.AddrPortFrom(ip, key.port+1)); err != nil {
		p.relay.unbind(&got.rtp)
		p.free(key)
		return nil, onlyTaken(err)
	}
	got.rtcp.rtcp = true
	return got, nil
}

// onlyTaken drops the errors that concern one port.
func onlyTaken(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) {
		return nil
	}
	return err
}

func (p *ports) free(key portKey) {
	p.mu.Lock()
	delete(p.used, key)
	p.mu.Unlock()
}

// release keeps the pair bound for the drain time and closes it then.
func (p *ports) release(pr *pair) {
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.used[pr.key] = true
		p.draining[pr] = p.cfg.Clock.AfterFunc(p.cfg.DrainTime, func() { p.drop(pr) })
	}
	p.mu.Unlock()
	if closed {
		p.finish(pr)
	}
}

func (p *ports) drop(pr *pair) {
	p.mu.Lock()
	_, mine := p.draining[pr]
	delete(p.draining, pr)
	p.mu.Unlock()
	if mine {
		p.finish(pr)
	}
}

// finish has the loop close the sockets: only the loop knows that it is not using them.
func (p *ports) finish(pr *pair) {
	p.relay.remove(pr, func() { p.free(pr.key) })
}

// close ends all draining at once. Pairs released later are closed at once too.
func (p *ports) close() {
	p.mu.Lock()
	p.closed = true
	rest := make([]*pair, 0, len(p.draining))
	for pr, timer := range p.draining {
		timer.Stop()
		rest = append(rest, pr)
	}
	clear(p.draining)
	p.mu.Unlock()
	for _, pr := range rest {
		p.finish(pr)
	}
}

func (p *ports) count() (inUse, draining, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, d := range p.used {
		if d {
			draining += 2
		} else {
			inUse += 2
		}
	}
	return inUse, draining, 2 * p.pairs() * len(p.cfg.IPs)
}

// owns reports whether addr is a media port of this node that is in use: two legs described at each other's
// ports would pass a packet round for ever. Ports are bound before anything is described, so the later of the
// two descriptions always meets a port in use.
func (p *ports) owns(addr netip.AddrPort) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ip := range p.cfg.IPs {
		here := addr.Addr() == ip || addr.Addr() == advertised(p.cfg.Advertise, ip) ||
			ip.IsUnspecified() && addr.Addr().IsLoopback()
		if _, used := p.used[portKey{ip, addr.Port() &^ 1}]; used && here {
			return true
		}
	}
	return false
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
