package sbc

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"carillon/sip"
)

// subscription is the one that a REFER makes: its sender is told how the transfer goes, until it is decided
// (RFC 3515 section 2.4.4). Reports go one after the other, so that none overtakes another; what comes while one is not
// answered yet replaces what waits.
type subscription struct {
	leg *leg
	id  uint32 // the REFER's CSeq number
	// last is the status told last, waiting the report that is next.
	last    int
	waiting *report
	// busy is true while a report has no answer, final once the last was made, dead once one was refused, and done when
	// there is nothing more to come.
	busy, final, dead, done bool
	// then is called once when the last report has its answer, or there will be none.
	then func()
}

// report is one NOTIFY.
type report struct {
	body  []byte
	final bool
}

// subscribe accepts a REFER and tells its sender that the transfer is under way.
func (c *activeCall) subscribe(e event) *subscription {
	b := c.replyTo(e, 202, "")
	b.Header("Contact", e.leg.contact())
	c.respond(e, withoutBody(b))
	c.s.builders.put(b)
	p := &subscription{leg: e.leg, id: e.msg.CSeq()}
	c.reporting++
	c.tell(p, verdict{status: 100}, false)
	return p
}

// tell reports a status, with the sentence of a refusal. A status that was told already is not told again.
func (c *activeCall) tell(p *subscription, v verdict, final bool) {
	if p == nil || p.final || !final && v.status == p.last {
		return
	}
	p.last, p.final = v.status, final
	r := &report{body: c.s.fragment(v), final: final}
	if p.busy {
		p.waiting = r
		return
	}
	c.sendReport(p, r)
}

func (c *activeCall) sendReport(p *subscription, r *report) {
	if p.dead {
		c.onReported(p)
		return
	}
	p.busy = true
	c.send(&outbound{leg: p.leg, method: "NOTIFY", fill: func(b *sip.Builder) {
		b.Header("Contact", p.leg.contact())
		b.Header("Event", "refer;id="+strconv.FormatUint(uint64(p.id), 10))
		state := "terminated;reason=noresource"
		if !r.final {
			state = "active;expires=" + strconv.Itoa(int(c.s.limits.Duration/time.Second))
		}
		b.Header("Subscription-State", state)
		b.Body("message/sipfrag;version=2.0", r.body)
	}, then: func(m *sip.Message) {
		p.busy = false
		p.dead = p.dead || m == nil || m.Status() >= 300 // whoever refuses one is not told more (RFC 6665 section 4.2.2)
		c.onReported(p)
	}})
}

// onReported goes on with the next report.
func (c *activeCall) onReported(p *subscription) {
	next := p.waiting
	p.waiting = nil
	switch {
	case next != nil && !p.dead:
		c.sendReport(p, next)
	case p.final && !p.done:
		p.done = true
		c.reporting--
		if p.then != nil {
			p.then()
		}
	}
}

// fragment writes a status as a message/sipfrag body (RFC 3420). Of a refusal it has what the answer to an INVITE would say.
func (s *Server) fragment(v verdict) []byte {
	phrase := v.phrase
	if phrase == "" {
		phrase = sip.ReasonPhrase(v.status)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\r\n", v.status, phrase)
	if value := v.reasonHeader(); value != "" {
		fmt.Fprintf(&b, "Reason: %s\r\n", value)
	}
	if value := v.warningHeader(s.cfg.Name); value != "" {
		fmt.Fprintf(&b, "Warning: %s\r\n", value)
	}
	return []byte(b.String())
}
