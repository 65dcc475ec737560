package main

import (
	"strings"
	"unicode"
)

// initialisms are the words Go writes in one case.
var initialisms = map[string]string{
	"Id": "ID", "Ids": "IDs", "Arn": "ARN", "Arns": "ARNs", "Aws": "AWS", "Sip": "SIP", "Cidr": "CIDR", "Cdr": "CDR",
	"Cps": "CPS", "Url": "URL", "Uri": "URI", "Ip": "IP", "Sqs": "SQS", "Sns": "SNS", "Ipv4": "IPv4", "Tcp": "TCP", "Udp": "UDP",
}

// goName turns a model's name into an exported Go name: VoiceConnectorId becomes VoiceConnectorID, streetName StreetName.
func goName(name string) string {
	var b strings.Builder
	for _, word := range words(name) {
		r := []rune(word)
		r[0] = unicode.ToUpper(r[0])
		word = string(r)
		if fixed, ok := initialisms[word]; ok {
			word = fixed
		}
		b.WriteString(word)
	}
	return b.String()
}

// words splits a camel-case name before every capital that follows a small letter or a digit, and before the last
// capital of a run that a small letter follows (SMACreate is SMA, Create).
func words(name string) []string {
	r := []rune(name)
	var out []string
	start := 0
	for i := 1; i < len(r); i++ {
		if !unicode.IsUpper(r[i]) {
			continue
		}
		afterRun := unicode.IsUpper(r[i-1]) && i+1 < len(r) && unicode.IsLower(r[i+1])
		if !unicode.IsUpper(r[i-1]) || afterRun {
			out, start = append(out, string(r[start:i])), i
		}
	}
	return append(out, string(r[start:]))
}

// longestShout is the longest enum value in capitals that is taken for an abbreviation: SMS, but not ACTIVE.
const longestShout = 4

// valueName turns an enum value into the end of a constant's name: us-east-1 becomes UsEast1, IPV4_ONLY IPv4Only.
func valueName(value string) string {
	var b strings.Builder
	shouting := len(value) > longestShout && value == strings.ToUpper(value)
	for _, part := range strings.FieldsFunc(value, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if shouting {
			part = strings.ToLower(part)
		}
		b.WriteString(goName(part))
	}
	return b.String()
}
