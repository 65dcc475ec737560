package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFileBytes bounds the file: it is written by hand.
const maxFileBytes = 1 << 20

// Sources are where settings come from, strongest first.
type Sources struct {
	// Flags holds the values of the flags that were given and Given says which were.
	Flags Config
	Given func(name string) bool
	// Getenv looks a variable up in the environment; nil is no environment.
	Getenv func(name string) (value string, ok bool)
	// ReadFile reads the file; os.ReadFile when nil.
	ReadFile func(path string) ([]byte, error)
}

// Load merges the sources and the defaults. Its error names every setting that cannot be read and where it stands,
// one sentence a line. What it returns has yet to pass Check.
func Load(s Sources) (Config, error) {
	if s.Given == nil {
		s.Given = func(string) bool { return false }
	}
	if s.Getenv == nil {
		s.Getenv = func(string) (string, bool) { return "", false }
	}
	if s.ReadFile == nil {
		s.ReadFile = os.ReadFile
	}
	fields := Fields()
	var given Config // only what was given
	named := map[string]bool{}
	set := func(f Field, from *Config) {
		f.value(&given).Set(f.value(from))
		named[f.Name] = true
	}

	var errs []error
	var env Config
	inEnv := map[string]bool{}
	for _, f := range fields {
		text, ok := s.Getenv(f.Env)
		if !ok || text == "" {
			continue
		}
		if err := setText(f.value(&env), text); err != nil {
			errs = append(errs, fmt.Errorf("environment variable %s: %w", f.Env, err))
			continue
		}
		inEnv[f.Name] = true
	}
	path := env.File
	if s.Given("config") {
		path = s.Flags.File
	}
	if path != "" {
		file, inFile, err := readFile(s.ReadFile, path, fields)
		errs = append(errs, err)
		for _, f := range fields {
			if inFile[f.Name] {
				set(f, &file)
			}
		}
	}
	for _, f := range fields {
		if inEnv[f.Name] {
			set(f, &env)
		}
		if s.Given(f.Name) {
			set(f, &s.Flags)
		}
	}
	merged := Default(given.Dev)
	for _, f := range fields {
		if named[f.Name] {
			f.value(&merged).Set(f.value(&given))
		}
	}
	return merged, errors.Join(errs...)
}

// readFile reads the file's settings and says which ones it names.
func readFile(read func(string) ([]byte, error), path string, fields []Field) (Config, map[string]bool, error) {
	var c Config
	content, err := read(path)
	if err != nil {
		return c, nil, fmt.Errorf("--config: %w", err)
	}
	if len(content) > maxFileBytes {
		return c, nil, fmt.Errorf("%s is longer than %d octets", path, maxFileBytes)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(content, &doc); err != nil {
		return c, nil, fmt.Errorf("%s: %w", path, err)
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return c, nil, nil // empty, or comments only
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return c, nil, fmt.Errorf("%s, line %d: settings are lines of \"key: value\"", path, root.Line)
	}
	named := map[string]bool{}
	var errs []error
	for i := 0; i+1 < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		fail := func(err error) {
			errs = append(errs, fmt.Errorf("%s, line %d: %w", path, key.Line, err))
		}
		at := slices.IndexFunc(fields, func(f Field) bool { return f.Name == key.Value })
		switch {
		case at < 0:
			fail(unknownKey(key.Value, fields))
		case key.Value == "config":
			fail(errors.New("a file cannot name another file"))
		case named[key.Value]:
			fail(fmt.Errorf("%s is there twice", key.Value))
		default:
			if err := setNode(fields[at], &c, value); err != nil {
				fail(fmt.Errorf("%s: %w", key.Value, err))
				continue
			}
			named[key.Value] = true
		}
	}
	return c, named, errors.Join(errs...)
}

func setNode(f Field, c *Config, value *yaml.Node) error {
	v := f.value(c)
	switch {
	case value.Kind == yaml.ScalarNode:
		return setText(v, value.Value)
	case value.Kind == yaml.SequenceNode && strings.HasPrefix(v.Type().String(), "[]"):
		items := make([]string, 0, len(value.Content))
		for _, item := range value.Content {
			if item.Kind != yaml.ScalarNode {
				return errors.New("a list holds plain values")
			}
			items = append(items, item.Value)
		}
		return setList(v, items)
	default:
		return errors.New("give a plain value")
	}
}

func unknownKey(key string, fields []Field) error {
	best, distance := "", 1+len(key)/2 // further away it is another word, not a slip
	for _, f := range fields {
		if d := editDistance(key, f.Name); d < distance {
			best, distance = f.Name, d
		}
	}
	if best == "" {
		return fmt.Errorf("there is no setting %q", key)
	}
	return fmt.Errorf("there is no setting %q; did you mean %q?", key, best)
}

// editDistance is the least number of octets to insert, remove or change to turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		corner := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := corner
			if a[i-1] != b[j-1] {
				change++
			}
			corner = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return row[len(b)]
}
