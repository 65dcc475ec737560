package sbc

import (
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
		{call.Refuse(call.ReasonNumberUnknown, "+12065550100"), "No Voice Connector takes calls for +12065550100."},
	} {
		if got := judge(tt.refusal).sentence; got != tt.want {
			t.Errorf("%s: %q, want %q", tt.refusal.Reason, got, tt.want)
		}
	}
}
