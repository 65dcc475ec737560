package api

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"carillon/api/wire"
	"carillon/iam"
	"carillon/trunk"
)

// offeredRequests has a valid request for each offered operation on one connector.
func offeredRequests(id string) map[wire.OperationID][3]string {
	c := "/voice-connectors/" + id
	return map[wire.OperationID][3]string{
		wire.OpCreateVoiceConnector:                       {"POST", "/voice-connectors", create},
		wire.OpListVoiceConnectors:                        {"GET", "/voice-connectors", ""},
		wire.OpGetVoiceConnector:                          {"GET", c, ""},
		wire.OpUpdateVoiceConnector:                       {"PUT", c, create},
		wire.OpPutVoiceConnectorTermination:               {"PUT", c + "/termination", usTermination},
		wire.OpGetVoiceConnectorTermination:               {"GET", c + "/termination", ""},
		wire.OpGetVoiceConnectorTerminationHealth:         {"GET", c + "/termination/health", ""},
		wire.OpPutVoiceConnectorTerminationCredentials:    {"POST", c + "/termination/credentials?operation=put", `{"Credentials":[{"Username":"u","Password":"p"}]}`},
		wire.OpListVoiceConnectorTerminationCredentials:   {"GET", c + "/termination/credentials", ""},
		wire.OpDeleteVoiceConnectorTerminationCredentials: {"POST", c + "/termination/credentials?operation=delete", `{"Usernames":["u"]}`},
		wire.OpPutVoiceConnectorOrigination:               {"PUT", c + "/origination", `{"Origination":{"Routes":[{"Host":"a.example"}]}}`},
		wire.OpGetVoiceConnectorOrigination:               {"GET", c + "/origination", ""},
		wire.OpDeleteVoiceConnectorOrigination:            {"DELETE", c + "/origination", ""},
		wire.OpDeleteVoiceConnectorTermination:            {"DELETE", c + "/termination", ""},
		wire.OpDeleteVoiceConnector:                       {"DELETE", c, ""},
	}
}

// everyOffered calls f with each offered operation in an order in which all of them succeed.
func everyOffered(t *testing.T, id string, f func(op *wire.Operation, method, target, body string)) {
	t.Helper()
	requests, operations := offeredRequests(id), wire.Operations()
	order := []wire.OperationID{
		wire.OpCreateVoiceConnector, wire.OpListVoiceConnectors, wire.OpGetVoiceConnector, wire.OpUpdateVoiceConnector,
		wire.OpPutVoiceConnectorTermination, wire.OpGetVoiceConnectorTermination, wire.OpGetVoiceConnectorTerminationHealth,
		wire.OpPutVoiceConnectorTerminationCredentials, wire.OpListVoiceConnectorTerminationCredentials,
		wire.OpDeleteVoiceConnectorTerminationCredentials, wire.OpPutVoiceConnectorOrigination,
		wire.OpGetVoiceConnectorOrigination, wire.OpDeleteVoiceConnectorOrigination,
		wire.OpDeleteVoiceConnectorTermination, wire.OpDeleteVoiceConnector,
	}
	for op := range offeredOperations() {
		if !slices.Contains(order, op) {
			t.Errorf("%v has no request in this test", op)
		}
	}
	for _, op := range order {
		r := requests[op]
		f(&operations[op], r[0], r[1], r[2])
	}
}

// TestIsolation: for every operation, another account's connector and one that never was get the same answer, byte for
// byte, and nothing changes.
func TestIsolation(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/termination", usTermination).want(t, 200)
	n.do(t, accountA, "PUT", "/voice-connectors/"+id+"/origination", `{"Origination":{"Disabled":false}}`).want(t, 200)
	before := n.revision(t)
	const never = "zzzzzzzzzzzzzzzzzzzzzz"
	for _, account := range []string{accountB, operatorAccount} {
		everyOffered(t, id, func(op *wire.Operation, method, target, body string) {
			if !strings.Contains(target, id) {
				return
			}
			a := n.do(t, account, method, target, body)
			b := n.do(t, account, method, strings.Replace(target, id, never, 1), body)
			if a.Status != 404 || a.errorType() != "NotFoundException" || a.Body != b.Body || a.Status != b.Status || a.errorType() != b.errorType() {
				t.Errorf("%s as %s: %d %s, for an unknown id %d %s", op.Name, account, a.Status, a.Body, b.Status, b.Body)
			}
		})
		if got := ids(t, n.do(t, account, "GET", "/voice-connectors", "")); len(got) != 0 {
			t.Errorf("%s lists %v", account, got)
		}
	}
	for _, target := range []string{"/carillon/v1/connectors/" + id + "/settings", "/carillon/v1/connectors/" + never + "/settings"} {
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
	id := n.create(t, accountA, true)
	everyOffered(t, id, func(op *wire.Operation, method, target, body string) {
		a := n.send(t, newRequest(method, target, body))
		if a.Status != 403 || a.errorType() != "MissingAuthenticationTokenException" {
			t.Errorf("%s: %v", op.Name, a)
		}
	})
}

// TestEveryActionIsAsked: with a policy that allows all but one action, exactly that operation is refused.
func TestEveryActionIsAsked(t *testing.T) {
	n := startNode(t)
	id := n.create(t, accountA, true)
	everyOffered(t, id, func(op *wire.Operation, method, target, body string) {
		others := n.key(t, accountA, func(k *iam.AccessKey) {
			k.Policy = `{"Statement":{"Effect":"Allow","NotAction":"chime:` + op.Name + `","Resource":"*"}}`
		})
		if a := n.as(t, others, method, target, body); a.Status != 403 || !strings.Contains(a.Body, "chime:"+op.Name) {
			t.Errorf("%s without permission: %v", op.Name, a)
		}
		only := n.key(t, accountA, func(k *iam.AccessKey) {
			k.Policy = `{"Statement":{"Effect":"Allow","Action":"chime:` + op.Name + `","Resource":"arn:aws:chime:*:` + accountA + `:vc/*"}}`
		})
		if a := n.as(t, only, method, target, body); a.Status != op.Status {
			t.Errorf("%s with permission: %v", op.Name, a)
		}
	})
}

// TestDeniedNamesTheResource: a refusal names the ARN that was asked for, in the region that was signed for, and is the
// same for a connector that exists, in whatever region, for another account's and for none.
func TestDeniedNamesTheResource(t *testing.T) {
	n := startNode(t)
	mine, theirs := n.create(t, accountA, true), n.create(t, accountB, true)
	const never = "zzzzzzzzzzzzzzzzzzzzzz"
	nothing := n.key(t, accountA, func(k *iam.AccessKey) {
		// The connectors were made in us-east-1, and requests are signed for eu-west-1.
		k.Policy = `{"Statement":[{"Effect":"Deny","Action":"*","Resource":"arn:aws:chime:us-east-1:*"},{"Effect":"Allow","Action":"sts:*","Resource":"*"}]}`
	})
	everyOffered(t, mine, func(op *wire.Operation, method, target, body string) {
		for _, id := range []string{mine, theirs, never} {
			a := n.as(t, nothing, method, strings.Replace(target, mine, id, 1), body)
			resource := "vc/*"
			if strings.Contains(target, mine) {
				resource = "vc/" + id
			}
			want := "User: arn:aws:iam::" + accountA + ":user/" + nothing.AccessKeyID + " is not authorized to perform: chime:" + op.Name +
				" on resource: arn:aws:chime:eu-west-1:" + accountA + ":" + resource
			if got := a.text(t, "Message"); a.Status != 403 || got != want {
				t.Errorf("%s: %d\n got %s\nwant %s", op.Name, a.Status, got, want)
			}
		}
	})
	for _, c := range [][3]string{
		{"DELETE", "/carillon/v1/keys/" + nothing.AccessKeyID, "carillon:::keys/" + nothing.AccessKeyID},
		{"POST", "/carillon/v1/keys/a%2Fb%7Bid%7D%22?operation=disable", `carillon:::keys/a/b{id}"`},
		{"GET", "/carillon/v1/numbers?account=" + accountB, "carillon::" + accountA + ":numbers"},
		{"GET", "/carillon/v1/connectors/" + mine + "/settings", "chime:eu-west-1:" + accountA + ":vc/" + mine},
		{"GET", "/carillon/v1/connectors/" + never + "/settings", "chime:eu-west-1:" + accountA + ":vc/" + never},
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
		{"operation of voice alone", "GET", "/voice-connector-regions", ``, 404, 403, 403},
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
	const recorded, placeholderRegion = "abcdef1ghij2klmno3pqr4", `"CallingRegions": ["val"]`
	seen := map[string]bool{}
	for file, host := range map[string]string{"chime": "chime.us-east-1.amazonaws.com", "voice": "voice-chime.us-east-1.amazonaws.com"} {
		for _, r := range readRequests(t, "testdata/requests/"+file+".txt") {
			n.put(t, &trunk.Connector{
				ID: recorded, Account: accountA, Name: "demo", Region: "us-east-1", HostName: recorded + ".voiceconnector.voice.test",
				NetworkType: trunk.IPv4Only, Created: n.clock.Now(), Updated: n.clock.Now(),
				Termination: &trunk.Termination{CpsLimit: 1}, Origination: &trunk.Origination{},
			})
			a := n.do(t, accountA, r.method, r.target, r.body, "Host", host)
			match, err := n.router.Match(r.method, strings.Split(r.target, "?")[0], r.query)
			if err != nil {
				t.Errorf("%s %s: %v", r.method, r.target, err)
				continue
			}
			row := n.rows[match.Route]
			want := 403
			switch {
			case row.handle == nil:
			case strings.Contains(r.body, placeholderRegion), row.name == "ListVoiceConnectors" && r.query.Has("next-token"),
				row.name == "PutVoiceConnectorTerminationCredentials" && r.body == "{}":
				want = 400
			case strings.Contains(r.body, "NetworkType") && strings.Contains(r.body, "DUAL_STACK"):
				want = 400
			default:
				want = row.status
			}
			if a.Status != want {
				t.Errorf("%s: %s %s %s: got %d %s, want %d", file, r.method, r.target, r.body, a.Status, a.Body, want)
			}
			seen[row.name] = true
		}
	}
	if len(seen) != len(wire.Operations()) {
		t.Errorf("%d operations recorded, %d in the table", len(seen), len(wire.Operations()))
	}
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
