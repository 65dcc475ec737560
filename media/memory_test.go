package media

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"carillon/egress"
	"carillon/rtp"
	"carillon/srtp"
	"carillon/stun"
)

// arrived is a datagram as it comes, and how to make it.
type arrived struct {
	socket *socket
	from   netip.AddrPort
	next   func() []byte
}

var elsewhere = netip.MustParseAddrPort("192.0.2.66:1")

// change puts a changed path of the leg that receives into use.
func (x *inProcess) change(change func(p *path)) {
	next := *x.from.path.Load()
	change(&next)
	x.from.path.Store(&next)
}

// report makes a compound of the far end's, protected where it is.
func (x *inProcess) report(t testing.TB) func() []byte {
	plain := rtp.AppendCNAME(rtp.AppendSR(nil, 7, rtp.SenderInfo{NTP: 1 << 40}, rtp.ReportBlock{SSRC: 9, LastSR: 3}), 7, "alice@192.0.2.1")
	room := make([]byte, 0, MaxPacket+srtp.Overhead)
	return func() []byte {
		b := append(room[:0], plain...)
		if x.sender == nil {
			return b
		}
		b, err := x.sender.ProtectRTCP(b[:0], b)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
}

// again returns the same datagram over and over; the relay writes over it.
func again(b []byte) func() []byte {
	room := make([]byte, 0, MaxPacket+srtp.Overhead)
	return func() []byte { return append(room[:0], b...) }
}

// Whatever comes costs no memory: what is relayed, and above all what is refused, for a flood of it must not cost more than the
// calls do.
func TestNothingThatComesAllocates(t *testing.T) {
	const gcm, cm = srtp.AEAD_AES_128_GCM, srtp.AES_CM_128_HMAC_SHA1_80
	for _, tt := range []struct {
		name     string
		from, to srtp.Suite
		// make changes what is in the way and says what comes; counted is what must have been counted for each.
		make    func(x *inProcess) arrived
		counted func(x *inProcess) *atomic.Uint64
	}{
		{"RTCP", 0, 0, func(x *inProcess) arrived { return arrived{&x.from.pair.rtcp, x.src, x.report(t)} },
			func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.rtcpSent }},
		{"RTCP to SRTCP", 0, cm, func(x *inProcess) arrived { return arrived{&x.from.pair.rtcp, x.src, x.report(t)} },
			func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.protected }},
		{"SRTCP to SRTCP", gcm, cm, func(x *inProcess) arrived { return arrived{&x.from.pair.rtcp, x.src, x.report(t)} },
			func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.protected }},
		{"SRTCP to RTCP on one port", cm, 0, func(x *inProcess) arrived {
			x.change(func(p *path) { p.mux = true })
			return arrived{&x.from.pair.rtp, x.src, x.report(t)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.rtcpSent }},
		{"a fax", 0, 0, func(x *inProcess) arrived {
			x.change(func(p *path) { p.fax = true })
			far := *x.from.far.path.Load()
			far.fax = true
			x.from.far.path.Store(&far)
			return arrived{&x.from.pair.rtp, x.src, again(udptl(1, 200))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.sent }},
		{"no fax", 0, 0, func(x *inProcess) arrived {
			x.change(func(p *path) { p.fax = true })
			return arrived{&x.from.pair.rtp, x.src, again([]byte("no UDPTL"))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.malformed }},
		{"a check of ICE", 0, 0, func(x *inProcess) arrived {
			x.ice()
			return arrived{&x.from.pair.rtp, x.src, again(iceCheck("ours:theirs", "password", priority, "\x00\x00\x00\x07"))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.checks }},
		{"a check with what is not known", 0, 0, func(x *inProcess) arrived {
			x.ice()
			return arrived{&x.from.pair.rtp, x.src, again(iceCheck("ours:theirs", "password", "\x00\x7f", "what"))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.checks }},
		{"a forged check", 0, 0, func(x *inProcess) arrived {
			x.ice()
			return arrived{&x.from.pair.rtp, elsewhere, again(iceCheck("ours:theirs", "guessed"))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.authFailures }},
		{"checks without end", 0, 0, func(x *inProcess) arrived {
			x.ice()
			x.from.checks = budget{x.w.second, MaxCheckRate}
			return arrived{&x.from.pair.rtp, elsewhere, again(iceCheck("ours:theirs", "guessed"))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.policed }},
		{"no RTP", 0, 0, func(x *inProcess) arrived { return arrived{&x.from.pair.rtp, x.src, again([]byte("no RTP"))} },
			func(x *inProcess) *atomic.Uint64 { return &x.w.stats.malformed }},
		{"no RTCP", 0, 0, func(x *inProcess) arrived { return arrived{&x.from.pair.rtcp, x.src, again([]byte("no RTCP"))} },
			func(x *inProcess) *atomic.Uint64 { return &x.w.stats.malformed }},
		{"from elsewhere", 0, 0, func(x *inProcess) arrived { return arrived{&x.from.pair.rtp, elsewhere, again(x.packet)} },
			func(x *inProcess) *atomic.Uint64 { return &x.w.stats.wrongSource }},
		{"RTCP from elsewhere", 0, 0, func(x *inProcess) arrived { return arrived{&x.from.pair.rtcp, elsewhere, x.report(t)} },
			func(x *inProcess) *atomic.Uint64 { return &x.w.stats.wrongSource }},
		{"too many", 0, 0, func(x *inProcess) arrived {
			x.change(func(p *path) { p.rate = 0 })
			return arrived{&x.from.pair.rtp, x.src, func() []byte { return x.next(t) }}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.policed }},
		{"too many strangers", gcm, 0, func(x *inProcess) arrived {
			x.from.strangers = budget{x.w.second, MaxStrangerRate}
			return arrived{&x.from.pair.rtp, elsewhere, again(x.packet)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.policed }},
		{"a replay", gcm, 0, func(x *inProcess) arrived {
			b := bytes.Clone(x.next(t))
			x.from.receive(x.w, &x.from.pair.rtp, again(b)(), x.src)
			return arrived{&x.from.pair.rtp, x.src, again(b)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.replays }},
		{"a replay of RTCP", cm, 0, func(x *inProcess) arrived {
			b := bytes.Clone(x.report(t)())
			x.from.receive(x.w, &x.from.pair.rtcp, again(b)(), x.src)
			return arrived{&x.from.pair.rtcp, x.src, again(b)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.replays }},
		{"RTCP in the clear", cm, 0, func(x *inProcess) arrived {
			return arrived{&x.from.pair.rtcp, x.src, again(rtp.AppendRR(nil, 7, rtp.ReportBlock{SSRC: 9}))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.plainDropped }},
		{"a lost rollover", cm, 0, func(x *inProcess) arrived {
			x.from.misses = resyncAfter
			return arrived{&x.from.pair.rtp, x.src, again(append(bytes.Clone(x.packet), make([]byte, 10)...))}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.authFailures }},
		{"the key before", gcm, 0, func(x *inProcess) arrived {
			x.change(func(p *path) { p.before, p.receiver, p.until = p.receiver, x.otherKey(t), x.w.now.Add(time.Hour) })
			return arrived{&x.from.pair.rtp, x.src, func() []byte { return x.next(t) }}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.oldKey }},
		{"RTCP under the key before", gcm, 0, func(x *inProcess) arrived {
			x.change(func(p *path) { p.before, p.receiver, p.until = p.receiver, x.otherKey(t), x.w.now.Add(time.Hour) })
			return arrived{&x.from.pair.rtcp, x.src, x.report(t)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.oldKey }},
		{"to one on hold", 0, gcm, func(x *inProcess) arrived {
			far := *x.from.far.path.Load()
			far.muted = true
			x.from.far.path.Store(&far)
			return arrived{&x.from.pair.rtp, x.src, func() []byte { return x.next(t) }}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.muted }},
		{"sent already", 0, gcm, func(x *inProcess) arrived {
			b := bytes.Clone(x.next(t))
			x.from.receive(x.w, &x.from.pair.rtp, again(b)(), x.src)
			return arrived{&x.from.pair.rtp, x.src, again(b)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.sendRefused }},
		{"not taken by the kernel", 0, 0, func(x *inProcess) arrived {
			x.w.send = func(*socket, []byte, netip.AddrPort) bool { return false }
			return arrived{&x.from.pair.rtp, x.src, func() []byte { return x.next(t) }}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.sendErrors }},
		{"before an answer", 0, 0, func(x *inProcess) arrived {
			x.from.far.path.Store(nil)
			return arrived{&x.from.pair.rtp, x.src, again(x.packet)}
		}, func(x *inProcess) *atomic.Uint64 { return &x.w.stats.unready }},
		{"another source each time", 0, 0, func(x *inProcess) arrived {
			return arrived{&x.from.pair.rtp, x.src, func() []byte {
				binary.BigEndian.PutUint32(x.packet[8:], binary.BigEndian.Uint32(x.packet[8:])+1)
				return x.next(t)
			}}
		}, func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.sent }},
		{"another format each time", 0, 0, func(x *inProcess) arrived {
			return arrived{&x.from.pair.rtp, x.src, func() []byte { x.packet[1] = (x.packet[1] + 1) & 0x3f; return x.next(t) }}
		}, func(x *inProcess) *atomic.Uint64 { return &x.from.far.count.sent }},
	} {
		x := newInProcess(t, tt.from, tt.to)
		x.from.pair.rtcp.rtcp = true
		x.w.tick(x.w.now)
		a := tt.make(x)
		counter := tt.counted(x)
		// The first of its kind makes a key for RTCP, or a stream.
		x.from.receive(x.w, a.socket, a.next(), a.from)
		before, times := counter.Load(), uint64(0)
		if n := testing.AllocsPerRun(200, func() {
			// A second holds only so many reports, checks and strangers.
			if x.w.tick(x.w.now.Add(30 * time.Millisecond)); tt.name == "checks without end" || tt.name == "too many strangers" {
				x.from.checks, x.from.strangers = budget{x.w.second, MaxCheckRate}, budget{x.w.second, MaxStrangerRate}
			}
			x.from.receive(x.w, a.socket, a.next(), a.from)
			times++
		}); n != 0 {
			t.Errorf("%s: %v allocations; want 0", tt.name, n)
		}
		if got := counter.Load() - before; got < times {
			t.Errorf("%s: counted %d of %d", tt.name, got, times)
		}
	}
	x := newInProcess(t, 0, 0)
	if n := testing.AllocsPerRun(200, func() { x.w.stray(&x.from.pair.rtp) }); n != 0 || x.w.stats.unready.Load() != 201 {
		t.Errorf("a stray: %v allocations, %d counted; want 0 and 201", n, x.w.stats.unready.Load())
	}
}

// ice has the leg that receives answer checks.
func (x *inProcess) ice() {
	a := &agent{username: "ours:theirs", proof: stun.NewProof("password"), refused: egress.Policy{}.CheckPort}
	x.change(func(p *path) { p.ice = a })
}

// otherKey returns a receiver under a key that nobody uses.
func (x *inProcess) otherKey(t testing.TB) *srtp.Receiver {
	t.Helper()
	key, err := srtp.NewKey(srtp.AEAD_AES_128_GCM, bytes.NewReader(bytes.Repeat([]byte{77}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	r, err := srtp.NewReceiver(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// What one loop counts with each packet shares no cache line with what others write or read.
func TestCountsShareNoCacheLine(t *testing.T) {
	const line = 64
	var c counters
	for _, x := range []struct {
		what              string
		first, end, whole uintptr
	}{
		{"a loop's counts", unsafe.Offsetof(c.refused), unsafe.Offsetof(c.checks) + unsafe.Sizeof(c.checks), unsafe.Sizeof(c)},
	} {
		if x.first < line || x.whole-x.end < line {
			t.Errorf("%s begin %d octets from what is ahead and end %d before what follows; want %d", x.what, x.first, x.whole-x.end, line)
		}
	}
}
