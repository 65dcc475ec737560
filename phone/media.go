package phone

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"carillon/clock"
	"carillon/rtp"
	"carillon/srtp"
)

const (
	frameTime = 20 * time.Millisecond
	// reportFrames is the time between reports, in frames: the 5 s of RFC 3550 section 6.2.
	reportFrames = 250
	// maxBehind is how far sending may fall behind before it skips: catching up by a burst would overrun the far end.
	maxBehind = 200 * time.Millisecond
	// heardSamples is how much of what was heard last is kept for ToneShare: a second.
	heardSamples = SampleRate
	// maxPacket is the largest datagram read.
	maxPacket = 2048
)

// media is the sound of one call: two sockets and, once descriptions were exchanged, three goroutines.
type media struct {
	log     *slog.Logger
	clock   clock.Clock
	sockets pair
	local   netip.AddrPort
	stop    chan struct{}
	wg      sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	running bool
	audio   Audio
	agreed  *agreement
	sender  *srtp.Sender
	unseal  *srtp.Receiver
	began   time.Time
	stats   Stats
	account rtp.Receiver
	report  reporter
	keys    keypad
	heard   []int16 // ring
	heardAt int

	header  rtp.Header // of the next packet
	samples []int16
	frame   [FrameSize]int16
}

// newMedia opens the sockets. Sequence number, time stamp and SSRC begin at random (RFC 3550 section 5.1).
func newMedia(p *Phone, addr netip.Addr) (*media, error) {
	var seed [10]byte
	if _, err := io.ReadFull(p.random, seed[:]); err != nil {
		return nil, fmt.Errorf("read randomness for media: %w", err)
	}
	sockets, err := openPair(addr)
	if err != nil {
		return nil, err
	}
	m := &media{log: p.log, clock: p.clock, sockets: sockets, local: sockets.addr(), stop: make(chan struct{})}
	m.header = rtp.Header{
		Marker: true, Sequence: uint16(seed[0])<<8 | uint16(seed[1]), Timestamp: be32(seed[2:]), SSRC: be32(seed[6:]),
		Size: rtp.HeaderSize,
	}
	m.stats.Local = m.local
	return m, nil
}

// play changes what is said and done with what is heard.
func (m *media) play(a Audio) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.audio = a
}

// agree puts an agreement into force, and begins sending and receiving with the first. Keys that did not change keep
// their state: a sender made anew would repeat its key stream.
func (m *media) agree(a *agreement) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return ErrClosed
	}
	old := m.agreed
	if !a.ours.IsZero() {
		if old == nil || !old.ours.Equal(a.ours) {
			sender, err := srtp.NewSender(a.ours)
			if err != nil {
				return fmt.Errorf("begin media: %w", err)
			}
			m.sender = sender
		}
		if old == nil || !old.theirs.Equal(a.theirs) || string(old.mki) != string(a.mki) {
			unseal, err := srtp.NewReceiver(a.theirs, a.mki)
			if err != nil {
				return fmt.Errorf("begin media: %w", err)
			}
			unseal.LiveFor(a.lifetime)
			m.unseal = unseal
		}
	}
	m.agreed = a
	m.stats.Profile, m.stats.Codec, m.stats.Remote = a.profile.String(), a.codec.String(), a.remote
	if !a.ours.IsZero() {
		m.stats.Suite = a.ours.Suite().String()
	}
	if !m.running {
		m.running, m.began = true, m.clock.Now()
		m.wg.Go(m.pace)
		m.wg.Go(m.readRTP)
		m.wg.Go(m.readRTCP)
	}
	return nil
}

// agreement returns what is in force, nil before the first.
func (m *media) agreement() *agreement {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.agreed
}

// shut stops everything without waiting for it.
func (m *media) shut() {
	m.mu.Lock()
	first := !m.closed
	m.closed = true
	m.mu.Unlock()
	if first {
		close(m.stop)
		m.sockets.close()
	}
}

// close stops everything and waits for it.
func (m *media) close() {
	m.shut()
	m.wg.Wait()
}

func (m *media) snapshot() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	s := m.stats
	s.Lost, s.Jitter, s.RoundTrip = m.account.Lost(), m.account.Jitter(), m.report.roundTrip
	return s
}

// recent returns a copy of what was heard last, at most a second.
func (m *media) recent() []int16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append(append([]int16(nil), m.heard[m.heardAt:]...), m.heard[:m.heardAt]...)
}

// pace sends a frame every 20 ms, and a report now and then.
func (m *media) pace() {
	tick := make(chan struct{}, 1)
	timer := m.clock.AfterFunc(0, func() {
		select {
		case tick <- struct{}{}:
		default:
		}
	})
	defer timer.Stop()
	next := m.clock.Now()
	var buf [maxPacket]byte
	for n := 1; ; n++ {
		select {
		case <-m.stop:
			return
		case <-tick:
		}
		m.sendFrame(buf[:0])
		if n%reportFrames == 0 {
			m.sendReport(buf[:0])
		}
		now := m.clock.Now()
		if next = next.Add(frameTime); now.Sub(next) > maxBehind {
			next = now.Add(frameTime) // one has just been sent
		}
		timer.Reset(max(0, next.Sub(now)))
	}
}

func (m *media) sendFrame(buf []byte) {
	m.mu.Lock()
	say := m.audio.Say
	m.mu.Unlock()
	if say == nil {
		clear(m.frame[:])
	} else {
		say(m.frame[:])
	}
	packet, to := m.packet(buf)
	if packet == nil {
		return
	}
	if _, err := m.sockets.rtp.WriteToUDPAddrPort(packet, to); err != nil && !m.isClosed() {
		m.log.Debug("send RTP", "error", err)
	}
}

// packet makes the next RTP packet, of sound or of a key that is pressed; nil when the agreement forbids to send. The time
// stamp goes on in any case.
func (m *media) packet(buf []byte) (packet []byte, to netip.AddrPort) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agreed
	h := m.header
	m.header.Timestamp += FrameSize
	if !a.sends {
		m.header.Marker = true
		return nil, a.remote
	}
	packet = buf[:rtp.HeaderSize]
	if a.events != 0 {
		if e, ok := m.keys.next(h.Timestamp); ok {
			m.header.Marker = true // the sound that follows begins anew
			// All packets of a key have its time stamp, and the first one the marker (RFC 4733 section 2.5.1.1).
			h.Marker, h.PayloadType, h.Timestamp = h.Timestamp == m.keys.began, a.events, m.keys.began
			h.Put(packet)
			return m.seal(e.Append(packet)), a.remote
		}
	}
	h.PayloadType = a.payload
	m.header.Marker = false
	h.Put(packet)
	return m.seal(a.codec.encode(packet, m.frame[:])), a.remote
}

// seal counts a packet and protects it where the call is; nil for one that cannot be protected. The caller holds the lock.
func (m *media) seal(packet []byte) []byte {
	m.header.Sequence++
	size := len(packet) - rtp.HeaderSize
	if m.sender != nil {
		var err error
		if packet, err = m.sender.Protect(packet[:0], packet); err != nil {
			m.log.Debug("protect RTP", "error", err)
			return nil
		}
	}
	m.stats.PacketsSent++
	m.stats.BytesSent += uint64(size)
	return packet
}

func (m *media) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

func (m *media) readRTP() {
	buf := make([]byte, maxPacket)
	for {
		n, from, err := m.sockets.rtp.ReadFromUDPAddrPort(buf)
		if err != nil {
			m.readFailed(err)
			return
		}
		if rtp.IsRTCP(buf[:n]) { // both on one port, without having asked (RFC 5761)
			m.receiveReport(buf[:n])
			continue
		}
		samples, hear := m.receive(buf[:n], from)
		if hear != nil && len(samples) > 0 {
			hear(samples)
		}
	}
}

func (m *media) readRTCP() {
	buf := make([]byte, maxPacket)
	for {
		n, _, err := m.sockets.rtcp.ReadFromUDPAddrPort(buf)
		if err != nil {
			m.readFailed(err)
			return
		}
		m.receiveReport(buf[:n])
	}
}

func (m *media) readFailed(err error) {
	if !m.isClosed() {
		m.log.Warn("read media", "error", err)
	}
}

// receive takes one RTP packet and returns its samples, which are valid until the next, and who wants them.
func (m *media) receive(packet []byte, from netip.AddrPort) ([]int16, func([]int16)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.agreed
	switch {
	case m.unseal != nil: // whoever has the key may send from anywhere
		var err error
		if packet, err = m.unseal.Unprotect(packet[:0], packet); err != nil {
			m.refused(err)
			return nil, nil
		}
	case netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != a.remote:
		m.stats.WrongSource++
		return nil, nil
	}
	h, err := rtp.Parse(packet)
	if err != nil || h.PayloadType != a.payload && (a.events == 0 || h.PayloadType != a.events) {
		m.stats.Rejected++
		return nil, nil
	}
	payload, err := h.Payload(packet)
	if err != nil {
		m.stats.Rejected++
		return nil, nil
	}
	now := m.clock.Now()
	if m.stats.PacketsReceived == 0 {
		m.stats.FirstPacket = now.Sub(m.began)
	}
	m.account.Add(h, now)
	m.stats.PacketsReceived++
	m.stats.BytesReceived += uint64(len(payload))
	if h.PayloadType == a.events && a.events != 0 {
		if key, fresh := m.keys.take(h, payload); fresh && m.audio.EchoKeys && len(m.keys.waiting) < maxKeys {
			m.keys.waiting = append(m.keys.waiting, key)
		}
		return nil, nil
	}
	m.samples = a.codec.decode(m.samples[:0], payload)
	m.keep(m.samples)
	return m.samples, m.audio.Hear
}

func (m *media) refused(err error) {
	switch {
	case errors.Is(err, srtp.ErrReplay):
		m.stats.Replays++
	case errors.Is(err, srtp.ErrAuth), errors.Is(err, srtp.ErrClear):
		m.stats.AuthFailures++
	default:
		m.stats.Rejected++
	}
}

// keep adds to the ring of what was heard last.
func (m *media) keep(samples []int16) {
	for _, s := range samples {
		if len(m.heard) < heardSamples {
			m.heard = append(m.heard, s)
			continue
		}
		m.heard[m.heardAt] = s
		m.heardAt = (m.heardAt + 1) % heardSamples
	}
}
