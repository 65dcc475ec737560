package restjson

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"carillon/quickjson"
)

// secret is a string type of a caller, as package wire has one.
type secret string

type part struct {
	Key    *secret `json:"Key,omitzero"`
	Weight *int32  `json:"Weight,omitzero"`
}

type order struct {
	ID    string            `json:"-"`
	Limit *int32            `json:"-"`
	Flag  *bool             `json:"Flag,omitzero"`
	Name  *string           `json:"Name,omitzero"`
	Main  *part             `json:"Main,omitzero"`
	Parts []part            `json:"Parts,omitzero"`
	Extra map[secret]secret `json:"Extra,omitzero"`
	Deep  [][]string        `json:"Deep,omitzero"`
}

func orderShape() *Shape {
	hidden := &Shape{Kind: String, Sensitive: true, Length: Between(1, 5), Pattern: MustPattern("[a-z]*")}
	onePart := structure(Member{Name: "Key", Shape: hidden, Required: true}, Member{Name: "Weight", Shape: integer(Between(1, 99))})
	return structure(
		Member{Name: "OrderId", Shape: pattern("[a-z0-9]{3}"), In: Path, Wire: "orderId", Required: true},
		Member{Name: "Limit", Shape: integer(AtMost(99)), In: Query, Wire: "max-results"},
		Member{Name: "Flag", Shape: &Shape{Kind: Boolean}},
		Member{Name: "Name", Shape: length(Between(1, 4)), Required: true},
		Member{Name: "Main", Shape: onePart},
		Member{Name: "Parts", Shape: sized(listOf(onePart), AtMost(2))},
		Member{Name: "Extra", Shape: sized(mapOf(hidden, hidden), AtMost(1))},
		Member{Name: "Deep", Shape: listOf(listOf(text(nil)))},
	)
}

func decodeOrder(body string) (order, error) {
	var o order
	err := Decode(orderShape(), Request{Labels: map[string]string{"orderId": "abc"}, Body: []byte(body)}, &o)
	return o, err
}

func TestDecode(t *testing.T) {
	name, yes, key, weight := "n", true, secret("k"), int32(7)
	tests := []struct {
		body string
		want order
	}{
		{`{"Name":"n"}`, order{Name: &name}},
		{" \r\n\t{ \"Name\" : \"n\" } \n", order{Name: &name}},
		{`{"Name":"n","Flag":true,"Main":null,"Parts":[],"Extra":{}}`, order{Name: &name, Flag: &yes, Parts: []part{}, Extra: map[secret]secret{}}},
		{`{"Name":"n","Parts":[{"Key":"k","Weight":7},{"Key":"k"}]}`, order{Name: &name, Parts: []part{{&key, &weight}, {&key, nil}}}},
		{`{"Name":"n","Main":{"Key":"k","Weight":null}}`, order{Name: &name, Main: &part{&key, nil}}},
		{`{"Name":"n","Extra":{"a":"k"}}`, order{Name: &name, Extra: map[secret]secret{"a": "k"}}},
		{`{"Name":"n","Deep":[[],["a","b"]]}`, order{Name: &name, Deep: [][]string{{}, {"a", "b"}}}},
		// Unknown members of any kind are passed over; names are case-sensitive.
		{`{"x":[{"y":"]}\\"},1e9,null,true],"Name":"n","name":5,"z":{"Name":"no"}}`, order{Name: &name}},
		// The last of a repeated member counts, also where it is null or shorter.
		{`{"Name":"x","Name":"n"}`, order{Name: &name}},
		{`{"Name":"n","Flag":true,"Flag":null}`, order{Name: &name}},
		{`{"Name":"n","Main":{"Key":"zz","Weight":7},"Main":{"Key":"k"}}`, order{Name: &name, Main: &part{&key, nil}}},
		{`{"Name":"n","Deep":[["a"]],"Deep":[]}`, order{Name: &name, Deep: [][]string{}}},
		// Escapes in values and in names.
		{`{"N\u0061me":"\u006e"}`, order{Name: &name}},
	}
	for _, tt := range tests {
		tt.want.ID = "abc"
		got, err := decodeOrder(tt.body)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %+v, %v; want %+v", tt.body, got, err, tt.want)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	tests := []struct {
		body, want string
	}{
		{`{`, "The request body is not valid JSON (at byte 1)."},
		{`{"Name":"n"} {}`, "The request body is not valid JSON (at byte 14)."},
		{`[]`, "The request body is not a JSON object."},
		{`null`, "The request body is not a JSON object."},
		{"{\"Name\":\"\xff\"}", "The request body is not valid UTF-8."},
		{`{"Name":5}`, "NUMBER_VALUE can not be converted to a String at 'name'."},
		{`{"Name":{}}`, "START_OBJECT can not be converted to a String at 'name'."},
		{`{"Flag":"true"}`, "STRING_VALUE can not be converted to a Boolean at 'flag'."},
		{`{"Parts":{}}`, "START_OBJECT can not be converted to a List at 'parts'."},
		{`{"Parts":[5]}`, "NUMBER_VALUE can not be converted to a Structure at 'parts.1.member'."},
		{`{"Parts":[{"Key":"k"},null]}`, "NULL_VALUE can not be converted to a Structure at 'parts.2.member'."},
		{`{"Parts":[{"Weight":"7"}]}`, "STRING_VALUE can not be converted to an Integer at 'parts.1.member.weight'."},
		{`{"Parts":[{"Weight":1.0}]}`, "The number at 'parts.1.member.weight' is not a whole number of 32 bits."},
		{`{"Parts":[{"Weight":2147483648}]}`, "The number at 'parts.1.member.weight' is not a whole number of 32 bits."},
		{`{"Extra":[]}`, "START_ARRAY can not be converted to a Map at 'extra'."},
		{`{"Extra":{"hunter2":true}}`, "TRUE_VALUE can not be converted to a String at 'extra.value'."},
		{`{"Extra":{"hunter2":null}}`, "NULL_VALUE can not be converted to a String at 'extra.value'."},
		{`{"Deep":[[false]]}`, "FALSE_VALUE can not be converted to a String at 'deep.1.member.1.member'."},
		{strings.Repeat(`{"a":`, 20000) + "1" + strings.Repeat("}", 20000), "The request body is not valid JSON (at byte 50001)."},
	}
	for _, tt := range tests {
		_, err := decodeOrder(tt.body)
		if _, ok := errors.AsType[*SerializationError](err); !ok || err.Error() != tt.want {
			t.Errorf("%.60s: got %v, want %s", tt.body, err, tt.want)
		}
	}
}

func TestValidate(t *testing.T) {
	long := strings.Repeat("ü", maxQuoted+10)
	tests := []struct {
		body, want string
	}{
		{``, "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null"},
		{`{"Name":""}`, "1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1"},
		{`{"Name":"üüüü"}`, ""},
		{`{"Name":"12345"}`, "1 validation error detected: Value '12345' at 'name' failed to satisfy constraint: Member must have length less than or equal to 4"},
		{`{"Name":"` + long + `"}`, "1 validation error detected: Value '" + long[:2*maxQuoted] + "…' at 'name' failed to satisfy constraint: Member must have length less than or equal to 4"},
		{`{"Name":"n","Parts":[{"Key":"k","Weight":0},{"Weight":100}]}`, "3 validation errors detected: " +
			"Value '0' at 'parts.1.member.weight' failed to satisfy constraint: Member must have value greater than or equal to 1; " +
			"Value null at 'parts.2.member.key' failed to satisfy constraint: Member must not be null; " +
			"Value '100' at 'parts.2.member.weight' failed to satisfy constraint: Member must have value less than or equal to 99"},
		// Sensitive values and keys are never quoted.
		{`{"Name":"n","Main":{"Key":"HUNTER2"}}`, "1 validation error detected: Value at 'main.key' failed to satisfy constraint: Member must have length less than or equal to 5"},
		{`{"Name":"n","Main":{"Key":"ABC"}}`, "1 validation error detected: Value at 'main.key' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]*"},
		{`{"Name":"n","Extra":{"HUNT":"A","b":"b"}}`, "3 validation errors detected: " +
			"Value at 'extra' failed to satisfy constraint: Member must have length less than or equal to 1; " +
			"Value at 'extra' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]*; " +
			"Value at 'extra.value' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z]*"},
	}
	for _, tt := range tests {
		_, err := decodeOrder(tt.body)
		if tt.want == "" && err == nil {
			continue
		}
		if _, ok := errors.AsType[*ValidationError](err); !ok || err.Error() != tt.want {
			t.Errorf("%.80s:\n got %v\nwant %s", tt.body, err, tt.want)
		}
	}
}

// An answer must stay small however wrong the request is.
func TestViolationsAreBounded(t *testing.T) {
	_, err := decodeOrder(`{"Name":"n","Parts":[` + strings.Repeat(`{},`, 10000) + `{}]}`)
	invalid, ok := errors.AsType[*ValidationError](err)
	if !ok || invalid.Total != 10002 || len(invalid.Violations) != MaxViolations || len(invalid.Error()) > 4096 {
		t.Errorf("got %v", err)
	}
}

func TestLabelsAndQuery(t *testing.T) {
	tests := []struct {
		label, query, want string
	}{
		{"abc", "max-results=99", ""},
		{"abc", "max-results=5&max-results=x&other=1&X-Amz-Date=2", ""},
		{"abcd", "", "1 validation error detected: Value 'abcd' at 'orderId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z0-9]{3}"},
		{"ab\n", "", "1 validation error detected: Value 'ab\n' at 'orderId' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-z0-9]{3}"},
		{"abc", "max-results=100", "1 validation error detected: Value '100' at 'limit' failed to satisfy constraint: Member must have value less than or equal to 99"},
		{"abc", "max-results=", "STRING_VALUE can not be converted to an Integer at 'limit'."},
		{"abc", "max-results=%2B1", "STRING_VALUE can not be converted to an Integer at 'limit'."},
		{"abc", "max-results=1.0", "STRING_VALUE can not be converted to an Integer at 'limit'."},
		{"a\xffc", "", "Invalid UTF-8 at 'orderId'."},
	}
	for _, tt := range tests {
		query, err := url.ParseQuery(tt.query)
		if err != nil {
			t.Fatal(err)
		}
		var o order
		err = Decode(orderShape(), Request{Labels: map[string]string{"orderId": tt.label}, Query: query, Body: []byte(`{"Name":"n"}`)}, &o)
		if got := map[bool]func() string{true: func() string { return "" }, false: func() string { return err.Error() }}[err == nil](); got != tt.want {
			t.Errorf("%q %s:\n got %s\nwant %s", tt.label, tt.query, got, tt.want)
		}
	}
	r := &http.Request{URL: &url.URL{RawQuery: "a=%zz"}}
	if _, err := ReadQuery(r); err == nil {
		t.Error("a malformed query was read")
	}
	if err := Decode(orderShape(), Request{}, order{}); err == nil {
		t.Error("decoded into a value that is no pointer")
	}
}

func TestReadBody(t *testing.T) {
	tests := []struct {
		body     string
		declared int64
		want     string // error
	}{
		{"12345", 5, ""},
		{"12345", -1, ""},
		{"", 0, ""},
		{"123456", -1, "Request body is larger than 5 bytes."},
		{"", 6, "Request body is larger than 5 bytes."},
	}
	for _, tt := range tests {
		r, err := http.NewRequest("POST", "/", iotest.OneByteReader(strings.NewReader(tt.body)))
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = tt.declared
		got, err := ReadBody(r, 5)
		if tt.want == "" && (err != nil || string(got) != tt.body) {
			t.Errorf("%q: got %q, %v", tt.body, got, err)
		}
		if tt.want != "" && (err == nil || err.Error() != tt.want) {
			t.Errorf("%q: got %v, want %s", tt.body, err, tt.want)
		}
	}
	r, err := http.NewRequest("POST", "/", iotest.ErrReader(errors.New("gone")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ReadBody(r, 5); err == nil {
		t.Error("a broken body was read")
	}
}

func TestPattern(t *testing.T) {
	const bucket = `(?!(^xn--|.+-s3alias$))^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`
	tests := []struct {
		pattern, s string
		want       bool
	}{
		{"[A-Z]{2}", "US", true}, {"[A-Z]{2}", "USA", false}, {"[A-Z]{2}", "US\n", false},
		{"^$|^[0-9]{3,3}$", "", true}, {"^$|^[0-9]{3,3}$", "206", true}, {"^$|^[0-9]{3,3}$", "2065", false},
		{"a|b", "ab", false},
		{bucket, "my-bucket", true}, {bucket, "xn--bucket", false}, {bucket, "my-s3alias", false}, {bucket, "a", false},
		{`(?!a[)\)]b)a.*`, "a)b", false}, {`(?!a[)\)]b)a.*`, "a)c", true},
	}
	for _, tt := range tests {
		p := MustPattern(tt.pattern)
		if got := p.Match(tt.s); got != tt.want || p.String() != tt.pattern {
			t.Errorf("%s on %q: %t", tt.pattern, tt.s, got)
		}
	}
	for _, bad := range []string{"(", "(?!a", "(?!()a", "x(?!a)"} {
		if _, err := NewPattern(bad); err == nil {
			t.Errorf("%s: accepted", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"Name":"n","Parts":[{"Key":"k","Weight":7}],"Extra":{"a":"k"},"Deep":[["a"]],"Flag":true}`,
		`{"N\u0061me":"\ud83d\ude00\\\"","x":{"y":[1,-2.5e+3,{"z":null}]}}`, `{"Parts":[null]}`, ` `, `{"Name":"n"`,
	} {
		f.Add([]byte(seed), "abc", "max-results=5")
	}
	shape := orderShape()
	f.Fuzz(func(t *testing.T, body []byte, label, rawQuery string) {
		query, _ := url.ParseQuery(rawQuery)
		var o order
		err := Decode(shape, Request{Labels: map[string]string{"orderId": label}, Query: query, Body: body}, &o)
		if err != nil {
			_, unreadable := errors.AsType[*SerializationError](err)
			_, invalid := errors.AsType[*ValidationError](err)
			if !unreadable && !invalid || !utf8.ValidString(err.Error()) {
				t.Fatalf("unexpected error %q", err)
			}
			return
		}
		// What was accepted must be what any JSON reader finds there, and stay so when written and read again.
		var plain map[string]json.RawMessage
		if err := json.Unmarshal(body, &plain); err != nil {
			t.Fatalf("accepted a body that is not JSON: %v", err)
		}
		var name string
		if json.Unmarshal(plain["Name"], &name) != nil || o.Name == nil || name != *o.Name {
			t.Fatalf("Name %v, want %s", o.Name, plain["Name"])
		}
		text, err := quickjson.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		again := order{}
		if err := Decode(shape, Request{Labels: map[string]string{"orderId": label}, Query: query, Body: text}, &again); err != nil || !reflect.DeepEqual(o, again) {
			t.Fatalf("round trip of %s: %+v, %v", text, again, err)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	shape, body := orderShape(), []byte(`{"Name": "n", "Flag": true, "Parts": [{"Key": "k", "Weight": 7}]}`)
	labels := map[string]string{"orderId": "abc"}
	b.ReportAllocs()
	for b.Loop() {
		var o order
		if err := Decode(shape, Request{Labels: labels, Body: body}, &o); err != nil {
			b.Fatal(err)
		}
	}
}
