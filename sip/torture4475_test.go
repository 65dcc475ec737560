package sip

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestRFC4475(t *testing.T) {
	cases := rfc4475Refused()
	for name, c := range rfc4475Accepted() {
		cases[name] = c
	}
	runTorture(t, "rfc4475", cases)
}

// rfc4475Refused: what the RFC wants rejected, and where it leaves a choice
// ("it is reasonable to reject"), the strict one.
func rfc4475Refused() map[string]tortureCase {
	return map[string]tortureCase{
		"badaspec":   {section: "3.1.2.14", fault: FaultTo, status: 400},
		"baddn":      {section: "3.1.2.15", fault: FaultNoHeaderEnd, status: 400, check: checkBaddn},
		"badinv01":   {section: "3.1.2.1", fault: FaultVia, status: 400},
		"badvers":    {section: "3.1.2.16", fault: FaultVersion, status: 505},
		"bigcode":    {section: "3.1.2.19", fault: FaultStatus, status: 0},
		"clerr":      {section: "3.1.2.2", fault: FaultBodyShort, status: 400},
		"escruri":    {section: "3.1.2.11", fault: FaultRequestURI, status: 400},
		"insuf":      {section: "3.3.1", fault: FaultMissing, status: 400},
		"ltgtruri":   {section: "3.1.2.7", fault: FaultRequestURI, status: 400},
		"lwsruri":    {section: "3.1.2.8", fault: FaultStartLine, status: 400},
		"lwsstart":   {section: "3.1.2.9", fault: FaultStartLine, status: 400},
		"mcl01":      {section: "3.3.9", fault: FaultDuplicate, status: 400},
		"mismatch01": {section: "3.1.2.17", fault: FaultCSeqMethod, status: 400},
		"mismatch02": {section: "3.1.2.18", fault: FaultCSeqMethod, status: 400},
		"multi01":    {section: "3.3.8", fault: FaultDuplicate, status: 400},
		"ncl":        {section: "3.1.2.3", fault: FaultContentLength, status: 400},
		"quotbal":    {section: "3.1.2.6", fault: FaultTo, status: 400},
		"regbadct":   {section: "3.1.2.13", fault: FaultContact, status: 400},
		"scalar02":   {section: "3.1.2.4", fault: FaultCSeq, status: 400},
		"scalarlg":   {section: "3.1.2.5", fault: FaultCSeq, status: 0},
		"trws":       {section: "3.1.2.10", fault: FaultStartLine, status: 400},
		// Not in the RFC's text but in its archive: no version, no Via to answer along.
		"test": {section: "archive", fault: FaultStartLine, status: 0},
	}
}

func rfc4475Accepted() map[string]tortureCase {
	return map[string]tortureCase{
		"wsinv":   {section: "3.1.1.1", check: checkWsinv},
		"intmeth": {section: "3.1.1.2", check: checkIntmeth},
		"esc01":   {section: "3.1.1.3", check: checkEsc01},
		"escnull": {section: "3.1.1.4", check: every(
			wantHeader(HdrContact, "<sip:%00@host5.example.com>", "<sip:%00%00@host5.example.com>"),
			want("To user", func(m *Message) []byte { return m.To().URI.User }, "null-%00-null"),
			want("To user unescaped", func(m *Message) []byte { return Unescape(nil, m.To().URI.User) }, "null-\x00-null"))},
		"esc02": {section: "3.1.1.5", check: every(
			want("method", (*Message).MethodToken, "RE%47IST%45R"), wantMethod(MethodUnknown),
			want("To display", toDisplay, "%Z%45"),
			wantHeader(HdrContact, "<sip:alias1@host1.example.com>", "<sip:alias3@host3.example.com>"),
			want("C%6Fntact", func(m *Message) []byte { return m.Lookup("C%6Fntact") }, "<sip:alias2@host2.example.com>"),
			wantTopVia("TCP", "host.example.com", 0, "z9hG4bK209%fzsnel234"))},
		"lwsdisp": {section: "3.1.1.6", check: every(
			want("From display", fromDisplay, "caller"), want("From tag", fromTag, "323"))},
		"longreq": {section: "3.1.1.7", check: checkLongreq},
		"dblreq": {section: "3.1.1.8", check: every(wantMethod(Register), wantCSeq(8, "REGISTER"), wantBody(0),
			func(t *testing.T, m *Message) {
				if bytes.Contains(m.Bytes(), []byte("INVITE")) {
					t.Error("octets after Content-Length are part of the message")
				}
			})},
		"semiuri": {section: "3.1.1.9", check: every(
			want("user", ruriUser, "user;par=u%40example.net"), want("host", ruriHost, "example.com"),
			wantHeader(HdrAccept, "application/sdp", "application/pkcs7-mime", "multipart/mixed",
				"multipart/signed", "message/sip", "message/sipfrag"))},
		"transports": {section: "3.1.1.10", check: checkTransports},
		"mpart01":    {section: "3.1.1.11", check: every(wantMethod(MessageMethod), wantBody(553))},
		"unreason": {section: "3.1.1.12", check: every(wantStatus(200), func(t *testing.T, m *Message) {
			if !strings.HasPrefix(string(m.Reason()), "= 2**3 * 5**2 но сто") {
				t.Errorf("reason: got %q", m.Reason())
			}
		})},
		"noreason": {section: "3.1.1.13", check: every(wantStatus(100),
			want("reason", (*Message).Reason, ""), wantMethod(Invite))},
		"baddate": {section: "3.1.2.12", check: every(wantMethod(Invite), wantBody(150),
			wantHeader(HdrDate, "Fri, 01 Jan 2010 16:00:00 EST"))}, // nothing here reads a Date
		"badbranch": {section: "3.2.1", check: func(t *testing.T, m *Message) {
			if m.Via().BranchIsUnique() {
				t.Error("a branch that is the magic cookie alone identifies nothing")
			}
		}},
		"unkscm":  {section: "3.3.2", check: every(wantScheme(SchemeOther), want("URI", ruriRaw, "nobodyKnowsThisScheme:totallyopaquecontent"))},
		"novelsc": {section: "3.3.3", check: every(wantScheme(SchemeOther), want("URI", ruriRaw, "soap.beep://192.0.2.103:3002"))},
		"unksm2": {section: "3.3.4", check: func(t *testing.T, m *Message) {
			for part, u := range map[string]URI{"To": m.To().URI, "From": m.From().URI, "Contact": m.Contact().URI} {
				if u.Scheme != SchemeOther {
					t.Errorf("%s: got scheme %d, want other", part, u.Scheme)
				}
			}
			want("From tag", fromTag, "3234233")(t, m)
		}},
		"bext01": {section: "3.3.5", check: every(
			wantHeader(HdrRequire, "nothingSupportsThis", "nothingSupportsThisEither"),
			wantHeader(HdrProxyRequire, "noProxiesSupportThis", "norDoAnyProxiesSupportThis"))},
		"invut":    {section: "3.3.6", check: every(want("type", (*Message).ContentType, "application/unknownformat"), wantBody(40))},
		"regaut01": {section: "3.3.7", check: wantHeader(HdrAuthorization, "NoOneKnowsThisScheme opaque-data=here")},
		"bcast": {section: "3.3.10", check: every(wantStatus(200), wantTopVia("UDP", "192.0.2.198", 0, "z9hG4bK1324923"),
			wantHeader(HdrVia, "SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923",
				"SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23"))},
		"zeromf": {section: "3.3.11", check: wantMaxForwards(0)},
		"cparam01": {section: "3.3.12", check: func(t *testing.T, m *Message) {
			if _, ok := m.Contact().Param("unknownparam"); !ok || m.Contact().URI.Params != nil {
				t.Error("without brackets the parameter is the header's")
			}
		}},
		"cparam02": {section: "3.3.13", check: func(t *testing.T, m *Message) {
			if _, ok := m.Contact().URI.Param("unknownparam"); !ok || m.Contact().Params != nil {
				t.Error("inside brackets the parameter is the URI's")
			}
		}},
		"regescrt": {section: "3.3.14", check: want("headers",
			func(m *Message) []byte { return m.Contact().URI.Headers }, "Route=%3Csip:sip.example.com%3E")},
		"sdp01":   {section: "3.3.15", check: every(wantHeader(HdrAccept, "text/nobodyKnowsThis"), wantBody(150))},
		"inv2543": {section: "3.4.1", check: checkInv2543},
	}
}

func wantMethod(method Method) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if m.Method() != method {
			t.Errorf("method: got %v, want %v", m.Method(), method)
		}
	}
}

func wantStatus(status int) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if m.Status() != status || m.IsRequest() {
			t.Errorf("status: got %d, want %d", m.Status(), status)
		}
	}
}

func wantScheme(scheme Scheme) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if got := m.RequestURI().Scheme; got != scheme {
			t.Errorf("scheme: got %d, want %d", got, scheme)
		}
	}
}

// checkBaddn adds the empty line that the archive's file lacks: then the display
// name is what is wrong.
func checkBaddn(t *testing.T, m *Message) {
	runTortureCase(t, append(bytes.Clone(m.Bytes()), "\r\n"...), tortureCase{
		section: "3.1.2.15", fault: FaultFrom, status: 400,
	})
}

func checkWsinv(t *testing.T, m *Message) {
	every(
		wantMethod(Invite), wantCSeq(9, "INVITE"), wantMaxForwards(68), wantBody(150),
		want("Call-ID", (*Message).CallID, "wsinv.ndaksdj@192.0.2.1"),
		want("To tag", toTag, "1918181833n"), want("From tag", fromTag, "98asjd8"),
		want("From display", fromDisplay, `J Rosenberg \"`),
		want("Subject", func(m *Message) []byte { return m.Lookup("Subject") }, ""),
		want("NewFangledHeader", func(m *Message) []byte { return m.Lookup("newfangledheader") },
			"newfangled value   continued newfangled value"),
		want("unusual", func(m *Message) []byte { return m.Lookup("UnknownHeaderWithUnusualValue") }, ";;,,;;,;"),
		wantTopVia("UDP", "192.0.2.2", 0, "390skdjuw"),
		wantHeader(HdrRoute, "<sip:services.example.com;lr;unknownwith=value;unknown-no-value>"),
	)(t, m)
	if m.Get(HdrSubject) == nil {
		t.Error("an empty Subject reads as absent")
	}
	var branches, hosts []string
	for value := range m.Values(HdrVia) {
		v, err := ParseVia(value)
		if err != nil {
			t.Fatalf("Via %q: %v", value, err)
		}
		branches, hosts = append(branches, string(v.Branch)), append(hosts, string(v.Host))
	}
	if want := []string{"390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239"}; !slices.Equal(branches, want) {
		t.Errorf("branches: got %q, want %q", branches, want)
	}
	if want := []string{"192.0.2.2", "spindle.example.com", "192.168.255.111"}; !slices.Equal(hosts, want) {
		t.Errorf("hosts: got %q, want %q", hosts, want)
	}
	c := m.Contact()
	if got := string(c.AppendDisplay(nil)); got != `Quoted string ""` {
		t.Errorf("Contact display: got %q", got)
	}
	newparam, _ := c.Param("newparam")
	q, _ := c.Param("q")
	if _, ok := c.Param("secondparam"); !ok || string(newparam) != "newvalue" || string(q) != "0.33" {
		t.Errorf("Contact parameters: got %q", c.Params)
	}
}

func checkIntmeth(t *testing.T, m *Message) {
	const method = "!interesting-Method0123456789_*+`.%indeed'~"
	every(
		wantMethod(MethodUnknown), wantCSeq(139122385, method), wantMaxForwards(255),
		want("method", (*Message).MethodToken, method),
		want("user", ruriUser, "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"),
		want("password", func(m *Message) []byte { return m.RequestURI().Password }, "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"),
		want("host", ruriHost, "example.com"),
		want("To display", toDisplay, "BEL:\a NUL:\x00 DEL:\x7f"),
		want("From display", fromDisplay, "token1~` token2'+_ token3*%!.-"),
		want("From tag", fromTag, "_token~1'+`*%!-."),
		want("From param", func(m *Message) []byte { v, _ := m.From().Param("fromParam''~+*_!.-%"); return v }, `"работающий"`),
		want("Call-ID", (*Message).CallID, "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"),
		want("extension", func(m *Message) []byte { return m.Lookup("extensionHeader-!.%*+_`'~") }, "\ufeff大停電"),
	)(t, m)
}

func checkEsc01(t *testing.T, m *Message) {
	every(
		want("user", ruriUser, "sips%3Auser%40example.com"),
		want("user unescaped", func(m *Message) []byte { return Unescape(nil, m.RequestURI().User) }, "sips:user@example.com"),
		want("To user unescaped", func(m *Message) []byte { return Unescape(nil, m.To().URI.User) }, "user"),
		want("From user unescaped", func(m *Message) []byte { return Unescape(nil, m.From().URI.User) }, "I have spaces"),
		want("Contact user unescaped", func(m *Message) []byte { return Unescape(nil, m.Contact().URI.User) }, "caller"),
		want("Contact parameters", func(m *Message) []byte { return m.Contact().URI.Params }, ";%6C%72;n%61me=v%61lue%25%34%31"),
		wantMaxForwards(87), wantBody(150),
	)(t, m)
	lr, ok := m.Contact().URI.Param("lr")
	name, _ := m.Contact().URI.Param("name")
	if !ok || lr != nil || string(Unescape(nil, name)) != "value%41" {
		t.Errorf("escaped parameter names: lr %q %v, name %q", lr, ok, name)
	}
}

func checkLongreq(t *testing.T, m *Message) {
	every(wantMethod(Invite), wantCSeq(3882340, "INVITE"), wantMaxForwards(70), wantBody(150))(t, m)
	vias := slices.Collect(m.Values(HdrVia))
	if len(vias) != 34 || string(vias[0]) != "SIP/2.0/TCP sip33.example.com" {
		t.Fatalf("got %d Via, the first %q", len(vias), vias[0])
	}
	last, err := ParseVia(vias[33])
	if err != nil || string(last.Received) != "192.0.2.5" || len(last.Branch) < 200 {
		t.Errorf("last Via: %v, received %q, branch of %d", err, last.Received, len(last.Branch))
	}
}

func checkTransports(t *testing.T, m *Message) {
	var got []string
	for value := range m.Values(HdrVia) {
		v, err := ParseVia(value)
		if err != nil {
			t.Fatalf("Via %q: %v", value, err)
		}
		got = append(got, string(v.Transport))
	}
	if want := []string{"UDP", "SCTP", "TLS", "UNKNOWN", "TCP"}; !slices.Equal(got, want) {
		t.Errorf("transports: got %q, want %q", got, want)
	}
}

func checkInv2543(t *testing.T, m *Message) {
	every(wantMethod(Invite), wantTopVia("UDP", "iftgw.example.com", 0, ""), want("From tag", fromTag, ""))(t, m)
	if _, ok := m.MaxForwards(); ok {
		t.Error("Max-Forwards where there is none")
	}
	if !bytes.HasPrefix(m.Body(), []byte("v=0")) || !bytes.HasSuffix(m.Body(), []byte("RTP/AVP 0\r\n")) {
		t.Errorf("without Content-Length the body is the rest: got %q", m.Body())
	}
}
