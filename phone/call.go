package phone

import (
	"context"
	"fmt"
	"sync"

	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/digest"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/srtp"
)

// End says how a call ended.
type End string

// The ways a call ends.
const (
	// EndNone: it has not ended.
	EndNone End = ""
	// EndHangup: Hangup was called.
	EndHangup End = "hangup"
	// EndRemote: the other side sent BYE.
	EndRemote End = "remote"
	// EndNoAck: our 2xx was never acknowledged.
	EndNoAck End = "no_ack"
	// EndLost: the connection of the signalling was lost.
	EndLost End = "connection_lost"
	// EndClosed: the phone was closed.
	EndClosed End = "closed"
)

// Call is a call that was answered. Its methods are safe for concurrent use.
type Call struct {
	p     *Phone
	id    dialog.ID
	media *media
	// confirmed is closed by the ACK, done by the end.
	confirmed, done chan struct{}
	ending          sync.Once

	mu                  sync.Mutex
	dialog              dialog.Dialog
	flow                transport.Flow // of the INVITE; what Phone knows a lost connection by
	path                transport.Flow // of our requests
	suites              []srtp.Suite
	terms               terms  // of our last description
	pending             *terms // an offer of ours that the ACK answers
	tx                  *transaction.Server
	inviteSeq           uint32
	ack                 []byte
	dropAck             bool
	hangingUp           bool
	digest              *digest.Client
	authorization       string
	inviteAuthorization *Header
	ended               End
	reason              string
}

func newCall(p *Phone, d dialog.Dialog, f transport.Flow, m *media) *Call {
	return &Call{
		p: p, id: d.ID, dialog: d, flow: f, path: f, media: m,
		confirmed: make(chan struct{}), done: make(chan struct{}),
	}
}

// ID returns the SIP Call-ID.
func (c *Call) ID() string { return c.id.CallID }

// Done is closed when the call has ended.
func (c *Call) Done() <-chan struct{} { return c.done }

// Confirmed is closed when the call is acknowledged: at once for one we placed, by the ACK for one we answered.
func (c *Call) Confirmed() <-chan struct{} { return c.confirmed }

// Ended returns how the call ended, EndNone while it lasts.
func (c *Call) Ended() End {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ended
}

// RemoteReason returns the Reason header of the other side's BYE, empty when there was none.
func (c *Call) RemoteReason() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.reason
}

// Play changes what is said and done with what is heard.
func (c *Call) Play(a Audio) { c.media.play(a) }

// Recent returns what was heard in the last second, at most SampleRate linear samples.
func (c *Call) Recent() []int16 { return c.media.recent() }

// Heard returns which share of what was heard in the last second is a tone of this frequency; see ToneShare.
func (c *Call) Heard(hz float64) float64 { return ToneShare(c.Recent(), hz) }

// Stats returns the call's figures, also after its end.
func (c *Call) Stats() Stats {
	s := c.media.snapshot()
	s.Transport, s.TLS = c.flow.Proto(), c.flow.TLS()
	return s
}

// Hangup sends BYE and waits for its answer until ctx ends; the call is over either way. A call we answered waits for
// its ACK first (RFC 3261 §15): if ctx ends before, the call goes on and the error says so.
func (c *Call) Hangup(ctx context.Context) error { return c.hangup(ctx, EndHangup) }

func (c *Call) hangup(ctx context.Context, why End) error {
	select {
	case <-c.confirmed:
	case <-c.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("hang up: wait for ACK: %w", context.Cause(ctx))
	}
	c.mu.Lock()
	first := !c.hangingUp
	c.hangingUp = true
	c.mu.Unlock()
	if first {
		if _, err := c.start("BYE", nil, func(ev transaction.Event) {
			// Whatever the answer, also none, the call is over for us (RFC 3261 §15.1.1).
			if ev.Kind != transaction.Response || ev.Message.Status() >= 200 {
				c.end(why)
			}
		}); err != nil {
			c.end(why)
			return fmt.Errorf("hang up: %w", err)
		}
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		c.end(why)
		return fmt.Errorf("hang up: wait for the answer to BYE: %w", context.Cause(ctx))
	}
}

// end ends the call once. It does not wait for the media: it may be called where messages are read.
func (c *Call) end(why End) {
	c.ending.Do(func() {
		c.mu.Lock()
		c.ended = why
		tx := c.tx
		c.tx = nil
		c.mu.Unlock()
		if tx != nil { // a 2xx that nobody waits for is not repeated
			tx.Acked()
		}
		c.p.unregister(c)
		c.media.shut()
		c.flow.Release()
		c.p.leave()
		close(c.done)
		go func() {
			c.media.wg.Wait()
			c.p.wg.Done()
		}()
	})
}

// aim chooses where requests go: over the connection of the INVITE, for UDP to the address that the dialog names. Names
// are not resolved; the INVITE's way is then kept.
func (c *Call) aim(ctx context.Context) {
	if c.flow.Proto() != transport.UDP {
		return
	}
	hop, err := c.dialog.NextHop()
	if err != nil {
		return
	}
	addr, ok := hop.HostAddr()
	if !ok {
		return
	}
	port := hop.Port
	if port == 0 {
		port = transport.UDP.DefaultPort()
	}
	target := transport.Target{Proto: transport.UDP, From: c.p.self(c.flow).Addr()}
	target.Addr = addrPort(addr, port)
	if f, err := c.p.transport.Dial(ctx, target); err == nil {
		c.path = f
	}
}

// sendAck writes and sends the ACK for a 2xx, and keeps it for repetitions. Credentials are the INVITE's
// (RFC 3261 §22.1).
func (c *Call) sendAck(seq uint32) {
	c.mu.Lock()
	b := sip.NewBuilder(make([]byte, 0, 1024))
	if err := c.dialog.Ack(b, c.p.via(c.path, c.p.layer.NewBranch()), seq); err != nil {
		c.mu.Unlock()
		return
	}
	b.HeaderUint("Max-Forwards", maxForwards)
	if h := c.inviteAuthorization; h != nil {
		b.Header(h.Name, h.Value)
	}
	b.Body("", nil)
	c.ack = b.Bytes()
	c.mu.Unlock()
	c.repeatAck()
}

func (c *Call) repeatAck() {
	c.mu.Lock()
	ack, path := c.ack, c.path
	c.mu.Unlock()
	if err := path.Send(ack); err != nil {
		c.p.log.Debug("send ACK", "error", err)
	}
}

// start sends a request inside the dialog.
func (c *Call) start(method string, body []byte, on func(transaction.Event)) (*transaction.Client, error) {
	branch := c.p.layer.NewBranch()
	c.mu.Lock()
	path := c.path
	b := sip.NewBuilder(make([]byte, 0, 2048))
	err := c.dialog.NextRequest(b, method, c.p.via(path, branch))
	target := c.dialog.Target
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	b.HeaderUint("Max-Forwards", maxForwards)
	b.Header("User-Agent", c.p.cfg.UserAgent)
	if c.digest != nil {
		if value, ok := c.digest.Next(method, target); ok {
			b.Header(c.authorization, value)
		}
	}
	contentType := ""
	if body != nil {
		b.Header("Contact", c.p.contact(c.flow))
		contentType = "application/sdp"
	}
	b.Body(contentType, body)
	if err := b.Err(); err != nil {
		return nil, err
	}
	return c.p.layer.Start(transaction.Outgoing{
		Flow: path, Bytes: b.Bytes(), Method: sip.ParseMethod([]byte(method)), Branch: branch, OnEvent: on,
	})
}

// request takes a request inside the dialog.
func (c *Call) request(tx *transaction.Server, req *sip.Message) {
	c.mu.Lock()
	verdict := c.dialog.Receive(req, c.inviteSeq)
	c.mu.Unlock()
	switch {
	case verdict == dialog.NotOurs:
		c.p.reply(tx, req, 481)
		return
	case verdict == dialog.OutOfOrder:
		c.p.reply(tx, req, 500)
		return
	}
	switch req.Method() {
	case sip.Bye:
		c.mu.Lock()
		c.reason = lines(req, sip.HdrReason)
		c.mu.Unlock()
		c.p.reply(tx, req, 200)
		c.end(EndRemote)
	case sip.Invite, sip.Update:
		c.reoffered(tx, req)
	case sip.Info, sip.Options:
		c.p.reply(tx, req, 200)
	default:
		c.p.reply(tx, req, 405)
	}
}

// acked takes the ACK of a 2xx.
func (c *Call) acked(ack *sip.Message) {
	c.mu.Lock()
	if c.dropAck || c.tx == nil || ack.CSeq() != c.inviteSeq {
		c.mu.Unlock()
		return
	}
	tx, pending := c.tx, c.pending
	c.tx, c.pending = nil, nil
	c.mu.Unlock()
	tx.Acked()
	if pending != nil {
		if a, err := pending.accept(ack.Body()); err != nil {
			c.p.log.Info("answer in the ACK refused", "call", c.id.CallID, "error", err)
			c.confirm()
			c.bye(EndHangup)
			return
		} else if err := c.media.agree(a); err != nil {
			c.p.log.Debug("begin media", "error", err)
		}
	}
	c.confirm()
}

func (c *Call) confirm() {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-c.confirmed:
	default:
		close(c.confirmed)
	}
}

// nobody is who wants no events.
func nobody(transaction.Event) {}

// bye ends the call with a BYE whose answer nobody waits for.
func (c *Call) bye(why End) {
	if _, err := c.start("BYE", nil, nobody); err != nil {
		c.p.log.Debug("send BYE", "error", err)
	}
	c.end(why)
}

// event takes what happens to an INVITE that we answered.
func (c *Call) event(ev transaction.Event) {
	if ev.Kind == transaction.NoAck && c.Ended() == EndNone {
		c.bye(EndNoAck)
	}
}
