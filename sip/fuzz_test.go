package sip

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// seedMessages adds the torture messages, the INVITE and the foreign corpus.
func seedMessages(f *testing.F) {
	f.Helper()
	for _, pattern := range []string{"rfc4475/*", "rfc5118/*", "*.sip"} {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil || len(files) == 0 {
			f.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			b, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
	for _, s := range foreignSeeds(f) {
		f.Add([]byte(s))
	}
}

// foreignSeeds reads files in Go's corpus format that hold one string.
func foreignSeeds(f *testing.F) (seeds []string) {
	f.Helper()
	files, err := filepath.Glob("testdata/seeds/*")
	if err != nil || len(files) == 0 {
		f.Fatalf("%d seeds, %v", len(files), err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		_, line, _ := strings.Cut(string(b), "\n")
		line = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(line), "string("), ")")
		s, err := strconv.Unquote(line)
		if err != nil {
			f.Fatalf("%s: %v", file, err)
		}
		seeds = append(seeds, s)
	}
	return seeds
}

func FuzzParse(f *testing.F) {
	seedMessages(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		var m Message
		err := m.Parse(bytes.Clone(b))
		touch(&m)
		if err != nil {
			checkRefusal(t, &m, err)
			return
		}
		if m.Via() == nil || m.From() == nil || m.To() == nil || len(m.CallID()) == 0 || len(m.MethodToken()) == 0 {
			t.Fatal("accepted without a mandatory header")
		}
		if m.IsRequest() == (m.RequestURI() == nil) || m.IsRequest() != (m.Status() == 0) {
			t.Fatal("neither request nor response")
		}
		c := m.Clone()
		sameMessage(t, &m, c)
		var again Message
		if err := again.Parse(bytes.Clone(m.Bytes())); err != nil {
			t.Fatalf("what was accepted is refused: %v", err)
		}
		sameMessage(t, &m, &again)
		checkLines(t, &m)
	})
}

// touch reads everything there is to read.
func touch(m *Message) {
	for f := range m.Fields() {
		m.Lookup(string(f.Name))
	}
	for id := range headerCount {
		m.Get(id)
		for v := range m.Values(id) {
			ParseNameAddr(v)
			ParseVia(v)
		}
	}
	for _, n := range []*NameAddr{m.From(), m.To(), m.Contact()} {
		if n != nil {
			n.AppendDisplay(nil)
			n.Param("tag")
			n.URI.Param("transport")
			n.URI.HostAddr()
		}
	}
	m.Clone()
}

func checkRefusal(t *testing.T, m *Message, err error) {
	refused := err.(*ParseError)
	if refused.Status != 0 && !m.Answerable() {
		t.Fatalf("%v, but there is no way to answer", err)
	}
	b := NewBuilder(nil)
	AppendResponse(b, m, 400, refused.Reason, "tag")
	b.Body("", nil)
	if lines := bytes.Count(b.Bytes(), []byte("\n")); b.Err() == nil && lines != 3+viaLines(m) {
		t.Fatalf("an answer of %d lines: %q", lines, b.Bytes())
	}
}

// viaLines counts what AppendResponse may take over.
func viaLines(m *Message) int {
	n := m.Count(HdrVia)
	for _, id := range []HeaderID{HdrTo} {
		n += min(m.Count(id), 1)
	}
	for _, id := range []HeaderID{HdrFrom, HdrCallID, HdrCSeq} {
		n += m.Count(id)
	}
	return n
}

func sameMessage(t *testing.T, a, b *Message) {
	t.Helper()
	if !bytes.Equal(a.Bytes(), b.Bytes()) || !bytes.Equal(a.Body(), b.Body()) || a.Method() != b.Method() ||
		a.Status() != b.Status() || a.CSeq() != b.CSeq() || !bytes.Equal(a.CallID(), b.CallID()) ||
		!bytes.Equal(a.From().Tag(), b.From().Tag()) || !bytes.Equal(a.To().Tag(), b.To().Tag()) ||
		!bytes.Equal(a.Via().Branch, b.Via().Branch) || !bytes.Equal(a.From().URI.Raw, b.From().URI.Raw) {
		t.Fatalf("not the same:\n%q\n%q", a.Bytes(), b.Bytes())
	}
	same := func(x, y Field) bool {
		return x.ID == y.ID && bytes.Equal(x.Name, y.Name) && bytes.Equal(x.Value, y.Value)
	}
	if !slices.EqualFunc(slices.Collect(a.Fields()), slices.Collect(b.Fields()), same) {
		t.Fatalf("fields differ:\n%q\n%q", a.Bytes(), b.Bytes())
	}
}

// checkLines makes sure that nothing of an accepted message can start a line.
func checkLines(t *testing.T, m *Message) {
	for f := range m.Fields() {
		if bytes.ContainsAny(f.Value, "\r\n") || bytes.ContainsAny(f.Name, "\r\n\x00 :") {
			t.Fatalf("field %q: %q", f.Name, f.Value)
		}
	}
}

// Where the pieces of a stream are cut must not matter, and what is framed must
// end where Parse says it ends.
func FuzzFramer(f *testing.F) {
	for _, s := range []string{streamed("body") + "\r\n\r\n" + streamed(""), string(request("l : 2")) + "ab", string(request("l:\r\n 0")),
		string(request()), "\r\n\r\n\r\n", "l: 0\r\nA: b\r\n\r\n", string(request("Content-Length: 1", "l: 1")) + "x"} {
		f.Add([]byte(s), uint8(1), uint8(7))
		f.Add([]byte(s), uint8(100), uint8(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, first, rest uint8) {
		const max = 4096
		if len(b) == 0 {
			return
		}
		whole, pings, err := frames(string(b), max, len(b))
		cut, cutPings, cutErr := frames(string(b), max, int(first)+1, int(rest)+1)
		if !slices.Equal(whole, cut) || pings != cutPings || err != cutErr {
			t.Fatalf("at once %q %d %v, in pieces %q %d %v", whole, pings, err, cut, cutPings, cutErr)
		}
		for _, message := range whole {
			var m Message
			if m.Parse([]byte(message)) == nil && len(m.Bytes()) != len(message) {
				t.Fatalf("framed %q, parsed %q", message, m.Bytes())
			}
		}
	})
}

func FuzzURI(f *testing.F) {
	for _, s := range []string{"sip:a:b@[2001:db8:::192.0.2.1]:65535;x;y=z?h=v&w=", "sips:h", "tel:+1-2;x=y", "urn:a", "sip:%41@h;%41=%41", "sip:a@b;;"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := ParseURI(b)
		if err != nil {
			return
		}
		if bytes.ContainsAny(b, "\r\n\x00 <>\"") {
			t.Fatalf("%q accepted", b)
		}
		if !u.Equal(&u) {
			t.Fatalf("%q differs from itself", b)
		}
		if u.Scheme == SchemeOther {
			return
		}
		parts := u
		parts.Raw = nil
		again, err := ParseURI(parts.AppendTo(nil))
		if err != nil || !again.Equal(&u) {
			t.Fatalf("%q written from its parts: %q, %v", b, parts.AppendTo(nil), err)
		}
		if addr, ok := u.HostAddr(); ok && addr.Zone() != "" {
			t.Fatalf("%q has a zone", b)
		}
	})
}

func FuzzNameAddr(f *testing.F) {
	for _, s := range []string{`"a \" b" <sip:a@b;x>;tag=1;y="z;"`, "a b<sip:c@d>", "sip:a@b;tag=1", "<sip:a@b>", `"`, "a:b", "<sip:a@b>;tag=1;tag=2"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ParseNameAddr(b)
		if err != nil {
			return
		}
		w := append(bytes.Clone(n.Display), '<')
		w = append(n.URI.AppendTo(w), '>')
		w = append(w, n.Params...)
		again, err := ParseNameAddr(w)
		if err != nil {
			t.Fatalf("%q rewritten as %q: %v", b, w, err)
		}
		if !bytes.Equal(again.Display, n.Display) || !bytes.Equal(again.URI.Raw, n.URI.Raw) || !bytes.Equal(again.Tag(), n.Tag()) {
			t.Fatalf("%q rewritten as %q reads differently", b, w)
		}
		if v, ok := n.Param("tag"); ok != (n.Tag() != nil) || !bytes.Equal(v, n.Tag()) {
			t.Fatalf("%q: tag %q, as a parameter %q", b, n.Tag(), v)
		}
	})
}

func FuzzVia(f *testing.F) {
	for _, s := range []string{"SIP/2.0/UDP h:1;branch=z9hG4bK1;rport;received=[::1]", "SIP / 2.0 / TCP [::1] : 5 ; x=\"y\"", "SIP/2.0/UDP h;;,;,,"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := ParseVia(b)
		if err != nil {
			return
		}
		if branch, ok := v.Param("branch"); ok != (v.Branch != nil) || !bytes.Equal(branch, v.Branch) {
			t.Fatalf("%q: branch %q, as a parameter %q", b, v.Branch, branch)
		}
	})
}

// Whatever goes into a Builder, its lines are the ones that were asked for.
func FuzzBuilder(f *testing.F) {
	f.Add("INVITE", "sip:a@b", "Subject", "hello", "text/plain", []byte("body"))
	f.Add("INVITE", "sip:a@b", "Subject", "a\r\nEvil: b", "", []byte("\r\n\r\n"))
	f.Add("A", "sip:a SIP/2.0\r\nX:", "X\r\nY", "\n", "\x00", []byte{})
	f.Fuzz(func(t *testing.T, method, uri, name, value, contentType string, body []byte) {
		b := NewBuilder(nil)
		b.Request(method, []byte(uri))
		b.Header(name, value)
		b.HeaderBytes(name, []byte(value))
		b.Open(name)
		b.WriteText(value)
		b.Write([]byte(value))
		b.Close()
		b.Body(contentType, body)
		if b.Err() != nil {
			if b.Bytes() != nil {
				t.Fatalf("%v, but %q", b.Err(), b.Bytes())
			}
			return
		}
		head, rest, _ := bytes.Cut(b.Bytes(), []byte("\r\n\r\n"))
		lines := 5
		if contentType != "" {
			lines++
		}
		if got := bytes.Count(head, []byte("\r\n")) + 1; got != lines || bytes.Count(head, []byte("\n")) != lines-1 ||
			bytes.Count(head, []byte("\r")) != lines-1 || bytes.IndexByte(head, 0) >= 0 {
			t.Fatalf("%d lines, want %d: %q", got, lines, head)
		}
		if !bytes.Equal(rest, body) {
			t.Fatalf("body %q, want %q", rest, body)
		}
	})
}
