package storetest

import (
	"net/netip"
	"testing"
	"time"

	"carillon/call"
	"carillon/iam"
	"carillon/trunk"
)

const account = "123456789012"

func quota(name string, value int) *trunk.Quota {
	return &trunk.Quota{Account: account, Name: name, Value: value}
}

func value(t testing.TB, s trunk.Store, name string) int {
	t.Helper()
	q, ok := Get(t, s, quota(name, 0).EntityKey()).(*trunk.Quota)
	if !ok {
		t.Fatalf("quota %q is gone", name)
	}
	return q.Value
}

// Samples returns one full and one bare entity of each kind of the domain. Each secret's text begins with "secret-".
func Samples() []trunk.Entity {
	at := time.Date(2026, 11, 23, 9, 30, 15, int(123*time.Millisecond), time.UTC)
	return append(auditSamples(),
		Connector("abcdefghijklmnopqrstu1"),
		&trunk.Connector{
			ID: "abcdefghijklmnopqrstu2", Account: account, Name: "bare", Region: "eu-west-1", NetworkType: trunk.IPv4Only,
			HostName: "abcdefghijklmnopqrstu2.eu-west-1.vc.example.test", Created: at, Updated: at,
		},
		&trunk.PhoneNumber{E164: "+12065550100", Account: account, ConnectorID: "abcdefghijklmnopqrstu1", Created: at, Updated: at},
		&trunk.PhoneNumber{E164: "+12065550101", Created: at, Updated: at},
		&trunk.PhoneNumber{
			E164: "+12065550102", Account: account, GroupID: "abcdefghijklmnopqrstu3", Associated: at, ProductType: trunk.ProductVoiceConnector,
			Name: "Reception", CallingName: "Acme", OrderID: "6f0b7c1e-0000-4000-8000-000000000001", Deleted: at,
			Tags: []trunk.Tag{{Key: "k", Value: "v"}}, Created: at, Updated: at,
		},
		&trunk.Group{
			ID: "abcdefghijklmnopqrstu3", Account: account, Name: "both coasts", Distribution: trunk.LoadBalanced,
			Members: []trunk.Member{{ConnectorID: "abcdefghijklmnopqrstu1", Priority: 2}, {ConnectorID: "abcdefghijklmnopqrstu2", Priority: 1}},
			Tags:    []trunk.Tag{{Key: "k", Value: "v"}}, Created: at, Updated: at.Add(time.Second),
		},
		&trunk.Group{ID: "abcdefghijklmnopqrstu4", Account: account, Name: "empty", Distribution: trunk.PriorityWeighted, Created: at, Updated: at},
		&trunk.Order{
			ID: "6f0b7c1e-0000-4000-8000-000000000001", Account: account, ProductType: trunk.ProductVoiceConnector, Created: at,
			Numbers: []trunk.OrderedNumber{{E164: "+12065550102", Acquired: true}, {E164: "+12065550199"}},
		},
		&trunk.SIPRule{
			ID: "6f0b7c1e-0000-4000-8000-000000000002", Account: account, Name: "rule", Disabled: true, Trigger: trunk.ToPhoneNumber,
			TriggerValue: "+12065550102", Created: at, Updated: at,
			Targets: []trunk.RuleTarget{{ApplicationID: "app", Priority: 1, Region: "us-east-1"}, {ApplicationID: "other"}},
		},
		&trunk.AccountSettings{Account: account, CdrBucket: "records", BusinessCdrBucket: "calls", CallingName: "Acme", CallingNameUpdated: at},
		&trunk.AccountSettings{Account: "123456789013"},
		&trunk.Usage{Account: account, Name: trunk.QuotaConnectors, Count: 3},
		&trunk.Carrier{
			Name: "north", SRTP: call.SRTPRequire, Probe: 30 * time.Second, User: "u", Password: trunk.NewSecret("secret-carrier"),
			Targets:  []trunk.Target{{Host: "192.0.2.1", Port: 5061, Transport: trunk.TLS}, {Host: "sip.example.test", Transport: trunk.UDP}},
			Prefixes: []string{"+1", "+44"}, Sources: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Lab: true,
		},
		&trunk.Carrier{Name: "south", Targets: []trunk.Target{{Host: "2001:db8::1", Transport: trunk.TCP}}},
		&trunk.Quota{Account: account, Name: "connectors", Value: 5},
		&trunk.Quota{Name: "connectors", Value: 50},
		&trunk.Health{ConnectorID: "abcdefghijklmnopqrstu1", Source: netip.MustParseAddr("203.0.113.7"), Time: at},
		&trunk.Dedup{Key: "arn:aws:iam::1:user/a/CreateVoiceConnector/1/ff", ResultID: "abcdefghijklmnopqrstu1", Expires: time.Now().UTC().Add(time.Hour).Truncate(time.Millisecond)},
		&trunk.Installation{Domain: "example.test", Account: account, Created: at},
		&iam.AccessKey{
			ID: "AKIAEXAMPLE000000001", Account: account, Name: "ci", Secret: trunk.NewSecret("secret-key"),
			SessionToken: trunk.NewSecret("secret-token"), Created: at, Expires: at.Add(time.Hour), Disabled: true, Operator: true, Bootstrap: true,
			Policy: `{"Version":"2012-10-17","Statement":[]}`,
		},
		&iam.AccessKey{ID: "AKIAEXAMPLE000000002", Account: account, Secret: trunk.NewSecret("secret-bare"), Created: at},
	)
}

// Connector returns a connector with every field set.
func Connector(id string) *trunk.Connector {
	at := time.Date(2026, 11, 23, 9, 30, 15, int(123*time.Millisecond), time.UTC)
	host := id + ".voiceconnector.example.test"
	return &trunk.Connector{
		ID: id, Account: account, Name: "Main trunk", Region: "us-west-2", HostName: host,
		RequireEncryption: true, NetworkType: trunk.DualStack, IntegrationType: "CONNECT_CALL_TRANSFER_CONNECTOR",
		Created: at, Updated: at.Add(time.Minute), Tags: []trunk.Tag{{Key: "team", Value: "voice"}, {Key: "env", Value: ""}},
		Termination: &trunk.Termination{
			CallingRegions: []string{"US", "CA"}, CpsLimit: 3, DefaultPhoneNumber: "+12065550100", Disabled: true,
			CidrAllowedList: []trunk.CIDR{{Text: "203.0.113.0/24", Prefix: netip.MustParsePrefix("203.0.113.0/24")}},
		},
		Origination: &trunk.Origination{
			Routes:   []trunk.Route{{Host: "pbx.example.test", Port: 5061, Protocol: "TCP", Priority: 1, Weight: 5}, {Host: "192.0.2.9", Protocol: "UDP", Priority: 2, Weight: 1}},
			Disabled: true,
		},
		Credentials: []trunk.Credential{
			{Username: "alice", Realm: host, MD5: trunk.NewSecret("secret-md5-alice"), SHA256: trunk.NewSecret("secret-sha-alice")},
			{Username: "bob", Realm: "old." + host, MD5: trunk.NewSecret("secret-md5-bob")},
		},
		Services: &trunk.Services{
			Streaming: &trunk.Streaming{RetentionHours: 5, Disabled: true, Targets: []string{"SQS", "SNS"}, Insights: &trunk.MediaInsights{ARN: "arn:aws:chime:x", Disabled: true}},
			Logging:   &trunk.Logging{SIP: true, MediaMetrics: true},
			Emergency: &trunk.Emergency{DNIS: []trunk.DNIS{{Number: "+12065550911", Test: "+12065550912", Country: "US"}, {Number: "+12065550913", Country: "CA"}}},
			ExternalSystems: &trunk.ExternalSystems{
				SessionBorderControllers: []string{"RIBBON_SBC"}, ContactCenters: []string{"GENESYS_ENGAGE_ON_PREMISES"},
			},
			Proxy: &trunk.Proxy{ExpiryMinutes: 60, Disabled: true, Fallback: "+12065550100", Countries: []string{"US", "CA"}},
		},
		Settings: trunk.Settings{
			Digest: []trunk.DigestMode{trunk.DigestMD5}, PlainEmergency: true, Premium: true, ClientCertificates: true, Redirects: trunk.FollowRedirects, Transfers: trunk.RelayTransfers, Headers: []string{"X-Order"},
			Peers: map[string]trunk.PeerPolicy{"pbx.example.test": {Pin: "00ff", NoVerify: true}},
		},
	}
}
