package carillon_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// mutable finds package variables that change after their declaration. It claims this much: no statement of the
// module assigns to one, to an element or a field of one, deletes from or clears one, and none is of a type of sync
// or sync/atomic. What is changed through a pointer, also by a method, stays unseen.
func (h *house) mutable() []string {
	vars := map[string]map[string]token.Pos{} // package, name, where declared
	var faults []string
	for _, p := range h.sorted() {
		vars[p.path] = map[string]token.Pos{}
		for _, f := range p.files {
			for _, spec := range packageVars(f.syntax) {
				for _, id := range spec.Names {
					if id.Name != "_" {
						vars[p.path][id.Name] = id.Pos()
					}
				}
				if kind := syncType(spec.Type); kind != "" {
					faults = append(faults, fmt.Sprintf("%s: %s is a package variable of type %s", h.at(spec), spec.Names[0].Name, kind))
				}
			}
		}
	}
	for _, p := range h.sorted() {
		for _, f := range p.files {
			for _, target := range written(f.syntax) {
				if name := variable(vars, p, f, target); name != "" {
					faults = append(faults, fmt.Sprintf("%s: the package variable %s changes", h.at(target), name))
				}
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func packageVars(f *ast.File) []*ast.ValueSpec {
	var specs []*ast.ValueSpec
	for _, d := range f.Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.VAR {
			continue
		}
		for _, s := range g.Specs {
			specs = append(specs, s.(*ast.ValueSpec))
		}
	}
	return specs
}

func syncType(t ast.Expr) string {
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	sel, ok := t.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if x, ok := sel.X.(*ast.Ident); ok && (x.Name == "sync" || x.Name == "atomic") {
		return x.Name + "." + sel.Sel.Name
	}
	return ""
}

// written returns every expression that a file's statements write to.
func written(f *ast.File) []ast.Expr {
	var targets []ast.Expr
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.AssignStmt:
			if n.Tok != token.DEFINE {
				targets = append(targets, n.Lhs...)
			}
		case *ast.IncDecStmt:
			targets = append(targets, n.X)
		case *ast.RangeStmt:
			if n.Tok == token.ASSIGN {
				targets = append(targets, n.Key, n.Value)
			}
		case *ast.CallExpr:
			if id, ok := n.Fun.(*ast.Ident); ok && (id.Name == "delete" || id.Name == "clear") && len(n.Args) > 0 {
				targets = append(targets, n.Args[0])
			}
		}
		return true
	})
	return targets
}

// variable returns the name of the package variable that a target is, or is a part of, or "".
func variable(vars map[string]map[string]token.Pos, p *pkg, f *file, target ast.Expr) string {
	for {
		switch x := target.(type) {
		case *ast.IndexExpr:
			target = x.X
		case *ast.ParenExpr:
			target = x.X
		case *ast.StarExpr:
			target = x.X
		case *ast.SliceExpr:
			target = x.X
		case *ast.SelectorExpr:
			if id, ok := x.X.(*ast.Ident); ok && id.Obj == nil {
				if dir := imported(f, id.Name); dir != "" {
					if _, ok := vars[dir][x.Sel.Name]; ok {
						return dir + "." + x.Sel.Name
					}
					return ""
				}
			}
			target = x.X
		case *ast.Ident:
			pos, ok := vars[p.path][x.Name]
			// The parser resolves names within a file: one that it found elsewhere is a local of the same name.
			if !ok || x.Obj != nil && x.Obj.Pos() != pos {
				return ""
			}
			return x.Name
		default:
			return ""
		}
	}
}

// imported returns the folder of the project's package that a file knows as name, or "".
func imported(f *file, name string) string {
	for _, spec := range f.syntax.Imports {
		dir, ok := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), modulePath+"/")
		if !ok {
			continue
		}
		local := dir[strings.LastIndex(dir, "/")+1:]
		if spec.Name != nil {
			local = spec.Name.Name
		}
		if local == name {
			return dir
		}
	}
	return ""
}

func TestNoMutablePackageVariables(t *testing.T) { report(t, loadHouse(t).mutable()) }

func TestMutableSeesPlantedFaults(t *testing.T) {
	h, err := load(fstest.MapFS{
		"a/a.go": {Data: []byte(`package a
import "carillon/b"
import "sync"
var table = map[string]int{}
var list []int
var fixed = [2]int{1, 2}
var lock sync.Mutex
func f() {
	table["x"] = 1
	list = append(list, 2)
	b.Count++
	delete(table, "x")
	p := &list
	other.s.n = 3
	_ = fixed[0]
	_ = other
	local := fixed
	local[0] = 1
	table := 3
	table = 4
	for table = range 3 {}
	(*p)[0] = table
}
func g(list []int) { list[0] = 1; b.Fine() }
`)},
		"a/other.go": {Data: []byte("package a\nvar other struct{ s struct{ n int } }\nfunc h() { fixed[1] = 3 }\n")},
		"b/b.go":     {Data: []byte("package b\nvar Count int\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a/a.go:10: the package variable list changes",
		"a/a.go:11: the package variable b.Count changes",
		"a/a.go:12: the package variable table changes",
		"a/a.go:14: the package variable other changes",
		"a/a.go:7: lock is a package variable of type sync.Mutex",
		"a/a.go:9: the package variable table changes",
		"a/other.go:3: the package variable fixed changes",
	}
	wantFaults(t, h.mutable(), want)
}
