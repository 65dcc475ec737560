package media

import (
	"strings"
	"testing"
	"time"

	"carillon/call"
)

// FuzzVerbs makes signalling's calls in any order and checks what must always hold.
func FuzzVerbs(f *testing.F) {
	p := newPlane(f, func(c *Config) { c.DrainTime = time.Millisecond; c.PortLo, c.PortHi = 26000, 27999 })
	a, b := newPhone(f, 1), newPhone(f, 2)
	moved := newPhone(f, 3)
	bodies := [][]byte{
		a.sdp("RTP/AVP"), a.offer(gcm), moved.offer("AES_CM_128_HMAC_SHA1_80"), b.sdp("RTP/AVP"),
		[]byte("v=0\r\nc=IN IP4 0.0.0.0\r\nm=audio 9 RTP/AVP 0\r\n"), []byte("rubbish"),
		b.sdp("RTP/SAVP", "1 AEAD_AES_128_GCM inline:"+a.offerKey(), "3 AES_CM_128_HMAC_SHA1_80 inline:"+moved.offerKey()),
		append(a.sdp("RTP/AVP"), "m=video 4000 RTP/AVP 96\r\nm=audio 4002 RTP/AVP 8\r\n"...), b.fax(),
	}
	legs := []call.Leg{plainLeg, secureLeg, offerLeg, {SRTP: call.SRTPOffer, HoldUntilConfirmed: true}}
	f.Add([]byte{0x00, 0x01, 0x11, 0x06, 0x02, 0x03, 0x00, 0x11, 0x06, 0x04})
	f.Add([]byte{0x10, 0x00, 0x01, 0x01, 0x20, 0x00, 0x05, 0x01})
	f.Add([]byte{0x00, 0x00, 0x07, 0x0a, 0x07, 0x06, 0x00, 0x00, 0x00, 0x0a, 0x07, 0x00, 0x08})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) == 0 {
			return
		}
		first := legs[int(ops[0]>>4)%len(legs)]
		s, refusal := p.Open(call.Open{ID: "fuzz", Offerer: call.Side(ops[0] & 1), Leg: first})
		if refusal != nil {
			return // ports of earlier rounds still drain
		}
		defer s.Close()
		var sections [2]int // of what each side was told last
		for i := 1; i+1 < len(ops) && i < 64; i += 2 {
			side, body := call.Side(ops[i]>>3&1), bodies[int(ops[i+1])%len(bodies)]
			to := legs[int(ops[i]>>4)%len(legs)]
			switch ops[i] & 7 {
			case 0, 1:
				out, refusal := s.Offer(side, body, to)
				if refusal != nil {
					break
				}
				if strings.Contains(string(out), "inline:") && !to.SecureSignalling {
					t.Fatal("a key was written for signalling in the clear")
				}
				n := len(kinds(out))
				if told := &sections[side.Other()]; n < *told {
					t.Fatalf("offered %d sections after %d", n, *told)
				} else {
					*told = n
				}
			case 2, 3, 4:
				if out, refusal := s.Answer(side, body); refusal == nil {
					sections[side.Other()] = len(kinds(out))
				}
			case 5:
				s.Reject()
			case 6:
				s.Confirm(side)
			case 7:
				s.Close()
			}
			checkLegs(t, s)
		}
	})
}

func checkLegs(t *testing.T, s *Session) {
	t.Helper()
	for _, lg := range s.legs {
		p := lg.path.Load()
		if p == nil {
			continue
		}
		if (p.sender == nil) != (p.receiver == nil) {
			t.Fatal("a leg is protected one way only")
		}
		if lg.policy.SRTP == call.SRTPRequire && (p.sender == nil || !p.secure) {
			t.Fatal("a leg that requires SRTP has none")
		}
		if lg.policy.HoldUntilConfirmed && !lg.confirmed && !p.muted && !mayHear(lg.policy, lg.now.addr.Addr()) {
			t.Fatal("media would go to a peer that was not confirmed")
		}
		if lg.now.line != nil && (lg.now.line.key.Equal(lg.now.key) || lg.far.now.line != nil && lg.far.now.line.key.Equal(lg.now.line.key)) {
			t.Fatal("one key serves two streams")
		}
	}
}

// Re-offers while packets flow both ways: nothing is lost where keys stay, and no memory is shared unguarded.
func TestReoffersWhileTalking(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, gcm}, secureLeg)
	s.Confirm(call.Customer)
	offer, answer := a.offer(gcm), b.offer(gcm)
	stop, done := make(chan struct{}), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				done <- n
				return
			default:
			}
			if _, refusal := s.Offer(call.Customer, offer, secureLeg); refusal != nil {
				t.Errorf("re-offer: %v", *refusal)
			}
			if n%3 == 0 {
				s.Reject()
			} else if _, refusal := s.Answer(call.Carrier, answer); refusal != nil {
				t.Errorf("answer: %v", *refusal)
			}
			s.Confirm(call.Carrier)
			s.Report()
			n++
		}
	}()
	for range 200 {
		talk(a, b)
	}
	close(stop)
	if n := <-done; n == 0 {
		t.Error("no re-offer happened")
	}
	r := s.Close()
	for side, l := range r.Legs {
		if l.PacketsReceived != 200 || l.PacketsSent != 200 || l.AuthFailures+l.Replays+l.Lost != 0 {
			t.Errorf("leg %d: %+v", side, l)
		}
	}
}
