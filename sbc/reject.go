package sbc

import (
	"cmp"
	"fmt"
	"strings"

	"carillon/call"
)

// rejection is the SIP answer to one reason, and what is said about it. Metrics, records, log lines and headers all
// read this one table.
type rejection struct {
	// status and phrase answer the INVITE; an empty phrase means the status' own.
	status int
	phrase string
	// cause is the Q.850 cause of the Reason header (RFC 3326); 0 sends none.
	cause int
	// warn is the code of a Warning header (RFC 3261 section 20.43); 0 sends none.
	warn int
	// retry sends Retry-After.
	retry bool
	// sentence says which rule fired. %s is the refusal's detail.
	sentence string
	// fix says what changes it.
	fix string
}

// rejections is total over the reasons that refuse a call.
var rejections = map[call.Reason]rejection{
	call.ReasonConnectorUnknown: {404, "", 1, 0, false,
		"No Voice Connector has the host name of the Request-URI, and no carrier calls from this address.",
		"Dial the connector's OutboundHostName, or add the address to a carrier with --source."},
	call.ReasonNumberUnknown: {404, "", 1, 0, false,
		"No Voice Connector takes calls for %s.",
		"Associate the number with a connector: carillon number import NUMBER --connector ID."},
	call.ReasonSourceNotAllowed: {403, "", 21, 399, false,
		"The address %s is not in the connector's CidrAllowedList.",
		"Add the address to Termination.CidrAllowedList: where it has any, credentials do not take its place."},
	call.ReasonTerminationDisabled: {403, "", 21, 399, false,
		"The connector %s.",
		"Put a Termination with Disabled false."},
	call.ReasonCountryNotAllowed: {403, "", 21, 399, false,
		"The number %s.",
		"Add the country to Termination.CallingRegions."},
	call.ReasonSignallingNotEncrypted: {403, "", 21, 399, false,
		"The connector has RequireEncryption: SIP must come over TLS, port %s.",
		"Set the phone's transport to TLS and that port, or turn RequireEncryption off."},
	call.ReasonSIPSNotOverTLS: {403, "", 21, 399, false,
		"The request is for a sips URI and came in the clear: it must come over TLS, port %s.",
		"Set the phone's transport to TLS and that port, or call a sip URI."},
	call.ReasonSIPSNotAllowed: {480, "", 58, 380, false,
		"The call is to a sips URI, which promises TLS on every hop, and nothing that leads to the number is reached over TLS (%s).",
		"Call a sip URI, or give the carrier or the route TLS."},
	call.ReasonMediaNotEncrypted: {488, "", 65, 302, false,
		"The connector has RequireEncryption: media must be offered and answered as RTP/SAVP with an a=crypto key. %s",
		"Turn SRTP (SDES) on in the phone, or turn RequireEncryption off."},
	call.ReasonKeyInCleartext: {488, "", 65, 399, false,
		"The description holds an SRTP key but came in the clear, where anybody on the path could read it. %s",
		"Use TLS for SIP wherever SRTP is used."},
	call.ReasonNoCommonSuite: {488, "", 65, 306, false,
		"None of the SRTP crypto lines can be used. %s",
		"Offer AEAD_AES_128_GCM, AEAD_AES_256_GCM or AES_CM_128_HMAC_SHA1_80 without UNENCRYPTED or UNAUTHENTICATED parameters."},
	call.ReasonNoCommonCodec: {488, "", 65, 305, false,
		"The description holds no audio this call can carry. %s",
		"Offer an audio stream, for example PCMU/8000."},
	call.ReasonBadDescription: {400, "", 111, 399, false,
		"The session description cannot be used: %s",
		"Send a valid SDP body (RFC 8866) with Content-Type application/sdp."},
	call.ReasonCredentialsRequired: {407, "", 0, 0, false,
		"The connector has credentials and the request carries none.",
		"Set the phone's authentication user and password to one of the connector's credentials."},
	call.ReasonCredentialsWrong: {407, "", 0, 0, false,
		"The credentials do not verify: %s.",
		"Check user and password; the realm is the connector's host name."},
	call.ReasonCredentialsNeverSent: {407, "", 0, 0, false,
		"The caller was asked for credentials and never sent any.",
		"Set the phone's authentication user and password to one of the connector's credentials. A phone that has them may give" +
			" up because SHA-256 is offered beside MD5: carillon connector set ID digest=md5 offers MD5 alone."},
	call.ReasonCallerIDNotOwned: {403, "Caller Id %s is not valid", 21, 399, false,
		"The caller id %s is not a number of the account.",
		"Send a number of the account as From or P-Asserted-Identity, or set Termination.DefaultPhoneNumber."},
	call.ReasonNumberMalformed: {484, "", 28, 399, false,
		"The number %s is not in E.164.",
		"Dial a plus sign, the country code and the number, for example +12065550100."},
	call.ReasonCPSExceeded: {503, "", 42, 399, false,
		"More calls started in a second than %s allows.",
		"Raise CpsLimit, or start calls more slowly."},
	call.ReasonConcurrencyExceeded: {503, "", 42, 399, false,
		"As many calls are up already as the quota allows (%s).",
		"Raise the quota with carillon quota set, or wait for a call to end."},
	call.ReasonNoRoute: {404, "", 3, 399, false,
		"Nothing leads to the number. %s",
		"Add a carrier with a matching prefix."},
	call.ReasonAllTargetsFailed: {500, "", 27, 399, false,
		"Every target was tried and failed: %s.",
		"What each target answered is in the call's record: carillon calls list, and carillon calls show CALL."},
	call.ReasonTransferNotAllowed: {403, "", 21, 399, false,
		"The call may not be transferred from this side, and its dialogs not be replaced: %s.",
		"The operator has the node do the transfers of the connector's customer: carillon connector set ID transfers=execute."},
	call.ReasonDialogUnknown: {481, "", 31, 399, false,
		"Replaces names no call of this connector on this node. %s",
		"Transfer to a call of the same connector that is up, through the node that holds both."},
	call.ReasonDialogAnswered: {486, "", 17, 399, false,
		"Replaces asks for a call that still rings (early-only), and the one it names is answered.",
		"Leave early-only out to take over a call that is answered."},
	call.ReasonRequestNotSupported: {400, "", 127, 399, false,
		"The node cannot do what the request asks for: %s.",
		"Have the phone or PBX leave that out; where a call goes round in a circle, change what sends it back here."},
	call.ReasonDraining: {503, "", 41, 399, true,
		"The node is shutting down and takes no new calls.",
		"Try again, or another node."},
	call.ReasonStoreStale: {503, "", 41, 399, true,
		"The node cannot confirm its configuration with the store and takes no new calls.",
		"Restore the connection to the store."},
	call.ReasonNodeFull: {503, "", 34, 399, true,
		"The node has no room for another call: %s.",
		"Raise the limit it names (--max-calls, --max-transactions, --media-ports, the open files of the process), or add a node."},
	call.ReasonInternal: {500, "", 41, 0, false,
		"The node has a fault.",
		"See the node's log."},
}

// endings say why a call that was let in is over; the status answers one that was not answered yet. Together with
// rejections they are total over all reasons.
var endings = map[call.Reason]rejection{
	call.ReasonHangup:    {487, "", 16, 0, false, "A side hung up.", ""},
	call.ReasonCancelled: {487, "", 16, 0, false, "The caller gave up before the call was answered.", ""},
	call.ReasonAckTimeout: {408, "", 102, 0, false, "The caller never acknowledged the answer.",
		"See that ACK reaches the node: Contact and Record-Route must be followed."},
	call.ReasonMediaSilence: {408, "", 102, 0, false, "Promised media stopped: %s",
		"Check the network path and the firewall for the media ports."},
	call.ReasonSessionExpired: {408, "", 102, 0, false, "The session timer ran out without a refresh.", ""},
	call.ReasonMaxDuration: {408, "", 102, 0, false, "The call reached the longest time a call may last.",
		"Raise the node's call limit."},
	call.ReasonConnectionLost: {408, "", 41, 0, false, "A side can no longer be reached: %s", ""},
	call.ReasonShutdown:       {503, "", 41, 0, true, "The node shut down.", ""},
	call.ReasonPlainInDialog: {403, "", 21, 399, false, "A request of the call came in the clear and carried a key.",
		"Keep every request of an encrypted call on TLS."},
	call.ReasonTransferred:   {487, "", 16, 0, false, "A side transferred the call: the other one went on in another call.", ""},
	call.ReasonRemoteRefused: {480, "", 31, 399, false, "The far side refused the call: %s.", ""},
}

// causeOfStatus is the Q.850 cause that stands for a target's final answer without one (RFC 3398 section 8.2.6.1).
func causeOfStatus(status int) int {
	switch status {
	case 400, 481, 500, 503:
		return 41
	case 401, 402, 403, 407, 603:
		return 21
	case 404, 485, 604:
		return 1
	case 405:
		return 63
	case 406, 415, 501:
		return 79
	case 408, 504:
		return 102
	case 410:
		return 22
	case 413, 414, 416, 420, 421, 423, 505, 513:
		return 127
	case 480:
		return 18
	case 482, 483:
		return 25
	case 484:
		return 28
	case 486, 600:
		return 17
	case 488, 606:
		return 65
	case 502:
		return 38
	}
	return 31 // normal, unspecified
}

// verdict is a rejection made for one call.
type verdict struct {
	reason   call.Reason
	status   int
	phrase   string
	sentence string
	fix      string
	cause    int
	warn     int
	retry    bool
}

// judge completes the table's row with the refusal's detail.
func judge(r *call.Refusal) verdict {
	row, ok := rejections[r.Reason]
	if !ok {
		row = endings[r.Reason]
	}
	return verdict{
		reason: r.Reason, status: row.status, phrase: complete(row.phrase, r.Detail),
		sentence: complete(row.sentence, r.Detail), fix: cmp.Or(r.Fix, row.fix),
		cause: row.cause, warn: row.warn, retry: row.retry,
	}
}

// complete puts a detail into a row's text. At the end of a text that has said its sentence, the detail is the next one;
// after a colon it ends the sentence.
func complete(format, detail string) string {
	if !strings.Contains(format, "%s") {
		return format
	}
	switch {
	case strings.HasSuffix(format, ". %s"):
		detail = asSentence(detail)
	case strings.HasSuffix(format, ": %s") && !strings.HasSuffix(detail, "."):
		detail += "."
	}
	if detail == "" {
		format = strings.ReplaceAll(format, " %s ", "%s ") // a caller that shows no number
	}
	return strings.TrimSpace(fmt.Sprintf(format, detail))
}

// asSentence gives a phrase its capital and its full stop.
func asSentence(phrase string) string {
	if phrase == "" {
		return ""
	}
	if first := phrase[0]; first >= 'a' && first <= 'z' {
		phrase = string(first-'a'+'A') + phrase[1:]
	}
	if !strings.HasSuffix(phrase, ".") {
		phrase += "."
	}
	return phrase
}

// reasonHeader returns the value of the Reason header, empty for none (RFC 3326).
func (v verdict) reasonHeader() string {
	if v.cause == 0 {
		return ""
	}
	return fmt.Sprintf("Q.850;cause=%d;text=%s", v.cause, quoted(v.sentence))
}

// warningHeader returns the value of the Warning header, empty for none.
func (v verdict) warningHeader(host string) string {
	if v.warn == 0 {
		return ""
	}
	return fmt.Sprintf("%d %s %s", v.warn, host, quoted(strings.TrimSpace(v.sentence+" "+v.fix)))
}

// quoted returns s as a quoted-string (RFC 3261 section 25.1) of one line.
func quoted(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c == 0x7f:
			b.WriteByte(' ')
		default:
			b.WriteRune(c)
		}
	}
	b.WriteByte('"')
	return b.String()
}
