package e2e_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"

	v1 "carillon/api/v1"
	"carillon/sip/transport"
)

// second makes another carrier, for numbers of its own.
func (x *wired) second(t *testing.T) *party {
	t.Helper()
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}, net.UDPAddrFromAddrPort(x.target(transport.UDP)))
	if err != nil {
		t.Fatal(err)
	}
	x.must("carrier", "put", "second", "--prefix", "+1646", "--target", "sip:"+conn.LocalAddr().String()+";transport=udp")
	return newParty(t, "second", "UDP", conn)
}

// told answers the reports of a transfer up to the last one, which must begin like this.
func (p *party) told(want string) {
	p.t.Helper()
	for {
		m := p.await("NOTIFY")
		p.answer(m, 200, nil)
		if strings.HasPrefix(m.header["subscription-state"], "terminated") {
			if !strings.HasPrefix(string(m.body), want) {
				p.t.Errorf("%s was told %q, want %q", p.name, m.body, want)
			}
			return
		}
	}
}

// origin reads session and version of a description.
func origin(t *testing.T, description []byte) (session, version uint64) {
	t.Helper()
	_, line, _ := strings.Cut(string(description), "\no=")
	if _, err := fmt.Sscanf(line, "- %d %d IN", &session, &version); err != nil {
		t.Fatalf("%v in %q", err, description)
	}
	return session, version
}

// videoCall is setUp for a customer that offers video, too. It is refused, and stays in the sessions of all who come to be
// in the call as what it is.
func (x *wired) videoCall(t *testing.T) (customer, carrier *party, near, far *sound) {
	t.Helper()
	near = x.sound(t, "AEAD_AES_128_GCM")
	near.others = []string{"m=video 5004 RTP/SAVP 96"}
	return x.connect(t, x.customer(t), near)
}

// The customer holds the call and transfers it: the two carriers' parties hear each other, and the customer no one.
func (x *wired) transferredCall(t *testing.T) {
	x.must("connector", "set", x.c.id, "transfers=execute")
	customer, stays, near, far := x.videoCall(t)
	target, other := x.second(t), plainSound(t)
	near.direction, far.direction = "sendonly", "recvonly"
	session, version := origin(t, reoffer(t, customer, stays, near, far))
	far.direction = ""
	customer.extra = []string{"Refer-To: <sip:+16465550177@" + x.c.host + ">"}
	customer.send("REFER", nil)
	customer.final("REFER", 202)
	m := target.await("INVITE")
	other.learn(m.body)
	target.answer(m, 200, other.sdp())
	target.await("ACK")
	m = stays.await("INVITE")
	if s, v := origin(t, m.body); s != session || v != version+1 {
		t.Errorf("the party that stays is offered session %d version %d after session %d version %d", s, v, session, version)
	}
	stays.answer(m, 200, far.answer(far.learn(m.body)))
	stays.await("ACK")
	customer.told("SIP/2.0 200 OK")
	customer.answer(customer.await("BYE"), 200, nil)
	near.play(false)
	other.play(true)
	far.hears("the second carrier", 0)
	other.hears("the carrier that stayed", 0)
	if s, v := origin(t, reoffer(t, target, stays, other, far)); s != session || v != version+2 {
		t.Errorf("the party that stays is then offered session %d version %d", s, v)
	}
	hangUp(stays, target, far, other)
	var one, two v1.Call
	eventually(t, "the records of both calls", func() bool {
		var list v1.CallList
		if err := json.Unmarshal([]byte(x.must("calls", "list", "--json", "--connector", x.c.id, "--max", "1000")), &list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list.Calls {
			switch {
			case r.TransferredTo != "":
				one = r
			case r.TransferOf != "":
				two = r
			}
		}
		return one.ID != "" && two.ID != ""
	})
	if one.TransferredTo != two.ID || two.TransferOf != one.ID || one.Customer.Media.PlainSent != 0 || one.Customer.Media.Protected == 0 {
		t.Errorf("the call is recorded as %+v", one)
	}
	if two.Remaining == nil || two.Remaining.Media.PacketsReceived < 10 || two.CarrierLeg.Media.PacketsReceived < 10 || two.Carrier != "second" || two.Customer.Transport != "" {
		t.Errorf("the new call is recorded as %+v", two)
	}
}

// names writes Replaces for a party's own dialog.
func (p *party) names() string {
	_, ours, _ := strings.Cut(p.remote, "tag=")
	_, theirs, _ := strings.Cut(p.local, "tag=")
	return p.id + ";to-tag=" + ours + ";from-tag=" + theirs
}

// The customer has called a second number and joins both parties.
func (x *wired) joinedCalls(t *testing.T) {
	x.must("connector", "set", x.c.id, "transfers=execute")
	customer, stays, near, far := x.videoCall(t)
	again, target := x.customer(t), x.second(t)
	hers, other := x.sound(t, "AES_CM_128_HMAC_SHA1_80"), plainSound(t)
	again.from("sip:"+customerNumber+"@"+x.c.host, "sip:+16465550177@"+x.c.host)
	establish(again, target, hers, other)
	hers.play(true)
	other.play(true)
	hers.hears("the second carrier", 1)
	customer.extra = []string{"Refer-To: <sip:" + x.c.host + "?Replaces=" + url.QueryEscape(again.names()) + ">"}
	customer.send("REFER", nil)
	customer.final("REFER", 202)
	for _, x := range []struct {
		*party
		*sound
	}{{target, other}, {stays, far}} {
		m := x.await("INVITE")
		x.party.answer(m, 200, x.sound.answer(x.learn(m.body)))
		x.await("ACK")
	}
	customer.told("SIP/2.0 200 OK")
	customer.answer(customer.await("BYE"), 200, nil)
	again.answer(again.await("BYE"), 200, nil)
	near.play(false)
	hers.play(false)
	far.hears("the second carrier", 0)
	other.hears("the first carrier", 0)
	hangUp(stays, target, far, other)
}

// Another phone of the customer's takes the call over: what it hears and says is protected under keys of its own.
func (x *wired) takenCall(t *testing.T) {
	x.must("connector", "set", x.c.id, "transfers=execute")
	customer, stays, near, far := x.videoCall(t)
	another, hers := x.customer(t), x.sound(t, "AES_CM_128_HMAC_SHA1_80")
	another.extra = []string{"Replaces: " + customer.names()}
	another.send("INVITE", hers.sdp())
	m := stays.await("INVITE")
	stays.answer(m, 200, far.answer(far.learn(m.body)))
	stays.await("ACK")
	hers.learn(another.final("INVITE", 200).body)
	customer.answer(customer.await("BYE"), 200, nil)
	near.play(false)
	hers.play(true)
	hers.hears("the carrier", 1)
	far.hears("the one who took over", 1)
	hangUp(another, stays, hers, far)
}
