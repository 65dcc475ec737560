package sip

import (
	"os"
	"strings"
	"testing"
)

// invite is the INVITE the project measures everywhere: 1.3 KB, an offer with
// a=crypto, the headers a trunk sends.
func readInvite(tb testing.TB) []byte {
	tb.Helper()
	b, err := os.ReadFile("testdata/invite.sip")
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// rewrite writes the INVITE of the other leg: own Via, From, To, Call-ID, CSeq
// and Contact, the rest and the body as they came.
func rewrite(b *Builder, m *Message, uri []byte) []byte {
	b.Reset()
	b.Request("INVITE", uri)
	b.Header("Via", "SIP/2.0/TLS sbc1.voice.example.net:5061;branch=z9hG4bKc0ffee0123456789;rport")
	b.HeaderUint("Max-Forwards", 69)
	b.Open("From")
	b.WriteText("<sip:")
	b.Write(m.From().URI.User)
	b.WriteText("@sbc1.voice.example.net>;tag=5f3a9c1e77")
	b.Close()
	b.Open("To")
	b.WriteText("<sip:")
	b.Write(m.RequestURI().User)
	b.WriteText("@pbx.customer.example>")
	b.Close()
	b.Header("Call-ID", "7d1f0c6e-5a7e-4a55-9c52-1f2f8c9f1f11")
	b.Header("CSeq", "1 INVITE")
	b.Header("Contact", "<sip:sbc1.voice.example.net:5061;transport=tls>")
	for _, id := range forwarded {
		b.Copy(m, id)
	}
	b.Body("application/sdp", m.Body())
	return b.Bytes()
}

var forwarded = [...]HeaderID{
	HdrAllow, HdrSupported, HdrPAssertedIdentity, HdrPrivacy, HdrDiversion, HdrHistoryInfo,
	HdrUserToUser, HdrSessionExpires, HdrMinSE, HdrGeolocation, HdrUserAgent,
}

func BenchmarkParse(b *testing.B) {
	invite := readInvite(b)
	var m Message
	b.ReportAllocs()
	b.SetBytes(int64(len(invite)))
	for b.Loop() {
		if err := m.Parse(invite); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseRewrite(b *testing.B) {
	invite := readInvite(b)
	uri := []byte("sip:+12065550142@pbx.customer.example:5061;transport=tls")
	var m Message
	w := NewBuilder(make([]byte, 0, 4096))
	b.ReportAllocs()
	b.SetBytes(int64(len(invite)))
	for b.Loop() {
		if err := m.Parse(invite); err != nil {
			b.Fatal(err)
		}
		if rewrite(w, &m, uri) == nil {
			b.Fatal(w.Err())
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	var m Message
	if err := m.Parse(readInvite(b)); err != nil {
		b.Fatal(err)
	}
	w := NewBuilder(make([]byte, 0, 4096))
	b.ReportAllocs()
	for b.Loop() {
		w.Reset()
		AppendResponse(w, &m, 180, "", "5f3a9c1e77")
		w.Body("", nil)
	}
}

func BenchmarkParseURI(b *testing.B) {
	uri := []byte("sip:+12065550142@pbx.customer.example:5061;transport=tls")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseURI(uri); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFramer(b *testing.B) {
	invite := readInvite(b)
	var f Framer
	b.ReportAllocs()
	b.SetBytes(int64(len(invite)))
	for b.Loop() {
		f.Write(invite)
		if _, ok, err := f.Next(); !ok {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefuse(b *testing.B) {
	garbage := []byte("INVITE sip:x@example.com SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nTo: \"\r\n\r\n")
	var m Message
	b.ReportAllocs()
	for b.Loop() {
		if m.Parse(garbage) == nil {
			b.Fatal("accepted")
		}
	}
}

// BenchmarkHostile is for messages made to be slow: 60 KB each, and none may cost
// more than its size. The budget of a datagram is 50 ms; these take microseconds.
func BenchmarkHostile(b *testing.B) {
	for name, line := range hostileLines() {
		b.Run(name, func(b *testing.B) {
			message := request(line)
			var m Message
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				parseHostile(&m, message)
			}
		})
	}
}

func parseHostile(m *Message, b []byte) (values int) {
	_ = m.ParseLimited(b, Limits{Line: DefaultMaxMessage})
	for id := range headerCount {
		for v := range m.Values(id) {
			if _, err := ParseNameAddr(v); err == nil {
				values++
			}
		}
	}
	return values
}

func hostileLines() map[string]string {
	long := strings.Repeat
	return map[string]string{
		"folds":         "Subject: y" + long("\r\n ", 20000),
		"commas":        "Contact: <sip:a@b>" + long(",<sip:a@b>", 6000),
		"open quotes":   "Contact: <sip:a@b>" + long(`;a="`, 15001),
		"open brackets": "Route: " + long("<,", 30000),
		"backslashes":   "Subject: " + long(`\`, 60000),
		"parameters":    "Contact: <sip:a@b>" + long(";a=b", 15000),
		"spaces":        "Subject:" + long(" ", 60000) + "x",
		"escapes":       "Contact: <sip:" + long("%41", 20000) + "@b>",
		"colons":        "Contact: <sip:[" + long(":", 60000) + "]>",
		"tokens":        "Contact: " + long("a ", 30000) + "<sip:a@b>",
		"nuls":          "Subject: " + long("\"\\\x00\"", 15000),
	}
}

func TestHostileValues(t *testing.T) {
	for name, want := range map[string]int{"commas": 6001, "open quotes": 0, "open brackets": 0, "tokens": 1} {
		var m Message
		// From and To of the request are values that parse, too.
		if got := parseHostile(&m, request(hostileLines()[name])) - 2; got != want {
			t.Errorf("%s: got %d values that parse, want %d", name, got, want)
		}
	}
}

func TestNoAllocations(t *testing.T) {
	invite := readInvite(t)
	uri := []byte("sip:+12065550142@pbx.customer.example:5061;transport=tls")
	var m Message
	w := NewBuilder(make([]byte, 0, 4096))
	var f Framer
	f.Write(invite)
	for name, run := range map[string]func(){
		"parse": func() { m.Parse(invite) },
		"parse and rewrite": func() {
			m.Parse(invite)
			rewrite(w, &m, uri)
		},
		"answer": func() {
			m.Parse(invite)
			w.Reset()
			AppendResponse(w, &m, 180, "", "tag")
			w.Body("", nil)
		},
		"refuse": func() { m.Parse(invite[:200]) },
		"values": func() {
			for v := range m.Values(HdrAllow) {
				_ = v
			}
			for f := range m.Fields() {
				_ = f
			}
		},
		"frame": func() {
			f.Next()
			f.Write(invite)
		},
	} {
		if got := testing.AllocsPerRun(100, run); got != 0 {
			t.Errorf("%s: got %v allocations, want 0", name, got)
		}
	}
}
