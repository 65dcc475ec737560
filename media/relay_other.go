//go:build !linux

package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"carillon/clock"
	"carillon/srtp"
)

// socket is one bound media port.
type socket struct {
	conn  *net.UDPConn
	local netip.AddrPort
	holder
}

// relay reads each socket in a goroutine of its own: slower than the loops for Linux, but it runs everywhere.
type relay struct {
	all   loop
	clock clock.Clock
	epoch time.Time // as for Linux
	dscp  int       // not set here

	mu      sync.Mutex
	pairs   map[*pair]struct{}
	readers sync.WaitGroup
}

// loop holds what the readers share; sessions are not spread over loops here.
type loop struct{ counters }

// within runs f while no reader is at a packet of the session.
func (*loop) within(s *Session, f func()) {
	s.guard.Lock()
	defer s.guard.Unlock()
	f()
}

// settle waits until no reader is at a packet of the session.
func (*loop) settle(s *Session) {
	s.guard.Lock()
	defer s.guard.Unlock()
}

func startRelay(_ int, c clock.Clock, _ *slog.Logger) (*relay, error) {
	return &relay{clock: c, epoch: c.Now(), pairs: map[*pair]struct{}{}}, nil
}

func (r *relay) bind(s *socket, addr netip.AddrPort) error {
	network := "udp6"
	if addr.Addr().Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return fmt.Errorf("bind media socket to %s: %w", addr, err)
	}
	s.conn, s.local = conn, addr
	return nil
}

// attach refuses: only Linux has AF_XDP.
func (r *relay) attach(*Config) error { return errors.New("media pass the kernel by on Linux only") }

func (r *relay) unbind(s *socket) { _ = s.conn.Close() }

func (r *relay) pick(uint32) *loop { return &r.all }

// second tells in which second of the relay a moment lies.
func (r *relay) second(now time.Time) int64 { return secondOf(now.Sub(r.epoch)) }

func (r *relay) size() int { return 1 }

// move has nothing to do: there is one loop.
func (r *relay) move(*pair, *loop) {}

// empty reports that nothing waits: the readers never stop.
func (r *relay) empty(*pair) bool { return true }

// nothing reports the same of several.
func (r *relay) nothing([]*pair) bool { return true }

func (r *relay) add(p *pair, _ *loop) {
	r.mu.Lock()
	r.pairs[p] = struct{}{}
	r.mu.Unlock()
	for _, s := range []*socket{&p.rtp, &p.rtcp} {
		r.readers.Go(func() { r.read(s) })
	}
}

func (r *relay) remove(p *pair, then func()) {
	r.mu.Lock()
	delete(r.pairs, p)
	r.mu.Unlock()
	_, _ = p.rtp.conn.Close(), p.rtcp.conn.Close()
	then()
}

func (r *relay) close() error {
	r.mu.Lock()
	var err error
	for p := range r.pairs {
		err = errors.Join(err, p.rtp.conn.Close(), p.rtcp.conn.Close())
	}
	clear(r.pairs)
	r.mu.Unlock()
	r.readers.Wait()
	return err
}

func (r *relay) addTo(s *Stats) { r.all.counters.addTo(s) }

// read delivers the socket's datagrams until it is closed. The session's guard stands for the single thread
// that the packet path counts on.
func (r *relay) read(s *socket) {
	w := &worker{stats: &r.all.counters, send: sendTo, epoch: r.epoch, scratch: srtp.NewScratch()}
	for {
		n, src, err := s.conn.ReadFromUDPAddrPort(w.buf[:MaxPacket+1])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue
		}
		w.tick(r.clock.Now())
		if n > MaxPacket {
			w.oversize(s)
			continue
		}
		src = netip.AddrPortFrom(src.Addr().Unmap(), src.Port())
		lg := s.leg.Load()
		if lg == nil {
			w.stray(s)
			continue
		}
		lg.session.guard.Lock()
		lg.receive(w, s, w.buf[:n], src)
		lg.session.guard.Unlock()
	}
}

func sendTo(s *socket, b []byte, to netip.AddrPort) bool {
	_, err := s.conn.WriteToUDPAddrPort(b, to)
	return err == nil
}
