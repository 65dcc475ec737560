package api

import (
	"bufio"
	"fmt"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/directory"
	"carillon/iam"
	"carillon/trunk"
)

const emergencyDNIS = `{"EmergencyCallingConfiguration":{"DNIS":[{"CallingCountry":"US","EmergencyPhoneNumber":"+12065550911"}]}}`

// subject is what the requests of offeredRequests are about.
type subject struct{ connector, group, number, order, rule string }

// never names nothing that ever was.
func never() subject {
	const uuid = "00000000-0000-4000-8000-000000000000"
	return subject{"zzzzzzzzzzzzzzzzzzzzzz", "zzzzzzzzzzzzzzzzzzzzzz", "+19995559999", uuid, uuid}
}

// subject makes everything a request may be about.
func (n *node) subject(t testing.TB, account string) subject {
	t.Helper()
	s := subject{connector: n.create(t, account, true)}
	g := n.do(t, account, "POST", "/voice-connector-groups", `{"Name":"demo"}`).want(t, 201)
	s.group = g.text(t, "VoiceConnectorGroup", "VoiceConnectorGroupId")
	s.number = fmt.Sprintf("+1999555%04d", len(n.directory.Snapshot().Numbers(directory.NumberFilter{}, "", 1000)))
	s.order = n.order(t, account, s.number)
	trigger := ruleFor(fmt.Sprintf("+1999556%04d", len(n.directory.Snapshot().SIPRules(account, "", 1000)))) // one that no other rule has
	s.rule = n.do(t, account, "POST", "/sip-rules", trigger).want(t, 201).text(t, "SipRule", "SipRuleId")
	return s
}

// offeredRequest is a valid request for an offered operation. The resource is the ARN its policy is asked about when
// account A signs it for eu-west-1 and nothing exists.
type offeredRequest struct{ method, target, body, resource string }

// offeredRequests has one for each offered operation.
func offeredRequests(s subject) map[wire.OperationID]offeredRequest {
	c, g := "/voice-connectors/"+s.connector, "/voice-connector-groups/"+s.group
	oneVC, anyVC := "eu-west-1:"+accountA+":vc/"+s.connector, "eu-west-1:"+accountA+":vc/*"
	oneVCG, anyVCG := "us-east-1:"+accountA+":vcg/"+s.group, "us-east-1:"+accountA+":vcg/*"
	oneRule, anyRule := "us-east-1:"+accountA+":sip-rule/"+s.rule, "us-east-1:"+accountA+":sip-rule/*"
	account, arn := "eu-west-1:"+accountA+":*", trunk.ConnectorARN("us-east-1", accountA, s.connector)
	all := numberRequests(s)
	maps.Copy(all, map[wire.OperationID]offeredRequest{
		wire.OpCreateVoiceConnector:                       {"POST", "/voice-connectors", create, anyVC},
		wire.OpListVoiceConnectors:                        {"GET", "/voice-connectors", "", anyVC},
		wire.OpGetVoiceConnector:                          {"GET", c, "", oneVC},
		wire.OpUpdateVoiceConnector:                       {"PUT", c, create, oneVC},
		wire.OpPutVoiceConnectorTermination:               {"PUT", c + "/termination", usTermination, oneVC},
		wire.OpGetVoiceConnectorTermination:               {"GET", c + "/termination", "", oneVC},
		wire.OpGetVoiceConnectorTerminationHealth:         {"GET", c + "/termination/health", "", oneVC},
		wire.OpPutVoiceConnectorTerminationCredentials:    {"POST", c + "/termination/credentials?operation=put", `{"Credentials":[{"Username":"u","Password":"p"}]}`, oneVC},
		wire.OpListVoiceConnectorTerminationCredentials:   {"GET", c + "/termination/credentials", "", oneVC},
		wire.OpDeleteVoiceConnectorTerminationCredentials: {"POST", c + "/termination/credentials?operation=delete", `{"Usernames":["u"]}`, oneVC},
		wire.OpPutVoiceConnectorOrigination:               {"PUT", c + "/origination", `{"Origination":{"Routes":[{"Host":"a.example"}]}}`, oneVC},
		wire.OpGetVoiceConnectorOrigination:               {"GET", c + "/origination", "", oneVC},
		wire.OpDeleteVoiceConnectorOrigination:            {"DELETE", c + "/origination", "", oneVC},
		wire.OpDeleteVoiceConnectorTermination:            {"DELETE", c + "/termination", "", oneVC},
		wire.OpDeleteVoiceConnector:                       {"DELETE", c, "", oneVC},

		wire.OpPutVoiceConnectorStreamingConfiguration:           {"PUT", c + "/streaming-configuration", `{"StreamingConfiguration":{"DataRetentionInHours":0,"Disabled":false}}`, oneVC},
		wire.OpGetVoiceConnectorStreamingConfiguration:           {"GET", c + "/streaming-configuration", "", oneVC},
		wire.OpDeleteVoiceConnectorStreamingConfiguration:        {"DELETE", c + "/streaming-configuration", "", oneVC},
		wire.OpPutVoiceConnectorLoggingConfiguration:             {"PUT", c + "/logging-configuration", `{"LoggingConfiguration":{"EnableSIPLogs":true}}`, oneVC},
		wire.OpGetVoiceConnectorLoggingConfiguration:             {"GET", c + "/logging-configuration", "", oneVC},
		wire.OpPutVoiceConnectorEmergencyCallingConfiguration:    {"PUT", c + "/emergency-calling-configuration", emergencyDNIS, oneVC},
		wire.OpGetVoiceConnectorEmergencyCallingConfiguration:    {"GET", c + "/emergency-calling-configuration", "", oneVC},
		wire.OpDeleteVoiceConnectorEmergencyCallingConfiguration: {"DELETE", c + "/emergency-calling-configuration", "", oneVC},
		wire.OpPutVoiceConnectorExternalSystemsConfiguration:     {"PUT", c + "/external-systems-configuration", `{"SessionBorderControllerTypes":["RIBBON_SBC"]}`, oneVC},
		wire.OpGetVoiceConnectorExternalSystemsConfiguration:     {"GET", c + "/external-systems-configuration", "", oneVC},
		wire.OpDeleteVoiceConnectorExternalSystemsConfiguration:  {"DELETE", c + "/external-systems-configuration", "", oneVC},
		wire.OpPutVoiceConnectorProxy:                            {"PUT", c + "/programmable-numbers/proxy", `{"DefaultSessionExpiryMinutes":60,"PhoneNumberPoolCountries":["US"]}`, oneVC},
		wire.OpGetVoiceConnectorProxy:                            {"GET", c + "/programmable-numbers/proxy", "", oneVC},
		wire.OpDeleteVoiceConnectorProxy:                         {"DELETE", c + "/programmable-numbers/proxy", "", oneVC},

		wire.OpCreateVoiceConnectorGroup: {"POST", "/voice-connector-groups", `{"Name":"demo"}`, anyVCG},
		wire.OpListVoiceConnectorGroups:  {"GET", "/voice-connector-groups", "", anyVCG},
		wire.OpGetVoiceConnectorGroup:    {"GET", g, "", oneVCG},
		wire.OpUpdateVoiceConnectorGroup: {"PUT", g, `{"Name":"demo","VoiceConnectorItems":[]}`, oneVCG},
		wire.OpDeleteVoiceConnectorGroup: {"DELETE", g, "", oneVCG},

		wire.OpCreateSIPRule: {"POST", "/sip-rules", ruleFor("+12065550102"), anyRule},
		wire.OpListSIPRules:  {"GET", "/sip-rules", "", anyRule},
		wire.OpGetSIPRule:    {"GET", "/sip-rules/" + s.rule, "", oneRule},
		wire.OpUpdateSIPRule: {"PUT", "/sip-rules/" + s.rule, `{"Name":"demo"}`, oneRule},
		wire.OpDeleteSIPRule: {"DELETE", "/sip-rules/" + s.rule, "", oneRule},

		wire.OpTagResource:         {"POST", "/tags?operation=tag-resource", tagBody(arn, `[{"Key":"k","Value":"v"}]`), "us-east-1:" + accountA + ":vc/" + s.connector},
		wire.OpListTagsForResource: {"GET", "/tags?arn=" + url.QueryEscape(arn), "", "us-east-1:" + accountA + ":vc/" + s.connector},
		wire.OpUntagResource:       {"POST", "/tags?operation=untag-resource", `{"ResourceARN":"` + arn + `","TagKeys":["k"]}`, "us-east-1:" + accountA + ":vc/" + s.connector},

		wire.OpGetGlobalSettings:                  {"GET", "/settings", "", account},
		wire.OpUpdateGlobalSettings:               {"PUT", "/settings", `{"VoiceConnector":{"CdrBucket":"records"}}`, account},
		wire.OpListAvailableVoiceConnectorRegions: {"GET", "/voice-connector-regions", "", account},
		wire.OpValidateE911Address:                {"POST", "/emergency-calling/address", addressOf(accountA), account},
	})
	return all
}

// offeredOrder is an order in which all of offeredRequests succeed.
func offeredOrder() []wire.OperationID {
	return append(numberOrder(), []wire.OperationID{
		wire.OpCreateVoiceConnectorGroup, wire.OpListVoiceConnectorGroups, wire.OpGetVoiceConnectorGroup,
		wire.OpUpdateVoiceConnectorGroup, wire.OpDeleteVoiceConnectorGroup,

		wire.OpCreateSIPRule, wire.OpListSIPRules, wire.OpGetSIPRule, wire.OpUpdateSIPRule, wire.OpDeleteSIPRule,

		wire.OpTagResource, wire.OpListTagsForResource, wire.OpUntagResource,

		wire.OpUpdateGlobalSettings, wire.OpGetGlobalSettings, wire.OpListAvailableVoiceConnectorRegions, wire.OpValidateE911Address,

		wire.OpCreateVoiceConnector, wire.OpListVoiceConnectors, wire.OpGetVoiceConnector, wire.OpUpdateVoiceConnector,
		wire.OpPutVoiceConnectorTermination, wire.OpGetVoiceConnectorTermination, wire.OpGetVoiceConnectorTerminationHealth,
		wire.OpPutVoiceConnectorTerminationCredentials, wire.OpListVoiceConnectorTerminationCredentials,
		wire.OpDeleteVoiceConnectorTerminationCredentials, wire.OpPutVoiceConnectorOrigination,
		wire.OpGetVoiceConnectorOrigination,

		wire.OpPutVoiceConnectorStreamingConfiguration, wire.OpGetVoiceConnectorStreamingConfiguration,
		wire.OpDeleteVoiceConnectorStreamingConfiguration, wire.OpPutVoiceConnectorLoggingConfiguration,
		wire.OpGetVoiceConnectorLoggingConfiguration, wire.OpPutVoiceConnectorEmergencyCallingConfiguration,
		wire.OpGetVoiceConnectorEmergencyCallingConfiguration, wire.OpDeleteVoiceConnectorEmergencyCallingConfiguration,
		wire.OpPutVoiceConnectorExternalSystemsConfiguration, wire.OpGetVoiceConnectorExternalSystemsConfiguration,
		wire.OpDeleteVoiceConnectorExternalSystemsConfiguration, wire.OpPutVoiceConnectorProxy,
		wire.OpGetVoiceConnectorProxy, wire.OpDeleteVoiceConnectorProxy,

		wire.OpDeleteVoiceConnectorOrigination, wire.OpDeleteVoiceConnectorTermination, wire.OpDeleteVoiceConnector,
	}...)
}

// everyOffered calls f with each offered operation and its request, in an order in which all of them succeed.
func everyOffered(t *testing.T, s subject, f func(*wire.Operation, offeredRequest)) {
	t.Helper()
	requests, operations, order := offeredRequests(s), wire.Operations(), offeredOrder()
	for op := range offeredOperations() {
		if !slices.Contains(order, op) {
			t.Errorf("%v has no request in this test", op)
		}
	}
	for _, op := range order {
		f(&operations[op], requests[op])
	}
}

// TestIsolation: for every operation, what another account has and what never was get the same answer, byte for byte,
// and nothing changes.
func TestIsolation(t *testing.T) {
	n := startNode(t)
	s := n.subject(t, accountA)
	id := s.connector
	everyOffered(t, s, func(op *wire.Operation, r offeredRequest) {
		if strings.HasPrefix(op.Name, "Put") {
			n.do(t, accountA, r.method, r.target, r.body).want(t, op.Status)
		}
	})
	n.do(t, accountA, "PUT", "/settings", `{"VoiceConnector":{"CdrBucket":"records"}}`).want(t, 204)
	before := n.revision(t)
	unknown := offeredRequests(never())
	for _, account := range []string{accountB, operatorAccount} {
		everyOffered(t, s, func(op *wire.Operation, theirs offeredRequest) {
			nobodys := unknown[op.ID]
			if theirs == nobodys {
				return // it names nothing that could be another account's
			}
			a := n.do(t, account, theirs.method, theirs.target, theirs.body)
			b := n.do(t, account, nobodys.method, nobodys.target, nobodys.body)
			if strings.HasPrefix(op.Name, "Batch") {
				hidesNumbers(t, op, a, b)
				return
			}
			if a.Status != 404 || a.errorType() != "NotFoundException" || a.Body != b.Body || a.Status != b.Status || a.errorType() != b.errorType() {
				t.Errorf("%s as %s: %d %s, for an unknown id %d %s", op.Name, account, a.Status, a.Body, b.Status, b.Body)
			}
		})
		for _, target := range []string{"/voice-connectors", "/voice-connector-groups", "/phone-numbers", "/phone-number-orders", "/sip-rules", "/settings"} {
			if a := n.do(t, account, "GET", target, "").want(t, 200); strings.Contains(a.Body, "Id") || strings.Contains(a.Body, "records") {
				t.Errorf("%s sees %s", account, a.Body)
			}
		}
	}
	for _, target := range []string{"/carillon/v1/connectors/" + id + "/settings", "/carillon/v1/connectors/" + never().connector + "/settings"} {
		anything := n.key(t, accountB, func(k *iam.AccessKey) { k.Policy = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}` })
		before = n.revision(t)
		for _, method := range []string{"GET", "PUT"} {
			if a := n.as(t, anything, method, target, `{}`); a.Status != 404 {
				t.Errorf("%s %s: %v", method, target, a)
			}
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestUnsignedLearnNothing: without a signature, an existing connector and an unknown one look the same.
func TestUnsignedLearnNothing(t *testing.T) {
	n := startNode(t)
	everyOffered(t, n.subject(t, accountA), func(op *wire.Operation, r offeredRequest) {
		a := n.send(t, newRequest(r.method, r.target, r.body))
		if a.Status != 403 || a.errorType() != "MissingAuthenticationTokenException" {
			t.Errorf("%s: %v", op.Name, a)
		}
	})
}

// TestEveryActionIsAsked: with a policy that allows all but one action, exactly that operation is refused.
func TestEveryActionIsAsked(t *testing.T) {
	n := startNode(t)
	everyOffered(t, n.subject(t, accountA), func(op *wire.Operation, r offeredRequest) {
		others := n.key(t, accountA, func(k *iam.AccessKey) {
			k.Policy = `{"Statement":{"Effect":"Allow","NotAction":"chime:` + op.Name + `","Resource":"*"}}`
		})
		if a := n.as(t, others, r.method, r.target, r.body); a.Status != 403 || !strings.Contains(a.Body, "chime:"+op.Name) {
			t.Errorf("%s without permission: %v", op.Name, a)
		}
		_, resource, _ := strings.Cut(r.resource, ":") // any region
		if kind, _, ok := strings.Cut(resource, "/"); ok {
			resource = kind + "/*"
		}
		only := n.key(t, accountA, func(k *iam.AccessKey) {
			k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:` + op.Name + `","Resource":"arn:aws:chime:*:` + resource + `"}}`
		})
		if a := n.as(t, only, r.method, r.target, r.body); a.Status != op.Status {
			t.Errorf("%s with permission: %v", op.Name, a)
		}
	})
}

// TestDeniedNamesTheResource: a refusal names the ARN that was asked for, in the region that was signed for, and is the
// same for a connector that exists, in whatever region, for another account's and for none.
func TestDeniedNamesTheResource(t *testing.T) {
	n := startNode(t)
	mine, theirs := n.subject(t, accountA), n.subject(t, accountB)
	nothing := n.key(t, accountA, func(k *iam.AccessKey) {
		// The connectors were made in us-east-1, and requests are signed for eu-west-1.
		k.Policy = `{"Statement":[{"Effect":"Deny","Action":"*","Resource":"arn:aws:chime:us-east-1:*"},{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`
	})
	for _, s := range []subject{mine, theirs, never()} {
		everyOffered(t, s, func(op *wire.Operation, r offeredRequest) {
			a := n.as(t, nothing, r.method, r.target, r.body)
			want := "User: arn:aws:iam::" + accountA + ":user/" + nothing.AccessKeyID + " is not authorized to perform: chime:" + op.Name +
				" on resource: arn:aws:chime:" + r.resource
			if got := a.text(t, "Message"); a.Status != 403 || got != want {
				t.Errorf("%s: %d\n got %s\nwant %s", op.Name, a.Status, got, want)
			}
		})
	}
	for _, c := range [][3]string{
		{"DELETE", "/carillon/v1/keys/" + nothing.AccessKeyID, "carillon:::keys/" + nothing.AccessKeyID},
		{"POST", "/carillon/v1/keys/a%2Fb%7Bid%7D%22?operation=disable", `carillon:::keys/a/b{id}"`},
		{"GET", "/carillon/v1/numbers?account=" + accountB, "carillon::" + accountA + ":numbers"},
		{"GET", "/carillon/v1/connectors/" + mine.connector + "/settings", "chime:eu-west-1:" + accountA + ":vc/" + mine.connector},
		{"GET", "/carillon/v1/connectors/" + never().connector + "/settings", "chime:eu-west-1:" + accountA + ":vc/" + never().connector},
	} {
		a := n.as(t, nothing, c[0], c[1], "")
		if got := a.text(t, "Message"); a.Status != 403 || !strings.HasSuffix(got, " on resource: arn:aws:"+c[2]) {
			t.Errorf("%s %s: %d %s, want it to end in %s", c[0], c[1], a.Status, got, c[2])
		}
	}
}

// TestPolicyOnOneConnector: a policy can name a connector by its ARN, with the region it was made in.
func TestPolicyOnOneConnector(t *testing.T) {
	n := startNode(t)
	mine, other := n.create(t, accountA, true), n.create(t, accountA, true)
	key := n.key(t, accountA, func(k *iam.AccessKey) {
		k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:*","Resource":"arn:aws:chime:us-east-1:` + accountA + `:vc/` + mine + `"}}`
	})
	n.as(t, key, "GET", "/voice-connectors/"+mine, "").want(t, 200)
	n.as(t, key, "GET", "/voice-connectors/"+other, "").want(t, 403)
	n.as(t, key, "GET", "/voice-connectors", "").want(t, 403)
}

func TestConditionsSeeTheRequest(t *testing.T) {
	n := startNode(t)
	for condition, want := range map[string]int{
		`{"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}}`:                      200, // httptest's RemoteAddr
		`{"IpAddress":{"aws:SourceIp":"198.51.100.0/24"}}`:                   403,
		`{"Bool":{"aws:SecureTransport":"true"}}`:                            403,
		`{"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}`:               200,
		`{"StringEquals":{"aws:PrincipalAccount":"` + accountA + `"}}`:       200,
		`{"DateLessThan":{"aws:CurrentTime":"2026-01-01T00:00:01Z"}}`:        200,
		`{"NumericGreaterThan":{"aws:EpochTime":"1767225600"}}`:              403,
		`{"StringLike":{"aws:UserAgent":"test/*"}}`:                          200,
		`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::` + accountB + `:*"}}`: 403,
		`{"IpAddress":{"aws:SourceIp":"203.0.113.9"}}`:                       403, // what X-Forwarded-For claims
	} {
		key := n.key(t, accountA, func(k *iam.AccessKey) {
			k.Policy = `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":` + condition + `}}`
		})
		a := n.as(t, key, "GET", "/voice-connectors", "", "User-Agent", "test/1", "X-Forwarded-For", "203.0.113.9")
		if a.Status != want {
			t.Errorf("%s: got %d, want %d", condition, a.Status, want)
		}
	}
}

func TestNamespaces(t *testing.T) {
	for _, c := range []struct {
		host, path, agent string
		want              wire.Namespace
		rest              string
	}{
		{"service.chime.aws.amazon.com", "/x", "", wire.Chime, "/x"},
		{"chime.us-east-1.amazonaws.com:443", "/x", "", wire.Chime, "/x"},
		{"chime-fips.us-east-1.amazonaws.com", "/x", "", wire.Chime, "/x"},
		{"Voice-Chime.eu-west-1.amazonaws.com", "/x", "", wire.Voice, "/x"},
		{"voice-chime-fips.us-east-1.amazonaws.com", "/x", "api/chime#3", wire.Voice, "/x"},
		{"127.0.0.1:8080", "/chime/x", "", wire.Chime, "/x"},
		{"127.0.0.1:8080", "/chime-sdk-voice/x/y", "", wire.Voice, "/x/y"},
		{"127.0.0.1:8080", "/voice/x", "md/command#chime.list", wire.Voice, "/x"},
		{"voice-chime.eu-west-1.amazonaws.com", "/chime/x", "", wire.Voice, "/x"},
		{"localhost", "/voice-connectors", "", wire.Either, "/voice-connectors"},
		{"localhost", "/x", "aws-cli/2.23.6 md/awscrt#1 md/command#chime.create-voice-connector", wire.Chime, "/x"},
		{"localhost", "/x", "aws-cli/2.9.19 Python/3.11.2 command/chime.create-voice-connector", wire.Chime, "/x"},
		{"localhost", "/x", "aws-cli/2.38.1 md/command#chime-sdk-voice.create-voice-connector", wire.Voice, "/x"},
		{"localhost", "/x", "aws-sdk-go-v2/1.47.7 os/linux api/chimesdkvoice#1.28.17 m/E,g", wire.Voice, "/x"},
		{"localhost", "/x", "aws-sdk-js/3.1141.0 api/chime-sdk-voice#3.1141.0", wire.Voice, "/x"},
		{"localhost", "/x", "aws-sdk-js/3.699.0 api/chime#3.699.0", wire.Chime, "/x"},
		{"localhost", "/x", "Botocore/1.43.117 cfg/retry-mode#legacy", wire.Either, "/x"},
		{"chimes.example", "/x", "", wire.Either, "/x"},
	} {
		got, rest := namespaceOf(c.host, c.path, c.agent)
		if got != c.want || rest != c.rest {
			t.Errorf("%s %s %q: got %v %s, want %v %s", c.host, c.path, c.agent, got, rest, c.want, c.rest)
		}
	}
}

// TestNamespacesDiffer: the same request, held against each namespace's own constraints.
func TestNamespacesDiffer(t *testing.T) {
	n := startNode(t)
	for _, c := range []struct {
		name, method, target, body string
		chime, voice, either       int
	}{
		{"any name", "POST", "/voice-connectors", `{"Name":"bad/ütf%*","RequireEncryption":true}`, 201, 400, 201},
		{"region", "POST", "/voice-connectors", `{"Name":"x","RequireEncryption":true,"AwsRegion":"eu-central-1"}`, 400, 201, 201},
		{"page of 100", "GET", "/voice-connectors?max-results=100", ``, 400, 200, 200},
		{"page of 99", "GET", "/voice-connectors?max-results=99", ``, 200, 200, 200},
		{"page of 101", "GET", "/voice-connectors?max-results=101", ``, 400, 400, 400},
		{"id", "GET", "/voice-connectors/not-an-id", ``, 404, 400, 404},
		{"operation of voice alone", "GET", "/voice-connector-regions", ``, 404, 200, 200},
		{"operation of chime alone", "POST", "/accounts/a/users/b?operation=disassociate-phone-number", ``, 403, 404, 403},
	} {
		for host, want := range map[string]int{
			"chime.us-east-1.amazonaws.com": c.chime, "voice-chime.us-east-1.amazonaws.com": c.voice, "localhost": c.either,
		} {
			if a := n.do(t, accountA, c.method, c.target, c.body, "Host", host); a.Status != want {
				t.Errorf("%s at %s: got %d %s, want %d", c.name, host, a.Status, a.Body, want)
			}
		}
	}
}

// TestBasePath: the base path is part of what is signed and not of what is routed.
func TestBasePath(t *testing.T) {
	n := startNode(t)
	for _, base := range []string{"/chime", "/chime-sdk-voice", "/voice"} {
		a := n.do(t, accountA, "POST", base+"/voice-connectors", create).want(t, 201)
		n.do(t, accountA, "GET", base+"/voice-connectors/"+a.text(t, "VoiceConnector", "VoiceConnectorId"), "").want(t, 200)
	}
}

// TestRecordedRequests replays what real clients send for every operation of both models. Those that are not offered
// must be recognised: 403, never 404. Offered ones carry placeholders, so some are refused; the table says which.
func TestRecordedRequests(t *testing.T) {
	n := startNode(t)
	seen := map[string]bool{}
	for file, host := range map[string]string{"chime": "chime.us-east-1.amazonaws.com", "voice": "voice-chime.us-east-1.amazonaws.com"} {
		for _, r := range readRequests(t, "testdata/requests/"+file+".txt") {
			n.putRecorded(t)
			a := n.do(t, accountA, r.method, strings.Replace(r.target, recordedAccount, accountA, 1), strings.Replace(r.body, recordedAccount, accountA, 1), "Host", host)
			match, err := n.router.Match(r.method, strings.Split(r.target, "?")[0], r.query)
			if err != nil {
				t.Errorf("%s %s: %v", r.method, r.target, err)
				continue
			}
			row := n.rows[match.Route]
			if want := recordedStatus(&row, r); a.Status != want {
				t.Errorf("%s: %s %s %s: got %d %s, want %d", file, r.method, r.target, r.body, a.Status, a.Body, want)
			}
			seen[row.name] = true
		}
	}
	if len(seen) != len(wire.Operations()) {
		t.Errorf("%d operations recorded, %d in the table", len(seen), len(wire.Operations()))
	}
}

// recordedAccount is the account in recorded ARNs.
const recordedAccount = "111122223333"

// putRecorded makes what the recorded requests name, and takes away the groups that others of them made.
func (n *node) putRecorded(t *testing.T) {
	t.Helper()
	const connector, group, rule = "abcdef1ghij2klmno3pqr4", "ab12cd34-5678-90ab-cdef-1234567890ab", "val"
	now := n.clock.Now()
	n.put(t, &trunk.Connector{
		Services: &trunk.Services{
			Streaming: new(trunk.Streaming), Logging: new(trunk.Logging), ExternalSystems: new(trunk.ExternalSystems), Proxy: new(trunk.Proxy),
		},
		ID: connector, Account: accountA, Name: "demo", Region: "us-east-1", HostName: connector + ".voiceconnector.voice.test",
		NetworkType: trunk.IPv4Only, Created: now, Updated: now,
		Termination: &trunk.Termination{CpsLimit: 1}, Origination: &trunk.Origination{},
	}, &trunk.Group{ID: group, Account: accountA, Name: "demo", Distribution: trunk.PriorityWeighted, Created: now, Updated: now},
		&trunk.PhoneNumber{E164: "+12065550100", Account: accountA, Created: now, Updated: now},
		&trunk.SIPRule{
			ID: rule, Account: accountA, Name: "demo", Trigger: trunk.RequestURIHostname, TriggerValue: "a.example",
			Targets: []trunk.RuleTarget{{ApplicationID: "val"}}, Created: now, Updated: now,
		})
	for _, g := range n.directory.Snapshot().Groups(accountA, "", 100) {
		if g.ID != group {
			n.remove(t, g.EntityKey())
		}
	}
}

// recordedStatus returns the status that a recorded request must get.
func recordedStatus(row *row, r recordedRequest) int {
	has := func(placeholder string) bool { return strings.Contains(r.body, placeholder) }
	switch {
	case row.handle == nil:
		return 403
	case row.name == "GetVoiceConnectorEmergencyCallingConfiguration", row.name == "DeleteVoiceConnectorEmergencyCallingConfiguration":
		return 404 // with one, a recorded delete of the termination would be refused
	case row.name == "ValidateE911Address":
		return 403 // for another account
	case has(`"CallingRegions": ["val"]`), has(`"ConfigurationArn": "val"`), has(`"PhoneNumberPoolCountries": ["val"]`), has(`"NetworkType": "DUAL_STACK"`), strings.HasPrefix(r.query.Get("next-token"), "tok"),
		row.name == "PutVoiceConnectorTerminationCredentials" && r.body == "{}",
		row.name == "CreateSipRule",       // for no number
		row.name == "GetPhoneNumberOrder", // its id is no UUID
		row.name == "CreatePhoneNumberOrder" && has(`"BusinessCalling"`),
		row.name == "UpdatePhoneNumber" && has(`"CallingName"`): // with other details
		return 400
	}
	return row.status
}

type recordedRequest struct {
	method, target, body string
	query                url.Values
}

func readRequests(t *testing.T, file string) []recordedRequest {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all []recordedRequest
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if body, ok := strings.CutPrefix(line, "    "); ok {
			all[len(all)-1].body = body
			continue
		}
		method, target, ok := strings.Cut(strings.TrimSuffix(line, " HTTP/1.1"), " ")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		u, err := url.Parse(target)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, recordedRequest{method: method, target: target, query: u.Query()})
	}
	if len(all) < 100 {
		t.Fatal(fmt.Sprint(file, " holds only ", len(all), " requests"))
	}
	return all
}
