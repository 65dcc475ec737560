package e2e_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	pion "github.com/pion/srtp/v3"

	"carillon/rtp"
)

// network writes the family of an address as a description does.
func network(ip net.IP) string {
	if ip.To4() == nil {
		return "IP6"
	}
	return "IP4"
}

// sound is a party's media: it sends a tone's worth of packets and counts what it hears. suite "" is plain RTP.
type sound struct {
	t         *testing.T
	judge     *judge // nil on the plain side
	suite     string
	rtp, rtcp *net.UDPConn
	keySalt   []byte
	lifetime  string // of the key, with the bar before it
	version   int
	direction string
	others    []string // m= lines of further sections
	ice       bool     // it can be found by ICE alone
	held      bool     // the address in descriptions is the unspecified one
	since     int      // frames that had crossed the customer's wire before
	stop      chan struct{}
	running   sync.WaitGroup

	mu      sync.Mutex
	mux     bool // reports share the port of RTP
	out, in *pion.Context
	nodeKey string
	far     netip.AddrPort
	sends   bool
	kind    string // what it sends: "voice", "reports", or "" for both
	format  byte   // payload type: 0 for mu-law, 8 for A-law
	said    int    // packets sent
	heard   int
	reports int
	foreign int  // packets that were none of the other party's
	last    byte // payload type of the last packet heard
}

// newSound opens a pair of ports, the lower one even, at an address of the calling thread's network.
func newSound(t *testing.T, j *judge, ip, suite string) *sound {
	t.Helper()
	s := &sound{t: t, judge: j, suite: suite, stop: make(chan struct{})}
	for s.rtp == nil {
		a, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(ip)})
		if err != nil {
			t.Fatal(err)
		}
		at := a.LocalAddr().(*net.UDPAddr)
		if b, err := net.ListenUDP("udp", &net.UDPAddr{IP: at.IP, Port: at.Port + 1}); err == nil && at.Port%2 == 0 {
			s.rtp, s.rtcp = a, b
		} else {
			a.Close()
			if err == nil {
				b.Close()
			}
		}
	}
	s.running.Go(s.send)
	s.running.Go(func() { s.listen(s.rtp) })
	s.running.Go(func() { s.listen(s.rtcp) })
	t.Cleanup(s.close)
	s.rekey()
	return s
}

func (s *sound) close() {
	select {
	case <-s.stop:
		return
	default:
	}
	close(s.stop)
	s.rtp.Close()
	s.rtcp.Close()
	s.running.Wait()
}

// at is where it listens for RTP.
func (s *sound) at() netip.AddrPort {
	at := s.rtp.LocalAddr().(*net.UDPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// rekey draws a new key for what is sent.
func (s *sound) rekey() {
	if s.suite == "" {
		return
	}
	c := ciphers[s.suite]
	s.keySalt = make([]byte, c.key+c.salt)
	_, _ = rand.Read(s.keySalt)
	s.judge.learn(s.at(), false, s.suite, s.keySalt)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.out = c.context(s.t, s.keySalt)
}

// sdp describes the sound, as an offer or as an answer; crypto tag 1 is ours and the one we take.
func (s *sound) sdp() []byte { return s.describe(s.suite != "") }

// inTheClear describes the sound as plain RTP, whatever it is.
func (s *sound) inTheClear() []byte { return s.describe(false) }

func (s *sound) describe(secure bool) []byte {
	s.version++
	ip := s.rtp.LocalAddr().(*net.UDPAddr).IP
	connection, port := ip, s.at().Port()
	if s.held || s.ice {
		connection = net.IPv4zero
	}
	profile, crypto := "RTP/AVP", ""
	if secure {
		profile, crypto = "RTP/SAVP", fmt.Sprintf("a=crypto:1 %s inline:%s%s\r\n", s.suite, base64.StdEncoding.EncodeToString(s.keySalt), s.lifetime)
	}
	if s.direction != "" {
		crypto += "a=" + s.direction + "\r\n"
	}
	if s.ice {
		crypto += "a=ice-ufrag:phone\r\na=ice-pwd:the phone's own password of ICE\r\n"
		port = 9 // RFC 8840 section 4.1.1
	}
	if s.mux {
		crypto += "a=rtcp-mux\r\n"
	}
	for _, line := range s.others {
		crypto += line + "\r\n"
	}
	return fmt.Appendf(nil, "v=0\r\no=- 1 %d IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\nm=audio %d %s %d\r\n%s",
		s.version, network(ip), ip, network(connection), connection, port, profile, s.format, crypto)
}

// answer describes the sound in answer to an offer whose line with this tag is taken.
func (s *sound) answer(tag string) []byte {
	return bytes.Replace(s.sdp(), []byte("a=crypto:1 "), []byte("a=crypto:"+tag+" "), 1)
}

// fax describes a switch to T.38 on the sound's port.
func (s *sound) fax() []byte {
	s.version++
	ip := s.rtp.LocalAddr().(*net.UDPAddr).IP
	return fmt.Appendf(nil, "v=0\r\no=- 1 %d IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=image %d udptl t38\r\na=T38FaxVersion:0\r\n",
		s.version, ip, ip, s.at().Port())
}

// learn takes the node's description: where it listens and, of its keys, the one of our suite. It returns the tag of that
// key's line.
func (s *sound) learn(description []byte) (tag string) {
	s.t.Helper()
	var ip netip.Addr
	var others []string
	port, key := 0, ""
	for line := range strings.Lines(string(description)) {
		f := strings.Fields(line)
		switch {
		case strings.HasPrefix(line, "m=audio"):
			port, _ = strconv.Atoi(f[1])
			if want := map[bool]string{true: "RTP/AVP", false: "RTP/SAVP"}[s.suite == ""]; f[2] != want {
				s.t.Errorf("the node describes %s, want %s:\n%s", f[2], want, description)
			}
		case strings.HasPrefix(line, "m="):
			if others = append(others, strings.TrimSpace(line)); f[1] != "0" {
				s.t.Errorf("the node describes %q", line)
			}
		case strings.HasPrefix(line, "c="):
			ip = netip.MustParseAddr(f[2])
		case strings.HasPrefix(line, "a=crypto:") && f[1] == s.suite:
			tag, key = strings.TrimPrefix(f[0], "a=crypto:"), strings.TrimPrefix(f[2], "inline:")
		}
	}
	if port == 0 || !ip.IsValid() || (key == "") != (s.suite == "") {
		s.t.Fatalf("the node's description has no media or no key for %q:\n%s", s.suite, description)
	}
	if len(others) < len(s.others) {
		s.t.Errorf("the node describes %q besides audio; before it was %q", others, s.others)
	}
	s.others = others
	s.mu.Lock()
	defer s.mu.Unlock()
	if ip.IsUnspecified() { // it is on hold, and goes on all the same
		ip = s.far.Addr()
	}
	s.far = netip.AddrPortFrom(ip, uint16(port))
	if key != s.nodeKey {
		s.nodeKey = key
		keySalt, err := base64.StdEncoding.DecodeString(key)
		if err != nil {
			s.t.Fatal(err)
		}
		s.in = ciphers[s.suite].context(s.t, keySalt)
		s.judge.learn(s.at(), true, s.suite, keySalt)
	}
	return tag
}

// play begins or stops to send.
func (s *sound) play(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sends = on
}

// share has reports use the port of RTP, or not.
func (s *sound) share(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mux = on
}

// only has it send one kind of packets.
func (s *sound) only(kind string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kind = kind
}

func (s *sound) send() {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	var random [4]byte
	_, _ = rand.Read(random[:])
	ssrc := binary.BigEndian.Uint32(random[:])
	for n := uint32(0); ; n++ {
		select {
		case <-s.stop:
			return
		case <-ticker.C:
		}
		s.mu.Lock()
		format := s.format
		s.mu.Unlock()
		packet := make([]byte, rtp.HeaderSize, rtp.HeaderSize+160)
		rtp.Header{PayloadType: format, SSRC: ssrc, Sequence: uint16(n), Timestamp: n * 160}.Put(packet)
		packet = append(packet, bytes.Repeat([]byte{rtp.MuLaw(loud)}, 160)...)
		report := rtp.AppendCNAME(rtp.AppendSR(nil, ssrc, rtp.SenderInfo{NTP: rtp.NTPTime(time.Now()), RTP: n * 160, Packets: n}), ssrc, "party")
		s.mu.Lock()
		sends, far, kind, mux := s.sends, s.far, s.kind, s.mux
		if sends && s.out != nil {
			packet, _ = s.out.EncryptRTP(nil, packet, nil)
			report, _ = s.out.EncryptRTCP(nil, report, nil)
		}
		s.mu.Unlock()
		if !sends {
			continue
		}
		s.mu.Lock()
		s.said++
		s.mu.Unlock()
		if kind != "reports" {
			_, _ = s.rtp.WriteToUDPAddrPort(packet, far)
		}
		switch {
		case n%10 != 0 || kind == "voice":
		case mux:
			_, _ = s.rtp.WriteToUDPAddrPort(report, far)
		default:
			_, _ = s.rtcp.WriteToUDPAddrPort(report, netip.AddrPortFrom(far.Addr(), far.Port()+1))
		}
	}
}

// listen counts what can be understood.
func (s *sound) listen(conn *net.UDPConn) {
	buf := make([]byte, 4096)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		s.hear(bytes.Clone(buf[:n]), conn == s.rtcp)
	}
}

func (s *sound) hear(b []byte, report bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	report = report || s.mux && rtp.IsRTCP(b)
	switch {
	case s.in == nil && s.suite != "":
		return // nothing can be understood
	case s.in == nil:
	case report:
		b, err = s.in.DecryptRTCP(nil, b, nil)
	default:
		b, err = s.in.DecryptRTP(nil, b, nil)
	}
	switch {
	case err != nil:
	case report:
		s.reports++
	case !isTone(b):
		s.foreign++
	default:
		s.heard++
		s.last = b[1] & 0x7f
	}
}

// counts returns what was heard so far.
func (s *sound) counts() (packets, reports int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard, s.reports
}

// says waits until it has sent some more packets.
func (s *sound) says(what string) {
	s.t.Helper()
	said := func() int {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.said
	}
	before := said()
	eventually(s.t, what, func() bool { return said() > before+5 })
}

// hears waits for some more packets, and for a report where there are to be any.
func (s *sound) hears(what string, reports int) {
	s.t.Helper()
	packets, before := s.counts()
	eventually(s.t, what, func() bool {
		p, r := s.counts()
		return p >= packets+10 && r >= before+reports
	})
}
