package sbc

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/transport"
)

// passed is one message that went one way or the other, as it was sent.
type passed struct {
	at     time.Time
	peer   *peer
	byNode bool
	lost   bool
	msg    *sip.Message
}

// is reports whether this is a request of a method.
func (p passed) is(method sip.Method) bool { return p.msg.IsRequest() && p.msg.Method() == method }

// arrived reports whether this is a message that came to the node.
func (p passed) arrived() bool { return !p.byNode && !p.lost }

// branch names the transaction of a message.
func (p passed) branch() string { return string(p.msg.Via().Branch) }

// history is everything that was sent, by anybody, in order.
func (m *mess) history(t *testing.T) (all []passed) {
	m.r.net.mu.Lock()
	defer m.r.net.mu.Unlock()
	for _, p := range m.r.net.peers {
		for _, sent := range p.near.Sent() {
			msg := parsed(sent)
			if msg == nil {
				t.Errorf("the node sent something malformed:\n%s", sent.Data)
				continue
			}
			all = append(all, passed{p.made.Add(sent.At), p, true, sent.Lost, msg})
		}
		for _, sent := range p.far.Sent() {
			if msg := parsed(sent); msg != nil {
				all = append(all, passed{p.made.Add(sent.At), p, false, sent.Lost, msg})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b passed) int { return a.at.Compare(b.at) })
	return all
}

// check holds the invariants.
func (m *mess) check(t *testing.T) {
	m.r.end()
	all := m.history(t)
	m.checkAnswers(t, all)
	m.checkRecords(t, all)
	m.checkCallees(t, all)
	m.checkCaller(t, all)
	m.checkPromise(t, all)
	m.checkMedia(t, all)
	m.checkHiding(t, all)
	if n := len(all); n > mostMessages {
		t.Errorf("%d messages were sent; want %d at most", n, mostMessages)
	}
	m.note(all)
	if t.Failed() {
		t.Logf("%+v", m.kind)
		for _, h := range m.happened {
			t.Log(h)
		}
		for _, p := range all {
			t.Log(p)
		}
	}
}

// mostMessages is what forty events can cause, repetitions of everything included. More would be a loop.
const mostMessages = 3000

// String writes a message in one line.
func (p passed) String() string {
	arrow, lost := "->", ""
	if p.byNode {
		arrow = "<-"
	}
	if p.lost {
		lost = " (lost)"
	}
	return fmt.Sprintf("%s %v %v %s %s, CSeq %d %s, branch %s, tags %s %s, %s%s", p.at.Format("04:05.000"), p.peer.proto, p.peer.addr, arrow,
		describe(p.msg), p.msg.CSeq(), p.msg.Method(), p.branch(), p.msg.From().Tag(), p.msg.To().Tag(), p.msg.Body(), lost)
}

// checkAnswers: each INVITE that came has one final answer, each other request one at most, and after it nothing else,
// above all no other answer after the 487 of a CANCEL.
func (m *mess) checkAnswers(t *testing.T, all []passed) {
	answers := map[string][]int{}
	for _, p := range all {
		if p.byNode && !p.msg.IsRequest() {
			k := p.branch() + " " + p.msg.Method().String()
			answers[k] = append(answers[k], p.msg.Status())
		}
	}
	for _, p := range all {
		if !p.arrived() || !p.msg.IsRequest() || p.is(sip.Ack) {
			continue
		}
		got := answers[p.branch()+" "+p.msg.Method().String()]
		first := slices.IndexFunc(got, func(status int) bool { return status >= 200 })
		if first < 0 {
			if !m.mayGoUnanswered(p) {
				t.Errorf("%v has no final answer: %v", p, got)
			}
			continue
		}
		for _, status := range got[first:] {
			if status != got[first] && !p.is(sip.Cancel) { // a CANCEL may be sent twice, and find nothing then
				t.Errorf("%v has the answers %v; want nothing after the first final one", p, got)
				break
			}
		}
	}
}

// mayGoUnanswered: what came in the clear to a dialog over TLS, what could not be answered because the connection was
// broken, and datagrams whose answer would be larger than they are.
func (m *mess) mayGoUnanswered(p passed) bool {
	overTLS := m.kind.proto == transport.TLS || m.kind.encrypted
	inDialog := len(p.msg.To().Tag()) > 0
	return inDialog && overTLS && p.peer.proto != transport.TLS && m.customers(p.peer) ||
		slices.Contains(m.cut, p.peer) ||
		p.peer.proto == transport.UDP && m.r.sbc.stats.Silent.Load() > 0 && !p.is(sip.Invite)
}

// checkRecords: a call leaves one record, with the status that its caller was told; one that stays inside leaves one
// for each account.
func (m *mess) checkRecords(t *testing.T, all []passed) {
	records := slices.DeleteFunc(m.r.records.list(), func(r call.Record) bool { return r.To == newNumber }) // of a transfer's call
	want := 1
	if m.kind.inside {
		want = 2
	}
	if !slices.ContainsFunc(all, func(p passed) bool { return p.arrived() && p.is(sip.Invite) && p.peer == m.caller.peer }) {
		want = 0
	}
	finals := m.finals()
	if len(records) == 1 && m.kind.inside && m.r.sbc.stats.Calls.Load() == 0 {
		want = 1 // it was refused before it was one
	}
	if len(records) != want {
		t.Errorf("%d records, want %d", len(records), want)
		for _, rec := range records {
			t.Logf("%s %d %s", rec.Account, rec.Status, rec.Reason)
		}
		return
	}
	for i, rec := range records {
		if rec.End.IsZero() || rec.Reason == "" || i > 0 && rec.Account == records[0].Account {
			t.Errorf("the record is %+v", rec)
		}
		if len(finals) == 1 && rec.Status != finals[0] {
			t.Errorf("the record says %d %s, the caller was told %d", rec.Status, rec.Reason, finals[0])
		}
	}
}

// dialogOf names one phone's half of a dialog that an INVITE of the node made.
func dialogOf(m *sip.Message, remote []byte) string { return string(m.CallID()) + " " + string(remote) }

// checkCallees: nobody who was called is left ringing, without an ACK or in a call that is over.
func (m *mess) checkCallees(t *testing.T, all []passed) {
	type asked struct{ rings, final, cancelled bool }
	invites, acked, ended := map[string]*asked{}, map[string]bool{}, map[string]bool{}
	for _, p := range all {
		if p.byNode && p.is(sip.Invite) {
			invites[p.branch()] = &asked{}
		}
	}
	for _, p := range all {
		req := p.msg.IsRequest()
		switch {
		case p.byNode && p.is(sip.Cancel):
			if a := invites[p.branch()]; a != nil {
				a.cancelled = true
			}
		case p.byNode && p.is(sip.Ack):
			acked[dialogOf(p.msg, p.msg.To().Tag())+fmt.Sprint(p.msg.CSeq())] = true
		case p.byNode && p.is(sip.Bye):
			ended[dialogOf(p.msg, p.msg.To().Tag())] = true
		case p.arrived() && p.is(sip.Bye):
			ended[dialogOf(p.msg, p.msg.From().Tag())] = true
		case p.arrived() && !req && p.msg.Method() == sip.Invite && invites[p.branch()] != nil:
			a := invites[p.branch()]
			a.rings, a.final = true, a.final || p.msg.Status() >= 200
		}
	}
	if m.r.layer.Stats().Strays.Load() > 0 || len(m.cut) > 0 || slices.ContainsFunc(m.happened, func(h string) bool { return strings.Contains(h, "connection closes") }) {
		return // answers came when nobody waited any more, or there was no way to say anything
	}
	for branch, a := range invites {
		if a.rings && !a.final && !a.cancelled {
			t.Errorf("INVITE %s rings for ever: neither answered nor cancelled", branch)
		}
	}
	failed := map[string]bool{} // a 2xx after a refusal of the same INVITE finds nobody (RFC 3261 figure 5)
	for _, p := range all {
		if !p.arrived() || p.msg.IsRequest() || p.msg.Method() != sip.Invite || invites[p.branch()] == nil {
			continue
		}
		failed[p.branch()] = failed[p.branch()] || p.msg.Status() >= 300
		if p.msg.Status()/100 != 2 || failed[p.branch()] {
			continue
		}
		d := dialogOf(p.msg, p.msg.To().Tag())
		if !acked[d+fmt.Sprint(p.msg.CSeq())] {
			t.Errorf("%v has no ACK", p)
		}
		if !ended[d] {
			t.Errorf("%v made a dialog that nobody ended", p)
		}
	}
}

// checkCaller: a caller who was told 200 is told when it is over.
func (m *mess) checkCaller(t *testing.T, all []passed) {
	answered, ended := "", map[string]bool{}
	for _, p := range all {
		switch {
		case p.byNode && !p.msg.IsRequest() && p.msg.Method() == sip.Invite && p.msg.Status()/100 == 2 && p.peer == m.caller.peer && p.msg.CSeq() == 1:
			answered = string(p.msg.To().Tag())
		case p.byNode && p.is(sip.Bye):
			ended[string(p.msg.From().Tag())] = true
		case p.arrived() && p.is(sip.Bye):
			ended[string(p.msg.To().Tag())] = true
		}
	}
	if answered != "" && !ended[answered] && len(m.cut) == 0 {
		t.Errorf("the caller was told 200 and never of the end")
	}
}

// checkPromise: a customer who must be encrypted is sent nothing in the clear, and no key.
func (m *mess) checkPromise(t *testing.T, all []passed) {
	for _, s := range m.r.media.sessions {
		for _, sdp := range slices.Concat(s.taken[call.Customer], s.taken[call.Carrier]) {
			if strings.Contains(sdp, "stranger") {
				t.Errorf("a stranger's description was taken into a dialog over TLS: %q", sdp)
			}
		}
	}
	if !m.kind.encrypted {
		return
	}
	for _, p := range all {
		if !p.byNode || !m.customers(p.peer) {
			continue
		}
		if p.peer.proto != transport.TLS && (p.msg.IsRequest() || len(p.msg.Body()) > 0) {
			t.Errorf("an encrypted customer was sent in the clear:\n%s", p.msg.Bytes())
		}
		if inTheClear(p.msg.Body()) {
			t.Errorf("an encrypted customer was offered media in the clear:\n%s", p.msg.Bytes())
		}
	}
	for i, s := range m.r.media.sessions {
		for _, sdp := range s.taken[call.Customer] {
			if inTheClear([]byte(sdp)) && i == 0 { // the customer is in no call that its transfer began
				t.Errorf("a description in the clear was taken from an encrypted customer: %q", sdp)
			}
		}
	}
}

// checkMedia: media is confirmed to flow to a caller only once he has shown that he got an answer of ours.
func (m *mess) checkMedia(t *testing.T, all []passed) {
	for i, s := range m.r.media.sessions {
		for side, at := range s.confirmed {
			if at.IsZero() || i > 0 { // in a transfer's call both sides were called, and have answered
				continue
			}
			m.hits["media confirmed"] = true
			if !slices.ContainsFunc(all, func(p passed) bool {
				return p.arrived() && !p.at.After(at) && (p.is(sip.Ack) || p.is(sip.Prack)) && len(p.msg.To().Tag()) > 0 && string(p.msg.CallID()) == m.caller.req.CallID
			}) {
				t.Errorf("media of the %v side was opened before anybody had acknowledged anything", call.Side(side))
			}
		}
	}
}

// checkHiding: nothing that is sent to one side has an address, a Call-ID or a tag of the other side's dialogs in it.
func (m *mess) checkHiding(t *testing.T, all []passed) {
	sideOf := func(p *peer) int {
		switch ip := p.addr.Addr(); {
		case ip == m.caller.addr.Addr():
			return 0
		case slices.ContainsFunc(m.callees, func(c *peer) bool { return c.addr.Addr() == ip }):
			return 1
		}
		return -1
	}
	var secrets [2]map[string]bool
	for side := range secrets {
		secrets[side] = map[string]bool{}
	}
	for _, p := range all {
		side := sideOf(p.peer)
		if side < 0 {
			continue
		}
		secrets[side][p.peer.addr.Addr().String()], secrets[side][string(p.msg.CallID())] = true, true
		if p.byNode { // the peers of the tests call their own as they like
			ours := p.msg.From().Tag()
			if !p.msg.IsRequest() {
				ours = p.msg.To().Tag()
			}
			if len(ours) > 0 {
				secrets[side][string(ours)] = true
			}
		}
	}
	m.hits["two sides"] = len(secrets[0]) > 1 && len(secrets[1]) > 1
	for _, p := range all {
		side := sideOf(p.peer)
		if side < 0 || !p.byNode {
			continue
		}
		for secret := range secrets[1-side] {
			if !secrets[side][secret] && strings.Contains(string(p.msg.Bytes()), secret) {
				t.Errorf("%q of the other side shows in\n%s", secret, p.msg.Bytes())
				return
			}
		}
	}
}

// note says what the call came to.
func (m *mess) note(all []passed) {
	hit := func(what string, when bool) { m.hits[what] = m.hits[what] || when }
	invites := map[string]bool{}
	for _, p := range all {
		toCaller := p.byNode && p.peer == m.caller.peer && !p.msg.IsRequest() && p.msg.CSeq() == 1
		hit("answered", toCaller && p.msg.Status() == 200 && p.msg.Method() == sip.Invite)
		hit("cancelled", toCaller && p.msg.Status() == 487)
		hit("reliable", toCaller && header(p.msg, "RSeq") != "")
		hit("re-INVITE", p.byNode && p.is(sip.Invite) && len(p.msg.To().Tag()) > 0)
		if p.byNode && p.is(sip.Invite) && len(p.msg.To().Tag()) == 0 {
			invites[string(p.msg.CallID())] = true
		}
	}
	hit("failover", len(invites) > 1)
	hit("transferred", m.r.sbc.stats.Transferred.Load() > 0)
	answered := m.hits["answered"]
	hit("inbound", m.kind.inbound && answered)
	hit("inside", m.kind.inside && answered)
	hit("encrypted", m.kind.encrypted && answered)
	hit("late offer", m.kind.late && answered)
}
