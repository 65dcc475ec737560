package media

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/egress"
	"carillon/rtp"
	"carillon/srtp"
)

// burst sends packets faster than any clock, waiting now and then until the node has seen them: the kernel's buffer holds
// only so many.
func burst(t *testing.T, p *Plane, packets int, send func(i int)) {
	t.Helper()
	before := p.Stats().Received
	for i := range packets {
		send(i)
		if i%50 == 49 || i == packets-1 {
			until(t, "the packets have been received", func() bool { return p.Stats().Received >= before+uint64(i)+1 })
		}
	}
}

// count reads what is there and returns how many there were.
func (p *phone) count(c *net.UDPConn) (n int) {
	for {
		if _, ok := p.read(c, shortSleep); !ok {
			return n
		}
		n++
	}
}

// A side that sends ten times what a call needs takes nothing from the other side or from later seconds.
func TestFloodIsPoliced(t *testing.T) {
	for _, suite := range []string{"", gcm} {
		clock := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = clock })
		s := open(t, p, call.Customer, legOf(suite))
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		heard := 0
		burst(t, p, 500, func(i int) {
			a.send("flood")
			if i%50 == 49 {
				heard += b.count(b.rtp)
			}
		})
		if heard += b.count(b.rtp); heard != DefaultPacketRate {
			t.Errorf("%q: %d of 500 packets in a second were relayed; want %d", suite, heard, DefaultPacketRate)
		}
		b.send("meanwhile")
		a.hear("meanwhile")
		clock.Advance(time.Second)
		talk(a, b)
		burst(t, p, 200, func(int) { a.sendReport("flood") })
		if got := b.count(b.rtcp); got != MaxRTCPRate {
			t.Errorf("%q: %d of 200 reports in a second were relayed; want %d", suite, got, MaxRTCPRate)
		}
		clock.Advance(time.Second)
		a.sendReport("later")
		b.hearReport("later")
		r, st := s.Close().Legs[call.Customer], p.Stats()
		if want := uint64(500 - DefaultPacketRate + 200 - MaxRTCPRate); r.Policed != want || st.Policed != want || st.Dropped != want {
			t.Errorf("%q: policed %d and %d, dropped %d; want %d", suite, r.Policed, st.Policed, st.Dropped, want)
		}
	}
}

// Forgeries from elsewhere cost no more than so many examinations a second, and the peer's own packets pass between them.
func TestStrangersArePoliced(t *testing.T) {
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = clock })
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	talk(a, b)
	stranger := newPhone(t, 1)
	forged := strings.Repeat("forged", 20)
	before := p.Stats().Received
	burst(t, p, 500, func(i int) {
		stranger.write(stranger.rtp, stranger.packet(forged), a.far)
		if i%100 == 50 {
			a.send("in between")
			b.hear("in between")
		}
	})
	until(t, "the peer's own packets have been received, too", func() bool { return p.Stats().Received >= before+505 })
	r := s.Report().Legs[call.Customer]
	if got := r.AuthFailures + r.Replays; got != MaxStrangerRate || r.Policed != 500-MaxStrangerRate {
		t.Errorf("%d were examined, %d policed; want %d and the rest", got, r.Policed, MaxStrangerRate)
	}
	// So do forged reports.
	clock.Advance(time.Second)
	foreign := newPhone(t, 9) // whose key is another
	foreign.rekey(gcm)
	forgery, err := foreign.out.EncryptRTCP(nil, rtp.AppendRR(nil, 1), nil)
	if err != nil {
		t.Fatal(err)
	}
	burst(t, p, 500, func(int) { stranger.write(stranger.rtcp, forgery, netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1)) })
	if now := s.Report().Legs[call.Customer]; now.AuthFailures-r.AuthFailures != MaxStrangerRate || now.Policed-r.Policed != 500-MaxStrangerRate {
		t.Errorf("%d reports were examined, %d policed; want %d and the rest", now.AuthFailures-r.AuthFailures, now.Policed-r.Policed, MaxStrangerRate)
	}
	a.sendReport("in between")
	b.hearReport("in between")
	// The peer itself may come from elsewhere in the next second.
	clock.Advance(time.Second)
	moved := newPhone(t, 1)
	moved.out, moved.in, moved.secure, moved.far, moved.seq = a.out, a.in, true, a.far, a.seq
	moved.send("moved")
	b.hear("moved")
	b.send("to the new place")
	moved.hear("to the new place")
}

// RTPBleed: whoever finds the port of a call hears nothing of it and says nothing into it, before or after the peer has
// spoken, with the peer's own source and numbers in his packets, from another port or another address.
func TestInjection(t *testing.T) {
	elsewhere := func(t *testing.T) *phone { return newPhoneAt(t, 1, "127.0.0.66") }
	for _, tt := range []struct {
		name, suite, described string
		strangers              []func(*testing.T) *phone
	}{
		{"plain", "", "127.0.0.1", []func(*testing.T) *phone{elsewhere, func(t *testing.T) *phone { return newPhone(t, 1) }}},
		// Behind NAT the port of the signalling address is not known before the first packet.
		{"plain behind NAT", "", "10.1.2.3", []func(*testing.T) *phone{elsewhere}},
		{"protected", gcm, "127.0.0.1", []func(*testing.T) *phone{elsewhere, func(t *testing.T) *phone { return newPhone(t, 1) }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPlane(t, func(c *Config) { c.Egress = egress.Policy{AllowLoopback: true} })
			s := open(t, p, call.Customer, legOf(tt.suite))
			a, b := newPhone(t, 1), newPhone(t, 2)
			a.connAddr = tt.described
			dial(s, a, b, suites{tt.suite, ""}, plainLeg)
			attack := func(when string) {
				for i, make := range tt.strangers {
					x := make(t)
					x.seq = a.seq
					for range 3 {
						x.write(x.rtp, x.packet(strings.Repeat("injected", 20)), a.far)
						x.write(x.rtcp, rtp.AppendCNAME(rtp.AppendRR(nil, 1), 1, "injected"), netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1))
					}
					b.hearNothing()
					if got := b.count(b.rtcp); got != 0 {
						t.Errorf("%s: %d reports were injected", when, got)
					}
					b.send("secret")
					if got := x.count(x.rtp); got != 0 {
						t.Errorf("%s: stranger %d hears the call", when, i)
					}
					for a.drain() {
					}
				}
			}
			attack("before the first packet")
			talk(a, b)
			attack("after the first packet")
			talk(a, b)
		})
	}
}

// Every part of a good packet, and what is longer than any: nothing is relayed, nothing breaks.
func TestTruncated(t *testing.T) {
	for _, suite := range []string{"", gcm, "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, legOf(suite))
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		talk(a, b)
		reports := netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1)
		packet := a.protect(a.packet("packet"))
		report := rtp.AppendCNAME(rtp.AppendRR(nil, a.ssrc, rtp.ReportBlock{}), a.ssrc, "a")
		if suite != "" {
			var err error
			if report, err = a.out.EncryptRTCP(nil, report, nil); err != nil {
				t.Fatal(err)
			}
		}
		// In the clear what has a whole header is a packet, and the first of a compound another compound.
		for n := range len(packet) {
			if suite != "" || n < rtp.HeaderSize {
				a.write(a.rtp, packet[:n], a.far)
			}
		}
		for n := range len(report) {
			if suite != "" || rtp.CheckRTCP(report[:n]) != nil {
				a.write(a.rtcp, report[:n], reports)
			}
		}
		for _, long := range []int{MaxPacket + 1, 9000, 65000} {
			a.write(a.rtp, append(packet, make([]byte, long)...)[:long], a.far)
			a.write(a.rtcp, append(report, make([]byte, long)...)[:long], reports)
		}
		b.hearNothing()
		if got := b.count(b.rtcp); got != 0 {
			t.Errorf("%q: %d parts of a report were relayed", suite, got)
		}
		talk(a, b)
		a.write(a.rtcp, report, reports)
		if got := b.count(b.rtcp); got != 1 {
			t.Errorf("%q: the whole report was relayed %d times", suite, got)
		}
		s.Close()
	}
}

// A key proves who sent a report and not that it is one: what does not add up is not handed on.
func TestBrokenReportsUnderAKey(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	talk(a, b)
	good := rtp.AppendCNAME(rtp.AppendRR(nil, a.ssrc), a.ssrc, "alice")
	broken := [][]byte{append(good[:len(good):len(good)], 0, 1, 2, 3), append(good[:len(good):len(good)], 0x81, 202, 0, 9), good[:len(good)-4]}
	for _, report := range broken {
		a.sendRTCP(report)
	}
	if n := b.count(b.rtcp); n != 0 {
		t.Errorf("%d broken reports were relayed", n)
	}
	a.sendReport("alice")
	b.hearReport("alice")
	if st := p.Stats(); st.Malformed != uint64(len(broken)) || st.Dropped != st.Malformed {
		t.Errorf("%d malformed of %d dropped; want %d", st.Malformed, st.Dropped, len(broken))
	}
}

// Reports on the port of RTP, from a side that never agreed to share it, are no voice: they are dropped, and neither take
// the place of the stream in its account nor use up the streams that a key may serve.
func TestReportsOnThePortOfRTP(t *testing.T) {
	for _, suite := range []string{"", gcm} {
		clock := clocktest.New()
		p := newPlane(t, func(c *Config) { c.Clock = clock })
		s := open(t, p, call.Customer, legOf(suite))
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, "AES_CM_128_HMAC_SHA1_80"}, secureLeg)
		talk(a, b)
		burst(t, p, srtp.MaxStreams+10, func(i int) {
			report := rtp.AppendSR(nil, a.ssrc, rtp.SenderInfo{NTP: uint64(i) << 32}, rtp.ReportBlock{SSRC: uint32(i)})
			if suite != "" {
				var err error
				if report, err = a.out.EncryptRTCP(nil, report, nil); err != nil {
					t.Fatal(err)
				}
			}
			a.write(a.rtp, report, a.far)
			if i%DefaultPacketRate == 0 {
				clock.Advance(time.Second)
			}
		})
		b.hearNothing()
		a.ssrc = 77 // an announcement has ended
		talk(a, b)
		r, st := s.Close().Legs[call.Customer], p.Stats()
		if r.PacketsReceived != 2 || r.Lost != 0 || r.SSRC == 0 || st.Malformed != srtp.MaxStreams+10 || st.Dropped != st.Malformed {
			t.Errorf("%q: %d packets, %d lost, %d malformed of %d dropped", suite, r.PacketsReceived, r.Lost, st.Malformed, st.Dropped)
		}
	}
}

// Whoever changes descriptions on their way must not weaken what is agreed on: such an offer or answer is refused and what
// was agreed before stays.
func TestDowngrades(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, gcm}, secureLeg)
	s.Confirm(call.Customer)
	talk(a, b)
	key30, key28 := strings.Repeat("A", 40), strings.Repeat("B", 36)+"Bw=="
	offers := map[string][]byte{
		"in the clear":             a.sdp("RTP/AVP"),
		"in the clear with a key":  a.sdp("RTP/AVP", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30),
		"feedback in the clear":    a.sdp("RTP/AVPF", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30),
		"no key":                   a.sdp("RTP/SAVP"),
		"not encrypted":            a.sdp("RTP/SAVP", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30+" UNENCRYPTED_SRTP"),
		"reports not encrypted":    a.sdp("RTP/SAVP", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30+" UNENCRYPTED_SRTCP"),
		"not authenticated":        a.sdp("RTP/SAVP", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30+" UNAUTHENTICATED_SRTP"),
		"an unknown demand":        a.sdp("RTP/SAVP", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30+" SRTP_NEW=1"),
		"keys that change":         a.sdp("RTP/SAVP", "1 AES_CM_128_HMAC_SHA1_80 inline:"+key30+" KDR=4"),
		"NULL cipher":              a.sdp("RTP/SAVP", "1 NULL_HMAC_SHA1_80 inline:"+key30),
		"F8":                       a.sdp("RTP/SAVP", "1 F8_128_HMAC_SHA1_80 inline:"+key30),
		"a key of the wrong size":  a.sdp("RTP/SAVP", "1 AEAD_AES_256_GCM inline:"+key28),
		"T.38":                     a.fax(),
		"DTLS":                     a.sdp("UDP/TLS/RTP/SAVP", "1 AEAD_AES_128_GCM inline:"+key28),
		"a capability of the like": append(a.sdp("RTP/AVP"), "a=tcap:1 RTP/SAVP\r\na=pcfg:1 t=1\r\na=acap:1 crypto:1 AES_CM_128_HMAC_SHA1_80 inline:"+key30+"\r\n"...),
	}
	for name, body := range offers {
		if _, refusal := s.Offer(call.Customer, body, secureLeg); refusal == nil {
			t.Errorf("offer, %s: taken", name)
			s.Reject()
		}
		talk(a, b)
	}
	offered, refusal := s.Offer(call.Customer, a.offer(gcm), secureLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	tag, _ := cryptoTag(string(offered), gcm)
	for name, body := range map[string][]byte{
		"in the clear":           b.sdp("RTP/AVP"),
		"another suite":          b.sdp("RTP/SAVP", tag+" AES_CM_128_HMAC_SHA1_80 inline:"+key30),
		"a shorter tag":          b.sdp("RTP/SAVP", tag+" AES_CM_128_HMAC_SHA1_32 inline:"+key30),
		"not encrypted":          b.sdp("RTP/SAVP", tag+" "+gcm+" inline:"+key28+" UNENCRYPTED_SRTP"),
		"another tag":            b.sdp("RTP/SAVP", "99 "+gcm+" inline:"+key28),
		"T.38":                   b.fax(),
		"our key, sent back":     b.sdp("RTP/SAVP", tag+" "+gcm+" inline:"+b.farKey),
		"the other side's of us": b.sdp("RTP/SAVP", tag+" "+gcm+" inline:"+a.farKey),
	} {
		if _, refusal := s.Answer(call.Carrier, body); refusal == nil {
			t.Errorf("answer, %s: taken", name)
		}
		talk(a, b)
	}
}

// A peer that is gone answers with errors of ICMP. They change nothing, and it is heard again once it is back.
func TestPeerUnreachable(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
	at := b.rtp.LocalAddr().(*net.UDPAddr)
	if err := b.rtp.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		a.send(fmt.Sprint("into the void ", i))
	}
	until(t, "the packets have left", func() bool { return s.Report().Legs[call.Carrier].PacketsSent == 21 })
	var err error
	if b.rtp, err = net.ListenUDP("udp4", at); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.rtp.Close() })
	talk(a, b)
	if st := p.Stats(); st.SendErrors != 0 || st.Dropped != 0 {
		t.Errorf("%d packets were not sent, %d dropped", st.SendErrors, st.Dropped)
	}
}
