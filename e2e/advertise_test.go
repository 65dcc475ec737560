package e2e_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"carillon/config"
	"carillon/sip"
	"carillon/sip/siptest"
	"carillon/sip/transport"
)

// everything hands on all that comes to a peer.
type everything chan *sip.Message

// Receive implements transport.Handler.
func (e everything) Receive(_ transport.Flow, m *sip.Message) { e <- m.Clone() }

// Malformed and Closed implement transport.Handler.
func (everything) Malformed(transport.Flow, *sip.Message, *sip.ParseError) {}
func (everything) Closed(transport.Flow, error)                            {}

// TestAdvertisedAddresses: behind a NAT the node calls itself, to both sides, by what peers can reach: its name in Via and
// Contact, its media address in descriptions. Where it is bound is in none of them.
func TestAdvertisedAddresses(t *testing.T) {
	t.Parallel()
	const name, mediaAt = "sip.example.org", "198.51.100.8"
	w := newWorld(t, func(c *config.Config) {
		c.SIPAdvertise, c.MediaAdvertise = []string{name, "198.51.100.7"}, []netip.Addr{netip.MustParseAddr(mediaAt)}
	})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	open := func() (everything, transport.Flow, netip.AddrPort) {
		got := make(everything, 16)
		tr, err := transport.New(transport.Config{Handler: got})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tr.Close() })
		at, err := tr.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		f, err := tr.Dial(ctx, transport.Target{Proto: transport.UDP, Addr: w.target(transport.UDP)})
		if err != nil {
			t.Fatal(err)
		}
		return got, f, at
	}
	send := func(f transport.Flow, b []byte) {
		t.Helper()
		if err := f.Send(b); err != nil {
			t.Fatal(err)
		}
	}
	want := func(from everything, what int) *sip.Message {
		t.Helper()
		for {
			if m := receive(t, fmt.Sprint(what), from); m.Status() == what {
				return m
			}
		}
	}
	describe := func(at netip.AddrPort) string {
		return fmt.Sprintf("v=0\r\no=- 1 1 IN IP4 %[1]s\r\ns=-\r\nc=IN IP4 %[1]s\r\nt=0 0\r\nm=audio 40000 RTP/AVP 0\r\n", at.Addr())
	}
	toCarrier, carrier, carrierAt := open()
	toCaller, caller, callerAt := open()
	w.must("carrier", "put", "nat", "--target", "sip:"+carrierAt.String()+";transport=udp")
	c := w.connector(false)
	invite := siptest.Request{
		URI: "sip:" + outsideNumber + "@" + c.host, SentBy: callerAt.String(), From: "<sip:" + customerNumber + "@" + c.host + ">",
		CallID: "advertised", Headers: []string{"Contact: <sip:desk@" + callerAt.String() + ">"}, Body: describe(callerAt),
	}
	send(caller, invite.Bytes())
	placed := want(toCarrier, 0)
	var b sip.Builder
	sip.AppendResponse(&b, placed, 200, "OK", "far")
	b.Header("Contact", "<sip:far@"+carrierAt.String()+">")
	b.Body("application/sdp", []byte(describe(carrierAt)))
	send(carrier, b.Bytes())
	ok := want(toCaller, 200)
	for side, m := range map[string]*sip.Message{"carrier": placed, "caller": ok} {
		if got := string(m.Contact().URI.Host); got != name {
			t.Errorf("the %s is told Contact %s", side, got)
		}
		if sdp := string(m.Body()); strings.Count(sdp, "IN IP4 "+mediaAt+"\r\n") != 2 || strings.Contains(sdp, "127.0.0.1") {
			t.Errorf("the %s is told %s", side, sdp)
		}
	}
	if got := string(placed.Via().Host); got != name {
		t.Errorf("the carrier's Via says %s", got)
	}
	if strings.Contains(string(placed.Bytes()), callerAt.String()) || strings.Contains(string(ok.Body()), carrierAt.Addr().String()) {
		t.Error("the other side's address crossed")
	}
	inside := invite
	inside.URI, inside.ToTag, inside.Headers, inside.Body = "sip:"+name, string(ok.To().Tag()), nil, ""
	inside.Method, inside.Branch = "ACK", "z9hG4bK2"
	send(caller, inside.Bytes())
	inside.Method, inside.Branch, inside.CSeq = "BYE", "z9hG4bK3", 2
	send(caller, inside.Bytes())
	want(toCaller, 200)
	if got := w.records(c, 1)[0]; got.Reason != "hangup" {
		t.Errorf("record %+v", got)
	}
}
