package sip

import (
	"net/netip"
	"strconv"
)

// AppendResponse begins the answer to req (RFC 3261 §8.2.6): status line, every
// Via, From, To, Call-ID and CSeq, and Timestamp on a 100. toTag is added to a
// To that has no tag; pass "" to leave To alone. Headers a malformed req lacks
// are left out. The caller adds the rest and Body.
func AppendResponse(b *Builder, req *Message, code int, reason, toTag string) {
	b.Response(code, reason)
	b.CopyVias(req)
	b.Copy(req, HdrFrom)
	if req.first[HdrTo] != 0 {
		b.Open("To")
		b.copyValue(req, req.Get(HdrTo))
		if toTag != "" && req.to.tag == nil {
			b.WriteText(";tag=")
			b.WriteText(toTag)
		}
		b.Close()
	}
	b.Copy(req, HdrCallID)
	b.Copy(req, HdrCSeq)
	if code == 100 {
		b.Copy(req, HdrTimestamp)
	}
}

// CopyVias writes all Via lines of m, the topmost value with the received and
// rport that SetReceived asks for.
func (b *Builder) CopyVias(m *Message) {
	if !m.received.IsValid() || m.known&hasSentBy == 0 {
		b.Copy(m, HdrVia)
		return
	}
	top := m.firstLine(HdrVia)
	value := m.lines[top].span(m.buf)
	first, rest := cutComma(value)
	b.Open("Via")
	b.topVia(m, first)
	if len(rest) > 0 {
		b.WriteText(", ")
		b.copyValue(m, rest)
	}
	b.Close()
	for i := top + 1; i < len(m.lines); i++ {
		if m.lines[i].id == HdrVia {
			b.copyLine(m, &m.lines[i])
		}
	}
}

// topVia writes a Via value with its received replaced and its rport filled in.
// A received the peer wrote itself is dropped: it would send the response
// wherever the peer likes.
func (b *Builder) topVia(m *Message, value []byte) {
	sentBy, params := cutOutside(value, ';')
	b.copyValue(m, trim(sentBy))
	for len(params) > 0 {
		var p []byte
		p, params = cutOutside(params, ';')
		name, _ := cutEqual(p)
		switch {
		case equalFold(name, "received"):
		case equalFold(name, "rport"):
			b.WriteText(";rport=")
			b.WriteUint(uint64(m.received.Port()))
		default:
			b.WriteText(";")
			b.copyValue(m, trim(p))
		}
	}
	if m.via.HasRPort || m.via.hostDiffers(m.received.Addr()) {
		b.WriteText(";received=")
		b.writeAddr(m.received.Addr())
	}
}

func (b *Builder) writeAddr(a netip.Addr) {
	if b.enter(builderOpen, builderOpen) {
		b.buf = a.Unmap().WithZone("").AppendTo(b.buf)
	}
}

// hostDiffers reports whether sent-by is anything but this address (RFC 3261 §18.2.1).
func (v *Via) hostDiffers(addr netip.Addr) bool {
	host, ok := parseAddr(v.Host)
	return !ok || host.Unmap() != addr.Unmap().WithZone("")
}

// AppendVia appends the value of a Via of ours: "SIP/2.0/TLS host:port;branch=…"
// with ";rport" (RFC 3581) where rport is set. Port 0 is left out; an IPv6 host
// needs its brackets.
func AppendVia(dst []byte, v *Via) []byte {
	dst = append(dst, "SIP/2.0/"...)
	for _, c := range v.Transport {
		if c-'a' < 26 {
			c -= 'a' - 'A'
		}
		dst = append(dst, c)
	}
	dst = append(append(dst, ' '), v.Host...)
	if v.Port != 0 {
		dst = strconv.AppendUint(append(dst, ':'), uint64(v.Port), 10)
	}
	dst = append(append(dst, ";branch="...), v.Branch...)
	if v.HasRPort {
		dst = append(dst, ";rport"...)
	}
	return dst
}
