package interop

import (
	"fmt"
	"strings"
)

// A ladder is one side of a flow, rung by rung, as SIPp is to play it: the steps below write its scenario, so that a flow
// reads as it is drawn in a standard. The customer's messages are numbered as its digest has them: the first INVITE is
// challenged, the second one is the call.
func ladder(rungs ...string) string {
	return `<?xml version="1.0" encoding="UTF-8"?><scenario name="ladder">` + strings.Join(rungs, "\n") + "</scenario>"
}

// Descriptions of a SIPp that streams its tone, and of one that echoes.
const (
	tone = "v=0\no=sipp 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio [rtpstream_audio_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
	echo = "v=0\no=sipp 1 1 IN IP4 [local_ip]\ns=-\nc=IN IP4 [media_ip]\nt=0 0\nm=audio [media_port] RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
	// wait is time in which sixty packets go each way.
	wait = `<pause milliseconds="1200"/>`
	play = `<nop><action><exec rtp_stream="tone.ul,-1,0"/></action></nop>`
)

// sends writes a message. What is sent until it is answered is repeated.
func sends(repeated bool, sdp string, lines ...string) string {
	attribute := ""
	if repeated {
		attribute = ` retrans="500"`
	}
	if sdp != "" {
		lines = append(lines, "Content-Type: application/sdp", "Content-Length: [len]", "", sdp)
	} else {
		lines = append(lines, "Content-Length: 0")
	}
	return "<send" + attribute + "><![CDATA[\n\n" + strings.Join(lines, "\n") + "\n\n]]></send>"
}

// customerLines are the headers of the customer's requests. inside are those of the dialog.
func customerLines(method, uri string, cseq int, inside bool) []string {
	to := "To: <sip:[service]@[host]>"
	if inside {
		to += "[peer_tag_param]"
	}
	return []string{
		method + " " + uri + " SIP/2.0",
		"Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
		"From: <sip:[caller]@[host]>;tag=[call_number]sipp", to,
		"Call-ID: [call_id]", fmt.Sprintf("CSeq: %d %s", cseq, method), "Max-Forwards: 70",
	}
}

const (
	called = "sip:[service]@[host]"
	myself = "Contact: <sip:[caller]@[local_ip]:[local_port];transport=[transport]>"
)

// invites is the customer's INVITE.
func invites(cseq int, sdp string, more ...string) string {
	return sends(true, sdp, append(append(customerLines("INVITE", called, cseq, false), myself), more...)...)
}

// acksRefusal is the ACK of an answer that is no 2xx: part of its INVITE.
func acksRefusal(cseq int) string {
	lines := customerLines("ACK", called, cseq, true)
	lines[1] = "[last_Via:]"
	return sends(false, "", lines...)
}

// acks is the ACK of a 2xx.
func acks(cseq int, sdp string) string {
	return sends(false, sdp, customerLines("ACK", "[next_url]", cseq, true)...)
}

func saysBye(cseq int) string {
	return sends(true, "", customerLines("BYE", "[next_url]", cseq, true)...)
}

// proves is the customer's INVITE with its challenge: CSeq 1 is refused, CSeq 2 goes on.
func proves(sdp string, more ...string) string {
	return strings.Join([]string{invites(1, sdp, more...), mayHear(100), `<recv response="407" auth="true"/>`, acksRefusal(1),
		invites(2, sdp, append(more, "[authentication]")...), mayHear(100)}, "\n")
}

func hears(status int) string {
	if status/100 == 2 {
		return fmt.Sprintf(`<recv response="%d" rrs="true"/>`, status)
	}
	return fmt.Sprintf(`<recv response="%d"/>`, status)
}

func mayHear(status int) string { return fmt.Sprintf(`<recv response="%d" optional="true"/>`, status) }

// hearsWith takes an answer in which an expression must be found.
func hearsWith(status int, expression string) string {
	return fmt.Sprintf(`<recv response="%d">%s</recv>`, status, check(expression))
}

// takes is a request that comes.
func takes(method string) string { return `<recv request="` + method + `"/>` }

// takesWith takes a request in which an expression must be found.
func takesWith(method, expression string) string {
	return fmt.Sprintf(`<recv request="%s">%s</recv>`, method, check(expression))
}

// check ends a scenario as failed where a message has not got an expression. Each needs a variable of its own.
func check(expression string) string {
	escaped := strings.NewReplacer("<", "&lt;", ">", "&gt;", "&", "&amp;").Replace(expression)
	return `<action><ereg regexp="` + escaped + `" search_in="msg" check_it="true" assign_to="found"/></action>`
}

// checked says that what check finds is not used: SIPp takes no scenario in which a variable is not.
const checked = `<Reference variables="found"/>`

// rings is the INVITE at the side that is called. It remembers what a request of that side needs.
const rings = `<recv request="INVITE" rrs="true"><action>
<ereg regexp="&lt;(.*)&gt;" search_in="hdr" header="Contact:" check_it="true" assign_to="whole,peer"/>
<ereg regexp="(.*)" search_in="hdr" header="From:" check_it="true" assign_to="all,from"/>
<ereg regexp="(.*)" search_in="hdr" header="To:" check_it="true" assign_to="rest,to"/>
</action></recv><Reference variables="whole,all,rest,peer,from,to"/>`

// answers is an answer to the INVITE that rang; more are further headers.
func answers(status, sdp string, more ...string) string {
	lines := []string{"SIP/2.0 " + status, "[last_Via:]", "[last_From:]", "[last_To:];tag=[call_number]sipp", "[last_Call-ID:]", "[last_CSeq:]"}
	if status[0] != '3' {
		more = append(more, "Contact: <sip:[local_ip]:[local_port];transport=[transport]>")
	}
	return sends(status[0] == '2', sdp, append(lines, more...)...)
}

// agrees is the 200 of a request inside the dialog, which has the tag already.
func agrees(sdp string, more ...string) string {
	lines := []string{"SIP/2.0 200 OK", "[last_Via:]", "[last_From:]", "[last_To:]", "[last_Call-ID:]", "[last_CSeq:]"}
	return sends(false, sdp, append(lines, more...)...)
}

// calleeSends is a request of the side that was called.
func calleeSends(method string, cseq int, sdp string, more ...string) string {
	lines := []string{
		method + " [$peer] SIP/2.0", "Via: SIP/2.0/[transport] [local_ip]:[local_port];branch=[branch]",
		"From:[$to];tag=[call_number]sipp", "To:[$from]", "Call-ID: [call_id]", fmt.Sprintf("CSeq: %d %s", cseq, method), "Max-Forwards: 70",
	}
	return sends(method != "ACK", sdp, append(lines, more...)...)
}
