package sip

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// request builds a well-formed OPTIONS with lines added before the empty one.
func request(lines ...string) []byte {
	all := append([]string{
		"OPTIONS sip:user@example.com SIP/2.0",
		"Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77",
		"From: <sip:caller@example.net>;tag=1",
		"To: <sip:user@example.com>",
		"Call-ID: a@b",
		"CSeq: 7 OPTIONS",
	}, lines...)
	return []byte(strings.Join(all, "\r\n") + "\r\n\r\n")
}

// without returns the request lacking the line that begins with name.
func without(b []byte, name string) []byte {
	i := bytes.Index(b, []byte("\r\n"+name))
	end := bytes.Index(b[i+2:], []byte("\r\n"))
	return append(bytes.Clone(b[:i]), b[i+2+end:]...)
}

func replace(b []byte, old, new string) []byte {
	return bytes.Replace(b, []byte(old), []byte(new), 1)
}

func faultOf(t *testing.T, err error) (Fault, int) {
	t.Helper()
	if err == nil {
		return FaultNone, 0
	}
	var refused *ParseError
	if !errors.As(err, &refused) {
		t.Fatalf("error is a %T, want *ParseError", err)
	}
	return refused.Fault, refused.Status
}

// The rows hold, among others, the classes of published SIP parser flaws:
// mandatory headers missing or unreadable (GHSA-c623-f998-8hhv), lengths that
// are claimed, negative or wrap at 2^32 and 2^64 (GHSA-pg59-5vwg-4jxq,
// GHSA-j5j8-rhcm-7fp9, CVE-2026-23457), white space in and after header names
// that hides a header from a filter (ES2020-01, SA-0004), and duplicates of
// which two elements believe a different one.
func TestParseRefuses(t *testing.T) {
	good := request()
	for name, c := range map[string]struct {
		in     []byte
		fault  Fault
		status int
	}{
		"nothing":                  {nil, FaultEmpty, 0},
		"keep-alive":               {[]byte("\r\n\r\n"), FaultEmpty, 0},
		"no Via":                   {without(good, "Via"), FaultMissing, 0},
		"no From":                  {without(good, "From"), FaultMissing, 400},
		"no To":                    {without(good, "To"), FaultMissing, 400},
		"no Call-ID":               {without(good, "Call-ID"), FaultMissing, 400},
		"no CSeq":                  {without(good, "CSeq"), FaultMissing, 400},
		"From that does not parse": {replace(good, "From: <sip:caller@example.net>", "From: <sip:caller@>"), FaultFrom, 400},
		"empty To":                 {replace(good, "<sip:user@example.com>\r\n", "\r\n"), FaultTo, 400},
		"two To":                   {request("t: <sip:x@y>"), FaultDuplicate, 400},
		"two From":                 {request("f: <sip:caller@example.net>;tag=1"), FaultDuplicate, 400},
		"two From in one line":     {replace(good, ";tag=1", ";tag=1, <sip:x@y>"), FaultFrom, 400},
		"two Call-ID":              {request("i: a@b"), FaultDuplicate, 400},
		"two CSeq":                 {request("CSEQ: 7 OPTIONS"), FaultDuplicate, 400},
		"two Max-Forwards":         {request("Max-Forwards: 1", "max-forwards: 1"), FaultDuplicate, 400},
		"two equal lengths":        {request("Content-Length: 0", "l: 0"), FaultDuplicate, 400},
		"two Content-Type":         {request("c: application/sdp", "Content-Type: text/plain"), FaultDuplicate, 400},
		"two tags":                 {replace(good, ";tag=1", ";tag=1;TAG=2"), FaultFrom, 400},
		"tag without value":        {replace(good, ";tag=1", ";tag"), FaultFrom, 400},
		"two branches":             {replace(good, "z9hG4bK77", "z9hG4bK77;branch=z9hG4bK78"), FaultVia, 400},
		"length with white space":  {request("Content-Length: 1 0"), FaultContentLength, 400},
		"length with sign":         {request("Content-Length: +0"), FaultContentLength, 400},
		"length without value":     {request("Content-Length:"), FaultContentLength, 400},
		"hexadecimal length":       {request("Content-Length: 0x0"), FaultContentLength, 400},
		"length 2^32":              {request("Content-Length: 4294967296"), FaultBodyShort, 400},
		"length 2^32+1":            {request("Content-Length: 4294967297"), FaultContentLength, 400},
		"length 2^64":              {request("Content-Length: 18446744073709551616"), FaultContentLength, 400},
		"length 2^64 with zeros":   {request("Content-Length: 00000000000018446744073709551616"), FaultContentLength, 400},
		"list of lengths":          {request("Content-Length: 0, 0"), FaultContentLength, 400},
		"body one octet short":     {append(request("Content-Length: 5"), "1234"...), FaultBodyShort, 400},
		"Max-Forwards 256":         {request("Max-Forwards: 256"), FaultMaxForwards, 400},
		"Max-Forwards -1":          {request("Max-Forwards: -1"), FaultMaxForwards, 400},
		"Max-Forwards empty":       {request("Max-Forwards: "), FaultMaxForwards, 400},
		"CSeq 2^31":                {replace(good, "CSeq: 7", "CSeq: 2147483648"), FaultCSeq, 400},
		"CSeq without method":      {replace(good, "CSeq: 7 OPTIONS", "CSeq: 7"), FaultCSeq, 400},
		"CSeq without space":       {replace(good, "CSeq: 7 OPTIONS", "CSeq: 7OPTIONS"), FaultCSeq, 400},
		"CSeq with more":           {replace(good, "7 OPTIONS", "7 OPTIONS x"), FaultCSeq, 400},
		"CSeq of another method":   {replace(good, "7 OPTIONS", "7 INVITE"), FaultCSeqMethod, 400},
		"CSeq method in other case": {
			replace(good, "7 OPTIONS", "7 options"), FaultCSeqMethod, 400},
		"Call-ID with space":          {replace(good, "a@b", "a b"), FaultCallID, 400},
		"empty Call-ID":               {replace(good, "a@b", ""), FaultCallID, 400},
		"version 3.0":                 {replace(good, " SIP/2.0\r\nVia", " SIP/3.0\r\nVia"), FaultVersion, 505},
		"version 2.00":                {replace(good, " SIP/2.0\r\nVia", " SIP/2.00\r\nVia"), FaultVersion, 505},
		"version of HTTP":             {replace(good, " SIP/2.0\r\nVia", " HTTP/1.1\r\nVia"), FaultStartLine, 400},
		"no version":                  {replace(good, " SIP/2.0\r\nVia", "\r\nVia"), FaultStartLine, 400},
		"method that is no token":     {replace(good, "OPTIONS", "OPT@ONS"), FaultMethod, 400},
		"tab in the request line":     {replace(good, "OPTIONS sip", "OPTIONS\tsip"), FaultMethod, 400},
		"folded request line":         {replace(good, "com SIP/2.0", "com\r\n SIP/2.0"), FaultStartLine, 400},
		"fold after the request line": {replace(good, "2.0\r\nVia", "2.0\r\n Via"), FaultStartLine, 0},
		"space in a name":             {request("P-Asserted Identity: <sip:x@y>"), FaultHeaderName, 400},
		"vertical tab before colon":   {request("P-Asserted-Identity\v: <sip:x@y>"), FaultHeaderName, 400},
		"no-break space before colon": {request("P-Asserted-Identity\u00a0: <sip:x@y>"), FaultHeaderName, 400},
		"fold before colon":           {request("P-Asserted-Identity\r\n : <sip:x@y>"), FaultHeaderName, 400},
		"line without colon":          {request("Foobar roobar"), FaultHeaderName, 400},
		"empty name":                  {request(": x"), FaultHeaderName, 400},
		"NUL in a name":               {request("Z\x00: x"), FaultHeaderName, 400},
		"NUL in a value":              {request("Z: a\x00b"), FaultNUL, 400},
		"NUL in quotes":               {request("Z: \"a\x00b\""), FaultNUL, 400},
		"escaped NUL without quotes":  {request("Z: \\\x00"), FaultNUL, 400},
		"NUL in the Request-URI":      {replace(good, "sip:user@", "sip:us\x00r@"), FaultRequestURI, 400},
		"bare LF":                     {replace(good, "a@b\r\n", "a@b\n"), FaultLineEnd, 400},
		"bare CR in a value":          {request("Z: a\rb"), FaultLineEnd, 400},
		"bare CR before CRLF":         {request("Z: a\r"), FaultLineEnd, 400},
		"LF LF ends the headers":      {replace(good, "OPTIONS\r\n\r\n", "OPTIONS\r\n\n"), FaultNoHeaderEnd, 400},
		"no empty line":               {good[:len(good)-2], FaultNoHeaderEnd, 400},
		"headers in the Request-URI":  {replace(good, "com SIP", "com?Route=x SIP"), FaultRequestURI, 400},
		"Contact without brackets":    {request("Contact: sip:x@y?Route=z"), FaultContact, 400},
		"empty Contact":               {request("m:"), FaultContact, 400},
		"Via without transport":       {replace(good, "SIP/2.0/UDP ", "SIP/2.0 "), FaultVia, 0},
		"Via without host":            {replace(good, "192.0.2.1:5060", ""), FaultVia, 0},
		"Via port 65536":              {replace(good, "192.0.2.1:5060", "192.0.2.1:65536"), FaultVia, 0},
		"empty Via":                   {replace(good, "SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77", ""), FaultVia, 0},
		"malformed ACK":               {bytes.ReplaceAll(without(good, "To"), []byte("OPTIONS"), []byte("ACK")), FaultMissing, 0},
		"malformed response":          {replace(without(good, "To"), "OPTIONS sip:user@example.com SIP/2.0", "SIP/2.0 200 OK"), FaultMissing, 0},
		"status 099":                  {replace(good, "OPTIONS sip:user@example.com SIP/2.0", "SIP/2.0 099 OK"), FaultStatus, 0},
		"status 2000":                 {replace(good, "OPTIONS sip:user@example.com SIP/2.0", "SIP/2.0 2000 OK"), FaultStatus, 0},
		"response of version 3":       {replace(good, "OPTIONS sip:user@example.com SIP/2.0", "SIP/3.0 200 OK"), FaultVersion, 0},
		"response and no more":        {[]byte("SIP/2.0 2"), FaultNoHeaderEnd, 0},
		"one octet":                   {[]byte("I"), FaultNoHeaderEnd, 0},
		"LF alone":                    {[]byte("\n"), FaultNoHeaderEnd, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			fault, status := faultOf(t, m.Parse(bytes.Clone(c.in)))
			if fault != c.fault || status != c.status {
				t.Errorf("got %v %d, want %v %d", fault, status, c.fault, c.status)
			}
			if got, want := m.Answerable(), c.status != 0; got != want {
				t.Errorf("answerable: got %v, want %v", got, want)
			}
		})
	}
}

func TestParseAccepts(t *testing.T) {
	good := request()
	for name, c := range map[string]struct {
		in    []byte
		check func(*testing.T, *Message)
	}{
		"plain":                   {good, wantCSeq(7, "OPTIONS")},
		"CRLF before":             {append([]byte("\r\n\r\n"), good...), wantMethod(Options)},
		"version in lower case":   {replace(good, "SIP/2.0\r\nVia", "sip/2.0\r\nVia"), wantMethod(Options)},
		"CSeq 2^31-1":             {replace(good, "CSeq: 7", "CSeq: 2147483647"), wantCSeq(1<<31-1, "OPTIONS")},
		"Max-Forwards 0":          {request("Max-Forwards: 0"), wantMaxForwards(0)},
		"Max-Forwards 255":        {request("Max-Forwards: 255"), wantMaxForwards(255)},
		"length 0 of a long body": {append(request("Content-Length: 0"), "ignored"...), wantBody(0)},
		"no length":               {append(good, "body"...), wantBody(4)},
		"length with zeros":       {append(request("Content-Length: 0004"), "body"...), wantBody(4)},
		"folded length":           {append(request("Content-Length:\r\n\t4"), "body"...), wantBody(4)},
		"space before colon": {request("P-Asserted-Identity : <sip:x@y>"),
			wantHeader(HdrPAssertedIdentity, "<sip:x@y>")},
		"tabs around colon": {request("P-Asserted-Identity\t:\t<sip:x@y>\t"),
			wantHeader(HdrPAssertedIdentity, "<sip:x@y>")},
		"list with empty values": {request("Supported: , timer,, 100rel ,"), wantHeader(HdrSupported, "timer", "100rel")},
		"comma in quotes": {request(`Contact: "a, \" b" <sip:x@y>, <sip:a,b@y>;p="q,r"`),
			wantHeader(HdrContact, `"a, \" b" <sip:x@y>`, `<sip:a,b@y>;p="q,r"`)},
		"commas of credentials": {request(`Authorization: Digest a="b", c=d`),
			wantHeader(HdrAuthorization, `Digest a="b", c=d`)},
		"quoted NUL":   {request("Z: \"a\\\x00b\""), want("Z", func(m *Message) []byte { return m.Lookup("z") }, "\"a\\\x00b\"")},
		"UTF-8":        {request("Subject: Füße"), wantHeader(HdrSubject, "Füße")},
		"star Contact": {request("Contact: *"), wantHeader(HdrContact, "*")},
		"Via with spaces": {replace(good, "192.0.2.1:5060;branch=z9hG4bK77", "192.0.2.1 : 5060 ; branch = z9hG4bK77"),
			wantTopVia("udp", "192.0.2.1", 5060, "z9hG4bK77")},
		"two Via in one line": {replace(good, "z9hG4bK77", "z9hG4bK77, SIP/2.0/TCP b;branch=z9hG4bK1"),
			wantTopVia("UDP", "192.0.2.1", 5060, "z9hG4bK77")},
		"status without phrase": {replace(good, "OPTIONS sip:user@example.com SIP/2.0", "SIP/2.0 200"), wantStatus(200)},
		"empty line folded":     {request("Z: a\r\n ", "Subject: b"), wantHeader(HdrSubject, "b")},
		"underscore in host":    {replace(good, "sip:user@example.com SIP", "sip:user@sip_a SIP"), want("host", ruriHost, "sip_a")},
	} {
		t.Run(name, func(t *testing.T) {
			var m Message
			if err := m.Parse(bytes.Clone(c.in)); err != nil {
				t.Fatalf("refused: %v", err)
			}
			c.check(t, &m)
		})
	}
}

func TestLimits(t *testing.T) {
	good := request("Z: 0123456789")
	lines := bytes.Count(good, []byte("\r\n")) - 2
	longest := len("Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK77")
	for name, c := range map[string]struct {
		limits Limits
		fault  Fault
		status int
	}{
		"all exactly":   {Limits{Message: len(good), Headers: lines, Line: longest}, FaultNone, 0},
		"message":       {Limits{Message: len(good) - 1}, FaultTooLarge, 513},
		"headers":       {Limits{Headers: lines - 1}, FaultTooManyHeaders, 513},
		"line":          {Limits{Line: longest - 1}, FaultLineTooLong, 513},
		"beyond offset": {Limits{Message: 1 << 40, Headers: 1 << 20, Line: 1 << 40}, FaultNone, 0},
	} {
		var m Message
		fault, status := faultOf(t, m.ParseLimited(bytes.Clone(good), c.limits))
		if fault != c.fault || status != c.status {
			t.Errorf("%s: got %v %d, want %v %d", name, fault, status, c.fault, c.status)
		}
	}
	var m Message
	many := request(strings.Split(strings.Repeat("Z: y\n", DefaultMaxHeaders), "\n")[:DefaultMaxHeaders-4]...)
	if fault, _ := faultOf(t, m.Parse(many)); fault != FaultTooManyHeaders {
		t.Errorf("default headers: got %v", fault)
	}
	long := request("Z: " + strings.Repeat("y", DefaultMaxLine))
	if fault, _ := faultOf(t, m.Parse(long)); fault != FaultLineTooLong {
		t.Errorf("default line: got %v", fault)
	}
	folded := request("Z: y" + strings.Repeat("\r\n y", DefaultMaxLine/4))
	if fault, _ := faultOf(t, m.Parse(folded)); fault != FaultLineTooLong {
		t.Errorf("default folded line: got %v", fault)
	}
	big := append(request(), make([]byte, DefaultMaxMessage)...)
	if fault, status := faultOf(t, m.Parse(big)); fault != FaultTooLarge || status != 513 {
		t.Errorf("default message: got %v %d", fault, status)
	}
}

// A message that lacks everything must not hand out what the one before it had.
func TestReuseForgets(t *testing.T) {
	var m Message
	if err := m.Parse(readInvite(t)); err != nil {
		t.Fatal(err)
	}
	m.SetReceived(netip.MustParseAddrPort("192.0.2.1:5060"))
	if m.Parse([]byte("garbage\r\n\r\n")) == nil {
		t.Fatal("accepted garbage")
	}
	if m.Via() != nil || m.From() != nil || m.To() != nil || m.Contact() != nil || m.RequestURI() != nil ||
		m.CallID() != nil || m.Body() != nil || m.CSeq() != 0 || m.CSeqMethod() != nil || m.MethodToken() != nil ||
		m.Get(HdrAllow) != nil || m.Lookup("X-Any") != nil || m.Count(HdrVia) != 0 || m.Received().IsValid() {
		t.Errorf("something of the message before is left: %+v", m)
	}
	if _, ok := m.MaxForwards(); ok {
		t.Error("Max-Forwards of the message before is left")
	}
}

func TestClone(t *testing.T) {
	b := request("Z: a\r\n b", "Content-Length: 4")
	b = append(b, "bodyrest"...)
	var m Message
	if err := m.Parse(b); err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddrPort("198.51.100.9:40000")
	m.SetReceived(from)
	c := m.Clone()
	clear(b)
	if got := string(c.CallID()); got != "a@b" {
		t.Errorf("Call-ID: got %q", got)
	}
	if got := string(c.Lookup("Z")); got != "a   b" {
		t.Errorf("Z: got %q", got)
	}
	if got := string(c.Body()); got != "body" {
		t.Errorf("body: got %q", got)
	}
	if c.Received() != from {
		t.Errorf("received: got %v", c.Received())
	}
}

func TestFaultsAreTotal(t *testing.T) {
	labels := map[string]Fault{}
	for f := range faultCount {
		if f.String() == "" || f.String() == "unknown" || faultTexts[f].reason == "" {
			t.Errorf("fault %d has no text", f)
		}
		if other, ok := labels[f.String()]; ok {
			t.Errorf("faults %d and %d share the label %q", f, other, f)
		}
		labels[f.String()] = f
		if status := answers[f].Status; status != 0 && (status < 400 || status > 599) {
			t.Errorf("%v: status %d", f, status)
		}
		if drops[f].Status != 0 {
			t.Errorf("%v: a drop with status %d", f, drops[f].Status)
		}
		if got := answers[f].Error(); !strings.Contains(got, f.String()) {
			t.Errorf("%v: %q", f, got)
		}
	}
	if got := faultCount.String(); got != "unknown" {
		t.Errorf("beyond the last: %q", got)
	}
}

func TestHeaderNames(t *testing.T) {
	for id := HdrOther + 1; id < headerCount; id++ {
		name := id.String()
		if name == "" || len(name) > maxKnownName {
			t.Fatalf("header %d: name %q", id, name)
		}
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToLower(name)} {
			if got := ParseHeaderID([]byte(spelled)); got != id {
				t.Errorf("%s: got %v", spelled, got)
			}
		}
		if c := headers[id].compact; c != 0 {
			for _, b := range []byte{c, c - 0x20} {
				if got := ParseHeaderID([]byte{b}); got != id {
					t.Errorf("compact %c: got %v, want %v", b, got, id)
				}
			}
		}
	}
	for _, name := range []string{"", "Z", "!", "Content-Lengt", "Content-Lengthh", "Call\rID", "Max-Forwards ", strings.Repeat("a", 300)} {
		if got := ParseHeaderID([]byte(name)); got != HdrOther {
			t.Errorf("%q: got %v, want other", name, got)
		}
	}
}

// The comparison by words must agree with the one by letters for every name that
// is one octet off.
func TestHeaderNamesOneOctetOff(t *testing.T) {
	byLetters := func(name []byte) HeaderID {
		for id := HdrOther + 1; id < headerCount; id++ {
			if equalFold(name, headers[id].name) || len(name) == 1 && lower(name[0]) == headers[id].compact {
				return id
			}
		}
		return HdrOther
	}
	for id := HdrOther + 1; id < headerCount; id++ {
		name := []byte(id.String())
		for i, keep := range name {
			for c := range 256 {
				name[i] = byte(c)
				if got, want := ParseHeaderID(name), byLetters(name); got != want {
					t.Errorf("%q: got %v, want %v", name, got, want)
				}
			}
			name[i] = keep
		}
	}
}

func TestMethods(t *testing.T) {
	for m := Invite; m < methodCount; m++ {
		if got := ParseMethod([]byte(m.String())); got != m {
			t.Errorf("%v: got %v", m, got)
		}
		if got := ParseMethod([]byte(strings.ToLower(m.String()))); got != MethodUnknown {
			t.Errorf("%v in lower case: got %v; methods have case", m, got)
		}
	}
	for _, token := range []string{"", "I", "AC", "INVITE2", "ACKACK", "XYZ", "INFOS"} {
		if got := ParseMethod([]byte(token)); got != MethodUnknown {
			t.Errorf("%q: got %v", token, got)
		}
	}
	if got := fmt.Sprint(methodCount); got != "" {
		t.Errorf("beyond the last: %q", got)
	}
}
