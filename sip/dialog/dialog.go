// Package dialog keeps the state that two user agents share (RFC 3261 §12) as plain values, without I/O, locks or timers.
//
// A Dialog is made from the request or the response that establishes it, writes the requests we send inside it and judges
// those that come in. Whoever owns it (one goroutine per call) also owns its end, its timers and its transactions.
package dialog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"carillon/sip"
)

// Bounds.
const (
	MaxRoutes = 32        // entries of a route set; a longer one comes from a loop or an attacker
	MaxSeq    = 1<<31 - 1 // largest CSeq number (RFC 3261 §8.1.1.5)
	// MaxBytes is the most octets of a peer's that each request of a dialog repeats: Call-ID, parties, tags, routes and
	// target. Without it a peer makes of each small request and each ACK a large one, and with a Route or Contact chooses
	// who gets it.
	MaxBytes = 4096
)

// Errors of the constructors and of the writers.
var (
	ErrNoDialog = errors.New("message does not establish a dialog") // 100, no tag, or a final answer other than 2xx
	ErrContact  = errors.New("no usable Contact")
	ErrRoute    = errors.New("unusable Record-Route")
	ErrSeq      = errors.New("CSeq number space used up")
	ErrTooLong  = errors.New("more text than the requests of a dialog may repeat")
)

// ID names a dialog at this end (RFC 3261 §12). It is comparable, for use as a map key.
type ID struct {
	CallID string // as on the wire; compared with regard to case
	Local  string // our tag
	Remote string // the peer's tag; "" for peers of RFC 2543
}

// RequestID is the ID of the dialog an incoming request belongs to. Local is "" where the request is outside of dialogs.
func RequestID(req *sip.Message) ID {
	return ID{CallID: string(req.CallID()), Local: string(req.To().Tag()), Remote: string(req.From().Tag())}
}

// ResponseID is the ID of the dialog a response to a request of ours belongs to.
func ResponseID(resp *sip.Message) ID {
	return ID{CallID: string(resp.CallID()), Local: string(resp.From().Tag()), Remote: string(resp.To().Tag())}
}

// Dialog is the state of RFC 3261 §12. It is a value: copies are independent, and its strings and routes share no memory
// with the messages it was made from. Routes is replaced, never changed in place.
type Dialog struct {
	ID          ID       // what requests and responses are matched by
	Local       string   // our name-addr for From, without tag
	Remote      string   // the peer's name-addr for To, without tag
	LocalSeq    uint32   // number of our last request; 0: none sent yet
	RemoteSeq   uint32   // number of the peer's last request; 0: none received yet
	Routes      []string // route set in the order our requests visit it, each value a name-addr
	Target      string   // remote target, a URI
	Confirmed   bool     // false: early
	Secure      bool     // established over TLS to a sips URI: requests go to sips URIs only (RFC 3261 §12.1)
	strictRoute bool     // the first route lacks ;lr
}

// NewUAS makes the dialog that our answer with localTag to a received request establishes (RFC 3261 §12.1.1). overTLS
// says that the request arrived over TLS. The dialog is early until Confirm.
func NewUAS(req *sip.Message, localTag string, overTLS bool) (Dialog, error) {
	if !req.IsRequest() || localTag == "" {
		return Dialog{}, ErrNoDialog
	}
	contact := req.Contact()
	if !usable(contact) {
		return Dialog{}, ErrContact
	}
	d := Dialog{
		ID:        ID{CallID: string(req.CallID()), Local: localTag, Remote: string(req.From().Tag())},
		Local:     party(req.To()),
		Remote:    party(req.From()),
		RemoteSeq: req.CSeq(),
		Target:    text(&contact.URI),
		Secure:    overTLS && req.RequestURI().Scheme == sip.SchemeSIPS,
	}
	return d, d.setRoutes(req, false)
}

// NewUAC makes the dialog that a 1xx or 2xx to a request of ours establishes (RFC 3261 §12.1.2); each To tag of a forked
// request makes one. requestURI is the request's; it stays the target of an answer without Contact, which RFC 3261
// forbids and gateways send in 180. overTLS says that the request went out over TLS.
func NewUAC(resp *sip.Message, requestURI *sip.URI, overTLS bool) (Dialog, error) {
	status := resp.Status()
	if resp.IsRequest() || status <= 100 || status >= 300 || status < 200 && len(resp.To().Tag()) == 0 {
		return Dialog{}, ErrNoDialog
	}
	d := Dialog{
		ID:        ResponseID(resp),
		Local:     party(resp.From()),
		Remote:    party(resp.To()),
		LocalSeq:  resp.CSeq(),
		Target:    text(requestURI),
		Confirmed: status >= 200,
		Secure:    overTLS && requestURI.Scheme == sip.SchemeSIPS,
	}
	if contact := resp.Contact(); usable(contact) {
		d.Target = text(&contact.URI)
	}
	return d, d.setRoutes(resp, true)
}

// Confirm turns an early dialog into a confirmed one. As UAC pass the 2xx: route set and target are taken from it anew
// (RFC 3261 §13.2.2.4). As UAS pass nil when the 2xx has been sent.
func (d *Dialog) Confirm(resp *sip.Message) error {
	if resp == nil {
		d.Confirmed = true
		return nil
	}
	if resp.IsRequest() || resp.Status()/100 != 2 || ResponseID(resp) != d.ID {
		return ErrNoDialog
	}
	fresh := *d
	if err := fresh.setRoutes(resp, true); err != nil {
		return err
	}
	fresh.Refresh(resp)
	fresh.Confirmed = true
	*d = fresh
	return nil
}

// setRoutes takes the Record-Route values, reversed for the UAC.
func (d *Dialog) setRoutes(m *sip.Message, reverse bool) error {
	d.Routes, d.strictRoute = nil, false
	for value := range m.Values(sip.HdrRecordRoute) {
		if len(d.Routes) == MaxRoutes {
			return fmt.Errorf("%w: more than %d", ErrRoute, MaxRoutes)
		}
		addr, err := sip.ParseNameAddr(value)
		if err != nil || !routable(&addr.URI) || bytes.IndexByte(value, 0) >= 0 {
			return ErrRoute
		}
		d.Routes = append(d.Routes, string(value))
	}
	if reverse {
		slices.Reverse(d.Routes)
	}
	if len(d.Routes) > 0 {
		first, err := sip.ParseNameAddr([]byte(d.Routes[0]))
		if err != nil {
			return ErrRoute
		}
		_, loose := first.URI.Param("lr")
		d.strictRoute = !loose
	}
	return d.checkSize(d.Target)
}

// checkSize judges what a dialog repeats when target is its target.
func (d *Dialog) checkSize(target string) error {
	n := len(d.ID.CallID) + len(d.ID.Local) + len(d.ID.Remote) + len(d.Local) + len(d.Remote) + len(target)
	for _, r := range d.Routes {
		n += len(r)
	}
	if n > MaxBytes {
		return ErrTooLong
	}
	return nil
}

// usable says whether requests can be addressed to a Contact. "*" and tel are no place to send to.
func usable(contact *sip.NameAddr) bool { return contact != nil && routable(&contact.URI) }

func routable(u *sip.URI) bool {
	return (u.Scheme == sip.SchemeSIP || u.Scheme == sip.SchemeSIPS) && len(u.Host) > 0
}

func text(u *sip.URI) string { return string(u.AppendTo(nil)) }

// party is a name-addr without header parameters: the tag lives in the ID, and others must not be echoed. A display name
// with a quoted NUL is left out: it could be read, but no request with it can be written, not even a BYE.
func party(n *sip.NameAddr) string {
	var b []byte
	if len(n.Display) > 0 && bytes.IndexByte(n.Display, 0) < 0 {
		b = append(append(b, n.Display...), ' ')
	}
	b = append(b, '<')
	b = n.URI.AppendTo(b)
	return string(append(b, '>'))
}
