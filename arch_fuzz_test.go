package carillon_test

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

// parsers are the packages that read what a stranger wrote: each has a fuzz target with seeds.
var parsers = []string{
	"cdr", "config", "dns", "iam", "numbering", "proxyproto", "restjson", "rtp", "sdp", "sigv4", "sip", "sip/digest", "srtp", "stun",
}

// fuzzTargets returns the fuzz targets of a package that add at least one seed.
func (p *pkg) fuzzTargets() []string {
	var names []string
	for _, f := range p.tests {
		for _, d := range f.syntax.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || !strings.HasPrefix(fn.Name.Name, "Fuzz") || fn.Body == nil {
				continue
			}
			calls := map[string]bool{}
			ast.Inspect(fn.Body, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					calls[sel.Sel.Name] = true
				}
				return true
			})
			if calls["Add"] && calls["Fuzz"] {
				names = append(names, fn.Name.Name)
			}
		}
	}
	slices.Sort(names)
	return names
}

func TestParsersAreFuzzed(t *testing.T) {
	h := loadHouse(t)
	for _, name := range parsers {
		switch p := h.packages[name]; {
		case p == nil:
			t.Errorf("%s is on the list of parsers and does not exist", name)
		case len(p.fuzzTargets()) == 0:
			t.Errorf("%s reads what a stranger wrote and has no fuzz target with seeds", name)
		}
	}
}
