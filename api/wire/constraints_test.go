package wire

import (
	"net/url"
	"strings"
	"testing"

	"carillon/restjson"
)

// The constraints of the operations that matter most, in the words a client gets; one line for each namespace where
// they differ.
func TestConstraints(t *testing.T) {
	const (
		connector = "abcdef1ghij2klmno3pqr4"
		must      = "1 validation error detected: "
		notNull   = "failed to satisfy constraint: Member must not be null"
	)
	long := strings.Repeat("n", 257)
	tests := []struct {
		attempt
		chime, voice, either string // "" is success
	}{
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"demo","RequireEncryption":true}`}, "", "", ""},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"demo","RequireEncryption":true,"Unknown":{"a":[1]}}`}, "", "", ""},
		{attempt{OpCreateVoiceConnector, "", "", ``},
			"2 validation errors detected: Value null at 'name' " + notNull + "; Value null at 'requireEncryption' " + notNull, "=", "="},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"` + long + `","RequireEncryption":false}`},
			must + "Value '" + long[:256] + "…' at 'name' failed to satisfy constraint: Member must have length less than or equal to 256", "=", "="},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"` + long[:256] + `","RequireEncryption":false}`}, "", "", ""},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"","RequireEncryption":false}`},
			must + "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1",
			"2 validation errors detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1; " +
				"Value '' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9 _.-]+",
			must + "Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"bad/ütf%*","RequireEncryption":false}`}, "",
			must + "Value 'bad/ütf%*' at 'name' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9 _.-]+", ""},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"n","RequireEncryption":false,"AwsRegion":"eu-central-1"}`},
			must + "Value 'eu-central-1' at 'awsRegion' failed to satisfy constraint: Member must satisfy enum value set: [us-east-1, us-west-2]", "", ""},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"n","RequireEncryption":false,"AwsRegion":"mars-1"}`},
			must + "Value 'mars-1' at 'awsRegion' failed to satisfy constraint: Member must satisfy enum value set: [us-east-1, us-west-2]",
			must + "Value 'mars-1' at 'awsRegion' failed to satisfy constraint: Member must satisfy enum value set: [us-east-1, us-west-2, ca-central-1, eu-central-1, eu-west-1, eu-west-2, ap-northeast-2, ap-northeast-1, ap-southeast-1, ap-southeast-2]", "="},
		// A member of the other namespace is an unknown one.
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"n","RequireEncryption":false,"NetworkType":"WEIRD"}`}, "",
			must + "Value 'WEIRD' at 'networkType' failed to satisfy constraint: Member must satisfy enum value set: [IPV4_ONLY, DUAL_STACK]", "="},
		{attempt{OpCreateVoiceConnector, "", "", `{"Name":"n","RequireEncryption":"true"}`}, "STRING_VALUE can not be converted to a Boolean at 'requireEncryption'.", "=", "="},
		{attempt{OpListVoiceConnectors, "", "max-results=99", ""}, "", "", ""},
		{attempt{OpListVoiceConnectors, "", "max-results=100", ""},
			must + "Value '100' at 'maxResults' failed to satisfy constraint: Member must have value less than or equal to 99", "", ""},
		{attempt{OpListVoiceConnectors, "", "max-results=0", ""},
			must + "Value '0' at 'maxResults' failed to satisfy constraint: Member must have value greater than or equal to 1", "=", "="},
		{attempt{OpGetVoiceConnector, connector, "", ""}, "", "", ""},
		{attempt{OpGetVoiceConnector, "nope", "", ""}, "",
			must + "Value 'nope' at 'voiceConnectorId' failed to satisfy constraint: Member must satisfy regular expression pattern: ([a-z0-9]{21,22}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})", ""},
		{attempt{OpPutVoiceConnectorTermination, connector, "", `{}`}, must + "Value null at 'termination' " + notNull, "=", "="},
		{attempt{OpPutVoiceConnectorTermination, connector, "", `{"Termination":{"CpsLimit":0}}`},
			must + "Value '0' at 'termination.cpsLimit' failed to satisfy constraint: Member must have value greater than or equal to 1", "=", "="},
		{attempt{OpPutVoiceConnectorOrigination, connector, "", `{"Origination":{"Routes":[{"Host":"h","Port":5061,"Protocol":"TLS","Priority":1,"Weight":101}]}}`},
			"2 validation errors detected: Value 'TLS' at 'origination.routes.1.member.protocol' failed to satisfy constraint: Member must satisfy enum value set: [TCP, UDP]; " +
				"Value '101' at 'origination.routes.1.member.weight' failed to satisfy constraint: Member must have value less than or equal to 100", "=", "="},
		{attempt{OpDeleteVoiceConnectorTerminationCredentials, connector, "", `{}`}, must + "Value null at 'usernames' " + notNull, "=", "="},
		{attempt{OpPutVoiceConnectorTerminationCredentials, connector, "", `{}`}, "", "", ""},
		{attempt{OpUpdateVoiceConnectorGroup, connector, "", `{"Name":"n","VoiceConnectorItems":[{"VoiceConnectorId":"` + connector + `"}]}`},
			must + "Value null at 'voiceConnectorItems.1.member.priority' " + notNull, "", ""},
	}
	for _, tt := range tests {
		wants := [...]string{Chime: tt.chime, Voice: tt.voice, Either: tt.either}
		for ns := range namespaceCount {
			want := wants[ns]
			if want == "=" {
				wants[ns] = wants[ns-1]
				want = wants[ns]
			}
			if got := tt.decode(ns); got != want {
				t.Errorf("%v in %v, %.80s:\n got %s\nwant %s", tt.op, ns, tt.body, got, want)
			}
		}
	}
}

// attempt is a request to one operation; label is the value of its first label.
type attempt struct {
	op                 OperationID
	label, query, body string
}

// decode returns the message of the error, or "".
func (a attempt) decode(ns Namespace) string {
	op := Operations()[a.op]
	req := restjson.Request{Labels: map[string]string{}, Query: url.Values{}, Body: []byte(a.body)}
	if _, name, found := strings.Cut(op.Route.Template, "{"); found {
		name, _, _ = strings.Cut(name, "}")
		req.Labels[name] = a.label
	}
	if name, value, found := strings.Cut(a.query, "="); found {
		req.Query.Set(name, value)
	}
	in, _ := messages[a.op]()
	if err := restjson.Decode(op.In(ns).Input, req, in); err != nil {
		return err.Error()
	}
	return ""
}
