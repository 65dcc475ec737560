package sdp

import "strings"

// Profile is an RTP transport profile: RTP/AVP, RTP/SAVP, RTP/AVPF or RTP/SAVPF.
type Profile struct {
	// Secure is true for SAVP and SAVPF, whose keys are in a=crypto (RFC 4568).
	Secure bool
	// Feedback is true for AVPF and SAVPF (RFC 4585, RFC 5124).
	Feedback bool
}

// ParseProfile reads the transport of an m= line. DTLS-SRTP and everything that is not RTP over UDP give
// false.
func ParseProfile(proto string) (Profile, bool) {
	switch strings.ToUpper(proto) {
	case "RTP/AVP":
		return Profile{}, true
	case "RTP/AVPF":
		return Profile{Feedback: true}, true
	case "RTP/SAVP":
		return Profile{Secure: true}, true
	case "RTP/SAVPF":
		return Profile{Secure: true, Feedback: true}, true
	}
	return Profile{}, false
}

// String returns the transport as an m= line has it.
func (p Profile) String() string {
	s := "RTP/AVP"
	if p.Secure {
		s = "RTP/SAVP"
	}
	if p.Feedback {
		s += "F"
	}
	return s
}
