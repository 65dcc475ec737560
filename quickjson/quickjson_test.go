package quickjson

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"
)

// sample is written both ways.
type sample struct {
	Text  string          `json:"text"`
	Maybe string          `json:"maybe,omitempty"`
	Flag  bool            `json:"flag"`
	Count int             `json:"count"`
	At    time.Time       `json:"at"`
	Raw   json.RawMessage `json:"raw"`
}

// AppendJSON implements Appender.
func (s *sample) AppendJSON(b []byte) ([]byte, bool) {
	o := Begin(b)
	o.Text("text", s.Text)
	o.Set("maybe", s.Maybe)
	o.Bool("flag", s.Flag)
	o.Int("count", s.Count)
	o.Time("at", s.At)
	o.Raw("raw", s.Raw)
	return o.End()
}

// slow is a sample that encoding/json writes.
type slow sample

func TestMarshal(t *testing.T) {
	at := time.Date(2026, 11, 28, 1, 2, 3, 400, time.UTC)
	for _, c := range []struct {
		name  string
		s     sample
		quick bool
	}{
		{"plain", sample{Text: "a <b> & c", Maybe: "x", Flag: true, Count: -7, At: at, Raw: []byte(`{"a b":[1,null]}`)}, true},
		{"empty", sample{At: at, Raw: []byte("null")}, true},
		{"a quote", sample{Text: `"`, At: at, Raw: []byte("1")}, false},
		{"a backslash", sample{Text: `\`, At: at, Raw: []byte("1")}, false},
		{"another alphabet", sample{Maybe: "é", At: at, Raw: []byte("1")}, false},
		{"raw with space", sample{At: at, Raw: []byte(`{"a": 1}`)}, false},
		{"raw with an escape", sample{At: at, Raw: []byte(`"\u0041"`)}, false},
	} {
		_, quick := c.s.AppendJSON(nil)
		got, err := Marshal(&c.s)
		if err != nil || quick != c.quick {
			t.Errorf("%s: quickly %v, want %v; %v", c.name, quick, c.quick, err)
		}
		if want, err := Marshal((*slow)(&c.s)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s, want %s, %v", c.name, got, want, err)
		}
	}
	for name, s := range map[string]sample{"no JSON": {Raw: []byte(`{"a"`)}, "no year of ours": {At: at.AddDate(10_000, 0, 0), Raw: []byte("1")}} {
		if text, err := Marshal(&s); err == nil {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// FuzzObject: whatever is written quickly, encoding/json writes the same.
func FuzzObject(f *testing.F) {
	f.Add("a<b>&", "\u2028\xff\x7f", `{"a":[1,{"b":null}]}`, int64(1))
	f.Add("\"\\", "", `{"a": 1}`, int64(-1))
	f.Add("", "é", `{"a":"\""}`, int64(1<<60))
	f.Add("\t", "x", ` `, int64(0))
	f.Fuzz(func(t *testing.T, text, maybe, raw string, n int64) {
		s := &sample{Text: text, Maybe: maybe, Flag: n > 0, Count: int(int32(n)), At: time.Unix(n, n).UTC(), Raw: []byte(raw)}
		got, ok := s.AppendJSON([]byte("before "))
		if !ok {
			return
		}
		if want, err := Marshal((*slow)(s)); err != nil || !bytes.Equal(got, append([]byte("before "), want...)) {
			t.Errorf("%s, want %s, %v", got, want, err)
		}
	})
}
