package sbc

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"carillon/clock/clocktest"
	"carillon/sip"
	"carillon/sip/transport"
)

// closings notes the connections that closed.
type closings chan transport.Flow

func (closings) Receive(transport.Flow, *sip.Message)                    {}
func (closings) Malformed(transport.Flow, *sip.Message, *sip.ParseError) {}
func (c closings) Closed(f transport.Flow, _ error)                      { c <- f }

// A leg keeps its connection open while the call is up, and only then; when it moves, so does what it keeps.
func TestLegHoldsItsConnection(t *testing.T) {
	clock, closed := clocktest.New(), make(closings, 10)
	server, err := transport.New(transport.Config{Handler: make(closings, 10), Limits: transport.Limits{Idle: time.Hour, FirstMessage: time.Hour}})
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := transport.New(transport.Config{Handler: closed, Clock: clock, Limits: transport.Limits{Idle: time.Minute}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	dial := func() transport.Flow {
		addr, err := server.ListenTCP(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := client.Dial(context.Background(), transport.Target{Proto: transport.TCP, Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	wantClosed := func(want transport.Flow) {
		t.Helper()
		select {
		case f := <-closed:
			if f != want {
				t.Errorf("%v closed, want %v", f.Remote(), want.Remote())
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%v is still open", want.Remote())
		}
	}
	first, second := dial(), dial()
	l := &leg{flow: first}
	l.hold()
	clock.Advance(2 * time.Minute)
	wantClosed(second) // nobody held it
	third := dial()
	l.moveTo(third)
	clock.Advance(2 * time.Minute)
	wantClosed(first)
	if err := third.Send([]byte("\r\n\r\n")); err != nil {
		t.Errorf("the connection the leg moved to: %v", err)
	}
	l.letGo()
	l.letGo() // once only
	clock.Advance(2 * time.Minute)
	wantClosed(third)
}
