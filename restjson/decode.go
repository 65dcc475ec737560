package restjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// DefaultMaxBody is the largest request body that is read, in bytes, where a caller sets no other limit. The largest
// valid request of either namespace is far below it.
const DefaultMaxBody = 1 << 20

// BodyTooLargeError says that a body is longer than the limit. Nothing of it was kept.
type BodyTooLargeError struct {
	// Limit is the largest length that is read, in bytes.
	Limit int64
}

// Error returns a sentence fit for the client.
func (e *BodyTooLargeError) Error() string {
	return "Request body is larger than " + strconv.FormatInt(e.Limit, 10) + " bytes."
}

// SerializationError says that a request cannot be read: it is not JSON, or a value has the wrong type. It never quotes
// a value.
type SerializationError struct {
	// Message is a sentence fit for the client.
	Message string
}

// Error returns the sentence.
func (e *SerializationError) Error() string { return e.Message }

// ReadBody reads a request's body up to limit bytes. A longer one is a [*BodyTooLargeError], and is read away
// up to a bound so that its sender gets to see the answer. Any other error means that the client went away.
func ReadBody(r *http.Request, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		drain(r, limit)
		return nil, &BodyTooLargeError{Limit: limit}
	}
	if r.Body == nil {
		return nil, nil
	}
	// The declared length only bounds the first allocation from above: a client may announce much and send little.
	const firstRead = 4 << 10
	body := make([]byte, 0, min(max(r.ContentLength, 0), firstRead)+1) // room to read its end, too
	for source := io.LimitReader(r.Body, limit+1); ; {
		n, err := source.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF) && int64(len(body)) > limit:
			drain(r, limit)
			return nil, &BodyTooLargeError{Limit: limit}
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, fmt.Errorf("read request body: %w", err)
		case len(body) == cap(body):
			body = slices.Grow(body, max(len(body), firstRead))
		}
	}
}

// drainFactor is how many times the limit is read away of a body that is too long.
const drainFactor = 16

// drain reads on in a body that was refused. Most clients write all of it before they read, and closing the connection
// under them would reset it and lose the answer. A client that asked first (RFC 9110 section 10.1.1) is waiting for it.
func drain(r *http.Request, limit int64) {
	if r.Body != nil && r.Header.Get("Expect") == "" {
		_, _ = io.CopyN(io.Discard, r.Body, drainFactor*limit)
	}
}

// ReadQuery parses a request's query. A malformed escape is a [*SerializationError], where http.Request would drop the
// parameter silently.
func ReadQuery(r *http.Request) (url.Values, error) {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, &SerializationError{Message: "The query string is malformed."}
	}
	return query, nil
}

// Request is what of an HTTP request a shape's members are bound to.
type Request struct {
	// Labels come from [Match].
	Labels map[string]string
	// Query comes from [ReadQuery]; parameters that no member is bound to are ignored.
	Query url.Values
	// Body comes from [ReadBody]. Empty stands for "{}": clients send nothing where all members are optional.
	Body []byte
}

// Decode fills the struct dst points to from a request and holds it against the shape. The error is a
// [*SerializationError], a [*ValidationError], or says that dst does not fit the shape. dst must be a pointer to the
// zero value of the struct the shape was made for; after an error it must not be used.
func Decode(shape *Shape, req Request, dst any) error {
	v := reflect.ValueOf(dst)
	if v.Kind() != reflect.Pointer || v.Elem().Kind() != reflect.Struct || shape.Kind != Structure {
		return fmt.Errorf("decode request: %T is no pointer to a struct, or the shape no structure", dst)
	}
	v = v.Elem()
	body := false
	for i := range shape.Members {
		m := &shape.Members[i]
		if m.In == Body {
			body = true
			continue
		}
		if err := bind(m, req, v.Field(m.Field)); err != nil {
			return err
		}
	}
	if body {
		if err := decodeBody(shape, req.Body, v); err != nil {
			return err
		}
	}
	return validate(shape, v)
}

// bind sets a member that travels outside the body.
func bind(m *Member, req Request, v reflect.Value) error {
	text, ok := "", false
	if m.In == Path {
		text, ok = req.Labels[m.Wire]
	} else if values := req.Query[m.Wire]; len(values) > 0 {
		text, ok = values[0], true
	}
	if !ok {
		return nil
	}
	if !utf8.ValidString(text) {
		return &SerializationError{Message: "Invalid UTF-8 at '" + memberName(m.Name) + "'."}
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	switch m.Shape.Kind {
	case String:
		v.SetString(text)
		return nil
	case Integer:
		if n, err := strconv.ParseInt(text, 10, 32); err == nil && text[0] != '+' {
			v.SetInt(n)
			return nil
		}
		return mismatch("STRING_VALUE", "an Integer", memberName(m.Name))
	case Boolean:
		if text == "true" || text == "false" {
			v.SetBool(text == "true")
			return nil
		}
		return mismatch("STRING_VALUE", "a Boolean", memberName(m.Name))
	}
	return fmt.Errorf("decode request: member %s cannot travel outside the body", m.Name)
}

func mismatch(found, want, at string) error {
	message := found + " can not be converted to " + want
	if at != "" {
		message += " at '" + at + "'"
	}
	return &SerializationError{Message: message + "."}
}

func decodeBody(shape *Shape, body []byte, v reflect.Value) error {
	if len(bytes.TrimLeft(body, " \t\r\n")) == 0 {
		return nil
	}
	if !utf8.Valid(body) {
		return &SerializationError{Message: "The request body is not valid UTF-8."}
	}
	// Checked once as a whole: the cursor below then never meets a syntax error, and nothing after the object, nor the
	// insides of an unknown member, escapes the check.
	if !json.Valid(body) {
		return &SerializationError{Message: "The request body is not valid JSON" + syntaxPosition(body) + "."}
	}
	c := cursor{data: body}
	if c.peek() != '{' {
		return &SerializationError{Message: "The request body is not a JSON object."}
	}
	return c.structure(shape, v)
}

// syntaxPosition says where a body stops being JSON, without quoting it.
func syntaxPosition(body []byte) string {
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(json.RawMessage)); errors.As(err, &syntax) {
		return " (at byte " + strconv.FormatInt(syntax.Offset, 10) + ")"
	}
	return ""
}

// way leads from the input to a value. Whoever walks adds a step on the way down and takes it off on the way up.
type way []step

// step is one element of a way.
type step struct {
	name  string // member name or map key
	index int    // of a list item; -1 otherwise
	key   bool   // name is a map key, which messages never show
}

func (w *way) down(s step) { *w = append(*w, s) }
func (w *way) up()         { *w = (*w)[:len(*w)-1] }

// String returns the way in the form AWS uses in messages: "voiceConnectorItems.1.member.priority".
func (w way) String() string {
	parts := make([]string, len(w))
	for i, s := range w {
		switch {
		case s.index >= 0:
			parts[i] = strconv.Itoa(s.index+1) + ".member"
		case s.key:
			parts[i] = "value"
		default:
			parts[i] = memberName(s.name)
		}
	}
	return strings.Join(parts, ".")
}

// pointer returns the way as a JSON pointer (RFC 6901).
func (w way) pointer() string {
	escape := strings.NewReplacer("~", "~0", "/", "~1")
	var b strings.Builder
	for _, s := range w {
		b.WriteByte('/')
		if s.index >= 0 {
			b.WriteString(strconv.Itoa(s.index))
		} else {
			b.WriteString(escape.Replace(s.name))
		}
	}
	return b.String()
}

// memberName is a member's name in messages: AWS writes the first letter small.
func memberName(name string) string {
	if name == "" || name[0] < 'A' || name[0] > 'Z' {
		return name
	}
	return strings.ToLower(name[:1]) + name[1:]
}
