package carillon_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"carillon/lab"
)

var update = flag.Bool("update", false, "write the map in ARCHITECTURE.md anew")

// pages returns the Markdown files of the repository, testdata left out.
func pages(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	fsys := os.DirFS(".")
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := path.Base(name)
		if d.IsDir() && name != "." && (base == "testdata" || strings.HasPrefix(base, ".") || base == "bin" || base == "node_modules") {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".md") {
			text, err := fs.ReadFile(fsys, name)
			all[name] = string(text)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	fenced  = regexp.MustCompile("(?ms)^```.*?^```")
	span    = regexp.MustCompile("`[^`\n]*`")
	heading = regexp.MustCompile(`(?m)^#+ +(.*)$`)
)

// anchors returns the fragments that a page's headings make.
func anchors(text string) []string {
	var all []string
	for _, h := range heading.FindAllStringSubmatch(fenced.ReplaceAllString(text, ""), -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(h[1]))
		all = append(all, slug)
	}
	return all
}

// brokenLinks returns the relative links of a page that lead nowhere.
func brokenLinks(name, text string, fsys fs.FS, page map[string]string) []string {
	var broken []string
	for _, m := range link.FindAllStringSubmatch(span.ReplaceAllString(fenced.ReplaceAllString(text, ""), ""), -1) {
		target, fragment, _ := strings.Cut(m[1], "#")
		if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
			continue
		}
		file := name
		if target != "" {
			file = path.Join(path.Dir(name), target)
		}
		if _, err := fs.Stat(fsys, file); err != nil {
			broken = append(broken, fmt.Sprintf("%s: %s leads nowhere", name, m[1]))
		} else if fragment != "" && !slices.Contains(anchors(page[file]), fragment) {
			broken = append(broken, fmt.Sprintf("%s: %s names no heading", name, m[1]))
		}
	}
	return broken
}

func TestLinksOpen(t *testing.T) {
	all := pages(t)
	for name, text := range all {
		report(t, brokenLinks(name, text, os.DirFS("."), all))
	}
	page := map[string]string{"docs/x.md": "# A b!\n[1](#a-b) [2](#c) [3](y.md) [4](../docs_test.go) [5](https://example.org)\n`[6](z)`\n```\n[7](z)\n```\n"}
	want := []string{"docs/x.md: #c names no heading", "docs/x.md: y.md leads nowhere"}
	root := planted{os.DirFS("."), "docs/x.md"}
	wantFaults(t, brokenLinks("docs/x.md", page["docs/x.md"], root, page), want)
}

// planted is a file system with one more file.
type planted struct {
	fs.FS
	name string
}

func (p planted) Open(name string) (fs.File, error) {
	if name == p.name {
		name = "docs_test.go"
	}
	return p.FS.Open(name)
}

func TestPagesAreClean(t *testing.T) {
	for name, text := range pages(t) {
		for i, line := range strings.Split(text, "\n") {
			report(t, judgeText(fmt.Sprintf("%s:%d", name, i+1), line))
		}
	}
	for _, name := range []string{"Makefile", "layers.txt", ".ci/run", ".gitignore"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Error(err)
		}
		report(t, judgeText(name, string(text)))
	}
}

const (
	mapBegin = "<!-- map: made by `go test -run TestMap -update .` -->\n"
	mapEnd   = "<!-- end of map -->\n"
)

// TestMap compares the map in ARCHITECTURE.md with layers.txt and the first sentence of each package text.
func TestMap(t *testing.T) {
	rules, err := os.ReadFile("layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLayers(string(rules))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(text), mapBegin)
	_, after, ok2 := strings.Cut(rest, mapEnd)
	if !ok1 || !ok2 {
		t.Fatal("ARCHITECTURE.md has no place for the map")
	}
	want := before + mapBegin + drawMap(loadHouse(t), l) + mapEnd + after
	if *update {
		if err := os.WriteFile("ARCHITECTURE.md", []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if string(text) != want {
		t.Error("the map in ARCHITECTURE.md is out of date: run `go test -run TestMap -update .`")
	}
	if n := strings.Count(want, "\n"); n > 250 {
		t.Errorf("ARCHITECTURE.md has %d lines, more than 250", n)
	}
}

func drawMap(h *house, l *layers) string {
	var b strings.Builder
	for i := len(l.names) - 1; i >= 0; i-- {
		headed := false
		for _, p := range h.sorted() {
			if p.path == "." || l.layerOf(p.name()) != i {
				continue
			}
			if !headed {
				fmt.Fprintf(&b, "\n**%s**\n\n", l.names[i])
				headed = true
			}
			sentence := firstSentence(p)
			_, rest, _ := strings.Cut(sentence, " ")
			if strings.HasPrefix(sentence, "Package ") || strings.HasPrefix(sentence, "Command ") {
				_, rest, _ = strings.Cut(rest, " ")
			}
			fmt.Fprintf(&b, "- `%s` %s\n", p.path, rest)
		}
	}
	return b.String() + "\n"
}

// TestDependencies holds docs/dependencies.md against what the packages import: few, each with a reason, and
// imported only where the table says.
func TestDependencies(t *testing.T) {
	text, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	stated, reasons := map[string]string{}, map[string]string{}
	for _, line := range strings.Split(string(text), "\n") {
		if cells := strings.Split(line, "|"); len(cells) == 5 && strings.HasPrefix(strings.TrimSpace(cells[1]), "`") {
			module := strings.Trim(strings.TrimSpace(cells[1]), "`")
			stated[module], reasons[module] = strings.TrimSpace(cells[2]), strings.TrimSpace(cells[3])
		}
	}
	mod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	users := map[string][]string{}
	for _, p := range loadHouse(t).sorted() {
		_, code := p.imports()
		_, tests := imports(p.tests)
		for i, target := range slices.Concat(code, tests) {
			name := "`" + p.name() + "`"
			module := moduleOf(target, string(mod))
			switch {
			case module == "":
				t.Errorf("%s imports %s, which is in no module of go.mod", p.name(), target)
			case slices.Contains(users[module], name):
			case i < len(code):
				users[module] = append(users[module], name)
			case !slices.Contains(users[module], name+" in tests"):
				users[module] = append(users[module], name+" in tests")
			}
		}
	}
	if len(users) > 20 {
		t.Errorf("%d direct dependencies, more than 20", len(users))
	}
	for module, names := range users {
		slices.Sort(names)
		if got := strings.Join(names, ", "); stated[module] != got {
			t.Errorf("%s is imported by %s; docs/dependencies.md says %q", module, got, stated[module])
		}
		if len(reasons[module]) < 20 {
			t.Errorf("%s has no reason in docs/dependencies.md", module)
		}
	}
	for module := range stated {
		if users[module] == nil {
			t.Errorf("%s is in docs/dependencies.md and nobody imports it", module)
		}
	}
}

// moduleOf returns the module of go.mod that an import path belongs to.
func moduleOf(target, mod string) string {
	best := ""
	for _, line := range strings.Split(mod, "\n") {
		fields := strings.Fields(strings.TrimPrefix(strings.TrimSpace(line), "require "))
		if len(fields) < 2 || !strings.HasPrefix(fields[1], "v") {
			continue
		}
		if m := fields[0]; (target == m || strings.HasPrefix(target, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}

// TestRowsNameTheirTests: a difference from AWS, or a promise about SIP, that no test shows is a rumour.
func TestRowsNameTheirTests(t *testing.T) {
	h := loadHouse(t)
	// What only real clients and phones can show is shown in a module of its own.
	peers, err := load(os.DirFS("interop"))
	if err != nil {
		t.Fatal(err)
	}
	find := func(path string) *pkg {
		switch path {
		case "interop":
			return peers.packages["."]
		case "carillon":
			return h.packages["."]
		}
		return h.packages[path]
	}
	for name, least := range map[string]int{"docs/divergences-from-aws.md": 10, "docs/sip.md": 24} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		rows := 0
		for _, line := range strings.Split(string(text), "\n") {
			cells := strings.Split(line, "|")
			if len(cells) != 5 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[3]) == "shown by" {
				continue
			}
			rows++
			subject := strings.TrimSpace(cells[1])
			tests := regexp.MustCompile("`([a-z0-9/]+)\\.(Test[A-Za-z0-9_]+)`").FindAllStringSubmatch(cells[3], -1)
			if len(tests) == 0 {
				t.Errorf("%q names no test", subject)
			}
			for _, m := range tests {
				if p := find(m[1]); p == nil || !p.hasTest(m[2]) {
					t.Errorf("%q names %s.%s, which does not exist", subject, m[1], m[2])
				}
			}
		}
		if rows < least {
			t.Errorf("%s has %d rows: has the page changed its form?", name, rows)
		}
	}
}

// TestRaceDetectorRuns: what every change is tried with looks for races, and for tests that lean on the one before.
func TestRaceDetectorRuns(t *testing.T) {
	text, err := os.ReadFile("Makefile")
	if err != nil {
		t.Fatal(err)
	}
	unit := regexp.MustCompile(`(?m)^unit:.*\n\t\$\(GO\) test (.*)$`).FindSubmatch(text)
	if unit == nil {
		t.Fatal("the Makefile has no target unit that runs go test")
	}
	for _, flag := range []string{"-race", "-shuffle=on", "./..."} {
		if !slices.Contains(strings.Fields(string(unit[1])), flag) {
			t.Errorf("the tests run without %s: %s", flag, unit[1])
		}
	}
	check := regexp.MustCompile(`(?m)^check:(.*)$`).FindSubmatch(text)
	if check == nil || !slices.Contains(strings.Fields(string(check[1])), "unit") {
		t.Error("make check does not run them")
	}
}

func (p *pkg) hasTest(name string) bool {
	for _, f := range p.tests {
		if f.syntax.Scope.Lookup(name) != nil {
			return true
		}
	}
	return false
}

// TestLabNumbersAreInTheREADME: whoever tries a node has no other page open.
func TestLabNumbersAreInTheREADME(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range lab.Numbers() {
		if row := fmt.Sprintf("| `%s` | `%s` | %s |\n", n.Name, n.E164, n.Does); !strings.Contains(string(text), row) {
			t.Errorf("README.md has no row %q", row)
		}
	}
}

// TestDecisionsHaveTheirParts: a decision without what it refused and what would change it cannot be taken back.
func TestDecisionsHaveTheirParts(t *testing.T) {
	files, err := os.ReadDir("docs/adr")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`).MatchString(f.Name()) {
			t.Errorf("docs/adr/%s is not named NNNN-title.md", f.Name())
			continue
		}
		text, err := os.ReadFile("docs/adr/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"## Context", "## Decision", "## Refused", "## What would change our mind"} {
			if !strings.Contains(string(text), part+"\n") {
				t.Errorf("docs/adr/%s has no %q", f.Name(), part)
			}
		}
	}
}
