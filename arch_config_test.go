package carillon_test

import (
	"go/ast"
	"slices"
	"testing"
)

// TestEverySettingIsRead: a flag that nobody reads is a lie in the documentation. Package config checks settings;
// that alone does not make one work, so its own mentions do not count.
func TestEverySettingIsRead(t *testing.T) {
	h := loadHouse(t)
	read := map[string]bool{}
	for _, p := range h.sorted() {
		ours, _ := p.imports()
		if !slices.Contains(ours, "config") {
			continue
		}
		for _, f := range p.files {
			ast.Inspect(f.syntax, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					read[sel.Sel.Name] = true
				}
				return true
			})
		}
	}
	settings := 0
	for _, f := range h.packages["config"].files {
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok || spec.Name.Name != "Config" {
				return true
			}
			for _, field := range spec.Type.(*ast.StructType).Fields.List {
				settings++
				// File is read by Load, before there is a Config.
				if name := field.Names[0].Name; !read[name] && name != "File" {
					t.Errorf("nobody reads config.Config.%s", name)
				}
			}
			return false
		})
	}
	if settings == 0 {
		t.Error("found no settings: has config.Config moved?")
	}
}
