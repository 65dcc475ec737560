package media

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"carillon/call"
	"carillon/egress"
	"carillon/rtp"
)

const gcm = "AEAD_AES_128_GCM"

func TestForgedPacketsNeverPass(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	good := a.send("good")
	b.hear("good")
	speech := strings.Repeat("\xff", 160)
	a.write(a.rtp, good, a.far)                                               // replay
	a.write(a.rtp, a.packet(speech), a.far)                                   // in the clear
	a.write(a.rtp, append(a.packet(speech), make([]byte, 16)...), a.far)      // a wrong tag
	a.write(a.rtp, []byte{1, 2, 3}, a.far)                                    // rubbish
	a.write(a.rtp, make([]byte, MaxPacket+1), a.far)                          // too long
	report := rtp.AppendCNAME(rtp.AppendRR(nil, 1), 1, "clear")               // RTCP in the clear
	a.write(a.rtcp, report, netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1)) //
	stranger := newPhone(t, 66)                                               // a stranger on the plain leg
	stranger.write(stranger.rtp, stranger.packet("spit"), b.far)              //
	stranger.write(stranger.rtcp, report, netip.AddrPortFrom(b.far.Addr(), b.far.Port()+1))
	b.hearNothing()
	a.hearNothing()
	if b, ok := b.read(b.rtcp, shortSleep); ok {
		t.Errorf("RTCP in the clear was relayed: %q", b)
	}
	talk(a, b)
	stats := p.Stats()
	r := s.Close()
	ca, cb := r.Legs[call.Customer], r.Legs[call.Carrier]
	if ca.Replays != 1 || ca.PlainDropped != 2 || ca.AuthFailures != 1 || ca.PlainSent != 0 {
		t.Errorf("encrypted leg: %+v; want 1 replay, 2 plain dropped, 1 authentication failure, 0 plain sent", ca)
	}
	if cb.WrongSource != 2 || ca.PacketsReceived != 2 {
		t.Errorf("wrong source %d, received %d; want 2 and 2", cb.WrongSource, ca.PacketsReceived)
	}
	if stats.Malformed != 1 || stats.Oversize != 1 || stats.Replays != 1 || stats.Dropped != 8 {
		t.Errorf("stats %+v", stats)
	}
}

func TestSecureLatchFollowsAuthenticPackets(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	talk(a, b)
	// The same keys from another port, as after a NAT rebinding.
	moved := newPhone(t, 1)
	held := a.protect(a.packet("held back"))
	moved.out, moved.in, moved.secure, moved.far, moved.seq = a.out, a.in, true, a.far, a.seq
	moved.send("moved")
	b.hear("moved")
	b.send("to the new place")
	moved.hear("to the new place")
	// An older packet from the old place is authentic, but does not move the stream back.
	a.write(a.rtp, held, a.far)
	b.hear("held back")
	b.send("still here")
	moved.hear("still here")
	a.hearNothing()
	if got := s.Report().Legs[call.Customer].Remote.Port(); int(got) != port(moved.rtp) {
		t.Errorf("remote port %d; want %d", got, port(moved.rtp))
	}
}

// The peer's keys do not let it aim its stream at a media port of this node.
func TestLatchNeverMovesToOurPorts(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	talk(a, b)
	var ours *net.UDPConn
	for port := 22999; ours == nil && port > 21000; port-- {
		ours, _ = net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
	}
	if ours == nil {
		t.Fatal("no port of the plane's is free")
	}
	t.Cleanup(func() { ours.Close() })
	a.write(ours, a.protect(a.packet("from our own port")), a.far)
	b.hear("from our own port")
	b.send("still here")
	a.hear("still here")
	if got := s.Report().Legs[call.Customer].Remote.Port(); int(got) != port(a.rtp) {
		t.Errorf("the stream goes to port %d; want %d", got, port(a.rtp))
	}
}

func TestPlainLatchBehindNAT(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.Egress = egress.Policy{AllowLoopback: true} })
	behind := plainLeg
	s := open(t, p, call.Customer, behind)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.connAddr = "10.1.2.3" // private and not where its signalling comes from
	dial(s, a, b, suites{"", ""}, plainLeg)
	b.send("nowhere to go")
	a.hearNothing()
	if st := p.Stats(); st.Muted != 1 || st.Sent != 0 {
		t.Errorf("%d packets went to an address that cannot be theirs", st.Sent)
	}
	a.send("here I am")
	b.hear("here I am")
	talk(a, b)
	stranger := newPhone(t, 66)
	stranger.write(stranger.rtp, stranger.packet("me too"), a.far)
	b.hearNothing()
	if got := s.Report().Legs[call.Customer].WrongSource; got != 1 {
		t.Errorf("wrong source %d; want 1", got)
	}
	// The same description again keeps the latch.
	dial(s, a, b, suites{"", ""}, plainLeg)
	b.send("still there")
	a.hear("still there")
}

// A packet that was held back moves no stream, also when the peer has begun another one meanwhile.
func TestHeldBackPacketOfAnEarlierStream(t *testing.T) {
	for _, suite := range []string{gcm, "AES_CM_128_HMAC_SHA1_80"} {
		p := newPlane(t, nil)
		s := open(t, p, call.Customer, secureLeg)
		a, b, elsewhere := newPhone(t, 1), newPhone(t, 2), newPhone(t, 66)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		talk(a, b)
		held := a.protect(a.packet("held back"))
		talk(a, b)
		a.ssrc = 77
		talk(a, b)
		elsewhere.write(elsewhere.rtp, held, a.far)
		b.hear("held back")
		b.send("where to")
		a.hear("where to")
		if elsewhere.count(elsewhere.rtp) != 0 {
			t.Errorf("%s: the stream moved", suite)
		}
		// The peer itself may begin a stream from elsewhere.
		moved := newPhone(t, 78)
		moved.out, moved.in, moved.secure, moved.far = a.out, a.in, true, a.far
		talk(moved, b)
	}
}

// Behind NAT a peer's media may come from an address of its list, too: the first one that sends is the one.
func TestPlainLatchOnListedAddress(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.Egress = egress.Policy{AllowLoopback: true, Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.79:0")}}
	})
	behind := plainLeg
	behind.Trusted = func(at netip.Addr) bool { return netip.MustParsePrefix("127.0.0.76/30").Contains(at) }
	s := open(t, p, call.Customer, behind)
	a, b := newPhoneAt(t, 1, "127.0.0.77"), newPhone(t, 2)
	a.connAddr = "10.1.2.3"
	dial(s, a, b, suites{"", ""}, plainLeg)
	for _, elsewhere := range []string{"127.0.0.66", "127.0.0.79"} { // in no list, and one of ours
		stranger := newPhoneAt(t, 66, elsewhere)
		stranger.write(stranger.rtp, stranger.packet("me too"), a.far)
		stranger.write(stranger.rtcp, rtp.AppendRR(nil, 66), netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1))
	}
	b.hearNothing()
	a.send("here I am")
	b.hear("here I am")
	talk(a, b)
	a.sendReport("alice")
	b.hearReport("alice")
	b.sendReport("bob")
	a.hearReport("bob")
	for _, late := range []string{"127.0.0.76", "127.0.0.1"} { // of the list, and where the signalling comes from
		stranger := newPhoneAt(t, 66, late)
		stranger.write(stranger.rtp, stranger.packet("me too"), a.far)
	}
	b.hearNothing()
	talk(a, b)
	if got := s.Report().Legs[call.Customer].WrongSource; got != 6 {
		t.Errorf("wrong source %d; want 6", got)
	}
	// An address that can be reached as it is needs no other.
	a.connAddr, a.version = "127.0.0.77", 2
	dial(s, a, b, suites{"", ""}, plainLeg)
	listed := newPhoneAt(t, 66, "127.0.0.76")
	listed.write(listed.rtp, listed.packet("me too"), a.far)
	b.hearNothing()
	talk(a, b)
}

// A phone that changes its network is looked for where its signalling comes from now, once it describes itself anew.
func TestPlainLatchFollowsSignalling(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.Egress = egress.Policy{AllowLoopback: true} })
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.connAddr = "10.1.2.3"
	dial(s, a, b, suites{"", ""}, plainLeg)
	a.send("here I am")
	b.hear("here I am")
	talk(a, b)
	moved := newPhoneAt(t, 1, "127.0.0.66")
	moved.connAddr, moved.far, moved.version, moved.seq = "10.1.2.3", a.far, 2, a.seq
	s.Moved(call.Customer, netip.MustParseAddr("127.0.0.66"))
	moved.send("not described yet")
	b.hearNothing()
	talk(a, b)
	dial(s, moved, b, suites{"", ""}, plainLeg)
	moved.send("here I am now")
	b.hear("here I am now")
	talk(moved, b)
	a.send("from the old place")
	b.hearNothing()
}

// A new description, and nothing else, moves a stream in the clear.
func TestPlainLatchFollowsDescriptions(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
	moved := newPhone(t, 1)
	moved.seq, moved.version, moved.far = a.seq, 2, a.far
	moved.send("not described yet")
	b.hearNothing()
	dial(s, moved, b, suites{"", ""}, plainLeg)
	talk(moved, b)
	moved.sendReport("alice")
	b.hearReport("alice")
	b.sendReport("bob")
	moved.hearReport("bob")
	a.send("from the old place")
	a.sendReport("from the old place")
	b.hearNothing()
	if b.count(b.rtcp) != 0 || a.drain() {
		t.Error("the old place is still in the call")
	}
	if r := s.Close().Legs[call.Customer]; r.WrongSource != 3 || int(r.Remote.Port()) != port(moved.rtp) {
		t.Errorf("wrong source %d, remote %v; want 3 and port %d", r.WrongSource, r.Remote, port(moved.rtp))
	}
}

func TestPolicies(t *testing.T) {
	unsafe := `7 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj UNENCRYPTED_SRTP`
	good := `8 AES_CM_128_HMAC_SHA1_80 inline:d0RmdmcmVCspeEc3QGZiNWpVLFJhQX1cfHAwJSoj|2^20|1:4`
	clearSIP := call.Leg{SRTP: call.SRTPOff}
	offerClear := call.Leg{SRTP: call.SRTPOffer}
	offTLS := call.Leg{SRTP: call.SRTPOff, SecureSignalling: true}
	tests := []struct {
		name     string
		from, to call.Leg
		proto    string
		crypto   []string
		want     call.Reason
		offered  string
	}{
		{"plain to plain", clearSIP, clearSIP, "RTP/AVP", nil, 0, "RTP/AVP"},
		{"feedback ends here", clearSIP, secureLeg, "RTP/AVPF", nil, 0, "RTP/SAVP"},
		{"plain where encryption is required", secureLeg, clearSIP, "RTP/AVP", nil, call.ReasonMediaNotEncrypted, ""},
		{"best effort where it is required", secureLeg, clearSIP, "RTP/AVP", []string{good}, call.ReasonMediaNotEncrypted, ""},
		{"no key", secureLeg, clearSIP, "RTP/SAVP", nil, call.ReasonNoCommonSuite, ""},
		{"unencrypted key only", secureLeg, clearSIP, "RTP/SAVP", []string{unsafe}, call.ReasonNoCommonSuite, ""},
		{"unknown suite, unencrypted, good", secureLeg, clearSIP, "RTP/SAVP", []string{"1 F8_128_HMAC_SHA1_80 inline:AAAA", unsafe, good}, 0, "RTP/AVP"},
		{"key over clear signalling", clearSIP, clearSIP, "RTP/SAVP", []string{good}, call.ReasonKeyInCleartext, ""},
		{"required but clear signalling", call.Leg{SRTP: call.SRTPRequire}, clearSIP, "RTP/SAVP", []string{good}, call.ReasonKeyInCleartext, ""},
		{"insisting offer on a leg that is off", offTLS, clearSIP, "RTP/SAVP", []string{good}, 0, "RTP/AVP"},
		{"offer over TLS", clearSIP, offerLeg, "RTP/AVP", nil, 0, "RTP/SAVP"},
		{"offer over UDP sends no key", clearSIP, offerClear, "RTP/AVP", nil, 0, "RTP/AVP"},
		{"required over UDP sends no key", clearSIP, call.Leg{SRTP: call.SRTPRequire}, "RTP/AVP", nil, call.ReasonKeyInCleartext, ""},
		{"offered twice, protected second", secureLeg, clearSIP, "RTP/AVP 0\r\nm=audio 4002 RTP/SAVP", []string{good}, 0, "RTP/AVP"},
		{"DTLS", offerLeg, clearSIP, "UDP/TLS/RTP/SAVPF", nil, call.ReasonNoCommonSuite, ""},
		{"fax", offerLeg, clearSIP, "udptl", nil, call.ReasonNoCommonCodec, ""},
	}
	p := newPlane(t, nil)
	for _, tt := range tests {
		s := open(t, p, call.Customer, tt.from)
		out, refusal := s.Offer(call.Customer, newPhone(t, 1).sdp(tt.proto, tt.crypto...), tt.to)
		s.Close()
		if got := reason(refusal); got != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, got, tt.want)
			continue
		}
		if tt.want == 0 && !strings.Contains(string(out), " "+tt.offered+" ") {
			t.Errorf("%s: want %s in\n%s", tt.name, tt.offered, out)
		}
		if strings.Contains(string(out), "crypto") != strings.Contains(tt.offered, "SAVP") {
			t.Errorf("%s: keys do not go with %s:\n%s", tt.name, tt.offered, out)
		}
	}
}

func reason(r *call.Refusal) call.Reason {
	if r == nil {
		return call.ReasonNone
	}
	return r.Reason
}

func TestDescriptionsRefused(t *testing.T) {
	audio := "m=audio 4000 RTP/AVP 0\r\n"
	head := "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"
	tests := []struct {
		name, body string
		want       call.Reason
	}{
		{"empty", "", call.ReasonBadDescription},
		{"rubbish", "hello", call.ReasonBadDescription},
		{"no address", head + audio, call.ReasonBadDescription},
		{"a name", head + "c=IN IP4 media.example.com\r\n" + audio, call.ReasonBadDescription},
		{"metadata service", head + "c=IN IP4 169.254.169.254\r\n" + audio, call.ReasonBadDescription},
		{"RTCP to the metadata service", head + "c=IN IP4 127.0.0.1\r\n" + audio + "a=rtcp:80 IN IP4 169.254.169.254\r\n", call.ReasonBadDescription},
		{"multicast", head + "c=IN IP4 224.2.1.1/127\r\n" + audio, call.ReasonBadDescription},
		{"broadcast", head + "c=IN IP4 255.255.255.255\r\n" + audio, call.ReasonBadDescription},
		{"our own SIP port", head + "c=IN IP4 127.0.0.1\r\nm=audio 5061 RTP/AVP 0\r\n", call.ReasonBadDescription},
		{"our own media port", head + "c=IN IP4 127.0.0.1\r\nm=audio OURS RTP/AVP 0\r\n", call.ReasonBadDescription},
		{"our own RTCP port", head + "c=IN IP4 127.0.0.1\r\n" + audio + "a=rtcp:OURS\r\n", call.ReasonBadDescription},
		{"IPv6 without an IPv6 address of ours", head + "c=IN IP6 ::1\r\n" + audio, call.ReasonBadDescription},
		{"rejected audio", head + "c=IN IP4 127.0.0.1\r\nm=audio 0 RTP/AVP 0\r\n", call.ReasonNoCommonCodec},
		{"video only", head + "c=IN IP4 127.0.0.1\r\nm=video 4000 RTP/AVP 96\r\n", call.ReasonNoCommonCodec},
		{"no format", head + "c=IN IP4 127.0.0.1\r\nm=audio 4000 RTP/AVP\r\n", call.ReasonNoCommonCodec},
		{"no media", head, call.ReasonNoCommonCodec},
		{"a thousand sections", head + strings.Repeat(audio, 400), call.ReasonBadDescription},
	}
	p := newPlane(t, func(c *Config) { c.Egress.Own = []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5061")} })
	other := open(t, p, call.Customer, plainLeg)
	ours := fmt.Sprint(other.legs[call.Carrier].pair.rtp.local.Port())
	for _, tt := range tests {
		s := open(t, p, call.Customer, plainLeg)
		body := []byte(strings.Replace(tt.body, "OURS", ours, 1))
		if _, refusal := s.Offer(call.Customer, body, plainLeg); reason(refusal) != tt.want {
			t.Errorf("%s: %v; want %v", tt.name, reason(refusal), tt.want)
		}
		s.Close()
	}
}

// TestForbiddenAddressesSoundAlike: which rule forbids an address is in the log, or a stranger could map the inside.
func TestForbiddenAddressesSoundAlike(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.Egress = egress.Policy{} })
	for _, address := range []string{"127.0.0.1", "169.254.169.254", "224.2.1.1"} {
		s := open(t, p, call.Customer, plainLeg)
		body := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\nc=IN IP4 " + address + "\r\nm=audio 4000 RTP/AVP 0\r\n"
		_, refusal := s.Offer(call.Customer, []byte(body), plainLeg)
		if refusal == nil || refusal.Reason != call.ReasonBadDescription ||
			refusal.Detail != "its media address is not one that this node sends to" || !strings.Contains(refusal.Fix, "--allow-loopback") {
			t.Errorf("%s: %+v", address, refusal)
		}
		s.Close()
	}
}

// A side that describes one forbidden address after the other must not fill the log.
func TestForbiddenAddressesAreLoggedInMeasure(t *testing.T) {
	var out strings.Builder
	p := newPlane(t, func(c *Config) {
		c.Egress, c.Logger = egress.Policy{}, slog.New(slog.NewTextHandler(&out, nil))
	})
	s := open(t, p, call.Customer, plainLeg)
	for range 10 * maxLoggedRefusals {
		_, refusal := s.Offer(call.Customer, []byte("v=0\r\nc=IN IP4 224.2.1.1\r\nm=audio 4000 RTP/AVP 0\r\n"), plainLeg)
		if reason(refusal) != call.ReasonBadDescription {
			t.Fatalf("the offer: %v", refusal)
		}
	}
	s.Close()
	if n := strings.Count(out.String(), "refuse media address"); n != maxLoggedRefusals {
		t.Errorf("%d lines are logged, want %d", n, maxLoggedRefusals)
	}
}

func TestBadAnswersAreRefused(t *testing.T) {
	p := newPlane(t, nil)
	a, b := newPhone(t, 1), newPhone(t, 2)
	s := open(t, p, call.Customer, plainLeg)
	if _, refusal := s.Answer(call.Carrier, b.offer("")); reason(refusal) != call.ReasonInternal {
		t.Errorf("answer without an offer: %v", refusal)
	}
	offered, _ := s.Offer(call.Customer, a.offer(""), secureLeg)
	_, echo, _ := strings.Cut(string(offered), "a=crypto:1 ")
	echo, _, _ = strings.Cut(echo, "\r\n")
	for name, tt := range map[string]struct {
		body []byte
		want call.Reason
	}{
		"plain":          {b.sdp("RTP/AVP"), call.ReasonMediaNotEncrypted},
		"no key":         {b.sdp("RTP/SAVP"), call.ReasonNoCommonSuite},
		"unknown tag":    {b.sdp("RTP/SAVP", "99 AEAD_AES_128_GCM inline:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGw=="), call.ReasonNoCommonSuite},
		"our own key":    {b.sdp("RTP/SAVP", "1 "+echo), call.ReasonNoCommonSuite},
		"rejected audio": {[]byte(strings.Replace(string(b.sdp("RTP/SAVP")), "m=audio "+fmt.Sprint(port(b.rtp)), "m=audio 0", 1)), call.ReasonNoCommonCodec},
	} {
		if _, refusal := s.Answer(call.Carrier, tt.body); reason(refusal) != tt.want {
			t.Errorf("%s: %v; want %v", name, reason(refusal), tt.want)
		}
	}
	if _, refusal := s.Answer(call.Customer, b.offer("")); reason(refusal) != call.ReasonInternal {
		t.Errorf("answer from the offerer: %v", refusal)
	}
	offered, _ = s.Offer(call.Customer, a.offer(""), plainLeg)
	six := strings.ReplaceAll(string(b.answer(offered, "")), "IP4 127.0.0.1", "IP6 ::1")
	if _, refusal := s.Answer(call.Carrier, []byte(six)); reason(refusal) != call.ReasonBadDescription {
		t.Errorf("answer in another family: %v", reason(refusal))
	}
	// Best effort: the peer of a leg that only prefers SRTP may answer in the clear.
	s = open(t, p, call.Customer, plainLeg)
	dial(s, a, b, suites{"", ""}, offerLeg)
	talk(a, b)
}

func TestPortsRunOutAndComeBack(t *testing.T) {
	p := newPlane(t, func(c *Config) { c.PortLo, c.PortHi, c.DrainTime = 23101, 23108, 20*time.Millisecond })
	// 23102 to 23107: three pairs, so one call.
	s := open(t, p, call.Customer, plainLeg)
	if _, refusal := p.Open(call.Open{ID: "second", Leg: plainLeg}); reason(refusal) != call.ReasonNodeFull {
		t.Fatalf("second call: %v; want %v", refusal, call.ReasonNodeFull)
	}
	if st := p.Stats(); st.Sessions != 1 || st.PortsInUse != 4 || st.PortsTotal != 6 || st.Refused != 1 {
		t.Errorf("stats %+v; want 1 session on 4 of 6 ports and 1 refused", st)
	}
	s.Close()
	s.Close()
	if st := p.Stats(); st.Sessions != 0 || st.PortsInUse != 0 || st.PortsDraining < 4 {
		t.Errorf("stats after the call %+v; want 4 ports draining", st)
	}
	deadline := time.Now().Add(patience)
	for p.Stats().PortsDraining > 0 && time.Now().Before(deadline) {
		time.Sleep(5 * time.Millisecond)
	}
	open(t, p, call.Customer, plainLeg).Close()
}

// TestMostPorts: a plane binds no more ports than it may, on all its addresses, and takes those that rest before it refuses.
func TestMostPorts(t *testing.T) {
	p := newPlane(t, func(c *Config) {
		c.IPs = append(c.IPs, netip.MustParseAddr("127.0.0.2"))
		c.PortLo, c.PortHi, c.MaxPorts, c.DrainTime = 23110, 23199, 9, 20*time.Millisecond
	})
	first, second := open(t, p, call.Customer, plainLeg), open(t, p, call.Customer, plainLeg)
	if _, refusal := p.Open(call.Open{ID: "third", Leg: plainLeg}); reason(refusal) != call.ReasonNodeFull {
		t.Fatalf("third call: %v; want %v", refusal, call.ReasonNodeFull)
	}
	if st := p.Stats(); st.PortsInUse != 8 || st.PortsTotal != 8 {
		t.Errorf("%d of %d ports in use; want 8 of 8", st.PortsInUse, st.PortsTotal)
	}
	first.Close()
	deadline := time.Now().Add(patience)
	for {
		s, refusal := p.Open(call.Open{ID: "third", Leg: plainLeg})
		if refusal == nil {
			s.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no call although one has ended: %v", refusal)
		}
		time.Sleep(time.Millisecond)
	}
	second.Close()
	if st := p.Stats(); st.PortsInUse+st.PortsDraining+st.PortsIdle > 8 {
		t.Errorf("more than 8 ports are bound: %+v", st)
	}
}

func TestDrainingPortsRelayNothing(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
	s.Close()
	a.send("after the call")
	b.hearNothing()
	if st := p.Stats(); st.Unready != 1 {
		t.Errorf("unready %d; want 1", st.Unready)
	}
	if _, refusal := s.Offer(call.Customer, a.offer(""), plainLeg); refusal == nil {
		t.Error("a closed session took an offer")
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	before, files := runtime.NumGoroutine(), countFiles(t)
	p, err := New(Config{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}, PortLo: 23200, PortHi: 23400})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s := open(t, p, call.Customer, plainLeg)
		if i%2 == 0 {
			s.Close()
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if _, refusal := p.Open(call.Open{Leg: plainLeg}); refusal == nil || refusal.Reason != call.ReasonDraining {
		t.Errorf("a closed plane opened a session, or did not say that it is closed: %v", refusal)
	}
	deadline := time.Now().Add(patience)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if got := runtime.NumGoroutine(); got > before {
		t.Errorf("%d goroutines; want %d", got, before)
	}
	if got := countFiles(t); got != files {
		t.Errorf("%d open files; want %d", got, files)
	}
}

func countFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if errors.Is(err, os.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestCallsSideBySide(t *testing.T) {
	p := newPlane(t, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, uint32(2*i)), newPhone(t, uint32(2*i+1))
		dial(s, a, b, suites{gcm, ""}, plainLeg)
		wg.Go(func() {
			for range 20 {
				talk(a, b)
				s.Report()
				p.Stats()
			}
			s.Close()
		})
	}
	wg.Wait()
}

// A gateway starts its sequence over with the same SSRC, far behind: the encrypted peer must go on hearing it.
func TestSourceStartsOver(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.seq = 30000
	dial(s, a, b, suites{"", gcm}, secureLeg)
	talk(a, b)
	again := a.packet("sent twice")
	a.write(a.rtp, again, a.far)
	b.hear("sent twice")
	a.write(a.rtp, again, a.far) // a copy on the way is no new start, and its index is used up
	b.hearNothing()
	for _, restart := range []uint16{20000, 100, 65000} {
		a.seq = restart
		a.send("first")
		a.send("second")
		if got, ok := b.read(b.rtp, patience); !ok {
			t.Fatal("nothing after the restart")
		} else if _, err := b.in.DecryptRTP(nil, got, nil); err != nil {
			t.Fatal(err)
		}
		for b.drain() {
		}
		talk(a, b)
	}
	if got := p.Stats().SendRefused; got < 2 || got > 4 {
		t.Errorf("%d packets not sent; want the copy and one for each restart that went back", got)
	}
}
