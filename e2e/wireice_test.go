package e2e_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/binary"
	"strings"
	"testing"
)

// stunProof is the MESSAGE-INTEGRITY of a message that ends where b does (RFC 8489 section 14.5).
func stunProof(b []byte, password string) []byte {
	head := []byte(string(b[:20]))
	binary.BigEndian.PutUint16(head[2:], uint16(len(b)-20+24))
	mac := hmac.New(sha1.New, []byte(password))
	mac.Write(head)
	mac.Write(b[20:])
	return mac.Sum(nil)
}

// stunProven reports whether a message of STUN proves that its sender knows a password.
func stunProven(b []byte, password string) bool {
	if len(b) < 20 || b[0]&0xc0 != 0 || string(b[4:8]) != "\x21\x12\xa4\x42" {
		return false
	}
	for at := 20; at+24 <= len(b); {
		kind, size := binary.BigEndian.Uint16(b[at:]), int(binary.BigEndian.Uint16(b[at+2:]))
		if kind == 0x0008 && size == 20 {
			return hmac.Equal(b[at+4:at+24], stunProof(b[:at], password))
		}
		at += 4 + (size+3)&^3
	}
	return false
}

// stunCheck is a connectivity check that nominates its pair.
func stunCheck(user, password string) []byte {
	b := []byte("\x00\x01\x00\x00\x21\x12\xa4\x42e2e of ICE..")
	put := func(kind uint16, value string) {
		b = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(b, kind), uint16(len(value)))
		b = append(append(b, value...), make([]byte, (4-len(value)%4)%4)...)
	}
	put(0x0006, user)
	put(0x0024, "\x6e\x00\x01\xff") // priority
	put(0x802a, "12345678")         // the one that controls
	put(0x0025, "")                 // nominated
	put(0x0008, string(stunProof(b, password)))
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)-20))
	return b
}

// A customer that can be reached by ICE alone: its checks are answered with proof, and media are protected as ever.
func (x *wired) iceCall(t *testing.T) {
	customer, carrier := x.customer(t), x.carriers(t, 1)[0]
	near, far := x.sound(t, "AEAD_AES_128_GCM"), plainSound(t)
	near.ice = true
	customer.send("INVITE", near.sdp())
	m := carrier.await("INVITE")
	if strings.Contains(string(m.body), "ice") {
		t.Errorf("the carrier is offered\n%s", m.body)
	}
	far.learn(m.body)
	carrier.answer(m, 200, far.sdp())
	body := customer.final("INVITE", 200).body
	near.learn(body)
	carrier.await("ACK")
	far.play(true)
	far.says("the carrier speaks")
	if out, _ := x.udp(t, near); out != 0 {
		t.Errorf("%d datagrams went to a customer that nobody has found yet", out)
	}
	value := func(name string) string {
		_, rest, _ := strings.Cut(string(body), "\r\na="+name+":")
		v, _, _ := strings.Cut(rest, "\r\n")
		return v
	}
	password := value("ice-pwd")
	x.judge.trust(near.at(), password)
	forged := stunCheck(value("ice-ufrag")+":phone", "a password that nobody agreed on")
	x.judge.stray(forged)
	near.raw(near.rtp, forged)
	check := stunCheck(value("ice-ufrag")+":phone", password)
	near.raw(near.rtp, check)
	near.raw(near.rtcp, check)
	near.hears("the carrier, found by ICE", 1)
	answers := 0
	for _, f := range x.frames(t)[near.since:] {
		if f.fromNode() && f.to.Addr() == near.at().Addr() && f.to.Port()&^1 == near.at().Port() && len(f.payload) > 0 && f.payload[0]>>6 == 0 {
			answers++
		}
	}
	if answers != 2 {
		t.Errorf("%d answers to two checks that are proven and one that is not", answers)
	}
	near.play(true)
	both(near, far, "with ICE")
	hangUp(customer, carrier, near, far)
}
