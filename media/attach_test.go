package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/rtp"
	"carillon/srtp"
)

// recorder is attached to calls and keeps all it is told.
type recorder struct {
	mu      sync.Mutex
	id      call.ID
	session *Session
	ways    []Way
	heard   [2][][]byte // by side
	from    [2]netip.AddrPort
	late    int // packets handed to an earlier tap, or after Close
	current [2]*recording
	closed  int
	onClose func(*Session)
}

// recording is the Tap of one Path.
type recording struct {
	of   *recorder
	side call.Side
}

func (r *recorder) attach(id call.ID, s *Session) Attachment {
	r.id, r.session = id, s
	return r
}

// Path is part of Attachment.
func (r *recorder) Path(w Way) Tap {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ways = append(r.ways, w)
	r.current[w.From] = &recording{r, w.From}
	return r.current[w.From]
}

// Close is part of Attachment.
func (r *recorder) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed++
	if r.onClose != nil {
		r.onClose(r.session)
	}
}

// Packet is part of Tap.
func (c *recording) Packet(b []byte, from netip.AddrPort, _ time.Time) {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.of.current[c.side] != c || c.of.closed > 0 {
		c.of.late++
	}
	c.of.heard[c.side] = append(c.of.heard[c.side], bytes.Clone(b))
	c.of.from[c.side] = from
}

// last returns the last ways of both sides.
func (r *recorder) last() (customer, carrier Way) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.ways {
		if w.From == call.Customer {
			customer = w
		} else {
			carrier = w
		}
	}
	return customer, carrier
}

// A tap hears each packet of its side once, as the side said it and in the clear, through re-offers, and nothing that was forged,
// replayed or one too many.
func TestTapsHearBothSides(t *testing.T) {
	var r recorder
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Attach, c.Clock, c.PacketRate = r.attach, clock, 20 })
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	var said [2][][]byte
	say := func(from, to *phone, side call.Side, payload byte) {
		t.Helper()
		packet := from.packet(fmt.Sprint("speech ", len(said[side])))
		packet[1] = payload
		said[side] = append(said[side], packet)
		sent := from.protect(bytes.Clone(packet))
		from.write(from.rtp, sent, from.far)
		to.hearPacket()
		// Again: of the protected leg it is a replay. The other leg's is heard, and not protected a second time.
		from.write(from.rtp, sent, from.far)
		to.hearNothing()
		if !from.secure {
			said[side] = append(said[side], packet)
		}
	}
	for i := range 3 {
		a.version, b.version = i+2, i+2
		offered, refusal := s.Offer(call.Customer, a.offer(gcm), plainLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		answered, refusal := s.Answer(call.Carrier, speaks(b.answer(offered, ""), "8 101", "rtpmap:8 PCMA/8000"))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		a.learn(answered)
		s.Confirm(call.Customer)
		for range 3 {
			say(a, b, call.Customer, 0) // which is converted behind the tap
			say(b, a, call.Carrier, 8)
			say(a, b, call.Customer, 101)
		}
		clock.Advance(time.Second)
	}
	stranger := newPhone(t, 1)
	stranger.write(stranger.rtp, stranger.packet("forged"), a.far)
	stranger.write(stranger.rtp, stranger.packet("from elsewhere"), b.far)
	for range 30 { // of which 20 are relayed
		a.send("too many")
	}
	until(t, "all are received", func() bool { return p.Stats().Received >= uint64(len(said[0])*2+len(said[1])+32) })
	s.Close()
	a.send("after the end")
	until(t, "it is received", func() bool { return p.Stats().Unready == 1 })
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.id != "test" || r.session != s || r.closed != 1 || r.late != 0 || len(r.ways) != 6 {
		t.Errorf("call %q, closed %d times, %d packets late, %d ways; want one each but six ways", r.id, r.closed, r.late, len(r.ways))
	}
	if n := len(r.heard[call.Customer]) - len(said[call.Customer]); n != 20 {
		t.Errorf("%d of too many were heard; want 20", n)
	}
	if got := r.heard[call.Customer][:len(said[call.Customer])]; !slices.EqualFunc(got, said[call.Customer], bytes.Equal) {
		t.Errorf("heard of the customer\n%x; want\n%x", got, said[call.Customer])
	}
	if got := r.heard[call.Carrier]; !slices.EqualFunc(got, said[call.Carrier], bytes.Equal) {
		t.Errorf("heard of the carrier\n%x; want\n%x", got, said[call.Carrier])
	}
	for side, phone := range []*phone{a, b} {
		if got := r.from[side]; int(got.Port()) != port(phone.rtp) {
			t.Errorf("side %d was heard from %v; want port %d", side, got, port(phone.rtp))
		}
	}
}

// What a fast path must know is told before it matters, and whether it may take packets over.
func TestWays(t *testing.T) {
	for name, tt := range map[string]struct {
		suite    string
		legs     [2]call.Leg
		change   func(a, b *phone)
		verbatim bool
		back     bool // differs
		check    func(t *testing.T, w Way, a, b *phone)
	}{
		"plain": {verbatim: true},
		"on one port": {change: func(a, b *phone) { a.mux, b.mux = true, true }, verbatim: true, check: func(t *testing.T, w Way, _, _ *phone) {
			if !w.Mux {
				t.Error("RTCP comes to the port, too")
			}
		}},
		"protected": {suite: gcm, legs: [2]call.Leg{secureLeg, plainLeg}, check: func(t *testing.T, w Way, _, _ *phone) {
			if !w.Sealed {
				t.Error("a copy may lie open")
			}
		}},
		"converted": {change: func(_, b *phone) { b.formats = "8" }},
		"on hold":   {change: func(_, b *phone) { b.connAddr = "0.0.0.0" }, back: true},
		"behind NAT": {legs: [2]call.Leg{plainLeg, {SRTP: call.SRTPOff, Signalling: netip.MustParseAddr("127.0.0.9")}}, verbatim: true,
			change: func(_, b *phone) { b.connAddr = "10.0.0.1" }, check: func(t *testing.T, w Way, _, _ *phone) {
				if w.To.IsValid() || !w.Remote.IsValid() {
					t.Errorf("from %v to %v; want from a known address to one that is not", w.Remote, w.To)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			var r recorder
			p := newPlane(t, func(c *Config) { c.Attach = r.attach })
			if !tt.legs[0].Signalling.IsValid() {
				tt.legs = [2]call.Leg{plainLeg, plainLeg}
			}
			s := open(t, p, call.Customer, tt.legs[0])
			a, b := newPhone(t, 1), newPhone(t, 2)
			if tt.change != nil {
				tt.change(a, b)
			}
			offered, refusal := s.Offer(call.Customer, a.offer(tt.suite), tt.legs[1])
			if refusal != nil {
				t.Fatal(*refusal)
			}
			if len(r.ways) != 0 {
				t.Errorf("ways before an answer: %+v", r.ways)
			}
			if _, refusal = s.Answer(call.Carrier, b.answer(offered, "")); refusal != nil {
				t.Fatal(*refusal)
			}
			there, back := r.last()
			if there.Verbatim != tt.verbatim || back.Verbatim != (tt.verbatim != tt.back) {
				t.Errorf("verbatim %v and %v; want %v", there.Verbatim, back.Verbatim, tt.verbatim)
			}
			if there.Local != s.legs[0].pair.rtp.local || there.Out != s.legs[1].pair.rtp.local || back.Local != there.Out || back.Out != there.Local {
				t.Errorf("ports %+v and %+v", there, back)
			}
			if int(there.Remote.Port()) != port(a.rtp) || back.To != there.Remote || back.Remote != there.To || there.Rate != DefaultPacketRate {
				t.Errorf("peers %+v and %+v", there, back)
			}
			if !strings.Contains(fmt.Sprint(there.Formats), "{0 PCMU/8000}") {
				t.Errorf("formats %v", there.Formats)
			}
			if tt.check != nil {
				tt.check(t, there, a, b)
			}
		})
	}
}

// A way that is held until the peer is proven to be there opens with the proof.
func TestWayOpensWithTheProof(t *testing.T) {
	var r recorder
	held := plainLeg
	held.HoldUntilConfirmed, held.Signalling = true, netip.MustParseAddr("192.0.2.7")
	p := newPlane(t, func(c *Config) { c.Attach = r.attach })
	s := open(t, p, call.Customer, held)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	if there, back := r.last(); !there.Verbatim || back.Verbatim {
		t.Error("packets to the caller may be taken over before it is proven to be there, or those from it may not")
	}
	s.Confirm(call.Customer)
	if there, back := r.last(); !there.Verbatim || !back.Verbatim || len(r.ways) != 4 {
		t.Errorf("%+v and %+v after %d ways", there, back, len(r.ways))
	}
	talk(a, b)
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.heard[0]) != 1 || len(r.heard[1]) != 1 || r.late != 0 {
		t.Errorf("heard %d and %d, %d late", len(r.heard[0]), len(r.heard[1]), r.late)
	}
}

// What was relayed elsewhere is in the account of the call and keeps it from being ended as silent.
func TestRelayedElsewhere(t *testing.T) {
	var r recorder
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Attach, c.Clock, c.SilenceTimeout = r.attach, clock, 10*time.Second })
	silent := make(chan call.Side, 2)
	s, refusal := p.Open(call.Open{ID: "test", Leg: plainLeg, OnSilence: func(side call.Side, _ bool) { silent <- side }})
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a, b := newPhone(t, 7), newPhone(t, 8)
	dial(s, a, b, suites{"", ""}, plainLeg)
	s.Confirm(call.Customer)
	talk(a, b)
	r.onClose = func(s *Session) { s.Relayed(call.Customer, 5, 5*172, clock.Now()) }
	until(t, "both packets are counted", func() bool { return p.Stats().Sent == 2 })
	before := p.Stats()
	for range 30 {
		clock.Advance(time.Second)
		s.Relayed(call.Customer, 50, 50*172, clock.Now().Add(-10*time.Millisecond))
		s.Relayed(call.Carrier, 40, 40*172, clock.Now().Add(-10*time.Millisecond))
	}
	if after := p.Stats(); after.Received-before.Received != 30*90 || after.Sent-before.Sent != 30*90 {
		t.Errorf("the node received %d and sent %d; want 2700", after.Received-before.Received, after.Sent-before.Sent)
	}
	select {
	case side := <-silent:
		t.Errorf("side %d was taken for silent", side)
	default:
	}
	s.Relayed(call.Carrier, 0, 0, clock.Now())
	s.Relayed(9, 1, 1, clock.Now())
	report := s.Close()
	customer, carrier := report.Legs[call.Customer], report.Legs[call.Carrier]
	if customer.PacketsReceived != 1506 || customer.BytesReceived < 1505*172 || carrier.PacketsSent != 1506 || customer.PacketsSent != 1201 || carrier.PlainSent != 1506 {
		t.Errorf("customer %+v\ncarrier %+v", customer, carrier)
	}
	for i, x := range report.Samples[call.Carrier].Received[1:29] {
		if x.Packets != 40 || x.Seconds != 1 {
			t.Errorf("second %d: %+v", i, x)
		}
	}
	if customer.OneWaySeconds != 0 || carrier.OneWaySeconds != 0 {
		t.Error("a side was taken for silent for seconds")
	}
	// Those that come to their end elsewhere are told of, and then nobody is there.
	if s, refusal = p.Open(call.Open{ID: "next", Leg: plainLeg, OnSilence: func(side call.Side, _ bool) { silent <- side }}); refusal != nil {
		t.Fatal(*refusal)
	}
	dial(s, a, b, suites{"", ""}, plainLeg)
	clock.Advance(time.Second)
	s.Relayed(call.Customer, 50, 50*172, clock.Now())
	clock.Advance(9500 * time.Millisecond)
	if side := <-silent; side != call.Carrier {
		t.Errorf("side %d is silent; want the one that was not relayed", side)
	}
}

// Without an attachment a path has no detour, and with one a packet costs no memory.
func TestAttachmentCostsNoMemory(t *testing.T) {
	if p := newInProcess(t, 0, 0).from.path.Load(); p.detour != nil {
		t.Error("a path without anything attached has a detour")
	}
	for _, suite := range []srtp.Suite{0, srtp.AEAD_AES_128_GCM} {
		x := newInProcess(t, suite, suite)
		next, tap := *x.from.path.Load(), &counting{}
		next.detour = newDetour(tap, &conversion{0, 0, 8, rtp.MuToA()})
		x.from.path.Store(&next)
		if n := testing.AllocsPerRun(500, func() { x.from.receive(x.w, &x.from.pair.rtp, x.next(t), x.src) }); n != 0 || tap.packets != 501 {
			t.Errorf("%v allocations a packet, %d packets; want 0 and 501", n, tap.packets)
		}
	}
}

type counting struct{ packets int }

// Packet is part of Tap.
func (c *counting) Packet([]byte, netip.AddrPort, time.Time) { c.packets++ }
