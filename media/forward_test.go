package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/rtp"
	"carillon/sdp"
	"carillon/srtp"
)

// inProcess is a pair of legs whose sockets are a function: the packet path without the kernel.
type inProcess struct {
	from   *leg
	w      *worker
	sender *srtp.Sender // the far end's; nil for plain
	packet []byte
	buf    []byte
	src    netip.AddrPort
	out    []byte
}

func newInProcess(t testing.TB, from, to srtp.Suite) *inProcess {
	t.Helper()
	at := netip.MustParseAddrPort("192.0.2.1:4000")
	x := &inProcess{src: at, w: &worker{stats: new(counters), now: time.Unix(1, 0), epoch: time.Unix(0, 0)}, buf: make([]byte, MaxPacket+srtp.Overhead)}
	x.w.send = func(_ *socket, b []byte, _ netip.AddrPort) bool {
		x.out = b
		return true
	}
	// A plane that has ports, and no relay: packets are handed to the legs.
	cfg := &Config{IPs: []netip.Addr{netip.MustParseAddr("192.0.2.9")}, PortLo: 20000, PortHi: 29999}
	s := &Session{plane: &Plane{cfg: *cfg, ports: &ports{cfg: cfg, on: []*addrPorts{{ip: cfg.IPs[0]}}}}}
	s.makeLegs(nil)
	for i, suite := range []srtp.Suite{from, to} {
		lg := s.legs[i]
		lg.pair = &pair{}
		a := &applied{remote: &remote{addr: at, rtcp: at, sendable: true, direction: sdp.SendRecv}, codec: "PCMU/8000", rate: 1 << 30}
		if suite.Valid() {
			lg.policy = secureLeg
			x.secure(t, lg, a, suite)
		}
		lg.apply(a)
	}
	x.from = s.legs[0]
	x.packet = make([]byte, rtp.HeaderSize, 512)
	rtp.Header{SSRC: 7}.Put(x.packet)
	x.packet = append(x.packet, strings.Repeat("x", 160)...)
	return x
}

func (x *inProcess) secure(t testing.TB, lg *leg, a *applied, suite srtp.Suite) {
	t.Helper()
	theirs, err := srtp.NewKey(suite, strings.NewReader(strings.Repeat("their own key", 9)))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := srtp.NewKey(suite, strings.NewReader(strings.Repeat("the key of this node", 9)))
	if err != nil {
		t.Fatal(err)
	}
	a.key, a.profile = theirs, sdp.Profile{Secure: true}
	if a.in, err = srtp.NewReceiver(theirs, nil); err != nil {
		t.Fatal(err)
	}
	sender, err := srtp.NewSender(ours)
	if err != nil {
		t.Fatal(err)
	}
	a.line = &line{key: ours, sender: sender}
	if lg.side == 0 {
		if x.sender, err = srtp.NewSender(theirs); err != nil {
			t.Fatal(err)
		}
	}
}

// next makes the far end's next packet in buf.
func (x *inProcess) next(t testing.TB) []byte {
	seq := binary.BigEndian.Uint16(x.packet[2:]) + 1
	binary.BigEndian.PutUint16(x.packet[2:], seq)
	b := x.buf[:copy(x.buf, x.packet)]
	if x.sender == nil {
		return b
	}
	b, err := x.sender.Protect(b[:0], b)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var forwardCases = []struct {
	name     string
	from, to srtp.Suite
}{
	{"RTP to RTP", 0, 0},
	{"GCM to RTP", srtp.AEAD_AES_128_GCM, 0},
	{"GCM to GCM", srtp.AEAD_AES_128_GCM, srtp.AEAD_AES_256_GCM},
	{"CM to RTP", srtp.AES_CM_128_HMAC_SHA1_80, 0},
	{"CM to GCM", srtp.AES_CM_128_HMAC_SHA1_80, srtp.AEAD_AES_128_GCM},
	{"CM to CM", srtp.AES_CM_128_HMAC_SHA1_80, srtp.AES_CM_128_HMAC_SHA1_80},
}

func TestForwardDoesNotAllocate(t *testing.T) {
	for _, tt := range forwardCases {
		x := newInProcess(t, tt.from, tt.to)
		sent := 0
		if n := testing.AllocsPerRun(500, func() {
			x.from.receive(x.w, &x.from.pair.rtp, x.next(t), x.src)
			sent++
		}); n != 0 {
			t.Errorf("%s: %v allocations a packet; want 0", tt.name, n)
		}
		if got := x.from.far.count.sent.Load(); got != uint64(sent) {
			t.Errorf("%s: %d of %d packets left", tt.name, got, sent)
		}
		// Forgeries must not allocate either, or a flood of them costs more than the calls.
		forged := make([]byte, 200, 300)
		if n := testing.AllocsPerRun(500, func() {
			rtp.Header{SSRC: 8, Sequence: 1}.Put(forged)
			x.from.receive(x.w, &x.from.pair.rtp, forged, netip.MustParseAddrPort("192.0.2.66:1"))
		}); n != 0 {
			t.Errorf("%s: %v allocations a forgery; want 0", tt.name, n)
		}
	}
}

// A path that lost its sender must not fall back to the clear.
func TestSecureLegNeverSendsClear(t *testing.T) {
	x := newInProcess(t, 0, srtp.AEAD_AES_128_GCM)
	far := x.from.far
	broken := *far.path.Load()
	broken.sender = nil
	far.path.Store(&broken)
	x.from.receive(x.w, &x.from.pair.rtp, x.next(t), x.src)
	far.forwardRTCP(x.w, &broken, rtp.AppendRR(nil, 1))
	if x.out != nil || far.count.plainSent.Load() != 0 || x.w.stats.sendRefused.Load() != 2 {
		t.Errorf("sent %q in the clear, refused %d; want none and 2", x.out, x.w.stats.sendRefused.Load())
	}
}

// BenchmarkForward is unprotect, account, protect; of encrypted legs the far end's own protect is measured
// apart and reported as peer-ns to be taken off.
func BenchmarkForward(b *testing.B) {
	for _, tt := range forwardCases {
		b.Run(tt.name, func(b *testing.B) {
			x := newInProcess(b, tt.from, tt.to)
			const batch = 256
			var ring [batch][]byte
			for i := range ring {
				ring[i] = make([]byte, 0, MaxPacket+srtp.Overhead)
			}
			b.ReportAllocs()
			total := time.Duration(0)
			for n := 0; n < b.N; n += batch {
				for i := range ring {
					ring[i] = append(ring[i][:0], x.next(b)...)
				}
				begin := time.Now()
				for i := range ring {
					x.from.receive(x.w, &x.from.pair.rtp, ring[i], x.src)
				}
				total += time.Since(begin)
			}
			rounds := (b.N + batch - 1) / batch * batch
			b.ReportMetric(float64(total.Nanoseconds())/float64(rounds), "relay-ns/packet")
		})
	}
}

func FuzzOffer(f *testing.F) {
	p := newPlane(f, func(c *Config) { c.DrainTime = time.Millisecond })
	ph := newPhone(f, 1)
	f.Add(ph.sdp("RTP/AVP"), ph.sdp("RTP/SAVP"))
	f.Add(ph.offer(gcm), ph.sdp("RTP/AVP"))
	f.Add([]byte("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 9 RTP/AVP 8\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\n"), ph.sdp("RTP/AVP"))
	f.Add([]byte("v=0\r\nm=image 4000 udptl t38\r\nm=audio 5000/2 RTP/AVP 8\r\nb=AS:64\r\nc=IN IP4 127.0.0.1\r\n"), []byte("v=0\nm=audio 1 RTP/AVP 8\nc=IN IP4 127.0.0.1\n"))
	s := open(f, p, call.Customer, offerLeg)
	f.Fuzz(func(t *testing.T, offer, answer []byte) {
		for _, to := range []call.Leg{plainLeg, secureLeg} {
			offered, refusal := s.Offer(call.Customer, offer, to)
			if refusal != nil {
				continue
			}
			theirs, err := sdp.Parse(offer)
			if err != nil {
				t.Fatalf("an offer that does not parse was taken: %v", err)
			}
			if d, err := sdp.Parse(offered); err != nil || len(d.Media) < len(theirs.Media) { // more where the session had more
				t.Fatalf("our offer: %v, of %d sections for %d\n%s", err, len(d.Media), len(theirs.Media), offered)
			}
			if strings.Contains(string(offered), "inline:") != (to.SRTP == call.SRTPRequire) {
				t.Fatalf("keys do not follow the policy:\n%s", offered)
			}
			reply, refusal := s.Answer(call.Carrier, answer)
			if refusal != nil {
				continue
			}
			r, err := sdp.Parse(reply)
			if err != nil || len(r.Media) != len(theirs.Media) {
				t.Fatalf("our answer: %v, %d sections for %d\n%s", err, len(r.Media), len(theirs.Media), reply)
			}
			if path := s.legs[call.Carrier].path.Load(); to.SRTP == call.SRTPRequire && path.sender == nil {
				t.Fatal("an encrypted leg without a key")
			}
		}
	})
}

func TestIPv6(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.IPs = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	})
	leg := plainLeg
	leg.Signalling = netip.MustParseAddr("::1")
	s := open(t, p, call.Customer, leg)
	conn := listen6(t)
	if !s.legs[call.Customer].pair.rtp.local.Addr().Is6() {
		t.Fatal("the leg has no address of its family, and the machine has IPv6")
	}
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.rtp = conn
	offer := strings.ReplaceAll(string(a.sdp("RTP/AVP")), "IP4 127.0.0.1", "IP6 ::1")
	offered, refusal := s.Offer(call.Customer, []byte(offer), plainLeg)
	if refusal != nil || !strings.Contains(string(offered), "c=IN IP4 127.0.0.1") {
		t.Fatalf("offer from IPv6 to IPv4: %v\n%s", refusal, offered)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil || !strings.Contains(string(answered), "c=IN IP6 ::1") {
		t.Fatalf("answer: %v\n%s", refusal, answered)
	}
	a.learn(answered)
	talk(a, b)
}

func TestConfigIsChecked(t *testing.T) {
	local := []netip.Addr{netip.MustParseAddr("127.0.0.1")}
	for name, cfg := range map[string]Config{
		"no address":         {},
		"empty address":      {IPs: []netip.Addr{{}}},
		"nothing advertised": {IPs: []netip.Addr{netip.IPv4Unspecified()}},
		"no pair":            {IPs: local, PortLo: 4001, PortHi: 4002},
		"ports reversed":     {IPs: local, PortLo: 4000, PortHi: 3000},
		"unknown suite":      {IPs: local, Suites: []srtp.Suite{99}},
		"mark of seven bits": {IPs: local, DSCP: 64},
	} {
		if p, err := New(cfg); err == nil {
			_ = p.Close()
			t.Errorf("%s: accepted", name)
		}
	}
	p, err := New(Config{IPs: []netip.Addr{netip.IPv4Unspecified()}, Advertise: []netip.Addr{netip.MustParseAddr("203.0.113.5")}, Loops: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = p.Close() }()
	s := open(t, p, call.Customer, call.Leg{})
	if got := s.legs[call.Customer].local().Addr().String(); got != "203.0.113.5" {
		t.Errorf("local %s; want the advertised address", got)
	}
}

// A target that is given up may be followed by one on the other address family.
func TestNextTargetOnAnotherFamily(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.IPs = []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::1")}
	})
	listen6(t)
	s := open(t, p, call.Customer, plainLeg)
	a := newPhone(t, 1)
	six := plainLeg
	six.Signalling = netip.MustParseAddr("::1")
	for _, tt := range []struct {
		to   call.Leg
		want string
	}{{plainLeg, "c=IN IP4 127.0.0.1"}, {six, "c=IN IP6 ::1"}, {plainLeg, "c=IN IP4 127.0.0.1"}} {
		out, refusal := s.Offer(call.Customer, a.offer(""), tt.to)
		if refusal != nil || !strings.Contains(string(out), tt.want) {
			t.Errorf("to %v: %v\n%s\nwant %s", tt.to.Signalling, refusal, out, tt.want)
		}
		if got := p.Stats().PortsInUse; got != 4 {
			t.Errorf("to %v: %d ports in use; want 4", tt.to.Signalling, got)
		}
	}
	s.Close()
	if got := p.Stats().PortsInUse; got != 0 {
		t.Errorf("%d ports in use after the call", got)
	}
}

func TestPrivateRTCPAddressIsIgnored(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.Egress.AllowPrivate = false })
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	offer := strings.Replace(string(a.sdp("RTP/AVP")), "a=rtcp:", "a=rtcp:4001 IN IP4 10.0.0.1\r\na=was:", 1)
	offered, refusal := s.Offer(call.Customer, []byte(offer), plainLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(answered)
	talk(a, b)
	b.sendReport("nowhere")
	if got, ok := a.read(a.rtcp, shortSleep); ok {
		t.Errorf("RTCP %q", got)
	}
}

// Where reports go is RFC 3605's to say, and else the port above RTP's, if there is one.
func TestRTCPAddress(t *testing.T) {
	at := netip.MustParseAddr("192.0.2.1")
	for _, tt := range []struct {
		port       uint16
		line, want string
	}{
		{4000, "", "192.0.2.1:4001"}, {4000, "a=rtcp:5000\r\n", "192.0.2.1:5000"}, {4000, "a=rtcp:5000 IN IP4 192.0.2.9\r\n", "192.0.2.9:5000"},
		{65535, "", "invalid AddrPort"}, {65535, "a=rtcp:5000\r\n", "192.0.2.1:5000"},
	} {
		d, err := sdp.Parse(fmt.Appendf(nil, "v=0\r\nc=IN IP4 %s\r\nm=audio %d RTP/AVP 0\r\n%s", at, tt.port, tt.line))
		if err != nil {
			t.Fatal(err)
		}
		if got := rtcpAddress(&d.Media[0]).String(); got != tt.want {
			t.Errorf("port %d %q: %s; want %s", tt.port, tt.line, got, tt.want)
		}
	}
}
