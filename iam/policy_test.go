package iam

import (
	"strings"
	"testing"
)

const (
	connectorARN = "arn:aws:chime:us-east-1:111122223333:vc/abcdef1ghij2klmno3pqr4"
	getAction    = "chime:GetVoiceConnector"
)

func mustParse(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return p
}

func statements(list ...string) string {
	return `{"Version":"2012-10-17","Statement":[` + strings.Join(list, ",") + `]}`
}

func TestEvaluate(t *testing.T) {
	const allowAll = `{"Effect":"Allow","Action":"*","Resource":"*"}`
	for _, c := range []struct {
		name, policy string
		want         Decision
	}{
		{"everything", statements(allowAll), Allow},
		{"one statement without a list", `{"Statement":` + allowAll + `}`, Allow},
		{"exact", statements(`{"Effect":"Allow","Action":"chime:GetVoiceConnector","Resource":"` + connectorARN + `"}`), Allow},
		{"actions ignore case", statements(`{"Effect":"Allow","Action":"CHIME:getvoiceconnector","Resource":"*"}`), Allow},
		{"star and question mark", statements(`{"Effect":"Allow","Action":["s3:*","chime:Get*Connect?r"],"Resource":"arn:aws:chime:*:111122223333:vc/*"}`), Allow},
		{"other action", statements(`{"Effect":"Allow","Action":"chime:ListVoiceConnectors","Resource":"*"}`), ImplicitDeny},
		{"prefix is not a match", statements(`{"Effect":"Allow","Action":"chime:GetVoice","Resource":"*"}`), ImplicitDeny},
		{"resources keep case", statements(`{"Effect":"Allow","Action":"*","Resource":"` + strings.ToUpper(connectorARN[3:]) + `"}`), 99},
		{"other account", statements(`{"Effect":"Allow","Action":"*","Resource":"arn:aws:chime:*:999999999999:*"}`), ImplicitDeny},
		{"deny wins, first", statements(`{"Effect":"Deny","Action":"chime:Get*","Resource":"*"}`, allowAll), ExplicitDeny},
		{"deny wins, last", statements(allowAll, `{"Effect":"Deny","Action":"chime:Get*","Resource":"*"}`), ExplicitDeny},
		{"deny of something else", statements(allowAll, `{"Effect":"Deny","Action":"chime:Delete*","Resource":"*"}`), Allow},
		{"NotAction leaves it out", statements(`{"Effect":"Allow","NotAction":"chime:Get*","Resource":"*"}`), ImplicitDeny},
		{"NotAction of others", statements(`{"Effect":"Allow","NotAction":"chime:Delete*","Resource":"*"}`), Allow},
		{"NotResource leaves it out", statements(`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:chime:*:*:vc/*"}`), ImplicitDeny},
		{"NotResource of others", statements(`{"Effect":"Allow","Action":"*","NotResource":"arn:aws:chime:*:*:vcg/*"}`), Allow},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := Parse([]byte(c.policy))
			if c.want > Allow {
				if err == nil {
					t.Fatal("Parse accepted it")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := p.Evaluate(getAction, connectorARN, nil); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestConditions(t *testing.T) {
	ctx := Context{}
	for key, value := range map[string]string{
		KeySourceIP: "203.0.113.9", KeyCurrentTime: "2026-11-23T10:00:00Z", KeyEpochTime: "1795428000",
		KeySecureTransport: "true", KeyPrincipalAccount: "111122223333", KeyUserAgent: "aws-cli/2.23.6", KeyViaService: "false",
		KeyPrincipalARN: "arn:aws:iam::111122223333:user/a:b",
	} {
		ctx.Set(key, value)
	}
	ctx.Add(KeyResourceTag+"Team", "voice")
	ctx.Add(KeyRequestTag+"team", "sip")
	ctx.Add(KeyRequestTag+"TEAM", "rtp")
	ctx.Add(KeyTagKeys, "team")
	ctx.Add(KeyTagKeys, "TEAM")
	for _, c := range []struct {
		condition string
		want      bool
	}{
		{`{"StringEquals":{"aws:PrincipalAccount":"111122223333"}}`, true},
		{`{"StringEquals":{"aws:PrincipalAccount":["1","111122223333"]}}`, true},
		{`{"StringNotEquals":{"aws:PrincipalAccount":["1","111122223333"]}}`, false},
		{`{"StringEqualsIgnoreCase":{"aws:UserAgent":"AWS-CLI/2.23.6"}}`, true},
		{`{"StringLike":{"aws:UserAgent":"aws-cli/*"}}`, true},
		{`{"StringNotLike":{"aws:UserAgent":"aws-cli/*"}}`, false},
		{`{"StringEquals":{"aws:RequestedRegion":"us-east-1"}}`, false},
		{`{"StringEqualsIfExists":{"aws:RequestedRegion":"us-east-1"}}`, true},
		{`{"StringNotEquals":{"aws:RequestedRegion":"us-east-1"}}`, true},
		{`{"Null":{"aws:RequestedRegion":"true"}}`, true},
		{`{"Null":{"aws:RequestedRegion":false}}`, false},
		{`{"Bool":{"aws:SecureTransport":"True"}}`, true},
		{`{"Bool":{"aws:SecureTransport":false}}`, false},
		{`{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, true},
		{`{"IpAddress":{"aws:SourceIp":["198.51.100.1","203.0.113.9"]}}`, true},
		{`{"NotIpAddress":{"aws:SourceIp":"203.0.113.0/24"}}`, false},
		{`{"IpAddress":{"aws:SourceIp":"2001:db8::/32"}}`, false},
		{`{"DateLessThan":{"aws:CurrentTime":"2026-12-01T00:00:00Z"}}`, true},
		{`{"DateGreaterThanEquals":{"aws:CurrentTime":"2026-11-23T10:00:00Z"}}`, true},
		{`{"DateGreaterThan":{"aws:CurrentTime":"2026-11-23T10:00:00Z"}}`, false},
		{`{"NumericLessThan":{"aws:EpochTime":1795428001}}`, true},
		{`{"NumericNotEquals":{"aws:EpochTime":"1795428000"}}`, false},
		{`{"NumericEquals":{"aws:UserAgent":"1"}}`, false},
		{`{"StringLike":{"aws:UserAgent":"aws-cli/*"},"Bool":{"aws:SecureTransport":"false"}}`, false},
		{`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:user/*"}}`, true},
		{`{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111122223333:user/a:b"}}`, true},
		{`{"ArnLike":{"aws:PrincipalArn":"arn:*:*:*:*:*"}}`, true},
		{`{"ArnLike":{"aws:PrincipalArn":"arn:aws:*:user/*:*:*"}}`, false}, // a star that would have to reach over colons
		{`{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::999999999999:*"}}`, true},
		{`{"ArnLike":{"aws:UserAgent":"*:*:*:*:*:*"}}`, false}, // not an ARN
		{`{"StringEquals":{"aws:ResourceTag/TEAM":"voice"}}`, true},
		{`{"StringEquals":{"aws:ResourceTag/team":["x","voice"]}}`, true},
		{`{"StringEquals":{"aws:ResourceTag/team":"Voice"}}`, false},
		{`{"StringEquals":{"aws:ResourceTag/other":"voice"}}`, false},
		{`{"StringNotEquals":{"aws:ResourceTag/other":"voice"}}`, true},
		{`{"Null":{"aws:ResourceTag/other":"true"}}`, true},
		{`{"StringEquals":{"aws:RequestTag/Team":"rtp"}}`, false}, // two keys that differ in capitals are one to a policy, and no value is right
		{`{"StringNotEquals":{"aws:RequestTag/Team":"sip"}}`, false},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["team","TEAM","cost"]}}`, true},
		{`{"ForAllValues:StringEquals":{"aws:TagKeys":["team"]}}`, false},
		{`{"ForAllValues:StringEqualsIgnoreCase":{"aws:TagKeys":"Team"}}`, true},
		{`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["cost"]}}`, true},
		{`{"ForAllValues:StringNotEquals":{"aws:TagKeys":["team"]}}`, false},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":["team","x"]}}`, true},
		{`{"ForAnyValue:StringEquals":{"aws:TagKeys":"x"}}`, false},
		{`{"ForAnyValue:StringNotLike":{"aws:TagKeys":"t*"}}`, true},
		{`{"ForAnyValue:StringNotLike":{"aws:TagKeys":["t*","T*"]}}`, false},
		{`{"Null":{"aws:TagKeys":"false"}}`, true},
		{`{"Bool":{"aws:ViaAWSService":"false"}}`, true},
		{`{"BoolIfExists":{"aws:MultiFactorAuthPresent":"false"}}`, true},
		{`{"Bool":{"aws:MultiFactorAuthPresent":"true"}}`, false},
		{`{"DateLessThan":{"aws:TokenIssueTime":"2027-01-01"}}`, false},
	} {
		p := mustParse(t, statements(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+c.condition+`}`))
		if got := p.Evaluate(getAction, connectorARN, ctx) == Allow; got != c.want {
			t.Errorf("%s: got %v, want %v", c.condition, got, c.want)
		}
	}
}

// TestSetsOfNothing: a request without tags.
func TestSetsOfNothing(t *testing.T) {
	for condition, want := range map[string]bool{
		`{"ForAllValues:StringEquals":{"aws:TagKeys":"team"}}`:                                true,
		`{"ForAllValues:StringEquals":{"aws:TagKeys":"team"},"Null":{"aws:TagKeys":"false"}}`: false,
		`{"ForAnyValue:StringEquals":{"aws:TagKeys":"team"}}`:                                 false,
		`{"ForAnyValue:StringNotEquals":{"aws:TagKeys":"team"}}`:                              false,
		`{"ForAnyValue:StringEqualsIfExists":{"aws:TagKeys":"team"}}`:                         true,
	} {
		p := mustParse(t, statements(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":`+condition+`}`))
		if got := p.Evaluate(getAction, connectorARN, Context{}) == Allow; got != want {
			t.Errorf("%s: got %v, want %v", condition, got, want)
		}
	}
}

func TestAsks(t *testing.T) {
	p := mustParse(t, statements(`{"Effect":"Allow","Action":"*","Resource":"*"}`, `{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:ResourceTag/Team":"x"}}}`))
	for prefix, want := range map[string]bool{KeyResourceTag: true, KeyRequestTag: false, KeyTagKeys: false} {
		if got := p.Asks(prefix); got != want {
			t.Errorf("%s: got %t, want %t", prefix, got, want)
		}
	}
}

// TestMappedSource: an IPv4 client on a dual-stack socket must not slip past a Deny by arriving in IPv6 form.
func TestMappedSource(t *testing.T) {
	p := mustParse(t, statements(`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}`))
	if got := p.Evaluate(getAction, connectorARN, Context{KeySourceIP: {"::ffff:203.0.113.9"}}); got != ExplicitDeny {
		t.Errorf("got %v, want explicit deny", got)
	}
}

func TestParseRefuses(t *testing.T) {
	const good = `"Effect":"Allow","Action":"*","Resource":"*"`
	for _, c := range []struct{ name, policy, says string }{
		{"nothing", ``, "JSON"},
		{"null", `null`, "object"},
		{"list", `[]`, "object"},
		{"cut off", `{"Statement":[`, "JSON"},
		{"two values", `{"Statement":{` + good + `}} {}`, "behind"},
		{"no statement", `{"Version":"2012-10-17"}`, "0 statements"},
		{"empty statement list", statements(), "0 statements"},
		{"other version", `{"Version":"2013-10-17","Statement":{` + good + `}}`, "Version"},
		{"unknown element", `{"Statements":{` + good + `}}`, `"Statements"`},
		{"element in small letters", `{"statement":{` + good + `}}`, `"statement"`},
		{"unknown statement element", statements(`{` + good + `,"Principal":"*"}`), `"Principal"`},
		{"element twice", statements(`{` + good + `,"Effect":"Deny"}`), "twice"},
		{"unknown effect", statements(`{"Effect":"allow","Action":"*","Resource":"*"}`), "Effect"},
		{"no effect", statements(`{"Action":"*","Resource":"*"}`), "Effect"},
		{"no action", statements(`{"Effect":"Deny","Resource":"*"}`), "Action"},
		{"both actions", statements(`{` + good + `,"NotAction":"chime:Get*"}`), "exclude"},
		{"empty actions", statements(`{"Effect":"Deny","Action":[],"Resource":"*"}`), "empty"},
		{"action without service", statements(`{"Effect":"Deny","Action":"DeleteVoiceConnector","Resource":"*"}`), "action"},
		{"no resource", statements(`{"Effect":"Deny","Action":"*"}`), "Resource"},
		{"resource not an ARN", statements(`{"Effect":"Deny","Action":"*","Resource":"vc/*"}`), "ARN"},
		{"variable", statements(`{"Effect":"Deny","Action":"*","Resource":"arn:aws:chime:::${aws:username}"}`), "variables"},
		{"number as action", statements(`{"Effect":"Deny","Action":1,"Resource":"*"}`), "string"},
		{"unknown operator", statements(`{` + good + `,"Condition":{"StringMatches":{"aws:UserAgent":"x"}}}`), "operator"},
		{"set operator", statements(`{` + good + `,"Condition":{"ForAnyValue:StringEquals":{"aws:UserAgent":"x"}}}`), "aws:TagKeys"},
		{"many values without a set operator", statements(`{` + good + `,"Condition":{"StringEquals":{"aws:TagKeys":"x"}}}`), "aws:TagKeys"},
		{"tag without a key", statements(`{` + good + `,"Condition":{"StringEquals":{"aws:RequestTag/":"x"}}}`), "key"},
		{"half an ARN", statements(`{` + good + `,"Condition":{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::1"}}}`), "ARN"},
		{"variable in a condition", statements(`{` + good + `,"Condition":{"StringEquals":{"aws:PrincipalAccount":"${aws:PrincipalAccount}"}}}`), "variables"},
		{"unknown key", statements(`{` + good + `,"Condition":{"StringEquals":{"aws:UserAgnet":"x"}}}`), "key"},
		{"bad network", statements(`{` + good + `,"Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/33"}}}`), "network"},
		{"mapped network", statements(`{` + good + `,"Condition":{"IpAddress":{"aws:SourceIp":"::ffff:0:0/96"}}}`), "IPv4"},
		{"bad date", statements(`{` + good + `,"Condition":{"DateLessThan":{"aws:CurrentTime":"soon"}}}`), "date"},
		{"huge exponent", statements(`{` + good + `,"Condition":{"NumericEquals":{"aws:EpochTime":1e999999}}}`), "number"},
		{"bad bool", statements(`{` + good + `,"Condition":{"Bool":{"aws:SecureTransport":"yes"}}}`), "true"},
		{"no values", statements(`{` + good + `,"Condition":{"Bool":{"aws:SecureTransport":[]}}}`), "no value"},
		{"too deep", strings.Repeat("[", MaxPolicyDepth+2), "deeper"},
		{"too long", strings.Repeat(" ", MaxPolicyBytes+1), "bytes"},
		{"too many statements", statements(strings.Repeat(`{},`, MaxStatements) + `{}`), "statements"},
		{"bad UTF-8", "{\"Id\":\"\xff\"}", "UTF-8"},
	} {
		if _, err := Parse([]byte(c.policy)); err == nil {
			t.Errorf("%s: accepted", c.name)
		} else if !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %q does not say %q", c.name, err, c.says)
		}
	}
}

func TestDefaultPolicy(t *testing.T) {
	tenant := &Principal{Account: "111122223333"}
	operator := &Principal{Account: "111122223333", Operator: true}
	bounded := &Principal{Account: "111122223333", Operator: true, Policy: mustParse(t, statements(`{"Effect":"Allow","Action":"carillon:List*","Resource":"*"}`))}
	for _, c := range []struct {
		name             string
		p                *Principal
		action, resource string
		want             Decision
	}{
		{"own connector", tenant, getAction, connectorARN, Allow},
		{"another account's", tenant, getAction, "arn:aws:chime:us-east-1:999999999999:vc/x", ImplicitDeny},
		{"no account", tenant, getAction, "arn:aws:chime", ImplicitDeny},
		{"carillon", tenant, "carillon:ListCarriers", "arn:aws:carillon:us-east-1:111122223333:carrier/*", ImplicitDeny},
		{"operator", operator, "carillon:PutCarrier", "arn:aws:carillon:::carrier/x", Allow},
		{"operator with a policy", bounded, "carillon:PutCarrier", "arn:aws:carillon:::carrier/x", ImplicitDeny},
		{"operator with a policy that allows", bounded, "carillon:ListCarriers", "arn:aws:carillon:::carrier/*", Allow},
	} {
		if got := Allowed(c.p, c.action, c.resource, nil); got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestNewPrincipal(t *testing.T) {
	policies := NewCache(0)
	p, err := NewPrincipal(&AccessKey{ID: "AKIDEXAMPLE", Account: "111122223333", Operator: true}, policies)
	if err != nil || p.Policy != nil || !p.Operator || p.ARN != "arn:aws:iam::111122223333:user/AKIDEXAMPLE" {
		t.Errorf("got %+v, %v", p, err)
	}
	if _, err := NewPrincipal(&AccessKey{ID: "AKIDEXAMPLE", Policy: `{"Statement":"x"}`}, policies); err == nil {
		t.Error("a policy that cannot be read was taken for none")
	}
}

// TestCache: the same text is parsed once, another one anew, a bad one never kept, and the number is bounded.
func TestCache(t *testing.T) {
	c := NewCache(3)
	text := func(i int) string {
		return statements(`{"Sid":"` + strings.Repeat("x", i) + `","Effect":"Allow","Action":"*","Resource":"*"}`)
	}
	first, err := c.Parse(text(0))
	if again, _ := c.Parse(text(0)); err != nil || again != first {
		t.Errorf("the second time: %p, %v, want %p", again, err, first)
	}
	for range 2 {
		if p, err := c.Parse("{}"); err == nil || p != nil {
			t.Error("a policy without statements was taken")
		}
	}
	for i := range 10 {
		if _, err := c.Parse(text(i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.parsed) != 3 || c.Evicted() != 7 {
		t.Errorf("%d kept, %d evicted, want 3 and 7", len(c.parsed), c.Evicted())
	}
}

func TestMatchIsLinear(t *testing.T) {
	// Backtracking over each star would need about 2^40 steps here.
	pattern := strings.Repeat("a*", 200) + "b"
	if match(pattern, strings.Repeat("a", 4000)) {
		t.Error("matched")
	}
}

func FuzzParsePolicy(f *testing.F) {
	f.Add(`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`)
	f.Add(statements(`{"Sid":"a","Effect":"Deny","NotAction":["chime:Get*"],"NotResource":"arn:aws:*","Condition":{"IpAddressIfExists":{"aws:SourceIp":["10.0.0.0/8"]},"Null":{"aws:UserAgent":true}}}`))
	f.Add(statements(`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2026"},"NumericEquals":{"aws:EpochTime":-1.5}}}`))
	f.Add(statements(`{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"ForAllValues:StringLike":{"aws:TagKeys":["a*"]},"ArnLike":{"aws:PrincipalArn":"arn:*:*:*:*:*"},"StringEquals":{"aws:RequestTag/a":"b"}}}`))
	ctx := Context{
		KeySourceIP: {"::ffff:10.0.0.1"}, KeyCurrentTime: {"2026-11-23T10:00:00Z"}, KeyEpochTime: {"1795428000"},
		KeyTagKeys: {"a", "b"}, KeyRequestTag + "a": {"b"}, KeyPrincipalARN: {"arn:aws:iam::1:user/x"},
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Parse([]byte(text))
		if err != nil {
			return
		}
		decision := p.Evaluate(getAction, connectorARN, ctx)
		// Whatever the policy says, one more Deny of everything ends it.
		denied := &Policy{append(p.statements[:len(p.statements):len(p.statements)], mustParse(t, statements(`{"Effect":"Deny","Action":"*","Resource":"*"}`)).statements...)}
		if got := denied.Evaluate(getAction, connectorARN, ctx); got != ExplicitDeny {
			t.Errorf("with a Deny of everything: %v (before: %v)", got, decision)
		}
	})
}
