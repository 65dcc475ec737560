package media

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	pion "github.com/pion/srtp/v3"

	"carillon/call"
)

func TestRelayBetweenAllProfiles(t *testing.T) {
	const gcm, cm = "AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"
	p := newPlane(t, nil)
	for _, a := range []string{"", gcm, cm, "AES_CM_256_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"} {
		for _, b := range []string{"", gcm, cm} {
			for _, mux := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s to %s mux %v", a, b, mux), func(t *testing.T) {
					s := open(t, p, call.Customer, legOf(a))
					pa, pb := newPhone(t, 1), newPhone(t, 2)
					pa.mux, pb.mux = mux, mux
					dial(s, pa, pb, suites{a, b}, legOf(b))
					for range 3 {
						talk(pa, pb)
					}
					pa.sendReport("alice")
					pb.hearReport("alice")
					pb.sendReport("bob")
					pa.hearReport("bob")
					checkReport(t, s.Close(), a, b)
				})
			}
		}
	}
}

func checkReport(t *testing.T, r call.MediaReport, suites ...string) {
	t.Helper()
	for side, suite := range suites {
		l := r.Legs[side]
		if l.PacketsReceived != 3 || l.PacketsSent != 3 || l.RTCPReceived != 1 || l.RTCPSent != 1 {
			t.Errorf("leg %d: %+v; want 3 packets and 1 RTCP each way", side, l)
		}
		if l.Codec != "PCMU/8000" || !l.Local.IsValid() || !l.Remote.IsValid() {
			t.Errorf("leg %d: codec %q, local %v, remote %v", side, l.Codec, l.Local, l.Remote)
		}
		secure, plain, profile := uint64(0), uint64(4), "RTP/AVP"
		if suite != "" {
			secure, plain, profile = 4, 0, "RTP/SAVP"
		}
		if l.Protected != secure || l.Unprotected != secure || l.PlainSent != plain || l.Profile != profile {
			t.Errorf("leg %d: protected %d, unprotected %d, plain %d, %s; want %d, %d, %d, %s", side,
				l.Protected, l.Unprotected, l.PlainSent, l.Profile, secure, secure, plain, profile)
		}
		if (l.Suite != "") != (suite != "") || strings.Contains(l.Suite, "CM_256") {
			t.Errorf("leg %d: suite %q; want the IANA name of %q", side, l.Suite, suite)
		}
	}
}

func TestNothingOfOneSideReachesTheOther(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, offerLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.extra = "a=candidate:1 1 UDP 1 10.9.8.7 5000 typ host\r\na=ice-ufrag:xyz\r\na=note:see 127.0.0.1\r\nm=video 4000 RTP/AVP 96\r\n"
	offered, refusal := s.Offer(call.Customer, a.offer("AEAD_AES_128_GCM"), offerLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for _, leak := range []string{"carol", fmt.Sprintf(" %d ", port(a.rtp)), fmt.Sprintf(" %d ", port(a.rtcp)), "candidate", "ice-", "a=note", a.offerKey(), "a=rtcp:"} {
		if strings.Contains(string(offered), leak) {
			t.Errorf("the offer holds %q:\n%s", leak, offered)
		}
	}
	if !strings.Contains(string(offered), "m=video 0 RTP/AVP 96") {
		t.Errorf("video was not rejected:\n%s", offered)
	}
	answered, refusal := s.Answer(call.Carrier, b.answer(offered, "AEAD_AES_256_GCM"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(answered)
	for _, leak := range []string{b.offerKey(), b.farKey, fmt.Sprintf(" %d ", port(b.rtp))} {
		if strings.Contains(string(answered), leak) {
			t.Errorf("the answer holds %q:\n%s", leak, answered)
		}
	}
	if !strings.Contains(string(answered), "a=crypto:7 AEAD_AES_128_GCM inline:") || strings.Count(string(answered), "m=") != 2 {
		t.Errorf("answer:\n%s", answered)
	}
	talk(a, b)
}

func TestLateOffer(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Carrier, plainLeg)
	carrier, customer := newPhone(t, 1), newPhone(t, 2)
	offered, refusal := s.Offer(call.Carrier, carrier.offer(""), secureLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	if !strings.Contains(string(offered), "RTP/SAVP") {
		t.Fatalf("our late offer is in the clear:\n%s", offered)
	}
	if _, refusal = s.Answer(call.Customer, customer.sdp("RTP/AVP")); refusal == nil || refusal.Reason != call.ReasonMediaNotEncrypted {
		t.Fatalf("plain answer: %v; want %v", refusal, call.ReasonMediaNotEncrypted)
	}
	customer.write(customer.rtp, customer.packet("early"), s.legs[call.Customer].local())
	carrier.hearNothing()
	answered, refusal := s.Answer(call.Customer, customer.answer(offered, "AEAD_AES_128_GCM"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	carrier.learn(answered)
	talk(carrier, customer)
	if r := s.Close(); r.Legs[call.Customer].PlainSent != 0 || r.Legs[call.Customer].Suite != "AEAD_AES_128_GCM" {
		t.Errorf("customer leg %+v", r.Legs[call.Customer])
	}
}

func TestSameAnswerTwice(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	offered, _ := s.Offer(call.Customer, a.offer("AES_CM_128_HMAC_SHA1_80"), secureLeg)
	answer := b.answer(offered, "AES_CM_128_HMAC_SHA1_80")
	first, refusal := s.Answer(call.Carrier, answer)
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(first)
	talk(a, b)
	second, refusal := s.Answer(call.Carrier, answer)
	if refusal != nil || string(first) != string(second) {
		t.Errorf("second answer %v:\n%s\nwant\n%s", refusal, second, first)
	}
	talk(a, b)
	// Another fork answers: other address and key, same offer.
	c := newPhone(t, 3)
	third, refusal := s.Answer(call.Carrier, c.answer(offered, "AEAD_AES_128_GCM"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(third)
	talk(a, c)
	b.send("late")
	a.hearNothing()
}

func TestEachTargetHasItsOwnKey(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b, c := newPhone(t, 1), newPhone(t, 2), newPhone(t, 3)
	first, _ := s.Offer(call.Customer, a.offer(""), secureLeg)
	answered, refusal := s.Answer(call.Carrier, b.answer(first, "AEAD_AES_128_GCM"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(answered)
	talk(a, b)
	second, refusal := s.Offer(call.Customer, a.offer(""), secureLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	for line := range strings.Lines(string(first)) {
		if _, key, ok := strings.Cut(strings.TrimSpace(line), "inline:"); ok && strings.Contains(string(second), key) {
			t.Errorf("the second target was sent a key of the first")
		}
	}
	answered, refusal = s.Answer(call.Carrier, c.answer(second, "AEAD_AES_128_GCM"))
	if refusal != nil {
		t.Fatal(refusal)
	}
	a.learn(answered)
	talk(a, c)
}

func TestReofferKeepsKeysAndPorts(t *testing.T) {
	const suite = "AES_CM_128_HMAC_SHA1_80"
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	// The sequence number wraps before the re-offer: only a kept rollover counter can go on.
	a.seq, b.seq = 65533, 65533
	dial(s, a, b, suites{suite, suite}, secureLeg)
	for range 4 {
		talk(a, b)
	}
	s.Confirm(call.Customer)
	s.Confirm(call.Carrier)
	keyA, keyB, farA, farB, versionA := a.farKey, b.farKey, a.far, b.far, a.lastSDP
	dial(s, a, b, suites{suite, suite}, secureLeg)
	if a.farKey != keyA || b.farKey != keyB || a.far != farA || b.far != farB {
		t.Error("a re-offer that changes nothing changed keys or ports")
	}
	if a.lastSDP != versionA {
		t.Errorf("answer to the same offer:\n%s\nwant\n%s", a.lastSDP, versionA)
	}
	talk(a, b)
	// Hold and resume in the other direction, offered by b.
	b.direct, b.version = "sendonly", 2
	offered, refusal := s.Offer(call.Carrier, b.offer(suite), secureLeg)
	if refusal != nil || !strings.Contains(string(offered), "a=sendonly") {
		t.Fatalf("hold: %v\n%s", refusal, offered)
	}
	a.direct = "recvonly"
	answered, refusal := s.Answer(call.Customer, a.answer(offered, suite))
	if refusal != nil {
		t.Fatal(refusal)
	}
	b.learn(answered)
	if a.farKey != keyA || b.farKey != keyB {
		t.Error("hold changed keys")
	}
	b.send("music")
	a.hear("music")
	// a moves to another port: its receiver has lost our rollover counter, so it gets a new key.
	moved := newPhone(t, 9)
	moved.seq = 10
	offered, refusal = s.Offer(call.Customer, moved.offer(suite), secureLeg)
	if refusal != nil {
		t.Fatal(refusal)
	}
	answered, refusal = s.Answer(call.Carrier, b.answer(offered, suite))
	if refusal != nil {
		t.Fatal(refusal)
	}
	moved.learn(answered)
	if moved.farKey == keyA || b.farKey != keyB {
		t.Error("want a new key for the side that moved and the old one for the other")
	}
	talk(moved, b)
}

func TestRefusedReofferChangesNothing(t *testing.T) {
	const suite = "AEAD_AES_128_GCM"
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{suite, suite}, secureLeg)
	talk(a, b)
	if _, refusal := s.Offer(call.Customer, a.sdp("RTP/AVP"), secureLeg); refusal == nil || refusal.Reason != call.ReasonMediaNotEncrypted {
		t.Errorf("re-offer in clear: %v", refusal)
	}
	talk(a, b)
	if _, refusal := s.Offer(call.Carrier, newPhone(t, 4).offer(suite), secureLeg); refusal != nil {
		t.Fatal(refusal)
	}
	talk(a, b)
	s.Reject()
	talk(a, b)
	if _, refusal := s.Answer(call.Customer, a.offer(suite)); refusal == nil {
		t.Error("a rejected offer was answered")
	}
}

func TestHoldByAddress(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, plainLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
	a.connAddr, a.version = "0.0.0.0", 2
	offered, refusal := s.Offer(call.Customer, a.offer(""), plainLeg)
	if refusal != nil || !strings.Contains(string(offered), "c=IN IP4 0.0.0.0") || strings.Contains(string(offered), "o=- 0") {
		t.Fatalf("hold: %v\n%s", refusal, offered)
	}
	if _, refusal = s.Answer(call.Carrier, b.offer("")); refusal != nil {
		t.Fatal(refusal)
	}
	b.send("unheard")
	a.hearNothing()
	a.connAddr, a.version = "127.0.0.1", 3
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
}

// A side that holds by its address hears nothing, not even where its own packets tell where it is, until it resumes.
func TestHoldByAddressWhileSending(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	s.Confirm(call.Customer)
	talk(a, b)
	a.connAddr, a.version = "0.0.0.0", 2
	offered, refusal := s.Offer(call.Customer, a.offer(gcm), plainLeg)
	if refusal != nil {
		t.Fatal(*refusal)
	}
	answered, refusal := s.Answer(call.Carrier, b.offer(""))
	if refusal != nil {
		t.Fatal(*refusal)
	}
	a.learn(answered)
	if !strings.Contains(string(offered), "c=IN IP4 0.0.0.0") {
		t.Errorf("the carrier is offered\n%s", offered)
	}
	for range 2 {
		a.send("music")
		b.hear("music")
		a.sendReport("alice")
		b.hearReport("alice")
		b.send("unheard")
		b.sendReport("unheard")
		a.hearNothing()
		if a.count(a.rtcp) != 0 {
			t.Error("a side on hold got a report")
		}
		s.Confirm(call.Customer) // the ACK of the hold ends no hold
	}
	a.connAddr, a.version = "127.0.0.1", 3
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	talk(a, b)
	b.sendReport("bob")
	a.hearReport("bob")
}

func TestHoldUntilConfirmed(t *testing.T) {
	p := newPlane(t, nil)
	elsewhere := plainLeg
	elsewhere.HoldUntilConfirmed, elsewhere.Signalling = true, netip.MustParseAddr("127.0.0.9")
	s := open(t, p, call.Customer, elsewhere)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	b.send("too early")
	a.hearNothing()
	a.send("from a")
	b.hear("from a")
	s.Confirm(call.Customer)
	talk(a, b)

	listed := elsewhere
	listed.Trusted = func(addr netip.Addr) bool { return addr == netip.MustParseAddr("127.0.0.1") }
	s = open(t, p, call.Customer, listed)
	a, b = newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{"", ""}, plainLeg)
	talk(a, b)
}

// Each leg shares a port between RTP and RTCP, or not, on its own.
func TestMuxOnOneLegOnly(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.mux = true
	dial(s, a, b, suites{"AES_CM_128_HMAC_SHA1_80", ""}, plainLeg)
	if !strings.Contains(a.lastSDP, "a=rtcp-mux") {
		t.Errorf("mux was offered and not answered:\n%s", a.lastSDP)
	}
	talk(a, b)
	a.sendReport("alice")
	b.hearReport("alice")
	b.sendReport("bob")
	a.hearReport("bob")
}

// Sharing a port is offered to nobody whose other side did not offer it, and is no more agreed on when an answer has it all
// the same; a re-offer may begin and end it.
func TestMuxComesAndGoes(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	for i, mux := range []bool{false, true, false} {
		a.mux, a.version = mux, i+1
		b.mux = true
		offered, refusal := s.Offer(call.Customer, a.offer(gcm), plainLeg)
		if refusal != nil || strings.Contains(string(offered), "rtcp-mux") != mux {
			t.Fatalf("mux %v: %v, offered\n%s", mux, refusal, offered)
		}
		answer := b.answer(offered, "")
		b.mux = mux
		if !mux { // where its reports are then
			answer = append(answer, fmt.Sprintf("a=rtcp:%d\r\n", port(b.rtcp))...)
		}
		answered, refusal := s.Answer(call.Carrier, answer)
		if refusal != nil || strings.Contains(string(answered), "rtcp-mux") != mux {
			t.Fatalf("mux %v: %v, answered\n%s", mux, refusal, answered)
		}
		a.learn(answered)
		talk(a, b)
		a.sendReport("alice")
		b.hearReport("alice")
		b.sendReport("bob")
		a.hearReport("bob")
	}
}

// A side that shares a port is offered to go on with it when the other one, which does not, changes the session.
func TestMuxStaysInAReoffer(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	a.mux = true
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	s.Confirm(call.Customer)
	talk(a, b)
	key := a.farKey
	for _, mux := range []bool{true, false} {
		b.version++
		offered, refusal := s.Offer(call.Carrier, b.offer(""), secureLeg)
		if refusal != nil || !strings.Contains(string(offered), "a=rtcp-mux") {
			t.Fatalf("%v, offered\n%s", refusal, offered)
		}
		a.mux = mux // which is the answer's to say
		answered, refusal := s.Answer(call.Customer, a.answer(offered, gcm))
		if refusal != nil || strings.Contains(string(answered), "a=rtcp-mux") {
			t.Fatalf("%v, answered\n%s", refusal, answered)
		}
		b.learn(answered)
		talk(a, b)
		a.sendReport("alice")
		b.hearReport("alice")
		b.sendReport("bob")
		a.hearReport("bob")
	}
	if a.farKey != key {
		t.Error("our key changed with the other side's offer")
	}
}

// A peer whose crypto line names a master key identifier puts it into each packet (RFC 3711 section 3.1).
func TestMasterKeyIdentifier(t *testing.T) {
	p := newPlane(t, nil)
	for _, suite := range []string{"AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"} {
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		offer := a.offer(suite)
		k := phoneSuites[suite]
		var err error
		if a.out, err = pion.CreateContext(a.keySalt[:k.key], a.keySalt[k.key:], k.profile, pion.MasterKeyIndicator([]byte{0, 0, 1, 4})); err != nil {
			t.Fatal(err)
		}
		offer = []byte(strings.Replace(string(offer), a.offerKey(), a.offerKey()+"|2^31|260:4", 1))
		offered, refusal := s.Offer(call.Customer, offer, plainLeg)
		if refusal != nil {
			t.Fatal(*refusal)
		}
		answered, refusal := s.Answer(call.Carrier, b.answer(offered, ""))
		if refusal != nil {
			t.Fatal(*refusal)
		}
		a.learn(answered)
		talk(a, b)
		a.sendReport("alice")
		b.hearReport("alice")
	}
}

// A key that is named otherwise, or no more, is the same key: its counter goes on, and nothing is heard twice.
func TestIdentifierChanges(t *testing.T) {
	p := newPlane(t, nil)
	for _, suite := range []string{"AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80"} {
		s := open(t, p, call.Customer, secureLeg)
		a, b := newPhone(t, 1), newPhone(t, 2)
		a.seq = 65533
		a.offer(suite)
		key := "inline:" + a.offerKey()
		offerLines(s, a, b, key, "7 "+suite+" "+key)
		s.Confirm(call.Customer)
		old := a.send("before")
		b.hear("before")
		for range 3 {
			a.send("over the rollover")
			b.hear("over the rollover")
		}
		offerLines(s, a, b, key, "7 "+suite+" "+key+"|1:4")
		k := phoneSuites[suite]
		before := a.out
		named, err := pion.CreateContext(a.keySalt[:k.key], a.keySalt[k.key:], k.profile, pion.MasterKeyIndicator([]byte{0, 0, 0, 1}))
		if err != nil {
			t.Fatal(err)
		}
		named.SetROC(a.ssrc, 1)
		a.out = named
		again := a.send("under the name")
		b.hear("under the name")
		tag := 0
		if !strings.HasPrefix(suite, "AEAD") {
			tag = 10
		}
		again = append(again[:len(again)-tag-4:len(again)-tag-4], again[len(again)-tag:]...) // without its name
		a.out = before
		a.send("without it, or with it taken off")
		b.hearNothing()
		offerLines(s, a, b, key, "7 "+suite+" "+key)
		a.write(a.rtp, old, a.far)
		a.write(a.rtp, again, a.far)
		b.hearNothing()
		a.send("without it again")
		b.hear("without it again")
		if r := s.Close().Legs[call.Customer]; r.Replays != 2 || r.AuthFailures != 1 {
			t.Errorf("%s: %d replays, %d not authentic; want 2 and 1", suite, r.Replays, r.AuthFailures)
		}
	}
}

// A side that was told a description by another session sees the same session go on.
func TestOriginGoesOn(t *testing.T) {
	p := newPlane(t, nil)
	s := open(t, p, call.Customer, secureLeg)
	a, b := newPhone(t, 1), newPhone(t, 2)
	dial(s, a, b, suites{gcm, ""}, plainLeg)
	s.Confirm(call.Customer)
	origin := func(side call.Side) call.Origin {
		o := s.Origin(side, call.Origin{})
		if (o.Heard == nil) != (side == call.Carrier) {
			t.Errorf("of %v, who has a key %v, this was heard: %v", side, side == call.Customer, o.Heard)
		}
		o.Heard = nil
		return o
	}
	first := origin(call.Carrier)
	if first.Version != 1 || first != origin(call.Customer) {
		t.Errorf("the sides were told %+v and %+v", first, origin(call.Customer))
	}
	s.Origin(call.Carrier, call.Origin{Session: 77, Version: 5})
	for _, want := range []string{"o=- 77 6 IN", "o=- 77 6 IN"} { // the second offer is the same
		offer, refusal := s.Offer(call.Customer, a.offer(gcm), plainLeg)
		if refusal != nil || !strings.Contains(string(offer), want) {
			t.Errorf("%v, offered\n%s\nwant %s", refusal, offer, want)
		}
	}
	if got := origin(call.Customer); got != first {
		t.Errorf("the other side is told %+v, after %+v", got, first)
	}
}
