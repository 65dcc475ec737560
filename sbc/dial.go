package sbc

import (
	"context"
	"net/netip"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// attempt is one address of a target being tried. It outlives its being given up: its INVITE may still be answered.
type attempt struct {
	number     int // place in activeCall.tried, from 1
	index      int // of the target in the plan
	target     routing.Target
	addresses  []resolve.Target // left to try
	leg        *leg
	invite     *transaction.Client
	open       bool // the INVITE has no final answer yet
	uri        string
	body       []byte // the description offered; nil for a late offer
	early      []byte // what the caller was given of its early answer
	said       []byte // its early answer itself, where the caller is given nothing before the call is answered
	challenges int    // that were answered since the target last took the credentials
	silent     bool   // it had no answer in its time, and may still have one
	stopping   bool   // it rang for too long and was cancelled
	reused     bool   // its flow is a connection that the target opened to us
	direct     bool   // it must be connected to
	asIs       bool   // the INVITE goes on the leg's flow whatever its length
	stop       context.CancelFunc
	earlies    []*early // the dialogs its reliable provisional answers made
	agreed     bool     // the session was agreed before the 2xx, by an offer in such an answer
	forks      []*leg   // the dialogs its 2xx answers made (RFC 3261 §13.2.2.4)
}

// fork returns the dialog that an earlier 2xx with this To-tag made, nil when there is none.
func (a *attempt) fork(tag []byte) *leg {
	for _, l := range a.forks {
		if l.dialog.ID.Remote == string(tag) {
			return l
		}
	}
	return nil
}

// start sends 100, opens the media of an early offer and tries the first target.
func (c *activeCall) start() {
	c.caller.respond(withoutBody(c.caller.response(100, "")))
	c.after(timerDuration, c.s.limits.Duration)
	if c.joined != nil {
		c.inquire()
		return
	}
	if c.offer != nil {
		if r := c.offerMedia(); r != nil {
			c.fail(judge(r))
			return
		}
	}
	c.next()
}

// offerMedia opens the media of an early offer and judges the offer before anything is sent to anybody: a call in the
// clear to an encrypted connector must not even ring. What it makes is thrown away: each target gets keys of its own
// once its flow is open.
func (c *activeCall) offerMedia() *call.Refusal {
	if r := c.openMedia(c.caller); r != nil {
		return r
	}
	first := c.plan.Targets[0]
	if isAtHand(first) {
		return nil // its own offer comes before anything else: nothing is sent and nothing waited for until then
	}
	_, r := c.media.Offer(c.caller.side, c.offer, call.Leg{SRTP: first.SRTP, SecureSignalling: first.Transport == trunk.TLS})
	return r
}

// openMediaOnce opens the call's media unless an earlier target's offer has.
func (c *activeCall) openMediaOnce(first *leg) *call.Refusal {
	if c.media != nil {
		return nil
	}
	return c.openMedia(first)
}

// openMedia opens the call's media for the leg whose description comes first.
func (c *activeCall) openMedia(first *leg) *call.Refusal {
	media, refusal := c.s.cfg.Media.Open(call.Open{
		ID: c.id, Offerer: first.side, Leg: first.policy,
		OnSilence: func(side call.Side, spent bool) { c.mailbox.put(event{kind: evSilence, side: side, spent: spent}) },
	})
	if refusal != nil {
		return refusal
	}
	c.media = media
	return nil
}

// next tries the next target, or ends the call when none is left.
func (c *activeCall) next() {
	index := 0
	if c.attempt != nil {
		index = c.attempt.index + 1
	}
	if index >= len(c.plan.Targets) {
		c.exhausted()
		return
	}
	c.find(c.newAttempt(index), nil)
}

// newAttempt makes the attempt that is now current.
func (c *activeCall) newAttempt(index int) *attempt {
	a := &attempt{number: len(c.tried) + 1, index: index, target: c.plan.Targets[index]}
	c.tried = append(c.tried, a)
	c.attempt = a
	if !c.s.failures.none() {
		c.claim(&c.s.failures, a.target.String())
	}
	c.ruleBy(a.target.Connector)
	return a
}

// ruleBy makes the connector of the target that is called the one whose settings rule that side of the call and which
// the record names. Those of a number's group take over from each other; they are of one account, so nothing that was
// counted changes.
func (c *activeCall) ruleBy(connector *trunk.Connector) {
	if connector != nil && c.seats[called] != "" && c.seats[called] != connector.ID {
		c.s.actives.stand(&c.seats[called])
		c.s.actives.sit(&c.seats[called], connector.ID, noLimit) // the call was let in, and is not refused for who takes it
	}
	switch {
	case connector == nil:
	case c.plan.Direction == call.Inbound && c.plan.Connector != connector:
		c.plan.Connector = connector
		ruledBy(&c.rec, connector)
		c.log = c.s.log.With("call", string(c.id), "connector", connector.ID)
	case c.plan.Direction == call.Outbound:
		c.plan.Inside = connector
	}
}

// find looks a target up, or goes on with the addresses left, and opens a flow to the first that can be reached.
func (c *activeCall) find(a *attempt, left []resolve.Target) {
	number, target, direct := a.number, a.target, a.direct
	c.pending++
	look := func(ctx context.Context) {
		f, err := c.s.approach(ctx, target, left, direct)
		c.mailbox.put(event{kind: evFound, attempt: number, found: f, err: err})
	}
	if left == nil && isAtHand(target) {
		look(context.Background())
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	a.stop = stop
	go func() {
		defer stop()
		look(ctx)
	}()
}

// isAtHand reports whether nothing has to be waited for to reach a target: no name is looked up and no connection made.
func isAtHand(t routing.Target) bool {
	if t.Redirected && t.Carrier == nil {
		return false // the names of carriers are
	}
	if t.Transport != trunk.UDP && t.Transport != trunk.AnyTransport {
		return false
	}
	return isAddress(t.Host)
}

func isAddress(host string) bool {
	_, err := netip.ParseAddr(host)
	return err == nil
}

// onFound sends the INVITE once a flow is open.
func (c *activeCall) onFound(e event) {
	c.pending--
	a := c.attempt
	if e.found.trial != "" {
		c.trials = append(c.trials, trial{&c.s.dead, e.found.trial})
	}
	if c.phase != dialling {
		c.releaseTrials()
	}
	if c.phase != dialling || a.number != e.attempt {
		return
	}
	if e.err != nil {
		// The tenant, who reads the record, is told one sentence for all of these: nobody shall map networks with it.
		c.log.Info("target cannot be reached", "target", a.target.String(), "error", e.err)
		c.failTarget(a, outcome{text: "could not be reached", cause: unreachable(a.target, e.err)})
		return
	}
	a.addresses, a.reused = e.found.addresses, e.found.reused
	c.invite(a, e.found.flow)
}

// invite sends the INVITE of an attempt on a flow.
func (c *activeCall) invite(a *attempt, f transport.Flow) {
	l := c.newCallee(a, f)
	if c.offer != nil {
		sdp, refusal := c.media.Offer(c.caller.side, c.offer, l.policy)
		if refusal != nil {
			// What the caller offered cannot be carried, on this target or any other.
			c.fail(judge(refusal))
			return
		}
		a.body = sdp
	}
	c.sendInvite(a, nil)
}

// newCallee makes the leg of a target.
func (c *activeCall) newCallee(a *attempt, f transport.Flow) *leg {
	l := &leg{call: c, tag: c.s.random.token(8), side: c.caller.side.Other(), flow: f, placed: true}
	l.party = l.side
	l.mustTLS = f.Proto() == transport.TLS
	l.account = c.newAccount(a.target.Carrier)
	l.host, l.peer, l.sips = a.target.Host, a.target.Peer, a.target.SIPS
	l.policy = call.Leg{
		SRTP: a.target.SRTP, SecureSignalling: l.mustTLS, Signalling: f.Remote().Addr().Unmap(),
	}
	if to := a.target.Connector; to != nil {
		l.policy.Trusted = listed(to.Termination)
	}
	l.noteFlow(f)
	l.record.SIPCallID = c.s.random.token(16)
	l.dialog.ID.CallID, l.dialog.ID.Local = l.record.SIPCallID, l.tag
	if c.callee != nil {
		c.s.dropDialog(c.callee.tag)
	}
	c.callee, a.leg = l, l
	c.s.addDialog(l.tag, l)
	return l
}

// sendInvite starts the client transaction of an attempt; credentials answer a challenge.
func (c *activeCall) sendInvite(a *attempt, credentials *authorization) {
	l := a.leg
	l.seq++
	a.uri = targetURI(a.target)
	if credentials == nil {
		credentials = l.credentialsFor("INVITE", a.uri)
	}
	branch := c.s.layer.NewBranch()
	b := c.inviteRequest(a, branch, credentials)
	defer c.s.builders.put(b)
	out := c.location.withLocation(b, a.body, branch).Bytes()
	if out == nil {
		c.failTarget(a, outcome{status: 500, ours: true, text: "got no request, because it could not be written"})
		return
	}
	if !a.asIs && c.s.tooLong(l.flow, len(out)) {
		l.seq-- // it is written anew once the way is known
		c.widenAttempt(a, credentials)
		return
	}
	number, final := a.number, false // only the transaction's events touch final, which come one at a time
	tx, err := c.s.layer.Start(transaction.Outgoing{
		Flow: l.flow, Bytes: out, Method: sip.Invite, Branch: branch,
		Timers: &transaction.Timers{B: c.s.limits.TargetSilent, Late: c.s.layer.Timers().B},
		OnEvent: func(e transaction.Event) {
			c.onInviteEvent(number, e, final)
			final = final || e.Kind == transaction.Response && e.Message.Status() >= 200
		},
	})
	if err != nil {
		c.failTarget(a, outcome{status: 503, ours: true, text: "got no request, because the node has no room for a transaction"})
		return
	}
	if l.account != nil {
		l.account.invite = credentials
	}
	a.invite, a.open = tx, true
	c.waiting++
}

// onInviteEvent posts the news of a target's INVITE. again is true after its first final answer.
func (c *activeCall) onInviteEvent(number int, e transaction.Event, again bool) {
	switch e.Kind {
	case transaction.Response:
		if again || e.Message.Status() < 200 {
			if !c.repeats[c.caller.side.Other()].take(c.s.clock.Now(), repeatRate) {
				c.s.stats.Overflows.Add(1)
				return
			}
		}
		if !c.mailbox.put(event{kind: evResponse, attempt: number, flow: e.Flow, msg: e.Message.Clone(), again: again}) {
			c.s.stats.Strays.Add(1) // of a fork that answers when all is over; its sender gives up without an ACK
		}
	case transaction.Silent:
		c.mailbox.put(event{kind: evSilent, attempt: number})
	case transaction.Timeout, transaction.TransportError:
		c.mailbox.put(event{kind: evSilentEnd, attempt: number, err: e.Err})
	}
}

// settle notes that an attempt's INVITE has its final answer, or will have none.
func (c *activeCall) settle(a *attempt) {
	if a.open {
		a.open = false
		c.waiting--
	}
}

// onSilent gives up a target that has not answered at all. Its INVITE goes on listening: a phone that rings late is told to
// stop, and one that answers late is hung up on.
func (c *activeCall) onSilent(e event) {
	a := c.tried[e.attempt-1]
	a.silent = true
	if c.phase != dialling || a != c.attempt {
		return
	}
	// A firewall that has forgotten the connection would swallow the next call's INVITE, too.
	a.leg.flow.Retire()
	c.failTarget(a, outcome{status: 408, ours: true, text: "did not answer at all"})
}

// onSilentEnd takes the end of an INVITE that brought no final answer.
func (c *activeCall) onSilentEnd(e event) {
	a := c.tried[e.attempt-1]
	c.settle(a)
	if c.phase != dialling || a != c.attempt {
		return
	}
	switch {
	case a.stopping:
		c.rungOut(a)
	case e.err != nil:
		c.failTarget(a, outcome{text: "lost its connection"})
	default:
		c.failTarget(a, outcome{status: 408, ours: true, text: "did not answer at all"})
	}
}

// failTarget notes that a target failed and goes on: to its next address, else to the next target.
func (c *activeCall) failTarget(a *attempt, o outcome) {
	c.noteAttempt(a, o)
	c.stopTimer(timerRing)
	c.failExchange()
	if c.offered {
		// The caller was sent this target's offer: no other target could be given the answer.
		c.exhausted()
		return
	}
	if o.status == 0 || o.status == 408 || o.status == 503 {
		if a.reused {
			again := c.newAttempt(a.index)
			again.direct = true
			c.find(again, nil)
			return
		}
		if a.leg != nil {
			proto, addr := a.leg.flow.Proto().String(), a.leg.flow.Remote()
			c.s.noteDead(proto, addr)
			c.shown(&c.s.dead, pathName(proto, addr))
		}
		left := a.addresses
		if o.status == 0 || o.ours {
			left = c.narrow(a)
		}
		if len(left) > 0 {
			c.find(c.newAttempt(a.index), left)
			return
		}
		c.s.failures.add(a.target.String(), c.s.clock.Now(), c.s.limits.FailedFor)
		c.shown(&c.s.failures, a.target.String())
	}
	c.next()
}

// noteAttempt writes a failed target into the record and keeps the best answer.
func (c *activeCall) noteAttempt(a *attempt, o outcome) {
	answered := o.status
	if o.ours {
		answered = 0
	}
	c.record(a, call.Attempt{Status: answered, Error: o.text, Cause: o.cause})
	c.log.Info("target failed", "target", a.target.String(), "status", o.status, "why", o.text)
	c.best = better(c.best, o)
}

// stopRinging cancels a target that rings for too long. The next one waits until it says that it has stopped, for two
// phones must not ring at once; should it be answered in that moment, it has the call.
func (c *activeCall) stopRinging(a *attempt) {
	a.stopping = true
	a.invite.Cancel("")
	if a.index+1 == len(c.plan.Targets) {
		c.rungOut(a) // nobody else is to ring
		return
	}
	c.after(timerStop, c.s.limits.TargetSilent)
}

// rungOut goes on to the next target. One that has not said that it stopped is not waited for: its late answer is taken
// care of by ackAndBye.
func (c *activeCall) rungOut(a *attempt) {
	c.stopTimer(timerStop)
	c.noteAttempt(a, outcome{status: 408, ours: true, text: "rang for longer than the ring time"})
	c.failExchange()
	if c.offered { // as in failTarget
		c.exhausted()
		return
	}
	c.next()
}

func (c *activeCall) abandon(a *attempt, reason string) {
	if a.stop != nil {
		a.stop()
	}
	if a.invite != nil {
		a.invite.Cancel(reason)
	}
}
