package sbc

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"carillon/call"
	"carillon/directory"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// arrival is an INVITE or OPTIONS on its way through admission.
type arrival struct {
	tx   *transaction.Server
	req  *sip.Message
	flow transport.Flow
	// reliable is true when the flow is a connection.
	reliable bool
	at       time.Time
	view     *directory.Snapshot

	facts routing.Facts
	owner routing.Owner
	// connector rules the request once it is known.
	connector *trunk.Connector
	screening routing.Screening
	// standing decides what the sender may be told.
	standing standing
	// sips is true when the Request-URI is a sips URI.
	sips bool
	// user is the digest user that was proven.
	user string
	// fault is what a request asks for in vain.
	fault fault
	// challenge holds the challenges to answer with, when the refusal asks for credentials.
	challenge []string
	plan      routing.Plan
	// replaces is the value of Replaces, empty for none, and joined the leg of ours that it names once that is allowed.
	replaces string
	joined   *leg
	// counted is true when the call has been counted in by actives, shared when also for the account at its other end,
	// doubted when as unproven.
	counted, shared, doubted bool
	seats                    seats
}

// standing is what a sender has shown of who it is.
type standing uint8

const (
	// stranger: nothing.
	stranger standing = iota
	// claimed: it sent a datagram from an address in the list, or of a carrier. That can be forged.
	claimed
	// proven: its connection comes from such an address, or its credentials are right.
	proven
)

// step is one rule of admission; a judgement of nil passes.
type step struct {
	// rule names it where a rehearsal tells which rules were asked.
	rule  string
	judge func(*Server, *arrival) *call.Refusal
	// rehearse judges without counting, spending or asking for anything; nil where judge does none of that.
	rehearse func(*Server, *arrival) *call.Refusal
}

// The rules a request passes, in order. The order is part of the promise: what is cheap and reveals nothing comes first,
// and strangers cannot spend a customer's rate.
var (
	screening  = step{"source, transport and termination", screen, nil}
	hasRoom    = step{"node", room, rehearseRoom}
	isKnown    = step{"source", known, nil}
	scheme     = step{"scheme", overTLS, nil}
	secure     = step{"TLS on every hop", secureTargets, nil}
	rate       = step{"limits", limit, rehearseLimit}
	password   = step{"credentials", authenticate, rehearseCredentials}
	number     = step{call.RuleNumber, findConnector, nil}
	calledSide = step{"limits of the called side", limitCalled, rehearseCalled}
	notFull    = step{"node", full, nil}

	outboundSteps = []step{
		screening, scheme, hasRoom, password, rate,
		{"number, caller id and route", planOutbound, nil}, secure, calledSide,
	}
	inboundSteps = []step{isKnown, scheme, number, hasRoom, rate, {"route", planInbound, nil}, secure, calledSide}
	// OPTIONS names no number, and a source in the list need not authenticate: trunks send OPTIONS without credentials,
	// and an INVITE from there would only be asked for them.
	// A node that holds as many calls as it may says so: who asks sends its calls elsewhere until it has room again. The
	// limits of one connector or account are not asked, for one moment at a limit is no reason to give a trunk up.
	outboundOptionsSteps = []step{screening, scheme, hasRoom, {"credentials", authenticateUnlisted, nil}, notFull}
	inboundOptionsSteps  = []step{isKnown, scheme, hasRoom, notFull}
	// Those that say who sent a request that is refused for what it asks for.
	outboundSender = []step{screening, password}
	inboundSender  = []step{isKnown, number}
)

// newArrival reads the facts of a request.
func (s *Server) newArrival(tx *transaction.Server, req *sip.Message) *arrival {
	f := tx.Flow()
	uri := req.RequestURI()
	a := &arrival{tx: tx, req: req, flow: f, reliable: f.Proto().Reliable(), at: s.clock.Now(), view: s.cfg.Directory.Snapshot()}
	a.sips = uri.Scheme == sip.SchemeSIPS
	from := sourceOf(f, req)
	a.facts = routing.Facts{
		Host:      strings.ToLower(string(uri.Host)),
		User:      userOf(uri),
		Source:    from.Addr(),
		Port:      from.Port(),
		TLS:       f.Proto() == transport.TLS,
		Asserted:  identity(req, sip.HdrPAssertedIdentity),
		Preferred: identity(req, sip.HdrPPreferredIdentity),
		From:      userOf(&req.From().URI),
		Private:   private(req),
	}
	s.replacing(a)
	return a
}

// onInvite judges an INVITE outside of dialogs and starts its call.
func (s *Server) onInvite(tx *transaction.Server, req *sip.Message) {
	a := s.newArrival(tx, req)
	if s.misread(a) {
		return
	}
	// A fork of an INVITE that is a call already has the credentials of the first, which must not count as a replay.
	if s.merged(req) {
		s.answerStateless(tx, req, 482)
		return
	}
	if r := s.admit(a, outboundSteps, inboundSteps); r != nil {
		s.refuse(a, r)
		return
	}
	s.begin(a)
}

// admit finds out whose request it is and runs the steps of its direction.
func (s *Server) admit(a *arrival, outbound, inbound []step) *call.Refusal {
	owner, refusal := routing.Classify(a.view, a.facts)
	if refusal != nil {
		return refusal
	}
	a.owner, a.connector = owner, owner.Connector
	steps := outbound
	if owner.Direction == call.Inbound {
		steps = inbound
	}
	for _, step := range steps {
		if refusal := step.judge(s, a); refusal != nil {
			s.giveBack(a)
			return refusal
		}
	}
	return nil
}

// giveBack counts a call out that came no further than admission.
func (s *Server) giveBack(a *arrival) {
	if a.counted {
		s.actives.leave(a.connector.Account)
		a.counted = false
	}
	if a.doubted {
		s.actives.trust(a.connector.ID)
		a.doubted = false
	}
	s.actives.free(&a.seats)
	if a.shared {
		s.actives.unshare(a.plan.Inside.Account)
		a.shared = false
	}
}

// emergency reports whether a customer calls an emergency service.
func (a *arrival) emergency() bool {
	return a.owner.Direction == call.Outbound && routing.Emergency(a.connector, a.facts.User)
}

// fromListed is the standing of a sender at an address that was listed: that of a datagram can be forged, that of a
// connection cannot.
func (a *arrival) fromListed() standing {
	if a.reliable {
		return proven
	}
	return claimed
}

func screen(s *Server, a *arrival) (refusal *call.Refusal) {
	a.screening, refusal = routing.Screen(a.connector, a.facts)
	if a.screening.Listed {
		a.standing = a.fromListed()
	}
	if refusal != nil && refusal.Reason == call.ReasonSignallingNotEncrypted {
		refusal.Detail = strconv.Itoa(int(s.cfg.Ports(transport.TLS)))
	}
	return refusal
}

// known notes that a carrier is known by its address.
func known(_ *Server, a *arrival) *call.Refusal {
	a.standing = a.fromListed()
	return nil
}

// room refuses what the node cannot take now. It comes after the source is judged, so that those who belong here learn
// when to try again and others learn nothing.
func room(s *Server, a *arrival) *call.Refusal {
	switch {
	case s.draining.Load():
		return call.Refuse(call.ReasonDraining, "")
	case s.cfg.Stale != nil && s.cfg.Stale() && !a.emergency():
		return call.Refuse(call.ReasonStoreStale, "")
	case a.tx.Overloaded():
		return fullOfTransactions()
	}
	return nil
}

// full refuses while the node holds as many calls as it may.
func full(s *Server, _ *arrival) *call.Refusal {
	if s.actives.now() >= s.limits.Calls {
		return callsUp(s.limits.Calls)
	}
	return nil
}

func callsUp(n int) *call.Refusal {
	return call.Refuse(call.ReasonNodeFull, strconv.Itoa(n)+" calls are up")
}

func fullOfTransactions() *call.Refusal {
	return call.Refuse(call.ReasonNodeFull, "it holds as many transactions as it may")
}

// doubt holds calls with nothing but a claimed address to a number for each connector: forged datagrams could otherwise
// ring a customer's phones and fill the node.
func doubt(s *Server, a *arrival, emergency bool) *call.Refusal {
	if a.standing != claimed || emergency {
		return nil
	}
	if a.doubted = s.actives.doubt(a.connector.ID, s.limits.Unproven); !a.doubted {
		return tooManyUnproven(s)
	}
	return nil
}

func tooManyUnproven(s *Server) *call.Refusal {
	return call.Refuse(call.ReasonConcurrencyExceeded, strconv.Itoa(s.limits.Unproven)+" over UDP without an ACK yet")
}

func planOutbound(s *Server, a *arrival) (refusal *call.Refusal) {
	if done, refusal := planReplacement(s, a); done {
		return refusal
	}
	a.plan, refusal = routing.PlanOutbound(a.view, a.connector, a.facts, s.chooser(a.at))
	return refusal
}

func findConnector(_ *Server, a *arrival) (refusal *call.Refusal) {
	a.connector, _, refusal = routing.FindConnector(a.view, a.facts)
	return refusal
}

func planInbound(s *Server, a *arrival) (refusal *call.Refusal) {
	if done, refusal := planReplacement(s, a); done {
		return refusal
	}
	a.plan, refusal = routing.PlanInbound(a.view, a.connector, a.facts, s.chooser(a.at))
	a.plan.Carrier = a.owner.Carrier
	return refusal
}

// listed tells which addresses are the customer's own by its list.
func listed(t *trunk.Termination) func(netip.Addr) bool {
	if t == nil {
		return nil
	}
	return t.Allows
}
