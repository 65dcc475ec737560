package restjson

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
)

func TestWriteAnswer(t *testing.T) {
	type output struct {
		NextToken *string
		Things    []string
	}
	tests := []struct {
		name          string
		status        int
		body          any
		length, typ   string
		text          string
		errorExpected bool
	}{
		{"body", 201, output{Things: []string{"<a&b>"}}, "41", "application/json", `{"NextToken":null,"Things":["<a&b>"]}`, false},
		{"no content", 204, nil, "", "", "", false},
		{"no body", 200, nil, "0", "", "", false},
		{"not JSON", 200, func() {}, "", "", "", true},
	}
	for _, tt := range tests {
		rec := httptest.NewRecorder()
		err := new(Writer).Answer(rec, "id-1", tt.status, tt.body)
		if tt.errorExpected {
			if err == nil || rec.Body.Len() > 0 || len(rec.Header()) > 0 {
				t.Errorf("%s: got %v, %v; want an error and nothing written", tt.name, err, rec)
			}
			continue
		}
		resp := rec.Result()
		text, _ := io.ReadAll(resp.Body)
		if tt.text != "" {
			tt.length = resp.Header.Get("Content-Length")
			if resp.ContentLength != int64(len(text)) {
				t.Errorf("%s: Content-Length %d, want %d", tt.name, resp.ContentLength, len(text))
			}
		}
		if err != nil || resp.StatusCode != tt.status || string(text) != tt.text || resp.Header.Get("Content-Length") != tt.length ||
			resp.Header.Get("Content-Type") != tt.typ || resp.Header.Get(HeaderRequestID) != "id-1" {
			t.Errorf("%s: %v, %d, %q, %v", tt.name, err, resp.StatusCode, text, resp.Header)
		}
	}
}

// TestWriterKeepsNothing: one writer's answers have nothing of the ones before, whatever their lengths, and none after one
// that could not be made.
func TestWriterKeepsNothing(t *testing.T) {
	var w Writer
	for _, body := range []any{strings.Repeat("a", 2*largestKept), "b", strings.Repeat("c", 2000), func() {}, "", []int{1}} {
		want, unmarshalled := json.Marshal(body)
		rec := httptest.NewRecorder()
		if err := w.Answer(rec, "id", 200, body); (err != nil) != (unmarshalled != nil) {
			t.Errorf("%.20v: %v, want %v", body, err, unmarshalled)
		}
		if got := rec.Body.String(); got != string(want) {
			t.Errorf("got %.20s of %d bytes, want %.20s of %d", got, len(got), want, len(want))
		}
	}
}

// lateWriter fails, and yet holds on to what it was to write.
type lateWriter struct {
	http.ResponseWriter
	holds []byte
}

// Write implements io.Writer.
func (w *lateWriter) Write(p []byte) (int, error) {
	w.holds = p
	return 0, errors.New("the stream is closed")
}

// TestAFailedWriteKeepsItsRoom: the writer of HTTP/2 may still be at what it says it has failed to write.
func TestAFailedWriteKeepsItsRoom(t *testing.T) {
	var w Writer
	for range 20 { // the pool does not always give back what it was given
		late := &lateWriter{ResponseWriter: httptest.NewRecorder()}
		if err := w.Answer(late, "id", 200, "mine"); err == nil {
			t.Fatal("a failed write gave no error")
		}
		if err := w.Answer(httptest.NewRecorder(), "id", 200, "somebody else's"); err != nil {
			t.Fatal(err)
		}
		if got := string(late.holds); got != `"mine"` {
			t.Fatalf("the failed answer has become %s", got)
		}
	}
}

func TestException(t *testing.T) {
	rec := httptest.NewRecorder()
	want := Exception{Status: 404, Type: "NotFoundException", Code: "NotFound", Message: "No \"such\" <thing>."}
	if err := new(Writer).Exception(rec, "id-2", want); err != nil {
		t.Fatal(err)
	}
	const body = `{"Code":"NotFound","Message":"No \"such\" <thing>."}`
	resp := rec.Result()
	if got := rec.Body.String(); got != body || resp.ContentLength != int64(len(body)) || resp.Header.Get("Content-Type") != ContentType {
		t.Errorf("got %s, %v", got, resp.Header)
	}
	err := ReadAnswer(resp, nil)
	answer, ok := errors.AsType[*AnswerError](err)
	if !ok || answer.Exception != want || answer.RequestID != "id-2" {
		t.Errorf("read back: %+v", err)
	}
}

// What our client builds, our router and decoder must read back unchanged.
func TestNewRequest(t *testing.T) {
	name, limit, key := "n", int32(5), secret("k")
	sent := order{ID: "a/b c%+é", Limit: &limit, Name: &name, Parts: []part{{Key: &key}}, Deep: [][]string{}}
	shape := orderShape()
	shape.Members[0].Shape = text(nil)
	route := Route{Method: "POST", Template: "/orders/{orderId}/parts", Select: []Selector{{"operation", "put it"}}}
	r, body, err := NewRequest(context.Background(), "http://h:1/base/", route, shape, &sent)
	if err != nil {
		t.Fatal(err)
	}
	const wantURL = "http://h:1/base/orders/a%2Fb%20c%25%2B%C3%A9/parts?max-results=5&operation=put%20it"
	if got := r.URL.String(); got != wantURL || r.Header.Get("Content-Type") != ContentType {
		t.Errorf("URL %s, want %s", got, wantURL)
	}
	if want := `{"Name":"n","Parts":[{"Key":"k"}],"Deep":[]}`; string(body) != want {
		t.Errorf("body %s, want %s", body, want)
	}
	rt, err := NewRouter([]Route{{Method: "POST", Template: "/base" + route.Template, Select: route.Select}})
	if err != nil {
		t.Fatal(err)
	}
	query, err := ReadQuery(r)
	if err != nil {
		t.Fatal(err)
	}
	m, err := rt.Match(r.Method, r.URL.EscapedPath(), query)
	if err != nil {
		t.Fatal(err)
	}
	var got order
	if err := Decode(shape, Request{Labels: m.Labels, Query: query, Body: body}, &got); err != nil || !reflect.DeepEqual(got, sent) {
		t.Errorf("got %+v, %v; want %+v", got, err, sent)
	}
}

func TestReadAnswer(t *testing.T) {
	respond := func(status int, header, body string) *http.Response {
		rec := httptest.NewRecorder()
		if header != "" {
			rec.Header().Set(HeaderErrorType, header)
		}
		rec.WriteHeader(status)
		_, _ = rec.WriteString(body)
		return rec.Result()
	}
	var out struct{ A string }
	if err := ReadAnswer(respond(200, "", `{"A":"b"}`), &out); err != nil || out.A != "b" {
		t.Errorf("got %+v, %v", out, err)
	}
	if err := ReadAnswer(respond(204, "", ""), &out); err != nil {
		t.Error(err)
	}
	if err := ReadAnswer(respond(200, "", "<html>"), &out); err == nil {
		t.Error("HTML was read as an answer")
	}
	for _, tt := range []struct{ header, body, want string }{
		{"BadRequestException:http://internal.amazon.com/coral/", `{"message":"m"}`, "BadRequestException (400): m"},
		{"", "<html>", "400 Bad Request (400): "},
	} {
		if err := ReadAnswer(respond(400, tt.header, tt.body), nil); err == nil || err.Error() != tt.want {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
}
