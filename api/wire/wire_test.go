package wire

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"carillon/quickjson"
	"carillon/restjson"
)

// recorded is one request a real client sent.
type recorded struct{ method, target, body string }

// readRecorded returns the requests of a file by section, "full" and "min".
func readRecorded(t *testing.T, file string) map[string][]recorded {
	t.Helper()
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	sections, section := map[string][]recorded{}, ""
	scanner := bufio.NewScanner(f)
	for scanner.Scan() {
		line := scanner.Text()
		switch {
		case strings.HasPrefix(line, "## "):
			section = line[3:]
		case strings.HasPrefix(line, "    "):
			all := sections[section]
			all[len(all)-1].body = strings.TrimSpace(line)
		case strings.HasSuffix(line, " HTTP/1.1"):
			fields := strings.Fields(line)
			sections[section] = append(sections[section], recorded{method: fields[0], target: fields[1]})
		}
	}
	if err := scanner.Err(); err != nil {
		t.Fatal(err)
	}
	return sections
}

// Every request that a real client sends must reach its operation, be read without losing a member, and come out the
// same when our client writes it again.
func TestRecordedRequests(t *testing.T) {
	router, err := restjson.NewRouter(Routes())
	if err != nil {
		t.Fatal(err)
	}
	for ns, file := range map[Namespace]string{Chime: "requests-chime.txt", Voice: "requests-voice.txt"} {
		for section, requests := range readRecorded(t, file) {
			reached := map[OperationID]bool{}
			for _, r := range requests {
				reached[replay(t, router, ns, r)] = true
			}
			for _, op := range Operations() {
				if op.In(ns).Offered && !reached[op.ID] {
					t.Errorf("%s, %s: no request reached %s", file, section, op.Name)
				}
			}
		}
	}
}

func replay(t *testing.T, router *restjson.Router, ns Namespace, r recorded) OperationID {
	t.Helper()
	u, err := url.Parse("http://h" + r.target)
	if err != nil {
		t.Fatal(err)
	}
	m, err := router.Match(r.method, u.EscapedPath(), u.Query())
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.target, err)
	}
	op := Operations()[m.Route]
	if !op.In(ns).Offered {
		t.Fatalf("%s %s reached %s, which %s does not have", r.method, r.target, op.Name, ns)
	}
	for _, as := range []Namespace{ns, Either} {
		in, _ := messages[op.ID]()
		err = restjson.Decode(op.In(as).Input, restjson.Request{Labels: m.Labels, Query: u.Query(), Body: []byte(r.body)}, in)
		// The recorder's values do not all keep to patterns and enums; but each must have been read.
		if _, invalid := errors.AsType[*restjson.ValidationError](err); err != nil && !invalid {
			t.Fatalf("%s: %v", op.Name, err)
		}
		again, body, err := restjson.NewRequest(t.Context(), "http://h", op.Route, op.In(as).Input, in)
		if err != nil {
			t.Fatal(err)
		}
		if again.Method != r.method || again.URL.EscapedPath() != u.EscapedPath() || !reflect.DeepEqual(again.URL.Query(), u.Query()) {
			t.Errorf("%s: wrote %s %s, want %s %s", op.Name, again.Method, again.URL, r.method, r.target)
		}
		if !sameJSON(string(body), r.body) {
			t.Errorf("%s: wrote %s, want %s", op.Name, body, r.body)
		}
	}
	return op.ID
}

// sameJSON compares two bodies; an empty one stands for no members.
func sameJSON(a, b string) bool {
	var x, y map[string]any
	for _, p := range []struct {
		text string
		to   *map[string]any
	}{{a, &x}, {b, &y}} {
		if p.text != "" && json.Unmarshal([]byte(p.text), p.to) != nil {
			return false
		}
	}
	return len(x) == 0 && len(y) == 0 || reflect.DeepEqual(x, y)
}

func TestOperations(t *testing.T) {
	counts := map[Namespace]int{}
	for i, op := range Operations() {
		if op.ID != OperationID(i) || op.ID.String() != op.Name || op.Status < 200 || op.Status > 204 || op.HasOutput && op.Status == 204 {
			t.Errorf("row %d: %+v", i, op)
		}
		for ns := range namespaceCount {
			b := op.In(ns)
			if !b.Offered {
				continue
			}
			counts[ns]++
			if b.Input == nil || !b.Models(BadRequestException) || !b.Models(ServiceFailureException) || b.Models("x") || !slices.IsSorted(b.Errors) {
				t.Errorf("%s in %s: %+v", op.Name, ns, b)
			}
			for _, e := range b.Errors {
				if status := ExceptionStatus(e); status < 400 || status > 503 {
					t.Errorf("%s: status %d", e, status)
				}
			}
		}
	}
	if counts[Chime] != 76 || counts[Voice] != 96 || counts[Either] != 98 {
		t.Errorf("operations: %v, want 76, 96, 98", counts)
	}
	if ExceptionStatus("Unheard") != 500 || ExceptionStatus(ThrottledClientException) != 429 || OperationID(-1).String() == "" || Namespace(9).String() == "" {
		t.Error("defaults")
	}
}

// Fields of the shapes must be the fields of the Go structures, by name, type and place.
func TestShapesFitStructures(t *testing.T) {
	for _, op := range Operations() {
		in, _ := messages[op.ID]()
		for ns := range namespaceCount {
			if b := op.In(ns); b.Offered {
				fit(t, op.Name+" in "+ns.String(), b.Input, reflect.TypeOf(in).Elem())
			}
		}
	}
}

func fit(t *testing.T, where string, s *restjson.Shape, typ reflect.Type) {
	if typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	want := map[restjson.Kind]reflect.Kind{
		restjson.Structure: reflect.Struct, restjson.List: reflect.Slice, restjson.Map: reflect.Map, restjson.String: reflect.String,
		restjson.Boolean: reflect.Bool, restjson.Integer: reflect.Int32,
	}[s.Kind]
	if typ.Kind() != want || s.Sensitive && typ != reflect.TypeFor[Sensitive]() {
		t.Errorf("%s: type %v for a shape of kind %v, sensitive %t", where, typ, s.Kind, s.Sensitive)
		return
	}
	if s.Element != nil {
		fit(t, where+" element", s.Element, typ.Elem())
	}
	if s.Key != nil {
		fit(t, where+" key", s.Key, typ.Key())
	}
	for _, m := range s.Members {
		f := typ.Field(m.Field)
		tag, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		wantTag := m.Name
		if m.In != restjson.Body {
			wantTag = "-"
		}
		if !strings.EqualFold(f.Name, m.Name) || tag != wantTag || (m.In == restjson.Path) != (f.Type.Kind() == reflect.String) {
			t.Errorf("%s.%s: bound to %s %v %q", where, m.Name, f.Name, f.Type, tag)
		}
		fit(t, where+"."+m.Name, m.Shape, f.Type)
	}
}

// AWS writes members in alphabetical order and those of the answer itself with an explicit null.
func TestAnswers(t *testing.T) {
	for id, message := range messages {
		_, out := message()
		text, err := quickjson.Marshal(out)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i := range reflect.TypeOf(out).Elem().NumField() {
			tag := reflect.TypeOf(out).Elem().Field(i).Tag.Get("json")
			names = append(names, fmt.Sprintf("%q:null", tag))
		}
		if want := "{" + strings.Join(names, ",") + "}"; string(text) != want || !slices.IsSorted(names) {
			t.Errorf("%v: %s, want %s", OperationID(id), text, want)
		}
	}
	name, yes, region := "demo", true, VoiceConnectorAWSRegionUsEast1
	created := At(time.Date(2019, 9, 18, 22, 34, 1, 352_900_000, time.FixedZone("", 2*3600)))
	out := ListVoiceConnectorsResponse{VoiceConnectors: []VoiceConnector{{Name: &name, RequireEncryption: &yes, AWSRegion: &region, CreatedTimestamp: created}}}
	text, err := quickjson.Marshal(out)
	const want = `{"NextToken":null,"VoiceConnectors":[{"AwsRegion":"us-east-1","CreatedTimestamp":"2019-09-18T20:34:01.352Z","Name":"demo","RequireEncryption":true}]}`
	if err != nil || string(text) != want {
		t.Errorf("got %s, %v\nwant %s", text, err, want)
	}
	empty, err := quickjson.Marshal(ListVoiceConnectorTerminationCredentialsResponse{Usernames: []Sensitive{}})
	if err != nil || string(empty) != `{"Usernames":[]}` {
		t.Errorf("got %s, %v", empty, err)
	}
	origination, err := quickjson.Marshal(Origination{Routes: []OriginationRoute{}})
	if err != nil || string(origination) != `{"Routes":[]}` {
		t.Errorf("an empty list inside: %s, %v", origination, err)
	}
}

func TestTimestamp(t *testing.T) {
	for text, want := range map[string]string{
		"2019-09-18T20:34:01Z": "2019-09-18T20:34:01.000Z", "2019-09-18T20:34:01.352999+02:00": "2019-09-18T18:34:01.352Z",
	} {
		var ts Timestamp
		if err := json.Unmarshal([]byte(`"`+text+`"`), &ts); err != nil || ts.String() != want {
			t.Errorf("%s: got %s, %v", text, ts, err)
		}
	}
	for _, at := range []time.Time{
		{}, time.Unix(0, 0), time.Unix(1, 999_999_999), time.Date(2026, 11, 28, 12, 0, 0, 7e6, time.FixedZone("", 3600)), time.Date(9999, 12, 31, 23, 59, 59, 70e6, time.UTC),
	} {
		if got, err := Timestamp(at).MarshalText(); err != nil || string(got) != at.UTC().Format(timestampLayout) {
			t.Errorf("%v: got %s, %v", at, got, err)
		}
	}
	var ts Timestamp
	if json.Unmarshal([]byte("1568838841"), &ts) == nil || json.Unmarshal([]byte(`"Fri Aug 23 16:45:55 UTC 2019"`), &ts) == nil {
		t.Error("a timestamp of another form was read")
	}
}

// A password must not get out by any verb or log handler.
func TestSensitive(t *testing.T) {
	user, password := Sensitive("alice"), Sensitive("hunter2")
	id := "abcdef1ghij2klmno3pqr4"
	in := PutVoiceConnectorTerminationCredentialsRequest{VoiceConnectorID: id, Credentials: []Credential{{Username: &user, Password: &password}}}
	call := CreateSIPMediaApplicationCallRequest{SIPHeaders: map[Sensitive]Sensitive{"x": "hunter2"}}
	var seen bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		for _, v := range []any{in, &in, in.Credentials, in.Credentials[0], &in.Credentials[0], password, &password, call.SIPHeaders} {
			fmt.Fprintf(&seen, verb, v)
		}
	}
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&seen, nil), slog.NewTextHandler(&seen, nil)} {
		log := slog.New(handler)
		log.Info("x", "in", in, "pointer", &in, "credential", in.Credentials[0], "password", password, "call", call)
	}
	for _, leak := range []string{"alice", "hunter2", "616c696365", "68756e74657232", "0x68"} {
		if strings.Contains(seen.String(), leak) {
			t.Errorf("%q in the output:\n%s", leak, seen.String())
		}
	}
	if text, err := json.Marshal(in); err != nil || string(text) != `{"Credentials":[{"Password":"hunter2","Username":"alice"}]}` {
		t.Errorf("on the wire: %s, %v", text, err)
	}
}

func TestEveryStructureWithSecretsIsALogValuer(t *testing.T) {
	var walk func(typ reflect.Type) bool
	walk = func(typ reflect.Type) bool {
		switch typ.Kind() {
		case reflect.Pointer, reflect.Slice:
			return walk(typ.Elem())
		case reflect.Map:
			return walk(typ.Key()) || walk(typ.Elem())
		case reflect.Struct:
			secret := false
			for i := range typ.NumField() {
				if f := typ.Field(i); f.IsExported() {
					secret = walk(f.Type) || secret
				}
			}
			if secret && !typ.Implements(reflect.TypeFor[slog.LogValuer]()) {
				t.Errorf("%v shows its secrets to a JSON log handler", typ)
			}
			return secret
		}
		return typ == reflect.TypeFor[Sensitive]()
	}
	for _, message := range messages {
		request, response := message()
		walk(reflect.TypeOf(request))
		walk(reflect.TypeOf(response))
	}
}
