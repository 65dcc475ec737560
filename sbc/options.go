package sbc

import (
	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transaction"
)

// onOptions answers an OPTIONS outside of dialogs as an INVITE from there would be judged (RFC 3261 section 11). One
// that would be let in is the sign of life that GetVoiceConnectorTerminationHealth shows.
func (s *Server) onOptions(tx *transaction.Server, req *sip.Message) {
	a := s.newArrival(tx, req)
	if status, header, value := s.precheck(req); status != 0 {
		s.answerEarly(a, status, header, value)
		return
	}
	if r := s.admitOptions(a); r != nil {
		s.refuse(a, r)
		return
	}
	s.stats.Options.Add(1)
	if a.owner.Direction == call.Outbound && s.cfg.Health != nil {
		s.cfg.Health.Seen(a.connector.ID, a.facts.Source, a.at)
	}
	b := s.response(req, 200, "")
	b.Header("Allow", allowed)
	b.Header("Accept", "application/sdp")
	b.Body("", nil)
	_ = tx.Respond(b.Bytes())
}

// admitOptions runs the rules that do not depend on a number. A source that is in the list need not authenticate:
// trunks send OPTIONS without credentials, and an INVITE from there would only be asked for them.
func (s *Server) admitOptions(a *arrival) *call.Refusal {
	if s.draining.Load() {
		return call.Refuse(call.ReasonDraining, "")
	}
	owner, refusal := routing.Classify(a.view, a.facts)
	if refusal != nil {
		return refusal
	}
	a.owner, a.connector = owner, owner.Connector
	if owner.Direction == call.Inbound {
		a.proven = true
		return nil
	}
	if refusal := screen(s, a); refusal != nil {
		return refusal
	}
	if a.screening.Listed {
		return nil
	}
	return authenticate(s, a)
}
