package interop

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Wants are JSON. An object need only have the members that are wanted; null wants a member to be absent. A list must
// be as wanted, element by element, unless its first element is "...": then each of the others must be somewhere in it.
// "*" is any text but none; ${name=} is too and remembers it, ${name} is what was remembered.
const (
	anyText   = "*"
	somewhere = "..."
)

var gap = regexp.MustCompile(`\$\{(\w+)(=?)\}`)

// filling returns the names that a text fills, and those it uses.
func filling(text string) (fills, uses []string) {
	for _, m := range gap.FindAllStringSubmatch(text, -1) {
		if m[2] == "=" {
			fills = append(fills, m[1])
		} else {
			uses = append(uses, m[1])
		}
	}
	return fills, uses
}

// fill replaces the holes that are used.
func fill(text string, known map[string]string) string {
	return gap.ReplaceAllStringFunc(text, func(h string) string {
		m := gap.FindStringSubmatch(h)
		if m[2] == "=" {
			return h
		}
		return known[m[1]]
	})
}

// match holds got against want and remembers what want asks for. It returns what differs, by place.
func match(want, got any, known map[string]string) []string { return matchAt("", want, got, known) }

func matchAt(at string, want, got any, known map[string]string) []string {
	differs := func() []string { return []string{fmt.Sprintf("%s: got %s, want %s", at, compact(got), compact(want))} }
	switch want := want.(type) {
	case jsonObject:
		object, ok := got.(jsonObject)
		if !ok {
			return differs()
		}
		var faults []string
		for name, w := range want {
			g, there := object[name]
			switch {
			case w == nil && there && g != nil:
				faults = append(faults, fmt.Sprintf("%s.%s: got %s, want none", at, name, compact(g)))
			case w != nil && !there:
				faults = append(faults, fmt.Sprintf("%s.%s: got none, want %s", at, name, compact(w)))
			case w != nil:
				faults = append(faults, matchAt(at+"."+name, w, g, known)...)
			}
		}
		slices.Sort(faults)
		return faults
	case []any:
		list, ok := got.([]any)
		if !ok {
			return differs()
		}
		return matchList(at, want, list, known)
	case string:
		text, ok := got.(string)
		if want == anyText && ok && text != "" {
			return nil
		}
		if name, found := strings.CutSuffix(strings.TrimPrefix(want, "${"), "=}"); found && ok && text != "" {
			known[name] = text
			return nil
		}
	}
	if compact(want) != compact(got) {
		return differs()
	}
	return nil
}

func matchList(at string, want, got []any, known map[string]string) []string {
	if len(want) == 0 || want[0] != somewhere {
		if len(want) != len(got) {
			return []string{fmt.Sprintf("%s: got %d elements %s, want %d %s", at, len(got), compact(got), len(want), compact(want))}
		}
		var faults []string
		for i := range want {
			faults = append(faults, matchAt(fmt.Sprintf("%s[%d]", at, i), want[i], got[i], known)...)
		}
		return faults
	}
	var faults []string
	for _, w := range want[1:] {
		if !slices.ContainsFunc(got, func(g any) bool { return len(matchAt(at, w, g, known)) == 0 }) {
			faults = append(faults, fmt.Sprintf("%s: no %s in %s", at, compact(w), compact(got)))
		}
	}
	return faults
}

func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

func decodeJSON(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

// TestMatch: the judge of all other cases is judged here.
func TestMatch(t *testing.T) {
	for _, c := range []struct {
		want, got string
		faults    int
	}{
		{`{}`, `{"A":1}`, 0},
		{`{"A":1}`, `{"A":1,"B":2}`, 0},
		{`{"A":1}`, `{"A":2}`, 1},
		{`{"A":1}`, `{}`, 1},
		{`{"A":null}`, `{}`, 0},
		{`{"A":null}`, `{"A":null}`, 0},
		{`{"A":null}`, `{"A":""}`, 1},
		{`{"A":{"B":true},"C":2}`, `{"A":{"B":false},"C":1}`, 2},
		{`{"A":{}}`, `{"A":[]}`, 1},
		{`{"A":[]}`, `{"A":[]}`, 0},
		{`{"A":[]}`, `{"A":[1]}`, 1},
		{`{"A":[]}`, `{}`, 1},
		{`{"A":["x","y"]}`, `{"A":["y","x"]}`, 2},
		{`{"A":[{"B":1}]}`, `{"A":[{"B":1,"C":2}]}`, 0},
		{`{"A":["...",{"B":2},{"B":1}]}`, `{"A":[{"B":1},{"B":2},{"B":3}]}`, 0},
		{`{"A":["...",{"B":4}]}`, `{"A":[{"B":1}]}`, 1},
		{`{"A":"*"}`, `{"A":"x"}`, 0},
		{`{"A":"*"}`, `{"A":""}`, 1},
		{`{"A":"*"}`, `{"A":1}`, 1},
		{`{"A":"${a=}"}`, `{"A":"x"}`, 0},
		{`{"A":"${a=}"}`, `{"A":""}`, 1},
		{`{"A":"${a=}"}`, `{"A":7}`, 1},
		{`{"A":"x"}`, `{"A":"*"}`, 1},
	} {
		known := map[string]string{}
		got := match(decodeJSON(t, c.want), decodeJSON(t, c.got), known)
		if len(got) != c.faults {
			t.Errorf("match(%s, %s) = %q, want %d faults", c.want, c.got, got, c.faults)
		}
		if remembers := strings.Contains(c.want, "=}") && c.faults == 0; remembers != (known["a"] == "x") {
			t.Errorf("match(%s, %s) remembers %v", c.want, c.got, known)
		}
	}
	if got := fill(`{"A":"${a}","B":"${b=}"}`, map[string]string{"a": "1"}); got != `{"A":"1","B":"${b=}"}` {
		t.Errorf("fill: got %s", got)
	}
	s := &shape{Kind: "structure", Members: map[string]*shape{"A": {Kind: "string"},
		"L": {Kind: "list", Element: &shape{Kind: "structure", Members: map[string]*shape{"streetName": {Kind: "string"}}}}}}
	for in, want := range map[string]string{
		`{"A":"x","L":[{"StreetName":"y"}]}`:        `{"A":"x","L":[{"StreetName":"y"}]} false`,
		`{"A":"x","N":1,"L":[]}`:                    `{"A":"x","L":[]} true`,
		`{"L":[{"streetName":"y","deep":{"a":1}}]}`: `{"L":[{"streetName":"y"}]} true`,
	} {
		out, cut := trim(decodeJSON(t, in), s)
		if got := fmt.Sprint(compact(out), " ", cut); got != want {
			t.Errorf("trim(%s): got %s, want %s", in, got, want)
		}
	}
}
