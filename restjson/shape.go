package restjson

import (
	"fmt"
	"math"
	"regexp"
	"strings"
)

// Kind says what a [Shape] is on the wire.
type Kind uint8

// The kinds of the Smithy data model that occur in request inputs. Timestamps, floats and blobs do not; a model that
// brings one into an input must extend the decoder first, and the generator refuses it until then.
const (
	Structure Kind = iota + 1 // a JSON object with named members; Go: struct
	List                      // a JSON array without nulls; Go: slice
	Map                       // a JSON object with free keys and no null values; Go: map
	String                    // a JSON string; Go: any type whose kind is string
	Boolean                   // true or false; Go: bool
	Integer                   // a 32-bit signed whole number; Go: int32
)

// Location says which part of a request carries a member.
type Location uint8

const (
	Body  Location = iota // member of the JSON body
	Path                  // label of the URI template
	Query                 // query parameter
)

// Shape describes an input or a part of one, with the constraints the server must hold it against. Shapes are built
// once, at start, and only read afterwards; they may be shared.
type Shape struct {
	// Kind is never zero.
	Kind Kind
	// Members of a Structure.
	Members []Member
	// Element is a List's item or a Map's value.
	Element *Shape
	// Key of a Map; always a String.
	Key *Shape
	// Length bounds the code points of a String, the items of a List, the entries of a Map.
	Length Bounds
	// Range bounds an Integer.
	Range Bounds
	// Pattern must match the whole of a String; nil for none.
	Pattern *Pattern
	// Enum lists the only values a String may have; empty for any.
	Enum []string
	// Sensitive forbids quoting the value in any message.
	Sensitive bool
}

// Member binds one member of a Structure to a field of the Go struct.
type Member struct {
	// Name is the model's name of the member: the JSON name, and the name used in messages.
	Name string
	// Field is the index of the field in the Go struct. The field's type is a pointer for String, Boolean, Integer and
	// Structure, a slice for List, a map for Map; a Path member is a plain string.
	Field int
	// In is where the member travels.
	In Location
	// Wire is the label or the query parameter; empty for a Body member.
	Wire string
	// Required members must be there and not null.
	Required bool
	// Shape of the value.
	Shape *Shape
}

// Bounds is an inclusive interval of whole numbers, open on a side that has no limit.
type Bounds struct {
	min, max       int64
	hasMin, hasMax bool
}

// Between returns the interval [low, high].
func Between(low, high int64) Bounds {
	return Bounds{min: low, max: high, hasMin: true, hasMax: true}
}

// AtLeast returns the interval without an upper limit.
func AtLeast(low int64) Bounds { return Bounds{min: low, hasMin: true} }

// AtMost returns the interval without a lower limit.
func AtMost(high int64) Bounds { return Bounds{max: high, hasMax: true} }

// Min returns the lower limit; -2^63 if there is none.
func (b Bounds) Min() int64 {
	if !b.hasMin {
		return math.MinInt64
	}
	return b.min
}

// Max returns the upper limit; 2^63-1 if there is none.
func (b Bounds) Max() int64 {
	if !b.hasMax {
		return math.MaxInt64
	}
	return b.max
}

// Pattern is a regular expression of a service model. AWS services hold the whole value against it, so "[A-Z]{2}"
// refuses "USA" although the model writes no anchors.
type Pattern struct {
	text string
	full *regexp.Regexp
	not  *regexp.Regexp
}

// NewPattern compiles a model's pattern. Go's regular expressions have no lookahead, so that no input can make matching
// slow; the one form models use, "(?!X)" at the very start, is compiled into a second expression that must not match there.
func NewPattern(text string) (*Pattern, error) {
	p := &Pattern{text: text}
	rest := text
	if strings.HasPrefix(text, "(?!") {
		end := closingParen(text)
		if end < 0 {
			return nil, fmt.Errorf("compile pattern %q: lookahead is not closed", text)
		}
		not, err := regexp.Compile(`\A(?:` + text[len("(?!"):end] + `)`)
		if err != nil {
			return nil, fmt.Errorf("compile pattern %q: %w", text, err)
		}
		p.not, rest = not, text[end+1:]
	}
	full, err := regexp.Compile(`\A(?:` + rest + `)\z`)
	if err != nil {
		return nil, fmt.Errorf("compile pattern %q: %w", text, err)
	}
	p.full = full
	return p, nil
}

// MustPattern is [NewPattern] for tables that are part of the program: it panics where that returns an error.
func MustPattern(text string) *Pattern {
	p, err := NewPattern(text)
	if err != nil {
		panic(err)
	}
	return p
}

// Match reports whether the whole of s matches.
func (p *Pattern) Match(s string) bool {
	if p.not != nil && p.not.MatchString(s) {
		return false
	}
	return p.full.MatchString(s)
}

// String returns the pattern as the model writes it.
func (p *Pattern) String() string { return p.text }

// closingParen returns the index of the parenthesis that closes the one at text[0], or -1. Escapes and character
// classes are passed over, since a ')' there closes nothing.
func closingParen(text string) int {
	depth, class := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case class:
			class = c != ']'
		case c == '[':
			class = true
		case c == '(':
			depth++
		case c == ')':
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}
