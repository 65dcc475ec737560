package carillon_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// layers is layers.txt.
type layers struct {
	names  []string            // from the bottom up
	member map[string][]string // packages and patterns of a layer
	allow  map[[2]string]bool  // true once used
	limit  map[string][]string
}

func parseLayers(text string) (*layers, error) {
	l := &layers{member: map[string][]string{}, allow: map[[2]string]bool{}, limit: map[string][]string{}}
	for i, line := range strings.Split(text, "\n") {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, list, colon := strings.Cut(rest, ":")
		from, to, arrow := strings.Cut(rest, " -> ")
		switch {
		case word == "" || strings.HasPrefix(word, "#"):
		case word == "layer" && colon:
			l.names = append(l.names, name)
			l.member[name] = strings.Fields(list)
		case word == "limit" && colon:
			l.limit[name] = strings.Fields(list)
		case word == "allow" && arrow:
			l.allow[[2]string{from, to}] = false
		default:
			return nil, fmt.Errorf("layers.txt, line %d: %q", i+1, line)
		}
	}
	return l, nil
}

// layerOf returns the layer of a package as an index into names, or -1.
func (l *layers) layerOf(name string) int {
	for i, layer := range l.names {
		if slices.Contains(l.member[layer], name) {
			return i
		}
	}
	for i, layer := range l.names {
		for _, pattern := range l.member[layer] {
			if parent, ok := strings.CutSuffix(pattern, "/*"); ok && strings.HasPrefix(name, parent+"/") {
				return i
			}
		}
	}
	return -1
}

// limited returns what limits a package, by its own name or its layer's.
func (l *layers) limited(name string, layer int) ([]string, bool) {
	if list, ok := l.limit[name]; ok {
		return list, true
	}
	list, ok := l.limit[l.names[layer]]
	return list, ok
}

func (l *layers) check(h *house) []string {
	var faults []string
	for _, p := range h.sorted() {
		from := p.name()
		layer := l.layerOf(from)
		if layer < 0 {
			faults = append(faults, from+" is in no layer")
			continue
		}
		ours, _ := p.imports()
		for _, to := range ours {
			if fault := l.judge(from, to, layer); fault != "" {
				faults = append(faults, fault)
			}
		}
	}
	for pair, used := range l.allow {
		if !used && h.packages[pair[0]] != nil && h.packages[pair[1]] != nil {
			faults = append(faults, fmt.Sprintf("nobody uses: allow %s -> %s", pair[0], pair[1]))
		}
	}
	slices.Sort(faults)
	return faults
}

// judge says what is wrong with an import, or nothing.
func (l *layers) judge(from, to string, layer int) string {
	below := l.layerOf(to)
	if below < 0 {
		return fmt.Sprintf("%s imports %s, which is in no layer", from, to)
	}
	if list, ok := l.limited(from, layer); ok && !slices.Contains(list, to) && !slices.Contains(list, l.names[below]) {
		return fmt.Sprintf("%s imports %s: it is limited to %v", from, to, list)
	}
	if below > layer {
		return fmt.Sprintf("%s (%s) imports %s (%s), which lies above it", from, l.names[layer], to, l.names[below])
	}
	if below == layer {
		pair := [2]string{from, to}
		if _, ok := l.allow[pair]; !ok {
			return fmt.Sprintf("%s imports %s beside it in %s", from, to, l.names[layer])
		}
		l.allow[pair] = true
	}
	return ""
}

func TestLayers(t *testing.T) {
	text, err := os.ReadFile("layers.txt")
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLayers(string(text))
	if err != nil {
		t.Fatal(err)
	}
	report(t, l.check(loadHouse(t)))
}

// TestLayersSeePlantedImports proves the checker on a module with one fault of each kind.
func TestLayersSeePlantedImports(t *testing.T) {
	const rules = `
# a comment
layer low: clock sip sip/*
layer middle: trunk call
layer planes: api media
limit middle: middle
allow sip/tx -> sip
allow trunk -> call
allow call -> trunk
`
	src := func(name string, imports ...string) *fstest.MapFile {
		text := "package " + name + "\n"
		for _, i := range imports {
			text += "import _ \"" + i + "\"\n"
		}
		return &fstest.MapFile{Data: []byte(text)}
	}
	h, err := load(fstest.MapFS{
		"clock/c.go":            src("clock", "time", "carillon/api"),                              // from below
		"sip/s.go":              src("sip", "carillon/clock"),                                      // beside
		"sip/tx/t.go":           src("tx", "carillon/sip"),                                         // allowed
		"trunk/t.go":            src("trunk", "carillon/call", "carillon/sip"),                     // limited
		"call/c.go":             src("call"),                                                       // exception unused
		"api/a.go":              src("api", "carillon/media", "carillon/nowhere", "example.org/x"), // beside, unknown
		"api/a_test.go":         src("api_test", "carillon/media", "carillon/trunk"),               // tests may
		"media/m.go":            src("media", "carillon/trunk", "carillon/sip/tx"),                 // down is fine
		"stray/s.go":            src("stray"),                                                      // in no layer
		"other/go.mod":          {Data: []byte("module other\n")},                                  // another module
		"other/o.go":            src("other", "carillon/api"),                                      // not ours
		"media/testdata/bad.go": src("bad", "carillon/api"),                                        // not code
	})
	if err != nil {
		t.Fatal(err)
	}
	l, err := parseLayers(rules)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"api imports media beside it in planes",
		"api imports nowhere, which is in no layer",
		"clock (low) imports api (planes), which lies above it",
		"nobody uses: allow call -> trunk",
		"sip imports clock beside it in low",
		"stray is in no layer",
		"trunk imports sip: it is limited to [middle]",
	}
	wantFaults(t, l.check(h), want)
	if _, err := parseLayers("layer without colon\n"); err == nil {
		t.Error("a line that is no rule was accepted")
	}
}
