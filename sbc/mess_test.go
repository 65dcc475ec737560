package sbc

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"carillon/call"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
	"carillon/trunk"
)

// mess is one run of chaos: a call and everybody who may have to do with it.
type mess struct {
	r         *rig
	kind      kind
	caller    *agent
	moved     *peer // where the caller went, nil while it stayed
	callees   []*peer
	stranger  *peer
	onward    []*agent        // the halves of all INVITEs that came to callees, the newest last
	first     siptest.Request // the caller's INVITE
	happened  []string
	reliable  *sip.Message    // the newest reliable answer at the caller
	rseq      int             // of the callees' newest
	cut       []*peer         // whose connection to them is broken
	hits      map[string]bool // what it came to
	numbering *rand.Rand
}

// kind is what the first octets of the input say.
type kind struct {
	encrypted, inbound, inside, late, slowDisk, follow bool
	proto                                              transport.Proto // of the caller
	header                                             string
	transfers                                          trunk.TransferPolicy
}

func kindOf(b []byte) kind {
	b = append(slices.Clone(b), 0, 0)
	k := kind{encrypted: b[0]&1 != 0, inbound: b[0]&2 != 0, inside: b[0]&6 == 4, slowDisk: b[0]&0x40 != 0, follow: b[0]&0x80 != 0}
	k.proto = []transport.Proto{transport.UDP, transport.TCP, transport.TLS, transport.UDP}[b[0]>>3&3]
	if k.encrypted && !k.inbound {
		k.proto = transport.TLS
	}
	if k.inbound {
		k.proto = transport.UDP
	}
	k.late = b[1]&1 != 0
	k.header = []string{"Subject: none", knows, insists, "Session-Expires: 90", "Allow: UPDATE", knows, "Subject: none", knows}[b[1]>>1&7]
	k.transfers = []trunk.TransferPolicy{trunk.RefuseTransfers, trunk.RelayTransfers, trunk.ExecuteTransfers, trunk.ExecuteTransfers}[b[1]>>4&3]
	return k
}

// world is what is configured for this kind of call.
func (k kind) world() *world {
	w := newWorld()
	if k.encrypted {
		w.encrypted()
	}
	w.carriers[0].Targets[1].Transport = trunk.TCP
	w.limits.Duration = 10 * time.Minute
	if k.follow {
		w.connector.Settings.Redirects = trunk.FollowRedirects
	}
	w.connector.Settings.Transfers = k.transfers
	w.connector.Termination.CidrAllowedList = append(w.connector.Termination.CidrAllowedList, // the PBX may transfer
		trunk.CIDR{Text: pbxIP + "/32", Prefix: netip.MustParsePrefix(pbxIP + "/32")})
	w.other.Origination.Routes[0].Host = backupIP // of the other account's PBX, in the clear
	return w
}

// The statuses a callee answers with, by the octet that chooses them.
var answers = []int{100, 180, 183, 200, 486, 503, 408, 302, 200, 180, 401, 488, 491, 481, 422, 603}

const (
	ringing180, ringing183, ok, unavailable = 1, 2, 3, 5
	refer                                   = 2    // of what either side sends
	minutes                                 = 7    // of the times that pass
	late                                    = 0x20 // no description
)

// chaos plays one call and returns what it came to.
func chaos(t *testing.T, b []byte) (hits map[string]bool) {
	synctest.Test(t, func(t *testing.T) {
		k := kindOf(b)
		r := newRig(t, k.world())
		if k.slowDisk {
			r.records.takes = 3 * time.Second
		}
		m := &mess{r: r, kind: k, numbering: rand.New(rand.NewPCG(uint64(len(b)), 7)), hits: map[string]bool{}}
		m.cast()
		m.caller.req.Headers = append(m.caller.req.Headers, k.header)
		m.caller.start()
		m.first = m.caller.req
		synctest.Wait()
		for steps := b[min(2, len(b)):]; len(steps) >= 2; steps = steps[2:] {
			m.look()
			h := happenings[int(steps[0])%len(happenings)]
			m.happened = append(m.happened, fmt.Sprintf("%s %d", h.what, steps[1]))
			h.do(m, int(steps[1]))
			time.Sleep(time.Microsecond) // so that the history tells what came first
			synctest.Wait()
		}
		m.look()
		r.sbc.stopAll()
		m.check(t)
		hits = m.hits
	})
	return hits
}

// cast puts everybody in their places.
func (m *mess) cast() {
	r, k := m.r, m.kind
	offer := sdpPlainOver(k.proto)
	if k.late {
		offer = ""
	}
	m.stranger = r.phone(transport.UDP, strangerIP)
	switch {
	case k.inbound && k.encrypted:
		m.callees = []*peer{r.pbx()}
	case k.inbound:
		m.callees = []*peer{r.peer(transport.UDP, pbxIP+":5060")}
	default:
		m.callees = []*peer{r.tel(), r.peer(transport.TCP, backupIP+":5060"), r.backup()}
	}
	switch {
	case k.inbound:
		m.caller = r.tel().inboundCall(offer)
	case k.inside:
		m.caller = r.customer(k.proto).dial("sip:"+otherNumber+"@"+host, ownNumber, offer)
	default:
		m.caller = r.customer(k.proto).outboundCall(offer)
	}
}

// customers reports whether a peer is the connector's customer, or passes itself off as one.
func (m *mess) customers(p *peer) bool {
	if m.kind.inbound {
		return slices.Contains(m.callees, p) || p == m.stranger
	}
	return p == m.caller.peer || p == m.moved || p == m.stranger || netip.MustParseAddr(customerIP) == p.addr.Addr()
}

// look notes what has come: INVITEs at the callees, the newest 2xx and reliable answer at the caller.
func (m *mess) look() {
	for _, p := range append(m.callees[:len(m.callees):len(m.callees)], m.caller.peer) { // a carrier that called may be called for a transfer
		p.mu.Lock()
		for _, msg := range p.all {
			if !msg.IsRequest() || msg.Method() != sip.Invite || len(msg.To().Tag()) > 0 || slices.ContainsFunc(m.onward, func(a *agent) bool { return a.invite == msg }) {
				continue
			}
			m.onward = append(m.onward, &agent{peer: p, invite: msg, tag: "far", contact: p.contactOf(), req: siptest.Request{CSeq: uint32(100 + m.numbering.IntN(1000))}})
		}
		p.mu.Unlock()
	}
	m.caller.mu.Lock()
	defer m.caller.mu.Unlock()
	for _, msg := range m.caller.all {
		if !msg.IsRequest() && msg.Method() == sip.Invite && msg.Status() > 100 && msg.Status() < 300 && msg.CSeq() == 1 {
			m.caller.ok = msg
			if msg.Status() < 200 && header(msg, "RSeq") != "" {
				m.reliable = msg
			}
		}
	}
}

// target is the callee's half of the newest INVITE, now and then of an older one.
func (m *mess) target(n int) *agent {
	switch {
	case len(m.onward) == 0:
		return nil
	case n >= 192:
		return m.onward[n%len(m.onward)]
	}
	return m.onward[len(m.onward)-1]
}

// sdp is a description, good ones more often than not.
func (m *mess) sdp(n int, secure bool) string {
	good := sdpPlain
	if secure {
		good = sdpSecure
	}
	return []string{good, good, "", good, sdpPlain, sdpSecure, sdpBad, ""}[n>>4&7]
}

// secure reports whether a side speaks SRTP.
func (m *mess) secure(p *peer) bool { return p.proto == transport.TLS }

// answerOpen answers the newest in-dialog request that came to a peer.
func (m *mess) answerOpen(p *peer, status int, sdp string) {
	p.mu.Lock()
	var last *sip.Message
	for _, msg := range p.all {
		if msg.IsRequest() && msg.Method() != sip.Ack && len(msg.To().Tag()) > 0 {
			last = msg
		}
	}
	p.mu.Unlock()
	if last == nil {
		return
	}
	if last.Method() != sip.Invite && last.Method() != sip.Update {
		sdp = ""
	}
	p.respond(last, status, "", sdp, "Contact: "+p.contactOf())
}

// strange is what somebody sends in the clear who has read every message of the call.
func (m *mess) strange(n int) {
	victim, mark := m.caller, ""
	if a := m.target(0); m.kind.inbound && a != nil {
		victim = a
	}
	switch {
	case m.secure(victim.peer):
		mark = " by a stranger" // who is to find no hearing there
	case m.kind.encrypted:
		return // the victim is a carrier by now, in the clear
	}
	sdp := []string{sdpPlain + mark, sdpSecure + mark}[n>>4&1]
	methods := []string{"BYE", "INVITE", "UPDATE", "ACK", "PRACK", "INFO", "REFER", "answer"}
	method := methods[n%len(methods)]
	if method == "answer" {
		if victim.invite != nil {
			m.stranger.respond(victim.invite, 200, "far", sdp, "Contact: "+m.stranger.contactOf())
		}
		return
	}
	if victim.invite == nil && victim.ok == nil {
		return // there is no dialog yet
	}
	req := victim.inside(method, sdp)
	req.CSeq += uint32(n >> 5 & 3)
	req.Transport, req.SentBy = m.stranger.proto.String(), m.stranger.addr.String()
	if method == "PRACK" && m.reliable != nil {
		req.Headers = append(req.Headers, victim.rack(m.reliable))
	}
	m.stranger.send(req.Bytes())
}

// move has the caller go on at another address, over another connection.
func (m *mess) move(n int) {
	if m.moved == nil {
		m.moved = m.r.phone(m.caller.proto, m.caller.addr.Addr().String())
		m.moved.far.Attach(m.caller.peer)
	}
	switch n % 4 {
	case 0, 1:
		m.caller.contact = m.moved.contactOf()
	case 2: // into the clear
		m.caller.contact = "<sip:peer@" + customerIP + ":5060>"
	case 3:
		m.caller.contact = "<sip:peer@pbx.example.org>"
	}
}

// other is the caller at its new place, or where it was.
func (m *mess) from(n int) *agent {
	if m.moved == nil || n < 128 {
		return m.caller
	}
	away := *m.caller
	away.peer = m.moved
	return &away
}

func (m *mess) callerSends(n int, method string, headers ...string) {
	a := *m.from(n)
	if a.ok == nil {
		a.req.ToTag = "nobody" // or it would be another call
	}
	a.request(method, m.bodyOf(method, n, &a), headers...)
	m.caller.req.CSeq = a.req.CSeq
}

func (m *mess) calleeSends(n int, method string, headers ...string) {
	if a := m.target(n); a != nil {
		a.request(method, m.bodyOf(method, n, a), headers...)
	}
}

func (m *mess) bodyOf(method string, n int, a *agent) string {
	if method != "INVITE" && method != "UPDATE" && method != "INFO" {
		return ""
	}
	return m.sdp(n, m.secure(a.peer))
}

// fork has the callee answer as n says, in the name of another phone.
func (m *mess) fork(n int) {
	a := m.target(n)
	if a == nil {
		return
	}
	fork := *a
	fork.tag = fmt.Sprint("fork", n&7)
	fork.answer([]int{200, 200, 183, 180}[n>>6&3], m.sdp(n, m.secure(a.peer)))
	m.hits["forked"] = m.hits["forked"] || len(m.onward) > 0
}

func (m *mess) answerReliably(n int) {
	a := m.target(n)
	if a == nil {
		return
	}
	m.rseq++
	reliable := *a
	if n&8 != 0 {
		reliable.tag = "another"
	}
	reliable.answer(183, m.sdp(n, m.secure(a.peer)), insists, fmt.Sprintf("RSeq: %d", m.rseq), "Allow: INVITE, UPDATE")
}

// close ends a connection, or just breaks it.
func (m *mess) close(p *peer, n int) {
	if n&1 != 0 {
		p.near.Cut()
		m.cut = append(m.cut, p)
	}
	if n&2 == 0 {
		m.r.layer.Closed(p.near.Flow(), nil)
	}
}

func (m *mess) silence(n int) {
	m.r.media.mu.Lock()
	sessions := slices.Clone(m.r.media.sessions)
	m.r.media.mu.Unlock()
	if len(sessions) > 0 {
		sessions[n%len(sessions)].open.OnSilence(call.Side(n&1), n&2 != 0)
	}
}

// happenings is what can happen, one at a time.
var happenings = []struct {
	what string
	do   func(m *mess, n int)
}{
	{"time passes", func(_ *mess, n int) {
		time.Sleep([]time.Duration{time.Millisecond, 500 * time.Millisecond, time.Second, 4 * time.Second, 8 * time.Second, 33 * time.Second, 61 * time.Second, 181 * time.Second}[n&7])
	}},
	{"caller cancels", func(m *mess, _ int) {
		first := *m.caller
		first.req = m.first
		first.cancel()
	}},
	{"caller sends ACK", func(m *mess, n int) {
		if m.caller.ok != nil && m.caller.ok.Status() >= 200 {
			m.from(n).ack(m.sdp(n, m.secure(m.caller.peer)))
		}
	}},
	{"caller sends BYE", func(m *mess, n int) { m.callerSends(n, "BYE") }},
	{"caller sends re-INVITE", func(m *mess, n int) { m.callerSends(n, "INVITE") }},
	{"caller sends UPDATE", func(m *mess, n int) { m.callerSends(n, "UPDATE") }},
	{"caller sends PRACK", func(m *mess, n int) {
		if m.reliable != nil {
			m.caller.confirm(m.reliable, m.sdp(n|0x20, m.secure(m.caller.peer)))
		}
	}},
	{"caller sends something", func(m *mess, n int) {
		m.callerSends(n, []string{"INFO", "OPTIONS", "REFER", "NOTIFY", "HUH", "MESSAGE", "INFO", "CANCEL"}[n&7], "Refer-To: <sip:"+newNumber+"@pbx.example.org>", "Event: refer")
	}},
	{"caller sends its INVITE again", func(m *mess, _ int) {
		if len(m.finals()) == 0 && !slices.Contains(m.cut, m.caller.peer) { // after its final answer it would be another call
			m.caller.send(m.first.Bytes())
		}
	}},
	{"caller sends ACK of its newest", func(m *mess, n int) {
		a := *m.from(n)
		if a.ok == nil {
			a.req.ToTag = "nobody"
		}
		a.send(a.inside("ACK", m.sdp(n, m.secure(a.peer))).Bytes())
	}},
	{"caller answers what is open", func(m *mess, n int) { m.answerOpen(m.caller.peer, answers[n&15], m.sdp(n, m.secure(m.caller.peer))) }},
	{"caller moves", func(m *mess, n int) { m.move(n) }},
	{"messages to the caller are lost", func(m *mess, n int) { m.caller.near.LoseFirst(1 + n&7) }},
	{"messages of the caller are lost", func(m *mess, n int) { m.caller.far.LoseFirst(1 + n&7) }},
	{"the caller's connection closes", func(m *mess, n int) { m.close(m.caller.peer, n) }},
	{"callee answers", func(m *mess, n int) {
		if a := m.target(n); a != nil {
			status := answers[n&15]
			extra := []string{}
			if status == 302 {
				extra = []string{"Contact: <sip:" + farNumber + "@" + backupIP + ":5060>"}
			}
			a.answer(status, m.sdp(n, m.secure(a.peer)), extra...)
		}
	}},
	{"callee answers reliably", func(m *mess, n int) { m.answerReliably(n) }},
	{"callee forks", func(m *mess, n int) { m.fork(n) }},
	{"callee sends BYE", func(m *mess, n int) { m.calleeSends(n, "BYE") }},
	{"callee sends re-INVITE", func(m *mess, n int) { m.calleeSends(n, "INVITE") }},
	{"callee sends UPDATE", func(m *mess, n int) { m.calleeSends(n, "UPDATE") }},
	{"callee sends ACK", func(m *mess, n int) {
		if a := m.target(n); a != nil {
			a.send(a.inside("ACK", m.sdp(n, m.secure(a.peer))).Bytes())
		}
	}},
	{"callee sends something", func(m *mess, n int) {
		m.calleeSends(n, []string{"INFO", "OPTIONS", "REFER", "NOTIFY", "PRACK", "HUH", "CANCEL", "INFO"}[n&7], "Refer-To: <tel:"+newNumber+">", "Event: refer")
	}},
	{"callee answers what is open", func(m *mess, n int) {
		if a := m.target(n); a != nil {
			m.answerOpen(a.peer, answers[n&15], m.sdp(n, m.secure(a.peer)))
		}
	}},
	{"messages to the callees are lost", func(m *mess, n int) {
		for _, p := range m.callees {
			p.near.LoseFirst(1 + n&7)
		}
	}},
	{"messages of the callees are lost", func(m *mess, n int) {
		for _, p := range m.callees {
			p.far.LoseFirst(1 + n&7)
		}
	}},
	{"a callee's connection closes", func(m *mess, n int) { m.close(m.callees[n>>2%len(m.callees)], n) }},
	{"media falls silent", func(m *mess, n int) { m.silence(n) }},
	{"a stranger sends", func(m *mess, n int) { m.strange(n) }},
	{"media is full, or not any more", func(m *mess, n int) {
		m.r.media.mu.Lock()
		m.r.media.full = n&1 != 0
		m.r.media.mu.Unlock()
	}},
	{"the node is told to end", func(m *mess, n int) {
		if n&7 == 0 {
			m.r.sbc.stopAll()
		}
	}},
	{"a long time passes", func(_ *mess, n int) { time.Sleep(time.Duration(n) * time.Second) }},
}

// finals are the different final answers that the caller's INVITE was sent.
func (m *mess) finals() (finals []int) {
	for _, sent := range m.caller.near.Sent() {
		if msg := parsed(sent); msg != nil && !msg.IsRequest() && msg.Method() == sip.Invite && msg.CSeq() == 1 &&
			msg.Status() >= 200 && !slices.Contains(finals, msg.Status()) {
			finals = append(finals, msg.Status())
		}
	}
	return finals
}

// parsed reads what was sent, nil for what is no message.
func parsed(s siptest.Sent) *sip.Message {
	msg := new(sip.Message)
	if msg.Parse(slices.Clone(s.Data)) != nil {
		return nil
	}
	return msg
}

func inTheClear(body []byte) bool {
	text := string(body)
	return strings.Contains(text, "AVP") && !strings.Contains(text, "SAVP")
}
