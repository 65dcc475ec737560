package sbc

import (
	"strings"
	"testing"

	"carillon/call"
)

// TestSentencesRead: what a caller is told reads as sentences, whatever phrase completes it.
func TestSentencesRead(t *testing.T) {
	for _, tt := range []struct {
		refusal *call.Refusal
		want    string
	}{
		{call.Refuse(call.ReasonMediaNotEncrypted, "the offer is RTP/AVP"),
			"The connector has RequireEncryption: media must be offered and answered as RTP/SAVP with an a=crypto key. The offer is RTP/AVP."},
		{call.Refuse(call.ReasonNoRoute, "The connector has no origination."), "Nothing leads to the number. The connector has no origination."},
		{call.Refuse(call.ReasonNoCommonSuite, ""), "None of the SRTP crypto lines can be used."},
		{call.Refuse(call.ReasonBadDescription, "the answer has no section for the one offered"),
			"The session description cannot be used: the answer has no section for the one offered."},
		{call.Refuse(call.ReasonBadDescription, "the answer has none."), "The session description cannot be used: the answer has none."},
		{call.Refuse(call.ReasonCallerIDNotOwned, ""), "The caller id is not a number of the account."},
		{rateExceeded("Termination.CpsLimit", 10, ""), "More calls started in a second than Termination.CpsLimit, which is 10, allows."},
		{call.Refuse(call.ReasonNumberUnknown, "+12065550100"), "No Voice Connector takes calls for +12065550100."},
	} {
		if got := judge(tt.refusal).sentence; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.refusal.Reason, got, tt.want)
		}
	}
}

// TestAdvice: a refusal's own advice goes before its reason's.
func TestAdvice(t *testing.T) {
	refusal := call.Refuse(call.ReasonBadDescription, "its media address is not one that this node sends to")
	refusal.Fix = "Describe another."
	if got, want := judge(refusal).warningHeader("node"), `399 node "The session description cannot be used: its media address is not one that this node sends to. Describe another."`; got != want {
		t.Errorf("Warning: %s, want %s", got, want)
	}
	if got := judge(call.Refuse(call.ReasonCredentialsNeverSent, "")).fix; !strings.HasSuffix(got, "SHA-256: carillon connector set ID digest=md5.") {
		t.Errorf("a phone without SHA-256 is told %q", got)
	}
}
