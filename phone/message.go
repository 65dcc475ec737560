package phone

import (
	"net/netip"
	"strconv"
	"strings"

	"carillon/sip"
	"carillon/sip/transport"
)

// allowed is the Allow header.
const allowed = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO"

// tagSize is the size of tags in octets before hex: RFC 3261 §19.3 asks for at least 32 random bits.
const tagSize = 8

// maxForwards is RFC 3261 §8.1.1.6's.
const maxForwards = 70

// Header is one SIP header line.
type Header struct{ Name, Value string }

// response begins the answer to a request.
func (p *Phone) response(req *sip.Message, status int, phrase, tag string) *sip.Builder {
	b := sip.NewBuilder(make([]byte, 0, 2048))
	sip.AppendResponse(b, req, status, phrase, tag)
	b.Header("Server", p.cfg.UserAgent)
	b.Header("Allow", allowed)
	if status == 200 {
		b.Header("Accept", "application/sdp")
	}
	return b
}

// self is our address on a flow: the listener's, so that new connections find us, else the flow's own.
func (p *Phone) self(f transport.Flow) netip.AddrPort {
	if p.addr.Port() != 0 && !p.addr.Addr().IsUnspecified() {
		return p.addr
	}
	local := f.Local()
	if local.Addr().IsUnspecified() {
		local = netip.AddrPortFrom(localAddr(f.Remote()), local.Port())
	}
	if p.addr.Port() != 0 {
		return netip.AddrPortFrom(local.Addr(), p.addr.Port())
	}
	return local
}

func (p *Phone) via(f transport.Flow, branch string) []byte {
	return []byte("SIP/2.0/" + f.Proto().String() + " " + p.self(f).String() + ";branch=" + branch + ";rport")
}

// contact is where requests of a dialog on this flow reach us.
func (p *Phone) contact(f transport.Flow) string {
	uri := "<sip:" + p.cfg.User + "@" + p.self(f).String()
	if f.Proto() != transport.UDP {
		uri += ";transport=" + strings.ToLower(f.Proto().String())
	}
	return uri + ">"
}

// inviteRequest writes an INVITE outside of dialogs with its offer.
func (o *outgoing) inviteRequest(branch string, credentials *Header) []byte {
	p := o.p
	b := sip.NewBuilder(make([]byte, 0, 4096))
	b.Request("INVITE", []byte(o.uri))
	b.HeaderBytes("Via", p.via(o.flow, branch))
	b.Header("Max-Forwards", strconv.Itoa(maxForwards))
	b.Header("From", "<"+o.from+">;tag="+o.tag)
	b.Header("To", "<"+o.uri+">")
	b.Header("Call-ID", o.callID)
	b.Header("CSeq", strconv.Itoa(int(o.seq))+" INVITE")
	b.Header("Contact", p.contact(o.flow))
	b.Header("User-Agent", p.cfg.UserAgent)
	b.Header("Allow", allowed)
	if credentials != nil {
		b.Header(credentials.Name, credentials.Value)
	}
	for _, h := range o.inv.Headers {
		b.Header(h.Name, h.Value)
	}
	b.Body("application/sdp", o.offer)
	return b.Bytes()
}

// lines joins all lines of a header.
func lines(m *sip.Message, id sip.HeaderID) string {
	var all []string
	for v := range m.Values(id) {
		all = append(all, string(v))
	}
	return strings.Join(all, ", ")
}
