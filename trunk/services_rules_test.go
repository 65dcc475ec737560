package trunk

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestCheckServices: each rule refuses with a sentence that names the field.
func TestCheckServices(t *testing.T) {
	rules := Rules{Country: func(c string) bool { return c != "QQ" }}
	us := DNIS{Number: "+12065550911", Country: "US"}
	var many []string
	for i := range 101 {
		many = append(many, fmt.Sprintf("%c%c", 'A'+i/26, 'A'+i%26))
	}
	for _, c := range []struct {
		name string
		err  error
		says string
	}{
		{"streaming", CheckStreaming(&Streaming{Targets: []string{"SQS", "SNS", "EventBridge"}}), ""},
		{"retention", CheckStreaming(&Streaming{RetentionHours: -1}), "DataRetentionInHours"},
		{"four targets", CheckStreaming(&Streaming{Targets: []string{"SQS", "SNS", "EventBridge", "SQS"}}), "at most 3"},
		{"unknown target", CheckStreaming(&Streaming{Targets: []string{"Fax"}}), "NotificationTarget"},
		{"target twice", CheckStreaming(&Streaming{Targets: []string{"SQS", "SQS"}}), "twice"},

		{"external systems", CheckExternalSystems(&ExternalSystems{SessionBorderControllers: []string{"a"}, ContactCenters: []string{"a"}}), ""},
		{"one twice", CheckExternalSystems(&ExternalSystems{SessionBorderControllers: []string{"a", "a"}}), "SessionBorderControllerTypes"},
		{"other twice", CheckExternalSystems(&ExternalSystems{ContactCenters: []string{"a", "a"}}), "ContactCenterSystemTypes"},

		{"emergency", rules.CheckEmergency(&Emergency{DNIS: []DNIS{us, {Number: "+16135550911", Test: "+16135550933", Country: "CA"}}}), ""},
		{"none", rules.CheckEmergency(new(Emergency)), "DNIS"},
		{"too many", rules.CheckEmergency(&Emergency{DNIS: slices.Repeat([]DNIS{us}, MaxDNIS+1)}), "DNIS"},
		{"no plus", rules.CheckEmergency(&Emergency{DNIS: []DNIS{{Number: "12065550911", Country: "US"}}}), "EmergencyPhoneNumber"},
		{"test number", rules.CheckEmergency(&Emergency{DNIS: []DNIS{{Number: us.Number, Test: "933", Country: "US"}}}), "TestPhoneNumber"},
		{"country", rules.CheckEmergency(&Emergency{DNIS: []DNIS{{Number: us.Number, Country: "QQ"}}}), "CallingCountry"},
		{"number twice", rules.CheckEmergency(&Emergency{DNIS: []DNIS{us, us}}), "twice"},

		{"proxy", rules.CheckProxy(&Proxy{ExpiryMinutes: 1, Countries: many[:100], Fallback: "12065550100"}), ""},
		{"minutes", rules.CheckProxy(&Proxy{Countries: []string{"US"}}), "DefaultSessionExpiryMinutes"},
		{"no country", rules.CheckProxy(&Proxy{ExpiryMinutes: 1}), "PhoneNumberPoolCountries"},
		{"101 countries", rules.CheckProxy(&Proxy{ExpiryMinutes: 1, Countries: many}), "PhoneNumberPoolCountries"},
		{"lower case", rules.CheckProxy(&Proxy{ExpiryMinutes: 1, Countries: []string{"us"}}), "PhoneNumberPoolCountries"},
		{"country twice", rules.CheckProxy(&Proxy{ExpiryMinutes: 1, Countries: []string{"US", "US"}}), "twice"},
		{"fallback", rules.CheckProxy(&Proxy{ExpiryMinutes: 1, Countries: []string{"US"}, Fallback: "0"}), "FallBackPhoneNumber"},
	} {
		switch {
		case c.says == "" && c.err != nil:
			t.Errorf("%s: %v", c.name, c.err)
		case c.says != "" && (KindOf(c.err) != Invalid || !strings.Contains(c.err.Error(), c.says)):
			t.Errorf("%s: got %v, want a refusal with %q", c.name, c.err, c.says)
		}
		if c.err != nil && strings.Contains(c.err.Error(), "5550911") {
			t.Errorf("%s: a number is in %q", c.name, c.err)
		}
	}
}
