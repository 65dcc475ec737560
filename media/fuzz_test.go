package media

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"carillon/egress"
	"carillon/rtp"
	"carillon/srtp"
	"carillon/stun"
)

// FuzzReceive hands a leg of every kind whatever may come from the network: nothing breaks, and nothing leaves a protected
// leg that is not protected.
func FuzzReceive(f *testing.F) {
	speech := append(make([]byte, rtp.HeaderSize), bytes.Repeat([]byte{0xff}, 160)...)
	rtp.Header{SSRC: 7, Sequence: 1}.Put(speech)
	f.Add(speech, byte(0))
	f.Add(rtp.AppendCNAME(rtp.AppendSR(nil, 7, rtp.SenderInfo{NTP: 1}, rtp.ReportBlock{SSRC: 7, LastSR: 1}), 7, "x"), byte(1))
	f.Add(udptl(1, 200), byte(2))
	f.Add([]byte("00\x0100"), byte(2))
	f.Add(iceCheck("ours:theirs", "password", useCandidate, ""), byte(3))
	f.Add([]byte("\xa0\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07\x00\xff"), byte(4))
	f.Fuzz(func(t *testing.T, b []byte, kind byte) {
		if len(b) > MaxPacket {
			return
		}
		for _, suite := range []srtp.Suite{0, srtp.AEAD_AES_128_GCM, srtp.AES_CM_128_HMAC_SHA1_80} {
			x := newInProcess(t, suite, srtp.AEAD_AES_256_GCM)
			p := *x.from.path.Load()
			p.fax, p.mux = kind&3 == 2, kind&4 != 0 // the other leg stays with audio, as while a call is switched
			if kind&8 != 0 {
				p.detour = newDetour(nil, &conversion{0, 0, 8, rtp.MuToA()})
			}
			if kind&16 != 0 {
				p.before = p.receiver
			}
			if kind&3 == 3 {
				p.ice = &agent{username: "ours:theirs", proof: stun.NewProof("password"), refused: egress.Policy{}.CheckPort}
			}
			x.from.path.Store(&p)
			socket := &x.from.pair.rtp
			if kind&3 == 1 {
				socket = &x.from.pair.rtcp
				socket.rtcp = true
			}
			checks := uint64(0)
			for range 3 {
				x.out = nil
				x.from.receive(x.w, socket, append(make([]byte, 0, MaxPacket+srtp.Overhead), b...), x.src)
				if x.out != nil && x.w.stats.checks.Load() == checks && x.w.stats.sent.Load() != x.from.far.count.protected.Load()+x.from.far.count.plainSent.Load()+checks {
					t.Fatalf("%x left uncounted", x.out)
				}
				checks = x.w.stats.checks.Load()
			}
			if got := x.from.far.count.plainSent.Load(); got != 0 {
				t.Fatalf("%d packets left a protected leg in the clear", got)
			}
		}
	})
}

// FuzzPlainReceive is the same for two legs in the clear, where whatever passes has to be what it says.
func FuzzPlainReceive(f *testing.F) {
	f.Add([]byte("\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x07x"), false)
	f.Add(rtp.AppendRR(nil, 7), true)
	f.Add(rtp.AppendSR(nil, 7, rtp.SenderInfo{NTP: 1}), false)
	f.Fuzz(func(t *testing.T, b []byte, reports bool) {
		if len(b) > MaxPacket {
			return
		}
		x := newInProcess(t, 0, 0)
		socket := &x.from.pair.rtp
		if reports {
			socket = &x.from.pair.rtcp
			socket.rtcp = true
		}
		x.from.receive(x.w, socket, append(make([]byte, 0, MaxPacket+srtp.Overhead), b...), netip.MustParseAddrPort("198.51.100.9:9"))
		if x.out != nil {
			t.Fatal("a stranger's packet was relayed")
		}
		x.from.receive(x.w, socket, append(make([]byte, 0, MaxPacket+srtp.Overhead), b...), x.src)
		h, err := rtp.Parse(b)
		if h.Reserved() {
			err = errors.New("RTCP on the port of RTP")
		}
		if reports {
			err = rtp.CheckRTCP(b)
		}
		if (err == nil) != (x.out != nil) || x.out != nil && !bytes.Equal(x.out, b) {
			t.Fatalf("%x, which is %v, left as %x", b, err, x.out)
		}
	})
}
