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

// speak has both phones say so many packets, evenly over a second of a clock that stands still otherwise, and then a lose
// some.
func speak(clock *clocktest.Fake, a, b *phone, packets int, lost uint16) {
	for range packets {
		clock.Advance(time.Second / time.Duration(packets))
		talk(a, b)
	}
	a.seq += lost
}

func TestSamples(t *testing.T) {
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = clock })
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 7), newPhone(t, 8)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	for _, lost := range []uint16{0, 5, 0} {
		speak(clock, a, b, 50, lost)
	}
	clock.Advance(3 * time.Second)
	speak(clock, a, b, 50, 0)
	r := s.Close()
	in, out := r.Samples[call.Customer].Received, r.Samples[call.Carrier].Sent
	var seconds, packets, lost uint32
	for i, x := range in {
		if x.Packets != out[i].Packets || x.Bytes != out[i].Bytes || x.Packets > 0 && (x.SSRC != 7 || x.PayloadType != 0 || out[i].SSRC != 7) {
			t.Errorf("second %d: received %+v, sent on as %+v", i, x, out[i])
		}
		if x.Packets > 0 && i < 4 && (x.MOS < 100 || x.MOS > 441 || (x.Lost > 0) != (x.MOS < 440)) {
			t.Errorf("second %d: %+v", i, x)
		}
		seconds, packets, lost = seconds+x.Seconds, packets+x.Packets, lost+x.Lost
	}
	if seconds < 7 || seconds > 8 || packets != 200 || lost != 5 {
		t.Errorf("%d seconds, %d packets, %d lost; want 7 or 8, 200 and 5: %+v", seconds, packets, lost, in)
	}
	l := r.Legs[call.Customer]
	if l.LongestGapMicros != 3_020_000 || l.SSRC != 7 || l.MOS < 1 || l.MOS > 4.4 || l.Lost != 5 {
		t.Errorf("the leg as a whole: %+v", l)
	}
	if back := r.Legs[call.Carrier]; back.Lost != 0 || back.MOS < l.MOS || back.SSRC != 8 {
		t.Errorf("the other leg: %+v", back)
	}
	if n := len(s.Report().Samples[call.Customer].Received); n != len(in) {
		t.Errorf("%d samples when asked again; want %d", n, len(in))
	}
}

// However long a call is, its samples stay few and none of what they count is forgotten.
func TestSamplesAreBounded(t *testing.T) {
	y := newWay(new(sampleMemory))
	y.begun = 1
	base := &y.samples[:1][0]
	total := call.MediaSample{}
	for i := range uint32(4 * 3600) {
		s := call.MediaSample{Seconds: 1, Packets: 50, Bytes: 8600, Lost: i % 3, JitterMicros: i, MOS: 400 + uint16(i%40), SSRC: i}
		y.add(s)
		total.Add(s)
	}
	all := y.all(call.MediaSample{}, 0)
	if len(all) > MaxSamples || cap(y.samples) != MaxSamples || base != &y.samples[0] {
		t.Errorf("%d samples in memory for %d", len(all), cap(y.samples))
	}
	var sum call.MediaSample
	for i, s := range all {
		if s.Seconds != y.span && i+1 < len(all) {
			t.Errorf("sample %d covers %d s; want %d", i, s.Seconds, y.span)
		}
		sum.Add(s)
	}
	if sum != total {
		t.Errorf("the samples make %+v; want %+v", sum, total)
	}
}

// reports takes a compound apart.
func reportsOf(t *testing.T, b []byte) (reports []rtp.Report) {
	t.Helper()
	for len(b) > 0 {
		var first []byte
		first, b = rtp.NextRTCP(b)
		if r, ok := rtp.ParseReport(first); ok {
			reports = append(reports, r)
		}
	}
	return reports
}

// The round trip between node and peer is measured by the reports that cross, and so is what the peer says of the stream
// that goes to it.
func TestRoundTrip(t *testing.T) {
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = clock })
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 7), newPhone(t, 8)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	speak(clock, a, b, 10, 0)
	ntp := rtp.NTPTime(clock.Now())
	a.sendRTCP(a.named(rtp.AppendSR(nil, 7, rtp.SenderInfo{NTP: ntp, Packets: 10}), "alice"))
	b.hearReport("alice")
	clock.Advance(150 * time.Millisecond)
	answer := rtp.ReportBlock{SSRC: 7, Fraction: 64, Lost: 3, Jitter: 80, LastSR: rtp.MiddleNTP(ntp), Delay: rtp.ReportDelay(100 * time.Millisecond)}
	b.sendRTCP(b.named(rtp.AppendRR(nil, 8, answer), "bob"))
	a.hearReport("bob")
	speak(clock, a, b, 10, 0)
	speak(clock, a, b, 10, 0)
	r := s.Close()
	l := r.Legs[call.Carrier]
	if got := time.Duration(l.RoundTripMicros) * time.Microsecond; got < 49*time.Millisecond || got > 51*time.Millisecond {
		t.Errorf("round trip %v; want 50ms", got)
	}
	if l.LostSent != 3 || l.JitterSentMicros != 10_000 || l.MOSSent < 1 || l.MOSSent >= 4.4 {
		t.Errorf("what the peer reports: %+v", l)
	}
	if r.Legs[call.Customer].RoundTripMicros != 0 || r.Legs[call.Customer].MOSSent != 0 {
		t.Errorf("of a peer that reports nothing: %+v", r.Legs[call.Customer])
	}
	sent := r.Samples[call.Carrier].Sent
	if last := sent[len(sent)-2]; last.RoundTripMicros == 0 || last.MOS >= 400 || last.MOS < 100 || last.JitterMicros != 10_000 {
		t.Errorf("the last whole second that was sent: %+v", last)
	}
	// An answer that names no report of ours, or one before the report came, measures nothing.
	for _, wrong := range []rtp.ReportBlock{{SSRC: 7, LastSR: 1}, {SSRC: 7, LastSR: rtp.MiddleNTP(ntp), Delay: 1 << 24}, {SSRC: 99, LastSR: rtp.MiddleNTP(ntp)}} {
		w, lg := &worker{since: time.Minute}, s.legs[call.Carrier]
		lg.count.roundTrip.Store(0)
		lg.readRTCP(w, rtp.AppendRR(nil, 8, wrong))
		if got := lg.count.roundTrip.Load(); got != 0 {
			t.Errorf("%+v measures %d", wrong, got)
		}
	}
}

// A side whose other side sends no RTCP hears from the node in its stead, and no more once it does.
func TestOwnReports(t *testing.T) {
	for _, mux := range []bool{false, true} {
		clock := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = clock })
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 7), newPhone(t, 8)
		a.mux = mux
		dial(s, a, b, suites{"AES_CM_128_HMAC_SHA1_80", ""}, plainLeg)
		listen := func(x *phone) func() []byte {
			// On a shared port reports come between the packets that talk waits for.
			if x.mux {
				return func() []byte { return nil }
			}
			return x.report
		}
		// The eighth second after the call was agreed on is the first with a report.
		for range ownReportAfter - 1 {
			speak(clock, a, b, 5, 0)
		}
		if got := s.Report().Legs[call.Customer].RTCPMade; got != 0 {
			t.Fatalf("mux %v: %d reports were made too early", mux, got)
		}
		clock.Advance(time.Second)
		a.send("eighth")
		b.hear("eighth")
		toA, toB := a.report(), listen(b)()
		checkOwn(t, toA, 7, 8, 5*(ownReportAfter-1))
		checkOwn(t, toB, 8, 7, 5*(ownReportAfter-1))
		// An answer to it measures the round trip.
		sr := reportsOf(t, toA)[0]
		clock.Advance(30 * time.Millisecond)
		a.sendRTCP(a.named(rtp.AppendRR(nil, 7, rtp.ReportBlock{SSRC: 8, LastSR: rtp.MiddleNTP(sr.Info.NTP)}), "alice"))
		b.hearReport("alice")
		if got := s.Report().Legs[call.Customer].RoundTripMicros; got < 29_900 || got > 30_100 {
			t.Errorf("mux %v: round trip %d us; want 30,000", mux, got)
		}
		// From now on a reports itself: the node goes on towards a alone.
		madeToB := s.Report().Legs[call.Carrier].RTCPMade
		for range 3 {
			clock.Advance(4 * time.Second)
			a.sendReport("alice")
			b.hearReport("alice")
			a.send("x")
			b.hear("x")
		}
		r := s.Close()
		if r.Legs[call.Carrier].RTCPMade != madeToB || r.Legs[call.Customer].RTCPMade < 2 {
			t.Errorf("mux %v: made %d for the carrier, %d for the customer; want %d and more than 1", mux,
				r.Legs[call.Carrier].RTCPMade, r.Legs[call.Customer].RTCPMade, madeToB)
		}
		if r.Legs[call.Customer].PlainSent != 0 {
			t.Errorf("mux %v: %d reports in the clear", mux, r.Legs[call.Customer].PlainSent)
		}
	}
}

// checkOwn judges a report of the node to a phone with the SSRC near, about it and in the stead of far.
func checkOwn(t *testing.T, b []byte, near, far uint32, packets uint32) {
	t.Helper()
	reports := reportsOf(t, b)
	if len(reports) != 1 || !reports[0].Sender || reports[0].SSRC != far || reports[0].Len() != 1 {
		t.Fatalf("report %x", b)
	}
	r := reports[0]
	if got := r.Block(0); got.SSRC != near || got.Lost != 0 || got.Fraction != 0 || got.Highest == 0 {
		t.Errorf("block %+v", got)
	}
	// talk says "from x 1001" and so on.
	if r.Info.Packets < packets || r.Info.Packets > packets+1 || r.Info.Octets < 10*packets || r.Info.Octets > 12*(packets+1) {
		t.Errorf("sender %+v; want %d packets", r.Info, packets)
	}
	name := string(b[len(b)-18 : len(b)-2])
	if strings.ContainsAny(name, ".@: ") || len(strings.TrimRight(name, "\x00")) != 16 {
		t.Errorf("the name is %q; want one that tells nothing", name)
	}
}

// A side that promised to speak and says nothing while it is spoken to is noticed second by second.
func TestOneWay(t *testing.T) {
	for _, direction := range []string{"", "recvonly"} {
		clock := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = clock })
		s := open(t, p, call.Customer, plainLeg)
		a, b := newPhone(t, 7), newPhone(t, 8)
		b.direct = direction
		dial(s, a, b, suites{"", ""}, plainLeg)
		s.Confirm(call.Customer)
		speak(clock, a, b, 5, 0)
		for i := range 20 {
			clock.Advance(time.Second / 5)
			a.send(fmt.Sprint("alone ", i))
			b.hear(fmt.Sprint("alone ", i))
		}
		clock.Advance(time.Second)
		a.send("the end")
		b.hear("the end")
		want := uint64(4)
		if direction != "" {
			want = 0
		}
		r := s.Close()
		if got := r.Legs[call.Carrier].OneWaySeconds; got != want || r.Legs[call.Customer].OneWaySeconds != 0 {
			t.Errorf("%q: %d seconds one way, %d the other; want %d and 0", direction, got, r.Legs[call.Customer].OneWaySeconds, want)
		}
	}
}

// A new second, with all its accounts and reports, costs no memory either.
func TestSecondsDoNotAllocate(t *testing.T) {
	for _, tt := range forwardCases {
		x := newInProcess(t, tt.from, tt.to)
		for range 300 {
			x.from.receive(x.w, &x.from.pair.rtp, x.next(t), x.src)
			x.w.tick(x.w.now.Add(time.Second))
		}
		made := x.from.count.rtcpMade.Load() + x.from.far.count.rtcpMade.Load()
		if n := testing.AllocsPerRun(500, func() {
			x.from.receive(x.w, &x.from.pair.rtp, x.next(t), x.src)
			x.w.tick(x.w.now.Add(time.Second))
		}); n != 0 {
			t.Errorf("%s: %v allocations a second; want 0", tt.name, n)
		}
		if now := x.from.count.rtcpMade.Load() + x.from.far.count.rtcpMade.Load(); now < made+100 {
			t.Errorf("%s: %d reports in 500 s", tt.name, now-made)
		}
	}
}
