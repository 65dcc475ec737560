package media

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
	"carillon/egress"
)

// iceOffer is the description of a phone that leaves its address to ICE, as browsers write it (RFC 8829 section 5.2.1).
func (p *phone) iceOffer(suite, fragment string) []byte {
	p.connAddr = "0.0.0.0"
	text := string(p.offer(suite))
	text = strings.Replace(text, fmt.Sprintf("m=audio %d ", port(p.rtp)), "m=audio 9 ", 1)
	if !p.mux {
		text = strings.Replace(text, fmt.Sprintf("a=rtcp:%d", port(p.rtcp)), "a=rtcp:9", 1)
	}
	return []byte(text + "a=ice-ufrag:" + fragment + "\r\na=ice-pwd:the phone's own password of ICE\r\na=candidate:1 1 UDP 1 192.0.2.7 4000 typ host\r\n")
}

// valueOf returns what follows a=name: in a description.
func valueOf(t *testing.T, description, name string) string {
	t.Helper()
	_, rest, ok := strings.Cut(description, "\r\na="+name+":")
	if !ok {
		t.Fatalf("no a=%s in\n%s", name, description)
	}
	v, _, _ := strings.Cut(rest, "\r\n")
	return v
}

// iceCheck makes a connectivity check by hand: attributes are types with their values.
func iceCheck(user, password string, attributes ...string) []byte {
	b := []byte("\x00\x01\x00\x00\x21\x12\xa4\x42a check 1234")
	put := func(kind, value string) {
		b = append(append(b, kind...), byte(len(value)>>8), byte(len(value)))
		b = append(append(b, value...), make([]byte, (4-len(value)%4)%4)...)
	}
	put("\x00\x06", user)
	for i := 0; i < len(attributes); i += 2 {
		put(attributes[i], attributes[i+1])
	}
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20+24))
	mac := hmac.New(sha1.New, []byte(password))
	mac.Write(b)
	put("\x00\x08", string(mac.Sum(nil)))
	return b
}

const (
	priority     = "\x00\x24"
	useCandidate = "\x00\x25"
	controlled   = "\x80\x29"
	controlling  = "\x80\x2a"
	tieBreaker   = "12345678"
)

// answered sends a check and returns the type of the answer, 0 for none, and its first attribute's value.
func (p *phone) answered(c *net.UDPConn, b []byte, to netip.AddrPort) (kind uint16, value []byte) {
	p.t.Helper()
	return p.answeredIn(c, b, to, patience)
}

// answeredIn waits for that long, which for an answer that must not come is not longer than others take.
func (p *phone) answeredIn(c *net.UDPConn, b []byte, to netip.AddrPort, wait time.Duration) (kind uint16, value []byte) {
	p.t.Helper()
	p.write(c, b, to)
	out, ok := p.read(c, wait)
	if !ok {
		return 0, nil
	}
	if string(out[4:20]) != string(b[4:20]) {
		p.t.Fatalf("answer %x to %x", out, b)
	}
	return binary.BigEndian.Uint16(out), append([]byte(nil), out[24:24+binary.BigEndian.Uint16(out[22:])]...)
}

func TestICELite(t *testing.T) {
	for _, tt := range []struct {
		suite string
		mux   bool
	}{{gcm, true}, {"AES_CM_128_HMAC_SHA1_80", false}, {"", true}, {"", false}} {
		t.Run(fmt.Sprint(tt.suite, tt.mux), func(t *testing.T) {
			p := newPlane(t, nil)
			s := open(t, p, call.Customer, legOf(tt.suite))
			a, b := newPhone(t, 1), newPhone(t, 2)
			a.mux = tt.mux
			offered, refusal := s.Offer(call.Customer, a.iceOffer(tt.suite, "phone"), plainLeg)
			if refusal != nil {
				t.Fatal(*refusal)
			}
			answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
			if refusal != nil {
				t.Fatal(*refusal)
			}
			a.learn(answered)
			s.Confirm(call.Customer)
			s.Confirm(call.Carrier)
			text := string(answered)
			local := s.legs[call.Customer].local()
			want := []string{"\r\na=ice-lite\r\nm=audio", fmt.Sprintf("a=candidate:1 1 UDP 2130706431 127.0.0.1 %d typ host", local.Port())}
			if !tt.mux {
				want = append(want, fmt.Sprintf("a=candidate:1 2 UDP 2130706430 127.0.0.1 %d typ host", local.Port()+1))
			}
			for _, w := range want {
				if !strings.Contains(text, w) {
					t.Errorf("%q is not in\n%s", w, text)
				}
			}
			if strings.Contains(string(offered), "ice-") || strings.Contains(string(offered), "candidate") || strings.Count(text, "candidate") != len(want)-1 {
				t.Errorf("offer and answer:\n%s\n%s", offered, text)
			}
			b.send("nowhere to go yet")
			a.hearNothing()
			user, password := valueOf(t, text, "ice-ufrag")+":phone", valueOf(t, text, "ice-pwd")
			kind, mapped := a.answered(a.rtp, iceCheck(user, password, priority, "\x6e\x00\x01\xff", controlling, tieBreaker), a.far)
			if kind != 0x0101 || int(binary.BigEndian.Uint16(mapped[2:])^0x2112) != port(a.rtp) {
				t.Fatalf("answer %#x, mapped %x; want success and port %d", kind, mapped, port(a.rtp))
			}
			if tt.suite == "" { // an authentic packet would tell where to send
				b.send("not nominated yet")
				a.hearNothing()
			}
			nominate := iceCheck(user, password, priority, "\x6e\x00\x01\xff", controlling, tieBreaker, useCandidate, "")
			if kind, _ := a.answered(a.rtp, nominate, a.far); kind != 0x0101 {
				t.Fatalf("nomination: %#x", kind)
			}
			b.send("found by ICE")
			a.hear("found by ICE")
			talk(a, b)
			if !tt.mux {
				if kind, _ := a.answered(a.rtcp, nominate, netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1)); kind != 0x0101 {
					t.Fatalf("nomination for RTCP: %#x", kind)
				}
			}
			b.sendReport("bob")
			a.hearReport("bob")
			a.sendReport("alice")
			b.hearReport("alice")
			strangersOfICE(t, s, a, b, user, password)
			if tt.suite == gcm {
				restart(t, s, a, b, text)
			}
		})
	}
}

// strangersOfICE tries checks that are not the peer's.
func strangersOfICE(t *testing.T, s *Session, a, b *phone, user, password string) {
	t.Helper()
	x := newPhone(t, 9)
	for name, tt := range map[string]struct {
		b    []byte
		want uint16
	}{
		"another password":       {iceCheck(user, password+"x", useCandidate, ""), 0},
		"another user":           {iceCheck(user+"x", password, useCandidate, ""), 0},
		"no user":                {iceCheck("", password, useCandidate, ""), 0},
		"the phone's password":   {iceCheck(user, "the phone's own password of ICE", useCandidate, ""), 0},
		"cut off":                {iceCheck(user, password, useCandidate, "")[:40], 0},
		"an agent we should ask": {iceCheck(user, password, useCandidate, "", controlled, tieBreaker), 0x0111},
		"an unknown demand":      {iceCheck(user, password, useCandidate, "", "\x00\x77", "x"), 0x0111},
	} {
		wait := patience
		if tt.want == 0 {
			wait = 3 * shortSleep
		}
		if kind, _ := x.answeredIn(x.rtp, tt.b, a.far, wait); kind != tt.want {
			t.Errorf("%s: answer %#x; want %#x", name, kind, tt.want)
		}
	}
	b.send("still for the phone")
	a.hear("still for the phone")
	if x.count(x.rtp) != 0 {
		t.Error("a stranger hears the call")
	}
	// A pair that the peer nominates later and prefers less does not move the stream.
	if kind, _ := x.answered(x.rtp, iceCheck(user, password, priority, "\x00\x00\x00\x01", useCandidate, ""), a.far); kind != 0x0101 {
		t.Errorf("a second pair: %#x", kind)
	}
	talk(a, b)
}

// restart has both sides change the session: ICE stays with its credentials, and begins anew with the peer's new ones.
func restart(t *testing.T, s *Session, a, b *phone, before string) {
	t.Helper()
	key := a.farKey
	a.version++
	again := strings.Replace(string(a.iceOffer(gcm, "phone")), "m=audio 9 ", fmt.Sprintf("m=audio %d ", port(a.rtp)), 1)
	again = strings.ReplaceAll(again, "0.0.0.0", "127.0.0.1") // the pair that was found is the default now
	offered, refusal := s.Offer(call.Customer, []byte(again), plainLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	b.version++
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a.learn(answered)
	if valueOf(t, string(answered), "ice-pwd") != valueOf(t, before, "ice-pwd") || a.farKey != key {
		t.Error("a re-offer that changes nothing changed ICE or keys")
	}
	talk(a, b)
	b.version++
	offered, refusal = s.Offer(call.Carrier, b.offer(""), secureLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	if valueOf(t, string(offered), "ice-pwd") != valueOf(t, before, "ice-pwd") {
		t.Errorf("our offer to an ICE agent:\n%s", offered)
	}
	tag, _ := cryptoTag(string(offered), gcm)
	a.tag = tag
	if _, refusal := s.Answer(call.Customer, a.iceOffer(gcm, "phone")); refusal != nil {
		t.Fatal(*refusal)
	}
	talk(a, b)
	a.version++
	offered, refusal = s.Offer(call.Customer, a.iceOffer(gcm, "anew"), plainLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	answered, refusal = s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a.learn(answered)
	if valueOf(t, string(answered), "ice-pwd") == valueOf(t, before, "ice-pwd") || a.farKey == key {
		t.Error("a restart of ICE kept our credentials or our key")
	}
	b.send("until the next check")
	a.hearNothing()
	user, password := valueOf(t, string(answered), "ice-ufrag")+":anew", valueOf(t, string(answered), "ice-pwd")
	if kind, _ := a.answered(a.rtp, iceCheck(user, password, priority, "\x01\x00\x00\x00", useCandidate, ""), a.far); kind != 0x0101 {
		t.Errorf("nomination after the restart: %#x", kind)
	}
	talk(a, b)
}

// A phone that can be reached without ICE is answered without it, and nothing answers checks then.
func TestICEOnlyWhereNeeded(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.extra = "a=ice-ufrag:phone\r\na=ice-pwd:the phone's own password of ICE\r\na=candidate:1 1 UDP 1 127.0.0.1 4000 typ host\r\n"
	dial(s, a, b, suites{"", ""}, plainLeg)
	if strings.Contains(a.lastSDP, "ice") || strings.Contains(a.lastSDP, "candidate") {
		t.Errorf("answered with ICE:\n%s", a.lastSDP)
	}
	if kind, _ := a.answeredIn(a.rtp, iceCheck("x:phone", "x"), a.far, 3*shortSleep); kind != 0 {
		t.Errorf("a check was answered with %#x", kind)
	}
	talk(a, b)
	if got := p.Stats().Malformed; got != 1 {
		t.Errorf("%d malformed; want the check", got)
	}
}

// A flood of checks is policed, and no check aims media at an address that may not be sent to.
func TestICEIsBounded(t *testing.T) {
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) {
		c.Clock = clock
		c.Egress = egress.Policy{AllowLoopback: true, Own: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:5061")}}
	})
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.mux = true
	offered, _ := s.Offer(call.Customer, a.iceOffer("", "phone"), plainLeg)
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a.learn(answered)
	user, password := valueOf(t, string(answered), "ice-ufrag")+":phone", valueOf(t, string(answered), "ice-pwd")
	check := iceCheck(user, password)
	burst(t, p, 200, func(int) { a.write(a.rtp, check, a.far) })
	if got := a.count(a.rtp); got != MaxCheckRate {
		t.Errorf("%d of 200 checks in a second were answered; want %d", got, MaxCheckRate)
	}
	if st := p.Stats(); st.Policed != 200-MaxCheckRate || st.Checks != MaxCheckRate {
		t.Errorf("policed %d, answered %d", st.Policed, st.Checks)
	}
	clock.Advance(time.Second)
	path := s.legs[call.Customer].path.Load()
	for _, forbidden := range []string{"169.254.169.254:80", "127.0.0.1:5061", "224.0.0.1:4000"} {
		w := &worker{stats: new(counters), second: 9, send: func(*socket, []byte, netip.AddrPort) bool { return true }}
		s.legs[call.Customer].check(w, path, &s.legs[call.Customer].pair.rtp, iceCheck(user, password, useCandidate, ""), netip.MustParseAddrPort(forbidden))
		if path.rtp.to.IsValid() {
			t.Errorf("media would go to %v", path.rtp.to)
		}
	}
}
