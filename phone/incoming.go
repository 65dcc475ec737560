package phone

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"carillon/sdp"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/srtp"
)

// ErrOver: the incoming call was cancelled, answered or refused before.
var ErrOver = errors.New("incoming call is over")

// Incoming is a call that waits for an answer.
type Incoming struct {
	// URI is the Request-URI, User its user part with escapes undone.
	URI, User string
	// From is the URI of the From header, FromUser its user part with escapes undone.
	From, FromUser string
	// Transport, TLS and Remote say how the INVITE came; TLS is nil without TLS.
	Transport transport.Proto
	TLS       *transport.TLSInfo
	Remote    netip.AddrPort
	// Secure says that the offer is RTP/SAVP. Late says that there is no offer: the 2xx carries ours.
	Secure, Late bool

	p      *Phone
	tx     *transaction.Server
	req    *sip.Message
	tag    string
	ctx    context.Context
	cancel context.CancelCauseFunc

	mu          sync.Mutex
	over        bool
	media       *media
	terms       terms
	description []byte
	suites      []srtp.Suite
	call        *Call
}

// Answer says how to answer a call.
type Answer struct {
	// Audio is said and heard.
	Audio Audio
	// Suites are the crypto suites accepted in an offer, and offered when the INVITE has no offer and Secure is true;
	// nil means DefaultSuites.
	Suites []srtp.Suite
	// Secure refuses an offer of RTP/AVP with 488, and offers RTP/SAVP when the INVITE has no offer.
	Secure bool
	// Headers are added.
	Headers []Header
	// DropAck acts as if no ACK ever came: the 200 is repeated and the call ended with BYE.
	DropAck bool
	// Downgrade answers an offer of RTP/SAVP with RTP/AVP, which RFC 3264 forbids and no caller may accept.
	Downgrade bool
}

func newIncoming(p *Phone, tx *transaction.Server, req *sip.Message) *Incoming {
	req = req.Clone()
	uri, from := req.RequestURI(), &req.From().URI
	f := tx.Flow()
	in := &Incoming{
		URI: string(uri.AppendTo(nil)), User: string(sip.Unescape(nil, uri.User)),
		From: string(from.AppendTo(nil)), FromUser: string(sip.Unescape(nil, from.User)),
		Transport: f.Proto(), TLS: f.TLS(), Remote: f.Remote(), Late: len(req.Body()) == 0,
		p: p, tx: tx, req: req, tag: p.token(tagSize),
	}
	if d, err := sdp.Parse(req.Body()); err == nil {
		if a, err := section(d); err == nil {
			in.Secure = a.profile.Secure
		}
	}
	in.ctx, in.cancel = context.WithCancelCause(p.life)
	f.Hold()
	return in
}

// Header returns the first line of a header of the INVITE, empty when there is none.
func (in *Incoming) Header(name string) string { return string(in.req.Lookup(name)) }

// Offer returns the session description of the INVITE. It may hold keys.
func (in *Incoming) Offer() []byte { return in.req.Body() }

// Context ends when the caller cancels or the phone is closed.
func (in *Incoming) Context() context.Context { return in.ctx }

// event takes what happens to the INVITE.
func (in *Incoming) event(ev transaction.Event) {
	in.mu.Lock()
	c := in.call
	cancelled := ev.Kind == transaction.Cancelled && !in.over
	if cancelled {
		in.over = true
	}
	in.mu.Unlock()
	if cancelled {
		in.p.send(in.tx, in.p.response(in.req, 487, "", in.tag))
		in.cancel(context.Canceled)
	}
	if c != nil {
		c.event(ev)
	}
}

// finish cleans up after the handler.
func (in *Incoming) finish() {
	_ = in.Reject(480, "")
	in.mu.Lock()
	m, c := in.media, in.call
	in.mu.Unlock()
	in.cancel(nil)
	if c != nil { // it owns the rest
		return
	}
	if m != nil {
		m.close()
	}
	in.tx.Flow().Release()
	in.p.leave()
}

// Reject refuses the call; an empty phrase means the status code's own.
func (in *Incoming) Reject(status int, phrase string, headers ...Header) error {
	if status < 300 || status > 699 {
		return fmt.Errorf("reject call: %d is no refusal", status)
	}
	in.mu.Lock()
	over := in.over
	in.over = true
	in.mu.Unlock()
	if over {
		return ErrOver
	}
	b := in.p.response(in.req, status, phrase, in.tag)
	for _, h := range headers {
		b.Header(h.Name, h.Value)
	}
	in.p.send(in.tx, b)
	return nil
}

// Ring sends a provisional answer, 101 to 199; with early it begins early media, which Answer then goes on with.
func (in *Incoming) Ring(status int, early *Answer) error {
	if status <= 100 || status > 199 {
		return fmt.Errorf("ring: %d is no ringing", status)
	}
	b := in.p.response(in.req, status, "", in.tag)
	in.establishing(b)
	contentType, body, err := "", []byte(nil), error(nil)
	in.mu.Lock()
	over := in.over
	if !over && early != nil {
		contentType = "application/sdp"
		if body, err = in.early(*early); err != nil {
			err = fmt.Errorf("ring with early media: %w", err)
		}
	}
	in.mu.Unlock()
	if over {
		return ErrOver
	}
	if err != nil {
		return err
	}
	b.Body(contentType, body)
	return respond(in.tx, b)
}

// early agrees on media before the answer. The caller holds the lock.
func (in *Incoming) early(a Answer) ([]byte, error) {
	if in.Late {
		return nil, errors.New("the INVITE has no offer")
	}
	err := in.prepare(a)
	return in.description, err
}

// establishing writes what makes a dialog of an answer (RFC 3261 §12.1.1).
func (in *Incoming) establishing(b *sip.Builder) {
	b.Copy(in.req, sip.HdrRecordRoute)
	b.Header("Contact", in.p.contact(in.tx.Flow()))
}

// respond sends a response that is complete. No lock is held: a failure to send is told at once, on this goroutine.
func respond(tx *transaction.Server, b *sip.Builder) error {
	if err := b.Err(); err != nil {
		return fmt.Errorf("write response: %w", err)
	}
	return tx.Respond(b.Bytes())
}

// prepare opens the media and agrees on them, once.
func (in *Incoming) prepare(a Answer) error {
	if in.media != nil {
		in.media.play(a.Audio)
		return nil
	}
	if in.suites = a.Suites; in.suites == nil {
		in.suites = DefaultSuites()
	}
	m, err := newMedia(in.p, in.p.self(in.tx.Flow()).Addr())
	if err != nil {
		return err
	}
	m.play(a.Audio)
	in.terms = terms{id: 1, version: 1, addr: m.local, codecs: []Codec{PCMU, PCMA}}
	if in.Late {
		if a.Secure {
			in.terms.keys, err = newKeys(in.p.random, in.suites)
		}
		in.description = in.terms.offer()
	} else {
		err = in.agree(m, a)
	}
	if err != nil {
		m.close()
		return err
	}
	in.media = m
	return nil
}

// agree answers the offer.
func (in *Incoming) agree(m *media, answer Answer) error {
	offer, a, err := consider(in.req.Body(), in.suites)
	if err != nil {
		return err
	}
	if answer.Secure && !a.profile.Secure {
		return errSuite
	}
	switch {
	case answer.Downgrade:
		a.profile.Secure = false
	case a.profile.Secure:
		if a.ours, err = srtp.NewKey(a.theirs.Suite(), in.p.random); err != nil {
			return fmt.Errorf("draw media key: %w", err)
		}
	}
	in.description = in.terms.answer(offer, a)
	return m.agree(a)
}

// Answer accepts the call and begins its media; it does not wait for the ACK, see Call.Confirmed. An offer that cannot
// be accepted is refused with 488 and the reason returned.
func (in *Incoming) Answer(a Answer) (*Call, error) {
	c, err := in.answer(a)
	if err != nil && !errors.Is(err, ErrOver) {
		_ = in.Reject(488, "", Header{"Warning", `399 phone "` + err.Error() + `"`})
		return nil, fmt.Errorf("answer call: %w", err)
	}
	return c, err
}

func (in *Incoming) answer(a Answer) (*Call, error) {
	c, b, err := in.accept(a)
	if err != nil {
		return nil, err
	}
	if err := respond(in.tx, b); err != nil {
		c.end(EndLost)
		return nil, errors.Join(ErrOver, err)
	}
	return c, nil
}

// accept makes the call and writes its 200. The call is findable before that is sent.
func (in *Incoming) accept(a Answer) (*Call, *sip.Builder, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.over {
		return nil, nil, ErrOver
	}
	f := in.tx.Flow()
	d, err := dialog.NewUAS(in.req, in.tag, f.Proto() == transport.TLS)
	if err != nil {
		return nil, nil, err
	}
	if err := d.Confirm(nil); err != nil {
		return nil, nil, err
	}
	if err := in.prepare(a); err != nil {
		return nil, nil, err
	}
	b := in.p.response(in.req, 200, "", in.tag)
	in.establishing(b)
	for _, h := range a.Headers {
		b.Header(h.Name, h.Value)
	}
	b.Body("application/sdp", in.description)
	if err := b.Err(); err != nil {
		return nil, nil, err
	}
	c := newCall(in.p, d, f, in.media)
	c.suites, c.terms, c.tx, c.inviteSeq, c.dropAck = in.suites, in.terms, in.tx, in.req.CSeq(), a.DropAck
	if in.Late {
		c.pending = &in.terms
	}
	c.aim(in.ctx)
	if err := in.p.register(c); err != nil {
		return nil, nil, err
	}
	in.over, in.call = true, c
	return c, b, nil
}
