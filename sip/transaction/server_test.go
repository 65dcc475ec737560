package transaction

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// serverStep is something the peer, the user or time does.
type serverStep struct {
	wait    time.Duration // first
	request string        // then the peer sends this method on the transaction's branch
	newAck  bool          // or an ACK with a branch of its own
	respond int           // then the user responds
	acked   bool          // or has found the ACK of a 2xx
}

// TestServer goes through the server machines: RFC 3261 figures 7 and 8, RFC 6026 figure 5.
func TestServer(t *testing.T) {
	oks := times("200", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 11500*ms, 15500*ms, 19500*ms, 23500*ms, 27500*ms, 31500*ms)
	busy := times("486", 0, 500*ms, 1500*ms, 3500*ms, 7500*ms, 11500*ms, 15500*ms, 19500*ms, 23500*ms, 27500*ms, 31500*ms)
	tests := []struct {
		name  string
		proto transport.Proto
		steps []serverStep
		sent  []string
		told  []string
	}{
		{"INVITE repeated before any response is absorbed", transport.UDP,
			[]serverStep{{request: "INVITE"}, {wait: time.Second, request: "INVITE"}}, nil, []string{"0s new INVITE"}},
		{"INVITE repeated gets the latest provisional", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 100}, {wait: 500 * ms, request: "INVITE"}, {respond: 180}, {wait: time.Second, request: "INVITE"}, {wait: time.Hour}},
			[]string{"0s 100", "500ms 100", "500ms 180", "1.5s 180"}, []string{"0s new INVITE"}},
		{"INVITE refused, no ACK: timer G stops at T2, H ends", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 486}, {wait: time.Hour}}, busy, []string{"0s new INVITE", "32s Timeout"}},
		{"INVITE refused on TLS: sent once, H ends", transport.TLS,
			[]serverStep{{request: "INVITE"}, {respond: 486}, {wait: time.Hour}}, busy[:1], []string{"0s new INVITE", "32s Timeout"}},
		{"INVITE refused: a repeat gets the response, ACK ends it, I absorbs", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 486}, {wait: 100 * ms, request: "INVITE"}, {wait: 100 * ms, request: "ACK"},
				{request: "ACK"}, {request: "INVITE"}, {wait: 4900 * ms, request: "ACK"}, {wait: 100 * ms, request: "ACK"}},
			[]string{"0s 486", "100ms 486"}, []string{"0s new INVITE", "200ms Acked", "5.2s core ACK"}},
		{"INVITE refused on TLS: over with the ACK", transport.TLS,
			[]serverStep{{request: "INVITE"}, {respond: 486}, {request: "ACK"}, {request: "ACK"}},
			[]string{"0s 486"}, []string{"0s new INVITE", "0s Acked", "0s core ACK"}},
		{"ACK before the final response is absorbed", transport.UDP,
			[]serverStep{{request: "INVITE"}, {request: "ACK"}}, nil, []string{"0s new INVITE"}},
		{"INVITE accepted, no ACK: repeated, then told", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 200}, {wait: time.Hour}}, oks, []string{"0s new INVITE", "32s NoAck"}},
		{"INVITE accepted on TLS is repeated too (§13.3.1.4)", transport.TLS,
			[]serverStep{{request: "INVITE"}, {respond: 200}, {wait: time.Hour}}, oks, []string{"0s new INVITE", "32s NoAck"}},
		{"INVITE accepted: repeats of it are absorbed until L", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 200}, {wait: 100 * ms, request: "INVITE"}, {newAck: true}, {acked: true},
				{wait: 31 * time.Second, request: "INVITE"}, {wait: 900 * ms, request: "INVITE"}},
			[]string{"0s 200"}, []string{"0s new INVITE", "100ms core ACK", "32s new INVITE"}},
		{"ACK of a 2xx with the branch of its INVITE is the user's too", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 200}, {request: "ACK"}, {acked: true}, {wait: time.Hour}},
			[]string{"0s 200"}, []string{"0s new INVITE", "0s core ACK"}},
		{"CANCEL is answered and told once", transport.UDP,
			[]serverStep{{request: "INVITE"}, {respond: 100}, {wait: time.Second, request: "CANCEL"}, {wait: 500 * ms, request: "CANCEL"}, {respond: 487}, {request: "ACK"}},
			[]string{"0s 100", "1s 200", "1.5s 200", "1.5s 487"}, []string{"0s new INVITE", "1s Cancelled", "1.5s Acked"}},
		{"CANCEL after the final response is answered without effect", transport.TLS,
			[]serverStep{{request: "INVITE"}, {respond: 200}, {acked: true}, {request: "CANCEL"}},
			[]string{"0s 200", "0s 200"}, []string{"0s new INVITE"}},
		{"CANCEL without an INVITE is the user's", transport.UDP,
			[]serverStep{{request: "CANCEL"}, {respond: 481}, {request: "CANCEL"}},
			[]string{"0s 481", "0s 481"}, []string{"0s new CANCEL"}},
		{"BYE: absorbed, then answered, then repeated until J", transport.UDP,
			[]serverStep{{request: "BYE"}, {request: "BYE"}, {respond: 100}, {request: "BYE"}, {wait: time.Second, respond: 200}, {wait: 31 * time.Second, request: "BYE"}, {wait: time.Second, request: "BYE"}},
			[]string{"0s 100", "0s 100", "1s 200", "32s 200"}, []string{"0s new BYE", "33s new BYE"}},
		{"BYE on TCP is over with its answer", transport.TCP,
			[]serverStep{{request: "BYE"}, {respond: 200}, {request: "BYE"}}, []string{"0s 200"}, []string{"0s new BYE", "0s new BYE"}},
		{"ACK of nothing is the user's", transport.UDP,
			[]serverStep{{request: "ACK"}}, nil, []string{"0s core ACK"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := newHarness(t, tt.proto, Timers{})
			via := tt.proto.String()
			var first siptest.Request
			for _, s := range tt.steps {
				h.clock.Advance(s.wait)
				switch {
				case s.request != "":
					r := siptest.Request{Method: s.request, Transport: via}
					if first.Method == "" {
						first = r
					}
					h.send(r.Bytes())
				case s.newAck:
					h.send(siptest.Request{Method: "ACK", Branch: "z9hG4bK-ack", Transport: via}.Bytes())
				case s.respond != 0:
					if err := h.reply(first, s.respond); err != nil {
						t.Fatal(err)
					}
				case s.acked:
					h.server.Acked()
				}
			}
			h.wantSent(tt.sent...)
			h.wantTold(tt.told...)
		})
	}
}

// Whatever state a transaction ended in, time removes it, and a user who answers nothing can drop it.
func TestServerLeavesNothing(t *testing.T) {
	for _, code := range []int{0, 200, 486} {
		for _, method := range []string{"INVITE", "OPTIONS"} {
			h := newHarness(t, transport.UDP, Timers{})
			r := siptest.Request{Method: method}
			h.send(r.Bytes())
			if code == 0 {
				h.server.Drop()
			} else if err := h.reply(r, code); err != nil {
				t.Fatal(err)
			}
			h.clock.Advance(32 * time.Second)
			h.wantEmpty()
			if err := h.reply(r, 200); !errors.Is(err, ErrFinal) {
				t.Errorf("%s %d: answer after the end: %v, want ErrFinal", method, code, err)
			}
		}
	}
}

func TestRespondRefuses(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	r := siptest.Request{Method: "OPTIONS"}
	h.send(r.Bytes())
	for _, b := range []string{"", "SIP/2.0", "SIP/2.0 099 x\r\n", "SIP/2.0 700 x\r\n", "SIP/2.0 2x0 OK\r\n", "OPTIONS sip:a SIP/2.0\r\n"} {
		if err := h.server.Respond([]byte(b)); !errors.Is(err, ErrNotResponse) {
			t.Errorf("%q: %v, want ErrNotResponse", b, err)
		}
	}
	if err := h.reply(r, 200); err != nil {
		t.Error(err)
	}
	if err := h.reply(r, 404); !errors.Is(err, ErrFinal) {
		t.Errorf("second final response: %v, want ErrFinal", err)
	}
	h.wantSent("0s 200")
}

// The answer to a CANCEL carries the To-tag of the INVITE's responses (RFC 3261 §9.2).
func TestCancelIsAnsweredWithTheUsersTag(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	h.send(siptest.Request{}.Bytes())
	h.send(siptest.Request{Method: "CANCEL"}.Bytes())
	answer := h.near.Last()
	if answer.Status() != 200 || string(answer.To().Tag()) != "tag-INVITE" || string(answer.CSeqMethod()) != "CANCEL" {
		t.Errorf("got %s", answer.Bytes())
	}
}

// Over a connection each repeated CANCEL is a transaction of its own and is answered. Its INVITE's user hears of one.
func TestCancelIsNewsOnce(t *testing.T) {
	h := newHarness(t, transport.TCP, Timers{})
	h.send(siptest.Request{Transport: "TCP"}.Bytes())
	for range 3 {
		h.send(siptest.Request{Transport: "TCP", Method: "CANCEL"}.Bytes())
	}
	h.wantSent("0s 200", "0s 200", "0s 200")
	h.wantTold("0s new INVITE", "0s Cancelled")
}

// Over TLS a CANCEL, ACK or repeat in the clear is none of the transaction's business.
func TestRequestOnOtherProtocolIsAnother(t *testing.T) {
	h := newHarness(t, transport.TLS, Timers{})
	h.send(siptest.Request{Transport: "TLS"}.Bytes())
	invite := h.server
	near, far := siptest.Wire(transport.UDP, h.clock)
	near.Attach(h.layer)
	for _, method := range []string{"CANCEL", "ACK", "INVITE"} {
		far.Flow().Send(siptest.Request{Method: method, Transport: "TLS"}.Bytes())
	}
	h.wantTold("0s new INVITE", "0s new CANCEL", "0s core ACK", "0s new INVITE")
	if invite == h.server {
		t.Error("INVITE in the clear reached the transaction on TLS")
	}
}

// RFC 3261 §17.2.3: a branch without the cookie says nothing, the rest of the message does.
func TestOldBranches(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	old := siptest.Request{Branch: "1"}
	h.send(old.Bytes())
	h.send(old.Bytes())
	if err := h.reply(old, 486); err != nil {
		t.Fatal(err)
	}
	ack := siptest.Request{Method: "ACK", Branch: "1", ToTag: "near", To: "<sip:+12065550100@sbc.example.com>"}
	h.send(ack.Bytes())
	other := old
	other.CallID = "call-2"
	h.send(other.Bytes())
	other.CSeq = 2
	h.send(other.Bytes())
	h.send(siptest.Request{Method: "CANCEL", Branch: "1", CallID: "call-2", CSeq: 2}.Bytes())
	bye := siptest.Request{Method: "BYE", Branch: "1", ToTag: "x"}
	h.send(bye.Bytes())
	bye.ToTag = "y"
	h.send(bye.Bytes())
	h.wantTold("0s new INVITE", "0s Acked", "0s new INVITE", "0s new INVITE", "0s Cancelled", "0s new BYE", "0s new BYE")
}

// Two proxies may choose the same branch; sent-by tells them apart (RFC 3261 §17.2.3).
func TestSentByIsPartOfTheKey(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	for _, sentBy := range []string{"192.0.2.1:5060", "192.0.2.1:5062", "192.0.2.1", "192.0.2.9:5060"} {
		h.send(siptest.Request{SentBy: sentBy}.Bytes())
	}
	h.wantTold("0s new INVITE", "0s new INVITE", "0s new INVITE", "0s new INVITE")
}

func TestExtensionMethodsAreToldApart(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	for _, method := range []string{"FOO", "BAR", "FOO"} {
		h.send(siptest.Request{Method: method}.Bytes())
	}
	h.wantTold("0s new FOO", "0s new BAR")
}

func TestOverload(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	layer, err := New(Config{Core: h, Clock: h.clock, MaxServer: 1})
	if err != nil {
		t.Fatal(err)
	}
	h.near.Attach(layer)
	h.onNew = func(tx *Server, req *sip.Message) {
		if err := tx.Respond(siptest.Response(t, req, 503, "x")); err != nil {
			t.Error(err)
		}
	}
	for i := range 3 {
		h.send(siptest.Request{Branch: fmt.Sprint("z9hG4bK-", i)}.Bytes())
		if got, want := h.server.Overloaded(), i > 0; got != want {
			t.Errorf("request %d: overloaded %v, want %v", i, got, want)
		}
	}
	h.send(siptest.Request{Branch: "z9hG4bK-0", Method: "ACK"}.Bytes())
	h.clock.Advance(time.Minute)
	h.wantSent("0s 503", "0s 503", "0s 503") // nothing is repeated without a transaction
	if n := layer.Stats().ServerNow.Load(); n != 0 {
		t.Errorf("%d transactions left", n)
	}
	if n := layer.Stats().Overloaded.Load(); n != 2 {
		t.Errorf("counted %d overloaded, want 2", n)
	}
}

// The last half of the room is for requests that are taken.
func TestCrowded(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	layer, err := New(Config{Core: h, Clock: h.clock, MaxServer: 4})
	if err != nil {
		t.Fatal(err)
	}
	h.near.Attach(layer)
	for i := range 5 {
		h.send(siptest.Request{Branch: fmt.Sprint("z9hG4bK-", i)}.Bytes())
		if got, want := h.server.Crowded(), i >= 2; got != want {
			t.Errorf("request %d: crowded %v, want %v", i, got, want)
		}
	}
}

// Somebody who has proven nothing must not cost memory: one answer, and the ACK finds nothing.
func TestRespondOnceForgets(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	h.onNew = func(tx *Server, req *sip.Message) {
		if err := tx.RespondOnce(siptest.Response(t, req, 403, "x")); err != nil {
			t.Error(err)
		}
		h.wantEmpty()
	}
	h.send(siptest.Request{}.Bytes())
	h.send(siptest.Request{Method: "ACK"}.Bytes())
	h.clock.Advance(time.Minute)
	h.wantSent("0s 403")
	h.wantTold("0s new INVITE", "0s core ACK")
}

// An answer whose connection is gone is kept for the next one, whatever it says; only a 2xx is repeated there.
func TestMoveTo(t *testing.T) {
	for _, st := range []struct {
		codes []int
		want  string
	}{
		{[]int{200}, "0s 200,500ms 200"}, {[]int{486}, "0s 486"}, {[]int{180}, "0s 180"},
		{[]int{180, 486}, "0s 486"}, {[]int{180, 200}, "0s 200,500ms 200"},
	} {
		t.Run(fmt.Sprint(st.codes), func(t *testing.T) {
			h := newHarness(t, transport.TLS, Timers{})
			r := siptest.Request{Transport: "TLS"}
			h.send(r.Bytes())
			h.near.Cut()
			for _, code := range st.codes {
				if err := h.reply(r, code); err != nil {
					t.Fatal(err)
				}
			}
			h.wantTold("0s new INVITE", "0s TransportError: wire cut")
			near, _ := siptest.Wire(transport.TLS, h.clock)
			h.server.MoveTo(near.Flow())
			h.clock.Advance(600 * ms)
			h.server.Acked()
			if st.want == "0s 180" {
				h.server.Drop() // nobody answers it
			}
			h.clock.Advance(time.Minute)
			if got := strings.Join(near.Log(), ","); got != st.want {
				t.Errorf("sent %s, want %s", got, st.want)
			}
			h.wantEmpty()
		})
	}
}

// A peer that comes back on another connection, with its INVITE or a CANCEL, gets there what the lost one does not
// take, at once or with its next message; from another host nobody gets anything.
func TestPeerOnAnotherConnection(t *testing.T) {
	for _, st := range []struct {
		name   string
		method string // of what it sends there
		after  bool   // the answer could not be sent before
		from   string
		want   string
	}{
		{"INVITE before the answer", "INVITE", false, "192.0.2.2", "0s 486"},
		{"INVITE after the answer", "INVITE", true, "192.0.2.2", "0s 486"},
		{"CANCEL before the answer", "CANCEL", false, "192.0.2.2", "0s 200,0s 486"},
		{"INVITE from elsewhere before", "INVITE", false, "192.0.2.66", ""},
		{"INVITE from elsewhere after", "INVITE", true, "192.0.2.66", ""},
	} {
		t.Run(st.name, func(t *testing.T) {
			h := newHarness(t, transport.TLS, Timers{})
			r := siptest.Request{Transport: "TLS"}
			h.send(r.Bytes())
			local := netip.MustParseAddrPort("192.0.2.1:5061")
			near, far := siptest.WireBetween(transport.TLS, h.clock, local, netip.AddrPortFrom(netip.MustParseAddr(st.from), 7000))
			near.Attach(h.layer)
			again := r
			again.Method = st.method
			come := func() {
				if err := far.Flow().Send(again.Bytes()); err != nil {
					t.Fatal(err)
				}
			}
			invite := h.server
			answer := func() {
				h.near.Cut()
				if err := invite.Respond(siptest.Response(t, r.Message(t), 486, "near")); err != nil {
					t.Fatal(err)
				}
			}
			if st.after {
				answer()
				come()
			} else {
				come()
				answer()
			}
			if got := strings.Join(near.Log(), ","); got != st.want {
				t.Errorf("sent %s, want %s", got, st.want)
			}
			h.clock.Advance(time.Minute)
			h.wantEmpty()
		})
	}
}

// A peer without rport gets its answer on the port it named (RFC 3261 §18.2.2).
func TestAnswersFollowTheVia(t *testing.T) {
	h := newHarness(t, transport.UDP, Timers{})
	h.send(siptest.Request{Method: "OPTIONS", SentBy: "192.0.2.77:7000", NoRPort: true}.Bytes())
	if got, want := h.server.Flow().Remote().String(), "192.0.2.2:7000"; got != want {
		t.Errorf("answers go to %s, want %s", got, want)
	}
	h.send(siptest.Request{Method: "OPTIONS", SentBy: "192.0.2.77:7000", Branch: "z9hG4bK-2"}.Bytes())
	if got, want := h.server.Flow().Remote().String(), "192.0.2.2:5060"; got != want {
		t.Errorf("with rport answers go to %s, want %s", got, want)
	}
}

// A failure to send what the user answers at once is told when the user knows the transaction.
func TestTransportErrorWithinRequest(t *testing.T) {
	for _, method := range []string{"INVITE", "BYE"} {
		h := newHarness(t, transport.TLS, Timers{})
		h.near.Cut()
		h.onNew = func(tx *Server, req *sip.Message) {
			if err := tx.Respond(siptest.Response(t, req, 404, "x")); err != nil {
				t.Error(err)
			}
			h.note("answered")
		}
		h.send(siptest.Request{Method: method, Transport: "TLS"}.Bytes())
		h.wantTold("0s new "+method, "0s answered", "0s TransportError: wire cut")
	}
}
