package carillon_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// house is the module as its rules see it: every Go file, parsed.
type house struct {
	fset     *token.FileSet
	packages map[string]*pkg // by path below the module, "." for the root
}

type pkg struct {
	path  string
	files []*file // without tests
	tests []*file
}

type file struct {
	name      string // path below the module
	syntax    *ast.File
	lines     int
	generated bool
}

const modulePath = "carillon"

// load parses every Go file below fsys but those of other modules, of testdata and of hidden folders.
func load(fsys fs.FS) (*house, error) {
	h := &house{fset: token.NewFileSet(), packages: map[string]*pkg{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if foreign(fsys, name) {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		return h.add(fsys, name)
	})
	return h, err
}

// foreign reports whether a folder is none of the module's.
func foreign(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if dir == "." {
		return false
	}
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") || base == "bin" {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (h *house) add(fsys fs.FS, name string) error {
	content, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(h.fset, name, content, parser.ParseComments)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	p := h.packages[dir]
	if p == nil {
		p = &pkg{path: dir}
		h.packages[dir] = p
	}
	f := &file{
		name:      name,
		syntax:    syntax,
		lines:     strings.Count(string(content), "\n"),
		generated: ast.IsGenerated(syntax),
	}
	if strings.HasSuffix(name, "_test.go") {
		p.tests = append(p.tests, f)
	} else {
		p.files = append(p.files, f)
	}
	return nil
}

// sorted returns the packages that have files beside tests, by path.
func (h *house) sorted() []*pkg {
	var all []*pkg
	for _, p := range h.packages {
		if len(p.files) > 0 {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b *pkg) int { return strings.Compare(a.path, b.path) })
	return all
}

// imports returns the project's packages that p imports outside its tests, and the others' import paths.
func (p *pkg) imports() (ours, others []string) { return imports(p.files) }

func imports(files []*file) (ours, others []string) {
	seen := map[string]bool{}
	for _, f := range files {
		for _, spec := range f.syntax.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil || seen[target] {
				continue
			}
			seen[target] = true
			switch {
			case strings.HasPrefix(target, modulePath+"/"):
				ours = append(ours, strings.TrimPrefix(target, modulePath+"/"))
			case strings.Contains(strings.Split(target, "/")[0], "."):
				others = append(others, target)
			}
		}
	}
	slices.Sort(ours)
	slices.Sort(others)
	return ours, others
}

// name is the path as layers.txt writes it.
func (p *pkg) name() string {
	if p.path == "." {
		return modulePath
	}
	return p.path
}

// text returns the package comment.
func (p *pkg) text() string {
	for _, f := range p.files {
		if f.syntax.Doc != nil {
			return f.syntax.Doc.Text()
		}
	}
	return ""
}

// loadOnce parses the module for all tests: none of them changes it.
var loadOnce = sync.OnceValues(func() (*house, error) { return load(os.DirFS(".")) })

func loadHouse(t *testing.T) *house {
	t.Helper()
	h, err := loadOnce()
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func report(t *testing.T, faults []string) {
	t.Helper()
	for _, f := range faults {
		t.Error(f)
	}
}

// wantFaults compares what a checker says of planted faults with what it must say.
func wantFaults(t *testing.T, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func (h *house) at(n ast.Node) string {
	p := h.fset.Position(n.Pos())
	return p.Filename + ":" + strconv.Itoa(p.Line)
}
