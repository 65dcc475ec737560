package restjson

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
)

// cursor walks over a JSON text that is known to be valid, so it needs no look at syntax and no tree of the values it
// passes over.
type cursor struct {
	data []byte
	pos  int
	at   way // to the value at pos
}

// peek skips white space and returns the byte there.
func (c *cursor) peek() byte {
	for {
		switch b := c.data[c.pos]; b {
		case ' ', '\t', '\r', '\n':
			c.pos++
		default:
			return b
		}
	}
}

// more steps into a container, or over the comma between two of its values; false once it has ended.
func (c *cursor) more(end byte) bool {
	switch c.peek() {
	case end:
		c.pos++
		return false
	case ',':
		c.pos++
	}
	return true
}

// quoted returns the JSON string at the cursor with its quotes.
func (c *cursor) quoted() []byte {
	c.peek()
	start := c.pos
	for c.pos++; c.data[c.pos] != '"'; c.pos++ {
		if c.data[c.pos] == '\\' {
			c.pos++
		}
	}
	c.pos++
	return c.data[start:c.pos]
}

// text returns the string at the cursor.
func (c *cursor) text() (string, error) {
	raw := c.quoted()
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("unescape JSON string: %w", err)
	}
	return s, nil
}

// literal returns the number, true, false or null at the cursor.
func (c *cursor) literal() []byte {
	c.peek()
	start := c.pos
	for c.pos < len(c.data) {
		switch c.data[c.pos] {
		case ',', ']', '}', ' ', '\t', '\r', '\n':
			return c.data[start:c.pos]
		}
		c.pos++
	}
	return c.data[start:]
}

// skip passes over one value of any kind. It counts brackets instead of recursing: the depth is the client's choice.
func (c *cursor) skip() {
	for depth := 0; ; {
		switch c.peek() {
		case '{', '[':
			depth++
			c.pos++
		case '}', ']':
			depth--
			c.pos++
		case ',', ':':
			c.pos++
			continue
		case '"':
			c.quoted()
		default:
			c.literal()
		}
		if depth == 0 {
			return
		}
	}
}

// null passes over a null and reports whether there was one.
func (c *cursor) null() bool {
	if c.peek() != 'n' {
		return false
	}
	c.literal()
	return true
}

// value decodes the value at the cursor. v is the zero value of its type or holds an earlier duplicate of the member.
func (c *cursor) value(shape *Shape, v reflect.Value) error {
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	found := c.peek()
	switch shape.Kind {
	case Structure:
		if found == '{' {
			return c.structure(shape, v)
		}
		return c.unexpected("a Structure")
	case List:
		if found == '[' {
			return c.list(shape, v)
		}
		return c.unexpected("a List")
	case Map:
		if found == '{' {
			return c.mapping(shape, v)
		}
		return c.unexpected("a Map")
	case String:
		if found != '"' {
			return c.unexpected("a String")
		}
		text, err := c.text()
		v.SetString(text)
		return err
	case Boolean:
		if found != 't' && found != 'f' {
			return c.unexpected("a Boolean")
		}
		v.SetBool(found == 't')
		c.literal()
		return nil
	case Integer:
		return c.integer(v)
	}
	return fmt.Errorf("decode request: the shape of '%s' has no kind", c.at)
}

func (c *cursor) integer(v reflect.Value) error {
	if b := c.peek(); b != '-' && (b < '0' || b > '9') {
		return c.unexpected("an Integer")
	}
	n, err := strconv.ParseInt(string(c.literal()), 10, 32)
	if err != nil {
		return &SerializationError{Message: "The number at '" + c.at.String() + "' is not a whole number of 32 bits."}
	}
	v.SetInt(n)
	return nil
}

// unexpected says which kind of value was found in the words AWS services use.
func (c *cursor) unexpected(want string) error {
	found := "NUMBER_VALUE"
	switch c.peek() {
	case '{':
		found = "START_OBJECT"
	case '[':
		found = "START_ARRAY"
	case '"':
		found = "STRING_VALUE"
	case 't':
		found = "TRUE_VALUE"
	case 'f':
		found = "FALSE_VALUE"
	case 'n':
		found = "NULL_VALUE"
	}
	return mismatch(found, want, c.at.String())
}

func (c *cursor) structure(shape *Shape, v reflect.Value) error {
	for c.pos++; c.more('}'); {
		name := c.quoted()
		c.peek()
		c.pos++ // the colon
		m, err := findMember(shape, name)
		if err != nil {
			return err
		}
		if m == nil {
			c.skip()
			continue
		}
		field := v.Field(m.Field)
		if c.null() {
			field.SetZero()
			continue
		}
		c.at.down(step{name: m.Name, index: -1})
		if err := c.value(m.Shape, field); err != nil {
			return err
		}
		c.at.up()
	}
	return nil
}

// findMember looks a quoted JSON name up; nil for one the shape does not have. A linear search: structures have a
// handful of members, and the names differ early.
func findMember(shape *Shape, quoted []byte) (*Member, error) {
	name := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(name, '\\') >= 0 {
		var plain string
		if err := json.Unmarshal(quoted, &plain); err != nil {
			return nil, fmt.Errorf("unescape member name: %w", err)
		}
		name = []byte(plain)
	}
	for i := range shape.Members {
		if m := &shape.Members[i]; m.In == Body && string(name) == m.Name {
			return m, nil
		}
	}
	return nil, nil
}

func (c *cursor) list(shape *Shape, v reflect.Value) error {
	items := reflect.MakeSlice(v.Type(), 0, 0)
	for c.pos++; c.more(']'); {
		c.at.down(step{index: items.Len()})
		if c.peek() == 'n' {
			return c.unexpected(article(shape.Element.Kind))
		}
		item := reflect.New(v.Type().Elem()).Elem()
		if err := c.value(shape.Element, item); err != nil {
			return err
		}
		c.at.up()
		items = reflect.Append(items, item)
	}
	v.Set(items)
	return nil
}

func (c *cursor) mapping(shape *Shape, v reflect.Value) error {
	entries := reflect.MakeMap(v.Type())
	for c.pos++; c.more('}'); {
		key := reflect.New(v.Type().Key()).Elem()
		text, err := c.text()
		if err != nil {
			return err
		}
		key.SetString(text)
		c.peek()
		c.pos++ // the colon
		c.at.down(step{name: text, index: -1, key: true})
		if c.peek() == 'n' {
			return c.unexpected(article(shape.Element.Kind))
		}
		value := reflect.New(v.Type().Elem()).Elem()
		if err := c.value(shape.Element, value); err != nil {
			return err
		}
		c.at.up()
		entries.SetMapIndex(key, value)
	}
	v.Set(entries)
	return nil
}

// article returns a kind's name as messages use it.
func article(k Kind) string {
	switch k {
	case Structure:
		return "a Structure"
	case List:
		return "a List"
	case Map:
		return "a Map"
	case Boolean:
		return "a Boolean"
	case Integer:
		return "an Integer"
	}
	return "a String"
}
