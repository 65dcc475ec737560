package carillon_test

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// firstSentence returns the first sentence of a package text on one line, or "" when it does not begin as Go's do.
func firstSentence(p *pkg) string {
	text := strings.Join(strings.Fields(p.text()), " ")
	name := p.files[0].syntax.Name.Name
	if name == "main" {
		name = p.path[strings.LastIndex(p.path, "/")+1:]
		if !strings.HasPrefix(text, "Command "+name+" ") && !strings.HasPrefix(strings.ToLower(text), name+" ") {
			return ""
		}
	} else if !strings.HasPrefix(text, "Package "+name+" ") {
		return ""
	}
	for i := range len(text) {
		if text[i] == '.' && (i+1 == len(text) || text[i+1] == ' ') && !strings.HasSuffix(text[:i], "e.g") {
			return text[:i+1]
		}
	}
	return ""
}

// texts checks that every package has a text and every exported name a comment.
func (h *house) texts() []string {
	var faults []string
	for _, p := range h.sorted() {
		if firstSentence(p) == "" {
			faults = append(faults, p.name()+" has no package text that begins with its name and ends with a full stop")
		}
		for _, f := range p.files {
			if f.generated {
				continue
			}
			for _, d := range f.syntax.Decls {
				faults = append(faults, h.undocumented(d)...)
			}
		}
	}
	return faults
}

func (h *house) undocumented(d ast.Decl) []string {
	var faults []string
	missing := func(n ast.Node, name string) {
		faults = append(faults, fmt.Sprintf("%s: %s has no comment", h.at(n), name))
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		name := functionName(d)
		for _, part := range strings.Split(name, ".") {
			if !ast.IsExported(part) {
				return nil
			}
		}
		if d.Doc == nil {
			missing(d, name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if s.Name.IsExported() && s.Doc == nil && d.Doc == nil {
					missing(s, s.Name.Name)
				}
			case *ast.ValueSpec: // a comment on the group speaks for all
				if s.Names[0].IsExported() && s.Doc == nil && s.Comment == nil && d.Doc == nil {
					missing(s, s.Names[0].Name)
				}
			}
		}
	}
	return faults
}

var (
	todo    = regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`)
	goodTo  = regexp.MustCompile(`\bTODO\(#\d+\)`)
	machine = regexp.MustCompile("(^|[\\s\"'(`=])/(work|root|home/[a-z]+|Users/[A-Za-z]+|tmp/[a-z])/")
	badRFC  = regexp.MustCompile(`\bRFC-?[0-9]+|\b(rfc|Rfc) [0-9]+|\bRFC  +[0-9]+|\bRFC 0[0-9]*`)
)

// comments checks what comments say: no loose ends, no path of someone's machine, RFCs cited one way.
func (h *house) comments() []string {
	var faults []string
	for _, p := range h.packages {
		for _, f := range slices.Concat(p.files, p.tests) {
			for _, group := range f.syntax.Comments {
				for _, c := range group.List {
					faults = append(faults, judgeText(h.at(c), c.Text)...)
				}
			}
		}
	}
	slices.Sort(faults)
	return faults
}

func judgeText(where, text string) []string {
	var faults []string
	if todo.MatchString(goodTo.ReplaceAllString(text, "")) {
		faults = append(faults, where+": a loose end that is no TODO(#issue)")
	}
	if machine.MatchString(text) {
		faults = append(faults, where+": a path of someone's machine")
	}
	if bad := badRFC.FindString(text); bad != "" {
		faults = append(faults, fmt.Sprintf("%s: %q is not written \"RFC n\"", where, bad))
	}
	return faults
}

// bannedWords reads the last column of the glossary: identifiers, in backquotes, that have a better name.
func bannedWords(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("docs/glossary.md")
	if err != nil {
		t.Fatal(err)
	}
	banned := map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(line, "|")
		if len(cells) != 5 || strings.HasPrefix(cells[1], "---") {
			continue
		}
		for _, word := range regexp.MustCompile("`([A-Za-z0-9]+)`").FindAllStringSubmatch(cells[3], -1) {
			banned[strings.ToLower(word[1])] = strings.TrimSpace(cells[1])
		}
	}
	return banned
}

// vagueNames say nothing about what is in a package.
var vagueNames = []string{"utils", "util", "common", "defs", "types", "helpers", "helper", "models", "service", "manager", "misc"}

// names checks the names that are declared.
func (h *house) names(banned map[string]string) []string {
	var faults []string
	for _, p := range h.sorted() {
		if slices.Contains(vagueNames, p.path[strings.LastIndex(p.path, "/")+1:]) {
			faults = append(faults, p.name()+" says nothing about what is in it")
		}
		for _, f := range p.files {
			if f.generated {
				continue
			}
			for _, id := range declared(f.syntax) {
				if better, ok := banned[strings.ToLower(id.Name)]; ok {
					faults = append(faults, fmt.Sprintf("%s: %s: the glossary says %s", h.at(id), id.Name, better))
				}
			}
		}
	}
	return faults
}

// declared returns every name a file gives to something.
func declared(f *ast.File) []*ast.Ident {
	var ids []*ast.Ident
	ast.Inspect(f, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			ids = append(ids, n.Name)
		case *ast.TypeSpec:
			ids = append(ids, n.Name)
		case *ast.ValueSpec:
			ids = append(ids, n.Names...)
		case *ast.Field:
			ids = append(ids, n.Names...)
		case *ast.AssignStmt:
			for _, e := range n.Lhs {
				if id, ok := e.(*ast.Ident); ok && n.Tok == token.DEFINE {
					ids = append(ids, id)
				}
			}
		}
		return true
	})
	return ids
}

func TestTexts(t *testing.T)    { report(t, loadHouse(t).texts()) }
func TestComments(t *testing.T) { report(t, loadHouse(t).comments()) }

func TestNames(t *testing.T) {
	banned := bannedWords(t)
	if len(banned) < 10 {
		t.Errorf("only %d words are banned: has the glossary changed its form?", len(banned))
	}
	report(t, loadHouse(t).names(banned))
}

func TestTextsSeePlantedFaults(t *testing.T) {
	h, err := load(fstest.MapFS{
		"a/a.go": {Data: []byte("package a\nfunc F() {}\nfunc g() {}\ntype T struct{}\nfunc (T) M() {}\nfunc (t *u) M() {}\n" +
			"var V, w int\nconst (\n\tC = 1\n\t// D is.\n\tD = 2\n)\n")},
		"b/b.go":           {Data: []byte("// Package b is fine.\n//\n// It is.\npackage b\n// F is.\nfunc F() { var trunkConfig int; legA := 1 }\n")},
		"c/c.go":           {Data: []byte("// Package other lies.\npackage c\n// TODO later, see rfc 3261\n// TODO(#7) fine, RFC 3261\nvar x int // in /root/src, RFC3261\n")},
		"cmd/x/main.go":    {Data: []byte("// Command x runs.\npackage main\n")},
		"d/common/file.go": {Data: []byte("// Package common holds everything.\npackage common\n")},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"a has no package text that begins with its name and ends with a full stop",
		"a/a.go:2: F has no comment", "a/a.go:4: T has no comment", "a/a.go:5: T.M has no comment",
		"a/a.go:7: V has no comment", "a/a.go:9: C has no comment",
		"c has no package text that begins with its name and ends with a full stop",
	}
	wantFaults(t, h.texts(), want)
	want = []string{
		`c/c.go:3: "rfc 3261" is not written "RFC n"`, "c/c.go:3: a loose end that is no TODO(#issue)",
		`c/c.go:5: "RFC3261" is not written "RFC n"`, "c/c.go:5: a path of someone's machine",
	}
	wantFaults(t, h.comments(), want)
	want = []string{
		"b/b.go:6: trunkConfig: the glossary says Connector", "b/b.go:6: legA: the glossary says customer leg",
		"d/common says nothing about what is in it",
	}
	wantFaults(t, h.names(map[string]string{"trunkconfig": "Connector", "lega": "customer leg"}), want)
}
