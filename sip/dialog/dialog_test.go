package dialog

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"carillon/sip"
)

func parse(t testing.TB, text string) *sip.Message {
	t.Helper()
	text = strings.ReplaceAll(strings.TrimLeft(text, "\n"), "\n", "\r\n") + "\r\n"
	m := new(sip.Message)
	if err := m.Parse([]byte(text)); err != nil {
		t.Fatalf("parse %s: %v", text, err)
	}
	return m.Clone()
}

// What RFC 3665 §3.2 prints, as each end of the call sees it, bodies left out.
const (
	inviteAtBob = `
INVITE sip:bob@client.biloxi.example.com SIP/2.0
Via: SIP/2.0/TCP ss2.biloxi.example.com:5060;branch=z9hG4bK721e4.1
Via: SIP/2.0/TCP ss1.atlanta.example.com:5060;branch=z9hG4bK2d4790.1;received=192.0.2.111
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;received=192.0.2.101
Max-Forwards: 68
Record-Route: <sip:ss2.biloxi.example.com;lr>,
 <sip:ss1.atlanta.example.com;lr>
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>
Call-ID: 2xTb9vxSit55XU7p8@atlanta.example.com
CSeq: 1 INVITE
Contact: <sip:alice@client.atlanta.example.com>
Content-Length: 0
`
	ringingAtAlice = `
SIP/2.0 180 Ringing
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74bf9;received=192.0.2.101
Record-Route: <sip:ss2.biloxi.example.com;lr>, <sip:ss1.atlanta.example.com;lr>
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>;tag=314159
Contact: <sip:bob@client.biloxi.example.com>
Call-ID: 2xTb9vxSit55XU7p8@atlanta.example.com
CSeq: 1 INVITE
Content-Length: 0
`
	ackFromAlice = `ACK sip:bob@client.biloxi.example.com SIP/2.0
Via: SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74b76
Route: <sip:ss1.atlanta.example.com;lr>
Route: <sip:ss2.biloxi.example.com;lr>
From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
To: Bob <sip:bob@biloxi.example.com>;tag=314159
Call-ID: 2xTb9vxSit55XU7p8@atlanta.example.com
CSeq: 1 ACK
Content-Length: 0
`
	byeFromBob = `BYE sip:alice@client.atlanta.example.com SIP/2.0
Via: SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7
Route: <sip:ss2.biloxi.example.com;lr>
Route: <sip:ss1.atlanta.example.com;lr>
From: Bob <sip:bob@biloxi.example.com>;tag=314159
To: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl
Call-ID: 2xTb9vxSit55XU7p8@atlanta.example.com
CSeq: 1 BYE
Content-Length: 0
`
	via = "SIP/2.0/TCP client.atlanta.example.com:5060;branch=z9hG4bK74b76"
)

func okAtAlice() string { return strings.Replace(ringingAtAlice, "180 Ringing", "200 OK", 1) }

func target(t testing.TB, text string) *sip.URI {
	t.Helper()
	u, err := sip.ParseURI([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return &u
}

// finish ends the request and gives it as text with plain line ends.
func finish(t testing.TB, b *sip.Builder) string {
	t.Helper()
	b.Body("", nil)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(strings.ReplaceAll(string(b.Bytes()), "\r\n", "\n"), "\n")
}

func newUAC(t testing.TB, text string) Dialog {
	t.Helper()
	d, err := NewUAC(parse(t, text), target(t, "sip:bob@biloxi.example.com"), false)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// RFC 3665 §3.2: both ends of a call through two proxies.
func TestFlowThroughTwoProxies(t *testing.T) {
	alice := newUAC(t, ringingAtAlice)
	if alice.Confirmed {
		t.Error("180 confirmed the dialog")
	}
	if err := alice.Confirm(parse(t, okAtAlice())); err != nil || !alice.Confirmed {
		t.Fatalf("2xx: %v, confirmed %v", err, alice.Confirmed)
	}
	b := sip.NewBuilder(nil)
	if err := alice.Ack(b, []byte(via), 1); err != nil {
		t.Fatal(err)
	}
	ack := finish(t, b)
	if ack != ackFromAlice {
		t.Errorf("ACK\n%s\nwant\n%s", ack, ackFromAlice)
	}
	bob, err := NewUAS(parse(t, inviteAtBob), "314159", false)
	if err != nil {
		t.Fatal(err)
	}
	if err := bob.Confirm(nil); err != nil || !bob.Confirmed {
		t.Fatal(err)
	}
	if got := bob.Receive(parse(t, ack), 1); got != InOrder {
		t.Errorf("ACK at Bob: %v", got)
	}
	b.Reset()
	if err := bob.NextRequest(b, "BYE", []byte("SIP/2.0/TCP client.biloxi.example.com:5060;branch=z9hG4bKnashds7")); err != nil {
		t.Fatal(err)
	}
	bye := finish(t, b)
	if bye != byeFromBob {
		t.Errorf("BYE\n%s\nwant\n%s", bye, byeFromBob)
	}
	if got := alice.Receive(parse(t, bye), 1); got != InOrder {
		t.Errorf("BYE at Alice: %v", got)
	}
	hop, err := alice.NextHop()
	if err != nil || string(hop.Host) != "ss1.atlanta.example.com" {
		t.Errorf("Alice's next hop %s, %v", hop.Host, err)
	}
}

func TestConstructors(t *testing.T) {
	edit := func(text string, oldnew ...string) string { return strings.NewReplacer(oldnew...).Replace(text) }
	const contactBob = "Contact: <sip:bob@client.biloxi.example.com>\n"
	for _, tt := range []struct {
		name string
		text string
		uas  bool
		err  error
		want string // target
	}{
		{"180", ringingAtAlice, false, nil, "sip:bob@client.biloxi.example.com"},
		{"180 without Contact", edit(ringingAtAlice, contactBob, ""), false, nil, "sip:bob@biloxi.example.com"},
		{"180 with a tel Contact", edit(ringingAtAlice, contactBob, "Contact: <tel:+12065550100>\n"), false, nil, "sip:bob@biloxi.example.com"},
		{"100", edit(ringingAtAlice, "180 Ringing", "100 Trying"), false, ErrNoDialog, ""},
		{"180 without tag", edit(ringingAtAlice, ";tag=314159", ""), false, ErrNoDialog, ""},
		{"200 without tag (RFC 2543)", edit(okAtAlice(), ";tag=314159", ""), false, nil, "sip:bob@client.biloxi.example.com"},
		{"302", edit(ringingAtAlice, "180 Ringing", "302 Moved"), false, ErrNoDialog, ""},
		{"486", edit(ringingAtAlice, "180 Ringing", "486 Busy Here"), false, ErrNoDialog, ""},
		{"request given to NewUAC", inviteAtBob, false, ErrNoDialog, ""},
		{"Record-Route of no SIP", edit(okAtAlice(), "<sip:ss1.atlanta.example.com;lr>", "<tel:+1206>"), false, ErrRoute, ""},
		{"Record-Route with a quoted NUL", edit(okAtAlice(), "<sip:ss1.atlanta.example.com;lr>", "\"\\\x00\" <sip:ss1.atlanta.example.com;lr>"), false, ErrRoute, ""},
		{"long routes", edit(okAtAlice(), "ss1.atlanta", strings.Repeat("a", MaxBytes)+".atlanta"), false, ErrTooLong, ""},
		{"long display name", edit(inviteAtBob, "From: Alice", `From: "`+strings.Repeat("a", MaxBytes)+`"`), true, ErrTooLong, ""},
		{"INVITE", inviteAtBob, true, nil, "sip:alice@client.atlanta.example.com"},
		{"INVITE without Contact", edit(inviteAtBob, "Contact: <sip:alice@client.atlanta.example.com>\n", ""), true, ErrContact, ""},
		{"INVITE with Contact *", edit(inviteAtBob, "<sip:alice@client.atlanta.example.com>", "*"), true, ErrContact, ""},
		{"response given to NewUAS", ringingAtAlice, true, ErrNoDialog, ""},
		{"many routes", edit(inviteAtBob, "Contact:", strings.Repeat("Record-Route: <sip:loop.example;lr>\n", MaxRoutes)+"Contact:"), true, ErrRoute, ""},
	} {
		var d Dialog
		var err error
		m := new(sip.Message)
		text := strings.ReplaceAll(strings.TrimLeft(tt.text, "\n"), "\n", "\r\n") + "\r\n"
		if perr := m.Parse([]byte(text)); perr != nil {
			// The message core refuses some of these by itself, which is as good.
			if tt.err == nil {
				t.Errorf("%s: parse: %v", tt.name, perr)
			}
			continue
		}
		if tt.uas {
			d, err = NewUAS(m, "x", false)
		} else {
			d, err = NewUAC(m, target(t, "sip:bob@biloxi.example.com"), false)
		}
		if !errors.Is(err, tt.err) || err == nil && d.Target != tt.want {
			t.Errorf("%s: target %q, error %v, want %q, %v", tt.name, d.Target, err, tt.want, tt.err)
		}
	}
	if _, err := NewUAS(parse(t, inviteAtBob), "", false); !errors.Is(err, ErrNoDialog) {
		t.Errorf("without a tag of ours: %v", err)
	}
}

// Each branch of a forked INVITE has its own dialog, and one that wins leaves the others alone.
func TestForkedEarlyDialogs(t *testing.T) {
	one := newUAC(t, ringingAtAlice)
	two := newUAC(t, strings.NewReplacer("tag=314159", "tag=two", "bob@client", "bob@mobile").Replace(ringingAtAlice))
	if one.ID == two.ID || one.Target == two.Target {
		t.Fatalf("%+v and %+v", one.ID, two.ID)
	}
	calls := map[ID]*Dialog{one.ID: &one, two.ID: &two}
	ok := parse(t, strings.NewReplacer("180 Ringing", "200 OK", "tag=314159", "tag=two", "bob@client", "bob@mobile").Replace(ringingAtAlice))
	if err := one.Confirm(ok); !errors.Is(err, ErrNoDialog) || one.Confirmed {
		t.Errorf("the 2xx of another branch: %v", err)
	}
	winner := calls[ResponseID(ok)]
	if winner != &two || winner.Confirm(ok) != nil || !two.Confirmed || one.Confirmed {
		t.Errorf("winner %+v", winner)
	}
	// PRACK inside the early dialog counts on from the INVITE, in each dialog by itself.
	for _, d := range []*Dialog{&one, &two} {
		b := sip.NewBuilder(nil)
		if err := d.NextRequest(b, "PRACK", nil); err != nil || !strings.Contains(finish(t, b), "CSeq: 2 PRACK\n") {
			t.Errorf("%s: %v", b.Bytes(), err)
		}
	}
}

// The 2xx brings the route set that counts (RFC 3261 §13.2.2.4).
func TestConfirmTakesRoutesAnew(t *testing.T) {
	d := newUAC(t, ringingAtAlice)
	before := d
	ok := strings.NewReplacer("180 Ringing", "200 OK", "<sip:ss2.biloxi.example.com;lr>, ", "", "bob@client", "bob@desk").Replace(ringingAtAlice)
	if err := d.Confirm(parse(t, ok)); err != nil {
		t.Fatal(err)
	}
	if fmt.Sprint(d.Routes) != "[<sip:ss1.atlanta.example.com;lr>]" || d.Target != "sip:bob@desk.biloxi.example.com" {
		t.Errorf("routes %v, target %s", d.Routes, d.Target)
	}
	if len(before.Routes) != 2 || before.Confirmed {
		t.Errorf("the copy changed: %+v", before)
	}
	bad := strings.NewReplacer("180 Ringing", "200 OK", "<sip:ss1.atlanta.example.com;lr>", "<tel:+1>").Replace(ringingAtAlice)
	if err := before.Confirm(parse(t, bad)); !errors.Is(err, ErrRoute) || before.Confirmed || len(before.Routes) != 2 {
		t.Errorf("refused 2xx: %v, %+v", err, before)
	}
}

// RFC 3261 §12.2.1.1: loose, strict and no route.
func TestRouting(t *testing.T) {
	for _, tt := range []struct {
		name, recordRoute string // as the UAS of the response sees it: last hop first
		want              []string
		hop               string
	}{
		{"none", "", []string{"INFO sip:bob@client.biloxi.example.com SIP/2.0"}, "client.biloxi.example.com"},
		{"loose", "<sip:p2;lr>, <sip:p1;lr=on>",
			[]string{"INFO sip:bob@client.biloxi.example.com SIP/2.0", "Route: <sip:p1;lr=on>", "Route: <sip:p2;lr>"}, "p1"},
		{"strict first", "<sip:p2;lr>, <sip:p1>",
			[]string{"INFO sip:p1 SIP/2.0", "Route: <sip:p2;lr>", "Route: <sip:bob@client.biloxi.example.com>"}, "p1"},
		{"strict alone", "<sip:p1:5070;transport=tcp>",
			[]string{"INFO sip:p1:5070;transport=tcp SIP/2.0", "Route: <sip:bob@client.biloxi.example.com>"}, "p1"},
		{"strict with what a Request-URI must not have", "<sip:u@p1;method=INVITE;x=y?Subject=a>",
			[]string{"INFO sip:u@p1;x=y SIP/2.0", "Route: <sip:bob@client.biloxi.example.com>"}, "p1"},
		{"strict later is the proxy's affair", "<sip:p2>, <sip:p1;lr>",
			[]string{"INFO sip:bob@client.biloxi.example.com SIP/2.0", "Route: <sip:p1;lr>", "Route: <sip:p2>"}, "p1"},
		{"display name and header parameters stay", `"Edge" <sip:p1;lr>;x=1`,
			[]string{"INFO sip:bob@client.biloxi.example.com SIP/2.0", `Route: "Edge" <sip:p1;lr>;x=1`}, "p1"},
	} {
		text := strings.Replace(okAtAlice(), "Record-Route: <sip:ss2.biloxi.example.com;lr>, <sip:ss1.atlanta.example.com;lr>\n", "", 1)
		if tt.recordRoute != "" {
			text = strings.Replace(text, "Contact:", "Record-Route: "+tt.recordRoute+"\nContact:", 1)
		}
		d := newUAC(t, text)
		b := sip.NewBuilder(nil)
		if err := d.NextRequest(b, "INFO", nil); err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got, _, _ := strings.Cut(finish(t, b), "\nFrom:")
		if want := strings.Join(tt.want, "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", tt.name, got, want)
		}
		if hop, err := d.NextHop(); err != nil || string(hop.Host) != tt.hop {
			t.Errorf("%s: next hop %s, %v, want %s", tt.name, hop.Host, err, tt.hop)
		}
	}
}

func TestReceive(t *testing.T) {
	d, err := NewUAS(parse(t, inviteAtBob), "314159", false)
	if err != nil {
		t.Fatal(err)
	}
	request := func(method string, seq uint32, change ...string) *sip.Message {
		text := strings.NewReplacer("INVITE sip", method+" sip", "CSeq: 1 INVITE", fmt.Sprintf("CSeq: %d %s", seq, method),
			"To: Bob <sip:bob@biloxi.example.com>", "To: Bob <sip:bob@biloxi.example.com>;tag=314159").Replace(inviteAtBob)
		return parse(t, strings.NewReplacer(change...).Replace(text))
	}
	for _, tt := range []struct {
		name string
		m    *sip.Message
		want Verdict
		seq  uint32 // RemoteSeq afterwards
	}{
		{"ACK of the INVITE", request("ACK", 1), InOrder, 1},
		{"ACK of another", request("ACK", 2), OutOfOrder, 1},
		{"CANCEL of the INVITE", request("CANCEL", 1), InOrder, 1},
		{"next", request("UPDATE", 2), InOrder, 2},
		{"the same number again", request("BYE", 2), OutOfOrder, 2},
		{"below", request("BYE", 1), OutOfOrder, 2},
		{"gap", request("INVITE", 10), InOrder, 10},
		{"largest", request("INFO", MaxSeq), InOrder, MaxSeq},
		{"other From tag", request("BYE", MaxSeq, "tag=9fxced76sl", "tag=evil"), NotOurs, MaxSeq},
		{"other To tag", request("BYE", MaxSeq, "tag=314159", "tag=evil"), NotOurs, MaxSeq},
		{"other Call-ID", request("BYE", MaxSeq, "2xTb9vxSit55XU7p8", "guess"), NotOurs, MaxSeq},
	} {
		if got := d.Receive(tt.m, 1); got != tt.want || d.RemoteSeq != tt.seq {
			t.Errorf("%s: %v with RemoteSeq %d, want %v with %d", tt.name, got, d.RemoteSeq, tt.want, tt.seq)
		}
	}
	// As UAC the peer has sent nothing yet: any first number is in order, also 0.
	alice := newUAC(t, okAtAlice())
	for _, seq := range []uint32{0, 7, 7} {
		bye := parse(t, strings.Replace(byeFromBob, "CSeq: 1", fmt.Sprintf("CSeq: %d", seq), 1))
		want := InOrder
		if seq == 7 && alice.RemoteSeq == 7 {
			want = OutOfOrder
		}
		if got := alice.Receive(bye, 1); got != want {
			t.Errorf("first CSeq %d: %v, want %v", seq, got, want)
		}
	}
}

func TestRefresh(t *testing.T) {
	edit := func(text string, oldnew ...string) *sip.Message {
		return parse(t, strings.NewReplacer(oldnew...).Replace(text))
	}
	const old = "sip:bob@client.biloxi.example.com"
	for _, tt := range []struct {
		name   string
		m      *sip.Message
		secure bool
		want   bool
		target string
	}{
		{"re-INVITE", edit(inviteAtBob, "alice@client.atlanta", "bob@new"), false, true, "sip:bob@new.example.com"},
		{"UPDATE", edit(inviteAtBob, "INVITE", "UPDATE", "alice@client.atlanta", "bob@new"), false, true, "sip:bob@new.example.com"},
		{"2xx to our re-INVITE", edit(okAtAlice(), "bob@client", "bob@moved"), false, true, "sip:bob@moved.biloxi.example.com"},
		{"INFO is no target refresh", edit(inviteAtBob, "INVITE", "INFO"), false, false, old},
		{"no Contact", edit(inviteAtBob, "Contact: <sip:alice@client.atlanta.example.com>\n", ""), false, false, old},
		{"long Contact", edit(inviteAtBob, "alice@client", "alice@"+strings.Repeat("a", MaxBytes)), false, false, old},
		{"secure dialog, clear Contact", edit(inviteAtBob, "x", "x"), true, false, old},
		{"secure dialog, sips Contact", edit(inviteAtBob, "Contact: <sip:", "Contact: <sips:"), true, true, "sips:alice@client.atlanta.example.com"},
	} {
		d := newUAC(t, okAtAlice())
		d.Secure = tt.secure
		if got := d.Refresh(tt.m); got != tt.want || d.Target != tt.target {
			t.Errorf("%s: %v, target %s, want %v, %s", tt.name, got, d.Target, tt.want, tt.target)
		}
	}
}

func TestSecure(t *testing.T) {
	sips := strings.Replace(inviteAtBob, "INVITE sip:", "INVITE sips:", 1)
	for _, tt := range []struct {
		text string
		tls  bool
		want bool
	}{{sips, true, true}, {sips, false, false}, {inviteAtBob, true, false}} {
		d, err := NewUAS(parse(t, tt.text), "x", tt.tls)
		if err != nil || d.Secure != tt.want {
			t.Errorf("over TLS %v: secure %v, %v, want %v", tt.tls, d.Secure, err, tt.want)
		}
	}
	d, err := NewUAC(parse(t, ringingAtAlice), target(t, "sips:bob@biloxi.example.com"), true)
	if err != nil || !d.Secure {
		t.Errorf("UAC: %v, %v", d.Secure, err)
	}
}

func TestSequenceEnds(t *testing.T) {
	d := newUAC(t, okAtAlice())
	d.LocalSeq = MaxSeq - 1
	b := sip.NewBuilder(nil)
	if err := d.NextRequest(b, "INFO", nil); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(finish(t, b), fmt.Sprintf("CSeq: %d INFO\n", MaxSeq)) {
		t.Errorf("%s", b.Bytes())
	}
	b.Reset()
	if err := d.NextRequest(b, "INFO", nil); !errors.Is(err, ErrSeq) || d.LocalSeq != MaxSeq {
		t.Errorf("after the last: %v", err)
	}
}

// A peer of RFC 2543 has no tag; an empty one must not be written.
func TestPeerWithoutTag(t *testing.T) {
	d := newUAC(t, strings.Replace(okAtAlice(), ";tag=314159", "", 1))
	b := sip.NewBuilder(nil)
	if err := d.NextRequest(b, "BYE", nil); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, b); !strings.Contains(got, "\nTo: Bob <sip:bob@biloxi.example.com>\n") {
		t.Errorf("%s", got)
	}
}

// Parameters of From and To other than the tag must not come back, nor addr-spec parameters move into the URI.
func TestPartyHasNoParameters(t *testing.T) {
	text := strings.NewReplacer("From: Alice <sip:alice@atlanta.example.com>;tag=9fxced76sl", `From: sip:alice@atlanta.example.com;x=1;tag=9fxced76sl`,
		"To: Bob <sip:bob@biloxi.example.com>", `To: "B, \"b\"" <sip:bob@biloxi.example.com;user=phone>;y=2`).Replace(inviteAtBob)
	d, err := NewUAS(parse(t, text), "x", false)
	if err != nil {
		t.Fatal(err)
	}
	if d.Remote != "<sip:alice@atlanta.example.com>" || d.Local != `"B, \"b\"" <sip:bob@biloxi.example.com;user=phone>` {
		t.Errorf("remote %s, local %s", d.Remote, d.Local)
	}
}

// A quoted NUL can be read and not be written: with it in a display name nobody could hang up.
func TestPartyHasNoNUL(t *testing.T) {
	text := strings.NewReplacer("From: Alice", "From: \"\\\x00\"", "To: Bob", "To: \"\\\x00\"").Replace(inviteAtBob)
	d, err := NewUAS(parse(t, text), "x", false)
	if err != nil {
		t.Fatal(err)
	}
	b := sip.NewBuilder(nil)
	if err := d.NextRequest(b, "BYE", nil); err != nil {
		t.Fatal(err)
	}
	if got := finish(t, b); !strings.Contains(got, "\nTo: <sip:alice@atlanta.example.com>;tag=9fxced76sl\n") {
		t.Errorf("%s", got)
	}
}

// FuzzDialog feeds messages a peer controls: what we write into the dialog must be a message our own parser takes.
func FuzzDialog(f *testing.F) {
	crlf := func(s string) []byte {
		return []byte(strings.ReplaceAll(strings.TrimLeft(s, "\n"), "\n", "\r\n") + "\r\n")
	}
	f.Add(crlf(inviteAtBob))
	f.Add(crlf(ringingAtAlice))
	f.Add(crlf(strings.Replace(inviteAtBob, "From: Alice", "From: \"\\\x00\"", 1)))
	f.Add(crlf(strings.Replace(okAtAlice(), "ss1.atlanta.example.com;lr", "a@ss1;method=x?h=v", 1)))
	requestURI := target(f, "sip:bob@biloxi.example.com")
	f.Fuzz(func(t *testing.T, packet []byte) {
		var m sip.Message
		if m.Parse(packet) != nil {
			return
		}
		d, err := NewUAS(&m, "ourtag", true)
		if !m.IsRequest() {
			d, err = NewUAC(&m, requestURI, true)
		}
		if err != nil || d.ID.CallID == "" || d.LocalSeq >= MaxSeq {
			return
		}
		b := sip.NewBuilder(nil)
		if err := d.NextRequest(b, "BYE", []byte("SIP/2.0/TLS us.example.com;branch=z9hG4bKx")); err != nil {
			t.Fatalf("%q: %v", packet, err)
		}
		b.Header("Max-Forwards", "70")
		b.Body("", nil)
		if b.Err() != nil {
			t.Fatalf("%q: %v", packet, b.Err())
		}
		var out sip.Message
		if err := out.Parse(b.Bytes()); err != nil {
			t.Fatalf("%q\nmade\n%q\n%v", packet, b.Bytes(), err)
		}
		if got := (ID{CallID: string(out.CallID()), Local: string(out.From().Tag()), Remote: string(out.To().Tag())}); got != d.ID {
			t.Fatalf("dialog %+v wrote %+v", d.ID, got)
		}
	})
}
