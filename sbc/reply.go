package sbc

import (
	"fmt"
	"strconv"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
)

// allowed is the Allow header of every answer that carries one.
const allowed = "INVITE, ACK, BYE, CANCEL, OPTIONS, UPDATE, INFO, PRACK"

// supported lists the options this node knows (RFC 3261 section 20.37).
const supported = "timer, 100rel"

// retryAfter bounds the jittered Retry-After in seconds: a node that drains must not be asked by everybody at once.
const retryMin, retryMax = 2, 10

// refuse answers an INVITE or OPTIONS that admission did not let in, counts it and, where the sender is no stranger and a
// connector rules it, records it.
func (s *Server) refuse(a *arrival, r *call.Refusal) {
	v := judge(r)
	if a.fault.status != 0 {
		v.status, v.cause = a.fault.status, causeOfStatus(a.fault.status)
	}
	s.stats.refused(r.Reason)
	s.sampleRefusal(a, v)
	switch a.standing {
	case proven:
		s.answerProven(a, v)
	case claimed:
		s.answerClaimed(a, v)
	default:
		s.answerStranger(a, v)
		return
	}
	if a.req.Method() == sip.Invite && v.status != 422 { // who is told the least interval asks again, as with a challenge
		s.recordRefusal(a, v)
	}
}

// answerStranger gives a stranger one answer that names no rule but those of the protocol, costs no state and is not larger than what was asked.
// A datagram from outside every list may come from a forged address, so it gets silence where even that would be more;
// of several challenges the last are left out first.
func (s *Server) answerStranger(a *arrival, v verdict) {
	for n := len(a.challenge); ; n-- {
		b := s.response(a.req, v.status, "")
		if a.fault.header != "" {
			b.Header(a.fault.header, a.fault.value)
		}
		for _, value := range a.challenge[:n] {
			b.Header("Proxy-Authenticate", value)
		}
		b.Body("", nil)
		out := b.Bytes()
		if n <= 1 || a.flow.Proto().Reliable() || len(out) <= len(a.req.Bytes()) {
			s.sendOnce(a.tx, a.req, out)
			s.builders.put(b)
			return
		}
	}
}

// answerProven says which rule fired, over UDP as often as it takes until the ACK. Over a connection the answer arrives
// once it is sent: kept for an ACK that never comes, the transactions of one customer's refused calls would fill in
// seconds what all tenants share.
func (s *Server) answerProven(a *arrival, v verdict) {
	b := s.verdictResponse(a, v, true)
	defer s.builders.put(b)
	switch out := b.Bytes(); {
	case out == nil:
		a.tx.Drop()
	case a.reliable || a.tx.Crowded():
		_ = a.tx.RespondOnce(out)
	default:
		_ = a.tx.Respond(out)
	}
}

// answerClaimed answers a datagram from a listed source once, with the sentence where that fits into what came: the source
// may be forged, and then it must be no amplifier.
func (s *Server) answerClaimed(a *arrival, v verdict) {
	b := s.verdictResponse(a, v, true)
	if out := b.Bytes(); out == nil || len(out) > len(a.req.Bytes()) {
		s.builders.put(b)
		b = s.verdictResponse(a, v, false)
	}
	defer s.builders.put(b)
	out := b.Bytes()
	if out == nil {
		a.tx.Drop()
		return
	}
	_ = a.tx.RespondOnce(out)
}

func (s *Server) verdictResponse(a *arrival, v verdict, say bool) *sip.Builder {
	b := s.response(a.req, v.status, v.phrase)
	for _, value := range a.challenge {
		b.Header("Proxy-Authenticate", value)
	}
	if a.fault.header != "" {
		b.Header(a.fault.header, a.fault.value)
	}
	if v.retry {
		b.Header("Retry-After", s.retryAfter())
	}
	if say {
		s.explain(b, v, v.reasonHeader())
	}
	b.Body("", nil)
	return b
}

// explain writes a verdict into Warning, and why into Reason: the verdict's own sentence, or what the other side said.
func (s *Server) explain(b *sip.Builder, v verdict, reason string) {
	if reason != "" {
		b.Header("Reason", reason)
	}
	if value := v.warningHeader(s.cfg.Name); value != "" {
		b.Header("Warning", value)
	}
}

func (s *Server) retryAfter() string {
	s.random.mu.Lock()
	defer s.random.mu.Unlock()
	return strconv.Itoa(retryMin + s.random.rng.IntN(retryMax-retryMin+1))
}

// response begins a response with a To-tag of its own.
func (s *Server) response(req *sip.Message, status int, phrase string) *sip.Builder {
	b := s.builders.get()
	if phrase == "" {
		phrase = sip.ReasonPhrase(status)
	}
	sip.AppendResponse(b, req, status, phrase, s.random.token(8))
	return b
}

// answerStateless answers without state and without a reason.
func (s *Server) answerStateless(tx *transaction.Server, req *sip.Message, status int) {
	b := s.response(req, status, "")
	if status == 405 {
		b.Header("Allow", allowed)
	}
	b.Body("", nil)
	s.sendOnce(tx, req, b.Bytes())
	s.builders.put(b)
}

// sendOnce sends an answer without keeping state, or nothing where it would be larger than the request.
func (s *Server) sendOnce(tx *transaction.Server, req *sip.Message, out []byte) {
	if out == nil || len(out) > len(req.Bytes()) && !tx.Flow().Proto().Reliable() {
		s.stats.Silent.Add(1)
		tx.Drop()
		return
	}
	_ = tx.RespondOnce(out)
}

// onOther answers requests outside of dialogs that this node does not serve: 405 for methods it knows, 501 for others
// (RFC 3261 section 8.2.1).
func (s *Server) onOther(tx *transaction.Server, req *sip.Message) {
	s.stats.Other.Add(1)
	s.sampleOther(tx, req)
	if req.Method() == sip.MethodUnknown {
		s.answerStateless(tx, req, 501)
		return
	}
	s.answerStateless(tx, req, 405)
}

// Malformed answers a message that did not parse but says where it came from. It completes transport.Handler together
// with the transaction layer.
func (s *Server) Malformed(f transport.Flow, m *sip.Message, err *sip.ParseError) {
	defer s.survive(nil, m)
	s.stats.Malformed.Add(1)
	if err.Status == 0 || !m.Answerable() || m.Method() == sip.Ack {
		return
	}
	b := s.response(m, err.Status, "")
	b.Header("Warning", fmt.Sprintf("399 %s %s", s.cfg.Name, quoted(err.Reason)))
	b.Body("", nil)
	out := b.Bytes()
	if out == nil || len(out) > len(m.Bytes()) && !f.Proto().Reliable() {
		b = s.response(m, err.Status, "")
		b.Body("", nil)
		out = b.Bytes()
	}
	if out == nil || len(out) > len(m.Bytes()) && !f.Proto().Reliable() {
		s.stats.Silent.Add(1)
		return
	}
	if err := transport.ReplyFlow(f, m).Send(out); err != nil {
		s.stats.SendErrors.Add(1)
	}
}
