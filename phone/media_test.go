package phone

import (
	"net"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/rtp"
	"carillon/sip/transport"
	"carillon/srtp"
)

// connected returns both ends of a call.
func connected(t *testing.T, suites []srtp.Suite) (near, far *Call) {
	t.Helper()
	caller, callee := twoPhones(t, transport.UDP)
	answered := answering(t, callee, func() Answer { return Answer{Audio: Tone(440)} })
	inv := to(callee, "x")
	inv.Suites = suites
	c, err := caller.Dial(testContext(t), inv)
	if err != nil {
		t.Fatal(err)
	}
	far = await(t, "the answered call", answered)
	await(t, "ACK", far.Confirmed())
	return c, far
}

// TestForeignPackets: what a stranger sends is counted by what is wrong with it, and never heard.
func TestForeignPackets(t *testing.T) {
	stranger, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stranger.Close() }()
	packet := make([]byte, rtp.HeaderSize+FrameSize)
	rtp.Header{Sequence: 9, SSRC: 7}.Put(packet)
	send := func(c *Call) {
		t.Helper()
		if _, err := stranger.WriteToUDPAddrPort(packet, c.Stats().Local); err != nil {
			t.Fatal(err)
		}
	}
	plain, _ := connected(t, nil)
	send(plain)
	eventually(t, "the wrong source is counted", func() bool { return plain.Stats().WrongSource == 1 })

	secure, _ := connected(t, DefaultSuites())
	send(secure)
	eventually(t, "the failed authentication is counted", func() bool { return secure.Stats().AuthFailures == 1 })
	if s := secure.Stats(); s.WrongSource+s.Rejected+s.Replays != 0 {
		t.Errorf("counted twice: %+v", s)
	}
	eventually(t, "audio goes on", func() bool { return secure.Stats().PacketsReceived > 2 && secure.Heard(440) > 0.9 })
}

// TestReports: reports cross in both directions, protected like the audio, and tell the round trip.
func TestReports(t *testing.T) {
	for _, suites := range [][]srtp.Suite{nil, {srtp.AES_CM_128_HMAC_SHA1_80}, {srtp.AEAD_AES_256_GCM}} {
		near, far := connected(t, suites)
		eventually(t, "audio both ways", func() bool {
			return near.Stats().PacketsReceived > 1 && far.Stats().PacketsReceived > 1
		})
		for n := uint64(1); n <= 3; n++ {
			near.media.sendReport(make([]byte, 0, maxPacket))
			eventually(t, "the report arrives", func() bool { return far.Stats().RTCPReceived == n })
			far.media.sendReport(make([]byte, 0, maxPacket))
			eventually(t, "the report arrives", func() bool { return near.Stats().RTCPReceived == n })
			time.Sleep(2 * time.Millisecond) // a round trip that can be told from none
		}
		for _, c := range []*Call{near, far} {
			s := c.Stats()
			if s.RTCPSent != 3 || s.AuthFailures+s.Rejected+s.Replays != 0 {
				t.Errorf("%v: figures %+v", suites, s)
			}
			if s.RoundTrip < 0 || s.RoundTrip > time.Second {
				t.Errorf("%v: round trip %v", suites, s.RoundTrip)
			}
		}
	}
}

// TestPace: one packet each 20 ms of the clock, a report each 5 s, and no burst after the clock stood still.
func TestPace(t *testing.T) {
	fake := clocktest.New()
	callee, caller := newPhone(t, Config{}), newPhone(t, Config{Clock: fake})
	answering(t, callee, func() Answer { return Answer{} })
	c, err := caller.Dial(testContext(t), to(callee, "x"))
	if err != nil {
		t.Fatal(err)
	}
	sent := func() uint64 { return c.Stats().PacketsSent }
	// While the clock moves, a packet may be sent and the next one be set to a time that it still passes.
	step := func(d time.Duration, most uint64) {
		t.Helper()
		// The timer is set after the packet before has left.
		eventually(t, "the next packet is due", func() bool { d, ok := fake.Next(); return ok && d <= frameTime })
		before := sent()
		fake.Advance(d)
		// The timer that was due first may have been another one's. That of the packet, set late, is due at once.
		eventually(t, "a packet is sent", func() bool { fake.Advance(0); return sent() > before })
		if n := sent() - before; n > most {
			t.Fatalf("%d packets after %v, want at most %d", n, d, most)
		}
	}
	step(0, 1)
	for sent() < reportFrames-1 {
		step(frameTime, 1)
	}
	if n := c.Stats().RTCPSent; n != 0 {
		t.Errorf("%d reports before 5 s", n)
	}
	step(frameTime, 1)
	eventually(t, "the report", func() bool { return c.Stats().RTCPSent == 1 })
	step(10*time.Second, 3)
	step(frameTime, 1)
	if s := c.Stats(); s.BytesSent != s.PacketsSent*FrameSize {
		t.Errorf("figures %+v", s)
	}
}

func TestRoundTrip(t *testing.T) {
	now := time.Unix(1_800_000_000, 500_000_000)
	sent := now.Add(-300 * time.Millisecond) // our SR left, was held for 200 ms, and the answer came now
	const ours = 0xfeedface
	block := rtp.ReportBlock{SSRC: ours, LastSR: rtp.MiddleNTP(rtp.NTPTime(sent)), Delay: rtp.ReportDelay(200 * time.Millisecond)}
	other := rtp.ReportBlock{SSRC: 1, LastSR: 1, Delay: 1}
	for name, packet := range map[string][]byte{
		"sender report":           rtp.AppendSR(nil, 9, rtp.SenderInfo{NTP: rtp.NTPTime(now)}, other, block),
		"receiver report":         rtp.AppendRR(nil, 9, block),
		"behind another packet":   rtp.AppendRR(rtp.AppendCNAME(nil, 9, "x"), 9, block),
		"not first of its blocks": rtp.AppendRR(nil, 9, other, block),
	} {
		var r reporter
		r.read(packet, ours, now)
		if d := r.roundTrip - 100*time.Millisecond; d < -time.Millisecond || d > time.Millisecond {
			t.Errorf("%s: round trip %v, want 100ms", name, r.roundTrip)
		}
	}
	var r reporter
	r.read(rtp.AppendRR(nil, 9, rtp.ReportBlock{SSRC: ours}), ours, now)
	r.read(rtp.AppendRR(nil, 9, rtp.ReportBlock{SSRC: ours, LastSR: rtp.MiddleNTP(rtp.NTPTime(now)), Delay: rtp.ReportDelay(time.Second)}), ours, now)
	if r.roundTrip != 0 {
		t.Errorf("a report that cannot tell told %v", r.roundTrip)
	}
}

// FuzzReports: whatever passed CheckRTCP is read without a fault.
func FuzzReports(f *testing.F) {
	f.Add(rtp.AppendSR(nil, 9, rtp.SenderInfo{NTP: 1 << 40}, rtp.ReportBlock{SSRC: 7, LastSR: 5}))
	f.Add(rtp.AppendCNAME(rtp.AppendRR(nil, 9), 9, "x"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if rtp.CheckRTCP(b) != nil {
			return
		}
		var r reporter
		if r.read(b, 7, time.Unix(1_800_000_000, 0)); r.roundTrip < 0 {
			t.Errorf("round trip %v", r.roundTrip)
		}
	})
}
