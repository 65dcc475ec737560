package media

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"carillon/call"
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

func FuzzUDPTL(f *testing.F) {
	f.Add(udptl(1, 1))
	f.Add(udptl(2, 300))
	f.Add([]byte{0, 1, 0xc1, 2, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		if isUDPTL(b) && len(b) < 5 {
			t.Errorf("%x is too short", b)
		}
	})
}
