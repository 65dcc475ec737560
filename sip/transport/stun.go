package transport

import (
	"encoding/binary"
	"net/netip"
	"time"
)

// STUN as a keep-alive on the SIP port (RFC 5626 §4.4.2, RFC 8489): a binding request is answered
// with the address it came from. The answer is 12 octets longer than the shortest request over
// IPv4 and 24 over IPv6; Limits.STUNPerSecond bounds what a spoofed source can make of that.
const (
	stunHeader         = 20
	stunCookie         = 0x2112A442
	stunBindingRequest = 0x0001
	stunBindingSuccess = 0x0101
	stunXORMapped      = 0x0020
	stunRequired       = 0x8000 // attribute types below must be understood (RFC 8489 §14)
)

// isSTUN reports whether a datagram is STUN: no SIP message begins with these octets.
func isSTUN(b []byte) bool {
	return len(b) >= stunHeader && b[0]&0xC0 == 0 && binary.BigEndian.Uint32(b[4:]) == stunCookie
}

func (s *udpSocket) answerSTUN(b []byte, f Flow) {
	if !isBindingRequest(b) {
		s.t.stats.Garbage.Add(1)
		return
	}
	if !s.stun.allow(s.t.clock.Now(), s.t.limits.STUNPerSecond) {
		s.t.stats.STUNDropped.Add(1)
		return
	}
	var out [stunHeader + 24]byte
	n := bindingSuccess(out[:], b, f.remote)
	if err := f.link.(*udpLink).write(out[:n], f.remote); err != nil {
		s.t.stats.SendErrors.Add(1)
		return
	}
	s.t.stats.STUN.Add(1)
}

// isBindingRequest checks the whole request. One with an attribute that must be understood is not
// for us: keep-alives carry none, and this is no STUN server.
func isBindingRequest(b []byte) bool {
	if binary.BigEndian.Uint16(b) != stunBindingRequest || int(binary.BigEndian.Uint16(b[2:])) != len(b)-stunHeader {
		return false
	}
	for b = b[stunHeader:]; len(b) > 0; {
		if len(b) < 4 || binary.BigEndian.Uint16(b) < stunRequired {
			return false
		}
		size := 4 + (int(binary.BigEndian.Uint16(b[2:]))+3)&^3
		if size > len(b) {
			return false
		}
		b = b[size:]
	}
	return true
}

// bindingSuccess writes the answer to request into out and returns its length.
func bindingSuccess(out, request []byte, from netip.AddrPort) int {
	ip := from.Addr().AsSlice()
	binary.BigEndian.PutUint16(out, stunBindingSuccess)
	binary.BigEndian.PutUint16(out[2:], uint16(8+len(ip)))
	copy(out[4:stunHeader], request[4:stunHeader]) // cookie and transaction ID
	attr := out[stunHeader:]
	binary.BigEndian.PutUint16(attr, stunXORMapped)
	binary.BigEndian.PutUint16(attr[2:], uint16(4+len(ip)))
	attr[4], attr[5] = 0, 1
	if len(ip) == 16 {
		attr[5] = 2
	}
	binary.BigEndian.PutUint16(attr[6:], from.Port()^stunCookie>>16)
	for i, octet := range ip {
		attr[8+i] = octet ^ out[4+i]
	}
	return stunHeader + 8 + len(ip)
}

// rateGate lets so many pass in each second. It keeps two numbers and nothing about sources.
type rateGate struct {
	second int64
	passed int
}

func (g *rateGate) allow(now time.Time, perSecond int) bool {
	if s := now.Unix(); s != g.second {
		g.second, g.passed = s, 0
	}
	g.passed++
	return g.passed <= perSecond
}
