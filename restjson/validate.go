package restjson

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxViolations is how many violations of one request are described; the rest is only counted. Without it a body of
// 1 MiB full of wrong items would be answered with many times its size.
const MaxViolations = 16

// maxQuoted is how many code points of a wrong value are quoted back.
const maxQuoted = 256

// Rule is a kind of constraint.
type Rule uint8

// The rules of the Smithy constraint traits.
const (
	RuleRequired Rule = iota + 1 // the member is missing or null
	RuleLength                   // too short or too long, too few or too many
	RuleRange                    // number too small or too large
	RulePattern                  // does not match the pattern
	RuleEnum                     // not one of the values
)

// Violation is one constraint that a request breaks.
type Violation struct {
	// Pointer is the place as a JSON pointer, from the input's members down: "/Tags/0/Key". A sensitive map key is "*".
	Pointer string
	// Rule that is broken.
	Rule Rule
	// Length of the value; of RuleLength only.
	Length int
	// Shape that demands it.
	Shape *Shape
	// Message is the sentence for the client: "Value 'x' at 'name' failed to satisfy constraint: …".
	Message string
}

// ValidationError says that a request can be read but breaks constraints of its shape.
type ValidationError struct {
	// Violations in the order of the members' names; never empty, at most [MaxViolations].
	Violations []Violation
	// Total counts all of them.
	Total int
}

// Error returns the message in the form AWS services use.
func (e *ValidationError) Error() string {
	var b strings.Builder
	b.WriteString(strconv.Itoa(e.Total))
	b.WriteString(" validation error")
	if e.Total != 1 {
		b.WriteString("s")
	}
	b.WriteString(" detected: ")
	for i, v := range e.Violations {
		if i > 0 {
			b.WriteString("; ")
		}
		b.WriteString(v.Message)
	}
	return b.String()
}

// validate holds a decoded struct against its shape.
func validate(shape *Shape, v reflect.Value) error {
	var c checker
	c.structure(shape, v)
	if c.total == 0 {
		return nil
	}
	return &ValidationError{Violations: c.found, Total: c.total}
}

// checker collects the violations of one request.
type checker struct {
	at    way // to the value that is looked at
	found []Violation
	total int
}

// report notes a violation. value is what may be quoted: " 'text'", " null", or nothing.
func (c *checker) report(rule Rule, shape *Shape, value, constraint string) {
	if c.total++; len(c.found) == MaxViolations {
		return
	}
	c.found = append(c.found, Violation{
		Pointer: c.at.pointer(), Rule: rule, Shape: shape,
		Message: "Value" + value + " at '" + c.at.String() + "' failed to satisfy constraint: Member must " + constraint,
	})
}

func (c *checker) structure(shape *Shape, v reflect.Value) {
	for i := range shape.Members {
		m := &shape.Members[i]
		field := v.Field(m.Field)
		c.at.down(step{name: m.Name, index: -1})
		switch {
		case !absent(field):
			c.value(m.Shape, field)
		case m.Required:
			c.report(RuleRequired, m.Shape, " null", "not be null")
		}
		c.at.up()
	}
}

// absent reports whether a member has no value. An empty list is a value.
func absent(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return v.IsNil()
	}
	return false
}

func (c *checker) value(shape *Shape, v reflect.Value) {
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	switch shape.Kind {
	case Structure:
		c.structure(shape, v)
	case List:
		c.length(shape, v.Len(), nil)
		for i := range v.Len() {
			c.at.down(step{index: i})
			c.value(shape.Element, v.Index(i))
			c.at.up()
		}
	case Map:
		c.mapping(shape, v)
	case String:
		c.text(shape, v.String())
	case Integer:
		n := v.Int()
		if constraint := outside(shape.Range, n); constraint != "" {
			c.report(RuleRange, shape, quote(shape, strconv.FormatInt(n, 10)), "have value "+constraint)
		}
	}
}

// mapping checks a map in the order of its keys, so that the same request always gets the same answer.
func (c *checker) mapping(shape *Shape, v reflect.Value) {
	c.length(shape, v.Len(), nil)
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	for _, key := range keys {
		here := step{name: key.String(), index: -1, key: true}
		if shape.Key.Sensitive {
			here.name = "*"
		}
		c.text(shape.Key, key.String())
		c.at.down(here)
		c.value(shape.Element, v.MapIndex(key))
		c.at.up()
	}
}

// text checks a string. One that is too long is not held against the pattern: the cost of that grows with the length,
// which the client chose.
func (c *checker) text(shape *Shape, s string) {
	n := utf8.RuneCountInString(s) // as the Smithy length trait counts
	c.length(shape, n, &s)
	if shape.Pattern != nil && int64(n) <= shape.Length.Max() && !shape.Pattern.Match(s) {
		c.report(RulePattern, shape, quote(shape, s), "satisfy regular expression pattern: "+shape.Pattern.String())
	}
	if len(shape.Enum) > 0 && !slices.Contains(shape.Enum, s) {
		c.report(RuleEnum, shape, quote(shape, s), fmt.Sprintf("satisfy enum value set: [%s]", strings.Join(shape.Enum, ", ")))
	}
}

// length checks a length; text is the string that has it, nil for a list or map.
func (c *checker) length(shape *Shape, n int, text *string) {
	constraint := outside(shape.Length, int64(n))
	if constraint == "" {
		return
	}
	quoted := ""
	if text != nil {
		quoted = quote(shape, *text)
	}
	c.report(RuleLength, shape, quoted, "have length "+constraint)
	if c.total == len(c.found) {
		c.found[c.total-1].Length = n
	}
}

// outside says which bound n is beyond; "" if none.
func outside(b Bounds, n int64) string {
	switch {
	case n < b.Min():
		return "greater than or equal to " + strconv.FormatInt(b.Min(), 10)
	case n > b.Max():
		return "less than or equal to " + strconv.FormatInt(b.Max(), 10)
	}
	return ""
}

// quote returns a value as it may appear in a message: not at all if it is sensitive, and never more of it than a
// reader can use.
func quote(shape *Shape, s string) string {
	if shape.Sensitive {
		return ""
	}
	for i, n := 0, 0; i < len(s); n++ {
		if n == maxQuoted {
			return " '" + s[:i] + "…'"
		}
		_, size := utf8.DecodeRuneInString(s[i:])
		i += size
	}
	return " '" + s + "'"
}
