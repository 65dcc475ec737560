package transaction

import (
	"errors"
	"slices"
	"testing"
	"time"

	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// step is something the peer, the user or time does.
type step struct {
	wait   time.Duration // first
	answer int           // then the peer answers the request
	cancel bool          // then the user cancels
}

// TestClient goes through the client machines: RFC 3261 figures 5 and 6, RFC 6026 figure 6.
func TestClient(t *testing.T) {
	invites := times("INVITE", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 15500*ms, 31500*ms)
	byes := times("BYE", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 11500*ms, 15500*ms, 19500*ms, 23500*ms, 27500*ms, 31500*ms)
	tests := []struct {
		name   string
		proto  transport.Proto
		method string
		timers *Timers
		steps  []step
		sent   []string
		told   []string
	}{
		{"INVITE, silence: timer A doubles, B ends", transport.UDP, "INVITE", nil,
			[]step{{wait: 100 * time.Second}}, invites, []string{"32s Timeout"}},
		{"INVITE, silence on TLS: sent once", transport.TLS, "INVITE", nil,
			[]step{{wait: 100 * time.Second}}, invites[:1], []string{"32s Timeout"}},
		{"INVITE, shorter wait for a silent target", transport.UDP, "INVITE", &Timers{B: 3500 * ms},
			[]step{{wait: 100 * time.Second}}, invites[:3], []string{"3.5s Timeout"}},
		{"INVITE, provisional stops A and B", transport.UDP, "INVITE", nil,
			[]step{{wait: 600 * ms, answer: 100}, {wait: 500 * time.Second, answer: 180}}, invites[:2],
			[]string{"600ms 100", "8m20.6s 180"}},
		{"INVITE, 2xx: every one is told, until M", transport.UDP, "INVITE", nil,
			[]step{{answer: 180}, {wait: time.Second, answer: 200}, {wait: time.Second, answer: 200}, {answer: 486}, {wait: 32 * time.Second, answer: 200}},
			invites[:1], []string{"0s 180", "1s 200", "2s 200", "34s stray 200"}},
		{"INVITE, 2xx on TLS waits for M too", transport.TLS, "INVITE", nil,
			[]step{{answer: 200}, {wait: 31 * time.Second, answer: 200}, {wait: time.Second, answer: 200}},
			invites[:1], []string{"0s 200", "31s 200", "32s stray 200"}},
		{"INVITE, failure: ACK for each, told once, until D", transport.UDP, "INVITE", nil,
			[]step{{wait: time.Second, answer: 486}, {wait: time.Second, answer: 486}, {answer: 200}, {wait: 31 * time.Second, answer: 486}},
			[]string{"0s INVITE", "500ms INVITE", "1s ACK", "2s ACK"}, []string{"1s 486", "33s stray 486"}},
		{"INVITE, failure on TLS is over at once", transport.TLS, "INVITE", nil,
			[]step{{answer: 486}, {answer: 486}}, []string{"0s INVITE", "0s ACK"}, []string{"0s 486", "0s stray 486"}},
		{"CANCEL waits for a provisional", transport.UDP, "INVITE", nil,
			[]step{{wait: 100 * ms, cancel: true}, {wait: 500 * ms, answer: 180}, {wait: 100 * ms, answer: 487}},
			[]string{"0s INVITE", "500ms INVITE", "600ms CANCEL", "700ms ACK", "1.1s CANCEL", "2.1s CANCEL", "4.1s CANCEL", "8.1s CANCEL",
				"12.1s CANCEL", "16.1s CANCEL", "20.1s CANCEL", "24.1s CANCEL", "28.1s CANCEL", "32.1s CANCEL"},
			[]string{"600ms 180", "700ms 487"}},
		{"CANCEL at once after a provisional, on TLS", transport.TLS, "INVITE", nil,
			[]step{{answer: 180}, {wait: time.Second, cancel: true}, {cancel: true}, {wait: time.Second, answer: 487}, {cancel: true}},
			[]string{"0s INVITE", "1s CANCEL", "2s ACK"}, []string{"0s 180", "2s 487"}},
		{"CANCEL without effect ends the wait (§9.1)", transport.TLS, "INVITE", nil,
			[]step{{answer: 180}, {wait: time.Second, cancel: true}, {wait: 10 * time.Second, answer: 180}, {wait: 100 * time.Second}},
			[]string{"0s INVITE", "1s CANCEL"}, []string{"0s 180", "11s 180", "33s Timeout"}},
		{"CANCEL crosses a 2xx", transport.TLS, "INVITE", nil,
			[]step{{answer: 180}, {cancel: true}, {answer: 200}}, []string{"0s INVITE", "0s CANCEL"}, []string{"0s 180", "0s 200"}},
		{"CANCEL asked for, then silence", transport.UDP, "INVITE", nil,
			[]step{{cancel: true}, {wait: 100 * time.Second}}, invites, []string{"32s Timeout"}},
		{"CANCEL asked for, then a failure", transport.UDP, "INVITE", nil,
			[]step{{cancel: true}, {answer: 404}}, []string{"0s INVITE", "0s ACK"}, []string{"0s 404"}},
		{"CANCEL of a BYE does nothing", transport.UDP, "BYE", nil,
			[]step{{cancel: true}, {answer: 100}, {cancel: true}, {answer: 200}}, []string{"0s BYE"}, []string{"0s 100", "0s 200"}},
		{"BYE, silence: timer E stops at T2, F ends", transport.UDP, "BYE", nil,
			[]step{{wait: 100 * time.Second}}, byes, []string{"32s Timeout"}},
		{"BYE, silence on TCP: sent once", transport.TCP, "BYE", nil,
			[]step{{wait: 100 * time.Second}}, byes[:1], []string{"32s Timeout"}},
		{"BYE, provisional: E goes on at T2, F too", transport.UDP, "BYE", nil,
			[]step{{wait: time.Second, answer: 100}, {wait: 100 * time.Second}},
			times("BYE", 0, 500*ms, 1500*ms, 5500*ms, 9500*ms, 13500*ms, 17500*ms, 21500*ms, 25500*ms, 29500*ms),
			[]string{"1s 100", "32s Timeout"}},
		{"BYE, final: told once, repeats absorbed until K", transport.UDP, "BYE", nil,
			[]step{{wait: 600 * ms, answer: 200}, {wait: 4 * time.Second, answer: 200}, {wait: time.Second, answer: 200}},
			byes[:2], []string{"600ms 200", "5.6s stray 200"}},
		{"BYE, final on TCP is over at once", transport.TCP, "BYE", nil,
			[]step{{answer: 481}, {answer: 481}}, byes[:1], []string{"0s 481", "0s stray 481"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, tt.proto, Timers{})
			c := h.start(tt.method, tt.timers)
			for _, s := range tt.steps {
				h.clock.Advance(s.wait)
				if s.answer != 0 {
					h.answer(s.answer)
				}
				if s.cancel {
					c.Cancel("")
				}
			}
			h.wantTold(tt.told...)
			inProgress := c.state <= stateProceeding
			h.clock.Advance(200 * time.Second)
			h.wantSent(tt.sent...)
			if !inProgress {
				h.wantEmpty()
			}
		})
	}
}

func TestClientOverLoss(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	h.far.Attach(siptest.ReceiverFunc(func(f transport.Flow, m *sip.Message) {
		f.Send(siptest.Response(t, m, 200, "far"))
	}))
	h.near.LoseFirst(2)
	h.far.LoseFirst(1)
	h.start("OPTIONS", nil)
	h.clock.Advance(time.Minute)
	h.wantSent(times("OPTIONS", 0, 500*ms, 1500*ms, 3500*ms)...)
	h.wantTold("3.5s 200")
	h.wantEmpty()
}

// The ACK of a failure and the CANCEL repeat what RFC 3261 §17.1.1.3, §9.1 and §22.1 say, octet
// for octet.
func TestAckAndCancelAreDerived(t *testing.T) {
	h := newHarness(t, transport.TLS, Timers{})
	c := h.start("INVITE", nil)
	h.answer(180)
	c.Cancel("Q.850;cause=16")
	cancel := h.near.Last()
	h.answer(487)
	ack := h.near.Last()
	invite := siptest.Parse(t, h.near.Sent()[0].Data)
	for _, m := range []*sip.Message{cancel, ack} {
		for _, id := range []sip.HeaderID{sip.HdrVia, sip.HdrFrom, sip.HdrCallID, sip.HdrRoute, sip.HdrMaxForwards} {
			if got, want := string(m.Get(id)), string(invite.Get(id)); got != want {
				t.Errorf("%s: %v is %q, want %q", m.MethodToken(), id, got, want)
			}
		}
		if got, want := string(requestURI(m.Bytes())), string(requestURI(invite.Bytes())); got != want {
			t.Errorf("%s: Request-URI %q, want %q", m.MethodToken(), got, want)
		}
		if n := m.Count(sip.HdrVia); n != 1 {
			t.Errorf("%s: %d Via, want 1", m.MethodToken(), n)
		}
		if m.CSeq() != invite.CSeq() {
			t.Errorf("%s: CSeq %d, want %d", m.MethodToken(), m.CSeq(), invite.CSeq())
		}
	}
	if got := string(cancel.To().Tag()); got != "" {
		t.Errorf("CANCEL has To-tag %q, want none", got)
	}
	if got := string(cancel.Get(sip.HdrReason)); got != "Q.850;cause=16" {
		t.Errorf("CANCEL has Reason %q", got)
	}
	if cancel.Get(sip.HdrProxyAuthorization) != nil {
		t.Error("CANCEL carries credentials")
	}
	if got := string(ack.To().Tag()); got != "far" {
		t.Errorf("ACK has To-tag %q, want that of the response", got)
	}
	if ack.Get(sip.HdrProxyAuthorization) == nil {
		t.Error("ACK lacks the credentials of the INVITE (RFC 3261 §22.1)")
	}
}

func TestClientTransportError(t *testing.T) {
	for _, proto := range []transport.Proto{transport.UDP, transport.TLS} {
		h := newHarness(t, proto, Timers{})
		h.near.Cut()
		h.start("INVITE", nil)
		h.clock.Advance(time.Minute)
		h.wantTold("0s TransportError: wire cut")
		h.wantEmpty()
	}
}

func TestClosedConnectionFailsItsClients(t *testing.T) {
	h := newHarness(t, transport.TLS, Timers{})
	h.start("BYE", nil)
	h.start("INVITE", nil)
	done := h.start("OPTIONS", nil)
	h.send(siptest.Response(t, h.near.Last(), 200, "far"))
	h.clock.Advance(time.Second)
	h.layer.Closed(h.far.Flow(), nil) // another flow
	h.layer.Closed(h.near.Flow(), errors.New("reset"))
	h.layer.Closed(h.near.Flow(), errors.New("reset"))
	h.wantTold("0s 200", "1s TransportError: reset", "1s TransportError: reset")
	if done.state != stateTerminated {
		t.Errorf("answered transaction in state %d", done.state)
	}
	h.wantEmpty()
}

// A response in the clear must not reach a transaction on TLS, whoever knows the branch.
func TestResponseOnOtherProtocolIsStray(t *testing.T) {
	h := newHarness(t, transport.TLS, Timers{})
	h.start("INVITE", nil)
	near, far := siptest.Wire(transport.UDP, h.clock)
	near.Attach(h.layer)
	far.Flow().Send(siptest.Response(t, h.near.Last(), 200, "evil"))
	h.wantTold("0s stray 200")
}

func TestStartRefuses(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	layer, err := New(Config{Core: h, Clock: h.clock, MaxClient: 1})
	if err != nil {
		t.Fatal(err)
	}
	o := Outgoing{Flow: h.near.Flow(), Bytes: siptest.Request{Method: "OPTIONS"}.Bytes(), Method: sip.Options, Branch: "z9hG4bK-1"}
	if _, err := layer.Start(o); err != nil {
		t.Fatal(err)
	}
	if _, err := layer.Start(o); err == nil || errors.Is(err, ErrTooMany) {
		t.Errorf("branch used twice: %v", err)
	}
	o.Branch = "z9hG4bK-2"
	if _, err := layer.Start(o); !errors.Is(err, ErrTooMany) {
		t.Errorf("over the limit: %v, want ErrTooMany", err)
	}
	if got := layer.Stats().RefusedClient.Load(); got != 1 {
		t.Errorf("counted %d refusals, want 1", got)
	}
	for _, bad := range []Outgoing{
		{Bytes: o.Bytes, Method: sip.Options, Branch: "b"},
		{Flow: o.Flow, Method: sip.Options, Branch: "b"},
		{Flow: o.Flow, Bytes: o.Bytes, Method: sip.Options},
		{Flow: o.Flow, Bytes: o.Bytes, Method: sip.Ack, Branch: "b"},
	} {
		if _, err := layer.Start(bad); err == nil {
			t.Errorf("started %+v", bad)
		}
	}
}

// A user that left is told nothing more and is held by nobody; what was for it is a stray until timer M ends.
func TestLeave(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	c := h.start("INVITE", nil)
	h.answer(200)
	c.Leave()
	if c.on != nil {
		t.Error("the user is still held")
	}
	h.answer(200)
	h.clock.Advance(DefaultTimers().M)
	h.answer(200)
	h.wantTold("0s 200", "0s stray 200", "32s stray 200")
	if n := h.layer.Stats().ClientNow.Load(); n != 0 {
		t.Errorf("%d transactions are left", n)
	}
}

// Once a 2xx was acknowledged there is no more news of its INVITE, for which a whole call was kept.
func TestAckedLetsGo(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	request := siptest.Request{}
	h.send(request.Bytes())
	if err := h.reply(request, 200); err != nil {
		t.Fatal(err)
	}
	h.server.Acked()
	if h.server.on != nil {
		t.Error("the user is still held")
	}
	h.send(request.Bytes()) // a repetition is absorbed as before
	h.clock.Advance(DefaultTimers().L)
	h.wantTold("0s new INVITE")
	h.wantSent("0s 200")
}

func TestAbandon(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	c := h.start("OPTIONS", nil)
	c.Abandon()
	h.clock.Advance(time.Minute)
	h.wantSent("0s OPTIONS")
	h.wantTold()
	h.wantEmpty()
}

func TestBranchesDiffer(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	seen := make(map[string]bool)
	for range 1000 {
		b := h.layer.NewBranch()
		via, err := sip.ParseVia([]byte("SIP/2.0/UDP h;branch=" + b))
		if err != nil || !via.BranchIsUnique() || seen[b] {
			t.Fatalf("branch %q: %v", b, err)
		}
		seen[b] = true
	}
}

// An INVITE that its user no longer waits for goes on listening: whoever rings late is told to stop, and whoever answers
// late is heard. Nothing is repeated any more.
func TestLateAnswers(t *testing.T) {
	for _, st := range []struct {
		name  string
		codes []int // that come 1 s after B
		sent  []string
		told  []string
	}{
		{"nothing", nil, nil, []string{"32s Timeout"}},
		{"180 and then 487", []int{180, 487}, []string{"4.5s CANCEL", "4.5s ACK"}, []string{"4.5s 180", "4.5s 487"}},
		{"200", []int{200}, nil, []string{"4.5s 200"}},
		{"486", []int{486}, []string{"4.5s ACK"}, []string{"4.5s 486"}},
	} {
		t.Run(st.name, func(t *testing.T) {
			h := newHarness(t, transport.UDP, Timers{})
			h.start("INVITE", &Timers{B: 3500 * ms, Late: 28500 * ms})
			h.clock.Advance(4500 * ms)
			for _, code := range st.codes {
				h.answer(code)
			}
			sent := append([]string{"0s INVITE", "500ms INVITE", "1.5s INVITE"}, st.sent...)
			if got := h.near.Log(); !slices.Equal(got, sent) {
				t.Errorf("sent %q, want %q", got, sent)
			}
			h.clock.Advance(time.Minute)
			h.wantTold(append([]string{"3.5s Silent"}, st.told...)...)
			h.wantEmpty()
		})
	}
}

// A CANCEL asked for before anything came goes out with what comes late.
func TestCancelWaitsForLateAnswer(t *testing.T) {
	h := newHarness(t, transport.TLS, Timers{})
	h.start("INVITE", &Timers{B: 3500 * ms, Late: 28500 * ms}).Cancel("")
	h.clock.Advance(4500 * ms)
	h.answer(180)
	h.wantSent("0s INVITE", "4.5s CANCEL")
	h.clock.Advance(time.Minute)
	h.wantTold("3.5s Silent", "4.5s 180", "36.5s Timeout")
	h.wantEmpty()
}
