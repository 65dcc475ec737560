package media

import (
	"net/netip"
	"time"

	"carillon/call"
	"carillon/rtp"
)

// Attachment is what else is done with the media of one call. It is the one seam for whatever copies packets, as a recording
// or a stream does, and for whatever takes them over, as a fast path of the kernel's may: the relay loop knows of none of
// them, and a call without one costs what it did before.
type Attachment interface {
	// Path says how packets of a side go from now on. It is called by signalling with all that is agreed or confirmed in a
	// call, for each side, and before that has an effect; it must neither block nor call the Session. What it returns is
	// handed those packets that pass the relay loop, and the one before no more from then on: none is missed between them
	// and none comes to both. nil is handed none. Whatever took packets over by an earlier Path lets go of them before it
	// returns.
	Path(w Way) Tap
	// Close says that the call is over: no Tap is called any more. Packets relayed elsewhere can still be counted.
	Close()
}

// Tap is handed packets of one side of a call.
type Tap interface {
	// Packet takes an RTP packet that is authentic and not one too many, in the clear and as the side sent it, with where it
	// came from and when. It is called by the relay loop and holds up all of its calls: it must not block, allocate,
	// change b or keep it.
	Packet(b []byte, from netip.AddrPort, at time.Time)
}

// Way is how RTP packets go from one side of a call to the other.
type Way struct {
	// From is the side that sends.
	From call.Side
	// Local is the port of ours that it sends to and Remote where it said that it is; not valid where that says nothing, as
	// behind NAT, and only its packets tell.
	Local, Remote netip.AddrPort
	// Out is the port of ours that its packets leave from, and To where the other side is, as Remote.
	Out, To netip.AddrPort
	// Mux is true where RTCP comes to Local, too (RFC 5761). It is the loop's, as are the checks of ICE.
	Mux bool
	// Verbatim is true while packets are passed on as they are: in the clear on both sides, not converted, the other side not
	// on hold and proven to be there. They may be taken over then, at most Rate in a second.
	Verbatim bool
	Rate     int
	// Sealed is true where a side must be encrypted: no copy of its packets may lie open.
	Sealed bool
	// Formats is what the payload types of the side mean; none for a fax.
	Formats []call.MediaFormat
}

// detour is what else happens to the packets of a path before they are passed on. A path without has none.
type detour struct {
	tap     Tap
	convert *conversion
}

// newDetour returns nil where nothing happens.
func newDetour(t Tap, c *conversion) *detour {
	if t == nil && c == nil {
		return nil
	}
	return &detour{t, c}
}

// take hands on a packet in the clear.
func (d *detour) take(w *worker, b []byte, h rtp.Header, src netip.AddrPort) error {
	if d.tap != nil {
		d.tap.Packet(b[:len(b):len(b)], src, w.now)
	}
	if c := d.convert; c != nil && c.takes(h.PayloadType) {
		return c.apply(b, h)
	}
	return nil
}

// leavesAs returns the payload type that a packet is passed on with.
func (d *detour) leavesAs(payload uint8) uint8 {
	if d != nil && d.convert != nil && d.convert.takes(payload) {
		return d.convert.to
	}
	return payload
}

// attach tells what is attached how packets of both legs will go.
func (s *Session) attach(a *leg, x *applied, b *leg, y *applied) {
	if s.attachment != nil {
		x.tap = s.attachment.Path(wayOf(a, x, b, y))
		y.tap = s.attachment.Path(wayOf(b, y, a, x))
	}
}

// detach tells what is attached that the call is over.
func (s *Session) detach() {
	if s.attachment != nil {
		s.attachment.Close()
	}
}

// attachAgain is attach for what is in use already.
func (s *Session) attachAgain() {
	a, b := s.legs[call.Customer], s.legs[call.Carrier]
	if s.attachment == nil || a.now == nil || b.now == nil {
		return
	}
	s.attach(a, a.now, b, b.now)
	for _, lg := range s.legs {
		if p := lg.path.Load(); p != nil {
			next := *p
			next.detour = newDetour(lg.now.tap, lg.now.convert)
			lg.path.Store(&next)
		}
	}
}

func wayOf(from *leg, x *applied, to *leg, y *applied) Way {
	w := Way{
		From: from.side, Local: from.pair.rtp.local, Out: to.pair.rtp.local, Mux: x.mux, Rate: int(x.rate),
		Sealed: from.policy.SRTP == call.SRTPRequire || to.policy.SRTP == call.SRTPRequire,
	}
	w.Remote, w.To = x.known(), y.known()
	w.Verbatim = x.line == nil && y.line == nil && !x.profile.Fax && x.convert == nil && x.ice == nil && y.ice == nil &&
		!to.mutes(y)
	if !x.profile.Fax {
		w.Formats = learn(nil, x.formats)
	}
	return w
}

// known returns the address that a side described, where that is the one it has.
func (a *applied) known() netip.AddrPort {
	if !a.sendable || a.hold || a.ice != nil || a.alternate.IsValid() || a.addr.Port() == 0 {
		return netip.AddrPort{}
	}
	return a.addr
}

// Relayed counts packets of a side that were relayed in the loop's stead since it was last called, their octets with RTP's
// headers, and when the last one came. Whoever takes packets over calls it about once a second: the call's account,
// and that its sides are still there, is known from nothing else.
func (s *Session) Relayed(from call.Side, packets, octets uint64, last time.Time) {
	if from > call.Carrier || packets == 0 {
		return
	}
	lg, r := s.legs[from], s.plane.relay
	since := last.Sub(r.epoch)
	lg.loop.within(s, func() {
		if second := secondOf(since); lg.in.span != 0 && lg.far.out.span != 0 {
			lg.enter(second, lg.far.path.Load())
		}
		lg.arrived = max(lg.arrived, since)
		c, f := &lg.count, &lg.far.count
		c.received.Add(packets)
		c.bytesReceived.Add(octets)
		c.lastHeard.Store(max(c.lastHeard.Load(), int64(since)))
		f.sent.Add(packets)
		f.bytesSent.Add(octets)
		f.plainSent.Add(packets)
	})
	s.plane.stats.received.Add(packets)
	s.plane.stats.sent.Add(packets)
}
