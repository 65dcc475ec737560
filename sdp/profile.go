package sdp

import "strings"

// Profile is the transport of a section: RTP/AVP, RTP/SAVP, RTP/AVPF, RTP/SAVPF, or udptl for fax.
type Profile struct {
	// Secure is true for SAVP and SAVPF, whose keys are in a=crypto (RFC 4568).
	Secure bool
	// Feedback is true for AVPF and SAVPF (RFC 4585, RFC 5124).
	Feedback bool
	// Fax is true for udptl (ITU-T T.38), which has no secure form; nothing else is set then.
	Fax bool
}

// ParseProfile reads the transport of an m= line. DTLS-SRTP and everything else that is neither RTP nor UDPTL over UDP
// give false.
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
	case "UDPTL":
		return Profile{Fax: true}, true
	}
	return Profile{}, false
}

// String returns the transport as an m= line has it.
func (p Profile) String() string {
	if p.Fax {
		return "udptl"
	}
	s := "RTP/AVP"
	if p.Secure {
		s = "RTP/SAVP"
	}
	if p.Feedback {
		s += "F"
	}
	return s
}
