package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"

	"carillon/api/wire"
	"carillon/config"
	"carillon/sip/transport"
)

// wired is a node, a customer at the other end of a wire, and everything that crosses it.
type wired struct {
	*world
	net     *namespace
	capture *capture
	judge   *judge
	ca      *authority
	c       trunkOf
	roots   *x509.CertPool
}

func newWired(t *testing.T) *wired {
	ca := newAuthority(t)
	trust := ca.file()
	n := newNamespace(t)
	w := newWorld(t, func(c *config.Config) {
		c.TLSTrust, c.SIPTLS, c.MediaIP = trust, nodeEnd+":0", []netip.Addr{netip.MustParseAddr(nodeEnd)}
	})
	x := &wired{world: w, net: n, judge: &judge{t: t, keys: map[string][]agreedKey{}}, ca: ca, roots: w.roots()}
	x.c = x.bareConnector(true)
	x.terminate(x.c, &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{customerEnd + "/32"}, CPSLimit: new(int32(100))})
	x.must("number", "import", customerNumber, "--connector", x.c.id)
	x.capture = n.capture()
	return x
}

// customer connects a customer who calls.
func (x *wired) customer(t *testing.T) *party {
	t.Helper()
	var conn *tls.Conn
	var err error
	x.net.do(func() {
		conn, err = tls.Dial("tcp4", x.target(transport.TLS).String(), &tls.Config{ServerName: x.c.host, RootCAs: x.roots})
	})
	if err != nil {
		t.Fatal(err)
	}
	p := newParty(t, "customer", "TLS", conn)
	p.from("sip:"+customerNumber+"@"+x.c.host, "sip:"+outsideNumber+"@"+x.c.host)
	return p
}

// listener waits for calls to the customer and returns its route and who takes the next connection.
func (x *wired) listener(t *testing.T, name string, priority int32) (wire.OriginationRoute, func() *party) {
	t.Helper()
	var ln net.Listener
	var err error
	x.net.do(func() {
		ln, err = tls.Listen("tcp4", customerEnd+":0", &tls.Config{Certificates: []tls.Certificate{*x.ca.issue(customerEnd)}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return route(ln.Addr().(*net.TCPAddr).AddrPort(), priority, "TCP"), func() *party {
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return newParty(t, name, "TLS", conn)
	}
}

// carriers makes a carrier of so many targets.
func (x *wired) carriers(t *testing.T, n int) []*party {
	t.Helper()
	var all []*party
	args := []string{"carrier", "put", "plain", "--prefix", "+1212"}
	for i := range n {
		conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(x.target(transport.UDP)))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, newParty(t, fmt.Sprintf("carrier%d", i), "UDP", conn))
		args = append(args, "--target", "sip:"+conn.LocalAddr().String()+";transport=udp")
	}
	x.must(args...)
	return all
}

// sound opens the customer's media.
func (x *wired) sound(t *testing.T, suite string) *sound {
	t.Helper()
	var s *sound
	x.net.do(func() { s = newSound(t, x.judge, customerEnd, suite) })
	return s
}

// plainSound opens a carrier's media.
func plainSound(t *testing.T) *sound { return newSound(t, nil, "127.0.0.1", "") }

// setUp places a call from the customer that the carrier answers, and has both talk.
func (x *wired) setUp(t *testing.T, suite string) (customer, carrier *party, near, far *sound) {
	t.Helper()
	customer, carrier = x.customer(t), x.carriers(t, 1)[0]
	near, far = x.sound(t, suite), plainSound(t)
	customer.send("INVITE", near.sdp())
	m := carrier.await("INVITE")
	far.learn(m.body)
	carrier.answer(m, 200, far.sdp())
	near.learn(customer.final("INVITE", 200).body)
	carrier.await("ACK")
	near.play(true)
	far.play(true)
	near.hears("the carrier, with reports", 1)
	far.hears("the customer, with reports", 1)
	return customer, carrier, near, far
}

// reoffer carries a re-INVITE from one side to the other, which must have it, and returns what that was offered.
func reoffer(t *testing.T, from, to *party, near, far *sound) []byte {
	t.Helper()
	from.send("INVITE", near.sdp())
	// The other side's ACK of the last change may still be on its way to the node.
	for from.refused(491, to) {
		from.send("INVITE", near.sdp())
	}
	m := to.await("INVITE")
	to.answer(m, 200, far.answer(far.learn(m.body)))
	near.learn(from.final("INVITE", 200).body)
	to.await("ACK")
	return m.body
}

// hangUp ends a call.
func hangUp(from, to *party, sounds ...*sound) {
	from.send("BYE", nil)
	to.answer(to.await("BYE"), 200, nil)
	from.final("BYE", 200)
	for _, s := range sounds {
		s.play(false)
	}
}

// markPort is where marks go. Nobody listens there.
const markPort = 9

// mark waits until everything that is on its way has been seen, and returns it: what the test itself sends last comes last.
func (x *wired) mark(t *testing.T) (frames []frame, odd []string) {
	t.Helper()
	conn, err := net.Dial("udp4", net.JoinHostPort(customerEnd, fmt.Sprint(markPort)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("the end")); err != nil {
		t.Fatal(err)
	}
	own := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	eventually(t, "the mark", func() bool {
		frames, odd = x.capture.frames()
		return slices.ContainsFunc(frames, func(f frame) bool { return f.from == own })
	})
	return frames, odd
}

// settled judges every frame on the wire so far: UDP must be authentic SRTP or SRTCP under a key of its ports, TCP must be
// TLS, each with the mark of its kind where it comes from the node. There is nothing else but errors of ICMP.
func (x *wired) settled(t *testing.T) {
	t.Helper()
	frames, odd := x.mark(t)
	for _, o := range odd {
		t.Errorf("on the customer's wire: %s", o)
	}
	streams := map[string][]byte{}
	for _, f := range frames {
		fromNode := f.from.Addr().String() == nodeEnd
		own := f.from
		if fromNode {
			own = f.to
		}
		switch f.protocol {
		case syscall.IPPROTO_ICMP:
		case syscall.IPPROTO_UDP:
			if f.to.Port() == markPort {
				continue
			}
			if !x.judge.authentic(own.Port(), fromNode, f.payload) {
				t.Errorf("UDP from %v to %v is not authentic under any key of the call: % x", f.from, f.to, f.payload[:min(len(f.payload), 32)])
			}
			if fromNode && f.tos != 46<<2 {
				t.Errorf("media from the node are marked %#x", f.tos)
			}
		case syscall.IPPROTO_TCP:
			name := fmt.Sprint(f.from, f.to)
			streams[name] = append(streams[name], f.payload...)
			if fromNode && len(f.payload) > 0 && f.tos != 24<<2 {
				t.Errorf("signalling from the node is marked %#x", f.tos)
			}
		default:
			t.Errorf("protocol %d from %v to %v", f.protocol, f.from, f.to)
		}
	}
	for name, b := range streams {
		for len(b) > 0 {
			if len(b) < 5 || b[0] < 20 || b[0] > 23 || b[1] != 3 || len(b) < 5+int(binary.BigEndian.Uint16(b[3:])) {
				t.Errorf("%s is not TLS: % x", name, b[:min(len(b), 32)])
				break
			}
			b = b[5+int(binary.BigEndian.Uint16(b[3:])):]
		}
	}
}

// udp counts the datagrams that crossed with a pair of the customer's ports.
func (x *wired) udp(port uint16) (fromNode, toNode int) {
	frames, _ := x.capture.frames()
	for _, f := range frames {
		switch {
		case f.protocol != syscall.IPPROTO_UDP:
		case f.from.Addr().String() == nodeEnd && f.to.Port()&^1 == port:
			fromNode++
		case f.to.Addr().String() == nodeEnd && f.from.Port()&^1 == port:
			toNode++
		}
	}
	return fromNode, toNode
}

// TestNothingPlainOnTheWire: everything that crosses the wire of a customer whose connector requires encryption is TLS,
// or SRTP and SRTCP under a key that was agreed on, whatever happens to the call. The test knows each key, because it is
// the customer, and looks at every packet with another implementation than ours.
func TestNothingPlainOnTheWire(t *testing.T) {
	t.Parallel()
	if !alone(t) {
		return
	}
	x := newWired(t)
	for _, tt := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"a call, held and changed", x.heldCall}, {"T.38", x.faxCall}, {"another law", x.lawCall}, {"late offer", x.lateOffer},
		{"late offer answered in the clear", x.lateOfferInTheClear},
		{"a call, transferred", x.transferredCall}, {"a call, taken over", x.takenCall}, {"two calls, joined", x.joinedCalls}, {"failover to another carrier", x.failover},
		{"failover to another route", x.inboundFailover}, {"RequireEncryption turned off and on", x.toggled},
	} {
		t.Run(tt.name, func(t *testing.T) { defer x.settled(t); tt.do(t) })
	}
	frames, _ := x.capture.frames()
	if len(frames) < 500 {
		t.Errorf("only %d frames were seen", len(frames))
	}
}

func (x *wired) heldCall(t *testing.T) {
	for suite := range ciphers {
		customer, carrier, near, far := x.setUp(t, suite)
		near.direction, far.direction = "sendonly", "recvonly"
		reoffer(t, customer, carrier, near, far)
		far.hears("the customer, who holds", 0)
		near.direction, far.direction = "inactive", "inactive"
		reoffer(t, carrier, customer, far, near)
		near.direction, far.direction = "", ""
		near.rekey()
		reoffer(t, customer, carrier, near, far)
		near.hears("the carrier, resumed under new keys", 1)
		far.hears("the customer, resumed under new keys", 1)
		hangUp(carrier, customer, near, far)
		if out, in := x.udp(near.port()); out < 40 || in < 40 {
			t.Errorf("%s: %d datagrams to the customer, %d from it", suite, out, in)
		}
	}
}

func (x *wired) faxCall(t *testing.T) {
	customer, carrier, near, far := x.setUp(t, "AEAD_AES_128_GCM")
	carrier.send("INVITE", far.fax())
	carrier.final("INVITE", 488)
	customer.send("INVITE", near.fax())
	customer.final("INVITE", 488)
	near.hears("the carrier, fax refused", 1)
	far.hears("the customer, fax refused", 1)
	hangUp(customer, carrier, near, far)
}

// The carrier knows A-law alone and the customer mu-law alone: what is converted between them is protected like all else.
func (x *wired) lawCall(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AEAD_AES_128_GCM"), plainSound(t)
	far.mu.Lock()
	far.format = 8
	far.mu.Unlock()
	customer.send("INVITE", near.sdp())
	m := carrier.await("INVITE")
	far.learn(m.body)
	carrier.answer(m, 200, far.sdp())
	near.learn(customer.final("INVITE", 200).body)
	carrier.await("ACK")
	near.play(true)
	far.play(true)
	near.hears("the carrier", 1)
	far.hears("the customer", 1)
	near.mu.Lock()
	far.mu.Lock()
	if near.last != 0 || far.last != 8 {
		t.Errorf("the customer hears payload type %d and the carrier %d; want 0 and 8", near.last, far.last)
	}
	far.mu.Unlock()
	near.mu.Unlock()
	hangUp(customer, carrier, near, far)
}

func (x *wired) lateOffer(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t)
	customer.late = true
	customer.send("INVITE", nil)
	carrier.answer(carrier.await("INVITE"), 200, far.sdp())
	tag := near.learn(customer.final("INVITE", 200).body)
	customer.request("ACK", customer.seq, near.answer(tag))
	far.learn(carrier.await("ACK").body)
	near.play(true)
	far.play(true)
	near.hears("the carrier", 1)
	far.hears("the customer", 1)
	hangUp(customer, carrier, near, far)
}

// The answer to our late offer is in the clear: the call ends and not one packet is sent to the customer.
func (x *wired) lateOfferInTheClear(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t)
	customer.late = true
	customer.send("INVITE", nil)
	carrier.answer(carrier.await("INVITE"), 200, far.sdp())
	customer.final("INVITE", 200)
	customer.request("ACK", customer.seq, near.inTheClear())
	customer.answer(customer.await("BYE"), 200, nil)
	carrier.answer(carrier.await("BYE"), 200, nil)
	if out, _ := x.udp(near.port()); out != 0 {
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
	near.play(true)
	second.play(true)
	near.hears("the second carrier", 1)
	second.hears("the customer", 1)
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
	customer, carrier, near, far := x.setUp(t, "AES_CM_128_HMAC_SHA1_80")
	for _, require := range []bool{false, true} {
		x.aws(wire.OpUpdateVoiceConnector, &wire.UpdateVoiceConnectorRequest{
			VoiceConnectorID: x.c.id, Name: new("e2e"), RequireEncryption: &require,
		}, nil)
		near.hears("the carrier, after the change", 1)
		reoffer(t, customer, carrier, near, far)
		reoffer(t, carrier, customer, far, near)
		near.hears("the carrier, after a re-INVITE", 1)
		far.hears("the customer, after a re-INVITE", 1)
	}
	other := x.customer(t)
	other.send("INVITE", near.inTheClear())
	other.final("INVITE", 488)
	hangUp(customer, carrier, near, far)
}
