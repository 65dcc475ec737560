package media

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/rtp"
)

// conversation is two phones and a clock that stands still but where told.
type conversation struct {
	t     *testing.T
	clock *clocktest.Fake
	s     *Session
	a, b  *phone
}

// converse sets up a call, protected at a, and lets change touch the phones before.
func converse(t *testing.T, change func(a, b *phone)) *conversation {
	t.Helper()
	x := &conversation{t: t, clock: clocktest.New(), a: newPhone(t, 7), b: newPhone(t, 8)}
	if change != nil {
		change(x.a, x.b)
	}
	p := newPlane(t, func(c *Config) { c.Clock, c.SilenceTimeout = x.clock, time.Hour })
	x.s = open(t, p, call.Customer, secureLeg)
	x.dial()
	return x
}

// dial offers anew, from a.
func (x *conversation) dial() {
	x.t.Helper()
	x.a.version, x.b.version = x.a.version+1, x.b.version+1
	dial(x.s, x.a, x.b, suites{gcm, ""}, plainLeg)
	x.s.Confirm(call.Customer)
	x.s.Confirm(call.Carrier)
}

// say takes a packet from one phone to the other.
func (x *conversation) say(from, to *phone, h rtp.Header, size int) {
	x.t.Helper()
	b := make([]byte, rtp.HeaderSize+size)
	h.Put(b)
	from.write(from.rtp, from.protect(b), from.far)
	to.hearPacket()
}

// stream is what one phone says.
type stream struct {
	x        *conversation
	from, to *phone
	h        rtp.Header
	step     uint32 // of the time stamp
	size     int
}

func (x *conversation) stream(from, to *phone, payload uint8) *stream {
	return &stream{x, from, to, rtp.Header{PayloadType: payload, SSRC: from.ssrc, Sequence: 100, Timestamp: 1000}, 160, 160}
}

// send says the next packet.
func (s *stream) send() {
	s.x.t.Helper()
	s.x.say(s.from, s.to, s.h, s.size)
	s.skip()
}

// skip leaves it out.
func (s *stream) skip() {
	s.h.Sequence, s.h.Timestamp, s.h.Marker = s.h.Sequence+1, s.h.Timestamp+s.step, false
}

// run lets 20 ms pass so many times, and what happens in each of them.
func (x *conversation) run(frames int, each ...func(i int)) {
	for i := range frames {
		for _, f := range each {
			f(i)
		}
		x.clock.Advance(20 * time.Millisecond)
	}
}

// all sends each packet of a stream.
func all(s *stream) func(int) { return func(int) { s.send() } }

// What one side sends is told of that side alone, exactly, and of the other leg as sent; each second for itself.
func TestDirectionsAreApart(t *testing.T) {
	x := converse(t, nil)
	a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 8)
	b.size, b.step = 80, 320
	x.run(250, func(i int) {
		if i%10 == 3 {
			a.skip()
			return
		}
		a.send()
	}, func(i int) {
		if i >= 50 && i%2 == 0 { // begins a second later, with packets of 40 ms
			b.send()
		}
	})
	r := x.s.Close()
	epoch := x.s.plane.relay.epoch
	for _, tt := range []struct {
		what                 string
		samples              []call.MediaSample
		since                time.Time
		from, until, ssrc    int
		packets, bytes, lost uint32
		payload              uint8
	}{
		{"a received", r.Samples[call.Customer].Received, r.Samples[call.Customer].ReceivedSince, 0, 5, 7, 45, 45 * 172, 5, 0},
		{"a sent on", r.Samples[call.Carrier].Sent, r.Samples[call.Carrier].SentSince, 0, 5, 7, 45, 45 * 172, 0, 0},
		{"b received", r.Samples[call.Carrier].Received, r.Samples[call.Carrier].ReceivedSince, 1, 5, 8, 25, 25 * 92, 0, 8},
		{"b sent on", r.Samples[call.Customer].Sent, r.Samples[call.Customer].SentSince, 1, 5, 8, 25, 25 * 92, 0, 8},
	} {
		if got := tt.since.Sub(epoch); got != time.Duration(tt.from)*time.Second {
			t.Errorf("%s: since %v; want %d s", tt.what, got, tt.from)
		}
		// The call was closed on the second: one of nothing is under way.
		if len(tt.samples) != tt.until-tt.from+1 || tt.samples[len(tt.samples)-1].Packets != 0 {
			t.Fatalf("%s: %d seconds: %+v", tt.what, len(tt.samples), tt.samples)
		}
		for i, s := range tt.samples[:tt.until-tt.from] {
			if s.Seconds != 1 || s.Packets != tt.packets || s.Bytes != tt.bytes || s.Lost != tt.lost || s.SSRC != uint32(tt.ssrc) || s.PayloadType != tt.payload || s.JitterMicros != 0 {
				t.Errorf("%s: second %d: %+v", tt.what, i, s)
			}
		}
	}
	for side, want := range map[call.Side][4]uint64{call.Customer: {225, 100, 25, 7}, call.Carrier: {100, 225, 0, 8}} {
		if l := r.Legs[side]; [4]uint64{l.PacketsReceived, l.PacketsSent, l.Lost, uint64(l.SSRC)} != want {
			t.Errorf("side %d: %+v; want %v", side, l, want)
		}
	}
	if got := fmt.Sprint(r.Samples[call.Customer].Formats); !strings.Contains(got, "{0 PCMU/8000}") || !strings.Contains(got, "{101 telephone-event/8000}") {
		t.Errorf("formats %s", got)
	}
}

// What was handed over stays as it was, though the memory that it was collected in is the next call's.
func TestSamplesOutliveTheCall(t *testing.T) {
	x := converse(t, nil)
	a := x.stream(x.a, x.b, 0)
	x.run(150, all(a))
	r := x.s.Close()
	told := fmt.Sprintf("%+v", r.Samples)
	p := x.s.plane
	x.s = open(t, p, call.Customer, secureLeg)
	x.a, x.b = newPhone(t, 9), newPhone(t, 10)
	x.dial()
	b := x.stream(x.b, x.a, 0)
	x.run(150, all(b))
	again := x.s.Close()
	if got := fmt.Sprintf("%+v", r.Samples); got != told {
		t.Errorf("the samples became\n%s; were\n%s", got, told)
	}
	if in := again.Samples[call.Customer].Received; in != nil || len(again.Samples[call.Carrier].Received) != 4 {
		t.Errorf("the next call has %+v", again.Samples)
	}
}

// A packet that was missed in one second and comes in the next is not lost, and the seconds make what the call makes.
func TestLateOverTheSecond(t *testing.T) {
	x := converse(t, nil)
	a := x.stream(x.a, x.b, 0)
	var late []rtp.Header
	x.run(50, func(i int) {
		if i == 40 || i == 48 {
			late = append(late, a.h)
			a.skip()
			return
		}
		a.send()
	})
	lost := func(samples []call.MediaSample) (n []uint32) {
		for _, s := range samples {
			n = append(n, s.Lost)
		}
		return n
	}
	a.send()
	if got := lost(x.s.Report().Samples[call.Customer].Received); fmt.Sprint(got) != "[2 0]" {
		t.Errorf("lost %v before they came; want 2 in the first second", got)
	}
	x.say(x.a, x.b, late[1], 160)
	if r := x.s.Report(); fmt.Sprint(lost(r.Samples[call.Customer].Received)) != "[1 0]" || r.Legs[call.Customer].Lost != 1 {
		t.Errorf("lost %v, %d in all, when one of them had come", lost(r.Samples[call.Customer].Received), r.Legs[call.Customer].Lost)
	}
	x.run(99, all(a))
	a.send()
	if r := x.s.Close(); fmt.Sprint(lost(r.Samples[call.Customer].Received)) != "[1 0 0]" || r.Legs[call.Customer].Lost != 1 {
		t.Errorf("lost %v, %d in all, at the end", lost(r.Samples[call.Customer].Received), r.Legs[call.Customer].Lost)
	}
}

// A side that fell silent has seconds up to the end, also while it says nothing, and the sides' seconds lie side by side.
func TestSilentSideHasSeconds(t *testing.T) {
	x := converse(t, nil)
	a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
	x.run(75, all(a), all(b))
	x.run(175, all(a))
	count := func(samples []call.MediaSample) (n []uint32) {
		for _, s := range samples {
			n = append(n, s.Packets)
		}
		return n
	}
	for range 2 {
		r := x.s.Report()
		if got := fmt.Sprint(count(r.Samples[call.Carrier].Received), count(r.Samples[call.Customer].Sent)); got != "[50 25 0 0 0 0] [50 25 0 0 0 0]" {
			t.Errorf("b: %s", got)
		}
		if got := fmt.Sprint(count(r.Samples[call.Customer].Received)); got != "[50 50 50 50 50 0]" {
			t.Errorf("a: %s", got)
		}
		if r.Legs[call.Carrier].OneWaySeconds != 3 || r.Legs[call.Customer].OneWaySeconds != 0 {
			t.Errorf("%d seconds of b, %d of a", r.Legs[call.Carrier].OneWaySeconds, r.Legs[call.Customer].OneWaySeconds)
		}
	}
	b.send() // later in the second that a report was made of
	x.clock.Advance(10 * time.Second)
	r := x.s.Close()
	if got := r.Samples[call.Carrier].Received; fmt.Sprint(count(got)) != "[50 25 0 0 0 1 0 0 0 0 0 0 0 0 0 0]" || got[5].SSRC != 8 {
		t.Errorf("b at the end: %+v", got)
	}
}

// A side that speaks again just ahead of the other one was silent until then.
func TestSilenceEndsWithASecond(t *testing.T) {
	x := converse(t, nil)
	a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
	x.run(75, all(a), all(b))
	x.run(75, all(a))
	x.run(50, all(b), all(a))
	if got := x.s.Close().Legs; got[call.Carrier].OneWaySeconds != 1 || got[call.Customer].OneWaySeconds != 0 {
		t.Errorf("b was silent for %d seconds, a for %d; want 1 and 0", got[call.Carrier].OneWaySeconds, got[call.Customer].OneWaySeconds)
	}
}

// A second tells the worst of its jitter, though it is over before the second is.
func TestJitterOfASecond(t *testing.T) {
	x := converse(t, nil)
	a := x.stream(x.a, x.b, 0)
	x.run(5, all(a))
	x.clock.Advance(100 * time.Millisecond)
	x.run(1, all(a))
	x.clock.Advance(-100 * time.Millisecond)
	x.run(94, all(a))
	r := x.s.Close()
	// 100 ms more, then 100 ms less than the time stamps say: a 16th of the first and 15 of 16 parts of it with the second.
	const worst = 100_000/16 + (100_000-100_000/16)/16
	in := r.Samples[call.Customer].Received
	if in[0].JitterMicros < worst-200 || in[0].JitterMicros > worst+200 || in[1].JitterMicros > 2000 || r.Legs[call.Customer].MaxJitterMicros != uint64(in[0].JitterMicros) {
		t.Errorf("jitter %d us, then %d us, %d us at most; want %d at first", in[0].JitterMicros, in[1].JitterMicros, r.Legs[call.Customer].MaxJitterMicros, worst)
	}
}

// A source that changes within a second is known at once: to the report, to what the peer says of it, and with the packets
// that were sent of it alone.
func TestSourceChangesWithinASecond(t *testing.T) {
	x := converse(t, nil)
	a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
	x.run(10*50-20, all(a), all(b))
	x.a.report() // of the ninth second
	x.b.report()
	x.b.sendRTCP(x.b.named(rtp.AppendRR(nil, 8, rtp.ReportBlock{SSRC: 7, Lost: 4}), "bob"))
	x.a.hearReport("bob")
	a.h.SSRC, a.h.Sequence, a.h.Timestamp = 77, 9000, 1<<32-800
	x.run(10, all(a), all(b))
	if got := x.s.Report().Legs[call.Customer].SSRC; got != 77 {
		t.Errorf("source %d; want 77", got)
	}
	x.b.sendRTCP(x.b.named(rtp.AppendRR(nil, 8, rtp.ReportBlock{SSRC: 7, Lost: 6}, rtp.ReportBlock{SSRC: 77, Lost: 2, Jitter: 8}), "bob"))
	x.a.hearReport("bob")
	if l := x.s.Report().Legs[call.Carrier]; l.LostSent != 6 || l.JitterSentMicros != 1000 {
		t.Errorf("the peer's report of both: %d lost, jitter %d us; want 4 and 2, and 1000", l.LostSent, l.JitterSentMicros)
	}
	for got := uint32(7); got == 7; {
		x.run(1, all(a), all(b))
		if report, ok := x.b.read(x.b.rtcp, time.Millisecond); ok {
			if got = reportsOf(t, report)[0].SSRC; got == 77 {
				sent := uint32(a.h.Sequence - 9000) // and the packet that the report came before
				info := reportsOf(t, report)[0].Info
				if info.Packets != sent-1 || info.Octets != 160*(sent-1) || info.RTP != a.h.Timestamp-160 {
					t.Errorf("sender %+v; want %d packets up to %d", info, sent-1, a.h.Timestamp-160)
				}
			}
		}
	}
	if l := x.s.Close().Legs[call.Customer]; l.Lost != 0 || l.JitterMicros != 0 {
		t.Errorf("%d lost, jitter %d us; want none", l.Lost, l.JitterMicros)
	}
}

// What is not said on hold is neither lost nor a gap, nor is anybody missed, and a phone whose clock stood still meanwhile
// does not jitter.
func TestHoldIsNoFault(t *testing.T) {
	for _, direction := range []string{"sendonly", "inactive"} {
		x := converse(t, nil)
		a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
		x.run(60, all(a), all(b))
		x.a.direct = direction
		x.b.direct = map[string]string{"sendonly": "recvonly", "inactive": "inactive"}[direction]
		x.dial()
		if direction == "sendonly" { // music
			x.run(500, all(a))
		} else {
			x.clock.Advance(10 * time.Second)
		}
		x.a.direct, x.b.direct = "", ""
		x.dial()
		x.clock.Advance(400 * time.Millisecond) // which b takes to begin again
		x.run(60, all(a), all(b))
		r := x.s.Close()
		for side, l := range r.Legs {
			if l.Lost != 0 || l.OneWaySeconds != 0 || l.LongestGapMicros > 420_000 || l.MaxJitterMicros > 30_000 || l.MOS < 4.3 {
				t.Errorf("%s: side %d: %+v", direction, side, l)
			}
		}
		if got := r.Legs[call.Carrier].LongestGapMicros; got != 400_000 {
			t.Errorf("%s: b's longest gap is %d us; want what it took to begin again", direction, got)
		}
		seconds := uint32(0)
		for _, s := range r.Samples[call.Carrier].Received {
			seconds += s.Seconds
		}
		if seconds != 13 {
			t.Errorf("%s: %d seconds of b; want 13", direction, seconds)
		}
	}
}

// A side that suppresses silence says so, and its pauses are no gaps. Those of the network are.
func TestPausesAreNoGaps(t *testing.T) {
	noise := func(s *stream) { // one packet of comfort noise
		payload, size := s.h.PayloadType, s.size
		s.h.PayloadType, s.size = 13, 1
		s.send()
		s.h.PayloadType, s.size = payload, size
	}
	for name, tt := range map[string]struct {
		pause  func(x *conversation, speech func(int), b *stream)
		gap    time.Duration
		oneWay uint64
	}{
		"comfort noise": {func(x *conversation, speech func(int), b *stream) { noise(b); x.run(200, speech) }, 0, 0},
		"repeated noise": {func(x *conversation, speech func(int), b *stream) {
			for range 20 {
				noise(b)
				x.run(10, speech)
			}
		}, 0, 0},
		"a marker": {func(x *conversation, speech func(int), b *stream) { x.run(30, speech); b.h.Marker = true }, 0, 0},
		"a stop":   {func(x *conversation, speech func(int), b *stream) { x.run(200, speech) }, 4020 * time.Millisecond, 3},
		"noise, stop": {func(x *conversation, speech func(int), b *stream) {
			noise(b)
			b.send()
			x.run(15, speech)
		}, 300 * time.Millisecond, 0},
		"lost in it":   {func(x *conversation, speech func(int), b *stream) { noise(b); x.run(200, speech); b.skip() }, 4 * time.Second, 0},
		"marker, lost": {func(x *conversation, speech func(int), b *stream) { x.run(50, speech); b.skip(); b.h.Marker = true }, 1020 * time.Millisecond, 0},
	} {
		x := converse(t, nil)
		a, b := x.stream(x.a, x.b, 0), x.stream(x.b, x.a, 0)
		b.h.Marker = true
		x.run(75, all(a), all(b))
		began := x.clock.Now()
		tt.pause(x, all(a), b)
		b.h.Timestamp += uint32(x.clock.Now().Sub(began) / (time.Second / 8000))
		x.run(50, all(a), all(b))
		r := x.s.Close()
		l, want := r.Legs[call.Carrier], max(tt.gap, 20*time.Millisecond)
		if got := time.Duration(l.LongestGapMicros) * time.Microsecond; got != want || l.OneWaySeconds != tt.oneWay {
			t.Errorf("%s: gap %v, %d seconds one way; want %v and %d", name, got, l.OneWaySeconds, want, tt.oneWay)
		}
		longest := uint32(0)
		for _, s := range r.Samples[call.Carrier].Received {
			longest = max(longest, s.GapMicros)
		}
		if got := time.Duration(longest) * time.Microsecond; got != want {
			t.Errorf("%s: the seconds' longest gap is %v; want %v", name, got, want)
		}
		if r.Legs[call.Customer].OneWaySeconds != 0 {
			t.Errorf("%s: a is said to be silent", name)
		}
	}
}
