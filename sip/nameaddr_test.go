package sip

import "testing"

func TestParseNameAddr(t *testing.T) {
	for _, c := range []struct{ in, display, text, uri, params, tag string }{
		{"sip:a@b", "", "", "sip:a@b", "", ""},
		{"sip:a@b;tag=1;x", "", "", "sip:a@b", ";tag=1;x", "1"},
		{" <sip:a@b;lr> ; TAG = 1 ", "", "", "sip:a@b;lr", "; TAG = 1", "1"},
		{"Alice <sip:a@b>", "Alice", "Alice", "sip:a@b", "", ""},
		{"Alice B. C-D<sip:a@b>;tag=x", "Alice B. C-D", "Alice B. C-D", "sip:a@b", ";tag=x", "x"},
		{`"A \"q\" \\ <x>, y" <sip:a@b>`, `"A \"q\" \\ <x>, y"`, `A "q" \ <x>, y`, "sip:a@b", "", ""},
		{`""<sip:a@b>`, `""`, "", "sip:a@b", "", ""},
		{"<tel:+12065550142;phone-context=x>;p=\"q;r\"", "", "", "tel:+12065550142;phone-context=x", ";p=\"q;r\"", ""},
		{"<sip:a@b?Replaces=x%3Bto-tag%3D1>", "", "", "sip:a@b?Replaces=x%3Bto-tag%3D1", "", ""},
		{"tel:+1;tag=2", "", "", "tel:+1", ";tag=2", "2"},
		{"urn:service:sos", "", "", "urn:service:sos", "", ""},
		{"<sip:a@[::1]>;received=[::1]:5060", "", "", "sip:a@[::1]", ";received=[::1]:5060", ""},
	} {
		n, err := ParseNameAddr([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if string(n.Display) != c.display || string(n.AppendDisplay(nil)) != c.text || string(n.URI.Raw) != c.uri ||
			string(n.Params) != c.params || string(n.Tag()) != c.tag {
			t.Errorf("%s: got %q %q %q %q", c.in, n.Display, n.URI.Raw, n.Params, n.Tag())
		}
	}
	n, err := ParseNameAddr([]byte(`<sip:a@b>;p="q;=r" ; Reason = busy`))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := n.Param("P"); !ok || string(got) != `"q;=r"` {
		t.Errorf("p: got %q %v", got, ok)
	}
	if got, ok := n.Param("reason"); !ok || string(got) != "busy" {
		t.Errorf("reason: got %q %v", got, ok)
	}
}

func TestParseNameAddrRefuses(t *testing.T) {
	for _, in := range []string{
		"", " ", "<", "<>", "<sip:a@b", "sip:a@b>", "Alice", "alice@example.com", `"Alice <sip:a@b>`, `"Alice" sip:a@b`,
		`"Alice"`, "Al,ice <sip:a@b>", "Alice sip:a@b", "< sip:a@b>", "<sip:a@b >", "<sip:a@b> x", "<sip:a@b>;", "<sip:a@b>;;x",
		"<sip:a@b>;x=", "<sip:a@b>;=x", "<sip:a@b>;x y", `<sip:a@b>;x="y`, "<sip:a@b>, <sip:c@d>", "sip:a@b,sip:c@d",
		"sip:a@b?x=y", "<sip:a@b>;tag", `<sip:a@b>;tag="x"`, "<sip:a@b>;tag=1;tag=1", "<<sip:a@b>>", "x:y <sip:a@b>", `"a""b" <sip:a@b>`,
		"ü <sip:a@b>", "\"a\\", "*",
	} {
		if n, err := ParseNameAddr([]byte(in)); err == nil {
			t.Errorf("%q: accepted as %+v", in, n)
		}
	}
}

func TestParseVia(t *testing.T) {
	for _, c := range []struct {
		in        string
		transport string
		host      string
		port      uint16
		branch    string
		received  string
		rport     uint16
		hasRPort  bool
		unique    bool
	}{
		{"SIP/2.0/UDP h", "UDP", "h", 0, "", "", 0, false, false},
		{"sip/2.0/tls [2001:db8::1]:5061 ;branch=z9hG4bKa", "tls", "[2001:db8::1]", 5061, "z9hG4bKa", "", 0, false, true},
		{"SIP / 2.0 / UDP\t10.0.0.1 : 99; Branch = Z9HG4BKx ;rport", "UDP", "10.0.0.1", 99, "Z9HG4BKx", "", 0, true, true},
		{"SIP/2.0/TCP h;rport=5;received=::1;branch=z9hG4bK", "TCP", "h", 0, "z9hG4bK", "::1", 5, true, false},
		{"SIP/2.0/UDP h;ttl=16;maddr=224.2.0.1;branch=old", "UDP", "h", 0, "old", "", 0, false, false},
	} {
		v, err := ParseVia([]byte(c.in))
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if string(v.Transport) != c.transport || string(v.Host) != c.host || v.Port != c.port || string(v.Branch) != c.branch ||
			string(v.Received) != c.received || v.RPort != c.rport || v.HasRPort != c.hasRPort || v.BranchIsUnique() != c.unique {
			t.Errorf("%s: got %+v, unique %v", c.in, v, v.BranchIsUnique())
		}
	}
	v, _ := ParseVia([]byte("SIP/2.0/UDP h;ttl=16;maddr=224.2.0.1"))
	if got, ok := v.Param("MADDR"); !ok || string(got) != "224.2.0.1" {
		t.Errorf("maddr: got %q %v", got, ok)
	}
	for _, in := range []string{
		"", "SIP", "SIP/2.0", "SIP/2.0/", "SIP/2.0/UDP", "SIP/2.0/UDP ", "SIP/2.0/ h", "/2.0/UDP h", "SIP//UDP h", "SIP/2.0/UDPh",
		"SIP/2.0/UDP h:", "SIP/2.0/UDP h:0", "SIP/2.0/UDP h:65536", "SIP/2.0/UDP h:x", "SIP/2.0/UDP [::1", "SIP/2.0/UDP h i",
		"SIP/2.0/UDP h;", "SIP/2.0/UDP h;branch", "SIP/2.0/UDP h;branch=", `SIP/2.0/UDP h;branch="x"`, "SIP/2.0/UDP h;rport=x",
		"SIP/2.0/UDP h;rport=65536", "SIP/2.0/UDP h, SIP/2.0/UDP i", "SIP/2.0/UDP h,", "SIP/2.0/UDP ;branch=x",
	} {
		if v, err := ParseVia([]byte(in)); err == nil {
			t.Errorf("%q: accepted as %+v", in, v)
		}
	}
}
