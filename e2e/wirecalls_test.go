package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/rtp"
	"carillon/sip/transport"
)

// A call is held by its direction and by its address, by either side, and its keys, ports and suites change.
func (x *wired) heldCall(t *testing.T) {
	for _, suite := range []string{"AEAD_AES_128_GCM", "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32"} {
		x.hold(t, x.setUp, suite)
	}
}

// heldCallIn is the same for calls that the carrier places.
func (x *wired) heldCallIn(t *testing.T) {
	for _, suite := range []string{"AEAD_AES_256_GCM", "AES_256_CM_HMAC_SHA1_80"} {
		x.hold(t, x.called, suite)
	}
}

type setUp func(t *testing.T, suite string) (customer, carrier *party, near, far *sound)

func (x *wired) hold(t *testing.T, begin setUp, suite string) {
	customer, carrier, near, far := begin(t, suite)
	near.direction, far.direction = "sendonly", "recvonly"
	reoffer(t, customer, carrier, near, far)
	far.hears("the customer, who holds", 0)
	near.direction, far.direction = "inactive", "inactive"
	reoffer(t, carrier, customer, far, near)
	near.direction, far.direction = "", ""
	near.rekey()
	reoffer(t, customer, carrier, near, far)
	both(near, far, "resumed under new keys")
	near.held = true
	reoffer(t, customer, carrier, near, far)
	before, _ := x.udp(t, near)
	far.hears("the customer, who is not heard itself", 1) // meanwhile the carrier sends, too
	if after, _ := x.udp(t, near); after != before {
		t.Errorf("%s: %d datagrams went to a customer who holds the call", suite, after-before)
	}
	near.held = false
	reoffer(t, customer, carrier, near, far)
	both(near, far, "resumed")
	if out, in := x.udp(t, near); out < 40 || in < 40 {
		t.Errorf("%s: %d datagrams to the customer, %d from it", suite, out, in)
	}
	moved := x.sound(t, suite)
	moved.version = near.version
	near.play(false)
	reoffer(t, customer, carrier, moved, far)
	moved.play(true)
	both(moved, far, "from another port")
	reoffer(t, carrier, customer, far, moved)
	both(moved, far, "offered again")
	hangUp(carrier, customer, far)
	// A customer who says goodbye and goes on hears nothing more, and nor does one whose carrier goes on.
	far.play(true)
	before, _ = x.udp(t, moved)
	moved.says("the customer goes on")
	far.says("the carrier goes on")
	if after, _ := x.udp(t, moved); after != before {
		t.Errorf("%s: %d datagrams went to a customer after the call", suite, after-before)
	}
	moved.play(false)
	far.play(false)
}

// While it rings nothing is heard, then early media, protected like all else.
func (x *wired) ringing(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t)
	customer.send("INVITE", near.sdp())
	m := carrier.await("INVITE")
	far.learn(m.body)
	far.play(true) // before it has said where it is
	carrier.answer(m, 180, nil)
	customer.provisional(180)
	far.says("the carrier sends")
	if out, _ := x.udp(t, near); out != 0 {
		t.Errorf("%d datagrams went to a customer while it rang", out)
	}
	early := far.sdp()
	carrier.answer(m, 183, early)
	near.learn(customer.provisional(183).body)
	near.hears("the carrier, early", 1)
	near.play(true)
	far.hears("the customer, early", 1)
	carrier.answer(m, 200, early)
	near.learn(customer.final("INVITE", 200).body)
	carrier.await("ACK")
	both(near, far, "answered")
	hangUp(customer, carrier, near, far)
}

// A customer who is called has no key of its own agreed before it has answered.
func (x *wired) ringingIn(t *testing.T) {
	near, far := x.sound(t, "AEAD_AES_256_GCM"), plainSound(t)
	customer, carrier, m := x.incoming(t, far, false)
	customer.answer(m, 180, nil)
	carrier.provisional(180)
	tag := near.learn(m.body)
	near.play(true)
	near.says("the customer sends")
	if out, _ := x.udp(t, near); out != 0 {
		t.Errorf("%d datagrams went to a customer while it rang there", out)
	}
	if heard, _ := far.counts(); heard != 0 {
		t.Errorf("the carrier hears %d packets of a customer that has not answered", heard)
	}
	early := near.answer(tag)
	customer.answer(m, 183, early)
	far.learn(carrier.provisional(183).body)
	far.play(true)
	both(near, far, "early")
	customer.answer(m, 200, early)
	carrier.final("INVITE", 200)
	customer.await("ACK")
	both(near, far, "answered")
	hangUp(customer, carrier, near, far)
}

func (x *wired) faxCall(t *testing.T) {
	for _, begin := range []setUp{x.setUp, x.called} {
		customer, carrier, near, far := begin(t, "AEAD_AES_128_GCM")
		carrier.send("INVITE", far.fax())
		carrier.final("INVITE", 488)
		customer.send("INVITE", near.fax())
		customer.final("INVITE", 488)
		for i := range 5 { // a gateway that does not care
			page := append([]byte{0x80, byte(i), 150}, bytes.Repeat([]byte{rtp.MuLaw(loud)}, 160)...)
			far.raw(far.rtp, page)
			far.raw(far.rtp, append([]byte{0}, page[1:]...))
		}
		both(near, far, "fax refused")
		// A carrier that answers audio with fax believes in a session that cannot be: the call ends.
		customer.send("INVITE", near.sdp())
		carrier.answer(carrier.await("INVITE"), 200, far.fax())
		carrier.await("ACK")
		customer.final("INVITE", 400)
		customer.answer(customer.await("BYE"), 200, nil)
		carrier.answer(carrier.await("BYE"), 200, nil)
		near.play(false)
		far.play(false)
	}
}

// A call that begins with T.38 is refused before anybody is reached.
func (x *wired) faxFromTheFirst(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	customer.send("INVITE", x.sound(t, "AEAD_AES_128_GCM").fax())
	customer.final("INVITE", 488)
	only, _ := x.listener(t, "customer", 1)
	x.originate(x.c, only)
	carrier.from("sip:"+outsideNumber+"@carrier.example", "sip:"+customerNumber+"@"+x.target(transport.UDP).String())
	carrier.send("INVITE", plainSound(t).fax())
	carrier.final("INVITE", 488)
	select {
	case m := <-carrier.in:
		t.Errorf("the carrier got %s", m.start)
	default:
	}
}

// The carrier knows A-law alone and the customer mu-law alone: what is converted between them is protected like all else.
func (x *wired) lawCall(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AEAD_AES_128_GCM"), plainSound(t)
	far.mu.Lock()
	far.format = 8
	far.mu.Unlock()
	establish(customer, carrier, near, far)
	talk(near, far)
	near.mu.Lock()
	far.mu.Lock()
	if near.last != 0 || far.last != 8 {
		t.Errorf("the customer hears payload type %d and the carrier %d; want 0 and 8", near.last, far.last)
	}
	far.mu.Unlock()
	near.mu.Unlock()
	hangUp(customer, carrier, near, far)
}

// A customer that has IPv6 is promised the same.
func (x *wired) sixCall(t *testing.T) {
	customer, carrier, near, far := x.connect(t, x.customerTo(t, nodeEnd6), x.soundAt(t, customerEnd6, "AEAD_AES_128_GCM"))
	reoffer(t, carrier, customer, far, near)
	near.rekey()
	reoffer(t, customer, carrier, near, far)
	both(near, far, "under new keys")
	carrier.send("INVITE", far.fax())
	carrier.final("INVITE", 488)
	hangUp(carrier, customer, near, far)
	if out, in := x.udp(t, near); out < 20 || in < 20 {
		t.Errorf("%d datagrams over IPv6 to the customer, %d from it", out, in)
	}
}

// Reports share the port of RTP on the customer's leg alone.
func (x *wired) muxCall(t *testing.T) {
	near := x.sound(t, "AES_256_CM_HMAC_SHA1_80")
	near.share(true)
	customer, carrier, near, far := x.connect(t, x.customer(t), near)
	if offer := reoffer(t, carrier, customer, far, near); !strings.Contains(string(offer), "a=rtcp-mux") {
		t.Errorf("a customer that shares a port is offered\n%s", offer)
	}
	both(near, far, "offered again")
	near.share(false)
	reoffer(t, customer, carrier, near, far)
	both(near, far, "on two ports")
	hangUp(customer, carrier, near, far)
}

// strays are what a customer sends in the clear, by mistake or by somebody who sits on its machine, before, in and after a
// call, from its own ports and from others: none of it comes out anywhere, and none is answered.
func (x *wired) strays(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far, other := x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t), x.sound(t, "AES_CM_128_HMAC_SHA1_80")
	seq := uint16(30000)
	var all [][]byte
	send := func() {
		seq++
		speech := make([]byte, rtp.HeaderSize)
		rtp.Header{SSRC: uint32(seq), Sequence: seq}.Put(speech)
		speech = append(speech, bytes.Repeat([]byte{byte(seq) | 1}, 160)...)
		foreign := near.forge(speech)
		for _, b := range [][]byte{
			speech, foreign, rtp.AppendCNAME(rtp.AppendRR(nil, uint32(seq)), uint32(seq), "in the clear"), rtp.AppendBYE(nil, uint32(seq)),
			append([]byte{0, byte(seq), 160}, speech[2:]...), []byte("\x00\x01\x00\x00\x21\x12\xa4\x42a check" + fmt.Sprint(seq)), {byte(seq)}, {},
		} {
			all = append(all, b)
			x.judge.stray(b)
			for _, s := range []*sound{near, other} {
				near.mu.Lock()
				to := near.far
				near.mu.Unlock()
				for _, from := range []*net.UDPConn{s.rtp, s.rtcp} {
					for _, port := range []uint16{to.Port(), to.Port() + 1} {
						_, _ = from.WriteToUDPAddrPort(b, netip.AddrPortFrom(to.Addr(), port))
					}
				}
			}
		}
	}
	customer.send("INVITE", near.sdp())
	m := carrier.await("INVITE")
	far.learn(m.body)
	early := far.sdp()
	carrier.answer(m, 183, early)
	near.learn(customer.provisional(183).body)
	send() // before anything authentic has come
	far.play(true)
	near.hears("the carrier, early", 0)
	send()
	carrier.answer(m, 200, early)
	near.learn(customer.final("INVITE", 200).body)
	carrier.await("ACK")
	talk(near, far)
	send()
	// What the carrier sends besides voice leaves protected or not at all.
	for _, b := range all {
		if _, err := rtp.Parse(b); err != nil || len(b) < 100 { // which is not like voice
			far.raw(far.rtp, b)
			far.raw(far.rtcp, b)
		}
	}
	both(near, far, "between strays")
	hangUp(customer, carrier, near, far)
	send()
	x.settled(t)
	far.mu.Lock()
	defer far.mu.Unlock()
	if far.foreign != 0 {
		t.Errorf("the carrier hears %d packets that came in the clear", far.foreign)
	}
	x.judge.mu.Lock()
	defer x.judge.mu.Unlock()
	for _, b := range all {
		if x.judge.strays[string(b)] == 0 {
			t.Errorf("% x was sent and not seen on the wire", b)
		}
	}
	if out, _ := x.udp(t, other); out != 0 {
		t.Errorf("%d datagrams went to where no call is", out)
	}
}

// beginLate places a call from the customer without a description, and returns the offer that the customer has with the
// carrier's answer.
func (x *wired) beginLate(t *testing.T) (customer, carrier *party, near, far *sound, offer []byte) {
	t.Helper()
	customer, carrier = x.customer(t), x.carriers(t, 1)[0]
	near, far = x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t)
	customer.late = true
	customer.send("INVITE", nil)
	carrier.answer(carrier.await("INVITE"), 200, far.sdp())
	return customer, carrier, near, far, customer.final("INVITE", 200).body
}

func (x *wired) lateOffer(t *testing.T) {
	customer, carrier, near, far, offer := x.beginLate(t)
	tag := near.learn(offer)
	customer.request("ACK", customer.seq, near.answer(tag))
	far.learn(carrier.await("ACK").body)
	talk(near, far)
	hangUp(customer, carrier, near, far)
}

// earlyLateOffer is one whose offer comes in a provisional answer that the customer acknowledges with its own (RFC 3262): it is
// protected from there on.
func (x *wired) earlyLateOffer(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AEAD_AES_256_GCM"), plainSound(t)
	customer.extra = []string{"Supported: 100rel"}
	customer.send("INVITE", nil)
	invite := customer.seq
	m := carrier.await("INVITE")
	carrier.extra = []string{"Require: 100rel", "RSeq: 7"}
	early := far.sdp()
	carrier.answer(m, 183, early)
	ringing := customer.provisional(183)
	tag := near.learn(ringing.body)
	customer.remote, customer.target = ringing.header["to"], uriOf(ringing.header["contact"])
	customer.extra = []string{"RAck: " + ringing.header["rseq"] + " " + ringing.header["cseq"]}
	customer.send("PRACK", near.answer(tag))
	prack := carrier.await("PRACK")
	far.learn(prack.body)
	carrier.answer(prack, 200, nil)
	customer.final("PRACK", 200)
	talk(near, far)
	carrier.answer(m, 200, nil)
	customer.seq, invite = invite, customer.seq
	customer.final("INVITE", 200)
	customer.seq = invite
	carrier.await("ACK")
	both(near, far, "answered")
	hangUp(customer, carrier, near, far)
}

// lateOfferIn is a call of the carrier's without a description: what the customer offers is protected.
func (x *wired) lateOfferIn(t *testing.T) {
	near, far := x.sound(t, "AES_256_CM_HMAC_SHA1_80"), plainSound(t)
	customer, carrier, m := x.incoming(t, far, true)
	if len(m.body) != 0 {
		t.Errorf("the customer was offered %q", m.body)
	}
	customer.answer(m, 200, near.sdp())
	far.learn(carrier.final("INVITE", 200).body)
	carrier.request("ACK", carrier.seq, far.sdp())
	near.learn(customer.await("ACK").body)
	talk(near, far)
	hangUp(carrier, customer, near, far)
}

// The answer to our late offer is in the clear: the call ends and not one packet is sent to the customer.
func (x *wired) lateOfferInTheClear(t *testing.T) {
	customer, carrier, near, _, _ := x.beginLate(t)
	customer.request("ACK", customer.seq, near.inTheClear())
	customer.answer(customer.await("BYE"), 200, nil)
	carrier.answer(carrier.await("BYE"), 200, nil)
	if out, _ := x.udp(t, near); out != 0 {
		t.Errorf("%d datagrams went to a customer without a key", out)
	}
}

// The customer's own late offer is in the clear.
func (x *wired) lateOfferInTheClearIn(t *testing.T) {
	near, far := x.sound(t, "AEAD_AES_128_GCM"), plainSound(t)
	customer, carrier, m := x.incoming(t, far, true)
	customer.answer(m, 200, near.inTheClear())
	customer.await("ACK")
	customer.answer(customer.await("BYE"), 200, nil)
	carrier.late = false
	carrier.final("INVITE", 488)
	if out, _ := x.udp(t, near); out != 0 {
		t.Errorf("%d datagrams went to a customer without a key", out)
	}
}

func (x *wired) failover(t *testing.T) {
	customer, targets := x.customer(t), x.carriers(t, 2)
	near := x.sound(t, "AEAD_AES_128_GCM")
	first, second := plainSound(t), plainSound(t)
	customer.send("INVITE", near.sdp())
	m := targets[0].await("INVITE")
	first.learn(m.body)
	targets[0].answer(m, 183, first.sdp())
	near.learn(customer.provisional(183).body)
	first.play(true)
	near.hears("early media of the first carrier", 0)
	targets[0].answer(m, 503, nil)
	m = targets[1].await("INVITE")
	second.learn(m.body)
	targets[1].answer(m, 200, second.sdp())
	near.learn(customer.final("INVITE", 200).body)
	targets[1].await("ACK")
	talk(near, second)
	hangUp(customer, targets[1], near, first, second)
}

func (x *wired) inboundFailover(t *testing.T) {
	carrier := x.carriers(t, 1)[0]
	one, takeFirst := x.listener(t, "first", 1)
	two, takeSecond := x.listener(t, "second", 2)
	x.originate(x.c, one, two)
	far := plainSound(t)
	node := x.target(transport.UDP).String()
	carrier.from("sip:"+outsideNumber+"@carrier.example", "sip:"+customerNumber+"@"+node)
	carrier.send("INVITE", far.sdp())
	sounds := []*sound{x.sound(t, "AEAD_AES_128_GCM"), x.sound(t, "AES_CM_128_HMAC_SHA1_80")}
	first := takeFirst()
	m := first.await("INVITE")
	first.answer(m, 183, sounds[0].answer(sounds[0].learn(m.body)))
	far.learn(carrier.provisional(183).body)
	sounds[0].play(true)
	far.play(true)
	far.hears("early media of the first route", 0)
	sounds[0].hears("the carrier, early", 0)
	first.answer(m, 503, nil)
	second := takeSecond()
	m = second.await("INVITE")
	second.answer(m, 200, sounds[1].answer(sounds[1].learn(m.body)))
	far.learn(carrier.final("INVITE", 200).body)
	second.await("ACK")
	sounds[1].play(true)
	far.hears("the second route", 1)
	sounds[1].hears("the carrier", 1)
	hangUp(carrier, second, append(sounds, far)...)
}

// A running call keeps the promise it began with, and new ones in the clear are refused once it is made again.
func (x *wired) toggled(t *testing.T) {
	for _, begin := range []setUp{x.setUp, x.called} {
		customer, carrier, near, far := begin(t, "AES_CM_128_HMAC_SHA1_80")
		for _, require := range []bool{false, true} {
			x.aws(wire.OpUpdateVoiceConnector, &wire.UpdateVoiceConnectorRequest{
				VoiceConnectorID: x.c.id, Name: new("e2e"), RequireEncryption: &require,
			}, nil)
			near.hears("the carrier, after the change", 1)
			reoffer(t, customer, carrier, near, far)
			reoffer(t, carrier, customer, far, near)
			both(near, far, "after a re-INVITE")
			customer.send("INVITE", near.inTheClear())
			customer.final("INVITE", 488)
			carrier.send("INVITE", far.fax())
			carrier.final("INVITE", 488)
			both(near, far, "after what was refused")
		}
		other := x.customer(t)
		other.send("INVITE", near.inTheClear())
		other.final("INVITE", 488)
		hangUp(customer, carrier, near, far)
	}
}

// beginQuietCall places a call whose carrier sends no reports, and returns what waits for the node's own to the customer:
// they come after some seconds.
func (x *wired) beginQuietCall(t *testing.T) func(*testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t)
	far.only("voice")
	establish(customer, carrier, near, far)
	near.play(true)
	far.play(true)
	return func(t *testing.T) {
		near.t, far.t, customer.t, carrier.t = t, t, t, t
		eventually(t, "a report of the node's own", func() bool { _, reports := near.counts(); return reports > 0 })
		near.hears("the carrier without reports", 0)
		hangUp(customer, carrier, near, far)
	}
}

// raw sends a datagram as it is to where RTP, or RTCP, goes.
func (s *sound) raw(from *net.UDPConn, b []byte) {
	s.mu.Lock()
	to := s.far
	s.mu.Unlock()
	if from == s.rtcp {
		to = netip.AddrPortFrom(to.Addr(), to.Port()+1)
	}
	_, _ = from.WriteToUDPAddrPort(b, to)
}

// forge protects a packet under a key that nobody agreed on.
func (s *sound) forge(b []byte) []byte {
	s.t.Helper()
	c := ciphers[s.suite]
	b, err := c.context(s.t, bytes.Repeat([]byte{7}, c.key+c.salt)).EncryptRTP(nil, b, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	return b
}
