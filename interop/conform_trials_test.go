package interop

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
)

// trials are all trials in their order. Names in them: an account's own VoiceConnectors ${vc}, ${two} and ${three}, numbers
// of the pool ${n0} to ${n4}, an id of ${nobody}.
func trials(t *testing.T) []trial {
	return slices.Concat(refusedTrials(t), connectorTrials(), terminationTrials(), originationTrials(), groupTrials(), emergencyTrials(), streamingTrials(),
		loggingTrials(), externalTrials(), proxyTrials(), tagTrials(), ruleTrials(), settingsTrials(), numberTrials(), associationTrials(), deletionTrials(),
		groupEndTrials(), endTrials())
}

// refusedFamilies are the operations that this program knows and does not offer, by a part of their names, and what the
// refusal says.
var refusedFamilies = map[string]string{
	"SipMediaApplication":   "are not offered by this installation",
	"VoiceProfile":          "are not offered by this installation",
	"SpeakerSearchTask":     "is not offered by this installation",
	"VoiceToneAnalysisTask": "is not offered by this installation",
	"ProxySession":          "AWS ended support for them on 2026-04-07",
	"PhoneNumberWithUser":   "are not offered by this installation",
	"PhoneNumberFromUser":   "are not offered by this installation",
}

// refusal returns what the refusal of an operation says, if it is refused.
func refusal(operation string) (says string, refused bool) {
	for part, says := range refusedFamilies {
		if strings.Contains(operation, part) {
			return says, true
		}
	}
	return "", false
}

// refusedTrials call every operation that is not offered, with no more than a client insists on.
func refusedTrials(t *testing.T) []trial {
	var all []trial
	done := map[string]bool{}
	for namespace := range models {
		model := readModel(t, namespace)
		for _, operation := range slices.Sorted(maps.Keys(model)) {
			if says, refused := refusal(operation); refused && !done[operation] {
				done[operation] = true
				all = append(all, trial{operation: operation, in: compact(model[operation].Input.minimal()), fails: "ForbiddenException", says: says})
			}
		}
	}
	return all
}

func connectorTrials() []trial {
	return []trial{
		{operation: "ListVoiceConnectors", want: `{"VoiceConnectors":[],"NextToken":null}`},
		{operation: "CreateVoiceConnector", in: `{"Name":"one","RequireEncryption":true,"AwsRegion":"us-west-2"}`,
			want: `{"VoiceConnector":{"VoiceConnectorId":"${vc=}","Name":"one","RequireEncryption":true,"AwsRegion":"us-west-2","OutboundHostName":"${host=}",
				"VoiceConnectorArn":"${arn=}","CreatedTimestamp":"*","UpdatedTimestamp":"*","NetworkType":"IPV4_ONLY","IntegrationType":null}}`},
		{operation: "CreateVoiceConnector", in: `{"Name":"two","RequireEncryption":false}`,
			want: `{"VoiceConnector":{"VoiceConnectorId":"${two=}","RequireEncryption":false,"AwsRegion":"us-east-1","VoiceConnectorArn":"${arn2=}"}}`},
		{operation: "CreateVoiceConnector", in: `{"Name":"three","RequireEncryption":true}`, want: `{"VoiceConnector":{"VoiceConnectorId":"${three=}"}}`},
		{operation: "CreateVoiceConnector", in: `{"Name":"` + strings.Repeat("n", 257) + `","RequireEncryption":true}`, fails: "BadRequestException", says: "256"},
		{operation: "CreateVoiceConnector", in: `{"Name":"four","RequireEncryption":true,"AwsRegion":"mars-1"}`, fails: "BadRequestException", says: "mars-1"},
		{operation: "CreateVoiceConnector", in: `{"Name":"slash/","RequireEncryption":true}`, fails: "BadRequestException", says: "pattern", only: "chime-sdk-voice"},
		{operation: "CreateVoiceConnector", in: `{"Name":"four","RequireEncryption":true,"IntegrationType":"CONNECT_CALL_TRANSFER_CONNECTOR","NetworkType":"IPV4_ONLY"}`, whole: true,
			want: `{"VoiceConnector":{"VoiceConnectorId":"${four=}","IntegrationType":"CONNECT_CALL_TRANSFER_CONNECTOR","NetworkType":"IPV4_ONLY"}}`},
		{operation: "DeleteVoiceConnector", in: `{"VoiceConnectorId":"${four}"}`},
		{operation: "GetVoiceConnector", in: `{"VoiceConnectorId":"${vc}"}`,
			want: `{"VoiceConnector":{"VoiceConnectorId":"${vc}","Name":"one","OutboundHostName":"${vc}.voiceconnector.${domain}","VoiceConnectorArn":"arn:aws:chime:us-west-2:${account}:vc/${vc}"}}`},
		{operation: "GetVoiceConnector", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException", says: "Unable to find the requested identifier"},
		{operation: "UpdateVoiceConnector", in: `{"VoiceConnectorId":"${vc}","Name":"changed","RequireEncryption":false}`,
			want: `{"VoiceConnector":{"VoiceConnectorId":"${vc}","Name":"changed","RequireEncryption":false,"AwsRegion":"us-west-2","OutboundHostName":"${host}","VoiceConnectorArn":"${arn}"}}`},
		{operation: "UpdateVoiceConnector", in: `{"VoiceConnectorId":"${nobody}","Name":"changed","RequireEncryption":false}`, fails: "NotFoundException"},
		{operation: "GetVoiceConnector", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"VoiceConnector":{"Name":"changed","RequireEncryption":false}}`},
		{operation: "ListVoiceConnectors", pages: &pages{list: "VoiceConnectors", key: "VoiceConnectorId", size: 2, sizes: []int{2, 1}, all: []string{"${vc}", "${two}", "${three}"}}},
		{operation: "ListVoiceConnectors", in: `{"NextToken":"bm90LW91cnM"}`, fails: "BadRequestException", says: "NextToken"},
		{operation: "DeleteVoiceConnector", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
	}
}

func terminationTrials() []trial {
	const rules = `{"CpsLimit":3,"CallingRegions":["US","CA"],"CidrAllowedList":["10.1.0.0/16","203.0.113.7/32"],"Disabled":true}`
	return []trial{
		{operation: "GetVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "ListVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "PutVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}","Termination":` + rules + `}`, want: `{"Termination":` + rules + `}`},
		{operation: "GetVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Termination":` + rules + `}`},
		// What is left out is read back with its default: a second plan of Terraform's is empty.
		{operation: "PutVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}","Termination":{"CallingRegions":["US"],"CidrAllowedList":["10.1.0.0/16"]}}`,
			want: `{"Termination":{"CpsLimit":1,"Disabled":false,"CallingRegions":["US"],"CidrAllowedList":["10.1.0.0/16"],"DefaultPhoneNumber":null}}`},
		{operation: "PutVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}","Termination":{"CallingRegions":["US"],"CidrAllowedList":["0.0.0.0/0"]}}`,
			fails: "BadRequestException", says: "0.0.0.0/0"},
		{operation: "GetVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Termination":{"CpsLimit":1,"Disabled":false,"CidrAllowedList":["10.1.0.0/16"]}}`},
		{operation: "GetVoiceConnectorTerminationHealth", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"TerminationHealth":{"Timestamp":null,"Source":null}}`},
		{operation: "GetVoiceConnectorTerminationHealth", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},

		{operation: "ListVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Usernames":[]}`},
		{operation: "PutVoiceConnectorTerminationCredentials",
			in: `{"VoiceConnectorId":"${vc}","Credentials":[{"Username":"bob","Password":"secret-1"},{"Username":"alice","Password":"secret-2"}]}`},
		{operation: "PutVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${two}","Credentials":[{"Username":"bob","Password":"secret-1"}]}`, fails: "NotFoundException"},
		{operation: "ListVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Usernames":["alice","bob"]}`},
		{operation: "DeleteVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${vc}","Usernames":["alice","bob"]}`},
		{operation: "DeleteVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${nobody}","Usernames":["alice"]}`, fails: "NotFoundException"},
		// An empty list and no list are two things to Terraform.
		{operation: "ListVoiceConnectorTerminationCredentials", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Usernames":[]}`},
	}
}

func originationTrials() []trial {
	const routes = `{"Disabled":false,"Routes":[{"Host":"pbx.example.com","Port":5061,"Protocol":"TCP","Priority":1,"Weight":10},` +
		`{"Host":"203.0.113.7","Port":5070,"Protocol":"UDP","Priority":2,"Weight":1}]}`
	return []trial{
		{operation: "GetVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "PutVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}","Origination":` + routes + `}`, want: `{"Origination":` + routes + `}`},
		{operation: "PutVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}","Origination":{"Routes":[{"Host":"a.example","Port":70000,"Protocol":"TCP","Priority":1,"Weight":1}]}}`,
			fails: "BadRequestException", says: "65535"},
		{operation: "GetVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}"}`, want: `{"Origination":` + routes + `}`},
	}
}

// endTrials take down what the others built.
func endTrials() []trial {
	return []trial{
		{operation: "DeleteVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "DeleteVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "GetVoiceConnectorOrigination", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "DeleteVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "DeleteVoiceConnectorTermination", in: `{"VoiceConnectorId":"${nobody}"}`, fails: "NotFoundException"},
		{operation: "GetVoiceConnectorTermination", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "DeleteVoiceConnector", in: `{"VoiceConnectorId":"${vc}"}`},
		{operation: "GetVoiceConnector", in: `{"VoiceConnectorId":"${vc}"}`, fails: "NotFoundException"},
		{operation: "ListVoiceConnectors", pages: &pages{list: "VoiceConnectors", key: "VoiceConnectorId", size: 2, sizes: []int{2}, all: []string{"${two}", "${three}"}}},
	}
}

// TestTrialsAreComplete: every operation of both models is either refused, or tried with success, with every member of
// its input, with a typed exception that the model has for it, and page by page where it has pages.
func TestTrialsAreComplete(t *testing.T) {
	all := trials(t)
	for namespace := range models {
		for operation, o := range readModel(t, namespace) {
			succeeds, fails, turns := false, false, false
			sent := map[string]bool{}
			for _, s := range all {
				if s.operation != operation || s.only != "" && s.only != namespace {
					continue
				}
				succeeds, fails, turns = succeeds || s.fails == "", fails || s.fails != "", turns || s.pages != nil
				if s.fails != "" && !slices.Contains(o.Faults, s.fails) {
					t.Errorf("%s of %s: %s is not modelled", operation, namespace, s.fails)
				}
				if s.fails == "" {
					members(sent, "", decodeJSON(t, fill(cmp.Or(s.in, "{}"), map[string]string{})))
				}
				if s.pages != nil {
					sent[".MaxResults"], sent[".NextToken"] = true, true
				}
			}
			if _, refused := refusal(operation); refused {
				if succeeds || !fails {
					t.Errorf("%s of %s is not offered and there is more or less than a refusal", operation, namespace)
				}
				continue
			}
			if !succeeds {
				t.Errorf("%s of %s is never tried with success", operation, namespace)
			}
			if _, paged := o.Output.has("NextToken"); paged && !turns {
				t.Errorf("%s of %s is never read page by page", operation, namespace)
			}
			if o.Input == nil || len(o.Input.Members) == 0 { // there is nothing to do wrong
				continue
			}
			if !fails && unconstrained[operation] != namespace {
				t.Errorf("%s of %s is never refused", operation, namespace)
			}
			for _, member := range o.Input.paths("") {
				if !sent[member] {
					t.Errorf("%s of %s is never tried with %s", operation, namespace, member)
				}
			}
		}
	}
}

// unconstrained are operations whose model has no constraint that a client would let somebody break, and their namespace.
var unconstrained = map[string]string{"UpdateGlobalSettings": "chime"}

// members adds the places of all members of a value.
func members(to map[string]bool, at string, v any) {
	switch v := v.(type) {
	case jsonObject:
		for name, value := range v {
			to[at+"."+name] = true
			members(to, at+"."+name, value)
		}
	case []any:
		for _, value := range v {
			members(to, at, value)
		}
	}
}

// paths returns the places of all members of a shape.
func (s *shape) paths(at string) []string {
	var all []string
	for name, m := range s.Members {
		all = append(all, at+"."+name)
		all = append(all, m.paths(at+"."+name)...)
	}
	if s.Element != nil && s.Kind == "list" {
		all = append(all, s.Element.paths(at)...)
	}
	return all
}

// has returns a member of a shape that may be none.
func (s *shape) has(name string) (*shape, bool) {
	if s == nil {
		return nil, false
	}
	m, ok := s.Members[name]
	return m, ok
}
