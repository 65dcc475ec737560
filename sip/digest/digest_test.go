package digest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
)

func TestVectors(t *testing.T) {
	n := 0
	for line := range lines(t, "testdata/vectors.txt") {
		f := strings.Split(line, "|")
		if len(f) != 12 {
			t.Fatalf("%d fields in %q", len(f), line)
		}
		alg, ok := ParseAlgorithm(f[0])
		if !ok {
			t.Fatalf("unknown algorithm %q", f[0])
		}
		ha1 := NewHA1(f[1], f[2], f[3])
		in := input{alg: alg, method: f[4], uri: f[5], nonce: f[6], nc: f[7], cnonce: f[8], qop: f[9]}
		if got := string(in.appendResponse(nil, &ha1)); got != f[10] {
			t.Errorf("%s %s: got %s, want %s", f[11], f[0], got, f[10])
		}
		n++
	}
	if n != 7 {
		t.Errorf("%d vectors, want 7", n)
	}
}

func TestParseCredentials(t *testing.T) {
	for line := range lines(t, "testdata/headers.txt") {
		want, value, _ := strings.Cut(line, " ")
		value = strings.ReplaceAll(value, `\n`, "\r\n")
		c, err := ParseCredentials([]byte(value))
		if ok := err == nil; ok != (want == "ok") {
			t.Errorf("%s: error %v, want %s", value, err, want)
		}
		if err == nil && (c.Username == "" || c.Realm == "" || c.Nonce == "" || c.URI == "" || c.Response == "") {
			t.Errorf("%s: read as %+v", value, c)
		}
	}
}

func TestParseFields(t *testing.T) {
	c, err := ParseCredentials([]byte(`Digest username="a\"b\\c", realm="r", nonce="n/+=", uri="sip:a@b;x=y", response="AbC", ` +
		`algorithm=SHA-256, cnonce="c", qop=auth, nc=0000000a, opaque="o"`))
	if err != nil {
		t.Fatal(err)
	}
	want := Credentials{Username: `a"b\c`, Realm: "r", Nonce: "n/+=", URI: "sip:a@b;x=y", Response: "AbC",
		Algorithm: "SHA-256", CNonce: "c", QOP: "auth", NC: "0000000a", Opaque: "o"}
	if c != want {
		t.Errorf("got %+v, want %+v", c, want)
	}
	back, err := ParseCredentials(c.AppendTo(nil))
	if err != nil || back != c {
		t.Errorf("written and read again: %+v, %v", back, err)
	}
}

func TestParseErrors(t *testing.T) {
	many := "Digest realm=r"
	for i := range MaxParams {
		many += fmt.Sprintf(", p%d=1", i)
	}
	for _, tt := range []struct {
		name, value string
		want        error
	}{
		{"other scheme", `Basic YWxhZGRpbg==`, ErrScheme},
		{"empty", ``, ErrScheme},
		{"scheme alone", `Digest`, ErrScheme},
		{"scheme run on", `Digestrealm="r"`, ErrScheme},
		{"twice", `Digest realm="a", realm="a"`, ErrDuplicate},
		{"line break in quotes", "Digest realm=\"a\r\nX: y\"", ErrMalformed},
		{"NUL in quotes", "Digest realm=\"a\x00\"", ErrMalformed},
		{"escaped line break", "Digest realm=\"a\\\nX: y\"", ErrMalformed},
		{"too long", `Digest realm="` + strings.Repeat("a", MaxValueLen) + `"`, ErrMalformed},
		{"too many", many, ErrMalformed},
	} {
		if _, err := ParseCredentials([]byte(tt.value)); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
		if _, err := ParseChallenge([]byte(tt.value)); !errors.Is(err, tt.want) {
			t.Errorf("%s as challenge: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestParseChallenge(t *testing.T) {
	got, err := ParseChallenge([]byte(`Digest realm="atlanta.com", domain="sip:ss1.carrier.com", qop="auth,auth-int", ` +
		`nonce="f84f1cec41e6cbe5aea9c8e88d359", opaque="", stale=TRUE, algorithm=MD5`)) // RFC 3261 §20.44, stale turned on
	want := Challenge{Realm: "atlanta.com", Nonce: "f84f1cec41e6cbe5aea9c8e88d359", Algorithm: "MD5", QOP: "auth,auth-int", Stale: true}
	if err != nil || got != want {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	back, err := ParseChallenge(got.AppendTo(nil))
	if err != nil || back != want {
		t.Errorf("written and read again: %+v, %v", back, err)
	}
}

func TestAlgorithms(t *testing.T) {
	for name, want := range map[string]Algorithm{
		"": MD5, "MD5": MD5, "md5": MD5, "SHA-256": SHA256, "sha-256": SHA256,
		"MD5-sess": 0, "SHA-256-sess": 0, "SHA-512-256": 0, "SHA256": 0, "token": 0,
	} {
		if got, ok := ParseAlgorithm(name); got != want || ok != (want != 0) {
			t.Errorf("%q: got %v, %v, want %v", name, got, ok, want)
		}
	}
	if got := Algorithm(9).String(); got != "unknown" {
		t.Errorf("algorithm 9: %q", got)
	}
}

func TestHA1IsNotPrinted(t *testing.T) {
	h := NewHA1("a", "b", "c")
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		text := fmt.Sprintf(verb, h)
		if strings.Contains(text, fmt.Sprintf("%x", h.MD5[:4])) || strings.Contains(text, fmt.Sprint(h.MD5[0])+" ") {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

// lines gives the lines of a file without comments and empty ones.
func lines(t testing.TB, path string) func(func(string) bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return func(yield func(string) bool) {
		for line := range bytes.Lines(text) {
			line := strings.TrimRight(string(line), "\n")
			if line != "" && line[0] != '#' && !yield(line) {
				return
			}
		}
	}
}

func FuzzParse(f *testing.F) {
	for line := range lines(f, "testdata/headers.txt") {
		_, value, _ := strings.Cut(line, " ")
		f.Add([]byte(strings.ReplaceAll(value, `\n`, "\r\n")))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		if c, err := ParseCredentials(value); err == nil {
			out := c.AppendTo(nil)
			clean(t, out)
			// What AppendTo writes without a qop leaves out nc and cnonce; what has none is written whole.
			if c.QOP != "" && c.NC != "" && !c.UserHash && len(out) <= MaxValueLen {
				if back, err := ParseCredentials(out); err != nil || back != c {
					t.Fatalf("%q became %+v, %v, want %+v", out, back, err, c)
				}
			}
		}
		if c, err := ParseChallenge(value); err == nil {
			out := c.AppendTo(nil)
			clean(t, out)
			if back, err := ParseChallenge(out); len(out) <= MaxValueLen && (err != nil || back != c) {
				t.Fatalf("%q became %+v, %v, want %+v", out, back, err, c)
			}
		}
	})
}

// clean fails on anything that would end the header line.
func clean(t *testing.T, value []byte) {
	t.Helper()
	for _, b := range value {
		if b < ' ' && b != '\t' || b == 0x7f {
			t.Fatalf("octet %#x in %q", b, value)
		}
	}
}
