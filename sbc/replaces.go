package sbc

import (
	"cmp"
	"fmt"
	"strings"

	"carillon/call"
	"carillon/numbering"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/trunk"
)

// replaces is the value of a Replaces header (RFC 3891 section 6.1): a dialog as who is to replace it sees it, so that
// to-tag is the tag of whom the request goes to.
type replaces struct {
	callID, toTag, fromTag string
	// earlyOnly asks for a dialog that is not answered yet, or none.
	earlyOnly bool
}

// parseReplaces reads a value. Both tags must be there, and each once.
func parseReplaces(value string) (r replaces, ok bool) {
	callID, params, _ := strings.Cut(value, ";")
	r.callID = strings.TrimSpace(callID)
	for p := range strings.SplitSeq(params, ";") {
		name, v, _ := strings.Cut(strings.TrimSpace(p), "=")
		v = strings.TrimSpace(v)
		var tag *string
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "to-tag":
			tag = &r.toTag
		case "from-tag":
			tag = &r.fromTag
		case "early-only":
			r.earlyOnly = true
			continue
		default:
			continue
		}
		if *tag != "" || v == "" {
			return r, false
		}
		*tag = v
	}
	return r, r.callID != "" && r.toTag != "" && r.fromTag != ""
}

// names reports whether the dialog is the one meant (RFC 3891 section 3): Call-ID and tags are compared with regard to
// case, and the tag 0 also stands for none, which peers of RFC 2543 have.
func (r replaces) names(d dialog.ID) bool {
	return r.callID == d.CallID && r.toTag == d.Local && (r.fromTag == d.Remote || r.fromTag == "0" && d.Remote == "")
}

// replacesIn returns the Replaces header in a URI, as Refer-To has it.
func replacesIn(uri *sip.URI) (value string, given bool) {
	for header := range strings.SplitSeq(string(uri.Headers), "&") {
		if name, text, _ := strings.Cut(header, "="); strings.EqualFold(name, "Replaces") {
			return string(sip.Unescape(nil, []byte(text))), true
		}
	}
	return "", false
}

// counterpart is the dialog at the other side of one of ours.
type counterpart struct {
	dialog dialog.ID
	own    dialog.ID
	// connector rules the call; owner is the connector whose customer has the dialog, empty for a carrier's.
	connector, owner string
	// leg is the dialog's. Only its call and its tag are looked at, which never change.
	leg *leg
	// number is that of the party at the other side.
	number string
}

// pair notes which dialogs of an answered call belong together, for those who want to replace one of them.
func (c *activeCall) pair() {
	caller, callee := c.caller, c.answered.leg
	if !c.relays() && !c.executes(caller) && !c.executes(callee) {
		return
	}
	a := counterpart{callee.dialog.ID, caller.dialog.ID, c.plan.Connector.ID, c.ownerID(caller), caller, c.plan.To}
	b := counterpart{caller.dialog.ID, callee.dialog.ID, c.plan.Connector.ID, c.ownerID(callee), callee, c.plan.From}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.pairs[a.own.Local], c.s.pairs[b.own.Local] = a, b
}

func (c *activeCall) ownerID(l *leg) string {
	if owner := c.ownerOf(l); owner != nil && owner.Settings.Transfers == trunk.ExecuteTransfers {
		return owner.ID
	}
	return ""
}

// replaced translates a Replaces value that names a dialog of ours into one that names the dialog at the other side of
// its call. Only dialogs of the same connector are found: tags of others' calls are not to be tried out here.
func (s *Server) replaced(value, connector string) (string, bool) {
	r, ok := parseReplaces(value)
	if !ok {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	// Either tag may be ours: who replaces writes the dialog as it sees it.
	for _, seen := range [2]replaces{r, {callID: r.callID, toTag: r.fromTag, fromTag: r.toTag}} {
		if p, ok := s.pairs[seen.toTag]; ok && p.connector == connector && seen.names(p.own) {
			return fmt.Sprintf("%s;to-tag=%s;from-tag=%s", p.dialog.CallID, p.dialog.Remote, p.dialog.Local), true
		}
	}
	return "", false
}

// find returns the dialog that is to be replaced. It is found by all that names it, so that nobody can try tags out.
func (s *Server) find(r replaces) (counterpart, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ok := s.pairs[r.toTag]
	return p, ok && r.names(p.own)
}

// replaceable finds the dialog that the customer of a connector wants to replace: one of its own, and of no other
// connector, whoever knows its tags.
func (s *Server) replaceable(value, connector string) (counterpart, *call.Refusal) {
	r, ok := parseReplaces(value)
	if !ok {
		return counterpart{}, call.Refuse(call.ReasonDialogUnknown, "It is written in a form that cannot be read.")
	}
	p, ok := s.find(r)
	switch {
	case !ok || p.owner != connector:
		return counterpart{}, call.Refuse(call.ReasonDialogUnknown, "")
	case r.earlyOnly:
		return counterpart{}, call.Refuse(call.ReasonDialogAnswered, "")
	}
	return p, nil
}

// replacing reads what an INVITE replaces. One to a host that is no connector's, such as our own Contact, is its
// customer's whose dialog it names: all rules of that connector follow.
func (s *Server) replacing(a *arrival) {
	header := a.req.Get(sip.HdrReplaces)
	if a.req.Method() != sip.Invite || header == nil {
		return
	}
	a.replaces = string(header)
	if _, ok := a.view.ConnectorByHost(a.facts.Host); ok {
		return
	}
	r, ok := parseReplaces(a.replaces)
	if !ok {
		return
	}
	if p, ok := s.find(r); ok && p.owner != "" {
		if owner, ok := a.view.Connector(p.owner); ok {
			a.facts.Host = owner.HostName
		}
	}
}

// planReplacement judges an INVITE that replaces a dialog; done is false where it is a call like any other, whose
// Replaces nobody looks at (RFC 3891 section 3).
func planReplacement(s *Server, a *arrival) (done bool, refusal *call.Refusal) {
	if a.replaces == "" || a.emergency() {
		return false, nil
	}
	required := hasOption(a.req, sip.HdrRequire, "replaces")
	switch policy := a.connector.Settings.Transfers; {
	case policy == trunk.RelayTransfers && !required:
		return false, nil
	case policy != trunk.ExecuteTransfers:
		return true, call.Refuse(call.ReasonTransferNotAllowed, "the connector's setting transfers does not say execute")
	case a.owner.Direction == call.Inbound:
		return true, call.Refuse(call.ReasonTransferNotAllowed, customersOnly)
	}
	p, refusal := s.replaceable(a.replaces, a.connector.ID)
	switch {
	case refusal != nil:
		return true, refusal
	case a.sips:
		return true, call.Refuse(call.ReasonSIPSNotAllowed, "a call that is up")
	case bodySDP(a.req) == nil:
		return true, call.Refuse(call.ReasonBadDescription, "an INVITE that replaces a dialog must come with an offer.")
	}
	a.plan = a.joins(p, cmp.Or(a.facts.Asserted, a.facts.From))
	return true, nil
}

// joins plans a call that dials nobody: its other party comes from a call that is up.
func (a *arrival) joins(p counterpart, from string) routing.Plan {
	a.joined = p.leg
	plan := routing.Plan{Direction: call.Outbound, Connector: a.connector, Revision: a.view.Revision()}
	plan.From, plan.FromCountry = numbered(from)
	plan.To, plan.ToCountry = numbered(p.number)
	return plan
}

func numbered(user string) (text, country string) {
	n, ok := trunk.ParseNumber(user)
	if !ok {
		return routing.Printable(user), ""
	}
	return string(n), numbering.Country(n)
}
