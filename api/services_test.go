package api

import (
	"strings"
	"testing"
)

// serviceCase puts one part of a connector and says what is answered.
type serviceCase struct {
	name, path, member string
	// put is the request; inner says that it has the part in a member of the same name.
	put   string
	inner bool
	want  string
}

func TestServices(t *testing.T) {
	n := startNode(t)
	for _, c := range []serviceCase{
		{"streaming in full", "streaming-configuration", "StreamingConfiguration",
			`{"DataRetentionInHours":5,"Disabled":true,"StreamingNotificationTargets":[{"NotificationTarget":"SQS"},{"NotificationTarget":"SNS"}],` +
				`"MediaInsightsConfiguration":{"ConfigurationArn":"arn:aws:chime:us-east-1:111111111111:media-insights-pipeline-configuration/x","Disabled":true}}`, true,
			`{"DataRetentionInHours":5,"Disabled":true,"MediaInsightsConfiguration":{"ConfigurationArn":"arn:aws:chime:us-east-1:111111111111:media-insights-pipeline-configuration/x","Disabled":true},` +
				`"StreamingNotificationTargets":[{"NotificationTarget":"SQS"},{"NotificationTarget":"SNS"}]}`},
		{"streaming, required members", "streaming-configuration", "StreamingConfiguration",
			`{"DataRetentionInHours":0}`, true, `{"DataRetentionInHours":0,"Disabled":false}`},
		{"streaming with insights alone", "streaming-configuration", "StreamingConfiguration",
			`{"DataRetentionInHours":1,"Disabled":false,"MediaInsightsConfiguration":{}}`, true,
			`{"DataRetentionInHours":1,"Disabled":false,"MediaInsightsConfiguration":{"Disabled":false}}`},
		{"logging", "logging-configuration", "LoggingConfiguration", `{"EnableSIPLogs":true,"EnableMediaMetricLogs":true}`, true,
			`{"EnableMediaMetricLogs":true,"EnableSIPLogs":true}`},
		{"logging, nothing said", "logging-configuration", "LoggingConfiguration", `{}`, true,
			`{"EnableMediaMetricLogs":false,"EnableSIPLogs":false}`},
		{"emergency", "emergency-calling-configuration", "EmergencyCallingConfiguration",
			`{"DNIS":[{"EmergencyPhoneNumber":"12065550911","TestPhoneNumber":"12065550933","CallingCountry":"US"},{"EmergencyPhoneNumber":"+16135550911","CallingCountry":"CA"}]}`, true,
			`{"DNIS":[{"CallingCountry":"US","EmergencyPhoneNumber":"+12065550911","TestPhoneNumber":"+12065550933"},{"CallingCountry":"CA","EmergencyPhoneNumber":"+16135550911"}]}`},
		{"external systems", "external-systems-configuration", "ExternalSystemsConfiguration",
			`{"SessionBorderControllerTypes":["RIBBON_SBC","AVAYA_SBCE"],"ContactCenterSystemTypes":["AVAYA_AURA_CONTACT_CENTER"]}`, false,
			`{"ContactCenterSystemTypes":["AVAYA_AURA_CONTACT_CENTER"],"SessionBorderControllerTypes":["RIBBON_SBC","AVAYA_SBCE"]}`},
		{"no external systems", "external-systems-configuration", "ExternalSystemsConfiguration", `{}`, false,
			`{"ContactCenterSystemTypes":[],"SessionBorderControllerTypes":[]}`},
		{"proxy", "programmable-numbers/proxy", "Proxy",
			`{"DefaultSessionExpiryMinutes":60,"Disabled":true,"FallBackPhoneNumber":"12065550100","PhoneNumberPoolCountries":["US","CA"]}`, false,
			`{"DefaultSessionExpiryMinutes":60,"Disabled":true,"FallBackPhoneNumber":"12065550100","PhoneNumberCountries":["US","CA"]}`},
		{"proxy, required members", "programmable-numbers/proxy", "Proxy",
			`{"DefaultSessionExpiryMinutes":1,"PhoneNumberPoolCountries":["US"]}`, false,
			`{"DefaultSessionExpiryMinutes":1,"Disabled":false,"PhoneNumberCountries":["US"]}`},
	} {
		c.run(t, n)
	}
}

func (c serviceCase) run(t *testing.T, n *node) {
	t.Helper()
	id := n.create(t, accountA, true)
	n.bothDirections(t, id)
	path := "/voice-connectors/" + id + "/" + c.path
	n.do(t, accountA, "GET", path, "").want(t, 404)
	body := c.put
	if c.inner {
		body = `{"` + c.member + `":` + c.put + `}`
	}
	want := `{"` + c.member + `":` + c.want + `}`
	if a := n.do(t, accountA, "PUT", path, body).want(t, 200); a.Body != want {
		t.Errorf("%s: put answers\n%s, want\n%s", c.name, a.Body, want)
	}
	if a := n.do(t, accountA, "GET", path, "").want(t, 200); a.Body != want {
		t.Errorf("%s: get answers\n%s, want\n%s", c.name, a.Body, want)
	}
	if c.path == "logging-configuration" {
		return // it has no delete
	}
	n.do(t, accountA, "DELETE", path, "").want(t, 204)
	n.do(t, accountA, "GET", path, "").want(t, 404)
	n.do(t, accountA, "DELETE", path, "").want(t, 404)
	if k, _ := n.directory.Snapshot().Connector(id); k.Services != nil {
		t.Errorf("%s: %+v is left", c.name, k.Services)
	}
}

// bothDirections gives a connector what an emergency configuration needs.
func (n *node) bothDirections(t testing.TB, id string) {
	t.Helper()
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/termination", usTermination).want(t, 200)
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/origination", `{"Origination":{"Routes":[{"Host":"a.example"}]}}`).want(t, 200)
}

func TestServiceRefusals(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	n.bothDirections(t, id)
	const voice, chime = "voice-chime.us-east-1.amazonaws.com", "chime.us-east-1.amazonaws.com"
	before := n.revision(t)
	dnis := func(entries string) string { return `{"EmergencyCallingConfiguration":{"DNIS":[` + entries + `]}}` }
	const one = `{"EmergencyPhoneNumber":"+12065550911","CallingCountry":"US"}`
	for _, c := range []struct{ name, host, path, body, says string }{
		{"streaming without Disabled in voice", voice, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":0}}`, "disabled"},
		{"streaming without retention", chime, "streaming-configuration", `{"StreamingConfiguration":{"Disabled":false}}`, "dataRetentionInHours"},
		{"streaming below 0", voice, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":-1,"Disabled":false}}`, "dataRetentionInHours"},
		{"no targets in a list", voice, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":1,"Disabled":false,"StreamingNotificationTargets":[]}}`, "streamingNotificationTargets"},
		{"target without a name", voice, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":1,"Disabled":false,"StreamingNotificationTargets":[{}]}}`, "NotificationTarget"},
		{"unknown target", voice, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":1,"Disabled":false,"StreamingNotificationTargets":[{"NotificationTarget":"Fax"}]}}`, "Fax"},
		{"target twice", chime, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":1,"StreamingNotificationTargets":[{"NotificationTarget":"SQS"},{"NotificationTarget":"SQS"}]}}`, "twice"},
		{"insights that are no ARN", voice, "streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":1,"Disabled":false,"MediaInsightsConfiguration":{"ConfigurationArn":"val"}}}`, "configurationArn"},
		{"no logging", voice, "logging-configuration", `{}`, "loggingConfiguration"},
		{"unknown system", voice, "external-systems-configuration", `{"SessionBorderControllerTypes":["KAMAILIO"]}`, "KAMAILIO"},
		{"system twice", voice, "external-systems-configuration", `{"ContactCenterSystemTypes":["AVAYA_AURA_CONTACT_CENTER","AVAYA_AURA_CONTACT_CENTER"]}`, "twice"},
		{"proxy of 0 minutes", voice, "programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":0,"PhoneNumberPoolCountries":["US"]}`, "DefaultSessionExpiryMinutes"},
		{"proxy without countries", voice, "programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":1,"PhoneNumberPoolCountries":[]}`, "phoneNumberPoolCountries"},
		{"proxy of an empty country", voice, "programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":1,"PhoneNumberPoolCountries":[""]}`, "ISO 3166-1"},
		{"proxy of no country", voice, "programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":1,"PhoneNumberPoolCountries":["QQ"]}`, "QQ"},
		{"proxy country twice", chime, "programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":1,"PhoneNumberPoolCountries":["US","US"]}`, "twice"},
		{"fallback of one digit", voice, "programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":1,"PhoneNumberPoolCountries":["US"],"FallBackPhoneNumber":"1"}`, "fallBackPhoneNumber"},
		{"no emergency numbers", voice, "emergency-calling-configuration", `{"EmergencyCallingConfiguration":{}}`, "give 1 to 20"},
		{"21 emergency numbers", voice, "emergency-calling-configuration", dnis(one + strings.Repeat(","+one, 20)), "give 1 to 20"},
		{"emergency number twice", voice, "emergency-calling-configuration", dnis(one + `,{"EmergencyPhoneNumber":"12065550911","CallingCountry":"CA"}`), "twice"},
		{"emergency number not in E.164", voice, "emergency-calling-configuration", dnis(`{"EmergencyPhoneNumber":"0911","CallingCountry":"US"}`), "emergencyPhoneNumber"},
		{"test number not in E.164", voice, "emergency-calling-configuration", dnis(`{"EmergencyPhoneNumber":"+12065550911","TestPhoneNumber":"+0","CallingCountry":"US"}`), "testPhoneNumber"},
		{"emergency number without a country", voice, "emergency-calling-configuration", dnis(`{"EmergencyPhoneNumber":"+12065550911"}`), "callingCountry"},
		{"no such country", voice, "emergency-calling-configuration", dnis(`{"EmergencyPhoneNumber":"+12065550911","CallingCountry":"QQ"}`), "QQ"},
		{"premium number", voice, "emergency-calling-configuration", dnis(`{"EmergencyPhoneNumber":"+19005550100","CallingCountry":"US"}`), "premium"},
		{"premium test number", voice, "emergency-calling-configuration", dnis(`{"EmergencyPhoneNumber":"+12065550911","TestPhoneNumber":"+19005550100","CallingCountry":"US"}`), "premium"},
	} {
		a := n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/"+c.path, c.body, "Host", c.host)
		if a.Status != 400 || a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), c.says) {
			t.Errorf("%s: got %d %s, want 400 with %q", c.name, a.Status, a.Body, c.says)
		}
		if strings.Contains(a.Body, "2065550911") || strings.Contains(a.Body, "9005550100") {
			t.Errorf("%s: a phone number is in %s", c.name, a.Body)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestEmergencyNeedsBothDirections: neither may be missing or disabled when the configuration comes, nor go while it is
// there.
func TestEmergencyNeedsBothDirections(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	c := "/voice-connectors/" + id
	const route = `"Routes":[{"Host":"a.example"}]`
	disabledTermination := strings.Replace(usTermination, `"Termination":{`, `"Termination":{"Disabled":true,`, 1)
	steps := []struct {
		name, method, target, body string
		status                     int
	}{
		{"without either", "PUT", "/emergency-calling-configuration", emergencyDNIS, 400},
		{"termination", "PUT", "/termination", usTermination, 200},
		{"without origination", "PUT", "/emergency-calling-configuration", emergencyDNIS, 400},
		{"origination, disabled", "PUT", "/origination", `{"Origination":{"Disabled":true,` + route + `}}`, 200},
		{"with origination disabled", "PUT", "/emergency-calling-configuration", emergencyDNIS, 400},
		{"origination", "PUT", "/origination", `{"Origination":{` + route + `}}`, 200},
		{"termination, disabled", "PUT", "/termination", disabledTermination, 200},
		{"with termination disabled", "PUT", "/emergency-calling-configuration", emergencyDNIS, 400},
		{"termination again", "PUT", "/termination", usTermination, 200},
		{"with both", "PUT", "/emergency-calling-configuration", emergencyDNIS, 200},

		{"delete termination", "DELETE", "/termination", "", 400},
		{"disable termination", "PUT", "/termination", disabledTermination, 400},
		{"change termination", "PUT", "/termination", usTermination, 200},
		{"delete origination", "DELETE", "/origination", "", 400},
		{"disable origination", "PUT", "/origination", `{"Origination":{"Disabled":true,` + route + `}}`, 400},
		{"change origination", "PUT", "/origination", `{"Origination":{` + route + `}}`, 200},

		{"delete the configuration", "DELETE", "/emergency-calling-configuration", "", 204},
		{"then disable origination", "PUT", "/origination", `{"Origination":{"Disabled":true,` + route + `}}`, 200},
		{"then delete origination", "DELETE", "/origination", "", 204},
		{"then disable termination", "PUT", "/termination", disabledTermination, 200},
		{"then delete termination", "DELETE", "/termination", "", 204},
	}
	for _, s := range steps {
		before := n.revision(t)
		a := n.do(t, accountA, s.method, c+s.target, s.body)
		if a.Status != s.status {
			t.Errorf("%s: got %d %s, want %d", s.name, a.Status, a.Body, s.status)
		}
		if s.status == 400 && (a.errorType() != "BadRequestException" || !strings.Contains(a.text(t, "Message"), "emergency calling configuration") || n.revision(t) != before) {
			t.Errorf("%s: got %s %s, stored %t", s.name, a.errorType(), a.Body, n.revision(t) != before)
		}
	}
}
