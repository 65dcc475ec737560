package call

// Reason says why a call ended or was refused. One name serves as metric label, record field and key of the
// table of SIP answers.
type Reason uint8

// The reasons. Those up to ReasonHangup end a call that was let in; the others refuse one.
const (
	// ReasonNone is the zero value: the call has not ended.
	ReasonNone Reason = iota
	// ReasonHangup is a BYE from either side.
	ReasonHangup
	// ReasonCancelled is a CANCEL, or a caller that went away, before the answer.
	ReasonCancelled
	// ReasonAckTimeout ends a call whose 2xx was never acknowledged.
	ReasonAckTimeout
	// ReasonMediaSilence ends a call whose promised media stopped.
	ReasonMediaSilence
	// ReasonSessionExpired ends a call whose session timer ran out.
	ReasonSessionExpired
	// ReasonMaxDuration ends a call at the longest time a call may last.
	ReasonMaxDuration
	// ReasonConnectionLost ends a call whose peer can no longer be reached.
	ReasonConnectionLost
	// ReasonShutdown ends calls that outlived the drain time.
	ReasonShutdown
	// ReasonPlainInDialog ends a call after a request in the clear carried a key.
	ReasonPlainInDialog
	// ReasonTransferred ends a call whose one side has gone over into another call.
	ReasonTransferred
	// ReasonRemoteRefused is a final answer of the far side that is passed on.
	ReasonRemoteRefused
	// ReasonConnectorUnknown: the Request-URI names no connector.
	ReasonConnectorUnknown
	// ReasonNumberUnknown: no connector owns the number a carrier dialled.
	ReasonNumberUnknown
	// ReasonSourceNotAllowed: the source is not in CidrAllowedList.
	ReasonSourceNotAllowed
	// ReasonTerminationDisabled: no termination, or Disabled is true.
	ReasonTerminationDisabled
	// ReasonCountryNotAllowed: the destination is not in CallingRegions.
	ReasonCountryNotAllowed
	// ReasonSignallingNotEncrypted: RequireEncryption and the request came over UDP or TCP.
	ReasonSignallingNotEncrypted
	// ReasonSIPSNotOverTLS: a request for a sips URI came over UDP or TCP.
	ReasonSIPSNotOverTLS
	// ReasonSIPSNotAllowed: a call to a sips URI has no target that is reached over TLS.
	ReasonSIPSNotAllowed
	// ReasonMediaNotEncrypted: RequireEncryption and the description offers or answers plain RTP.
	ReasonMediaNotEncrypted
	// ReasonKeyInCleartext: a key was offered over UDP or TCP.
	ReasonKeyInCleartext
	// ReasonNoCommonSuite: no crypto line can be used.
	ReasonNoCommonSuite
	// ReasonNoCommonCodec: no payload format or media type can be used.
	ReasonNoCommonCodec
	// ReasonBadDescription: the session description cannot be understood.
	ReasonBadDescription
	// ReasonCredentialsRequired: the connector has credentials and the request carries none.
	ReasonCredentialsRequired
	// ReasonCredentialsWrong: the digest does not verify.
	ReasonCredentialsWrong
	// ReasonCredentialsNeverSent: a caller was challenged and never came back.
	ReasonCredentialsNeverSent
	// ReasonCallerIDNotOwned: the caller id is not a number of the account.
	ReasonCallerIDNotOwned
	// ReasonNumberMalformed: the number dialled is not E.164.
	ReasonNumberMalformed
	// ReasonCPSExceeded: more calls a second than CpsLimit.
	ReasonCPSExceeded
	// ReasonConcurrencyExceeded: more calls up than the account may hold.
	ReasonConcurrencyExceeded
	// ReasonNoRoute: nothing leads to the number.
	ReasonNoRoute
	// ReasonAllTargetsFailed: every target was tried.
	ReasonAllTargetsFailed
	// ReasonTransferNotAllowed: the connector's setting does not let this side transfer the call or replace a dialog.
	ReasonTransferNotAllowed
	// ReasonDialogUnknown: Replaces names a dialog that this connector does not have on this node.
	ReasonDialogUnknown
	// ReasonDialogAnswered: Replaces asks for a dialog that is not answered yet, and the one it names is.
	ReasonDialogAnswered
	// ReasonRequestNotSupported: the request asks for what the node does not do, or brings what it cannot read.
	ReasonRequestNotSupported
	// ReasonDraining: the node is shutting down.
	ReasonDraining
	// ReasonStoreStale: the node cannot confirm its revision.
	ReasonStoreStale
	// ReasonNodeFull: ports, transactions or calls of the node are used up.
	ReasonNodeFull
	// ReasonInternal: a fault of this node.
	ReasonInternal

	reasonCount
)

var reasonNames = [reasonCount]string{
	ReasonNone:                   "none",
	ReasonHangup:                 "hangup",
	ReasonCancelled:              "cancelled",
	ReasonAckTimeout:             "ack_timeout",
	ReasonMediaSilence:           "media_silence",
	ReasonSessionExpired:         "session_expired",
	ReasonMaxDuration:            "max_duration",
	ReasonConnectionLost:         "connection_lost",
	ReasonShutdown:               "shutdown",
	ReasonPlainInDialog:          "plain_in_dialog",
	ReasonTransferred:            "transferred",
	ReasonRemoteRefused:          "remote_refused",
	ReasonConnectorUnknown:       "connector_unknown",
	ReasonNumberUnknown:          "number_unknown",
	ReasonSourceNotAllowed:       "source_not_allowed",
	ReasonTerminationDisabled:    "termination_disabled",
	ReasonCountryNotAllowed:      "country_not_allowed",
	ReasonSignallingNotEncrypted: "signalling_not_encrypted",
	ReasonSIPSNotOverTLS:         "sips_not_over_tls",
	ReasonSIPSNotAllowed:         "sips_not_allowed",
	ReasonMediaNotEncrypted:      "media_not_encrypted",
	ReasonKeyInCleartext:         "key_in_cleartext",
	ReasonNoCommonSuite:          "no_common_suite",
	ReasonNoCommonCodec:          "no_common_codec",
	ReasonBadDescription:         "bad_description",
	ReasonCredentialsRequired:    "credentials_required",
	ReasonCredentialsWrong:       "credentials_wrong",
	ReasonCredentialsNeverSent:   "credentials_never_sent",
	ReasonCallerIDNotOwned:       "caller_id_not_owned",
	ReasonNumberMalformed:        "number_malformed",
	ReasonCPSExceeded:            "cps_exceeded",
	ReasonConcurrencyExceeded:    "concurrency_exceeded",
	ReasonNoRoute:                "no_route",
	ReasonAllTargetsFailed:       "all_targets_failed",
	ReasonTransferNotAllowed:     "transfer_not_allowed",
	ReasonDialogUnknown:          "dialog_unknown",
	ReasonDialogAnswered:         "dialog_answered",
	ReasonRequestNotSupported:    "request_not_supported",
	ReasonDraining:               "draining",
	ReasonStoreStale:             "store_stale",
	ReasonNodeFull:               "node_full",
	ReasonInternal:               "internal",
}

// String returns the reason's one name, for example "media_not_encrypted".
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns every reason but ReasonNone, so that tables over them can be proven total.
func Reasons() []Reason {
	all := make([]Reason, 0, reasonCount-1)
	for r := ReasonNone + 1; r < reasonCount; r++ {
		all = append(all, r)
	}
	return all
}

// ParseReason reads the names that String writes.
func ParseReason(s string) (Reason, bool) {
	for r := range reasonNames {
		if reasonNames[r] == s {
			return Reason(r), true
		}
	}
	return ReasonNone, false
}

// Refusal is a normal "no". It is a value and not an error: it is neither logged as a fault nor wrapped.
// A nil *Refusal means "yes".
type Refusal struct {
	// Reason is the rule that fired.
	Reason Reason
	// Detail completes the rule's sentence with the fact of this call, for example the number or the
	// missing suite. It never holds keys, passwords or authorization data.
	Detail string
	// Fix says what changes it, where the reason's own advice would be beside the point; most leave it empty.
	Fix string
}

// Refuse returns a Refusal.
func Refuse(r Reason, detail string) *Refusal { return &Refusal{Reason: r, Detail: detail} }
