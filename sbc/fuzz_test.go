package sbc

import (
	"fmt"
	"math/rand/v2"
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

// FuzzCall lets both sides of a call, the network and the node's own events happen in any order: each octet of the input is
// one step. Whatever comes, the caller has one final answer, the account one record, and nothing is left.
func FuzzCall(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0, 20, 21, 22, 40, 5, 60, 7, 23})
	f.Add([]byte("\x00\x14\x01\x15\x02\x16\x03"))
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) > 60 {
			return
		}
		chaos(t, steps)
	})
}

// TestRandomCalls is FuzzCall with seeds of its own, for every run of the tests.
func TestRandomCalls(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 200
	}
	for seed := range n {
		random := rand.New(rand.NewPCG(uint64(seed), 1))
		steps := make([]byte, 1+random.IntN(40))
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		if chaos(t, steps); t.Failed() {
			t.Fatalf("seed %d, steps %v", seed, steps)
		}
	}
}

// mess is one run of chaos.
type mess struct {
	r      *rig
	caller *agent
	callee *peer
	random *rand.Rand
	onward *agent // the callee's half of the newest INVITE
	first  []byte // the caller's INVITE
	// reliable is the newest reliable answer at the caller, rseq the number of the callee's newest.
	reliable *sip.Message
	rseq     int
}

// finals are the different final answers that the caller's INVITE was sent.
func (m *mess) finals() (finals []int) {
	for _, sent := range m.caller.near.Sent() {
		msg := new(sip.Message)
		if msg.Parse(slices.Clone(sent.Data)) == nil && !msg.IsRequest() && msg.Method() == sip.Invite && msg.CSeq() == 1 &&
			msg.Status() >= 200 && !slices.Contains(finals, msg.Status()) {
			finals = append(finals, msg.Status())
		}
	}
	return finals
}

func chaos(t *testing.T, steps []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		encrypted := len(steps) > 0 && steps[0]&1 == 1
		proto := transport.UDP
		if encrypted {
			w.encrypted()
			proto = transport.TLS
		}
		w.carriers[0].Targets[1].Transport = trunk.TCP
		w.limits.Duration = 10 * time.Minute
		r := newRig(t, w)
		m := &mess{r: r, callee: r.tel(), random: rand.New(rand.NewPCG(uint64(len(steps)), 7))}
		offer := sdpPlainOver(proto)
		if len(steps) > 1 && steps[1]&1 == 1 {
			offer = ""
		}
		m.caller = r.customer(proto).outboundCall(offer)
		if len(steps) > 2 {
			m.caller.req.Headers = append(m.caller.req.Headers, []string{"Subject: none", knows, insists, "Session-Expires: 90"}[steps[2]&3])
		}
		m.caller.start()
		m.first = m.caller.req.Bytes()
		synctest.Wait()
		for _, s := range steps {
			m.step(s)
			synctest.Wait()
		}
		r.sbc.stopAll()
		m.check(t, encrypted)
	})
}

// step makes one thing happen.
func (m *mess) step(s byte) {
	m.look()
	n := int(s) / 32
	sdp := []string{sdpPlain, sdpSecure, "", sdpBad}[n%4]
	switch s % 32 {
	case 0:
		time.Sleep([]time.Duration{time.Millisecond, 500 * time.Millisecond, 4 * time.Second, 33 * time.Second, 181 * time.Second, 0, time.Second, 8 * time.Second}[n])
	case 1:
		m.caller.cancel()
	case 2:
		if m.caller.ok != nil {
			m.caller.ack(sdp)
		}
	case 3:
		m.caller.request("BYE", "")
	case 4:
		m.caller.request("INVITE", sdp)
	case 5:
		m.caller.request("UPDATE", sdp)
	case 6:
		if m.reliable != nil && n > 1 {
			m.caller.confirm(m.reliable, sdp)
			return
		}
		m.caller.request("INFO", sdp)
	case 7:
		if len(m.finals()) == 0 { // after the final answer and its ACK it would be another call
			m.caller.send(m.first)
		}
	case 8:
		m.caller.send(m.caller.inside("ACK", sdp).Bytes())
	case 9:
		m.caller.near.LoseFirst(1 + n)
	case 10:
		m.callee.near.LoseFirst(1 + n)
	case 11:
		if s := m.r.media.sessions; len(s) > 0 {
			s[0].open.OnSilence(call.Side(n & 1))
		}
	case 12:
		m.r.layer.Closed(m.caller.near.Flow(), nil)
	case 13:
		m.r.phone(transport.UDP, strangerIP).send(m.caller.inside("BYE", sdp).Bytes())
	case 14, 15, 16, 17:
		m.answerOpen(m.caller.peer, []int{100, 180, 200, 200, 481, 488, 491, 503}[n], sdp)
	case 18, 19:
		m.answerOpen(m.callee, []int{100, 180, 200, 200, 481, 488, 491, 503}[n], sdp)
	default:
		m.carrier(s, n, sdp)
	}
}

// carrier is what the callee does.
func (m *mess) carrier(s byte, n int, sdp string) {
	if m.onward == nil {
		return
	}
	switch s % 32 {
	case 20:
		m.rseq++
		reliable := *m.onward
		if n > 4 {
			reliable.tag = "another"
		}
		reliable.answer(183, sdp, insists, fmt.Sprintf("RSeq: %d", m.rseq), "Allow: INVITE, UPDATE")
	case 21, 22:
		m.onward.answer([]int{100, 180, 183, 200, 200, 486, 503, 408}[n], sdp)
	case 23, 24:
		m.onward.answer(200, sdp)
	case 25:
		fork := *m.onward
		fork.tag = fmt.Sprint("fork", n)
		fork.answer(200, sdp)
	case 26:
		m.onward.request("BYE", "")
	case 27:
		m.onward.request("INVITE", sdp)
	case 28:
		m.onward.request("UPDATE", sdp)
	case 29:
		m.onward.send(m.onward.inside("ACK", sdp).Bytes())
	case 30:
		m.onward.answer(302, "")
	case 31:
		m.onward.request([]string{"INFO", "OPTIONS", "PRACK", "REFER", "INFO", "INFO", "CANCEL", "HUH"}[n], "")
	}
}

// look notes what has come: the newest INVITE at the callee, the newest 2xx at the caller.
func (m *mess) look() {
	m.callee.mu.Lock()
	for _, msg := range m.callee.all {
		if msg.IsRequest() && msg.Method() == sip.Invite && len(msg.To().Tag()) == 0 {
			m.onward = &agent{peer: m.callee, invite: msg, tag: "far", contact: m.callee.contactOf(), req: siptest.Request{CSeq: uint32(100 + m.random.IntN(1000))}}
		}
	}
	m.callee.mu.Unlock()
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

// answerOpen answers the last in-dialog request that came to a peer.
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
	if status < 200 && last.Method() != sip.Invite || last.Method() != sip.Invite && last.Method() != sip.Update {
		sdp = ""
	}
	p.respond(last, status, "", sdp, "Contact: "+p.contactOf())
}

// check holds the invariants.
func (m *mess) check(t *testing.T, encrypted bool) {
	r := m.r
	r.end()
	finals := m.finals()
	for _, sent := range m.caller.near.Sent() {
		msg := new(sip.Message)
		if err := msg.Parse(slices.Clone(sent.Data)); err != nil {
			t.Errorf("the node sent something malformed: %v\n%s", err, sent.Data)
			continue
		}
		if body := string(msg.Body()); encrypted && strings.Contains(body, "AVP") && !strings.Contains(body, "SAVP") {
			t.Errorf("an encrypted customer was sent %q", body)
		}
	}
	if len(finals) != 1 {
		t.Errorf("the caller's INVITE has the final answers %v, want one", finals)
	}
	records := r.records.list()
	if len(records) != 1 {
		t.Errorf("%d records, want 1: %+v", len(records), records)
	} else if rec := records[0]; rec.Status != finals[0] || rec.End.IsZero() || rec.Reason == "" {
		t.Errorf("the record says %d %s, the caller was told %v", rec.Status, rec.Reason, finals)
	}
	if t.Failed() {
		t.Logf("caller sent %v\nnode to caller %v\nnode to carrier %v\ncarrier sent %v", m.caller.far.Log(), m.caller.near.Log(), m.callee.near.Log(), m.callee.far.Log())
	}
}
