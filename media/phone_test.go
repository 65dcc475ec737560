package media

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	pion "github.com/pion/srtp/v3"

	"carillon/call"
	"carillon/egress"
	"carillon/rtp"
)

var (
	secureLeg  = call.Leg{SRTP: call.SRTPRequire, SecureSignalling: true, Signalling: netip.MustParseAddr("127.0.0.1")}
	offerLeg   = call.Leg{SRTP: call.SRTPOffer, SecureSignalling: true, Signalling: netip.MustParseAddr("127.0.0.1")}
	plainLeg   = call.Leg{SRTP: call.SRTPOff, Signalling: netip.MustParseAddr("127.0.0.1")}
	patience   = 2 * time.Second
	shortSleep = 30 * time.Millisecond
)

func newPlane(t testing.TB, change func(*Config)) *Plane {
	t.Helper()
	cfg := Config{
		IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, PortLo: 21000, PortHi: 22999, Loops: 2,
		Egress: egress.Policy{AllowLoopback: true, AllowPrivate: true},
	}
	if change != nil {
		change(&cfg)
	}
	p, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return p
}

// legOf is one whose side speaks with a suite, in the clear with none.
func legOf(suite string) call.Leg {
	if suite == "" {
		return plainLeg
	}
	return secureLeg
}

func open(t testing.TB, p *Plane, offerer call.Side, leg call.Leg) *Session {
	t.Helper()
	s, refusal := p.Open(call.Open{ID: "test", Offerer: offerer, Leg: leg})
	if refusal != nil {
		t.Fatalf("open: %v", refusal)
	}
	return s
}

// pionProfile and key sizes of the suites a phone speaks.
var phoneSuites = map[string]struct {
	profile   pion.ProtectionProfile
	key, salt int
}{
	"AEAD_AES_128_GCM":        {pion.ProtectionProfileAeadAes128Gcm, 16, 12},
	"AEAD_AES_256_GCM":        {pion.ProtectionProfileAeadAes256Gcm, 32, 12},
	"AES_CM_128_HMAC_SHA1_80": {pion.ProtectionProfileAes128CmHmacSha1_80, 16, 14},
	"AES_CM_128_HMAC_SHA1_32": {pion.ProtectionProfileAes128CmHmacSha1_32, 16, 14},
	"AES_256_CM_HMAC_SHA1_80": {pion.ProtectionProfileAes256CmHmacSha1_80, 32, 14},
	"AES_CM_256_HMAC_SHA1_80": {pion.ProtectionProfileAes256CmHmacSha1_80, 32, 14},
}

// phone is a far end that knows nothing of the packages under test: pion for SRTP, text for SDP.
type phone struct {
	t         testing.TB
	rtp, rtcp *net.UDPConn
	ssrc      uint32
	seq       uint16
	version   int
	mux       bool
	extra     string // further lines of the audio section
	formats   string // of the audio section; empty for "0 101"

	keySalt  []byte
	suite    string
	tag      string
	secure   bool
	in, out  *pion.Context
	farKey   string
	far      netip.AddrPort
	lastSDP  string
	direct   string // direction line
	connAddr string
}

func newPhone(t testing.TB, ssrc uint32) *phone {
	t.Helper()
	return newPhoneAt(t, ssrc, "127.0.0.1")
}

func newPhoneAt(t testing.TB, ssrc uint32, ip string) *phone {
	t.Helper()
	p := &phone{t: t, ssrc: ssrc, seq: 1000, version: 1, tag: "7", connAddr: ip}
	for _, c := range []**net.UDPConn{&p.rtp, &p.rtcp} {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		*c = conn
	}
	return p
}

// rekey draws a new key for what the phone sends.
func (p *phone) rekey(suite string) {
	p.t.Helper()
	s := phoneSuites[suite]
	p.suite, p.keySalt = suite, bytes.Repeat([]byte{byte(p.ssrc), byte(p.version), byte(len(p.keySalt))}, 20)[:s.key+s.salt]
	ctx, err := pion.CreateContext(p.keySalt[:s.key], p.keySalt[s.key:], s.profile)
	if err != nil {
		p.t.Fatal(err)
	}
	p.out = ctx
}

func port(c *net.UDPConn) int { return c.LocalAddr().(*net.UDPAddr).Port }

func (p *phone) sdp(proto string, crypto ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=carol 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\n", p.version, p.connAddr, p.connAddr)
	if p.formats == "" {
		fmt.Fprintf(&b, "m=audio %d %s 0 101\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:101 telephone-event/8000\r\n", port(p.rtp), proto)
	} else {
		fmt.Fprintf(&b, "m=audio %d %s %s\r\n", port(p.rtp), proto, p.formats)
	}
	for _, c := range crypto {
		b.WriteString("a=crypto:" + c + "\r\n")
	}
	if p.mux {
		b.WriteString("a=rtcp-mux\r\n")
	} else {
		fmt.Fprintf(&b, "a=rtcp:%d\r\n", port(p.rtcp))
	}
	if p.direct != "" {
		b.WriteString("a=" + p.direct + "\r\n")
	}
	b.WriteString(p.extra)
	return []byte(b.String())
}

// offer describes the phone; suite "" is plain RTP.
func (p *phone) offer(suite string) []byte {
	if suite == "" {
		return p.sdp("RTP/AVP")
	}
	p.secure = true
	if suite != p.suite {
		p.rekey(suite)
	}
	return p.sdp("RTP/SAVP", p.tag+" "+suite+" inline:"+base64.StdEncoding.EncodeToString(p.keySalt))
}

// answer reads an offer and answers it with suite, or plain for "".
func (p *phone) answer(offer []byte, suite string) []byte {
	p.t.Helper()
	p.secure = suite != ""
	if p.secure {
		tag, ok := cryptoTag(string(offer), suite)
		if !ok {
			p.t.Fatalf("offer has no %s:\n%s", suite, offer)
		}
		p.tag = tag
	}
	p.learn(offer)
	return p.offer(suite)
}

func cryptoTag(sdp, suite string) (string, bool) {
	for line := range strings.Lines(sdp) {
		rest, ok := strings.CutPrefix(line, "a=crypto:")
		if f := strings.Fields(rest); ok && f[1] == suite {
			return f[0], true
		}
	}
	return "", false
}

// learn takes address and key from our description.
func (p *phone) learn(sdp []byte) {
	p.t.Helper()
	p.lastSDP = string(sdp)
	addr, mport := "", 0
	for line := range strings.Lines(p.lastSDP) {
		line = strings.TrimSpace(line)
		if f := strings.Fields(line); strings.HasPrefix(line, "m=audio") {
			mport, _ = strconv.Atoi(f[1])
		} else if strings.HasPrefix(line, "c=") {
			addr = f[2]
		} else if rest, ok := strings.CutPrefix(line, "a=crypto:"+p.tag+" "); ok && p.secure {
			p.learnKey(strings.Fields(rest))
		}
	}
	ip, err := netip.ParseAddr(addr)
	if err != nil || mport == 0 {
		p.t.Fatalf("description has no address:\n%s", sdp)
	}
	p.far = netip.AddrPortFrom(ip, uint16(mport))
}

func (p *phone) learnKey(f []string) {
	p.t.Helper()
	inline := strings.TrimPrefix(f[1], "inline:")
	if inline == p.farKey {
		return
	}
	p.farKey = inline
	raw, err := base64.StdEncoding.DecodeString(inline)
	s := phoneSuites[f[0]]
	if err != nil || len(raw) != s.key+s.salt {
		p.t.Fatalf("key of %s: %d bytes, %v", f[0], len(raw), err)
	}
	if p.in, err = pion.CreateContext(raw[:s.key], raw[s.key:], s.profile, pion.SRTPReplayProtection(64)); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) packet(payload string) []byte {
	p.seq++
	b := make([]byte, rtp.HeaderSize)
	rtp.Header{SSRC: p.ssrc, Sequence: p.seq, Timestamp: uint32(p.seq) * 160}.Put(b)
	return append(b, payload...)
}

func (p *phone) protect(b []byte) []byte {
	p.t.Helper()
	if !p.secure {
		return b
	}
	b, err := p.out.EncryptRTP(nil, b, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return b
}

func (p *phone) send(payload string) []byte {
	p.t.Helper()
	b := p.protect(p.packet(payload))
	p.write(p.rtp, b, p.far)
	return b
}

func (p *phone) write(c *net.UDPConn, b []byte, to netip.AddrPort) {
	p.t.Helper()
	if _, err := c.WriteToUDPAddrPort(b, to); err != nil {
		p.t.Fatal(err)
	}
}

func (p *phone) read(c *net.UDPConn, wait time.Duration) ([]byte, bool) {
	p.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		p.t.Fatal(err)
	}
	var buf [2048]byte
	n, _, err := c.ReadFromUDPAddrPort(buf[:])
	return buf[:n], err == nil
}

// hear waits for the payload.
func (p *phone) hear(want string) {
	p.t.Helper()
	b, ok := p.read(p.rtp, patience)
	if !ok {
		p.t.Fatalf("phone %d heard nothing; want %q", p.ssrc, want)
	}
	if p.secure {
		var err error
		if b, err = p.in.DecryptRTP(nil, b, nil); err != nil {
			p.t.Fatalf("phone %d: %v", p.ssrc, err)
		}
	}
	h, err := rtp.Parse(b)
	if err != nil || string(b[h.Size:]) != want {
		p.t.Fatalf("phone %d heard %q, %v; want %q", p.ssrc, b, err, want)
	}
}

// hearNothing waits a little.
func (p *phone) hearNothing() {
	p.t.Helper()
	if b, ok := p.read(p.rtp, shortSleep); ok {
		p.t.Fatalf("phone %d heard %q; want nothing", p.ssrc, b)
	}
}

func (p *phone) sendReport(name string) {
	p.t.Helper()
	p.sendRTCP(p.named(rtp.AppendRR(nil, p.ssrc), name))
}

// named adds a source description that tells where the phone is, and an application's packet with a name, which crosses
// as it is.
func (p *phone) named(report []byte, name string) []byte {
	b := rtp.AppendCNAME(report, p.ssrc, name+"@10.7.7.7")
	b = append(b, 0x80, rtp.TypeAPP, 0, byte(2+(len(name)+3)/4))
	b = append(append(binary.BigEndian.AppendUint32(b, p.ssrc), "test"...), name...)
	return append(b, make([]byte, (4-len(name)%4)%4)...)
}

func (p *phone) sendRTCP(b []byte) {
	p.t.Helper()
	if p.secure {
		var err error
		if b, err = p.out.EncryptRTCP(nil, b, nil); err != nil {
			p.t.Fatal(err)
		}
	}
	if p.mux {
		p.write(p.rtp, b, p.far)
		return
	}
	p.write(p.rtcp, b, netip.AddrPortFrom(p.far.Addr(), p.far.Port()+1))
}

// hearReport waits for a report with this name.
func (p *phone) hearReport(name string) {
	p.t.Helper()
	if b := p.report(); !bytes.Contains(b, []byte("test"+name)) || bytes.Contains(b, []byte("10.7.7.7")) {
		p.t.Fatalf("phone %d got RTCP %q; want one of %q that does not tell where it is", p.ssrc, b, name)
	}
}

// report waits for a compound RTCP packet and takes its protection off.
func (p *phone) report() []byte {
	p.t.Helper()
	c := p.rtcp
	if p.mux {
		c = p.rtp
	}
	b, ok := p.read(c, patience)
	if !ok {
		p.t.Fatalf("phone %d got no RTCP", p.ssrc)
	}
	b = bytes.Clone(b)
	if p.secure {
		var err error
		if b, err = p.in.DecryptRTCP(nil, b, nil); err != nil {
			p.t.Fatalf("phone %d: %v", p.ssrc, err)
		}
	}
	if err := rtp.CheckRTCP(b); err != nil {
		p.t.Fatalf("phone %d got RTCP %x: %v", p.ssrc, b, err)
	}
	return b
}

// suites are what the offering and the answering phone use; "" is plain RTP.
type suites struct{ a, b string }

// dial lets a offer and b answer.
func dial(s *Session, a, b *phone, use suites, to call.Leg) {
	t := a.t
	t.Helper()
	offered, refusal := s.Offer(call.Customer, a.offer(use.a), to)
	if refusal != nil {
		t.Fatalf("offer: %v", *refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, use.b))
	if refusal != nil {
		t.Fatalf("answer: %v", *refusal)
	}
	a.learn(answered)
}

// talk sends one packet each way.
func talk(a, b *phone) {
	a.t.Helper()
	word := strconv.Itoa(int(a.seq))
	a.send("from a " + word)
	b.hear("from a " + word)
	b.send("from b " + word)
	a.hear("from b " + word)
}

// offerKey is the phone's own key as its description has it.
func (p *phone) offerKey() string { return base64.StdEncoding.EncodeToString(p.keySalt) }

func listen6(t testing.TB) *net.UDPConn {
	t.Helper()
	conn, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil && os.Getenv("CI") == "" {
		t.Skip("no IPv6 on this machine")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// drain reads one more packet, if there is one.
func (p *phone) drain() bool {
	b, ok := p.read(p.rtp, shortSleep)
	if ok && p.secure {
		_, _ = p.in.DecryptRTP(nil, b, nil)
	}
	return ok
}
