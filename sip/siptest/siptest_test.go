package siptest_test

import (
	"slices"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

func TestWireDeliversRecordsAndLoses(t *testing.T) {
	c := clocktest.New()
	a, b := siptest.Wire(transport.UDP, c)
	var got []string
	b.Attach(siptest.ReceiverFunc(func(f transport.Flow, m *sip.Message) {
		got = append(got, string(m.CallID()))
		if f != b.Flow() || f.Remote() != a.Local() {
			t.Errorf("arrived on %v", f)
		}
		if m.Received() != a.Local() {
			t.Errorf("received %v, want %v", m.Received(), a.Local())
		}
		f.Send(siptest.Response(t, m, 200, "b"))
	}))
	for i, id := range []string{"zero", "one", "two"} {
		if i == 1 {
			a.LoseFirst(1)
		}
		if err := a.Flow().Send(siptest.Request{CallID: id, Method: "OPTIONS"}.Bytes()); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Second)
	}
	if want := []string{"zero", "two"}; !slices.Equal(got, want) {
		t.Errorf("delivered %v, want %v", got, want)
	}
	if got, want := a.Log(), []string{"0s OPTIONS", "1s OPTIONS", "2s OPTIONS"}; !slices.Equal(got, want) {
		t.Errorf("a sent %v, want %v", got, want)
	}
	if got, want := b.Log(), []string{"0s 200", "2s 200"}; !slices.Equal(got, want) {
		t.Errorf("b sent %v, want %v", got, want)
	}
	if !a.Sent()[1].Lost || a.Sent()[2].Lost {
		t.Errorf("lost marks are wrong: %+v", a.Sent())
	}
	a.Cut()
	if err := a.Flow().Send(nil); err != siptest.ErrCut {
		t.Errorf("Send after Cut: %v", err)
	}
}

func TestRequestIsWhole(t *testing.T) {
	m := siptest.Request{Body: "v=0\r\n", ToTag: "x", CSeq: 7, Headers: []string{"Reason: Q.850;cause=16"}}.Message(t)
	if m.Method() != sip.Invite || m.CSeq() != 7 || string(m.To().Tag()) != "x" || string(m.Body()) != "v=0\r\n" ||
		string(m.Get(sip.HdrReason)) != "Q.850;cause=16" || !m.Via().HasRPort {
		t.Errorf("got %s", m.Bytes())
	}
}
