package sbc

import (
	"context"
	"encoding/hex"
	"errors"
	"net/netip"
	"strings"
	"time"

	"carillon/call"
	"carillon/routing"
	"carillon/sip"
	"carillon/sip/digest"
	"carillon/sip/resolve"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// attempt is one target being tried: its addresses one after the other.
type attempt struct {
	number    int
	index     int // of the target in the plan
	target    routing.Target
	addresses []resolve.Target // left to try
	leg       *leg
	invite    *transaction.Client
	uri       string
	body      []byte // the description offered; nil for a late offer
	answered  bool   // a credential was sent once
	stop      context.CancelFunc
}

// found is what looking for a target brought.
type found struct {
	flow      transport.Flow
	addresses []resolve.Target
}

// outcome is how a target ended.
type outcome struct {
	status int
	phrase string
	text   string
	reason string // Reason header of the target, passed on
}

// dialTimeout bounds finding and connecting one address.
const dialTimeout = 4 * time.Second

// start sends 100, opens the media of an early offer and tries the first target.
func (c *activeCall) start() {
	c.caller.respond(withoutBody(c.caller.response(100, "")))
	c.after(timerDuration, c.s.limits.Duration)
	if c.offer != nil {
		if r := c.offerMedia(); r != nil {
			c.fail(judge(r))
			return
		}
	}
	c.next()
}

// offerMedia opens the media of an early offer and judges the offer before anything is sent to anybody: a call in the
// clear to an encrypted connector must not even ring.
func (c *activeCall) offerMedia() *call.Refusal {
	if r := c.openMedia(c.caller); r != nil {
		return r
	}
	first := c.plan.Targets[0]
	_, r := c.media.Offer(c.caller.side, c.offer, call.Leg{SRTP: first.SRTP, SecureSignalling: first.Transport == trunk.TLS})
	return r
}

// openMedia opens the call's media for the leg whose description comes first.
func (c *activeCall) openMedia(first *leg) *call.Refusal {
	media, refusal := c.s.cfg.Media.Open(call.Open{
		ID: c.id, Offerer: first.side, Leg: first.policy,
		OnSilence: func(side call.Side) { c.mailbox.put(event{kind: evSilence, side: side}) },
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
	c.attempts++
	a := &attempt{number: c.attempts, index: index, target: c.plan.Targets[index]}
	c.attempt = a
	c.find(a, nil, true)
}

// find looks a target up, or goes on with the addresses left, and opens a flow to the first that can be reached.
func (c *activeCall) find(a *attempt, left []resolve.Target, lookup bool) {
	ctx, stop := context.WithTimeout(context.Background(), dialTimeout)
	a.stop = stop
	number, target := a.number, a.target
	c.pending++
	go func() {
		defer stop()
		f, err := c.s.reach(ctx, target, left, lookup)
		c.mailbox.put(event{kind: evFound, attempt: number, found: f, err: err})
	}()
}

// errNoAddress says that every address of a target was used up or may not be used.
var errNoAddress = errors.New("no address that may be called")

// reach resolves a target, drops addresses that must not be called and connects. Addresses are used as checked: they are
// never looked up again in between.
func (s *Server) reach(ctx context.Context, t routing.Target, left []resolve.Target, lookup bool) (found, error) {
	if lookup {
		targets, err := s.cfg.Resolver.Resolve(ctx, resolve.Query{
			Host: t.Host, Port: t.Port, Transport: protoOf(t.Transport), Secure: t.Transport == trunk.TLS,
		})
		if err != nil {
			return found{}, err
		}
		left = targets
	}
	err := error(errNoAddress)
	for i, r := range left {
		if t.Transport == trunk.TLS && r.Proto != resolve.TLS {
			continue // never a fallback to clear
		}
		if blocked := s.checkAddress(r.Addr); blocked != nil {
			err = blocked
			continue
		}
		var f transport.Flow
		f, err = s.dialer.Dial(ctx, s.dialTarget(t.Peer, t.Host, r))
		if err == nil {
			return found{flow: f, addresses: left[i+1:]}, nil
		}
	}
	return found{}, err
}

// checkAddress refuses addresses that nothing may be sent to, our own listeners among them: a call to ourselves would
// come back in as a carrier's or a customer's.
func (s *Server) checkAddress(addr netip.AddrPort) error { return s.cfg.Egress.CheckPort(addr) }

func (s *Server) dialTarget(peer trunk.PeerPolicy, host string, r resolve.Target) transport.Target {
	t := transport.Target{Addr: r.Addr}
	switch r.Proto {
	case resolve.TCP:
		t.Proto = transport.TCP
	case resolve.TLS:
		t.Proto = transport.TLS
		// The certificate must name the configured host, not what its SRV record points to.
		t.TLS = &transport.ClientTLS{ServerName: host, Roots: s.cfg.Roots, Certificate: s.cfg.Certificate}
		if pin, ok := parsePin(peer.Pin); ok {
			t.TLS.Pins = []transport.SPKIHash{pin}
		} else if peer.NoVerify {
			t.TLS.SkipVerify = true
		}
	default:
		t.Proto = transport.UDP
	}
	return t
}

func parsePin(s string) (pin transport.SPKIHash, ok bool) {
	n, err := hex.Decode(pin[:], []byte(s))
	return pin, err == nil && n == len(pin)
}

func protoOf(t trunk.Transport) resolve.Proto {
	switch t {
	case trunk.TCP:
		return resolve.TCP
	case trunk.TLS:
		return resolve.TLS
	}
	return resolve.UDP
}

// onFound sends the INVITE once a flow is open.
func (c *activeCall) onFound(e event) {
	c.pending--
	a := c.attempt
	if c.phase != dialling || a == nil || a.number != e.attempt {
		return
	}
	if e.err != nil {
		c.failTarget(a, outcome{text: connectError(e.err)})
		return
	}
	a.addresses = e.found.addresses
	c.invite(a, e.found.flow)
}

// connectError is one sentence for all failures to connect: a tenant must not map networks by trying hosts.
func connectError(err error) string {
	switch {
	case errors.Is(err, errNoAddress):
		return "the host has no address that may be called"
	case errors.Is(err, resolve.ErrNotFound):
		return "the host name does not exist"
	}
	return "could not be connected"
}

// invite sends the INVITE of an attempt on a flow.
func (c *activeCall) invite(a *attempt, f transport.Flow) {
	l := c.newCallee(a, f)
	var body []byte
	if c.offer != nil {
		sdp, refusal := c.media.Offer(c.caller.side, c.offer, l.policy)
		if refusal != nil {
			// What the caller offered cannot be carried, on this target or any other.
			c.fail(judge(refusal))
			return
		}
		body = sdp
	}
	c.sendInvite(a, body, nil)
}

// newCallee makes the leg of a target.
func (c *activeCall) newCallee(a *attempt, f transport.Flow) *leg {
	side := c.caller.side.Other()
	l := &leg{call: c, tag: c.s.random.token(8), side: side, flow: f}
	ruler := c.plan.Connector
	if c.plan.Inside != nil {
		ruler = c.plan.Inside
	}
	l.mustTLS = ruler.RequireEncryption && (c.plan.Direction == call.Inbound || c.plan.Inside != nil)
	l.policy = call.Leg{
		SRTP: a.target.SRTP, SecureSignalling: f.Proto() == transport.TLS, Signalling: f.Remote().Addr().Unmap(),
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
func (c *activeCall) sendInvite(a *attempt, body []byte, credentials *authorization) {
	l := a.leg
	l.seq++
	a.uri = targetURI(a.target)
	branch := c.s.layer.NewBranch()
	b := c.inviteRequest(a, branch, credentials)
	contentType := ""
	if body != nil {
		contentType = "application/sdp"
	}
	b.Body(contentType, body)
	out := b.Bytes()
	if out == nil {
		c.failTarget(a, outcome{status: 500, text: "the request could not be written"})
		return
	}
	number := a.number
	c.open[number] = a
	tx, err := c.s.layer.Start(transaction.Outgoing{
		Flow: l.flow, Bytes: out, Method: sip.Invite, Branch: branch,
		Timers:  &transaction.Timers{B: c.s.limits.TargetSilent},
		OnEvent: func(e transaction.Event) { c.onInviteEvent(number, e) },
	})
	if err != nil {
		delete(c.open, number)
		c.failTarget(a, outcome{status: 503, text: "the node has no room for another transaction"})
		return
	}
	a.invite, a.body = tx, body
}

// onInviteEvent posts the news of a target's INVITE.
func (c *activeCall) onInviteEvent(number int, e transaction.Event) {
	switch e.Kind {
	case transaction.Response:
		c.mailbox.put(event{kind: evResponse, attempt: number, flow: e.Flow, msg: e.Message.Clone()})
	case transaction.Timeout, transaction.TransportError:
		c.mailbox.put(event{kind: evSilentEnd, attempt: number, err: e.Err})
	}
}

// onSilentEnd takes the end of an INVITE that brought no final answer.
func (c *activeCall) onSilentEnd(e event) {
	delete(c.open, e.attempt)
	a := c.attempt
	if c.phase != dialling || a == nil || a.number != e.attempt {
		return
	}
	if e.err != nil {
		c.failTarget(a, outcome{text: "the connection was lost"})
		return
	}
	c.failTarget(a, outcome{status: 408, text: "did not answer at all"})
}

// failTarget notes that a target failed and goes on: to its next address, else to the next target.
func (c *activeCall) failTarget(a *attempt, o outcome) {
	c.noteAttempt(a, o)
	c.stopTimer(timerRing)
	if o.status == 0 || o.status == 408 || o.status == 503 {
		if len(a.addresses) > 0 {
			c.attempts++
			retry := &attempt{number: c.attempts, index: a.index, target: a.target}
			c.attempt = retry
			c.find(retry, a.addresses, false)
			return
		}
		c.s.failures.add(a.target.String(), c.s.clock.Now(), c.s.limits.FailedFor)
	}
	c.next()
}

// noteAttempt writes a failed target into the record and keeps the best answer (RFC 3261 section 16.7).
func (c *activeCall) noteAttempt(a *attempt, o outcome) {
	c.rec.Attempts = append(c.rec.Attempts, call.Attempt{Target: a.target.String(), Status: o.status, Error: o.text})
	c.log.Info("target failed", "target", a.target.String(), "status", o.status, "why", o.text)
	if better(o, c.best) {
		c.best = o
	}
}

// better compares answers: a 6xx beats all, then the lowest class, and within a class anything but 503 and 408.
func better(o, than outcome) bool {
	if than.status == 0 {
		return true
	}
	return weight(o.status) < weight(than.status)
}

func weight(status int) int {
	switch {
	case status == 0:
		return 9
	case status >= 600:
		return 0
	case status == 503:
		return 8
	case status == 408:
		return 7
	}
	return status / 100
}

// exhausted ends a call all of whose targets failed.
func (c *activeCall) exhausted() {
	v := judge(call.Refuse(call.ReasonAllTargetsFailed, c.attemptList()))
	switch s := c.best.status; {
	case s == 408:
		v.status = 504
	case s == 503, s == 0, s == 401, s == 407:
		v.status = 500
	default:
		v.status, v.phrase = s, c.best.phrase
	}
	c.fail(v)
}

func (c *activeCall) attemptList() string {
	var parts []string
	for _, a := range c.rec.Attempts {
		parts = append(parts, a.Target+" "+a.Error)
	}
	return strings.Join(parts, "; ")
}

// giveUp cancels a target that is still ringing. Its late answer is taken care of by onLateResponse.
func (c *activeCall) giveUp(a *attempt, o outcome) {
	c.noteAttempt(a, o)
	c.abandon(a, "")
}

func (c *activeCall) abandon(a *attempt, reason string) {
	if a.stop != nil {
		a.stop()
	}
	if a.invite != nil {
		a.invite.Cancel(reason)
	}
}

// authorization is a header that answers a carrier's challenge.
type authorization struct{ name, value string }

// answerChallenge computes the answer to a carrier's 401 or 407; nil when it cannot be given.
func (c *activeCall) answerChallenge(a *attempt, m *sip.Message) *authorization {
	carrier := a.target.Carrier
	if a.answered || carrier == nil || carrier.User == "" {
		return nil
	}
	name, id := "Proxy-Authorization", sip.HdrProxyAuthenticate
	if m.Status() == 401 {
		name, id = "Authorization", sip.HdrWWWAuthenticate
	}
	var challenges [][]byte
	for f := range m.Fields() {
		if f.ID == id {
			challenges = append(challenges, f.Value)
		}
	}
	client := digest.NewClient(digest.ClientConfig{Username: carrier.User, Password: carrier.Password.Reveal(), Rand: &c.s.random})
	value, err := client.Answer(challenges, "INVITE", a.uri, false)
	if err != nil {
		return nil
	}
	a.answered = true
	return &authorization{name: name, value: value}
}
