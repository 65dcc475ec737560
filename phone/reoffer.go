package phone

import (
	"net/netip"

	"carillon/sip"
	"carillon/sip/transaction"
	"carillon/srtp"
)

func addrPort(a netip.Addr, port uint16) netip.AddrPort { return netip.AddrPortFrom(a.Unmap(), port) }

// reoffered answers a re-INVITE or UPDATE (RFC 3264 section 8, RFC 3311): what is refused leaves everything as it was.
func (c *Call) reoffered(tx *transaction.Server, req *sip.Message) {
	c.mu.Lock()
	busy := c.tx != nil && req.Method() == sip.Invite
	c.mu.Unlock()
	if busy { // our last 2xx is not acknowledged yet (RFC 3261 §14.2)
		c.p.reply(tx, req, 491)
		return
	}
	body, pending, status := c.renegotiate(req)
	if status != 200 {
		c.p.reply(tx, req, status)
		return
	}
	c.mu.Lock()
	c.dialog.Refresh(req)
	if req.Method() == sip.Invite {
		c.tx, c.inviteSeq, c.pending = tx, req.CSeq(), pending
	}
	c.mu.Unlock()
	if req.Method() == sip.Invite {
		tx.Bind(c.id.Local, c.event)
	}
	b := c.p.response(req, 200, "", c.id.Local)
	b.Copy(req, sip.HdrRecordRoute)
	b.Header("Contact", c.p.contact(c.flow))
	contentType := ""
	if body != nil {
		contentType = "application/sdp"
	}
	b.Body(contentType, body)
	if out := b.Bytes(); out != nil {
		_ = tx.Respond(out)
	}
}

// renegotiate returns the description for the answer, the offer in it that the ACK will answer, and the status.
func (c *Call) renegotiate(req *sip.Message) (body []byte, pending *terms, status int) {
	current := c.media.agreement()
	c.mu.Lock()
	t := c.terms
	suites := c.suites
	c.mu.Unlock()
	if len(req.Body()) == 0 {
		if req.Method() == sip.Update {
			return nil, nil, 200
		}
		offer := t
		if current != nil && !current.ours.IsZero() {
			offer.keys = []ownKey{{tag: "1", spelling: current.spelling, key: current.ours}}
		}
		return offer.offer(), &offer, 200
	}
	offer, a, err := consider(req.Body(), suites)
	secured := current != nil && !current.ours.IsZero()
	if err != nil || secured && !a.profile.Secure {
		return nil, nil, 488
	}
	if a.profile.Secure {
		if secured && current.ours.Suite() == a.theirs.Suite() {
			a.ours = current.ours
		} else if a.ours, err = srtp.NewKey(a.theirs.Suite(), c.p.random); err != nil {
			return nil, nil, 500
		}
	}
	if err := c.media.agree(a); err != nil {
		return nil, nil, 500
	}
	t.version++
	c.mu.Lock()
	c.terms = t
	c.mu.Unlock()
	return t.answer(offer, a), nil, 200
}
