package media

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"carillon/call"
	"carillon/sdp"
)

// hearPacket waits for a packet and takes its protection off.
func (p *phone) hearPacket() []byte {
	p.t.Helper()
	b, ok := p.read(p.rtp, patience)
	if !ok {
		p.t.Fatalf("phone %d heard nothing", p.ssrc)
	}
	b = bytes.Clone(b)
	if p.secure {
		var err error
		if b, err = p.in.DecryptRTP(nil, b, nil); err != nil {
			p.t.Fatalf("phone %d: %v", p.ssrc, err)
		}
	}
	return b
}

// Whatever RTP carries crosses as it is: events, comfort noise, payload types nobody named, contributing sources, header
// extensions, padding, markers, time stamps.
func TestPacketsCrossUntouched(t *testing.T) {
	p := newPlane(t, nil)
	for _, use := range []suites{{"", ""}, {gcm, ""}, {"AES_CM_128_HMAC_SHA1_80", gcm}} {
		s := open(t, p, call.Customer, legOf(use.a))
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, use, legOf(use.b))
		for name, change := range map[string]func([]byte) []byte{
			"event":          func(b []byte) []byte { b[1] = 0x80 | 101; return append(b[:12], 5, 0x8a, 3, 0x20) },
			"comfort noise":  func(b []byte) []byte { b[1] = 13; return append(b[:12], 40) },
			"unknown format": func(b []byte) []byte { b[1] = 127; return b },
			"no payload":     func(b []byte) []byte { return b[:12] },
			"sources":        func(b []byte) []byte { b[0] |= 2; return append(b[:12:12], "\x00\x00\x00\x07\x00\x00\x00\x09voice"...) },
			"extension": func(b []byte) []byte {
				b[0] |= 0x10
				return append(b[:12:12], "\xbe\xde\x00\x01\x10\x09\x00\x00voice"...)
			},
			"padding":    func(b []byte) []byte { b[0] |= 0x20; return append(b, 0, 0, 3) },
			"time stamp": func(b []byte) []byte { binary.BigEndian.PutUint32(b[4:], 0xfffffff0); return b },
			"long":       func(b []byte) []byte { return append(b, make([]byte, 1400)...) },
		} {
			for _, way := range [][2]*phone{{a, b}, {b, a}} {
				packet := change(way[0].packet("voice"))
				way[0].write(way[0].rtp, way[0].protect(packet), way[0].far)
				if got := way[1].hearPacket(); !bytes.Equal(got, packet) {
					t.Errorf("%v, %s: got %x; want %x", use, name, got, packet)
				}
			}
		}
		s.Close()
	}
}

// A gateway that changes its source in a call, as when an announcement ends, is heard on, and nothing counts as lost.
func TestSourceChanges(t *testing.T) {
	p := newPlane(t, nil)
	for _, use := range []suites{{"", gcm}, {gcm, ""}, {"AES_CM_128_HMAC_SHA1_80", gcm}} {
		s := open(t, p, call.Customer, legOf(use.a))
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, use, legOf(use.b))
		for _, ssrc := range []uint32{1, 77, 1 << 31, 77} {
			a.ssrc, b.ssrc = ssrc, ssrc+1
			for range 3 {
				talk(a, b)
			}
			a.sendReport("alice")
			b.hearReport("alice")
		}
		for side, l := range s.Close().Legs {
			if l.PacketsReceived != 12 || l.Lost != 0 || l.AuthFailures != 0 {
				t.Errorf("%v, side %d: %+v", use, side, l)
			}
		}
	}
}

// Of several sections the first audio is relayed and everything else rejected, in an offer of either side.
func TestOneSectionIsRelayed(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	first := "m=video 4000 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\nm=application 4002 TCP/MSRP *\r\n"
	a.extra = "m=audio 4004 RTP/AVP 0\r\nm=image 4006 udptl t38\r\nm=text 4008 RTP/AVP 98\r\n"
	body := strings.Replace(string(a.offer("")), "m=audio", first+"m=audio", 1)
	offered, refusal := s.Offer(call.Customer, []byte(body), plainLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	var sections []string
	for line := range strings.Lines(string(offered)) {
		if rest, ok := strings.CutPrefix(line, "m="); ok {
			sections = append(sections, strings.Join(strings.Fields(rest)[:2], " "))
		}
	}
	want := []string{"video 0", "application 0", fmt.Sprintf("audio %d", s.legs[call.Carrier].local().Port()), "audio 0", "image 0", "text 0"}
	if fmt.Sprint(sections) != fmt.Sprint(want) {
		t.Errorf("sections %q; want %q", sections, want)
	}
	b.learn([]byte(strings.Replace(string(offered), "m=audio 0", "m=other 0", 1)))
	head, section, _ := strings.Cut(string(b.offer("")), "m=audio")
	answer := head + "m=video 0 RTP/AVP 96\r\nm=application 0 TCP/MSRP *\r\nm=audio" + section + "m=audio 0 RTP/AVP 0\r\nm=image 0 udptl t38\r\nm=text 0 RTP/AVP 98\r\n"
	answered, refusal := s.Answer(call.Carrier, []byte(answer))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	if n := strings.Count(string(answered), "m="); n != len(want) {
		t.Errorf("%d sections in the answer to %d:\n%s", n, len(want), answered)
	}
	a.learn([]byte(strings.Replace(string(answered), "m=audio 0", "m=other 0", 1)))
	talk(a, b)
}

// kinds lists the sections of a description, with whether each is in use.
func kinds(description []byte) (all []string) {
	for line := range strings.Lines(string(description)) {
		if rest, ok := strings.CutPrefix(line, "m="); ok {
			f := strings.Fields(rest)
			all = append(all, fmt.Sprint(f[0], " ", f[1] != "0"))
		}
	}
	return all
}

// A side is never offered fewer sections than its session has (RFC 3264 section 8), whoever describes them now.
func TestSectionsAreKept(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	exchange := func(s *Session, a *phone, offerExtra, answerExtra string, offered, answered []string) {
		t.Helper()
		a.extra, b.extra = offerExtra, answerExtra
		offer, refusal := s.Offer(call.Customer, a.offer(gcm), plainLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		answer, refusal := s.Answer(call.Carrier, b.answer(offer, ""))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		if fmt.Sprint(kinds(offer)) != fmt.Sprint(offered) || fmt.Sprint(kinds(answer)) != fmt.Sprint(answered) || strings.Contains(string(offer), "inline:") {
			t.Errorf("offered %v, answered %v; want %v and %v\n%s", kinds(offer), kinds(answer), offered, answered, offer)
		}
		a.learn(answer)
		talk(a, b)
		a.version++
		b.version++
	}
	const videoOff, imageOff = "m=video 0 RTP/SAVP 96\r\n", "m=image 0 udptl t38\r\n"
	all := []string{"audio true", "video false", "image false"}
	exchange(s, a, "m=video 4000 RTP/SAVP 96\r\nm=image 4002 udptl t38\r\n", videoOff+imageOff, all, all)
	s.Confirm(call.Customer)
	// The customer's phone has forgotten what it began with.
	exchange(s, a, "", videoOff+imageOff, all, all[:1])
	exchange(s, a, "m=video 4000 RTP/SAVP 96\r\n", videoOff+imageOff, all, all[:2])
	offer, refusal := s.Offer(call.Carrier, b.offer(""), secureLeg)
	if refusal != nil || fmt.Sprint(kinds(offer)) != fmt.Sprint(all) {
		t.Errorf("%v, offered %v; want %v", refusal, kinds(offer), all)
	}
	s.Reject()
	// Another takes its place: the carrier's side is in the same session as before.
	next, c := open(t, p, call.Customer, secureLeg), newPhone(t, 3)
	next.Origin(call.Carrier, s.Origin(call.Carrier, call.Origin{}))
	exchange(next, c, "", videoOff+imageOff, all, all[:1])
	if got := sdp.CountSections(next.Origin(call.Customer, call.Origin{}).Sections); got > 1 {
		t.Errorf("the customer's side has %d sections", got)
	}
}

// RTP takes the even port of a pair and RTCP the one above it, whatever range the operator chose.
func TestPairsAreEven(t *testing.T) {
	for _, lo := range []uint16{24501, 24602} {
		p := newPlane(t, func(c *Config) { c.PortLo, c.PortHi = lo, lo+60 })
		for range 5 {
			for _, lg := range open(t, p, call.Customer, plainLeg).legs {
				at, above := lg.pair.rtp.local, lg.pair.rtcp.local
				if at.Port()%2 != 0 || at.Port() < lo || above.Port() != at.Port()+1 || above.Port() > lo+60 {
					t.Errorf("range from %d: RTP %v, RTCP %v", lo, at, above)
				}
			}
		}
	}
}

// Nobody can tell from the ports of one call which ones the next will have.
func TestPortsAreChosenAtRandom(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.PortLo, c.PortHi = 25000, 25999 })
	adjacent, last := 0, 0
	for range 20 {
		for _, lg := range open(t, p, call.Customer, plainLeg).legs {
			at := int(lg.pair.rtp.local.Port())
			if at == last+2 || at == last-2 {
				adjacent++
			}
			last = at
		}
	}
	if adjacent > 5 { // of 40 pairs among 500
		t.Errorf("%d pairs lie beside the one before", adjacent)
	}
}

// Packets and reports cross between the address families both ways, protected on one side, held and resumed.
func TestFamiliesAreBridged(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.IPs = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	})
	six := plainLeg
	six.Signalling = netip.MustParseAddr("::1")
	a, b := newPhone(t, 1), newPhone(t, 2)
	b.rtp, b.rtcp = listen6(t), listen6(t)
	s := open(t, p, call.Customer, secureLeg)
	for _, direct := range []string{"", "sendonly", ""} {
		a.direct, a.version = direct, a.version+1
		offered, refusal := s.Offer(call.Customer, a.offer(gcm), six)
		if refusal != nil || !strings.Contains(string(offered), "c=IN IP6 ::1") {
			t.Fatalf("offer from IPv4 to IPv6: %v\n%s", refusal, offered)
		}
		answer := strings.ReplaceAll(string(b.answer(offered, "")), "IP4 127.0.0.1", "IP6 ::1")
		answered, refusal := s.Answer(call.Carrier, []byte(answer))
		if refusal != nil || !strings.Contains(string(answered), "c=IN IP4 127.0.0.1") {
			t.Fatalf("answer from IPv6 to IPv4: %v\n%s", refusal, answered)
		}
		a.learn(answered)
		talk(a, b)
		a.sendReport("alice")
		b.hearReport("alice")
		b.sendReport("bob")
		a.hearReport("bob")
	}
	r := s.Close()
	if at := r.Legs[call.Carrier].Remote.Addr(); !at.Is6() || r.Legs[call.Customer].PlainSent != 0 {
		t.Errorf("carrier's media at %v, %d sent in the clear to the customer", at, r.Legs[call.Customer].PlainSent)
	}
}

// The unspecified address of IPv6 asks for hold like that of IPv4, and each side is told in its own family.
func TestHoldAcrossFamilies(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.IPs = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	})
	six := plainLeg
	six.Signalling = netip.MustParseAddr("::1")
	a, b := newPhone(t, 1), newPhone(t, 2)
	b.rtp, b.rtcp, b.connAddr = listen6(t), listen6(t), "::1"
	s := open(t, p, call.Customer, plainLeg)
	offered, refusal := s.Offer(call.Customer, a.offer(""), six)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	inSix := func(b []byte) []byte { return []byte(strings.ReplaceAll(string(b), "IN IP4", "IN IP6")) }
	answered, refusal := s.Answer(call.Carrier, inSix(b.answer(offered, "")))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a.learn(answered)
	s.Confirm(call.Carrier)
	talk(a, b)
	// A side that has ports of one family keeps them.
	if _, refusal := s.Offer(call.Customer, inSix(b.offer("")), six); reason(refusal) != call.ReasonBadDescription {
		t.Errorf("a side changed its family: %v", reason(refusal))
	}
	talk(a, b)
	for _, tt := range []struct{ address, told string }{{"::", "c=IN IP4 0.0.0.0"}, {"::1", "c=IN IP4 127.0.0.1"}} {
		b.connAddr, b.version = tt.address, b.version+1
		offered, refusal := s.Offer(call.Carrier, inSix(b.offer("")), plainLeg)
		if refusal != nil || !strings.Contains(string(offered), tt.told) {
			t.Fatalf("%s: %v, offered\n%s", tt.address, refusal, offered)
		}
		answered, refusal := s.Answer(call.Customer, a.offer(""))
		if refusal != nil || !strings.Contains(string(answered), "c=IN IP6 ::1") {
			t.Fatalf("%s: %v, answered\n%s", tt.address, refusal, answered)
		}
		if tt.address == "::" {
			before := p.Stats()
			a.send("unheard")
			b.hearNothing()
			if p.Stats().Muted != before.Muted+1 {
				t.Error("a packet went to a side on hold")
			}
		}
	}
	talk(a, b)
}
