package trunk

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"carillon/call"
)

// refused fails unless err is an Invalid whose sentence says what is wanted.
func refused(t *testing.T, what string, err error, says string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", what)
	} else if KindOf(err) != Invalid || !strings.Contains(err.Error(), says) {
		t.Errorf("%s: %v error %q, want one that says %q", what, KindOf(err), err, says)
	}
}

func accepted(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Errorf("%s: refused: %v", what, err)
	}
}

func TestCheckName(t *testing.T) {
	for _, name := range []string{"x", "bad/ütf%*", strings.Repeat("é", MaxNameLength), "New York 1"} {
		accepted(t, name, CheckName(name))
	}
	for name, says := range map[string]string{
		"": "0 characters", strings.Repeat("n", MaxNameLength+1): "257", "a\nb": "control", "a\x7f": "control", "a\x00": "control",
		"\xff": "UTF-8",
	} {
		refused(t, fmt.Sprintf("%q", name), CheckName(name), says)
	}
}

func termination(change func(*Termination)) *Termination {
	t := &Termination{CallingRegions: []string{"US"}, CidrAllowedList: []CIDR{{Text: "203.0.113.0/27"}}, CpsLimit: 1}
	change(t)
	return t
}

func TestCheckTermination(t *testing.T) {
	rules := DefaultRules()
	rules.MaxCPS = 10
	rules.Country = func(c string) bool { return c != "ZZ" }
	for _, c := range []struct {
		name   string
		change func(*Termination)
		says   string // "" is accepted
	}{
		{"as it is", func(*Termination) {}, ""},
		{"most calls a second", func(t *Termination) { t.CpsLimit = 10 }, ""},
		{"too many calls a second", func(t *Termination) { t.CpsLimit = 11 }, "CpsLimit"},
		{"negative calls", func(t *Termination) { t.CpsLimit = -1 }, "CpsLimit"},
		{"no such country", func(t *Termination) { t.CallingRegions = []string{"US", "ZZ"} }, "ZZ"},
		{"small letters", func(t *Termination) { t.CallingRegions = []string{"us"} }, "us"},
		{"three letters", func(t *Termination) { t.CallingRegions = []string{"USA"} }, "USA"},
		{"too many countries", func(t *Termination) { t.CallingRegions = make([]string, MaxCallingRegions+1) }, "CallingRegions"},
		{"number", func(t *Termination) { t.DefaultPhoneNumber = "12065550100" }, ""},
		{"no number", func(t *Termination) { t.DefaultPhoneNumber = "+0206" }, "E.164"},
		{"number with a tag", func(t *Termination) { t.DefaultPhoneNumber = "+1206;x=y" }, "E.164"},
		{"too many networks", func(t *Termination) { t.CidrAllowedList = make([]CIDR, MaxCIDRs+1) }, "11 entries"},
	} {
		err := rules.CheckTermination(termination(c.change))
		if c.says == "" {
			accepted(t, c.name, err)
		} else {
			refused(t, c.name, err, c.says)
		}
	}
	unset := termination(func(t *Termination) { t.CpsLimit = 0 })
	accepted(t, "CpsLimit unset", rules.CheckTermination(unset))
	if unset.CpsLimit != 1 {
		t.Errorf("an unset CpsLimit became %d, want 1", unset.CpsLimit)
	}
	if got, want := unset.CidrAllowedList[0].Prefix, netip.MustParsePrefix("203.0.113.0/27"); got != want {
		t.Errorf("prefix is %v, want %v", got, want)
	}
}

func TestCheckCIDR(t *testing.T) {
	rules := DefaultRules()
	for _, text := range []string{"10.0.0.0/8", "127.0.0.1/32", "192.168.0.0/16", "2001:db8::/32", "::1/128"} {
		accepted(t, text, rules.checkCIDR(&CIDR{Text: text}))
	}
	for text, says := range map[string]string{
		"0.0.0.0/0": "shorter than /8", "11.0.0.0/7": "host bits", "8.0.0.0/7": "shorter than /8", "::/0": "shorter than /32",
		"2001:db8::/31": "shorter than /32", "203.0.113.1/27": "write 203.0.113.0/27", "203.0.113.9": "not a network",
		"203.0.113.0/33": "not a network", "::ffff:0:0/96": "IPv4 form", "": "not a network", "fe80::%eth0/64": "not a network",
		"010.0.0.0/8": "not a network",
	} {
		refused(t, text, rules.checkCIDR(&CIDR{Text: text}), says)
	}
	// An operator may allow any length but 0: that list would be no list.
	open := Rules{}
	accepted(t, "128.0.0.0/1 with open rules", open.checkCIDR(&CIDR{Text: "128.0.0.0/1"}))
	refused(t, "0.0.0.0/0 with open rules", open.checkCIDR(&CIDR{Text: "0.0.0.0/0"}), "/1")
}

func TestAllows(t *testing.T) {
	term := termination(func(*Termination) {})
	accepted(t, "check", DefaultRules().CheckTermination(term))
	for text, want := range map[string]bool{
		"203.0.113.1": true, "203.0.113.31": true, "203.0.113.32": false, "::ffff:203.0.113.1": true, "2001:db8::1": false,
	} {
		if got := term.Allows(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: got %v", text, got)
		}
	}
	if new(Termination).Allows(netip.MustParseAddr("203.0.113.1")) {
		t.Error("an empty list lets somebody in")
	}
}

func TestCheckOrigination(t *testing.T) {
	good := Route{Host: "sip.example.com", Protocol: "TCP", Priority: 1, Weight: 1}
	with := func(change func(*Route)) error {
		r := good
		change(&r)
		return CheckOrigination(&Origination{Routes: []Route{r}})
	}
	accepted(t, "as it is", with(func(*Route) {}))
	accepted(t, "largest", with(func(r *Route) { r.Priority, r.Weight, r.Port, r.Protocol = MaxPriority, MaxWeight, 65535, "UDP" }))
	accepted(t, "none", CheckOrigination(&Origination{}))
	refused(t, "protocol", with(func(r *Route) { r.Protocol = "TLS" }), "TLS")
	refused(t, "small letters", with(func(r *Route) { r.Protocol = "tcp" }), "tcp")
	refused(t, "priority 0", with(func(r *Route) { r.Priority = 0 }), "Priority")
	refused(t, "priority 101", with(func(r *Route) { r.Priority = MaxPriority + 1 }), "Priority")
	refused(t, "weight 0", with(func(r *Route) { r.Weight = 0 }), "Weight")
	refused(t, "weight 101", with(func(r *Route) { r.Weight = MaxWeight + 1 }), "Weight")
	refused(t, "no host", with(func(r *Route) { r.Host = "" }), "Host")
	refused(t, "too many", CheckOrigination(&Origination{Routes: make([]Route, MaxRoutes+1)}), "21 entries")
}

func TestValidHost(t *testing.T) {
	for _, s := range []string{"a", "a.example", "A-1.Example.", "203.0.113.9", "2001:db8::1", "_sip.example", "1a.example", strings.Repeat("a.", 126) + "a"} {
		if !ValidHost(s) {
			t.Errorf("%q refused", s)
		}
	}
	for _, s := range []string{
		"", ".", "a..b", "-a.example", "a-.example", "a b", "a\r\nb", "a;b", "a:5060", "[2001:db8::1]", "fe80::1%eth0", "1.2.3", "300.1.1.1",
		"a.example/x", "user@a.example", "ü.example", strings.Repeat("a", 64) + ".example", strings.Repeat("a.", 127) + "a",
	} {
		if ValidHost(s) {
			t.Errorf("%q accepted", s)
		}
	}
}

func FuzzValidHost(f *testing.F) {
	for _, s := range []string{"a.example", "203.0.113.9", "2001:db8::1", "a\r\nb", "1.2.3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		// Accepted hosts go into SIP messages as they are: nothing in them may end a header or a URI.
		if ValidHost(s) && strings.ContainsAny(s, " \t\r\n;,?@/[]<>\"%&=") {
			t.Errorf("%q accepted", s)
		}
	})
}

func TestCheckCredential(t *testing.T) {
	for _, name := range []string{"a", "+12065550100", "a.b-c_d", "u'ser", strings.Repeat("u", 128)} {
		accepted(t, name, CheckUsername(name))
	}
	for _, name := range []string{"", strings.Repeat("u", 129), "a b", "a\"b", "a\\b", "a:b", "a,b", "a\nb", "ü", "a\x7f"} {
		refused(t, fmt.Sprintf("%q", name), CheckUsername(name), "Username")
	}
	for _, p := range []string{"x", "pa$$ \"word\"", strings.Repeat("p", 128)} {
		accepted(t, p, CheckPassword(p))
	}
	for _, p := range []string{"", strings.Repeat("p", 129), "geheim\n", "geheimü", "geheim\x7f"} {
		err := CheckPassword(p)
		refused(t, fmt.Sprintf("%q", p), err, "Password")
		if err != nil && strings.Contains(err.Error(), "geheim") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

func TestCheckTags(t *testing.T) {
	accepted(t, "none", CheckTags(nil))
	accepted(t, "longest", CheckTags([]Tag{{strings.Repeat("é", 128), strings.Repeat("é", 256)}, {"k", ""}}))
	refused(t, "no key", CheckTags([]Tag{{"", "v"}}), "Key")
	refused(t, "long key", CheckTags([]Tag{{strings.Repeat("k", 129), "v"}}), "Key")
	refused(t, "long value", CheckTags([]Tag{{"k", strings.Repeat("v", 257)}}), "Value")
	refused(t, "twice", CheckTags([]Tag{{"k", "1"}, {"k", "2"}}), "twice")
	refused(t, "too many", CheckTags(make([]Tag, MaxTags+1)), "51 entries")
}

func TestCheckCarrier(t *testing.T) {
	with := func(change func(*Carrier)) error {
		c := &Carrier{Name: "one", Targets: []Target{{Host: "203.0.113.9", Transport: UDP}}}
		change(c)
		return CheckCarrier(c)
	}
	accepted(t, "as it is", with(func(*Carrier) {}))
	accepted(t, "all", with(func(c *Carrier) {
		c.Targets[0].Transport, c.SRTP, c.Prefixes = TLS, call.SRTPRequire, []string{"+", "+1206"}
		c.Sources, c.Probe = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, time.Minute
	}))
	for name, c := range map[string]struct {
		change func(*Carrier)
		says   string
	}{
		"no name":          {func(c *Carrier) { c.Name = "" }, "name"},
		"long name":        {func(c *Carrier) { c.Name = strings.Repeat("n", 65) }, "name"},
		"name with slash":  {func(c *Carrier) { c.Name = "../x" }, "name"},
		"no targets":       {func(c *Carrier) { c.Targets = nil }, "targets"},
		"too many targets": {func(c *Carrier) { c.Targets = make([]Target, MaxRoutes+1) }, "targets"},
		"bad host":         {func(c *Carrier) { c.Targets[0].Host = "a b" }, "a b"},
		"bad transport":    {func(c *Carrier) { c.Targets[0].Transport = "ws" }, "ws"},
		"keys over UDP":    {func(c *Carrier) { c.SRTP = call.SRTPOffer }, "not TLS"},
		"prefix":           {func(c *Carrier) { c.Prefixes = []string{"1206"} }, "1206"},
		"prefix letters":   {func(c *Carrier) { c.Prefixes = []string{"+1x"} }, "+1x"},
		"empty prefix":     {func(c *Carrier) { c.Prefixes = []string{""} }, "Prefix"},
		"everybody":        {func(c *Carrier) { c.Sources = []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")} }, "everybody"},
		"no prefix at all": {func(c *Carrier) { c.Sources = []netip.Prefix{{}} }, "everybody"},
		"negative probe":   {func(c *Carrier) { c.Probe = -1 }, "probe"},
	} {
		refused(t, name, with(c.change), c.says)
	}
}

func TestParseTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"sip:203.0.113.9":                      {"203.0.113.9", 0, UDP},
		"203.0.113.9:5080":                     {"203.0.113.9", 5080, UDP},
		"sip:a.example:5061":                   {"a.example", 5061, TLS},
		"sip:a.example:5061;transport=udp":     {"a.example", 5061, UDP},
		"sip:a.example;transport=TCP":          {"a.example", 0, TCP},
		"sips:a.example":                       {"a.example", 0, TLS},
		"sip:a.example":                        {"a.example", 0, AnyTransport},
		"a.example;transport=":                 {"a.example", 0, AnyTransport},
		"sip:a.example:5060":                   {"a.example", 5060, UDP},
		"sip:[2001:db8::1]:5060;transport=tls": {"2001:db8::1", 5060, TLS},
		"sip:[2001:db8::1]":                    {"2001:db8::1", 0, UDP},
		"sip:2001:db8::1":                      {"2001:db8::1", 0, UDP},
		"sip:a.example:65535;":                 {"a.example", 65535, UDP},
	} {
		got, err := ParseTarget(text)
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v; want %+v", text, got, err, want)
			continue
		}
		if again, err := ParseTarget(got.String()); err != nil || again != want {
			t.Errorf("%s: written as %s and read as %+v, %v", text, got, again, err)
		}
	}
	for _, text := range []string{
		"", "sip:", "sip:user@a.example", "sip:a.example:", "sip:a.example:0", "sip:a.example:65536", "sip:a.example:x",
		"sip:a.example:99999999999999999999", "sip:[2001:db8::1", "sip:[2001:db8::1]x", "sip:[a.example]", "sip:[::1]5060", "sip:[::1]:", "sip:[10.0.0.1]", "sip:a b", "sip:a.example;transport=ws",
		"sip:a.example;lr", "sips:a.example;transport=udp", "tel:+1206", "sip:a.example:-1",
		"sip:a.example;transport=udp,sip:b.example;transport=tcp", "sip:a.example;transport=udp;transport=tcp", "a.example,b.example",
	} {
		if got, err := ParseTarget(text); err == nil {
			t.Errorf("%q: accepted as %+v", text, got)
		}
	}
}

func FuzzParseTarget(f *testing.F) {
	for _, s := range []string{"sip:203.0.113.9:5060;transport=udp", "sips:[2001:db8::1]", "a.example:5061"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseTarget(s)
		if err != nil {
			return
		}
		if again, err := ParseTarget(got.String()); err != nil || again != got {
			t.Errorf("%q is %+v, written as %q and read as %+v, %v", s, got, got, again, err)
		}
	})
}

func TestParseNumber(t *testing.T) {
	for s, want := range map[string]Number{"+12065550100": "+12065550100", "12065550100": "+12065550100", "+12": "+12", "+123456789012345": "+123456789012345"} {
		if got, ok := ParseNumber(s); !ok || got != want {
			t.Errorf("%q: got %q, %v", s, got, ok)
		}
	}
	for _, s := range []string{"", "+", "+1", "+0123", "++12", "+1234567890123456", "+1 206", "+1206a", "１２"} {
		if got, ok := ParseNumber(s); ok {
			t.Errorf("%q: accepted as %q", s, got)
		}
	}
	if _, ok := ParseDialled("12065550100"); ok {
		t.Error("ParseDialled accepts a number without plus sign")
	}
	if n, ok := ParseDialled("+12065550100"); !ok || n != "+12065550100" {
		t.Errorf("ParseDialled: %q, %v", n, ok)
	}
}
