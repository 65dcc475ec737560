package sbc

import (
	"net/netip"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/dialog"
	"carillon/sip/transaction"
	"carillon/sip/transport"
	"carillon/trunk"
)

// leg is one of the two dialogs of a call. Only who is at work on the call touches it, but for call and tag, which never
// change.
type leg struct {
	call *activeCall
	// tag is ours in this dialog.
	tag  string
	side call.Side
	// party is who is there. It is side, but for one that stayed when a call was transferred: it has the customer's place
	// and is no customer of the connector's.
	party call.Side
	// stayed is true on the leg of such a party, and origin the call that it is still in; nil once it is here.
	stayed bool
	origin *activeCall
	// placed is true where the node made the connection: requests of the dialog stay on it, because its peer was checked.
	placed bool
	// policy is what media on this leg must be.
	policy call.Leg
	// mustTLS is true on a leg that began over TLS: nothing of its dialog is sent or taken in the clear, whatever a
	// Contact says.
	mustTLS bool
	// sips is true where our Contact is a sips URI.
	sips bool
	// host and peer are whom a target's certificate must prove it to be; empty on the caller's leg.
	host string
	peer trunk.PeerPolicy

	flow   transport.Flow
	held   bool // flow is kept open
	dialog dialog.Dialog
	// open is true once there is a dialog that in-dialog requests belong to.
	open bool

	// invite is the caller's INVITE, on the caller's leg, and the request it came with.
	invite *transaction.Server
	req    *sip.Message
	// regained is true once another connection was looked for to answer it.
	regained bool
	// rung is true once a provisional answer has told the caller of its early dialog.
	rung bool
	// awaitAck is true from our 2xx until its ACK; bye is then kept until it has come (RFC 3261 section 15).
	awaitAck, byeWanted bool
	// byeReason goes with a BYE that waits.
	byeReason string
	// byeFrom is the other side's BYE, for the headers that cross; nil where the node hangs up.
	byeFrom *sip.Message

	// account is the node's with the carrier at the other end, nil for none.
	account *carrierAccount

	// seq is the CSeq number of our last INVITE on this leg. unacked is that of a 2xx that still wants its ACK, 0 for
	// none: a late offer is acknowledged only once its answer is here.
	seq, unacked uint32
	// ack is the last ACK, repeated with every repeated 2xx, and ackFlow where it went.
	ack     []byte
	ackFlow transport.Flow
	// acking is true while TCP is looked for to send an ACK; behindAck are the requests that wait for it to go first.
	acking    bool
	behindAck []*outbound

	// session is the leg's session timer; described is the description that the peer sent last.
	session sessionTimer
	// reliable is of use on the caller's leg only.
	reliable  reliability
	described []byte

	record call.LegRecord
}

// other returns the opposite leg, nil while there is none.
func (l *leg) other() *leg {
	if l == l.call.caller {
		return l.call.callee
	}
	return l.call.caller
}

// noteFlow writes into the record what the leg's signalling ran over.
func (l *leg) noteFlow(f transport.Flow) {
	r := &l.record
	switch f.Proto() {
	case transport.UDP:
		r.Transport = "udp"
	case transport.TCP:
		r.Transport = "tcp"
	case transport.TLS:
		r.Transport = "tls"
	}
	r.Remote = netip.AddrPortFrom(f.Remote().Addr().Unmap(), f.Remote().Port())
	info := f.TLS()
	if info == nil {
		return
	}
	r.TLSVersion, r.Cipher = info.VersionName(), info.Cipher
	switch info.Check {
	case transport.PeerVerified:
		r.Peer = call.PeerVerified
	case transport.PeerPinned:
		r.Peer = call.PeerPinned
	default:
		r.Peer = call.PeerNotVerified
	}
}

// inClear reports whether a message may not be taken because it came in the clear.
func (l *leg) inClear(f transport.Flow) bool { return l.mustTLS && f.Proto() != transport.TLS }

// hold keeps the leg's connection open for as long as the call is up.
func (l *leg) hold() {
	l.flow.Hold()
	l.held = true
}

// letGo takes hold back.
func (l *leg) letGo() {
	if l.held {
		l.flow.Release()
		l.held = false
	}
}

// moveTo makes the leg's requests go on another flow.
func (l *leg) moveTo(f transport.Flow) {
	if f == l.flow {
		return
	}
	if l.held {
		f.Hold()
		l.flow.Release()
	}
	l.flow = f
}

// repeatAck answers a repeated 2xx.
func (l *leg) repeatAck() {
	if l.ack != nil {
		_ = l.ackFlow.Send(l.ack)
	}
}

// respond sends a response to the caller's INVITE, which is gone then.
func (l *leg) respond(b *sip.Builder) {
	if l.invite != nil { // nobody waits for the answer to a call that a transfer placed
		if out := b.Bytes(); out != nil {
			_ = l.invite.Respond(out)
		}
	}
	l.call.s.builders.put(b)
}

// response begins a response to the caller's INVITE, with the one To-tag the caller ever sees.
func (l *leg) response(status int, phrase string) *sip.Builder {
	b := l.call.s.builders.get()
	if phrase == "" {
		phrase = sip.ReasonPhrase(status)
	}
	sip.AppendResponse(b, l.req, status, phrase, l.tag)
	return b
}
