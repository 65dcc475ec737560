package phone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/digest"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/srtp"
)

// Errors of Dial, besides Failure, those of the context and those of the network.
var (
	// ErrTooManyCalls: Config.MaxCalls is reached.
	ErrTooManyCalls = errors.New("too many calls")
	// ErrSilent: nobody answered the INVITE at all.
	ErrSilent = errors.New("no answer to the INVITE")
)

// cancelWait is how long Dial waits for the answer to a CANCEL. A call that is answered later is still hung up.
const cancelWait = 2 * time.Second

// progressQueue bounds the provisional answers that wait for Dial.
const progressQueue = 16

// Invite is a call to place.
type Invite struct {
	// To is the Request-URI, for example "sip:+12065550100@abc.voiceconnector.example".
	To string
	// Target is where the INVITE goes; To is not resolved.
	Target netip.AddrPort
	// TLS says whom a TLS target must prove to be; nil means the host of To, under Config.Roots.
	TLS *transport.ClientTLS
	// From is a SIP URI, or the user part of one at our address; empty means Config.User.
	From string
	// User and Password answer one challenge; an empty User answers none.
	User, Password string
	// Suites makes the offer RTP/SAVP with these crypto suites in order; empty offers RTP/AVP.
	Suites []srtp.Suite
	// Codec is offered first, the other G.711 law after it.
	Codec Codec
	// Headers are added to the INVITE.
	Headers []Header
	// Audio is said and heard.
	Audio Audio
	// OnProgress, if not nil, is told of each provisional answer, on the goroutine of Dial.
	OnProgress func(Progress)
}

// Progress is a provisional answer.
type Progress struct {
	Status int
	Phrase string
	// Media says that early media were agreed on.
	Media bool
}

// Failure is a call that was refused, or whose answer this phone could not accept.
type Failure struct {
	// Status is the final answer, 300 to 699, or 200 when the phone itself ended the call.
	Status int
	Phrase string
	// Reason and Warning are the header fields of these names, all lines, as they were written.
	Reason, Warning string
	// Local is why the phone ended a call that was answered; empty for a refusal.
	Local string
}

// Error returns status and phrase, or why the phone ended the call.
func (f *Failure) Error() string {
	if f.Local != "" {
		return "call ended by this phone: " + f.Local
	}
	return fmt.Sprintf("call refused: %d %s", f.Status, f.Phrase)
}

// outgoing is an INVITE that has no call yet.
type outgoing struct {
	p                 *Phone
	inv               Invite
	uri, from         string
	flow              transport.Flow
	callID, tag       string
	seq               uint32
	media             *media
	terms             terms
	offer             []byte
	digest            *digest.Client
	authorization     string // header that carries credentials; empty before a challenge
	lastAuthorization *Header
}

// Dial places a call and returns it once it is answered, acknowledged and its media run. A refusal is a *Failure. When
// ctx ends the INVITE is cancelled and the context's error returned.
func (p *Phone) Dial(ctx context.Context, inv Invite) (*Call, error) {
	if !p.begin() {
		return nil, ErrClosed
	}
	defer p.wg.Done()
	if !p.enter() {
		return nil, ErrTooManyCalls
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(p.life, func() { cancel(ErrClosed) })()
	o, err := p.prepare(ctx, inv)
	if err != nil {
		p.leave()
		return nil, fmt.Errorf("call %s: %w", inv.To, err)
	}
	p.counters.Placed.Add(1)
	c, err := o.run(ctx)
	if err != nil {
		o.media.close()
		o.flow.Release()
		p.leave()
		return nil, fmt.Errorf("call %s: %w", inv.To, err)
	}
	return c, nil
}

// begin counts something that Close has to wait for, and reports whether it may begin.
func (p *Phone) begin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.closed {
		p.wg.Add(1)
	}
	return !p.closed
}

// prepare reaches the target, opens the media and writes the offer.
func (p *Phone) prepare(ctx context.Context, inv Invite) (*outgoing, error) {
	uri, err := sip.ParseURI([]byte(inv.To))
	if err != nil || uri.Scheme != sip.SchemeSIP && uri.Scheme != sip.SchemeSIPS {
		return nil, errors.New("not a SIP URI")
	}
	o := &outgoing{p: p, inv: inv, uri: inv.To, seq: 1, callID: p.token(2 * tagSize), tag: p.token(tagSize)}
	target := transport.Target{Proto: p.cfg.Proto, Addr: inv.Target, TLS: inv.TLS}
	if target.TLS == nil {
		target.TLS = &transport.ClientTLS{
			ServerName: strings.Trim(string(uri.Host), "[]"), Roots: p.cfg.Roots, Certificate: p.cfg.Certificate,
		}
	}
	if o.flow, err = p.transport.Dial(ctx, target); err != nil {
		return nil, fmt.Errorf("reach %s: %w", inv.Target, err)
	}
	self := p.self(o.flow)
	if o.from = inv.From; o.from == "" {
		o.from = p.cfg.User
	}
	if !strings.HasPrefix(o.from, "sip:") && !strings.HasPrefix(o.from, "sips:") {
		host := self.Addr().String()
		if self.Addr().Is6() {
			host = "[" + host + "]"
		}
		o.from = "sip:" + o.from + "@" + host
	}
	if o.media, err = newMedia(p, self.Addr()); err != nil {
		return nil, err
	}
	o.media.play(inv.Audio)
	o.terms = terms{id: 1, version: 1, addr: o.media.local, codecs: []Codec{PCMU, PCMA}}
	if inv.Codec == PCMA {
		o.terms.codecs = []Codec{PCMA, PCMU}
	}
	if o.terms.keys, err = newKeys(p.random, inv.Suites); err != nil {
		o.media.close()
		return nil, err
	}
	o.offer = o.terms.offer()
	if inv.User != "" {
		o.digest = digest.NewClient(digest.ClientConfig{Username: inv.User, Password: inv.Password, Rand: p.random})
	}
	o.flow.Hold()
	return o, nil
}

// run sends the INVITE, once more after a challenge, until there is a final answer.
func (o *outgoing) run(ctx context.Context) (*Call, error) {
	for challenged := false; ; challenged = true {
		final, w, err := o.send(ctx)
		if err != nil {
			return nil, err
		}
		status := final.Status()
		switch {
		case status/100 == 2:
			return o.establish(ctx, final, w)
		case (status == 401 || status == 407) && o.digest != nil && !challenged:
			if err := o.credentials(final); err != nil {
				return nil, fmt.Errorf("answer the challenge: %w", err)
			}
			o.seq++
		default:
			return nil, failure(final)
		}
	}
}

func failure(m *sip.Message) *Failure {
	return &Failure{
		Status: m.Status(), Phrase: string(m.Reason()),
		Reason: lines(m, sip.HdrReason), Warning: lines(m, sip.HdrWarning),
	}
}

// credentials answers a challenge for the next INVITE.
func (o *outgoing) credentials(m *sip.Message) error {
	id, name := sip.HdrWWWAuthenticate, "Authorization"
	if m.Status() == 407 {
		id, name = sip.HdrProxyAuthenticate, "Proxy-Authorization"
	}
	var values [][]byte
	for f := range m.Fields() {
		if f.ID == id {
			values = append(values, f.Value)
		}
	}
	value, err := o.digest.Answer(values, "INVITE", o.uri, false)
	if err != nil {
		return err
	}
	o.lastAuthorization = &Header{name, value}
	o.authorization = name
	return nil
}

// send sends one INVITE and waits for its final answer.
func (o *outgoing) send(ctx context.Context) (*sip.Message, *waiting, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, context.Cause(ctx)
	}
	w := &waiting{o: o, progress: make(chan *sip.Message, progressQueue), final: make(chan result, 1)}
	branch := o.p.layer.NewBranch()
	request := o.inviteRequest(branch, o.lastAuthorization)
	if request == nil {
		return nil, nil, errors.New("the INVITE cannot be written: a value has a line break")
	}
	tx, err := o.p.layer.Start(transaction.Outgoing{
		Flow: o.flow, Bytes: request, Method: sip.Invite, Branch: branch, OnEvent: w.event,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("send INVITE: %w", err)
	}
	for {
		select {
		case m := <-w.progress:
			o.provisional(m)
		case r := <-w.final:
			for len(w.progress) > 0 { // what came before it
				o.provisional(<-w.progress)
			}
			return r.message, w, r.err
		case <-ctx.Done():
			return o.cancel(ctx, tx, w)
		}
	}
}

// provisional takes early media and tells of the answer. An early description that is no answer to ours is passed over:
// the final answer repeats it and is judged.
func (o *outgoing) provisional(m *sip.Message) {
	if m.Status() > 100 && len(m.Body()) > 0 && o.media.agreement() == nil {
		if a, err := o.terms.accept(m.Body()); err == nil {
			_ = o.media.agree(a)
		}
	}
	if o.inv.OnProgress != nil {
		media := len(m.Body()) > 0 && o.media.agreement() != nil
		o.inv.OnProgress(Progress{Status: m.Status(), Phrase: string(m.Reason()), Media: media})
	}
}

// cancel gives up an INVITE. An answer that crosses the CANCEL is acknowledged and hung up.
func (o *outgoing) cancel(ctx context.Context, tx *transaction.Client, w *waiting) (*sip.Message, *waiting, error) {
	tx.Cancel("")
	wait, stop := o.p.within(context.Background(), cancelWait)
	defer stop()
	select {
	case r := <-w.final:
		w.discard(r.message, r.flow)
	case <-wait.Done():
		if r, late := w.abandon(); late {
			w.discard(r.message, r.flow)
		}
	}
	return nil, nil, context.Cause(ctx)
}

// establish makes the call of a 2xx: ACK always, then media, or BYE when the answer cannot be accepted.
func (o *outgoing) establish(ctx context.Context, final *sip.Message, w *waiting) (*Call, error) {
	uri, err := sip.ParseURI([]byte(o.uri))
	if err != nil {
		return nil, err
	}
	d, err := dialog.NewUAC(final, &uri, o.flow.Proto() == transport.TLS)
	if err != nil {
		return nil, fmt.Errorf("begin dialog: %w", err)
	}
	c := newCall(o.p, d, o.flow, o.media)
	c.suites, c.digest, c.authorization, c.inviteAuthorization = o.inv.Suites, o.digest, o.authorization, o.lastAuthorization
	c.terms = o.terms
	close(c.confirmed)
	c.aim(ctx)
	// Findable before the ACK, which lets the other side send BYE at once.
	err = o.accept(final)
	if err == nil {
		err = o.p.register(c)
	}
	c.sendAck(final.CSeq())
	if err != nil {
		if _, byeErr := c.start("BYE", nil, nobody); byeErr != nil {
			o.p.log.Debug("send BYE", "error", byeErr)
		}
		if errors.Is(err, ErrClosed) {
			return nil, err
		}
		f := failure(final)
		f.Local = err.Error()
		return nil, f
	}
	w.mu.Lock()
	w.call = c
	w.mu.Unlock()
	return c, nil
}

// accept takes the answer of a 2xx. One that came with early media may be left out of it.
func (o *outgoing) accept(final *sip.Message) error {
	if len(final.Body()) == 0 && o.media.agreement() != nil {
		return nil
	}
	a, err := o.terms.accept(final.Body())
	if err != nil {
		return err
	}
	return o.media.agree(a)
}
