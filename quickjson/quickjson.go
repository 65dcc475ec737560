// Package quickjson writes JSON objects whose shape is known as encoding/json writes them, at a fraction of what its
// reflection takes. Whoever writes this way leaves to encoding/json what is not quite usual, such as a text that must be
// escaped, and a fuzz target holds both to the same bytes.
//
// <, > and & stand as they are: nothing written here is ever HTML.
package quickjson

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// Appender is a value that can write itself.
type Appender interface {
	// AppendJSON returns false, with anything appended, for what it leaves to encoding/json.
	AppendJSON(b []byte) (_ []byte, ok bool)
}

// usual is room enough, in bytes, for most of what is written on its own.
const usual = 384

// Marshal returns v as compact JSON.
func Marshal(v any) ([]byte, error) {
	if a, ok := v.(Appender); ok {
		if text, ok := a.AppendJSON(make([]byte, 0, usual)); ok {
			return text, nil
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Object is a JSON object being written, between Begin and End.
type Object struct {
	// B has all that was written so far. Whoever appends a value to it has written its name before.
	B []byte
	// Bad is true after something that encoding/json would write differently.
	Bad bool
}

// Begin begins an object behind b.
func Begin(b []byte) Object { return Object{B: append(b, '{')} }

// End ends the object, reporting whether it is good.
func (o *Object) End() (_ []byte, ok bool) { return append(o.B, '}'), !o.Bad }

// Name begins a member.
func (o *Object) Name(name string) {
	if o.B[len(o.B)-1] != '{' {
		o.B = append(o.B, ',')
	}
	o.B = append(append(append(o.B, '"'), name...), '"', ':')
}

// Text writes a member.
func (o *Object) Text(name, value string) {
	for i := range len(value) {
		if c := value[i]; !plain(c) || c == '"' {
			o.Bad = true
			return
		}
	}
	o.Name(name)
	o.B = append(append(append(o.B, '"'), value...), '"')
}

// Set writes a member unless it is empty.
func (o *Object) Set(name, value string) {
	if value != "" {
		o.Text(name, value)
	}
}

// Bool writes a member.
func (o *Object) Bool(name string, value bool) {
	o.Name(name)
	o.B = strconv.AppendBool(o.B, value)
}

// Int writes a member.
func (o *Object) Int(name string, value int) {
	o.Name(name)
	o.B = strconv.AppendInt(o.B, int64(value), 10)
}

// Time writes a member as time.Time does.
func (o *Object) Time(name string, t time.Time) {
	o.Name(name)
	text, err := t.AppendText(append(o.B, '"'))
	if err != nil {
		o.Bad = true
		return
	}
	o.B = append(text, '"')
}

// Raw writes a member that is JSON already. It is bad where encoding/json would write that differently, and for what is
// no JSON.
func (o *Object) Raw(name string, value []byte) {
	quoted := false
	for _, c := range value {
		if c == '"' {
			quoted = !quoted
		} else if !plain(c) || c == ' ' && !quoted {
			o.Bad = true
			return
		}
	}
	o.Bad = o.Bad || !json.Valid(value)
	o.Name(name)
	o.B = append(o.B, value...)
}

// plain reports whether a character stands in a text as it is. A quote does not, but ends one.
func plain(c byte) bool { return c >= ' ' && c < 0x7f && c != '\\' }
