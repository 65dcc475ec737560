package restjson

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// protocolFiles have requests and answers that are right, as clients and servers should write and read them.
var protocolFiles = []string{
	"empty-input-output.smithy", "errors.smithy", "http-labels.smithy", "http-query.smithy", "http-response-code.smithy",
	"json-lists.smithy", "json-structs.smithy",
}

// protocolNotApplicable gives the reason for every case that is not asserted, by the operation or exception that it is
// for, and by a part of its id after that.
var protocolNotApplicable = []struct{ of, id, reason string }{
	{"HttpRequestWithLabelsAndTimestampFormat", "", "no timestamps in inputs"},
	{"HttpRequestWithGreedyLabelInPath", "", "no greedy labels in either model, and none that the router would take"},
	{"HttpRequestWithRegexLiteral", "", "no such characters in templates of either model, and none that the router would take"},
	{"HttpRequestWithFloatLabels", "", "no floats in inputs"},
	{"OmitsSerializingEmptyLists", "", "no lists in queries"},
	{"QueryIdempotencyTokenAutoFill", "", "no member of either model is an idempotency token"},
	{"QueryPrecedence", "", "no maps in queries"},
	{"QueryParamsAsStringListMap", "", "no maps in queries"},
	{"SparseJsonLists", "", "no sparse lists in either model"},
	{"JsonBlobs", "", "no blobs in either model"},
	{"JsonTimestamps", "", "no timestamps in inputs; those of answers are strings that package api/wire makes"},
	{"ComplexError", "", "an exception has Code and Message and nothing else"},
	{"FooError", "Namespace", "the reader of answers reads this program's, whose type is a plain name"},
	{"FooError", "UsingCode", "the reader of answers reads this program's, whose type is in the header"},
	{"FooError", "Dunder", "the reader of answers reads this program's, whose type is in the header"},
	{"FooError", "NestedType", "the reader of answers reads this program's, whose type is in the header"},
	{"GreetingWithErrors", "", "no member of an answer travels in a header"},
	{"HttpResponseCode", "RestJsonHttpResponseCodeWithNoPayload", "no member is the status"},
	{"", "FloatInputs", "no floats in inputs"},
	{"", "FloatQueryValues", "no floats in inputs"},
	{"AllQueryStringTypes", "RestJsonQueryStringMap", "no maps in queries"},
}

// protocolCase is one request or answer of the files.
type protocolCase struct {
	of, id, method, uri, body, appliesTo string
	answer                               bool
	query, forbidden                     []string
	headers, params                      map[string]any
	code                                 string
}

func (c *protocolCase) name() string {
	return c.id + map[bool]string{true: "/answer", false: "/request"}[c.answer]
}

// readProtocol reads the httpRequestTests and httpResponseTests of a file.
func readProtocol(t *testing.T, file string) []protocolCase {
	t.Helper()
	text := string(readSmithy(t, file))
	trait := regexp.MustCompile(`(?:apply (\w+) )?@http(Request|Response)Tests\(`)
	next := regexp.MustCompile(`operation (\w+)`)
	var all []protocolCase
	for _, at := range trait.FindAllStringSubmatchIndex(text, -1) {
		p := nodeParser{rest: text[at[1]:]}
		cases := p.value().([]any)
		of := ""
		if at[2] >= 0 {
			of = text[at[2]:at[3]]
		} else {
			of = next.FindStringSubmatch(p.rest)[1]
		}
		for _, one := range cases {
			o := one.(map[string]any)
			str := func(name string) string { s, _ := o[name].(string); return s }
			list := func(name string) (out []string) {
				for _, v := range asList(o[name]) {
					out = append(out, v.(string))
				}
				return out
			}
			c := protocolCase{of: of, id: str("id"), method: str("method"), uri: str("uri"), body: str("body"), appliesTo: str("appliesTo"),
				code: fmt.Sprint(o["code"]), answer: text[at[4]:at[5]] == "Response", query: list("queryParams"), forbidden: list("forbidQueryParams")}
			c.headers, _ = o["headers"].(map[string]any)
			c.params, _ = o["params"].(map[string]any)
			all = append(all, c)
		}
	}
	return all
}

func asList(v any) []any { list, _ := v.([]any); return list }

// protocolTarget is an operation of the files as far as its members are of the kinds that occur here.
type protocolTarget struct {
	template string
	selects  []Selector
	shape    *Shape
	// without says why members of the operation are not in the shape.
	without map[string]string
}

func protocolTargets() map[string]protocolTarget {
	free, number, flag := text(nil), integer(Bounds{}), &Shape{Kind: Boolean}
	foo := enum("Foo", "Bar", "Baz", "1", "0")
	body := func(name string, s *Shape) Member { return Member{Name: name, Shape: s} }
	query := func(name, wire string, s *Shape) Member { return Member{Name: name, Shape: s, In: Query, Wire: wire} }
	label := func(name string, s *Shape) Member {
		return Member{Name: name, Shape: s, In: Path, Wire: name, Required: true}
	}
	without := func(reason string, names ...string) map[string]string {
		out := map[string]string{}
		for _, name := range names {
			out[name] = reason
		}
		return out
	}
	notInQueries := without("no lists, maps, floats or timestamps in queries", "queryStringList", "queryStringSet", "queryIntegerList", "queryIntegerSet",
		"queryFloat", "queryDouble", "queryDoubleList", "queryBooleanList", "queryTimestamp", "queryTimestampList", "queryEnumList",
		"queryIntegerEnumList", "queryParamsMapOfStringList")
	innermost := structure(body("bar", free))
	inner := structure(body("foo", free), body("nested", innermost))
	lists := structure(body("stringList", listOf(free)), body("stringSet", listOf(free)), body("integerList", listOf(number)),
		body("booleanList", listOf(flag)), body("enumList", listOf(foo)), body("intEnumList", listOf(number)), body("nestedStringList", listOf(listOf(free))),
		body("myStructureList", listOf(structure(body("value", free), body("other", free)))))
	scalars := structure(body("stringValue", free), body("trueBooleanValue", flag), body("falseBooleanValue", flag), body("byteValue", number),
		body("shortValue", number), body("integerValue", number), body("longValue", number))
	return map[string]protocolTarget{
		"NoInputAndNoOutput":       {template: "/NoInputAndNoOutput", shape: structure()},
		"UnitInputAndOutput":       {template: "/UnitInputAndOutput", shape: structure()},
		"NoInputAndOutput":         {template: "/NoInputAndOutputOutput", shape: structure()},
		"EmptyInputAndEmptyOutput": {template: "/EmptyInputAndEmptyOutput", shape: structure()},
		"HttpRequestWithLabels": {template: "/HttpRequestWithLabels/{string}/{short}/{integer}/{long}/{float}/{double}/{boolean}/{timestamp}",
			shape:   structure(label("string", free), label("short", number), label("integer", number), label("long", number), label("boolean", flag)),
			without: without("no floats or timestamps in inputs", "float", "double", "timestamp")},
		"AllQueryStringTypes": {template: "/AllQueryStringTypesInput", shape: structure(query("queryString", "String", free), query("queryByte", "Byte", number),
			query("queryShort", "Short", number), query("queryInteger", "Integer", number), query("queryLong", "Long", number),
			query("queryBoolean", "Boolean", flag), query("queryEnum", "Enum", foo), query("queryIntegerEnum", "IntegerEnum", number)), without: notInQueries},
		"ConstantQueryString": {template: "/ConstantQueryString/{hello}", selects: []Selector{{"foo", "bar"}, {"hello", ""}}, shape: structure(label("hello", free))},
		"ConstantAndVariableQueryString": {template: "/ConstantAndVariableQueryString", selects: []Selector{{"foo", "bar"}},
			shape: structure(query("baz", "baz", free), query("maybeSet", "maybeSet", free))},
		"IgnoreQueryParamsInResponse": {shape: structure(body("baz", free))},
		"OmitsNullSerializesEmptyString": {template: "/OmitsNullSerializesEmptyString",
			shape: structure(query("nullValue", "Null", free), query("emptyString", "Empty", free))},
		"HttpResponseCode":         {shape: structure(), without: without("no member is the status", "Status")},
		"ResponseCodeRequired":     {shape: structure(), without: without("no member is the status", "responseCode")},
		"ResponseCodeHttpFallback": {shape: structure()},
		"JsonLists":                {template: "/JsonLists", shape: lists, without: without("no timestamps in inputs", "timestampList")},
		"SimpleScalarProperties": {template: "/SimpleScalarProperties", shape: scalars,
			without: without("no members in headers and no floats", "foo", "floatValue", "doubleValue", "DoubleDribble")},
		"JsonEnums": {template: "/JsonEnums", shape: structure(body("fooEnum1", foo), body("fooEnum2", foo), body("fooEnum3", foo),
			body("fooEnumList", listOf(foo)), body("fooEnumSet", listOf(foo)), body("fooEnumMap", mapOf(free, foo)))},
		"JsonIntEnums": {template: "/JsonIntEnums", shape: structure(body("integerEnum1", number), body("integerEnum2", number), body("integerEnum3", number),
			body("integerEnumList", listOf(number)), body("integerEnumSet", listOf(number)), body("integerEnumMap", mapOf(free, number)))},
		"RecursiveShapes": {template: "/RecursiveShapes", shape: structure(body("nested", structure(body("foo", free),
			body("nested", structure(body("bar", free), body("recursiveMember", inner))))))},
		"InvalidGreeting": {shape: structure(body("Message", free))},
		"FooError":        {shape: structure()},
	}
}

// memberNames are members that another name goes over the wire for; in the models of this program none has one.
var memberNames = map[string]string{"structureList": "myStructureList", "a": "value", "b": "other"}

// goType makes the Go type that a shape describes.
func (s *Shape) goType() reflect.Type {
	switch s.Kind {
	case Structure:
		var fields []reflect.StructField
		for i, m := range s.Members {
			of, tag := m.Shape.goType(), m.Name+",omitzero"
			if m.In != Body {
				tag = "-"
			}
			if k := of.Kind(); k != reflect.Slice && k != reflect.Map && !(m.In == Path && k == reflect.String) {
				of = reflect.PointerTo(of)
			}
			fields = append(fields, reflect.StructField{Name: fmt.Sprintf("F%d", i), Type: of, Tag: reflect.StructTag(`json:"` + tag + `"`)})
		}
		return reflect.StructOf(fields)
	case List:
		return reflect.SliceOf(s.Element.goType())
	case Map:
		return reflect.MapOf(reflect.TypeFor[string](), s.Element.goType())
	case Boolean:
		return reflect.TypeFor[bool]()
	case Integer:
		return reflect.TypeFor[int32]()
	}
	return reflect.TypeFor[string]()
}

// plain returns the members of a struct as parameters of the files write them.
func plain(v reflect.Value, s *Shape) map[string]any {
	out := map[string]any{}
	for _, m := range s.Members {
		f := v.Field(m.Field)
		if f.IsZero() && (f.Kind() != reflect.String || m.In != Path) {
			continue
		}
		text, err := json.Marshal(f.Interface())
		if err != nil {
			panic(err)
		}
		var value any
		if err := json.Unmarshal(text, &value); err != nil {
			panic(err)
		}
		out[m.Name] = value
	}
	return out
}

// load makes the struct that parameters describe.
func load(t *testing.T, s *Shape, params map[string]any) reflect.Value {
	t.Helper()
	v := reflect.New(s.goType()).Elem()
	for _, m := range s.Members {
		if value, ok := params[m.Name]; ok && value != nil {
			text, err := json.Marshal(value)
			if err == nil {
				err = json.Unmarshal(text, v.Field(m.Field).Addr().Interface())
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return v
}

// wire spells parameters as they go over the wire: the files' words for numbers, flags and null, and the names of members.
func wire(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, value := range v {
			if other, ok := memberNames[name]; ok {
				name = other
			}
			if value = wire(value); value != nil {
				out[name] = value
			}
		}
		return out
	case []any:
		out := []any{}
		for _, value := range v {
			out = append(out, wire(value))
		}
		return out
	case bareWord:
		var out any
		if err := json.Unmarshal([]byte(v), &out); err != nil {
			panic(err)
		}
		return out
	}
	return v
}

// held takes away what the target does not have, and fails where there is no reason for that.
func (p protocolTarget) held(t *testing.T, params map[string]any) map[string]any {
	t.Helper()
	out := map[string]any{}
	for name, value := range params {
		if slices.ContainsFunc(p.shape.Members, func(m Member) bool { return m.Name == name }) {
			out[name] = value
		} else if p.without[name] == "" {
			t.Errorf("member %s is not in the shape, and there is no reason why", name)
		}
	}
	return out
}

func TestSmithyProtocol(t *testing.T) {
	targets, used := protocolTargets(), map[string]bool{}
	for _, file := range protocolFiles {
		cases := readProtocol(t, file)
		for _, c := range cases {
			if i := slices.IndexFunc(protocolNotApplicable, func(n struct{ of, id, reason string }) bool {
				return (n.of == "" || n.of == c.of) && strings.Contains(c.id, n.id)
			}); i >= 0 {
				used[protocolNotApplicable[i].of+protocolNotApplicable[i].id] = true
				continue
			}
			target, ok := targets[c.of]
			if !ok {
				t.Errorf("%s of %s is neither asserted nor is there a reason why not", c.name(), c.of)
				continue
			}
			t.Run(c.name(), func(t *testing.T) { c.check(t, target) })
		}
		// The reader of the files is ours too: it must not lose a case.
		if want := strings.Count(string(readSmithy(t, file)), "id: \""); len(cases) != want {
			t.Errorf("%s: %d cases read, want %d", file, len(cases), want)
		}
	}
	for _, n := range protocolNotApplicable {
		if !used[n.of+n.id] {
			t.Errorf("no case for the reason %q", n.reason)
		}
	}
}

func (c *protocolCase) check(t *testing.T, p protocolTarget) {
	params, _ := wire(c.params).(map[string]any)
	params = p.held(t, params)
	if !c.answer {
		if c.appliesTo != "client" {
			c.served(t, p, params)
		}
		// A client would write members that are not in the shape.
		if c.appliesTo != "server" && len(p.without) == 0 {
			c.sent(t, p, params)
		}
		return
	}
	if c.appliesTo != "client" {
		c.written(t, p, params)
	}
	if c.appliesTo != "server" {
		c.read(t, p, params)
	}
}

// served holds router and decoder against a request.
func (c *protocolCase) served(t *testing.T, p protocolTarget, params map[string]any) {
	router, err := NewRouter([]Route{{Method: c.method, Template: p.template, Select: p.selects}})
	if err != nil {
		t.Fatal(err)
	}
	dst := reflect.New(p.shape.goType())
	if err := run(router, []target{{shape: p.shape, in: dst.Interface}}, vector{method: c.method, uri: c.uri, body: c.body, query: c.query}); err != nil {
		t.Fatalf("read: %v", err)
	}
	if got := plain(dst.Elem(), p.shape); !reflect.DeepEqual(got, params) {
		t.Errorf("read %v, want %v", got, params)
	}
}

// sent holds the client's writer against a request.
func (c *protocolCase) sent(t *testing.T, p protocolTarget, params map[string]any) {
	v := load(t, p.shape, params)
	r, body, err := NewRequest(context.Background(), "http://h", Route{Method: c.method, Template: p.template, Select: p.selects}, p.shape, v.Interface())
	if err != nil {
		t.Fatal(err)
	}
	query, err := url.ParseQuery(strings.Join(c.query, "&"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Method != c.method || r.URL.EscapedPath() != c.uri || !maps.EqualFunc(r.URL.Query(), query, slices.Equal) || !sameJSON(body, c.body) {
		t.Errorf("wrote %s %s %s, want %s %s %q %s", r.Method, r.URL, body, c.method, c.uri, c.query, c.body)
	}
	for _, name := range c.forbidden {
		if r.URL.Query().Has(name) {
			t.Errorf("wrote the query parameter %s", name)
		}
	}
	if want, _ := c.headers["Content-Type"].(string); r.Header.Get("Content-Type") != want {
		t.Errorf("wrote Content-Type %q, want %q", r.Header.Get("Content-Type"), want)
	}
}

// written holds the writer of answers and exceptions against an answer.
func (c *protocolCase) written(t *testing.T, p protocolTarget, params map[string]any) {
	rec := httptest.NewRecorder()
	var status int
	if _, err := fmt.Sscan(c.code, &status); err != nil {
		t.Fatal(err)
	}
	fault, failed := c.headers["X-Amzn-Errortype"].(string)
	var err error
	switch {
	case failed:
		message, _ := params["Message"].(string)
		err = new(Writer).Exception(rec, "id", Exception{Status: status, Type: fault, Code: "Code", Message: message})
	case c.body == "":
		err = new(Writer).Answer(rec, "id", status, nil)
	default:
		err = new(Writer).Answer(rec, "id", status, load(t, p.shape, params).Interface())
	}
	if err != nil {
		t.Fatal(err)
	}
	resp := rec.Result()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != status {
		t.Errorf("wrote status %d, want %d", resp.StatusCode, status)
	}
	for name, want := range c.headers {
		if got := resp.Header.Get(name); got != want && name != "X-Foo" { // a header member, which is left out
			t.Errorf("wrote %s: %q, want %q", name, got, want)
		}
	}
	switch {
	case failed: // ours has Code beside it
		var got map[string]any
		if err := json.Unmarshal(body, &got); err != nil || got["Message"] != params["Message"] {
			t.Errorf("wrote %s, want %v (%v)", body, params, err)
		}
	case c.body == "":
		if len(body) > 0 {
			t.Errorf("wrote %s, want nothing", body)
		}
	default:
		var want map[string]any
		if err := json.Unmarshal([]byte(c.body), &want); err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(p.held(t, want))
		if err != nil || !sameJSON(body, string(text)) {
			t.Errorf("wrote %s, want %s (%v)", body, text, err)
		}
	}
}

// read holds the client's reader against an answer.
func (c *protocolCase) read(t *testing.T, p protocolTarget, params map[string]any) {
	resp := &http.Response{Header: http.Header{}, Body: io.NopCloser(strings.NewReader(c.body))}
	if _, err := fmt.Sscan(c.code, &resp.StatusCode); err != nil {
		t.Fatal(err)
	}
	for name, value := range c.headers {
		resp.Header.Set(name, value.(string))
	}
	dst := reflect.New(p.shape.goType())
	err := ReadAnswer(resp, dst.Interface())
	if resp.StatusCode/100 != 2 {
		failure, ok := err.(*AnswerError)
		message, _ := params["Message"].(string)
		if !ok || failure.Status != resp.StatusCode || failure.Type != c.of || failure.Message != message {
			t.Errorf("read %v, want %s with status %s and message %q", err, c.of, c.code, message)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := plain(dst.Elem(), p.shape); !reflect.DeepEqual(got, params) {
		t.Errorf("read %v, want %v", got, params)
	}
}

// sameJSON compares texts as JSON; nothing is only the same as nothing.
func sameJSON(got []byte, want string) bool {
	var g, w any
	if len(got) == 0 || want == "" {
		return len(got) == 0 && want == ""
	}
	return json.Unmarshal(got, &g) == nil && json.Unmarshal([]byte(want), &w) == nil && reflect.DeepEqual(g, w)
}
