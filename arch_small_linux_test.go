package carillon_test

import (
	"go/ast"
	"go/parser"
	"go/types"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
)

// smallIn are the folders whose arithmetic must hold where int has 32 bits: those of protocols, which a phone or a gateway may use,
// too.
var smallIn = []string{"rtp", "srtp", "stun", "sdp", "sip", "cdr", "numbering"}

// small returns a walk that takes packages as those for a processor of 32 bits.
func small(t *testing.T, packages ...string) *walk {
	w := newWalk(t, packages...)
	w.context.GOARCH, w.context.CgoEnabled, w.sizes = "386", false, types.SizesFor("gc", "386")
	return w
}

func TestSmallIntegers(t *testing.T) {
	var patterns, paths []string
	for _, folder := range smallIn {
		patterns = append(patterns, "./"+folder+"/...")
		err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return err
			}
			if d.Name() == "testdata" {
				return filepath.SkipDir
			}
			if files, _ := filepath.Glob(filepath.Join(path, "*.go")); len(files) > 0 {
				paths = append(paths, modulePath+"/"+filepath.ToSlash(path))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	w := small(t, patterns...)
	for _, path := range paths {
		if _, err := w.Import(path); err != nil {
			t.Errorf("%s on a processor of 32 bits: %v", path, err)
		}
	}
	if len(paths) < len(smallIn) {
		t.Errorf("%d packages were looked at: %s", len(paths), paths)
	}
}

func TestSmallIntegersSeesPlantedFaults(t *testing.T) {
	w := small(t, "./rtp")
	f, err := parser.ParseFile(w.fset, "planted.go", "package planted\n\nvar Lifetime int = 1 << 48\n", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.add("planted", []*ast.File{f}); err == nil || !strings.Contains(err.Error(), "overflow") {
		t.Errorf("1 << 48 in an int: %v", err)
	}
}
