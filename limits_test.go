package carillon_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/printer"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"
)

const (
	limitsBegin = "<!-- limits -->\n"
	limitsEnd   = "<!-- end of limits -->\n"
	noSentence  = "(no sentence)"
)

var limitName = regexp.MustCompile(`^(Default|Max|Min)[A-Z]`)

// TestLimits compares docs/limits.md with the exported constants that are bounds.
func TestLimits(t *testing.T) {
	const name = "docs/limits.md"
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), limitsBegin)
	_, after, ok2 := strings.Cut(rest, limitsEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the table", name)
	}
	want := before + limitsBegin + limitsTable(loadHouse(t)) + limitsEnd + after
	if strings.Contains(want, noSentence) {
		t.Errorf("a bound in %s has no sentence of its own: say behind or above the constant what it bounds", name)
	}
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Errorf("%s is out of date: run `go test -run TestLimits -update .`", name)
	}
}

func limitsTable(h *house) string {
	var b strings.Builder
	b.WriteString("\n| bound | value | |\n|---|---|---|\n")
	for _, p := range h.sorted() {
		for _, f := range p.files {
			if f.generated {
				continue
			}
			for _, d := range f.syntax.Decls {
				if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.CONST {
					limitRows(&b, h, p, g)
				}
			}
		}
	}
	return b.String() + "\n"
}

func limitRows(b *strings.Builder, h *house, p *pkg, g *ast.GenDecl) {
	above := "" // a comment may speak for the names below it too
	for _, spec := range g.Specs {
		s := spec.(*ast.ValueSpec)
		if s.Doc != nil {
			above = s.Doc.Text()
		}
		for i, id := range s.Names {
			if !limitName.MatchString(id.Name) || i >= len(s.Values) {
				continue
			}
			var value bytes.Buffer
			if err := printer.Fprint(&value, h.fset, s.Values[i]); err != nil {
				value.WriteString(err.Error())
			}
			if strings.Contains(value.String(), `"`) {
				continue // a default that is no bound
			}
			text := s.Doc.Text()
			if text == "" {
				text = s.Comment.Text()
			}
			if text == "" && strings.Contains(above, id.Name) {
				text = above
			}
			if text == "" && strings.Contains(g.Doc.Text(), id.Name) {
				text = g.Doc.Text()
			}
			if text == "" {
				text = noSentence
			}
			text = strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
			fmt.Fprintf(b, "| `%s.%s` | `%s` | %s |\n", p.name(), id.Name, value.String(), text)
		}
	}
}
