package routing

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"carillon/call"
	"carillon/directory"
	"carillon/trunk"
)

const (
	account = "111122223333"
	other   = "444455556666"
	host    = "a.voiceconnector.example.com"
	own     = trunk.Number("+12065550100")
	spare   = trunk.Number("+12065550101") // of the account, on no connector
	theirs  = trunk.Number("+12065550200") // another account's, on its connector
	pooled  = trunk.Number("+12065550300") // nobody's
	lost    = trunk.Number("+12065550400") // on a connector that is gone
)

// source is a store that has said everything.
type source []trunk.Entity

func (s source) Follow(_ context.Context, apply func(trunk.Change) error) error {
	return apply(trunk.Change{Revision: 42, Reset: true, Put: s})
}

// snapshot builds what is configured: connector, and beside it one of another account, two carriers, and more, which may
// take the place of any of them.
func snapshot(t *testing.T, connector *trunk.Connector, more ...trunk.Entity) *directory.Snapshot {
	t.Helper()
	d := directory.New(directory.Config{})
	err := d.Follow(context.Background(), append(source{
		connector,
		&trunk.Connector{ID: "b", Account: other, HostName: "b.voiceconnector.example.com", RequireEncryption: true,
			Origination: &trunk.Origination{Routes: []trunk.Route{{Host: "pbx.other.example", Protocol: "UDP", Priority: 1, Weight: 1}}}},
		&trunk.PhoneNumber{E164: own, Account: account, ConnectorID: "a"},
		&trunk.PhoneNumber{E164: spare, Account: account},
		&trunk.PhoneNumber{E164: theirs, Account: other, ConnectorID: "b"},
		&trunk.PhoneNumber{E164: pooled},
		&trunk.PhoneNumber{E164: lost, Account: other, ConnectorID: "gone"},
		&trunk.Carrier{Name: "big", SRTP: call.SRTPOffer, Targets: []trunk.Target{{Host: "198.51.100.1", Transport: trunk.TLS, Port: 5071}, {Host: "198.51.100.2", Transport: trunk.UDP}},
			Sources: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}},
		&trunk.Carrier{Name: "local", Prefixes: []string{"+1206"}, Targets: []trunk.Target{{Host: "198.51.100.9", Transport: trunk.TCP}}},
	}, more...))
	if err != nil {
		t.Fatal(err)
	}
	return d.Snapshot()
}

func newConnector() *trunk.Connector {
	return &trunk.Connector{
		ID: "a", Account: account, HostName: host,
		Termination: &trunk.Termination{CallingRegions: []string{"US", "DE"}, CpsLimit: 1, CidrAllowedList: []trunk.CIDR{cidr("192.0.2.0/24")}},
		Origination: &trunk.Origination{Routes: []trunk.Route{{Host: "pbx.example.com", Protocol: "TCP", Port: 5070, Priority: 1, Weight: 1}}},
	}
}

func cidr(s string) trunk.CIDR { return trunk.CIDR{Text: s, Prefix: netip.MustParsePrefix(s)} }

func chooser(seed uint64) Chooser { return Chooser{Random: rand.New(rand.NewPCG(seed, 2))} }

// reason names a refusal, "" for none.
func reason(r *call.Refusal) string {
	if r == nil {
		return ""
	}
	return r.Reason.String()
}

func TestClassify(t *testing.T) {
	v := snapshot(t, newConnector())
	for _, st := range []struct {
		host, source     string
		connector, owner string // id and carrier
		direction        call.Direction
	}{
		{host, "192.0.2.1", "a", "", call.Outbound},
		{strings.ToUpper(host) + ".", "192.0.2.1", "a", "", call.Outbound},
		{host, "203.0.113.7", "a", "", call.Outbound}, // a customer behind a carrier's address stays a customer
		{"node.example.net", "203.0.113.7", "", "big", call.Inbound},
		{"node.example.net", "::ffff:203.0.113.7", "", "big", call.Inbound},
		{"node.example.net", "198.51.100.9", "", "local", call.Inbound}, // a target's own address
		{"node.example.net", "192.0.2.1", "", "", 0},
		{"", "192.0.2.1", "", "", 0},
	} {
		got, refusal := Classify(v, Facts{Host: st.host, Source: netip.MustParseAddr(st.source)})
		if st.connector == "" && st.owner == "" {
			if reason(refusal) != "connector_unknown" || got != (Owner{}) {
				t.Errorf("%s from %s: %+v, %v", st.host, st.source, got, refusal)
			}
			continue
		}
		if refusal != nil || got.Direction != st.direction || (got.Connector != nil) != (st.connector != "") || (got.Carrier != nil) != (st.owner != "") ||
			got.Connector != nil && got.Connector.ID != st.connector || got.Carrier != nil && got.Carrier.Name != st.owner {
			t.Errorf("%s from %s: %+v, %v", st.host, st.source, got, refusal)
		}
	}
}

func TestScreen(t *testing.T) {
	credentials := func(c *trunk.Connector) { c.Credentials = []trunk.Credential{{Username: "alice"}} }
	noList := func(c *trunk.Connector) { c.Termination.CidrAllowedList = nil }
	encrypted := func(c *trunk.Connector) { c.RequireEncryption = true }
	disabled := func(c *trunk.Connector) { c.Termination.Disabled = true }
	for name, st := range map[string]struct {
		change []func(*trunk.Connector)
		source string
		tls    bool
		user   string
		want   string
		listed bool
		digest bool
	}{
		"listed":                       {source: "192.0.2.1", listed: true},
		"listed, mapped":               {source: "::ffff:192.0.2.1", listed: true},
		"not listed":                   {source: "198.51.100.77", want: "source_not_allowed"},
		"not listed, with credentials": {change: []func(*trunk.Connector){credentials}, source: "198.51.100.77", want: "source_not_allowed", digest: true},
		"both":                         {change: []func(*trunk.Connector){credentials}, source: "192.0.2.1", listed: true, digest: true},
		"credentials alone":            {change: []func(*trunk.Connector){credentials, noList}, source: "198.51.100.77", digest: true},
		"neither":                      {change: []func(*trunk.Connector){noList}, source: "192.0.2.1", want: "source_not_allowed"},
		"no termination":               {change: []func(*trunk.Connector){func(c *trunk.Connector) { c.Termination = nil }}, source: "192.0.2.1", want: "termination_disabled"},
		"disabled":                     {change: []func(*trunk.Connector){disabled}, source: "192.0.2.1", want: "termination_disabled", listed: true},
		"disabled, to a stranger":      {change: []func(*trunk.Connector){disabled}, source: "198.51.100.77", want: "source_not_allowed"},
		"in the clear":                 {change: []func(*trunk.Connector){encrypted}, source: "192.0.2.1", want: "signalling_not_encrypted", listed: true},
		"over TLS":                     {change: []func(*trunk.Connector){encrypted}, source: "192.0.2.1", tls: true, listed: true},
		"emergency in the clear":       {change: []func(*trunk.Connector){encrypted}, source: "192.0.2.1", user: "911", want: "signalling_not_encrypted", listed: true},
		"emergency in the clear, allowed": {change: []func(*trunk.Connector){encrypted, func(c *trunk.Connector) { c.Settings.PlainEmergency = true }},
			source: "192.0.2.1", user: "911", listed: true},
		"the connector's emergency number in the clear": {change: []func(*trunk.Connector){encrypted, withDNIS},
			source: "192.0.2.1", user: dnis, want: "signalling_not_encrypted", listed: true},
		"the connector's emergency number in the clear, allowed": {change: []func(*trunk.Connector){encrypted, withDNIS, func(c *trunk.Connector) { c.Settings.PlainEmergency = true }},
			source: "192.0.2.1", user: dnis, listed: true},
		"other call where emergency may be in the clear": {change: []func(*trunk.Connector){encrypted, func(c *trunk.Connector) { c.Settings.PlainEmergency = true }},
			source: "192.0.2.1", user: "+12125550123", want: "signalling_not_encrypted", listed: true},
	} {
		c := newConnector()
		for _, change := range st.change {
			change(c)
		}
		got, refusal := Screen(c, Facts{Source: netip.MustParseAddr(st.source), TLS: st.tls, User: st.user})
		if reason(refusal) != st.want || got.Listed != st.listed || got.NeedCredentials != st.digest {
			t.Errorf("%s: %+v, refused %q, want %q", name, got, reason(refusal), st.want)
		}
	}
}

// TestCountryAdvice: each refusal for the number's country names the setting that allows it.
func TestCountryAdvice(t *testing.T) {
	for user, want := range map[string]string{
		"+33123456789": "+33123456789 is in FR, which Termination.CallingRegions does not allow ",
		"+19005550123": "+19005550123 is a premium or satellite number, and the connector's setting premium is off The operator allows such numbers: carillon connector set ID premium=on.",
		"+88212345678": "+88212345678 is a premium or satellite number, and the connector's setting premium is off The operator allows such numbers: carillon connector set ID premium=on.",
		"+99912345678": "+99912345678 belongs to no country that Termination.CallingRegions could allow Dial a number that is assigned.",
	} {
		c := newConnector()
		if _, refusal := PlanOutbound(snapshot(t, c), c, Facts{User: user, From: string(own)}, chooser(1)); refusal == nil || refusal.Detail+" "+refusal.Fix != want {
			t.Errorf("%s: %+v, want %s", user, refusal, want)
		}
	}
}

// TestSourceAdvice: credentials are advised only where they would help.
func TestSourceAdvice(t *testing.T) {
	for name, list := range map[string][]trunk.CIDR{"a list": {cidr("192.0.2.0/24")}, "no list": nil} {
		c := newConnector()
		c.Termination.CidrAllowedList = list
		_, refusal := Screen(c, Facts{Source: netip.MustParseAddr("10.1.2.3")})
		if reason(refusal) != "source_not_allowed" || strings.Contains(refusal.Fix, "or set credentials") != (list == nil) {
			t.Errorf("%s: %+v", name, refusal)
		}
	}
}

// TestRouteAdvice: who cannot be called for want of routes is told of these, and not of carriers.
func TestRouteAdvice(t *testing.T) {
	for want, origination := range map[string]*trunk.Origination{
		"Put an Origination with routes.":         nil,
		"Put an Origination with routes. ":        {},
		"Put an Origination with Disabled false.": {Disabled: true},
	} {
		c := newConnector()
		c.Origination = origination
		_, refusal := PlanInbound(snapshot(t, c), c, Facts{User: string(own)}, chooser(1))
		if reason(refusal) != "no_route" || refusal.Fix != strings.TrimSpace(want) {
			t.Errorf("%+v: %+v, want %s", origination, refusal, want)
		}
	}
}

func TestPlanOutbound(t *testing.T) {
	premium := func(c *trunk.Connector) { c.Settings.Premium = true }
	for name, st := range map[string]struct {
		change  func(*trunk.Connector)
		user    string
		want    string // the refusal
		targets string
		country string
		inside  string
	}{
		"far number":              {user: "+12125550123", targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp", country: "US"},
		"longest prefix first":    {user: "+12065559999", targets: "sip:198.51.100.9;transport=tcp sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp", country: "US"},
		"another allowed country": {user: "+4930123456", targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp", country: "DE"},
		"country not allowed":     {user: "+33123456789", want: "country_not_allowed", country: "FR"},
		"Canada is not the US":    {user: "+14165550123", want: "country_not_allowed", country: "CA"},
		"no country":              {user: "+99912345678", want: "country_not_allowed"},
		"no country, premium on":  {change: premium, user: "+99912345678", want: "country_not_allowed"},
		"satellite":               {user: "+88212345678", want: "country_not_allowed"},
		"satellite, premium on":   {change: premium, user: "+88212345678", targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp"},
		"premium, premium on":     {change: premium, user: "+19005550123", targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp", country: "US"},
		"premium on, country not allowed": {change: func(c *trunk.Connector) { c.Settings.Premium, c.Termination.CallingRegions = true, []string{"DE"} },
			user: "+19005550123", want: "country_not_allowed", country: "US"},
		"premium":             {user: "+19005550123", want: "country_not_allowed", country: "US"},
		"without the plus":    {user: "12125550123", want: "number_malformed"},
		"a name":              {user: "alice", want: "number_malformed"},
		"nothing":             {user: "", want: "number_malformed"},
		"too long":            {user: "+1234567890123456", want: "number_malformed"},
		"emergency":           {user: "911", targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp"},
		"emergency with plus": {user: "+112", targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp"},
		"emergency, no country allowed": {change: func(c *trunk.Connector) { c.Termination.CallingRegions = nil }, user: "911",
			targets: "sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp"},
		"inside":                      {user: string(theirs), targets: "sip:pbx.other.example;transport=tls", country: "US", inside: "b"},
		"inside, to itself":           {user: string(own), targets: "sip:pbx.example.com:5070;transport=tcp", country: "US", inside: "a"},
		"inside, no origination":      {change: func(c *trunk.Connector) { c.Origination = nil }, user: string(own), want: "no_route", country: "US", inside: "a"},
		"of the account, unassigned":  {user: string(spare), targets: "sip:198.51.100.9;transport=tcp sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp", country: "US"},
		"on a connector that is gone": {user: string(lost), targets: "sip:198.51.100.9;transport=tcp sip:198.51.100.1:5071;transport=tls sip:198.51.100.2;transport=udp", country: "US"},
		"inside, country not allowed": {change: func(c *trunk.Connector) { c.Termination.CallingRegions = []string{"DE"} }, user: string(theirs), want: "country_not_allowed", country: "US"},
	} {
		c := newConnector()
		if st.change != nil {
			st.change(c)
		}
		p, refusal := PlanOutbound(snapshot(t, c), c, Facts{User: st.user, From: string(own)}, chooser(1))
		inside := ""
		if p.Inside != nil {
			inside = p.Inside.ID
		}
		if reason(refusal) != st.want || targets(p) != st.targets || p.ToCountry != st.country || inside != st.inside {
			t.Errorf("%s: refused %q, targets %s, country %q, inside %q", name, reason(refusal), targets(p), p.ToCountry, inside)
		}
		if refusal != nil {
			continue
		}
		if p.Direction != call.Outbound || p.Revision != 42 || p.Connector != c || p.From != string(own) || p.Emergency != strings.Contains(name, "emergency") {
			t.Errorf("%s: plan %+v", name, p)
		}
		for _, target := range p.Targets {
			if target.User != p.To || (target.Carrier == nil) != (inside != "") {
				t.Errorf("%s: target %+v", name, target)
			}
		}
		if (p.Carrier == nil) != (inside != "") || inside == "b" && p.Targets[0].SRTP != call.SRTPRequire {
			t.Errorf("%s: plan %+v", name, p)
		}
	}
}

func targets(p Plan) string {
	var all []string
	for _, t := range p.Targets {
		all = append(all, t.String())
	}
	return strings.Join(all, " ")
}

func TestNoCarrier(t *testing.T) {
	c := newConnector()
	d := directory.New(directory.Config{})
	if err := d.Follow(context.Background(), source{c, &trunk.PhoneNumber{E164: own, Account: account}}); err != nil {
		t.Fatal(err)
	}
	if _, refusal := PlanOutbound(d.Snapshot(), c, Facts{User: "+12125550123", From: string(own)}, chooser(1)); reason(refusal) != "no_route" {
		t.Errorf("refused %q", reason(refusal))
	}
}

func TestCallerID(t *testing.T) {
	for name, st := range map[string]struct {
		asserted, preferred, from string
		fallback                  string // DefaultPhoneNumber
		user                      string
		want                      string // From, or the refusal
		replaced                  string
	}{
		"From":                         {from: string(own), want: string(own)},
		"From without plus":            {from: "12065550100", want: string(own)},
		"asserted before From":         {asserted: string(spare), from: string(own), want: string(spare)},
		"preferred before From":        {preferred: string(spare), from: string(own), want: string(spare)},
		"asserted before preferred":    {asserted: string(own), preferred: string(spare), want: string(own)},
		"asserted is not held":         {asserted: string(theirs), from: string(own), want: string(own)},
		"another account's":            {from: string(theirs), want: "caller_id_not_owned"},
		"of the pool":                  {from: string(pooled), want: "caller_id_not_owned"},
		"unknown":                      {from: "+12065559999", want: "caller_id_not_owned"},
		"a name":                       {from: "alice", want: "caller_id_not_owned"},
		"none":                         {want: "caller_id_not_owned"},
		"replaced":                     {from: string(theirs), fallback: string(spare), want: string(spare), replaced: string(theirs)},
		"replaced, the first shown":    {asserted: "first", from: "second", fallback: string(spare), want: string(spare), replaced: "first"},
		"replaced, none":               {fallback: string(spare), want: string(spare), replaced: "none"},
		"replaced, evil":               {from: "a\r\nb\"<>", fallback: string(spare), want: string(spare), replaced: "a??b???"},
		"held, so not replaced":        {from: string(own), fallback: string(spare), want: string(own)},
		"fallback is no number":        {from: "alice", fallback: "bob", want: "caller_id_not_owned"},
		"emergency with what there is": {from: string(theirs), user: "911", want: string(theirs)},
		"emergency without any":        {user: "911", want: ""},
		"emergency, replaced":          {user: "911", fallback: string(spare), want: string(spare), replaced: "none"},
	} {
		c := newConnector()
		c.Termination.DefaultPhoneNumber = st.fallback
		user := firstOf(st.user, "+12125550123")
		p, refusal := PlanOutbound(snapshot(t, c), c, Facts{User: user, Asserted: st.asserted, Preferred: st.preferred, From: st.from}, chooser(1))
		got := p.From
		if refusal != nil {
			got = reason(refusal)
		}
		if got != st.want || p.Replaced != st.replaced {
			t.Errorf("%s: %q replacing %q, want %q replacing %q", name, got, p.Replaced, st.want, st.replaced)
		}
	}
}

func TestFindConnector(t *testing.T) {
	v := snapshot(t, newConnector())
	for user, want := range map[string]string{
		string(own): "a", "12065550100": "a", string(theirs): "b", string(spare): "", string(pooled): "", string(lost): "", "alice": "", "": "", "+12065559999": "",
	} {
		c, _, refusal := FindConnector(v, Facts{User: user})
		if want == "" && reason(refusal) != "number_unknown" || want != "" && (refusal != nil || c.ID != want) {
			t.Errorf("%q: %+v, %v", user, c, refusal)
		}
	}
}

func TestPlanInbound(t *testing.T) {
	route := func(change func(*trunk.Connector)) (Plan, *call.Refusal) {
		c := newConnector()
		change(c)
		return PlanInbound(snapshot(t, c), c, Facts{User: string(own), From: "+4930123456", Asserted: "+12125550123"}, chooser(1))
	}
	p, refusal := route(func(*trunk.Connector) {})
	if refusal != nil || targets(p) != "sip:pbx.example.com:5070;transport=tcp" || p.Targets[0].SRTP != call.SRTPOff || p.Targets[0].User != string(own) ||
		p.From != "+12125550123" || p.FromCountry != "US" || p.To != string(own) || p.ToCountry != "US" || p.Direction != call.Inbound {
		t.Errorf("plan %+v, %v", p, refusal)
	}
	// Encryption overrides the route's protocol, and the peer policy goes with the host.
	p, _ = route(func(c *trunk.Connector) {
		c.RequireEncryption = true
		c.Origination.Routes[0].Port = 0
		c.Settings.Peers = map[string]trunk.PeerPolicy{"pbx.example.com": {NoVerify: true}}
	})
	if targets(p) != "sip:pbx.example.com;transport=tls" || p.Targets[0].SRTP != call.SRTPRequire || !p.Targets[0].Peer.NoVerify {
		t.Errorf("plan %+v", p)
	}
	for name, change := range map[string]func(*trunk.Connector){
		"no origination": func(c *trunk.Connector) { c.Origination = nil },
		"disabled":       func(c *trunk.Connector) { c.Origination.Disabled = true },
		"no routes":      func(c *trunk.Connector) { c.Origination.Routes = nil },
	} {
		if _, refusal := route(change); reason(refusal) != "no_route" {
			t.Errorf("%s: refused %q", name, reason(refusal))
		}
	}
	c := newConnector()
	p, _ = PlanInbound(snapshot(t, c), c, Facts{User: string(own), From: "anonymous", Asserted: "+12125550123", Private: true}, chooser(1))
	if p.From != "anonymous" || p.FromCountry != "" || !p.Private {
		t.Errorf("a hidden caller is shown as %q", p.From)
	}
}

// TestEncryptionOverridesTheProtocol: a route of an encrypted connector is dialled over TLS whatever protocol it names, to
// the port it names, else to the one that DNS has or 5061.
func TestEncryptionOverridesTheProtocol(t *testing.T) {
	for _, protocol := range []string{"TCP", "UDP"} {
		for port, want := range map[uint16]string{0: "sip:pbx.example.com;transport=tls", 5070: "sip:pbx.example.com:5070;transport=tls"} {
			c := newConnector()
			c.RequireEncryption = true
			c.Origination.Routes[0].Protocol, c.Origination.Routes[0].Port = protocol, port
			p, refusal := PlanInbound(snapshot(t, c), c, Facts{User: string(own), From: "+12125550123"}, chooser(1))
			if refusal != nil || targets(p) != want || p.Targets[0].SRTP != call.SRTPRequire {
				t.Errorf("%s, port %d: got %s, %v, want %s with SRTP", protocol, port, targets(p), refusal, want)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	for s, want := range map[string]string{
		"": "", "+1206": "+1206", "a b": "a?b", "a\r\nb": "a??b", "\"<>\\": "????", "é": "??", strings.Repeat("x", 100): strings.Repeat("x", 64),
	} {
		if got := Printable(s); got != want {
			t.Errorf("Printable(%q) = %q, want %q", s, got, want)
		}
	}
}
