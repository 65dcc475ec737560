package sip

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A torture case says what a message of RFC 4475 or RFC 5118 must come to.
type tortureCase struct {
	section string
	fault   Fault // FaultNone: accepted
	status  int   // of the answer owed; 0 with a fault means dropped
	check   func(t *testing.T, m *Message)
}

func runTorture(t *testing.T, dir string, cases map[string]tortureCase) {
	files, err := filepath.Glob(filepath.Join("testdata", dir, "*.dat"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := len(files), len(cases); got != want {
		t.Errorf("%d files, %d cases", got, want)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".dat")
		t.Run(name, func(t *testing.T) {
			c, ok := cases[name]
			if !ok {
				t.Fatalf("no outcome asserted for %s", file)
			}
			b, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runTortureCase(t, b, c)
		})
	}
}

func runTortureCase(t *testing.T, b []byte, c tortureCase) {
	var m Message
	err := m.Parse(b)
	if c.fault == FaultNone {
		if err != nil {
			t.Fatalf("RFC section %s: refused: %v", c.section, err)
		}
		checkRewrite(t, &m)
	} else {
		refused, ok := err.(*ParseError)
		if !ok {
			t.Fatalf("RFC section %s: accepted, want %v", c.section, c.fault)
		}
		if refused.Fault != c.fault || refused.Status != c.status {
			t.Errorf("RFC section %s: got %v %d, want %v %d", c.section, refused.Fault, refused.Status, c.fault, c.status)
		}
		if got, want := m.Answerable(), c.status != 0; got != want {
			t.Errorf("answerable: got %v, want %v", got, want)
		}
		if m.Answerable() {
			checkAnswer(t, &m, refused)
		}
	}
	if c.check != nil {
		c.check(t, &m)
	}
}

// checkRewrite writes every line of an accepted message anew and parses the result.
func checkRewrite(t *testing.T, m *Message) {
	t.Helper()
	b := NewBuilder(nil)
	if m.IsRequest() {
		b.Request(string(m.MethodToken()), m.RequestURI().Raw)
	} else {
		b.Response(m.Status(), string(m.Reason()))
	}
	for f := range m.Fields() {
		if f.ID == HdrOther && !bytes.ContainsRune(f.Value, 0) {
			b.CopyField(f)
		}
	}
	for id := HdrOther + 1; id < headerCount; id++ {
		if id != HdrContentLength {
			b.Copy(m, id)
		}
	}
	b.Body("", m.Body())
	if b.Err() != nil {
		t.Fatalf("rewrite: %v", b.Err())
	}
	var again Message
	if err := again.Parse(b.Bytes()); err != nil {
		t.Fatalf("rewritten message refused: %v\n%s", err, b.Bytes())
	}
	if !bytes.Equal(again.Body(), m.Body()) {
		t.Error("body changed")
	}
	for id := HdrOther + 1; id < headerCount; id++ {
		if id == HdrContentLength {
			continue
		}
		got, want := slices.Collect(again.Values(id)), slices.Collect(m.Values(id))
		if !slices.EqualFunc(got, want, bytes.Equal) {
			t.Errorf("%v: got %q, want %q", id, got, want)
		}
	}
}

// checkAnswer writes the refusal and makes sure the sender could read it, as far as
// what it sent is good for that.
func checkAnswer(t *testing.T, m *Message, refused *ParseError) {
	t.Helper()
	b := NewBuilder(nil)
	AppendResponse(b, m, refused.Status, refused.Reason, "refused")
	b.Body("", nil)
	if b.Err() != nil {
		t.Fatalf("answer: %v", b.Err())
	}
	var answer Message
	err := answer.Parse(b.Bytes())
	if answer.Status() != refused.Status {
		t.Errorf("answer's status: got %d, want %d (%v)", answer.Status(), refused.Status, err)
	}
	if answer.Count(HdrVia) != m.Count(HdrVia) {
		t.Errorf("answer has %d Via, want %d", answer.Count(HdrVia), m.Count(HdrVia))
	}
}

// is* build checks of the fields a message is about.
func want(field string, get func(m *Message) []byte, value string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if got := get(m); string(got) != value {
			t.Errorf("%s: got %q, want %q", field, got, value)
		}
	}
}

func wantHeader(id HeaderID, values ...string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		var got []string
		for v := range m.Values(id) {
			got = append(got, string(v))
		}
		if !slices.Equal(got, values) {
			t.Errorf("%v: got %q, want %q", id, got, values)
		}
	}
}

func every(checks ...func(*testing.T, *Message)) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		for _, check := range checks {
			check(t, m)
		}
	}
}

func wantCSeq(n uint32, method string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if m.CSeq() != n || string(m.CSeqMethod()) != method {
			t.Errorf("CSeq: got %d %s, want %d %s", m.CSeq(), m.CSeqMethod(), n, method)
		}
	}
}

func wantMaxForwards(n int) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if got, ok := m.MaxForwards(); !ok || got != n {
			t.Errorf("Max-Forwards: got %d %v, want %d", got, ok, n)
		}
	}
}

func wantBody(length int) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		if got := len(m.Body()); got != length {
			t.Errorf("body: got %d octets, want %d", got, length)
		}
	}
}

func wantTopVia(transport, host string, port uint16, branch string) func(*testing.T, *Message) {
	return func(t *testing.T, m *Message) {
		t.Helper()
		v := m.Via()
		if !v.TransportIs(transport) || string(v.Host) != host || v.Port != port || string(v.Branch) != branch {
			t.Errorf("Via: got %s %s %d %s, want %s %s %d %s",
				v.Transport, v.Host, v.Port, v.Branch, transport, host, port, branch)
		}
	}
}

func toTag(m *Message) []byte       { return m.To().Tag() }
func fromTag(m *Message) []byte     { return m.From().Tag() }
func fromDisplay(m *Message) []byte { return m.From().AppendDisplay(nil) }
func toDisplay(m *Message) []byte   { return m.To().AppendDisplay(nil) }
func ruriUser(m *Message) []byte    { return m.RequestURI().User }
func ruriHost(m *Message) []byte    { return m.RequestURI().Host }
func ruriRaw(m *Message) []byte     { return m.RequestURI().Raw }
