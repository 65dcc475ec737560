package interop

import (
	"regexp/syntax"
	"slices"
	"testing"

	"github.com/nyaruka/phonenumbers"
)

// pattern is several regular expressions of whole national numbers, read digit by digit.
type pattern []*syntax.Prog

func (p *pattern) add(t *testing.T, d *phonenumbers.PhoneNumberDesc) {
	t.Helper()
	text := d.GetNationalNumberPattern()
	if text == "" || text == "NA" {
		return
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		t.Fatal(err)
	}
	prog, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		t.Fatal(err)
	}
	*p = append(*p, prog)
}

// reached is where each of the expressions of a pattern may be.
type reached []map[uint32]bool

// any reports whether a number can still match.
func (r reached) any() bool {
	return slices.ContainsFunc(r, func(at map[uint32]bool) bool { return len(at) > 0 })
}

// ends reports whether the digits read so far are a whole match.
func (p pattern) ends(r reached) bool {
	for i, prog := range p {
		for pc := range r[i] {
			if prog.Inst[pc].Op == syntax.InstMatch {
				return true
			}
		}
	}
	return false
}

func (p pattern) start() (r reached) {
	for _, prog := range p {
		at := map[uint32]bool{}
		follow(prog, uint32(prog.Start), at, map[uint32]bool{})
		r = append(r, at)
	}
	return r
}

func (p pattern) step(from reached, digit rune) (r reached) {
	for i, prog := range p {
		at, seen := map[uint32]bool{}, map[uint32]bool{}
		for pc := range from[i] {
			if inst := &prog.Inst[pc]; inst.Op != syntax.InstMatch && inst.MatchRune(digit) {
				follow(prog, inst.Out, at, seen)
			}
		}
		r = append(r, at)
	}
	return r
}

// follow collects the instructions that read a digit, or end a match, from one on.
func follow(prog *syntax.Prog, pc uint32, at, seen map[uint32]bool) {
	if seen[pc] {
		return
	}
	seen[pc] = true
	switch inst := &prog.Inst[pc]; inst.Op {
	case syntax.InstAlt, syntax.InstAltMatch:
		follow(prog, inst.Out, at, seen)
		follow(prog, inst.Arg, at, seen)
	case syntax.InstNop, syntax.InstCapture, syntax.InstEmptyWidth:
		follow(prog, inst.Out, at, seen)
	case syntax.InstFail:
	default:
		at[pc] = true
	}
}
