package sbc

import (
	"fmt"
	"strconv"
	"strings"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/trunk"
)

// maxTransfers bounds the REFERs of one call whose progress is carried back, or reported, and the failed ones in its record.
const maxTransfers = 8

// relays reports whether REFER, and what it says of dialogs to be replaced, may cross in this call.
func (c *activeCall) relays() bool {
	return c.plan.Connector.Settings.Transfers == trunk.RelayTransfers
}

// onRefer carries a REFER to the other side where the connector's policy says so (RFC 3515). The other side then places
// the new call, through this node's rules or wherever it likes; the number crosses, hosts and dialogs are put into its
// own terms.
func (c *activeCall) onRefer(e event) {
	if c.executes(e.leg) {
		c.executeRefer(e)
		return
	}
	if !c.relays() {
		c.refuseRefer(e, c.noTransfers(e.leg))
		return
	}
	to := e.leg.other()
	if c.phase != up || to == nil || e.msg.Count(sip.HdrReferTo) != 1 {
		c.reply(e, 400, "")
		return
	}
	target, ok := c.referTo(to, e.msg.Get(sip.HdrReferTo))
	if !ok {
		c.reply(e, 400, "")
		return
	}
	if refusal := c.mayRefer(e); refusal != nil {
		c.refuseRefer(e, judge(refusal))
		return
	}
	if len(c.transfers) == maxTransfers {
		c.reply(e, 503, "")
		return
	}
	if c.transfers == nil {
		c.transfers = map[uint32]uint32{}
	}
	out, seq := &outbound{leg: to, method: "REFER"}, uint32(0)
	out.fill = func(b *sip.Builder) {
		// Its number is what the reports of its progress go by. It is written anew, with another one, where it goes over
		// another connection or is challenged.
		delete(c.transfers, seq)
		seq = to.dialog.LocalSeq
		c.transfers[seq] = e.msg.CSeq()
		b.Header("Contact", to.contact())
		b.Header("Refer-To", target)
		if addr, uri := c.ownForm(e.msg.Get(sip.HdrReferredBy)); uri != "" && len(addr.URI.Host) > 0 {
			b.Header("Referred-By", "<"+uri+">")
		}
		withoutBody(b)
	}
	out.then = func(m *sip.Message) { c.onReferAnswer(e, m) }
	c.send(out)
}

// noTransfers is the verdict on a REFER that is neither executed nor relayed.
func (c *activeCall) noTransfers(l *leg) verdict {
	owner := c.ownerOf(l)
	why := "the connector's setting transfers is refuse"
	switch {
	case owner == nil:
		why = customersOnly
	case owner.Settings.Transfers == trunk.RelayTransfers:
		why = "the call's other side takes no transfers"
	}
	v := judge(call.Refuse(call.ReasonTransferNotAllowed, why))
	if owner == nil {
		v.fix = "" // no setting makes transfers the far side's
	}
	if owner != nil || c.plan.Connector.Settings.Transfers != trunk.ExecuteTransfers {
		v.status = 405 // REFER is for nobody here
	}
	return v
}

// refuseRefer answers a REFER that asks for what may not be. Its sender is in a dialog and no stranger.
func (c *activeCall) refuseRefer(e event, v verdict) {
	target, _ := referred(e.msg)
	to := routing.Printable(userOf(&target))
	c.s.stats.ReferRefusals.Add(1)
	if c.s.logBudget.take(c.s.clock.Now(), maxRefusalRecords) {
		c.log.Info("refused", "method", "REFER", "reason", v.reason.String(), "status", v.status, "side", e.leg.party.String(), "to", to,
			"sentence", v.sentence)
	}
	c.noteTransfer(e.leg, to, v)
	c.replyVerdict(e, v)
}

// noteTransfer keeps a transfer that did not come about for the record of the connector whose customer asked for it.
func (c *activeCall) noteTransfer(l *leg, to string, v verdict) {
	if c.ownerOf(l) == nil {
		return // the far side's affair
	}
	if len(c.untransferred[l.side]) == maxTransfers {
		c.s.stats.Unrecorded.Add(1)
		return
	}
	c.untransferred[l.side] = append(c.untransferred[l.side], call.FailedTransfer{
		At: c.s.clock.Now(), To: to, Status: v.status, Sentence: v.sentence, Fix: v.fix,
	})
}

// mayRefer judges the number to which a customer sends a carrier on. The carrier places that call by itself, and the
// operator pays for it as for one that the customer has dialled: so it obeys the same rules, as they are now.
func (c *activeCall) mayRefer(e event) *call.Refusal {
	owner := c.ownerOf(e.leg)
	if owner == nil || c.ownerOf(e.leg.other()) != nil {
		return nil
	}
	if current, ok := c.s.cfg.Directory.Snapshot().Connector(owner.ID); ok {
		owner = current
	}
	target, _ := referred(e.msg)
	return routing.MayDial(owner, userOf(&target))
}

func (c *activeCall) onReferAnswer(e event, m *sip.Message) {
	switch {
	case m == nil:
		c.reply(e, 408, "")
	case m.Status()/100 == 2:
		b := c.replyTo(e, m.Status(), "")
		b.Header("Contact", e.leg.contact())
		c.respond(e, withoutBody(b))
	default:
		c.reply(e, passedOn(m.Status()), causeOf(m))
	}
}

// referTo puts the target of a REFER into the terms of the side that is to call it: the number, at a host that leads
// back here. A dialog to be replaced is one of the other side's own.
func (c *activeCall) referTo(to *leg, value []byte) (string, bool) {
	addr, err := sip.ParseNameAddr(value)
	if err != nil || addr.URI.Scheme != sip.SchemeSIP && addr.URI.Scheme != sip.SchemeSIPS && addr.URI.Scheme != sip.SchemeTEL {
		return "", false
	}
	n, ok := trunk.ParseNumber(userOf(&addr.URI))
	if !ok {
		return "", false
	}
	host := c.s.cfg.Domain
	if to.side == call.Customer {
		host = c.plan.Connector.HostName
	}
	uri := "sip:" + string(n) + "@" + host
	if value, given := replacesIn(&addr.URI); given {
		replaced, ok := c.s.replaced(value, c.plan.Connector.ID)
		if !ok {
			return "", false
		}
		uri += "?Replaces=" + escapeHeader(replaced)
	}
	return "<" + uri + ">", true
}

// onNotify carries the progress of a transfer back to who asked for it. Of its body only the status crosses.
func (c *activeCall) onNotify(e event) {
	event, params, _ := strings.Cut(string(e.msg.Get(sip.HdrEvent)), ";")
	seq, known := c.transferOf(params)
	to := e.leg.other()
	if !strings.EqualFold(strings.TrimSpace(event), "refer") || !known || c.phase != up || to == nil {
		c.reply(e, 481, "")
		return
	}
	state, _, _ := strings.Cut(string(e.msg.Get(sip.HdrSubscriptionState)), ";")
	if state = strings.TrimSpace(state); !isToken(state) {
		c.reply(e, 400, "")
		return
	}
	if strings.EqualFold(state, "terminated") {
		state += ";reason=noresource"
	}
	status := fragStatus(e.msg.Body())
	c.cross(e, &outbound{leg: to, method: "NOTIFY", fill: func(b *sip.Builder) {
		b.Header("Contact", to.contact())
		b.Header("Event", "refer;id="+strconv.FormatUint(uint64(seq), 10))
		b.Header("Subscription-State", state)
		b.Body("message/sipfrag;version=2.0", fmt.Appendf(nil, "SIP/2.0 %d %s\r\n", status, sip.ReasonPhrase(status)))
	}, then: func(m *sip.Message) {
		switch {
		case m == nil:
			c.reply(e, 408, "")
		case m.Status()/100 == 2:
			c.reply(e, 200, "")
		default:
			c.reply(e, passedOn(m.Status()), "")
		}
	}})
}

// transferOf finds the REFER that a NOTIFY is about: the one its id names, else the only one.
func (c *activeCall) transferOf(params string) (seq uint32, ok bool) {
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if strings.EqualFold(name, "id") {
			n, err := strconv.ParseUint(value, 10, 32)
			seq, ok = c.transfers[uint32(n)]
			return seq, ok && err == nil
		}
	}
	for _, seq := range c.transfers {
		return seq, len(c.transfers) == 1
	}
	return 0, false
}

// fragStatus reads the status of a message/sipfrag body (RFC 3420), 100 where it has none.
func fragStatus(body []byte) int {
	rest, ok := strings.CutPrefix(string(body[:min(len(body), 64)]), "SIP/2.0 ")
	if !ok || len(rest) < 3 {
		return 100
	}
	status, err := strconv.Atoi(rest[:3])
	if err != nil || status < 100 || status > 699 {
		return 100
	}
	return status
}

// escapeHeader writes a header value into a URI (RFC 3261 section 19.1.1).
func escapeHeader(value string) string {
	var b strings.Builder
	for i := range len(value) {
		c := value[i]
		if c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-_.!~*'()", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}
