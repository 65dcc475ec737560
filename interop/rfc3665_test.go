package interop

import (
	"crypto/md5"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// flows are the sections of RFC 3665. Each is played by SIPp with the node in the place that a trunk has in it, or says why
// it is not.
var flows = []struct {
	section, title string
	// ours says where the node stands in the flow.
	ours string
	play func(t *testing.T, n *process)
	why  string // it is not played
}{
	{"2.1", "Successful New Registration", "", nil, registersNobody},
	{"2.2", "Update of Contact List", "", nil, registersNobody},
	{"2.3", "Request for Current Contact List", "", nil, registersNobody},
	{"2.4", "Cancellation of Registration", "", nil, registersNobody},
	{"2.5", "Unsuccessful Registration", "is asked to register", isNoRegistrar, ""},
	{"3.1", "Successful Session Establishment", "between a carrier that is known by its address and the customer", callsIn, ""},
	{"3.2", "Session Establishment Through Two Proxies", "the proxy that asks who is there, and the one behind it", callsOut, ""},
	{"3.3", "Session with Multiple Proxy Authentication", "asks the customer, and is itself asked by the carrier", twoChallenges, ""},
	{"3.4", "Successful Session with Proxy Failure", "finds the first of two proxies dead", deadTarget, ""},
	{"3.5", "Session Through a SIP ALG", "the ALG, in front of a customer with a private address", privateAddress, ""},
	{"3.6", "Session via Redirect and Proxy Servers with SDP in ACK", "is sent elsewhere in the caller's place", redirected, ""},
	{"3.7", "Session with re-INVITE (IP Address Change)", "between the one who moves and the other", movesMedia, ""},
	{"3.8", "Unsuccessful No Answer", "passes the CANCEL on", givesUp, ""},
	{"3.9", "Unsuccessful Busy", "passes the answer on", refuses("486 Busy Here", 486), ""},
	{"3.10", "Unsuccessful No Response from User Agent", "hears nothing at all", silent, ""},
	{"3.11", "Unsuccessful Temporarily Unavailable", "passes the answer on", refuses("480 Temporarily Unavailable", 480), ""},
}

const registersNobody = "a trunk knows its customers by address or password and keeps no registrations; section 2.5 is played to show that it says so"

// TestRFC3665 plays the flows; every section that has one must be there.
func TestRFC3665(t *testing.T) {
	var sections []string
	for i := range 5 {
		sections = append(sections, fmt.Sprintf("2.%d", i+1))
	}
	for i := range 11 {
		sections = append(sections, fmt.Sprintf("3.%d", i+1))
	}
	for _, f := range flows {
		i := slices.Index(sections, f.section)
		if i < 0 {
			t.Errorf("section %s is there twice, or not in the standard", f.section)
			continue
		}
		sections = slices.Delete(sections, i, i+1)
		if (f.play == nil) == (f.why == "") || (f.play == nil) != (f.ours == "") {
			t.Errorf("section %s is to be played and have a place for the node, or to say why not: one of the two", f.section)
		}
		if f.play == nil {
			continue
		}
		t.Run(f.section+" "+f.title, func(t *testing.T) {
			if f.section != "3.1" { // see TestBaresipInbound
				t.Parallel()
			}
			f.play(t, node(t))
		})
	}
	if len(sections) > 0 {
		t.Errorf("sections %v are missing", sections)
	}
}

// venture is one call of a customer to carriers of its own.
type venture struct {
	n      *process
	vc     connector
	number string
}

// newVenture makes a connector, and a carrier with these arguments.
func newVenture(t *testing.T, n *process, carrier ...string) venture {
	t.Helper()
	x := venture{n, n.connect(t, false), freshNumber()}
	name := "c" + strings.TrimPrefix(x.number, "+")
	n.operate(t, append([]string{"carrier", "put", name, "--prefix", x.number, "--srtp", "off"}, carrier...)...)
	t.Cleanup(func() { n.operate(t, "carrier", "delete", name) })
	return x
}

// call plays the customer, waits until all sides are through and returns the record.
func (x venture) call(t *testing.T, customer, transport string, far ...*sipp) record {
	t.Helper()
	return x.ends(t, append([]*sipp{x.dial(t, customer, transport)}, far...)...)
}

// dial starts the customer.
func (x venture) dial(t *testing.T, customer, transport string) *sipp {
	t.Helper()
	return callSIPp(t, customer, transport, x.n.sip(transport), x.number, x.vc.Host, x.vc.number, digestOptions(x.vc, x.number)...)
}

// ends waits until all sides are through and returns the record.
func (x venture) ends(t *testing.T, sides ...*sipp) record {
	t.Helper()
	for _, s := range sides {
		s.wait()
	}
	return x.n.records(t, x.vc, 1)[0]
}

func wantRecord(t *testing.T, r record, status int, reason string) {
	t.Helper()
	if r.Status != status || r.Reason != reason {
		t.Errorf("the record says %d %s, want %d %s", r.Status, r.Reason, status, reason)
	}
}

// target is the argument that sends a carrier's calls to a SIPp over UDP.
func (s *sipp) targetArgument() string { return "--target=" + s.target("udp") }

// customerTalks is a customer's whole call.
func customerTalks() string {
	return ladder(proves(tone), mayHear(180), mayHear(183), hears(200), acks(2, ""), play, wait, saysBye(3), hears(200))
}

// carrierTalks takes a call and waits for its end.
func carrierTalks(first ...string) string {
	return ladder(append(first, answers("180 Ringing", ""), answers("200 OK", echo), takes("ACK"), takes("BYE"), agrees(""))...)
}

func isNoRegistrar(t *testing.T, n *process) {
	vc := n.connect(t, false)
	lines := customerLines("REGISTER", "sip:[host]", 1, false)
	lines[3] = "To: <sip:[caller]@[host]>"
	customer := ladder(sends(true, "", append(lines, myself, "Expires: 3600")...), hearsWith(405, "Allow: .*INVITE"), checked)
	callSIPp(t, customer, "udp", n.SIP.UDP, vc.number, vc.Host, vc.number).wait()
	n.records(t, vc, 0)
}

func callsIn(t *testing.T, n *process) {
	vc := n.connect(t, false)
	phone := serveSIPp(t, "answer", "udp")
	n.route(t, vc, "127.0.0.1", phone.port, "UDP")
	caller := n.carrier(t, "sip:127.0.0.1:9;transport=udp", "off")
	callSIPp(t, "carrier_call", "udp", n.SIP.UDP, vc.number, n.SIP.UDP, caller).wait()
	phone.wait()
	r := n.records(t, vc, 1)[0]
	wantRecord(t, r, 200, "hangup")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
}

func callsOut(t *testing.T, n *process) {
	for _, transport := range []string{"udp", "tcp"} {
		far := serveSIPp(t, carrierTalks(takes("INVITE")), "udp")
		r := newVenture(t, n, far.targetArgument()).call(t, customerTalks(), transport, far)
		wantRecord(t, r, 200, "hangup")
		judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
	}
}

// twoChallenges: the carrier's digest is counted again here, from what its SIPp heard, and the customer hears of one
// challenge alone. SIPp's own verifyauth knows no qop.
func twoChallenges(t *testing.T, n *process) {
	const nonce = "wf84f1cczx41ae6cbeaea9ce88d359"
	far := serveSIPp(t, carrierTalks(takes("INVITE"),
		answers("407 Proxy Authentication Required", "", `Proxy-Authenticate: Digest realm="tel.example", nonce="`+nonce+`", algorithm=MD5, qop="auth"`),
		takes("ACK"), takesWith("INVITE", "Proxy-Authorization: Digest "), checked), "udp")
	r := newVenture(t, n, far.targetArgument(), "--user=trunk", "--password=seven-bells").call(t, customerTalks(), "udp", far)
	wantRecord(t, r, 200, "hangup")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
	value := regexp.MustCompile(`(?s)INVITE (sip:\S+) SIP/2\.0\r?\n.*?Proxy-Authorization: Digest ([^\r\n]*)`).FindStringSubmatch(far.heard(t))
	if value == nil {
		t.Fatal("no INVITE with a digest came")
	}
	field := map[string]string{}
	for _, m := range regexp.MustCompile(`(\w+)="?([^",]*)"?`).FindAllStringSubmatch(value[2], -1) {
		field[m[1]] = m[2]
	}
	sum := func(parts ...string) string { return fmt.Sprintf("%x", md5.Sum([]byte(strings.Join(parts, ":")))) }
	want := sum(sum("trunk", "tel.example", "seven-bells"), nonce, field["nc"], field["cnonce"], "auth", sum("INVITE", field["uri"]))
	if field["response"] != want || field["uri"] != value[1] || field["nc"] != "00000001" || field["cnonce"] == "" {
		t.Errorf("the digest is %v, want the response %s", field, want)
	}
}

// deaf is a place where INVITEs come and nobody answers.
type deaf struct {
	address string
	invites atomic.Int64
	others  atomic.Int64
}

func newDeaf(t *testing.T) *deaf {
	t.Helper()
	socket, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	d := &deaf{address: socket.LocalAddr().String()}
	go func() {
		b := make([]byte, 65536)
		for {
			n, _, err := socket.ReadFrom(b)
			switch {
			case err != nil:
				return
			case strings.HasPrefix(string(b[:n]), "INVITE "):
				d.invites.Add(1)
			default:
				d.others.Add(1)
			}
		}
	}()
	return d
}

// repeats checks that the INVITE was repeated, and that nothing else was sent to who never showed a sign of life.
func (d *deaf) repeats(t *testing.T) {
	t.Helper()
	if invites, others := d.invites.Load(), d.others.Load(); invites < 3 || others != 0 {
		t.Errorf("a place where nobody answers got %d INVITEs and %d other messages; want three at least and none", invites, others)
	}
}

func deadTarget(t *testing.T, n *process) {
	dead := newDeaf(t)
	far := serveSIPp(t, carrierTalks(takes("INVITE")), "udp")
	r := newVenture(t, n, "--target=sip:"+dead.address+";transport=udp", far.targetArgument()).call(t, customerTalks(), "udp", far)
	wantRecord(t, r, 200, "hangup")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
	dead.repeats(t)
}

// privateAddress: all that the customer says of itself is an address that leads nowhere, and the carrier must not hear it.
func privateAddress(t *testing.T, n *process) {
	const private = "10.20.30.40"
	hidden := strings.NewReplacer("[local_ip]", private, "[media_ip]", private).Replace
	customer := hidden(ladder(proves(tone), mayHear(180), hears(200), acks(2, ""), play, takes("BYE"), agrees("")))
	far := serveSIPp(t, ladder(rings, answers("200 OK", echo), takes("ACK"), wait, calleeSends("BYE", 1, ""), hears(200)), "udp")
	r := newVenture(t, n, far.targetArgument()).call(t, customer, "udp", far)
	wantRecord(t, r, 200, "hangup")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
	if heard := far.heard(t); strings.Contains(heard, private) {
		t.Errorf("the carrier was told the customer's address:\n%s", heard)
	}
}

func redirected(t *testing.T, n *process) {
	second := serveSIPp(t, ladder(takes("INVITE"), answers("180 Ringing", ""), answers("200 OK", echo),
		takesWith("ACK", "m=audio [0-9]+ RTP/AVP"), checked, takes("BYE"), agrees("")), "udp")
	first := serveSIPp(t, ladder(takes("INVITE"),
		answers("302 Moved Temporarily", "", fmt.Sprintf("Contact: <sip:[service]@127.0.0.1:%d>", second.port)), takes("ACK")), "udp")
	x := newVenture(t, n, first.targetArgument())
	n.operate(t, "connector", "set", x.vc.ID, "redirects=follow")
	r := x.call(t, ladder(proves(""), mayHear(180), hears(200), acks(2, tone), play, wait, saysBye(3), hears(200)), "udp", first, second)
	wantRecord(t, r, 200, "hangup")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
}

// ear is a place where media comes and nobody answers.
type ear struct {
	socket  net.PacketConn
	packets atomic.Int64
	// enough is closed with the packet that makes them enoughPackets, gone when no more are counted.
	enough, gone chan struct{}
}

const enoughPackets = 40

func newEar(t *testing.T, ip string) *ear {
	t.Helper()
	socket, err := net.ListenPacket("udp4", ip+":0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	e := &ear{socket: socket, enough: make(chan struct{}), gone: make(chan struct{})}
	go func() {
		defer close(e.gone)
		b := make([]byte, 2048)
		for {
			if n, _, err := socket.ReadFrom(b); err != nil || n == 0 {
				return
			}
			if e.packets.Add(1) == enoughPackets {
				close(e.enough)
			}
		}
	}()
	return e
}

func (e *ear) address() netip.AddrPort { return e.socket.LocalAddr().(*net.UDPAddr).AddrPort() }

// all is what came, once nobody sends any more: an empty datagram comes behind the last packet.
func (e *ear) all(t *testing.T) int64 {
	t.Helper()
	if _, err := e.socket.WriteTo(nil, e.socket.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	<-e.gone
	return e.packets.Load()
}

// described is the description that sends media here.
func (e *ear) described() string {
	return strings.NewReplacer("[media_ip]", e.address().Addr().String(), "[media_port]", fmt.Sprint(e.address().Port())).Replace(echo)
}

// hears waits for enough packets and lets a SIPp go on.
func (e *ear) hears(t *testing.T, next *sipp) {
	t.Helper()
	select {
	case <-e.enough:
	case <-time.After(15 * time.Second):
		t.Fatalf("%d packets came to %v in 15 s, want %d", e.packets.Load(), e.address(), enoughPackets)
	}
	next.nudge(t)
}

// movesMedia: the side that was called hears the customer's tone at one address, and then at another one and there alone.
func movesMedia(t *testing.T, n *process) {
	here, there := newEar(t, "127.0.0.1"), newEar(t, "127.0.0.2")
	far := serveSIPp(t, ladder(rings, answers("200 OK", here.described()), takes("ACK"), takes("INFO"),
		calleeSends("INVITE", 1, there.described(), "Contact: <sip:moved@[local_ip]:[local_port];transport=[transport]>"), mayHear(100), hears(200), calleeSends("ACK", 1, ""),
		takesWith("BYE", "BYE sip:moved@127.0.0.1"), checked, agrees("")), "udp")
	x := newVenture(t, n, far.targetArgument())
	near := x.dial(t, ladder(proves(tone), mayHear(180), hears(200), acks(2, ""), play,
		takes("INVITE"), agrees(tone, myself), takes("ACK"), takes("INFO"), saysBye(3), hears(200)), "udp")
	here.hears(t, far)
	there.hears(t, near)
	before := here.packets.Load()
	r := x.ends(t, near, far)
	wantRecord(t, r, 200, "hangup")
	old, rest := here.all(t), there.all(t)
	if old != before {
		t.Errorf("%d packets came to the old address while the new one was in use", old-before)
	}
	if got, want := old+rest, int64(r.CarrierLeg.Media.Sent); got != want {
		t.Errorf("%d packets came to the two addresses, want the %d that were sent", got, want)
	}
	if got := r.CarrierLeg.Media.Remote; got != there.address() {
		t.Errorf("the media went to %v at last, want %v", got, there.address())
	}
}

func givesUp(t *testing.T, n *process) {
	far := serveSIPp(t, "ring", "udp")
	r := newVenture(t, n, far.targetArgument()).call(t, strings.TrimSpace(cancelled()), "udp", far)
	wantRecord(t, r, 487, "cancelled")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, false)
}

// cancelled is a customer that gives up while it rings.
func cancelled() string {
	lines := customerLines("CANCEL", called, 2, false)
	lines[1] = "[last_Via:]"
	return ladder(proves(tone), hears(180), sends(true, "", lines...), hears(200), hears(487), acksRefusal(2))
}

// refuses makes a flow of an answer that crosses.
func refuses(status string, code int) func(t *testing.T, n *process) {
	return func(t *testing.T, n *process) {
		far := serveSIPp(t, ladder(takes("INVITE"), answers(status, ""), takes("ACK")), "udp")
		r := newVenture(t, n, far.targetArgument()).call(t, ladder(proves(tone), hears(code), acksRefusal(2)), "udp", far)
		wantRecord(t, r, code, "remote_refused")
	}
}

func silent(t *testing.T, n *process) {
	dead := newDeaf(t)
	began := time.Now()
	r := newVenture(t, n, "--target=sip:"+dead.address+";transport=udp").call(t, ladder(proves(tone), hears(504), acksRefusal(2)), "udp")
	wantRecord(t, r, 504, "all_targets_failed")
	if took := time.Since(began); took < 3500*time.Millisecond {
		t.Errorf("it was given up after %v", took)
	}
	dead.repeats(t)
}

// TestSIPpEarlyMedia: what the carrier plays before it answers, and what the customer says into it, crosses; here the call
// is then refused, so that none of it can have come later (RFC 3960).
func TestSIPpEarlyMedia(t *testing.T) {
	t.Parallel()
	n := node(t)
	far := serveSIPp(t, ladder(takes("INVITE"), answers("183 Session Progress", echo), wait, answers("486 Busy Here", ""), takes("ACK")), "udp")
	r := newVenture(t, n, far.targetArgument()).call(t,
		ladder(proves(tone), hearsWith(183, "m=audio [0-9]+ RTP/AVP"), checked, play, hears(486), acksRefusal(2)), "udp", far)
	wantRecord(t, r, 486, "remote_refused")
	judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
}
