package restjson

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vectorFiles have requests that servers must refuse.
var vectorFiles = []string{
	"malformed-boolean.smithy", "malformed-content-type.smithy", "malformed-integer.smithy", "malformed-list.smithy",
	"malformed-map.smithy", "malformed-request-body.smithy", "malformed-enum.smithy", "malformed-length.smithy",
	"malformed-pattern.smithy", "malformed-range.smithy", "malformed-required.smithy", "malformed-string.smithy", "malformed-timestamp-body.smithy",
}

// notApplicable gives the reason for every case that is not asserted as written: a part of its id.
var notApplicable = []struct{ id, reason string }{
	{"Header", "no member of either API travels in a header"},
	{"Blob", "no blobs in inputs"},
	{"Float", "no floats in inputs"},
	{"Timestamp", "no timestamps in inputs"},
	{"Union", "no unions in either model"},
	{"WithPayload", "no member is the whole body"},
}

// accepted lists the cases this reader answers with success on purpose; see the package text.
var accepted = []string{
	"RestJsonWithBodyExpectsApplicationJsonContentType",
	"RestJsonWithBodyExpectsApplicationJsonContentTypeNoHeaders",
	"RestJsonWithoutBodyExpectsEmptyContentType",
	"RestJsonWithoutBodyEmptyInputExpectsEmptyContentType",
}

// target is an operation of the vectors: its template, shape and Go struct.
type target struct {
	template string
	shape    *Shape
	in       func() any
}

func text(mod func(*Shape)) *Shape {
	s := &Shape{Kind: String}
	if mod != nil {
		mod(s)
	}
	return s
}

func length(b Bounds) *Shape   { return text(func(s *Shape) { s.Length = b }) }
func pattern(p string) *Shape  { return text(func(s *Shape) { s.Pattern = MustPattern(p) }) }
func enum(v ...string) *Shape  { return text(func(s *Shape) { s.Enum = v }) }
func integer(b Bounds) *Shape  { return &Shape{Kind: Integer, Range: b} }
func listOf(e *Shape) *Shape   { return &Shape{Kind: List, Element: e} }
func mapOf(k, v *Shape) *Shape { return &Shape{Kind: Map, Key: k, Element: v} }

// structure numbers the members as the fields of the Go struct are.
func structure(members ...Member) *Shape {
	for i := range members {
		members[i].Field = i
	}
	return &Shape{Kind: Structure, Members: members}
}

func sized(s *Shape, b Bounds) *Shape {
	s.Length = b
	return s
}

type lengths struct {
	String, Min, Max *string
	List             []string
	Map              map[string][]string
}

type strings3 struct {
	String, Second, Third *string
	List                  []string
	Map                   map[string]string
}

func lengthShape(between, min, max Bounds) *Shape {
	item := length(Between(2, 8))
	return structure(
		Member{Name: "string", Shape: length(between)}, Member{Name: "minString", Shape: length(min)}, Member{Name: "maxString", Shape: length(max)},
		Member{Name: "list", Shape: sized(listOf(item), between)}, Member{Name: "map", Shape: sized(mapOf(item, sized(listOf(item), Between(2, 8))), between)})
}

func patternShape(p string) *Shape {
	return structure(
		Member{Name: "string", Shape: pattern(p)}, Member{Name: "evilString", Shape: pattern("^([0-9]+)+$")}, Member{Name: "none", Shape: text(nil)},
		Member{Name: "list", Shape: listOf(pattern(p))}, Member{Name: "map", Shape: mapOf(pattern(p), pattern(p))})
}

func rangeShape(between, min, max Bounds) *Shape {
	var members []Member
	for _, size := range []string{"yte", "hort", "nteger", "ong"} {
		first := map[string]string{"yte": "b", "hort": "s", "nteger": "i", "ong": "l"}[size]
		members = append(members, Member{Name: first + size, Shape: integer(between)},
			Member{Name: "min" + strings.ToUpper(first) + size, Shape: integer(min)},
			Member{Name: "max" + strings.ToUpper(first) + size, Shape: integer(max)})
	}
	return structure(members...)
}

func targets() []target {
	free, number, flag := text(nil), integer(Bounds{}), &Shape{Kind: Boolean}
	item := enum("abc", "def", "jkl")
	greeting := structure(Member{Name: "salutation", Shape: free})
	type oneString struct{ V *string }
	type flags struct{ Body, Path, Query *bool }
	type numbers struct{ Body, Path, Query *int32 }
	type ranges struct{ A, B, C, D, E, F, G, H, I, J, K, L *int32 }
	three := func(name string, s *Shape) *Shape {
		return structure(Member{Name: name + "InBody", Shape: s},
			Member{Name: name + "InPath", Shape: s, In: Path, Wire: name + "InPath", Required: true},
			Member{Name: name + "InQuery", Shape: s, In: Query, Wire: name + "InQuery"})
	}
	return []target{
		{"/MalformedBoolean/{booleanInPath}", three("boolean", flag), func() any { return new(flags) }},
		{"/MalformedInteger/{integerInPath}", three("integer", number), func() any { return new(numbers) }},
		{"/MalformedList", structure(Member{Name: "bodyList", Shape: listOf(free)}), func() any { return new(struct{ L []string }) }},
		{"/MalformedMap", structure(Member{Name: "bodyMap", Shape: mapOf(free, free)}), func() any { return new(struct{ M map[string]string }) }},
		{"/MalformedRequestBody", structure(Member{Name: "int", Shape: number}), func() any { return new(struct{ I *int32 }) }},
		{"/MalformedContentTypeWithBody", greeting, func() any { return new(oneString) }},
		{"/MalformedContentTypeWithoutBody", structure(), func() any { return new(struct{}) }},
		{"/MalformedContentTypeWithoutBodyEmptyInput", structure(), func() any { return new(struct{}) }},
		{"/MalformedEnum", structure(Member{Name: "string", Shape: item}, Member{Name: "stringWithEnumTrait", Shape: enum("abc", "def")},
			Member{Name: "none", Shape: free}, Member{Name: "list", Shape: listOf(item)}, Member{Name: "map", Shape: mapOf(item, item)}),
			func() any { return new(strings3) }},
		{"/MalformedLength", lengthShape(Between(2, 8), AtLeast(2), AtMost(8)), func() any { return new(lengths) }},
		{"/MalformedLengthOverride", lengthShape(Between(4, 6), AtLeast(4), AtMost(6)), func() any { return new(lengths) }},
		{"/MalformedLengthQueryString", structure(Member{Name: "string", Shape: length(Between(2, 8)), In: Query, Wire: "string"}),
			func() any { return new(oneString) }},
		{"/MalformedPattern", patternShape("^[a-m]+$"), func() any { return new(strings3) }},
		{"/MalformedPatternOverride", patternShape("^[g-m]+$"), func() any { return new(strings3) }},
		{"/MalformedRange", rangeShape(Between(2, 8), AtLeast(2), AtMost(8)), func() any { return new(ranges) }},
		{"/MalformedRangeOverride", rangeShape(Between(4, 6), AtLeast(4), AtMost(6)), func() any { return new(ranges) }},
		{"/MalformedRequired", structure(Member{Name: "string", Shape: free, Required: true},
			Member{Name: "stringInQuery", Shape: free, In: Query, Wire: "stringInQuery", Required: true}),
			func() any { return new(struct{ A, B *string }) }},
	}
}

func TestSmithyVectors(t *testing.T) {
	operations, all := targets(), map[string]bool{}
	var routes []Route
	for _, tg := range operations {
		routes = append(routes, Route{Method: "POST", Template: tg.template})
	}
	router, err := NewRouter(routes)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range vectorFiles {
		ids := map[string]bool{}
		for _, v := range readVectors(t, file) {
			ids[v.id] = true
			if !applies(v.id) {
				continue
			}
			t.Run(v.id, func(t *testing.T) { check(t, v, run(router, operations, v)) })
		}
		// The reader of the files is ours too: it must not lose a case.
		if want := strings.Count(string(readSmithy(t, file)), "id: \""); len(ids) != want {
			t.Errorf("%s: %d cases read, want %d", file, len(ids), want)
		}
		maps.Copy(all, ids)
	}
	for _, n := range notApplicable {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(all)), func(id string) bool { return strings.Contains(id, n.id) }) {
			t.Errorf("no case for the reason %q", n.reason)
		}
	}
}

// TestSmithyFiles: every file that is here is read by one of the tests.
func TestSmithyFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/smithy/*.smithy")
	if err != nil {
		t.Fatal(err)
	}
	read := slices.Concat(vectorFiles, protocolFiles)
	for _, file := range files {
		if name := filepath.Base(file); !slices.Contains(read, name) {
			t.Errorf("no test reads %s", name)
		}
	}
	if len(files) != len(read) {
		t.Errorf("%d files, %d read", len(files), len(read))
	}
}

// applies reports whether a case is asserted.
func applies(id string) bool {
	if slices.Contains(accepted, id) {
		return true
	}
	for _, n := range notApplicable {
		if strings.Contains(id, n.id) {
			return false
		}
	}
	return true
}

// run sends a vector through router and decoder.
func run(router *Router, all []target, v vector) error {
	r, err := http.NewRequest(v.method, "http://h"+v.uri+"?"+strings.Join(v.query, "&"), strings.NewReader(v.body))
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	query, err := ReadQuery(r)
	if err != nil {
		return err
	}
	m, err := router.Match(v.method, r.URL.EscapedPath(), query)
	if err != nil {
		return err
	}
	body, err := ReadBody(r, DefaultMaxBody)
	if err != nil {
		return err
	}
	tg := all[m.Route]
	return Decode(tg.shape, Request{Labels: m.Labels, Query: query, Body: body}, tg.in())
}

func check(t *testing.T, v vector, err error) {
	if slices.Contains(accepted, v.id) {
		if err != nil {
			t.Errorf("got %v, want success: the content type is not looked at", err)
		}
		return
	}
	switch v.errorType {
	case "SerializationException":
		if _, ok := errors.AsType[*SerializationError](err); !ok {
			t.Errorf("body %s: got %v, want a SerializationError", v.body, err)
		}
	case "ValidationException":
		invalid, ok := errors.AsType[*ValidationError](err)
		if !ok {
			t.Fatalf("body %s: got %v, want a ValidationError", v.body, err)
		}
		var parts []string
		for _, violation := range invalid.Violations {
			parts = append(parts, smithySentence(violation))
		}
		word := map[bool]string{true: " validation error detected. ", false: " validation errors detected. "}[invalid.Total == 1]
		if got := strconv.Itoa(invalid.Total) + word + strings.Join(parts, "; "); got != v.message {
			t.Errorf("body %s\n got %s\nwant %s", v.body, got, v.message)
		}
	default:
		t.Errorf("unexpected error type %q", v.errorType)
	}
}

// smithySentence words a violation as the vectors do, so that they judge place, rule and bounds.
func smithySentence(v Violation) string {
	within := func(b Bounds) string {
		switch {
		case b.hasMin && b.hasMax:
			return fmt.Sprintf("between %d and %d, inclusive", b.min, b.max)
		case b.hasMin:
			return fmt.Sprintf("greater than or equal to %d", b.min)
		}
		return fmt.Sprintf("less than or equal to %d", b.max)
	}
	at := " at '" + v.Pointer + "' failed to satisfy constraint: Member must "
	switch v.Rule {
	case RuleLength:
		return "Value with length " + strconv.Itoa(v.Length) + at + "have length " + within(v.Shape.Length)
	case RuleRange:
		return "Value" + at + "be " + within(v.Shape.Range)
	case RulePattern:
		return "Value" + at + "satisfy regular expression pattern: " + v.Shape.Pattern.String()
	case RuleEnum:
		return "Value" + at + "satisfy enum value set: [" + strings.Join(v.Shape.Enum, ", ") + "]"
	}
	return "Value" + at + "not be null"
}
