package sbc

import (
	"strings"

	"carillon/call"
	"carillon/routing"
	"carillon/trunk"
)

// Rehearse says what would happen to an INVITE, by the steps and tables that judge real ones. It spends nothing of any
// limit, sends nothing and records nothing. Media is judged only by whether it would be encrypted.
func (s *Server) Rehearse(q call.Question) call.Rehearsal {
	a := &arrival{at: s.clock.Now(), view: s.cfg.Directory.Snapshot(), reliable: q.Transport != "udp", sips: q.SIPS, user: q.User}
	a.facts = routing.Facts{
		Host: strings.ToLower(q.Host), User: q.To, Source: q.Source.Addr().Unmap(), Port: q.Source.Port(),
		TLS: q.Transport == "tls", From: q.From,
	}
	out := call.Rehearsal{Revision: a.view.Revision(), Rules: []call.RehearsedRule{}}
	refusal := s.rehearse(a, q, &out)
	if a.plan.Connector != nil {
		a.connector = a.plan.Connector
	}
	if a.connector != nil {
		out.ConnectorID, out.Account = a.connector.ID, a.connector.Account
	}
	p := a.plan
	out.From, out.To, out.FromCountry, out.ToCountry = p.From, p.To, p.FromCountry, p.ToCountry
	out.Replaced, out.Emergency = p.Replaced, p.Emergency
	if refusal != nil {
		v := judge(refusal)
		out.Status, out.Reason, out.Sentence, out.Fix = v.status, v.reason.String(), v.sentence, v.fix
		return out
	}
	out.Admitted = true
	if p.Inside != nil {
		out.Inside = p.Inside.ID
	}
	for _, t := range p.Targets {
		target := call.RehearsedTarget{URI: t.String(), SRTP: t.SRTP.String(), Failing: s.failures.failed(t.String(), a.at)}
		if t.Carrier != nil {
			target.Carrier = t.Carrier.Name
		}
		if t.Connector != nil {
			target.ConnectorID = t.Connector.ID
		}
		out.Targets = append(out.Targets, target)
	}
	return out
}

// rehearse asks the rules in order until one refuses.
func (s *Server) rehearse(a *arrival, q call.Question, out *call.Rehearsal) *call.Refusal {
	ask := func(rule string, refusal *call.Refusal) *call.Refusal {
		out.Rules = append(out.Rules, call.RehearsedRule{Rule: rule, Passed: refusal == nil})
		return refusal
	}
	owner, refusal := routing.Classify(a.view, a.facts)
	if ask("host", refusal) != nil {
		return refusal
	}
	a.owner, a.connector = owner, owner.Connector
	out.Direction = owner.Direction.String()
	steps := outboundSteps
	if owner.Direction == call.Inbound {
		steps = inboundSteps
	}
	for _, step := range steps {
		judge := step.judge
		if step.rehearse != nil {
			judge = step.rehearse
		}
		if refusal := ask(step.rule, judge(s, a)); refusal != nil {
			return refusal
		}
	}
	return ask("media", rehearseMedia(a, q))
}

func rehearseRoom(s *Server, a *arrival) *call.Refusal {
	switch {
	case s.draining.Load():
		return call.Refuse(call.ReasonDraining, "")
	case s.cfg.Stale != nil && s.cfg.Stale() && !a.emergency():
		return call.Refuse(call.ReasonStoreStale, "")
	case s.layer.Full():
		return fullOfTransactions()
	}
	return nil
}

// rehearseCredentials takes the user's word for the password.
func rehearseCredentials(s *Server, a *arrival) *call.Refusal {
	switch {
	case !a.screening.NeedCredentials:
		return nil
	case s.lockouts.locked(newGuesser(a.facts.Source, a.connector.ID), a.at):
		return wrongCredentials(lockedOut, nil)
	case a.user == "":
		return call.Refuse(call.ReasonCredentialsRequired, "")
	}
	if _, ok := findHA1(a.connector, a.user); !ok {
		return call.Refuse(call.ReasonCredentialsWrong, "the connector has no such user")
	}
	a.standing = proven
	return nil
}

func rehearseLimit(s *Server, a *arrival) *call.Refusal {
	if a.emergency() {
		return nil
	}
	outbound := a.owner.Direction == call.Outbound
	if outbound {
		if refusal := s.spend(a, (*rates).left); refusal != nil {
			return refusal
		}
	}
	account, total := s.actives.count(a.connector.Account)
	perAccount, perConnector := quotaOf(a.view, a.connector.Account, trunk.QuotaActiveCalls), connectorLimit(a.view, a.connector)
	switch {
	case total >= s.limits.Calls:
		return callsUp(s.limits.Calls)
	case account >= perAccount:
		return callsExceeded(perAccount, "in the account")
	case outbound && s.actives.through(a.connector.ID) >= perConnector:
		return callsExceeded(perConnector, "through the connector")
	case a.standing == claimed && s.actives.doubts(a.connector.ID) >= s.limits.Unproven:
		return tooManyUnproven(s)
	}
	return nil
}

func rehearseCalled(s *Server, a *arrival) *call.Refusal {
	if refusal := a.findSeat(func(c *trunk.Connector, n int) bool { return s.actives.through(c.ID) < n }); refusal != nil {
		return refusal
	}
	other := a.plan.Inside
	if other == nil || other.Account == a.connector.Account {
		return nil
	}
	if account, _ := s.actives.count(other.Account); account >= quotaOf(a.view, other.Account, trunk.QuotaActiveCalls) {
		return call.Refuse(call.ReasonConcurrencyExceeded, atCalledSide)
	}
	return nil
}

// rehearseMedia judges what the media plane would say of the caller's offer, as far as encryption goes.
func rehearseMedia(a *arrival, q call.Question) *call.Refusal {
	switch {
	case q.SRTP && !a.facts.TLS:
		return call.Refuse(call.ReasonKeyInCleartext, "")
	case q.SRTP:
		return nil
	case a.owner.Direction == call.Outbound && a.connector.RequireEncryption && a.facts.TLS,
		a.owner.Direction == call.Inbound && a.owner.Carrier.SRTP == call.SRTPRequire:
		return call.Refuse(call.ReasonMediaNotEncrypted, "The offer is RTP/AVP.")
	}
	return nil
}
