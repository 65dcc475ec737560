package carillon_test

import (
	"go/ast"
	"maps"
	"slices"
	"testing"
)

// maySkip lists the tests' functions that may skip, by package, and why: the machine lacks something that no package
// brings. A test that skips for anything else could go unseen for ever.
var maySkip = map[string]string{
	"e2e.alone":       "a network of its own needs root and iproute2; with CI set it fails instead",
	"e2e.need6":       "the machine has no IPv6; with CI set it fails instead",
	"e2e.sniff":       "reading packets needs root; with CI set it fails instead",
	"media.listen6":   "the machine has no IPv6; with CI set it fails instead",
	"phone.TestIPv6":  "the machine has no IPv6; with CI set it fails instead",
	"store.smallDisk": "mounting a small file system needs root; with CI set it fails instead",
	"e2e.smallDisk":   "mounting a small file system needs root; with CI set it fails instead",
	"store.sockets":   "/proc is Linux's; on Linux it fails instead",
}

// TestSkips holds every call of Skip, Skipf and SkipNow to that list, and the list to the calls.
func TestSkips(t *testing.T) {
	found := map[string]bool{}
	for _, p := range loadHouse(t).packages {
		for _, f := range p.tests {
			for _, d := range f.syntax.Decls {
				fn, ok := d.(*ast.FuncDecl)
				if !ok || fn.Body == nil {
					continue
				}
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					if s, ok := n.(*ast.SelectorExpr); ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, s.Sel.Name) {
						found[p.path+"."+fn.Name.Name] = true
					}
					return true
				})
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if maySkip[name] == "" {
			t.Errorf("%s skips, and maySkip has no reason for it", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(maySkip)) {
		if !found[name] {
			t.Errorf("%s is in maySkip and does not skip", name)
		}
	}
}
