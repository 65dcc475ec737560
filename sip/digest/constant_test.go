package digest_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whoever guesses must not learn from the time of the answer how much was right: what a stranger sent is compared with
// what it should be in constant time, and nowhere in another way.
func TestGuessesAreComparedInConstantTime(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	constant := 0
	name := func(e ast.Expr) string {
		if s, ok := e.(*ast.SelectorExpr); ok {
			return s.Sel.Name
		}
		return ""
	}
	secret := func(e ast.Expr) bool { return slices.Contains([]string{"Response", "MD5", "SHA256"}, name(e)) }
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.BinaryExpr:
				if (n.Op == token.EQL || n.Op == token.NEQ) && (secret(n.X) || secret(n.Y)) {
					t.Errorf("%v compares a secret with %v", fset.Position(n.Pos()), n.Op)
				}
			case *ast.CallExpr:
				if slices.ContainsFunc(n.Args, secret) && strings.HasPrefix(name(n.Fun), "Equal") {
					t.Errorf("%v compares a secret with %s", fset.Position(n.Pos()), name(n.Fun))
				}
				if name(n.Fun) == "ConstantTimeCompare" {
					constant++
				}
			}
			return true
		})
	}
	if constant != 2 {
		t.Errorf("%d comparisons in constant time; want those of the response and of the nonce", constant)
	}
}
