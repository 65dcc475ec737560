package sbc

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transport"
)

// maxForks bounds the dialogs that the 2xx answers of one INVITE make. Each costs an ACK and a BYE that is repeated for
// half a minute, to wherever its Contact says: a target could aim the node at anybody and use up its transactions.
const maxForks = 16

// onResponse takes an answer to an INVITE we sent.
func (c *activeCall) onResponse(e event) {
	a, status := c.tried[e.attempt-1], e.msg.Status()
	if status >= 200 {
		c.settle(a)
	}
	current := c.phase == dialling && a == c.attempt
	if !a.silent { // one that answers too late is as good as silent
		c.heard(a, e.flow, status)
	}
	switch {
	case status/100 == 2 && a.fork(e.msg.To().Tag()) != nil:
		a.fork(e.msg.To().Tag()).repeatAck()
	case status/100 == 2 && len(a.forks) == maxForks:
		c.s.stats.Strays.Add(1)
	case status/100 == 2 && !current:
		// A target that was given up and answered before our CANCEL came, or a second fork of the one that answered.
		c.ackAndBye(a, e)
	case !current:
	case status < 200:
		c.onProvisional(a, e)
	case status < 300:
		c.onSuccess(a, e)
	default:
		c.onFailure(a, e)
	}
}

// establish makes the dialog of a 2xx.
func (a *attempt) establish(l *leg, e event) error {
	if d := a.earlyOf(e.msg.To().Tag()); d != nil {
		l.dialog = d.leg.dialog // it has counted on since
		if err := l.dialog.Confirm(e.msg); err != nil {
			return err
		}
		l.open, l.seq = true, e.msg.CSeq()
	} else if err := a.begin(l, e); err != nil {
		return err
	}
	l.unacked = e.msg.CSeq()
	a.forks = append(a.forks, l)
	return nil
}

// errOtherDialog says that an answer names another Call-ID or tag of ours than its INVITE. By them the dialog would be
// kept and never found again.
var errOtherDialog = errors.New("the answer is not in the dialog of its request")

// begin makes the dialog of an answer, early or not.
func (a *attempt) begin(l *leg, e event) error {
	uri, err := sip.ParseURI([]byte(a.uri))
	if err != nil {
		return err
	}
	made, err := dialog.NewUAC(e.msg, &uri, e.flow.Proto() == transport.TLS)
	switch {
	case err != nil:
		return err
	case made.ID.CallID != l.record.SIPCallID || made.ID.Local != l.tag:
		return errOtherDialog
	}
	l.dialog = made
	l.open, l.seq = true, e.msg.CSeq()
	return nil
}

// ackAndBye ends a dialog nobody wants (RFC 3261 §13.2.2.4).
func (c *activeCall) ackAndBye(a *attempt, e event) {
	l := *a.leg
	l.held, l.ack = false, nil
	l.acking, l.behindAck = false, nil // what waits there is another dialog's, and is sent once
	if err := a.establish(&l, e); err != nil {
		c.note("late answer makes no dialog", "error", err)
		return
	}
	c.sendBye(&l, "")
}

// onProvisional passes ringing and early media on. Whichever fork of the far side they come from, the caller sees one
// dialog.
func (c *activeCall) onProvisional(a *attempt, e event) {
	if a.stopping {
		return
	}
	// Also a 100 starts the ring time: the transaction waits for ever once it has any answer.
	if _, runs := c.timers[timerRing]; !runs {
		c.after(timerRing, c.s.limits.Ring)
	}
	if e.msg.Status() == 100 {
		return
	}
	p := &provisional{status: e.msg.Status(), from: e.msg}
	reliably := hasOption(e.msg, sip.HdrRequire, "100rel")
	if reliably {
		d := c.takeReliable(a, e)
		if d == nil {
			return
		}
		if sdp := bodySDP(e.msg); sdp != nil && a.body == nil && !a.agreed {
			c.offerEarly(p, d, sdp)
			return
		}
		c.prack(d, e.msg.CSeq(), nil)
	} else {
		c.noteEarly(a, e)
	}
	p.sdp = c.earlyMedia(a, bodySDP(e.msg))
	c.announce(p, reliably)
}

// offerEarly passes on the offer that a target makes in a reliable answer to an INVITE without one.
func (c *activeCall) offerEarly(p *provisional, d *early, sdp []byte) {
	if c.offered || !c.caller.reliable.known {
		return // one fork's offer is enough; the 2xx of another may still bring its own
	}
	refusal := c.openMediaOnce(d.attempt.leg)
	if refusal == nil {
		d.attempt.leg.described = sdp
		p.sdp, refusal = c.media.Offer(d.attempt.leg.side, sdp, c.caller.policy)
	}
	if refusal != nil {
		c.fail(judge(refusal))
		return
	}
	p.offer, c.offered = d, true
	c.announce(p, true)
}

// earlyMedia passes the description of a provisional answer through the media plane; nil when there is nothing to tell
// the caller.
func (c *activeCall) earlyMedia(a *attempt, sdp []byte) []byte {
	if sdp == nil || a.body == nil {
		return nil
	}
	if c.caller.origin != nil {
		a.said, a.leg.described = sdp, sdp // whoever is to hear it still speaks with somebody else
		return nil
	}
	answer, refusal := c.media.Answer(a.leg.side, sdp)
	if refusal != nil {
		// Early media that breaks the promise is not passed on; the final answer decides.
		c.note("early media refused", "reason", refusal.Reason.String())
		return nil
	}
	a.early, a.leg.described = answer, sdp
	return answer
}

// onSuccess joins the legs: the answer goes to the caller and the target gets its ACK, at once where its description
// answered ours, else when the caller's ACK brings the answer.
func (c *activeCall) onSuccess(a *attempt, e event) {
	if a.stopping { // it was answered before our CANCEL came
		a.stopping = false
		c.stopTimer(timerStop)
	}
	if c.holdAnswer(a, e) {
		return
	}
	c.stopTimer(timerRing)
	l := a.leg
	if err := a.establish(l, e); err != nil {
		c.failTarget(a, outcome{status: 502, ours: true, text: "gave an answer that makes no dialog"})
		return
	}
	sdp, refusal := c.negotiate(a, bodySDP(e.msg))
	if refusal != nil {
		v := judge(refusal)
		c.sendBye(l, v.reasonHeader())
		c.record(a, call.Attempt{Status: e.msg.Status(), Error: v.sentence})
		c.fail(v)
		return
	}
	c.record(a, call.Attempt{Status: e.msg.Status()})
	if a.target.Carrier != nil {
		c.rec.Carrier, c.rec.Lab = a.target.Carrier.Name, a.target.Carrier.Lab
	}
	if a.body != nil || a.agreed {
		c.sendAck(l, l.unacked, nil)
	}
	c.answered, c.phase = a, up
	if sdp := bodySDP(e.msg); sdp != nil {
		l.described = sdp
	}
	c.rec.Answered = c.s.clock.Now()
	c.s.stats.Answered.Add(1)
	l.hold()
	l.session.answered(e.msg, c.s.limits.Session)
	c.refreshed(l)
	if c.caller.origin != nil {
		c.join()
		return
	}
	c.answerCaller(e.msg, sdp)
}

// answerCaller sends the 2xx of the call; answer is the far side's, for the headers that cross, nil where that has answered
// in another call.
func (c *activeCall) answerCaller(answer *sip.Message, sdp []byte) {
	c.pair()
	c.caller.hold()
	c.refreshed(c.caller)
	b := c.caller.response(200, "")
	c.establishing(b)
	c.caller.session.writeAnswer(b)
	if answer != nil {
		c.passHeaders(b, answer)
	}
	c.caller.awaitAck = true
	_ = c.caller.dialog.Confirm(nil)
	c.caller.respond(withBody(b, sdp))
}

// negotiate passes the target's description through the media plane: as the answer to ours, or as the offer that the
// caller's ACK will answer.
func (c *activeCall) negotiate(a *attempt, sdp []byte) ([]byte, *call.Refusal) {
	switch {
	case a.agreed:
		return nil, nil
	case sdp == nil && a.early != nil:
		return a.early, nil // gateways leave out of the 2xx what they said in a 183
	case sdp == nil && a.said != nil:
		return c.media.Answer(a.leg.side, a.said)
	case sdp == nil:
		return nil, call.Refuse(call.ReasonBadDescription, "the answer has none.")
	case a.body != nil:
		return c.media.Answer(a.leg.side, sdp)
	}
	if refusal := c.openMediaOnce(a.leg); refusal != nil {
		return nil, refusal
	}
	return c.media.Offer(a.leg.side, sdp, c.caller.policy)
}

// onFailure takes a final answer other than 2xx.
func (c *activeCall) onFailure(a *attempt, e event) {
	c.stopTimer(timerRing)
	if a.stopping {
		c.rungOut(a)
		return
	}
	status := e.msg.Status()
	if a.challenges < maxChallenges {
		if credentials := c.answerChallenge(a.leg, e.msg, "INVITE", a.uri, a.challenges > 0); credentials != nil {
			a.challenges++
			c.sendInvite(a, credentials)
			return
		}
	}
	if status == 422 && a.leg.session.raise(e.msg) {
		a.challenges = 0 // it is another request, and a nonce may serve for one
		c.sendInvite(a, nil)
		return
	}
	o := outcome{status: status, phrase: phraseOf(e.msg), text: fmt.Sprintf("answered %d %s", status, phraseOf(e.msg)), answer: e.msg}
	if status/100 == 3 && c.redirect(a, e.msg) {
		o.text += ", which is followed"
		c.noteAttempt(a, o)
		c.next()
		return
	}
	switch status {
	case 408, 500, 502, 503, 504, 401, 407:
		// 401 and 407 are the carrier's quarrel with us: another target may trust us.
		c.failTarget(a, o)
		return
	}
	c.noteAttempt(a, o)
	v := judge(call.Refuse(call.ReasonRemoteRefused, o.text))
	v.status, v.phrase, v.cause = passedOn(status), o.phrase, causeOfStatus(status)
	if v.status != status {
		v.phrase = ""
	}
	c.refuseCaller(v, causeOf(e.msg), e.msg, a.leg.party.String())
}

// passedOn is the status that one side sees for the other's. A redirect that is not followed would show addresses of the
// other side and move the call around the rules that let it in, so it is refused.
func passedOn(status int) int {
	switch {
	case status < 400:
		return 480
	case status == 401 || status == 407:
		return 403 // the challenge was for the node
	}
	return status
}

// phraseOf returns a peer's reason phrase if it can be written on: one that names a host or an address would tell the
// other side about the peer's network, and what does not print would command the terminal on which the record is read.
func phraseOf(m *sip.Message) string {
	phrase := string(m.Reason())
	if len(phrase) > 100 || !prints(phrase) || slices.ContainsFunc(strings.FieldsFunc(phrase, between), namesHost) {
		return sip.ReasonPhrase(m.Status())
	}
	return phrase
}

func prints(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}

func between(r rune) bool { return strings.ContainsRune(" \t;,()<>[]\"'=", r) }

func namesHost(word string) bool {
	word = strings.Trim(word, ".:!?")
	if _, err := netip.ParseAddr(word); err == nil || strings.Contains(word, "@") {
		return true
	}
	// A dot or a colon between characters: a host name, an address with its port.
	return strings.ContainsAny(word, ".:")
}

// fail refuses the call to the caller.
func (c *activeCall) fail(v verdict) { c.refuseCaller(v, "", nil, "") }

// refuseCaller gives the caller its final answer and ends the call. cause is the Reason header of whoever ended it, empty
// where the node did; answer is the target's, for the headers that cross, nil for none.
func (c *activeCall) refuseCaller(v verdict, cause string, answer *sip.Message, by string) {
	if c.phase != dialling {
		return
	}
	b := c.caller.response(v.status, v.phrase)
	if v.retry {
		b.Header("Retry-After", c.s.retryAfter())
	}
	cause = cmp.Or(cause, v.reasonHeader())
	c.s.explain(b, v, cause)
	if answer != nil {
		c.passHeaders(b, answer)
	}
	if c.attempt != nil {
		// A CANCEL says why, too: a phone shows no missed call where it reads that another one took it (RFC 3326).
		c.abandon(c.attempt, cause)
	}
	c.finish(v, by, func() { c.caller.respond(withoutBody(b)) })
}

// finish ends what is left of a call and has its record written; it sends nothing to the caller but what then sends once
// the record is on disk.
func (c *activeCall) finish(v verdict, by string, then func()) {
	for name := range c.timers {
		c.stopTimer(name)
	}
	c.failExchange() // one begun before the answer is nobody else's to end
	if c.phase == dialling && c.attempt != nil {
		c.abandon(c.attempt, v.reasonHeader())
	}
	c.phase = over
	c.releaseTrials()
	c.partFrom(v)
	c.dropHeld()
	c.caller.letGo()
	if c.callee != nil {
		c.callee.letGo()
	}
	c.conclude(v, by, then)
}
