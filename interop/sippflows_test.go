package interop

import (
	"strings"
	"testing"
)

// keeps is the INVITE at the side that is called, where other requests come before its answer: SIPp answers what came last.
const keeps = `<recv request="INVITE" rrs="true"><action>
<ereg regexp="(.*)" search_in="hdr" header="Via:" check_it="true" assign_to="v,via"/>
<ereg regexp="(.*)" search_in="hdr" header="CSeq:" check_it="true" assign_to="c,cseq"/>
<ereg regexp="(.*)" search_in="hdr" header="From:" check_it="true" assign_to="f,from"/>
<ereg regexp="(.*)" search_in="hdr" header="To:" check_it="true" assign_to="t,to"/>
<ereg regexp="&lt;(.*)&gt;" search_in="hdr" header="Contact:" check_it="true" assign_to="p,peer"/>
</action></recv><Reference variables="v,c,f,t,p,via,cseq,from,to,peer"/>`

// later answers what keeps took, in the name of a phone behind the far side; a request inside the dialog has its tag already.
func later(phone, status, sdp string, more ...string) string {
	to := "To:[$to]"
	if phone != "" {
		to += ";tag=" + phone
	}
	lines := []string{"SIP/2.0 " + status, "Via:[$via]", "From:[$from]", to, "[last_Call-ID:]", "CSeq:[$cseq]",
		"Contact: <sip:[local_ip]:[local_port];transport=[transport]>"}
	return sends(status[0] == '2', sdp, append(lines, more...)...)
}

// challenges is the header of a carrier that asks for its password.
func challenges(nonce string) string {
	return `Proxy-Authenticate: Digest realm="tel.example", nonce="` + nonce + `", algorithm=MD5, qop="auth"`
}

// early takes a provisional answer that makes the customer's dialog.
func early(status, expression string) string {
	return `<recv response="` + status + `" rrs="true">` + check(expression) + "</recv>" + checked
}

// asks is a request of the customer inside its dialog.
func asks(method string, cseq int, sdp string, more ...string) string {
	lines := append(customerLines(method, "[next_url]", cseq, true), more...)
	if method == "INVITE" || method == "UPDATE" {
		lines = append(lines, myself)
	}
	return sends(true, sdp, lines...)
}

// presses is an INFO with a key, without the number of its CSeq.
func presses(lines []string) string {
	const body = "Signal=5\nDuration=160"
	return "<send retrans=\"500\"><![CDATA[\n\n" + strings.Join(append(lines, "Content-Type: application/dtmf-relay", "Content-Length: [len]", "", body), "\n") + "\n\n]]></send>"
}

const (
	reliably = "Require: 100rel"
	updates  = "Allow: INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"
	fax      = "v=0\no=sipp 1 2 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio 0 RTP/AVP 0\nm=image [media_port] udptl t38\na=T38FaxVersion:0\na=T38FaxUdpEC:t38UDPRedundancy\n"
)

// withLine is a description with one line more.
func withLine(sdp, line string) string { return sdp + line + "\n" }

// talksOn is the rest of a customer's call whose INVITE had the number cseq.
func talksOn(cseq, next int) string {
	return strings.Join([]string{hears(200), acks(cseq, ""), play, wait, saysBye(next), hears(200)}, "\n")
}

// listens is the rest of a call at the far side.
func listens() string { return strings.Join([]string{takes("ACK"), takes("BYE"), agrees("")}, "\n") }

// holds is a re-INVITE of the customer at the far side, with what must be in it, and the answer.
func holds(expression, answer string) string {
	return strings.Join([]string{takesWith("INVITE", expression), agrees(answer, "Contact: <sip:[local_ip]:[local_port];transport=[transport]>"), takes("ACK")}, "\n")
}

// heldBy is the same at the customer.
func heldBy(cseq int, sdp, expression string) string {
	return strings.Join([]string{asks("INVITE", cseq, sdp), mayHear(100), `<recv response="200" rrs="true">` + check(expression) + "</recv>", acks(cseq, "")}, "\n")
}

// TestSIPpExtensions plays what RFC 3665 does not have: each flow with SIPp at both ends, so that neither says what our own
// phones would.
func TestSIPpExtensions(t *testing.T) {
	t.Parallel()
	onHold := strings.Replace(tone, "c=IN IP4 [media_ip]", "c=IN IP4 0.0.0.0", 1)
	for name, f := range map[string]struct {
		customer, far string
		carrier       []string // arguments
		status        int
		reason        string
		silent        bool // no media is judged
	}{
		"PRACK at the carrier alone (RFC 3262)": {
			customer: ladder(proves(tone), hearsWith(183, "m=audio"), checked, talksOn(2, 3)),
			far: ladder(keeps, later("far", "183 Session Progress", echo, reliably, "RSeq: 7"), takesWith("PRACK", "RAck: 7 [0-9]+ INVITE"), checked,
				agrees(""), later("far", "200 OK", echo), listens()),
		},
		"PRACK at the customer alone (RFC 3262)": {
			customer: ladder(proves(tone, reliably), early("183", "RSeq: 1"), asks("PRACK", 3, "", "RAck: 1 2 INVITE"), hears(200), talksOn(2, 4)),
			far:      ladder(keeps, later("far", "183 Session Progress", echo), "<pause milliseconds=\"300\"/>", later("far", "200 OK", echo), listens()),
		},
		"offer in a reliable 183, answer in PRACK (RFC 3262 section 5)": {
			customer: ladder(proves("", "Supported: 100rel"), early("183", "RSeq: 1.*m=audio [0-9]+ RTP/AVP"), asks("PRACK", 3, tone, "RAck: 1 2 INVITE"), hears(200), talksOn(2, 4)),
			far: ladder(keeps, later("far", "183 Session Progress", echo, reliably, "RSeq: 1"), takesWith("PRACK", "m=audio [0-9]+ RTP/AVP"), checked,
				agrees(""), later("far", "200 OK", ""), listens()),
		},
		"UPDATE before the answer (RFC 3311)": {
			customer: ladder(proves(tone, "Supported: 100rel"), early("183", "RSeq: 1"), asks("PRACK", 3, "", "RAck: 1 2 INVITE"), hears(200),
				asks("UPDATE", 4, tone), hearsWith(200, "m=audio [0-9]+ RTP/AVP"), talksOn(2, 5)),
			far: ladder(keeps, later("far", "183 Session Progress", echo, reliably, "RSeq: 1", updates), takes("PRACK"), agrees(""),
				takesWith("UPDATE", "m=audio [0-9]+ RTP/AVP"), checked, agrees(echo, "Contact: <sip:[local_ip]:[local_port];transport=[transport]>"),
				later("far", "200 OK", ""), listens()),
		},
		"keys before the answer (RFC 6086)": {
			customer: ladder(proves(tone), early("183", "m=audio"), presses(customerLines("INFO", "[next_url]", 3, true)), hears(200), talksOn(2, 4)),
			far: ladder(keeps, later("far", "183 Session Progress", echo), takesWith("INFO", "application/dtmf-relay.*Signal=5"), checked, agrees(""),
				later("far", "200 OK", echo), listens()),
		},
		"three phones ring and two answer": {
			customer: ladder(proves(tone), mayHear(180), mayHear(183), mayHear(180), talksOn(2, 3)),
			far: ladder(keeps, later("one", "180 Ringing", ""), later("two", "183 Session Progress", echo), later("three", "180 Ringing", ""),
				later("two", "200 OK", echo), takesWith("ACK", "To: [^>]*>;tag=two"), checked,
				later("three", "200 OK", echo), takesWith("ACK", "To: [^>]*>;tag=three"), takesWith("BYE", "To: [^>]*>;tag=three"), agrees(""),
				takesWith("BYE", "To: [^>]*>;tag=two"), agrees("")),
		},
		"hold, both spellings, and back": {
			customer: ladder(proves(tone), mayHear(180), hears(200), acks(2, ""), play,
				heldBy(3, onHold, "m=audio"), heldBy(4, withLine(tone, "a=sendonly"), "a=recvonly"), heldBy(5, withLine(tone, "a=inactive"), "a=inactive"),
				heldBy(6, tone, "m=audio"), checked, wait, saysBye(7), hears(200)),
			far: ladder(keeps, later("far", "200 OK", echo), takes("ACK"),
				holds(`c=IN IP4 0\.0\.0\.0`, withLine(echo, "a=recvonly")), holds("a=sendonly", withLine(echo, "a=recvonly")),
				holds("a=inactive", withLine(echo, "a=inactive")), holds(`c=IN IP4 127`, echo), checked, takes("BYE"), agrees("")),
		},
		"fax over T.38": {
			customer: ladder(proves(tone), mayHear(180), hears(200), acks(2, ""), play, wait,
				heldBy(3, fax, "m=image [1-9][0-9]* udptl t38.*a=T38FaxUdpEC:t38UDPRedundancy"), checked, saysBye(4), hears(200)),
			far: ladder(keeps, later("far", "200 OK", echo), takes("ACK"), holds("m=audio 0 .*m=image [1-9][0-9]* udptl t38.*a=T38FaxUdpEC:t38UDPRedundancy", fax), checked,
				takes("BYE"), agrees("")),
			silent: true,
		},
		"session intervals that are too small (RFC 4028)": {
			customer: ladder(invites(1, tone, "Supported: timer", "Session-Expires: 60"), hearsWith(422, "Min-SE: 90"), acksRefusal(1),
				invites(2, tone, "Supported: timer", "Session-Expires: 90"), mayHear(100), `<recv response="407" auth="true"/>`, acksRefusal(2),
				invites(3, tone, "Supported: timer", "Session-Expires: 90", "[authentication]"), mayHear(100), mayHear(180),
				`<recv response="200" rrs="true">`+check("Require: timer.*Session-Expires: 90;refresher=uac")+"</recv>", checked,
				acks(3, ""), play, wait, saysBye(4), hears(200)),
			far: ladder(takes("INVITE"), answers("422 Session Interval Too Small", "", "Min-SE: 3600"), takes("ACK"),
				takesWith("INVITE", "Session-Expires: 3600.*Min-SE: 3600"), checked,
				answers("200 OK", echo, "Require: timer", "Session-Expires: 3600;refresher=uac"), listens()),
		},
		"both change the session at once": {
			customer: ladder(proves(tone), mayHear(180), hears(200), acks(2, ""), play, wait, asks("INVITE", 3, tone), mayHear(100), hears(200), acks(3, ""), saysBye(4), hears(200)),
			far: ladder(keeps, later("far", "200 OK", echo), takes("ACK"), keeps,
				sends(true, echo, "INVITE [$peer] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]", "From:[$to]", "To:[$from]",
					"Call-ID: [call_id]", "CSeq: 1 INVITE", "Max-Forwards: 70", "Contact: <sip:[local_ip]:[local_port];transport=[transport]>"),
				hears(491),
				sends(false, "", "ACK [$peer] SIP/2.0", "[last_Via:]", "From:[$to]", "To:[$from]", "Call-ID: [call_id]", "CSeq: 1 ACK", "Max-Forwards: 70"),
				later("", "200 OK", echo), listens()),
		},
		"a carrier that asks for a password with every request": {
			carrier:  []string{"--user=trunk", "--password=seven-bells"},
			customer: ladder(proves(tone), mayHear(180), talksOn(2, 3)),
			far: ladder(takes("INVITE"), answers("407 Proxy Authentication Required", "", challenges("one")), takes("ACK"),
				takesWith("INVITE", `Proxy-Authorization: Digest .*nonce="one"`), answers("200 OK", echo), takesWith("ACK", `Proxy-Authorization: Digest .*nonce="one"`),
				takesWith("BYE", `nonce="one".*nc=00000002`),
				sends(false, "", "SIP/2.0 407 Proxy Authentication Required", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]", challenges("two")),
				takesWith("BYE", `Proxy-Authorization: Digest .*nonce="two"`), checked, agrees("")),
		},
		"a customer that gives up says why (RFC 3326)": {
			customer: strings.Replace(cancelled(), "CSeq: 2 CANCEL", "CSeq: 2 CANCEL\nReason: SIP;cause=200;text=\"Call completed elsewhere\"", 1),
			far: ladder(keeps, later("far", "180 Ringing", ""), takesWith("CANCEL", "Reason: SIP;cause=200"), checked, agrees(""),
				later("far", "487 Request Terminated", ""), takes("ACK")),
			status: 487, reason: "cancelled", silent: true,
		},
		"a carrier that hangs up says why (RFC 3326, RFC 7433)": {
			customer: ladder(proves(tone, "User-to-User: 0405;encoding=hex"), mayHear(180), hears(200), acks(2, ""), play,
				takesWith("BYE", "Reason: Q.850;cause=31.*User-to-User: 0102"), checked, agrees("")),
			far: ladder(rings, answers("200 OK", echo), takes("ACK"), wait, calleeSends("BYE", 1, "", "Reason: Q.850;cause=31;text=\"gone\"", "User-to-User: 0102;encoding=hex"), hears(200)),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := node(t)
			far := serveSIPp(t, f.far, "udp")
			r := newVenture(t, n, append(f.carrier, far.targetArgument())...).call(t, f.customer, "udp", far)
			if f.status == 0 {
				f.status, f.reason = 200, "hangup"
			}
			wantRecord(t, r, f.status, f.reason)
			if !f.silent {
				judgeEcho(t, [2]legRecord{r.Customer, r.CarrierLeg}, true)
			}
		})
	}
}
