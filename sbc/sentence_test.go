package sbc

import (
	"strings"
	"testing"

	"carillon/call"
	"carillon/sip/digest"
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

// TestCredentialAdvice: only who may have a wrong password is told to check it, and nobody learns which user names there are.
func TestCredentialAdvice(t *testing.T) {
	both := []digest.Algorithm{digest.MD5, digest.SHA256}
	for why, want := range map[digest.Why]string{
		digest.WhyPassword:  "The credentials do not verify: the user is unknown or the password another. Check user and password; the realm is the connector's host name.",
		digest.WhyURI:       "The credentials do not verify: their uri is not the one that was called. Have the phone put the user and host of the Request-URI into the digest's uri (SIPp: -auth_uri NUMBER@HOST).",
		digest.WhyAlgorithm: "The credentials do not verify: their algorithm is not one that was offered, which are MD5 and SHA-256. Have the phone take one that is, or offer another: carillon connector set ID digest=ALGORITHMS.",
		digest.WhyForm:      "The credentials do not verify: they lack qop=auth with a cnonce and an eight-digit nc, or hide the user name. Have the phone answer as RFC 7616 says.",
		digest.WhyMalformed: "The credentials do not verify: they cannot be read. Have the phone answer as RFC 7616 says.",
		lockedOut:           "The credentials do not verify: too many wrong ones came from this address. Correct user and password, and wait 5 minutes at most.",
	} {
		if v := judge(wrongCredentials(why, both)); v.sentence+" "+v.fix != want {
			t.Errorf("%s: %q, want %q", why, v.sentence+" "+v.fix, want)
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
	if got := judge(call.Refuse(call.ReasonCredentialsNeverSent, "")).fix; !strings.HasSuffix(got, "carillon connector set ID digest=md5 offers MD5 alone.") {
		t.Errorf("a phone without SHA-256 is told %q", got)
	}
}
