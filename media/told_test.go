package media

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/rtp"
)

// Of several formats each counts by its own clock and is told by name; a second is named after speech, though it begins with a
// key or with comfort noise.
func TestFormatsAreTold(t *testing.T) {
	const formats = "96 97 0 13 101"
	names := []string{"rtpmap:96 opus/48000/2", "rtpmap:97 G722/8000", "rtpmap:101 telephone-event/48000"}
	x := converse(t, func(a, b *phone) {
		for _, p := range []*phone{a, b} {
			p.formats, p.extra = formats, "a="+strings.Join(names, "\r\na=")+"\r\n"
		}
	})
	opus, g722, noise := x.stream(x.a, x.b, 96), x.stream(x.a, x.b, 97), x.stream(x.a, x.b, 13)
	opus.step = 960
	x.run(50, all(opus))
	event := opus.h
	event.PayloadType, event.Marker = 101, true
	x.run(5, func(int) {
		x.say(x.a, x.b, event, 4)
		event.Sequence, event.Marker = event.Sequence+1, false
		opus.skip()
	})
	x.run(45, all(opus))
	g722.h.Sequence = opus.h.Sequence
	x.run(50, all(g722)) // the same source with the clock of another format
	noise.h.Sequence, noise.h.Timestamp = g722.h.Sequence, g722.h.Timestamp
	x.run(50, all(noise))
	g722.h.Sequence, g722.h.Timestamp = noise.h.Sequence, noise.h.Timestamp
	x.run(50, all(g722))
	r := x.s.Close()
	for what, samples := range map[string][]call.MediaSample{"received": r.Samples[call.Customer].Received, "sent": r.Samples[call.Carrier].Sent} {
		for i, payload := range []uint8{96, 96, 97, 13, 97} {
			if s := samples[i]; s.PayloadType != payload || s.Packets != 50 || s.JitterMicros != 0 || s.Lost != 0 {
				t.Errorf("%s: second %d: %+v; want format %d without jitter", what, i, s, payload)
			}
		}
	}
	for _, leg := range r.Samples {
		if got := fmt.Sprint(leg.Formats); got != "[{96 opus/48000/2} {97 G722/8000} {0 PCMU/8000} {13 CN/8000} {101 telephone-event/48000}]" {
			t.Errorf("formats %s", got)
		}
	}
}

// The estimate knows the codec of each second.
func TestEstimateKnowsTheCodec(t *testing.T) {
	x := converse(t, func(a, b *phone) { a.formats, b.formats = "0 18 101", "0 18 101" })
	a, event := x.stream(x.a, x.b, 18), x.stream(x.a, x.b, 101)
	a.size, event.size = 20, 4
	x.run(50, all(a))
	event.h.Sequence = a.h.Sequence
	event.send()
	a.h.Sequence = event.h.Sequence
	x.run(50, all(a))
	a.h.PayloadType = 0
	x.run(50, all(a))
	got := x.s.Close().Samples[call.Customer].Received
	if got[0].MOS != 410 || got[1].MOS != 410 || got[2].MOS != 441 {
		t.Errorf("estimates %d, %d, %d; want those of G.729 twice and of G.711", got[0].MOS, got[1].MOS, got[2].MOS)
	}
}

// What a peer reports is believed as far as it can be true, and only while it goes on reporting.
func TestLyingPeer(t *testing.T) {
	x := converse(t, nil)
	a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
	x.run(75, all(a), all(b))
	ntp := rtp.NTPTime(x.clock.Now())
	x.a.sendRTCP(x.a.named(rtp.AppendSR(nil, 7, rtp.SenderInfo{NTP: ntp}), "alice"))
	x.b.hearReport("alice")
	x.clock.Advance(20 * time.Millisecond)
	for i, lie := range []rtp.ReportBlock{
		{SSRC: 7, Lost: 1<<23 - 1, Fraction: 255, Jitter: 1<<32 - 1, LastSR: rtp.MiddleNTP(ntp), Delay: 1<<32 - 1},
		{SSRC: 7, Lost: -1 << 23, LastSR: rtp.MiddleNTP(ntp), Delay: rtp.ReportDelay(22 * time.Millisecond)},
		{SSRC: 7, LastSR: rtp.MiddleNTP(ntp) + 1, Delay: 0},
		{SSRC: 9, Lost: 5, LastSR: rtp.MiddleNTP(ntp)},
	} {
		x.b.sendRTCP(x.b.named(rtp.AppendRR(nil, 8, lie), "bob"))
		x.a.hearReport("bob")
		l := x.s.Report().Legs[call.Carrier]
		if l.RoundTripMicros != 0 || l.LostSent > l.PacketsSent || l.JitterSentMicros > uint64(maxRoundTrip/time.Microsecond) {
			t.Errorf("lie %d: %+v", i, l)
		}
		if want := []uint64{75, 0, 0, 0}[i]; l.LostSent != want {
			t.Errorf("lie %d: %d lost; want %d", i, l.LostSent, want)
		}
	}
	// No answer within half a minute is one.
	x.clock.Advance(maxRoundTrip)
	x.b.sendRTCP(x.b.named(rtp.AppendRR(nil, 8, rtp.ReportBlock{SSRC: 7, Fraction: 128, LastSR: rtp.MiddleNTP(ntp)}), "bob"))
	x.a.hearReport("bob")
	x.run(50*(freshReport+3), all(a), all(b))
	r := x.s.Close()
	if got := r.Legs[call.Carrier].RoundTripMicros; got != 0 {
		t.Errorf("round trip %d us; want none", got)
	}
	sent := r.Samples[call.Carrier].Sent
	rated := 0
	for _, s := range sent[len(sent)-freshReport-2:] {
		if s.MOS != 0 {
			rated++
		}
	}
	if rated < freshReport-1 || rated > freshReport+1 || sent[len(sent)-2].MOS != 0 {
		t.Errorf("%d seconds were estimated by one report; want %d", rated, freshReport)
	}
}

// The middle of an NTP time wraps every 18 hours, and so may the report's own reckoning of a delay.
func TestRoundTripOverTheWrap(t *testing.T) {
	x := converse(t, nil)
	a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
	for range 3 {
		// Just before the middle 32 bits begin anew.
		middle := time.Duration(rtp.MiddleNTP(rtp.NTPTime(x.clock.Now()))) * time.Second >> 16
		x.clock.Advance(1<<16*time.Second - middle - 10*time.Millisecond)
		a.send()
		b.send()
		for x.drainReports() {
		}
		before := rtp.NTPTime(x.clock.Now())
		x.a.sendRTCP(x.a.named(rtp.AppendSR(nil, 7, rtp.SenderInfo{NTP: before}), "alice"))
		x.b.hearReport("alice")
		x.clock.Advance(90 * time.Millisecond)
		if after := rtp.NTPTime(x.clock.Now()); rtp.MiddleNTP(after) >= rtp.MiddleNTP(before) {
			t.Fatalf("%#x is not over the wrap from %#x", rtp.MiddleNTP(after), rtp.MiddleNTP(before))
		}
		x.b.sendRTCP(x.b.named(rtp.AppendRR(nil, 8, rtp.ReportBlock{SSRC: 7, LastSR: rtp.MiddleNTP(before), Delay: rtp.ReportDelay(60 * time.Millisecond)}), "bob"))
		x.a.hearReport("bob")
		if got := time.Duration(x.s.Report().Legs[call.Carrier].RoundTripMicros) * time.Microsecond; got < 29_900*time.Microsecond || got > 30_100*time.Microsecond {
			t.Errorf("round trip %v; want 30ms", got)
		}
	}
}

// drainReports reads what the node reported to either side.
func (x *conversation) drainReports() bool {
	_, a := x.a.read(x.a.rtcp, shortSleep)
	_, b := x.b.read(x.b.rtcp, shortSleep)
	return a || b
}

// A sender's report counts what is said and not what stands ahead of it, however long that is.
func TestReportsCountPayload(t *testing.T) {
	x := converse(t, nil)
	b := x.stream(x.b, x.a, 0)
	x.run(50, all(b))
	b.h.SSRC, b.h.Sequence = 77, 9000
	sent, came := uint32(0), false
	x.run(50*9, func(i int) {
		if i%2 == 0 { // with an audio level (RFC 6464) and a contributing source
			packet := append(make([]byte, rtp.HeaderSize), 0, 0, 0, 9, 0xbe, 0xde, 0, 1, 0x10, 40, 0, 0)
			b.h.Put(packet)
			packet[0] |= 0x11
			x.b.write(x.b.rtp, x.b.protect(append(packet, make([]byte, 160)...)), x.b.far)
			x.a.hearPacket()
			b.skip()
		} else {
			b.send()
		}
		if sent++; x.s.Report().Legs[call.Customer].RTCPMade > 0 && !came {
			if r := reportsOf(t, x.a.report())[0]; r.SSRC != 77 || r.Info.Packets != sent-1 || r.Info.Octets != 160*(sent-1) {
				t.Errorf("report of %d packets: %+v", sent-1, r)
			}
			came = true
		}
	})
	if !came {
		t.Error("no report came")
	}
}

// A side whose description grants RTCP nothing is sent no reports of our own; what the other side sends is passed on.
func TestNoReportsWhereNoneAreWanted(t *testing.T) {
	for _, want := range []bool{true, false} {
		x := converse(t, func(_, b *phone) {
			if !want {
				b.extra = "b=RS:0\r\nb=RR:0\r\n"
			}
		})
		a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
		x.run(50*15, all(a), all(b))
		r := x.s.Report()
		if made := r.Legs[call.Carrier].RTCPMade > 0; made != want || r.Legs[call.Customer].RTCPMade == 0 {
			t.Errorf("wanted %v: %d reports to the one and %d to the other side", want, r.Legs[call.Carrier].RTCPMade, r.Legs[call.Customer].RTCPMade)
		}
		for x.drainReports() {
		}
		x.a.sendReport("alice")
		x.b.hearReport("alice")
	}
}

// Reports of our own go to each side as RFC 3550 has them: so often, what was received and what is sent, with a name, protected
// where the leg is, and also when nothing but RTCP comes.
func TestOwnReportsKeepTime(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"} {
		x := converse(t, nil)
		x.a.rekey(suite)
		offered, refusal := x.s.Offer(call.Customer, x.a.offer(suite), plainLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		answered, refusal := x.s.Answer(call.Carrier, x.b.answer(offered, ""))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		x.a.learn(answered)
		a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
		var came [2][]time.Duration
		epoch := x.s.plane.relay.epoch
		made := func(side call.Side) uint64 { return x.s.Report().Legs[side].RTCPMade }
		for range 60 * 10 {
			a.send()
			b.send()
			for side, p := range []*phone{x.a, x.b} {
				if made(call.Side(side)) == uint64(len(came[side])) {
					continue
				}
				b := p.report()
				came[side] = append(came[side], x.clock.Now().Sub(epoch))
				r := reportsOf(t, b)[0]
				far, near := []uint32{8, 7}[side], p.ssrc
				if _, rest := rtp.NextRTCP(b); !r.Sender || r.SSRC != far || r.Len() != 1 || r.Block(0).SSRC != near || rest[1] != rtp.TypeSDES {
					t.Errorf("%s: %x", suite, b)
				}
			}
			x.clock.Advance(100 * time.Millisecond)
		}
		for side, at := range came {
			// Section 6.2: 5 s by half and by as much again; A.7 makes it shorter by e-1.5.
			for i := 1; i < len(at); i++ {
				if apart := at[i] - at[i-1]; apart < 2050*time.Millisecond || apart > 6160*time.Millisecond {
					t.Errorf("%s: side %d: %v between two reports", suite, side, apart)
				}
			}
			if len(at) < 8 {
				t.Errorf("%s: side %d: %d reports in a minute", suite, side, len(at))
			}
		}
		// Both are silent; b reports, a does not: b is told about what it sent, in the name of a.
		x.clock.Advance(10 * time.Second)
		x.b.sendReport("bob")
		x.a.hearReport("bob")
		if r := reportsOf(t, x.b.report())[0]; r.Sender || r.SSRC != 7 || r.Len() != 1 || r.Block(0).SSRC != 8 {
			t.Errorf("%s: the report to a silent side is %+v", suite, r)
		}
		if l := x.s.Close().Legs[call.Customer]; l.PlainSent != 0 || l.RTCPMade == 0 {
			t.Errorf("%s: %+v", suite, l)
		}
	}
}

// One number may mean something else on each side (RFC 3264 section 6.1): each is taken as it said itself.
func TestFormatsOfEachSide(t *testing.T) {
	x := converse(t, func(a, b *phone) {
		for p, name := range map[*phone]string{a: "opus/48000/2", b: "G722/8000"} {
			p.formats, p.extra = "0 97", "a=rtpmap:97 "+name+"\r\n"
		}
	})
	for side, want := range [2]string{call.Customer: "opus/48000/2", call.Carrier: "G722/8000"} {
		if f, _ := find(x.s.legs[side].path.Load().formats, 97); f.codec != want {
			t.Errorf("97 of side %d is %q; want %q", side, f.codec, want)
		}
	}
}
