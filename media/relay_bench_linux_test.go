package media

import (
	"strings"
	"testing"

	"carillon/call"
)

// BenchmarkRelay passes packets through the kernel both ways in lockstep: send, relay, receive.
func BenchmarkRelay(b *testing.B) {
	for name, to := range map[string]call.Leg{"RTP to RTP": plainLeg, "RTP to SRTP": secureLeg} {
		b.Run(name, func(b *testing.B) {
			p := newPlane(b, func(c *Config) { c.Loops = 1 })
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
