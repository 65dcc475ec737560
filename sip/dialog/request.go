package dialog

import (
	"bytes"

	"carillon/sip"
)

// NextRequest spends one CSeq number and writes the start of a request inside the dialog (RFC 3261 §12.2.1.1): request
// line, via (left out when empty), Route, From, To, Call-ID and CSeq. The caller adds Max-Forwards, Contact, the rest
// and the body. method is any but ACK and CANCEL: those repeat the number of their INVITE. A value that cannot be
// written shows in b.Err after Body; the number is spent all the same.
func (d *Dialog) NextRequest(b *sip.Builder, method string, via []byte) error {
	if d.LocalSeq >= MaxSeq {
		return ErrSeq
	}
	d.LocalSeq++
	return d.write(b, method, via, d.LocalSeq)
}

// Ack writes the start of the ACK for a 2xx (RFC 3261 §13.2.2.4). seq is the CSeq number of that 2xx, hence of its
// INVITE, which need not be the last request sent. For ACK to another final answer see the transaction.
func (d *Dialog) Ack(b *sip.Builder, via []byte, seq uint32) error {
	return d.write(b, "ACK", via, seq)
}

func (d *Dialog) write(b *sip.Builder, method string, via []byte, seq uint32) error {
	uri, err := d.RequestURI()
	if err != nil {
		return err
	}
	routes := d.Routes
	if d.strictRoute {
		routes = routes[1:]
	}
	b.Request(method, []byte(uri))
	if len(via) > 0 {
		b.HeaderBytes("Via", via)
	}
	for _, r := range routes {
		b.Header("Route", r)
	}
	if d.strictRoute { // the strict router takes the last Route for its Request-URI (RFC 3261 §12.2.1.1)
		b.Header("Route", "<"+d.Target+">")
	}
	writeParty(b, "From", d.Local, d.ID.Local)
	writeParty(b, "To", d.Remote, d.ID.Remote)
	b.Header("Call-ID", d.ID.CallID)
	b.Open("CSeq")
	b.WriteUint(uint64(seq))
	b.WriteText(" ")
	b.WriteText(method)
	b.Close()
	return nil
}

// NextHop is the URI whose host the request is sent to (RFC 3261 §8.1.2): the first route, else the target.
func (d *Dialog) NextHop() (sip.URI, error) {
	if len(d.Routes) == 0 {
		return sip.ParseURI([]byte(d.Target))
	}
	hop, err := d.firstHop()
	if err != nil {
		return sip.URI{}, err
	}
	return *hop, nil
}

// RequestURI returns the Request-URI that the next request will have.
func (d *Dialog) RequestURI() (string, error) {
	if !d.strictRoute {
		return d.Target, nil
	}
	hop, err := d.firstHop()
	if err != nil {
		return "", err
	}
	return text(hop), nil
}

// firstHop is the first route's URI in the form a Request-URI may have: without headers and the method parameter
// (RFC 3261 §12.2.1.1, §19.1.1).
func (d *Dialog) firstHop() (*sip.URI, error) {
	first, err := sip.ParseNameAddr([]byte(d.Routes[0]))
	if err != nil {
		return nil, ErrRoute
	}
	u := first.URI
	u.Headers = nil
	if _, ok := u.Param("method"); ok {
		u.Params = withoutMethod(u.Params)
	}
	u.Raw = nil
	return &u, nil
}

func withoutMethod(params []byte) []byte {
	var out []byte
	for p := range bytes.SplitSeq(params, []byte(";")) {
		name, _, _ := bytes.Cut(p, []byte("="))
		if len(p) > 0 && !bytes.EqualFold(name, []byte("method")) {
			out = append(append(out, ';'), p...)
		}
	}
	return out
}

func writeParty(b *sip.Builder, name, party, tag string) {
	b.Open(name)
	b.WriteText(party)
	if tag != "" { // a peer of RFC 2543 has none, and an empty one must not be sent (RFC 3261 §12.2.1.1)
		b.WriteText(";tag=")
		b.WriteText(tag)
	}
	b.Close()
}

// Verdict is the judgement of a request received inside the dialog.
type Verdict uint8

// The verdicts.
const (
	InOrder    Verdict = iota
	NotOurs            // another Call-ID or tag: 481
	OutOfOrder         // CSeq not above the last: 500 (RFC 3261 §12.2.2); for ACK and CANCEL: no such INVITE, drop or 481
)

// Receive judges a request that came in and, when it is in order, takes its CSeq number. Call it once per transaction,
// before answering anything but 100. The request's Contact is not taken: see Refresh.
//
// ACK and CANCEL carry the number of their INVITE; inviteSeq is that of the INVITE the caller has open, and they change
// nothing.
func (d *Dialog) Receive(req *sip.Message, inviteSeq uint32) Verdict {
	if RequestID(req) != d.ID {
		return NotOurs
	}
	seq := req.CSeq()
	switch req.Method() {
	case sip.Ack, sip.Cancel:
		if seq != inviteSeq {
			return OutOfOrder
		}
		return InOrder
	}
	// Numbers may have gaps: the peer's other requests were challenged by a proxy (RFC 3261 §12.2.2).
	if d.RemoteSeq != 0 && seq <= d.RemoteSeq {
		return OutOfOrder
	}
	d.RemoteSeq = seq
	return InOrder
}

// Refresh takes the remote target from the Contact of an INVITE or UPDATE, request or 2xx (RFC 3261 §12.2, RFC 3311
// §5.1), and says whether the dialog's target is now that Contact. Call it when the request has been accepted: a refused
// one changes nothing. A secure dialog refuses a Contact that is not sips, and any dialog one that is too long; one without
// Contact leaves the target.
func (d *Dialog) Refresh(m *sip.Message) bool {
	if method := m.Method(); method != sip.Invite && method != sip.Update {
		return false
	}
	contact := m.Contact()
	if !usable(contact) || d.Secure && contact.URI.Scheme != sip.SchemeSIPS {
		return false
	}
	target := text(&contact.URI)
	if d.checkSize(target) != nil {
		return false
	}
	d.Target = target
	return true
}
