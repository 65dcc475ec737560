package sbc

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/trunk"
)

// maxRefusalRecords bounds the records of refused calls in a second, over all connectors: a scanner behind a listed
// address must not fill the disk. Those above it are counted as Unrecorded.
const maxRefusalRecords = 50

// startRecord writes down what is known when the call begins.
func (c *activeCall) startRecord(a *arrival) {
	c.rec = newRecord(a, c.id, c.plan)
	c.caller.noteFlow(a.flow)
	c.caller.record.SIPCallID = string(c.caller.req.CallID())
}

func newRecord(a *arrival, id call.ID, p routing.Plan) call.Record {
	r := call.Record{
		ID: id, Start: a.at, Direction: a.owner.Direction.String(), AuthUser: a.user, Revision: a.view.Revision(),
		From: p.From, To: p.To, FromCountry: p.FromCountry, ToCountry: p.ToCountry, CallerIDReplaced: p.Replaced,
	}
	switch {
	case p.Connector != nil:
		ruledBy(&r, p.Connector)
	case a.connector != nil:
		ruledBy(&r, a.connector)
	}
	if p.Carrier != nil {
		r.Carrier, r.Lab = p.Carrier.Name, p.Carrier.Lab
	}
	return r
}

func ruledBy(r *call.Record, c *trunk.Connector) {
	r.Account, r.ConnectorID, r.Region, r.RequireEncryption = c.Account, c.ID, string(c.Region), c.RequireEncryption
}

// recordRefusal keeps a record of a call that was not let in. One that was challenged has its record when it does not come
// back.
func (s *Server) recordRefusal(a *arrival, v verdict) {
	if a.connector == nil || v.reason == call.ReasonCredentialsRequired {
		return // it belongs to nobody's account, or is no refusal yet
	}
	if r, ok := s.refusalRecord(a, v); ok {
		s.keepRefusal(r)
	}
}

// refusalRecord writes down what is known of a call that was not let in.
func (s *Server) refusalRecord(a *arrival, v verdict) (r call.Record, ok bool) {
	id, err := uuid.NewRandomFromReader(&s.random)
	if err != nil {
		s.log.Error("make a call id", "error", err)
		return r, false
	}
	r = newRecord(a, call.ID(id.String()), a.plan)
	if r.To == "" {
		r.From, r.To = routing.Printable(a.facts.From), routing.Printable(a.facts.User)
	}
	r.Status, r.Reason, r.Sentence, r.Fix = v.status, v.reason.String(), v.sentence, v.fix
	l := leg{side: call.Customer}
	l.noteFlow(a.flow)
	l.record.SIPCallID = string(a.req.CallID())
	if a.owner.Direction == call.Inbound {
		r.CarrierLeg = l.record
	} else {
		r.Customer = l.record
	}
	return r, true
}

// keepRefusal writes the record of a refused call, within the budget for these.
func (s *Server) keepRefusal(r call.Record) {
	r.End = s.clock.Now()
	if !s.budget.take(r.End, maxRefusalRecords) {
		s.stats.Unrecorded.Add(1)
		return
	}
	s.records.begin()
	s.keep(r, s.records.done)
}

// keep has a record written; then is called when it is on disk or never will be.
func (s *Server) keep(r call.Record, then func()) {
	id := string(r.ID)
	s.cfg.Records.Submit(r, func(err error) {
		if err != nil {
			s.stats.RecordFails.Add(1)
			s.log.Error("write call record", "call", id, "error", err)
		}
		then()
	})
}

// sampleRefusal logs a refusal, but not every one of a flood. A challenge is none yet: its caller comes back.
func (s *Server) sampleRefusal(a *arrival, v verdict) {
	level := slog.LevelInfo
	if v.reason == call.ReasonCredentialsRequired && (a.req.Method() != sip.Invite || s.awaitCredentials(a)) {
		level = slog.LevelDebug
	}
	s.logRefusal(level, a.at, refusalLine(a, v))
}

// refusalLine is what the log says of a refusal. What strangers sent is bounded and cannot forge lines.
func refusalLine(a *arrival, v verdict) []slog.Attr {
	connector := ""
	if a.connector != nil {
		connector = a.connector.ID
	}
	return []slog.Attr{
		slog.String("method", string(a.req.MethodToken())),
		slog.String("reason", v.reason.String()), slog.Int("status", v.status), slog.String("connector", connector),
		slog.String("source", a.flow.Remote().String()), slog.String("host", routing.Printable(a.facts.Host)),
		slog.String("to", routing.Printable(a.facts.User)), slog.String("call_id", routing.Printable(string(a.req.CallID()))),
		slog.String("sentence", v.sentence),
	}
}

// logRefusal writes a line within the budget for these.
func (s *Server) logRefusal(level slog.Level, now time.Time, line []slog.Attr) {
	if s.log.Enabled(context.Background(), level) && s.logBudget.take(now, maxRefusalRecords) {
		s.log.LogAttrs(context.Background(), level, "refused", line...)
	}
}

// sampleOther logs a REGISTER within the budget of refusals: a phone that is set to register shows nothing else.
func (s *Server) sampleOther(tx *transaction.Server, req *sip.Message) {
	if req.Method() != sip.Register {
		return
	}
	s.logRefusal(slog.LevelInfo, s.clock.Now(), []slog.Attr{
		slog.String("method", "REGISTER"), slog.Int("status", 405), slog.String("source", tx.Flow().Remote().String()),
		slog.String("sentence", "A Voice Connector is a trunk and keeps no registrations: turn registration off in the phone."),
	})
}

// unwritten are the records of a call that is over, and what is to be done once they are on disk.
type unwritten struct {
	records []call.Record
	reason  call.Reason
	then    func()
}

// conclude closes the call's media and has its one record written, before anything of the call is dropped. A call that
// stays inside leaves a second one for the account at its other end.
func (c *activeCall) conclude(v verdict, hungUpBy string, then func()) {
	if c.finished {
		return
	}
	c.finished = true
	if !c.rec.Answered.IsZero() {
		v.status = 200
	}
	r := &c.rec
	r.End, r.Status, r.Reason, r.HungUpBy = c.s.clock.Now(), v.status, v.reason.String(), hungUpBy
	r.Sentence, r.Fix = v.sentence, v.fix
	var report call.MediaReport
	if c.media != nil {
		report = c.media.Close()
	}
	for _, l := range []*leg{c.caller, c.callee} {
		if l == nil {
			continue
		}
		l.record.Media = report.Legs[l.side]
		switch {
		case l.origin != nil: // it never came here
		case l.stayed && l.side == call.Customer:
			r.Remaining = &l.record
		case l.side == call.Customer:
			r.Customer = l.record
		default:
			r.CarrierLeg = l.record
		}
	}
	c.unwritten = &unwritten{records: c.split(), reason: v.reason, then: then}
}

// write writes the records and goes on with the call, which is busy meanwhile.
func (c *activeCall) write() {
	u := c.unwritten
	var left atomic.Int32
	left.Store(int32(len(u.records)))
	for _, r := range u.records {
		c.s.keep(r, func() {
			if left.Add(-1) == 0 {
				c.written(u)
			}
		})
	}
}

// written goes on with the call whose records are on disk.
func (c *activeCall) written(u *unwritten) {
	c.unwritten = nil
	c.s.actives.leave(c.plan.Connector.Account)
	c.s.actives.free(&c.seats)
	c.trust()
	if c.shared {
		c.s.actives.unshare(c.plan.Inside.Account)
	}
	c.s.stats.ended(u.reason)
	c.s.records.done()
	r := &c.rec
	c.log.Info("call ended", "reason", r.Reason, "status", r.Status, "direction", r.Direction,
		"seconds", int(r.End.Sub(r.Start).Seconds()))
	if u.then != nil {
		u.then()
	}
	c.work()
}

// split returns the call's records. Of one between two accounts each has its own end: neither may learn the other's
// addresses and hosts from what is kept for it.
func (c *activeCall) split() []call.Record {
	inside := c.plan.Inside
	if inside == nil {
		c.rec.FailedTransfers = c.untransferred[call.Customer]
		return []call.Record{c.rec}
	}
	first, second := c.rec, c.insideRecord()
	first.FailedTransfers, second.FailedTransfers = c.untransferred[call.Customer], c.untransferred[call.Carrier]
	if h := c.given; h != nil && inside.Account != first.Account { // the new call belongs to whoever transferred this one
		if h.leaves == c.caller == (c.plan.Direction == call.Outbound) {
			second.TransferredTo = ""
		} else {
			first.TransferredTo = ""
		}
	}
	if inside.Account == first.Account {
		first.Inside, second.Inside = inside.ID, c.plan.Connector.ID
		return []call.Record{first, second}
	}
	return []call.Record{first.WithoutFarEnd(), second.WithoutFarEnd()}
}

// insideRecord is the record of a call that stayed inside, as the account of the other connector sees it.
func (c *activeCall) insideRecord() call.Record {
	r := c.rec
	r.ID = c.otherID()
	r.Direction = call.Inbound.String()
	ruledBy(&r, c.plan.Inside)
	r.Customer, r.CarrierLeg = c.rec.CarrierLeg, c.rec.Customer
	r.TransferOf = "" // to this customer it is a call like any other
	if c.rec.Remaining != nil {
		r.CarrierLeg, r.Remaining = *c.rec.Remaining, nil
	}
	r.AuthUser, r.CallerIDReplaced = "", ""
	switch r.HungUpBy { // this customer is the other one's far side
	case call.Customer.String():
		r.HungUpBy = call.Carrier.String()
	case call.Carrier.String():
		r.HungUpBy = call.Customer.String()
	}
	return r
}

// otherID is the id of the record for the account at the other end of a call that stays inside.
func (c *activeCall) otherID() call.ID {
	if c.insideID == "" {
		id, err := uuid.NewRandomFromReader(&c.s.random)
		if err != nil {
			c.log.Error("make a call id", "error", err)
		}
		c.insideID = call.ID(id.String())
	}
	return c.insideID
}

// causeOf returns the Reason header of a message as it may cross to the other leg (RFC 3326): protocol and cause. Its text
// may name hosts of the peer's network.
func causeOf(m *sip.Message) string {
	protocol, params, _ := strings.Cut(string(m.Get(sip.HdrReason)), ";")
	protocol = strings.TrimSpace(protocol)
	if protocol != "Q.850" && protocol != "SIP" {
		return ""
	}
	for p := range strings.SplitSeq(params, ";") {
		name, value, _ := strings.Cut(p, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "cause") {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 16); err == nil {
			return protocol + ";cause=" + strconv.FormatUint(n, 10)
		}
	}
	return ""
}
