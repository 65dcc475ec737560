package sip

import (
	"net/netip"
	"testing"
)

func TestParseURI(t *testing.T) {
	for _, c := range []struct {
		in                     string
		scheme                 Scheme
		user, pass, host       string
		port                   uint16
		params, headers        string
		noUser, noPass, noHost bool
	}{
		{in: "sip:example.com", scheme: SchemeSIP, host: "example.com", noUser: true, noPass: true},
		{in: "SIP:alice@Example.COM", scheme: SchemeSIP, user: "alice", host: "Example.COM", noPass: true},
		{in: "sips:alice:@h:5061", scheme: SchemeSIPS, user: "alice", host: "h", port: 5061},
		{in: "sip:a:b@[2001:db8::1]:65535;x;y=z?h=v&w=", scheme: SchemeSIP, user: "a", pass: "b", host: "[2001:db8::1]",
			port: 65535, params: ";x;y=z", headers: "h=v&w="},
		{in: "sip:h?subject=a%20b", scheme: SchemeSIP, host: "h", headers: "subject=a%20b", noUser: true, noPass: true},
		{in: "sip:+1-212-555-1212:1234@gateway.com;user=phone", scheme: SchemeSIP, user: "+1-212-555-1212", pass: "1234",
			host: "gateway.com", params: ";user=phone"},
		{in: "sip:alice;day=tuesday@atlanta.com", scheme: SchemeSIP, user: "alice;day=tuesday", host: "atlanta.com", noPass: true},
		{in: "sip:%61%40@h;maddr=[::1]", scheme: SchemeSIP, user: "%61%40", host: "h", params: ";maddr=[::1]", noPass: true},
		{in: "tel:+1-206-555-0142", scheme: SchemeTEL, user: "+1-206-555-0142", noPass: true, noHost: true},
		{in: "TEL:911;phone-context=+1", scheme: SchemeTEL, user: "911", params: ";phone-context=+1", noPass: true, noHost: true},
		{in: "urn:service:sos", scheme: SchemeOther, noUser: true, noPass: true, noHost: true},
		{in: "http://www.example.com/a?b=c", scheme: SchemeOther, noUser: true, noPass: true, noHost: true},
		{in: "sipx:a@b", scheme: SchemeOther, noUser: true, noPass: true, noHost: true},
	} {
		u, err := ParseURI([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if u.Scheme != c.scheme || string(u.User) != c.user || string(u.Password) != c.pass || string(u.Host) != c.host ||
			u.Port != c.port || string(u.Params) != c.params || string(u.Headers) != c.headers {
			t.Errorf("%s: got %+v", c.in, u)
		}
		if (u.User == nil) != c.noUser || (u.Password == nil) != c.noPass || (u.Host == nil) != c.noHost {
			t.Errorf("%s: absent and empty mixed up", c.in)
		}
		if got := string(u.AppendTo(nil)); got != c.in {
			t.Errorf("%s: written as %s", c.in, got)
		}
	}
}

func TestParseURIRefuses(t *testing.T) {
	for _, in := range []string{
		"", "sip", "sip:", "sip:@", "sip:@h", "sip::p@h", "sip:a@", "sip:a@b@c", "sip: a@b", "sip:a b@c", "sip:a@b c",
		"sip:a@b:", "sip:a@b:0", "sip:a@b:65536", "sip:a@b:5060x", "sip:a@b:-1", "sip:a@b:99999999999999999999",
		"sip:a@b;", "sip:a@b;;x", "sip:a@b;x=", "sip:a@b;=x", "sip:a@b;x=y=z", "sip:a@b;x?", "sip:a@b?", "sip:a@b?=x",
		"sip:a@b?x=y=z", "sip:a@b?x&&y", "sip:a%4@b", "sip:a%@b", "sip:a%zz@b", "sip:a@b;x=%", "sip:a\x00@b", "sip:a@b\x00",
		"sip:a@[::1", "sip:a@[]", "sip:a@[::1]x", "sip:a@[::1%25eth0]", "sip:a@[1:2:3:4:5:6:7]", "sip:a@[1:2:3:4:5:6:7:8:9]",
		"sip:a@[1::2::3]", "sip:a@[:1::]", "sip:a@[1:]", "sip:a@[12345::]", "sip:a@[::1.2.3]", "sip:a@[::1.2.3.256]",
		"sip:a@[:::1]", "sip:a@[1::::1.2.3.4]", "sip:a@[1:2:3:4:5:6:7::8]", "sip:2001:db8::1", "sip:a@-b", "sip:a@.b",
		"sip:<a@b>", "<sip:a@b>", "sip:a\"@b", "sip:ü@b", "tel:", "tel:+", "tel:1 2", "tel:1;", "tel:1;x=", "tel:12x",
		":a", "1a:b", "a:", "a_b:c", "a:b c", "a:%4", "a:\x7f",
	} {
		if u, err := ParseURI([]byte(in)); err == nil {
			t.Errorf("%q: accepted as %+v", in, u)
		}
	}
}

func TestURIAppendParts(t *testing.T) {
	for want, u := range map[string]URI{
		"sip:h": {Scheme: SchemeSIP, Host: []byte("h")},
		"sips:a:b@h:5061;x?y=z": {Scheme: SchemeSIPS, User: []byte("a"), Password: []byte("b"), Host: []byte("h"), Port: 5061,
			Params: []byte(";x"), Headers: []byte("y=z")},
		"tel:+1;ext=2": {Scheme: SchemeTEL, User: []byte("+1"), Params: []byte(";ext=2")},
	} {
		if got := string(u.AppendTo(nil)); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestURIParam(t *testing.T) {
	u, err := ParseURI([]byte("sip:a@b;lr;Transport=TLS;n%61me=v%61lue"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"lr": "", "transport": "TLS", "name": "v%61lue"} {
		if got, ok := u.Param(name); !ok || string(got) != want {
			t.Errorf("%s: got %q %v, want %q", name, got, ok, want)
		}
	}
	if got, ok := u.Param("l"); ok {
		t.Errorf("l: got %q", got)
	}
}

// The pairs of RFC 3261 §19.1.4 and RFC 3966 §4, and where they are silent, ours.
func TestURIEqual(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtLanTa.CoM;Transport=tcp", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5", true},
		{"sip:carol@chicago.com", "sip:carol@chicago.com;security=on", true},
		{"sip:carol@chicago.com;newparam=5", "sip:carol@chicago.com;security=on", true},
		{"sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
			"sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com", true},
		{"sip:alice@atlanta.com?subject=project%20x&priority=urgent",
			"sip:alice@atlanta.com?priority=urgent&subject=project%20x", true},
		{"SIP:ALICE@AtLanTa.CoM;Transport=udp", "sip:alice@AtLanTa.CoM;Transport=UDP", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:5060", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp", false},
		{"sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp", false},
		{"sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting", false},
		{"sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4", false},
		{"sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off", false},
		{"sip:a@b", "sips:a@b", false},
		{"sip:a@b", "sip:a:@b", false},
		{"sip:a:p@b", "sip:a:P@b", false},
		{"sip:b", "sip:a@b", false},
		{"sip:a@b;maddr=x", "sip:a@b", false},
		{"sip:a%3Bb@c", "sip:a;b@c", true},
		{"tel:+1-206-555-0142", "tel:+12065550142", true},
		{"tel:+12065550142", "tel:+12065550143", false},
		{"tel:+1206555014", "tel:+12065550142", false},
		{"tel:911;phone-context=+1", "tel:911", false},
		{"tel:911;phone-context=+1;a=b", "tel:911;A=b;Phone-Context=+1", true},
		{"urn:service:sos", "urn:service:sos", true},
		{"urn:service:sos", "urn:service:SOS", false},
	} {
		a, err := ParseURI([]byte(c.a))
		if err != nil {
			t.Fatalf("%s: %v", c.a, err)
		}
		b, err := ParseURI([]byte(c.b))
		if err != nil {
			t.Fatalf("%s: %v", c.b, err)
		}
		if got := a.Equal(&b); got != c.want {
			t.Errorf("%s and %s: got %v", c.a, c.b, got)
		}
		if a.Equal(&b) != b.Equal(&a) {
			t.Errorf("%s and %s: not the same both ways", c.a, c.b)
		}
	}
}

// Addresses are read as net/netip reads them, zones aside.
func TestParseAddr(t *testing.T) {
	for _, s := range []string{
		"0.0.0.0", "255.255.255.255", "192.0.2.1", "::", "::1", "1::", "2001:db8::9:1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::",
		"::2:3:4:5:6:7:8", "1::8", "::ffff:192.0.2.2", "1:2:3:4:5:6:1.2.3.4", "64:ff9b::192.0.2.33", "ABCD:ef01::",
		"1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.256", "1.2.3.1234", "", ":", ":::", "1:2", "g::", "1:::2",
		"::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "12345::", "1.2.3.4::",
	} {
		got, ok := parseAddr([]byte(s))
		want, err := netip.ParseAddr(s)
		if ok != (err == nil) || ok && got != want {
			t.Errorf("%s: got %v %v, want %v %v", s, got, ok, want, err)
		}
	}
	if got, ok := parseAddr([]byte("[::1]")); !ok || got != netip.IPv6Loopback() {
		t.Errorf("[::1]: got %v %v", got, ok)
	}
	if _, ok := parseAddr([]byte("[192.0.2.1]")); ok {
		t.Error("[192.0.2.1] accepted")
	}
}
