package api

import "strings"

// notOffered is a family of operations that are recognised and refused.
type notOffered struct {
	// part is in the names of the family's operations and of no other's that come behind it.
	part string
	// sentence is what clients read: what it is, and what to use instead where there is something.
	sentence string
}

// notOfferedFamilies returns the families; of those whose part is in a name the first one counts.
func notOfferedFamilies() []notOffered {
	return []notOffered{
		{"ProxySession", "Proxy sessions are not offered by this installation: AWS ended support for them on 2026-04-07. The proxy settings of a Voice Connector are kept and have no effect."},
		{"AlexaSkill", "Alexa skills are not offered by this installation, and neither are the SIP media applications that would use them."},
		{"SipMediaApplication", "SIP media applications, which run on AWS Lambda, are not offered by this installation. Send calls to a SIP host of your own with the origination of a Voice Connector."},
		{"VoiceProfile", "Voice profiles and their domains are not offered by this installation."},
		{"SpeakerSearch", "Speaker search is not offered by this installation."},
		{"VoiceToneAnalysis", "Voice tone analysis is not offered by this installation."},
		{"User", "Phone numbers of Amazon Chime users are not offered by this installation: the Amazon Chime application ended on 2026-02-20. Associate the number with a Voice Connector or a group."},
	}
}

// refusalOf returns the sentence that refuses the operation of that name.
func refusalOf(name string) string {
	for _, family := range notOfferedFamilies() {
		if strings.Contains(name, family.part) {
			return family.sentence
		}
	}
	return name + " is not offered by this installation."
}
