package sbc

import (
	"carillon/call"
	"carillon/sip"
	"carillon/sip/transaction"
)

// onOptions answers an OPTIONS outside of dialogs as an INVITE from there would be judged (RFC 3261 section 11). One
// that would be let in is the sign of life that GetVoiceConnectorTerminationHealth shows.
func (s *Server) onOptions(tx *transaction.Server, req *sip.Message) {
	a := s.newArrival(tx, req)
	if s.misread(a) {
		return
	}
	if r := s.admit(a, outboundOptionsSteps, inboundOptionsSteps); r != nil {
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
	defer s.builders.put(b)
	_ = tx.RespondOnce(b.Bytes()) // a repeated OPTIONS gets the same answer (RFC 3261 section 8.2.7)
}
