package sbc

import (
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
)

// FuzzTransfer lets a call that is transferred, the call that takes its place and the network meet in any order.
func FuzzTransfer(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3})
	f.Add([]byte{0, 14, 46, 79, 5, 15, 1})
	f.Fuzz(func(t *testing.T, steps []byte) {
		if len(steps) <= 60 {
			transferChaos(t, steps)
		}
	})
}

// TestRandomTransfers is FuzzTransfer with seeds of its own, for every run of the tests.
func TestRandomTransfers(t *testing.T) {
	n := 500
	if testing.Short() {
		n = 200
	}
	joined := uint64(0)
	for seed := range n {
		random := rand.New(rand.NewPCG(uint64(seed), 2))
		steps := make([]byte, 1+random.IntN(40))
		for i := range steps {
			steps[i] = byte(random.Uint32())
		}
		if joined += transferChaos(t, steps); t.Failed() {
			t.Fatalf("seed %d, steps %v", seed, steps)
		}
	}
	if joined < 10 {
		t.Errorf("only %d parties were joined by chance: the steps do not lead there", joined)
	}
}

// fray is one run: a customer whose call is transferred, and the carrier, at which both others are.
type fray struct {
	r      *rig
	caller *agent
	callee *peer
	onward *agent // the carrier's half of the newest INVITE
	// third is the customer's in an attended transfer, or who takes the customer's place; nil for none.
	third   *agent
	referTo string
}

// look finds the newest INVITE at the carrier.
func (m *fray) look() {
	m.callee.mu.Lock()
	defer m.callee.mu.Unlock()
	var last *sip.Message
	for _, msg := range m.callee.all {
		if msg.IsRequest() && msg.Method() == sip.Invite && len(msg.To().Tag()) == 0 {
			last = msg
		}
	}
	if last != nil && (m.onward == nil || m.onward.invite != last) {
		m.onward = &agent{peer: m.callee, invite: last, tag: "far", contact: m.callee.contactOf(), req: siptest.Request{CSeq: 1000}}
	}
}

// answerOpen answers the last in-dialog request that came to a peer.
func (m *fray) answerOpen(p *peer, status int, sdp string) {
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

// transferChaos is one run; it returns how many parties went over.
func transferChaos(t *testing.T, steps []byte) (joined uint64) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		executes(w)
		w.limits.Duration = 10 * time.Minute
		r := newRig(t, w)
		m := &fray{r: r, callee: r.tel()}
		m.caller = r.customer(transport.TLS).outboundCall(sdpSecure)
		stays := connect(m.caller, m.callee, sdpPlain)
		m.referTo = "<sip:" + newNumber + "@" + host + ">"
		switch kind := append(steps, 0)[0] % 4; kind {
		case 1, 2: // into a call that is up, or by somebody who takes the customer's place
			m.third = r.customer(transport.TLS).outboundCall(sdpSecure)
			if kind == 1 {
				m.onward = connect(m.third, m.callee, sdpPlain)
				m.referTo = "<sip:" + host + "?Replaces=" + escapeHeader(ownDialog(m.third)) + ">"
				break
			}
			m.third.start("Replaces: " + ownDialog(m.caller))
			m.onward = stays
		}
		if m.onward != stays {
			m.caller.request("REFER", "", "Refer-To: "+m.referTo, "Contact: "+m.caller.contact)
		}
		synctest.Wait()
		for _, s := range steps {
			m.look()
			m.transferStep(stays, int(s)%16, int(s)/16)
			synctest.Wait()
		}
		r.sbc.stopAll()
		m.checkTransfers(t)
		joined = r.sbc.stats.Transferred.Load()
	})
	return joined
}

// transferStep makes one thing happen.
func (m *fray) transferStep(stays *agent, what, n int) {
	sdp := []string{sdpPlain, sdpSecure, "", sdpBad}[n%4]
	switch what {
	case 0:
		time.Sleep([]time.Duration{time.Millisecond, 500 * time.Millisecond, 4 * time.Second, 33 * time.Second, 181 * time.Second, 0, time.Second, 8 * time.Second}[n%8])
	case 1:
		if n%4 == 0 {
			m.caller.request("BYE", "")
			return
		}
		m.caller.request("INVITE", []string{"", sdpSecure}[n%2])
	case 2:
		m.caller.request("REFER", "", "Refer-To: "+m.referTo, "Contact: "+m.caller.contact)
	case 3:
		m.caller.send(m.caller.inside("ACK", sdpSecure).Bytes())
	case 4:
		if n%4 == 0 {
			stays.request("BYE", "")
			return
		}
		stays.request([]string{"INVITE", "UPDATE", "INFO"}[n%3], sdp)
	case 5:
		stays.send(stays.inside("ACK", sdp).Bytes())
	case 6:
		if n%4 == 0 {
			m.onward.request("BYE", "")
			return
		}
		m.onward.request([]string{"INVITE", "UPDATE", "REFER"}[n%3], sdp, "Refer-To: <sip:"+newNumber+"@x>")
	case 7:
		m.callee.near.LoseFirst(1 + n%3)
	case 8:
		if s := m.r.media.sessions; len(s) > 0 && n%4 == 0 {
			s[len(s)-1].open.OnSilence(call.Side(n/4&1), n&8 != 0)
		}
	case 9:
		if m.third != nil {
			m.thirdStep(n)
			return
		}
		m.onward.answer([]int{180, 200}[n%2], sdpPlain)
	case 10:
		m.onward.answer([]int{180, 200, 183, 200, 200, 486, 503, 200}[n%8], []string{sdpPlain, sdpPlain, sdp}[n%3])
	case 11, 12:
		m.answerOpen(m.caller.peer, []int{200, 200, 481, 200}[n%4], sdpSecure)
	default:
		m.answerOpen(m.callee, []int{200, 200, 200, 488, 491, 200, 481, 200}[n%8], []string{sdpPlain, sdpPlain, sdp}[n%3])
	}
}

// thirdStep makes the third one do something.
func (m *fray) thirdStep(n int) {
	m.third.mu.Lock()
	for _, msg := range m.third.all {
		if !msg.IsRequest() && msg.Status()/100 == 2 && msg.Method() == sip.Invite {
			m.third.ok = msg
		}
	}
	m.third.mu.Unlock()
	switch {
	case m.third.ok == nil && n%2 == 0:
		m.third.cancel()
	case m.third.ok == nil:
	case n%3 == 0:
		m.third.request("BYE", "")
	case n%3 == 1:
		m.third.send(m.third.inside("ACK", "").Bytes())
	default:
		m.third.request("INVITE", sdpSecure)
	}
}

// checkTransfers holds the invariants: one record for every call that was begun, those of a transfer lead to each other,
// the promise, and nothing left.
func (m *fray) checkTransfers(t *testing.T) {
	r := m.r
	r.end()
	whole := &mess{r: r, kind: kind{encrypted: true, proto: transport.TLS}, caller: m.caller, callees: []*peer{m.callee}}
	all := whole.history(t)
	whole.checkAnswers(t, all)
	whole.checkCallees(t, all)
	if t.Failed() {
		for _, p := range all {
			t.Log(p)
		}
	}
	for _, sent := range m.caller.near.Sent() {
		msg := new(sip.Message)
		if err := msg.Parse(slices.Clone(sent.Data)); err != nil {
			t.Errorf("the node sent something malformed: %v\n%s", err, sent.Data)
			continue
		}
		if body := string(msg.Body()); strings.Contains(body, "AVP") && !strings.Contains(body, "SAVP") {
			t.Errorf("an encrypted customer was sent %q", body)
		}
	}
	records := r.records.list()
	begun := r.sbc.stats.Calls.Load()
	for _, reason := range call.Reasons() {
		begun += r.sbc.stats.Refused(reason) // each of a REFER or an INVITE, and recorded
	}
	if uint64(len(records)) != begun {
		t.Errorf("%d records of %d calls: %+v", len(records), begun, records)
	}
	byID := map[call.ID]call.Record{}
	transferred := uint64(0)
	for _, rec := range records {
		byID[rec.ID] = rec
	}
	for _, rec := range records {
		if rec.End.IsZero() || rec.Reason == "" {
			t.Errorf("a record is %+v", rec)
		}
		if rec.Reason != "transferred" {
			continue
		}
		transferred++
		// The call that is named in turn is the one with the REFER; another one may have lost its party, too.
		if onward := byID[rec.TransferredTo]; onward.TransferOf == "" {
			t.Errorf("the call went over from\n%+v\ninto\n%+v", rec, onward)
		}
	}
	if n := r.sbc.stats.Transferred.Load(); n != transferred {
		t.Errorf("%d parties went over, %d records say so", n, transferred)
	}
	if t.Failed() {
		t.Logf("customer sent %v\nnode to customer %v\nnode to carrier %v\ncarrier sent %v", m.caller.far.Log(), m.caller.near.Log(), m.callee.near.Log(), m.callee.far.Log())
	}
}
