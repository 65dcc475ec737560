package restjson

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"

	"carillon/quickjson"
)

// maxAnswer is the largest answer a client reads, in bytes: a page of 100 of anything is far below it.
const maxAnswer = 16 << 20

// NewRequest builds the request of one operation, as AWS SDKs do: labels escaped as a whole, absent members left out,
// "{}" where a body has no members. endpoint may have a base path. The body is returned too, for the signer. in is a
// struct made for the shape, or a pointer to one; its Path and Query members must be marked json:"-".
func NewRequest(ctx context.Context, endpoint string, route Route, shape *Shape, in any) (*http.Request, []byte, error) {
	v := reflect.Indirect(reflect.ValueOf(in))
	path, query, hasBody := route.Template, url.Values{}, false
	for _, sel := range route.Select {
		query.Set(sel.Name, sel.Value)
	}
	for i := range shape.Members {
		m := &shape.Members[i]
		field := v.Field(m.Field)
		switch {
		case m.In == Body:
			hasBody = true
		case m.In == Path:
			path = strings.Replace(path, "{"+m.Wire+"}", escape(field.String()), 1)
		case !absent(field):
			query.Set(m.Wire, scalar(field))
		}
	}
	var body []byte
	if hasBody {
		var err error
		if body, err = quickjson.Marshal(in); err != nil {
			return nil, nil, err
		}
	}
	target := strings.TrimSuffix(endpoint, "/") + path
	if len(query) > 0 {
		target += "?" + strings.ReplaceAll(query.Encode(), "+", "%20")
	}
	r, err := http.NewRequestWithContext(ctx, route.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil, fmt.Errorf("build request: %w", err)
	}
	if hasBody {
		r.Header.Set("Content-Type", ContentType)
	}
	return r, body, nil
}

// escape percent-encodes all but the unreserved characters: a slash stays inside its label.
func escape(s string) string {
	return strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
}

// scalar writes a query member.
func scalar(v reflect.Value) string {
	v = reflect.Indirect(v)
	switch v.Kind() {
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Int32:
		return strconv.FormatInt(v.Int(), 10)
	}
	return v.String()
}

// AnswerError is an error answer, as a client sees it.
type AnswerError struct {
	Exception
	// RequestID is what the service calls the request.
	RequestID string
}

// Error returns type, status and message.
func (e *AnswerError) Error() string {
	return e.Type + " (" + strconv.Itoa(e.Status) + "): " + e.Message
}

// ReadAnswer reads the answer to a request into out, closes its body, and turns an error answer into an [*AnswerError].
// out may be nil where the operation has no output; an empty body leaves it as it is.
func ReadAnswer(resp *http.Response, out any) error {
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return fmt.Errorf("read answer: %w", err)
	}
	if len(text) > maxAnswer {
		return fmt.Errorf("read answer: more than %d bytes", maxAnswer)
	}
	if resp.StatusCode/100 != 2 {
		return readException(resp, text)
	}
	if out == nil || len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, out); err != nil {
		return fmt.Errorf("parse answer: %w", err)
	}
	return nil
}

// readException takes the type from the header, without the URI some services append.
func readException(resp *http.Response, text []byte) error {
	e := &AnswerError{RequestID: resp.Header.Get(HeaderRequestID)}
	e.Status = resp.StatusCode
	e.Type, _, _ = strings.Cut(resp.Header.Get(HeaderErrorType), ":")
	var body struct{ Code, Message string }
	// A body that is not JSON comes from a proxy; the status then has to do.
	if json.Unmarshal(text, &body) == nil {
		e.Code, e.Message = body.Code, body.Message
	}
	if e.Type == "" {
		e.Type = resp.Status
	}
	return e
}
