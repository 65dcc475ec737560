package media

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"carillon/call"
	"carillon/rtp"
	"carillon/sdp"
)

// speaks changes the formats of the phone's description.
func speaks(description []byte, formats string, attributes ...string) []byte {
	text := strings.Replace(string(description), " 0 101\r\na=rtpmap:0 PCMU/8000\r\n", " "+formats+"\r\n", 1)
	for _, a := range attributes {
		text += "a=" + a + "\r\n"
	}
	return []byte(text)
}

// audioLine returns the formats of the audio section.
func audioLine(t *testing.T, description []byte) string {
	t.Helper()
	d, err := sdp.Parse(description)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range d.Media[0].Formats {
		names = append(names, f.Name)
	}
	return strings.Join(names, " ")
}

// Two sides that know one law of G.711 each understand each other, in the clear and protected; events and everything that is
// not speech cross as they are.
func TestLawsAreBridged(t *testing.T) {
	p := newPlane(t, nil)
	for _, use := range []suites{{"", ""}, {gcm, ""}, {"AES_CM_128_HMAC_SHA1_80", gcm}} {
		s := open(t, p, call.Customer, legOf(use.a))
		a, b := newPhone(t, 1), newPhone(t, 2)
		for range 2 { // and again, as a re-offer
			offered, refusal := s.Offer(call.Customer, a.offer(use.a), legOf(use.b))
			if refusal != nil {
				t.Fatal(*refusal)
			}
			if got := audioLine(t, offered); got != "0 8 101" || !strings.Contains(string(offered), "a=rtpmap:8 PCMA/8000\r\n") {
				t.Errorf("offered %s; want both laws in\n%s", got, offered)
			}
			answered, refusal := s.Answer(call.Carrier, speaks(b.answer(offered, use.b), "8 101", "rtpmap:8 PCMA/8000"))
			if refusal != nil {
				t.Fatal(*refusal)
			}
			if got := audioLine(t, answered); got != "0 101" || strings.Contains(string(answered), "PCMA") {
				t.Errorf("answered %s; want the offerer's law in\n%s", got, answered)
			}
			a.learn(answered)
			s.Confirm(call.Customer)
			s.Confirm(call.Carrier)
			carries(t, a, b, 0, 8, rtp.MuToA())
			carries(t, b, a, 8, 0, rtp.AToMu())
		}
		r := s.Close()
		if r.Legs[call.Customer].Codec != "PCMU/8000" || r.Legs[call.Carrier].Codec != "PCMA/8000" {
			t.Errorf("codecs %q and %q", r.Legs[call.Customer].Codec, r.Legs[call.Carrier].Codec)
		}
	}
}

// carries sends every octet from one phone to the other, in packets with all that RTP can have, and events.
func carries(t *testing.T, from, to *phone, payload, as byte, table *[256]byte) {
	t.Helper()
	var speech, want [256]byte
	for i := range speech {
		speech[i] = byte(i)
	}
	want = *table
	for name, change := range map[string]func(b []byte, speech []byte) []byte{
		"plain":  func(b, s []byte) []byte { return append(b, s...) },
		"marker": func(b, s []byte) []byte { b[1] |= 0x80; return append(b, s...) },
		"padded": func(b, s []byte) []byte { b[0] |= 0x20; return append(append(b, s...), 0, 0, 0, 4) },
		"extension": func(b, s []byte) []byte {
			b[0] |= 0x10
			return append(append(b, 0xbe, 0xde, 0, 1, 0x10, 9, 0, 0), s...)
		},
		"no payload": func(b, _ []byte) []byte { return b },
	} {
		packet := from.packet("")
		packet[1] = payload
		sent := change(bytes.Clone(packet), speech[:])
		packet[1] = as
		expected := change(packet, want[:])
		from.write(from.rtp, from.protect(sent), from.far)
		if got := to.hearPacket(); !bytes.Equal(got, expected) {
			t.Errorf("%s as %d: got %x; want %x", name, as, got, expected)
		}
	}
	for _, kind := range []byte{101, 13, 96} {
		other := from.packet("\x05\x0a\x00\xa0")
		other[1] = kind
		from.write(from.rtp, from.protect(other), from.far)
		if got := to.hearPacket(); !bytes.Equal(got, other) {
			t.Errorf("payload type %d: got %x; want %x", kind, got, other)
		}
	}
	broken := from.packet("x\xff")
	broken[0] |= 0x20 // padding longer than the packet
	broken[1] = payload
	from.write(from.rtp, from.protect(broken), from.far)
	to.hearNothing()
}

// Where the sides share a format nothing is converted, except from a side that speaks the law that was added all the same.
func TestLawsInCommon(t *testing.T) {
	p := newPlane(t, nil)
	for _, tt := range []struct{ answer, reply, codec string }{
		{"0 101", "0 101", "PCMU/8000"},
		{"8 0 101", "0 101", "PCMU/8000"},
		{"0 8 101", "0 101", "PCMU/8000"},
		{"0 8", "0", "PCMU/8000"},
	} {
		s := open(t, p, call.Customer, plainLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		offered, refusal := s.Offer(call.Customer, a.offer(""), plainLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		answered, refusal := s.Answer(call.Carrier, speaks(b.answer(offered, ""), tt.answer))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		a.learn(answered)
		if got := audioLine(t, answered); got != tt.reply {
			t.Errorf("answer %s: told as %s; want %s", tt.answer, got, tt.reply)
		}
		talk(a, b)
		packet := b.packet(strings.Repeat("\xd5", 80))
		packet[1] = 8
		b.write(b.rtp, packet, b.far)
		got := a.hearPacket()
		if took := strings.Contains(" "+tt.answer+" ", " 8 "); took != (got[1] == 0 && got[12] == rtp.AToMu()[0xd5]) || !took && !bytes.Equal(got, packet) {
			t.Errorf("answer %s: the added law came as payload type %d", tt.answer, got[1])
		}
		if r := s.Close(); r.Legs[call.Customer].Codec != tt.codec {
			t.Errorf("answer %s: codec %q; want %q", tt.answer, r.Legs[call.Customer].Codec, tt.codec)
		}
	}
}

func TestLawsOffered(t *testing.T) {
	many := strings.TrimSpace(strings.Repeat("0 ", sdp.MaxFormats))
	for _, tt := range []struct{ offer, rtpmap, want string }{
		{"0 101", "", "0 8 101"},
		{"8", "", "8 0"},
		{"0 8", "", "0 8"},
		{"9 8 101 13", "", "9 8 0 101 13"},
		{"18 101", "", "18 101"},
		{"96 101", "rtpmap:96 PCMU/8000/1", "96 8 101"},
		{"96 0", "rtpmap:96 pcma/8000", "96 0"},
		{"0", "rtpmap:0 G722/8000", "0"},
		{"0 8", "rtpmap:8 opus/48000/2", "0 8"},
		{"0 128", "", "0 128 8"},
		{"voice", "rtpmap:voice PCMU/8000", "voice"},
		{many, "", many},
	} {
		s := open(t, newPlane(t, nil), call.Customer, plainLeg)
		body := speaks(newPhone(t, 1).offer(""), tt.offer)
		if tt.rtpmap != "" {
			body = append(body, "a="+tt.rtpmap+"\r\n"...)
		}
		offered, refusal := s.Offer(call.Customer, body, plainLeg)
		if refusal != nil {
			t.Errorf("%s: %v", tt.offer, *refusal)
		} else if got := audioLine(t, offered); got != tt.want {
			t.Errorf("%s %s: offered as %s; want %s", tt.offer, tt.rtpmap, got, tt.want)
		}
		s.Close()
	}
}

// The law of a side may have a number of its own.
func TestLawsUnderOtherNumbers(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	offered, refusal := s.Offer(call.Customer, speaks(a.offer(""), "97 101", "rtpmap:97 PCMA/8000"), plainLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	if got := audioLine(t, answered); got != "97 101" || !strings.Contains(string(answered), "a=rtpmap:97 PCMA/8000\r\n") {
		t.Errorf("answered %s\n%s", got, answered)
	}
	a.learn(answered)
	carries(t, a, b, 97, 0, rtp.AToMu())
	carries(t, b, a, 0, 97, rtp.MuToA())
	if r := s.Close(); fmt.Sprint(r.Legs[0].Codec, r.Legs[1].Codec) != "PCMA/8000PCMU/8000" {
		t.Errorf("codecs %q and %q", r.Legs[0].Codec, r.Legs[1].Codec)
	}
}

// An answer may give the law that was added a number of its own, under which it then receives; what it sends may have either.
func TestLawsAnsweredUnderOtherNumbers(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	offered, refusal := s.Offer(call.Customer, a.offer(gcm), plainLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	answered, refusal := s.Answer(call.Carrier, speaks(b.answer(offered, ""), "98 101", "rtpmap:98 PCMA/8000", "fmtp:98 x=1"))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	if got := audioLine(t, answered); got != "0 101" || strings.Contains(string(answered), ":98 ") {
		t.Errorf("answered %s\n%s", got, answered)
	}
	a.learn(answered)
	carries(t, a, b, 0, 98, rtp.MuToA())
	carries(t, b, a, 8, 0, rtp.AToMu())
	carries(t, b, a, 98, 0, rtp.AToMu())
}

// Either side may offer anew, and what it has in common with the other by then is not converted any more.
func TestLawsInReoffers(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.extra, b.extra = "a=rtpmap:101 telephone-event/8000\r\n", "a=rtpmap:101 telephone-event/8000\r\n"
	for i, tt := range []struct {
		from, to        *phone
		offer, answer   string
		there, back     byte // what the offerer's and the answerer's law arrive as
		thereIs, backIs *[256]byte
	}{
		{a, b, "0 101", "8 101", 8, 0, rtp.MuToA(), rtp.AToMu()},
		{b, a, "8 101", "0 101", 0, 8, rtp.AToMu(), rtp.MuToA()},
		{b, a, "8 101", "8 101", 8, 8, nil, nil},
		{a, b, "0 8 101", "8 101", 8, 8, nil, nil},
		{a, b, "8 101", "0 101", 0, 8, rtp.AToMu(), rtp.MuToA()},
	} {
		side := call.Customer
		if tt.from == b {
			side = call.Carrier
		}
		tt.from.version, tt.to.version = i+2, i+2
		tt.from.formats, tt.to.formats = tt.offer, tt.answer
		offered, refusal := s.Offer(side, tt.from.offer(""), plainLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		answered, refusal := s.Answer(side.Other(), tt.to.answer(offered, ""))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		tt.from.learn(answered)
		s.Confirm(call.Customer)
		s.Confirm(call.Carrier)
		for _, way := range []struct {
			from, to *phone
			payload  string
			as       byte
			table    *[256]byte
		}{{tt.from, tt.to, tt.offer, tt.there, tt.thereIs}, {tt.to, tt.from, tt.answer, tt.back, tt.backIs}} {
			if way.table != nil {
				carries(t, way.from, way.to, way.payload[0]-'0', way.as, way.table)
				continue
			}
			packet := way.from.packet("what both know")
			packet[1] = way.as
			way.from.write(way.from.rtp, packet, way.from.far)
			if got := way.to.hearPacket(); !bytes.Equal(got, packet) {
				t.Errorf("exchange %d: %x became %x", i, packet, got)
			}
		}
	}
}

func TestConversionDoesNotAllocate(t *testing.T) {
	x := newInProcess(t, 0, 0)
	path := *x.from.path.Load()
	path.detour = newDetour(nil, &conversion{0, 0, 8, rtp.MuToA()})
	x.from.path.Store(&path)
	if n := testing.AllocsPerRun(500, func() { x.from.receive(x.w, &x.from.pair.rtp, x.next(t), x.src) }); n != 0 {
		t.Errorf("%v allocations a packet; want 0", n)
	}
	if x.out[1] != 8 || x.out[12] != rtp.MuToA()['x'] {
		t.Errorf("%x was not converted", x.out)
	}
}

// BenchmarkConvert is what the conversion adds to a packet of 20 ms.
func BenchmarkConvert(b *testing.B) {
	packet := make([]byte, rtp.HeaderSize+160)
	h := rtp.Header{SSRC: 7}
	h.Put(packet)
	h.Size = rtp.HeaderSize
	c := &conversion{0, 0, 8, rtp.MuToA()}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.apply(packet, h); err != nil {
			b.Fatal(err)
		}
	}
}
