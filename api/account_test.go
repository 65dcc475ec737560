package api

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"carillon/api/wire"
	"carillon/trunk"
)

func TestGlobalSettings(t *testing.T) {
	n := startNode(t)
	const voice, chime = "voice-chime.us-east-1.amazonaws.com", "chime.us-east-1.amazonaws.com"
	for _, c := range []struct{ name, host, put, want string }{
		{"nothing yet", "", "", `{"BusinessCalling":{},"VoiceConnector":{}}`},
		{"a bucket", voice, `{"VoiceConnector":{"CdrBucket":"records"}}`, `{"BusinessCalling":{},"VoiceConnector":{"CdrBucket":"records"}}`},
		{"the other alone", chime, `{"BusinessCalling":{"CdrBucket":"Business_Records"}}`, `{"BusinessCalling":{"CdrBucket":"Business_Records"},"VoiceConnector":{"CdrBucket":"records"}}`},
		{"neither", chime, `{}`, `{"BusinessCalling":{"CdrBucket":"Business_Records"},"VoiceConnector":{"CdrBucket":"records"}}`},
		{"cleared, as Terraform does", voice, `{"VoiceConnector":{}}`, `{"BusinessCalling":{"CdrBucket":"Business_Records"},"VoiceConnector":{}}`},
		{"both", chime, `{"BusinessCalling":{"CdrBucket":""},"VoiceConnector":{"CdrBucket":"other"}}`, `{"BusinessCalling":{},"VoiceConnector":{"CdrBucket":"other"}}`},
	} {
		if c.put != "" {
			if a := n.do(t, accountA, "PUT", "/settings", c.put, "Host", c.host).want(t, 204); a.Body != "" {
				t.Errorf("%s: update answers %q", c.name, a.Body)
			}
		}
		if a := n.do(t, accountA, "GET", "/settings", "").want(t, 200); a.Body != c.want {
			t.Errorf("%s: got %s, want %s", c.name, a.Body, c.want)
		}
	}
	before := n.revision(t)
	for _, c := range []struct{ name, host, put string }{
		{"nothing in voice", voice, `{}`},
		{"no bucket of S3 in voice", voice, `{"VoiceConnector":{"CdrBucket":"Not_A_Bucket"}}`},
		{"an access point in voice", voice, `{"VoiceConnector":{"CdrBucket":"my-point-s3alias"}}`},
		{"a line break", chime, `{"VoiceConnector":{"CdrBucket":"a\nb"}}`},
		{"257 characters", chime, `{"BusinessCalling":{"CdrBucket":"` + strings.Repeat("b", 257) + `"}}`},
	} {
		if a := n.do(t, accountA, "PUT", "/settings", c.put, "Host", c.host); a.Status != 400 || a.errorType() != "BadRequestException" {
			t.Errorf("%s: %v", c.name, a)
		}
	}
	if n.revision(t) != before {
		t.Error("something was stored")
	}
}

// TestGlobalSettingsAtOnce: two that change different settings of an account at the same moment both have their way, and
// what others keep there stays.
func TestGlobalSettingsAtOnce(t *testing.T) {
	n := startNode(t)
	n.put(t, &trunk.AccountSettings{Account: accountA, CallingName: "ACME"})
	for range 10 {
		n.do(t, accountA, "PUT", "/settings", `{"VoiceConnector":{},"BusinessCalling":{}}`).want(t, 204)
		var both sync.WaitGroup
		for _, put := range []string{`{"VoiceConnector":{"CdrBucket":"one"}}`, `{"BusinessCalling":{"CdrBucket":"two"}}`} {
			both.Go(func() {
				if a := n.do(t, accountA, "PUT", "/settings", put); a.Status != 204 {
					t.Errorf("%s: %v", put, a)
				}
			})
		}
		both.Wait()
		got := *n.directory.Snapshot().AccountSettings(accountA)
		if want := (trunk.AccountSettings{Account: accountA, CdrBucket: "one", BusinessCdrBucket: "two", CallingName: "ACME"}); got != want {
			t.Fatalf("got %+v, want %+v", got, want)
		}
	}
}

func TestRegions(t *testing.T) {
	n := startNode(t)
	const want = `{"VoiceConnectorRegions":["us-east-1","us-west-2","ca-central-1","eu-central-1","eu-west-1","eu-west-2",` +
		`"ap-northeast-2","ap-northeast-1","ap-southeast-1","ap-southeast-2"]}`
	if got := n.do(t, accountA, "GET", "/voice-connector-regions", "").want(t, 200).Body; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	// A connector can be made in each of them, and stays there.
	for _, region := range trunk.Regions() {
		a := n.do(t, accountA, "POST", "/voice-connectors", `{"Name":"demo","RequireEncryption":true,"AwsRegion":"`+string(region)+`"}`).want(t, 201)
		id := a.text(t, "VoiceConnector", "VoiceConnectorId")
		a = n.do(t, accountA, "PUT", "/voice-connectors/"+id, `{"Name":"demo","RequireEncryption":true,"AwsRegion":"us-east-1"}`).want(t, 200)
		if got := a.text(t, "VoiceConnector", "AwsRegion"); got != string(region) {
			t.Errorf("an update moved a connector from %s to %s", region, got)
		}
	}
}

// addressOf is a request that an account sends about a well-formed address.
func addressOf(account string) string {
	return address(account, "410", "Terry Ave N", "Seattle", "WA", "US", "98109")
}

func address(account, number, info, city, state, country, code string) string {
	return `{"AwsAccountId":"` + account + `","StreetNumber":"` + number + `","StreetInfo":"` + info + `","City":"` + city + `","State":"` + state +
		`","Country":"` + country + `","PostalCode":"` + code + `"}`
}

// TestValidateAddress: nothing is ever confirmed; an address that has the form of one comes back in its normal spelling.
func TestValidateAddress(t *testing.T) {
	n := startNode(t)
	const malformed = `{"Address":null,"AddressExternalId":null,"CandidateAddressList":[],"ValidationResult":2}`
	well := func(a string) string {
		return `{"Address":{` + a + `},"AddressExternalId":null,"CandidateAddressList":[],"ValidationResult":2}`
	}
	for _, c := range []struct{ name, body, want string }{
		{"US", addressOf(accountA), well(`"city":"SEATTLE","country":"US","postalCode":"98109","state":"WA","streetName":"TERRY AVE N","streetNumber":"410"`)},
		{"ZIP+4, small letters, spaces", address(accountA, " 410 ", "terry  ave n", "seattle", "wa", "us", "98109-5210"),
			well(`"city":"SEATTLE","country":"US","postalCode":"98109","postalCodePlus4":"5210","state":"WA","streetName":"TERRY AVE N","streetNumber":"410"`)},
		{"nine digits", address(accountA, "410", "Terry Ave N", "Seattle", "WA", "US", "981095210"),
			well(`"city":"SEATTLE","country":"US","postalCode":"98109","postalCodePlus4":"5210","state":"WA","streetName":"TERRY AVE N","streetNumber":"410"`)},
		{"Canada", address(accountA, "1200", "rue Sainte-Élisabeth", "Montréal", "QC", "CA", "h2x3p9"),
			well(`"city":"MONTRÉAL","country":"CA","postalCode":"H2X 3P9","state":"QC","streetName":"RUE SAINTE-ÉLISABETH","streetNumber":"1200"`)},
		{"a province in the US", address(accountA, "410", "Terry Ave N", "Seattle", "BC", "US", "98109"), malformed},
		{"a state in Canada", address(accountA, "410", "Terry Ave N", "Seattle", "WA", "CA", "H2X 3P9"), malformed},
		{"a state in full", address(accountA, "410", "Terry Ave N", "Seattle", "Washington", "US", "98109"), malformed},
		{"two states", address(accountA, "410", "Terry Ave N", "Seattle", "WA WI", "US", "98109"), malformed},
		{"military", address(accountA, "410", "Unit", "APO", "AE", "US", "09000"), malformed},
		{"elsewhere", address(accountA, "10", "Downing Street", "London", "LN", "GB", "SW1A 2AA"), malformed},
		{"no house number", address(accountA, "none", "Terry Ave N", "Seattle", "WA", "US", "98109"), malformed},
		{"short code", address(accountA, "410", "Terry Ave N", "Seattle", "WA", "US", "9810"), malformed},
		{"dash in the wrong place", address(accountA, "410", "Terry Ave N", "Seattle", "WA", "US", "9810-95210"), malformed},
		{"letters", address(accountA, "410", "Terry Ave N", "Seattle", "WA", "US", "98I09"), malformed},
		{"letter no code has", address(accountA, "1200", "Rue", "Montreal", "QC", "CA", "H2O 3P9"), malformed},
		{"letter none begins with", address(accountA, "1200", "Rue", "Montreal", "QC", "CA", "W2X 3P9"), malformed},
		{"digit for a letter", address(accountA, "1200", "Rue", "Montreal", "QC", "CA", "12X 3P9"), malformed},
		{"a tab", address(accountA, "410", `Terry\tAve`, "Seattle", "WA", "US", "98109"), malformed},
		{"129 characters", address(accountA, "410", strings.Repeat("T", 129), "Seattle", "WA", "US", "98109"), malformed},
	} {
		for _, host := range []string{"voice-chime.us-east-1.amazonaws.com", "chime.us-east-1.amazonaws.com"} {
			if a := n.do(t, accountA, "POST", "/emergency-calling/address", c.body, "Host", host).want(t, 202); a.Body != c.want {
				t.Errorf("%s: got %s, want %s", c.name, a.Body, c.want)
			}
		}
	}
	if a := n.do(t, accountB, "POST", "/emergency-calling/address", addressOf(accountA)).want(t, 403); a.errorType() != "ForbiddenException" {
		t.Errorf("for another account: %v", a)
	}
	n.do(t, accountA, "POST", "/emergency-calling/address", address(accountA, "410", "Terry", " ", "WA", "US", "98109")).want(t, 400)
}

// TestAddressesStayOut: where somebody lives is in no line of the log and in no error.
func TestAddressesStayOut(t *testing.T) {
	var log strings.Builder
	n := startNode(t, func(c *Config) {
		c.Logger = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	})
	n.do(t, accountA, "POST", "/emergency-calling/address", addressOf(accountA)).want(t, 202)
	for _, a := range []answer{
		n.do(t, accountB, "POST", "/emergency-calling/address", addressOf(accountA)).want(t, 403),
		n.do(t, accountA, "POST", "/emergency-calling/address", address(accountA, "410", "Terry Ave N", "Seattle", "WA", " ", "98109")).want(t, 400),
	} {
		if strings.Contains(a.Body, "Terry") || strings.Contains(a.Body, "98109") {
			t.Errorf("an answer holds %s", a.Body)
		}
	}
	if got := strings.ToUpper(log.String()); !strings.Contains(got, "VALIDATEE911ADDRESS") || strings.Contains(got, "TERRY") || strings.Contains(got, "98109") || strings.Contains(got, "SEATTLE") {
		t.Errorf("log: %s", log.String())
	}
}

func FuzzNormalAddress(f *testing.F) {
	f.Add("410", "Terry Ave N", "Seattle", "WA", "US", "98109-5210")
	f.Add("1200", "rue Sainte-Élisabeth", "Montréal", "QC", "CA", "h2x3p9")
	f.Add("1", "ſ", "\xff", " a", "us", "K1A 0B1")
	f.Fuzz(func(t *testing.T, number, info, city, state, country, code string) {
		of := func(s string) *wire.Sensitive { return new(wire.Sensitive(s)) }
		a, ok := normalAddress(&wire.ValidateE911AddressRequest{
			StreetNumber: of(number), StreetInfo: of(info), City: of(city), State: of(state), Country: of(country), PostalCode: of(code),
		})
		if ok != (a != nil) {
			t.Fatalf("%v with %v", ok, a)
		}
		if !ok {
			return
		}
		// What is normal stays as it is.
		full := string(*a.PostalCode)
		if a.PostalCodePlus4 != nil {
			full += "-" + string(*a.PostalCodePlus4)
		}
		again, ok := normalAddress(&wire.ValidateE911AddressRequest{
			StreetNumber: a.StreetNumber, StreetInfo: a.StreetName, City: a.City, State: a.State, Country: a.Country, PostalCode: of(full),
		})
		if !ok || *again.City != *a.City || *again.StreetName != *a.StreetName || *again.PostalCode != *a.PostalCode || *again.State != *a.State {
			t.Errorf("%q %q %q %q %q %q is not normal", number, info, city, state, country, code)
		}
	})
}

// TestRefusals: what is not offered says what it is, and every family has an operation.
func TestRefusals(t *testing.T) {
	n := startNode(t)
	used := map[string]bool{}
	for _, op := range Operations() {
		if op.Offered {
			if op.Refusal != "" {
				t.Errorf("%s is offered and refused with %q", op.Name, op.Refusal)
			}
			continue
		}
		used[op.Refusal] = true
		path := strings.NewReplacer("{voiceConnectorId}", "zzzzzzzzzzzzzzzzzzzzzz", "{VoiceConnectorId}", "zzzzzzzzzzzzzzzzzzzzzz", "{", "", "}", "").Replace(op.Path)
		host := "voice-chime.us-east-1.amazonaws.com"
		if !slices.Contains(op.Namespaces, "chime-sdk-voice") {
			host = "chime.us-east-1.amazonaws.com"
		}
		a := n.do(t, accountA, op.Method, path, "", "Host", host)
		if a.Status != 403 || a.errorType() != "ForbiddenException" || a.text(t, "Code") != "Forbidden" || a.text(t, "Message") != op.Refusal {
			t.Errorf("%s: %v, want %s", op.Name, a, op.Refusal)
		}
		if !strings.Contains(op.Refusal, "not offered by this installation") {
			t.Errorf("%s is refused with %q", op.Name, op.Refusal)
		}
	}
	for _, family := range notOfferedFamilies() {
		if !used[family.sentence] {
			t.Errorf("nothing is refused with %q", family.sentence)
		}
		delete(used, family.sentence)
	}
	for sentence := range used {
		t.Errorf("%q is of no family", sentence)
	}
}
