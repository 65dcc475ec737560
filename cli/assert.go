package cli

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// assertion is one --assert: NAME OPERATOR VALUE.
type assertion struct{ name, op, value string }

// assertResult is what came of one.
type assertResult struct {
	Text string `json:"assert"`
	Got  string `json:"got"`
	Held bool   `json:"held"`
}

// field is something that can be asserted on.
type field struct {
	// text returns the value as words; number, where it is set, as a number that can be compared.
	text   func(*outcome) string
	number func(*outcome) float64
	// parse reads the number asserted on; plain numbers where it is nil.
	parse func(string) (float64, error)
}

// assertable are the fields by name.
func assertable() map[string]field {
	count := func(get func(*outcome) float64) field {
		return field{text: func(o *outcome) string { return strconv.FormatFloat(get(o), 'f', -1, 64) }, number: get}
	}
	words := func(get func(*outcome) string) field { return field{text: get} }
	setup := count(func(o *outcome) float64 { return float64(o.SetupMillis) / 1000 })
	setup.text = func(o *outcome) string { return (time.Duration(o.SetupMillis) * time.Millisecond).String() }
	setup.parse = func(text string) (float64, error) {
		d, err := time.ParseDuration(text)
		return d.Seconds(), err
	}
	return map[string]field{
		"status":    count(func(o *outcome) float64 { return float64(o.Status) }),
		"mos":       count(func(o *outcome) float64 { return o.MOS }),
		"packets":   count(func(o *outcome) float64 { return float64(o.PacketsReceived) }),
		"lost":      count(func(o *outcome) float64 { return float64(o.Lost) }),
		"setup":     setup,
		"transport": words(func(o *outcome) string { return o.Transport }),
		"tls":       words(func(o *outcome) string { return strings.TrimPrefix(o.TLSVersion, "TLS ") }),
		"cipher":    words(func(o *outcome) string { return o.Cipher }),
		"codec":     words(func(o *outcome) string { return o.Codec }),
		"keys":      words(func(o *outcome) string { return o.Keys }),
		"audio":     words(func(o *outcome) string { return o.Audio }),
		"srtp": words(func(o *outcome) string {
			if o.Suite == "" && o.Profile != "" {
				return "off"
			}
			return o.Suite
		}),
	}
}

// parseAssertion reads one.
func parseAssertion(text string) (assertion, error) {
	at := strings.IndexAny(text, "<>=")
	if at <= 0 {
		return assertion{}, usage("--assert %q is not NAME=VALUE, NAME>=VALUE and so on.", text)
	}
	a := assertion{name: text[:at], op: text[at : at+1], value: text[at+1:]}
	if a.op != "=" && strings.HasPrefix(a.value, "=") {
		a.op, a.value = a.op+"=", a.value[1:]
	}
	fields := assertable()
	f, ok := fields[a.name]
	if !ok {
		names := make([]string, 0, len(fields))
		for name := range fields {
			names = append(names, name)
		}
		slices.Sort(names)
		return a, usage("--assert %q: there is no %q; there are %s.", text, a.name, strings.Join(names, ", "))
	}
	if a.value == "" {
		return a, usage("--assert %q has no value.", text)
	}
	if f.number == nil {
		if a.op != "=" {
			return a, usage("--assert %q: %s is no number, so only = can be used.", text, a.name)
		}
		return a, nil
	}
	if _, err := f.wanted(a.value); err != nil {
		return a, usage("--assert %q: %q cannot be compared with %s.", text, a.value, a.name)
	}
	return a, nil
}

func (f field) wanted(text string) (float64, error) {
	if f.parse != nil {
		return f.parse(text)
	}
	return strconv.ParseFloat(text, 64)
}

// check holds an outcome against the assertion.
func (a assertion) check(o *outcome) assertResult {
	f := assertable()[a.name]
	r := assertResult{Text: fmt.Sprintf("%s%s%s", a.name, a.op, a.value), Got: f.text(o)}
	if f.number == nil {
		any := a.name == "srtp" && a.value == "any" && r.Got != "" && r.Got != "off"
		r.Held = any || strings.EqualFold(r.Got, a.value)
		r.Got = dash(r.Got)
		return r
	}
	want, err := f.wanted(a.value)
	if err != nil {
		return r
	}
	got := f.number(o)
	switch a.op {
	case "=":
		r.Held = got == want
	case "<":
		r.Held = got < want
	case "<=":
		r.Held = got <= want
	case ">":
		r.Held = got > want
	case ">=":
		r.Held = got >= want
	}
	// Of a call without media there is nothing to be said that could hold, not even that nothing was lost.
	if o.Profile == "" && a.name != "status" && a.name != "setup" {
		r.Held, r.Got = false, "no media"
	}
	return r
}
