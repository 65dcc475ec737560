package media

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"carillon/call"
)

// BenchmarkRelay passes packets through the kernel both ways in lockstep: send, relay, receive.
func BenchmarkRelay(b *testing.B) {
	for name, to := range map[string]call.Leg{"RTP to RTP": plainLeg, "RTP to SRTP": secureLeg} {
		b.Run(name, func(b *testing.B) {
			p := newPlane(b, func(c *Config) { c.Loops, c.PacketRate = 1, 1<<30 })
			s := open(b, p, call.Customer, plainLeg)
			x, y := newPhone(b, 1), newPhone(b, 2)
			suite := ""
			if to.SRTP == call.SRTPRequire {
				suite = gcm
			}
			dial(s, x, y, suites{"", suite}, to)
			payload := strings.Repeat("x", 160)
			b.ReportAllocs()
			for b.Loop() {
				x.write(x.rtp, x.packet(payload), x.far)
				if _, ok := y.read(y.rtp, patience); !ok {
					b.Fatal("lost")
				}
			}
		})
	}
}

// BenchmarkCall sets the media of a call up and takes it down again. Its figure is cpu-us/call: processor time of all
// threads, relay loops and the kernel's work for us included.
func BenchmarkCall(b *testing.B) {
	p := newPlane(b, func(c *Config) { c.DrainTime = time.Millisecond; c.PortLo, c.PortHi = 24000, 31999 })
	x, y := newPhone(b, 1), newPhone(b, 2)
	plain, secure, answer := x.sdp("RTP/AVP"), x.offer(gcm), y.sdp("RTP/AVP")
	for name, c := range map[string]struct {
		offer []byte
		leg   call.Leg
	}{"RTP": {plain, plainLeg}, "SRTP": {secure, secureLeg}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			begun := processorTime(b)
			for b.Loop() {
				s := open(b, p, call.Customer, c.leg)
				if _, refusal := s.Offer(call.Customer, c.offer, plainLeg); refusal != nil {
					b.Fatal(refusal)
				}
				if _, refusal := s.Answer(call.Carrier, answer); refusal != nil {
					b.Fatal(refusal)
				}
				s.Close()
			}
			b.ReportMetric(float64((processorTime(b)-begun).Microseconds())/float64(b.N), "cpu-us/call")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}
