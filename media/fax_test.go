package media

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/clock/clocktest"
)

// udptl is a packet with a sequence number, a primary packet of n octets and no redundancy.
func udptl(seq uint16, n int) []byte {
	b := []byte{byte(seq >> 8), byte(seq), byte(n)}
	if n > 127 {
		b = []byte{byte(seq >> 8), byte(seq), 0x80 | byte(n>>8), byte(n)}
	}
	return append(append(b, bytes.Repeat([]byte{0xf0}, n)...), 0x00, 0x00)
}

// fax is a description that switches a call to T.38, the audio section kept at port 0 as gateways do.
func (p *phone) fax() []byte {
	text := string(p.sdp("RTP/AVP"))
	at := strings.Index(text, "m=audio")
	section := fmt.Sprintf("m=image %d udptl t38\r\nc=IN IP4 127.0.0.1\r\na=T38FaxVersion:0\r\na=T38MaxBitRate:14400\r\na=T38FaxUdpEC:t38UDPRedundancy\r\n", port(p.rtp))
	return []byte(text[:at] + "m=audio 0 RTP/AVP 0\r\n" + section)
}

func TestFaxOnPlainLegs(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
	a.version = 2
	offered, refusal := s.Offer(call.Customer, a.fax(), plainLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for _, want := range []string{"m=audio 0 RTP/AVP 0", fmt.Sprintf("m=image %d udptl t38\r\n", s.legs[call.Carrier].local().Port()), "a=T38MaxBitRate:14400"} {
		if !strings.Contains(string(offered), want) {
			t.Errorf("the offer lacks %q:\n%s", want, offered)
		}
	}
	talk(a, b) // audio goes on until the answer
	if answered, refusal := s.Answer(call.Carrier, b.fax()); refusal != nil || !strings.Contains(string(answered), "udptl t38") {
		t.Fatalf("answer: %v\n%s", refusal, answered)
	}
	toA, toB := s.legs[call.Customer].local(), s.legs[call.Carrier].local()
	for i, n := range []int{1, 127, 128, 400} {
		packet := udptl(uint16(i), n)
		a.write(a.rtp, packet, toA)
		if got, ok := b.read(b.rtp, patience); !ok || !bytes.Equal(got, packet) {
			t.Errorf("%d octets: got %d, %v", n, len(got), ok)
		}
		b.write(b.rtp, packet, toB)
		if got, ok := a.read(a.rtp, patience); !ok || !bytes.Equal(got, packet) {
			t.Errorf("%d octets back: got %d, %v", n, len(got), ok)
		}
	}
	stranger := newPhone(t, 3)
	stranger.write(stranger.rtp, udptl(9, 5), toA)
	a.write(a.rtp, []byte("no fax"), toA)
	b.hearNothing()
	a.version, b.version = 3, 2
	back, refusal := s.Offer(call.Customer, a.offer(""), plainLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(back, ""))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(answered)
	talk(a, b)
	r := s.Close()
	if r.Legs[call.Customer].WrongSource != 1 || p.Stats().Malformed != 1 {
		t.Errorf("report %+v, malformed %d", r.Legs[call.Customer], p.Stats().Malformed)
	}
}

// Where either side must be encrypted there is no T.38, in an offer or an answer, and the call goes on as it was.
func TestFaxIsNeverInTheClear(t *testing.T) {
	const suite = "AEAD_AES_128_GCM"
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{suite, ""}, plainLeg)
	talk(a, b)
	for side, offer := range map[call.Side][]byte{call.Customer: a.fax(), call.Carrier: b.fax()} {
		to := plainLeg
		if side == call.Carrier {
			to = secureLeg
		}
		if _, refusal := s.Offer(side, offer, to); refusal == nil || refusal.Reason != call.ReasonMediaNotEncrypted || !strings.Contains(refusal.Detail, "T.38") {
			t.Errorf("offer of %v: %v", side, refusal)
		}
	}
	talk(a, b)
	offered, refusal := s.Offer(call.Customer, a.offer(suite), plainLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if _, refusal := s.Answer(call.Carrier, b.fax()); refusal == nil {
		t.Errorf("audio was answered with T.38:\n%s", offered)
	}
	s.Reject()
	a.write(a.rtp, udptl(1, 5), s.legs[call.Customer].local())
	b.hearNothing()
	talk(a, b)
}

// What is answered is of the kind that was offered, whatever the legs may have.
func TestFaxAnswersFaxAlone(t *testing.T) {
	p := newPlane(t, nil)
	for _, suite := range []string{"", gcm} {
		s := open(t, p, call.Customer, legOf(suite))
		a, b := newPhone(t, 1), newPhone(t, 2)
		dial(s, a, b, suites{suite, ""}, plainLeg)
		s.Confirm(call.Customer)
		talk(a, b)
		a.version++
		if _, refusal := s.Offer(call.Customer, a.offer(suite), plainLeg); refusal != nil {
			t.Fatal(*refusal)
		}
		onlyFax := strings.Replace(string(b.fax()), "m=audio 0 RTP/AVP 0\r\n", "", 1)
		if _, refusal := s.Answer(call.Carrier, []byte(onlyFax)); reason(refusal) != call.ReasonBadDescription {
			t.Errorf("%q: audio is answered with T.38: %v", suite, reason(refusal))
		}
		s.Reject()
		talk(a, b)
		if suite != "" {
			continue
		}
		if _, refusal := s.Offer(call.Customer, []byte(onlyFax), plainLeg); refusal != nil {
			t.Fatal(*refusal)
		}
		if _, refusal := s.Answer(call.Carrier, b.offer("")); reason(refusal) != call.ReasonBadDescription {
			t.Errorf("T.38 is answered with audio: %v", reason(refusal))
		}
		s.Reject()
		talk(a, b)
	}
}

// faxCall is a call that has been switched to T.38.
func faxCall(t *testing.T, p *Plane) (s *Session, a, b *phone) {
	t.Helper()
	s = open(t, p, call.Customer, plainLeg)
	a, b = newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	offered, refusal := s.Offer(call.Customer, a.fax(), plainLeg)
	if refusal == nil {
		_, refusal = s.Answer(call.Carrier, b.fax())
	}
	if refusal != nil {
		t.Fatalf("%v\n%s", *refusal, offered)
	}
	return s, a, b
}

// A fax is guarded like audio: only the described address counts, what is no UDPTL is dropped, and a flood is policed.
func TestFaxIsGuarded(t *testing.T) {
	clock := clocktest.New()
	p := newPlane(t, func(c *Config) { c.Clock = clock })
	s, a, b := faxCall(t, p)
	page := udptl(1, 200)
	for _, x := range []*phone{newPhone(t, 1), newPhoneAt(t, 1, "127.0.0.66")} {
		x.write(x.rtp, page, a.far)
		x.write(a.rtcp, page, a.far)
		x.write(a.rtp, page, netip.AddrPortFrom(a.far.Addr(), a.far.Port()+1))
		x.write(x.rtp, udptl(2, 1), b.far)
	}
	a.hearNothing()
	b.hearNothing()
	before := p.Stats()
	if r := s.Report(); r.Legs[call.Customer].WrongSource != 6 || r.Legs[call.Carrier].WrongSource != 2 || before.WrongSource != 8 {
		t.Errorf("wrong source: %d of the customer, %d of the carrier; want 6 and 2", r.Legs[call.Customer].WrongSource, r.Legs[call.Carrier].WrongSource)
	}
	for n := range len(page) - 1 { // one octet behind the primary packet is enough
		a.write(a.rtp, page[:n], a.far)
	}
	a.write(a.rtp, append(udptl(1, 200), make([]byte, MaxPacket)...), a.far)
	b.hearNothing()
	st := p.Stats()
	if got := st.Malformed - before.Malformed; got != uint64(len(page)-1) || st.Oversize != 1 {
		t.Errorf("%d malformed, %d too long; want %d and 1", got, st.Oversize, len(page)-1)
	}
	a.write(a.rtp, page, a.far)
	if got, ok := b.read(b.rtp, patience); !ok || !bytes.Equal(got, page) {
		t.Errorf("after all that got %d octets, %v", len(got), ok)
	}
	clock.Advance(time.Second)
	heard := 0
	burst(t, p, 500, func(i int) {
		a.write(a.rtp, udptl(uint16(i), 20), a.far)
		if i%50 == 49 {
			heard += b.count(b.rtp)
		}
	})
	if heard += b.count(b.rtp); heard != DefaultPacketRate {
		t.Errorf("%d of 500 packets in a second were relayed; want %d", heard, DefaultPacketRate)
	}
	if r := s.Close().Legs[call.Customer]; r.Policed != 500-DefaultPacketRate {
		t.Errorf("policed %d", r.Policed)
	}
}

// FuzzUDPTL checks what is taken for UDPTL against its form: all packets that begin with a whole primary packet are, and
// they are relayed as they came, from the peer alone.
func FuzzUDPTL(f *testing.F) {
	f.Add(udptl(1, 1))
	f.Add(udptl(2, 300))
	f.Add([]byte{0, 1, 0xc1, 2, 3})
	f.Add([]byte{0, 1, 0x80, 1, 0xf0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxPacket {
			return
		}
		shortest := len(b) + 1
		for n := range len(b) + 1 {
			if whole := isUDPTL(b[:n]); whole && shortest > n {
				shortest = n
			} else if !whole && shortest <= n {
				t.Fatalf("%x is UDPTL, and with more behind it is not", b[:shortest])
			}
		}
		if shortest <= len(b) {
			length, at := int(b[2]), 3
			if length >= 0x80 {
				length, at = (length-0x80)<<8+int(b[3]), 4
			}
			if length == 0 || length >= 1<<14 || shortest != at+length+1 {
				t.Fatalf("%x was taken for a primary packet of %d octets and error recovery", b[:shortest], length)
			}
		}
		x := newInProcess(t, 0, 0)
		for _, lg := range []*leg{x.from, x.from.far} {
			p := *lg.path.Load()
			p.fax = true
			lg.path.Store(&p)
		}
		x.from.receive(x.w, &x.from.pair.rtp, bytes.Clone(b), netip.MustParseAddrPort("198.51.100.9:9"))
		if x.out != nil {
			t.Fatal("a stranger's packet was relayed")
		}
		x.from.receive(x.w, &x.from.pair.rtp, bytes.Clone(b), x.src)
		if taken := shortest <= len(b); taken != (x.out != nil) || taken && !bytes.Equal(x.out, b) {
			t.Fatalf("%x left as %x", b, x.out)
		}
	})
}
