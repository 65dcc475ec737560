package sbc

import (
	"fmt"
	"strings"
	"sync/atomic"

	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// agent is a peer's half of one dialog, or of a call that may become one.
type agent struct {
	*peer
	req     siptest.Request // the last request sent, or the skeleton of the next
	invite  *sip.Message    // the INVITE received, at the callee
	tag     string          // ours
	ok      *sip.Message    // the 2xx received, at the caller
	contact string
}

var branches atomic.Uint64

func newBranch() string { return fmt.Sprintf("z9hG4bKtest%d", branches.Add(1)) }

// contactOf is what a peer writes as its Contact.
func (p *peer) contactOf() string {
	uri := "sip:peer@" + p.addr.String()
	switch p.proto {
	case transport.TCP:
		uri += ";transport=tcp"
	case transport.TLS:
		uri += ";transport=tls"
	}
	return "<" + uri + ">"
}

// outboundCall is an INVITE of the connector's customer to a far number.
func (p *peer) outboundCall(sdp string) *agent {
	return p.dial("sip:"+farNumber+"@"+host, ownNumber, sdp)
}

// inboundCall is an INVITE of the carrier to the connector's number.
func (p *peer) inboundCall(sdp string) *agent {
	return p.dial("sip:"+ownNumber+"@"+nodeIP, farNumber, sdp)
}

// dial prepares an INVITE; start sends it.
func (p *peer) dial(uri, from, sdp string) *agent {
	n := branches.Add(1)
	a := &agent{peer: p, contact: p.contactOf()}
	a.req = siptest.Request{
		Method: "INVITE", URI: uri, Transport: p.proto.String(), SentBy: p.addr.String(), Branch: newBranch(),
		From: "\"Alice of the customer\" <sip:" + from + "@" + p.addr.Addr().String() + ">", FromTag: fmt.Sprintf("theirs%d", n),
		CallID: fmt.Sprintf("call-%d@%s", n, p.addr.Addr()), CSeq: 1,
		Headers: []string{"Contact: " + a.contact}, Body: sdp,
	}
	return a
}

// start sends the INVITE.
func (a *agent) start(headers ...string) *agent {
	a.req.Headers = append(a.req.Headers, headers...)
	a.peer.send(a.req.Bytes())
	return a
}

// again sends the same INVITE with another branch and CSeq, as a phone does with credentials.
func (a *agent) again(headers ...string) *agent {
	a.req.Branch = newBranch()
	a.req.CSeq++
	return a.start(headers...)
}

// cancel sends the CANCEL of the INVITE.
func (a *agent) cancel() {
	r := a.req
	r.Method, r.Headers, r.Body, r.ContentType = "CANCEL", nil, "", ""
	a.peer.send(r.Bytes())
}

// answered takes the 2xx and remembers the dialog.
func (a *agent) answered() *sip.Message {
	a.r.t.Helper()
	a.ok = a.want("200")
	return a.ok
}

// ackFailure acknowledges a final answer other than 2xx.
func (a *agent) ackFailure(resp *sip.Message) {
	r := a.req
	r.Method, r.Headers, r.Body, r.ContentType = "ACK", nil, "", ""
	r.ToTag = string(resp.To().Tag())
	a.peer.send(r.Bytes())
}

// refused takes a final answer and acknowledges it.
func (a *agent) refused(status string) *sip.Message {
	a.r.t.Helper()
	m := a.want(status)
	a.ackFailure(m)
	return m
}

// ack acknowledges the 2xx.
func (a *agent) ack(sdp string) { a.sendAck(a.ok, sdp) }

func (a *agent) sendAck(ok *sip.Message, sdp string) {
	r := a.inside("ACK", sdp)
	r.CSeq = ok.CSeq()
	a.peer.send(r.Bytes())
}

// inside prepares a request inside the dialog, with the number of the request before.
func (a *agent) inside(method, sdp string) siptest.Request {
	r := siptest.Request{
		Method: method, Transport: a.proto.String(), SentBy: a.addr.String(), Branch: newBranch(),
		CallID: a.req.CallID, CSeq: a.req.CSeq, Body: sdp,
		FromTag: a.req.FromTag, From: a.req.From, ToTag: a.req.ToTag,
	}
	if a.invite != nil {
		r.URI = string(a.invite.Contact().URI.AppendTo(nil))
		r.From, r.FromTag = "<"+string(a.invite.To().URI.AppendTo(nil))+">", a.tag
		r.To, r.ToTag = "<"+string(a.invite.From().URI.AppendTo(nil))+">", string(a.invite.From().Tag())
		r.CallID = string(a.invite.CallID())
	} else if a.ok != nil {
		r.URI = string(a.ok.Contact().URI.AppendTo(nil))
		r.To, r.ToTag = "<"+a.req.URI+">", string(a.ok.To().Tag())
	}
	if method == "INVITE" || method == "UPDATE" {
		r.Headers = []string{"Contact: " + a.contact}
	}
	return r
}

// request sends the next request inside the dialog.
func (a *agent) request(method, sdp string, headers ...string) siptest.Request {
	a.req.CSeq++
	r := a.inside(method, sdp)
	r.Headers = append(r.Headers, headers...)
	a.peer.send(r.Bytes())
	return r
}

// ring takes the INVITE that came to a peer.
func (p *peer) ring() *agent {
	p.r.t.Helper()
	m := p.want("INVITE")
	return &agent{peer: p, invite: m, tag: fmt.Sprintf("far%d", branches.Add(1)), contact: p.contactOf(), req: siptest.Request{CSeq: 100}}
}

// answer answers the INVITE that rang.
func (a *agent) answer(code int, sdp string, headers ...string) {
	a.r.t.Helper()
	tag := a.tag
	if code == 100 {
		tag = ""
	}
	if code > 100 && code < 300 {
		headers = append(headers, "Contact: "+a.contact)
	}
	a.respond(a.invite, code, tag, sdp, headers...)
}

// respond answers any request.
func (p *peer) respond(req *sip.Message, code int, tag, sdp string, headers ...string) {
	p.r.t.Helper()
	var b sip.Builder
	sip.AppendResponse(&b, req, code, sip.ReasonPhrase(code), tag)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		b.Header(name, strings.TrimSpace(value))
	}
	contentType := ""
	if sdp != "" {
		contentType = "application/sdp"
	}
	b.Body(contentType, []byte(sdp))
	if b.Err() != nil {
		p.r.t.Fatalf("write a %d: %v", code, b.Err())
	}
	p.send(b.Bytes())
}

// bye takes a BYE and answers it.
func (p *peer) bye() *sip.Message {
	p.r.t.Helper()
	m := p.want("BYE")
	p.respond(m, 200, "", "")
	return m
}

// connect sets a call up: both sides answered and acknowledged.
func connect(caller *agent, callee *peer, answerSDP string) *agent {
	caller.r.t.Helper()
	caller.start()
	caller.want("100")
	target := callee.ring()
	target.answer(200, answerSDP)
	target.want("ACK")
	caller.answered()
	caller.ack("")
	return target
}

// hangUp ends a call from the caller's side.
func hangUp(caller, callee *agent) {
	caller.r.t.Helper()
	caller.request("BYE", "")
	caller.want("200")
	callee.bye()
}
