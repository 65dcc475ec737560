package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	v1 "carillon/api/v1"
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
	seen    int               // frames that were judged
	streams map[string][]byte // TCP that is not, for want of the rest of a record
	sent    int               // datagrams of the node's
}

func newWired(t *testing.T, with ...func(*config.Config)) *wired {
	ca := newAuthority(t)
	trust := ca.file()
	n := newNamespace(t)
	w := newWorld(t, func(c *config.Config) {
		c.TLSTrust, c.SIPTLS, c.SIPAdvertise = trust, ":0", []string{nodeEnd, nodeEnd6}
		c.MediaIP = []netip.Addr{netip.MustParseAddr(nodeEnd), netip.MustParseAddr(nodeEnd6)}
		for _, set := range with {
			set(c)
		}
	})
	x := &wired{world: w, net: n, judge: newJudge(t), ca: ca, roots: w.roots(), streams: map[string][]byte{}}
	var made wire.CreateVoiceConnectorResponse
	x.aws(wire.OpCreateVoiceConnector, &wire.CreateVoiceConnectorRequest{
		Name: new("e2e"), RequireEncryption: new(true), NetworkType: new(wire.NetworkType("DUAL_STACK")),
	}, &made)
	x.c = trunkOf{*made.VoiceConnector.VoiceConnectorID, *made.VoiceConnector.OutboundHostName}
	x.terminate(x.c, &wire.Termination{CallingRegions: []string{"US"}, CIDRAllowedList: []string{customerEnd + "/32", customerEnd6 + "/128"}, CPSLimit: new(int32(100))})
	x.must("number", "import", customerNumber, "--connector", x.c.id)
	x.capture = n.capture()
	return x
}

// customer connects a customer who calls.
func (x *wired) customer(t *testing.T) *party {
	t.Helper()
	return x.customerTo(t, nodeEnd)
}

// customerTo connects one over the family of one of the node's addresses.
func (x *wired) customerTo(t *testing.T, node string) *party {
	t.Helper()
	var conn *tls.Conn
	var err error
	at := net.JoinHostPort(node, fmt.Sprint(x.target(transport.TLS).Port()))
	x.net.do(func() {
		conn, err = tls.Dial("tcp", at, &tls.Config{ServerName: x.c.host, RootCAs: x.roots})
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
	return x.soundAt(t, customerEnd, suite)
}

func (x *wired) soundAt(t *testing.T, ip, suite string) *sound {
	t.Helper()
	var s *sound
	x.net.do(func() { s = newSound(t, x.judge, ip, suite) })
	s.since = len(x.frames(t)) // others may have had its ports before
	return s
}

// plainSound opens a carrier's media.
func plainSound(t *testing.T) *sound { return newSound(t, nil, "127.0.0.1", "") }

// setUp places a call from the customer that the carrier answers, and has both talk.
func (x *wired) setUp(t *testing.T, suite string) (customer, carrier *party, near, far *sound) {
	t.Helper()
	return x.connect(t, x.customer(t), x.sound(t, suite))
}

// connect has a customer place that call.
func (x *wired) connect(t *testing.T, customer *party, near *sound) (_, carrier *party, _, far *sound) {
	t.Helper()
	carrier, far = x.carriers(t, 1)[0], plainSound(t)
	establish(customer, carrier, near, far)
	talk(near, far)
	return customer, carrier, near, far
}

// establish has a caller place a call that the callee answers. Nobody talks yet.
func establish(caller, callee *party, near, far *sound) {
	caller.t.Helper()
	caller.send("INVITE", near.sdp())
	m := callee.await("INVITE")
	far.learn(m.body)
	callee.answer(m, 200, far.sdp())
	near.learn(caller.final("INVITE", 200).body)
	callee.await("ACK")
}

// incoming places a call from a carrier to the customer and returns it with the INVITE that the customer gets. The carrier
// makes an offer unless it is late.
func (x *wired) incoming(t *testing.T, far *sound, late bool) (customer, carrier *party, invite message) {
	t.Helper()
	carrier = x.carriers(t, 1)[0]
	only, take := x.listener(t, "customer", 1)
	x.originate(x.c, only)
	carrier.from("sip:"+outsideNumber+"@carrier.example", "sip:"+customerNumber+"@"+x.target(transport.UDP).String())
	if carrier.late = late; late {
		carrier.send("INVITE", nil)
	} else {
		carrier.send("INVITE", far.sdp())
	}
	customer = take()
	return customer, carrier, customer.await("INVITE")
}

// called is setUp for a call that the carrier places.
func (x *wired) called(t *testing.T, suite string) (customer, carrier *party, near, far *sound) {
	t.Helper()
	near, far = x.sound(t, suite), plainSound(t)
	customer, carrier, m := x.incoming(t, far, false)
	customer.answer(m, 200, near.answer(near.learn(m.body)))
	far.learn(carrier.final("INVITE", 200).body)
	customer.await("ACK")
	talk(near, far)
	return customer, carrier, near, far
}

// talk has both parties send and waits until each hears the other.
func talk(near, far *sound) {
	near.t.Helper()
	near.play(true)
	far.play(true)
	both(near, far, "with reports")
}

// both waits until each party hears the other.
func both(near, far *sound, when string) {
	near.t.Helper()
	near.hears("the carrier, "+when, 1)
	far.hears("the customer, "+when, 1)
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

// settled judges every frame on the wire that was not judged yet: UDP must be authentic SRTP or SRTCP under a key of its
// ports, TCP must be TLS, each with the mark of its kind where it comes from the node. There is nothing else but ICMP.
func (x *wired) settled(t *testing.T) {
	t.Helper()
	frames, odd := x.mark(t)
	for _, o := range odd {
		t.Errorf("on the customer's wire: %s", o)
	}
	if !x.capture.complete(t) {
		t.Error("frames crossed the customer's wire that were not seen")
	}
	for _, f := range frames[x.seen:] {
		own := f.from
		if f.fromNode() {
			own = f.to
		}
		switch f.protocol {
		case syscall.IPPROTO_ICMP, syscall.IPPROTO_ICMPV6, syscall.IPPROTO_HOPOPTS: // the last are reports of multicast listeners
		case syscall.IPPROTO_UDP:
			if f.to.Port() == markPort {
				continue
			}
			if fault := x.judge.fault(own, f.fromNode(), f.payload); fault != "" {
				t.Errorf("UDP from %v to %v %s: % x", f.from, f.to, fault, f.payload[:min(len(f.payload), 32)])
			}
			if f.fromNode() && len(f.payload) > 0 && f.payload[0]>>6 == 2 { // and not an answer of ICE
				x.sent++
			}
			if f.fromNode() && f.tos != 46<<2 {
				t.Errorf("media from the node are marked %#x", f.tos)
			}
		case syscall.IPPROTO_TCP:
			name := fmt.Sprint(f.from, f.to)
			x.streams[name] = append(x.streams[name], f.payload...)
			if f.fromNode() && len(f.payload) > 0 && f.tos != 24<<2 {
				t.Errorf("signalling from the node is marked %#x", f.tos)
			}
		default:
			t.Errorf("protocol %d from %v to %v", f.protocol, f.from, f.to)
		}
	}
	x.seen = len(frames)
	for name, b := range x.streams {
		x.streams[name] = tlsRest(t, name, b)
	}
}

// tlsRest reads the records of TLS that a stream begins with and returns what is left: the beginning of one (RFC 8446
// section 5.1).
func tlsRest(t *testing.T, name string, b []byte) []byte {
	t.Helper()
	for len(b) >= 5 {
		if b[0] < 20 || b[0] > 23 || b[1] != 3 {
			t.Errorf("%s is not TLS: % x", name, b[:min(len(b), 32)])
			return nil
		}
		size := 5 + int(binary.BigEndian.Uint16(b[3:]))
		if len(b) < size {
			break
		}
		b = b[size:]
	}
	return b
}

// frames returns what crossed the wire until now.
func (x *wired) frames(t *testing.T) []frame {
	t.Helper()
	frames, _ := x.mark(t)
	return frames
}

// udp counts the datagrams that crossed with a pair of the customer's ports until now.
func (x *wired) udp(t *testing.T, s *sound) (fromNode, toNode int) {
	t.Helper()
	own := func(at netip.AddrPort) bool { return at.Addr() == s.at().Addr() && at.Port()&^1 == s.at().Port() }
	for _, f := range x.frames(t)[s.since:] {
		switch {
		case f.protocol != syscall.IPPROTO_UDP:
		case f.fromNode() && own(f.to):
			fromNode++
		case own(f.from) && f.to.Port() != markPort:
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
	newWired(t).show(t, func(string) bool { return true })
}

// show has calls of the kinds that are wanted, and looks at all that crossed the wire.
func (x *wired) show(t *testing.T, wanted func(kind string) bool) {
	quiet := x.beginQuietCall(t)
	for _, tt := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"a call, held and changed", x.heldCall}, {"a call from the carrier, held and changed", x.heldCallIn}, {"ringing", x.ringing}, {"ringing at the customer", x.ringingIn},
		{"T.38", x.faxCall}, {"T.38 from the first", x.faxFromTheFirst}, {"another law", x.lawCall}, {"IPv6", x.sixCall}, {"ICE", x.iceCall}, {"one port", x.muxCall}, {"without protection", x.strays},
		{"late offer", x.lateOffer}, {"late offer while it rings", x.earlyLateOffer}, {"late offer of the customer", x.lateOfferIn},
		{"late offer answered in the clear", x.lateOfferInTheClear}, {"late offer in the clear", x.lateOfferInTheClearIn},
		{"a call, transferred", x.transferredCall}, {"a call, taken over", x.takenCall}, {"two calls, joined", x.joinedCalls}, {"failover to another carrier", x.failover},
		{"failover to another route", x.inboundFailover}, {"RequireEncryption turned off and on", x.toggled}, {"a call without reports", quiet},
	} {
		if wanted(tt.name) {
			t.Run(tt.name, func(t *testing.T) { defer x.settled(t); tt.do(t) })
		}
	}
	if x.seen < 1000 {
		t.Errorf("only %d frames were seen", x.seen)
	}
	for name, b := range x.streams {
		if len(b) != 0 {
			t.Errorf("%s ends within a record of TLS: % x", name, b[:min(len(b), 32)])
		}
	}
	x.recorded(t)
}

// recorded compares what was seen on the wire with what the records of the calls say was sent: all of it protected.
func (x *wired) recorded(t *testing.T) {
	t.Helper()
	protected := uint64(0)
	told := func() bool {
		protected = 0
		var list v1.CallList
		if err := json.Unmarshal([]byte(x.must("calls", "list", "--json", "--connector", x.c.id, "--max", "1000")), &list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Calls {
			protected += r.Customer.Media.Protected
			if r.Customer.Media.PlainSent != 0 {
				t.Errorf("%d packets left in the clear: %+v", r.Customer.Media.PlainSent, r)
			}
		}
		return protected >= uint64(x.sent)
	}
	for deadline := time.Now().Add(patience); !told() && time.Now().Before(deadline); { // the last record may still be written
		time.Sleep(5 * time.Millisecond)
	}
	if protected != uint64(x.sent) {
		t.Errorf("the records tell of %d protected packets to the customer; %d were seen", protected, x.sent)
	}
}
