package sbc

import (
	"strings"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transport"
	"carillon/trunk"
)

// transferSteps are the rules that a transfer's new call passes: those of a call that the connector's customer places.
// Who it is was asked when its call began; its address must still be one that may place calls.
var transferSteps = []step{
	{"setting", stillExecutes, nil}, {"source, transport and termination", screenTransfer, nil}, scheme, hasRoom, rate,
	{"number, caller id and route", planOutbound, nil}, secure, calledSide,
}

// joinSteps are those of a transfer to a call that is up. It is of the same number of calls, but it begins one, which has
// its record: a phone that asks for it again and again spends the rate.
var joinSteps = []step{{"setting", stillExecutes, nil}, {"source, transport and termination", screenTransfer, nil}, scheme, hasRoom, {"limits", spendRate, nil}}

func spendRate(s *Server, a *arrival) *call.Refusal { return s.spend(a, (*rates).take) }

// screenTransfer judges as screen does, but whoever knows the tags of a dialog has proven to be there, whatever the list says.
func screenTransfer(s *Server, a *arrival) *call.Refusal {
	refusal := screen(s, a)
	a.standing = proven
	return refusal
}

// ownerOf is the connector whose customer is at a leg, nil for a carrier and for a party that was transferred here.
func (c *activeCall) ownerOf(l *leg) *trunk.Connector {
	switch {
	case l.stayed:
		return nil
	case l.side == call.Customer:
		return c.plan.Connector
	}
	return c.plan.Inside
}

// executes reports whether transfers from a leg are the node's to make.
func (c *activeCall) executes(l *leg) bool {
	owner := c.ownerOf(l)
	return owner != nil && owner.Settings.Transfers == trunk.ExecuteTransfers
}

// allow is the Allow header on a leg.
func (c *activeCall) allow(l *leg) string {
	if c.executes(l) {
		return allowed + ", REFER"
	}
	return allowed
}

// options is the Supported header on a leg.
func (c *activeCall) options(l *leg) string {
	if c.executes(l) {
		return supported + ", replaces"
	}
	return supported
}

// customersOnly is why others than a connector's customer do not transfer.
const customersOnly = "only a connector's own customer may have calls placed"

// executeRefer does what a REFER asks for: it places a call to the number in Refer-To, as if the connector's own side had
// dialled it, and joins it with the party that stays. Whatever becomes of it is told by NOTIFY: many statuses of an
// INVITE would, as the answer to a REFER, say that the call itself is gone (RFC 5057 section 5.1).
func (c *activeCall) executeRefer(e event) {
	stays := e.leg.other()
	target, ok := referred(e.msg)
	switch {
	case !ok || c.phase != up || stays == nil:
		c.reply(e, 400, "")
		return
	case c.handover != nil || !stays.open || stays.described == nil:
		c.reply(e, 491, "")
		return
	}
	if c.reporting == maxTransfers {
		c.s.stats.Overflows.Add(1)
		c.reply(e, 503, "") // whoever answers no report is not to be sent ever more
		return
	}
	progress := c.subscribe(e)
	a := c.transferArrival(e, target)
	to, refusal := c.placeTransfer(a, target, stays)
	if refusal != nil {
		v := judge(refusal)
		c.s.stats.refused(refusal.Reason)
		c.s.sampleRefusal(a, v)
		c.s.recordRefusal(a, v)
		c.noteTransfer(e.leg, routing.Printable(a.facts.User), v)
		c.tell(progress, v, true)
		return
	}
	c.handover = &handover{to: to, leaves: e.leg, stays: stays, progress: progress, number: a.plan.To}
	c.log.Info("transfer", "side", e.leg.party.String(), "to", string(to.id))
	to.guard(event{}, to.start)
	to.work()
}

// referred reads whom a REFER is to lead to. Other methods than INVITE are nothing to transfer a call with.
func referred(m *sip.Message) (sip.URI, bool) {
	if m.Count(sip.HdrReferTo) != 1 {
		return sip.URI{}, false
	}
	addr, err := sip.ParseNameAddr(m.Get(sip.HdrReferTo))
	if err != nil {
		return sip.URI{}, false
	}
	method, given := addr.URI.Param("method")
	if given && !strings.EqualFold(string(method), "INVITE") {
		return sip.URI{}, false
	}
	switch addr.URI.Scheme {
	case sip.SchemeSIP, sip.SchemeSIPS, sip.SchemeTEL:
		return addr.URI, true
	}
	return sip.URI{}, false
}

// transferArrival states a REFER as the INVITE that its sender could have sent instead: to the number, at its connector,
// from where the REFER came and over the transport that it names.
func (c *activeCall) transferArrival(e event, target sip.URI) *arrival {
	s, owner := c.s, c.ownerOf(e.leg)
	from := sourceOf(e.flow, e.msg)
	a := &arrival{
		tx: e.tx, req: e.msg, flow: e.flow, reliable: e.flow.Proto().Reliable(), at: s.clock.Now(), view: s.cfg.Directory.Snapshot(),
		owner: routing.Owner{Direction: call.Outbound, Connector: owner}, connector: owner,
		standing: proven, sips: target.Scheme == sip.SchemeSIPS,
	}
	a.facts = routing.Facts{
		Host: owner.HostName, User: userOf(&target), Source: from.Addr(), Port: from.Port(),
		TLS: e.flow.Proto() == transport.TLS && !plainTransport(target), Asserted: identity(e.msg, sip.HdrReferredBy),
		Private: private(e.msg),
	}
	// Without a Referred-By that its account holds, whoever transfers shows the number it was called at or calls from.
	if a.facts.From = c.plan.To; e.leg == c.caller {
		a.facts.From, a.facts.Private = c.plan.From, a.facts.Private || c.plan.Private
	}
	return a
}

// stillExecutes judges by what is configured now: a call that was let in before may go on, but begins no other one under
// rules that are gone.
func stillExecutes(_ *Server, a *arrival) *call.Refusal {
	current, ok := a.view.Connector(a.connector.ID)
	switch {
	case !ok:
		return call.Refuse(call.ReasonTerminationDisabled, "was deleted while the call was up")
	case current.Settings.Transfers != trunk.ExecuteTransfers:
		return call.Refuse(call.ReasonTransferNotAllowed, "the connector's setting transfers does not say execute any more")
	}
	a.connector, a.owner.Connector = current, current
	return nil
}

// plainTransport reports whether a URI asks for a transport without encryption.
func plainTransport(uri sip.URI) bool {
	value, given := uri.Param("transport")
	return given && !strings.EqualFold(string(value), "tls")
}

// placeTransfer judges the new call and makes it.
func (c *activeCall) placeTransfer(a *arrival, target sip.URI, stays *leg) (*activeCall, *call.Refusal) {
	refusal := c.admitTransfer(a, target, stays)
	if refusal == nil {
		to, status := c.s.beginTransferred(a, stays)
		switch status {
		case 0:
			return to, nil
		case 503:
			refusal = call.Refuse(call.ReasonDraining, "")
		default:
			refusal = call.Refuse(call.ReasonInternal, "")
		}
	}
	c.s.giveBack(a)
	return nil, refusal
}

// admitTransfer asks the rules of a new call. One that joins two calls that are up dials nobody: it need only be allowed
// to, and be one of the node's.
func (c *activeCall) admitTransfer(a *arrival, target sip.URI, stays *leg) *call.Refusal {
	value, joins := replacesIn(&target)
	steps := transferSteps
	if joins {
		steps = joinSteps
	}
	for _, step := range steps {
		if refusal := step.judge(c.s, a); refusal != nil {
			return refusal
		}
	}
	if !joins {
		return nil
	}
	p, refusal := c.s.replaceable(value, a.connector.ID)
	switch {
	case refusal != nil:
		return refusal
	case p.leg.call == c:
		return call.Refuse(call.ReasonDialogUnknown, "It names the call that is transferred.")
	}
	number := c.plan.From
	if stays != c.caller {
		number = c.plan.To
	}
	a.plan = a.joins(p, number)
	c.s.actives.enter(a.connector.Account, noLimit, noLimit) // two calls that were counted become one
	c.s.actives.sit(&a.seats[placing], a.connector.ID, noLimit)
	a.counted = true
	return nil
}
